//! The rights that the verbs of `session` need.

/// What a group of verbs may do with resources.
struct Right {
    /// The word of `rbac session --with` for the verbs; empty for list, status and wait, which every client may use.
    with: &'static str,
    /// API group and resources.
    on: (&'static str, &'static [&'static str]),
    /// The verbs of the API.
    may: &'static [&'static str],
}

const fn right(with: &'static str, group: &'static str, resources: &'static [&'static str], may: &'static [&'static str]) -> Right {
    Right {
        with,
        on: (group, resources),
        may,
    }
}

const LEASES: (&str, &[&str]) = ("coordination.k8s.io", &["leases"]);
const POLICIES: (&str, &[&str]) = ("networking.k8s.io", &["networkpolicies"]);

const RIGHTS: &[Right] = &[
    right("", LEASES.0, LEASES.1, &["get", "list", "watch"]),
    right("", "", &["pods"], &["get", "list", "watch"]),
    // How far a pod has come.
    right("", "", &["events"], &["list"]),
    right("touch", LEASES.0, LEASES.1, &["update"]),
    // Create, pause, resume and delete.
    right("create", LEASES.0, LEASES.1, &["create", "update", "delete"]),
    right("create", "", &["pods"], &["create", "delete"]),
    right("create", "", &["configmaps"], &["get", "create", "update"]),
    right("create", POLICIES.0, POLICIES.1, &["get", "create", "update"]),
    right("create", "", &["services", "persistentvolumeclaims"], &["get", "list", "create"]),
    // A claim that is kept changes its owner.
    right("create", "", &["persistentvolumeclaims"], &["update"]),
    right("from", "", &["pods", "configmaps", "replicationcontrollers"], &["get"]),
    right(
        "from",
        "apps",
        &["deployments", "statefulsets", "daemonsets", "replicasets"],
        &["get"],
    ),
    right("from", "batch", &["jobs", "cronjobs"], &["get"]),
    // It creates the pods that are missing, from their templates.
    right("gc", LEASES.0, LEASES.1, &["create", "update", "delete"]),
    right("gc", "", &["pods"], &["create", "delete"]),
    right("gc", "", &["events"], &["create"]),
    right("gc", "", &["configmaps"], &["get", "list", "update", "delete"]),
    right("gc", POLICIES.0, POLICIES.1, &["get", "list", "update", "delete"]),
    right(
        "gc",
        "",
        &["services", "persistentvolumeclaims"],
        &["get", "list", "create", "delete"],
    ),
    right("gc", "", &["persistentvolumeclaims"], &["update"]),
    // What is attached to a session is activity in it. A websocket is opened with GET; from Kubernetes 1.35 `create` is asked for too.
    right("exec", LEASES.0, LEASES.1, &["update"]),
    // On a terminal `run` attaches to the command that it has created.
    right("exec", "", &["pods/exec", "pods/attach"], &["create", "get"]),
    right("logs", LEASES.0, LEASES.1, &["update"]),
    right("logs", "", &["pods/log"], &["get"]),
    right("forward", LEASES.0, LEASES.1, &["update"]),
    right("forward", "", &["pods/portforward"], &["create", "get"]),
    right("plan", "", &["resourcequotas", "limitranges"], &["list"]),
];

/// API group, resource and verbs that the groups need for which `with` holds.
pub(crate) fn rights(with: impl Fn(&str) -> bool) -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    let wanted = RIGHTS.iter().filter(move |right| right.with.is_empty() || with(right.with));
    wanted.flat_map(|right| right.on.1.iter().map(|resource| (right.on.0, *resource, right.may)))
}
