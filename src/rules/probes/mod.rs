//! Probes and their timing: start-up, liveness and readiness probes that fail, budgets that are too short, gates that stay closed.
//!
//! The container's status decides whether a probe fails now; events only supply the text, because the kubelet's counters lag.

mod advice;
mod answer;
mod budget;
mod cut_off;
mod given_time;
mod hidden;
mod remedy;
mod run;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Probe};
use kube::ResourceExt;

use budget::Judgement;
use cut_off::CutOff;
use given_time::GivenTime;

use crate::facts::calls::callers;
use crate::facts::ending::{edit_command, edit_template};
use crate::facts::listening::uses;
use crate::facts::probe::{Which, describe, failures_now, port, running_since, was_killed};
use crate::model::age;
use crate::model::cause::ProbeFailure;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, Settles, Severity, Subject};
use crate::text::{Command, command, counted, redact_args, shorten};
use crate::view::{
    ContainerView, EventView, Needs, Out, Role, View, condition, containers, has_ended, is_terminating, probe_budget, revision,
};

/// An application may take this long to become ready before a readiness probe that fails is a fault, whatever the probe's own budget.
const NORMAL_START: Duration = Duration::from_secs(30);
/// How long an application may take to start before a probe that it does not pass yet is a fault: a first start is slow with some frameworks,
/// and a roll-out that goes well must not be called broken.
const SLOW_START: Duration = Duration::from_secs(60);
/// Letters of a probe's command that are printed to be run; more cannot be checked by reading.
const LONGEST_COMMAND: usize = 400;

/// Probes that fail, and budgets that are too short.
pub fn check(view: &View<'_>, out: &mut Out) {
    for pod in &view.snapshot.objects.pods {
        if has_ended(pod) || is_terminating(pod) {
            continue;
        }
        for container in containers(pod) {
            if container.role != Role::Init {
                out.findings.extend(container_findings(view, &mut out.needs, &container));
            }
        }
        out.findings.extend(gate(view, pod));
    }
    out.findings.extend(advice::check(view));
}

/// One probe of a container that fails now, and what is known about it.
pub struct Failing<'a> {
    /// Which probe.
    pub which: Which,
    /// The kubelet's words; empty where an exec probe printed nothing, or no event is left.
    pub text: String,
    /// Why, in the words of finding-codes.
    pub cause: Option<ProbeFailure>,
    /// The container.
    pub container: ContainerView<'a>,
    /// Whether an event of this probe was seen at all.
    pub has_event: bool,
    /// Whether the probe may still pass.
    pub settles: Settles,
}

fn container_findings(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Vec<Finding> {
    // A probe that kills comes first: what the readiness probe says of the same container follows from the restarts.
    for which in [Which::Startup, Which::Liveness] {
        let Some(failing) = killing(view, container, which) else {
            continue;
        };
        if failing.settles.is_pending() {
            // What has lasted comes before what may pass.
            let lasts = unready(view, needs, container).filter(|unready| which == Which::Liveness && !unready.settles.is_pending());
            let failing = lasts.unwrap_or(failing);
            return vec![failing_finding(view, needs, &failing, None)];
        }
        return match budget::judge(view, needs, &failing) {
            Judgement::TooShort(too_short) => vec![
                cut_off::silencing(view, &failing, *too_short),
                failing_finding(view, needs, &failing, None),
            ],
            Judgement::Perhaps(mut cut_off) => {
                // What answers has started.
                cut_off.is_first &= !matches!(given_time::of(view, needs, &failing), Some(GivenTime::Answers(_)));
                let finding = failing_finding(view, needs, &failing, Some(&cut_off));
                vec![cut_off::silencing(view, &failing, finding)]
            }
            Judgement::Fits => vec![failing_finding(view, needs, &failing, None)],
        };
    }
    let Some(failing) = unready(view, needs, container) else {
        return hidden::check(view, container).into_iter().collect();
    };
    let finding = failing_finding(view, needs, &failing, None);
    // It listens once another one answers: what keeps that one from it is the fault, and where it merely starts there is none.
    let waits = failing.cause == Some(ProbeFailure::Refused) && callers::waits(view, needs, container);
    vec![if waits {
        finding.severity(Severity::Symptom).confidence(Confidence::Possible)
    } else {
        finding
    }]
}

/// A time-out says least: another answer that came within so many periods of it says more.
const SAME_MOMENT: i64 = 5;

/// The newest text that a probe's events give, without what was said while the container was gone. A busy node lets single probes time out:
/// where the same probe got another answer at the same time, more often, that one counts.
fn newest_text(view: &View<'_>, container: &ContainerView<'_>, which: Which) -> Option<String> {
    let probe = which.of(container.spec)?;
    let is_timeout = |text: &str| crate::facts::probe::cause(text, probe, container.spec) == Some(ProbeFailure::Timeout);
    let failures: Vec<_> = crate::facts::probe::failures(view, container, which).collect();
    let (newest, text) = failures.first()?;
    let period = i64::from(probe.period_seconds.unwrap_or(10));
    let same_moment = |event: &EventView<'_>| {
        let seconds = |event: &EventView<'_>| event.last_seen.map(|seen| seen.as_second());
        seconds(event) >= seconds(newest).map(|seen| seen - SAME_MOMENT * period)
    };
    let answer = failures
        .iter()
        .find(|(event, text)| !is_timeout(text) && event.count() > newest.count() && same_moment(event))
        .filter(|_| is_timeout(text));
    Some(answer.map_or(*text, |(_, text)| *text).to_owned())
}

