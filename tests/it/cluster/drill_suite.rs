//! `drill suite` on a real cluster, and the files that it writes.

use std::fs;
use std::io::BufRead as _;

use podlife::model::kind;
use serde_json::{Value, json};

use super::drill::{begun, is_closed, specs, until_said, url};
use super::harness::{Scenario, pods_ready, send};
use super::wait_ready::{manifest, named, probe, service, web};
use crate::fake_api::Folder;
use crate::offline::docs::must_fit;

/// A Deployment with labels of its own.
fn labelled(replicas: u32, name: &str) -> Value {
    let mut object = named(web(replicas, json!({}), probe()), name);
    object["spec"]["selector"]["matchLabels"]["app"] = name.into();
    object["spec"]["template"]["metadata"]["labels"]["app"] = name.into();
    object
}

/// Two pods behind a load balancer, and a Deployment that Argo CD looks after.
fn shop(name: &str) -> Scenario {
    let mut managed = labelled(1, "managed");
    managed["metadata"]["annotations"] = json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment"});
    Scenario::new(name)
        .apply(&manifest(&[web(2, json!({}), probe()), managed, service("LoadBalancer")]))
        .until("three are ready", pods_ready(3))
}

struct Files(Folder);

impl Files {
    fn path(&self, name: &str) -> String {
        self.0.0.join(name).display().to_string()
    }

