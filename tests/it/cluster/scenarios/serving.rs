//! Services that serve in part, slowly, behind a policy, or where nothing may be dialled: the verdict is that of the endpoints.

use serde_json::Value;

use crate::cluster::harness::{Answer, Scenario, pods_ready, running};
use crate::cluster::objects;

fn verdict_of<'a>(answer: &'a Answer, kind: &str, name: &str) -> &'a str {
    let judged = answer.json["workloads"].as_array().unwrap();
    let one = judged.iter().find(|j| j["kind"] == kind && j["name"] == name);
    one.and_then(|j| j["verdict"].as_str())
        .unwrap_or_else(|| panic!("{kind} {name}\n{:#}", answer.json))
}

fn codes(answer: &Answer) -> Vec<&str> {
    let causes = answer.json["rootCauses"].as_array().unwrap();
    causes.iter().filter_map(|f| f["code"].as_str()).collect()
}

#[test]
fn an_answer_that_comes_late_is_no_fault() {
    let apps = ["12s", "40s"].map(|latency| {
        objects::app(&format!("after-{latency}"))
            .env("LATENCY", latency)
            .ports("{port: 80, targetPort: 8080}")
    });
    let quick = objects::app("quick").env("LATENCY", "1s").ports("{port: 80, targetPort: 8080}");
    let manifest: String = apps.iter().chain([&quick]).map(ToString::to_string).collect();
    let scenario = Scenario::new("late-answers").apply(&manifest).until("all run", pods_ready(3));
    let answer = scenario.diagnose();
    assert_eq!((answer.exit, codes(&answer)), (4, Vec::new()), "{}", answer.stdout);
    for late in ["after-12s", "after-40s"] {
        assert_eq!(verdict_of(&answer, "Service", late), "inconclusive");
        assert_eq!(verdict_of(&answer, "Deployment", late), "inconclusive");
    }
    assert_eq!(verdict_of(&answer, "Service", "quick"), "healthy");
    let said = scenario.podlife(&["diagnose"]).stdout;
    assert!(said.contains("gave no answer within --dial-time"), "{said}");
}

/// One pod of two listens on the loopback and is not ready: the Service serves by the other one.
#[test]
fn a_service_with_one_endpoint_that_answers_serves() {
    let set = |name: &str, exception: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: {name}}}, ports: [{{port: 8080, targetPort: web}}]}}}}\n\
             ---\n{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: {name}}}, spec: {{serviceName: {name}, podManagementPolicy: Parallel, replicas: 2, \
             selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: app, \
             image: 'podlife.test/app:1', imagePullPolicy: IfNotPresent, env: [{exception}], ports: [{{name: web, containerPort: 8080}}], \
             readinessProbe: {{httpGet: {{path: /readyz, port: web}}, periodSeconds: 2}}}}]}}}}}}}}\n"
        )
    };
    let half = set("half", "{name: EXCEPTION, value: half-1}");
    let none = set("none", "{name: LISTEN, value: '127.0.0.1:8080'}");
    let scenario = Scenario::new("half").apply(&(half + &none)).until("all run", running("app"));
    scenario.wait("the probes of the others have failed", |scenario| {
        codes(&scenario.diagnose()).len() == 2
    });
    let answer = scenario.diagnose();
    assert_eq!(codes(&answer), ["ListenerOnLoopback", "ListenerOnLoopback"], "{}", answer.stdout);
    assert_eq!(verdict_of(&answer, "StatefulSet", "half"), "degraded");
    assert_eq!(verdict_of(&answer, "Service", "half"), "healthy");
    // Where no endpoint answers, it reaches nobody.
    assert_eq!(verdict_of(&answer, "Service", "none"), "broken");
}

