//! Each exit code: the code, the last line and the document.

use std::io::{BufRead as _, BufReader, Read as _};

use serde_json::json;

use super::super::harness::{Answer, Scenario, podlife, send};
use super::{manifest, probe, service, started, web};

fn last_line(answer: &Answer) -> &str {
    answer.stdout.lines().next_back().unwrap_or_default()
}

/// The same wait as text and as JSON.
fn wait(scenario: &Scenario, arguments: &[&str]) -> (Answer, Answer) {
    let with = |more: &[&str]| {
        let mut all = vec!["wait-ready"];
        all.extend(arguments);
        all.extend(more);
        scenario.podlife(&all)
    };
    (with(&[]), with(&["-o", "json"]))
}

/// Asserts that a document says the same as the exit code.
fn assert_document(answer: &Answer, exit: u8, state: &str) {
    let document = &answer.json;
    assert_eq!(
        (answer.exit, &document["kind"], &document["exitCode"], &document["state"]),
        (exit, &json!("Readiness"), &json!(exit), &json!(state)),
        "{}{}",
        answer.stdout,
        answer.stderr
    );
}

/// Asserts that there is no result: nothing on stdout, and on stderr an error document that says why.
fn assert_no_result(answer: &Answer, exit: u8, why: &str) {
    assert_eq!((answer.exit, answer.stdout.as_str()), (exit, ""), "{}", answer.stderr);
    let error: serde_json::Value = serde_json::from_str(&answer.stderr).unwrap();
    assert_eq!(
        (&error["kind"], &error["exitCode"]),
        (&json!("Error"), &json!(exit)),
        "{}",
        answer.stderr
    );
    assert!(answer.stderr.contains(why), "{}", answer.stderr);
}

