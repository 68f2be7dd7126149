//! Many clients at once, clients that die, and pods that fail.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use podlife::model::kind::{self, Kind};
use serde_json::Value;

use crate::cluster::harness::{Scenario, kubeconfig, kubectl};
use crate::process::Answer;

/// A template whose pod is accepted, and takes nothing of the node.
pub const NOWHERE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: nowhere}
spec: {nodeSelector: {podlife.test/nowhere: 'true'}, containers: [{name: app, image: 'podlife.test/app:1'}]}
";

/// The flags of a session with that pod.
pub fn nowhere(file: &str) -> [&str; 3] {
    ["-f", file, "--no-wait"]
}

/// A file with that template, which goes with the test.
pub struct Template(pub crate::fake_api::Folder);

impl Template {
    pub fn new() -> (Self, String) {
        let folder = crate::fake_api::Folder::new();
        let file = folder.0.join("nowhere.yaml");
        std::fs::write(&file, NOWHERE).unwrap();
        (Self(folder), file.to_str().unwrap().to_owned())
    }
}

/// A run of podlife in a process of its own.
pub fn begun(kubeconfig: &str, namespace: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(["--kubeconfig", kubeconfig, "--namespace", namespace, "session"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Many runs at once, and how each ended.
fn at_once(scenario: &Scenario, runs: impl IntoIterator<Item = Vec<String>>) -> Vec<Output> {
    let begin = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        begun(&kubeconfig(), &scenario.namespace, &arguments)
    };
    let children: Vec<Child> = runs.into_iter().map(begin).collect();
    children.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

pub fn session(scenario: &Scenario, arguments: &[&str]) -> Answer {
    scenario.podlife(&[&["session"], arguments].concat())
}

/// Objects that podlife made, by name.
pub fn made(scenario: &Scenario, kind: &Kind) -> Vec<Value> {
    let mut all = scenario.list(kind);
    all.retain(|object| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "podlife");
    all
}

/// The records of the namespace.
pub fn records(scenario: &Scenario) -> Vec<Value> {
    let mut all = made(scenario, &kind::LEASE);
    let label = |lease: &Value, name: &str| lease["metadata"]["labels"][name].is_string();
    all.retain(|lease| label(lease, "podlife.dev/session") && !label(lease, "podlife.dev/slot"));
    all
}

fn slots(scenario: &Scenario) -> usize {
    let all = made(scenario, &kind::LEASE).into_iter();
    all.filter(|lease| lease["metadata"]["labels"]["podlife.dev/slot"].is_string())
        .count()
}

/// Deletes every session and waits until nothing is left but what sessions share.
fn clear(scenario: &Scenario) {
    let deleted = session(scenario, &["delete", "--all"]);
    assert_eq!(deleted.exit, 0, "{}", deleted.stderr);
    for kind in [&kind::LEASE, &kind::POD] {
        assert_eq!(made(scenario, kind), Vec::<Value>::new());
    }
}

#[test]
fn fifty_creates_of_one_id_make_one_pod() {
    let scenario = Scenario::new("one-id");
    let (_folder, file) = Template::new();
    for round in 0..20 {
        let id = format!("Shared_{round}");
        let run = [&["create", &id, "-o", "json", "--max-sessions", "1"][..], &nowhere(&file)].concat();
        let run: Vec<String> = run.into_iter().map(str::to_owned).collect();
        let outputs = at_once(&scenario, std::iter::repeat_n(run, 50));
        let answers: BTreeSet<(String, String)> = outputs
            .iter()
            .map(|output| {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let session: Value = serde_json::from_slice(&output.stdout).unwrap();
                (session["name"].to_string(), session["pod"].to_string())
            })
            .collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(
            (records(&scenario).len(), slots(&scenario), made(&scenario, &kind::POD).len()),
            (1, 1, 1)
        );
        clear(&scenario);
    }
}

#[test]
fn fifty_creates_all_wait_for_the_one_pod_that_runs() {
    let scenario = Scenario::new("one-pod");
    let run = [
        "create",
        "shared",
        "--image",
        "podlife.test/app:1",
        "--port",
        "8080",
        "-o",
        "jsonpath={.state} {.podIP}",
    ];
    let run: Vec<String> = run.into_iter().map(str::to_owned).collect();
    let outputs = at_once(&scenario, std::iter::repeat_n(run, 50));
    let answers: BTreeSet<String> = outputs
        .iter()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .collect();
    let pods = made(&scenario, &kind::POD);
    assert_eq!(pods.len(), 1);
    let address = pods[0]["status"]["podIP"].as_str().unwrap();
    assert_eq!(answers, BTreeSet::from([format!("Ready {address}\n")]));
}

#[test]
fn forty_creates_under_a_maximum_of_ten_make_ten_and_leave_nothing_of_the_others() {
    let scenario = Scenario::new("maximum");
    let (_folder, file) = Template::new();
    for round in 0..20 {
        let runs = (0..40).map(|number| {
            let id = format!("{round}-{number}");
            let run = [&["create", &id, "--max-sessions", "10"][..], &nowhere(&file)].concat();
            run.into_iter().map(str::to_owned).collect()
        });
        let outputs = at_once(&scenario, runs);
        let of_code = |code: i32| outputs.iter().filter(|output| output.status.code() == Some(code)).count();
        let said: Vec<_> = outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr)).collect();
        assert_eq!((of_code(0), of_code(3)), (10, 30), "round {round}: {said:?}");
        let refused = said.iter().find(|text| text.contains("the maximum")).unwrap();
        assert!(
            refused.contains("holds 10 sessions, the maximum (--max-sessions); idle longest: "),
            "{refused}"
        );
        scenario.wait("nothing is left of those that were refused", |scenario| {
            (records(scenario).len(), slots(scenario), made(scenario, &kind::POD).len()) == (10, 10, 10)
        });
        clear(&scenario);
    }
}

/// Races between a touch and a pass that cleans up.
const RACES: usize = 500;
/// How many sessions are due at the same moment.
const BATCH: usize = 10;

/// Creates sessions, waits until they are due, and touches them while they are cleaned up.
fn touch_what_is_due(podlife: &(dyn Fn(&[&str]) -> Answer + Sync), file: &str, toucher: usize, races: &AtomicUsize) {
    let ids: Vec<String> = (0..BATCH).map(|number| format!("{toucher}-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    while races.load(Ordering::Relaxed) < RACES {
        for id in &ids {
            let created = podlife(&[&["create", id, "--idle-timeout", "3s"][..], &nowhere(file)].concat());
            assert_eq!(created.exit, 0, "{}", created.stderr);
        }
        // Whoever comes first has them: this, or the pass.
        while podlife(&["list", "--idle-for", "3s", "-o", "name"]).stdout.is_empty() && records_of(podlife, &ids).len() == BATCH {
            thread::sleep(Duration::from_millis(20));
        }
        let begun = Instant::now();
        let touched = podlife(&[&["touch"], &ids[..]].concat());
        races.fetch_add(BATCH, Ordering::Relaxed);
        let kept = ids.iter().filter(|id| touched.stdout.contains(&format!("session {id} touched")));
        let there = records_of(podlife, &ids);
        // A machine that took longer than that proves nothing.
        if begun.elapsed() < Duration::from_secs(2) {
            for id in kept {
                assert!(there.contains(*id), "{id} was touched and cleaned up: {}", touched.stdout);
            }
        }
    }
}

/// Which of these sessions exist.
fn records_of(podlife: &(dyn Fn(&[&str]) -> Answer + Sync), ids: &[&str]) -> BTreeSet<String> {
    let listed = podlife(&["list", "-o", "json"]);
    assert_eq!(listed.exit, 0, "{}", listed.stderr);
    let all = listed.json["items"].as_array().unwrap().iter();
    all.filter_map(|item| Some(item["id"].as_str()?.to_owned()))
        .filter(|id| ids.contains(&id.as_str()))
        .collect()
}

#[test]
fn who_is_touched_is_not_cleaned_up_and_who_is_idle_is() {
    let scenario = Scenario::new("touch-and-reap");
    let (folder, file) = Template::new();
    let (kubeconfig, namespace) = (kubeconfig(), scenario.namespace.clone());
    let podlife = move |arguments: &[&str]| {
        let all = [&["--kubeconfig", &kubeconfig, "--namespace", &namespace, "session"], arguments].concat();
        crate::process::podlife(&all)
    };
    let (races, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let audit = folder.0.0.join("audit.jsonl");
    let audit = audit.to_str().unwrap();
    thread::scope(|scope| {
        let (podlife, races, is_over, file) = (&podlife, &races, &is_over, file.as_str());
        let cleaner = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let pass = podlife(&["gc", "--once", "--audit", audit]);
                assert_eq!(pass.exit, 0, "{}", pass.stderr);
            }
        });
        let touchers: Vec<_> = (0..4)
            .map(|toucher| scope.spawn(move || touch_what_is_due(podlife, file, toucher, races)))
            .collect();
        let ended: Vec<_> = touchers.into_iter().map(|toucher| toucher.join()).collect();
        // Nobody touches any more: all of them go.
        scenario.wait("idle sessions are cleaned up", |scenario| records(scenario).is_empty());
        is_over.store(true, Ordering::Relaxed);
        cleaner.join().unwrap();
        ended.into_iter().for_each(|toucher| toucher.unwrap());
    });
    for line in std::fs::read_to_string(audit).unwrap().lines() {
        let act: Value = serde_json::from_str(line).unwrap();
        let reason = act["reason"].as_str().unwrap();
        let is_due = reason.starts_with("idle for ") && reason.ends_with(", longer than 3s");
        assert!(act["action"] == "completed" || (act["action"] == "reaped" && is_due), "{line}");
    }
}

