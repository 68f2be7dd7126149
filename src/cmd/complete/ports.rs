//! Ports of a Service, for the end of a connection.

use serde_json::Value;

use crate::cluster::{ConnectOptions, Connection, no_log};
use crate::io::Environment;
use crate::model::kind;

/// The numbers of a Service's ports, each with its name.
pub(super) async fn of_service(options: &ConnectOptions, name: &str, environment: &Environment) -> Vec<(String, String)> {
    let read = async {
        let connection = Connection::open(options, environment, no_log()).await.ok()?;
        let namespace = connection.default_namespace().to_owned();
        connection.get(&kind::SERVICE, Some(&namespace), name, false).await.ok()?
    };
    let found = tokio::time::timeout(options.request_timeout.unwrap_or_default(), read).await;
    let service = found.ok().flatten().unwrap_or_default();
    let of_port = |port: &Value| {
        Some((
            port["port"].as_i64()?.to_string(),
            port["name"].as_str().unwrap_or_default().to_owned(),
        ))
    };
    service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(of_port)
        .collect()
}
