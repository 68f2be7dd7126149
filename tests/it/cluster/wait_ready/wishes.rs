//! What was asked for and is not there: ports, ways, selections, namespaces.

use std::io::{BufRead as _, BufReader};

use serde_json::json;

use super::super::harness::{Answer, Scenario, clean_up, kubectl, pods_ready};
use super::{manifest, named, probe, reason, service, started, state, wait, web};

fn last_line(answer: &Answer) -> &str {
    answer.stdout.lines().next_back().unwrap_or_default()
}

#[test]
fn a_port_or_a_way_that_no_service_has_is_not_waited_for() {
    // It is not ready for an hour: what cannot be tried then cannot be tried now.
    let never = web(1, json!({"READY_AFTER": "1h"}), probe());
    let scenario = Scenario::new("wr-wish").apply(&manifest(&[never, service("ClusterIP")]));
    for (wish, why) in [
        (&["--port", "9999"][..], "no Service selects it on port 9999: service/web has 80"),
        (
            &["--via", "load-balancer"],
            "service/web: no Service of type LoadBalancer selects it",
        ),
        (&["--via", "node-port"], "service/web: no Service with a node port selects it"),
    ] {
        let answer = wait(&scenario, "deployment/web", wish);
        assert_eq!(state(&answer), (4, "unknown"), "{wish:?} {}{}", answer.stdout, answer.stderr);
        assert_eq!(reason(&answer), why);
        assert_eq!(answer.json["exitCode"], 4, "{}", answer.stdout);
    }
    let text = scenario.podlife(&["wait-ready", "deployment/web", "--port", "9999"]);
    assert_eq!(text.exit, 4, "{}{}", text.stdout, text.stderr);
    let line = last_line(&text);
    assert!(
        line.starts_with("UNKNOWN  deployment/web -n ") && line.contains(": no Service selects it on port 9999"),
        "{}",
        text.stdout
    );
}

#[test]
fn an_unknown_state_is_exit_code_4_for_any_timeout() {
    let scenario = Scenario::new("wr-brief")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let brief = ["--timeout", "3s"];
    let front = wait(&scenario, "deployment/web", &[&brief[..], &["--via", "ingress"]].concat());
    assert_eq!(state(&front), (4, "unknown"), "{}{}", front.stdout, front.stderr);
    assert!(reason(&front).contains("no Ingress or Gateway"), "{}", front.stdout);
    let text = scenario.podlife(&[&["wait-ready", "deployment/web", "--via", "ingress"], &brief[..]].concat());
    assert!(text.exit == 4 && last_line(&text).starts_with("UNKNOWN  "), "{}", text.stdout);
    // One of two Services goes the way that was asked for: that is enough to ask.
    let scenario = scenario.apply(&manifest(&[{
        let mut balancer = service("LoadBalancer");
        balancer["metadata"]["name"] = "outside".into();
        balancer
    }]));
    let balanced = wait(&scenario, "deployment/web", &["--via", "load-balancer"]);
    assert_eq!(state(&balanced), (0, "ready"), "{}{}", balanced.stdout, balanced.stderr);
    let asked = balanced.json["application"]["asked"].as_array().unwrap();
    assert!(asked.len() == 1 && asked[0]["name"] == "service/outside:80", "{asked:?}");
}

#[test]
fn a_selection_without_anything_in_it_is_not_there_yet() {
    let scenario = Scenario::new("wr-labels")
        .apply(&manifest(&[web(1, json!({}), probe())]))
        .until("it is ready", pods_ready(1));
    let namespace = scenario.namespace.clone();
    let why = format!(
        "nothing in namespace {namespace} has the labels app=none: its pods have app=web (kubectl get pods -n {namespace} --show-labels)"
    );
    let ask = |arguments: &[&str]| scenario.podlife(&[&["wait-ready", "-o", "json"], arguments].concat());
    for (arguments, exit) in [
        (&["-l", "app=none", "--timeout", "2s"][..], 124),
        (&["-l", "app=none", "--once"], 5),
        // That something else is ready does not make up for it.
        (&["deployment/web", "-l", "app=none", "--once"], 5),
    ] {
        let answer = ask(arguments);
        assert_eq!(state(&answer), (exit, "notFound"), "{}{}", answer.stdout, answer.stderr);
        assert_eq!(reason(&answer), why);
    }
    let jobs = ask(&["jobs", "--once"]);
    assert_eq!(state(&jobs), (5, "notFound"), "{}{}", jobs.stdout, jobs.stderr);
    assert_eq!(reason(&jobs), format!("there are no jobs in namespace {namespace}"));
    let text = scenario.podlife(&["wait-ready", "-l", "app=none", "--timeout", "2s"]);
    assert!(
        last_line(&text).starts_with(&format!("TIMED OUT  app=none in {namespace} after ")) && last_line(&text).ends_with(&why),
        "{}",
        text.stdout
    );
    assert!(text.stderr.contains(&why), "the log says it too: {}", text.stderr);
    // It comes while it is waited for.
    let mut child = started(&scenario, &["wait-ready", "-l", "app=late"]);
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("nothing in namespace"), "{line}");
    let scenario = scenario.apply(&manifest(&[named(web(1, json!({}), probe()), "late")]));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(scenario);
}

/// Removes a namespace that a test made itself.
struct Born(String);

impl Drop for Born {
    fn drop(&mut self) {
        clean_up(&["delete", "namespace", &self.0, "--wait=false", "--ignore-not-found"], None);
    }
}

#[test]
fn a_namespace_has_to_exist_unless_it_is_waited_for() {
    let scenario = Scenario::new("wr-born");
    let born = Born(format!("{}-later", scenario.namespace));
    let missing = scenario.podlife(&["wait-ready", "deployment/web", "-n", &born.0]);
    assert_eq!((missing.exit, missing.stdout.as_str()), (5, ""), "{}", missing.stderr);
    let said = format!("to wait for it as well, name it: namespace/{}", born.0);
    assert!(missing.stderr.contains(&said), "{}", missing.stderr);
    let target = format!("namespace/{}", born.0);
    let mut child = started(&scenario, &["wait-ready", &target, "deployment/web", "-n", &born.0]);
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("not found"), "{line}");
    kubectl(&["create", "namespace", &born.0], None);
    kubectl(&["apply", "-n", &born.0, "-f", "-"], Some(&manifest(&[web(1, json!({}), probe())])));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_target_named_twice_is_waited_for_once() {
    let scenario = Scenario::new("wr-twice").apply(&manifest(&[web(1, json!({}), probe())]));
    let twice = ["wait-ready", "deployment/web", "deploy/web", "--stable-for", "0"];
    let text = scenario.podlife(&twice);
    assert_eq!(text.exit, 0, "{}{}", text.stdout, text.stderr);
    assert!(
        last_line(&text).starts_with(&format!("READY  deployment/web -n {} ", scenario.namespace)),
        "{}",
        text.stdout
    );
    let document = scenario.podlife(&[&twice[..], &["-o", "json"]].concat());
    assert_eq!(document.json["targets"], json!([format!("deployment/{}/web", scenario.namespace)]));
}
