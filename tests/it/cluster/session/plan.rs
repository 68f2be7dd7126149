//! `session plan` counts what the API server and the scheduler count.

use podlife::model::kind;

use crate::cluster::harness::{Scenario, kubectl};
use crate::cluster::rights::as_reader;
use crate::process::Answer;

const IMAGE: [&str; 4] = ["--image", "podlife.test/app:1", "--cpu", "1m:100m"];

fn plan(scenario: &Scenario, more: &[&str]) -> Answer {
    scenario.podlife(&[&["session", "plan", "-o", "json"], IMAGE.as_slice(), more].concat())
}

/// What a limit lets exist.
fn limit(answer: &Answer, name: &str) -> Option<u64> {
    let limits = answer.json["limits"].as_array()?;
    limits.iter().find(|limit| limit["limit"] == name)?["sessions"].as_u64()
}

#[test]
fn a_quota_holds_as_many_sessions_as_the_plan_says() {
    let scenario = Scenario::new("session-plan-quota").apply(
        "
apiVersion: v1
kind: ResourceQuota
metadata: {name: compute}
spec: {hard: {limits.cpu: 350m, pods: '5'}}
",
    );
    scenario.wait("the quota is counted", |s| {
        s.list(&kind::RESOURCE_QUOTA)[0]["status"]["used"]["pods"] == "0"
    });
    let before = plan(&scenario, &["--max", "4"]);
    assert_eq!((before.exit, &before.json["fits"]), (3, &3.into()), "{}", before.stdout);
    assert_eq!(limit(&before, "quota compute: limits.cpu"), Some(3));
    assert_eq!(limit(&before, "quota compute: pods"), Some(5));
    assert_eq!(plan(&scenario, &["--max", "3"]).exit, 0, "{}", before.stdout);
    let text = scenario
        .podlife(&[&["session", "plan", "--max", "4"], IMAGE.as_slice()].concat())
        .stdout;
    assert!(
        text.starts_with("DOES NOT FIT  3 of 4 sessions fit; first limit: quota compute: limits.cpu"),
        "{text}"
    );
    let create = |id: &str| scenario.podlife(&[&["session", "create", id, "--no-wait"], IMAGE.as_slice()].concat());
    for id in ["one", "two", "three"] {
        let created = create(id);
        assert_eq!(created.exit, 0, "{id}: {}{}", created.stdout, created.stderr);
    }
    let refused = create("four");
    assert_eq!(refused.exit, 3, "{}{}", refused.stdout, refused.stderr);
    // What exists counts as part of the number: the answer stays the same.
    scenario.wait("the three are counted", |s| {
        s.list(&kind::RESOURCE_QUOTA)[0]["status"]["used"]["pods"] == "3"
    });
    let after = plan(&scenario, &["--max", "3"]);
    assert_eq!(
        (after.exit, &after.json["fits"], &after.json["sessions"]),
        (0, &3.into(), &3.into()),
        "{}",
        after.stdout
    );
}

#[test]
fn the_nodes_room_is_what_the_scheduler_sees() {
    let scenario = Scenario::new("session-plan-node");
    let cpu = |field: &str| {
        let path = format!("jsonpath={{.items[0].status.{field}.cpu}}");
        kubectl(&["get", "nodes", "-o", &path], None).trim().parse::<u64>().unwrap()
    };
    let whole = cpu("allocatable").to_string();
    // As much as the node has in all, while pods of the cluster itself take a part of it.
    let too_much = ["--image", "podlife.test/app:1", "--cpu", &whole, "--max", "1"];
    let answer = scenario.podlife(&[&["session", "plan"], too_much.as_slice()].concat());
    assert_eq!(answer.exit, 3, "{}", answer.stdout);
    let first_limit = answer.stdout.lines().next().unwrap();
    assert!(
        first_limit.starts_with("DOES NOT FIT  0 of 1 sessions fit; first limit: nodes"),
        "{}",
        answer.stdout
    );
    let fits = plan(&scenario, &["--max", "1"]);
    assert_eq!(fits.exit, 0, "{}", fits.stdout);
    assert_eq!(fits.json["images"][0]["nodes"], 1, "{}", fits.stdout);
    assert!(
        limit(&fits, "nodes").is_some_and(|room| (1..250).contains(&room)),
        "{}",
        fits.stdout
    );
    assert!(
        limit(&fits, "pod addresses").is_some_and(|room| (1..254).contains(&room)),
        "{}",
        fits.stdout
    );
    let no_class = plan(&scenario, &["--max", "1", "--volume", "1Gi:/data", "--storage-class", "nothing"]);
    assert_eq!((no_class.exit, limit(&no_class, "volumes")), (3, Some(0)), "{}", no_class.stdout);
    let class = plan(&scenario, &["--max", "1", "--volume", "1Gi:/data"]);
    assert_eq!(class.exit, 0, "{}", class.stdout);
}

#[test]
fn without_the_right_to_read_nodes_a_plan_says_so_and_does_not_promise() {
    let scenario = Scenario::new("session-plan-rights").apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}");
    let account = format!("{}:reader", scenario.namespace);
    scenario.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--clusterrole=edit",
        &format!("--serviceaccount={account}"),
    ]);
    let arguments = [&["session", "plan", "--max", "2", "-o", "json"], IMAGE.as_slice()].concat();
    let answer = as_reader(&scenario, &arguments);
    assert_eq!(answer.exit, 4, "{}{}", answer.stdout, answer.stderr);
    let unchecked: Vec<&str> = answer.json["unchecked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| u["what"].as_str().unwrap())
        .collect();
    assert_eq!(unchecked, ["pods of all namespaces", "nodes"], "{}", answer.stdout);
    // A quota that is too small is certain without them.
    let scenario = scenario.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: few}, spec: {hard: {pods: '1'}}}");
    let answer = as_reader(&scenario, &arguments);
    assert_eq!((answer.exit, limit(&answer, "quota few: pods")), (3, Some(1)), "{}", answer.stdout);
}
