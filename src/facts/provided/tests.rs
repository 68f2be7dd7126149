use crate::facts::provided::{Provided, of_line, of_start};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::testing::snapshot;
use crate::view::{ContainerView, Needs, Options, View, containers};

/// A pod of a Deployment with these fields of the pod spec and of its container, and what else is in the namespace.
fn objects(pod: &str, container: &str, others: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api, uid: d1}}
spec: {{selector: {{matchLabels: {{app: api}}}}, template: {{}}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: api-h1, uid: r1, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: d1, controller: true}}]}}
---
apiVersion: v1
kind: Pod
metadata:
  name: api-1
  uid: u1
  labels: {{pod-template-hash: h1}}
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-h1, uid: r1, controller: true}}]
spec: {{nodeName: node-1, {pod} containers: [{{name: app, image: "busybox:1.36"{container}}}]}}
status: {{phase: Running}}
{others}"#
    )
}

/// What the spec says about a line, with the command of its fix; empty where it says nothing.
fn explained(yaml: &str, line: &str, explain: impl Fn(&View<'_>, &mut Needs, &str) -> Option<Provided>) -> String {
    let mut snapshot = snapshot(yaml);
    let maps = snapshot.objects.config_maps.iter().map(|m| m.metadata.name.clone().unwrap());
    for map in maps.collect::<Vec<_>>() {
        snapshot.note_full(ObjectRef::new(&kind::CONFIG_MAP, "shop", &map));
    }
    let view = View::new(&snapshot, Options::default());
    let provided = explain(&view, &mut Needs::default(), line);
    provided.map_or_else(String::new, |p| {
        format!("{} -> {} [{}]", p.why, p.fix, p.command.map(String::from).unwrap_or_default())
    })
}

/// The container of the pod in question.
fn app<'a>(view: &View<'a>) -> Option<ContainerView<'a>> {
    let mut pods = view.snapshot.objects.pods.iter();
    let pod = pods.find(|pod| pod.metadata.name.as_deref() == Some("api-1"))?;
    containers(pod).into_iter().find(|container| container.name() == "app")
}

fn line(pod: &str, container: &str, others: &str, line: &str) -> String {
    explained(&objects(pod, container, others), line, |view, needs, line| {
        of_line(view, needs, &app(view)?, line)
    })
}

fn start(pod: &str, container: &str, others: &str, message: &str) -> String {
    explained(&objects(pod, container, others), message, |view, needs, message| {
        of_start(view, needs, &app(view)?, message)
    })
}

const DENIED: &str = "mkdir: can't create directory '/data/journal': Permission denied";
const AT_DATA: &str = ", volumeMounts: [{name: data, mountPath: /data}]";

/// Asserts that a text has these parts.
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn a_denied_path_is_explained_by_its_volume() {
    let as_user = "securityContext: {runAsUser: 2000, runAsGroup: 2000, fsGroup: 2000},";
    let host = "volumes: [{name: data, hostPath: {path: /srv/ledger}}],";
    let text = line(&format!("{as_user} {host}"), AT_DATA, "", DENIED);
    assert_has(
        &text,
        &[
            "hostPath /srv/ledger, on which fsGroup has no effect",
            "uid 2000",
            "chown -R 2000 /data",
        ],
    );
    let claim = "volumes: [{name: data, persistentVolumeClaim: {claimName: ledger}}],";
    let text = line(&format!("securityContext: {{runAsUser: 2000}}, {claim}"), AT_DATA, "", DENIED);
    assert_has(
        &text,
        &[
            "claim ledger",
            "fsGroup of the pod to 2000",
            "kubectl patch deployment/api -n shop -p '",
            "\"fsGroup\":2000",
        ],
    );
    let text = line(&format!("{as_user} {claim}"), AT_DATA, "", DENIED);
    assert_has(&text, &["fsGroup is 2000 already", "chown"]);
    assert!(!text.contains("set securityContext.fsGroup"), "{text}");
    let on_host = "---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: ledger}, spec: {volumeName: pv-1}}\n\
                   ---\n{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv-1}, spec: {hostPath: {path: /srv/pv}}}\n";
    let text = line(&format!("securityContext: {{runAsUser: 2000}}, {claim}"), AT_DATA, on_host, DENIED);
    assert_has(&text, &["volume of type hostPath, on which fsGroup has no effect", "chown"]);
    assert!(!text.contains("set securityContext.fsGroup"), "{text}");
}