/// A pod that ends with failure when it is told so, and does not start again by itself.
const FRAGILE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: fragile}
spec:
  restartPolicy: Never
  containers:
  - {name: app, image: 'podlife.test/app:1', env: [{name: EXIT_CODE, value: '3'}], resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}}
";

/// The pod of a session as `status` shows it.
fn pod_of(scenario: &Scenario, id: &str) -> String {
    session(scenario, &["status", id, "-o", "jsonpath={.pod}"]).stdout.trim().to_owned()
}

/// Cleans up until the session has its next pod and that one is ready.
fn is_healed(scenario: &Scenario, id: &str, generation: u64) {
    scenario.wait("the session has another pod", |scenario| {
        let pass = session(scenario, &["gc", "--once"]);
        assert_eq!(pass.exit, 0, "{}", pass.stderr);
        session(scenario, &["status", id, "-o", "json"]).json["generation"] == generation
    });
    let ready = session(scenario, &["wait", id, "--for=ready", "--timeout", "4m"]);
    assert_eq!(ready.exit, 0, "{}{}", ready.stdout, ready.stderr);
    let pods: Vec<String> = made(scenario, &kind::POD)
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pods, [pod_of(scenario, id)]);
}

#[test]
fn a_pod_that_was_deleted_evicted_or_killed_for_memory_has_a_successor() {
    let scenario = Scenario::new("healing");
    let folder = crate::fake_api::Folder::new();
    let hungry = FRAGILE.replace(
        "{name: EXIT_CODE, value: '3'}",
        "{name: MEMORY, value: '200'}, {name: MEMORY_AFTER, value: 1s}",
    );
    let files = [("fragile.yaml", FRAGILE), ("hungry.yaml", hungry.as_str())].map(|(name, text)| {
        let file = folder.0.join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let created = session(&scenario, &["create", "one", "-f", &files[0], "--timeout", "4m"]);
    assert_eq!(created.exit, 0, "{}{}", created.stdout, created.stderr);
    scenario.kubectl(&["delete", "pod", &pod_of(&scenario, "one")]);
    is_healed(&scenario, "one", 2);
    let pod = pod_of(&scenario, "one");
    let eviction = format!(
        "{{apiVersion: policy/v1, kind: Eviction, metadata: {{name: {pod}, namespace: {}}}}}",
        scenario.namespace
    );
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", scenario.namespace);
    scenario.kubectl_in(&["create", "--raw", &path, "-f", "-"], Some(&json_of(&eviction)));
    is_healed(&scenario, "one", 3);
    let hungry = session(&scenario, &["create", "hungry", "-f", &files[1], "--no-wait"]);
    assert_eq!(hungry.exit, 0, "{}", hungry.stderr);
    let scenario = scenario.until("its pod is killed for memory", |state| {
        state.pods.iter().any(|pod| pod["status"]["phase"] == "Failed")
    });
    let pass = session(&scenario, &["gc", "--once", "--dry-run"]);
    assert!(
        pass.stdout.contains("-g1 failed: container app: OOMKilled (dry run)"),
        "{}{}",
        pass.stdout,
        pass.stderr
    );
    let pass = session(&scenario, &["gc", "--once"]);
    assert!(pass.stdout.contains("OOMKilled; now pod hungry-"), "{}{}", pass.stdout, pass.stderr);
}

/// YAML of one line as JSON.
fn json_of(yaml: &str) -> String {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    value.to_string()
}

#[test]
fn a_session_whose_pods_fail_again_and_again_is_given_up_with_the_reason() {
    let scenario = Scenario::new("given-up");
    let folder = crate::fake_api::Folder::new();
    let file = folder.0.join("ends.yaml");
    let probe =
        "readinessProbe: {tcpSocket: {port: 8080}, initialDelaySeconds: 60}, env: [{name: EXIT_AFTER, value: 10ms}, {name: EXIT_CODE";
    std::fs::write(&file, FRAGILE.replace("env: [{name: EXIT_CODE", probe)).unwrap();
    let created = session(&scenario, &["create", "ends", "-f", file.to_str().unwrap(), "--timeout", "4m"]);
    assert_eq!(created.exit, 3, "{}{}", created.stdout, created.stderr);
    scenario.wait("its pods have failed too often", |scenario| {
        let again = session(scenario, &["create", "ends", "-f", file.to_str().unwrap(), "--timeout", "4m"]);
        assert_eq!(again.exit, 3, "{}{}", again.stdout, again.stderr);
        session(scenario, &["gc", "--once"]);
        session(scenario, &["status", "ends", "-o", "json"]).json["state"] == "Failed"
    });
    let status = session(&scenario, &["status", "ends"]);
    assert_eq!(status.exit, 3);
    assert!(
        status.stdout.contains("6 pods failed in a row; the last one: pod ends-"),
        "{}",
        status.stdout
    );
    assert!(status.stdout.contains("container app: exit code 3"), "{}", status.stdout);
}

#[test]
fn a_pod_that_cannot_start_ends_create_with_its_cause() {
    let scenario = Scenario::new("no-start");
    let created = session(&scenario, &["create", "typo", "--image", "podlife.test/ap:1", "--timeout", "4m"]);
    assert_eq!(created.exit, 3, "{}{}", created.stdout, created.stderr);
    assert!(created.stdout.contains("ImagePullFailing"), "{}", created.stdout);
    assert!(
        created.stderr.contains("error: session typo will not become ready"),
        "{}",
        created.stderr
    );
    let status = session(&scenario, &["status", "typo", "-o", "json"]);
    assert_eq!(
        (status.exit, &status.json["diagnosis"]["rootCauses"][0]["code"]),
        (3, &"ImagePullFailing".into())
    );
}

#[test]
fn a_pod_that_becomes_ready_late_is_waited_for() {
    let scenario = Scenario::new("late-ready");
    let folder = crate::fake_api::Folder::new();
    let file = folder.0.join("late.yaml");
    let late = "
apiVersion: v1
kind: Pod
metadata: {name: late}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: busybox:1.36
    command: [sh, -c, 'sleep 85; touch /tmp/ok; sleep 3600']
    readinessProbe: {exec: {command: [test, -f, /tmp/ok]}, periodSeconds: 1}
";
    std::fs::write(&file, late).unwrap();
    let created = session(&scenario, &["create", "late", "-f", file.to_str().unwrap(), "--timeout", "5m"]);
    assert_eq!(created.exit, 0, "{}{}", created.stdout, created.stderr);
}

#[test]
fn wait_only_looks_and_says_at_once_what_is_never_ready() {
    let scenario = Scenario::new("only-looks");
    let (_folder, file) = Template::new();
    let created = session(&scenario, &[&["create", "one"][..], &nowhere(&file)].concat());
    assert_eq!(created.exit, 0, "{}", created.stderr);
    scenario.kubectl(&["delete", "pod", &pod_of(&scenario, "one")]);
    let waited = session(&scenario, &["wait", "one", "--timeout", "3s"]);
    assert_eq!(waited.exit, 124, "{}{}", waited.stdout, waited.stderr);
    let status = session(&scenario, &["status", "one", "-o", "json"]);
    assert_eq!((&status.json["state"], &status.json["generation"]), (&"Healing".into(), &1.into()));
    let paused = session(&scenario, &["pause", "one"]);
    assert_eq!(paused.exit, 0, "{}", paused.stderr);
    let waited = session(&scenario, &["wait", "one"]);
    assert!(
        waited.exit == 3 && waited.stderr.contains("is paused"),
        "{} {}",
        waited.exit,
        waited.stderr
    );
    let run = session(
        &scenario,
        &["run", "once", "--image", "busybox:1.36", "--timeout", "4m", "--", "true"],
    );
    assert_eq!(run.exit, 0, "{}", run.stderr);
    scenario.wait("its end is known", |scenario| {
        session(scenario, &["status", "once", "-o", "json"]).json["state"] == "Ended"
    });
    let status = session(&scenario, &["status", "once"]);
    assert!(
        status.exit == 3 && !status.stdout.contains("HEALTHY"),
        "{} {}",
        status.exit,
        status.stdout
    );
    for verb in [
        &["wait", "once"][..],
        &["resume", "once"],
        &["create", "once", "--image", "busybox:1.36"],
    ] {
        let ended = session(&scenario, verb);
        assert!(
            ended.exit == 3 && ended.stderr.contains("has ended"),
            "{verb:?}: {} {}",
            ended.exit,
            ended.stderr
        );
    }
}

#[test]
fn a_pod_that_is_not_allowed_is_explained_and_nothing_is_left() {
    let scenario = Scenario::new("not-allowed");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", &scenario.namespace, label], None);
    let folder = crate::fake_api::Folder::new();
    let file = folder.0.join("root.yaml");
    std::fs::write(
        &file,
        NOWHERE.replace("image:", "securityContext: {runAsUser: 0, runAsNonRoot: false}, image:"),
    )
    .unwrap();
    let created = session(&scenario, &["create", "root", "-f", file.to_str().unwrap()]);
    assert_eq!(created.exit, 3, "{}{}", created.stdout, created.stderr);
    assert!(
        created.stderr.contains("violates PodSecurity") && created.stderr.contains("no session was created"),
        "{}",
        created.stderr
    );
    let scenario = scenario.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: pods}, spec: {hard: {pods: '1'}}}");
    scenario.wait("the quota is known", |scenario| {
        scenario.kubectl(&["get", "quota", "pods", "-o", "jsonpath={.status.hard.pods}"]) == "1"
    });
    let (_folder, file) = Template::new();
    let first = session(&scenario, &[&["create", "first"][..], &nowhere(&file)].concat());
    assert_eq!(first.exit, 0, "{}", first.stderr);
    let second = session(&scenario, &[&["create", "second"][..], &nowhere(&file)].concat());
    assert_eq!(second.exit, 3, "{}", second.stderr);
    assert!(second.stderr.contains("exceeded quota"), "{}", second.stderr);
    scenario.wait("nothing is left of it", |scenario| {
        (records(scenario).len(), slots(scenario)) == (1, 1)
    });
}

