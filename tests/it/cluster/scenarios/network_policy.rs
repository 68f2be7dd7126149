//! Policies that cut callers off, and policies that do not.

use crate::cluster::harness::{Scenario, both, pods_ready, restarts};
use crate::cluster::objects::{Workload, app, busybox, shell};

/// What a caller does that ends when it does not reach the database.
const CALLS: &str = "sleep 3; nc -w 2 db 5432 </dev/null || exit 1; echo connected; sleep 3600";
/// Lets nobody in to the database.
const CLOSED: &str = "\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                      spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}\n";

/// A database, and its Service.
fn database(runs: &str) -> Workload {
    busybox("db")
        .called("db")
        .at_once()
        .container(&format!("{runs}, ports: [{{name: sql, containerPort: 5432}}]"))
        .ports("{port: 5432, targetPort: sql}")
}

/// A database that is ready.
fn ready() -> Workload {
    database("command: [httpd, -f, -p, '5432']")
}

fn caller(name: &str, script: &str) -> Workload {
    shell(name, script).called("web").at_once()
}

/// A database that is ready, and a caller that ends when it does not reach it.
fn shop(name: &str, policies: &str) -> Scenario {
    Scenario::new(name).apply(&format!("---\n{policies}{}{}", ready(), caller("web", CALLS)))
}

/// Waits until the caller has failed twice, and last for want of an answer: a policy takes effect some time after it was created, and until then
/// the caller meets a database that starts.
fn crashing(scenario: Scenario) -> Scenario {
    let db_is_ready = |s: &crate::cluster::harness::State| {
        s.pods
            .iter()
            .any(|p| p["metadata"]["labels"]["app"] == "db" && p["status"]["containerStatuses"][0]["ready"] == true)
    };
    let scenario = scenario.until("the caller has failed twice", both(restarts("web", 2), db_is_ready));
    scenario.wait("its log tells why", |s| {
        s.kubectl(&["logs", "deployment/web"]).contains("timed out")
    });
    scenario
}

#[test]
fn a_policy_without_ingress_rules() {
    let answer = crashing(shop("np-in", CLOSED)).first_root_cause("NetworkPolicyBlocks", "ingress", "networkpolicy/db-closed");
    let fix = answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(fix.contains("app: web") && fix.contains("5432"), "{fix}");
}

#[test]
fn a_policy_that_allows_egress_to_dns_only() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web-names}, \
                  spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], \
                  egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}}";
    crashing(shop("np-out", policy)).first_root_cause("NetworkPolicyBlocks", "egress", "networkpolicy/web-names");
}

#[test]
fn a_policy_that_cuts_off_the_names() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed}, \
                  spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], \
                  egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}}";
    crashing(shop("np-dns", policy)).first_root_cause("NetworkPolicyBlocks", "dns", "networkpolicy/closed");
}

#[test]
fn a_policy_that_cuts_off_a_caller_that_lives_on() {
    let patient = caller("web", "sleep 3; while true; do nc -w 2 db 5432 </dev/null; sleep 1; done");
    let scenario = Scenario::new("np-lives")
        .apply(&format!("{CLOSED}{}{patient}", ready()))
        .until("both run", pods_ready(2));
    scenario.wait("its log tells of a timeout", |s| {
        s.kubectl(&["logs", "deployment/web"]).contains("timed out")
    });
    scenario.first_root_cause("NetworkPolicyBlocks", "ingress", "networkpolicy/db-closed");
}

#[test]
fn policies_that_let_the_caller_through() {
    let policies = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: all-closed}, \
                    spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}\n---\n\
                    {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web-to-db}, \
                    spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: sql}]}]}}\n---\n\
                    {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web-out}, \
                    spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], \
                    ports: [{port: 5432}]}, {ports: [{port: 53, protocol: UDP}]}]}}";
    let scenario = shop("np-fine", policies);
    scenario.wait("the caller is connected", |s| {
        s.list(&podlife::model::kind::POD).len() == 2 && {
            let web = s
                .list(&podlife::model::kind::POD)
                .into_iter()
                .find(|p| p["metadata"]["labels"]["app"] == "web");
            web.is_some_and(|p| p["status"]["containerStatuses"][0]["ready"] == true)
                && s.kubectl(&["logs", "deployment/web"]).contains("connected")
        }
    });
    scenario.healthy();
}

