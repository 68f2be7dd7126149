use crate::model::code::Code;
use crate::model::finding::{Finding, Severity};
use crate::model::snapshot::LogKey;
use crate::testing::{check, check_snapshot, snapshot};

/// A Deployment's pod of one container with this status and further fields of pod and container.
fn pod(status: &str, container: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata:
  name: api-1
  uid: u1
  creationTimestamp: "2026-01-01T11:00:00Z"
  labels: {{pod-template-hash: h1}}
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-h1, uid: r1, controller: true}}]
spec: {{nodeName: node-1, terminationGracePeriodSeconds: 30, containers: [{{name: app, image: "busybox:1.36"{container}}}]}}
status:
  phase: Running
  containerStatuses: [{{name: app, image: i, imageID: "", {status}}}]
"#
    )
}

fn back_off(restarts: u32, end: &str) -> String {
    format!(
        "ready: false, restartCount: {restarts}, state: {{waiting: {{reason: CrashLoopBackOff, message: back-off 5m0s}}}}, \
         lastState: {{terminated: {{startedAt: \"2026-01-01T11:58:50Z\", finishedAt: \"2026-01-01T11:59:00Z\", {end}}}}}"
    )
}

fn running(since: &str, restarts: u32, ready: bool, end: &str) -> String {
    format!(
        "ready: {ready}, restartCount: {restarts}, state: {{running: {{startedAt: \"{since}\"}}}}, \
         lastState: {{terminated: {{startedAt: \"2026-01-01T11:40:00Z\", finishedAt: \"2026-01-01T11:45:00Z\", {end}}}}}"
    )
}

fn event(reason: &str, at: &str, message: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Event, metadata: {{name: {}}}, involvedObject: {{kind: Pod, name: api-1, uid: u1, fieldPath: \"spec.containers{{app}}\"}}, \
         reason: {reason}, count: 3, message: {}, lastTimestamp: \"{at}\"}}\n",
        reason.to_lowercase(),
        serde_json::to_string(message).unwrap()
    )
}

fn with_log(yaml: &str, previous: bool, log: &str) -> Vec<Finding> {
    let mut snapshot = snapshot(yaml);
    let key = LogKey {
        namespace: "shop".into(),
        pod: "api-1".into(),
        container: "app".into(),
        previous,
    };
    snapshot.put_log(key, Some(log.to_owned()));
    check_snapshot(crate::rules::container::check, &snapshot)
}

fn said(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|f| format!("{} {} {}", f.code, f.cause, f.subject.object.short()))
        .collect()
}

#[test]
fn exit_codes_and_logs_name_the_cause() {
    for (code, log, wanted) in [
        (1, "Error: bad flag --foo\nstarting", "ContainerCrashing exit-code deployment/api"),
        (
            1,
            "Traceback (most recent call last):\n  File\nKeyError: 'DATABASE_URL'",
            "ContainerCrashing config deployment/api",
        ),
        (3, "", "ContainerCrashing exit-code deployment/api"),
        (
            126,
            "sh: /tmp/x: Permission denied",
            "ContainerCrashing permission-denied deployment/api",
        ),
        (
            127,
            "sh: nosuchcmd: not found",
            "ContainerCrashing command-not-found deployment/api",
        ),
        (
            127,
            "/tmp/x: line 1: \u{7f}ELF: not found",
            "ContainerCrashing exec-format deployment/api",
        ),
        (1, "exec /app: exec format error", "ContainerCrashing exec-format deployment/api"),
        (139, "", "ContainerCrashing signal deployment/api"),
        (137, "", "ContainerCrashing signal deployment/api"),
        (
            1,
            "dd: writing '/v/x': No space left on device",
            "ContainerCrashing no-space deployment/api",
        ),
        (
            1,
            "touch: /x: Read-only file system",
            "ContainerCrashing read-only-filesystem deployment/api",
        ),
        (
            1,
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
            "AddressInUse same-pod deployment/api",
        ),
    ] {
        let yaml = pod(&back_off(5, &format!("exitCode: {code}, reason: Error")), "");
        assert_eq!(said(&with_log(&yaml, true, log)), [wanted], "{code} {log}");
    }
}

