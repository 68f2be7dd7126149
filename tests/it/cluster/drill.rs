//! `drill` on a real cluster.

mod clients;
mod inside;
mod killed;
pub mod network;
mod objects;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use podlife::model::kind;
use serde_json::{Value, json};

use super::harness::{Answer, Scenario, kubeconfig, pods_ready, send};
use super::wait_ready::{manifest, named, probe, service, web};
use crate::fake_api::Folder;
use crate::offline::readme::{all_commands, root};

const FAULTS: [&[&str]; 9] = [
    &["pod-delete"],
    &["evict", "--count", "1"],
    &["scale-zero"],
    &["scale", "--to", "3"],
    &["not-ready"],
    &["bad-image"],
    &["stuck-pending"],
    &["stuck-creating"],
    &["crash-loop"],
];

/// Two pods behind a load balancer.
fn two(name: &str) -> Scenario {
    Scenario::new(name)
        .apply(&manifest(&[web(2, json!({}), probe()), service("LoadBalancer")]))
        .until("both are ready", pods_ready(2))
}

pub fn specs(scenario: &Scenario) -> Vec<Value> {
    let kinds = [kind::DEPLOYMENT, kind::STATEFUL_SET, kind::SERVICE];
    kinds
        .iter()
        .flat_map(|kind| scenario.list(kind))
        .map(|object| object["spec"].clone())
        .collect()
}

/// The URL of the load balancer.
pub fn url(scenario: &Scenario) -> String {
    let address = |scenario: &Scenario| {
        let services = scenario.list(&kind::SERVICE);
        services
            .iter()
            .find_map(|service| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned))
    };
    scenario.wait("the Service has an address", |scenario| address(scenario).is_some());
    format!("http://{}/", address(scenario).unwrap())
}

/// Nothing is left of a drill.
pub fn is_closed(scenario: &Scenario) -> bool {
    !scenario
        .list(&kind::CONFIG_MAP)
        .iter()
        .any(|map| map["metadata"]["name"] == "podlife-drill")
}

fn drill(scenario: &Scenario, arguments: &[&str]) -> Answer {
    scenario.podlife(&[&["drill", "run"], arguments, &["--duration", "0", "-o", "json"]].concat())
}

/// A drill in the background, with a home of its own.
pub fn begun(scenario: &Scenario, home: &Folder, arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    begun_by(scenario, home, &["--kubeconfig", &kubeconfig()], arguments)
}

