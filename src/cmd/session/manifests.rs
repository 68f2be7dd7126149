//! `session serve --print-manifests`: what the gateway of a Deployment is started with, and may do.

use serde_json::Value;

use crate::cmd::rbac;
use crate::gateway::manifests::{METRICS_PORT, PORT, TLS};

/// The command line of a gateway that takes its template from a ConfigMap; `flags` are passed on as they are.
pub(super) fn arguments(template: &Value, flags: Vec<String>, has_tls: bool) -> Vec<String> {
    let name = template["metadata"]["name"].as_str().unwrap_or_default();
    let mut arguments = vec![
        "session".to_owned(),
        "serve".to_owned(),
        format!("--listen=0.0.0.0:{PORT}"),
        format!("--metrics-listen=0.0.0.0:{METRICS_PORT}"),
        "--log-format=json".to_owned(),
        format!("--from=configmap/{name}"),
    ];
    arguments.extend(flags);
    if has_tls {
        arguments.extend([format!("--tls-cert-file={TLS}/tls.crt"), format!("--tls-key-file={TLS}/tls.key")]);
    }
    arguments
}

/// The rules of its role.
pub(super) fn rules() -> Vec<Value> {
    rbac::rules(&rbac::of_session(|with| ["serve", "from"].contains(&with)))
}
