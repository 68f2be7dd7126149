//! The rights that the verbs of `session` need.

/// What a group of verbs may do with resources.
struct Right {
    /// The words of `rbac session --with` for the verbs; none for list, status and wait, which every client may use.
    with: &'static [&'static str],
    /// API group and resources.
    on: (&'static str, &'static [&'static str]),
    /// The verbs of the API.
    may: &'static [&'static str],
}

const fn right(
    with: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
    may: &'static [&'static str],
) -> Right {
    Right {
        with,
        on: (group, resources),
        may,
    }
}

const LEASES: (&str, &[&str]) = ("coordination.k8s.io", &["leases"]);
const POLICIES: (&str, &[&str]) = ("networking.k8s.io", &["networkpolicies"]);
/// Who creates pods. `gc` creates those that are missing, from their templates.
const CREATORS: &[&str] = &["create", "run", "serve", "gc"];

const RIGHTS: &[Right] = &[
    right(&[], LEASES.0, LEASES.1, &["get", "list", "watch"]),
    right(&[], "", &["pods"], &["list", "watch"]),
    // How far a pod has come.
    right(&[], "", &["events"], &["list"]),
    // What is attached to a session is activity in it.
    right(&["touch", "exec", "logs", "forward"], LEASES.0, LEASES.1, &["update"]),
    right(CREATORS, LEASES.0, LEASES.1, &["create", "update", "delete"]),
    right(CREATORS, "", &["pods"], &["get", "create", "delete"]),
    right(CREATORS, "", &["services", "persistentvolumeclaims"], &["get", "list", "create"]),
    // A pod that waits for a session gets one.
    right(&["serve"], "", &["pods"], &["update"]),
    // A claim that is kept changes its owner.
    right(CREATORS, "", &["persistentvolumeclaims"], &["update"]),
    right(&["create", "run", "serve"], "", &["configmaps"], &["get", "create", "update"]),
    right(CREATORS, POLICIES.0, POLICIES.1, &["get", "create", "update"]),
    right(&["from"], "", &["pods", "configmaps", "replicationcontrollers"], &["get"]),
    right(
        &["from"],
        "apps",
        &["deployments", "statefulsets", "daemonsets", "replicasets"],
        &["get"],
    ),
    right(&["from"], "batch", &["jobs", "cronjobs"], &["get"]),
    right(&["serve", "gc"], "", &["events"], &["create"]),
    right(&["gc"], "", &["configmaps"], &["get", "list", "update", "delete"]),
    right(&["gc"], POLICIES.0, POLICIES.1, &["list", "update", "delete"]),
    right(&["gc"], "", &["services", "persistentvolumeclaims"], &["delete"]),
    // Whether the pod is still there when a stream ends.
    right(&["exec", "logs"], "", &["pods"], &["get"]),
    // A websocket is opened with GET; from Kubernetes 1.35 `create` is asked for too.
    right(&["exec", "run"], "", &["pods/exec"], &["create", "get"]),
    right(&["run"], "", &["pods/attach"], &["create", "get"]),
    right(&["logs", "run"], "", &["pods/log"], &["get"]),
    right(&["forward"], "", &["pods/portforward"], &["create", "get"]),
    right(&["plan"], "", &["resourcequotas", "limitranges"], &["list"]),
];

/// API group, resource and verbs that the groups need for which `with` holds.
pub(crate) fn rights(with: impl Fn(&str) -> bool) -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    let wanted = RIGHTS
        .iter()
        .filter(move |right| right.with.is_empty() || right.with.iter().any(|word| with(word)));
    wanted.flat_map(|right| right.on.1.iter().map(|resource| (right.on.0, *resource, right.may)))
}
