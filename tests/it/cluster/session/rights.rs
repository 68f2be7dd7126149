//! `rbac session` grants what the verbs need, group by group, and no other group.

use podlife::model::kind;

use crate::cluster::harness::{Scenario, kubectl};
use crate::cluster::rights::as_reader;
use crate::process::Answer;

const IMAGE: [&str; 4] = ["--image", "podlife.test/app:1", "--port", "8080"];

/// The rights of the service account `reader` become those of `rbac session --with WITH`.
fn grant(scenario: Scenario, with: &str) -> Scenario {
    let account = format!("serviceaccount:{}:reader", scenario.namespace);
    let mut arguments = vec!["rbac", "session", "--bind", &account];
    if !with.is_empty() {
        arguments.extend(["--with", with]);
    }
    let role = scenario.podlife(&arguments);
    assert_eq!(role.exit, 0, "{}", role.stderr);
    scenario.apply(&role.stdout)
}

fn session(scenario: &Scenario, arguments: &[&str]) -> Answer {
    as_reader(scenario, &[&["session"], arguments].concat())
}

/// What the service account may do.
#[track_caller]
fn may(scenario: &Scenario, arguments: &[&str]) -> String {
    let answer = session(scenario, arguments);
    assert_eq!(answer.exit, 0, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
    answer.stdout
}

/// What it may not do, for want of a right.
#[track_caller]
fn may_not(scenario: &Scenario, arguments: &[&str]) {
    let answer = session(scenario, arguments);
    let said = format!("{arguments:?}: {}{}", answer.stdout, answer.stderr);
    assert!(answer.exit != 0 && said.contains("forbidden"), "{}: {said}", answer.exit);
}

#[test]
fn each_group_of_verbs_works_with_its_role_and_no_other_one_does() {
    let scenario = Scenario::new("session-rights").apply(
        "
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: 'podlife.test/app:1'}]}}}}
",
    );
    let create = |id: &'static str| [&["create", id], IMAGE.as_slice()].concat();
    let live = scenario.podlife(&[&["session"], create("live").as_slice()].concat());
    assert_eq!(live.exit, 0, "{}{}", live.stdout, live.stderr);

    let scenario = grant(scenario, "");
    assert!(may(&scenario, &["list"]).contains("Ready"));
    may(&scenario, &["status", "live"]);
    may(&scenario, &["wait", "live", "--for=ready"]);
    may_not(&scenario, &["touch", "live"]);

    let scenario = grant(scenario, "touch");
    may(&scenario, &["touch", "live"]);
    may_not(&scenario, &create("other"));
    may_not(&scenario, &["delete", "live"]);

    let scenario = grant(scenario, "create");
    may(
        &scenario,
        &[create("other").as_slice(), &["--volume", "1Gi:/data", "--service"]].concat(),
    );
    may(&scenario, &["pause", "other"]);
    may(&scenario, &["resume", "other"]);
    may(&scenario, &["delete", "other", "--keep-volume"]);
    may(
        &scenario,
        &[create("other").as_slice(), &["--volume", "1Gi:/data", "--service"]].concat(),
    );
    may(&scenario, &["delete", "other"]);
    may_not(&scenario, &["create", "copy", "--from", "deployment/web"]);
    may_not(&scenario, &["exec", "live", "--", "/app", "read", "/etc/hostname"]);

    let scenario = grant(scenario, "create,from");
    may(&scenario, &["create", "copy", "--from", "deployment/web", "--idle-timeout", "1s"]);

    let scenario = grant(scenario, "gc");
    scenario.kubectl(&["delete", "pod", "-l", "podlife.dev/session", "--wait=true", "--grace-period=1"]);
    scenario.wait("the idle session is removed, and the other one has a pod again", |s| {
        may(s, &["gc", "--once", "--orphans"]);
        let pods = s.list(&kind::POD);
        s.list(&kind::LEASE).len() == 2 && pods.iter().any(|pod| pod["metadata"]["annotations"]["podlife.dev/id"] == "live")
    });
    scenario.wait("the template of the removed one is removed too", |s| {
        may(s, &["gc", "--once", "--orphans"]);
        let templates = s.kubectl(&["get", "configmaps", "-l", "podlife.dev/template", "-o", "name"]);
        templates.lines().count() == 1
    });
    assert!(scenario.kubectl(&["get", "events"]).contains("idle"), "the removal has an Event");

    let scenario = grant(scenario, "exec");
    may(&scenario, &["wait", "live"]);
    let id = may(&scenario, &["exec", "live", "--", "/app", "read", "/etc/hostname"]);
    assert!(id.starts_with("live-"), "{id}");
    may_not(&scenario, &["logs", "live"]);

    let scenario = grant(scenario, "logs");
    assert!(may(&scenario, &["logs", "live"]).contains("listening"));

    let scenario = grant(scenario, "plan");
    let plan = session(&scenario, &[&["plan", "--max", "1", "-o", "json"], IMAGE.as_slice()].concat());
    assert_eq!(plan.exit, 4, "{}{}", plan.stdout, plan.stderr);
    assert_eq!(plan.json["unchecked"].as_array().unwrap().len(), 2, "{}", plan.stdout);
    let scenario = grant(scenario, "plan,nodes");
    let plan = session(&scenario, &[&["plan", "--max", "1", "-o", "json"], IMAGE.as_slice()].concat());
    for kind in ["clusterrole", "clusterrolebinding"] {
        kubectl(&["delete", kind, "podlife-session-cluster"], None);
    }
    assert_eq!(plan.exit, 0, "{}{}", plan.stdout, plan.stderr);
}
