//! One field of one object that a drill changes, and how it is put back without touching what others have changed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::kind;
use crate::model::kind::Kind;
use crate::text::shorten;

/// Letters of a value that are shown.
const LONGEST_VALUE: usize = 60;

/// One field of one object that a drill changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The object is this one, not another of the same name.
    pub(crate) uid: String,
    /// `scale`, where that is what is written.
    pub(crate) subresource: Option<String>,
    /// Where the field is, key by key; numbers are places in arrays.
    pub(crate) path: Vec<String>,
    /// Its value before; none where there was no such field.
    pub(crate) before: Option<Value>,
    /// The value that the drill gives it.
    pub(crate) ours: Value,
}

/// What putting a change back takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Undo {
    /// This operation of a JSON Patch.
    Write(Value),
    /// Nothing: the value is the one from before.
    AsBefore,
    /// Nothing: somebody else has given it this value.
    ChangedByOthers(Option<Value>),
    /// Nothing: the object is another one.
    Gone,
}

/// RFC 6901.
fn pointer(path: &[String]) -> String {
    path.iter()
        .map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")))
        .collect()
}

/// Whether a value has all that another one has: a pod is given more volumes and annotations than its template says.
fn includes(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Array(value), Value::Array(other)) => other.iter().all(|element| value.contains(element)),
        (Value::Object(value), Value::Object(other)) => other.iter().all(|(key, field)| value.get(key) == Some(field)),
        _ => value == other,
    }
}

impl Change {
    /// Sets a field of an object as it is now. Where the parents of the field do not exist, the first of them that is missing is set.
    pub(crate) fn of(kind: &Kind, object: &Value, path: &[&str], ours: Value) -> Self {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        let exists = |length: usize| object.pointer(&pointer(&path[..length])).is_some_and(|value| !value.is_null());
        let length = (1..path.len()).find(|length| !exists(*length)).unwrap_or(path.len());
        let ours = path[length..].iter().rev().fold(ours, |inner, key| match key.parse::<usize>() {
            Ok(_) => json!([inner]),
            Err(_) => json!({ key: inner }),
        });
        let path = path[..length].to_vec();
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self {
            kind: kind.clone(),
            name: text("name"),
            uid: text("uid"),
            subresource: None,
            before: object.pointer(&pointer(&path)).cloned(),
            path,
            ours,
        }
    }

    /// Sets the number of pods, through the subresource `scale`.
    pub(crate) fn of_scale(kind: &Kind, object: &Value, replicas: u32) -> Self {
        Self {
            subresource: Some("scale".to_owned()),
            ..Self::of(kind, object, &["spec", "replicas"], replicas.into())
        }
    }

    /// `deployment/api: spec.replicas`
    pub(crate) fn what(&self) -> String {
        format!("{}/{}: {}", self.kind.singular(), self.name, self.path.join("."))
    }

    /// `PATCH deployments/api/scale: spec.replicas 2 → 0`
    pub(crate) fn request(&self) -> String {
        let tail = self.subresource.as_ref().map(|of| format!("/{of}")).unwrap_or_default();
        let short = |value: &Value| shorten(&value.to_string(), LONGEST_VALUE);
        let before = self.before.as_ref().map_or_else(|| "nothing".to_owned(), short);
        format!(
            "PATCH {}/{}{tail}: {} {before} → {}",
            self.kind.plural,
            self.name,
            self.path.join("."),
            short(&self.ours)
        )
    }

