//! Probes and their timing: start-up, liveness and readiness probes that fail, budgets that are too short, gates that stay closed.
//!
//! The container's status decides whether a probe fails now; events only supply the text, because the kubelet's counters lag.

mod advice;
mod budget;
mod cut_off;
pub mod message;
mod remedy;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use budget::Judgement;
use cut_off::CutOff;
use message::{Which, describe, port};

use super::Context;
use super::context::{ContainerView, EventView, HEALED_AFTER, Role, condition, containers, has_ended, is_terminating, probe_budget};
use super::dependency::callers;
use super::revision;
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, Severity, Subject};
use crate::model::text::{counted, shorten};

/// An application may take this long to become ready before its readiness probe is reported, whatever the probe's own budget.
const NORMAL_START: Duration = Duration::from_secs(30);
/// How long an application may take to start before a probe that it does not pass yet is a fault: a first start is slow with some frameworks,
/// and a roll-out that goes well must not be called broken.
const SLOW_START: Duration = Duration::from_secs(60);

/// Probes that fail, and budgets that are too short.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for pod in &context.snapshot.objects.pods {
        if has_ended(pod) || is_terminating(pod) {
            continue;
        }
        for container in containers(pod) {
            if container.role != Role::Init {
                found.extend(container_findings(context, &container));
            }
        }
        found.extend(gate(context, pod));
    }
    found.extend(advice::check(context));
    found
}

/// One probe of a container that fails now, and what is known about it.
pub struct Failing<'a> {
    /// Which probe.
    pub which: Which,
    /// The kubelet's words; empty where an exec probe printed nothing, or no event is left.
    pub text: String,
    /// Why, in the words of finding-codes.
    pub cause: &'static str,
    /// The container.
    pub container: ContainerView<'a>,
    /// Whether an event of this probe was seen at all.
    pub has_event: bool,
}

fn container_findings(context: &Context<'_>, container: &ContainerView<'_>) -> Vec<Finding> {
    // A probe that kills comes first: what the readiness probe says of the same container follows from the restarts.
    for which in [Which::Startup, Which::Liveness] {
        let Some(failing) = killing(context, container, which) else {
            continue;
        };
        return match budget::judge(context, &failing) {
            Judgement::TooShort(too_short) => vec![
                cut_off::silencing(context, &failing, *too_short),
                failing_finding(context, &failing, None),
            ],
            Judgement::Perhaps(cut_off) => {
                let finding = failing_finding(context, &failing, Some(&cut_off));
                vec![cut_off::silencing(context, &failing, finding)]
            }
            Judgement::Fits => vec![failing_finding(context, &failing, None)],
        };
    }
    let Some(failing) = unready(context, container) else {
        return Vec::new();
    };
    let finding = failing_finding(context, &failing, None);
    // It listens once another one answers: what keeps that one from it is the fault, and where it merely starts there is none.
    let waits = failing.cause == "refused" && callers::waits(context, container);
    vec![if waits {
        finding.severity(Severity::Symptom).confidence(Confidence::Possible)
    } else {
        finding
    }]
}

/// The newest text that a probe's events give, without what was said while the container was gone.
fn newest_text(context: &Context<'_>, container: &ContainerView<'_>, which: Which) -> Option<String> {
    context
        .pod_events(container.pod)
        .into_iter()
        .filter(|event| event.reason() == "Unhealthy" && event.container() == Some(container.name()))
        .filter_map(|event| message::parse(event.message()))
        .filter(|(of, text)| *of == which && !message::is_noise(text))
        .map(|(_, text)| text.to_owned())
        .next()
}

