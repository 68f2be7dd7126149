//! The rules of the API as a table, and what a failed call is blamed on.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;

use crate::facts::policy::allows::{Direction, Doubt, End, Identity, Outcome, Port, evaluate};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::snapshot::{Coverage, LogKey, Snapshot};
use crate::testing::{check_snapshot, run, snapshot};
use crate::view::ports::Declared;
use crate::view::{Need, Options, View};

type Labels = BTreeMap<String, String>;

fn labels(text: &str) -> Labels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

fn policies(specs: &[&str]) -> Vec<NetworkPolicy> {
    let policy = |(at, spec): (usize, &&str)| format!("{{metadata: {{name: p{at}, namespace: shop}}, spec: {spec}}}");
    let texts = specs.iter().enumerate().map(policy);
    texts.map(|text| serde_saphyr::from_str(&text).unwrap()).collect()
}

/// `allowed`, the direction that denies, or what the answer depends on.
fn word(policies: &[NetworkPolicy], from: &End<'_>, to: &End<'_>, port: Port<'_>) -> &'static str {
    let answers = [Direction::Egress, Direction::Ingress].map(|direction| evaluate(policies, direction, from, to, port));
    if let Some(denied) = answers.iter().find(|a| a.is_denied()) {
        return denied.direction.as_str();
    }
    match answers.iter().find_map(crate::facts::policy::allows::Evaluation::doubt) {
        None => "allowed",
        Some(Doubt::Namespace) => "unknown namespace",
        Some(Doubt::Address) => "unknown address",
        Some(Doubt::Ports) => "unknown ports",
        Some(Doubt::Host) => "unknown host",
        Some(Doubt::Peer) => "unknown peer",
    }
}

const SQL: Port<'_> = Port {
    number: 5432,
    protocol: "TCP",
};

/// Port 5432 (named `sql`) of a pod `app=db` in `shop`.
fn db(labels: &Labels) -> End<'_> {
    End {
        namespace: "shop",
        namespace_labels: None,
        identity: Identity::Pod(labels),
        ip: Some("10.244.0.9".parse().unwrap()),
        ports: Some(vec![Declared {
            container: "db",
            name: "sql",
            number: 5432,
            protocol: "TCP",
        }]),
    }
}

/// A pod with these labels in `shop`, without declared ports.
fn caller(labels: &Labels) -> End<'_> {
    End {
        namespace: "shop",
        identity: Identity::Pod(labels),
        ip: Some("10.244.0.7".parse().unwrap()),
        ports: Some(Vec::new()),
        ..End::default()
    }
}

/// Calls the database from a pod with these labels in a namespace; of `other` the labels are known, of all else they are not.
fn passes(specs: &[&str], namespace: &str, source: &str) -> &'static str {
    let (source, of_db) = (labels(source), labels("app=db"));
    let team = labels("team=a,kubernetes.io/metadata.name=other");
    let from = End {
        namespace,
        namespace_labels: (namespace == "other").then_some(&team),
        ..caller(&source)
    };
    word(&policies(specs), &from, &db(&of_db), SQL)
}

#[test]
fn rules_of_the_api_hold() {
    let cases = include_str!("cases.txt").lines().filter(|line| !line.starts_with('#'));
    for case in cases {
        let parts: Vec<&str> = case.splitn(4, '|').map(str::trim).collect();
        let [expected, namespace, source, specs] = parts[..] else {
            panic!("{case}")
        };
        let specs = specs.replace("DB", "podSelector: {matchLabels: {app: db}}");
        let specs: Vec<&str> = specs.split(" + ").filter(|spec| !spec.is_empty()).collect();
        assert_eq!(passes(&specs, namespace, source), expected, "{case}");
    }
}

