//! `diagnose --from --to`: reads what an answer needs, dials the port as `diagnose` does, and evaluates whether anything stops the connection.

mod parse;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub use parse::BetweenArgs;
use parse::{Between, Called};

use super::reading::Reading;
use super::{DiagnoseArgs, offline, print, save};
use crate::cluster::ListQuery;
use crate::cmd::collect::{self, Rights};
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::reach::Reach;
use crate::cmd::{Outcome, patience, warnings_as_errors};
use crate::io::{Io, Stream};
use crate::model::duration;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::near;
use crate::model::snapshot::{Presence, Snapshot};
use crate::rules::network_policy::connection::{self, Ask, Target, Unanswerable};
use crate::rules::{Need, Options};

/// How often the evaluation may ask for more: the lists of both ends, then the labels of a namespace and the DNS, then what those name, a
/// round for each Service that is another name, and two for the port.
const ROUNDS: usize = 12;

/// Answers from the cluster.
pub(super) async fn run(
    between: &Between,
    args: &DiagnoseArgs,
    reading: &Reading,
    connect: &crate::cmd::flags::ConnectFlags,
    io: &mut Io,
) -> Outcome {
    let connection = &reading.connection;
    let (start, before) = (std::time::Instant::now(), connection.request_count());
    let namespace = connection.default_namespace().to_owned();
    // The first request tells whether there is an API server at all that answers.
    if collect::namespace_exists(connection, &namespace).await? == Some(false) {
        return Err(collect::no_such_namespace(connection, &namespace).await);
    }
    let mut snapshot = Snapshot::new((io.now)(), false);
    snapshot.namespaces = vec![namespace.clone()];
    let searched = match between.to {
        Called::Address(ip) => search(reading, ip, &mut snapshot).await?,
        Called::Named(..) | Called::Bare { .. } => true,
    };
    let reader = Reader {
        reading,
        rights: Rights {
            reach: Reach::new(args.dial_timeout, false, None),
            ..Rights::default()
        },
        options: options(args),
        stderr: io.stderr.clone(),
    };
    let callers = between.from.candidates(&namespace);
    let targets = between.to.candidates(&namespace);
    let mut ask = Ask {
        from: callers.first().cloned().unwrap_or_default(),
        to: targets.first().cloned().unwrap_or(Target::Name(String::new())),
        port: between.port.clone(),
        protocol: between.protocol.clone(),
        searched,
    };
    reader.lists(&ask, &mut snapshot).await;
    ask.from = reader.first_of(&callers, &mut snapshot).await?;
    ask.to = reader.target(&targets, between.to.is_host(), &ask, &mut snapshot).await?;
    reader.read(&ask, &mut snapshot).await;
    let mut diagnosis = answer(&snapshot, &ask, &reader.options)?;
    diagnosis.requests = connection.request_count() - before;
    diagnosis.elapsed_seconds = duration::rounded(start.elapsed().as_secs_f64());
    save(args, &snapshot)?;
    warnings_as_errors(connect, connection)?;
    print(&diagnosis, args, Some(&namespace), io)
}

fn options(args: &DiagnoseArgs) -> Options {
    Options {
        since: args.since,
        dial: !args.no_dial && !args.local,
        sockets: false,
    }
}

