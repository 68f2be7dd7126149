//! What `examples/` holds: saved snapshots of broken applications, with the text that podlife prints about each.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Setting, assert_marks_agree, podlife, podlife_in};

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.join("snapshot.json").exists())
        .collect();
    folders.sort();
    folders
}

/// Compares a file with what it should be; with `PODLIFE_UPDATE=1` it is written.
pub fn compare(file: &Path, text: &str) {
    if std::env::var_os("PODLIFE_UPDATE").is_some() {
        fs::write(file, text).unwrap();
    }
    let golden = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} is not what podlife prints; PODLIFE_UPDATE=1 writes it again",
        file.display()
    );
}

#[test]
fn each_example_prints_its_expected_output() {
    let examples = examples();
    assert!(examples.len() >= 6, "{examples:?}");
    for example in examples {
        let snapshot = example.join("snapshot.json").display().to_string();
        let answer = podlife_in(
            &Setting {
                terminal: Some(100),
                ..Setting::default()
            },
            &["diagnose", "--local", "-f", &snapshot, "--color", "never"],
        );
        assert_eq!(answer.exit, 3, "{snapshot}: {}", answer.stderr);
        compare(&example.join("diagnosis.txt"), &answer.stdout);
    }
}

#[test]
fn narrow_terminals_and_colour_have_goldens_too() {
    let example = &examples()[0];
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    fs::create_dir_all(&golden).unwrap();
    let snapshot = example.join("snapshot.json").display().to_string();
    for (name, columns, arguments) in [
        ("80-columns", 80, &[][..]),
        ("wide", 120, &["-o", "wide"]),
        ("no-colour", 100, &["--color", "never"]),
    ] {
        let mut all = vec!["diagnose", "--local", "-f", &snapshot, "--advice"];
        all.extend(arguments);
        let answer = podlife_in(
            &Setting {
                terminal: Some(columns),
                ..Setting::default()
            },
            &all,
        );
        compare(&golden.join(format!("{name}.txt")), &answer.stdout);
    }
}

#[test]
fn no_snapshot_holds_a_secrets_value_or_a_manifests_copy() {
    for example in examples() {
        let text = fs::read_to_string(example.join("snapshot.json")).unwrap();
        assert!(
            !text.contains("last-applied-configuration") && !text.contains("fieldsV1"),
            "{}",
            example.display()
        );
    }
}

#[test]
fn manifests_alone_are_judged_without_inventing_a_status() {
    for example in examples() {
        let manifest = example.join("manifest.yaml").display().to_string();
        let answer = podlife(&["diagnose", "--local", "-f", &manifest, "-o", "json"]);
        let is_faulty = !answer.json["rootCauses"].as_array().unwrap().is_empty();
        // What was never applied is not known to work.
        assert_eq!(answer.exit, if is_faulty { 3 } else { 4 }, "{manifest}: {}", answer.stderr);
        for cause in answer.json["rootCauses"].as_array().unwrap() {
            // Without status only a comparison of specs can prove anything.
            let code = cause["code"].as_str().unwrap();
            assert!(
                matches!(code, "ServiceSelectsNothing" | "ConfigMapKeyMissing" | "TargetPortNameUnresolved"),
                "{manifest}: {code}"
            );
        }
    }
}

#[test]
fn manifests_without_status_are_one_line_and_cannot_tell() {
    let manifest = examples()
        .into_iter()
        .map(|example| example.join("manifest.yaml"))
        .find(|path| path.display().to_string().contains("image-typo"))
        .expect("the example is there");
    let answer = podlife(&["diagnose", "--local", "-f", &manifest.display().to_string()]);
    assert_eq!(answer.exit, 4, "{}", answer.stderr);
    let lines: Vec<&str> = answer.stdout.lines().filter(|line| line.contains("never applied")).collect();
    assert!(
        lines.len() == 1 && lines[0].starts_with("? ") && lines[0].contains("deployment/web"),
        "{}",
        answer.stdout
    );
    assert!(!answer.stdout.contains("no cause found"), "{}", answer.stdout);
}