/// What is called counts as the pod sees it: number, name and protocol.
#[test]
fn ports_are_those_of_the_destination() {
    let (web, of_db) = (labels("app=web"), labels("app=db"));
    let from = caller(&web);
    let dns = |protocol| Declared {
        container: "db",
        name: "dns",
        number: 53,
        protocol,
    };
    for (ports, number, protocol, expected) in [
        ("[{port: 53, protocol: UDP}]", 53, "UDP", "allowed"),
        ("[{port: 53, protocol: UDP}]", 53, "TCP", "ingress"),
        ("[{port: 53}]", 53, "UDP", "ingress"),
        ("[{protocol: SCTP}]", 3868, "SCTP", "allowed"),
        ("[{protocol: SCTP}]", 3868, "TCP", "ingress"),
        ("[{port: 30000, endPort: 32767, protocol: SCTP}]", 32767, "SCTP", "allowed"),
        ("[{port: 30000, endPort: 32767, protocol: SCTP}]", 32768, "SCTP", "ingress"),
        // The name stands for another number with each protocol.
        ("[{port: dns, protocol: UDP}]", 53, "UDP", "allowed"),
        ("[{port: dns, protocol: TCP}]", 53, "TCP", "ingress"),
        ("[{port: dns, protocol: UDP}]", 54, "UDP", "ingress"),
    ] {
        let all = policies(&[&format!(
            "{{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{{ports: {ports}}}]}}"
        )]);
        let to = End {
            ports: Some(vec![dns("UDP")]),
            ..db(&of_db)
        };
        assert_eq!(
            word(&all, &from, &to, Port { number, protocol }),
            expected,
            "{ports} {number}/{protocol}"
        );
    }
}

#[test]
fn ends_that_are_no_pods_or_were_not_read() {
    let (web, of_db) = (labels("app=web"), labels("app=db"));
    let pod = caller(&web);
    let on_host = End {
        identity: Identity::Host(&web),
        ip: Some("192.0.2.4".parse().unwrap()),
        ..pod.clone()
    };
    let outside = End {
        ip: Some("192.0.2.99".parse().unwrap()),
        ..End::default()
    };
    let unseen = End {
        identity: Identity::Unseen,
        ..outside.clone()
    };
    let unborn = End { ip: None, ..pod.clone() };
    let to = |identity| End { identity, ..db(&of_db) };
    let unread_ports = End { ports: None, ..db(&of_db) };
    let closed = "{podSelector: {}, policyTypes: [Ingress, Egress]}";
    let in_by_label = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}";
    let in_by_block =
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.64/26]}}]}]}";
    let out_by_label =
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}";
    let out_by_name = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: sql}]}]}";
    for (policy, from, to, expected) in [
        // What is on the node's network is bound by no policy of its own ...
        (closed, &on_host, to(Identity::Host(&of_db)), "allowed"),
        (closed, &pod, to(Identity::Host(&of_db)), "egress"),
        // ... and known to others by the node's address, or with some plug-ins by its labels too.
        (in_by_block, &on_host, db(&of_db), "allowed"),
        (in_by_label, &on_host, db(&of_db), "unknown host"),
        (out_by_label, &pod, to(Identity::Host(&of_db)), "unknown host"),
        (closed, &on_host, db(&of_db), "ingress"),
        (in_by_block, &outside, db(&of_db), "ingress"),
        (in_by_label, &outside, db(&of_db), "ingress"),
        (in_by_label, &unseen, db(&of_db), "unknown peer"),
        (in_by_block, &unborn, db(&of_db), "unknown address"),
        (out_by_name, &pod, db(&of_db), "allowed"),
        (out_by_name, &pod, unread_ports, "unknown ports"),
        (out_by_name, &pod, outside.clone(), "egress"),
    ] {
        assert_eq!(word(&policies(&[policy]), from, &to, SQL), expected, "{policy} {from:?}");
    }
}

