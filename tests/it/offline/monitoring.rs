//! `examples/monitoring`, and what Prometheus itself makes of it and of a gateway.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::examples::compare;
use super::serve::{Running, api, ask, gateway};
use crate::fake_api::{Folder, fixture};
use crate::process::podlife;

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring").join(name)
}

/// Runs promtool in the folder of the example.
fn promtool(arguments: &[&str]) {
    let run = Command::new("promtool").args(arguments).current_dir(example("")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}");
}

/// What `--print-manifests` prints.
struct Manifests(Vec<Value>);

impl Manifests {
    fn printed() -> Self {
        let serve = ["session", "serve", "--print-manifests", "--auth", "token-review"];
        let printed = podlife(&[&serve[..], &["--image", "ide:3", "--port", "8080"]].concat());
        assert_eq!(printed.exit, 0, "{}", printed.stderr);
        let objects = printed.stdout.split("---\n").filter(|object| !object.trim().is_empty());
        Self(objects.map(|object| serde_saphyr::from_str(object).unwrap()).collect())
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    fn one(&self, kind: &str) -> &Value {
        self.of_kind(kind).next().unwrap_or_else(|| panic!("no {kind}"))
    }
}

/// Whether labels have all that a selector asks for.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn the_alerts_are_those_of_the_manifests() {
    let groups = serde_saphyr::to_string(&Manifests::printed().one("PrometheusRule")["spec"]).unwrap();
    compare(&example("alerts.yaml"), &groups);
}

#[test]
fn the_scrape_configuration_finds_the_gateways_of_the_manifests() {
    let manifests = Manifests::printed();
    let config: Value = serde_saphyr::from_str(&fs::read_to_string(example("prometheus.yaml")).unwrap()).unwrap();
    let job = &config["scrape_configs"][0];
    let (discovery, namespace) = (&job["dns_sd_configs"][0], &job["relabel_configs"][0]);
    // Addresses of the pods behind a headless Service, at the port that their container listens on.
    let deployment = manifests.one("Deployment");
    let template = &deployment["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    let is_named = |service: &&Value| {
        let metadata = &service["metadata"];
        let [name, namespace] = ["name", "namespace"].map(|key| metadata[key].as_str().unwrap());
        discovery["names"][0] == format!("{name}.{namespace}.svc.cluster.local")
    };
    let service = manifests.of_kind("Service").find(is_named).unwrap();
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert!(selects(&service["spec"]["selector"], &template["metadata"]["labels"]));
    let port = &service["spec"]["ports"][0];
    let ports = container["ports"].as_array().unwrap();
    let of_container = ports.iter().find(|known| known["name"] == port["targetPort"]).unwrap();
    assert_eq!(
        (&port["port"], &of_container["containerPort"]),
        (&discovery["port"], &discovery["port"])
    );
    let listens = format!("--metrics-listen=0.0.0.0:{}", discovery["port"]);
    assert!(container["args"].as_array().unwrap().contains(&json!(listens)), "{container}");
    // Prometheus may connect to it, and the operator finds the same port.
    let peers = |rule: &&Value| rule["ports"][0]["port"] == discovery["port"];
    let policy = &manifests.one("NetworkPolicy")["spec"];
    let rule = policy["ingress"].as_array().unwrap().iter().find(peers).unwrap();
    assert!(selects(&policy["podSelector"]["matchLabels"], &template["metadata"]["labels"]));
    assert_eq!(
        rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"],
        "prometheus"
    );
    let monitor = &manifests.one("ServiceMonitor")["spec"];
    let found: Vec<&Value> = manifests
        .of_kind("Service")
        .filter(|service| selects(&monitor["selector"]["matchLabels"], &service["metadata"]["labels"]))
        .collect();
    assert_eq!(found, [service]);
    assert_eq!(monitor["endpoints"][0]["port"], port["name"]);
    // The label by which alerts choose, and the file that they are in.
    assert_eq!(
        (&namespace["target_label"], &namespace["replacement"]),
        (&json!("namespace"), &deployment["metadata"]["namespace"])
    );
    assert_eq!(config["rule_files"], json!(["alerts.yaml"]));
    let chosen = format!("namespace=\"{}\"", namespace["replacement"].as_str().unwrap());
    for rule in manifests.one("PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap() {
        assert!(rule["expr"].as_str().unwrap().contains(&chosen), "{rule}");
    }
}