#[test]
fn what_a_record_of_another_version_owns_is_left_alone() {
    let scenario = Scenario::new("other-version");
    let (_folder, file) = Template::new();
    let created = session(&scenario, &[&["create", "one"][..], &nowhere(&file)].concat());
    assert_eq!(created.exit, 0, "{}", created.stderr);
    let name = session(&scenario, &["name", "one"]).stdout.trim().to_owned();
    scenario.kubectl(&["annotate", "lease", &name, "--overwrite", "podlife.dev/phase=Dreaming"]);
    let pass = session(&scenario, &["gc", "--once", "--orphans"]);
    assert_eq!((pass.exit, pass.stderr.as_str()), (0, ""));
    assert_eq!(
        pass.stdout,
        format!("waiting lease/{name}: lease {name} is not a valid session record: its phase is unknown\n")
    );
    assert_eq!(
        (records(&scenario).len(), slots(&scenario), made(&scenario, &kind::POD).len()),
        (1, 1, 1)
    );
    let shared = [&kind::CONFIG_MAP, &kind::NETWORK_POLICY].map(|kind| made(&scenario, kind).len());
    assert_eq!(shared, [1, 1]);
}

#[test]
fn whom_a_later_session_allows_is_added_to_the_policy() {
    let scenario = Scenario::new("allowed-later");
    let (_folder, file) = Template::new();
    for (id, allowed) in [("a", "app=web"), ("b", "app=cron"), ("a", "app=web")] {
        let created = session(&scenario, &[&["create", id, "--allow-from", allowed][..], &nowhere(&file)].concat());
        assert_eq!(created.exit, 0, "{}", created.stderr);
    }
    let from = scenario.kubectl(&[
        "get",
        "networkpolicy",
        "podlife-sessions",
        "-o",
        "jsonpath={.spec.ingress[0].from[*].podSelector.matchExpressions[*].values[*]}",
    ]);
    assert_eq!(from, "web cron");
}