/// What a failing probe of the container that runs now was told last, in few words that stay the same from one failure to the next; none where
/// nothing tells.
pub fn last_word(context: &Context<'_>, container: &ContainerView<'_>, which: Which) -> Option<String> {
    let probe = which.of(container.spec)?;
    let since = container.running_since()?;
    let events = context.pod_events(container.pod).into_iter();
    let text = events
        // Times of the kubelet's events and of its statuses are cut to whole seconds alike.
        .filter(|event| event.last_seen.is_some_and(|seen| seen >= since))
        .filter(|event| event.reason() == "Unhealthy" && event.container() == Some(container.name()))
        .filter_map(|event| message::parse(event.message()))
        .find(|(of, text)| *of == which && !message::is_noise(text))
        .map(|(_, text)| text)?;
    Some(match (message::cause(text, probe, container.spec), message::status_code(text)) {
        (_, Some(status)) => format!("status {status}"),
        ("refused", _) => "connection refused".to_owned(),
        ("timeout", _) => "no answer in time".to_owned(),
        ("reset", _) => "connection reset".to_owned(),
        ("dns", _) => "its host does not resolve".to_owned(),
        ("exec-exit", _) => "its command fails".to_owned(),
        ("exec-missing", _) => "its command does not exist".to_owned(),
        ("named-port-missing", _) => "no port has the name that it asks for".to_owned(),
        ("https-sent-to-http", _) => "it asks in TLS, and the answer is not".to_owned(),
        ("http-sent-to-https", _) => "the answer is in TLS, and it does not ask so".to_owned(),
        ("tls", _) => "TLS fails".to_owned(),
        _ => return None,
    })
}

/// Whether the container's start-up or liveness probe had it killed, as the kubelet's event says.
pub fn was_killed(context: &Context<'_>, container: &ContainerView<'_>, which: Which) -> bool {
    kill_of(context, container, which).is_some()
}

/// The kubelet's newest event about a probe that had the container killed.
fn kill_of<'a>(context: &Context<'a>, container: &ContainerView<'_>, which: Which) -> Option<EventView<'a>> {
    let words = format!("Container {} failed {} probe", container.name(), which.word());
    let mut events = context.pod_events(container.pod).into_iter();
    events.find(|event| event.reason() == "Killing" && event.message().starts_with(&words))
}

fn killing<'a>(context: &Context<'_>, container: &ContainerView<'a>, which: Which) -> Option<Failing<'a>> {
    let probe = which.of(container.spec)?;
    let text = newest_text(context, container, which);
    let cause = text.as_deref().map_or("", |text| message::cause(text, probe, container.spec));
    // These do not heal with time: no need to wait for the first kill.
    let hopeless = matches!(cause, "exec-missing" | "named-port-missing") && !container.is_started();
    // Nor for one that comes later than the roll-out waits.
    let too_late = || which == Which::Startup && container.is_running() && text.is_some() && revision::is_overdue(context, container.pod);
    let end = container.newest_end();
    let killed = end.is_some_and(|end| {
        let recently = end.finished_at.as_ref().is_none_or(|t| context.age(t.0) < HEALED_AFTER) || !container.is_running();
        // After SIGTERM and SIGKILL: 143, 137; an application that handles SIGTERM may end with 0.
        let by_signal = matches!(end.exit_code, 137 | 143) && end.reason.as_deref() != Some("OOMKilled");
        recently && (was_killed(context, container, which) || (by_signal && text.is_some() && container.restarts() > 0))
    });
    // A start-up probe guards the liveness probe: while it has not passed, the liveness probe does not run.
    let plausible = match which {
        Which::Startup => !container.is_started() || !container.is_running(),
        Which::Liveness => true,
        Which::Readiness => false,
    };
    let has_ended_before = container.restarts() + i32::from(container.terminated().is_some()) > 0;
    (plausible && (killed && has_ended_before || hopeless || too_late())).then(|| Failing {
        which,
        has_event: text.is_some(),
        text: text.unwrap_or_default(),
        cause,
        container: *container,
    })
}