    /// Where the field is now, and its value: what was added to an array may have moved in it.
    fn place<'a>(&self, object: &'a Value) -> (String, Option<&'a Value>) {
        let path = pointer(&self.path);
        let array = path.rsplit_once('/').map(|(array, _)| array);
        let elements = array.and_then(|array| object.pointer(array)).and_then(Value::as_array);
        match (elements, self.before.is_none()) {
            (Some(elements), true) => {
                let at = elements.iter().position(|element| *element == self.ours);
                let moved = at.map_or_else(|| path.clone(), |at| format!("{}/{at}", array.unwrap_or_default()));
                (moved, at.map(|at| &elements[at]))
            }
            _ => {
                let value = object.pointer(&path);
                (path, value)
            }
        }
    }

    /// Whether both are about one object, so that they are made and undone in one request.
    fn is_beside(&self, other: &Self) -> bool {
        (&self.kind, &self.name, &self.uid, &self.subresource) == (&other.kind, &other.name, &other.uid, &other.subresource)
    }

    /// Whether it is about the template of a StatefulSet.
    pub(crate) fn is_of_a_set(&self) -> bool {
        self.kind == kind::STATEFUL_SET && self.path.starts_with(&["spec".to_owned(), "template".to_owned()])
    }

    /// Whether a pod has the value that the drill gave the template of its controller.
    pub(crate) fn is_in_pod(&self, pod: &Value) -> bool {
        let path = pointer(self.path.get(2..).unwrap_or_default());
        let elements = path.rsplit_once('/').and_then(|(array, _)| pod.pointer(array)?.as_array());
        let is_added = self.before.is_none() && elements.is_some_and(|elements| elements.contains(&self.ours));
        is_added || pod.pointer(&path).is_some_and(|value| includes(value, &self.ours))
    }

    /// The operation that makes the change to the object as it was read; none where the field is not as it was when the drill was planned.
    fn operation(&self, object: &Value) -> Option<Value> {
        if object["metadata"]["uid"] != self.uid.as_str() || self.place(object).1 != self.before.as_ref() {
            return None;
        }
        let op = if self.before.is_some() { "replace" } else { "add" };
        Some(json!({"op": op, "path": pointer(&self.path), "value": self.ours}))
    }

    /// What it takes to put the change back in the object as it is now. Only a field that still has our value is touched.
    pub(crate) fn undo(&self, object: Option<&Value>) -> Undo {
        let Some(object) = object.filter(|object| object["metadata"]["uid"] == self.uid.as_str()) else {
            return Undo::Gone;
        };
        let (path, now) = self.place(object);
        if now == self.before.as_ref() {
            return Undo::AsBefore;
        }
        if now != Some(&self.ours) {
            return Undo::ChangedByOthers(now.cloned());
        }
        Undo::Write(match &self.before {
            Some(before) => json!({"op": "replace", "path": path, "value": before}),
            None => json!({"op": "remove", "path": path}),
        })
    }
}

/// The changes of each object.
pub(crate) fn by_object(changes: &[Change]) -> Vec<&[Change]> {
    changes.chunk_by(Change::is_beside).collect()
}

/// A JSON Patch that fails where the object is not as it was read.
pub(crate) fn patch(object: &Value, operations: Vec<Value>) -> Value {
    let metadata = &object["metadata"];
    let mut patch = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": metadata["uid"]}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}),
    ];
    patch.extend(operations);
    patch.into()
}

