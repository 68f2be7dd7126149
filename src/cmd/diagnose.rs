//! `diagnose`: why is it broken?

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;

use super::collect::{self, Rights};
use super::exit::{Exit, Failure};
use super::flags::ConnectFlags;
use super::targets::{self, Wanted};
use super::watching::Changes;
use super::{Outcome, local};
use crate::cluster::{Connection, ListQuery, Log};
use crate::io::{Environment, Io};
use crate::model::code::Code;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::model::near;
use crate::model::report::{Diagnosis, Verdict};
use crate::model::snapshot::{Presence, Snapshot};
use crate::model::{duration, selector};
use crate::render::diagnosis::{Detail, names, text};
use crate::render::document::{self, Format};
use crate::render::paper::Paper;
use crate::rules::context::{Context, selects};
use crate::rules::{Options, assess};

/// How often rules may ask for more after the first reading: the log of the last end, the present log where that is gone,
/// and the Service elsewhere that the log names.
const FURTHER_ROUNDS: usize = 3;

/// Say why pods, Services and what belongs to them are broken.
///
/// Without a target the whole namespace is judged. A target is explained together with what it owns, what owns it and what leads traffic to it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
pub struct DiagnoseArgs {
    /// What to explain: TYPE/NAME..., TYPE NAME..., TYPE, or a bare name
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Judge every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only pods with these labels, and what owns them
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = label_selector)]
    selector: Option<Selector>,
    /// Only pods that match, for example spec.nodeName=a, and what owns them
    #[arg(long, value_name = "SELECTOR", conflicts_with = "local")]
    field_selector: Option<String>,
    /// Files or folders that name the objects to explain (- is standard input); with --local, the objects themselves
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<String>,
    /// Read folders below the given ones too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Judge the objects in the files alone and ask no server
    #[arg(long, requires = "filename")]
    local: bool,
    /// Only findings about these containers
    #[arg(short = 'c', long, value_name = "NAME")]
    container: Vec<String>,
    /// Output: text, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Show advice too
    #[arg(long)]
    advice: bool,
    /// Count events and logs only as far back as this
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    since: Duration,
    /// Leave these codes out
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<Code>,
    /// The least severity that makes the exit code 3
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// Ask for more than the least rights give
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    with: Vec<With>,
    /// Write what was read to a file, without values of Secrets
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Go on, and print a diagnosis at each change
    #[arg(short = 'w', long, conflicts_with = "local")]
    watch: bool,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: super::Colour,
}

const EXAMPLES: &str = "\
Examples:
  # everything in the namespace, the broken first
  kubectl podlife diagnose -n shop
  # one workload
  kubectl podlife diagnose deployment/api
  # objects saved earlier; no cluster is asked
  kubectl podlife diagnose --local -f objects.yaml";

const LONG_EXAMPLES: &str = "\
Examples:
  # everything in the namespace, the broken first
  kubectl podlife diagnose -n shop
  # one workload, and what leads traffic to it
  kubectl podlife diagnose deployment/api
  # in a pipeline: exit code 3 and JSON where something is broken
  kubectl podlife diagnose -n shop -o json
  # keep what was read, and judge it again elsewhere
  kubectl podlife diagnose -n shop --save shop.json
  kubectl podlife diagnose --local -f shop.json

Exit codes:
  0    healthy or progressing
  1    a fault of podlife itself
  2    the command line makes no sense
  3    broken or degraded
  4    cannot tell: something that matters could not be read
  5    the target, its kind or its namespace does not exist
  6    the API server gave no usable answer
  130  interrupted (143: terminated)";

/// Which severity fails a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// Errors.
    Error,
    /// Advice too.
    Advice,
}

/// A right beyond the least ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum With {
    /// Metadata of Secrets, to tell a missing one.
    Secrets,
}

/// A label selector and its text.
#[derive(Clone, Debug)]
pub struct Selector {
    parsed: LabelSelector,
    text: String,
}

fn label_selector(text: &str) -> Result<Selector, String> {
    Ok(Selector {
        parsed: selector::parse(text)?,
        text: text.to_owned(),
    })
}

/// What a run does, with every default resolved.
struct Plan<'a> {
    args: &'a DiagnoseArgs,
    connect: &'a ConnectFlags,
    wanted: Vec<Wanted>,
    question: assess::Question,
    rights: Rights,
}