#[test]
fn ready_is_0() {
    let scenario = Scenario::new("wr-ready").apply(&manifest(&[web(2, json!({}), probe()), service("LoadBalancer")]));
    let (text, document) = wait(&scenario, &["deployment/web"]);
    assert_eq!(text.exit, 0, "{}{}", text.stdout, text.stderr);
    assert!(
        last_line(&text).starts_with(&format!("READY  deployment/web -n {} after ", scenario.namespace)),
        "{}",
        text.stdout
    );
    assert!(last_line(&text).ends_with(", by load-balancer"), "{}", text.stdout);
    assert_document(&document, 0, "ready");
    assert_eq!(document.json["provenBy"], "load-balancer", "{}", document.stdout);
    let objects: Vec<String> = document.json["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| {
            format!(
                "{} {}/{}",
                o["phase"].as_str().unwrap(),
                o["kind"].as_str().unwrap(),
                o["name"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(objects, ["pods Deployment/web", "infrastructure Service/web", "pods Service/web"]);
}

#[test]
fn a_missing_object_is_waited_for() {
    let scenario = Scenario::new("wr-later");
    let mut child = started(&scenario, &["wait-ready", "deployment/web", "-o", "ndjson"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("\"state\":\"notFound\""), "{first}");
    let scenario = scenario.apply(&manifest(&[web(1, json!({}), probe())]));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:#?}");
    let verdict: serde_json::Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!((&verdict["kind"], &verdict["state"]), (&json!("Readiness"), &json!("ready")));
    drop(scenario);
}

#[test]
fn a_permanent_failure_is_exit_code_3_with_the_first_root_cause() {
    let broken = web(1, json!({}), json!({"envFrom": [{"secretRef": {"name": "token"}}]}));
    let scenario = Scenario::new("wr-failed").apply(&manifest(&[broken]));
    let (text, document) = wait(&scenario, &["deployment/web", "--grace", "permanent=2s"]);
    assert_eq!(text.exit, 3, "{}{}", text.stdout, text.stderr);
    let line = last_line(&text);
    assert!(
        line.starts_with("FAILED  deployment/") && line.contains(": SecretMissing: "),
        "{line}"
    );
    assert_document(&document, 3, "failed");
    assert_eq!(document.json["rootCauses"][0]["code"], "SecretMissing", "{}", document.stdout);
}

#[test]
fn nothing_that_could_tell_is_4() {
    let crd = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: quiets.podlife.test}, spec: {group: podlife.test, scope: Namespaced, \
        names: {plural: quiets, singular: quiet, kind: Quiet}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}";
    let scenario = Scenario::new("wr-unknown").apply(crd);
    let defined = scenario.podlife(&["wait-ready", "crd/quiets.podlife.test"]);
    assert_eq!(defined.exit, 0, "{}{}", defined.stdout, defined.stderr);
    let scenario = scenario.apply("{apiVersion: podlife.test/v1, kind: Quiet, metadata: {name: q}}");
    let (text, document) = wait(&scenario, &["quiet/q", "--once"]);
    assert_eq!(text.exit, 4, "{}{}", text.stdout, text.stderr);
    assert!(
        last_line(&text).starts_with("UNKNOWN  quiet/q -n ")
            && last_line(&text).contains("it has no condition that says whether it is ready"),
        "{}",
        text.stdout
    );
    assert_document(&document, 4, "unknown");
    super::super::harness::kubectl(&["delete", "crd", "quiets.podlife.test", "--wait=false"], None);
}

#[test]
fn a_missing_object_is_exit_code_5_with_once() {
    let scenario = Scenario::new("wr-absent");
    for once in [&["--once"][..], &["--timeout", "0"]] {
        let mut all = vec!["deployment/web"];
        all.extend(once);
        let (text, document) = wait(&scenario, &all);
        assert_eq!(text.exit, 5, "{}{}", text.stdout, text.stderr);
        let line = last_line(&text);
        assert!(
            line.starts_with("NOT FOUND  deployment/web -n ") && line.ends_with(": does not exist"),
            "{}",
            text.stdout
        );
        assert_document(&document, 5, "notFound");
    }
    let kind = scenario.podlife(&["wait-ready", "nonsense/web"]);
    assert_eq!((kind.exit, kind.stdout.as_str()), (5, ""));
    let kind = scenario.podlife(&["wait-ready", "nonsense/web", "-o", "json"]);
    assert_no_result(&kind, 5, "the server has no resource type");
    let namespace = podlife(&["wait-ready", "deployment/web", "-n", "podlife-there-is-none", "-o", "json"]);
    assert_no_result(&namespace, 5, "namespace podlife-there-is-none does not exist");
}

#[test]
fn no_answer_is_6_and_nonsense_is_2() {
    let gone = crate::process::podlife(&["wait-ready", "deployment/web", "-s", "http://127.0.0.1:1", "-n", "x"]);
    assert_eq!((gone.exit, gone.stdout.as_str()), (6, ""), "{}", gone.stderr);
    assert!(
        gone.stderr.lines().next_back().unwrap_or_default().contains("kubectl config view"),
        "{}",
        gone.stderr
    );
    let nothing = podlife(&["wait-ready"]);
    assert_eq!((nothing.exit, nothing.stdout.as_str()), (2, ""), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("error: no target to wait for"), "{}", nothing.stderr);
    assert!(
        nothing.stderr.lines().next_back().unwrap_or_default().contains("TYPE/NAME"),
        "{}",
        nothing.stderr
    );
    let gone = crate::process::podlife(&["wait-ready", "deployment/web", "-s", "http://127.0.0.1:1", "-n", "x", "-o", "json"]);
    assert_no_result(&podlife(&["wait-ready", "-o", "json"]), 2, "no target to wait for");
    assert_no_result(&gone, 6, "127.0.0.1:1");
}

#[test]
fn a_time_that_is_up_is_124_and_says_whether_something_moved() {
    let never = web(1, json!({"READY_AFTER": "1h"}), probe());
    let scenario = Scenario::new("wr-timeout")
        .apply(&manifest(&[never]))
        .until("it runs", super::super::harness::running("app"));
    let (text, document) = wait(&scenario, &["deployment/web", "--timeout", "8s"]);
    assert_eq!(text.exit, 124, "{}{}", text.stdout, text.stderr);
    let line = last_line(&text);
    assert!(
        line.starts_with("TIMED OUT  deployment/") && line.contains("0 of 1 pod ready"),
        "{line}"
    );
    assert_document(&document, 124, "progressing");
    assert_eq!(document.json["trend"], "stuck", "{}", document.stdout);
    let phase = scenario.podlife(&["wait-ready", "deployment/web", "--pods-timeout", "1s"]);
    assert!(
        phase.exit == 124 && last_line(&phase).contains("phase pods has timed out"),
        "{}",
        phase.stdout
    );
}

/// What a wait that is told to end prints.
fn ended_by(scenario: &Scenario, signal: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut child = started(scenario, &[&["wait-ready", "deployment/web"], more].concat());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("not found"), "{line}");
    send(&child, signal);
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    (child.wait().unwrap().code(), stdout)
}

#[test]
fn an_interruption_is_129_130_or_143_and_still_says_how_it_stood() {
    let scenario = Scenario::new("wr-interrupt");
    for (signal, exit) in [("-HUP", 129), ("-INT", 130), ("-TERM", 143)] {
        let (code, text) = ended_by(&scenario, signal, &[]);
        let line = text.lines().next_back().unwrap_or_default();
        assert_eq!(code, Some(exit), "{text}");
        assert!(
            line.starts_with("INTERRUPTED  deployment/web -n ") && line.ends_with(": does not exist"),
            "{text}"
        );
        assert_eq!(text.matches("INTERRUPTED").count(), 1, "{text}");
        let (code, document) = ended_by(&scenario, signal, &["-o", "json"]);
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!((code, &document["exitCode"]), (Some(exit), &json!(exit)));
        assert_eq!(document["state"], "notFound");
    }
}

#[test]
fn an_old_pod_that_crashes_is_not_the_new_revisions_fault() {
    let broken = web(1, json!({"EXIT_AFTER": "0s", "EXIT_CODE": "1"}), json!({}));
    let scenario = Scenario::new("wr-mended")
        .apply(&manifest(&[broken]))
        .until("it crashes", super::super::harness::restarts("app", 3));
    let scenario = scenario.apply(&manifest(&[web(1, json!({"READY_AFTER": "5s"}), probe())]));
    let (text, _) = wait(&scenario, &["deployment/web"]);
    assert_eq!(text.exit, 0, "{}{}", text.stdout, text.stderr);
}
