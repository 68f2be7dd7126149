//! Finds the two ends of a connection: the objects of a cluster, or of files, that the user names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::cluster::{Connection, ListQuery};
use crate::exit::{Exit, Failure};
use crate::model::finding::ObjectRef;
use crate::model::snapshot::{Presence, Snapshot, UncheckedKind};
use crate::model::{kind, near};
use crate::observe::named::must_exist;
use crate::observe::reads;
use crate::observe::reads::Rights;
use crate::trace;
use crate::trace::parse::Request;
use crate::trace::{Ask, Target};
use crate::view::Need;

/// Reads objects until it is known which of them a user means.
pub(super) struct Resolver<'a> {
    pub(super) connection: &'a Connection,
    pub(super) rights: &'a Rights,
}

impl Resolver<'_> {
    /// The source and the destination of a connection.
    pub(super) async fn resolve(&self, request: &Request, searched: bool, snapshot: &mut Snapshot) -> Result<Ask, Failure> {
        let namespace = self.connection.default_namespace();
        let sources = request.from.candidates(namespace);
        let targets = request.to.candidates(namespace);
        let mut ask = Ask {
            from: sources.first().cloned().unwrap_or_default(),
            to: targets.first().cloned().unwrap_or(Target::Name(String::new())),
            port: request.port.clone(),
            protocol: request.protocol.clone(),
            searched,
        };
        self.lists(&ask, snapshot).await;
        ask.from = self.first_of(&sources, snapshot).await?;
        ask.to = self.target(&targets, request.to.is_host(), &ask, snapshot).await?;
        Ok(ask)
    }

    /// Reads the lists that every evaluation needs.
    async fn lists(&self, ask: &Ask, snapshot: &mut Snapshot) {
        let needs = trace::first_needs(snapshot, ask);
        reads::further_round(self.connection, snapshot, needs, self.rights).await;
    }

    /// The first of several objects that exists.
    async fn first_of(&self, candidates: &[ObjectRef], snapshot: &mut Snapshot) -> Result<ObjectRef, Failure> {
        let is_known = |object: &ObjectRef, seen: &Snapshot| {
            let kind = kind::of_object(&object.api_version, &object.kind);
            kind.map(|kind| seen.presence(kind, &object.namespace, &object.name))
        };
        // Names with several meanings are looked up in lists: that needs fewer rights.
        for object in candidates.iter().filter(|_| candidates.len() > 1) {
            if is_known(object, snapshot) == Some(Presence::Unknown)
                && let Some(kind) = kind::of_object(&object.api_version, &object.kind)
            {
                let needs = BTreeSet::from([Need::List(kind.clone(), Some(object.namespace.clone()))]);
                reads::further_round(self.connection, snapshot, needs, self.rights).await;
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
            match must_exist(self.connection, kind, object, snapshot).await {
                Ok(()) => return Ok(object.clone()),
                // Missing rights are reported before missing objects.
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

    /// The meaning of `NAME.NAMESPACE`. Without such a namespace it is a host outside the cluster, like `example.com`. But if the source's
    /// namespace has an object NAME, or a namespace with a similar name has a Service NAME, the namespace is misspelled.
    async fn name_or_outside(
        &self,
        host: &Target,
        first: &ObjectRef,
        objects: &[ObjectRef],
        snapshot: &mut Snapshot,
    ) -> Result<Target, Failure> {
        let own = self.connection.default_namespace().to_owned();
        let exists = reads::namespace_exists(self.connection, &first.namespace).await?;
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
                        "there is Service {name} in namespace {near}: write {name}.{near}; a URL names a host outside the cluster: http://{name}.{}",
                        first.namespace,
                        name = first.name
                    ))),
                    _ => Ok(host.clone()),
                }
            }
            _ => Ok(host.clone()),
        }
    }

    /// The namespace with a similar name; none if namespaces may not be read.
    async fn near_namespace(&self, name: &str, snapshot: &mut Snapshot) -> Option<String> {
        let needs = BTreeSet::from([Need::List(kind::NAMESPACE, None)]);
        reads::further_round(self.connection, snapshot, needs, self.rights).await;
        trace::near_namespace(snapshot, name).map(str::to_owned)
    }

    async fn has_service(&self, namespace: &str, name: &str) -> bool {
        let found = self.connection.get(&kind::SERVICE, Some(namespace), name, true).await;
        found.ok().flatten().is_some()
    }

    async fn no_namespace(&self, named: &ObjectRef, snapshot: &mut Snapshot) -> Failure {
        let near = self.near_namespace(&named.namespace, snapshot).await;
        no_namespace(named, near.as_deref())
    }

    /// The first of several targets that exists; a host outside the cluster always does.
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
        // Lists of the namespaces give similar names for hints, and save one request per kind.
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
        // The name may end with a namespace that does not exist.
        let elsewhere = objects.iter().rfind(|o| o.namespace != ask.from.namespace);
        let Some(named) = elsewhere.filter(|_| failure.exit == Exit::NotFound) else {
            return Err(failure);
        };
        match reads::namespace_exists(self.connection, &named.namespace).await? {
            Some(false) => Err(self.no_namespace(named, snapshot).await),
            _ => Err(failure),
        }
    }
}

/// The failure for a name in a namespace that does not exist; its hint is a namespace with a similar name.
fn no_namespace(named: &ObjectRef, near: Option<&str>) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("namespace {} does not exist", named.namespace));
    failure.hint(match near {
        Some(near) => format!("there is namespace {near}: write {}.{near}", named.name),
        None => "`kubectl get namespaces` lists them".to_owned(),
    })
}

/// The failure for a name that none of its possible objects has.
fn none_of(first: &ObjectRef, candidates: &[ObjectRef], snapshot: &Snapshot) -> Failure {
    let known = snapshot.objects.references();
    // NAME.NAMESPACE may also be a pod of the source's namespace; the message and the hint are about NAMESPACE.
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

/// Reads the pods and Services of all namespaces that have an address; false if they could not be searched.
pub(super) async fn search(connection: &Connection, ip: IpAddr, snapshot: &mut Snapshot) -> Result<bool, Failure> {
    let mut searched = true;
    for (kind, field) in [(kind::SERVICE, "spec.clusterIP"), (kind::POD, "status.podIP")] {
        let query = ListQuery {
            field_selector: format!("{field}={ip}"),
            ..ListQuery::default()
        };
        match connection.list(&kind, None, &query).await {
            Ok(list) => {
                for item in list.items {
                    reads::note_bad(snapshot, item);
                }
            }
            Err(error) if error.is_fatal_for_api() => return Err(error.into()),
            Err(error) => {
                let what = format!("{} with the address {ip}", kind.plural);
                reads::note(snapshot, UncheckedKind::Objects, &what, &error);
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
    fn a_hint_names_only_objects_of_that_namespace() {
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
