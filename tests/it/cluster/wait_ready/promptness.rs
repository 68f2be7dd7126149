//! How soon a wait ends, and what it does not take for ready or for a fault of the application.

use serde_json::{Value, json};

use super::super::harness::{Answer, Scenario, pods_ready, running};
use super::super::objects::answers_500_in;
use super::{manifest, named, probe, reason, service, state, wait, web};

/// Only faults of the class `permanent` end such a wait.
const PERMANENT: [&str; 4] = ["--grace", "permanent=2s,probe=1h,other=1h,crash=1h", "--timeout", "40s"];

fn codes(answer: &Answer) -> Vec<&str> {
    let causes = answer.json["rootCauses"].as_array().into_iter().flatten();
    causes.filter_map(|cause| cause["code"].as_str()).collect()
}

/// An application of this name and its Service.
fn application(name: &str, environment: Value, container: Value) -> [Value; 2] {
    [named(web(1, environment, container), name), named(service("ClusterIP"), name)]
}

fn probing(path: &str, port: u16) -> Value {
    json!({"readinessProbe": {"httpGet": {"path": path, "port": port}, "periodSeconds": 1}})
}

#[test]
fn a_proven_fault_that_only_a_change_mends_ends_the_wait_at_once() {
    let loopback = application("loopback", json!({"LISTEN": "127.0.0.1:8080"}), json!({}));
    let gated = application("gated", json!({"LISTEN": "127.0.0.1:8080"}), probe());
    let mut wrong_port = application("port", json!({}), json!({}));
    wrong_port[1]["spec"]["ports"] = json!([{"port": 80, "targetPort": 9090}]);
    let mut typo = application("typo", json!({}), probe());
    typo[1]["spec"]["selector"] = json!({"app": "typoo"});
    let path = application("path", json!({}), probing("/status/404", 8080));
    // It may recover by itself.
    let busy = application("busy", json!({}), probing("/status/503", 8080));
    let objects: Vec<Value> = [loopback, gated, wrong_port, typo, path, busy].concat();
    let scenario = Scenario::new("wr-prompt")
        .apply(&manifest(&objects))
        .until("all run", |state| state.pods.len() == 6 && running("app")(state));
    for (name, code) in [
        ("loopback", "ListenerOnLoopback"),
        ("gated", "ListenerOnLoopback"),
        ("port", "ListenerOnOtherPort"),
        ("typo", "ServiceSelectsNothing"),
        ("path", "ReadinessProbeFailing"),
    ] {
        let answer = wait(&scenario, &format!("deployment/{name}"), &PERMANENT);
        assert_eq!(state(&answer), (3, "failed"), "{name} {}{}", answer.stdout, answer.stderr);
        assert_eq!(codes(&answer).first(), Some(&code), "{name} {}", answer.stdout);
        assert!(
            answer.stderr.contains(&format!(": {code}\n")),
            "{name} it says when it fails: {}",
            answer.stderr
        );
        assert!(answer.stderr.contains("  fails at "), "{name} {}", answer.stderr);
    }
    let busy = wait(&scenario, "deployment/busy", &[&PERMANENT[..2], &["--timeout", "15s"]].concat());
    assert_eq!(state(&busy), (124, "progressing"), "{}{}", busy.stdout, busy.stderr);
    assert!(busy.stderr.contains("  gives up at "), "{}", busy.stderr);
}

#[test]
fn the_way_back_stands_at_the_end() {
    let scenario = Scenario::new("wr-back")
        .apply(&manifest(&application("web", json!({}), probe())))
        .until("it is ready", pods_ready(1))
        .apply(&manifest(&application("web", json!({}), probing("/status/404", 8080))));
    let text = scenario.podlife(&[&["wait-ready", "deployment/web"][..], &PERMANENT].concat());
    assert_eq!(text.exit, 3, "{}{}", text.stdout, text.stderr);
    let end: Vec<&str> = text.stdout.lines().rev().take(2).collect();
    assert!(end[0].starts_with("FAILED  deployment/web"), "{}", text.stdout);
    assert!(end[1].starts_with("undo  kubectl rollout undo deployment/web "), "{}", text.stdout);
}

