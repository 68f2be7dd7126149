//! Objects that a user names: whether they exist.

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::model::finding::ObjectRef;
use crate::model::kind::Kind;
use crate::model::snapshot::{Presence, Snapshot};
use crate::model::{kind, near};
use crate::observe::reads;
use crate::text::command;

/// Reads an object unless the snapshot has it; fails if it does not exist or may not be read.
pub(crate) async fn must_exist(connection: &Connection, kind: &Kind, object: &ObjectRef, snapshot: &mut Snapshot) -> Result<(), Failure> {
    let exists = match snapshot.presence(kind, &object.namespace, &object.name) {
        Presence::Present => Some(true),
        Presence::Absent => Some(false),
        Presence::Unknown => reads::add_object(connection, snapshot, kind, object).await?,
    };
    match exists {
        Some(true) => Ok(()),
        Some(false) => Err(not_found(kind, object, snapshot)),
        None if snapshot.is_complete(&kind::POD, &object.namespace) => {
            Err(Failure::new(Exit::CannotTell, format!("reading {object}: forbidden")))
        }
        None => Err(Failure::new(Exit::NoAnswer, format!("reading {object}: forbidden")).hint(command(
            "kubectl auth can-i get {} -n {}",
            &[&kind.qualified_plural(), &object.namespace],
        ))),
    }
}

/// The failure for an object that does not exist; its hint is a similar name in the same namespace.
fn not_found(kind: &Kind, object: &ObjectRef, snapshot: &Snapshot) -> Failure {
    let others = snapshot.objects.references();
    let is_here = |o: &&ObjectRef| o.is(kind) && o.namespace == object.namespace;
    let names = others.iter().map(|(o, _)| o).filter(is_here).map(|o| o.name.as_str());
    let place = if object.namespace.is_empty() {
        String::new()
    } else {
        format!(" in namespace {}", object.namespace)
    };
    let mut failure = Failure::new(Exit::NotFound, format!("{} does not exist{place}", object.short()));
    failure.hint = near::nearest(&object.name, names).map(|near| format!("there is {}/{near}", kind.singular()));
    failure
}

/// The objects that files name, which must be of one namespace.
pub(crate) fn named_objects(documents: &[serde_json::Value], here: &str) -> Result<Vec<ObjectRef>, Failure> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let mut objects = Vec::new();
    for document in documents {
        let (api_version, kind_name) = (text(&document["apiVersion"]), text(&document["kind"]));
        let namespaced = kind::of_object(&api_version, &kind_name).is_none_or(|k| k.namespaced);
        let namespace = Some(text(&document["metadata"]["namespace"]))
            .filter(|n| !n.is_empty())
            .unwrap_or_else(|| here.to_owned());
        objects.push(ObjectRef {
            api_version,
            kind: kind_name,
            namespace: if namespaced { namespace } else { String::new() },
            name: text(&document["metadata"]["name"]),
        });
    }
    if let Some(elsewhere) = objects.iter().find(|o| !o.namespace.is_empty() && o.namespace != here) {
        return Err(Failure::usage(format!("{elsewhere} is in another namespace than {here}"))
            .hint(command("kubectl podlife diagnose -f FILE -n {}", &[&elsewhere.namespace])));
    }
    Ok(objects)
}