#[test]
fn what_the_spec_holds_is_changed_there() {
    let command = ", command: [sh, -c, run]";
    for (code, log, container, fix, verb) in [
        (1, "httpd: unrecognized option '--port'", command, "in command or args", "edit"),
        (1, "httpd: unrecognized option '--port'", "", "in command or args", "logs"),
        (
            1,
            "cat: can't open '/config/app.conf': No such file or directory",
            "",
            "mount the file",
            "edit",
        ),
        (1, "config error: no queue", command, "correct the setting", "logs"),
        (127, "sh: pythn: not found", command, "correct command and args", "edit"),
    ] {
        let found = with_log(
            &pod(&back_off(5, &format!("exitCode: {code}, reason: Error")), container),
            true,
            log,
        );
        let first = &found[0].fixes[0];
        assert!(first.text.contains(fix), "{log}: {}", first.text);
        let command = first.command.as_deref().unwrap();
        assert!(command.starts_with(&format!("kubectl {verb} ")), "{log}: {command}");
    }
}

#[test]
fn a_lost_previous_log_gives_way_to_the_present_one() {
    let yaml = pod(&back_off(5, "exitCode: 1, reason: Error"), "");
    let mut s = snapshot(&yaml);
    for (previous, text) in [
        (true, "unable to retrieve container logs for containerd://x"),
        (false, "fatal: no peer"),
    ] {
        let key = LogKey {
            namespace: "shop".into(),
            pod: "api-1".into(),
            container: "app".into(),
            previous,
        };
        s.put_log(key, Some(text.into()));
    }
    let found = check_snapshot(crate::rules::container::check, &s);
    assert!(found[0].summary.contains("fatal: no peer"), "{}", found[0].summary);
}

#[test]
fn the_runtime_names_a_program_that_cannot_start() {
    let start = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ";
    for (message, wanted) in [
        (
            "exec: \\\"/nosuch\\\": stat /nosuch: no such file or directory: unknown",
            "ContainerCrashing command-not-found deployment/api",
        ),
        (
            "exec: \\\"serve\\\": executable file not found in $PATH: unknown",
            "ContainerCrashing command-not-found deployment/api",
        ),
        (
            "exec: \\\"/etc/passwd\\\": permission denied: unknown",
            "ContainerCrashing permission-denied deployment/api",
        ),
        (
            "error during container init: mkdir /etc/passwd: not a directory: unknown",
            "ContainerCreateFailing  deployment/api",
        ),
    ] {
        let end = format!("exitCode: 128, reason: StartError, message: \"{start}{message}\"");
        let found = check(crate::rules::container::check, &pod(&back_off(5, &end), ""));
        assert_eq!(said(&found), [wanted], "{message}");
    }
}

#[test]
fn a_program_that_cannot_start_is_one_finding_at_any_moment() {
    let message = "message: \"runc create failed: unable to start container process: exec: \\\"/nosuch\\\": stat /nosuch: no such file or directory\"";
    let waiting = format!("state: {{waiting: {{reason: RunContainerError, {message}}}}}");
    let first = format!("ready: false, restartCount: 0, {waiting}");
    let again =
        format!("ready: false, restartCount: 1, {waiting}, lastState: {{terminated: {{exitCode: 128, reason: StartError, {message}}}}}");
    for status in [first, again] {
        let found = check(crate::rules::container::check, &pod(&status, ""));
        assert_eq!(said(&found), ["ContainerCrashing command-not-found deployment/api"]);
    }
}

#[test]
fn exit_0_is_wrong_only_where_it_should_stay() {
    let end = "exitCode: 0, reason: Completed";
    assert_eq!(
        said(&check(crate::rules::container::check, &pod(&back_off(3, end), ""))),
        ["ContainerCompletes  deployment/api"]
    );
    let finite = pod(&back_off(3, end), "").replace("nodeName: node-1,", "nodeName: node-1, restartPolicy: OnFailure,");
    assert!(check(crate::rules::container::check, &finite).is_empty());
}

#[test]
fn memory_is_named_in_any_state() {
    let oom = "exitCode: 137, reason: OOMKilled";
    let limit = ", resources: {limits: {memory: 20Mi}}";
    for status in [
        back_off(5, oom),
        running("2026-01-01T11:59:50Z", 5, true, oom),
        format!("ready: false, restartCount: 0, state: {{terminated: {{{oom}}}}}"),
    ] {
        let found = check(crate::rules::container::check, &pod(&status, limit));
        assert_eq!(said(&found), ["OutOfMemory limit deployment/api"]);
        assert!(found[0].summary.contains("20Mi"));
    }
    assert_eq!(
        said(&check(crate::rules::container::check, &pod(&back_off(5, oom), ""))),
        ["OutOfMemory node deployment/api"]
    );
}

