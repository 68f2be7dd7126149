//! Init containers that fail, and those that never end.

mod command;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;

use crate::facts::awaited;
use crate::facts::calls::failure::is_usage;
use crate::facts::calls::names;
use crate::facts::ending::{Ending, counts, edit_command, for_each_pod, groups, logs_command, owner_name};
use crate::facts::log_line::explaining_line;
use crate::facts::{provided, runtime};
use crate::model::cause::InitContainerStuck;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Settles, Severity};
use crate::model::{age, kind};
use crate::text::{redact, redact_args, shorten};
use crate::view::{ContainerView, LogView, Needs, Out, Role, View, containers, endpoints, ports, revision};

/// A start takes this long without anything being wrong.
const NORMAL: Duration = Duration::from_secs(60);
/// Work that shows progress in its log (a migration, a download) is given this long.
const WITH_PROGRESS: Duration = Duration::from_secs(600);

/// Init containers that fail or hang; sidecars are judged with the other containers.
pub fn check(view: &View<'_>, out: &mut Out) {
    let failing = groups(view, |c| c.role == Role::Init);
    for group in &failing {
        if let Some(ending) = group.first().filter(|e| e.end.reason.as_deref() != Some("OOMKilled")) {
            let finding = fails(view, &mut out.needs, ending);
            out.findings.extend(for_each_pod(&finding, group));
        }
    }
    let mut hung: BTreeMap<(ObjectRef, &str), Finding> = BTreeMap::new();
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            let running = |c: &ContainerView<'_>| c.role == Role::Init && c.is_running() && c.restarts() == 0;
            for container in containers(pod).into_iter().filter(running) {
                // Later pods of the same fault take the words of the first, whose log was read.
                let key = (workload.reference.clone(), container.spec.name.as_str());
                if let Some(first) = hung.get(&key) {
                    let mut of_pod = first.clone();
                    of_pod.subject.pods = vec![pod.name_any()];
                    out.findings.push(of_pod);
                } else if let Some(finding) = hangs(view, &mut out.needs, &container) {
                    out.findings.push(finding.clone());
                    hung.insert(key, finding);
                }
            }
        }
    }
}

fn fails(view: &View<'_>, needs: &mut Needs, ending: &Ending<'_>) -> Finding {
    let container = &ending.container;
    let log = needs.end_log(view, container);
    let lines: Vec<&str> = log.iter().flat_map(|l| l.lines()).collect();
    let message = ending.end.message.as_deref().filter(|m| !m.trim().is_empty());
    let explained = match message {
        // The runtime's own word on a program that could not be started.
        Some(message) if ending.end.exit_code == 128 => Some(("status", runtime::tail_of(message), true)),
        _ => explaining_line(&lines)
            .map(|(line, strong)| (log.map_or("log", |l| l.source()), line, strong))
            .or_else(|| message.map(|m| ("termination message", m.to_owned(), true))),
    };
    let provided = match message {
        Some(message) if ending.end.exit_code == 128 => provided::of_start(view, needs, container, message),
        _ => explained
            .as_ref()
            .and_then(|(_, line, _)| provided::of_line(view, needs, container, line)),
    };
    let explained = explained.map(|(source, line, strong)| (source, shorten(&redact(&line), 200), strong));
    let reason = match (&explained, &provided) {
        (Some((_, line, _)), Some(_)) => format!(", {line}"),
        (Some((_, line, true)), None) => format!(", {line}"),
        _ => String::new(),
    };
    let summary = format!(
        "init container {} of {} fails, so the pod cannot start: exit code {}{reason}",
        container.name(),
        owner_name(view, container.pod),
        ending.end.exit_code
    );
    let mut finding =
        Finding::error(Code::InitContainerFailing, view.subject_of(container), summary).evidence(container.source(), ending.describe(view));
    if let Some((source, line, _)) = &explained {
        finding = finding.evidence(source, line);
    }
    let previous = container.terminated().is_none() && container.restarts() > 0;
    let finding = match provided {
        Some(provided) => provided.explain(view, container.pod, finding),
        None => finding.fix_command(
            "the pod goes on only when this container ends with 0: correct what its log names",
            logs_command(container, previous),
        ),
    };
    with_dependencies(view, container, log.as_ref(), finding).1
}