/// Answers from files.
pub(super) fn run_local(between: &Between, args: &DiagnoseArgs, connect: &crate::cmd::flags::ConnectFlags, io: &mut Io) -> Outcome {
    let snapshot = offline::snapshot(args, connect.namespace.as_deref(), io)?;
    let known: Vec<ObjectRef> = snapshot.objects.references().into_iter().map(|(object, _)| object).collect();
    let missing = |object: &ObjectRef| {
        let failure = Failure::new(Exit::NotFound, format!("{object} is not in the given files"));
        let is_here = |o: &&ObjectRef| object.namespace.is_empty() || o.namespace == object.namespace;
        match near::nearest(&object.name, known.iter().filter(is_here).map(|o| o.name.as_str())) {
            Some(near) => failure.hint(format!("the files have {near}")),
            None => failure,
        }
    };
    // Without -n it is the one of that name, in whichever namespace it is.
    let wanted = connect.namespace.as_deref();
    let alike = |a: &ObjectRef, b: &ObjectRef| a.kind == b.kind && a.api_version == b.api_version && a.name == b.name;
    let callers = between.from.candidates(wanted.unwrap_or_default());
    let from = callers.iter().find_map(|caller| {
        let mut named = known.iter().filter(|o| alike(o, caller));
        named.find(|o| wanted.is_none_or(|namespace| o.namespace == namespace))
    });
    let from = from
        .cloned()
        .ok_or_else(|| missing(&callers.first().cloned().unwrap_or_default()))?;
    let targets = between.to.candidates(&from.namespace);
    let is_inside = |name: &str| {
        known
            .iter()
            .any(|o| name.split('.').any(|label| label == o.namespace || label == o.name))
    };
    let is_known = |target: &&Target| match target {
        Target::Object(object) => known.contains(object),
        Target::Name(name) => between.to.is_host() || targets.len() == 1 || !is_inside(name),
        Target::Address(_) => true,
    };
    let to = match (targets.iter().find(is_known), targets.first()) {
        (Some(to), _) => to.clone(),
        (None, Some(Target::Object(object))) => return Err(missing(object)),
        (None, _) => return Err(Failure::usage("--to names nobody")),
    };
    let ask = Ask {
        from,
        to,
        port: between.port.clone(),
        protocol: between.protocol.clone(),
        searched: true,
    };
    let diagnosis = answer(&snapshot, &ask, &options(args))?;
    save(args, &snapshot)?;
    print(&diagnosis, args, wanted, io)
}

fn answer(snapshot: &Snapshot, ask: &Ask, options: &Options) -> Result<crate::model::report::Diagnosis, Failure> {
    connection::diagnose(snapshot, ask, options).map_err(|why| match why {
        Unanswerable::Usage(message) => Failure::usage(message),
        Unanswerable::Unread(message) => Failure::new(Exit::CannotTell, message),
    })
}

/// Reads what an answer needs.
struct Reader<'a> {
    reading: &'a Reading,
    rights: Rights,
    options: Options,
    stderr: Stream,
}