fn killing<'a>(view: &View<'_>, container: &ContainerView<'a>, which: Which) -> Option<Failing<'a>> {
    let probe = which.of(container.spec)?;
    let text = newest_text(view, container, which);
    let cause = text
        .as_deref()
        .and_then(|text| crate::facts::probe::cause(text, probe, container.spec));
    // These do not heal with time: no need to wait for the first kill.
    let hopeless = matches!(cause, Some(ProbeFailure::ExecMissing | ProbeFailure::NamedPortMissing)) && !container.is_started();
    // Nor for one that comes later than the roll-out waits.
    let too_late = || which == Which::Startup && container.is_running() && text.is_some() && revision::is_overdue(view, container.pod);
    let end = container.newest_end();
    let killed = end.is_some_and(|end| {
        let recently = end.finished_at.as_ref().is_none_or(|t| !view.has_healed(container, t.0)) || !container.is_running();
        // After SIGTERM and SIGKILL: 143, 137; an application that handles SIGTERM may end with 0.
        let by_signal = matches!(end.exit_code, 137 | 143) && end.reason.as_deref() != Some("OOMKilled");
        recently && (was_killed(view, container, which) || (by_signal && text.is_some() && container.restarts() > 0))
    });
    // A start-up probe guards the liveness probe: while it has not passed, the liveness probe does not run.
    let plausible = match which {
        Which::Startup => !container.is_started() || !container.is_running(),
        Which::Liveness => true,
        Which::Readiness => false,
    };
    let has_ended_before = container.restarts() + i32::from(container.terminated().is_some()) > 0;
    let is_fault = killed && has_ended_before || hopeless || too_late();
    // A start-up probe that fails and has not killed yet may pass while its budget lasts.
    let settles = match running_since(view, container).filter(|_| !is_fault) {
        Some(since) if which == Which::Startup => view.settles(since, probe_budget(probe).max(NORMAL_START)),
        // A liveness probe kills after so many failures in a row; one that has passed since then fails no more.
        Some(_) if hidden::threshold(probe).is_none() => {
            let newest = failures_now(view, container, which).next().and_then(|(event, _)| event.last_seen);
            newest.map_or(Settles::Never, |seen| view.settles(seen, row(probe)))
        }
        _ => Settles::Never,
    };
    let is_pending = settles.is_pending() && failures_now(view, container, which).next().is_some();
    (plausible && (is_fault || is_pending)).then(|| Failing {
        which,
        settles,
        has_event: text.is_some(),
        text: text.unwrap_or_default(),
        cause,
        container: *container,
    })
}

/// How long a probe fails before Kubernetes acts on it.
fn row(probe: &Probe) -> Duration {
    let times = probe.failure_threshold.unwrap_or(3).max(1);
    let each = probe.period_seconds.unwrap_or(10).max(probe.timeout_seconds.unwrap_or(1));
    Duration::from_secs(u64::try_from(times.saturating_mul(each)).unwrap_or_default())
}

