//! Owners and logs.

use super::*;
use crate::model::snapshot::LogKey;
use crate::testing::snapshot;

const CRASHED: &str = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}, status: {containerStatuses: \
    [{name: c, image: i, imageID: '', ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}}]}}";

fn key(previous: bool) -> LogKey {
    LogKey {
        namespace: "shop".into(),
        pod: "a".into(),
        container: "c".into(),
        previous,
    }
}

#[test]
fn where_the_previous_log_is_gone_the_present_one_tells() {
    for gone in [
        "unable to retrieve container logs for containerd://0123",
        "failed to try resolving symlinks in path \"/var/log/pods/x/1.log\": lstat /var/log/pods/x/1.log: no such file or directory",
        "",
    ] {
        let mut snapshot = snapshot(CRASHED);
        snapshot.put_log(key(true), Some(gone.to_owned()));
        snapshot.put_log(key(false), Some("Error: the fault\n".to_owned()));
        let view = View::new(&snapshot, Options::default());
        let pod = &snapshot.objects.pods[0];
        let log = Needs::default().end_log(&view, &containers(pod)[0]).unwrap();
        assert_eq!(log.lines().collect::<Vec<_>>(), ["Error: the fault"], "{gone}");
    }
}

#[test]
fn a_dump_has_the_present_log_alone() {
    let mut snapshot = snapshot(CRASHED);
    snapshot.local = true;
    snapshot.put_log(key(false), Some("Error: the fault\n".to_owned()));
    let view = View::new(&snapshot, Options::default());
    let log = Needs::default().end_log(&view, &containers(&snapshot.objects.pods[0])[0]).unwrap();
    assert_eq!(log.lines().collect::<Vec<_>>(), ["Error: the fault"]);
}

#[test]
fn a_log_that_was_not_read_is_asked_for_once_by_kind() {
    let snapshot = snapshot(CRASHED);
    let view = View::new(&snapshot, Options::default());
    let mut needs = Needs::default();
    assert!(needs.end_log(&view, &containers(&snapshot.objects.pods[0])[0]).is_none());
    assert_eq!(needs.into_set().into_iter().collect::<Vec<_>>(), [Need::Log(key(true))]);
}

#[test]
fn a_deployment_is_known_by_its_pods_where_replica_sets_may_not_be_read() {
    let snapshot = snapshot(
        "{apiVersion: v1, kind: Pod, metadata: {name: api-7c9f8-x, labels: {pod-template-hash: 7c9f8}, ownerReferences: \
         [{apiVersion: apps/v1, kind: ReplicaSet, name: api-7c9f8, uid: u, controller: true}]}, spec: {containers: []}}",
    );
    let view = View::new(&snapshot, Options::default());
    assert_eq!(
        view.workload_of(&snapshot.objects.pods[0]),
        ObjectRef::new(&kind::DEPLOYMENT, "shop", "api")
    );
}