#[test]
fn root_and_files_of_the_image_are_not_helped_by_a_group() {
    let host = "volumes: [{name: data, hostPath: {path: /srv/ledger}}],";
    let as_root = "securityContext: {runAsUser: 0},";
    assert_eq!(
        line(&format!("{as_root} {host}"), AT_DATA, "", DENIED),
        "",
        "root may use what root owns"
    );
    let dropped = format!("{AT_DATA}, securityContext: {{capabilities: {{drop: [ALL]}}}}");
    let text = line(&format!("{as_root} {host}"), &dropped, "", DENIED);
    assert_has(&text, &["without the capability DAC_OVERRIDE", "\"add\":[\"DAC_OVERRIDE\"]"]);
    let text = line(
        "securityContext: {runAsUser: 101, fsGroup: 101},",
        "",
        "",
        "open() \"/var/cache/nginx/client_temp\" failed (13: Permission denied)",
    );
    assert_has(
        &text,
        &[
            "/var/cache/nginx/client_temp is in no volume but in the image",
            "runAsUser of the pod is 101",
        ],
    );
    assert!(!text.contains("fsGroup"), "{text}");
    assert_eq!(line("", "", "", DENIED), "", "the user of the image is not known");
}

#[test]
fn a_read_only_path_is_explained_by_what_made_it_so() {
    let refused = "sh: can't create /data/x: Read-only file system";
    let mount = |volume: &str, mount: &str| {
        (
            format!("volumes: [{{name: data, {volume}}}],"),
            format!(", volumeMounts: [{{name: data, mountPath: /data{mount}}}]"),
        )
    };
    let (pod, container) = mount("emptyDir: {}", ", readOnly: true");
    assert_has(
        &line(&pod, &container, "", refused),
        &["mounted at /data with readOnly: true", "\"readOnly\":false"],
    );
    let (pod, container) = mount("configMap: {name: conf}", "");
    assert_has(
        &line(&pod, &container, "", refused),
        &["ConfigMap conf, which is always read-only", "into an emptyDir"],
    );
    let (pod, container) = mount("emptyDir: {}", "");
    assert_eq!(line(&pod, &container, "", refused), "", "nothing in the spec makes it read-only");
    let fixed = ", securityContext: {readOnlyRootFilesystem: true}";
    let text = line("", fixed, "", "touch: /var/run/app.pid: Read-only file system");
    assert_has(
        &text,
        &[
            "readOnlyRootFilesystem is true",
            "mount an emptyDir at /var/run",
            "\"volumes\":[{",
            "\"emptyDir\":{}",
            "\"name\":\"var-run\"",
        ],
    );
    assert_eq!(line("", "", "", "touch: /var/run/app.pid: Read-only file system"), "");
}

#[test]
fn a_full_path_is_explained_by_the_limit_of_its_volume() {
    let full = "write /dev/shm/segment: No space left on device";
    assert_has(
        &line("", "", "", full),
        &["/dev/shm has 64 MiB", "\"medium\":\"Memory\"", "\"mountPath\":\"/dev/shm\""],
    );
    let pod = "volumes: [{name: shm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}],";
    let container = ", volumeMounts: [{name: shm, mountPath: /dev/shm}]";
    assert_has(
        &line(pod, container, "", full),
        &["emptyDir in memory with sizeLimit 1Gi", "raise sizeLimit"],
    );
    let pod = "volumes: [{name: data, persistentVolumeClaim: {claimName: ledger}}],";
    let claim = "---\n{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: ledger}, status: {capacity: {storage: 1Gi}}}\n";
    assert_has(
        &line(pod, AT_DATA, claim, "write /data/a: No space left on device"),
        &["claim ledger of 1Gi, and it is full"],
    );
    assert_eq!(line("", "", "", "write /var/log/a: No space left on device"), "");
}