/// One pod of three listens on the loopback, and nothing keeps it from counting as ready: the first one alone would not tell.
#[test]
fn a_loopback_listener_among_ready_pods_is_found() {
    let set = |name: &str, exception: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}}}\n\
             ---\n{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: {name}}}, spec: {{serviceName: {name}, podManagementPolicy: Parallel, replicas: 3, \
             selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{terminationGracePeriodSeconds: 0, \
             containers: [{{name: app, image: 'podlife.test/app:1', imagePullPolicy: IfNotPresent, env: [{exception}]}}]}}}}}}}}\n"
        )
    };
    let manifest = set("odd", "{name: EXCEPTION, value: odd-1}") + &set("even", "{name: EXCEPTION, value: none}");
    let scenario = Scenario::new("odd").apply(&manifest).until("all run", pods_ready(6));
    let answer = scenario.diagnose();
    assert_eq!(codes(&answer), ["ListenerOnLoopback"], "{}", answer.stdout);
    let root = answer.root_cause();
    assert_eq!(root["subject"]["pods"][0], "odd-1", "{root:#}");
    assert!(root["evidence"].to_string().contains("answers on the same port"), "{root:#}");
    assert_eq!(verdict_of(&answer, "StatefulSet", "odd"), "degraded");
    assert_eq!(verdict_of(&answer, "Service", "odd"), "healthy");
}

/// Environment and log say where it listens: the namespace, the Service and the Deployment have the same verdict without any connection.
#[test]
fn a_loopback_listener_is_seen_without_a_connection() {
    let own = |name: &str, listen: &str| {
        objects::app(name)
            .env("LISTEN", listen)
            .ports("{port: 6379, targetPort: 6379}")
            .to_string()
    };
    let scenario = Scenario::new("undialled")
        .apply(&(own("inside", "tcp:127.0.0.1:6379") + &own("outside", "tcp:0.0.0.0:6379")))
        .until("both run", pods_ready(2));
    for target in [&[][..], &["service/inside"], &["deployment/inside"]] {
        let answer = scenario.podlife(&[&["diagnose", "--no-dial", "-o", "json"], target].concat());
        assert_eq!(
            (answer.exit, codes(&answer)),
            (3, vec!["ListenerOnLoopback"]),
            "{target:?}\n{}",
            answer.stdout
        );
        assert_eq!(answer.root_cause()["confidence"], "likely", "{target:?}");
        assert_eq!(verdict_of(&answer, "Service", "inside"), "broken", "{target:?}");
    }
    let other = scenario.podlife(&["diagnose", "--no-dial", "-o", "json", "deployment/outside"]);
    assert_eq!(other.json["verdict"], "healthy", "{}", other.stdout);
}

fn policy(name: &str, spec: &str) -> String {
    format!("---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}}}, spec: {{{spec}}}}}\n")
}

#[test]
fn a_policy_that_lets_nobody_in_closes_the_service() {
    let web = |name: &str| objects::app(name).ports("{port: 80, targetPort: 8080}").to_string();
    let manifest = web("deny") + &web("some") + &web("open");
    let policies = policy("deny", "podSelector: {matchLabels: {app: deny}}, policyTypes: [Ingress]")
        + &policy("some", "podSelector: {matchLabels: {app: some}}, policyTypes: [Ingress]")
        + &policy(
            "some-clients",
            "podSelector: {matchLabels: {app: some}}, ingress: [{from: [{podSelector: {}}]}]",
        )
        + &policy("egress", "podSelector: {matchLabels: {app: open}}, policyTypes: [Egress]");
    let scenario = Scenario::new("let-in")
        .apply(&(manifest + &policies))
        .until("all run", pods_ready(3));
    let answer = scenario.diagnose();
    assert_eq!(codes(&answer), ["NetworkPolicyBlocks"], "{}", answer.stdout);
    assert_eq!(answer.root_cause()["subject"]["name"], "deny");
    assert_eq!(answer.root_cause()["confidence"], "proven");
    let verdicts = ["deny", "some", "open"].map(|name| verdict_of(&answer, "Service", name));
    assert_eq!(verdicts, ["broken", "healthy", "healthy"]);
}

