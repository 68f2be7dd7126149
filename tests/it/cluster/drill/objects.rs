//! Faults that change several fields, several pods, or objects beside the workload.

use super::*;

fn told(answer: &Answer) -> String {
    format!("{}{}", answer.stdout, answer.stderr)
}

fn held(answer: &Answer) {
    assert_eq!((&answer.json["verdict"], answer.exit), (&json!("held"), 0), "{}", told(answer));
}

fn ready(state: &super::super::harness::State) -> usize {
    let is_ready = |pod: &&Value| pod["status"]["containerStatuses"][0]["ready"] == true;
    state.pods.iter().filter(is_ready).count()
}

#[test]
fn a_pod_leaves_its_service_by_a_label_and_comes_back() {
    let mut deployment = web(2, json!({}), probe());
    deployment["spec"]["template"]["metadata"]["labels"]["tier"] = "front".into();
    let mut set = named(web(2, json!({}), probe()), "set");
    set["kind"] = "StatefulSet".into();
    let mut front = service("ClusterIP");
    front["spec"]["selector"]["tier"] = "front".into();
    let scenario = Scenario::new("drill-label")
        .apply(&manifest(&[deployment, set, front, named(service("ClusterIP"), "set")]))
        .until("all are ready", pods_ready(4));
    let pods = |scenario: &Scenario| -> BTreeSet<(String, String)> {
        let of = |pod: &Value| (pod["metadata"]["uid"].to_string(), pod["metadata"]["labels"].to_string());
        scenario.list(&kind::POD).iter().map(of).collect()
    };
    let before = pods(&scenario);
    let answer = drill(&scenario, &["not-ready", "deployment/web", "--count", "1"]);
    held(&answer);
    assert_eq!(answer.json["restored"][0]["how"], "restored", "{}", told(&answer));
    assert_eq!(pods(&scenario), before, "no pod was replaced");
    // The StatefulSet and its Service know its pods by one label.
    let refused = drill(&scenario, &["not-ready", "statefulset/set", "--count", "1"]);
    assert_eq!(refused.exit, 7, "{}", told(&refused));
    assert!(refused.stderr.contains("--allow orphans"), "{}", refused.stderr);
    assert_eq!(pods(&scenario), before);
    held(&drill(
        &scenario,
        &["not-ready", "statefulset/set", "--count", "1", "--allow", "orphans"],
    ));
    scenario.wait("there are four pods again", |scenario| {
        let state = scenario.state();
        (state.pods.len(), ready(&state)) == (4, 4)
    });
}