#[test]
fn the_rule_that_lets_it_pass_is_named() {
    let (web, of_db) = (labels("app=web"), labels("app=db"));
    let from = caller(&web);
    let all = policies(&[
        "{podSelector: {}}",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}]}, {from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
    ]);
    let answer = evaluate(&all, Direction::Ingress, &from, &db(&of_db), SQL);
    assert_eq!(answer.policies.len(), 2);
    let Outcome::Allowed(by) = answer.outcome else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (by.policy.metadata.name.as_deref(), by.rule, by.is_by_address),
        (Some("p1"), 1, true)
    );
}

/// A caller whose log ends with a line, a database that is ready, and a policy.
fn called(policy: &str, log: &str) -> Snapshot {
    let yaml = format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}}}
spec: {{nodeName: n1, containers: [{{name: web, image: i, command: [sh, -c, 'serve db:5432']}}]}}
status:
  phase: Running
  podIP: 10.244.0.7
  containerStatuses:
  - {{name: web, ready: false, restartCount: 2, image: i, imageID: '', state: {{waiting: {{reason: CrashLoopBackOff}}}},
     lastState: {{terminated: {{exitCode: 1, finishedAt: '2026-01-01T11:59:30Z', startedAt: '2026-01-01T11:59:28Z'}}}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: db}}, spec: {{clusterIP: 10.96.3.4, selector: {{app: db}}, ports: [{{port: 5432}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: kube-dns, namespace: kube-system}},
  spec: {{clusterIP: 10.96.0.10, selector: {{k8s-app: kube-dns}}, ports: [{{port: 53, protocol: UDP}}]}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db, labels: {{app: db}}}}
spec: {{nodeName: n2, containers: [{{name: db, image: i}}]}}
status: {{phase: Running, podIP: 10.244.0.9, conditions: [{{type: Ready, status: 'True'}}]}}
---
{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: closed}}, spec: {policy}}}
"
    );
    let mut snapshot = snapshot(&yaml);
    for previous in [true, false] {
        let key = LogKey {
            namespace: "shop".into(),
            pod: "web".into(),
            container: "web".into(),
            previous,
        };
        snapshot.put_log(key, Some(log.to_owned()));
    }
    snapshot
}

fn blamed(policy: &str, log: &str) -> Vec<String> {
    let found = check_snapshot(crate::rules::network_policy::check, &called(policy, log));
    found.into_iter().map(|f| format!("{} {}", f.code.as_str(), f.cause)).collect()
}

#[test]
fn a_timeout_is_blamed_on_a_policy_and_a_refusal_never() {
    let closed_in = "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}";
    let closed_out = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}";
    let names_only = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}";
    let open = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}";
    for (policy, log, expected) in [
        (
            closed_in,
            "dial tcp 10.96.3.4:5432: i/o timeout",
            &["NetworkPolicyBlocks ingress"][..],
        ),
        (
            closed_in,
            "nc: db (10.96.3.4:5432): Connection timed out",
            &["NetworkPolicyBlocks ingress"],
        ),
        (
            closed_in,
            "Error: connect ETIMEDOUT 10.96.3.4:5432",
            &["NetworkPolicyBlocks ingress"],
        ),
        (closed_in, "dial tcp 10.96.3.4:5432: connect: connection refused", &[]),
        (closed_in, "Error: connect ECONNREFUSED 10.96.3.4:5432", &[]),
        (
            closed_in,
            "read tcp 10.244.0.7:40000->10.96.3.4:5432: read: connection reset by peer",
            &[],
        ),
        (closed_in, "could not connect to db:5432: No route to host", &[]),
        // The name was found: what is closed is the way in.
        (closed_in, "dial tcp: lookup db on 10.96.0.10:53: no such host", &[]),
        (closed_out, "dial tcp 10.96.3.4:5432: i/o timeout", &["NetworkPolicyBlocks egress"]),
        (closed_out, "dial tcp 10.96.3.4:5432: connect: connection refused", &[]),
        (
            closed_out,
            "dial tcp: lookup db on 10.96.0.10:53: i/o timeout",
            &["NetworkPolicyBlocks dns"],
        ),
        (closed_out, "connecting to db:5432 timed out", &["NetworkPolicyBlocks dns"]),
        (names_only, "connecting to db:5432 timed out", &["NetworkPolicyBlocks egress"]),
        (open, "dial tcp 10.96.3.4:5432: i/o timeout", &[]),
    ] {
        assert_eq!(blamed(policy, log), expected, "{policy} {log}");
    }
}

