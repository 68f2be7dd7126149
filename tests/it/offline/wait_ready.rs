//! `wait-ready --local`: one look at saved objects.

use serde_json::Value;

use crate::process::{Answer, Setting, podlife, podlife_in};

fn wait_ready(objects: &str, arguments: &[&str]) -> Answer {
    let setting = Setting {
        input: objects,
        ..Setting::default()
    };
    let mut all = vec!["wait-ready", "--local", "-f", "-"];
    all.extend(arguments);
    podlife_in(&setting, &all)
}

fn deployment(name: &str, observed: u32, waiting: Option<&str>) -> String {
    let (ready, state) = match waiting {
        None => ("True", "{running: {startedAt: '2026-01-01T11:00:00Z'}}".to_owned()),
        Some(reason) => (
            "False",
            format!("{{waiting: {{reason: {reason}, message: 'secret \"token\" not found'}}}}"),
        ),
    };
    let count = usize::from(waiting.is_none());
    let template = format!("{{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: app, image: 'app:1'}}]}}}}");
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop, uid: {name}, generation: 2}}\n\
         spec: {{replicas: 1, selector: {{matchLabels: {{app: {name}}}}}, template: {template}}}\n\
         status: {{observedGeneration: {observed}, replicas: 1, updatedReplicas: 1, readyReplicas: {count}, availableReplicas: {count}}}\n\
         ---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: {name}-1, namespace: shop, uid: {name}-1, \
         ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: {name}, uid: {name}, controller: true}}]}}\n\
         spec: {{replicas: 1, selector: {{matchLabels: {{app: {name}}}}}, template: {template}}}\nstatus: {{replicas: 1}}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}-1-a, namespace: shop, uid: {name}-1-a, labels: {{app: {name}}}, creationTimestamp: '2026-01-01T11:00:00Z', \
         ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {name}-1, uid: {name}-1, controller: true}}]}}\n\
         spec: {{containers: [{{name: app, image: 'app:1', envFrom: [{{secretRef: {{name: token}}}}]}}]}}\n\
         status: {{phase: Running, conditions: [{{type: PodScheduled, status: 'True'}}, {{type: Ready, status: '{ready}'}}], \
         containerStatuses: [{{name: app, image: 'app:1', imageID: '', ready: {is_ready}, started: true, restartCount: 0, state: {state}}}]}}\n",
        is_ready = waiting.is_none()
    )
}

const WIDGET: &str = "---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n";

#[test]
fn each_state_has_its_exit_code_and_the_last_line_says_it() {
    let ready = deployment("api", 2, None);
    let behind = deployment("api", 1, None);
    let failed = deployment("api", 2, Some("CreateContainerConfigError"));
    for (objects, target, exit, state, last) in [
        (ready.as_str(), "deployment/api", 0, "ready", "READY  deployment/api -n shop"),
        (
            &behind,
            "deployment/api",
            124,
            "progressing",
            "PROGRESSING  deployment/api -n shop: its controller has not observed the last change yet",
        ),
        (
            &failed,
            "deployment/api",
            3,
            "failed",
            "FAILED  deployment/api -n shop: SecretMissing: ",
        ),
        (
            &ready,
            "deployment/web",
            5,
            "notFound",
            "NOT FOUND  deployment/web -n shop: does not exist",
        ),
        (WIDGET, "widget/w", 4, "unknown", "UNKNOWN  widget/w -n shop: it has no condition"),
    ] {
        let json = wait_ready(objects, &[target, "-o", "json"]);
        assert_eq!(
            (json.exit, &json.json["state"]),
            (exit, &Value::from(state)),
            "{}{}",
            json.stdout,
            json.stderr
        );
        assert_eq!(json.json["exitCode"], exit);
        let text = wait_ready(objects, &[target]);
        assert_eq!(text.exit, exit);
        assert!(text.stdout.lines().next_back().unwrap().starts_with(last), "{}", text.stdout);
    }
}