/// The patch that makes the changes of one object; the error is what has changed since it was read.
pub(crate) fn make(changes: &[Change], object: Option<&Value>) -> Result<Value, String> {
    let operation = |change: &Change| {
        let operation = object.and_then(|object| change.operation(object));
        operation.ok_or_else(|| format!("{} has changed since it was read", change.what()))
    };
    let operations = changes.iter().map(operation).collect::<Result<_, _>>()?;
    Ok(patch(object.unwrap_or(&Value::Null), operations))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(spec: Value) -> Value {
        json!({"metadata": {"name": "web", "uid": "u", "resourceVersion": "7"}, "spec": spec})
    }

    #[test]
    fn a_field_comes_back_only_where_it_still_has_our_value() {
        let change = Change::of_scale(&kind::DEPLOYMENT, &object(json!({"replicas": 2})), 0);
        assert_eq!(change.request(), "PATCH deployments/web/scale: spec.replicas 2 → 0");
        let made = |spec: Value| make(std::slice::from_ref(&change), Some(&object(spec)));
        let patch = made(json!({"replicas": 2})).unwrap();
        assert_eq!(patch[2], json!({"op": "replace", "path": "/spec/replicas", "value": 0}));
        assert!(
            made(json!({"replicas": 3})).unwrap_err().contains("has changed"),
            "somebody scaled it since"
        );
        let back = change.undo(Some(&object(json!({"replicas": 0}))));
        assert_eq!(back, Undo::Write(json!({"op": "replace", "path": "/spec/replicas", "value": 2})));
        assert_eq!(change.undo(Some(&object(json!({"replicas": 2})))), Undo::AsBefore);
        assert_eq!(
            change.undo(Some(&object(json!({"replicas": 5})))),
            Undo::ChangedByOthers(Some(json!(5)))
        );
        assert_eq!(change.undo(None), Undo::Gone);
        let mut other = object(json!({"replicas": 0}));
        other["metadata"]["uid"] = "v".into();
        assert_eq!(change.undo(Some(&other)), Undo::Gone, "another object of the same name");
    }

    #[test]
    fn what_was_not_there_is_removed_again() {
        let path = ["spec", "template", "spec", "nodeSelector", "podlife.dev/drill"];
        let bare = object(json!({"template": {"spec": {}}}));
        let change = Change::of(&kind::DEPLOYMENT, &bare, &path, "d".into());
        let made = object(json!({"template": {"spec": {"nodeSelector": {"podlife.dev/drill": "d"}}}}));
        assert_eq!((&change.before, &change.ours), (&None, &json!({"podlife.dev/drill": "d"})));
        let back = json!({"op": "remove", "path": "/spec/template/spec/nodeSelector"});
        assert_eq!(change.undo(Some(&made)), Undo::Write(back));
        // Where others have a key beside it, ours alone goes.
        let shared = object(json!({"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}));
        let change = Change::of(&kind::DEPLOYMENT, &shared, &path, "d".into());
        let made = object(json!({"template": {"spec": {"nodeSelector": {"disk": "hdd", "podlife.dev/drill": "d"}}}}));
        let back = json!({"op": "remove", "path": "/spec/template/spec/nodeSelector/podlife.dev~1drill"});
        assert_eq!(change.undo(Some(&made)), Undo::Write(back));
    }

    #[test]
    fn a_pod_of_the_broken_revision_is_known_by_what_the_template_was_given() {
        let template = |image: &str| object(json!({"template": {"spec": {"containers": [{"image": image}]}}}));
        let path = ["spec", "template", "spec", "containers", "0", "image"];
        let change = Change::of(&kind::STATEFUL_SET, &template("app:1"), &path, "none:1".into());
        let pod = |image: &str| json!({"metadata": {"uid": "p"}, "spec": {"containers": [{"image": image}]}});
        assert!(change.is_of_a_set() && change.is_in_pod(&pod("none:1")) && !change.is_in_pod(&pod("app:1")));
        let (ours, other) = (json!({"name": "ours"}), json!({"name": "other"}));
        let of = |spec: Value| object(json!({"template": {"spec": spec}}));
        for (before, at) in [(json!({}), "0"), (json!({"volumes": [other]}), "1")] {
            let path = ["spec", "template", "spec", "volumes", at];
            let change = Change::of(&kind::STATEFUL_SET, &of(before), &path, ours.clone());
            let pod = |volumes: Value| json!({"metadata": {"uid": "p"}, "spec": {"volumes": volumes}});
            assert!(change.is_in_pod(&pod(json!([other, ours, {"name": "token"}]))), "{change:?}");
            assert!(!change.is_in_pod(&pod(json!([other, {"name": "token"}]))), "{change:?}");
        }
        assert!(!Change::of_scale(&kind::STATEFUL_SET, &object(json!({"replicas": 2})), 0).is_of_a_set());
    }

    #[test]
    fn what_was_added_to_an_array_is_found_where_it_is_now() {
        let (ours, other) = (json!({"name": "ours"}), json!({"name": "other"}));
        let missing = object(json!({}));
        let change = Change::of(&kind::DEPLOYMENT, &missing, &["spec", "volumes", "0"], ours.clone());
        assert_eq!(
            (change.what().as_str(), &change.ours),
            ("deployment/web: spec.volumes", &json!([ours]))
        );
        let full = object(json!({"volumes": [other]}));
        let change = Change::of(&kind::DEPLOYMENT, &full, &["spec", "volumes", "1"], ours.clone());
        let patch = make(std::slice::from_ref(&change), Some(&full)).unwrap();
        assert_eq!(patch[2], json!({"op": "add", "path": "/spec/volumes/1", "value": ours}));
        let remove = |at: usize| Undo::Write(json!({"op": "remove", "path": format!("/spec/volumes/{at}")}));
        assert_eq!(change.undo(Some(&object(json!({"volumes": [other, ours]})))), remove(1));
        assert_eq!(change.undo(Some(&object(json!({"volumes": [ours, other]})))), remove(0));
        assert_eq!(change.undo(Some(&object(json!({"volumes": [other, other]})))), Undo::AsBefore);
    }
}