impl<'a> Plan<'a> {
    fn new(args: &'a DiagnoseArgs, connect: &'a ConnectFlags) -> Result<Self, Failure> {
        let wanted = targets::parse(&args.targets)?;
        let by_name = wanted.iter().any(|w| !matches!(w, Wanted::All(_)));
        if args.all_namespaces && by_name {
            return Err(Failure::usage("a target cannot be named across all namespaces").hint("name its namespace with -n"));
        }
        if args.all_namespaces && connect.namespace.is_some() {
            return Err(Failure::usage("-A and -n cannot be used together"));
        }
        if by_name && (args.selector.is_some() || args.field_selector.is_some()) {
            return Err(Failure::usage("a name and a selector cannot be used together"));
        }
        if !args.local && !args.filename.is_empty() && !args.targets.is_empty() {
            return Err(Failure::usage("targets cannot be named beside -f"));
        }
        let question = assess::Question {
            targets: Vec::new(),
            containers: args.container.iter().cloned().collect(),
            ignore: args.ignore.iter().copied().collect(),
            options: Options { since: args.since },
        };
        let rights = Rights {
            secrets: args.with.contains(&With::Secrets),
            nodes: true,
        };
        Ok(Self {
            args,
            connect,
            wanted,
            question,
            rights,
        })
    }
}

/// Runs the verb.
pub async fn run(args: &DiagnoseArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let mut plan = Plan::new(args, connect)?;
    if args.local {
        return local_run(&mut plan, io);
    }
    let documents = match args.filename.is_empty() {
        true => Vec::new(),
        false => read_files(args, io)?.objects,
    };
    let options = connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let reading = Reading { connection, documents };
    if args.watch {
        return watch(&mut plan, &reading, io).await;
    }
    let (diagnosis, snapshot) = reading.diagnose(&mut plan, io).await?;
    save(args, &snapshot)?;
    super::warnings_as_errors(connect, &reading.connection)?;
    print(
        &diagnosis,
        args,
        io,
        !snapshot.objects.pods.is_empty() || !diagnosis.workloads.is_empty(),
    )
}

fn read_files(args: &DiagnoseArgs, io: &mut Io) -> Result<local::Documents, Failure> {
    local::read(&args.filename, args.recursive, &mut io.stdin).map_err(|error| Failure::usage(format!("{error:#}")))
}

fn local_run(plan: &mut Plan<'_>, io: &mut Io) -> Outcome {
    let args = plan.args;
    let documents = read_files(args, io)?;
    let namespace = plan.connect.namespace.as_deref();
    let (mut snapshot, warnings) = documents
        .into_snapshot(namespace, (io.now)())
        .map_err(|error| Failure::usage(format!("{error:#}")))?;
    for warning in warnings {
        io.stderr
            .line(&format!("warning: left out {}", crate::model::text::sanitise(&warning)));
    }
    if let Some(namespace) = namespace {
        snapshot.namespaces = vec![namespace.to_owned()];
    }
    plan.question.targets = resolve_local(plan, &snapshot)?;
    let diagnosis = assess::assess(&snapshot, &plan.question);
    save(args, &snapshot)?;
    print(&diagnosis, args, io, true)
}

