//! Containers that crash, end, are killed or are refused.

use crate::cluster::harness::{Answer, Scenario, State, both, event, kubectl, pods_ready, restarts, running, statuses, waiting};

/// A Deployment of one replica whose pod template is `pod`, written in YAML's flow style.
pub fn deployment(name: &str, pod: &str) -> String {
    let pod = pod.trim().trim_start_matches('{');
    format!(
        "---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{selector: {{matchLabels: {{app: {name}}}}}, \
         template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{terminationGracePeriodSeconds: 1, {pod}}}}}}}\n"
    )
}

/// A Deployment of one container `app` that runs a shell command; `more` are further fields of the container.
pub fn shell(name: &str, command: &str, more: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    deployment(
        name,
        &format!(
            "{{containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, {command}]{more}}}]}}"
        ),
    )
}

/// A Deployment of one container that idles, with a volume at /v.
pub fn with_volume(name: &str, volume: &str) -> String {
    deployment(
        name,
        &format!(
            "{{containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600'], \
             volumeMounts: [{{name: v, mountPath: /v}}]}}], volumes: [{{name: v, {volume}}}]}}"
        ),
    )
}

/// `CODE (cause) kind/name` of every finding of a list, in order of the alphabet.
pub fn findings(answer: &Answer, list: &str) -> Vec<String> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<String> = answer.json[list]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| {
            let subject = &f["subject"];
            let object = format!("{}/{}", text(&subject["kind"]).to_lowercase(), text(&subject["name"]));
            format!("{} ({}) {object}", text(&f["code"]), text(&f["cause"]))
        })
        .collect();
    all.sort();
    all
}

/// Asserts the root causes of a namespace with several broken workloads, whatever their order.
pub fn assert_root_causes(scenario: &Scenario, wanted: &[&str]) -> Answer {
    let answer = scenario.diagnose();
    let mut wanted: Vec<&str> = wanted.to_vec();
    wanted.sort_unstable();
    assert_eq!(findings(&answer, "rootCauses"), wanted, "{}", answer.stdout);
    assert_eq!(answer.exit, 3);
    answer
}

/// Every pod of the namespace has a container that was started again at least so often.
fn all_restarted(pods: usize, at_least: i64) -> impl Fn(&State) -> bool {
    move |state| {
        let restarted = |pod: &serde_json::Value| {
            ["initContainerStatuses", "containerStatuses"]
                .iter()
                .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten())
                .any(|s| s["restartCount"].as_i64() >= Some(at_least))
        };
        state.pods.len() == pods && state.pods.iter().all(restarted)
    }
}

#[test]
fn every_kind_of_crash_has_its_cause() {
    let python =
        r#"printf 'Traceback (most recent call last):\n  File "app.py", line 3, in <module>\nKeyError: "DATABASE_URL"\n' >&2; exit 1"#;
    let full = ", volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}";
    let manifest = [
        shell("plain", "echo starting; echo 'fatal: no peer' >&2; exit 4", ""),
        shell("missing-command", "nosuchcmd", ""),
        shell("not-executable", "touch /tmp/x; /tmp/x", ""),
        shell("config", python, ""),
        // The kubelet takes two dollars for one; the first process of a container ignores what it sends itself.
        shell("segfault", "sh -c 'kill -s SEGV $$$$'; exit $?", ""),
        shell("read-only", "echo x > /tmp/x", ", securityContext: {readOnlyRootFilesystem: true}"),
        shell("full", "dd if=/dev/zero of=/v/x bs=1M count=3", full),
        deployment(
            "no-program",
            "{containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [/nosuch]}]}",
        ),
        deployment(
            "no-right",
            "{containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [/etc/passwd]}]}",
        ),
    ]
    .concat();
    let scenario = Scenario::new("crashes")
        .apply(&manifest)
        .until("all have crashed", all_restarted(9, 1));
    assert_root_causes(
        &scenario,
        &[
            "ContainerCrashing (exit-code) deployment/plain",
            "ContainerCrashing (command-not-found) deployment/missing-command",
            "ContainerCrashing (permission-denied) deployment/not-executable",
            "ContainerCrashing (config) deployment/config",
            "ContainerCrashing (signal) deployment/segfault",
            "ContainerCrashing (read-only-filesystem) deployment/read-only",
            "ContainerCrashing (no-space) deployment/full",
            "ContainerCrashing (command-not-found) deployment/no-program",
            "ContainerCrashing (permission-denied) deployment/no-right",
        ],
    );
}

