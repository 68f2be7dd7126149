//! Faults of the network.

use super::super::scenarios::admission::ClusterWide;
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

/// Isolates a server that nothing cuts off, and returns the policies and Jobs that are there afterwards; the probe ends by itself.
fn left_where_it_stays_open(scenario: &Scenario) -> Vec<String> {
    let answer = cut(scenario, &["isolate", "deployment/web"]);
    assert_eq!(
        (&answer.json["verdict"], answer.exit),
        (&json!("notInjected"), 7),
        "{}",
        told(&answer)
    );
    let reason = answer.json["reasons"][0].as_str().unwrap();
    assert!(reason.contains("still open"), "{reason}");
    let mut left = made(scenario);
    left.retain(|name| !name.starts_with("podlife-probe"));
    left
}

#[test]
fn a_policy_that_another_one_defeats_is_no_fault() {
    let open = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "open"},
        "spec": {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}});
    let scenario = pair("drill-defeated", "Deployment").apply(&open);
    assert_eq!(left_where_it_stays_open(&scenario), ["open"]);
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

/// What a drill says in a cluster where nobody enforces policies: `stop` makes it one.
pub fn a_policy_that_nobody_enforces_is_no_fault(stop: impl FnOnce()) {
    let scenario = pair("drill-unenforced", "Deployment");
    stop();
    assert_eq!(left_where_it_stays_open(&scenario), [""; 0]);
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
            "only with isolate",
        ),
    ] {
        let answer = drill(&scenario, fault);
        assert_eq!((answer.exit, answer.stdout.as_str()), (exit, ""), "{fault:?}: {}", told(&answer));
        assert!(answer.stderr.contains(reason), "{fault:?}: {}", answer.stderr);
    }
    assert!(is_closed(&scenario) && made(&scenario).iter().all(|name| name.starts_with("podlife-probe")));
}

#[test]
fn a_workload_that_nobody_calls_is_cut_off_from_what_it_calls() {
    let mut worker = web(1, json!({}), json!({}));
    worker["spec"]["template"]["spec"]["containers"][0]["image"] = IMAGE.into();
    worker["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sleep", "36000"]);
    let scenario = Scenario::new("drill-cut-worker").apply(&worker).until("it runs", pods_ready(1));
    let answer = cut(&scenario, &["isolate", "deployment/web"]);
    assert_eq!((&answer.json["verdict"], answer.exit), (&json!("held"), 0), "{}", told(&answer));
    let events = answer.json["events"].to_string();
    assert!(
        events.contains("no TCP port of its own: kubernetes.default.svc:443 closed"),
        "{events}"
    );
    assert!(is_closed(&scenario));
    assert!(scenario.list(&kind::NETWORK_POLICY).is_empty());
}

/// Somebody takes the name of the policy while the API server asks a webhook about the Job before it.
#[test]
fn a_name_that_is_taken_when_it_is_created_is_left_alone() {
    let slow = named(web(1, json!({"LISTEN": "tcp:0.0.0.0:8443"}), json!({})), "slow");
    let mut front = named(service("ClusterIP"), "slow");
    front["spec"]["ports"] = json!([{"port": 443, "targetPort": 8443}]);
    let scenario = pair("drill-taken", "Deployment")
        .apply(&manifest(&[slow, front]))
        .until("all are ready", pods_ready(4));
    let name = format!("{}.podlife.test", scenario.namespace);
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": [{
            "name": "slow.podlife.test", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
            "timeoutSeconds": 15,
            "clientConfig": {"service": {"namespace": scenario.namespace, "name": "slow", "path": "/"}},
            "rules": [{"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scenario.namespace}},
            "objectSelector": {"matchExpressions": [{"key": "podlife.dev/drill", "operator": "Exists"}]},
        }],
    });
    let _webhook = ClusterWide::apply(&[("validatingwebhookconfiguration", &name)], &webhook.to_string());
    let run = ["run", "isolate", "deployment/web", "--probe-image", IMAGE, "-o", "json"];
    let (mut child, mut lines) = begun(&scenario, &Folder::new(), &run);
    until_said(&mut lines, "journal");
    let maps = scenario.list(&kind::CONFIG_MAP);
    let journal = maps.iter().find(|map| map["metadata"]["name"] == "podlife-drill").unwrap();
    let id = journal["metadata"]["annotations"]["podlife.dev/drill"].as_str().unwrap();
    let foreign = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": format!("podlife-drill-{id}-0")},
        "spec": {"podSelector": {"matchLabels": {"app": "nobody"}}}});
    let scenario = scenario.apply(&foreign);
    let theirs = scenario.list(&kind::NETWORK_POLICY)[0]["metadata"].clone();
    until_said(&mut lines, "failed");
    assert_eq!(child.wait().unwrap().code(), Some(7), "{:?}", lines.collect::<Vec<_>>());
    let text: String = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["verdict"], "notInjected", "{text}");
    assert!(report["reasons"].to_string().contains("already exists"), "{text}");
    let now = scenario.list(&kind::NETWORK_POLICY);
    assert_eq!((now.len(), &now[0]["metadata"]["uid"]), (1, &theirs["uid"]));
    assert_eq!(now[0]["metadata"]["generation"], theirs["generation"]);
    assert!(
        is_closed(&scenario)
            && made(&scenario)
                .iter()
                .all(|name| !name.starts_with("podlife-drill") || name.ends_with("-0"))
    );
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
