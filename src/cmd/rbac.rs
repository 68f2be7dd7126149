//! `rbac`: the smallest rights that a verb needs.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cmd::flags::ConnectFlags;
use crate::cmd::{Outcome, drill, session, wait_ready};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::changes::WATCHED;
use crate::observe::reads::{CLUSTER_WIDE, FIRST, ON_DEMAND};
use crate::render::document;
use crate::render::document::Format;

/// Print the smallest Role that a verb needs, ready for kubectl apply.
///
/// podlife also works with fewer rights: its report names what it could not read.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = "\
Examples:
  # rights to diagnose namespace shop, for a service account
  kubectl podlife rbac diagnose -n shop --bind serviceaccount:ci:deployer \\
    | kubectl apply -f -
  # also read nodes, volumes and storage classes
  kubectl podlife rbac diagnose --with nodes
  # rights to wait, and to check the application through the API server
  kubectl podlife rbac wait-ready -n shop
  # also check from inside the cluster, and ports that do not speak HTTP
  kubectl podlife rbac wait-ready -n shop --with in-cluster,dial
  # rights to create sessions and to run commands in them
  kubectl podlife rbac session -n shop --with create,exec")]
pub struct RbacArgs {
    /// Verb to print the rights for
    verb: Verb,
    /// Additional rights: nodes (with volumes and storage classes), secrets (podlife reads metadata only, but RBAC cannot grant less than the data), watch, dial (ports of pods), exec, debug, in-cluster (the Job of wait-ready --probe-image). The verbs of session, besides list, status and wait: touch, create (also pause, resume and delete), from (the workloads of create --from), run, serve, token-review (serve --auth token-review), gc, exec, logs, forward, plan
    #[arg(long, value_name = "RIGHT", value_delimiter = ',')]
    with: Vec<With>,
    /// Rights in all namespaces: a ClusterRole instead of a Role
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Also print a binding for user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME
    #[arg(long, value_name = "SUBJECT", value_parser = subject)]
    bind: Option<Subject>,
    /// Output format: yaml or json
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verb {
    Diagnose,
    WaitReady,
    Trace,
    Session,
    Drill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum With {
    Nodes,
    Secrets,
    Watch,
    Dial,
    Exec,
    Debug,
    InCluster,
    Touch,
    Create,
    From,
    Run,
    Serve,
    TokenReview,
    Gc,
    Logs,
    Forward,
    Plan,
}

impl With {
    /// The word on the command line.
    fn is(self, word: &str) -> bool {
        self.to_possible_value().is_some_and(|value| value.matches(word, false))
    }
}

/// Who gets the rights.
#[derive(Clone, Debug)]
struct Subject(Value);

fn subject(text: &str) -> Result<Subject, String> {
    let parts: Vec<&str> = text.splitn(3, ':').collect();
    let api = "rbac.authorization.k8s.io";
    match parts.as_slice() {
        ["user", name @ ..] if !name.is_empty() && !name[0].is_empty() => {
            Ok(Subject(json!({"kind": "User", "name": name.join(":"), "apiGroup": api})))
        }
        ["group", name @ ..] if !name.is_empty() && !name[0].is_empty() => {
            Ok(Subject(json!({"kind": "Group", "name": name.join(":"), "apiGroup": api})))
        }
        ["serviceaccount", namespace, name] if !namespace.is_empty() && !name.is_empty() => {
            Ok(Subject(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})))
        }
        _ => Err("expected user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME".to_owned()),
    }
}

/// Resource (with its group) and the verbs on it.
pub(super) type Rights = BTreeMap<(String, String), BTreeSet<&'static str>>;

fn grant(rights: &mut Rights, kind: &Kind, verb: &'static str) {
    rights
        .entry((kind.group.to_string(), kind.plural.to_string()))
        .or_default()
        .insert(verb);
}

/// What `diagnose` and `trace` read within a namespace.
fn namespaced(with: &[With]) -> Rights {
    let mut rights = Rights::new();
    for kind in FIRST.iter().chain(ON_DEMAND) {
        if kind != &kind::SECRET || with.contains(&With::Secrets) {
            grant(&mut rights, kind, "list");
        }
    }
    // The content of a ConfigMap that a pod refers to, and whether the namespace exists.
    grant(&mut rights, &kind::CONFIG_MAP, "get");
    grant(&mut rights, &kind::NAMESPACE, "get");
    rights.entry((String::new(), "pods/log".to_owned())).or_default().insert("get");
    let mut reach = |subresource: &str, verbs: &[&'static str]| {
        rights
            .entry((String::new(), format!("pods/{subresource}")))
            .or_default()
            .extend(verbs);
    };
    if with.contains(&With::Dial) {
        reach("proxy", &["get"]);
        // A websocket is opened with GET; from Kubernetes 1.35 `create` is asked for too.
        reach("portforward", &["create", "get"]);
    }
    if with.contains(&With::Exec) {
        reach("exec", &["create", "get"]);
    }
    if with.contains(&With::Debug) {
        reach("ephemeralcontainers", &["patch"]);
        // To see how the ephemeral container ends.
        grant(&mut rights, &kind::POD, "get");
    }
    if with.contains(&With::Watch) {
        for kind in WATCHED {
            grant(&mut rights, kind, "watch");
        }
    }
    rights
}

/// What the groups of verbs of `session` need for which `with` holds.
pub(super) fn of_session(with: impl Fn(&str) -> bool) -> Rights {
    let mut rights = Rights::new();
    for (group, resource, verbs) in session::rights::rights(with) {
        rights.entry((group.to_owned(), resource.to_owned())).or_default().extend(verbs);
    }
    rights
}