#[test]
fn the_nodes_word_on_memory_counts_at_that_moment_only() {
    let yaml = pod(&back_off(5, "exitCode: 137, reason: Error"), "");
    let system = |at: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Event, metadata: {{name: oom, namespace: default}}, involvedObject: {{kind: Node, name: node-1, uid: node-1}}, \
             reason: SystemOOM, message: \"System OOM encountered, victim process: app, pid: 7\", lastTimestamp: \"{at}\"}}\n"
        )
    };
    let found = check(crate::rules::container::check, &(yaml.clone() + &system("2026-01-01T11:59:01Z")));
    assert!(said(&found).contains(&"OutOfMemory node deployment/api".to_owned()));
    let found = check(crate::rules::container::check, &(yaml + &system("2026-01-01T11:20:00Z")));
    assert_eq!(said(&found), ["ContainerCrashing signal deployment/api"]);
}

#[test]
fn a_killed_child_points_to_the_limit() {
    let yaml = pod(
        &back_off(5, "exitCode: 137, reason: Error"),
        ", resources: {limits: {memory: 20Mi}}",
    );
    assert_eq!(
        said(&with_log(&yaml, true, "working\nKilled")),
        ["OutOfMemory child-process deployment/api"]
    );
}

#[test]
fn a_probe_that_kills_is_a_symptom_and_no_crash() {
    let killing = event(
        "Killing",
        "2026-01-01T11:40:00Z",
        "Container app failed liveness probe, will be restarted",
    );
    let found = check(
        crate::rules::container::check,
        &(pod(&back_off(7, "exitCode: 137, reason: Error"), "") + &killing),
    );
    assert_eq!(
        (said(&found), found[0].severity),
        (vec!["LivenessKilled  deployment/api".to_owned()], Severity::Symptom)
    );
    // A program that ends with its own code long after that kill crashed by itself.
    let found = check(
        crate::rules::container::check,
        &(pod(&back_off(7, "exitCode: 1, reason: Error"), "") + &killing),
    );
    assert_eq!(found[0].code, Code::ContainerCrashing);
}

#[test]
fn a_failing_hook_is_no_crash() {
    let failed = event("FailedPostStartHook", "2026-01-01T11:58:59Z", "PostStartHook failed");
    let hook = ", lifecycle: {postStart: {exec: {command: [sh, -c, exit 3]}}}";
    let found = check(
        crate::rules::container::check,
        &(pod(&back_off(6, "exitCode: 137, reason: Error"), hook) + &failed),
    );
    assert_eq!(said(&found), ["LifecycleHookFailing  deployment/api"]);
}

#[test]
fn recovered_containers_are_silent() {
    for (since, restarts, end) in [
        // Ten minutes of running.
        ("2026-01-01T11:49:00Z", 9, "exitCode: 1, reason: Error"),
        ("2026-01-01T11:49:00Z", 9, "exitCode: 137, reason: OOMKilled"),
        // The node was restarted.
        ("2026-01-01T11:59:00Z", 1, "exitCode: 255, reason: Unknown"),
    ] {
        let found = check(crate::rules::container::check, &pod(&running(since, restarts, true, end), ""));
        assert!(found.is_empty(), "{end}: {found:#?}");
    }
    // It lost a race at its start and has held since.
    let raced = running("2026-01-01T11:57:00Z", 1, true, "exitCode: 1, reason: Error").replace("11:45:00Z", "11:40:05Z");
    assert!(check(crate::rules::container::check, &pod(&raced, "")).is_empty());
    // A loop between two crashes has not.
    let looping = running("2026-01-01T11:59:40Z", 6, true, "exitCode: 1, reason: Error");
    assert_eq!(
        said(&check(crate::rules::container::check, &pod(&looping, ""))),
        ["ContainerCrashing exit-code deployment/api"]
    );
}

#[test]
fn refusals_of_the_kubelet_are_named() {
    for (reason, message, wanted) in [
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image will run as root (pod: \\\"api_shop(u)\\\", container: app)",
            "RunAsNonRootViolated",
        ),
        (
            "CreateContainerConfigError",
            "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: \\\"x\\\", container: app)",
            "RunAsNonRootViolated",
        ),
        (
            "CreateContainerError",
            "failed to create containerd container: cannot load seccomp profile \\\"/x/nosuch.json\\\": open /x/nosuch.json: no such file or directory",
            "ContainerCreateFailing",
        ),
    ] {
        let status = format!("ready: false, restartCount: 0, state: {{waiting: {{reason: {reason}, message: \"{message}\"}}}}");
        assert_eq!(
            said(&check(crate::rules::container::check, &pod(&status, ""))),
            [format!("{wanted}  deployment/api")]
        );
    }
    for passing in [
        "configmap \\\"x\\\" not found",
        "services have not yet been read at least once, cannot construct envvars",
    ] {
        let status =
            format!("ready: false, restartCount: 0, state: {{waiting: {{reason: CreateContainerConfigError, message: \"{passing}\"}}}}");
        assert!(check(crate::rules::container::check, &pod(&status, "")).is_empty(), "{passing}");
    }
}

