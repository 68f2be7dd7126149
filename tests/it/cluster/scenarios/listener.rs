//! Servers that listen where nobody gets to them, and those that must not be accused of it.

use serde_json::Value;

use super::probes::running_for;
use crate::cluster::harness::{Answer, Scenario, both, event, pods_ready, restarts, running, waiting};
use crate::cluster::objects::{self, Workload};

/// Past what a start may take, so that a port that nobody opened is a fault.
const PAST_START: i64 = 62;

/// The test application, which has no shell, behind a Service that sends to its port 8080.
fn app(name: &str, listen: &str) -> Workload {
    objects::app(name).env("LISTEN", listen).ports("{port: 80, targetPort: 8080}")
}

/// BusyBox, which has a shell, behind a Service that sends to its port 8080.
fn shell(name: &str, script: &str, fields: &str) -> String {
    let shell = objects::shell(name, script).container(fields);
    shell.ports("{port: 80, targetPort: 8080}").to_string()
}

fn manifests(apps: &[Workload]) -> String {
    apps.iter().map(ToString::to_string).collect()
}

/// `CODE (CAUSE) kind/name container, CONFIDENCE` of every root cause, in order of the text.
fn verdicts(answer: &Answer) -> Vec<String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<String> = answer.json["rootCauses"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| {
            let subject = &f["subject"];
            let container = subject["container"].as_str().map(|c| format!(" {c}")).unwrap_or_default();
            format!(
                "{} ({}) {}/{}{container}, {}",
                text(&f["code"]),
                text(&f["cause"]),
                text(&subject["kind"]).to_lowercase(),
                text(&subject["name"]),
                text(&f["confidence"])
            )
        })
        .collect();
    all.sort();
    all
}

/// Asserts the root causes, and that nothing else is wrong, but for what these explain.
fn holds(scenario: &Scenario, arguments: &[&str], expected: &[&str]) -> Answer {
    // On a busy machine the API server may take longer than the default to say that nobody listens.
    let mut all = vec!["diagnose", "-o", "json", "--dial-timeout", "8s", "--dial-time", "60s"];
    all.extend(arguments);
    let answer = scenario.podlife(&all);
    let mut expected: Vec<&str> = expected.to_vec();
    expected.sort_unstable();
    let said = verdicts(&answer);
    let missing: Vec<&&str> = expected.iter().filter(|e| !said.contains(&(**e).to_owned())).collect();
    let odd: Vec<&String> = said.iter().filter(|s| !expected.contains(&s.as_str())).collect();
    assert!(
        missing.is_empty() && odd.is_empty(),
        "missing: {missing:#?}\nodd: {odd:#?}\n{}{}",
        answer.stdout,
        answer.stderr
    );
    answer
}

/// The root cause about one workload.
fn about<'a>(answer: &'a Answer, name: &str) -> &'a Value {
    let causes = answer.json["rootCauses"].as_array().unwrap();
    causes.iter().find(|f| f["subject"]["name"] == name).unwrap()
}