fn resolve_local(plan: &Plan<'_>, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, Failure> {
    let mut found = Vec::new();
    let known = snapshot.objects.references();
    let namespace = plan.connect.namespace.as_deref();
    let here = |object: &ObjectRef| namespace.is_none_or(|n| object.namespace.is_empty() || object.namespace == n);
    for wanted in &plan.wanted {
        let matches: Vec<ObjectRef> = match wanted {
            Wanted::Named(kind_name, name) => {
                let kind = kind::named(kind_name);
                let is_kind = |o: &ObjectRef| kind.map_or_else(|| o.kind.eq_ignore_ascii_case(kind_name), |k| o.is(k));
                known
                    .iter()
                    .map(|(o, _)| o)
                    .filter(|o| here(o) && is_kind(o) && &o.name == name)
                    .cloned()
                    .collect()
            }
            Wanted::All(kind_name) => {
                let kind = kind::named(kind_name);
                known
                    .iter()
                    .map(|(o, _)| o)
                    .filter(|o| here(o) && kind.is_some_and(|k| o.is(k)))
                    .cloned()
                    .collect()
            }
            Wanted::Bare(name) => {
                let of = |kind: &Kind| {
                    known
                        .iter()
                        .map(|(o, _)| o)
                        .find(|o| here(o) && o.is(kind) && &o.name == name)
                        .cloned()
                };
                targets::BARE.iter().find_map(of).into_iter().collect()
            }
        };
        if matches.is_empty() && !matches!(wanted, Wanted::All(_)) {
            let (Wanted::Named(_, name) | Wanted::Bare(name) | Wanted::All(name)) = wanted;
            let names: Vec<&str> = known.iter().map(|(o, _)| o.name.as_str()).collect();
            let mut failure = Failure::new(Exit::NotFound, format!("{} is not in the given files", describe(wanted)));
            if let Some(near) = near::nearest(name, names) {
                failure = failure.hint(format!("the files have {near}"));
            }
            return Err(failure);
        }
        found.extend(matches);
    }
    if let Some(selector) = &plan.args.selector {
        let context = Context::new(snapshot, plan.question.options.clone());
        let pods = snapshot.objects.pods.iter().filter(|pod| selects(&selector.parsed, pod.labels()));
        found.extend(pods.map(|pod| context.workload_of(pod)));
        if found.is_empty() {
            return Err(Failure::new(
                Exit::NotFound,
                format!("no pod in the given files has the labels {}", selector.text),
            ));
        }
    }
    Ok(found)
}

fn describe(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Named(kind, name) => format!("{kind}/{name}"),
        Wanted::All(kind) => kind.clone(),
        Wanted::Bare(name) => format!("pod/{name}"),
    }
}

struct Reading {
    connection: Connection,
    /// What the files of `-f` hold.
    documents: Vec<serde_json::Value>,
}

impl Reading {
    /// Reads, asks the rules, reads what they lack, and answers.
    async fn diagnose(&self, plan: &mut Plan<'_>, io: &mut Io) -> Result<(Diagnosis, Snapshot), Failure> {
        let args = plan.args;
        let start = std::time::Instant::now();
        let before = self.connection.request_count();
        let namespace = self.connection.default_namespace().to_owned();
        let namespaces = if args.all_namespaces { Vec::new() } else { vec![namespace.clone()] };
        let named = self.named_objects()?;
        let (snapshot, exists) = futures::future::join(collect::first_round(&self.connection, &namespaces, (io.now)()), async {
            if args.all_namespaces {
                Ok(Some(true))
            } else {
                collect::namespace_exists(&self.connection, &namespace).await
            }
        })
        .await;
        let cluster_wide = !plan.wanted.is_empty()
            && plan
                .wanted
                .iter()
                .all(|w| matches!(w, Wanted::Named(k, _) | Wanted::All(k) if kind::named(k).is_some_and(|k| !k.namespaced)));
        if exists? == Some(false) && !cluster_wide {
            return Err(Failure::new(Exit::NotFound, format!("namespace {namespace} does not exist")).hint("kubectl get namespaces"));
        }
        let mut snapshot = snapshot?;
        let mut wanted = self.resolve(plan, &mut snapshot, &namespace).await?;
        wanted.extend(self.add_named(named, &mut snapshot).await?);
        let selected = plan.wanted.is_empty() && args.filename.is_empty() && args.selector.is_none() && args.field_selector.is_none();
        if wanted.is_empty() && !selected {
            return Err(self.nothing_selected(args));
        }
        plan.question.targets = wanted;
        for _ in 0..FURTHER_ROUNDS {
            let mut needs = assess::needs(&snapshot, &plan.question);
            needs.retain(|need| !asked_before(&snapshot, need));
            if needs.is_empty() {
                break;
            }
            collect::further_round(&self.connection, &mut snapshot, needs, plan.rights).await;
        }
        let mut diagnosis = assess::assess(&snapshot, &plan.question);
        diagnosis.requests = self.connection.request_count() - before;
        diagnosis.elapsed_seconds = rounded(start.elapsed());
        Ok((diagnosis, snapshot))
    }

