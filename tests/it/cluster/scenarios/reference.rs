//! The reference application, whole and broken in eight ways: a web shop that waits for its database, takes its settings from a ConfigMap
//! and a Secret, is probed, limited and reached through a Service.

use crate::cluster::harness::{Scenario, State, both, describe, pods_ready, restarts, statuses, waiting};

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DatabaseServiceMissing,
    DatabaseNotReady,
    WrongPortInInitContainer,
    WrongSecretKey,
    ProbePathMissing,
    LimitTooLow,
    SelectorTypo,
    CrashOnStart,
}

fn shop(fault: Fault) -> String {
    let is = |f: Fault| fault == f;
    let port = if is(Fault::WrongPortInInitContainer) { 5433 } else { 5432 };
    let key = if is(Fault::WrongSecretKey) {
        "DATABASE_PASWORD"
    } else {
        "DATABASE_PASSWORD"
    };
    let path = if is(Fault::ProbePathMissing) { "/health" } else { "/healthz" };
    let selector = if is(Fault::SelectorTypo) { "shopp" } else { "shop" };
    let database_probe = if is(Fault::DatabaseNotReady) {
        "/var/run/postgres-is-up"
    } else {
        "/bin/sh"
    };
    let start = match fault {
        // The shell's own memory is what grows, so that the kill hits process 1 on every cgroup version.
        Fault::LimitTooLow => "x=0123456789abcdef; while true; do x=$x$x; done",
        Fault::CrashOnStart => {
            "echo 'Traceback (most recent call last):' >&2; echo '  File \\\"/app/main.py\\\", line 12, in <module>' >&2; \
             echo \\\"ZeroDivisionError: division by zero\\\" >&2; exit 1"
        }
        _ => "mkdir -p /tmp/www && echo ok > /tmp/www/healthz && exec httpd -f -p 8080 -h /tmp/www",
    };
    let database_service = if is(Fault::DatabaseServiceMissing) {
        ""
    } else {
        "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {app: db}, ports: [{name: sql, port: 5432, targetPort: sql}]}}"
    };
    format!(
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: shop-config}}
data: {{DATABASE_HOST: db, DATABASE_PORT: "5432", LOG_LEVEL: info}}
---
apiVersion: v1
kind: Secret
metadata: {{name: shop-secret}}
stringData: {{DATABASE_PASSWORD: not-a-real-one}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: postgres
        image: busybox:1.36
        imagePullPolicy: IfNotPresent
        command: [httpd, -f, -p, "5432"]
        ports: [{{name: sql, containerPort: 5432}}]
        readinessProbe: {{exec: {{command: [ls, {database_probe}]}}, periodSeconds: 1}}
---
{database_service}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: shop}}
spec:
  selector: {{matchLabels: {{app: shop}}}}
  template:
    metadata: {{labels: {{app: shop}}}}
    spec:
      terminationGracePeriodSeconds: 0
      initContainers:
      - name: wait-for-postgres
        image: busybox:1.36
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "until nc -w 1 db {port} </dev/null >/dev/null 2>&1; do echo waiting for db; sleep 1; done"]
      containers:
      - name: shop
        image: busybox:1.36
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "{start}"]
        envFrom: [{{configMapRef: {{name: shop-config}}}}]
        env:
        - {{name: DATABASE_PASSWORD, valueFrom: {{secretKeyRef: {{name: shop-secret, key: {key}}}}}}}
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: {path}, port: http}}, periodSeconds: 2}}
        livenessProbe: {{httpGet: {{path: {path}, port: http}}, periodSeconds: 5, failureThreshold: 3, initialDelaySeconds: 5}}
        resources:
          requests: {{cpu: 10m, memory: 16Mi}}
          limits: {{memory: 32Mi}}
---
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  selector: {{app: {selector}}}
  ports: [{{name: web, port: 80, targetPort: http}}]
"#
    )
}

fn broken(name: &str, fault: Fault, what: &str, condition: impl Fn(&State) -> bool) -> Scenario {
    Scenario::new(name).apply(&shop(fault)).until(what, condition)
}

