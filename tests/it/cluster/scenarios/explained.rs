//! Crashes that the spec explains: a path, a call, a variable, a command or a lock that a message names, joined with what provides it. Beside
//! each stands one that looks alike, and of which the explanation would be wrong.

use serde_json::Value;

use super::container::{deployment, shell};
use crate::cluster::harness::{Answer, Scenario, event, kubectl, pods_ready, restarts, statuses};
use podlife::model::kind;

/// Summary and fixes of what is said about a Deployment, root cause or symptom.
pub fn said(answer: &Answer, name: &str) -> String {
    let of_name = |finding: &&Value| finding["subject"]["name"] == name;
    let lists = ["rootCauses", "symptoms"].map(|list| answer.json[list].as_array().cloned().unwrap_or_default());
    let all = lists.concat();
    let texts = all.iter().filter(of_name).map(|f| {
        let fixes = f["fixes"].as_array().into_iter().flatten();
        let fixes = fixes.map(|fix| {
            format!(
                "\n  fix: {} [{}]",
                fix["text"].as_str().unwrap(),
                fix["command"].as_str().unwrap_or_default()
            )
        });
        format!(
            "{} {}{}",
            f["code"].as_str().unwrap(),
            f["summary"].as_str().unwrap(),
            fixes.collect::<String>()
        )
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// What must be said about a Deployment, and what must not.
struct Wanted {
    name: &'static str,
    said: &'static [&'static str],
    unsaid: &'static [&'static str],
}

fn wanted(name: &'static str, said: &'static [&'static str], unsaid: &'static [&'static str]) -> Wanted {
    Wanted { name, said, unsaid }
}

/// Waits until so many pods have been started again and so many are ready, and compares what is said about each Deployment.
fn assert_explained(scenario: &Scenario, [broken, healthy]: [usize; 2], all: &[Wanted]) {
    scenario.wait("the broken ones have ended", |scenario| {
        let restarted = |pod: &&Value| {
            let statuses = pod["status"]["containerStatuses"].as_array();
            statuses.into_iter().flatten().any(|s| s["restartCount"].as_i64() >= Some(1))
        };
        let state = scenario.state();
        let ready = statuses(&state, "app").filter(|status| status["ready"] == true).count();
        state.pods.iter().filter(restarted).count() >= broken && ready == healthy
    });
    let answer = scenario.diagnose();
    let mut wrong = Vec::new();
    for wanted in all {
        let text = said(&answer, wanted.name);
        wrong.extend(
            wanted
                .said
                .iter()
                .filter(|part| !text.contains(*part))
                .map(|part| format!("{}: no {part:?} in {text}", wanted.name)),
        );
        wrong.extend(
            wanted
                .unsaid
                .iter()
                .filter(|part| text.contains(*part))
                .map(|part| format!("{}: {part:?} in {text}", wanted.name)),
        );
        wrong.extend((wanted.said.is_empty() && wanted.unsaid.is_empty() && !text.is_empty()).then(|| format!("{}: {text}", wanted.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A pod spec of one container with a volume at a path.
fn mounted(command: &str, at: &str, volume: &str, context: &str) -> String {
    let command = serde_json::to_string(command).unwrap();
    format!(
        "{{securityContext: {{{context}}}, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sh, -c, {command}], \
         volumeMounts: [{{name: data, {at}}}]}}], volumes: [{{name: data, {volume}}}]}}"
    )
}

#[test]
fn a_path_is_explained_by_its_volume_or_the_root_file_system() {
    let journal = "mkdir -p /data/journal && exec sleep 3600";
    let user = "runAsUser: 2000, runAsGroup: 2000, fsGroup: 2000";
    let manifest = [
        deployment(
            "ledger",
            &mounted(journal, "mountPath: /data", "hostPath: {path: /usr/share, type: Directory}", user),
        ),
        deployment("scratch", &mounted(journal, "mountPath: /data", "emptyDir: {}", user)),
        deployment(
            "fixed",
            &mounted("echo x > /data/x", "mountPath: /data, readOnly: true", "emptyDir: {}", ""),
        ),
        shell("sealed", "echo x > /var/state", ", securityContext: {readOnlyRootFilesystem: true}"),
        deployment(
            "shared",
            &mounted(
                "dd if=/dev/zero of=/dev/shm/a bs=1M count=80 || { echo '/dev/shm/a: No space left on device'; exit 1; }",
                "mountPath: /data",
                "emptyDir: {}",
                "",
            ),
        ),
    ]
    .concat();
    let scenario = Scenario::new("explained-path").apply(&manifest);
    assert_explained(
        &scenario,
        [4, 1],
        &[
            wanted(
                "ledger",
                &[
                    "/data/journal",
                    "hostPath /usr/share, on which fsGroup has no effect",
                    "uid 2000",
                    "chown -R 2000 /data",
                ],
                &["set securityContext.fsGroup", "read-only", "SELinux"],
            ),
            wanted("scratch", &[], &[]),
            wanted(
                "fixed",
                &["mounted at /data with readOnly: true", "remove readOnly"],
                &["readOnlyRootFilesystem"],
            ),
            wanted(
                "sealed",
                &["readOnlyRootFilesystem is true", "mount an emptyDir at /var"],
                &["remove readOnly"],
            ),
            wanted("shared", &["/dev/shm has 64 MiB", "medium: Memory"], &["claim"]),
        ],
    );
}

#[test]
fn a_scratch_volume_over_its_limit_is_named_though_the_next_pod_runs() {
    let script = "dd if=/dev/zero of=/scratch/plates bs=1M count=40; echo written; exec sleep 3600";
    let scenario = Scenario::new("explained-scratch")
        .apply(&deployment(
            "press",
            &mounted(script, "mountPath: /scratch", "emptyDir: {sizeLimit: 10Mi}", ""),
        ))
        .until("a pod is evicted and the next one runs", |state| {
            let is = |phase: &str| state.pods.iter().any(|pod| pod["status"]["phase"] == phase);
            is("Failed") && is("Running")
        });
    let answer = scenario.diagnose();
    let text = said(&answer, "press");
    assert_eq!(answer.root_cause()["code"], "PodEvicted", "{}", answer.stdout);
    assert_eq!(answer.root_cause()["subject"]["volume"], "data");
    assert!(
        text.contains("sizeLimit 10Mi into its emptyDir volume data") && text.contains("raise sizeLimit"),
        "{text}"
    );
    assert!(!text.contains("ran out of"), "{text}");
}

const SETTINGS: &str = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {settings.yml: 'zoom: 2'}}\n";

#[test]
fn a_folder_where_a_file_is_wanted_is_explained_by_the_keys() {
    let read = "[ -f /etc/lens/settings.yml ] && exec sleep 3600; echo \"open failed: [Errno 21] Is a directory: '/etc/lens/settings.yml'\"; exit 1";
    let map = "configMap: {name: settings}";
    let lens = |name: &str, at: &str, volume: &str| {
        deployment(name, &mounted(read, &format!("mountPath: /etc/lens/settings.yml{at}"), volume, ""))
    };
    let manifest = [
        SETTINGS.to_owned(),
        "---\n{apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {settings.yml: hunter2}}\n".to_owned(),
        lens("lens", ", subPath: settings.yaml", map),
        lens("right", ", subPath: settings.yml", map),
        lens("whole", "", map),
        lens("hidden", ", subPath: settings.yaml", "secret: {secretName: keys}"),
    ]
    .concat();
    let scenario = Scenario::new("explained-key").apply(&manifest);
    assert_explained(
        &scenario,
        [3, 1],
        &[
            wanted(
                "lens",
                &[
                    "subPath settings.yaml is no key of ConfigMap settings (it has settings.yml)",
                    "set subPath: settings.yml",
                ],
                &["does not exist", "permission"],
            ),
            wanted("right", &[], &[]),
            wanted(
                "whole",
                &["ConfigMap settings is mounted there as a whole", "add subPath: settings.yml"],
                &["is no key"],
            ),
            wanted(
                "hidden",
                &["probably no key of Secret keys, whose keys are not read"],
                &["it has", "hunter2"],
            ),
        ],
    );
}

#[test]
fn a_call_that_is_refused_is_explained_by_the_capability_or_the_user() {
    let chown = "chown 1 /tmp && exec sleep 3600";
    let manifest = [
        shell("dropped", chown, ", securityContext: {runAsUser: 0, capabilities: {drop: [ALL]}}"),
        shell("user", chown, ", securityContext: {runAsUser: 1000}"),
        shell("root", chown, ", securityContext: {runAsUser: 0}"),
        shell(
            "low",
            "exec httpd -f -p 80",
            ", securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}",
        ),
        shell(
            "high",
            "exec httpd -f -p 8080",
            ", securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}",
        ),
    ]
    .concat();
    let scenario = Scenario::new("explained-call").apply(&manifest);
    assert_explained(
        &scenario,
        [3, 2],
        &[
            wanted(
                "dropped",
                &[
                    "the capability CHOWN, which securityContext.capabilities drops",
                    "add the capability CHOWN",
                ],
                &["fsGroup"],
            ),
            wanted(
                "user",
                &["it runs as uid 1000, and only root may change the owner of files"],
                &["capability"],
            ),
            wanted("root", &[], &[]),
            wanted(
                "low",
                &[
                    "port 80 is below 1024, and uid 1000 may not open it",
                    "listen on a port from 1024 on",
                ],
                &["add the capability", "this path"],
            ),
            wanted("high", &[], &[]),
        ],
    );
}

#[test]
fn a_value_is_explained_by_what_provides_it() {
    let port = "case \"$RELAY_PORT\" in tcp*) echo \"invalid literal for int() with base 10: '$RELAY_PORT'\"; exit 1;; '') exit 2;; esac; exec sleep 3600";
    let url = "case \"$STORE_URL\" in *'('*) echo \"fatal: no valid port in $STORE_URL\"; exit 1;; esac; exec sleep 3600";
    let refers = "{name: STORE_URL, value: 'redis://$(STORE_HOST):$(STORE_PORT)/0'}";
    let parts = "{name: STORE_HOST, value: store}, {name: STORE_PORT, value: '6379'}";
    let services = "---\n{apiVersion: v1, kind: Service, metadata: {name: relay}, spec: {selector: {app: relay}, ports: [{port: 8080}]}}\n";
    let scenario = Scenario::new("explained-value").apply(services);
    let manifest = [
        shell("relay", port, ""),
        shell("own", port, ", env: [{name: RELAY_PORT, value: '8080'}]"),
        shell("importer", url, &format!(", env: [{refers}, {parts}]")),
        shell("ordered", url, &format!(", env: [{parts}, {refers}]")),
    ]
    .concat();
    let scenario = scenario.apply(&manifest);
    assert_explained(
        &scenario,
        [2, 2],
        &[
            wanted(
                "relay",
                &[
                    "RELAY_PORT is not set in the spec",
                    "because of Service relay",
                    "enableServiceLinks",
                ],
                &["selects nothing", "OutOfMemory"],
            ),
            wanted("own", &[], &[]),
            wanted(
                "importer",
                &[
                    "STORE_URL refers to $(STORE_HOST) and $(STORE_PORT), defined after it in env",
                    "move STORE_URL below",
                ],
                &["no variable of this name", "ConfigMap"],
            ),
            wanted("ordered", &[], &[]),
        ],
    );
}

/// A Deployment that executes a command with the ConfigMap `boot` at /boot.
fn boots(name: &str, command: &str, key: &str) -> String {
    let container = format!(
        "{{containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [{command}], \
         volumeMounts: [{{name: boot, mountPath: /boot}}]}}], volumes: [{{name: boot, configMap: {{name: boot, defaultMode: 0555}}}}]}}"
    );
    deployment(name, &container.replace("KEY", key))
}

#[test]
fn a_command_is_explained_by_its_script_its_words_and_what_hides_it() {
    let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "boot"}, "data": {
        "bare.sh": "echo courier starts\nexec sleep 3600\n",
        "right.sh": "#!/bin/sh\nexec sleep 3600\n",
        "windows.sh": "#!/bin/sh\r\nexec sleep 3600\r\n",
    }});
    let over = "{containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [/bin/sleep, '3600'], \
                volumeMounts: [{name: data, mountPath: /bin}]}], volumes: [{name: data, emptyDir: {}}]}";
    let manifest = [
        format!("---\n{map}\n"),
        boots("courier", "/boot/KEY", "bare.sh"),
        boots("right", "/boot/KEY", "right.sh"),
        boots("windows", "/boot/KEY", "windows.sh"),
        boots("absent", "/boot/KEY", "nosuch.sh"),
        boots("string", "'sleep 3600'", ""),
        deployment("over", over),
    ]
    .concat();
    let scenario = Scenario::new("explained-command").apply(&manifest);
    assert_explained(
        &scenario,
        [5, 1],
        &[
            wanted(
                "courier",
                &[
                    "exec format error",
                    "/boot/bare.sh is key bare.sh of ConfigMap boot, whose first line names no interpreter",
                    "sh /boot/bare.sh",
                ],
                &["architecture", "does not exist", "may not be executed"],
            ),
            wanted("right", &[], &[]),
            wanted("windows", &["key windows.sh of ConfigMap boot has Windows line ends"], &["hides"]),
            wanted(
                "absent",
                &["ConfigMap boot, which gives no file nosuch.sh"],
                &["volume boot is mounted"],
            ),
            wanted("string", &["command is one string with blanks", "[\"sleep\",\"3600\"]"], &["hides"]),
            wanted(
                "over",
                &["volume data is mounted at /bin and hides what the image has there"],
                &["one string"],
            ),
        ],
    );
}

#[test]
fn a_program_for_another_architecture_is_told_with_that_of_the_node() {
    let folder = std::env::temp_dir().join(format!("podlife-foreign-{}", std::process::id()));
    let program = folder.join("bin/foreign");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    // The head of an ELF file for 64-bit SPARC, which no node of a test has.
    let mut bytes = b"\x7fELF\x02\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x2b\0\0\0\x01".to_vec();
    bytes.resize(400, 0);
    std::fs::write(&program, bytes).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let cluster = std::env::var("PODLIFE_TEST_CLUSTER").unwrap();
    let status = std::process::Command::new(cluster)
        .args(["image", "podlife.test/foreign:1"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::remove_dir_all(&folder).unwrap();
    let pod = "{containers: [{name: app, image: 'podlife.test/foreign:1', imagePullPolicy: IfNotPresent, command: [/bin/foreign]}]}";
    let answer = Scenario::new("explained-foreign")
        .apply(&deployment("foreign", pod))
        .until("it has failed", restarts("app", 1))
        .first_root_cause("ContainerCrashing", "exec-format", "deployment/foreign");
    let architecture = kubectl(
        &[
            "get",
            "nodes",
            "-l",
            "!podlife.test/pretend,type!=kwok",
            "-o",
            "jsonpath={.items[0].status.nodeInfo.architecture}",
        ],
        None,
    );
    let text = said(&answer, "foreign");
    for part in [
        "exec format error",
        &format!("is {architecture}, and /bin/foreign"),
        &format!("use an image for {architecture}"),
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

/// A store that takes an exclusive lock on its claim.
fn store(strategy: &str, release: &str) -> String {
    let script = "mkdir /data/LOCK || { echo 'fatal: store /data is locked by another process'; exit 1; }; trap 'rmdir /data/LOCK; exit 0' TERM; \
                  sleep 3600 & wait";
    let pod = mounted(script, "mountPath: /data", "persistentVolumeClaim: {claimName: planner-data}", "");
    let pod = pod.replace(
        "{name: app,",
        &format!("{{name: app, env: [{{name: RELEASE, value: '{release}'}}],"),
    );
    // A container that is about to fail runs for a moment, which must not end the old revision.
    let rollout = format!("spec: {{strategy: {{type: {strategy}}}, minReadySeconds: 10, selector:");
    deployment("planner", &pod).replace("spec: {selector:", &rollout)
}

#[test]
fn a_lock_that_the_old_revision_holds_is_explained_by_the_strategy() {
    let claim = "---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: planner-data}, \
                 spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}\n";
    let scenario = Scenario::new("explained-lock")
        .apply(&(claim.to_owned() + &store("RollingUpdate", "1")))
        .until("the first revision runs", pods_ready(1))
        .apply(&store("RollingUpdate", "2"));
    assert_explained(
        &scenario,
        [1, 1],
        &[wanted(
            "planner",
            &[
                "store /data is locked",
                "of another revision of deployment/planner still runs",
                "claim planner-data",
                "strategy Recreate",
            ],
            &["is not bound", "ClaimPending"],
        )],
    );
    // The Service's old pod is ready, and the new revision is not.
    let waited = scenario.podlife(&["wait-ready", "deployment/planner", "--timeout", "5s", "-o", "json"]);
    assert_ne!(waited.exit, 0, "{}", waited.stdout);
    // With the strategy that the fix names, the new pod starts.
    let scenario = scenario.apply(&store("Recreate", "3"));
    scenario.wait("the new revision alone is there", |scenario| {
        let pods = scenario.state().pods;
        pods.len() == 1 && pods[0]["spec"]["containers"][0]["env"][0]["value"] == "3" && pods_ready(1)(&scenario.state())
    });
    scenario.healthy();
}

#[test]
fn a_host_port_that_the_old_revision_holds_is_explained_by_the_strategy() {
    let on_host = |name: &str, port: u16, release: &str| {
        shell(
            name,
            "exec sleep 3600",
            &format!(", ports: [{{containerPort: 8080, hostPort: {port}}}], env: [{{name: RELEASE, value: '{release}'}}]"),
        )
    };
    let scenario = Scenario::new("explained-host-port")
        .apply(&(on_host("relay", 39471, "1") + &on_host("first", 39472, "1")))
        .until("both run", pods_ready(2))
        .apply(&(on_host("relay", 39471, "2") + &on_host("second", 39472, "1")))
        .until("the scheduler has refused both", |state| {
            let refused = |name: &str| {
                let of_pod = |e: &&Value| e["involvedObject"]["name"].as_str().is_some_and(|pod| pod.starts_with(name));
                state
                    .events
                    .iter()
                    .filter(|e| e["reason"] == "FailedScheduling")
                    .any(|e| of_pod(&e))
            };
            refused("relay-") && refused("second-")
        });
    scenario.wait("podlife finds both conflicts", |scenario| {
        let answer = scenario.diagnose();
        ["relay", "second"]
            .iter()
            .all(|name| said(&answer, name).contains("HostPortConflict"))
    });
    let answer = scenario.diagnose();
    let relay = said(&answer, "relay");
    assert!(
        relay.contains("of another revision of deployment/relay still runs and holds port 39471") && relay.contains("strategy Recreate"),
        "{relay}"
    );
    let second = said(&answer, "second");
    assert!(
        !second.contains("Recreate") && second.contains("use a Service instead of the host port"),
        "{second}"
    );
}

#[test]
fn a_job_whose_pod_was_deleted_with_its_log_says_how_to_keep_it() {
    let job = |name: &str, policy: &str| {
        format!(
            "---\n{{apiVersion: batch/v1, kind: Job, metadata: {{name: {name}}}, spec: {{backoffLimit: 1, template: {{spec: {{restartPolicy: {policy}, \
             terminationGracePeriodSeconds: 1, containers: [{{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, \
             command: [sh, -c, 'echo column price is missing; exit 3']}}]}}}}}}}}\n"
        )
    };
    let scenario = Scenario::new("explained-gone")
        .apply(&(job("convert", "OnFailure") + &job("kept", "Never")))
        .until("both have given up", |state| {
            let given_up = |name: &str| {
                let of_name = |e: &&Value| e["involvedObject"]["name"] == name && e["reason"] == "BackoffLimitExceeded";
                state.events.iter().any(|e| of_name(&e))
            };
            given_up("convert") && given_up("kept")
        })
        .until("its pod is deleted", event("SuccessfulDelete", "convert-"));
    scenario.wait("its pod is gone", |scenario| {
        let of_convert = |pod: &&Value| pod["metadata"]["labels"]["job-name"] == "convert";
        !scenario.list(&kind::POD).iter().any(|pod| of_convert(&pod))
    });
    let answer = scenario.diagnose();
    let text = said(&answer, "convert");
    assert!(
        text.contains("JobFailing") && text.contains("with restartPolicy OnFailure its pod was deleted then, and its log with it"),
        "{text}"
    );
    assert!(text.contains("restartPolicy: Never") && !text.contains("kubectl logs"), "{text}");
    let kept = said(&answer, "kept");
    assert!(!kept.contains("was deleted") && kept.contains("column price is missing"), "{kept}");
}