fn unready<'a>(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'a>) -> Option<Failing<'a>> {
    let probe = container.spec.readiness_probe.as_ref()?;
    if container.is_ready() || container.is_running() && !container.is_started() {
        return None;
    }
    let since = running_since(view, container)?;
    let text = newest_text(view, container, Which::Readiness);
    let cause = text
        .as_deref()
        .and_then(|text| crate::facts::probe::cause(text, probe, container.spec));
    let hopeless = matches!(cause, Some(ProbeFailure::ExecMissing | ProbeFailure::NamedPortMissing));
    let patience = if may_pass(cause, text.as_deref().unwrap_or_default()) && container.restarts() == 0 {
        SLOW_START
    } else {
        NORMAL_START
    };
    let is_overdue = text.is_some() && revision::is_overdue(view, container.pod);
    let settles = match hopeless || is_overdue || was_ready(container.pod, since) {
        true => Settles::Never,
        false => view.settles(since, probe_budget(probe).max(patience)),
    };
    if settles.is_pending() && failures_now(view, container, Which::Readiness).next().is_none() {
        return None;
    }
    // The answer's text is not in the event, but servers log what they were sent.
    let refused_plain = cause == Some(ProbeFailure::HttpStatus)
        && text.as_deref().and_then(crate::facts::probe::status_code) == Some(400)
        && needs
            .log(view, container, false)
            .and_then(|log| log.text)
            .is_some_and(crate::facts::probe::speaks_tls);
    let cause = if refused_plain {
        Some(ProbeFailure::HttpSentToHttps)
    } else {
        cause
    };
    Some(Failing {
        which: Which::Readiness,
        has_event: text.is_some(),
        text: text.unwrap_or_default(),
        cause,
        container: *container,
        settles,
    })
}