#[test]
fn everything_in_the_files_is_judged_and_the_worst_decides() {
    let both = format!(
        "{}{}{WIDGET}",
        deployment("api", 2, None),
        deployment("web", 2, Some("CreateContainerConfigError"))
    );
    let answer = wait_ready(&both, &["-o", "json"]);
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    let states: Vec<String> = answer.json["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| format!("{} {}", o["name"].as_str().unwrap(), o["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, ["api ready", "web failed", "w unknown"]);
    assert_eq!(answer.json["rootCauses"][0]["code"], "SecretMissing");
    assert_eq!(answer.json["objects"][1]["causes"][0], answer.json["rootCauses"][0]["id"]);
    assert_eq!(answer.json["objects"][1]["blocking"][0]["pod"], "web-1-a");
}

#[test]
fn more_patience_leaves_a_crash_to_its_restarts() {
    let crash = deployment("api", 2, Some("CrashLoopBackOff")).replace(
        "restartCount: 0",
        "restartCount: 2, lastState: {terminated: {exitCode: 1, finishedAt: '2026-01-01T11:00:50Z'}}",
    );
    let at = |objects: &str| wait_ready(objects, &["deployment/api", "--now", "2026-01-01T11:01:00Z"]).exit;
    assert_eq!(at(&crash), 124, "two restarts are no loop yet");
    let third = crash.replace("restartCount: 2", "restartCount: 3");
    assert_eq!(at(&third), 3);
    assert_eq!(
        wait_ready(&crash, &["deployment/api"]).exit,
        3,
        "without a clock it has had its time"
    );
}

#[test]
fn without_a_clock_the_saved_state_stands() {
    let unscheduled = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, creationTimestamp: '2026-01-01T11:00:00Z'}
spec: {containers: [{name: app, image: 'app:1'}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable,
  message: '0/3 nodes are available: 3 Insufficient cpu.', lastTransitionTime: '2026-01-01T11:00:00Z'}]}
";
    let restarted = deployment("web", 2, None).replace(
        "restartCount: 0",
        "restartCount: 1, lastState: {terminated: {exitCode: 1, startedAt: '2026-01-01T10:59:00Z', finishedAt: '2026-01-01T11:00:00Z'}}",
    );
    let (soon, later) = (&["--now", "2026-01-01T11:00:05Z"][..], &["--now", "2026-01-01T12:00:00Z"][..]);
    for (objects, now, exit) in [
        (unscheduled, &[][..], 3),
        (unscheduled, soon, 124),
        (unscheduled, later, 3),
        (&restarted, &[], 0),
        (&restarted, soon, 124),
        (&restarted, later, 0),
    ] {
        let answer = wait_ready(objects, now);
        assert_eq!(answer.exit, exit, "{now:?} {}{}", answer.stdout, answer.stderr);
    }
    let live = podlife(&["wait-ready", "pod/web", "--now", "2026-01-01T12:00:00Z"]);
    assert_eq!(live.exit, 2, "{}", live.stderr);
}

#[test]
fn a_saved_snapshot_is_judged_again_the_same() {
    let folder = crate::fake_api::Folder::new();
    let path = folder.0.join("saved.json");
    let path = path.to_str().unwrap();
    let first = wait_ready(
        &deployment("api", 2, Some("CreateContainerConfigError")),
        &["-o", "json", "--save", path],
    );
    let again = crate::process::podlife(&["wait-ready", "--local", "-f", path, "-o", "json"]);
    assert_eq!(again.json["rootCauses"], first.json["rootCauses"]);
    assert_eq!((again.exit, &again.json["state"]), (3, &first.json["state"]));
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for arguments in [
        &["--grace", "nonsense=1s"][..],
        &["--grace", "image"],
        &["-o", "name"],
        &["-o", "nonsense"],
    ] {
        let answer = wait_ready(WIDGET, arguments);
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{arguments:?}");
    }
    assert_eq!(wait_ready("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n", &[]).exit, 5);
}