#[test]
fn addresses_and_ports_without_any_probe() {
    let declared = "ports: [{containerPort: 8080}]";
    let apps = [
        app("v4", "127.0.0.1:8080"),
        app("v4-other", "127.0.0.53:8080"),
        app("v6", "[::1]:8080"),
        app("mapped", "[::ffff:127.0.0.1]:8080"),
        app("any4", "0.0.0.0:8080"),
        app("any6", "[::]:8080"),
        app("only6", "tcp6:[::]:8080"),
        app("other-port", "0.0.0.0:9090").container(declared),
        app("target", "0.0.0.0:9090").container("ports: [{containerPort: 9090}]"),
        app("nobody", "0.0.0.0:8080").env("START_DELAY", "1h").container(declared),
        app("told", "0.0.0.0:9090").env("START_DELAY", "1h").container(declared),
        app("admin", "0.0.0.0:8080,127.0.0.1:9901").container("ports: [{containerPort: 8080}, {name: admin, containerPort: 9901}]"),
        app("unused", "127.0.0.1:8080,0.0.0.0:9090").ports("{port: 80, targetPort: 9090}"),
        // A name that tells no protocol, one that tells another than HTTP, and a server that has not bound the address that it was told.
        app("main", "0.0.0.0:8080")
            .env("START_DELAY", "1h")
            .ports("{name: main, port: 80, targetPort: 8080}"),
        app("main-inside", "127.0.0.1:8080").ports("{name: main, port: 80, targetPort: 8080}"),
        app("quiet", "0.0.0.0:6379")
            .env("START_DELAY", "1h")
            .ports("{name: redis, port: 6379}"),
        app("unbound", "127.0.0.1:8080").env("START_DELAY", "1h"),
        app("silent", "0.0.0.0:8080").env("HANG", "1"),
    ];
    // A second Service for a healthy workload.
    let odd = "---\n{apiVersion: v1, kind: Service, metadata: {name: odd}, spec: {selector: {app: any4}, ports: [{port: 80, targetPort: 9999}]}}\n";
    let scenario = Scenario::new("listen")
        .apply(&(manifests(&apps) + odd))
        .until("all have run for longer than a start takes", running_for("app", PAST_START))
        .until("all pods are there", pods_ready(apps.len()));
    let answer = holds(
        &scenario,
        &[],
        &[
            "ListenerOnLoopback (ipv4) deployment/v4 app, proven",
            "ListenerOnLoopback (ipv4) deployment/v4-other app, likely",
            "ListenerOnLoopback (ipv6) deployment/v6 app, likely",
            "ListenerOnLoopback (mapped) deployment/mapped app, proven",
            "ListenerAddressFamily () deployment/only6 app, likely",
            "ListenerOnOtherPort () deployment/other-port app, proven",
            "TargetPortMismatch (proven) service/target, proven",
            "NothingListening () deployment/nobody app, likely",
            "NothingListening () deployment/told app, likely",
            "NothingListening () deployment/main app, likely",
            "ListenerOnLoopback (ipv4) deployment/main-inside app, proven",
            "NothingListening () deployment/quiet app, likely",
            "NothingListening () deployment/unbound app, likely",
            "TargetPortMismatch (proven) service/odd, proven",
        ],
    );
    assert_eq!(answer.exit, 3);
    let told = about(&answer, "told");
    assert!(
        told["summary"]
            .as_str()
            .unwrap()
            .ends_with("its environment names port 9090, where nothing listens either"),
        "{told}"
    );
    assert!(!about(&answer, "nobody")["summary"].as_str().unwrap().contains("names port"));
    // The variable that says it is the one to change.
    let fix = about(&answer, "v4")["fixes"][0].clone();
    let command = format!("kubectl set env deployment/v4 -c app LISTEN=0.0.0.0:8080 -n {}", scenario.namespace);
    assert_eq!(fix["command"], command, "{fix}");
    let fix = about(&answer, "only6")["fixes"][0].clone();
    let command = format!(
        "kubectl set env deployment/only6 -c app LISTEN=0.0.0.0:8080 -n {}",
        scenario.namespace
    );
    assert_eq!(fix["command"], command, "{fix}");
}