#[test]
fn a_lost_node_takes_all_workloads_with_it_and_all_come_back() {
    let other = named(web(1, json!({}), probe()), "other");
    let scenario = Scenario::new("drill-node")
        .apply(&manifest(&[web(2, json!({}), probe()), other]))
        .until("all are ready", pods_ready(3));
    let run = ["drill", "run", "node-loss", "deployment/web", "-o", "json"];
    let refused = scenario.podlife(&run);
    assert_eq!(refused.exit, 7, "{}", told(&refused));
    assert!(
        refused.stderr.contains("deployment/other") && refused.stderr.contains("--allow other-workloads"),
        "{}",
        refused.stderr
    );
    let answer = scenario.podlife(&[&run[..], &["--allow", "other-workloads"]].concat());
    held(&answer);
    assert_eq!(answer.json["targets"].as_array().unwrap().len(), 2, "{}", told(&answer));
    assert_eq!(answer.json["replacements"].as_array().unwrap().len(), 3, "{}", told(&answer));
    let nowhere = scenario.podlife(&[&run[..], &["--node", "none"]].concat());
    assert_eq!(nowhere.exit, 7, "{}", told(&nowhere));
    assert!(
        nowhere.stderr.contains("no pod of the namespace runs on node none"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn what_a_budget_promises_is_compared_with_what_was_ready() {
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    let scenario = two("drill-budget").apply(&budget);
    scenario.wait("the budget is computed", |scenario| {
        let budgets = scenario.list(&kind::DISRUPTION_BUDGET);
        budgets.iter().any(|budget| budget["status"]["disruptionsAllowed"] == 1)
    });
    let answer = scenario.podlife(&["drill", "run", "evict", "deployment/web", "-o", "json"]);
    held(&answer);
    let kept = json!([{"name": "web", "says": "minAvailable 1", "promised": 1, "least": 1}]);
    assert_eq!(answer.json["budgets"], kept, "{}", told(&answer));
    assert_eq!(answer.json["surprises"], json!([]), "{}", told(&answer));
    assert!(answer.json["events"].to_string().contains("disruption budget"), "{}", told(&answer));
}

#[test]
fn an_eviction_that_a_budget_forbids_is_no_outage_in_the_plan() {
    let budget = |least: u32| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
            "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}})
    };
    let mut scenario = Scenario::new("drill-forbidden")
        .apply(&manifest(&[web(2, json!({}), probe()), service("ClusterIP")]))
        .until("both are ready", pods_ready(2));
    for (least, allowed, words) in [
        (2, 0, "allows 0 of 2 evictions now: 2 of 2 pods"),
        (1, 1, "allows 1 of 2 evictions now: 1 of 2 pods"),
    ] {
        scenario = scenario.apply(&budget(least));
        scenario.wait("the budget is computed", |scenario| {
            let budgets = scenario.list(&kind::DISRUPTION_BUDGET);
            budgets.iter().any(|budget| {
                budget["status"]["disruptionsAllowed"] == allowed
                    && budget["status"]["observedGeneration"] == budget["metadata"]["generation"]
            })
        });
        let plan = scenario.podlife(&["drill", "plan", "evict", "deployment/web", "-o", "json"]);
        let expected = plan.json["expected"].to_string();
        assert!(expected.contains(words) && expected.contains("no outage"), "{}", told(&plan));
    }
}

#[test]
fn a_stateful_set_that_makes_its_pods_in_order_does_not_keep_the_broken_one() {
    let mut set = web(2, json!({}), probe());
    set["kind"] = "StatefulSet".into();
    let scenario = Scenario::new("drill-ordered")
        .apply(&manifest(&[set, service("ClusterIP")]))
        .until("both are ready", pods_ready(2));
    let before = specs(&scenario);
    let is_whole = |scenario: &Scenario| {
        let state = scenario.state();
        (state.pods.len(), ready(&state)) == (2, 2)
    };
    for fault in ["bad-image", "stuck-pending", "stuck-creating", "crash-loop"] {
        let answer = drill(&scenario, &[fault, "statefulset/web"]);
        held(&answer);
        let restored = answer.json["restored"].as_array().unwrap();
        let deleted = restored.iter().any(|one| one["what"] == "pod/web-1" && one["how"] == "restored");
        assert!(deleted, "{}", told(&answer));
        assert!(
            specs(&scenario) == before && is_whole(&scenario) && is_closed(&scenario),
            "{}",
            told(&answer)
        );
    }
    // Another machine does the same from the journal.
    let run = ["run", "bad-image", "statefulset/web", "--duration", "1h"];
    let (mut child, mut lines) = begun(&scenario, &Folder::new(), &run);
    until_said(&mut lines, "proven");
    child.kill().unwrap();
    child.wait().unwrap();
    let restored = scenario.podlife(&["drill", "restore"]);
    assert_eq!(restored.exit, 0, "{}", told(&restored));
    assert!(restored.stdout.contains("pod/web-1"), "{}", restored.stdout);
    scenario.wait("both are ready again", is_whole);
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
}

/// A workload that mounts a key, and has it in a variable too; its tool can print files.
fn configured(name: &str, kind: &str) -> Scenario {
    let mut object = web(1, json!({}), probe());
    object["kind"] = kind.into();
    let spec = &mut object["spec"]["template"]["spec"];
    spec["volumes"] = json!([{"name": "settings", "configMap": {"name": "settings", "items": [{"key": "mode", "path": "mode"}]}}]);
    spec["containers"][0]["env"] = json!([{"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}}]);
    spec["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "tool", "image": "busybox:1.36", "command": ["sleep", "100000"],
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}]}));
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"mode": "good", "level": "1"}});
    Scenario::new(name).apply(&manifest(&[map, object])).until("it is ready", |state| {
        let statuses = state.pods.iter().filter_map(|pod| pod["status"]["containerStatuses"].as_array());
        statuses.flatten().filter(|status| status["ready"] == true).count() == 2
    })
}

fn corrupt(scenario: &Scenario, target: &str, arguments: &[&str]) -> Answer {
    drill(
        scenario,
        &[&["config-corrupt", target, "--configmap", "settings"], arguments].concat(),
    )
}

fn each_corruption(scenario: &Scenario, target: &str) {
    let data = |scenario: &Scenario| {
        let maps = scenario.list(&kind::CONFIG_MAP);
        let settings = maps.iter().find(|map| map["metadata"]["name"] == "settings");
        settings.unwrap()["data"].clone()
    };
    let before = (specs(scenario), data(scenario));
    for (arguments, proof) in [
        (
            &["--key", "mode", "--value", "bad", "--timeout", "180s"][..],
            "1 file in containers",
        ),
        (&["--key", "level", "--restart"], "is new"),
    ] {
        let answer = corrupt(scenario, target, arguments);
        held(&answer);
        let events = answer.json["events"].as_array().unwrap();
        let proven = events.iter().find(|event| event["what"] == "proven").unwrap();
        assert!(proven["detail"].as_str().unwrap().contains(proof), "{}", told(&answer));
        assert_eq!((specs(scenario), data(scenario)), before, "{}", told(&answer));
    }
    for (arguments, exit, reason) in [
        (&["--key", "level"][..], 7, "only when they start (--restart"),
        (&["--key", "none", "--restart"], 7, "has no text key none"),
        (&["--key", "mode", "--value", "good"], 7, "already has this value"),
        (&[], 2, "--key KEY"),
    ] {
        let answer = corrupt(scenario, target, arguments);
        assert_eq!(answer.exit, exit, "{arguments:?}: {}", told(&answer));
        assert!(answer.stderr.contains(reason), "{arguments:?}: {}", answer.stderr);
    }
    assert_eq!((specs(scenario), data(scenario)), before);
    assert!(is_closed(scenario));
}

#[test]
fn a_corrupted_key_of_a_deployment_is_seen_and_put_back() {
    each_corruption(&configured("drill-config", "Deployment"), "deployment/web");
}

#[test]
fn a_corrupted_key_of_a_stateful_set_is_seen_and_put_back() {
    each_corruption(&configured("drill-config-set", "StatefulSet"), "statefulset/web");
}