    fn nothing_selected(&self, args: &DiagnoseArgs) -> Failure {
        let what = match (&args.selector, &args.field_selector) {
            (Some(selector), _) => format!("no pod has the labels {}", selector.text),
            (None, Some(field)) => format!("no pod matches {field}"),
            (None, None) => "no such object".to_owned(),
        };
        Failure::new(
            Exit::NotFound,
            format!("{what} in namespace {}", self.connection.default_namespace()),
        )
    }

    /// The objects that files name.
    fn named_objects(&self) -> Result<Vec<ObjectRef>, Failure> {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let mut objects = Vec::new();
        for document in &self.documents {
            let (api_version, kind_name) = (text(&document["apiVersion"]), text(&document["kind"]));
            let namespaced = kind::of_object(&api_version, &kind_name).is_none_or(|k| k.namespaced);
            let namespace = Some(text(&document["metadata"]["namespace"]))
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| self.connection.default_namespace().to_owned());
            objects.push(ObjectRef {
                api_version,
                kind: kind_name,
                namespace: if namespaced { namespace } else { String::new() },
                name: text(&document["metadata"]["name"]),
            });
        }
        let here = self.connection.default_namespace();
        if let Some(elsewhere) = objects.iter().find(|o| !o.namespace.is_empty() && o.namespace != here) {
            return Err(Failure::usage(format!("{elsewhere} is in another namespace than {here}"))
                .hint(format!("kubectl podlife diagnose -f FILE -n {}", elsewhere.namespace)));
        }
        Ok(objects)
    }

    /// Keeps what files name and podlife knows; each must exist.
    async fn add_named(&self, named: Vec<ObjectRef>, snapshot: &mut Snapshot) -> Result<Vec<ObjectRef>, Failure> {
        let mut found = Vec::new();
        for object in named {
            let Some(kind) = kind::of_object(&object.api_version, &object.kind) else {
                continue;
            };
            let object = ObjectRef::new(kind, &object.namespace, &object.name);
            self.must_exist(kind, &object, snapshot).await?;
            found.push(object);
        }
        Ok(found)
    }

    async fn resolve(&self, plan: &Plan<'_>, snapshot: &mut Snapshot, namespace: &str) -> Result<Vec<ObjectRef>, Failure> {
        let mut found = Vec::new();
        for wanted in &plan.wanted {
            match wanted {
                Wanted::Named(kind_name, name) => {
                    let kind = self.kind(kind_name, plan).await?;
                    let object = ObjectRef::new(&kind, namespace, name);
                    self.must_exist(&kind, &object, snapshot).await?;
                    found.push(object);
                }
                Wanted::All(kind_name) => {
                    let kind = self.kind(kind_name, plan).await?;
                    if snapshot.coverage(&kind, namespace).is_none() {
                        let needs = BTreeSet::from([crate::rules::Need::List(
                            kind.clone(),
                            kind.namespaced.then(|| namespace.to_owned()),
                        )]);
                        collect::further_round(&self.connection, snapshot, needs, plan.rights).await;
                    }
                    let of_kind = snapshot
                        .objects
                        .references()
                        .into_iter()
                        .map(|(object, _)| object)
                        .filter(|o| o.is(&kind));
                    found.extend(of_kind);
                }
                Wanted::Bare(name) => found.push(self.bare(name, namespace, snapshot).await?),
            }
        }
        if plan.args.selector.is_some() || plan.args.field_selector.is_some() {
            found.extend(self.select(plan, snapshot).await?);
        }
        Ok(found)
    }

    async fn kind(&self, name: &str, plan: &Plan<'_>) -> Result<Kind, Failure> {
        if let Some(kind) = kind::named(name) {
            return Ok(kind.clone());
        }
        match self.connection.find_kind(name).await? {
            Some(kind) => Ok(kind),
            None => {
                let known = kind::KNOWN.iter().map(|(k, _)| k.plural.as_ref());
                let mut failure = Failure::new(Exit::NotFound, format!("the server has no resource type {name:?}"));
                failure.hint = match near::nearest(name, known) {
                    Some(near) => Some(format!("did you mean {near}?")),
                    None if plan.args.targets.len() > 1 => Some("name pods as pod/NAME".to_owned()),
                    None => Some("kubectl api-resources".to_owned()),
                };
                Err(failure)
            }
        }
    }

    async fn must_exist(&self, kind: &Kind, object: &ObjectRef, snapshot: &mut Snapshot) -> Result<(), Failure> {
        let exists = match snapshot.presence(kind, &object.namespace, &object.name) {
            Presence::Present => Some(true),
            Presence::Absent => Some(false),
            Presence::Unknown => collect::add_object(&self.connection, snapshot, kind, object).await?,
        };
        match exists {
            Some(true) => Ok(()),
            Some(false) => Err(self.not_found(kind, object, snapshot)),
            None => Err(Failure::new(Exit::NoAnswer, format!("reading {object}: forbidden")).hint(format!(
                "kubectl auth can-i get {} -n {}",
                kind.qualified_plural(),
                object.namespace
            ))),
        }
    }

    fn not_found(&self, kind: &Kind, object: &ObjectRef, snapshot: &Snapshot) -> Failure {
        let others = snapshot.objects.references();
        let names = others.iter().map(|(o, _)| o).filter(|o| o.is(kind)).map(|o| o.name.as_str());
        let place = if object.namespace.is_empty() {
            String::new()
        } else {
            format!(" in namespace {}", object.namespace)
        };
        let mut failure = Failure::new(Exit::NotFound, format!("{} does not exist{place}", object.short()));
        failure.hint = near::nearest(&object.name, names).map(|near| format!("there is {}/{near}", kind.singular()));
        failure
    }

    async fn bare(&self, name: &str, namespace: &str, snapshot: &mut Snapshot) -> Result<ObjectRef, Failure> {
        let of_kinds = targets::BARE.iter();
        let present = of_kinds
            .clone()
            .find(|k| snapshot.presence(k, namespace, name) == Presence::Present);
        let pod = ObjectRef::new(&kind::POD, namespace, name);
        match present {
            Some(kind) => Ok(ObjectRef::new(kind, namespace, name)),
            None if snapshot.is_complete(&kind::POD, namespace) => {
                let known = snapshot.objects.references();
                let candidates = known
                    .iter()
                    .map(|(o, _)| o)
                    .filter(|o| of_kinds.clone().any(|k| o.is(k)))
                    .map(|o| o.name.as_str());
                let mut failure = Failure::new(
                    Exit::NotFound,
                    format!("there is no pod and no workload {name} in namespace {namespace}"),
                );
                failure.hint = near::nearest(name, candidates).map(|near| format!("there is {near}"));
                Err(failure)
            }
            None => self.must_exist(&kind::POD, &pod, snapshot).await.map(|()| pod),
        }
    }

    /// The workloads of the pods that selectors take; the API server evaluates field selectors.
    async fn select(&self, plan: &Plan<'_>, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, Failure> {
        let context = Context::new(snapshot, plan.question.options.clone());
        let taken: Option<BTreeSet<(String, String)>> = match &plan.args.field_selector {
            None => None,
            Some(field_selector) => {
                let query = ListQuery {
                    field_selector: field_selector.clone(),
                    metadata_only: true,
                    ..ListQuery::default()
                };
                let namespace = snapshot.namespaces.first().map(String::as_str);
                let list = self.connection.list(&kind::POD, namespace, &query).await?;
                let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
                Some(
                    list.items
                        .iter()
                        .map(|i| (text(&i["metadata"]["namespace"]), text(&i["metadata"]["name"])))
                        .collect(),
                )
            }
        };
        let by_label =
            |labels: &std::collections::BTreeMap<String, String>| plan.args.selector.as_ref().is_none_or(|s| selects(&s.parsed, labels));
        let by_field = |pod: &k8s_openapi::api::core::v1::Pod| {
            taken
                .as_ref()
                .is_none_or(|taken| taken.contains(&(pod.namespace().unwrap_or_default(), pod.name_any())))
        };
        let pods = snapshot.objects.pods.iter().filter(|pod| by_label(pod.labels()) && by_field(pod));
        let mut found: BTreeSet<ObjectRef> = pods.map(|pod| context.workload_of(pod)).collect();
        if plan.args.field_selector.is_none() {
            // A workload whose pods could not be made has labels in its template all the same.
            let unborn = context.workloads().filter(|w| w.object.is_some_and(|o| by_label(&o.pod_labels())));
            found.extend(unborn.map(|w| w.reference.clone()));
        }
        Ok(found.into_iter().collect())
    }
}

