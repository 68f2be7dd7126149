//! Applies manifests in a namespace of their own, waits for what they come to, and asks podlife about it.
//!
//! ```ignore
//! Scenario::new("wrong-key")                                            // a namespace of its own, removed at the end
//!     .apply(MANIFEST)                                                  // kubectl apply -f -
//!     .until("the container waits", waiting("app", "CreateContainerConfigError"))   // a condition, never a pause
//!     .first_root_cause("ConfigMapKeyMissing", "", "deployment/api");   // and no second one; or .healthy()
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use podlife::cluster::{ConnectOptions, Connection, ListQuery, no_log};
use podlife::io::environment_of_process;
use podlife::model::kind::{self, Kind};
use serde_json::Value;

use crate::process;
pub use crate::process::Answer;

/// Far beyond what anything takes on a loaded machine: reached only when a condition will never hold.
const DEADLINE: Duration = Duration::from_secs(240);

/// One namespace of the test cluster.
pub struct Scenario {
    /// Its name.
    pub namespace: String,
    connection: Connection,
    runtime: tokio::runtime::Runtime,
    /// Whether the first look is compared with the later one, and when it is due.
    early: Option<fn(&State) -> bool>,
    first_look: OnceLock<Answer>,
}

/// What is in the namespace at one moment.
pub struct State {
    pub pods: Vec<Value>,
    pub events: Vec<Value>,
}

