//! What clients see from inside the cluster, what the targets log meanwhile, and what becomes of those that depend on them.

use std::io::Read as _;

use super::*;

const IMAGE: &str = "busybox:1.36";

fn told(answer: &Answer) -> String {
    format!("{}{}", answer.stdout, answer.stderr)
}

/// Seconds of a field.
fn seconds(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field} of {value}"))
}

#[test]
fn a_service_without_an_address_is_measured_from_inside_the_cluster() {
    let mut inside = service("ClusterIP");
    inside["metadata"]["name"] = "inside".into();
    let scenario = Scenario::new("drill-inside")
        .apply(&manifest(&[web(2, json!({}), probe()), service("LoadBalancer"), inside]))
        .until("both are ready", pods_ready(2));
    url(&scenario);
    let before = specs(&scenario);
    let run = [
        "scale-zero",
        "deployment/web",
        "--target",
        "svc/inside:80/",
        "--target",
        "svc/web:80/",
    ];
    let without = drill(&scenario, &run);
    assert_eq!((without.exit, without.stdout.as_str()), (7, ""), "{}", told(&without));
    assert!(without.stderr.contains("--probe-image"), "{}", without.stderr);
    let secret = drill(&scenario, &[&run[..], &["--probe-image", IMAGE, "--header", "a=b"]].concat());
    assert_eq!(secret.exit, 2, "{}", told(&secret));
    assert_eq!((specs(&scenario), scenario.list(&kind::JOB).len()), (before.clone(), 0));

    let answer = drill(&scenario, &[&run[..], &["--probe-image", IMAGE]].concat());
    assert_eq!((&answer.json["verdict"], answer.exit), (&json!("held"), 0), "{}", told(&answer));
    let measured = answer.json["measured"].as_array().unwrap();
    let of = |target: &str, connections: &str| {
        let found = measured
            .iter()
            .find(|one| one["target"] == target && one["connections"] == connections);
        found.cloned().unwrap_or_default()
    };
    let (inside, outside) = (of("svc/inside:80/", "new"), of("svc/web:80/", "new"));
    assert_eq!(
        (&inside["from"], &outside["from"]),
        (&json!("cluster"), &json!("here")),
        "{}",
        told(&answer)
    );
    assert_eq!(of("svc/inside:80/", "kept"), Value::Null, "{}", told(&answer));
    assert!(
        inside["latencyBefore"].is_object() && inside["latencyAfter"].is_object(),
        "{inside}"
    );
    // Both are down while there is no pod. kube-proxy learns of the new ones from two Services, perhaps more than a second apart.
    let down = |one: &Value| {
        let outages = one["outages"].as_array().unwrap();
        let (Some(first), Some(last)) = (outages.first(), outages.last()) else {
            panic!("no outage: {}", told(&answer))
        };
        (seconds(first, "fromSeconds"), seconds(last, "toSeconds"))
    };
    let (a, b) = (down(&inside), down(&outside));
    assert!(a.0 < b.1 && b.0 < a.1, "{a:?} {b:?}: {}", told(&answer));
    assert_eq!((specs(&scenario), is_closed(&scenario)), (before, true));
    scenario.wait("its Job is gone", |scenario| scenario.list(&kind::JOB).is_empty());
}

#[test]
fn a_client_inside_the_cluster_that_is_lost_leaves_the_verdict_open() {
    let scenario = Scenario::new("drill-inside-lost")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let run = [
        "run",
        "rolling-restart",
        "deployment/web",
        "--target",
        "svc/web",
        "--probe-image",
        IMAGE,
        "--max-downtime",
        "1m",
        "-o",
        "json",
    ];
    let (mut child, mut lines) = begun(&scenario, &Folder::new(), &run);
    until_said(&mut lines, "injected");
    scenario.kubectl(&["delete", "pods", "-l", "app.kubernetes.io/name=podlife-prober", "--force"]);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {:?}", lines.collect::<Vec<_>>()));
    // It may have ended before it heard of it.
    let is_open = report["verdict"] == "inconclusive" && report["reasons"].to_string().contains("not measured to the end");
    assert!(is_open || report["verdict"] == "held", "{text}");
    child.wait().unwrap();
    scenario.wait("its Job is gone", |scenario| scenario.list(&kind::JOB).is_empty());
}

