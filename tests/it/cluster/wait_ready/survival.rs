//! What a wait outlives: cuts, and credentials that end. Its connections are counted.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::harness::{Scenario, kubectl, pods_ready, running, send};
use super::relay::Relay;
use super::{manifest, probe, service, started, web};
use crate::fake_api::Folder;

/// Far beyond what anything takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// A wait in a process of its own, and what it has said so far.
pub struct Wait {
    pub child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
}

fn lines(from: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let shared = lines.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            shared.lock().unwrap().push(line);
        }
    });
    lines
}

impl Wait {
    pub fn begin(scenario: &Scenario, relay: &Relay, more: &[&str]) -> Self {
        let flags = relay.flags();
        let mut all: Vec<&str> = flags.iter().map(String::as_str).collect();
        all.extend(["wait-ready", "deployment/web", "-o", "ndjson"]);
        all.extend(more);
        Self::of(started(scenario, &all))
    }

    pub fn of(mut child: Child) -> Self {
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    pub fn said(&self) -> String {
        format!(
            "{}\n{}",
            self.stdout.lock().unwrap().join("\n"),
            self.stderr.lock().unwrap().join("\n")
        )
    }

    /// Waits until it has said this on stderr.
    pub fn until_said(&mut self, what: &str) {
        let start = Instant::now();
        while !self.stderr.lock().unwrap().iter().any(|line| line.contains(what)) {
            assert!(start.elapsed() < DEADLINE, "it never said {what:?}: {}", self.said());
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.said());
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its exit code and its verdict.
    pub fn end(&mut self) -> (i32, Value) {
        let exit = self.child.wait().unwrap().code().unwrap();
        until("its verdict is read", || {
            self.stdout
                .lock()
                .unwrap()
                .last()
                .is_some_and(|line| line.contains("\"kind\":\"Readiness\""))
        });
        let verdict = serde_json::from_str(self.stdout.lock().unwrap().last().unwrap()).unwrap();
        (exit, verdict)
    }

    pub fn interrupt(&self) {
        send(&self.child, "-INT");
    }
}

pub fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "it never came about that {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A Deployment that runs and is not ready, with a Service that has an address.
pub fn not_ready(name: &str) -> Scenario {
    let never = web(1, json!({"READY_STATUS": "503"}), probe());
    Scenario::new(name)
        .apply(&manifest(&[never, service("LoadBalancer")]))
        .until("it runs", running("app"))
}

/// One wait with time enough and one that is limited, once both have seen that it is not ready.
pub fn two_waits(scenario: &Scenario, relay: &Relay, limit: &str) -> [Wait; 2] {
    [&[][..], &["--timeout", limit]]
        .map(|more| Wait::begin(scenario, relay, more))
        .map(|mut wait| {
            wait.until_said("0 of 1 pod ready");
            wait
        })
}

/// Ends well, and says that it was cut off meanwhile.
pub fn outlived(mut patient: Wait, relay: &Relay) {
    let (exit, verdict) = patient.end();
    assert_eq!((exit, &verdict["state"]), (0, &json!("ready")), "{}", patient.said());
    assert!(patient.said().contains("the API server answers again after "), "{}", patient.said());
    until("no connection is left", || relay.open() == 0);
}

/// Makes it ready, and waits until it is.
pub fn made_ready(scenario: Scenario) -> Scenario {
    scenario.kubectl(&["set", "env", "deployment/web", "READY_STATUS=200"]);
    scenario.until("it is ready", pods_ready(1))
}

#[test]
fn a_cut_of_thirty_seconds_is_outlived_and_nothing_is_decided_meanwhile() {
    let scenario = not_ready("wr-cut");
    let relay = Relay::start();
    let [mut patient, mut hasty] = two_waits(&scenario, &relay, "40s");
    relay.cut();
    let cut = Instant::now();
    patient.until_said("the API server cannot be reached since ");
    // It becomes ready, and answers to everybody, while nobody can see that.
    let scenario = made_ready(scenario);
    let (exit, verdict) = hasty.end();
    assert_eq!((exit, &verdict["state"]), (124, &json!("progressing")), "{}", hasty.said());
    let reason = verdict["reason"].as_str().unwrap();
    assert!(reason.starts_with("the API server cannot be reached since "), "{reason}");
    // The length of the cut is what is tried here.
    thread::sleep(Duration::from_secs(30).saturating_sub(cut.elapsed()));
    assert!(!patient.is_over(), "{}", patient.said());
    assert!(
        !patient.said().contains("\"state\":\"ready\",\"reason\":\"answered"),
        "{}",
        patient.said()
    );
    relay.restore();
    outlived(patient, &relay);
    drop(scenario);
}

#[test]
fn a_long_wait_holds_as_many_connections_in_the_end_as_in_the_beginning() {
    let scenario = Scenario::new("wr-connections")
        .apply(&manifest(&[web(1, json!({"READY_AFTER": "1h"}), probe()), service("ClusterIP")]))
        .until("it runs", running("app"));
    let relay = Relay::start();
    let mut wait = Wait::begin(&scenario, &relay, &[]);
    wait.until_said("0 of 1 pod ready");
    // Long enough for some questions to the rules; six requests are under way at once at most.
    let most = podlife::cmd::wait_ready::WATCHED.len() + podlife::cmd::wait_ready::WATCHED_WHERE_NAMED.len() + 6;
    let (start, mut opened) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(25) {
        assert!(relay.open() <= most, "{} connections", relay.open());
        if start.elapsed() < Duration::from_secs(8) {
            opened = relay.opened();
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(relay.opened() <= opened + 6, "from {opened} to {} connections", relay.opened());
    wait.interrupt();
    let (exit, verdict) = wait.end();
    assert_eq!((exit, &verdict["exitCode"]), (130, &json!(130)), "{}", wait.said());
    until("no connection is left", || relay.open() == 0);
}

/// A kubeconfig for the relay with a user as written here.
pub fn config(folder: &Path, relay: &Relay, user: &Value) -> String {
    let whole: Value = serde_json::from_str(&kubectl(&["config", "view", "--raw", "--minify", "-o", "json"], None)).unwrap();
    let mut cluster = whole["clusters"][0]["cluster"].clone();
    let [_, server, _, name] = relay.flags();
    cluster["server"] = server.into();
    cluster["tls-server-name"] = name.into();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let path = folder.join("config");
    std::fs::write(&path, config.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A token that lives as long as a Secret of this name.
pub fn token(scenario: &Scenario, secret: &str) -> String {
    scenario.kubectl(&["create", "secret", "generic", secret]);
    let bound = [
        "create",
        "token",
        "waiter",
        "--bound-object-kind",
        "Secret",
        "--bound-object-name",
        secret,
    ];
    scenario.kubectl(&bound).trim().to_owned()
}

/// Lets a wait begin with one token, takes that away, and gives it another.
fn outlives_its_token(name: &str, user: impl Fn(&Path) -> Value) {
    let scenario = Scenario::new(name);
    let account = format!("serviceaccount:{}:waiter", scenario.namespace);
    let role = scenario.podlife(&["rbac", "wait-ready", "--bind", &account]);
    scenario.kubectl(&["create", "serviceaccount", "waiter"]);
    let scenario = scenario.apply(&role.stdout);
    let (first, second) = (token(&scenario, "first"), token(&scenario, "second"));
    let folder = Folder::new();
    let put = |token: &str| {
        // As the kubelet does it: a reader sees the one or the other.
        let (new, path) = (folder.0.join("token.new"), folder.0.join("token"));
        std::fs::write(&new, token).unwrap();
        std::fs::rename(new, path).unwrap();
    };
    put(&first);
    let relay = Relay::start();
    let config = config(&folder.0, &relay, &user(&folder.0));
    let child = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args([
            "--kubeconfig",
            &config,
            "-n",
            &scenario.namespace,
            "wait-ready",
            "deployment/web",
            "-o",
            "ndjson",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut wait = Wait::of(child);
    wait.until_said("not found");
    put(&second);
    scenario.kubectl(&["delete", "secret", "first"]);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": first}}).to_string();
    until("the first token is refused", || {
        let answer: Value = serde_json::from_str(&kubectl(&["create", "-o", "json", "-f", "-"], Some(&review))).unwrap();
        answer["status"]["authenticated"] != json!(true)
    });
    // The watches have to be opened anew, with the new one.
    relay.cut();
    wait.until_said("the API server cannot be reached since ");
    relay.restore();
    let scenario = scenario.apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]));
    let (exit, verdict) = wait.end();
    assert_eq!((exit, &verdict["state"]), (0, &json!("ready")), "{}", wait.said());
    assert!(
        !wait.said().contains(&first) && !wait.said().contains(&second),
        "a token was printed"
    );
    drop(scenario);
}

#[test]
fn a_token_file_that_is_written_anew_is_read_again() {
    outlives_its_token("wr-token-file", |folder| json!({"tokenFile": folder.join("token")}));
}

#[test]
fn a_credential_plugin_is_run_again() {
    outlives_its_token("wr-plugin", |folder| plugin(folder, &folder.join("token")));
}

/// A user whose credential plugin prints the token in a file.
pub fn plugin(folder: &Path, token: &Path) -> Value {
    let plugin = folder.join("plugin");
    let script = format!(
        "#!/bin/sh\nprintf '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {{\"token\": \"%s\"}}}}' \"$(cat {})\"\n",
        token.display()
    );
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never"}})
}