thread_local! {
    /// The kubeconfig of the cluster that this test started for itself, where it did.
    static OWN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Leads all that this test does from here on to another cluster than the one that is shared; none leads it back.
pub fn turn_to(kubeconfig: Option<&str>) {
    OWN.set(kubeconfig.map(str::to_owned));
}

/// The kubeconfig of the test cluster.
pub fn kubeconfig() -> String {
    if let Some(own) = OWN.with_borrow(Clone::clone) {
        return own;
    }
    std::env::var("PODLIFE_TEST_KUBECONFIG").expect("PODLIFE_TEST_KUBECONFIG names no cluster: use tests/run, which starts one")
}

/// Two tests of one name would share a namespace, and one would be judged by what the other has applied: the second of them fails at once, even
/// where the first is over and its namespace is gone.
fn claim_name(cluster: &str, name: &str) -> Result<(), String> {
    /// Cluster and name, and the test that has them.
    static CLAIMED: Mutex<BTreeMap<(String, String), String>> = Mutex::new(BTreeMap::new());
    let test = std::thread::current().name().unwrap_or("another test").to_owned();
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    match claimed.insert((cluster.to_owned(), name.to_owned()), test) {
        Some(first) => Err(format!("the name {name} of a scenario is used by {first} already")),
        None => Ok(()),
    }
}

#[test]
fn a_name_that_two_tests_use_fails_the_second() {
    assert_eq!(claim_name("one", "twice"), Ok(()));
    assert_eq!(claim_name("another", "twice"), Ok(()));
    let refused = claim_name("one", "twice").unwrap_err();
    assert!(refused.contains("the name twice of a scenario is used by "), "{refused}");
}

impl Scenario {
    /// Makes a namespace that no other test uses.
    pub fn new(name: &str) -> Self {
        if let Err(why) = claim_name(&kubeconfig(), name) {
            panic!("{why}");
        }
        let unique = format!("{:x}", std::process::id());
        let namespace = format!("podlife-{name}-{unique}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = ConnectOptions {
            kubeconfig: Some(kubeconfig().into()),
            ..ConnectOptions::default()
        };
        let connection = runtime
            .block_on(Connection::open(&options, &environment_of_process(), no_log()))
            .unwrap();
        kubectl(&["create", "namespace", &namespace], None);
        let scenario = Self {
            namespace,
            connection,
            runtime,
            early: None,
            first_look: OnceLock::new(),
        };
        // Until the namespace has its service account, bare pods are refused.
        scenario.wait("the service account default exists", |scenario| {
            !scenario.list(&kind::SERVICE_ACCOUNT).is_empty()
        });
        scenario
    }

    /// Applies a manifest to the namespace.
    pub fn apply(self, manifest: &(impl Display + ?Sized)) -> Self {
        self.kubectl_in(&["apply", "-f", "-"], Some(&manifest.to_string()));
        self
    }

    /// Runs kubectl in the namespace and returns what it printed; its failure is the test's.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_in(arguments, None)
    }

    pub fn kubectl_in(&self, arguments: &[&str], input: Option<&str>) -> String {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments);
        kubectl(&all, input)
    }

    /// Every object of a kind in the namespace.
    pub fn list(&self, kind: &Kind) -> Vec<Value> {
        let namespace = kind.namespaced.then_some(self.namespace.as_str());
        let query = ListQuery::default();
        self.runtime
            .block_on(self.connection.list(kind, namespace, &query))
            .map(|list| list.items)
            .unwrap_or_default()
    }

    /// What is in the namespace now.
    pub fn state(&self) -> State {
        State {
            pods: self.list(&kind::POD),
            events: self.list(&kind::EVENT),
        }
    }

    /// Also asks as soon as a symptom shows in a pod or an event: the first of `rootCauses`, else of `pending`, must have the code that
    /// [`Self::first_root_cause`] expects later.
    pub fn with_first_look(mut self) -> Self {
        self.early = Some(has_symptom);
        self
    }

    /// Waits until a condition on pods and events holds.
    pub fn until(self, what: &str, condition: impl Fn(&State) -> bool) -> Self {
        self.wait(what, |scenario| {
            let state = scenario.state();
            if scenario.early.is_some_and(|symptom| symptom(&state)) {
                scenario.first_look.get_or_init(|| scenario.diagnose());
            }
            condition(&state)
        });
        self
    }

    /// Waits until a condition on anything in the namespace holds.
    pub fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            if start.elapsed() > DEADLINE {
                let objects = kubectl(&["-n", &self.namespace, "get", "all,events", "-o", "wide"], None);
                panic!("it never came about that {what}\n{objects}");
            }
            std::thread::sleep(Duration::from_millis(400));
        }
    }

    /// Runs `podlife` with these arguments against the namespace.
    pub fn podlife(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(arguments);
        podlife(&all)
    }

    /// Diagnoses the namespace as JSON.
    pub fn diagnose(&self) -> Answer {
        self.podlife(&["diagnose", "-o", "json"])
    }

    /// Asserts code, cause and subject (`kind/name`) of the first root cause, that there is no second one, and exit code 3.
    pub fn first_root_cause(&self, code: &str, cause: &str, subject: &str) -> Answer {
        self.assert_first_root_cause(&["diagnose", "-o", "json"], code, cause, subject)
    }

    /// The same where one target (`kind/name`) is asked about.
    pub fn first_root_cause_of(&self, target: &str, code: &str, cause: &str, subject: &str) -> Answer {
        self.assert_first_root_cause(&["diagnose", target, "-o", "json"], code, cause, subject)
    }

    fn assert_first_look(&self, code: &str) {
        let look = self
            .first_look
            .get()
            .expect("a symptom shows before the scenario's condition holds");
        let first = ["rootCauses", "pending"].iter().find_map(|list| look.json[list].get(0));
        let said = first.map(|f| f["code"].clone()).unwrap_or_default();
        assert_eq!(said, code, "at the first look:\n{}", look.stdout);
    }

    fn assert_first_root_cause(&self, arguments: &[&str], code: &str, cause: &str, subject: &str) -> Answer {
        if self.early.is_some() {
            self.assert_first_look(code);
        }
        let answer = self.podlife(arguments);
        let roots = answer.json["rootCauses"].as_array().cloned().unwrap_or_default();
        let said: Vec<String> = roots.iter().map(describe).collect();
        assert_eq!(said, [format!("{code} ({cause}) {subject}")], "{}", self.explain(&answer));
        assert_eq!(answer.exit, 3, "{}", self.explain(&answer));
        answer
    }

    /// Asserts that nothing is wrong: no root cause, no symptom, and exit code 0.
    pub fn healthy(&self) -> Answer {
        let answer = self.diagnose();
        let wrong = |list: &str| answer.json[list].as_array().is_none_or(|l| !l.is_empty());
        assert!(
            !wrong("rootCauses") && !wrong("symptoms") && answer.exit == 0,
            "{}",
            self.explain(&answer)
        );
        answer
    }

    fn explain(&self, answer: &Answer) -> String {
        let text = self.podlife(&["diagnose", "-o", "wide", "--advice"]);
        let objects = kubectl(&["-n", &self.namespace, "get", "all,events", "-o", "wide"], None);
        let statuses = kubectl(&["-n", &self.namespace, "get", "pods", "-o", "jsonpath={.items[*].status}"], None);
        let objects = format!("{objects}\n{statuses}");
        format!("exit {}\n{}\n{}{}\n{objects}", answer.exit, answer.stderr, text.stdout, text.stderr)
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        let kept = std::env::var_os("PODLIFE_TEST_KEEP").is_some();
        if !kept {
            clean_up(&["delete", "namespace", &self.namespace, "--wait=false"], None);
        }
    }
}