fn unready<'a>(context: &Context<'_>, container: &ContainerView<'a>) -> Option<Failing<'a>> {
    let probe = container.spec.readiness_probe.as_ref()?;
    if container.is_ready() || !container.is_started() {
        return None;
    }
    let since = container.running_since()?;
    let text = newest_text(context, container, Which::Readiness);
    let cause = text.as_deref().map_or("", |text| message::cause(text, probe, container.spec));
    let hopeless = matches!(cause, "exec-missing" | "named-port-missing");
    let patience = if may_pass(cause, text.as_deref().unwrap_or_default()) && container.restarts() == 0 {
        SLOW_START
    } else {
        NORMAL_START
    };
    let is_overdue = text.is_some() && revision::is_overdue(context, container.pod);
    let has_started = is_overdue || context.age(since) >= probe_budget(probe).max(patience) || was_ready(container.pod, since);
    // The answer's text is not in the event, but servers log what they were sent.
    let refused_plain = cause == "http-status"
        && has_started
        && text.as_deref().and_then(message::status_code) == Some(400)
        && context
            .log(container, false)
            .and_then(|log| log.text)
            .is_some_and(message::speaks_tls);
    let cause = if refused_plain { "http-sent-to-https" } else { cause };
    (hopeless || has_started).then(|| Failing {
        which: Which::Readiness,
        has_event: text.is_some(),
        text: text.unwrap_or_default(),
        cause,
        container: *container,
    })
}

/// Whether a slow start alone may look like this. A path that is not there, or the wrong protocol, does not mend itself.
fn may_pass(cause: &str, text: &str) -> bool {
    match cause {
        "http-status" => !text.contains("statuscode: 4"),
        "dns" | "tls" | "https-sent-to-http" | "http-sent-to-https" => false,
        _ => true,
    }
}

/// Whether the pod has been ready in the life of this container: its conditions changed well after the container started.
fn was_ready(pod: &Pod, running_since: Timestamp) -> bool {
    let conditions = pod.status.iter().filter_map(|s| s.conditions.as_ref()).flatten();
    conditions
        .filter(|c| c.type_ == "ContainersReady" && c.status == "False")
        .filter_map(|c| c.last_transition_time.as_ref())
        .any(|t| t.0.duration_since(running_since).as_secs() > 5)
}

fn failing_finding(context: &Context<'_>, failing: &Failing<'_>, cut_off: Option<&CutOff>) -> Finding {
    let container = &failing.container;
    let (name, which) = (container.name(), failing.which);
    let code = match which {
        Which::Startup => Code::StartupProbeFailing,
        Which::Liveness => Code::LivenessProbeFailing,
        Which::Readiness => Code::ReadinessProbeFailing,
    };
    let Some(probe) = which.of(container.spec) else {
        return Finding::symptom(code, failing.cause, context.subject_of(container), "");
    };
    let asks = describe(probe);
    let what = match failing.cause {
        "refused" => format!("{asks} is refused: nothing listens there on the pod's address"),
        "timeout" => format!("{asks} gets no answer within {} s", probe.timeout_seconds.unwrap_or(1)),
        "http-status" => format!(
            "{asks} is answered with status {}",
            message::status_code(&failing.text).map_or_else(|| "of failure".to_owned(), |s| s.to_string())
        ),
        "http-sent-to-https" if is_no_http(&failing.text) => {
            format!("{asks} is answered by something that does not speak HTTP")
        }
        "http-sent-to-https" => format!("{asks} is sent as plain HTTP, but the port speaks TLS"),
        "https-sent-to-http" => format!("{asks} is sent over TLS, but the port speaks plain HTTP"),
        "tls" => format!("{asks} fails in the TLS handshake"),
        "dns" => format!("{asks} names a host that does not resolve on the node"),
        "exec-exit" => format!("{asks} fails"),
        "exec-missing" => format!("{asks} cannot be run: the program is not in the image or not executable"),
        "grpc" => format!("{asks} does not answer SERVING"),
        "reset" => format!("{asks} connects, but the connection is closed without an answer"),
        "named-port-missing" => format!(
            "it asks the port named {}, but the container declares no port of that name",
            port_name(probe)
        ),
        _ => format!("{asks} does not pass"),
    };
    let result = match which {
        Which::Startup | Which::Liveness if container.restarts() > 0 => {
            format!("; the kubelet has killed the container {}", times(container.restarts()))
        }
        Which::Readiness => "; the pod gets no traffic".to_owned(),
        _ => String::new(),
    };
    let perhaps = match cut_off {
        Some(cut_off) if cut_off.is_first => budget::perhaps(context, failing, probe),
        _ => String::new(),
    };
    let summary = format!("the {} probe of container {name} fails: {what}{result}{perhaps}", which.word());
    let mut finding = Finding::error(code, failing.cause, context.subject_of(container), summary)
        .evidence(container.source(), state(context, container))
        .evidence(
            format!("pod/{} event Unhealthy", container.pod.name_any()),
            shorten(&failing.text, 200),
        );
    if failing.text.is_empty() && failing.has_event && probe.exec.is_some() {
        finding = finding.evidence(
            format!("pod/{} event Unhealthy", container.pod.name_any()),
            "the command failed without printing anything",
        );
    }
    if !failing.has_event {
        finding = finding.confidence(Confidence::Likely);
    }
    if cut_off.is_some() {
        finding = budget::evidence_of_budget(failing, probe, finding);
    } else if let Some(port) = port(probe) {
        finding = finding.evidence("spec", format!("{}Probe port {port}", which.word()));
    }
    for effect in context.container_effects(container) {
        finding = finding.breaking(effect);
    }
    let Some(cut_off) = cut_off else {
        return fixes(context, failing, false, finding);
    };
    let (change, command) = budget::perhaps_more_time(context, failing, probe);
    if cut_off.is_first {
        fixes(context, failing, true, finding.fix_command(change, command))
    } else {
        fixes(context, failing, true, finding).fix_command(change, command)
    }
}