/// A server that says what it does, with a password in it. On a busy node the runtime loses what is printed right before the end.
fn talking() -> Value {
    let script = "echo hello; httpd -f -p 8080 -h /tmp & touch /tmp/readyz; \
                  trap 'kill $!; echo stopping with password=hunter22; sleep 1; exit' TERM; \
                  while :; do sleep 0.1; done";
    let mut server = web(1, json!({}), probe());
    server["spec"]["template"]["spec"]["containers"][0]["image"] = IMAGE.into();
    server["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sh", "-c", script]);
    server["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 5.into();
    server
}

#[test]
fn what_pods_log_during_an_outage_is_reported_without_credentials() {
    let scenario = Scenario::new("drill-logs")
        .apply(&manifest(&[talking(), service("LoadBalancer")]))
        .until("it is ready", pods_ready(1));
    let target = url(&scenario) + "readyz";
    let pod = scenario.list(&kind::POD)[0]["metadata"]["name"].as_str().unwrap().to_owned();
    // Held for longer than a busy node takes to end the pod: the next one must not be ready before that.
    let held = ["--duration", "5s", "--max-downtime", "1ms"];
    let run = [&["scale-zero", "deployment/web", "--target", &target][..], &held].concat();
    let answer = drill(&scenario, &run);
    assert_eq!(answer.exit, 3, "{}", told(&answer));
    let logs = answer.json["logs"].as_array().unwrap();
    let lines = |log: &Value| -> Vec<String> {
        let lines = log["lines"].as_array().unwrap();
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    let old = logs
        .iter()
        .find(|log| log["pod"] == pod.as_str())
        .unwrap_or_else(|| panic!("{}", told(&answer)));
    assert_eq!(
        lines(old),
        ["stopping with password=***"],
        "it has ended, and its log with it: {}",
        told(&answer)
    );
    let new = logs
        .iter()
        .find(|log| log["pod"] != pod.as_str())
        .unwrap_or_else(|| panic!("{}", told(&answer)));
    assert_eq!(lines(new), ["hello"], "{}", told(&answer));
    let folder = Folder::new();
    let (json, html) = (
        folder.0.join("a.json").display().to_string(),
        folder.0.join("a.html").display().to_string(),
    );
    std::fs::write(&json, answer.json.to_string()).unwrap();
    let text = scenario.podlife(&["drill", "report", &json, "--report", &html]);
    assert!(text.stdout.contains("stopping with password=***"), "{}", told(&text));
    assert!(std::fs::read_to_string(html).unwrap().contains("stopping with password=***"));
    let quiet = drill(&scenario, &["pod-delete", "deployment/web", "--max-restarts", "1"]);
    assert_eq!(
        (quiet.exit, quiet.json["endpointGaps"].as_array().unwrap().len()),
        (0, 1),
        "{}",
        told(&quiet)
    );
    assert!(
        quiet.json["logs"].to_string().contains("stopping"),
        "the Service had no endpoint: {}",
        told(&quiet)
    );
}

#[test]
fn restarts_of_what_depends_on_the_target_are_told_apart() {
    let mut other = named(talking(), "other");
    other["spec"]["template"]["spec"]["containers"][0]["name"] = "other".into();
    let scenario = Scenario::new("drill-dependant")
        .apply(&manifest(&[
            web(1, json!({}), probe()),
            other,
            service("LoadBalancer"),
            named(service("LoadBalancer"), "other"),
        ]))
        .until("both are ready", pods_ready(2));
    url(&scenario);
    let run = [
        "run",
        "scale-zero",
        "deployment/web",
        "--duration",
        "1h",
        "--watch",
        "svc/other:80/readyz",
        "-o",
        "json",
    ];
    let (mut child, mut lines) = begun(&scenario, &Folder::new(), &run);
    until_said(&mut lines, "proven");
    // The command has ended before the container does.
    let later = "(sleep 1; kill -TERM 1) >/dev/null 2>&1 &";
    scenario.kubectl(&["exec", "deployment/other", "--", "sh", "-c", later]);
    scenario.wait("its container runs again", |scenario| {
        let of = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
        let mut all = scenario.list(&kind::POD).iter().map(of).collect::<Vec<_>>().into_iter();
        all.any(|status| status["name"] == "other" && status["restartCount"] == 1 && status["ready"] == true)
    });
    send(&child, "-INT");
    until_said(&mut lines, "recovered");
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["restarts"], 0, "{text}");
    let dependants = report["dependantRestarts"].as_array().unwrap();
    assert_eq!(dependants.len(), 1, "{text}");
    assert_eq!(
        (&dependants[0]["workload"]["name"], &dependants[0]["restarts"]),
        (&json!("other"), &json!(1)),
        "{text}"
    );
}