#[test]
fn protocols_that_are_not_plain_http() {
    let apps = [
        app("tls", "tls:0.0.0.0:8443").ports("{name: https, port: 443, targetPort: 8443}"),
        app("tls-inside", "tls:127.0.0.1:8443").ports("{name: https, port: 443, targetPort: 8443}"),
        app("tls-unnamed", "tls:0.0.0.0:8080"),
        app("grpc", "grpc:0.0.0.0:9000").ports("{name: grpc, port: 9000, targetPort: 9000}"),
        app("grpc-inside", "grpc:127.0.0.1:9000").ports("{name: grpc, port: 9000, targetPort: 9000}"),
        app("udp-inside", "udp:127.0.0.1:5353").ports("{name: dns, protocol: UDP, port: 53, targetPort: 5353}"),
        app("udp", "udp:0.0.0.0:5353").ports("{name: dns, protocol: UDP, port: 53, targetPort: 5353}"),
        app("cache", "tcp:0.0.0.0:6379").ports("{name: redis, port: 6379, targetPort: 6379}"),
        app("cache-inside", "tcp:127.0.0.1:6379")
            .ports("{name: redis, port: 6379, targetPort: 6379}")
            .container("readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 2}"),
        app("cache-quiet", "tcp:127.0.0.1:6379").ports("{name: redis, port: 6379, targetPort: 6379}"),
        app("fails", "0.0.0.0:8080")
            .env("ANSWER_STATUS", "500")
            .ports("{name: http, port: 80, targetPort: 8080}"),
        app("hangs", "0.0.0.0:8080")
            .env("HANG", "1")
            .ports("{name: http, port: 80, targetPort: 8080}"),
        app("missing-page", "0.0.0.0:8080").env("ANSWER_STATUS", "404"),
        app("denied", "0.0.0.0:8080").env("ANSWER_STATUS", "401"),
    ];
    let scenario = Scenario::new("protocols")
        .apply(&manifests(&apps))
        .until("all have run for longer than a start takes", running_for("app", PAST_START));
    let answer = holds(
        &scenario,
        &[],
        &[
            "ListenerOnLoopback (ipv4) deployment/tls-inside app, proven",
            "ListenerOnLoopback (ipv4) deployment/grpc-inside app, likely",
            "ListenerOnLoopback (ipv4) deployment/udp-inside app, likely",
            "ListenerOnLoopback (ipv4) deployment/cache-inside app, proven",
            "ListenerOnLoopback (ipv4) deployment/cache-quiet app, likely",
            "ApplicationError () deployment/fails app, likely",
        ],
    );
    // What stands before the address stays.
    for (name, port) in [("cache-inside", 6379), ("cache-quiet", 6379)] {
        let fix = &about(&answer, name)["fixes"][0]["command"];
        let command = format!(
            "kubectl set env deployment/{name} -c app LISTEN=tcp:0.0.0.0:{port} -n {}",
            scenario.namespace
        );
        assert_eq!(fix, &command);
    }
}

#[test]
fn pods_behind_a_mesh_are_not_dialled_and_the_report_says_so() {
    let meshed = app("meshed", "127.0.0.1:8080").beside(
        "name: linkerd-proxy, image: 'podlife.test/app:1', imagePullPolicy: IfNotPresent, env: [{name: LISTEN, value: '0.0.0.0:4143'}]",
    );
    let scenario = Scenario::new("mesh").apply(&meshed).until("both run", pods_ready(1));
    let answer = holds(&scenario, &[], &[]);
    assert_eq!(answer.exit, 0, "{}", answer.json);
    assert_eq!(
        answer.json["unchecked"][0]["what"], "port 8080 of deployment/meshed by dialling",
        "{}",
        answer.json
    );
    let text = scenario.podlife(&["diagnose", "deployment/meshed"]).stdout;
    assert!(text.contains("not tried: linkerd-proxy answers in its place"), "{text}");
    let quiet = holds(&scenario, &["--no-dial"], &[]);
    assert!(quiet.json["unchecked"].as_array().unwrap().is_empty(), "{}", quiet.json);
}

