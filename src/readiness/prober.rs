//! The Job that asks from inside the cluster: what it is, and what its log says. It is the least that can ask: as nobody, without rights, a
//! token or a file of its own, and with an end of its own, so that nothing stays even where nobody is left to remove it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::facts::runtime::lacks_program;
use crate::model::security::{NOBODY, restricted};
use crate::rules::image;
use crate::text::shorten;
use crate::view::condition;

/// What marks a prober and its pod, so that no run takes them for the application.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/name", "podlife-prober");
/// The name of its one container.
pub const CONTAINER: &str = "prober";
/// How long a Job that has ended stays, so that its end can still be read.
const STAYS_SECONDS: u32 = 10;

const SCRIPT: &str = include_str!("prober.sh");

/// One thing that it asks, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whether HTTP is spoken, or nothing sent.
    pub kind: Kind,
    /// The name of the Service.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is asked for with GET.
    pub path: String,
    /// The Host header; empty for the name.
    pub name: String,
    /// How long an answer may take.
    pub limit: Duration,
}

/// How it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP.
    Http,
    /// HTTP over TLS, whose certificate is not checked, as by probes.
    Https,
    /// A connection, over which nothing is sent.
    Connect,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Connect => "connect",
        }
    }
}

/// What a Job is to be.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Its name.
    pub name: &'a str,
    /// A word that only this run knows, at the beginning of each line.
    pub nonce: &'a str,
    /// The image of the shell that asks.
    pub image: &'a str,
    /// After so many seconds Kubernetes ends it.
    pub deadline_seconds: u64,
    /// Whether bodies are wanted.
    pub with_body: bool,
    /// How far apart it begins to ask; none for one question after the other.
    pub every: Option<Duration>,
    /// What it asks.
    pub questions: &'a [Question],
    /// Labels of the pods in whose place it asks, for policies know a pod by its labels; empty where it asks as itself.
    pub labels: &'a BTreeMap<String, String>,
}

/// The Job as it is created.
pub fn job(order: &Order<'_>) -> Value {
    let mut command = vec!["sh".to_owned(), "-c".to_owned(), SCRIPT.to_owned(), "podlife".to_owned()];
    command.push(order.nonce.to_owned());
    command.push(if order.with_body { "1" } else { "0" }.to_owned());
    let hundredths = |every: Duration| (every.as_secs_f64() * 100.0).round().max(1.0);
    command.push(order.every.map_or(0.0, hundredths).to_string());
    // Questions that are not waited for are under way at once.
    let (cpu, memory) = if order.every.is_some() { ("1", "128Mi") } else { ("200m", "64Mi") };
    for question in order.questions {
        command.push(question.kind.as_str().to_owned());
        command.push(question.host.clone());
        command.push(question.port.to_string());
        command.push(question.path.clone());
        command.push(question.name.clone());
        command.push(question.limit.as_secs_f64().ceil().to_string());
    }
    // Kubernetes expands $(NAME) in a command, and $$ is a dollar.
    let command: Vec<String> = command.into_iter().map(|word| word.replace("$(", "$$(")).collect();
    let labels = json!({LABEL.0: LABEL.1, "app.kubernetes.io/managed-by": "kubectl-podlife"});
    let mut pod_labels = labels.clone();
    for (key, value) in order.labels {
        pod_labels[key] = json!(value);
    }
    // Who bears the labels of others never becomes ready, so that no Service of theirs leads to it.
    let gates = if order.labels.is_empty() {
        json!([])
    } else {
        json!([{"conditionType": "podlife.dev/never"}])
    };
    let mut context = restricted(NOBODY);
    context["readOnlyRootFilesystem"] = true.into();
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": order.name, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": order.deadline_seconds.max(1),
            "ttlSecondsAfterFinished": STAYS_SECONDS,
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": {
                    "restartPolicy": "Never",
                    "readinessGates": gates,
                    "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "securityContext": {"runAsUser": NOBODY, "runAsGroup": NOBODY, "fsGroup": NOBODY},
                    "containers": [{
                        "name": CONTAINER, "image": order.image, "command": command,
                        "terminationMessagePolicy": "FallbackToLogsOnError",
                        "securityContext": context,
                        "resources": {
                            "requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": cpu, "memory": memory},
                        },
                        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                    }],
                    "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "4Mi"}}],
                },
            },
        },
    })
}

/// How a prober stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProberState {
    /// On its way, and with what.
    Starting(String),
    /// No node takes it; one may come.
    Unscheduled(String),
    /// Its log can be read.
    Running,
    /// It will not ask.
    Stuck(String),
    /// It was taken away: another one may ask.
    Lost(String),
}

