//! The rights that `drill` needs, beside those to watch the namespace.

/// API group, resource and verbs.
pub(crate) const RIGHTS: &[(&str, &str, &[&str])] = &[
    // Whether it is production; and the journal.
    ("", "namespaces", &["get"]),
    ("", "configmaps", &["get", "create", "delete", "patch"]),
    // A websocket is opened with GET; from Kubernetes 1.35 `create` is asked for too.
    ("", "pods/exec", &["create", "get"]),
    ("apps", "deployments", &["get", "patch"]),
    ("apps", "statefulsets", &["get", "patch"]),
    ("apps", "daemonsets", &["get", "patch"]),
    ("apps", "deployments/scale", &["patch"]),
    ("apps", "statefulsets/scale", &["patch"]),
    ("", "services", &["get", "patch"]),
    ("", "pods", &["get", "delete", "patch"]),
    ("", "pods/eviction", &["create"]),
    ("", "pods/resize", &["patch"]),
    // container-crash --ephemeral-image
    ("", "pods/ephemeralcontainers", &["patch"]),
    ("policy", "poddisruptionbudgets", &["list"]),
    // What cuts pods off, its owner, and the canary that proves it.
    ("networking.k8s.io", "networkpolicies", &["list", "get", "create", "delete"]),
    ("batch", "jobs", &["get", "create", "delete"]),
    ("", "pods/log", &["get"]),
];