/// Of the namespace as a whole, and of each of its objects.
#[test]
fn marks_counts_and_verdicts_agree() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop.json");
    let snapshots = examples().into_iter().map(|folder| folder.join("snapshot.json")).chain([shop]);
    let mut seen = 0;
    for snapshot in snapshots {
        let snapshot = snapshot.display().to_string();
        let ask = |target: Option<&str>, format: &str| {
            let mut all = vec!["diagnose", "--local", "-f", &snapshot, "-o", format];
            all.extend(target);
            podlife(&all)
        };
        let whole = ask(None, "json").json;
        assert_marks_agree(&ask(None, "text").stdout, &whole);
        for judged in whole["workloads"].as_array().unwrap() {
            let kind = judged["kind"].as_str().unwrap().to_lowercase();
            let target = format!("{kind}/{}", judged["name"].as_str().unwrap());
            let text = ask(Some(&target), "text").stdout;
            assert_marks_agree(&text, &ask(Some(&target), "json").json);
            // What was asked about has a line wherever something is wrong with it.
            assert!(
                judged["verdict"] == "healthy" || text.matches(&target).count() > 1,
                "{target}\n{text}"
            );
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

/// Codes of a list of findings.
fn codes<'a>(document: &'a serde_json::Value, lists: &[&str]) -> Vec<&'a str> {
    let of_list = |list: &&str| document[*list].as_array().into_iter().flatten();
    lists
        .iter()
        .flat_map(of_list)
        .filter_map(|finding| finding["code"].as_str())
        .collect()
}

/// The names of what root causes and symptoms are about.
fn subjects(document: &serde_json::Value) -> Vec<String> {
    let lists = ["rootCauses", "symptoms"].into_iter();
    let findings = lists.flat_map(|list| document[list].as_array().into_iter().flatten());
    findings.map(|finding| finding["subject"]["name"].to_string()).collect()
}

/// The objects of a snapshot as `kubectl get -o json` prints them, with and without the time when they were read: the same root cause, or that
/// it cannot be told; without events and each object alone, nothing that the whole does not say.
#[test]
fn objects_without_a_clock_are_judged_as_they_were_saved() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop.json");
    let snapshots = examples().into_iter().map(|folder| folder.join("snapshot.json")).chain([shop]);
    let (mut told, mut alone) = (0, 0);
    for path in snapshots {
        let saved: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let whole = podlife(&["diagnose", "--local", "-f", &path.display().to_string(), "-o", "json"]).json;
        let known = codes(&whole, &["rootCauses", "symptoms"]);
        let faulty = subjects(&whole);
        let taken_at = saved["takenAt"].as_str().unwrap();
        let items = saved["items"].as_array().unwrap();
        let ask = |items: &[serde_json::Value], now: Option<&str>| {
            let setting = Setting {
                input: &serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
                ..Setting::default()
            };
            let mut all = vec!["diagnose", "--local", "-f", "-", "-o", "json"];
            all.extend(now.iter().flat_map(|now| ["--now", now]));
            podlife_in(&setting, &all)
        };
        let without_events: Vec<serde_json::Value> = items.iter().filter(|item| item["kind"] != "Event").cloned().collect();
        for now in [None, Some(taken_at)] {
            for some in [items, &without_events] {
                let answer = ask(some, now);
                let roots = codes(&answer.json, &["rootCauses"]);
                // A server on the loopback is Running and Ready: only its log and a connection tell, which are no objects.
                let cannot_tell = answer.json["verdict"] == "inconclusive" || known.contains(&"ListenerOnLoopback");
                // Without complete lists, what follows from a cause may stand beside it.
                let is_same = roots.contains(&codes(&whole, &["rootCauses"])[0]) && roots.iter().all(|code| known.contains(code));
                assert!(
                    is_same || roots.is_empty() && cannot_tell,
                    "{} {now:?}: {}",
                    path.display(),
                    answer.stdout
                );
                told += usize::from(is_same);
            }
            for item in items.iter().filter(|item| item["kind"] != "Event") {
                let answer = ask(std::slice::from_ref(item), now);
                assert!(
                    subjects(&answer.json).iter().all(|subject| faulty.contains(subject)),
                    "{} {now:?}: {}",
                    path.display(),
                    answer.stdout
                );
                alone += 1;
            }
        }
    }
    assert!(told >= 24 && alone > 60, "{told} of the wholes, {alone} alone");
}

/// A pod that was saved while its probe failed is told with its reason, whatever its age; one that is ready has healed.
#[test]
fn without_a_clock_the_saved_state_stands() {
    let pod = |ready: bool, restarts: u8| {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: a, namespace: shop, uid: u, creationTimestamp: '2026-01-01T11:59:50Z'}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i, readinessProbe: {{httpGet: {{path: /health, port: 80}}}}}}]}}