#[test]
fn a_listener_on_the_loopback_is_not_ready_although_it_answers_inside_its_pod() {
    let redis = |name: &str, listen: &str| {
        let [deployment, mut service] = application(name, json!({"LISTEN": listen}), json!({}));
        service["spec"]["ports"] = json!([{"name": "redis", "port": 6379, "targetPort": 6379}]);
        [deployment, service]
    };
    let objects = [redis("inner", "tcp:127.0.0.1:6379"), redis("open", "tcp:0.0.0.0:6379")].concat();
    let scenario = Scenario::new("wr-inner")
        .apply(&manifest(&objects))
        .until("both run", |state| state.pods.len() == 2 && running("app")(state));
    let inner = wait(&scenario, "service/inner", &["--grace", "probe=2s", "--timeout", "40s"]);
    assert_eq!(state(&inner), (3, "failed"), "{}{}", inner.stdout, inner.stderr);
    assert!(reason(&inner).contains("ListenerOnLoopback"), "{}", inner.stdout);
    assert_ne!(wait(&scenario, "service/inner", &["--once"]).exit, 0, "one look asks the rules too");
    let open = wait(&scenario, "service/open", &["--stable-for", "0"]);
    assert_eq!(
        (state(&open), &open.json["provenBy"]),
        ((0, "ready"), &json!("port-forward")),
        "{}",
        open.stdout
    );
}