const SETTINGS: &str = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {settings.yml: 'zoom: 2', other: x}}\n";

#[test]
fn a_folder_in_place_of_a_file_is_explained_by_the_keys() {
    let error = "IsADirectoryError: [Errno 21] Is a directory: '/etc/lens/settings.yml'";
    let pod = "volumes: [{name: settings, configMap: {name: settings}}],";
    let mount = |sub: &str| format!(", volumeMounts: [{{name: settings, mountPath: /etc/lens/settings.yml{sub}}}]");
    let text = line(pod, &mount(", subPath: settings.yaml"), SETTINGS, error);
    assert_has(
        &text,
        &[
            "subPath settings.yaml is no key of ConfigMap settings (it has other, settings.yml)",
            "\"subPath\":\"settings.yml\"",
        ],
    );
    assert_eq!(
        line(pod, &mount(", subPath: settings.yml"), SETTINGS, error),
        "",
        "the key is there"
    );
    assert_has(
        &line(pod, &mount(""), SETTINGS, error),
        &["is mounted there as a whole", "\"subPath\":\"settings.yml\""],
    );
    let secret = "volumes: [{name: settings, secret: {secretName: settings}}],";
    let text = line(secret, &mount(", subPath: settings.yaml"), "", error);
    assert_has(
        &text,
        &[
            "probably no key of Secret settings, whose keys are not read",
            "kubectl describe secret settings -n shop",
        ],
    );
    let over = "failed to create shim task: error mounting \"/var/lib/kubelet/x\" to rootfs at \"/etc/lens/settings.yml\": not a directory";
    assert_has(
        &start(pod, &mount(", subPath: settings.yaml"), SETTINGS, over),
        &["subPath settings.yaml is no key"],
    );
}

#[test]
fn a_missing_file_is_explained_by_the_keys_of_its_volume() {
    let pod = "volumes: [{name: settings, configMap: {name: settings}}],";
    let container = ", volumeMounts: [{name: settings, mountPath: /etc/lens}]";
    let absent = |file: &str| format!("FileNotFoundError: [Errno 2] No such file or directory: '/etc/lens/{file}'");
    let text = line(pod, container, SETTINGS, &absent("settings.yaml"));
    assert_has(
        &text,
        &[
            "ConfigMap settings, which gives no file settings.yaml (it has other, settings.yml)",
            "rename the key settings.yml",
        ],
    );
    assert_eq!(line(pod, container, SETTINGS, &absent("settings.yml")), "", "the key is there");
    assert_eq!(line(pod, container, "", &absent("settings.yaml")), "", "the ConfigMap was not read");
    let nginx = "nginx: [emerg] open() \"/etc/nginx/mime.types\" failed (2: No such file or directory)";
    let over = "volumes: [{name: data, emptyDir: {}}],";
    let at = |path: &str| format!(", volumeMounts: [{{name: data, mountPath: {path}}}]");
    assert_has(
        &line(over, &at("/etc/nginx"), "", nginx),
        &["volume data is mounted at /etc/nginx and hides what the image has there"],
    );
    assert_eq!(
        line(over, &at("/data"), "", "open /data/orders.db: no such file or directory"),
        "",
        "data may not be there yet"
    );
}

#[test]
fn a_refused_call_is_explained_by_the_capability_or_the_user() {
    let as_user = "securityContext: {runAsUser: 1000},";
    let as_root = "securityContext: {runAsUser: 0},";
    let dropped = ", securityContext: {capabilities: {drop: [ALL]}}";
    let chown = "chown: /data: Operation not permitted";
    assert_has(
        &line(as_user, "", "", chown),
        &["it runs as uid 1000, and only root may change the owner of files", "drop the chown"],
    );
    assert_has(
        &line(as_root, dropped, "", chown),
        &[
            "the capability CHOWN, which securityContext.capabilities drops",
            "\"add\":[\"CHOWN\"]",
        ],
    );
    assert_eq!(line(as_root, "", "", chown), "", "root may change the owner");
    let back = ", securityContext: {capabilities: {drop: [ALL], add: [CHOWN]}}";
    assert_eq!(line(as_root, back, "", chown), "", "the capability is there");
    let switch = "error: failed switching to \"redis\": operation not permitted";
    assert_has(&line(as_root, dropped, "", switch), &["the capability SETUID"]);
    let iptables = "iptables: can't initialize iptables table `nat': Permission denied (you must be root)";
    assert_has(&line("", "", "", iptables), &["NET_ADMIN, which no container has by default"]);
    assert_eq!(line("", ", securityContext: {capabilities: {add: [NET_ADMIN]}}", "", iptables), "");
}