fn hangs(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Option<Finding> {
    let started = container.running_since()?;
    let settles = match revision::is_overdue(view, container.pod) {
        true => Settles::Never,
        false => view.settles(started, NORMAL),
    };
    if let Some((what, never)) = awaited::in_vain(view, needs, container) {
        let lasting = age::short(view.age(started));
        let summary = format!(
            "init container {} of {} has been running for {lasting} and holds up the pod: it waits for {}",
            container.name(),
            owner_name(view, container.pod),
            what.shown()
        );
        let finding = Finding::error(InitContainerStuck::WaitsFor, view.subject_of(container), summary)
            .evidence(container.source(), format!("running for {lasting}"));
        let finding = never.explain(view, container, finding);
        return Some(view.container_effects(container).into_iter().fold(finding, Finding::breaking));
    }
    holds_up(view, needs, container, view.age(started), settles.is_pending()).map(|finding| finding.settling(settles))
}

/// `is_early`: it has not run for longer than a start may take.
fn holds_up(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, since: Duration, is_early: bool) -> Option<Finding> {
    // Starting containers are not worth a log request; the command usually says what they wait for.
    let log = match is_early && !view.has_log(container, false) {
        true => None,
        false => needs.log(view, container, false),
    };
    let lines: Vec<&str> = log.iter().flat_map(|l| l.lines()).collect();
    let waits = is_waiting(container, &lines);
    if !waits && (is_early || since < WITH_PROGRESS && shows_progress(&lines)) {
        return None;
    }
    let owner = owner_name(view, container.pod);
    let lasting = age::short(since);
    let spec = container.spec;
    let command: Vec<&String> = spec.command.iter().chain(&spec.args).flatten().collect();
    let base = Finding::new(
        Code::InitContainerStuck,
        Severity::Error,
        Confidence::Likely,
        view.subject_of(container),
        "",
    );
    let (targets, _) = with_dependencies(view, container, log.as_ref(), base);
    if is_early && targets.is_empty() {
        return None;
    }
    let is_well = are_well(view, needs, container, log.as_ref());
    let at_fault = of_command(container, &lines, &called(container, log.as_ref()));
    let (cause, what) = match (&at_fault, targets.is_empty()) {
        (Some(fault), true) => (
            Some(InitContainerStuck::CommandFails),
            format!(": its command fails by itself, {}", fault.words),
        ),
        (Some(fault), false) if is_well => (
            Some(InitContainerStuck::CommandFails),
            format!(": {} is ready, the command itself fails: {}", targets.join(", "), fault.words),
        ),
        (Some(fault), false) => (
            Some(InitContainerStuck::WaitsFor),
            format!(
                ": it waits for {}, and its command fails by itself, {}",
                targets.join(", "),
                fault.words
            ),
        ),
        (None, true) => (None, String::new()),
        (None, false) if is_well => (
            Some(InitContainerStuck::WaitsFor),
            format!(": it waits for {}, whose pods are ready", targets.join(", ")),
        ),
        (None, false) => (Some(InitContainerStuck::WaitsFor), format!(": it waits for {}", targets.join(", "))),
    };
    let summary = format!(
        "init container {} of {owner} has been running for {lasting} and holds up the pod{what}",
        container.name()
    );
    let mut finding = Finding::new(
        cause,
        Severity::Error,
        if waits { Confidence::Likely } else { Confidence::Possible },
        view.subject_of(container),
        summary,
    )
    .evidence(container.source(), format!("running for {lasting}"));
    if !command.is_empty() {
        finding = finding.evidence("command", shorten(&redact_args(command), 200));
    }
    // A usage text says nothing of what it was printed for; the words before it do.
    let telling = at_fault.as_ref().map(|fault| fault.line);
    let telling = telling.or_else(|| lines.iter().rev().copied().find(|line| !is_usage(line)));
    if let (Some(log), Some(line)) = (log, telling) {
        finding = finding.evidence(log.source(), shorten(&redact(line), 200));
    }
    if let Some(fault) = at_fault.filter(|_| cause == Some(InitContainerStuck::CommandFails)) {
        let finding = finding
            .fix_command(fault.fix, edit_command(view, container.pod))
            .fix_command("see its log", logs_command(container, false));
        let mut finding = with_dependencies(view, container, log.as_ref(), finding).1;
        // What it asks for has no part in it.
        finding.suffers.clear();
        return Some(finding);
    }
    let fix = if targets.is_empty() {
        "find out what it does; an init container must end".to_owned()
    } else if is_well {
        format!(
            "see what its log says; {} has ready pods: check port, path and the command",
            targets.join(" and ")
        )
    } else {
        format!("make {} answer, or correct its name and port in the command", targets.join(" and "))
    };
    let finding = finding
        .fix_command(fix, logs_command(container, false))
        .fix_command("see its command in the pod template", edit_command(view, container.pod));
    Some(with_dependencies(view, container, log.as_ref(), finding).1)
}

/// What a command does wrong by itself.
struct AtFault<'a> {
    words: String,
    fix: String,
    line: &'a str,
}