#[test]
fn a_ready_caller_whose_policy_stops_names_is_looked_into() {
    let pods_only = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}";
    let names_too = pods_only.replace("egress: [", "egress: [{ports: [{port: 53, protocol: UDP}]}, ");
    for (policy, expected) in [(pods_only, &["dns"][..]), (&names_too, &[])] {
        let mut snapshot = called(policy, "connecting to db:5432 timed out");
        let web = snapshot
            .objects
            .pods
            .iter_mut()
            .find(|pod| pod.metadata.name.as_deref() == Some("web"))
            .unwrap();
        web.status = serde_json::from_value(serde_json::json!({
            "phase": "Running", "podIP": "10.244.0.7", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "ready": true, "started": true, "restartCount": 0, "image": "i", "imageID": "",
                "state": {"running": {"startedAt": "2026-01-01T11:50:00Z"}}}]
        }))
        .unwrap();
        let found = check_snapshot(crate::rules::network_policy::check, &snapshot);
        assert_eq!(found.iter().map(|f| f.cause.to_string()).collect::<Vec<_>>(), expected, "{policy}");
    }
}

/// A caller that lives on and is not ready, as its probe says, with one line in its log and others behind it.
fn unready(policy: &str, log: &str, message: &str) -> Vec<String> {
    let mut snapshot = called(policy, &format!("{log}\n{}", "GET /healthz 200\n".repeat(30)));
    let yaml = format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web}}, uid: u}}
spec:
  nodeName: n1
  containers:
  - name: web
    image: i
    env: [{{name: DATABASE_URL, value: 'postgres://me:pw@db/shop'}}, {{name: CACHE_HOST, value: cache}}]
    readinessProbe: {{httpGet: {{path: /ready, port: 80}}}}
status:
  phase: Running
  podIP: 10.244.0.7
  conditions: [{{type: Ready, status: 'False'}}]
  containerStatuses: [{{name: web, ready: false, started: true, restartCount: 0, image: i, imageID: '', state: {{running: {{startedAt: '2026-01-01T11:50:00Z'}}}}}}]
---
{{apiVersion: v1, kind: Service, metadata: {{name: cache}}, spec: {{clusterIP: None, selector: {{app: cache}}, ports: [{{port: 6379}}]}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: cache, labels: {{app: cache}}}}
spec: {{nodeName: n2, containers: [{{name: cache, image: i}}]}}
status: {{phase: Running, podIP: 10.244.0.11, conditions: [{{type: Ready, status: 'True'}}]}}
---
{{apiVersion: v1, kind: Event, metadata: {{name: e}}, reason: Unhealthy, type: Warning, message: '{message}', lastTimestamp: '2026-01-01T11:59:50Z',
  involvedObject: {{kind: Pod, name: web, namespace: shop, uid: u, fieldPath: 'spec.containers{{web}}'}}}}
"
    );
    let other = crate::testing::snapshot(&yaml);
    snapshot.objects.pods.retain(|pod| pod.metadata.name.as_deref() != Some("web"));
    snapshot.objects.pods.extend(other.objects.pods);
    snapshot.objects.services.extend(other.objects.services);
    snapshot.objects.events.extend(other.objects.events);
    snapshot.sort();
    let found = check_snapshot(crate::rules::network_policy::check, &snapshot);
    found
        .into_iter()
        .map(|f| format!("{} {}", f.cause, format!("{:?}", f.confidence).to_lowercase()))
        .collect()
}