#[test]
fn a_line_that_names_no_port_is_explained_by_the_port_of_the_command() {
    let denied = "httpd: bind: Permission denied";
    let on = |port: u16| format!(", command: [httpd, -f, -p, '{port}'], securityContext: {{runAsUser: 1000}}");
    assert_has(&line("", &on(80), "", denied), &["port 80 is below 1024, and uid 1000"]);
    assert_eq!(line("", &on(8080), "", denied), "");
    let socket = "listen unix /var/run/api.sock: bind: permission denied";
    assert!(!line("", &on(80), "", socket).contains("below 1024"), "a socket has no port");
}

#[test]
fn a_low_port_is_explained_by_the_user() {
    let bind = |port: u16| format!("nginx: [emerg] bind() to 0.0.0.0:{port} failed (13: Permission denied)");
    let as_user = "securityContext: {runAsUser: 101},";
    assert_has(
        &line(as_user, "", "", &bind(80)),
        &["port 80 is below 1024, and uid 101 may not open it", "ip_unprivileged_port_start"],
    );
    assert_eq!(line(as_user, "", "", &bind(8080)), "", "any user may open this port");
    let dropped = ", securityContext: {runAsUser: 0, capabilities: {drop: [ALL]}}";
    assert_has(
        &line("", dropped, "", &bind(80)),
        &["drops NET_BIND_SERVICE", "\"add\":[\"NET_BIND_SERVICE\"]"],
    );
}

const RELAY: &str =
    "---\n{apiVersion: v1, kind: Service, metadata: {name: relay-a}, spec: {clusterIP: 10.96.1.2, ports: [{port: 8080}]}}\n";

#[test]
fn a_service_link_is_named_where_the_spec_leaves_it_on() {
    let error = "ValueError: invalid literal for int() with base 10: 'tcp://10.96.1.2:8080'";
    let text = line("", "", RELAY, error);
    assert_has(
        &text,
        &[
            "RELAY_A_PORT is not set in the spec",
            "Service relay-a",
            "\"enableServiceLinks\":false",
        ],
    );
    assert_eq!(line("enableServiceLinks: false,", "", RELAY, error), "");
    assert_eq!(
        line("", ", env: [{name: TARGET, value: 'tcp://10.96.1.2:8080'}]", RELAY, error),
        "",
        "the spec has it"
    );
    assert_eq!(
        line("", "", RELAY, "dial tcp://10.96.1.3:8080: refused"),
        "",
        "no Service has this address"
    );
}

#[test]
fn a_reference_is_explained_by_the_order_of_the_variables() {
    let error = "ValueError: Port could not be cast to integer value as '$(STORE_PORT)'";
    let url = "{name: STORE_URL, value: 'redis://$(STORE_HOST):$(STORE_PORT)/0'}";
    let parts = "{name: STORE_HOST, value: store}, {name: STORE_PORT, value: '6379'}";
    let text = line("", &format!(", env: [{url}, {parts}]"), "", error);
    assert_has(
        &text,
        &[
            "STORE_URL refers to $(STORE_HOST) and $(STORE_PORT), defined after it",
            "move STORE_URL below STORE_HOST and STORE_PORT",
        ],
    );
    assert_eq!(line("", &format!(", env: [{parts}, {url}]"), "", error), "", "the order is right");
    assert_has(
        &line("", &format!(", env: [{url}]"), "", error),
        &["refers to $(STORE_PORT), and the container has no variable of this name"],
    );
    let text = line("", ", args: ['--port=$(STORE_PORT)']", "", error);
    assert_has(&text, &["the command refers to $(STORE_PORT)"]);
    let shell = "dial ${STORE_HOST}: no such host";
    assert_has(
        &line("", ", env: [{name: STORE, value: '${STORE_HOST}:1'}]", "", shell),
        &["which Kubernetes does not expand", "write $(STORE_HOST)"],
    );
}