/// What the command of a container does wrong, whatever stands behind the hosts that it calls.
fn of_command<'a>(container: &ContainerView<'_>, lines: &[&'a str], called: &[(String, Option<u16>)]) -> Option<AtFault<'a>> {
    if let Some(refusal) = command::refusal(lines) {
        return Some(AtFault {
            words: refusal.words(),
            fix: refusal.fix(&command_line(container)),
            line: refusal.line,
        });
    }
    let namespace = container.pod.namespace().unwrap_or_default();
    called.iter().find_map(|(host, _)| {
        let (full, line) = command::half_resolved(lines, &namespace, host)?;
        Some(AtFault {
            words: format!("{host} resolves as {full}, and nslookup of this image fails for the other search domains"),
            fix: format!("look it up by its full name: nslookup {full}"),
            line,
        })
    })
}

/// Whether all that a container calls is a Service with ready pods on that port, which no policy keeps from it.
fn are_well(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, log: Option<&LogView<'_>>) -> bool {
    let namespace = container.pod.namespace().unwrap_or_default();
    let called = called(container, log);
    let is_well = |(host, port): &(String, Option<u16>)| {
        let mut labels = host.split('.');
        let name = labels.next().unwrap_or_default();
        let of = labels.next().unwrap_or(&namespace);
        view.service(of, name).is_some_and(|service| {
            endpoints::by_pods(view, service).is_ready()
                && !ports::wrong_port(view, service, *port)
                && crate::facts::policy::denies(view, needs, container.pod, service, *port).is_none()
        })
    };
    !called.is_empty() && called.iter().all(is_well)
}

/// Whether the container is there to wait for something else.
fn is_waiting(container: &ContainerView<'_>, lines: &[&str]) -> bool {
    let spec = container.spec;
    let command: String = spec
        .command
        .iter()
        .chain(&spec.args)
        .flatten()
        .map(|s| s.to_lowercase() + " ")
        .collect();
    let in_command = ["until ", "while ", "wait", "sleep", "pg_isready", "nslookup", "dockerize"]
        .iter()
        .any(|w| command.contains(w));
    let in_name = ["wait", "check", "ready", "depend"].iter().any(|w| spec.name.contains(w));
    let in_log = lines.last().is_some_and(|l| {
        ["waiting", "not ready", "retry", "refused", "unreachable", "timed out"]
            .iter()
            .any(|w| l.to_lowercase().contains(w))
    });
    in_command || in_name || in_log
}

/// Whether the last lines of the log differ from each other by more than a number.
fn shows_progress(lines: &[&str]) -> bool {
    let tail = &lines[lines.len().saturating_sub(10)..];
    let plain = |line: &&str| line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let mut distinct: Vec<String> = tail.iter().map(plain).collect();
    distinct.sort();
    distinct.dedup();
    distinct.len() >= 3
}

/// What the container waits for or fails on, as `host:port`; the finding gives way to those Services' own causes.
fn with_dependencies(
    view: &View<'_>,
    container: &ContainerView<'_>,
    log: Option<&LogView<'_>>,
    mut finding: Finding,
) -> (Vec<String>, Finding) {
    let namespace = container.pod.namespace().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for (host, port) in called(container, log) {
        let mut labels = host.split('.');
        let service = labels.next().unwrap_or_default();
        let of = labels.next().unwrap_or(&namespace);
        let object = ObjectRef::new(&kind::SERVICE, of, service);
        let known = view.service(of, service).is_some();
        // A name with dots that is no Service here is a host outside the cluster.
        if !host.contains('.') || known || host.contains(".svc") {
            finding = finding.suffering(Effect::Service(of.to_owned(), service.to_owned()));
            if !finding.related.iter().any(|r| r.object == object) {
                finding = finding.related("waits-for", object);
            }
        }
        let name = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        // `db` of the log is `db:5432` of the command.
        if !names.iter().any(|n| n == &name || n.starts_with(&format!("{name}:"))) {
            names.push(name);
        }
    }
    let finding = view.container_effects(container).into_iter().fold(finding, Finding::breaking);
    names.truncate(3);
    (names, finding)
}

/// The hosts that the command and the last lines of the log name, with their ports. A usage text names none.
fn called(container: &ContainerView<'_>, log: Option<&LogView<'_>>) -> Vec<(String, Option<u16>)> {
    let variables = container.spec.env.iter().flatten();
    let environment: Vec<(String, String)> = variables.filter_map(|e| Some((e.name.clone(), e.value.clone()?))).collect();
    let last = log.iter().flat_map(|l| l.lines().rev().take(5)).filter(|line| !is_usage(line));
    let by_log = last.flat_map(names::in_line).filter(|m| m.is_certain && m.port.is_some());
    let mut found = Vec::new();
    for mention in names::in_command(&command_line(container), &environment).into_iter().chain(by_log) {
        let host = (mention.host.clone(), mention.port);
        if mention.ip().is_none() && mention.host != "localhost" && !found.contains(&host) {
            found.push(host);
        }
    }
    found
}

/// Command and arguments as one line.
fn command_line(container: &ContainerView<'_>) -> String {
    let words = container.spec.command.iter().chain(&container.spec.args).flatten();
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_snapshot, snapshot};

    const WAITING: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: a, creationTimestamp: "2026-01-01T11:50:00Z"}