#[test]
fn one_node_that_starts_no_pod_is_one_cause() {
    let creating = pod("ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}", "");
    let failing = |message: &str| {
        let first = creating.clone() + &event("FailedCreatePodSandBox", "2026-01-01T11:59:00Z", message);
        let second = first
            .replace("api-", "web-")
            .replace("u1", "u2")
            .replace("r1", "r2")
            .replace("failedcreate", "second");
        said(&check(crate::rules::container::check, &format!("{first}---{second}")))
    };
    assert_eq!(
        failing("desc = failed to setup network for sandbox: plugin type=\"calico\" failed (add): connection is unauthorized"),
        ["PodSandboxFailing network-plugin node/node-1"]
    );
    // What each pod asks for by itself is no fault of the node.
    assert_eq!(
        failing("desc = failed to get sandbox runtime: no runtime for \"nosuch\" is configured").len(),
        2
    );
    assert_eq!(failing("desc = container init was OOM-killed (memory limit too low?)").len(), 2);
}

#[test]
fn a_bare_pod_that_another_one_has_replaced_is_history() {
    let bare = |name: &str, made: &str, phase: &str, app: &str| {
        format!(
            "---
{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, uid: {name}, creationTimestamp: '{made}', labels: {{app: {app}}}}},
  spec: {{restartPolicy: Never, containers: [{{name: app, image: i}}]}},
  status: {{phase: {phase}, containerStatuses: [{{name: app, image: i, imageID: '', ready: false, restartCount: 0,
    state: {{terminated: {{exitCode: 1, reason: Error, finishedAt: '2026-01-01T11:50:00Z'}}}}}}]}}}}
"
        )
    };
    let failed = bare("old", "2026-01-01T11:40:00Z", "Failed", "api");
    let found = |other: &str| said(&check(crate::rules::container::check, &(failed.clone() + other)));
    let faulty = ["ContainerCrashing exit-code pod/old"];
    assert_eq!(found(""), faulty);
    assert_eq!(found(&bare("other", "2026-01-01T11:55:00Z", "Succeeded", "web")), faulty);
    assert_eq!(found(&bare("older", "2026-01-01T11:30:00Z", "Succeeded", "api")), faulty);
    assert!(found(&bare("new", "2026-01-01T11:55:00Z", "Succeeded", "api")).is_empty());
}

#[test]
fn sandboxes_fail_for_reasons() {
    let creating = pod("ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}", "");
    for (message, cause) in [
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"x\": plugin type=\"bridge\" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.244.0.1-10.244.0.254",
            "address-exhausted",
        ),
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"x\": plugin type=\"calico\" failed (add): error getting ClusterInformation: connection is unauthorized",
            "network-plugin",
        ),
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for \"nosuch\" is configured",
            "runtime",
        ),
        (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to start sandbox: container init was OOM-killed (memory limit too low?): unknown",
            "memory-limit",
        ),
    ] {
        let found = check(
            crate::rules::container::check,
            &(creating.clone() + &event("FailedCreatePodSandBox", "2026-01-01T11:59:00Z", message)),
        );
        assert_eq!(said(&found), [format!("PodSandboxFailing {cause} deployment/api")]);
    }
    let pause = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox image \"registry.k8s.io/pause:3.10\": failed to \
        pull image \"registry.k8s.io/pause:3.10\": failed to pull and unpack image \"registry.k8s.io/pause:3.10\": failed to resolve reference \
        \"registry.k8s.io/pause:3.10\": failed to do request: Head \"https://registry.k8s.io/v2/pause/manifests/3.10\": dial tcp: i/o timeout";
    let found = check(
        crate::rules::container::check,
        &(creating.clone() + &event("FailedCreatePodSandBox", "2026-01-01T11:59:00Z", pause)),
    );
    assert!(found[0].summary.contains("registry.k8s.io/pause:3.10"), "{}", found[0].summary);
    let evidence = &found[0].evidence[0].detail;
    assert!(
        evidence.starts_with("failed to get sandbox image") && evidence.ends_with("i/o timeout"),
        "{evidence}"
    );
    let started = pod(&running("2026-01-01T11:30:00Z", 0, true, "exitCode: 0"), "");
    assert!(
        check(
            crate::rules::container::check,
            &(started + &event("FailedCreatePodSandBox", "2026-01-01T11:29:00Z", "x"))
        )
        .is_empty()
    );
}

