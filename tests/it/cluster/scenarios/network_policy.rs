//! Policies that cut callers off, and policies that do not.

use crate::cluster::harness::{Scenario, both, pods_ready, restarts};

/// A database that is ready, and a caller that ends when it does not reach it.
const SHOP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: db}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: db, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [httpd, -f, -p, "5432"], ports: [{name: sql, containerPort: 5432}]}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {app: db}, ports: [{port: 5432, targetPort: sql}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: busybox:1.36
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "sleep 3; nc -w 2 db 5432 </dev/null || exit 1; echo connected; sleep 3600"]
---
"#;

fn shop(name: &str, policies: &str) -> Scenario {
    Scenario::new(name).apply(&format!("---\n{policies}\n---\n{SHOP}"))
}

fn crashing(scenario: Scenario) -> Scenario {
    let db_is_ready = |s: &crate::cluster::harness::State| {
        s.pods
            .iter()
            .any(|p| p["metadata"]["labels"]["app"] == "db" && p["status"]["containerStatuses"][0]["ready"] == true)
    };
    scenario.until("the caller has failed twice", both(restarts("web", 2), db_is_ready))
}

#[test]
fn a_policy_that_lets_nobody_in() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}";
    let answer = crashing(shop("np-in", policy)).first_root_cause("NetworkPolicyBlocks", "ingress", "networkpolicy/db-closed");
    let fix = answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(fix.contains("app: web") && fix.contains("5432"), "{fix}");
}

#[test]
fn a_policy_that_lets_nobody_out_but_to_the_names() {
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
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}";
    let patient = SHOP.replace(
        "nc -w 2 db 5432 </dev/null || exit 1; echo connected; sleep 3600",
        "while true; do nc -w 2 db 5432 </dev/null; sleep 1; done",
    );
    let scenario = Scenario::new("np-lives")
        .apply(&format!("---\n{policy}\n---\n{patient}"))
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

/// The policy would stop the caller, but nobody is there to be called: a refusal has come from the other end.
#[test]
fn a_refusal_is_not_blamed_on_the_policy() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}";
    let crashes = SHOP.replace(
        "command: [httpd, -f, -p, \"5432\"]",
        // Never ready for a moment, so that there is never an endpoint behind the policy.
        "command: [sh, -c, 'echo no configuration file; exit 2'], readinessProbe: {tcpSocket: {port: 5432}, initialDelaySeconds: 60}",
    );
    assert_ne!(crashes, SHOP);
    Scenario::new("np-refused")
        .apply(&format!("---\n{policy}\n---\n{crashes}"))
        .until("both have failed twice", both(restarts("web", 2), restarts("db", 2)))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/db");
}

/// Callers that live on and are not ready, each with other words for it, or none.
#[test]
fn a_policy_that_keeps_callers_from_being_ready() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}";
    let database = SHOP
        .split("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}")
        .next()
        .unwrap();
    let deployment = |name: &str, container: &str| {
        format!(
            "
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: web, {container}}}]}}
"
        )
    };
    let runs = |script: &str, probe: &str| {
        format!(
            "image: 'busybox:1.36', imagePullPolicy: IfNotPresent, env: [{{name: DATABASE_URL, value: 'postgres://db:5432/shop'}}], \
             command: [sh, -c, '{script}'], readinessProbe: {{exec: {{command: {probe}}}, periodSeconds: 1, timeoutSeconds: 5}}"
        )
    };
    let callers = [
        (
            "go",
            runs(
                "while true; do nc -w 1 db 5432 </dev/null 2>/dev/null || echo \"dial tcp db:5432: i/o timeout\"; done",
                "['false']",
            ),
        ),
        (
            "node",
            runs(
                "while true; do nc -w 1 db 5432 </dev/null 2>/dev/null || echo \"Error: connect ETIMEDOUT\"; done",
                "['false']",
            ),
        ),
        (
            "ping",
            runs(
                "while true; do nc -w 1 db 5432 </dev/null 2>/dev/null || echo \"ping failed: context deadline exceeded\"; done",
                "['false']",
            ),
        ),
        (
            "probe",
            runs("while true; do sleep 5; done", "[sh, -c, 'nc -w 1 db 5432 </dev/null']"),
        ),
        (
            "silent",
            "image: 'podlife.test/app:1', env: [{name: DEPENDS_ON, value: 'http://db:5432/'}], \
             readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}"
                .to_owned(),
        ),
    ];
    let manifest: String = callers.iter().map(|(name, container)| deployment(name, container)).collect();
    let scenario = Scenario::new("np-unready").apply(&format!("---\n{policy}\n---\n{database}\n{manifest}"));
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