#[test]
fn probes_that_are_refused_say_why() {
    let ready = "readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 2}";
    let live = "livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2, failureThreshold: 1000}";
    let startup = "startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 2, failureThreshold: 1000}";
    let apps = [
        app("good", "0.0.0.0:8080").container(ready),
        app("ready", "127.0.0.1:8080").container(ready),
        app("ready-v6", "[::1]:8080").container(ready),
        app("ready-mapped", "[::ffff:127.0.0.1]:8080").container(ready),
        app("live", "127.0.0.1:8080").container(live),
        app("startup", "127.0.0.1:8080").container(startup),
        app("grpc", "grpc:127.0.0.1:9000")
            .container("readinessProbe: {grpc: {port: 9000}, periodSeconds: 2}")
            .ports("{port: 9000, targetPort: 9000}"),
        app("https", "tls:127.0.0.1:8443")
            .container("readinessProbe: {httpGet: {path: /readyz, port: 8443, scheme: HTTPS}, periodSeconds: 2}")
            .ports("{port: 443, targetPort: 8443}"),
        app("other-port", "0.0.0.0:9090").container(ready),
        app("probe", "0.0.0.0:8080").container("readinessProbe: {httpGet: {path: /readyz, port: 8081}, periodSeconds: 2}"),
    ];
    let scenario = Scenario::new("probes-refused")
        .apply(&manifests(&apps))
        .until("the probes were refused", event("Unhealthy", "connection refused"))
        .until("all have run for longer than a start takes", running_for("app", PAST_START));
    let answer = holds(
        &scenario,
        &[],
        &[
            "ListenerOnLoopback (ipv4) deployment/ready app, proven",
            "ListenerOnLoopback (ipv6) deployment/ready-v6 app, likely",
            "ListenerOnLoopback (mapped) deployment/ready-mapped app, proven",
            "ListenerOnLoopback (ipv4) deployment/live app, proven",
            "ListenerOnLoopback (ipv4) deployment/startup app, proven",
            "ListenerOnLoopback (ipv4) deployment/grpc app, likely",
            "ListenerOnLoopback (ipv4) deployment/https app, proven",
            "ListenerOnOtherPort () deployment/other-port app, proven",
            "ListenerOnOtherPort () deployment/probe app, proven",
        ],
    );
    let fix = about(&answer, "probe")["fixes"][0]["command"].as_str().unwrap();
    assert!(fix.contains("\"readinessProbe\":{\"httpGet\":{\"port\":8080}}"), "{fix}");
    let symptoms = answer.json["symptoms"].as_array().unwrap();
    let explained = symptoms
        .iter()
        .filter(|s| s["subject"]["name"] == "ready" && s["code"] == "ReadinessProbeFailing")
        .all(|s| !s["causedBy"].as_array().unwrap().is_empty());
    assert!(explained, "{symptoms:#?}");
}

#[test]
fn a_probe_that_kills_is_explained_between_the_lives_of_its_container() {
    let live = "livenessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, failureThreshold: 2}";
    let killed = app("killed", "127.0.0.1:8080").container(live);
    let scenario = Scenario::new("killed-lives")
        .apply(&killed)
        .until(
            "it is killed again and again",
            both(restarts("app", 3), event("Killing", "failed liveness probe")),
        )
        .until("it waits for its next life", waiting("app", "CrashLoopBackOff"));
    scenario.first_root_cause("ListenerOnLoopback", "ipv4", "deployment/killed");
    let scenario = scenario.until("it lives", running("app"));
    scenario.first_root_cause("ListenerOnLoopback", "ipv4", "deployment/killed");
}

#[test]
fn a_late_binder_is_given_time() {
    let late = app("late", "0.0.0.0:8080").env("START_DELAY", "20s");
    let scenario = Scenario::new("late").apply(&late).until("it runs", running("app"));
    let answer = holds(&scenario, &[], &[]);
    assert_eq!(answer.exit, 0, "{}", answer.stdout);
    scenario.until("it listens", running_for("app", 25)).healthy();
}