#[test]
fn flags_that_contradict_each_other_or_mean_nothing_are_refused_by_name() {
    for (arguments, words) in [
        (&["--tcp", "--body", "x"][..], &["--tcp", "--body"][..]),
        (&["--tcp", "--status", "200"], &["--tcp", "--status"]),
        (&["--grpc", "--status", "200"], &["--grpc", "--status"]),
        (&["--host", "a b"], &["--host", "is not a host"]),
        (&["--probe-image", ""], &["--probe-image", "is empty"]),
        (&["--probe-image", "a b"], &["--probe-image", "is not an image"]),
        (&["--port", "0"], &["--port", "from 1 to 65535"]),
        (&["--port", "70000"], &["--port", "from 1 to 65535"]),
        (&["--port", ""], &["--port", "from 1 to 65535"]),
        (&["--expect-image", ""], &["--expect-image", "is empty"]),
        (&["--expect-revision", "0"], &["--expect-revision", "counted from 1"]),
        (&["--probe-image", "b", "--via", "service-proxy"], &["--probe-image", "--via"]),
        (&["--probe-image", "b", "--via", "http://x/"], &["--probe-image", "--via"]),
        (&["--once", "--timeout", "5s"], &["--once", "--timeout"]),
        (&["--answer-timeout", "0"], &["--answer-timeout", "more than zero"]),
        (&["--http", "/a#b"], &["--http", "%23"]),
        (&["--timeout", "-5s"], &["--timeout", "it is negative"]),
        (&["--stable-for", "-1"], &["--stable-for", "it is negative"]),
        (&["--timeout", "--once"], &["--timeout", "is not a duration"]),
        (&["--save", "-"], &["--save", "a file is needed"]),
        (&["--junit", "-"], &["--junit", "a file is needed"]),
    ] {
        let answer = podlife(&[&["wait-ready", "deployment/web"], arguments].concat());
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{arguments:?}: {}", answer.stderr);
        for word in words {
            assert!(answer.stderr.contains(word), "{arguments:?}: {}", answer.stderr);
        }
    }
    // Nothing waits: the server is not there.
    let sensible = |more: &[&str]| podlife(&[&["wait-ready", "deployment/web", "--server", "http://127.0.0.1:1"], more].concat());
    for (arguments, is_warned) in [
        (&["--once", "--timeout", "0"][..], false),
        (&["--timeout", "5s"], true),
        (&["--timeout", "6s"], false),
    ] {
        let answer = sensible(arguments);
        assert_eq!(answer.exit, 6, "{}", answer.stderr);
        assert_eq!(
            answer.stderr.contains("stay ready for 5s"),
            is_warned,
            "{arguments:?}: {}",
            answer.stderr
        );
    }
}

#[test]
fn a_path_is_no_url_and_an_api_server_that_says_nothing_is_not_waited_for() {
    // It takes connections, and that is all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let wait = |more: &[&str]| podlife(&[&["wait-ready", "deployment/web", "--server", &server, "--timeout", "2s"], more].concat());
    for path in ["http://elsewhere/", "health z", "/\u{e4}", "/a\nb"] {
        let answer = wait(&["--http", path]);
        assert_eq!(answer.exit, 2, "{path}: {}", answer.stderr);
        assert!(answer.stderr.contains("--http"), "{}", answer.stderr);
    }
    let answer = wait(&["--http", "health?deep=true"]);
    assert_eq!(answer.exit, 6, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("the API server has not answered within 2s"),
        "{}",
        answer.stderr
    );
}