#[test]
fn repeated_errors_count_and_few_do_not() {
    let yaml = pod(
        "ready: true, restartCount: 0, state: {running: {startedAt: \"2026-01-01T11:00:00Z\"}}",
        "",
    );
    let errors: String = (0..20)
        .map(|i| format!("ERROR order {i}: permission denied for table orders\n"))
        .collect();
    assert_eq!(said(&with_log(&yaml, false, &errors)), ["ApplicationError  deployment/api"]);
    assert!(with_log(&yaml, false, "ERROR one\nERROR two\nready").is_empty());
    let recovered = errors + &"INFO served\n".repeat(30);
    assert!(with_log(&yaml, false, &recovered).is_empty());
}

fn job_pod(name: &str, job: &str, created: &str, phase: &str, exit: u8) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, creationTimestamp: \"{created}\", labels: {{controller-uid: {job}}}, \
         ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: {job}, uid: {job}, controller: true}}]}}, \
         spec: {{restartPolicy: Never, containers: [{{name: app, image: i}}]}}, status: {{phase: {phase}, containerStatuses: \
         [{{name: app, image: i, imageID: \"\", ready: false, restartCount: 0, state: {{terminated: {{exitCode: {exit}}}}}}}]}}}}\n"
    )
}

fn job(name: &str, conditions: &str) -> String {
    format!(
        "---\n{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}, uid: {name}, ownerReferences: [{{apiVersion: batch/v1, kind: CronJob, name: nightly, uid: c, controller: true}}]}}, \
         spec: {{template: {{spec: {{containers: []}}}}}}, status: {{conditions: [{conditions}]}}}}\n"
    )
}

#[test]
fn of_a_cron_job_the_newest_run_counts() {
    let cron = "---\n{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {schedule: \"@daily\", jobTemplate: {spec: {template: {spec: {containers: []}}}}}}\n";
    let old = job("n-1", "{type: Failed, status: \"True\"}") + &job_pod("n-1-a", "n-1", "2026-01-01T10:00:00Z", "Failed", 4);
    let good = job("n-2", "{type: Complete, status: \"True\"}") + &job_pod("n-2-a", "n-2", "2026-01-01T11:00:00Z", "Succeeded", 0);
    let bad = job("n-3", "") + &job_pod("n-3-a", "n-3", "2026-01-01T11:50:00Z", "Failed", 4);
    assert!(check(crate::rules::container::check, &format!("{cron}{old}{good}")).is_empty());
    let found = check(crate::rules::container::check, &format!("{cron}{old}{good}{bad}"));
    assert_eq!(said(&found), ["ContainerCrashing exit-code cronjob/nightly"]);
}

/// Right after a restart the kubelet may have counted it without having written how the instance before ended.
#[test]
fn a_restart_without_an_exit_status_is_a_crash() {
    let status =
        |since: &str, restarts: u32| format!("ready: true, restartCount: {restarts}, state: {{running: {{startedAt: \"{since}\"}}}}");
    let taken = with_log(&pod(&status("2026-01-01T11:59:58Z", 1), ""), true, "bind: Address already in use\n");
    assert_eq!(said(&taken), ["AddressInUse same-pod deployment/api"]);
    let silent = with_log(&pod(&status("2026-01-01T11:59:58Z", 1), ""), true, "");
    assert_eq!(said(&silent), ["ContainerCrashing unknown deployment/api"]);
    assert!(!silent[0].summary.contains("exit code"), "{}", silent[0].summary);
    let waits = pod("ready: false, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}", "");
    assert_eq!(said(&with_log(&waits, true, "panic: boom\n")).len(), 1);
    let held =
        pod(&status("2026-01-01T11:58:00Z", 2), "") + &event("BackOff", "2026-01-01T11:59:30Z", "Back-off restarting failed container");
    assert_eq!(said(&with_log(&held, true, "panic: boom\n")).len(), 1);
}

#[test]
fn a_restart_of_which_nothing_is_known_any_more_is_silent() {
    let status = "ready: true, restartCount: 3, state: {running: {startedAt: \"2026-01-01T11:50:00Z\"}}";
    assert!(check(crate::rules::container::check, &pod(status, "")).is_empty());
}

#[test]
fn of_an_empty_log_no_line_is_spoken() {
    let crash = pod(&back_off(3, "exitCode: 3, reason: Error"), "");
    let fix = |log: &str| with_log(&crash, true, log)[0].fixes[0].text.clone();
    assert!(fix("").contains("its log does not say why"), "{}", fix(""));
    assert_eq!(fix("cannot go on\n"), "read the log around this line");
}