/// A server whose port stands in its command alone is dialled there at once. Who starts slowly on the right port is not accused meanwhile, and
/// neither is who has opened a port for something else first.
#[test]
fn the_port_in_a_command_is_proven_while_it_starts() {
    let serve = |port: u16| format!("exec httpd -f -p {port} -h /w");
    let manifest = shell("wrong", &format!("mkdir -p /w; {}", serve(9090)), "")
        + &shell("slow", &format!("mkdir -p /w; sleep 25; {}", serve(8080)), "")
        + &shell(
            "helped",
            "mkdir -p /w; cp /bin/busybox /w/busybox-server; httpd -p 9090 -h /w; sleep 25; exec /w/busybox-server httpd -f -p 8080 -h /w",
            "",
        );
    let scenario = Scenario::new("command-port").apply(&manifest);
    scenario.wait("the wrong port is proven, and nothing else", |scenario| {
        let said = verdicts(&scenario.diagnose());
        let wrong = "ListenerOnOtherPort () deployment/wrong app, proven";
        assert!(said.iter().all(|cause| cause == wrong), "{said:?}");
        !said.is_empty()
    });
    assert!(!running_for("app", PAST_START)(&scenario.state()), "not before a start is over");
    let finding = about(&scenario.diagnose(), "wrong").clone();
    let command = finding["fixes"][0]["command"].as_str().unwrap();
    assert!(
        command.contains("\"path\":\"/spec/ports/0/targetPort\",\"value\":9090"),
        "{finding:#}"
    );
    let waited = scenario.podlife(&[
        "wait-ready",
        "deployment/wrong",
        "-o",
        "json",
        "--grace",
        "permanent=2s,probe=1h,other=1h",
    ]);
    assert_eq!(
        (waited.exit, &waited.json["state"]),
        (3, &Value::from("failed")),
        "{}",
        waited.stdout
    );
    let scenario = scenario.until("the others listen too", |state| running_for("app", 30)(state));
    holds(&scenario, &[], &["ListenerOnOtherPort () deployment/wrong app, proven"]);
    // Nobody is asked, and nobody is accused.
    holds(&scenario, &["--no-dial"], &[]);
}

#[test]
fn a_sidecar_owns_the_port() {
    let pair = |name: &str, listen: &str| {
        app(name, "127.0.0.1:9000")
            .beside(&format!(
                "name: front, image: 'podlife.test/app:1', imagePullPolicy: IfNotPresent, env: [{{name: LISTEN, value: '{listen}'}}], \
                 ports: [{{name: http, containerPort: 8080}}]"
            ))
            .ports("{port: 80, targetPort: http}")
    };
    let scenario = Scenario::new("sidecar")
        .apply(&(pair("good", "0.0.0.0:8080") + &pair("inside", "127.0.0.1:8080")))
        .until("both run", pods_ready(2))
        .until("a start is over", running_for("front", PAST_START));
    holds(&scenario, &[], &["ListenerOnLoopback (ipv4) deployment/inside front, proven"]);
}

#[test]
fn host_network_pods_are_never_proven() {
    // Ports of the node are shared with every other run of the tests on it.
    let port = 20_000 + std::process::id() % 10_000;
    let service = format!("{{port: 80, targetPort: {port}}}");
    let inside = app("inside", &format!("127.0.0.1:{port}")).pod("hostNetwork: true").ports(&service);
    let service = format!("{{port: 80, targetPort: {}}}", port + 10_000);
    let good = app("good", &format!("0.0.0.0:{}", port + 10_000))
        .pod("hostNetwork: true")
        .ports(&service);
    let scenario = Scenario::new("host-network")
        .apply(&manifests(&[inside, good]))
        .until("both run", pods_ready(2))
        .until("a start is over", running_for("app", PAST_START));
    holds(&scenario, &[], &["ListenerOnLoopback (ipv4) deployment/inside app, likely"]);
}

