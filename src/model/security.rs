//! What podlife asks for the containers that it makes itself.

use serde_json::{Value, json};

/// A user without rights of any kind, by custom `nobody`.
pub(crate) const NOBODY: i64 = 65534;

/// The security context of a container that meets the Pod Security Standard `restricted`, whatever its pod says; the user is the one that is named.
pub(crate) fn restricted(user: i64) -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": user != 0,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}
