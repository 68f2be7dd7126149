//! Names of containers for `-c`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{ConnectOptions, Connection, ListQuery, no_log};
use crate::io::Environment;
use crate::model::kind;

/// The containers of the one object that is named, else of the pods of the namespace.
pub(super) async fn names(options: &ConnectOptions, targets: &[&str], environment: &Environment) -> Vec<String> {
    let named = match targets {
        [word] => word.split_once('/'),
        [kind, name] => Some((*kind, *name)),
        _ => None,
    };
    let named = named.and_then(|(kind, name)| Some((kind::named(kind)?, name)));
    let read = async {
        let connection = Connection::open(options, environment, no_log()).await.ok()?;
        let namespace = connection.default_namespace().to_owned();
        let objects = match named {
            Some((kind, name)) => connection
                .get(kind, Some(&namespace), name, false)
                .await
                .ok()?
                .into_iter()
                .collect(),
            None => {
                connection
                    .list(&kind::POD, Some(&namespace), &ListQuery::default())
                    .await
                    .ok()?
                    .items
            }
        };
        Some(objects.iter().flat_map(of_object).collect::<BTreeSet<String>>())
    };
    let found = tokio::time::timeout(options.request_timeout.unwrap_or_default(), read)
        .await
        .ok()
        .flatten()
        .unwrap_or_default();
    found.into_iter().collect()
}

/// The containers of a pod or of what a workload makes pods from.
fn of_object(object: &Value) -> Vec<String> {
    let specs = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"].map(|path| object.pointer(path));
    let lists = specs
        .into_iter()
        .flatten()
        .flat_map(|spec| [&spec["containers"], &spec["initContainers"]]);
    let all = lists.filter_map(Value::as_array).flatten();
    all.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}