/// Whether an answer to this need is in the snapshot, so that asking again is of no use.
fn asked_before(snapshot: &Snapshot, need: &crate::rules::Need) -> bool {
    use crate::rules::Need;
    match need {
        Need::Log(key) => snapshot.log(key).is_some(),
        Need::Object(object) => {
            kind::of_object(&object.api_version, &object.kind).is_none_or(|k| match snapshot.presence(k, &object.namespace, &object.name) {
                Presence::Present => k != &kind::CONFIG_MAP || snapshot.config_map_keys(&object.namespace, &object.name).is_some(),
                Presence::Absent => true,
                Presence::Unknown => false,
            })
        }
        Need::List(kind, namespace) => snapshot.coverage(kind, namespace.as_deref().unwrap_or_default()).is_some(),
    }
}

fn rounded(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1000.0).round() / 1000.0
}

fn save(args: &DiagnoseArgs, snapshot: &Snapshot) -> Result<(), Failure> {
    let Some(path) = &args.save else { return Ok(()) };
    let document = serde_json::to_string_pretty(&snapshot.to_json()).map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    std::fs::write(path, document + "\n")
        .map_err(|error| Failure::new(Exit::Fault, format!("writing the snapshot to {}: {error}", path.display())))
}

/// Prints a diagnosis and says how the run ends.
fn print(diagnosis: &Diagnosis, args: &DiagnoseArgs, io: &mut Io, has_objects: bool) -> Outcome {
    let document = document::print(diagnosis, &args.output).map_err(|e| Failure::new(Exit::Fault, e))?;
    match (&args.output, document) {
        (_, Some(document)) => io.stdout.write(&document),
        (Format::Name, None) => io.stdout.write(&names(diagnosis)),
        (_, None) if !has_objects => {
            io.stderr
                .line(&match diagnosis.targets.first().and_then(|t| t.strip_prefix("namespace/")) {
                    Some(namespace) => format!("No resources found in {namespace} namespace."),
                    None => "No resources found".to_owned(),
                });
        }
        (format, None) => {
            let detail = Detail {
                advice: args.advice,
                wide: *format == Format::Wide,
            };
            let mut paper = Paper::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            text(diagnosis, detail, &mut paper);
            io.stdout.write(&paper.into_text());
        }
    }
    let advised = args.fail_on == FailOn::Advice && !diagnosis.advice.is_empty();
    Ok(match diagnosis.verdict {
        Verdict::Broken | Verdict::Degraded => Exit::Bad,
        _ if advised => Exit::Bad,
        Verdict::Inconclusive => Exit::CannotTell,
        Verdict::Progressing | Verdict::Healthy => Exit::Good,
    })
}

