//! Containers that open their ports only once others have answered.

use crate::diagnosis::assess::{Question, assess};
use crate::model::code::Code;
use crate::model::code::Code::*;
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::finding::Severity;
use crate::model::report::{Diagnosis, Verdict};
use crate::model::snapshot::{LogKey, Snapshot};
use crate::rules::dependency::tests::db;
use crate::testing::{noon, snapshot};

/// A pod that has been running for an hour with these variables, behind Service web; `probe` is refused on its port 8080.
fn web(variables: &str, probe: &str, ready: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, uid: u, labels: {{app: web}}}}
spec: {{nodeName: n1, containers: [{{name: web, image: i, env: [{variables}], ports: [{{containerPort: 8080}}]{probe}}}]}}
status:
  phase: Running
  podIP: 10.244.0.7
  conditions: [{{type: Ready, status: '{ready}'}}]
  containerStatuses: [{{name: web, ready: {flag}, started: true, restartCount: 0, image: i, imageID: '', state: {{running: {{startedAt: '2026-01-01T11:00:00Z'}}}}}}]
---
{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}}}
---
{{apiVersion: v1, kind: Event, metadata: {{name: e}}, reason: Unhealthy, type: Warning, lastTimestamp: '2026-01-01T11:59:50Z',
  message: 'Readiness probe failed: Get \"http://10.244.0.7:8080/readyz\": dial tcp 10.244.0.7:8080: connect: connection refused',
  involvedObject: {{kind: Pod, name: web, namespace: shop, uid: u, fieldPath: 'spec.containers{{web}}'}}}}
",
        flag = ready == "True",
    )
}

const PROBE: &str = ", readinessProbe: {httpGet: {path: /readyz, port: 8080}}";
const DIAL: &str = "{name: DIAL, value: 'db:5432'}";
const REFUSED: &str = "dial tcp 10.96.3.4:5432: connect: connection refused";

fn unready(variables: &str) -> String {
    web(variables, PROBE, "False")
}

/// A pod behind Service db that crashes because a file is missing.
fn broken_db() -> String {
    db("db", "False").replace(
        "status: {phase: Running, podIP: 10.244.0.9,",
        "status: {phase: Running, podIP: 10.244.0.9, containerStatuses: [{name: db, ready: false, restartCount: 4, image: i, imageID: '', \
         state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 3, finishedAt: '2026-01-01T11:59:30Z'}}}],",
    )
}

fn reply(snapshot: &mut Snapshot, pod: &str, port: u16, speech: Speech, address: &Reply, inside: &Reply) {
    for again in [false, true] {
        for path in ["/", "/readyz"] {
            snapshot.put_dial(Dial {
                key: DialKey {
                    namespace: "shop".into(),
                    pod: pod.into(),
                    port,
                    speech,
                    path: path.into(),
                    again,
                },
                at: noon(),
                address: address.clone(),
                inside: inside.clone(),
            });
        }
    }
}

/// The diagnosis where port 8080 of pod web refuses at both ends, and its log is this.
fn diagnosis(yaml: &str, log: &str) -> Diagnosis {
    let mut snapshot = snapshot(yaml);
    snapshot.namespaces = vec!["shop".into()];
    reply(&mut snapshot, "web", 8080, Speech::Http, &Reply::Refused, &Reply::Refused);
    for (pod, text) in [("web", log), ("db", "")] {
        for previous in [true, false] {
            snapshot.put_log(
                LogKey {
                    namespace: "shop".into(),
                    pod: pod.into(),
                    container: pod.into(),
                    previous,
                },
                Some(text.into()),
            );
        }
    }
    assess(&snapshot, &Question::default())
}

fn roots(diagnosis: &Diagnosis) -> Vec<(Code, &str)> {
    let roots = diagnosis.root_causes.iter();
    roots.map(|f| (f.code, f.subject.object.name.as_str())).collect()
}

fn verdict_of(diagnosis: &Diagnosis, kind: &str, name: &str) -> Verdict {
    let judged = diagnosis.workloads.iter().find(|j| j.object.kind == kind && j.object.name == name);
    judged.unwrap().verdict
}