    fn suite(&self, drills: &str) -> String {
        let path = self.path("suite.yaml");
        fs::write(&path, format!("apiVersion: podlife/v1\nkind: DrillSuite\nname: shop\n{drills}")).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn verdicts(report: &Value) -> Vec<(&str, &str)> {
    let drills = report["drills"].as_array().unwrap().iter();
    drills
        .map(|drill| {
            (
                drill["name"].as_str().unwrap(),
                drill["report"]["verdict"].as_str().unwrap_or("left out"),
            )
        })
        .collect()
}

#[test]
fn the_drills_of_a_suite_are_independent_and_the_worst_counts() {
    let scenario = shop("suite");
    let before = specs(&scenario);
    let files = Files(Folder::new());
    let target = url(&scenario);
    let path = files.suite(&format!(
        "cool-down: 200ms\ndependants: [deployment/managed]\ndefaults: {{timeout: 2m}}\ndrills:\n\
         - {{name: more, fault: scale, workloads: deployment/web, to: 3, duration: 0, priority: P0}}\n\
         - name: none\n  fault: scale-zero\n  workloads: deployment/web\n  duration: 1s\n  target: {target}\n  max-downtime: 1ms\n\
         - {{name: managed, fault: scale-zero, workloads: deployment/managed}}\n\
         - {{name: both, fault: pod-delete, workloads: [[deployment/web, deployment/managed]], priority: P2}}\n"
    ));
    let plan = scenario.podlife(&["drill", "suite", &path, "--dry-run", "-o", "json"]);
    must_fit("drill-suite-plan", &plan.json);
    assert_eq!(plan.exit, 7, "one of them is refused: {}{}", plan.stdout, plan.stderr);
    assert_eq!(
        plan.json["drills"][2]["plan"]["refusals"][0]["flag"], "--allow gitops",
        "{}",
        plan.stdout
    );
    assert_eq!(specs(&scenario), before);

    let mut arguments = vec![
        "drill".to_owned(),
        "suite".to_owned(),
        path.clone(),
        "-o".to_owned(),
        "json".to_owned(),
    ];
    for ending in ["json", "xml", "ndjson", "html"] {
        arguments.extend(["--report".to_owned(), files.path(&format!("report.{ending}"))]);
    }
    let answer = scenario.podlife(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let told = format!("{}{}", answer.stdout, answer.stderr);
    assert_eq!((answer.exit, &answer.json["verdict"]), (3, &json!("didNotHold")), "{told}");
    assert_eq!(
        verdicts(&answer.json),
        [
            ("more", "held"),
            ("none", "didNotHold"),
            ("managed", "notInjected"),
            ("both", "held")
        ],
        "{told}"
    );
    must_fit("drill-suite-report", &answer.json);
    assert!(answer.stderr.contains("managed: refused: Argo CD"), "{told}");
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before.clone(), true), "{told}");

    let saved: Value = serde_json::from_str(&files.read("report.json")).unwrap();
    assert_eq!(saved, answer.json);
    let lives = saved["drills"][1]["report"]["pods"].as_array().unwrap();
    let ends = |life: &Value| life["states"].as_array().unwrap().last().unwrap()["state"].clone();
    let ready = lives.iter().filter(|life| ends(life) == "ready").count();
    assert!(ready == 2 && lives.len() >= 4, "two pods went, and two came: {lives:#?}");
    let samples: Vec<Value> = files
        .read("report.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is_of_the_drill = |sample: &Value| sample["drill"] == "none" && sample["target"] == target.as_str();
    assert!(samples.len() > 20 && samples.iter().all(is_of_the_drill), "{}", samples.len());
    assert!(samples.iter().any(|sample| sample["failure"].is_string()), "{samples:?}");
    let junit = files.read("report.xml");
    let document = roxmltree::Document::parse(&junit).unwrap();
    let root = document.root_element();
    // The limit is exceeded on new and on kept connections.
    assert_eq!(
        ["failures", "errors", "skipped"].map(|name| root.attribute(name).unwrap()),
        ["2", "1", "0"],
        "{junit}"
    );
    assert!(files.read("report.html").contains("<svg"));

    let only = scenario.podlife(&["drill", "suite", &path, "--only", "P0", "--repeat", "2", "-o", "json"]);
    assert_eq!(
        (only.exit, verdicts(&only.json)),
        (0, vec![("more", "held"), ("more", "held")]),
        "{}",
        only.stderr
    );
    let fast = scenario.podlife(&["drill", "suite", &path, "--only", "P1,P2", "--fail-fast", "-o", "json"]);
    let left: Vec<(&str, &str)> = vec![("none", "didNotHold"), ("managed", "left out"), ("both", "left out")];
    assert_eq!((fast.exit, verdicts(&fast.json)), (3, left), "{}", fast.stderr);
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

#[test]
fn what_is_not_at_its_goal_before_a_drill_stops_that_drill_alone() {
    let scenario = shop("suite-goal").apply(&manifest(&[labelled(0, "sick")]));
    scenario.kubectl(&["set", "image", "deployment/sick", "*=podlife.invalid/none:1"]);
    scenario.kubectl(&["scale", "deployment/sick", "--replicas=1"]);
    let files = Files(Folder::new());
    let path = files.suite(
        "dependants: [deployment/sick]\ndefaults: {timeout: 1s}\ndrills:\n\
         - {name: waits, fault: scale, workloads: deployment/web, to: 3, duration: 0}\n\
         - {name: goes on, fault: scale, workloads: deployment/web, to: 3, duration: 0, allow: degraded, timeout: 2m}\n",
    );
    let answer = scenario.podlife(&["drill", "suite", &path, "-o", "json"]);
    let told = format!("{}{}", answer.stdout, answer.stderr);
    assert_eq!(verdicts(&answer.json), [("waits", "notInjected"), ("goes on", "held")], "{told}");
    assert_eq!(answer.exit, 7, "{told}");
    let why = answer.json["drills"][0]["report"]["reasons"][0].as_str().unwrap();
    assert!(why.starts_with("not started: deployment/sick: "), "{why}");
    for (drill, exit) in [
        ("{fault: scale-zero, workloads: deployment/none}", 5),
        ("{fault: scale-zero, workloads: service/web}", 2),
    ] {
        let path = files.suite(&format!("drills:\n- {{fault: scale-zero, workloads: deployment/web}}\n- {drill}\n"));
        let answer = scenario.podlife(&["drill", "suite", &path]);
        assert_eq!((answer.exit, answer.stdout.as_str()), (exit, ""), "{drill}: {}", answer.stderr);
    }
    let production = "drills:\n- {fault: scale, workloads: deployment/web, to: 3, duration: 0}\n";
    let path = files.suite(production);
    scenario.kubectl(&["delete", "deployment", "sick"]);
    scenario.kubectl(&["label", "namespace", &scenario.namespace, "podlife.dev/production=true"]);
    assert_eq!(scenario.podlife(&["drill", "suite", &path]).exit, 7);
    let known = ["drill", "suite", &path, "--i-know-this-is-production", &scenario.namespace];
    let answer = scenario.podlife(&known);
    assert_eq!(answer.exit, 0, "{}{}", answer.stdout, answer.stderr);
}

#[test]
fn an_interrupted_suite_puts_back_and_reports_what_was_made() {
    let scenario = shop("suite-stopped");
    let before = specs(&scenario);
    let (files, home) = (Files(Folder::new()), Folder::new());
    let path = files.suite("drills:\n- {name: held, fault: scale-zero, workloads: deployment/web, duration: 1h}\n- {fault: evict, workloads: deployment/web}\n");
    let junit = files.path("report.xml");
    let (mut child, mut lines) = begun(&scenario, &home, &["suite", &path, "-o", "json", "--report", &junit]);
    until_said(&mut lines, "proven");
    assert!(files.read("report.xml").contains("drill was killed before it had a verdict"));
    send(&child, "-INT");
    until_said(&mut lines, "recovered");
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let text: String = stdout.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        verdicts(&report),
        [("held", "inconclusive"), ("evict deployment/web", "left out")],
        "{text}"
    );
    assert_eq!(report["drills"][1]["skipped"], "the suite was interrupted");
    assert!(
        files
            .read("report.xml")
            .contains("<skipped message=\"the suite was interrupted\"/>")
    );
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
    assert_eq!(scenario.list(&kind::DEPLOYMENT).len(), 2);
}

#[test]
fn a_suite_stops_where_something_is_not_restored() {
    let mut object = web(1, json!({}), json!({}));
    object["spec"]["template"]["spec"]["containers"][0] = json!({
        "name": "app", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "trap exit TERM; touch /tmp/ready; while :; do sleep 0.2; done"],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "timeoutSeconds": 5},
    });
    let scenario = Scenario::new("suite-left").apply(&object).until("it is ready", pods_ready(1));
    let files = Files(Folder::new());
    let path = files.suite(
        "drills:\n- {name: fine, fault: container-crash, workloads: deployment/web}\n\
         - {name: left, fault: not-ready, break: rm /tmp/ready, heal: exit 5, workloads: deployment/web, duration: 0, timeout: 5s}\n\
         - {name: last, fault: pod-delete, workloads: deployment/web}\n",
    );
    let answer = scenario.podlife(&["drill", "suite", &path, "-o", "json"]);
    let told = format!("{}{}", answer.stdout, answer.stderr);
    assert_eq!((answer.exit, &answer.json["verdict"]), (8, &json!("notRestored")), "{told}");
    assert_eq!(
        verdicts(&answer.json),
        [("fine", "held"), ("left", "notRestored"), ("last", "left out")],
        "{told}"
    );
    assert_eq!(answer.json["drills"][2]["skipped"], "left was not restored", "{told}");
    assert!(!is_closed(&scenario), "the journal tells what is left to do");
    let again = scenario.podlife(&["drill", "run", "pod-delete", "deployment/web", "--allow", "degraded"]);
    assert_eq!(again.exit, 7, "{}{}", again.stdout, again.stderr);
    assert!(again.stderr.contains("drill restore"), "{}", again.stderr);
}
