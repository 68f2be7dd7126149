//! What has to be known to put everything back: written before the first change, to a file here and to a ConfigMap in the namespace.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::drill::change::Change;
use crate::drill::created::Created;
use crate::drill::fault::Fault;
use crate::drill::inside::Remedy;

/// The one ConfigMap of a namespace that holds an open journal. Whoever creates it has the namespace for himself.
pub(crate) const NAME: &str = "podlife-drill";
/// Its key.
const KEY: &str = "journal";
/// Version of the format.
pub(crate) const VERSION: u32 = 1;

/// What a drill changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Journal {
    pub(crate) version: u32,
    /// Says which drill it is.
    pub(crate) id: String,
    pub(crate) fault: Fault,
    pub(crate) server: String,
    pub(crate) namespace: String,
    /// `deployment/api`
    pub(crate) targets: Vec<String>,
    pub(crate) started_at: Timestamp,
    /// Who runs it: `user@host, process 17`.
    pub(crate) by: String,
    pub(crate) changes: Vec<Change>,
    /// Commands that take back what commands have done.
    #[serde(default)]
    pub(crate) remedies: Vec<Remedy>,
    /// What it creates, whether it exists already or not.
    #[serde(default)]
    pub(crate) created: Vec<Created>,
}

impl Journal {
    /// Reads a journal; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if value["version"] != VERSION {
            return Err(format!("its version is {}, and this podlife supports {VERSION}", value["version"]));
        }
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// One line.
    pub(crate) fn to_line(&self) -> String {
        json!(self).to_string()
    }

    /// The ConfigMap that holds it.
    pub(crate) fn to_config_map(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "labels": {"app.kubernetes.io/managed-by": "podlife"},
                "annotations": {"podlife.dev/drill": self.id, "podlife.dev/restore": format!("kubectl podlife drill restore -n {}", self.namespace)},
            },
            "immutable": true,
            "data": { KEY: self.to_line() },
        })
    }

    /// The journal in a ConfigMap.
    pub(crate) fn of_config_map(object: &Value) -> Result<Self, String> {
        let text = object["data"][KEY].as_str();
        Self::parse(text.ok_or_else(|| format!("it has no key {KEY}"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind;

    #[test]
    fn a_journal_comes_back_from_its_config_map() {
        let object = json!({"metadata": {"name": "api", "uid": "u", "resourceVersion": "1"}, "spec": {"replicas": 3}});
        let journal = Journal {
            version: VERSION,
            id: "d1".to_owned(),
            fault: Fault::ScaleZero,
            server: "https://127.0.0.1:6443".to_owned(),
            namespace: "shop".to_owned(),
            targets: vec!["deployment/api".to_owned()],
            started_at: Timestamp::UNIX_EPOCH,
            by: "a@b".to_owned(),
            changes: vec![Change::of_scale(&kind::DEPLOYMENT, &object, 0)],
            remedies: Vec::new(),
            created: Vec::new(),
        };
        assert_eq!(Journal::of_config_map(&journal.to_config_map()), Ok(journal.clone()));
        let newer = journal.to_line().replace("\"version\":1", "\"version\":2");
        assert!(Journal::parse(&newer).unwrap_err().contains("version is 2"));
        assert!(Journal::of_config_map(&json!({"data": {}})).is_err());
    }
}