#[test]
fn a_value_with_blanks_or_without_anything_is_named() {
    let padded = "strconv.Atoi: parsing \"8080\\n\": invalid syntax";
    assert_has(
        &line("", ", env: [{name: PORT, value: \"8080\\n\"}]", "", padded),
        &["the value of PORT in env has blanks or a line break"],
    );
    assert_eq!(line("", ", env: [{name: PORT, value: '8080'}]", "", padded), "");
    let map = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: web}, data: {port: \"8080\\n\"}}\n";
    let from = ", env: [{name: PORT, valueFrom: {configMapKeyRef: {name: web, key: port}}}]";
    assert_has(
        &line("", from, map, padded),
        &["PORT comes from key port of ConfigMap web", "|- does not"],
    );
    let empty = "invalid literal for int() with base 10: ''";
    assert_has(
        &line("", ", env: [{name: PORT, value: ''}]", "", empty),
        &["PORT is set to an empty value"],
    );
    assert_eq!(
        line("", ", env: [{name: PORT, value: ''}, {name: HOST, value: ''}]", "", empty),
        "",
        "either may be meant"
    );
}

#[test]
fn a_variable_that_is_missed_is_looked_up() {
    let missed = "KeyError: 'DATABASE_URL'";
    assert_has(
        &line("", ", env: [{name: DATABASE-URL, value: x}]", "", missed),
        &["the container sets DATABASE-URL, and not DATABASE_URL"],
    );
    assert_has(&line("", "", "", missed), &["the spec of the container does not set DATABASE_URL"]);
    let optional = ", env: [{name: DATABASE_URL, valueFrom: {configMapKeyRef: {name: web, key: url, optional: true}}}]";
    let map = |key: &str| format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: web}}, data: {{{key}: a}}}}\n");
    assert_has(
        &line("", optional, &map("uri"), missed),
        &["key url of ConfigMap web, which is not there, and the reference is optional"],
    );
    assert_eq!(line("", optional, &map("url"), missed), "", "the key is there");
    assert_eq!(line("", ", env: [{name: DATABASE_URL, value: x}]", "", missed), "", "it is set");
}

fn boot(script: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: boot}}, data: {{start.sh: {}}}}}\n",
        serde_json::to_string(script).unwrap()
    )
}

#[test]
fn a_script_from_a_config_map_is_explained_by_its_first_line() {
    let pod = "volumes: [{name: boot, configMap: {name: boot, defaultMode: 365}}],";
    let container = ", command: [/boot/start.sh, now], volumeMounts: [{name: boot, mountPath: /boot}]";
    let format = "exec /boot/start.sh: exec format error";
    let text = line(pod, container, &boot("echo starts\n"), format);
    assert_has(
        &text,
        &[
            "key start.sh of ConfigMap boot, whose first line names no interpreter",
            "\"command\":[\"sh\",\"/boot/start.sh\",\"now\"]",
        ],
    );
    assert_eq!(line(pod, container, &boot("#!/bin/sh\necho starts\n"), format), "");
    let absent = "exec /boot/start.sh: no such file or directory";
    assert_has(
        &line(pod, container, &boot("#!/bin/sh\r\necho starts\r\n"), absent),
        &["has Windows line ends", "Unix line ends"],
    );
    assert_has(
        &line(pod, container, &boot("#!/bin/bash\necho starts\n"), absent),
        &["names the interpreter /bin/bash, which is not in the image"],
    );
    let message = "exec: \"/boot/start.sh\": permission denied: unknown";
    assert_eq!(start(pod, container, &boot("#!/bin/sh\n"), message), "", "it may be executed");
    let plain = pod.replace(", defaultMode: 365", "");
    assert_has(
        &start(&plain, container, &boot("#!/bin/sh\n"), message),
        &["mode 0644 and may not be executed", "defaultMode: 0555", "\"defaultMode\":365"],
    );
}