#[test]
fn a_caller_that_lives_on_and_is_not_ready_is_followed_as_one_that_ends() {
    let closed_in = "{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}";
    let cache_closed = "{podSelector: {matchLabels: {app: cache}}, policyTypes: [Ingress]}";
    let open = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}";
    let says_no = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    let silent = "Readiness probe failed: Get \"http://10.244.0.7:80/ready\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    let not_found = "Readiness probe failed: HTTP probe failed with statuscode: 404";
    let likely: &[&str] = &["ingress likely"];
    let possible: &[&str] = &["ingress possible"];
    for (policy, log, message, expected) in [
        (closed_in, "ready check: dial tcp 10.96.3.4:5432: i/o timeout", says_no, likely),
        (closed_in, "Error: connect ETIMEDOUT 10.96.3.4:5432", says_no, likely),
        (closed_in, "context deadline exceeded while connecting to db:5432", says_no, likely),
        (
            closed_in,
            "{\"level\":\"error\",\"err\":\"dial tcp 10.96.3.4:5432: i/o timeout\"}",
            says_no,
            likely,
        ),
        // The line names nobody, or the server itself: it is the one that a policy stops.
        (closed_in, "ping failed: context deadline exceeded", says_no, likely),
        (closed_in, "GET /ready on 0.0.0.0:80: database check: i/o timeout", says_no, likely),
        (
            closed_in,
            "HikariPool-1 - Connection is not available, request timed out after 30000ms",
            says_no,
            likely,
        ),
        // A client of a headless Service calls the pod by its own address.
        (cache_closed, "dial tcp 10.244.0.11:6379: i/o timeout", says_no, likely),
        // Not a word, but the probe says that something is waited for.
        (closed_in, "listening on :80", says_no, possible),
        (closed_in, "listening on :80", silent, possible),
        // It is open, it was refused, or the answer has nothing to do with others.
        (open, "dial tcp 10.96.3.4:5432: i/o timeout", says_no, &[]),
        (open, "listening on :80", silent, &[]),
        (closed_in, "dial tcp 10.96.3.4:5432: connect: connection refused", says_no, &[]),
        // Whoever calls, nobody gets in.
        (closed_in, "listening on :80", not_found, &["ingress proven"]),
    ] {
        assert_eq!(unready(policy, log, message), expected, "{policy} {log} {message}");
    }
}

/// Without the labels of a namespace there is no answer; they are asked for, and then there is one.
#[test]
fn a_policy_that_selects_namespaces_waits_for_their_labels() {
    let policy = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}";
    let mut snapshot = called(policy, "dial tcp 10.96.3.4:5432: i/o timeout");
    snapshot.cover(&kind::NAMESPACE, None, Coverage::Partial);
    let view = View::new(&snapshot, Options::default());
    let out = run(crate::rules::network_policy::check, &view);
    assert!(out.findings.is_empty());
    assert!(
        out.needs
            .into_set()
            .contains(&Need::Object(ObjectRef::new(&kind::NAMESPACE, "", "shop")))
    );
    for (team, expected) in [("a", 1), ("b", 0)] {
        let namespace =
            serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": team}}});
        snapshot.insert(namespace).unwrap();
        snapshot.sort();
        assert_eq!(
            check_snapshot(crate::rules::network_policy::check, &snapshot).len(),
            expected,
            "{team}"
        );
    }
}

#[test]
fn what_would_stop_the_call_next_is_opened_with_it() {
    let denied = "{podSelector: {}, policyTypes: [Ingress, Egress]}";
    let dns_open =
        "{podSelector: {}, policyTypes: [Ingress, Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}";
    for (policy, rules) in [
        (denied, &["web-to-dns", "web-to-db-5432", "db-from-web-5432"][..]),
        (dns_open, &["web-to-db-5432", "db-from-web-5432"]),
    ] {
        let found = check_snapshot(
            crate::rules::network_policy::check,
            &called(policy, "connecting to db:5432 timed out"),
        );
        let command = found[0].fixes[0].command.clone().unwrap_or_default();
        for rule in rules {
            assert!(command.contains(rule), "{policy}: {rule} is not in {command}");
        }
    }
}