#[test]
fn pipelines_get_annotations_and_a_junit_file() {
    let failed = deployment("api", 2, Some("CreateContainerConfigError"));
    let folder = crate::fake_api::Folder::new();
    let path = folder.0.join("ready.xml");
    let in_ci = |name: &str, arguments: &[&str]| {
        let setting = Setting {
            input: &failed,
            environment: podlife::io::Environment::of([(name.to_owned(), "true".to_owned())]),
            ..Setting::default()
        };
        let mut all = vec![
            "wait-ready",
            "--local",
            "-f",
            "-",
            "deployment/api",
            "--junit",
            path.to_str().unwrap(),
        ];
        all.extend(arguments);
        podlife_in(&setting, &all)
    };
    let github = in_ci("GITHUB_ACTIONS", &[]);
    assert!(
        github
            .stderr
            .contains("::error title=FAILED deployment/api -n shop::SecretMissing deployment/api: "),
        "{}",
        github.stderr
    );
    let junit = std::fs::read_to_string(&path).unwrap();
    assert!(
        junit.contains("<testcase classname=\"pods\" name=\"deployment/shop/api\">"),
        "{junit}"
    );
    assert!(
        junit.contains("failures=\"1\" errors=\"0\"") && junit.contains(" message=\"SecretMissing deployment/api: "),
        "{junit}"
    );
    let said = "FAILED deployment/api -n shop: SecretMissing deployment/api: ";
    let red = format!("\u{1b}[31;1mERROR: {said}");
    assert!(in_ci("GITLAB_CI", &[]).stderr.contains(&red));
    let plain = in_ci("GITLAB_CI", &["--color", "never"]).stderr;
    assert!(plain.contains(&format!("ERROR: {said}")) && !plain.contains('\u{1b}'), "{plain}");
    let plain = in_ci("NO_COLOR", &["--annotations", "gitlab"]).stderr;
    assert!(plain.contains(&format!("ERROR: {said}")) && !plain.contains('\u{1b}'), "{plain}");
    assert!(!in_ci("GITHUB_ACTIONS", &["--annotations", "none"]).stderr.contains("::error"));
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_judged() {
    let folder = crate::fake_api::Folder::new();
    let (lost, folder) = (folder.0.join("no/where"), folder.0.to_str().unwrap().to_owned());
    for flag in ["--junit", "--save"] {
        let answer = wait_ready(WIDGET, &["widget/w", flag, lost.to_str().unwrap()]);
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{}", answer.stderr);
        let said = format!("error: {flag} {}: No such file or directory", lost.display());
        assert!(answer.stderr.starts_with(&said), "{}", answer.stderr);
        assert!(answer.stderr.contains(&format!("hint: mkdir -p {folder}/no")), "{}", answer.stderr);
        let answer = wait_ready(WIDGET, &["widget/w", flag, &folder]);
        assert_eq!(answer.exit, 2, "{}", answer.stderr);
        assert!(answer.stderr.contains("hint: name a file in it"), "{}", answer.stderr);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_verdict_is_printed_when_the_disk_is_full() {
    for flag in ["--junit", "--save"] {
        let answer = wait_ready(&deployment("api", 2, None), &["deployment/api", flag, "/dev/full"]);
        assert_eq!(answer.exit, 1, "{}", answer.stderr);
        assert!(answer.stdout.ends_with("the application was not checked\n"), "{}", answer.stdout);
        assert!(answer.stderr.contains("/dev/full: No space left on device"), "{}", answer.stderr);
    }
}

#[test]
fn a_run_without_a_verdict_leaves_no_file_of_an_earlier_one() {
    let folder = crate::fake_api::Folder::new();
    let path = |name: &str| folder.0.join(name).to_str().unwrap().to_owned();
    let (junit, save, input) = (path("ready.xml"), path("saved.json"), path("input.yaml"));
    let refused = "http://127.0.0.1:1";
    let empty = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    std::fs::write(&input, empty).unwrap();
    let (local, live) = (["--local", "-f", &input], ["deployment/api", "--server", refused]);
    let no_image = ["deployment/api", "--via", "in-cluster"];
    for (arguments, exit, why) in [
        (&local[..], 5, "the given files hold no object that can be waited for"),
        (&live, 6, "127.0.0.1:1"),
        (&no_image, 2, "--via in-cluster needs an image"),
    ] {
        for file in [&junit, &save] {
            std::fs::write(file, "OLD").unwrap();
        }
        let answer = podlife(&[&["wait-ready", "--timeout", "3s", "--junit", &junit, "--save", &save], arguments].concat());
        assert_eq!(answer.exit, exit, "{}", answer.stderr);
        let report = std::fs::read_to_string(&junit).unwrap();
        assert!(report.contains("failures=\"0\" errors=\"1\"") && report.contains(why), "{report}");
        assert!(report.contains("<error type=\"noVerdict\" message=\""), "{report}");
        assert!(!std::path::Path::new(&save).exists(), "{arguments:?}");
    }
    // What is judged may lie in the same file.
    let same = podlife(&["wait-ready", "--local", "-f", &input, "--save", &input, "--junit", &junit]);
    assert_eq!(same.exit, 5, "{}", same.stderr);
    assert_eq!(std::fs::read_to_string(&input).unwrap(), empty);
}

#[test]
fn standard_error_alone_names_the_cause() {
    let last = |objects: &str, arguments: &[&str]| {
        let answer = wait_ready(objects, arguments);
        answer.stderr.lines().next_back().unwrap_or_default().to_owned()
    };
    let failed = deployment("api", 2, Some("CreateContainerConfigError"));
    let said = "FAILED deployment/api -n shop: SecretMissing deployment/api: ";
    for output in ["text", "json", "ndjson"] {
        let told = last(&failed, &["deployment/api", "-o", output]);
        assert!(told.starts_with(said), "{output}: {told}");
    }
    // It may end by itself yet, and the likely cause is known.
    let crash = deployment("api", 2, Some("CrashLoopBackOff")).replace(
        "restartCount: 0",
        "restartCount: 2, lastState: {terminated: {exitCode: 1, finishedAt: '2026-01-01T11:00:50Z'}}",
    );
    let now = ["--now", "2026-01-01T11:01:00Z"];
    let document = wait_ready(&crash, &[&["deployment/api", "-o", "json"][..], &now].concat());
    assert_eq!(document.json["state"], "progressing", "{}", document.stdout);
    let code = document.json["rootCauses"][0]["code"].as_str().unwrap();
    let late = last(&crash, &[&["deployment/api"][..], &now].concat());
    assert!(late.starts_with("PROGRESSING deployment/api -n shop: "), "{late}");
    assert!(late.contains(&format!("{code} ")) && late.contains(" deployment/api: "), "{late}");
    assert_eq!(last(&deployment("api", 2, None), &["deployment/api"]), "");
}

#[test]
fn a_report_says_that_no_request_was_made() {
    let folder = crate::fake_api::Folder::new();
    let path = folder.0.join("ready.xml");
    let ready = deployment("api", 2, None);
    let answer = wait_ready(&ready, &["deployment/api", "--junit", path.to_str().unwrap()]);
    assert_eq!(answer.exit, 0, "{}", answer.stderr);
    let junit = std::fs::read_to_string(&path).unwrap();
    let skipped = "<skipped message=\"judged by the objects alone: the application was not checked\"/>";
    assert!(junit.contains("tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"1\""), "{junit}");
    assert!(junit.contains(skipped), "{junit}");
}

#[test]
fn files_without_endpoints_say_what_to_add() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n\
                   spec: {clusterIP: 10.0.0.1, selector: {app: api}, ports: [{port: 80}]}\n";
    let answer = wait_ready(&format!("{}{service}", deployment("api", 2, None)), &["service/api", "-o", "json"]);
    assert_eq!(
        (answer.exit, &answer.json["state"]),
        (4, &Value::from("unknown")),
        "{}",
        answer.stdout
    );
    let reason = answer.json["reason"].as_str().unwrap();
    assert!(
        reason.contains("its endpoints are not in the files: add those that kubectl get endpointslices"),
        "{reason}"
    );
}