/// A pod that is ready, and says again and again that it does not reach a host outside: the policy is named where it is in the way.
#[test]
fn a_policy_that_keeps_a_ready_pod_from_a_host_outside() {
    let calls = |name: &str, port: u16| {
        let words = format!("error: dial tcp 203.0.113.9:{port}: i/o timeout");
        caller(name, &format!("while true; do echo '{words}'; sleep 1; done"))
    };
    let closed = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: out}, spec: {podSelector: {matchExpressions: \
                  [{key: app, operator: In, values: [stopped, through]}]}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}, \
                  {to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 443}]}]}}";
    let scenario = Scenario::new("np-outside")
        .apply(&format!(
            "{closed}{}{}{}",
            calls("stopped", 5432),
            calls("through", 443),
            calls("free", 5432)
        ))
        .until("all run", pods_ready(3));
    scenario.wait("their logs repeat it", |s| {
        let said = |name: &str| s.kubectl(&["logs", &format!("deployment/{name}")]).lines().count() > 4;
        ["stopped", "through", "free"].into_iter().all(said)
    });
    let answer = scenario.first_root_cause_of("deployment/stopped", "NetworkPolicyBlocks", "egress", "networkpolicy/out");
    let (cause, symptom) = (answer.root_cause(), &answer.json["symptoms"][0]);
    let summary = cause["summary"].as_str().unwrap_or_default();
    assert!(summary.contains("out to 203.0.113.9 on port 5432"), "{summary}");
    assert_eq!(answer.json["verdict"], "degraded", "{}", answer.stdout);
    assert_eq!(symptom["code"], "DependencyUnreachable", "{}", answer.stdout);
    let command = cause["fixes"][0]["command"].as_str().unwrap_or_default();
    assert!(command.contains(r#""cidr":"203.0.113.9/32""#), "{command}");
    // A rule lets this one through, and no policy is about the other one.
    for name in ["through", "free"] {
        scenario.first_root_cause_of(
            &format!("deployment/{name}"),
            "DependencyUnreachable",
            "",
            &format!("deployment/{name}"),
        );
    }
}

/// The policy would stop the caller, but nobody is there to be called: a refusal has come from the other end.
#[test]
fn a_refusal_is_not_blamed_on_the_policy() {
    // Never ready for a moment, so that there is never an endpoint behind the policy.
    let crashes = database(
        "command: [sh, -c, 'echo no configuration file; exit 2'], readinessProbe: {tcpSocket: {port: 5432}, initialDelaySeconds: 60}",
    );
    Scenario::new("np-refused")
        .apply(&format!("{CLOSED}{crashes}{}", caller("web", CALLS)))
        .until("both have failed twice", both(restarts("web", 2), restarts("db", 2)))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/db");
}

/// Callers that live on and are not ready, each with other words for it, or none.
#[test]
fn a_policy_that_keeps_callers_from_being_ready() {
    let runs = |name: &str, script: &str, probe: &str| {
        caller(name, script)
            .env("DATABASE_URL", "postgres://db:5432/shop")
            .container(&format!(
                "readinessProbe: {{exec: {{command: {probe}}}, periodSeconds: 1, timeoutSeconds: 5}}"
            ))
    };
    let in_vain = |name: &str, words: &str| {
        let script = format!("while true; do nc -w 1 db 5432 </dev/null 2>/dev/null || echo \"{words}\"; done");
        (name.to_owned(), runs(name, &script, "['false']"))
    };
    let callers = [
        in_vain("go", "dial tcp db:5432: i/o timeout"),
        in_vain("node", "Error: connect ETIMEDOUT"),
        in_vain("ping", "ping failed: context deadline exceeded"),
        (
            "probe".to_owned(),
            runs("probe", "while true; do sleep 5; done", "[sh, -c, 'nc -w 1 db 5432 </dev/null']"),
        ),
        (
            "silent".to_owned(),
            app("silent")
                .called("web")
                .at_once()
                .env("DEPENDS_ON", "http://db:5432/")
                .container("readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}"),
        ),
    ];
    let manifest: String = callers.iter().map(|(_, caller)| caller.to_string()).collect();
    let scenario = Scenario::new("np-unready").apply(&format!("{CLOSED}{}{manifest}", ready()));
    // Whoever runs for less than half a minute may still be starting.
    for (name, _) in &callers {
        scenario.wait(&format!("{name} is looked into"), |s| {
            let answer = s.podlife(&["diagnose", &format!("deployment/{name}"), "-o", "json"]);
            let roots = answer.json["rootCauses"].as_array().map_or(0, Vec::len);
            roots > 0 && answer.root_cause()["code"] == "NetworkPolicyBlocks"
        });
        scenario.first_root_cause_of(
            &format!("deployment/{name}"),
            "NetworkPolicyBlocks",
            "ingress",
            "networkpolicy/db-closed",
        );
    }
    // All of them are let in by the one command.
    let answer = scenario.diagnose();
    let command = answer.root_cause()["fixes"][0]["command"].as_str().unwrap().to_owned();
    crate::cluster::policies::run(&command);
    scenario.wait("who only waited for the database is ready", |s| {
        let pods = s.list(&podlife::model::kind::POD);
        let mut probed = pods.iter().filter(|p| p["metadata"]["labels"]["app"] == "probe");
        probed.any(|p| p["status"]["containerStatuses"][0]["ready"] == true)
    });
}