/// The same with other flags in front.
fn begun_by(scenario: &Scenario, home: &Folder, flags: &[&str], arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(flags)
        .args(["-n", &scenario.namespace, "drill"])
        .args(arguments)
        .env("XDG_STATE_HOME", &home.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    (child, lines.map_while(Result::ok))
}

pub fn until_said(lines: &mut impl Iterator<Item = String>, what: &str) {
    let mut said = Vec::new();
    for line in lines {
        if line.starts_with(what) {
            return;
        }
        said.push(line);
    }
    panic!("it ended before it said {what}: {}", said.join("\n"));
}

/// Every fault on a Deployment or a StatefulSet: seen by whoever looks, taken back, and nothing else changed.
fn each_fault(scenario: &Scenario, target: &str) {
    let before = specs(scenario);
    for fault in FAULTS {
        let answer = drill(scenario, &[fault, &[target]].concat());
        let told = format!("{fault:?}: {}{}", answer.stdout, answer.stderr);
        assert_eq!((&answer.json["verdict"], answer.exit), (&json!("held"), 0), "{told}");
        let has = |what: &str| answer.json["events"].as_array().unwrap().iter().any(|event| event["what"] == what);
        assert!(has("injected") && has("proven") && has("recovered"), "{told}");
        let changes = answer.json["restored"].as_array().unwrap();
        let heals = matches!(fault[0], "pod-delete" | "evict");
        assert_eq!(changes.is_empty(), heals, "{told}");
        assert!(changes.iter().all(|change| change["how"] == "restored"), "{told}");
        assert_eq!(specs(scenario), before, "{told}");
        assert!(is_closed(scenario), "{told}");
    }
}

#[test]
fn each_fault_of_a_deployment_is_proven_and_put_back() {
    each_fault(&two("drill-deploy"), "deployment/web");
}

#[test]
fn each_fault_of_a_stateful_set_is_proven_and_put_back() {
    let mut set = web(2, json!({}), probe());
    set["kind"] = "StatefulSet".into();
    set["spec"]["serviceName"] = "web".into();
    set["spec"]["podManagementPolicy"] = "Parallel".into();
    let scenario = Scenario::new("drill-set")
        .apply(&manifest(&[set, service("ClusterIP")]))
        .until("both are ready", pods_ready(2));
    each_fault(&scenario, "statefulset/web");
}

#[test]
fn a_client_sees_the_outage_of_a_workload_at_zero_and_none_while_one_pod_of_two_goes() {
    let scenario = two("drill-meter");
    let target = url(&scenario);
    let zero = drill(&scenario, &["scale-zero", "deployment/web", "--target", &target]);
    let (seen, told) = (&zero.json["measured"][0], format!("{}{}", zero.stdout, zero.stderr));
    assert_eq!(zero.json["verdict"], "held", "an outage is expected: {told}");
    let (down, recovery) = (
        seen["downtimeSeconds"].as_f64().unwrap(),
        zero.json["recoverySeconds"].as_f64().unwrap(),
    );
    assert!(down > 0.0 && down <= recovery && seen["isDown"] == false, "{told}");
    assert_eq!(zero.json["replacements"].as_array().unwrap().len(), 2, "{told}");
    let gap = &zero.json["endpointGaps"][0];
    assert_eq!(gap["service"], "web", "{told}");
    assert!(gap["toSeconds"].as_f64() > gap["fromSeconds"].as_f64(), "{told}");
    let limited = drill(
        &scenario,
        &["scale-zero", "deployment/web", "--target", &target, "--max-downtime", "1ms"],
    );
    assert_eq!(
        (&limited.json["verdict"], limited.exit),
        (&json!("didNotHold"), 3),
        "{}",
        limited.stdout
    );
    assert!(
        limited.json["reasons"][0].as_str().unwrap().starts_with("downtime"),
        "{}",
        limited.stdout
    );
    let restart = scenario.podlife(&[
        "drill",
        "run",
        "rolling-restart",
        "deployment/web",
        "--target",
        &target,
        "-o",
        "json",
    ]);
    assert_eq!(
        restart.json["replacements"].as_array().unwrap().len(),
        2,
        "{}{}",
        restart.stdout,
        restart.stderr
    );
}

/// A StatefulSet whose file is on a claim, or in a folder that goes with the pod.
fn database(keeps: bool) -> Value {
    let volume = json!({"name": "data", "emptyDir": {}});
    let claim =
        json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "db", "image": "busybox:1.36", "command": ["httpd", "-f", "-p", "8080", "-h", "/data"],
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                "volumes": if keeps { json!([]) } else { json!([volume]) },
            }},
            "volumeClaimTemplates": if keeps { json!([claim]) } else { json!([]) },
        },
    })
}