spec:
  initContainers: [{name: wait-db, image: i, command: [sh, -c, "until nc -z $DB 5432; do sleep 2; done"], env: [{name: DB, value: db}]}]
  containers: [{name: c, image: i}]
status:
  phase: Pending
  initContainerStatuses: [{name: wait-db, image: i, imageID: "", ready: false, restartCount: 0, state: {running: {startedAt: "STARTED"}}}]
  containerStatuses: [{name: c, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: PodInitializing}}}]
"#;

    #[test]
    fn a_wait_names_its_dependency() {
        let found = check(crate::rules::init::check, &WAITING.replace("STARTED", "2026-01-01T11:55:00Z"));
        assert_eq!((found[0].code, found[0].cause.as_str()), (Code::InitContainerStuck, "waits-for"));
        assert!(found[0].summary.contains("waits for db:5432"), "{}", found[0].summary);
        assert!(found[0].suffers.contains(&Effect::Service("shop".into(), "db".into())));
    }

    const GOOD: &str = r#"
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {app: db}, ports: [{port: 5432}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;

    fn stuck(log: &str, more: &str) -> Finding {
        let mut s = snapshot(&(WAITING.replace("STARTED", "2026-01-01T11:55:00Z") + more));
        let key = crate::model::snapshot::LogKey {
            namespace: "shop".into(),
            pod: "a".into(),
            container: "wait-db".into(),
            previous: false,
        };
        s.put_log(key, Some(log.into()));
        check_snapshot(crate::rules::init::check, &s).remove(0)
    }

    #[test]
    fn a_command_that_fails_by_itself_blames_no_healthy_service() {
        let usage =
            "nc: invalid option -- 'z'\nBusyBox v1.35.0 multi-call binary.\n\nUsage: nc [-wN]\n\n\t-e PROG\tRun PROG after connect\n";
        let found = stuck(usage, GOOD);
        assert_eq!(found.cause.as_str(), "command-fails");
        assert!(
            found
                .summary
                .contains("db:5432 is ready, the command itself fails: nc does not take its arguments"),
            "{}",
            found.summary
        );
        assert!(found.suffers.is_empty(), "{:?}", found.suffers);
        assert_eq!(found.evidence.last().unwrap().detail, "nc: invalid option -- 'z'");
        assert!(found.fixes[0].text.contains("nc -w 2 HOST PORT"), "{}", found.fixes[0].text);
        assert_eq!(found.fixes[0].command.as_deref(), Some("kubectl get pod/a -o yaml -n shop"));
        // Where the Service is not there, that comes first, and both are said.
        let found = stuck(usage, "");
        assert_eq!(found.cause.as_str(), "waits-for");
        assert!(
            found
                .summary
                .contains("it waits for db:5432, and its command fails by itself, nc does"),
            "{}",
            found.summary
        );
        assert!(found.suffers.contains(&Effect::Service("shop".into(), "db".into())));
    }

    #[test]
    fn a_ready_target_is_reported_ready() {
        let found = stuck("waiting\n", GOOD);
        assert_eq!(found.cause.as_str(), "waits-for");
        assert!(
            found.summary.ends_with("it waits for db:5432, whose pods are ready"),
            "{}",
            found.summary
        );
        assert!(!found.fixes[0].text.contains("make db:5432 answer"), "{}", found.fixes[0].text);
    }

    #[test]
    fn a_normal_start_is_silent() {
        let found = check(crate::rules::init::check, &WAITING.replace("STARTED", "2026-01-01T11:59:58Z"));
        assert!(
            found
                .iter()
                .all(|f| f.severity == Severity::Symptom && f.confidence == Confidence::Possible)
        );
        assert!(crate::diagnosis::causes::link(found).is_empty());
        let works = WAITING
            .replace("wait-db", "migrate")
            .replace("until nc -z $DB 5432; do sleep 2; done", "migrate");
        assert!(check(crate::rules::init::check, &works.replace("STARTED", "2026-01-01T11:59:30Z")).is_empty());
    }

    #[test]
    fn a_wait_for_a_broken_dependency_is_linked_at_once() {
        let placed = WAITING.replace("  initContainers:", "  nodeName: node-1\n  initContainers:");
        let broken = placed.replace("STARTED", "2026-01-01T11:59:58Z")
            + r#"---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}, creationTimestamp: "2026-01-01T11:59:50Z"}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
status:
  phase: Running
  containerStatuses: [{name: c, image: i, imageID: "", ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: "2026-01-01T11:59:55Z"}}}]