#[test]
fn each_alert_fires_once_in_prometheus() {
    promtool(&["check", "config", "--lint-fatal", "prometheus.yaml"]);
    promtool(&["check", "rules", "--lint-fatal", "alerts.yaml"]);
    // Rules are looked for beside the file.
    let folder = Folder::new();
    fs::copy(example("alerts.yaml"), folder.0.join("alerts.yaml")).unwrap();
    let tests = folder.0.join("tests.yaml");
    fs::copy(fixture("alerts-test.yaml"), &tests).unwrap();
    promtool(&["test", "rules", tests.to_str().unwrap()]);
}

#[test]
fn the_panels_of_the_dashboard_ask_what_prometheus_understands() {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(example("dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for own in ["id", "title", "gridPos"] {
        let all: BTreeSet<String> = panels.iter().map(|panel| panel[own].to_string()).collect();
        assert_eq!(all.len(), panels.len(), "{own}: {all:?}");
    }
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked = |expr: &Value| expr.as_str().unwrap().replace("$__rate_interval", "5m");
    let rules: Vec<Value> = targets
        .enumerate()
        .map(|(at, of)| json!({"record": format!("panel:{at}"), "expr": asked(&of["expr"])}))
        .collect();
    let folder = Folder::new();
    let file = folder.0.join("panels.yaml");
    fs::write(&file, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// Waits until alerts fire, and no others.
fn fire(prometheus: &str, expected: &[&str]) {
    let begun = Instant::now();
    loop {
        let alerts = ask(prometheus, "GET", "/api/v1/alerts", "").unwrap_or_default();
        let alerts = alerts.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let alerts: Value = serde_json::from_str(alerts).unwrap_or_default();
        let all = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let mut firing: Vec<&str> = all
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .filter_map(|alert| alert["labels"]["alertname"].as_str())
            .collect();
        firing.sort_unstable();
        if firing == expected {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{expected:?} fire: {alerts}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_gateway_without_a_cluster_is_alarmed_about_in_prometheus() {
    // Nobody leads.
    let api = api("podlife-sessions", &[]);
    let (certificate, key) = (fixture("tls/expired.crt"), fixture("tls/expired.key"));
    let tls = [
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
    ];
    let (gateway, _, metrics) = gateway(&api, "podlife-sessions", &tls);
    assert!(ask(&metrics, "GET", "/metrics", "").unwrap().contains("session_leader 0"));
    // The example, with this target, and without time to lose.
    let folder = Folder::new();
    let mut config: Value = serde_saphyr::from_str(&fs::read_to_string(example("prometheus.yaml")).unwrap()).unwrap();
    config["global"] = json!({"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"});
    let job = config["scrape_configs"][0].as_object_mut().unwrap();
    job.remove("dns_sd_configs").unwrap();
    job.insert("static_configs".to_owned(), json!([{"targets": [metrics]}]));
    fs::write(folder.0.join("prometheus.yaml"), config.to_string()).unwrap();
    let mut rules: Value = serde_saphyr::from_str(&fs::read_to_string(example("alerts.yaml")).unwrap()).unwrap();
    for rule in rules["groups"][0]["rules"].as_array_mut().unwrap() {
        rule["for"] = "0s".into();
    }
    fs::write(folder.0.join("alerts.yaml"), rules.to_string()).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _prometheus = Command::new("prometheus")
        .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={free}"))
        .current_dir(&folder.0)
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .unwrap();
    fire(&free, &["SessionCertificateEnds", "SessionGatewayWithoutLeader"]);
    drop(gateway);
    fire(&free, &["SessionGatewayDown"]);
}