#[test]
fn sockets_are_read_where_a_container_has_a_shell() {
    let declared = "ports: [{containerPort: 8080}]";
    let serve = |address: &str| format!("mkdir /w; echo ok > /w/index.html; exec httpd -f -p {address} -h /w");
    let manifest = [
        shell("good", &serve("8080"), declared),
        shell("inside", &serve("127.0.0.1:8080"), declared),
        shell("inside-other", &serve("127.0.0.53:8080"), declared),
        shell("netcat", "exec nc -ll -p 8080 -e true", declared),
        shell("other-port", &serve("9090"), declared),
        shell("nobody", "exec sleep 3600", declared),
    ]
    .join("");
    let scenario = Scenario::new("seen-sockets")
        .apply(&manifest)
        .until("all run", pods_ready(6))
        .until("a start is over", running_for("app", PAST_START));
    holds(
        &scenario,
        &["--exec"],
        &[
            "ListenerOnLoopback (ipv4) deployment/inside app, proven",
            "ListenerOnLoopback (ipv4) deployment/inside-other app, proven",
            "ListenerOnOtherPort () deployment/other-port app, proven",
            "NothingListening () deployment/nobody app, proven",
        ],
    );
    // Reads alone: what the command line says is likely, and nobody is accused without it.
    holds(
        &scenario,
        &["--no-dial"],
        &[
            "ListenerOnLoopback (ipv4) deployment/inside app, likely",
            "ListenerOnLoopback (ipv4) deployment/inside-other app, likely",
        ],
    );
}

#[test]
fn without_a_shell_only_a_debug_container_names_the_other_port() {
    // What it said at the start is far behind the last lines of its log, and what it was told is kept in a Secret.
    let silent = objects::app("silent")
        .variable("name: LISTEN, valueFrom: {secretKeyRef: {name: silent, key: listen}}")
        .env("LOG_EVERY", "50ms")
        .container("ports: [{containerPort: 8080}]")
        .ports("{port: 80, targetPort: 8080}");
    let secret = "---\n{apiVersion: v1, kind: Secret, metadata: {name: silent}, stringData: {listen: '0.0.0.0:9090'}}\n";
    let scenario = Scenario::new("distroless")
        .apply(&(silent + secret))
        .until("a start is over", running_for("app", PAST_START));
    holds(
        &scenario,
        &["deployment/silent"],
        &["NothingListening () deployment/silent app, likely"],
    );
    holds(
        &scenario,
        &["deployment/silent", "--exec"],
        &["NothingListening () deployment/silent app, likely"],
    );
    let answer = holds(
        &scenario,
        &["deployment/silent", "--debug-image", "busybox:1.36"],
        &["ListenerOnOtherPort () deployment/silent app, proven"],
    );
    let summary = about(&answer, "silent")["summary"].as_str().unwrap();
    assert!(summary.contains("9090"), "{summary}");
    assert!(
        answer.stderr.contains("ephemeral"),
        "it warns that the container stays: {}",
        answer.stderr
    );
}

#[test]
fn a_mounted_file_that_binds_to_the_loopback() {
    let file = "
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  web.conf: |
    # where to listen
    bind = 127.0.0.1:8080
    password = hunter2
";
    let web = objects::shell(
        "web",
        "mkdir /w; exec httpd -f -h /w -p $(sed -n \"s/^bind = //p\" /etc/web/web.conf)",
    )
    .container("volumeMounts: [{name: conf, mountPath: /etc/web}]")
    .pod("volumes: [{name: conf, configMap: {name: web}}]")
    .ports("{port: 80, targetPort: 8080}");
    let scenario = Scenario::new("mounted")
        .apply(&format!("{file}{web}"))
        .until("a start is over", running_for("app", PAST_START));
    let answer = holds(&scenario, &[], &["ListenerOnLoopback (ipv4) deployment/web app, proven"]);
    let cause = about(&answer, "web");
    let commands = cause["fixes"].to_string();
    assert!(
        commands.contains(&format!("kubectl edit configmap web -n {}", scenario.namespace)),
        "{commands}"
    );
    assert!(!answer.stdout.contains("hunter2"));
}