"#;
        let diagnosis = crate::diagnosis::assess::assess(&snapshot(&broken), &Default::default());
        let roots: Vec<(Code, &str)> = diagnosis.root_causes.iter().map(|f| (f.code, &*f.subject.object.name)).collect();
        assert_eq!(roots, [(Code::ContainerCrashing, "db")]);
        let waits = diagnosis.symptoms.iter().find(|f| f.code == Code::InitContainerStuck);
        assert!(waits.is_some_and(|f| f.subject.object.name == "a"), "{:#?}", diagnosis.symptoms);
    }

    #[test]
    fn a_failing_one_quotes_its_log() {
        let failing = WAITING.replace(
            "{running: {startedAt: \"STARTED\"}}",
            "{waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, finishedAt: \"2026-01-01T11:59:00Z\"}}",
        );
        let mut s = snapshot(&failing.replace(
            "restartCount: 0, state: {waiting: {reason: CrashLoop",
            "restartCount: 3, state: {waiting: {reason: CrashLoop",
        ));
        let key = crate::model::snapshot::LogKey {
            namespace: "shop".into(),
            pod: "a".into(),
            container: "wait-db".into(),
            previous: true,
        };
        s.put_log(key, Some("ERROR: relation \"users\" does not exist\n".into()));
        let found = check_snapshot(crate::rules::init::check, &s);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, Code::InitContainerFailing);
        assert!(found[0].summary.contains("relation \"users\""), "{}", found[0].summary);
    }
}