/// An answer that is neither HTTP nor a TLS alert (which begins with 0x15).
fn is_no_http(text: &str) -> bool {
    text.contains("malformed") && !text.contains("\\x15")
}

fn port_name(probe: &k8s_openapi::api::core::v1::Probe) -> String {
    port(probe).unwrap_or_default()
}

fn times(count: i32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// `running for 2m, not ready, 3 restarts`
fn state(context: &Context<'_>, container: &ContainerView<'_>) -> String {
    let mut parts = Vec::new();
    match (container.running_since(), container.waiting()) {
        (Some(since), _) => parts.push(format!("running for {}", age::short(context.age(since)))),
        (None, Some((reason, _))) => parts.push(reason.to_owned()),
        _ => parts.push("ended".to_owned()),
    }
    if !container.is_started() {
        parts.push("not started".to_owned());
    }
    parts.push(if container.is_ready() { "ready" } else { "not ready" }.to_owned());
    if container.restarts() > 0 {
        parts.push(counted(container.restarts(), "restart"));
    }
    if let Some(end) = container.newest_end() {
        let ago = context.age_of(end.finished_at.as_ref()).map(age::short);
        parts.push(format!(
            "last ended with exit code {}{}",
            end.exit_code,
            ago.map(|a| format!(" {a} ago")).unwrap_or_default()
        ));
    }
    parts.join(", ")
}

/// `is_cut_off`: what runs is killed before one could look into it.
fn fixes(context: &Context<'_>, failing: &Failing<'_>, is_cut_off: bool, finding: Finding) -> Finding {
    let container = &failing.container;
    let namespace = container.pod.namespace().unwrap_or_default();
    let (pod, name, which) = (container.pod.name_any(), container.name(), failing.which.word());
    let object = context.workload_of(container.pod).short();
    let edit = format!("kubectl edit {object} -n {namespace}");
    let previous = if is_cut_off && container.terminated().is_none() {
        " --previous"
    } else {
        ""
    };
    let logs = format!("kubectl logs {pod} -c {name} -n {namespace} --tail=50{previous}");
    match failing.cause {
        "refused" if is_cut_off => finding.fix_command(
            format!("if it has started by then, make it listen on 0.0.0.0 at the port that the {which} probe asks, or change the probe to the port it listens on"),
            logs,
        ),
        "refused" => finding
            .fix_command(
                format!("make the application listen on 0.0.0.0 at the port that the {which} probe asks, or change the probe to the port it listens on"),
                logs,
            )
            .fix_command(
                "see what it listens on (where the image has netstat)",
                format!("kubectl exec {pod} -c {name} -n {namespace} -- netstat -ltn"),
            ),
        "timeout" => finding
            .fix_command(format!("see why the answer is slow; if it is meant to be, raise {which}Probe.timeoutSeconds"), edit)
            .fix_command("look at the log", logs),
        "http-status" => finding
            .fix_command(format!("set {which}Probe.httpGet.path to a path that answers 200, or mend what the path reports"), edit)
            .fix_command("look at the log", logs),
        "http-sent-to-https" if is_no_http(&failing.text) => finding.fix_command(
            format!("use a tcpSocket or grpc {which} probe, or ask a port that speaks HTTP"),
            edit,
        ),
        "http-sent-to-https" => finding.fix_command(format!("set {which}Probe.httpGet.scheme to HTTPS, or use a plain port"), edit),
        "https-sent-to-http" => finding.fix_command(format!("set {which}Probe.httpGet.scheme to HTTP, or use the TLS port"), edit),
        "dns" => finding.fix_command(
            format!("remove {which}Probe.httpGet.host: the kubelet then asks the pod's address; put a host name into httpHeaders"),
            edit,
        ),
        "exec-missing" => finding.fix_command(
            format!("use a program that is in the image, or an httpGet, tcpSocket or grpc {which} probe"),
            edit,
        ),
        "exec-exit" => {
            let command = failing.which.of(container.spec).and_then(|p| p.exec.as_ref());
            let command = crate::model::text::redact_args(command.and_then(|e| e.command.as_deref()).unwrap_or_default());
            finding.fix_command(
                "run the command in the container and mend what it reports",
                format!("kubectl exec {pod} -c {name} -n {namespace} -- {}", shorten(&command, 120)),
            )
        }
        "grpc" => finding.fix_command(
            format!("implement grpc.health.v1.Health on the port that the {which} probe asks, or use another kind of probe"),
            logs,
        ),
        "named-port-missing" => {
            let declared: Vec<String> = container.spec.ports.iter().flatten().filter_map(|p| p.name.clone()).collect();
            let among = if declared.is_empty() {
                "declare a port of that name on the container, or use the number".to_owned()
            } else {
                format!("use one of the names that the container declares ({}), or the number", declared.join(", "))
            };
            finding.fix_command(among, edit)
        }
        _ => finding.fix_command("look at the log", logs),
    }
}

/// A readiness gate whose condition is not True while all containers are ready.
fn gate(context: &Context<'_>, pod: &Pod) -> Option<Finding> {
    let (ready, reason, _) = condition(pod, "Ready")?;
    let (containers_ready, ..) = condition(pod, "ContainersReady")?;
    if ready == "True" || containers_ready != "True" || reason != "ReadinessGatesNotReady" {
        return None;
    }
    let closed: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|s| s.readiness_gates.iter().flatten())
        .map(|gate| gate.condition_type.as_str())
        .filter(|type_| condition(pod, type_).is_none_or(|(status, ..)| status != "True"))
        .collect();
    let first = *closed.first()?;
    let newest_start = containers(pod).iter().filter_map(ContainerView::running_since).max()?;
    // A load balancer's controller needs some seconds after the containers are up.
    if context.age(newest_start) < NORMAL_START && !revision::is_overdue(context, pod) {
        return None;
    }
    let said = condition(pod, first);
    let detail = match said {
        None => format!("the condition {first} does not exist on the pod"),
        Some((status, reason, message)) => format!("{first}={status} {reason} {message}"),
    };
    let workload = context.workload_of(pod);
    let namespace = pod.namespace().unwrap_or_default();
    Some(
        Finding::error(
            Code::ReadinessGateUnmet,
            "",
            Subject::of(workload.clone()).pod(&pod.name_any()),
            format!(
                "all containers are ready, but the pod is not: nobody has set its readiness gate {} to True",
                closed.join(", ")
            ),
        )
        .evidence(format!("pod/{} status", pod.name_any()), shorten(&detail, 200))
        .breaking(Effect::NotReady(workload.clone()))
        .fix_command(
            format!("see why the controller that sets {first} does not (is it installed, does it see this pod?), or remove the gate from the pod template"),
            format!("kubectl edit {} -n {namespace}", workload.short()),
        ),
    )
}

#[cfg(test)]
mod tests;