#[test]
fn a_pod_that_waits_before_it_listens_is_followed_to_its_dependency() {
    for variables in [
        DIAL,
        "{name: DB_ADDR, value: 'db:5432'}",
        "{name: DATABASE_HOST, value: db}",
        "{name: DATABASE_URL, value: 'postgres://u:p@db/shop'}",
    ] {
        for log in [REFUSED, "", "starting"] {
            for web in [unready(variables), web(variables, "", "True")] {
                let found = diagnosis(&(web + &broken_db()), log);
                assert_eq!(roots(&found), [(ContainerCrashing, "db")], "{variables} {log:?}: {found:#?}");
                // It is told what it waits for, and that nobody reaches it meanwhile.
                let call = found.symptoms.iter().find(|f| f.code == DependencyUnreachable).unwrap();
                assert_eq!(call.subject.object.name, "web");
                assert!(!call.caused_by.is_empty());
                assert_eq!(verdict_of(&found, "Service", "web"), Verdict::Broken);
                assert!(!format!("{found:?}").contains("u:p"));
            }
        }
    }
}

#[test]
fn a_service_without_fault_is_not_accused_of_a_silence() {
    for log in [REFUSED, "", "starting"] {
        let found = diagnosis(
            &(unready(DIAL) + &db("db", "True").replace("targetPort: 5433", "targetPort: 5432")),
            log,
        );
        assert_eq!(roots(&found), [(NothingListening, "web")], "{log:?}: {found:#?}");
    }
}

#[test]
fn a_pod_that_logs_that_it_listens_waits_for_nothing() {
    // What it tries in vain meanwhile is not what it waits for.
    for log in [
        "listening on 0.0.0.0:9090".to_owned(),
        format!("listening on 0.0.0.0:9090\n{REFUSED}"),
    ] {
        let found = diagnosis(&(unready(DIAL) + &broken_db()), &log);
        assert!(
            roots(&found)
                .iter()
                .any(|(code, name)| *code == ListenerOnOtherPort && *name == "web"),
            "{log}: {found:#?}"
        );
    }
}

#[test]
fn a_pod_that_waits_for_a_starting_one_is_starting() {
    let starting = db("db", "False").replace(
        "podIP: 10.244.0.9,",
        "podIP: 10.244.0.9, containerStatuses: [{name: db, ready: false, restartCount: 0, image: i, imageID: '', \
         state: {running: {startedAt: '2026-01-01T11:59:50Z'}}}],",
    );
    for web in [unready(DIAL), web(DIAL, "", "True")] {
        let found = diagnosis(&(web + &starting), REFUSED);
        assert!(roots(&found).is_empty(), "{found:#?}");
        assert!(
            found
                .symptoms
                .iter()
                .all(|f| f.severity == Severity::Symptom && f.code != NothingListening),
            "{found:#?}"
        );
    }
}

#[test]
fn an_invalid_port_number_keeps_it_from_listening() {
    let variables = "{name: DIAL, value: 'db:5433'}";
    let found = diagnosis(
        &(unready(variables) + &db("db", "True")),
        "dial tcp 10.96.3.4:5433: connect: no route to host",
    );
    assert_eq!(roots(&found), [(ServicePortMismatch, "web")], "{found:#?}");
    let found = diagnosis(
        &unready("{name: CACHE_HOST, value: cache}"),
        "dial tcp: lookup cache on 10.96.0.10:53: no such host",
    );
    assert_eq!(roots(&found), [(ServiceMissing, "web")], "{found:#?}");
}

#[test]
fn one_that_is_ready_and_listens_for_itself_alone_is_the_cause() {
    let yaml = unready(DIAL) + &db("db", "True").replace("targetPort: 5433", "targetPort: 5433, name: db, appProtocol: http");
    let mut seen = snapshot(
        &yaml
            .replace(
                "containers: [{name: db, image: i}]",
                "containers: [{name: db, image: i, args: ['--host', '127.0.0.1']}]",
            )
            .replace(
                "podIP: 10.244.0.9,",
                "podIP: 10.244.0.9, containerStatuses: [{name: db, ready: true, started: true, restartCount: 0, image: i, imageID: '', \
         state: {running: {startedAt: '2026-01-01T11:00:00Z'}}}],",
            ),
    );
    seen.namespaces = vec!["shop".into()];
    reply(&mut seen, "web", 8080, Speech::Http, &Reply::Refused, &Reply::Refused);
    reply(&mut seen, "db", 5433, Speech::Http, &Reply::Refused, &Reply::Status(200));
    seen.put_log(
        LogKey {
            namespace: "shop".into(),
            pod: "web".into(),
            container: "web".into(),
            previous: false,
        },
        Some(REFUSED.into()),
    );
    let found = assess(&seen, &Question::default());
    assert_eq!(roots(&found), [(ListenerOnLoopback, "db")], "{found:#?}");
}

#[test]
fn its_own_service_in_its_variables_is_its_address() {
    let found = diagnosis(&unready("{name: PUBLIC_URL, value: 'http://web/'}"), "");
    assert_eq!(roots(&found), [(NothingListening, "web")], "{found:#?}");
}