#[test]
fn a_pod_that_is_only_ready_again_is_not_ready_yet() {
    let flapping = json!({"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}});
    let scenario = Scenario::new("wr-ready-again").apply(&manifest(&application("flap", json!({"ANSWER_PERIOD": "8s"}), flapping)));
    scenario.wait("it was complete, and is ready again", |scenario| {
        let deployments = scenario.list(&podlife::model::kind::DEPLOYMENT);
        let pods = scenario.list(&podlife::model::kind::POD);
        let at = |condition: &Value, field: &str| condition[field].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let of = |objects: &[Value], type_: &str| {
            let conditions = objects.first().and_then(|o| o["status"]["conditions"].as_array().cloned());
            conditions.into_iter().flatten().find(|c| c["type"] == type_).unwrap_or_default()
        };
        let complete = of(&deployments, "Progressing");
        let ready = of(&pods, "Ready");
        let later = at(&ready, "lastTransitionTime").zip(at(&complete, "lastUpdateTime"));
        complete["reason"] == "NewReplicaSetAvailable"
            && ready["status"] == "True"
            && later.is_some_and(|(ready, complete)| ready.duration_since(complete).as_secs() > 5)
    });
    let answer = wait(&scenario, "service/flap", &["--timeout", "30s"]);
    assert_eq!(state(&answer), (124, "progressing"), "{}{}", answer.stdout, answer.stderr);
}

/// Whatever runs the pods: their own events show that they were not ready in between.
#[test]
fn pods_of_every_kind_that_flapped_before_the_wait_have_to_stay_ready_for_longer() {
    let set = |kind: &str, name: &str, environment: Value| {
        let mut set = named(web(1, environment, probe()), name);
        set["kind"] = kind.into();
        match kind {
            "StatefulSet" => set["spec"]["serviceName"] = name.into(),
            _ => drop(set["spec"].as_object_mut().and_then(|spec| spec.remove("replicas"))),
        }
        // The one that is ready late fails only before that.
        set["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["failureThreshold"] = 1.into();
        [set, named(service("ClusterIP"), name)]
    };
    let flaps = || json!({"FLAP_PERIOD": "8s"});
    let pod = |name: &str| {
        let mut pod = set("DaemonSet", name, flaps())[0]["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = name.into();
        [pod, named(service("ClusterIP"), name)]
    };
    // Behind a startup probe, what the container does at first says less.
    let guarded = |name: &str, environment: Value| {
        let mut objects = set("StatefulSet", name, environment);
        objects[0]["spec"]["template"]["spec"]["containers"][0]["startupProbe"] =
            json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60});
        objects
    };
    let objects = [
        set("StatefulSet", "stateful", flaps()),
        set("DaemonSet", "daemon", flaps()),
        pod("bare"),
        set("StatefulSet", "late", json!({"READY_AFTER": "12s"})),
        guarded("guarded", json!({"FLAP_PERIOD": "20s"})),
        guarded("guarded-late", json!({"START_DELAY": "9s", "READY_AFTER": "12s"})),
    ];
    let scenario = Scenario::new("wr-flapped").apply(&manifest(&objects.concat()));
    let of = |scenario: &Scenario, name: &str, expected: (u8, &'static str), within: f64| {
        let app = name.rsplit('/').next().unwrap_or_default().to_owned();
        scenario.wait("it has just become ready, a while after its start", |scenario| {
            let pods = scenario.list(&podlife::model::kind::POD);
            let pod = pods
                .iter()
                .find(|pod| pod["metadata"]["labels"]["app"] == app)
                .cloned()
                .unwrap_or_default();
            let at = |time: &Value| time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
            let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions
                .iter()
                .find(|c| c["type"] == "Ready" && c["status"] == "True")
                .and_then(|c| at(&c["lastTransitionTime"]));
            let runs = at(&pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
            ready.zip(runs).is_some_and(|(ready, runs)| {
                ready.duration_since(runs).as_secs() > 10 && jiff::Timestamp::now().duration_since(ready).as_secs() < 2
            })
        });
        let answer = wait(scenario, name, &["--timeout", "20s"]);
        assert_eq!(state(&answer), expected, "{name} {}{}", answer.stdout, answer.stderr);
        assert!(
            answer.json["elapsedSeconds"].as_f64().is_some_and(|seconds| seconds < within),
            "{name} {}",
            answer.stdout
        );
    };
    std::thread::scope(|threads| {
        for (name, expected, within) in [
            ("statefulset/stateful", (124, "progressing"), 30.0),
            ("daemonset/daemon", (124, "progressing"), 30.0),
            ("pod/bare", (124, "progressing"), 30.0),
            ("service/bare", (124, "progressing"), 30.0),
            ("statefulset/late", (0, "ready"), 12.0),
            ("statefulset/guarded", (124, "progressing"), 30.0),
            ("statefulset/guarded-late", (0, "ready"), 12.0),
        ] {
            let (of, scenario) = (&of, &scenario);
            threads.spawn(move || of(scenario, name, expected, within));
        }
    });
}

#[test]
fn an_answer_may_take_as_long_as_the_probe_allows_or_the_flag() {
    let patient = json!({"readinessProbe": {"httpGet": {"path": "/x", "port": 8080}, "timeoutSeconds": 10, "periodSeconds": 10}});
    let slow = || json!({"LATENCY": "4s"});
    let objects = [application("patient", slow(), patient), application("hasty", slow(), json!({}))].concat();
    let scenario = Scenario::new("wr-slow")
        .apply(&manifest(&objects))
        .until("both are ready", |state| state.pods.len() == 2 && pods_ready(2)(state));
    let brief = ["--stable-for", "0", "--successes", "1"];
    let of = |name: &str, more: &[&str]| wait(&scenario, &format!("deployment/{name}"), &[&brief[..], more].concat());
    for (name, more) in [
        ("patient", &[][..]),
        ("hasty", &["--answer-timeout", "10s"]),
        // A connection is there at once.
        ("hasty", &["--tcp"]),
    ] {
        let answer = of(name, more);
        assert_eq!(state(&answer), (0, "ready"), "{name} {more:?} {}{}", answer.stdout, answer.stderr);
    }
    let hasty = of("hasty", &["--timeout", "12s", "--no-dial"]);
    assert_eq!(hasty.exit, 124, "{}{}", hasty.stdout, hasty.stderr);
    assert!(reason(&hasty).contains("no answer within 3s"), "{}", hasty.stdout);
}

#[test]
fn a_steady_answer_is_asked_for_less_and_less_often() {
    let scenario = Scenario::new("wr-steady")
        .apply(&manifest(&application("web", json!({}), probe())))
        .until("it is ready", pods_ready(1));
    let answer = wait(
        &scenario,
        "deployment/web",
        &["--http", "/status/404", "--timeout", "20s", "--no-dial"],
    );
    assert_eq!(answer.exit, 124, "{}{}", answer.stdout, answer.stderr);
    let attempts = answer.json["application"]["attempts"].as_u64().unwrap();
    assert!((10..60).contains(&attempts), "{attempts} rounds in 20 s");
    assert_eq!(codes(&answer), Vec::<&str>::new(), "{}", answer.stdout);
}

#[test]
fn an_init_container_whose_command_fails_by_itself_ends_the_wait() {
    let mut broken = web(1, json!({}), probe());
    broken["spec"]["template"]["spec"]["initContainers"] = json!([{"name": "wait-db", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "until nc -Y 127.0.0.1 5432; do sleep 2; done"]}]);
    let scenario = Scenario::new("wr-init").apply(&manifest(&[broken]));
    let answer = wait(&scenario, "deployment/web", &["--grace", "permanent=2s", "--timeout", "3m"]);
    assert_eq!(state(&answer), (3, "failed"), "{}{}", answer.stdout, answer.stderr);
    assert!(reason(&answer).contains("InitContainerStuck"), "{}", answer.stdout);
}

#[test]
fn a_policy_that_lets_nobody_in_is_unknown_where_it_is_bypassed_and_named_where_it_is_not() {
    let closed = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]},
    });
    let mut balanced = named(service("LoadBalancer"), "balanced");
    balanced["spec"]["selector"] = json!({"app": "web"});
    let scenario = Scenario::new("wr-closed")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP"), balanced, closed]))
        .until("it is ready", pods_ready(1));
    let bypassed = wait(&scenario, "service/web", &["--stable-for", "0"]);
    assert_eq!(state(&bypassed), (4, "unknown"), "{}{}", bypassed.stdout, bypassed.stderr);
    assert!(
        reason(&bypassed).contains("bypasses NetworkPolicies; NetworkPolicyBlocks: "),
        "{}",
        bypassed.stdout
    );
    let outside = wait(&scenario, "service/balanced", &PERMANENT);
    assert_eq!(state(&outside), (3, "failed"), "{}{}", outside.stdout, outside.stderr);
    assert!(reason(&outside).contains("NetworkPolicy closed"), "{}", outside.stdout);
    // A policy with a rule lets somebody in.
    let rule = r#"{"spec":{"ingress":[{"from":[{"podSelector":{"matchLabels":{"role":"client"}}}]}]}}"#;
    scenario.kubectl(&["patch", "networkpolicy", "closed", "--type=merge", "-p", rule]);
    let some = wait(&scenario, "service/web", &["--stable-for", "0"]);
    assert_eq!(state(&some), (0, "ready"), "{}{}", some.stdout, some.stderr);
}