#[test]
fn a_command_that_is_not_found_is_explained_by_the_spec() {
    let message = "exec: \"python app.py\": executable file not found in $PATH: unknown";
    let text = start("", ", command: [python app.py]", "", message);
    assert_has(&text, &["command is one string with blanks", "\"command\":[\"python\",\"app.py\"]"]);
    assert_eq!(
        start(
            "",
            ", command: [python, app.py]",
            "",
            "exec: \"python\": executable file not found in $PATH: unknown"
        ),
        ""
    );
    let by_name = "exec: \"sh\": executable file not found in $PATH: unknown";
    let over = |path: &str| {
        let container = format!(", command: [sh, -c, serve], volumeMounts: [{{name: data, mountPath: {path}}}]");
        start("volumes: [{name: data, emptyDir: {}}],", &container, "", by_name)
    };
    assert_has(
        &over("/bin"),
        &["volume data is mounted at /bin and hides what the image has there"],
    );
    assert_eq!(over("/data"), "");
    let absent = "exec: \"/app/server\": stat /app/server: no such file or directory: unknown";
    let pod = "volumes: [{name: data, emptyDir: {}}],";
    let container = ", command: [/app/server], volumeMounts: [{name: data, mountPath: /app}]";
    assert_has(
        &start(pod, container, "", absent),
        &["volume data is mounted at /app and hides what the image has there"],
    );
    assert_eq!(
        start(pod, &container.replace("mountPath: /app", "mountPath: /data"), "", absent),
        ""
    );
    let with_init = format!("{pod} initContainers: [{{name: fetch, image: i, volumeMounts: [{{name: data, mountPath: /out}}]}}],");
    assert_has(
        &start(&with_init, container, "", absent),
        &["into which init container fetch did not put it"],
    );
}

fn other(revision: &str, state: &str) -> String {
    format!(
        "---\n{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: api-{revision}, uid: r-{revision}, ownerReferences: \
         [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: d1, controller: true}}]}}}}\n\
         ---\n{{apiVersion: v1, kind: Pod, metadata: {{name: api-0, uid: u0, labels: {{pod-template-hash: {revision}}}, ownerReferences: \
         [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-{revision}, uid: r-{revision}, controller: true}}]}}, \
         spec: {{containers: [{{name: app, image: i}}], volumes: [{{name: data, persistentVolumeClaim: {{claimName: ledger}}}}]}}, \
         status: {{phase: Running, containerStatuses: [{{name: app, image: i, imageID: '', ready: true, restartCount: 0, state: {{{state}}}}}]}}}}\n"
    )
}

#[test]
fn a_held_lock_is_explained_by_the_pod_that_has_the_claim() {
    let error = "fatal: store /data is locked by another process: [Errno 11] Resource temporarily unavailable";
    let pod = "volumes: [{name: data, persistentVolumeClaim: {claimName: ledger}}],";
    let running = "running: {startedAt: '2026-01-01T11:00:00Z'}";
    let of_other = |strategy: &str, revision: &str, state: &str| {
        let yaml = objects(pod, AT_DATA, &other(revision, state))
            .replace("template: {}", &format!("template: {{}}, strategy: {{type: {strategy}}}"));
        explained(&yaml, error, |view, needs, line| {
            let pod = view
                .snapshot
                .objects
                .pods
                .iter()
                .find(|pod| pod.metadata.name.as_deref() == Some("api-1"))?;
            of_line(view, needs, containers(pod).first()?, line)
        })
    };
    let text = of_other("RollingUpdate", "h0", running);
    assert_has(
        &text,
        &[
            "pod api-0 of another revision of deployment/api still runs",
            "claim ledger",
            "\"type\":\"Recreate\"",
        ],
    );
    assert_has(&of_other("RollingUpdate", "h1", running), &["run one replica"]);
    assert_eq!(of_other("Recreate", "h0", running), "", "the strategy is right");
    assert_eq!(
        of_other("RollingUpdate", "h0", "waiting: {reason: CrashLoopBackOff}"),
        "",
        "it does not run"
    );
}
