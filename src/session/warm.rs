//! Warm pods: made before there is a session for them, and then given to one.
//!
//! A warm pod has the label of sessions with an empty value, so that the NetworkPolicy of sessions isolates it, and goes with the Lease of the
//! gateways. Given to a session, it is a pod of that session as any other, but for its name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::session::record::{Record, owner_reference};
use crate::session::{GENERATION, ID, MANAGED_BY, SESSION, TEMPLATE};

/// The Lease by which the gateways of a namespace agree who cleans up. Warm pods go with it.
pub(crate) const KEEPER: &str = "podlife-gateway";

/// Gateways that have not renewed their Lease for this long are gone: one takes it over within 15 seconds.
const GONE: SignedDuration = SignedDuration::from_mins(1);

/// The volume by which an application learns its session, where it is mounted, and the file with the id.
pub(crate) const VOLUME: &str = "podlife-session";
/// See [`VOLUME`].
pub(crate) const MOUNT: &str = "/etc/podlife";
/// See [`VOLUME`].
pub(crate) const FILE: &str = "session-id";

/// Labels of a warm pod.
pub(crate) fn labels(template: &str) -> Value {
    json!({MANAGED_BY.0: MANAGED_BY.1, SESSION: "", TEMPLATE: template})
}

/// Whether a pod waits for its session.
pub(crate) fn is_warm(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.get(SESSION).is_some_and(String::is_empty))
}

/// Whether a pod may be given to a session of a template. Once it may not, it never may again.
pub(crate) fn is_free(pod: &Value, template: &str) -> bool {
    let metadata = &pod["metadata"];
    let labels = &metadata["labels"];
    let is_over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    labels[MANAGED_BY.0] == MANAGED_BY.1
        && labels[SESSION] == ""
        && labels[TEMPLATE] == template
        && metadata["deletionTimestamp"].is_null()
        && !is_over
}

/// Makes a warm pod the one of a record.
pub(crate) fn give(pod: &mut Value, record: &Record) {
    let metadata = &mut pod["metadata"];
    metadata["labels"][SESSION] = record.name.as_str().into();
    metadata["labels"][GENERATION] = record.generation.to_string().into();
    metadata["annotations"][ID] = record.id.as_str().into();
    metadata["ownerReferences"] = json!([owner_reference(&record.name, &record.uid)]);
}

/// Whether there are gateways that keep warm pods, by their Lease.
pub(crate) fn is_kept(keeper: Option<&Value>, now: Timestamp) -> bool {
    let renewed = keeper.and_then(|lease| lease["spec"]["renewTime"].as_str()?.parse::<Timestamp>().ok());
    renewed.is_some_and(|renewed| now.duration_since(renewed) < GONE)
}

/// Names of warm pods that are ready, each of which is handed out once. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadyPods(Rc<RefCell<Names>>);

/// In an order that no other process has, so that two seldom want the same pod.
#[derive(Debug, Default)]
struct Names {
    order: RandomState,
    all: BTreeMap<u64, String>,
}

impl ReadyPods {
    pub(crate) fn take(&self) -> Option<String> {
        self.0.borrow_mut().all.pop_first().map(|(_, name)| name)
    }

    pub(crate) fn put(&self, name: &str) {
        let mut names = self.0.borrow_mut();
        let at = names.order.hash_one(name);
        names.all.insert(at, name.to_owned());
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let names = self.0.borrow();
        names.all.contains_key(&names.order.hash_one(name))
    }

    pub(crate) fn retain(&self, keeps: impl Fn(&str) -> bool) {
        self.0.borrow_mut().all.retain(|_, name| keeps(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_live_warm_pod_of_the_same_template_is_free() {
        let pod = json!({"metadata": {"labels": labels("0123")}, "status": {"phase": "Running"}});
        assert!(is_free(&pod, "0123"));
        assert!(!is_free(&pod, "4567"));
        for (pointer, value) in [
            ("/metadata/labels/podlife.dev~1session", json!("user-42")),
            ("/metadata/labels/app.kubernetes.io~1managed-by", json!("somebody")),
            ("/status/phase", json!("Failed")),
        ] {
            let mut other = pod.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(!is_free(&other, "0123"), "{pointer}");
        }
        let mut going = pod;
        going["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z".into();
        assert!(!is_free(&going, "0123"));
    }

    #[test]
    fn warm_pods_are_kept_as_long_as_a_gateway_renews_the_lease() {
        let now: Timestamp = "2026-01-01T12:01:00Z".parse().unwrap();
        let lease = |renewed: &str| json!({"spec": {"holderIdentity": "", "renewTime": renewed}});
        assert!(is_kept(Some(&lease("2026-01-01T12:00:01.000000Z")), now));
        assert!(!is_kept(Some(&lease("2026-01-01T12:00:00.000000Z")), now));
        assert!(!is_kept(Some(&json!({})), now) && !is_kept(None, now));
    }
}