/// The rules look at the pod that does not answer, whichever pod of its revision that is.
#[test]
fn one_pod_of_several_on_loopback_ends_the_wait_with_its_cause() {
    let set = |name: &str, exception: &str| {
        let mut set = named(web(3, json!({"EXCEPTION": exception}), json!({})), name);
        set["kind"] = "StatefulSet".into();
        set["spec"]["serviceName"] = name.into();
        set["spec"]["podManagementPolicy"] = "Parallel".into();
        [set, named(service("ClusterIP"), name)]
    };
    let scenario = Scenario::new("wr-one-pod")
        .apply(&manifest(&[set("one", "one-1"), set("none", "other-1")].concat()))
        .until("all are ready", |state| state.pods.len() == 6 && pods_ready(6)(state));
    let one = wait(&scenario, "statefulset/one", &[&PERMANENT[..], &["--http", "/"]].concat());
    assert_eq!(state(&one), (3, "failed"), "{}{}", one.stdout, one.stderr);
    assert_eq!(codes(&one), ["ListenerOnLoopback"], "{}", one.stdout);
    assert!(
        reason(&one).starts_with("ListenerOnLoopback: pod one-1: container app listens on 127.0.0.1:8080 only"),
        "{}",
        one.stdout
    );
    let none = wait(&scenario, "statefulset/none", &["--http", "/"]);
    assert_eq!(state(&none), (0, "ready"), "{}{}", none.stdout, none.stderr);
}