/// How the pod of a prober stands.
pub fn prober_state(pod: &Pod) -> ProberState {
    let status = pod.status.as_ref();
    if let Some(why) = taken_away(pod) {
        return ProberState::Lost(why);
    }
    if let Some(("False", "Unschedulable", why)) = condition(pod, "PodScheduled") {
        return ProberState::Unscheduled(format!("it is not scheduled: {}", shorten(why, 160)));
    }
    let container = status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
        .find(|c| c.name == CONTAINER);
    let state = container.and_then(|c| c.state.as_ref());
    if let Some(waiting) = state.and_then(|s| s.waiting.as_ref()) {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        let message = waiting.message.as_deref().unwrap_or_default();
        let what = if image::REASONS.contains(&reason) {
            "its image cannot be pulled"
        } else if reason.starts_with("CreateContainer") {
            "its container cannot be created"
        } else {
            return ProberState::Starting(reason.to_owned());
        };
        return ProberState::Stuck(format!("{what}: {reason} {}", shorten(message, 160)).trim_end().to_owned());
    }
    if let Some(ended) = state.and_then(|s| s.terminated.as_ref()) {
        let message = ended.message.as_deref().unwrap_or_default();
        let reason = ended.reason.as_deref().unwrap_or("Error");
        let has_no_shell = lacks_program(message);
        return ProberState::Stuck(if has_no_shell {
            "its image has no shell (sh)".to_owned()
        } else {
            format!("it has ended with code {} ({reason}) {}", ended.exit_code, shorten(message, 160))
                .trim_end()
                .to_owned()
        });
    }
    if state.is_some_and(|s| s.running.is_some()) {
        return ProberState::Running;
    }
    match status.and_then(|s| s.phase.as_deref()) {
        Some("Failed") => {
            let why = status
                .and_then(|s| s.reason.as_deref().or(s.message.as_deref()))
                .unwrap_or("it has failed");
            ProberState::Stuck(shorten(why, 160))
        }
        _ => ProberState::Starting("its pod is not started yet".to_owned()),
    }
}

/// Why a pod goes that has done nothing for that: it is deleted, or its node is drained, full or lost.
fn taken_away(pod: &Pod) -> Option<String> {
    // Set by eviction, preemption, taints, garbage collection and the kubelet (KEP-3329).
    if let Some(("True", reason, message)) = condition(pod, "DisruptionTarget") {
        let reason = if reason.is_empty() { "DisruptionTarget" } else { reason };
        return Some(format!("{reason} {}", shorten(message, 120)).trim_end().to_owned());
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("it was deleted".to_owned());
    }
    // What the kubelet does by itself, before and besides that condition (pkg/kubelet/eviction, preemption, nodeshutdown).
    let reason = pod
        .status
        .as_ref()
        .filter(|s| s.phase.as_deref() == Some("Failed"))?
        .reason
        .as_deref()?;
    ["Evicted", "Preempting", "NodeShutdown", "Terminated", "NodeLost"]
        .contains(&reason)
        .then(|| reason.to_owned())
}

/// What came of one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// HTTP with this status.
    Status(u16),
    /// The connection was accepted.
    Accepted,
    /// The connection was refused.
    Refused,
    /// No connection, or no answer in time.
    TimedOut,
    /// The name has no address inside the cluster.
    Unresolved,
    /// No TLS connection.
    NoTls,
    /// It was closed without an answer, or answered in another protocol.
    Closed,
    /// The image has nothing that could ask.
    NoTool,
}

/// A round of answers, in the order of the questions; bodies where they were asked for.
pub type Round = Vec<(Outcome, String)>;

/// What a log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The last round that was begun.
    pub begun: u64,
    /// The last round in which every question was answered, and its answers: bodies still encoded.
    pub last: Option<(u64, Round)>,
}

/// Reads the end of a log. Lines without the nonce are not the prober's.
pub fn read(log: &str, nonce: &str, questions: usize) -> Log {
    let mut read = Log::default();
    let mut open: (u64, Round) = (0, Vec::new());
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let ["podlife", of, number, rest @ ..] = words.as_slice() else {
            continue;
        };
        let Some(number) = number.parse::<u64>().ok().filter(|_| *of == nonce) else {
            continue;
        };
        match rest {
            ["begin"] => {
                read.begun = read.begun.max(number);
                open = (number, Vec::new());
            }
            [question, outcome, body @ ..] if number == open.0 && question.parse() == Ok(open.1.len()) => {
                let Some(outcome) = outcome_of(outcome) else { continue };
                open.1.push((outcome, body.first().map(|b| (*b).to_owned()).unwrap_or_default()));
                if open.1.len() == questions {
                    read.last = Some(std::mem::take(&mut open));
                }
            }
            _ => {}
        }
    }
    read
}

/// An answer to a question that is asked at an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Which question.
    pub question: usize,
    /// When it was begun, by the clock of the node.
    pub begun: Duration,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// Reads a line of a log; none where it is no such answer, or not of this run.
pub fn sampled(line: &str, nonce: &str) -> Option<Sampled> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["podlife", of, "sample", question, begun, took, outcome] = words.as_slice() else {
        return None;
    };
    let hundredths = |text: &str| Some(Duration::from_millis(text.parse::<u64>().ok()?.checked_mul(10)?));
    Some(Sampled {
        question: question.parse().ok().filter(|_| *of == nonce)?,
        begun: hundredths(begun)?,
        took: hundredths(took)?,
        outcome: outcome_of(outcome)?,
    })
}