/// The init container has been waiting for so long that it is no start any more.
fn waits_long(state: &State) -> bool {
    let now = jiff::Timestamp::now();
    statuses(state, "wait-for-postgres").any(|s| {
        let since = s["state"]["running"]["startedAt"]
            .as_str()
            .and_then(|t| t.parse::<jiff::Timestamp>().ok());
        since.is_some_and(|since| now.duration_since(since).as_secs() > 65)
    })
}

#[test]
fn whole() {
    broken("ref-whole", Fault::None, "everything is ready", pods_ready(2)).healthy();
}

#[test]
fn the_database_service_is_missing() {
    let answer = broken("ref-service", Fault::DatabaseServiceMissing, "it waits long", waits_long).first_root_cause(
        "ServiceMissing",
        "",
        "deployment/shop",
    );
    assert_eq!(answer.root_cause()["subject"]["container"], "wait-for-postgres");
    assert_eq!(answer.root_cause()["related"][0]["name"], "db");
}

#[test]
fn the_database_is_not_ready() {
    let answer = broken("ref-database", Fault::DatabaseNotReady, "it waits long", waits_long).first_root_cause(
        "ReadinessProbeFailing",
        "exec-exit",
        "statefulset/db",
    );
    let symptoms = answer.json["symptoms"].as_array().cloned().unwrap_or_default();
    assert!(symptoms.iter().any(|s| s["code"] == "ServiceHasNoReadyEndpoints"), "{symptoms:#?}");
    assert!(
        symptoms.iter().any(|s| s["subject"]["container"] == "wait-for-postgres"),
        "{symptoms:#?}"
    );
}

#[test]
fn the_init_container_asks_at_the_wrong_port() {
    let answer = broken("ref-port", Fault::WrongPortInInitContainer, "it waits long", waits_long).first_root_cause(
        "ServicePortMismatch",
        "",
        "deployment/shop",
    );
    assert_eq!(answer.root_cause()["subject"]["container"], "wait-for-postgres");
}

#[test]
fn the_secret_has_another_key() {
    broken(
        "ref-key",
        Fault::WrongSecretKey,
        "the container cannot be configured",
        waiting("shop", "CreateContainerConfigError"),
    )
    .first_root_cause("SecretKeyMissing", "", "deployment/shop");
}

#[test]
fn the_probes_ask_for_a_path_that_is_not_there() {
    let scenario = broken("ref-probe", Fault::ProbePathMissing, "it is restarted", restarts("shop", 1));
    // Which of its probes fails first is up to the kubelet: one answer is looked at, not two.
    let answer = scenario.diagnose();
    let roots = answer.json["rootCauses"].as_array().unwrap();
    let said: Vec<String> = roots.iter().map(describe).collect();
    let is_expected = ["LivenessProbeFailing", "ReadinessProbeFailing"]
        .iter()
        .any(|code| said == [format!("{code} (http-status) deployment/shop")]);
    assert!(is_expected, "{}", answer.stdout);
    assert_eq!(answer.exit, 3);
}

#[test]
fn the_limit_is_too_low() {
    broken("ref-limit", Fault::LimitTooLow, "it is killed twice", restarts("shop", 2)).first_root_cause(
        "OutOfMemory",
        "limit",
        "deployment/shop",
    );
}

#[test]
fn the_selector_has_a_typo() {
    broken("ref-selector", Fault::SelectorTypo, "everything is ready", pods_ready(2)).first_root_cause(
        "ServiceSelectsNothing",
        "label-differs",
        "service/shop",
    );
}

#[test]
fn it_crashes_on_start() {
    let scenario = broken(
        "ref-crash",
        Fault::CrashOnStart,
        "it crashes",
        both(restarts("shop", 2), |s| statuses(s, "shop").count() == 1),
    );
    let answer = scenario.first_root_cause("ContainerCrashing", "exit-code", "deployment/shop");
    assert!(answer.stdout.contains("ZeroDivisionError"), "{}", answer.stdout);
}