/// Whether anything in pods or events says that something is wrong.
fn has_symptom(state: &State) -> bool {
    let fails = |pod: &Value| pod["status"]["phase"] == "Failed" || has_condition(pod, "PodScheduled", "False");
    let container_fails = |status: &Value| {
        let waits = status["state"]["waiting"]["reason"].as_str();
        let has_failed = |state: &str| status[state]["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0);
        waits.is_some_and(|reason| !matches!(reason, "ContainerCreating" | "PodInitializing"))
            || has_failed("state")
            || has_failed("lastState")
    };
    let lists = ["initContainerStatuses", "containerStatuses"];
    let containers = |pod: &Value| {
        lists
            .iter()
            .any(|list| pod["status"][list].as_array().is_some_and(|all| all.iter().any(container_fails)))
    };
    // These events come a moment before the status that says the same, and the token of a new pod may come a moment late.
    let is_warning = |event: &Value| {
        let (reason, message) = (event["reason"].as_str(), event["message"].as_str().unwrap_or_default());
        event["type"] == "Warning"
            && !matches!(
                reason,
                Some("Failed" | "BackOff" | "FailedPostStartHook" | "FailedToRetrieveImagePullSecret" | "NodeAffinity")
            )
            && !message.contains("kube-api-access")
    };
    state.pods.iter().any(|pod| fails(pod) || containers(pod)) || state.events.iter().any(is_warning)
}

/// `ImagePullFailing (no-space) deployment/api`
pub fn describe(finding: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let subject = &finding["subject"];
    format!(
        "{} ({}) {}/{}",
        text(&finding["code"]),
        text(&finding["cause"]),
        text(&subject["kind"]).to_lowercase(),
        text(&subject["name"])
    )
}

pub fn kubectl_program() -> String {
    std::env::var("PODLIFE_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned())
}

/// Runs kubectl against the test cluster and returns what it printed.
pub fn kubectl(arguments: &[&str], input: Option<&str>) -> String {
    try_kubectl(arguments, input).unwrap_or_else(|error| panic!("{error}"))
}

/// Removes what a test has made outside its namespace, for `Drop`: a panic there while a failed test unwinds would end the whole run.
pub fn clean_up(arguments: &[&str], input: Option<&str>) {
    let removed = try_kubectl(arguments, input);
    assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
}

fn try_kubectl(arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    let mut child = Command::new(kubectl_program())
        .args(["--kubeconfig", &kubeconfig()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("kubectl does not start: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    // Where kubectl does not read it all, it says why.
    let written = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() && written.is_ok() {
        Ok(out.into_owned())
    } else {
        Err(format!("kubectl {arguments:?}: {err}{out}"))
    }
}

/// Who may view a namespace may view its Gateways; before the types, so that no other test meets them without this.
const GATEWAY_VIEW: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: podlife-test-gateway-view, labels: {rbac.authorization.k8s.io/aggregate-to-view: 'true'}}
rules: [{apiGroups: [gateway.networking.k8s.io], resources: [gateways, httproutes, grpcroutes], verbs: [get, list, watch]}]
";

/// The types of the Gateway API, from its Go module; they stay, for tests that run side by side.
pub fn gateway_types() {
    static MADE: Mutex<bool> = Mutex::new(false);
    // Not a Once: where making them fails, each test says why.
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if *made {
        return;
    }
    let download = Command::new("go")
        .args(["mod", "download", "-json", "sigs.k8s.io/gateway-api@v1.3.0"])
        .current_dir(std::env::temp_dir())
        .output()
        .expect("go starts");
    let module: Value = serde_json::from_slice(&download.stdout).unwrap_or_default();
    let told = format!("{module}{}", String::from_utf8_lossy(&download.stderr));
    let folder = module["Dir"].as_str().expect(&told).to_owned() + "/config/crd/standard";
    kubectl(&["apply", "-f", "-"], Some(GATEWAY_VIEW));
    for plural in ["gateways", "httproutes", "grpcroutes"] {
        let file = format!("{folder}/gateway.networking.k8s.io_{plural}.yaml");
        kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &file], None);
        established(&format!("{plural}.gateway.networking.k8s.io"));
    }
    *made = true;
}

/// Waits until the API server serves a custom resource. Not by `kubectl wait`: a definition that is a moment old has
/// `conditions: null`, on which kubectl ends with an error.
pub fn established(definition: &str) {
    let start = Instant::now();
    loop {
        let read = kubectl(&["get", "crd", definition, "-o", "json"], None);
        let object: Value = serde_json::from_str(&read).unwrap();
        if has_condition(&object, "Established", "True") {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{definition} is not served: {}", object["status"]);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Runs podlife in this process against the test cluster.
pub fn podlife(arguments: &[&str]) -> Answer {
    let kubeconfig = kubeconfig();
    let mut all = vec!["--kubeconfig", kubeconfig.as_str()];
    all.extend(arguments);
    process::podlife(&all)
}

/// The statuses of every container of that name, init containers included.
pub fn statuses<'a>(state: &'a State, container: &'a str) -> impl Iterator<Item = &'a Value> {
    state
        .pods
        .iter()
        .flat_map(|pod| ["initContainerStatuses", "containerStatuses"].map(|list| &pod["status"][list]))
        .flat_map(|list| list.as_array().into_iter().flatten())
        .filter(move |status| status["name"] == container)
}

/// Every container of that name (at least one) waits with this reason.
pub fn waiting(container: &'static str, reason: &'static str) -> impl Fn(&State) -> bool {
    move |state| statuses(state, container).count() > 0 && statuses(state, container).all(|s| s["state"]["waiting"]["reason"] == reason)
}

/// A container has been started again at least so often, and its status says how an instance ended: right after a restart the kubelet may
/// have counted it without that.
pub fn restarts(container: &'static str, at_least: i64) -> impl Fn(&State) -> bool {
    let has_end = |s: &Value| ["state", "lastState"].iter().any(|state| s[state]["terminated"].is_object());
    move |state| statuses(state, container).any(|s| s["restartCount"].as_i64() >= Some(at_least) && has_end(s))
}

/// A container runs now.
pub fn running(container: &'static str) -> impl Fn(&State) -> bool {
    move |state| statuses(state, container).any(|s| s["state"]["running"].is_object())
}

/// An event with this reason, whose message has this text.
pub fn event(reason: &'static str, text: &'static str) -> impl Fn(&State) -> bool {
    move |state| {
        state
            .events
            .iter()
            .any(|e| e["reason"] == reason && e["message"].as_str().unwrap_or_default().contains(text))
    }
}

/// Whether a pod has a condition with this status.
pub fn has_condition(pod: &Value, type_: &str, status: &str) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == type_ && c["status"] == status))
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    has_condition(pod, "Ready", "True")
}

/// Exactly so many pods are there, and all are ready.
pub fn pods_ready(count: usize) -> impl Fn(&State) -> bool {
    move |state| state.pods.len() == count && state.pods.iter().all(is_ready)
}

/// Sends a signal, as `-INT`, to a process.
pub fn send(child: &Child, signal: &str) {
    let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(told.success());
}

/// Both conditions hold.
pub fn both(a: impl Fn(&State) -> bool, b: impl Fn(&State) -> bool) -> impl Fn(&State) -> bool {
    move |state| a(state) && b(state)
}