impl Reader<'_> {
    /// Reads the lists that every answer begins with.
    async fn lists(&self, ask: &Ask, snapshot: &mut Snapshot) {
        let needs = connection::first_needs(snapshot, ask);
        collect::further_round(&self.reading.connection, snapshot, needs, &self.rights).await;
    }

    /// Reads what the evaluation asks for, until it asks for nothing more.
    async fn read(&self, ask: &Ask, snapshot: &mut Snapshot) {
        let needs = |seen: &Snapshot| {
            let needs = connection::needs(seen, ask, &self.options);
            patience::tell(&self.stderr, seen, &needs);
            needs
        };
        collect::further_rounds(&self.reading.connection, snapshot, &self.rights, ROUNDS, needs).await;
    }

    /// The first of several objects that exists.
    async fn first_of(&self, candidates: &[ObjectRef], snapshot: &mut Snapshot) -> Result<ObjectRef, Failure> {
        let is_known = |object: &ObjectRef, seen: &Snapshot| {
            let kind = kind::of_object(&object.api_version, &object.kind);
            kind.map(|kind| seen.presence(kind, &object.namespace, &object.name))
        };
        // A name that may mean several things is looked up in lists, which need no right to read each of them.
        for object in candidates.iter().filter(|_| candidates.len() > 1) {
            if is_known(object, snapshot) == Some(Presence::Unknown)
                && let Some(kind) = kind::of_object(&object.api_version, &object.kind)
            {
                let needs = BTreeSet::from([Need::List(kind.clone(), Some(object.namespace.clone()))]);
                collect::further_round(&self.reading.connection, snapshot, needs, &self.rights).await;
            }
            if is_known(object, snapshot) == Some(Presence::Present) {
                return Ok(object.clone());
            }
        }
        let mut failure: Option<Failure> = None;
        for object in candidates {
            let Some(kind) = kind::of_object(&object.api_version, &object.kind) else {
                continue;
            };
            match self.reading.must_exist(kind, object, snapshot).await {
                Ok(()) => return Ok(object.clone()),
                // What may not be read says more than what is not there.
                Err(why)
                    if failure
                        .as_ref()
                        .is_none_or(|known| known.exit == Exit::NotFound && why.exit != Exit::NotFound) =>
                {
                    failure = Some(why);
                }
                Err(_) => {}
            }
        }
        let failure = failure.unwrap_or_else(|| Failure::usage("no object is named"));
        Err(match candidates {
            [first, _, ..] if failure.exit == Exit::NotFound => none_of(first, candidates, snapshot),
            _ => failure,
        })
    }

    /// What `NAME.NAMESPACE` means: without a namespace of that name it is a host outside, as `example.com`, but where the name is one of the
    /// caller's own namespace or a Service of one that is called nearly so: then the namespace was meant, and does not exist.
    async fn name_or_outside(
        &self,
        host: &Target,
        first: &ObjectRef,
        objects: &[ObjectRef],
        snapshot: &mut Snapshot,
    ) -> Result<Target, Failure> {
        let connection = &self.reading.connection;
        let own = connection.default_namespace().to_owned();
        let exists = collect::namespace_exists(connection, &first.namespace).await?;
        if exists == Some(true) {
            return self.first_of(objects, snapshot).await.map(Target::Object);
        }
        let whole = objects.iter().find(|o| o.namespace == own && o.name != first.name);
        if let Some(whole) = whole
            && self.first_of(std::slice::from_ref(whole), snapshot).await.is_ok()
        {
            return Ok(Target::Object(whole.clone()));
        }
        let here = Ask {
            to: Target::Object(ObjectRef::new(&kind::SERVICE, &own, &first.name)),
            from: ObjectRef::new(&kind::POD, &own, &first.name),
            port: None,
            protocol: None,
            searched: true,
        };
        self.lists(&here, snapshot).await;
        let known = snapshot.objects.references();
        let is_named_here = known.iter().any(|(o, _)| o.namespace == own && o.name == first.name);
        match exists {
            Some(false) if is_named_here => Err(self.no_namespace(first, snapshot).await),
            Some(false) => {
                let near = self.near_namespace(&first.namespace, snapshot).await;
                match near {
                    Some(near) if self.has_service(&near, &first.name).await => Err(no_namespace(first, Some(&near)).hint(format!(
                        "there is Service {name} in namespace {near}: write {name}.{near}; a URL names a host outside: http://{name}.{}",
                        first.namespace,
                        name = first.name
                    ))),
                    _ => Ok(host.clone()),
                }
            }
            _ => Ok(host.clone()),
        }
    }

    /// The namespace that is called nearly as one that does not exist. What may not be read says nothing.
    async fn near_namespace(&self, name: &str, snapshot: &mut Snapshot) -> Option<String> {
        let needs = BTreeSet::from([Need::List(kind::NAMESPACE, None)]);
        collect::further_round(&self.reading.connection, snapshot, needs, &self.rights).await;
        connection::near_namespace(snapshot, name).map(str::to_owned)
    }

    async fn has_service(&self, namespace: &str, name: &str) -> bool {
        let found = self.reading.connection.get(&kind::SERVICE, Some(namespace), name, true).await;
        found.ok().flatten().is_some()
    }

    async fn no_namespace(&self, named: &ObjectRef, snapshot: &mut Snapshot) -> Failure {
        let near = self.near_namespace(&named.namespace, snapshot).await;
        no_namespace(named, near.as_deref())
    }

    /// The first of several targets that exists; a host outside always does.
    async fn target(&self, candidates: &[Target], is_host: bool, ask: &Ask, snapshot: &mut Snapshot) -> Result<Target, Failure> {
        let mut objects = Vec::new();
        for candidate in candidates {
            match candidate {
                Target::Object(object) => objects.push(object.clone()),
                other => {
                    let first = match objects.first() {
                        Some(first) if !is_host => first.clone(),
                        _ => {
                            let found = self.first_of(&objects, snapshot).await;
                            return Ok(found.map_or_else(|_| other.clone(), Target::Object));
                        }
                    };
                    return self.name_or_outside(other, &first, &objects, snapshot).await;
                }
            }
        }
        // Lists of the namespaces that may be meant tell what is near, and spare a request for each kind.
        let mut namespaces: Vec<&str> = Vec::new();
        for object in &objects {
            if !namespaces.contains(&object.namespace.as_str()) {
                namespaces.push(&object.namespace);
                let ask = Ask {
                    to: Target::Object(object.clone()),
                    ..ask.clone()
                };
                self.lists(&ask, snapshot).await;
            }
        }
        let failure = match self.first_of(&objects, snapshot).await {
            Ok(found) => return Ok(Target::Object(found)),
            Err(failure) => failure,
        };
        // Behind the name stood a namespace: where that is missing, so is all in it.
        let elsewhere = objects.iter().rfind(|o| o.namespace != ask.from.namespace);
        let Some(named) = elsewhere.filter(|_| failure.exit == Exit::NotFound) else {
            return Err(failure);
        };
        match collect::namespace_exists(&self.reading.connection, &named.namespace).await? {
            Some(false) => Err(self.no_namespace(named, snapshot).await),
            _ => Err(failure),
        }
    }
}