fn outcome_of(word: &str) -> Option<Outcome> {
    Some(match word {
        "accepted" => Outcome::Accepted,
        "refused" => Outcome::Refused,
        "timeout" => Outcome::TimedOut,
        "unresolved" => Outcome::Unresolved,
        "tls" => Outcome::NoTls,
        "closed" => Outcome::Closed,
        "no-tool" => Outcome::NoTool,
        status => Outcome::Status(status.parse().ok().filter(|s| (100..=999).contains(s))?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rounds_of_this_run_count() {
        let log = "podlife n up wget nc\npodlife n 7 begin\npodlife n 7 0 200 \npodlife n 7 1 refused \n\
            podlife n 8 begin\npodlife other 8 0 200 \nnoise\npodlife n 8 0 404 YWJj\n";
        let found = read(log, "n", 2);
        assert_eq!(found.begun, 8);
        assert_eq!(
            found.last,
            Some((7, vec![(Outcome::Status(200), String::new()), (Outcome::Refused, String::new())]))
        );
        let one = read(log, "n", 1);
        assert_eq!(one.last, Some((8, vec![(Outcome::Status(404), "YWJj".to_owned())])));
        // The end of a log may begin in the middle of a round.
        assert_eq!(read("podlife n 7 1 refused \n", "n", 2).last, None);
        assert_eq!(read("podlife n 9 begin\npodlife n 9 0 evil \n", "n", 1).last, None);
    }

    #[test]
    fn only_answers_of_this_run_are_samples() {
        let sample = sampled("podlife n sample 1 123456 7 503", "n").unwrap();
        assert_eq!(
            (sample.question, sample.begun.as_millis(), sample.took.as_millis()),
            (1, 1_234_560, 70)
        );
        assert_eq!(sample.outcome, Outcome::Status(503));
        for line in [
            "podlife o sample 1 123456 7 503",
            "podlife n sample 1 123456 -7 503",
            "podlife n 8 0 200 ",
            "sample",
        ] {
            assert_eq!(sampled(line, "n"), None, "{line}");
        }
    }

    #[test]
    fn nothing_of_a_question_is_code() {
        let questions = [Question {
            kind: Kind::Http,
            host: "web.shop.svc".into(),
            port: 80,
            path: "/$(HOME)?q='; rm -rf /".into(),
            name: String::new(),
            limit: Duration::from_secs(3),
        }];
        let made = job(&Order {
            name: "a",
            nonce: "n",
            image: "busybox",
            deadline_seconds: 0,
            with_body: false,
            every: Some(Duration::from_millis(100)),
            labels: &BTreeMap::new(),
            questions: &questions,
        });
        let container = &made["spec"]["template"]["spec"]["containers"][0];
        let command = container["command"].as_array().unwrap();
        assert_eq!((&command[6], &command[10]), (&json!("10"), &json!("/$$(HOME)?q='; rm -rf /")));
        assert_eq!(made["spec"]["activeDeadlineSeconds"], 1);
        assert!(command[2].as_str().unwrap().contains("podlife $nonce"));
        assert!(
            !command[2].as_str().unwrap().replace("$$(", "").contains("$("),
            "Kubernetes would expand it"
        );
    }

    #[test]
    fn the_obstacle_to_a_check_is_reported() {
        let pod = |state: Value| -> Pod {
            serde_json::from_value(json!({"status": {"containerStatuses": [
                {"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}}))
            .unwrap()
        };
        assert_eq!(prober_state(&pod(json!({"running": {}}))), ProberState::Running);
        let waiting = |reason: &str| prober_state(&pod(json!({"waiting": {"reason": reason, "message": "no"}})));
        assert_eq!(waiting("ContainerCreating"), ProberState::Starting("ContainerCreating".into()));
        assert_eq!(
            waiting("ErrImagePull"),
            ProberState::Stuck("its image cannot be pulled: ErrImagePull no".into())
        );
        let nowhere = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]}});
        assert_eq!(
            prober_state(&serde_json::from_value(nowhere).unwrap()),
            ProberState::Unscheduled("it is not scheduled: 0/3 nodes are available".into())
        );
        let evicted = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory"}});
        assert_eq!(
            prober_state(&serde_json::from_value(evicted).unwrap()),
            ProberState::Lost("Evicted".into())
        );
        let drained = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}]}});
        assert_eq!(
            prober_state(&serde_json::from_value(drained).unwrap()),
            ProberState::Lost("EvictionByEvictionAPI Eviction API: evicting".into())
        );
        let message = "exec: \"sh\": executable file not found in $PATH";
        let ended = json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message}});
        assert_eq!(prober_state(&pod(ended)), ProberState::Stuck("its image has no shell (sh)".into()));
    }
}