/// What a verb needs within a namespace.
fn of_verb(verb: Verb, with: &[With]) -> Rights {
    if verb == Verb::Session {
        return of_session(|word| with.iter().any(|with| with.is(word)));
    }
    if verb == Verb::Drill {
        let mut rights = Rights::new();
        for kind in wait_ready::WATCHED {
            grant(&mut rights, kind, "list");
            grant(&mut rights, kind, "watch");
        }
        for (group, resource, verbs) in drill::rights::RIGHTS {
            let entry = rights.entry(((*group).to_owned(), (*resource).to_owned()));
            entry.or_default().extend(*verbs);
        }
        return rights;
    }
    let mut rights = namespaced(with);
    if verb == Verb::WaitReady {
        // Its causes are those of diagnose; what it waits for is watched, and read again in the end.
        for kind in wait_ready::WATCHED.iter().chain(wait_ready::WATCHED_WHERE_NAMED) {
            for verb in ["get", "list", "watch"] {
                grant(&mut rights, kind, verb);
            }
        }
        for of in ["services/proxy", "pods/proxy"] {
            rights.entry((String::new(), of.to_owned())).or_default().insert("get");
        }
        for (verb, group, resource, subresource) in wait_ready::PROBER_RIGHTS.iter().filter(|_| with.contains(&With::InCluster)) {
            let resource = match *subresource {
                "" => (*resource).to_owned(),
                sub => format!("{resource}/{sub}"),
            };
            rights.entry(((*group).to_owned(), resource)).or_default().insert(verb);
        }
    }
    rights
}

/// What it reads of the cluster as a whole.
fn cluster_wide(verb: Verb, with: &[With]) -> Rights {
    let mut rights = Rights::new();
    if with.contains(&With::TokenReview) && verb == Verb::Session {
        grant(&mut rights, &kind::TOKEN_REVIEW, "create");
    }
    if with.contains(&With::Nodes) && verb == Verb::Session {
        // What `session plan` counts.
        for kind in [kind::NODE, kind::POD, kind::STORAGE_CLASS, kind::CSI_NODE, kind::VOLUME_ATTACHMENT] {
            grant(&mut rights, &kind, "list");
        }
    } else if with.contains(&With::Nodes) {
        for kind in CLUSTER_WIDE {
            grant(&mut rights, kind, "list");
        }
        if verb == Verb::WaitReady {
            // Those that run the pods, and the classes of the claims, one by one.
            grant(&mut rights, &kind::NODE, "get");
            grant(&mut rights, &kind::STORAGE_CLASS, "get");
        }
    }
    rights
}

/// Rules of a role: resources of one group with the same verbs share a rule.
pub(super) fn rules(rights: &Rights) -> Vec<Value> {
    let mut together: BTreeMap<(&str, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for ((group, resource), verbs) in rights {
        together.entry((group, verbs.iter().copied().collect())).or_default().push(resource);
    }
    together
        .into_iter()
        .map(|((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs}))
        .collect()
}

fn role(kind: &str, name: &str, namespace: Option<&str>, rights: &Rights) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules(rights)})
}

/// A binding has the name of its subject too: applied for another one, it takes nothing from the first.
fn binding(role: &Value, subject: &Subject) -> Value {
    let kind = if role["kind"] == "Role" {
        "RoleBinding"
    } else {
        "ClusterRoleBinding"
    };
    let mut metadata = role["metadata"].clone();
    let words = [&role["metadata"]["name"], &subject.0["namespace"], &subject.0["name"]]
        .into_iter()
        .filter_map(Value::as_str);
    metadata["name"] = words.collect::<Vec<_>>().join(":").replace(['/', '%'], "-").into();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [subject.0],
    })
}

fn roles(args: &RbacArgs, namespace: Option<&str>) -> Vec<Value> {
    // Roles with other rights have other names: one that is applied replaces no other.
    let with: BTreeSet<With> = args.with.iter().copied().collect();
    let words = with
        .iter()
        .filter_map(|with| Some(format!("-{}", with.to_possible_value()?.get_name())));
    let verb = args
        .verb
        .to_possible_value()
        .map_or_else(String::new, |verb| verb.get_name().to_owned());
    let name = &format!("podlife-{verb}{}", words.collect::<String>());
    let mut roles = Vec::new();
    if args.all_namespaces {
        let mut rights = of_verb(args.verb, &args.with);
        for (resource, verbs) in cluster_wide(args.verb, &args.with) {
            rights.entry(resource).or_default().extend(verbs);
        }
        roles.push(role("ClusterRole", name, None, &rights));
    } else {
        roles.push(role("Role", name, namespace, &of_verb(args.verb, &args.with)));
        let wide = cluster_wide(args.verb, &args.with);
        if !wide.is_empty() {
            roles.push(role("ClusterRole", &format!("{name}-cluster"), None, &wide));
        }
    }
    if let Some(subject) = &args.bind {
        let bindings: Vec<Value> = roles.iter().map(|role| binding(role, subject)).collect();
        roles.extend(bindings);
    }
    roles
}

/// Runs the verb; it asks no server.
pub fn run(args: &RbacArgs, connect: &ConnectFlags, io: &Io) -> Outcome {
    if args.all_namespaces && connect.namespace.is_some() {
        return Err(Failure::usage("-A and -n cannot be used together"));
    }
    let roles = roles(args, connect.namespace.as_deref());
    let text = document::manifests(&roles, &args.output).map_err(|e| Failure::new(Exit::Fault, e))?;
    let text = text.ok_or_else(|| Failure::usage("the output format must be yaml or json"))?;
    io.stdout.write(&text);
    Ok(Exit::Good)
}