/// That the namespace of a name does not exist, and how it is written with the one that was probably meant.
fn no_namespace(named: &ObjectRef, near: Option<&str>) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("namespace {} does not exist", named.namespace));
    failure.hint(match near {
        Some(near) => format!("there is namespace {near}: write {}.{near}", named.name),
        None => "`kubectl get namespaces` lists them".to_owned(),
    })
}

/// Of several objects that a name could have meant, none exists.
fn none_of(first: &ObjectRef, candidates: &[ObjectRef], snapshot: &Snapshot) -> Failure {
    let known = snapshot.objects.references();
    // A name with a dot may also mean a pod of the caller's own namespace; the answer is about the other one, and so is the hint.
    let names = known.iter().map(|(o, _)| o).filter(|o| {
        candidates
            .iter()
            .any(|c| c.kind == o.kind && c.api_version == o.api_version && c.namespace == o.namespace && o.namespace == first.namespace)
    });
    let names: Vec<&str> = names.map(|o| o.name.as_str()).collect();
    let what = if first.is(&kind::SERVICE) {
        "no Service, pod or workload"
    } else {
        "no pod and no workload"
    };
    let failure = Failure::new(
        Exit::NotFound,
        format!("there is {what} {} in namespace {}", first.name, first.namespace),
    );
    match near::nearest(&first.name, names.iter().copied()) {
        Some(near) => failure.hint(format!("there is {near}")),
        None => failure,
    }
}

/// Looks for an address among the pods and Services of every namespace; says whether all could be searched.
async fn search(reading: &Reading, ip: IpAddr, snapshot: &mut Snapshot) -> Result<bool, Failure> {
    let mut searched = true;
    for (kind, field) in [(kind::SERVICE, "spec.clusterIP"), (kind::POD, "status.podIP")] {
        let query = ListQuery {
            field_selector: format!("{field}={ip}"),
            ..ListQuery::default()
        };
        match reading.connection.list(&kind, None, &query).await {
            Ok(list) => {
                for item in list.items {
                    collect::note_bad(snapshot, item);
                }
            }
            Err(error) if error.is_fatal_for_api() => return Err(error.into()),
            Err(error) => {
                collect::note(snapshot, &format!("{} with the address {ip}", kind.plural), &error);
                searched = false;
            }
        }
    }
    snapshot.sort();
    Ok(searched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_what_is_in_that_namespace_alone() {
        let mut snapshot = Snapshot::new(jiff::Timestamp::UNIX_EPOCH, false);
        for (namespace, name) in [("a", "good-1-x"), ("b", "goods")] {
            snapshot
                .insert(serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name}}))
                .unwrap();
        }
        let candidates = [
            ObjectRef::new(&kind::SERVICE, "b", "good"),
            ObjectRef::new(&kind::POD, "a", "good.b"),
            ObjectRef::new(&kind::POD, "b", "good"),
        ];
        let failure = none_of(&candidates[0], &candidates, &snapshot);
        assert_eq!(failure.message, "there is no Service, pod or workload good in namespace b");
        assert_eq!(failure.hint.as_deref(), Some("there is goods"));
        let elsewhere = [
            ObjectRef::new(&kind::SERVICE, "c", "good"),
            ObjectRef::new(&kind::POD, "a", "good.c"),
        ];
        assert_eq!(none_of(&elsewhere[0], &elsewhere, &snapshot).hint, None);
    }
}