/// Whether a slow start alone may look like this. A path that is not there, or the wrong protocol, does not mend itself.
fn may_pass(cause: Option<ProbeFailure>, text: &str) -> bool {
    match cause {
        Some(ProbeFailure::HttpStatus) => !text.contains("statuscode: 4"),
        Some(
            ProbeFailure::Dns
            | ProbeFailure::Redirected
            | ProbeFailure::Tls
            | ProbeFailure::HttpsSentToHttp
            | ProbeFailure::HttpSentToHttps,
        ) => false,
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

fn failing_finding(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>, cut_off: Option<&CutOff>) -> Finding {
    let container = &failing.container;
    let (name, which) = (container.name(), failing.which);
    let cause = which.failing(failing.cause);
    let Some(probe) = which.of(container.spec) else {
        return Finding::symptom(cause, view.subject_of(container), "");
    };
    let asks = describe(probe);
    let explained = answer::explain(view, needs, failing);
    let what = match failing.cause {
        _ if explained.is_some() => format!("{asks} {}", explained.as_ref().map(|e| e.what.as_str()).unwrap_or_default()),
        Some(ProbeFailure::Refused) => format!("{asks} is refused: nothing listens there on the pod's address"),
        Some(ProbeFailure::Timeout) => format!("{asks} gets no answer within {} s", probe.timeout_seconds.unwrap_or(1)),
        Some(ProbeFailure::HttpStatus) => format!(
            "{asks} is answered with status {}",
            crate::facts::probe::status_code(&failing.text).map_or_else(|| "of failure".to_owned(), |s| s.to_string())
        ),
        Some(ProbeFailure::HttpSentToHttps) if is_no_http(&failing.text) => {
            format!("{asks} is answered by something that does not speak HTTP")
        }
        Some(ProbeFailure::HttpSentToHttps) => format!("{asks} is sent as plain HTTP, but the port speaks TLS"),
        Some(ProbeFailure::HttpsSentToHttp) => format!("{asks} is sent over TLS, but the port speaks plain HTTP"),
        Some(ProbeFailure::Tls) => format!("{asks} fails in the TLS handshake"),
        Some(ProbeFailure::Dns) => format!("{asks} names a host that does not resolve on the node"),
        Some(ProbeFailure::ExecExit) => format!("{asks} fails"),
        Some(ProbeFailure::ExecMissing) => format!("{asks} cannot be run: the program is not in the image or not executable"),
        Some(ProbeFailure::Grpc) => format!("{asks} does not answer SERVING"),
        Some(ProbeFailure::Reset) => format!("{asks} connects, but the connection is closed without an answer"),
        Some(ProbeFailure::NamedPortMissing) => format!(
            "it uses the port named {}, but the container declares no port of that name",
            port_name(probe)
        ),
        _ => format!("{asks} does not pass"),
    };
    let result = match which {
        Which::Liveness if failing.settles.is_pending() => {
            let times = probe.failure_threshold.unwrap_or(3);
            format!("; the kubelet restarts the container after {times} failures in a row")
        }
        Which::Startup | Which::Liveness if container.restarts() > 0 => {
            format!("; the kubelet has killed the container {}", times(container.restarts()))
        }
        Which::Readiness => "; the pod gets no traffic".to_owned(),
        _ => String::new(),
    };
    let perhaps = match cut_off {
        Some(cut_off) if cut_off.is_first => budget::perhaps(view, failing, probe),
        _ => String::new(),
    };
    let summary = format!("the {} probe of container {name} fails: {what}{result}{perhaps}", which.word());
    let mut finding = Finding::error(cause, view.subject_of(container), summary)
        .settling(failing.settles)
        .evidence(container.source(), state(view, container))
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
    for effect in view.container_effects(container) {
        finding = finding.breaking(effect);
    }
    if let Some(explained) = explained {
        return explained.add_to(finding);
    }
    let given_time = given_time::of(view, needs, failing);
    if let Some(given_time) = given_time {
        let detail = match given_time {
            GivenTime::Answers(status) => format!("answers {status}, given more time than the probe's"),
            GivenTime::Silent => "accepts and does not answer, given more time than the probe's either".to_owned(),
        };
        finding = finding.evidence("dialled", detail);
    }
    let fixes = |is_cut_off: bool, finding: Finding| match given_time {
        Some(GivenTime::Silent) => hanging(failing, is_cut_off, finding),
        _ => fixes(view, failing, is_cut_off, finding),
    };
    let Some(cut_off) = cut_off else {
        return fixes(false, finding);
    };
    let (change, command) = budget::perhaps_more_time(view, failing, probe);
    if cut_off.is_first {
        fixes(true, finding.fix_command(change, command))
    } else {
        fixes(true, finding).fix_command(change, command)
    }
}

/// The log of the run that a probe failed in.
fn logs(failing: &Failing<'_>, is_cut_off: bool) -> Command {
    let container = &failing.container;
    let (pod, namespace) = (container.pod.name_any(), container.pod.namespace().unwrap_or_default());
    command("kubectl logs {} -c {} -n {} --tail=50", &[&pod, &container.name(), &namespace])
        .with("--previous", is_cut_off && container.terminated().is_none())
}

/// More time for an answer does not help where none comes.
fn hanging(failing: &Failing<'_>, is_cut_off: bool, finding: Finding) -> Finding {
    let which = failing.which.word();
    finding.fix_command(
        format!(
            "see what the request waits for, or probe another path; {which}Probe.timeoutSeconds helps only if an answer comes later than the dial waited"
        ),
        logs(failing, is_cut_off),
    )
}

/// Whether a probe that timed out did not even get a connection.
fn is_unconnected(text: &str) -> bool {
    text.contains("dial tcp")
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
fn state(view: &View<'_>, container: &ContainerView<'_>) -> String {
    let mut parts = Vec::new();
    match (container.running_since(), container.waiting()) {
        (Some(since), _) => parts.push(format!("running for {}", age::short(view.age(since)))),
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
        let ago = view.age_of(end.finished_at.as_ref()).map(age::short);
        parts.push(format!(
            "last ended with exit code {}{}",
            end.exit_code,
            ago.map(|a| format!(" {a} ago")).unwrap_or_default()
        ));
    }
    parts.join(", ")
}

/// `is_cut_off`: what runs is killed before one could look into it.
fn fixes(view: &View<'_>, failing: &Failing<'_>, is_cut_off: bool, finding: Finding) -> Finding {
    let container = &failing.container;
    let namespace = container.pod.namespace().unwrap_or_default();
    let (pod, name, which) = (container.pod.name_any(), container.name(), failing.which.word());
    let edit = edit_command(view, container.pod);
    let logs = logs(failing, is_cut_off);
    let probe = failing.which.of(container.spec);
    let asked = probe.and_then(|probe| uses::probe_port(probe, container.spec));
    match failing.cause {
        Some(ProbeFailure::Refused)
            if let (Some(probe), Some(asked)) = (probe, asked)
                && let Some(other) = uses::meant_instead(view, container, asked) =>
        {
            finding
                .fix_command(
                    format!("change the {which} probe to port {other}, which the container is meant to listen on, or make the application listen on {asked}"),
                    remedy::other_port(view, container, failing.which, probe, other).unwrap_or(edit),
                )
                .fix_command("see where it listens", logs)
        }
        Some(ProbeFailure::Refused) if is_cut_off => finding.fix_command(
            format!("if it has started by then, make it listen on 0.0.0.0 at the port of the {which} probe, or change the probe to the port it listens on"),
            logs,
        ),
        Some(ProbeFailure::Refused) => finding
            .fix_command(
                format!("make the application listen on 0.0.0.0 at the port of the {which} probe, or change the probe to the port it listens on"),
                logs,
            )
            .fix_command(
                "see what it listens on (where the image has netstat)",
                command("kubectl exec {} -c {} -n {} -- netstat -ltn", &[&pod, &name, &namespace]),
            ),
        Some(ProbeFailure::Timeout) if is_unconnected(&failing.text) => finding
            .fix_command("see whether the application is overloaded, or something on the node keeps the kubelet from the pod", logs)
            .fix_command(format!("if it is just slow, raise {which}Probe.timeoutSeconds"), edit),
        Some(ProbeFailure::Timeout) => finding
            .fix_command(
                format!("raise {which}Probe.timeoutSeconds above the time that the answer takes, or make the answer faster"),
                edit,
            )
            .fix_command("see why it is slow", logs),
        Some(ProbeFailure::HttpStatus) => finding
            .fix_command(format!("set {which}Probe.httpGet.path to a path that answers 200, or fix what the path reports"), edit)
            .fix_command("look at the log", logs),
        Some(ProbeFailure::HttpSentToHttps) if is_no_http(&failing.text) => finding.fix_command(
            format!("use a tcpSocket or grpc {which} probe, or a port that speaks HTTP"),
            edit,
        ),
        Some(ProbeFailure::HttpSentToHttps) => finding.fix_command(format!("set {which}Probe.httpGet.scheme to HTTPS, or use a plain port"), edit),
        Some(ProbeFailure::HttpsSentToHttp) => finding.fix_command(format!("set {which}Probe.httpGet.scheme to HTTP, or use the TLS port"), edit),
        Some(ProbeFailure::Dns) => finding.fix_command(
            format!("remove {which}Probe.httpGet.host: the kubelet then uses the pod's address; put a host name into httpHeaders"),
            edit,
        ),
        Some(ProbeFailure::ExecMissing) => finding.fix_command(
            format!("use a program that is in the image, or an httpGet, tcpSocket or grpc {which} probe"),
            edit,
        ),
        Some(ProbeFailure::ExecExit) => {
            let words = failing.which.of(container.spec).and_then(|p| p.exec.as_ref()?.command.as_deref());
            let words = words.unwrap_or_default();
            // What is masked or too long to read cannot be run as it is shown.
            let is_exact = redact_args(words) == words.join(" ") && words.iter().map(String::len).sum::<usize>() <= LONGEST_COMMAND;
            if is_exact {
                finding.fix_command(
                    "run the command in the container and fix what it reports",
                    command("kubectl exec {} -c {} -n {} --", &[&pod, &name, &namespace]).arguments(words),
                )
            } else {
                finding.fix_command(
                    "run the command of the probe in the container and fix what it reports",
                    command("kubectl get pod {} -n {} -o yaml", &[&pod, &namespace]),
                )
            }
        }
        Some(ProbeFailure::Grpc) => finding.fix_command(
            format!("implement grpc.health.v1.Health on the port of the {which} probe, or use another kind of probe"),
            logs,
        ),
        Some(ProbeFailure::NamedPortMissing) => {
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
fn gate(view: &View<'_>, pod: &Pod) -> Option<Finding> {
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
    let settles = match revision::is_overdue(view, pod) {
        true => Settles::Never,
        false => view.settles(newest_start, NORMAL_START),
    };
    let said = condition(pod, first);
    let detail = match said {
        None => format!("the condition {first} does not exist on the pod"),
        Some((status, reason, message)) => format!("{first}={status} {reason} {message}"),
    };
    let workload = view.workload_of(pod);
    Some(
        Finding::error(
            Code::ReadinessGateUnmet,
            Subject::of(workload.clone()).pod(&pod.name_any()),
            format!(
                "all containers are ready, but the pod is not: nothing has set its readiness gate {} to True",
                closed.join(", ")
            ),
        )
        .settling(settles)
        .evidence(format!("pod/{} status", pod.name_any()), shorten(&detail, 200))
        .breaking(Effect::NotReady(workload.clone()))
        .fix_command(
            format!("see why the controller that sets {first} does not (is it installed, does it see this pod?), or remove the gate from the pod template"),
            edit_template(&workload),
        ),
    )
}

#[cfg(test)]
mod tests;