status:
  phase: Running
  conditions: [{{type: Ready, status: '{}', lastTransitionTime: '2026-01-01T11:59:55Z'}}]
  containerStatuses: [{{name: c, image: i, imageID: '', started: true, ready: {ready}, restartCount: {restarts}, state: {{running: {{startedAt: '2026-01-01T11:59:52Z'}}}},
    lastState: {{terminated: {{exitCode: 1, reason: Error, finishedAt: '2026-01-01T11:59:51Z'}}}}}}]
---
apiVersion: v1
kind: Event
metadata: {{name: e, namespace: shop}}
type: Warning
reason: Unhealthy
message: 'Readiness probe failed: HTTP probe failed with statuscode: 404'
lastTimestamp: '2026-01-01T11:59:57Z'
involvedObject: {{kind: Pod, name: a, namespace: shop, uid: u, fieldPath: 'spec.containers{{c}}'}}
",
            if ready { "True" } else { "False" }
        )
    };
    let ask = |input: &str, now: &[&str]| {
        let setting = Setting {
            input,
            ..Setting::default()
        };
        podlife_in(&setting, &[&["diagnose", "--local", "-f", "-", "-o", "json"], now].concat())
    };
    let unready = pod(false, 0).replace("lastState", "x");
    let now = ["--now", "2026-01-01T12:00:00Z"];
    let stands = ask(&unready, &[]);
    assert_eq!(
        (stands.exit, stands.root_cause()["code"].as_str()),
        (3, Some("ReadinessProbeFailing")),
        "{}",
        stands.stdout
    );
    let dated = ask(&unready, &now);
    assert_eq!(
        (dated.exit, dated.json["pending"][0]["code"].as_str()),
        (0, Some("ReadinessProbeFailing")),
        "{}",
        dated.stdout
    );
    let seconds = dated.json["pending"][0]["settlesWithinSeconds"].as_u64();
    assert_eq!(seconds, Some(22), "{}", dated.stdout);
    let healed = ask(&pod(true, 1), &[]);
    assert_eq!(
        (healed.exit, healed.json["verdict"].as_str()),
        (0, Some("healthy")),
        "{}",
        healed.stdout
    );
    let dated = ask(&pod(true, 1), &now);
    assert_eq!(
        (dated.exit, dated.root_cause()["code"].as_str()),
        (3, Some("ContainerCrashing")),
        "{}",
        dated.stdout
    );
    // Whether what was being created would have come up, nobody can tell.
    let creating = unready.split("status:").next().unwrap().to_owned()
        + "status: {phase: Pending, containerStatuses: [{name: c, image: i, imageID: '', started: false, ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]}";
    let untold = ask(&creating, &[]);
    assert_eq!(
        (untold.exit, untold.json["verdict"].as_str()),
        (4, Some("inconclusive")),
        "{}",
        untold.stdout
    );
    // A Gateway of a manifest has no conditions: nobody is accused of that.
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g, namespace: shop, uid: g, \
                   creationTimestamp: '2026-01-01T11:00:00Z'}, spec: {gatewayClassName: x}}";
    assert!(codes(&ask(gateway, &[]).json, &["rootCauses"]).is_empty());
}

/// What rests, is held or cannot grow is shown without --advice to whoever asks for that object.
#[test]
fn a_named_target_shows_its_own_notes() {
    let input = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: quiet, namespace: shop, uid: d, creationTimestamp: '2026-01-01T11:00:00Z'}, spec: {replicas: 0, selector: {matchLabels: {app: quiet}}, template: {metadata: {labels: {app: quiet}}, spec: {containers: [{name: c, image: i}]}}}, status: {observedGeneration: 1}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: shop, uid: c, creationTimestamp: '2026-01-01T11:00:00Z'}, spec: {schedule: '0 3 * * *', suspend: true, jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: i}]}}}}}, status: {}}
";
    let setting = Setting {
        input,
        ..Setting::default()
    };
    let ask = |target: &[&str]| podlife_in(&setting, &[&["diagnose", "--local", "-f", "-"], target].concat()).stdout;
    for (target, code) in [("deployment/quiet", "ScaledToZero"), ("cronjob/nightly", "CronJobSuspended")] {
        let text = ask(&[target]);
        assert!(text.contains(code), "{text}");
    }
    let whole = ask(&[]);
    assert!(!whole.contains("ScaledToZero") && !whole.contains("CronJobSuspended"), "{whole}");
}
