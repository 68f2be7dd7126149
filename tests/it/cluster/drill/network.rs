//! Faults of the network.

use super::*;

const IMAGE: &str = "busybox:1.36";

/// A server of two pods behind a Service, and a caller.
fn pair(name: &str, kind: &str) -> Scenario {
    let mut server = web(2, json!({}), probe());
    server["kind"] = kind.into();
    if kind == "StatefulSet" {
        server["spec"]["serviceName"] = "web".into();
        server["spec"]["podManagementPolicy"] = "Parallel".into();
    }
    let caller = named(web(1, json!({}), probe()), "caller");
    Scenario::new(name)
        .apply(&manifest(&[server, caller, service("ClusterIP")]))
        .until("all are ready", pods_ready(3))
}

/// Policies and Jobs, by name.
fn made(scenario: &Scenario) -> Vec<String> {
    let objects = [kind::NETWORK_POLICY, kind::JOB].into_iter().flat_map(|kind| scenario.list(&kind));
    objects
        .map(|object| object["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn cut(scenario: &Scenario, arguments: &[&str]) -> Answer {
    drill(scenario, &[arguments, &["--probe-image", IMAGE]].concat())
}

fn told(answer: &Answer) -> String {
    format!("{}{}", answer.stdout, answer.stderr)
}

fn each_cut(scenario: &Scenario, target: &str) {
    let before = specs(scenario);
    for fault in [
        &["isolate", target][..],
        &["isolate", target, "--from", "deployment/caller"],
        &["dns-block", target],
    ] {
        let answer = cut(scenario, fault);
        assert_eq!(
            (&answer.json["verdict"], answer.exit),
            (&json!("held"), 0),
            "{fault:?}: {}",
            told(&answer)
        );
        let proven = answer.json["events"]
            .as_array()
            .unwrap()
            .iter()
            .find(|event| event["what"] == "proven");
        assert!(proven.unwrap()["detail"].as_str().unwrap().contains("closed"), "{}", told(&answer));
        let restored = answer.json["restored"].as_array().unwrap();
        assert_eq!(restored.len(), 2, "{}", told(&answer));
        assert!(restored.iter().all(|one| one["how"] == "restored"), "{}", told(&answer));
        assert!(
            is_closed(scenario) && made(scenario).iter().all(|name| name.starts_with("podlife-probe")),
            "{:?}",
            made(scenario)
        );
        assert_eq!(specs(scenario), before);
    }
}

#[test]
fn a_deployment_is_cut_off_and_let_in_again() {
    each_cut(&pair("drill-cut", "Deployment"), "deployment/web");
}

#[test]
fn a_stateful_set_is_cut_off_and_let_in_again() {
    each_cut(&pair("drill-cut-set", "StatefulSet"), "statefulset/web");
}

#[test]
fn a_policy_that_another_one_defeats_is_no_fault() {
    let open = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "open"},
        "spec": {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}});
    let scenario = pair("drill-defeated", "Deployment").apply(&open);
    let answer = cut(&scenario, &["isolate", "deployment/web"]);
    assert_eq!(
        (&answer.json["verdict"], answer.exit),
        (&json!("notInjected"), 7),
        "{}",
        told(&answer)
    );
    let reason = answer.json["reasons"][0].as_str().unwrap();
    assert!(reason.contains("still open"), "{reason}");
    let left = made(&scenario);
    assert_eq!(
        left.iter().filter(|name| !name.starts_with("podlife-probe")).collect::<Vec<_>>(),
        ["open"]
    );
    // Ours would admit what is not admitted now.
    for fault in [
        &["dns-block", "deployment/web"][..],
        &["isolate", "deployment/web", "--from", "deployment/caller"],
    ] {
        let answer = cut(&scenario, fault);
        assert_eq!((answer.exit, answer.stdout.as_str()), (7, ""), "{}", told(&answer));
        assert!(answer.stderr.contains("networkpolicy/open restricts"), "{}", answer.stderr);
    }
    assert!(is_closed(&scenario));
}

#[test]
fn what_a_canary_cannot_prove_is_refused() {
    let mut host = named(web(1, json!({"LISTEN": "127.0.0.1:0"}), json!({})), "host");
    host["spec"]["template"]["spec"]["hostNetwork"] = true.into();
    let deaf = named(
        web(1, json!({"LISTEN": "127.0.0.1:8080"}), json!({"ports": [{"containerPort": 8080}]})),
        "deaf",
    );
    let scenario = Scenario::new("drill-unproven")
        .apply(&manifest(&[host, deaf]))
        .until("both run", pods_ready(2));
    for (fault, exit, reason) in [
        (
            &["isolate", "deployment/host", "--probe-image", IMAGE][..],
            7,
            "on the network of their node",
        ),
        (&["isolate", "deployment/deaf", "--probe-image", IMAGE], 7, "none is possible"),
        (&["isolate", "deployment/deaf"], 2, "--probe-image"),
        (
            &["dns-block", "deployment/deaf", "--probe-image", IMAGE, "--from", "deployment/host"],
            2,
            "--from limits isolate",
        ),
    ] {
        let answer = drill(&scenario, fault);
        assert_eq!((answer.exit, answer.stdout.as_str()), (exit, ""), "{fault:?}: {}", told(&answer));
        assert!(answer.stderr.contains(reason), "{fault:?}: {}", answer.stderr);
    }
    assert!(is_closed(&scenario) && made(&scenario).iter().all(|name| name.starts_with("podlife-probe")));
}

/// Nobody restores it: the Job that owns the policy ends, and both go.
#[test]
fn what_a_killed_drill_has_created_goes_by_itself() {
    let scenario = pair("drill-dead-man", "Deployment");
    let home = Folder::new();
    let run = [
        "run",
        "isolate",
        "deployment/web",
        "--probe-image",
        IMAGE,
        "--duration",
        "1s",
        "--timeout",
        "5s",
    ];
    let (mut child, mut lines) = begun(&scenario, &home, &run);
    until_said(&mut lines, "injected");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(scenario.list(&kind::NETWORK_POLICY).len(), 1);
    scenario.wait("the policy and all Jobs are gone", |scenario| made(scenario).is_empty());
    // What is left is the journal; it finds nothing to undo.
    let (mut restore, lines) = begun(&scenario, &Folder::new(), &["restore"]);
    assert_eq!(restore.wait().unwrap().code(), Some(0), "{:?}", lines.collect::<Vec<_>>());
    assert!(is_closed(&scenario));
}

#[test]
fn what_bears_the_name_of_ours_and_is_not_ours_is_left_alone() {
    let scenario = pair("drill-foreign", "Deployment");
    let run = ["run", "isolate", "deployment/web", "--probe-image", IMAGE, "--duration", "1h"];
    let (mut child, mut lines) = begun(&scenario, &Folder::new(), &run);
    until_said(&mut lines, "proven");
    child.kill().unwrap();
    child.wait().unwrap();
    let policy = scenario.list(&kind::NETWORK_POLICY)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let foreign = r#"{"metadata": {"labels": {"podlife.dev/drill": null}, "ownerReferences": null}}"#;
    scenario.kubectl(&["patch", "networkpolicy", &policy, "--type=merge", "-p", foreign]);
    let answer = scenario.podlife(&["drill", "restore"]);
    assert_eq!(answer.exit, 0, "{}", told(&answer));
    assert!(answer.stdout.contains("left alone"), "{}", answer.stdout);
    assert_eq!(
        made(&scenario)
            .iter()
            .filter(|name| !name.starts_with("podlife-probe"))
            .collect::<Vec<_>>(),
        [&policy]
    );
    assert!(is_closed(&scenario));
}