#[test]
fn records_are_listed_and_deleted_by_their_labels() {
    let scenario = Scenario::new("labels");
    let (_folder, file) = Template::new();
    for (id, team) in [("a", "team=red"), ("b", "team=blue,tier=1")] {
        let created = session(
            &scenario,
            &[&["create", id, "--labels", team, "--owner", "ci"][..], &nowhere(&file)].concat(),
        );
        assert_eq!(created.exit, 0, "{}", created.stderr);
    }
    let again = |flags: &[&str]| session(&scenario, &[&["create", "a"][..], flags, &nowhere(&file)].concat()).stderr;
    assert!(!again(&["--owner", "ci"]).contains("Warning"));
    let other = again(&[
        "--owner",
        "me",
        "--labels",
        "team=blue",
        "--idle-timeout",
        "1h",
        "--max-lifetime",
        "24h",
    ]);
    assert_eq!(
        other,
        "Warning: the session exists and keeps its idle timeout, maximum lifetime, owner, labels; --if-exists=replace recreates it\n"
    );
    let touched = session(&scenario, &["touch", "a", "b"]);
    assert_eq!(touched.exit, 0, "{}", touched.stderr);
    let listed = session(&scenario, &["list", "-l", "team=blue", "-o", "jsonpath={.items[*].id}"]);
    assert_eq!(listed.stdout, "b\n");
    let deleted = session(&scenario, &["delete", "-l", "team=red"]);
    assert_eq!((deleted.exit, deleted.stdout.as_str()), (0, "session a deleted\n"));
    let listed = session(
        &scenario,
        &[
            "list",
            "--state",
            "pending,ready",
            "--sort-by",
            "owner",
            "-o",
            "jsonpath={.items[*].id}",
        ],
    );
    assert_eq!(listed.stdout, "b\n");
    let refused = session(&scenario, &["create", "c", "--labels", "podlife.dev/session=x", "--image", "app:1"]);
    assert_eq!(refused.exit, 2);
}

