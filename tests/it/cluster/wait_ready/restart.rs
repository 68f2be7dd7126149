//! An API server that really is stopped and started again while somebody waits. Not for the cluster that all tests share.

use serde_json::json;

use super::super::harness::{Scenario, running};
use super::survival::{Wait, until};
use super::{manifest, probe, service, started, web};

/// Ends the API server as a crash does, and keeps how it was started.
const STOP: &str = "
for process in /proc/[0-9]*; do
  if tr '\\0' ' ' <$process/cmdline | grep -q '^[^ ]*kubernetes kube-apiserver '; then
    cp $process/cmdline /run/api-server
    kill -9 ${process#/proc/}
  fi
done
test -s /run/api-server";
const START: &str = "xargs -0 sh -c '\"$0\" \"$@\" </dev/null >/var/log/kube-apiserver.log 2>&1 &' </run/api-server";

/// Lets a wait begin, stops the API server, starts it again with watches expired, and lets the wait end.
pub fn outlived(shell: impl Fn(&str)) {
    let scenario = Scenario::new("wr-restart")
        .apply(&manifest(&[web(1, json!({"READY_AFTER": "1h"}), probe()), service("LoadBalancer")]))
        .until("it runs", running("app"));
    let mut wait = Wait::of(started(&scenario, &["wait-ready", "deployment/web", "-o", "ndjson", "-v", "6"]));
    wait.until_said("0 of 1 pod ready");
    // A watch of what does not change knows nothing of this, and a new API server has no memory of what was before its first list: it answers
    // such a watch with 410.
    for number in 0..3 {
        scenario.kubectl(&["create", "configmap", &format!("later-{number}")]);
    }
    let lists = |wait: &Wait| wait.said().matches("/services?limit=").count();
    let before = lists(&wait);
    assert_eq!(before, 1, "{}", wait.said());
    shell(STOP);
    wait.until_said("the API server cannot be reached since ");
    assert!(!wait.is_over(), "{}", wait.said());
    shell(START);
    wait.until_said("the API server answers again after ");
    until("its Services are listed again, because their watch has expired", || {
        lists(&wait) > before
    });
    let scenario = scenario.apply(&manifest(&[web(1, json!({}), probe())]));
    let (exit, verdict) = wait.end();
    assert_eq!((exit, &verdict["state"]), (0, &json!("ready")), "{}", wait.said());
    drop(scenario);
}