#[test]
fn what_crun_cannot_start_has_the_same_causes_as_with_runc() {
    let run = |name: &str, command: &str, more: &str| {
        deployment(
            name,
            &format!(
                "{{runtimeClassName: crun, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: {command}{more}}}]{}}}",
                if more.contains("volumeMounts") {
                    ", volumes: [{name: v, configMap: {name: files, defaultMode: 0755}}]"
                } else {
                    ""
                }
            ),
        )
    };
    let mounted = |path: &str| format!(", volumeMounts: [{{name: v, mountPath: {path}}}]");
    let files = r##"---
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data: {plain: "echo hello", lost: "#!/nosuch\n"}
"##;
    let manifest = [
        files.to_owned(),
        run("no-program", "[/nosuch]", ""),
        run("not-on-path", "[nosuchcmd, -x]", ""),
        run("no-right", "[/etc/passwd]", ""),
        run("a-folder", "[/etc]", ""),
        run("no-interpreter", "[/v/plain]", &mounted("/v")),
        run("lost-interpreter", "[/v/lost]", &mounted("/v")),
        run("over-a-file", "[sleep, '1000']", &mounted("/etc/passwd")),
        run("no-such-folder", "[sleep, '1000']", ", workingDir: /etc/passwd"),
        run("well", "[sleep, '1000']", &mounted("/v")),
    ]
    .concat();
    let broken = |state: &State| {
        let restarted = |pod: &&serde_json::Value| pod["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1);
        state.pods.len() == 9 && state.pods.iter().filter(restarted).count() == 8
    };
    let scenario = Scenario::new("crun").apply(&manifest).until("eight have failed twice", broken);
    assert_root_causes(
        &scenario,
        &[
            "ContainerCrashing (command-not-found) deployment/no-program",
            "ContainerCrashing (command-not-found) deployment/not-on-path",
            "ContainerCrashing (permission-denied) deployment/no-right",
            "ContainerCrashing (permission-denied) deployment/a-folder",
            "ContainerCrashing (exec-format) deployment/no-interpreter",
            "ContainerCrashing (command-not-found) deployment/lost-interpreter",
            "ContainerCreateFailing () deployment/over-a-file",
            "ContainerCreateFailing () deployment/no-such-folder",
        ],
    );
}

#[test]
fn a_crash_quotes_the_line_that_explains_it() {
    let answer = Scenario::new("crash")
        .with_first_look()
        .apply(&shell(
            "api",
            "echo 'Error: cannot open ledger, password=hunter2' >&2; echo bye; exit 7",
            "",
        ))
        .until("it crashes again and again", waiting("app", "CrashLoopBackOff"))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/api");
    let summary = answer.root_cause()["summary"].as_str().unwrap();
    assert!(summary.contains("exit code 7, Error: cannot open ledger"), "{}", answer.stdout);
    assert!(!answer.stdout.contains("hunter2"), "{}", answer.stdout);
}

#[test]
fn a_crash_loop_is_seen_while_it_runs_and_is_ready() {
    Scenario::new("crash-between")
        .with_first_look()
        .apply(&shell("api", "sleep 8; echo 'panic: boom' >&2; exit 2", ""))
        .until("it runs again", both(restarts("app", 1), running("app")))
        .first_root_cause("ContainerCrashing", "exit-code", "deployment/api");
}

#[test]
fn a_container_that_ends_well_though_it_should_stay() {
    Scenario::new("completes")
        .apply(&shell("api", "echo done", ""))
        .until("it has ended twice", restarts("app", 1))
        .first_root_cause("ContainerCompletes", "", "deployment/api");
}

#[test]
fn sidecars_are_containers_too() {
    let sidecar = |name: &str, command: &str| {
        deployment(
            name,
            &format!(
                "{{initContainers: [{{name: proxy, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, restartPolicy: Always, \
                 command: [sh, -c, '{command}']}}], containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}}]}}"
            ),
        )
    };
    let scenario = Scenario::new("sidecars")
        .apply(&(sidecar("crashes", "echo no config; exit 1") + &sidecar("ends", "exit 0")))
        .until("both have ended", all_restarted(2, 2));
    assert_root_causes(
        &scenario,
        &[
            "ContainerCompletes () deployment/ends",
            "ContainerCrashing (exit-code) deployment/crashes",
        ],
    );
}

#[test]
fn memory_over_the_limit() {
    let answer = Scenario::new("memory")
        .with_first_look()
        .apply(&shell(
            "api",
            "sleep 4; exec tail /dev/zero",
            ", resources: {limits: {memory: 20Mi}}",
        ))
        .until("it runs again", both(restarts("app", 1), running("app")))
        .first_root_cause("OutOfMemory", "limit", "deployment/api");
    assert!(answer.root_cause()["summary"].as_str().unwrap().contains("20Mi"));
}

#[test]
fn a_child_that_is_killed_for_memory_while_the_container_lives_on() {
    let scenario = Scenario::new("memory-child")
        .apply(&shell(
            "api",
            "i=0; while true; do tail /dev/zero; i=$((i+1)); echo $i > /tmp/n; sleep 1; done",
            ", resources: {limits: {memory: 20Mi}}, readinessProbe: {exec: {command: [sh, -c, 'test $(cat /tmp/n) -ge 5']}, periodSeconds: 1}",
        ))
        .until("its child was killed, or the whole container", |state| {
            pods_ready(1)(state) || restarts("app", 1)(state)
        });
    let answer = scenario.podlife(&["diagnose", "deployment/api", "-o", "json"]);
    let roots = findings(&answer, "rootCauses");
    // Where the kernel ends the cgroup as a whole, it is the container's own end.
    assert!(
        roots == ["OutOfMemory (child-process) deployment/api"] || roots == ["OutOfMemory (limit) deployment/api"],
        "{roots:?}"
    );
}

#[test]
fn a_probe_that_kills_is_no_crash() {
    let scenario = Scenario::new("killed")
        .apply(&shell(
            "api",
            "sleep 3600",
            ", livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 2}",
        ))
        .until("it was killed", both(restarts("app", 1), event("Killing", "failed liveness probe")));
    let answer = scenario.diagnose();
    assert!(!answer.stdout.contains("ContainerCrashing"), "{}", answer.stdout);
    let symptoms = findings(&answer, "symptoms");
    assert!(
        symptoms.contains(&"LivenessKilled () deployment/api".to_owned()),
        "{}",
        answer.stdout
    );
}

#[test]
fn a_hook_that_fails() {
    Scenario::new("hook")
        .with_first_look()
        .apply(&shell(
            "api",
            "sleep 3600",
            ", lifecycle: {postStart: {exec: {command: [sh, -c, 'exit 3']}}}",
        ))
        .until("the hook failed", both(event("FailedPostStartHook", ""), restarts("app", 1)))
        .first_root_cause("LifecycleHookFailing", "", "deployment/api");
}

#[test]
fn root_where_it_is_forbidden() {
    Scenario::new("root")
        .with_first_look()
        .apply(&shell("api", "sleep 3600", ", securityContext: {runAsNonRoot: true}"))
        .until("it is refused", waiting("app", "CreateContainerConfigError"))
        .first_root_cause("RunAsNonRootViolated", "", "deployment/api");
}

#[test]
fn a_container_that_the_runtime_refuses() {
    Scenario::new("start-refused")
        .with_first_look()
        .apply(&shell("api", "sleep 3600", ", workingDir: /etc/passwd"))
        .until("it is refused", restarts("app", 1))
        .first_root_cause("ContainerCreateFailing", "", "deployment/api");
}

#[test]
fn a_sandbox_that_cannot_be_made() {
    // A RuntimeClass belongs to the cluster: its name is this test's own, and it is removed again.
    let class = format!("podlife-no-handler-{}", std::process::id());
    kubectl(
        &["apply", "-f", "-"],
        Some(&format!(
            "---\n{{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {{name: {class}}}, handler: nosuch}}"
        )),
    );
    let scenario = Scenario::new("sandbox").with_first_look()
        .apply(&deployment(
            "api",
            &format!("{{runtimeClassName: {class}, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}}]}}"),
        ))
        .until("its sandbox failed more than once", |state| {
            state.events.iter().any(|e| e["reason"] == "FailedCreatePodSandBox" && e["count"].as_i64() > Some(1))
        });
    kubectl(&["delete", "runtimeclass", &class], None);
    scenario.first_root_cause("PodSandboxFailing", "runtime", "deployment/api");
}

/// The cluster's network plug-in fails for pods of these names, as it would for all of them.
#[test]
fn a_network_plugin_that_fails() {
    let scenario = Scenario::new("network")
        .apply(
            &["crowded", "unplugged", "unplugged-too"]
                .map(|name| shell(name, "sleep 3600", ""))
                .concat(),
        )
        .until("all have failed more than once", |state| {
            let refused = |name: &str| {
                let of_pod = |e: &&serde_json::Value| e["involvedObject"]["name"].as_str().is_some_and(|pod| pod.starts_with(name));
                let failures = state.events.iter().filter(|e| e["reason"] == "FailedCreatePodSandBox");
                failures.filter(of_pod).count() > 1
            };
            refused("crowded-") && refused("unplugged-too-")
        });
    let node = scenario.state().pods[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
    // Pods of several workloads that fail alike are the node's.
    let of_node = format!("PodSandboxFailing (network-plugin) node/{node}");
    // One of them after the other, by its age, is not in the hiccup of a start any more.
    scenario.wait("it is not the hiccup of any start", |scenario| {
        let found = findings(&scenario.diagnose(), "rootCauses");
        found.len() == 2 && found.contains(&of_node)
    });
    assert_root_causes(&scenario, &["PodSandboxFailing (address-exhausted) deployment/crowded", &of_node]);
}

#[test]
fn a_memory_limit_that_lacks_its_unit() {
    Scenario::new("tiny-limit")
        .with_first_look()
        .apply(&shell("api", "sleep 3600", ", resources: {limits: {memory: 100Ki}}"))
        .until("its sandbox failed more than once", |state| {
            state
                .events
                .iter()
                .any(|e| e["reason"] == "FailedCreatePodSandBox" && e["count"].as_i64() > Some(1))
        })
        .first_root_cause("PodSandboxFailing", "memory-limit", "deployment/api");
}

#[test]
fn two_servers_of_a_pod_on_one_port() {
    let answer = Scenario::new("port-taken")
        .apply(&deployment(
            "api",
            "{containers: [\
             {name: first, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [httpd, -f, -p, '8080'], ports: [{containerPort: 8080}]}, \
             {name: second, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'sleep 2; exec httpd -f -p 8080']}]}",
        ))
        .until("the second one has ended", restarts("second", 1))
        .first_root_cause("AddressInUse", "same-pod", "deployment/api");
    assert_eq!(answer.root_cause()["subject"]["container"], "second");
}

#[test]
fn an_application_that_reports_the_same_error_over_and_over() {
    Scenario::new("app-error")
        .apply(&shell(
            "api",
            "i=0; while true; do i=$((i+1)); echo \"ERROR could not write order $i: permission denied for table orders\"; echo $i > /tmp/n; sleep 1; done",
            ", readinessProbe: {exec: {command: [sh, -c, 'test $(cat /tmp/n) -ge 8']}, periodSeconds: 1}",
        ))
        .until("it is ready", pods_ready(1))
        .first_root_cause_of("deployment/api", "ApplicationError", "", "deployment/api");
}

#[test]
fn a_job_that_fails_names_its_crash() {
    let scenario = Scenario::new("job").with_first_look()
        .apply(
            "---\n{apiVersion: batch/v1, kind: Job, metadata: {name: load}, spec: {backoffLimit: 1, template: {spec: {restartPolicy: Never, containers: \
             [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo fatal: no input file; exit 4']}]}}}}",
        )
        .until("a pod of it failed", |state| state.pods.iter().any(|p| p["status"]["phase"] == "Failed"));
    let answer = scenario.first_root_cause("ContainerCrashing", "exit-code", "job/load");
    assert!(answer.stdout.contains("no input file"), "{}", answer.stdout);
}

#[test]
fn completed_or_slow_starting_pods_are_healthy() {
    let scenario = Scenario::new("ends-well")
        .apply(
            &([
                "---\n{apiVersion: batch/v1, kind: Job, metadata: {name: load}, spec: {template: {spec: {restartPolicy: Never, containers: \
                 [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, 'echo ERROR once; exit 0']}]}}}}\n"
                    .to_owned(),
                "---\n{apiVersion: v1, kind: Pod, metadata: {name: once}, spec: {restartPolicy: Never, containers: \
                 [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: ['true']}]}}\n"
                    .to_owned(),
                shell("api", "echo 'ERROR first try failed'; echo 'ERROR second try failed'; echo ready; sleep 3600", ""),
            ]
            .concat()),
        )
        .until("the job and the pod have ended and the server runs", |state| {
            let ended = state.pods.iter().filter(|p| p["status"]["phase"] == "Succeeded").count();
            ended == 2 && statuses(state, "app").any(|s| s["ready"] == true)
        });
    scenario.healthy();
}