/// A load balancer that was asked for a moment ago is on its way; a Service without one is not.
#[test]
fn a_new_load_balancer_is_under_way() {
    let front = "---\n{apiVersion: v1, kind: Service, metadata: {name: front}, spec: {type: LoadBalancer, loadBalancerClass: podlife.test/none, \
                 selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}}\n";
    let scenario = Scenario::new("new-balancer")
        .apply(&objects::app("api").ports("{port: 80, targetPort: 8080}").to_string())
        .until("it runs", pods_ready(1))
        .apply(front);
    let answer = scenario.diagnose();
    assert_eq!((answer.exit, codes(&answer)), (0, Vec::new()), "{}", answer.stdout);
    assert_eq!(verdict_of(&answer, "Service", "front"), "progressing");
    assert_eq!(verdict_of(&answer, "Service", "api"), "healthy");
}

/// What a printed command does with a probe's script is what the kubelet does: the shell of the user gets one argument after another.
#[test]
fn the_command_of_a_probe_is_quoted() {
    let script = "test -f /tmp/ready || echo not there; touch /tmp/on-your-machine; exit 1";
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: quoting}}, spec: {{containers: [{{name: c, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, \
         command: [sh, -c, 'sleep 100000'], readinessProbe: {{periodSeconds: 2, exec: {{command: [sh, -c, '{script}']}}}}}}]}}}}"
    );
    let scenario = Scenario::new("quoting").apply(&pod).until("it runs", running("c"));
    let exec = |scenario: &Scenario| {
        let answer = scenario.podlife(&["diagnose", "pod/quoting", "-o", "json"]);
        let fixes = answer.json["rootCauses"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|f| f["fixes"].as_array().unwrap().clone());
        let command = |fix: Value| fix["command"].as_str().map(str::to_owned);
        fixes.filter_map(command).find(|command| command.contains(" exec "))
    };
    scenario.wait("the probe has failed", |scenario| exec(scenario).is_some());
    let expected = format!("kubectl exec quoting -c c -n {} -- sh -c '{script}'", scenario.namespace);
    assert_eq!(exec(&scenario), Some(expected));
}

/// The pod is named where the others answer well, and not where each of them fails.
#[test]
fn one_pod_of_several_that_answers_500_is_named() {
    let set = |name: &str, fails: &str| {
        let script = serde_json::to_string(&objects::answers_500_in(fails)).unwrap();
        let service = objects::service(
            name,
            &format!("{{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}"),
        );
        format!(
            "{service}---\n{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: {name}}}, spec: {{serviceName: {name}, \
             podManagementPolicy: Parallel, replicas: 3, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
             spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, \
             ports: [{{containerPort: 8080}}], readinessProbe: {{exec: {{command: [pidof, httpd]}}}}, command: [sh, -c, {script}]}}]}}}}}}}}\n"
        )
    };
    let scenario = Scenario::new("some-500")
        .apply(&(set("one", "one-1") + &set("every", "every-*") + &set("none", "other-1")))
        .until("all run", pods_ready(9));
    let answer = scenario.diagnose();
    let all = answer.json["rootCauses"].as_array().unwrap();
    let of = |name: &str| all.iter().find(|f| f["subject"]["name"] == name).cloned().unwrap_or_default();
    let (one, every) = (of("one"), of("every"));
    assert_eq!(codes(&answer), ["ApplicationError", "ApplicationError"], "{}", answer.stdout);
    let summary = |finding: &Value| finding["summary"].as_str().unwrap_or_default().to_owned();
    assert!(summary(&one).starts_with("pod one-1: container app answers"), "{one:#}");
    assert!(summary(&every).starts_with("container app answers"), "{every:#}");
    for (name, verdict) in [("one", "degraded"), ("every", "degraded"), ("none", "healthy")] {
        assert_eq!(verdict_of(&answer, "StatefulSet", name), verdict, "{}", answer.stdout);
    }
}