#[test]
fn a_drill_that_loses_data_fails() {
    for (name, keeps, verdict, exit) in [("drill-data-lost", false, "didNotHold", 3), ("drill-data-kept", true, "held", 0)] {
        let scenario = Scenario::new(name).apply(&database(keeps)).until("it is ready", pods_ready(1));
        let answer = drill(
            &scenario,
            &[
                "pod-delete",
                "statefulset/db",
                "--write-marker",
                "echo 42 > /data/marker",
                "--verify-data",
                "cat /data/marker",
            ],
        );
        let told = format!("{}{}", answer.stdout, answer.stderr);
        assert_eq!((&answer.json["verdict"], answer.exit), (&json!(verdict), exit), "{told}");
        assert_eq!(answer.json["data"]["before"], "42", "{told}");
        let lost = answer.json["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .any(|why| why.as_str().unwrap().contains("data has changed"));
        assert_eq!((&answer.json["data"]["isSame"], lost), (&json!(keeps), !keeps), "{told}");
    }
    let scenario = Scenario::new("drill-data-none")
        .apply(&database(true))
        .until("it is ready", pods_ready(1));
    let before = specs(&scenario);
    let unknown = drill(&scenario, &["scale-zero", "statefulset/db", "--verify-data", "cat /data/none"]);
    assert_eq!(unknown.exit, 7, "{}{}", unknown.stdout, unknown.stderr);
    assert!(unknown.stderr.contains("reading the data before the fault"), "{}", unknown.stderr);
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

/// Two pods that go on serving until nobody sends them requests any more.
fn draining() -> Value {
    let mut object = web(2, json!({}), probe());
    let spec = &mut object["spec"]["template"]["spec"];
    spec["terminationGracePeriodSeconds"] = 30.into();
    spec["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 3}}});
    object
}

#[test]
fn pods_that_drain_before_they_end_lose_no_request() {
    let scenario = Scenario::new("drill-drained")
        .apply(&manifest(&[draining(), service("LoadBalancer")]))
        .until("both are ready", pods_ready(2));
    url(&scenario);
    let clients = ["--target", "svc/web:80/", "--watch", "svc/web/", "--answer-timeout", "10s"];
    let answer = drill(&scenario, &[&["pod-delete", "deployment/web"], &clients[..]].concat());
    let told = format!("{}{}", answer.stdout, answer.stderr);
    let measured = answer.json["measured"].as_array().expect(&told);
    let clients_of: Vec<(&str, &str)> = measured
        .iter()
        .map(|seen| (seen["role"].as_str().unwrap(), seen["connections"].as_str().unwrap()))
        .collect();
    let all = [("target", "new"), ("target", "kept"), ("dependant", "new"), ("dependant", "kept")];
    assert_eq!(clients_of, all, "{told}");
    // A request on a kept connection may be on its way while the pod ends.
    let new = measured.iter().filter(|seen| seen["connections"] == "new");
    assert!(
        new.clone().all(|seen| seen["failed"] == 0 && seen["downtimeSeconds"] == 0.0),
        "{told}"
    );
    assert_eq!(answer.json["endpointGaps"], json!([]), "{told}");
    let expecting = [&["pod-delete", "deployment/web"], &clients[..], &["--expect", "status=503"]].concat();
    let other = drill(&scenario, &expecting);
    let reasons = other.json["reasons"].to_string();
    let missing = "no request failed, but status 503 was expected";
    assert!(other.exit == 3 && reasons.contains(missing), "{}", other.stdout);
}

#[test]
fn what_does_not_answer_before_the_fault_is_not_broken_on_purpose() {
    let scenario = two("drill-deaf");
    let before = specs(&scenario);
    let answer = drill(&scenario, &["scale-zero", "deployment/web", "--target", "http://127.0.0.1:1/"]);
    assert_eq!(answer.exit, 7, "{}{}", answer.stdout, answer.stderr);
    assert!(
        answer.stderr.contains("does not answer correctly before the fault: refused"),
        "{}",
        answer.stderr
    );
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

#[test]
fn what_a_killed_drill_has_changed_is_restored_from_the_namespace_alone() {
    let scenario = two("drill-killed");
    let before = specs(&scenario);
    for restores_elsewhere in [true, false] {
        let (home, other) = (Folder::new(), Folder::new());
        let (mut child, mut lines) = begun(&scenario, &home, &["run", "scale-zero", "deployment/web", "--duration", "1h"]);
        until_said(&mut lines, "proven");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(scenario.list(&kind::DEPLOYMENT)[0]["spec"]["replicas"], 0);
        let second = drill(&scenario, &["pod-delete", "deployment/web", "--allow", "degraded"]);
        assert_eq!(second.exit, 7, "{}", second.stderr);
        assert!(second.stderr.contains("drill restore"), "{}", second.stderr);
        let (mut restore, lines) = begun(&scenario, if restores_elsewhere { &other } else { &home }, &["restore"]);
        assert_eq!(restore.wait().unwrap().code(), Some(0), "{:?}", lines.collect::<Vec<_>>());
        assert_eq!((specs(&scenario), is_closed(&scenario)), (before.clone(), true));
        let scenario = &scenario;
        scenario.wait("both are ready again", |scenario| pods_ready(2)(&scenario.state()));
    }
}

#[test]
fn what_somebody_else_has_changed_meanwhile_stays() {
    let scenario = two("drill-others");
    let home = Folder::new();
    let (mut child, mut lines) = begun(&scenario, &home, &["run", "scale-zero", "deployment/web", "--duration", "1h"]);
    until_said(&mut lines, "proven");
    child.kill().unwrap();
    child.wait().unwrap();
    scenario.kubectl(&["scale", "deployment/web", "--replicas=1"]);
    let restored = scenario.podlife(&["drill", "restore"]);
    assert_eq!(restored.exit, 0, "{}", restored.stderr);
    assert!(
        restored.stdout.contains("kept") && restored.stdout.contains("someone else"),
        "{}",
        restored.stdout
    );
    assert_eq!(scenario.list(&kind::DEPLOYMENT)[0]["spec"]["replicas"], 1);
    assert!(is_closed(&scenario));
}

#[test]
fn an_interruption_puts_everything_back() {
    let scenario = two("drill-stopped");
    let before = specs(&scenario);
    for (duration, said, signal, code) in [
        ("1h", "proven", "-INT", 130),
        ("1h", "injected", "-TERM", 143),
        ("0", "undone", "-INT", 130),
    ] {
        let home = Folder::new();
        // No pod comes back before the signals have been sent.
        scenario.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
        let (mut child, mut lines) = begun(&scenario, &home, &["run", "scale-zero", "deployment/web", "--duration", duration]);
        until_said(&mut lines, said);
        send(&child, signal);
        send(&child, signal);
        scenario.kubectl(&["delete", "quota", "none"]);
        until_said(&mut lines, "recovered");
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!((specs(&scenario), is_closed(&scenario)), (before.clone(), true));
        assert!(
            std::fs::read_dir(home.0.join("podlife")).unwrap().next().is_none(),
            "the file is gone"
        );
    }
}

#[test]
fn what_would_be_hard_to_take_back_is_refused() {
    let broken = json!({"READY_STATUS": "503"});
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}});
    let mut sick = named(web(1, broken, probe()), "sick");
    sick["spec"]["selector"]["matchLabels"]["app"] = "sick".into();
    sick["spec"]["template"]["metadata"]["labels"]["app"] = "sick".into();
    let mut managed = named(web(1, json!({}), probe()), "managed");
    managed["metadata"]["annotations"] = json!({"argocd.argoproj.io/tracking-id": "shop:apps/Deployment"});
    managed["spec"]["selector"]["matchLabels"]["app"] = "managed".into();
    managed["spec"]["template"]["metadata"]["labels"]["app"] = "managed".into();
    let scenario = Scenario::new("drill-refused")
        .apply(&manifest(&[web(2, json!({}), probe()), sick, managed, budget]))
        .until("three are ready", |state| {
            let ready = |pod: &&Value| pod["status"]["containerStatuses"][0]["ready"] == true;
            state.pods.iter().filter(ready).count() == 3
        });
    let before = specs(&scenario);
    for (arguments, reason) in [
        (&["pod-delete", "deployment/sick"][..], "--allow degraded"),
        (&["scale-zero", "deployment/managed"], "--allow gitops"),
        (&["not-ready", "deployment/web"], "no Service selects"),
        (&["evict", "deployment/web"], "disruption budget"),
    ] {
        let plain = [&["drill", "run"], arguments, &["-o", "json"]].concat();
        let answer = scenario.podlife(&plain);
        let told = format!("{}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.exit, 7, "{arguments:?}: {told}");
        assert!(told.contains(reason), "{arguments:?}: {told}");
        assert_eq!((specs(&scenario), is_closed(&scenario)), (before.clone(), true), "{told}");
    }
    for (namespace, exit) in [(scenario.namespace.as_str(), 0), ("no-such-namespace", 5)] {
        let answer = scenario.podlife(&["drill", "restore", "-n", namespace]);
        assert_eq!((answer.exit, answer.stdout.as_str()), (exit, ""), "{}", answer.stderr);
    }
    scenario.kubectl(&["label", "namespace", &scenario.namespace, "podlife.dev/production=true"]);
    let production = drill(&scenario, &["scale-zero", "deployment/web"]);
    assert_eq!(production.exit, 7, "{}", production.stderr);
    let flag = format!("--i-know-this-is-production {}", scenario.namespace);
    assert!(production.stderr.contains(&flag), "{}", production.stderr);
    for (arguments, exit) in [
        (&["scale", "deployment/web"][..], 2),
        (&["pod-delete", "deployment/web", "--duration", "3s"], 2),
        (&["scale-zero", "deployment/web", "--count", "1"], 2),
        (&["scale-zero", "service/none"], 5),
        (&["scale-zero", "deployment/none"], 5),
        (&["nonsense", "deployment/web"], 2),
    ] {
        let answer = scenario.podlife(&[&["drill", "run"], arguments].concat());
        assert_eq!(
            (answer.exit, answer.stdout.as_str()),
            (exit, ""),
            "{arguments:?}: {}",
            answer.stderr
        );
    }
}

#[test]
fn the_rights_that_are_missing_are_said_before_anything_is_changed() {
    let scenario = two("drill-rights");
    let account = format!("system:serviceaccount:{}:reader", scenario.namespace);
    scenario.kubectl(&["create", "serviceaccount", "reader"]);
    scenario.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--clusterrole=view",
        &format!("--serviceaccount={}:reader", scenario.namespace),
    ]);
    let before = specs(&scenario);
    let answer = scenario.podlife(&["--as", &account, "drill", "run", "scale-zero", "deployment/web"]);
    assert_eq!(answer.exit, 7, "{}{}", answer.stdout, answer.stderr);
    assert!(answer.stderr.contains("patch on deployments/scale"), "{}", answer.stderr);
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

#[test]
fn the_printed_role_is_enough() {
    let scenario = two("drill-role");
    let account = format!("serviceaccount:{}:breaker", scenario.namespace);
    let role = scenario.podlife(&["rbac", "drill", "--bind", &account]);
    scenario.kubectl(&["create", "serviceaccount", "breaker"]);
    let scenario = scenario.apply(&role.stdout);
    let user = format!("system:serviceaccount:{}:breaker", scenario.namespace);
    scenario.wait("the API server knows of the role", |scenario| {
        scenario
            .podlife(&["--as", &user, "drill", "plan", "pod-delete", "deployment/web"])
            .exit
            == 0
    });
    let others: [&[&str]; 3] = [&["rolling-restart"], &["node-loss"], &["isolate", "--probe-image", "busybox:1.36"]];
    for fault in FAULTS.into_iter().chain(others) {
        let answer = scenario.podlife(
            &[
                &["--as", &user, "drill", "run"],
                fault,
                &["deployment/web", "--duration", "0", "-o", "json"],
            ]
            .concat(),
        );
        assert_eq!(answer.exit, 0, "{fault:?}: {}{}", answer.stdout, answer.stderr);
    }
}

#[test]
fn commands_of_the_documentation_run() {
    let api = named(draining(), "api");
    let front = named(service("LoadBalancer"), "api");
    let scenario = Scenario::new("drill-docs")
        .apply(&manifest(&[api, database(true), front]))
        .until("all are ready", pods_ready(3));
    let address = url(&scenario);
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    // In the order of the documents: some read what others write.
    let mut commands: Vec<Vec<String>> = all_commands().into_iter().map(|(_, command)| command).collect();
    commands.retain(|command| command[0] == "drill");
    let mut seen = BTreeSet::new();
    commands.retain(|command| seen.insert(command.clone()));
    assert!(commands.len() >= 12, "{commands:?}");
    let folder = Folder::new();
    for command in commands {
        let mut words: Vec<String> = command
            .iter()
            .map(|word| match word.rsplit_once('.') {
                Some((_, "yaml")) => {
                    let suite = std::fs::read_to_string(root().join(word)).unwrap().replace("ADDRESS", address);
                    let path = folder.0.join("suite.yaml");
                    std::fs::write(&path, suite).unwrap();
                    path.display().to_string()
                }
                Some((_, "json" | "html")) => folder.0.join(word).display().to_string(),
                _ => word.replace("ADDRESS", address),
            })
            .collect();
        // What is held for a minute by hand is held for a second here, and chance is more on a busy machine.
        for at in 1..words.len() {
            match words[at - 1].as_str() {
                "--duration" => "1s".clone_into(&mut words[at]),
                "--tolerance" => "1000%".clone_into(&mut words[at]),
                _ => {}
            }
        }
        let answer = scenario.podlife(&words.iter().map(String::as_str).collect::<Vec<_>>());
        // What clients see, and so the verdict, depends on how busy the machine is.
        let is_measured = words
            .iter()
            .any(|word| word == "--target" || word == "suite" || word == "--fail-on-regression");
        let is_fine = answer.exit == 0 || is_measured && answer.exit == 3;
        assert!(is_fine, "{}: {}{}", words.join(" "), answer.stdout, answer.stderr);
    }
}