/// A server of busybox that answers 500 until it has warmed up.
fn warming(name: &str, seconds: u32, probe: Value) -> [Value; 2] {
    let script = format!(
        "mkdir -p /www/cgi-bin; cd /www/cgi-bin; printf '#!/bin/sh\\nif [ -f /warm ]; then echo; echo well; else echo Status: 500 Warming Up; echo; fi\\n' >app; \
         chmod +x app; (sleep {seconds}; touch /warm) & exec httpd -f -p 8080 -h /www"
    );
    let mut objects = application(name, json!({}), probe);
    let container = &mut objects[0]["spec"]["template"]["spec"]["containers"][0];
    container["image"] = "busybox:1.36".into();
    container["command"] = json!(["sh", "-c", script]);
    objects
}

/// Who answers 500 since its start is given a minute: who warms up is ready by then.
#[test]
fn answers_of_500_from_every_pod_end_the_wait_a_minute_after_the_start() {
    let path = "/cgi-bin/app";
    let objects = [
        application("probed", json!({"READY_STATUS": "500"}), probe()),
        application("asked", json!({"ANSWER_STATUS": "500"}), probe()),
        warming("warm-probed", 25, probing(path, 8080)),
        warming("warm-asked", 25, json!({})),
    ];
    // What the others of its pods need for an answer may come to it, too.
    let mut some = application("some", json!({}), json!({}));
    some[0]["kind"] = "StatefulSet".into();
    some[0]["spec"]["serviceName"] = "some".into();
    some[0]["spec"]["replicas"] = 2.into();
    let container = &mut some[0]["spec"]["template"]["spec"]["containers"][0];
    container["image"] = "busybox:1.36".into();
    container["command"] = json!(["sh", "-c", answers_500_in("some-1")]);
    let objects = [&objects.concat()[..], &some].concat();
    let scenario = Scenario::new("wr-500").apply(&manifest(&objects));
    let limits = ["--grace", "probe=1h,other=1h,crash=1h", "--timeout", "110s"];
    let waits = [
        ("probed", "/readyz", (3, "failed")),
        ("asked", "/", (3, "failed")),
        ("warm-probed", path, (0, "ready")),
        ("warm-asked", path, (0, "ready")),
        ("some", "/", (124, "progressing")),
    ];
    std::thread::scope(|threads| {
        let wait_for = |(name, path, expected): (&str, &str, (u8, &str))| {
            let kind = if name == "some" { "statefulset" } else { "deployment" };
            let answer = wait(&scenario, &format!("{kind}/{name}"), &[&limits[..], &["--http", path]].concat());
            assert_eq!(state(&answer), expected, "{name} {}{}", answer.stdout, answer.stderr);
            answer
        };
        let running = waits.map(|wanted| threads.spawn(move || wait_for(wanted)));
        let [probed, asked, .., some] = running.map(|thread| thread.join().unwrap());
        assert_eq!(codes(&probed), ["ReadinessProbeFailing"], "{}", probed.stdout);
        assert_eq!(codes(&asked), ["ApplicationError"], "{}", asked.stdout);
        assert!(asked.stdout.contains("GET / answers 500"), "{}", asked.stdout);
        assert!(
            some.stdout.contains("1 of 2 endpoints answer as asked, pod some-1: "),
            "{}",
            some.stdout
        );
    });
}