#[test]
fn a_volume_is_kept_for_the_next_session_of_its_id_and_for_no_other() {
    let scenario = Scenario::new("kept-volume");
    let create = |id: &str| {
        let created = session(
            &scenario,
            &[
                "create",
                id,
                "--image",
                "podlife.test/app:1",
                "--volume",
                "1Mi:/data",
                "--timeout",
                "4m",
            ],
        );
        assert_eq!(created.exit, 0, "{}{}", created.stdout, created.stderr);
        let claims = made(&scenario, &kind::CLAIM);
        let of_it = claims.iter().find(|claim| claim["metadata"]["annotations"]["podlife.dev/id"] == id);
        of_it.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let volume = create("mine");
    assert_ne!(create("other"), volume);
    let deleted = session(&scenario, &["delete", "mine", "--keep-volume"]);
    assert_eq!(deleted.exit, 0, "{}", deleted.stderr);
    let pass = session(&scenario, &["gc", "--once", "--orphans"]);
    assert!(!pass.stdout.contains("persistentvolumeclaim"), "{}", pass.stdout);
    assert_eq!(create("mine"), volume);
    let deleted = session(&scenario, &["delete", "mine", "other", "absent"]);
    assert_eq!((deleted.exit, deleted.stderr.as_str()), (0, "session absent does not exist\n"));
    assert_eq!(made(&scenario, &kind::CLAIM), Vec::<Value>::new());
}