/// Prints a diagnosis, and another one whenever the answer changes, until it is interrupted.
async fn watch(plan: &mut Plan<'_>, reading: &Reading, io: &mut Io) -> Outcome {
    let namespace = reading.connection.default_namespace().to_owned();
    let mut changes = Changes::open(&reading.connection, (!plan.args.all_namespaces).then_some(namespace.as_str()));
    let mut last: Option<serde_json::Value> = None;
    loop {
        let (diagnosis, snapshot) = reading.diagnose(plan, io).await?;
        let mut answer = serde_json::to_value(&diagnosis).unwrap_or_default();
        if let Some(fields) = answer.as_object_mut() {
            for of_this_moment in ["takenAt", "requests", "elapsedSeconds"] {
                fields.remove(of_this_moment);
            }
        }
        if last.as_ref() != Some(&answer) {
            if last.is_some() && !plan.args.output.is_document() {
                io.stdout.line("");
            }
            print(&diagnosis, plan.args, io, true)?;
            save(plan.args, &snapshot)?;
            last = Some(answer);
        }
        changes.next().await?;
    }
}

/// Where the environment asks for something a flag did not say.
impl super::Colour {
    /// Whether colour is written: on a terminal, unless NO_COLOR or TERM=dumb say otherwise.
    pub fn is_on(self, stream: &crate::io::Stream, environment: &Environment) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => stream.is_terminal() && environment.get("NO_COLOR").is_none() && environment.get("TERM") != Some("dumb"),
        }
    }
}
