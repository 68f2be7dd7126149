//! Callers as pods, logs and Services show them.

mod listening;

use crate::model::code::Code;
use crate::model::code::Code::*;
use crate::model::finding::{Confidence, Effect, Finding, Severity};
use crate::model::snapshot::{LogKey, Snapshot};
use crate::rules::dependency::check;
use crate::testing::{check_snapshot, snapshot};

/// A container that has ended twice with this command.
fn crashed(command: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec: {{nodeName: n1, containers: [{{name: web, image: i, command: [sh, -c, \"{command}\"]}}]}}
status:
  phase: Running
  podIP: 10.244.0.7
  containerStatuses:
  - {{name: web, ready: false, restartCount: 2, image: i, imageID: '', state: {{waiting: {{reason: CrashLoopBackOff}}}},
     lastState: {{terminated: {{exitCode: 1, finishedAt: '2026-01-01T11:59:30Z', startedAt: '2026-01-01T11:59:28Z'}}}}}}
"
    )
}

fn db(selector: &str, ready: &str) -> String {
    format!(
        "
---
{{apiVersion: v1, kind: Service, metadata: {{name: db, creationTimestamp: '2026-01-01T11:00:00Z'}},
  spec: {{clusterIP: 10.96.3.4, selector: {{app: {selector}}}, ports: [{{port: 5432, targetPort: 5433}}]}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db, labels: {{app: db}}}}
spec: {{nodeName: n2, containers: [{{name: db, image: i}}]}}
status: {{phase: Running, podIP: 10.244.0.9, conditions: [{{type: Ready, status: '{ready}'}}]}}
"
    )
}

fn with_log(yaml: &str, log: &str) -> Snapshot {
    let mut snapshot = snapshot(yaml);
    for previous in [true, false] {
        snapshot.put_log(
            LogKey {
                namespace: "shop".into(),
                pod: "web".into(),
                container: "web".into(),
                previous,
            },
            Some(log.into()),
        );
    }
    snapshot
}

fn found(yaml: &str, log: &str) -> Vec<Finding> {
    check_snapshot(check, &with_log(yaml, log))
}

fn codes(yaml: &str, log: &str) -> Vec<Code> {
    found(yaml, log).into_iter().map(|f| f.code).collect()
}

#[test]
fn the_last_lines_of_a_crash_name_its_dependency() {
    let ready = crashed("app") + &db("db", "True");
    for (log, expected) in [
        ("dial tcp: lookup cache on 10.96.0.10:53: no such host", vec![ServiceMissing]),
        ("nc: bad address 'cache'", vec![ServiceMissing]),
        ("dial tcp 10.96.3.4:5432: connect: connection refused", vec![DependencyUnreachable]),
        ("dial tcp 10.96.3.4:5433: i/o timeout", vec![ServicePortMismatch]),
        (
            "connection to server at \"db\" (10.96.3.4), port 5433 failed: Connection timed out",
            vec![ServicePortMismatch],
        ),
        (
            "could not connect to server: Connection refused\n\tIs the server running on host \"db\" (10.96.3.4) and accepting\n\tTCP/IP connections on port 5432?",
            vec![DependencyUnreachable],
        ),
        ("getaddrinfo ENOTFOUND api.example.com", vec![DependencyUnreachable]),
        ("connect ECONNREFUSED 127.0.0.1:6379", vec![DependencyUnreachable]),
        // What is told after it is another fault, or there is none.
        ("dial tcp 10.96.3.4:5432: connect: connection refused\nKeyError: 'NAME'", vec![]),
        ("main.go:42: cannot parse settings", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(codes(&ready, log), expected, "{log}");
    }
}

/// The log of a container that runs on has another newest line at each look.
#[test]
fn the_line_that_is_quoted_stays_while_a_log_goes_on() {
    let yaml = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {nodeName: n1, containers: [{name: web, image: i, readinessProbe: {exec: {command: [check]}}}]}
status:
  phase: Running
  containerStatuses: [{name: web, ready: false, started: true, restartCount: 0, image: i, imageID: '', state: {running: {startedAt: '2026-01-01T11:50:00Z'}}}]
"
    .to_owned()
        + &db("db", "False");
    let (absent, refused) = (
        "dial tcp: lookup cache on 10.96.0.10:53: no such host",
        "dial tcp 10.96.3.4:5432: connect: connection refused",
    );
    let said = |lines: &[&str]| {
        let found = found(&yaml, &(lines.join("\n") + "\n"));
        assert_eq!(found.len(), 1, "{lines:?}: {found:#?}");
        (found[0].id.clone(), found[0].evidence.clone())
    };
    let first = said(&[refused, absent, "retrying"]);
    for later in [
        &[absent, refused][..],
        &[refused, absent, refused, "retrying"],
        &[absent, "retrying", refused, absent],
    ] {
        assert_eq!(said(later), first, "{later:?}");
    }
}

#[test]
fn a_name_that_does_not_resolve_although_its_service_exists() {
    let log = "nc: bad address 'db'";
    let finding = &found(&(crashed("app") + &db("db", "True")), log)[0];
    assert_eq!(finding.code, DependencyUnreachable);
    assert!(finding.suffers.contains(&Effect::Dns));
    // The Service came after the attempt.
    let late = db("db", "True").replace("2026-01-01T11:00:00Z", "2026-01-01T11:59:50Z");
    assert!(codes(&(crashed("app") + &late), log).is_empty());
    let node = crashed("app").replace("spec: {nodeName", "spec: {dnsPolicy: Default, nodeName");
    assert!(found(&(node + &db("db", "True")), log)[0].summary.contains("dnsPolicy Default"));
}

#[test]
fn cluster_dns_without_a_ready_pod_is_named() {
    let dns = "
---
{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {containers: [{name: coredns, image: i}]}
status: {phase: Running, conditions: [{type: Ready, status: 'False'}]}
";
    let all = crashed("app") + &db("db", "True") + dns;
    assert_eq!(codes(&all, "nc: bad address 'db'"), [DependencyUnreachable, ClusterDnsFailing]);
}

#[test]
fn a_failed_call_is_explained_by_the_fault_of_its_service() {
    let finding = &found(
        &(crashed("app") + &db("db", "False")),
        "dial tcp 10.96.3.4:5432: connect: connection refused",
    )[0];
    assert!(finding.suffers.contains(&Effect::Service("shop".into(), "db".into())));
    assert!(finding.summary.contains("no ready endpoints"), "{}", finding.summary);
}

#[test]
fn internal_traffic_policy_local_without_local_endpoint() {
    let local = db("db", "True").replace("clusterIP:", "internalTrafficPolicy: Local, clusterIP:");
    let log = "dial tcp 10.96.3.4:5432: i/o timeout";
    assert_eq!(
        codes(&(crashed("app") + &local), log),
        [DependencyUnreachable, LocalTrafficPolicyWithoutEndpoint]
    );
    let same_node = local.replace("nodeName: n2", "nodeName: n1");
    assert_eq!(codes(&(crashed("app") + &same_node), log), [DependencyUnreachable]);
}

#[test]
fn names_in_a_healthy_spec_are_no_error() {
    let well = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: web, image: i, env: [{name: CACHE_HOST, value: cache}, {name: DATABASE_URL, value: 'postgres://u:p@db:5433/shop'}]}
status:
  phase: Running
  conditions: [{type: Ready, status: 'True'}]
  containerStatuses: [{name: web, ready: true, restartCount: 0, image: i, imageID: '', state: {running: {startedAt: '2026-01-01T11:00:00Z'}}}]
";
    let all = well.to_owned() + &db("db", "True");
    let quiet = found(&all, "listening on :8080");
    assert!(quiet.iter().all(|f| f.severity == Severity::Advice), "{quiet:#?}");
    assert_eq!(quiet.len(), 1);
    assert!(!format!("{quiet:?}").contains("u:p"));
    // A line that complains turns the hint into a fault.
    let loud = found(&all, "could not connect: dial tcp 10.96.3.4:5433: i/o timeout");
    assert_eq!((loud[0].code, loud[0].severity), (ServicePortMismatch, Severity::Error));
}

#[test]
fn a_wait_names_the_missing_object() {
    let waits = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  initContainers: [{name: wait, image: i, command: [sh, -c, 'until nc -z -w1 db 5432; do echo waiting for db; sleep 1; done']}]
  containers: [{name: web, image: i}]
status:
  phase: Pending
  initContainerStatuses: [{name: wait, ready: false, restartCount: 0, image: i, imageID: '', state: {running: {startedAt: 'SINCE'}}}]
";
    let since = |time: &str| waits.replace("SINCE", time);
    assert_eq!(codes(&since("2026-01-01T11:58:00Z"), ""), [ServiceMissing]);
    assert!(codes(&since("2026-01-01T11:59:55Z"), "").is_empty());
    // The Service is there: of the wait itself the rule on init containers speaks.
    assert!(codes(&(since("2026-01-01T11:58:00Z") + &db("db", "False")), "").is_empty());
}

/// A pod that runs and is not ready, whose environment names Service db.
fn unready(message: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, uid: u}}
spec:
  containers:
  - {{name: web, image: i, env: [{{name: DATABASE_URL, value: 'http://db:5432/'}}], readinessProbe: {{httpGet: {{path: /, port: 80}}}}}}
status:
  phase: Running
  conditions: [{{type: Ready, status: 'False'}}]
  containerStatuses: [{{name: web, ready: false, restartCount: 0, image: i, imageID: '', state: {{running: {{startedAt: '2026-01-01T11:50:00Z'}}}}}}]
---
{{apiVersion: v1, kind: Event, metadata: {{name: e}}, reason: Unhealthy, type: Warning, message: '{message}', lastTimestamp: '2026-01-01T11:59:50Z',
  involvedObject: {{kind: Pod, name: web, namespace: shop, uid: u, fieldPath: 'spec.containers{{web}}'}}}}
"
    )
}

#[test]
fn an_unready_pod_is_followed_to_the_service_in_its_environment() {
    let told = |message: &str, db: &str| codes(&(unready(message) + db), "listening on :80");
    let says_no = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    assert_eq!(told(says_no, &db("db", "False")), [DependencyUnreachable]);
    assert_eq!(told(says_no, &db("app", "False")), [DependencyUnreachable]);
    let finding = &found(&(unready(says_no) + &db("db", "False")), "")[0];
    assert_eq!((finding.severity, finding.confidence), (Severity::Symptom, Confidence::Possible));
    assert!(finding.suffers.contains(&Effect::Service("shop".into(), "db".into())));
    // Another one is well, or the answer has nothing to do with others.
    assert!(told(says_no, &db("db", "True")).is_empty());
    assert!(told("Readiness probe failed: HTTP probe failed with statuscode: 404", &db("db", "False")).is_empty());
    let refused = "Readiness probe failed: Get \"http://10.244.0.7:80/\": dial tcp 10.244.0.7:80: connect: connection refused";
    assert!(told(refused, &db("db", "False")).is_empty());
}

#[test]
fn a_silent_crash_is_followed_to_the_host_in_its_command() {
    let command = crashed("nc -z db 5432 || exit 1");
    assert_eq!(codes(&(command.clone() + &db("db", "False")), ""), [DependencyUnreachable]);
    assert!(codes(&(command.clone() + &db("db", "True")), "").is_empty());
    // It has said something else.
    assert!(codes(&(command + &db("db", "False")), "cannot open /etc/web.conf").is_empty());
}

#[test]
fn a_usage_text_is_no_call_that_failed() {
    let usage = "nc: invalid option -- 'k'\nBusyBox v1.36.1 (2024-06-10) multi-call binary.\n\nUsage: nc [OPTIONS] HOST PORT  - connect\n\n\t-e PROG\tRun PROG after connect\n\t-w SEC\tConnect timeout\n\t-w SEC\tTimeout for connects and final net reads\n";
    for command in [
        "echo starting; nc -lk -p 5432 -s 127.0.0.1 -e cat",
        "nc -zw2 postgres 5432 || exit 1",
    ] {
        let found = found(&crashed(command), usage);
        assert!(found.is_empty(), "{command}: {found:?}");
    }
}

#[test]
fn the_callers_own_service_is_no_near_miss() {
    let own = "---\n{apiVersion: v1, kind: Service, metadata: {name: initok}, spec: {selector: {app: initok}, ports: [{port: 80}]}}\n";
    let caller = crashed("nc initok2 80").replace("metadata: {name: web}", "metadata: {name: web, labels: {app: initok}}");
    let line = "nc: bad address 'initok2'";
    let fixes = |yaml: &str| -> String {
        let found = found(yaml, line);
        let missing = found.iter().find(|f| f.code == ServiceMissing).unwrap();
        missing.fixes.iter().map(|f| f.text.clone()).collect()
    };
    assert!(!fixes(&format!("{caller}{own}")).contains("initok is meant"));
    let other = own.replace("app: initok", "app: other");
    assert!(fixes(&format!("{caller}{other}")).contains("Service initok is meant"));
}

/// busybox tells of each search domain by itself, in any order.
#[test]
fn a_name_with_search_domains_behind_it_is_a_service_that_is_missing() {
    let lines = [
        "redis.shop.svc.cluster.local",
        "redis.svc.cluster.local",
        "redis.cluster.local",
        "redis.ec2.internal",
    ];
    let told = |command: &str, at: usize| -> (Code, String, Vec<String>) {
        let mut lines: Vec<String> = lines
            .iter()
            .map(|host| format!("** server can't find {host}: NXDOMAIN\n"))
            .collect();
        lines.rotate_left(at);
        let mut found = found(
            &crashed(command),
            &format!("Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n{}", lines.join("\n")),
        );
        assert_eq!(found.len(), 1, "{found:#?}");
        let found = found.remove(0);
        (found.code, found.summary, found.evidence.into_iter().map(|e| e.detail).collect())
    };
    let first = told("nslookup redis || exit 1", 0);
    assert_eq!(first.0, ServiceMissing);
    assert_eq!(first.1, "container web ends because it needs Service redis, which does not exist");
    assert!(first.2[0].contains("redis.shop.svc.cluster.local"), "{:?}", first.2);
    for at in 1..4 {
        assert_eq!(told("nslookup redis || exit 1", at), first);
    }
    // A script in the image hides the name that it asks for: the cluster's domain alone is enough.
    for at in 1..=3 {
        let (code, summary, _) = told("/wait.sh", at);
        assert_eq!((code, summary), (ServiceMissing, first.1.clone()));
    }
}

#[test]
fn a_name_that_resolves_in_another_search_domain_is_no_dns_fault() {
    let log = "Name:\tdb.shop.svc.cluster.local\nAddress: 10.96.3.4\n\n** server can't find db.svc.cluster.local: NXDOMAIN\n";
    assert!(codes(&(crashed("nslookup db || exit 1") + &db("db", "True")), log).is_empty());
    assert_eq!(
        codes(
            &(crashed("nslookup db || exit 1") + &db("db", "True")),
            "nslookup: bad address 'db'"
        ),
        [DependencyUnreachable]
    );
}

#[test]
fn the_resolver_settings_of_the_pod_explain_a_name_that_does_not_resolve() {
    let log = "dial tcp: lookup db on 10.96.0.10:53: no such host";
    let of = |settings: &str| {
        let yaml = crashed("app").replace("spec: {", &format!("spec: {{{settings}")) + &db("db", "True");
        let found = check_snapshot(check, &with_log(&yaml, log));
        found[0].fixes[0].text.clone()
    };
    for (settings, fix) in [
        ("hostNetwork: true, ", "set dnsPolicy: ClusterFirstWithHostNet in"),
        ("dnsPolicy: Default, ", "set dnsPolicy: ClusterFirst in"),
        (
            "dnsPolicy: None, dnsConfig: {searches: [corp.example]}, ",
            "add shop.svc.cluster.local to dnsConfig.searches",
        ),
        (
            "dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1], searches: [shop.svc.cluster.local]}, ",
            "the cluster's DNS address in dnsConfig.nameservers",
        ),
        ("", "see why Service db does not answer"),
        (
            "hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet, ",
            "see why Service db does not answer",
        ),
    ] {
        assert!(of(settings).contains(fix), "{settings}: {}", of(settings));
    }
}

#[test]
fn a_word_counts_where_such_a_service_exists_or_the_spec_names_it() {
    let log = "fatal: lookup of db failed: [Errno -2] Name or service not known";
    let codes = |yaml: &str| -> Vec<(Code, String)> {
        let found = check_snapshot(check, &with_log(yaml, log));
        found.iter().map(|f| (f.code, f.subject.object.name.clone())).collect()
    };
    assert!(codes(&crashed("app")).is_empty());
    assert_eq!(codes(&(crashed("app") + &db("db", "True")))[0].0, DependencyUnreachable);
    let named = crashed("app").replace("image: i, command", "image: i, env: [{name: STORE_HOST, value: db}], command");
    assert_eq!(codes(&named), [(ServiceMissing, "web".to_owned())]);
}

#[test]
fn a_pod_of_a_set_is_known_by_the_service_that_the_set_names() {
    let set = "---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: kafka}
spec: {serviceName: kafka-headless, selector: {matchLabels: {app: k}}, template: {metadata: {labels: {app: k, role: broker}}, spec: {containers: [{name: c, image: i}]}}}
";
    let log = "dial tcp: lookup kafka-0.kafka-headless on 10.96.0.10:53: no such host";
    let yaml = crashed("app wait-for kafka-0.kafka-headless:9092");
    let missing = &found(&(yaml.clone() + set), log)[0];
    assert_eq!(missing.code, ServiceMissing);
    assert_eq!(
        missing.fixes[0].command.as_deref(),
        Some(
            "kubectl create service clusterip kafka-headless --clusterip=None --tcp=9092 -n shop && \
             kubectl set selector service kafka-headless app=k,role=broker -n shop"
        )
    );
    assert_eq!(
        codes(&(yaml + &set.replace("name: kafka}", "name: other}")), log),
        [DependencyUnreachable]
    );
}

#[test]
fn a_namespace_that_does_not_exist_is_told_as_such() {
    let log = "dial tcp: lookup db.stores.svc on 10.96.0.10:53: no such host";
    let missing = &found(&crashed("app"), log)[0];
    assert_eq!(missing.code, ServiceMissing);
    assert!(
        missing.summary.ends_with("which does not exist, and neither does the namespace"),
        "{}",
        missing.summary
    );
    let there = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: stores}}\n";
    let missing = &found(&(crashed("app") + there), log)[0];
    assert!(missing.summary.ends_with("which does not exist"), "{}", missing.summary);
}
