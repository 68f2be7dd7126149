//! Init containers that fail, and those that never end.

mod command;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;

use super::container::ending::{Ending, counts, edit_command, for_each_pod, groups, logs_command, owner_name};
use super::container::explain::explaining_line;
use super::context::{ContainerView, LogView, Role, containers};
use super::dependency::callers::wrong_port;
use super::dependency::failure::is_usage;
use super::ports::{self, State};
use super::{Context, revision};
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity};
use crate::model::kind;
use crate::model::text::{redact, redact_args, shorten};

/// A start takes this long without anything being wrong.
const NORMAL: Duration = Duration::from_secs(60);
/// Work that shows progress in its log (a migration, a download) is given this long.
const WITH_PROGRESS: Duration = Duration::from_secs(600);

/// Init containers that fail or hang; sidecars are judged with the other containers.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let failing = groups(context, |c| c.role == Role::Init);
    let mut findings: Vec<Finding> = failing
        .iter()
        .filter(|group| group.first().is_some_and(|e| e.end.reason.as_deref() != Some("OOMKilled")))
        .flat_map(|group| {
            let finding = group.first().map(|ending| fails(context, ending));
            finding.iter().flat_map(|f| for_each_pod(f, group)).collect::<Vec<_>>()
        })
        .collect();
    let mut hung: BTreeMap<(ObjectRef, &str), Finding> = BTreeMap::new();
    for workload in context.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(context, pod)) {
            let running = |c: &ContainerView<'_>| c.role == Role::Init && c.is_running() && c.restarts() == 0;
            for container in containers(pod).into_iter().filter(running) {
                // Later pods of the same fault take the words of the first, whose log was read.
                let key = (workload.reference.clone(), container.spec.name.as_str());
                if let Some(first) = hung.get(&key) {
                    let mut of_pod = first.clone();
                    of_pod.subject.pods = vec![pod.name_any()];
                    findings.push(of_pod);
                } else if let Some(finding) = hangs(context, &container) {
                    findings.push(finding.clone());
                    hung.insert(key, finding);
                }
            }
        }
    }
    findings
}

fn fails(context: &Context<'_>, ending: &Ending<'_>) -> Finding {
    let container = &ending.container;
    let log = context.end_log(container);
    let lines: Vec<&str> = log.iter().flat_map(|l| l.lines()).collect();
    let message = ending.end.message.as_deref().filter(|m| !m.trim().is_empty());
    let explained = match message {
        // The runtime's own word on a program that could not be started.
        Some(message) if ending.end.exit_code == 128 => Some(("status", super::container::tail_of(message), true)),
        _ => explaining_line(&lines)
            .map(|(line, strong)| (log.map_or("log", |l| l.source()), shorten(&redact(&line), 200), strong))
            .or_else(|| message.map(|m| ("termination message", shorten(&redact(m), 200), true))),
    };
    let reason = match &explained {
        Some((_, line, true)) => format!(", {line}"),
        _ => String::new(),
    };
    let summary = format!(
        "init container {} of {} fails, so the pod cannot start: exit code {}{reason}",
        container.name(),
        owner_name(context, container.pod),
        ending.end.exit_code
    );
    let mut finding = Finding::error(Code::InitContainerFailing, "", context.subject_of(container), summary)
        .evidence(container.source(), ending.describe(context));
    if let Some((source, line, _)) = &explained {
        finding = finding.evidence(source, line);
    }
    let previous = container.terminated().is_none() && container.restarts() > 0;
    let finding = finding.fix_command(
        "the pod goes on only when this container ends with 0: correct what its log names",
        logs_command(container, previous),
    );
    with_dependencies(context, container, log.as_ref(), finding).1
}

fn hangs(context: &Context<'_>, container: &ContainerView<'_>) -> Option<Finding> {
    let since = context.age(container.running_since()?);
    let is_early = since < NORMAL && !revision::is_overdue(context, container.pod);
    let finding = holds_up(context, container, since, is_early)?;
    // A short wait is no fault of its own: it is told where what it waits for is known to be broken, and to nobody else.
    Some(if is_early {
        finding.severity(Severity::Symptom).confidence(Confidence::Possible)
    } else {
        finding
    })
}

/// `is_early`: it has not run for longer than a start may take.
fn holds_up(context: &Context<'_>, container: &ContainerView<'_>, since: Duration, is_early: bool) -> Option<Finding> {
    // Of all that merely start no log is worth a request; what it waits for is told by its command, as a rule.
    let log = match is_early && !context.has_log(container, false) {
        true => None,
        false => context.log(container, false),
    };
    let lines: Vec<&str> = log.iter().flat_map(|l| l.lines()).collect();
    let waits = is_waiting(container, &lines);
    if !waits && (is_early || since < WITH_PROGRESS && shows_progress(&lines)) {
        return None;
    }
    let owner = owner_name(context, container.pod);
    let lasting = age::short(since);
    let spec = container.spec;
    let command: Vec<&String> = spec.command.iter().chain(&spec.args).flatten().collect();
    let base = Finding::new(
        Code::InitContainerStuck,
        "",
        Severity::Error,
        Confidence::Likely,
        context.subject_of(container),
        "",
    );
    let (targets, _) = with_dependencies(context, container, log.as_ref(), base);
    if is_early && targets.is_empty() {
        return None;
    }
    let is_well = are_well(context, container, log.as_ref());
    let at_fault = of_command(container, &lines, &called(container, log.as_ref()));
    let (cause, what) = match (&at_fault, targets.is_empty()) {
        (Some(fault), true) => ("command-fails", format!(": its command fails by itself, {}", fault.words)),
        (Some(fault), false) if is_well => (
            "command-fails",
            format!(": {} is ready, the command itself fails: {}", targets.join(", "), fault.words),
        ),
        (Some(fault), false) => (
            "waits-for",
            format!(
                ": it waits for {}, and its command fails by itself, {}",
                targets.join(", "),
                fault.words
            ),
        ),
        (None, true) => ("", String::new()),
        (None, false) if is_well => ("waits-for", format!(": it waits for {}, whose pods are ready", targets.join(", "))),
        (None, false) => ("waits-for", format!(": it waits for {}", targets.join(", "))),
    };
    let summary = format!(
        "init container {} of {owner} has been running for {lasting} and holds up the pod{what}",
        container.name()
    );
    let mut finding = Finding::new(
        Code::InitContainerStuck,
        cause,
        Severity::Error,
        if waits { Confidence::Likely } else { Confidence::Possible },
        context.subject_of(container),
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
    if let Some(fault) = at_fault.filter(|_| cause == "command-fails") {
        let finding = finding
            .fix_command(fault.fix, edit_command(context, container.pod))
            .fix_command("what it says stands in its log", logs_command(container, false));
        let mut finding = with_dependencies(context, container, log.as_ref(), finding).1;
        // What it asks for has no part in it.
        finding.suffers.clear();
        return Some(finding);
    }
    let fix = if targets.is_empty() {
        "find out what it does; an init container must come to an end".to_owned()
    } else if is_well {
        format!(
            "see what its log says; {} has ready pods: check port, path and the command",
            targets.join(" and ")
        )
    } else {
        format!("make {} answer, or correct its name and port in the command", targets.join(" and "))
    };
    let finding = finding.fix_command(fix, logs_command(container, false)).fix_command(
        "what it was told to do stands in the pod template",
        edit_command(context, container.pod),
    );
    Some(with_dependencies(context, container, log.as_ref(), finding).1)
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
            fix: refusal.fix(&expanded_command(container)),
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
fn are_well(context: &Context<'_>, container: &ContainerView<'_>, log: Option<&LogView<'_>>) -> bool {
    let namespace = container.pod.namespace().unwrap_or_default();
    let called = called(container, log);
    let is_well = |(host, port): &(String, Option<u16>)| {
        let mut labels = host.split('.');
        let name = labels.next().unwrap_or_default();
        let of = labels.next().unwrap_or(&namespace);
        context.service(of, name).is_some_and(|service| {
            ports::state(context, service) == State::Ready
                && !wrong_port(context, service, *port)
                && super::network_policy::denies(context, container.pod, service, *port).is_none()
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
    context: &Context<'_>,
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
        let known = context.service(of, service).is_some();
        // A name with dots that is no Service here is a host outside of the cluster.
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
    let finding = context.container_effects(container).into_iter().fold(finding, Finding::breaking);
    names.truncate(3);
    (names, finding)
}

/// The hosts that the command and the last lines of the log name. A usage text names none.
fn called(container: &ContainerView<'_>, log: Option<&LogView<'_>>) -> Vec<(String, Option<u16>)> {
    let mut texts = vec![expanded_command(container)];
    let last = log.iter().flat_map(|l| l.lines().rev().take(5));
    texts.extend(last.filter(|line| !is_usage(line)).map(str::to_owned));
    texts.iter().flat_map(|text| targets(text)).collect()
}

/// Command and arguments with the container's plain variables put in, as the kubelet and a shell would.
fn expanded_command(container: &ContainerView<'_>) -> String {
    let spec = container.spec;
    let mut text = spec
        .command
        .iter()
        .chain(&spec.args)
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .join(" ");
    for (name, value) in spec.env.iter().flatten().filter_map(|e| Some((&e.name, e.value.as_ref()?))) {
        for form in [format!("$({name})"), format!("${{{name}}}"), format!("${name}")] {
            text = text.replace(&form, value);
        }
    }
    text
}

/// Words before a host that stands without a port behind it.
const BEFORE_HOST: &[&str] = &["nslookup", "getent", "ping", "dig", "host", "-h", "--host"];

/// Hosts with their ports that a command or log line names: `db:5432`, `nc -z db 5432`, `http://api/health`, `nslookup db`.
fn targets(text: &str) -> Vec<(String, Option<u16>)> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, ';' | '"' | '\'' | '`' | '(' | ')' | '|' | '&' | '<' | '>' | ','))
        .filter(|w| !w.is_empty())
        .collect();
    let mut found: Vec<(String, Option<u16>)> = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let next_port = words.get(i + 1).and_then(|w| w.parse().ok());
        let before = i.checked_sub(1).and_then(|i| words.get(i)).copied().unwrap_or_default();
        let after_nc = words[..i]
            .iter()
            .rev()
            .take(4)
            .any(|w| matches!(*w, "nc" | "ncat" | "netcat" | "telnet"));
        let target = if let Some((_, rest)) = word.split_once("://") {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let authority = authority.rsplit('@').next().unwrap_or_default();
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            is_host(host).then(|| (host.to_owned(), port.parse().ok()))
        } else if let Some((host, port)) = word.trim_start_matches("tcp:").rsplit_once(':') {
            let port = port.trim_end_matches('/').split('/').next().unwrap_or_default().parse().ok();
            (is_host(host) && port.is_some()).then(|| (host.to_owned(), port))
        } else if let Some(host) = word
            .strip_prefix("--host=")
            .or_else(|| BEFORE_HOST.contains(&before).then_some(*word))
        {
            let port = words
                .iter()
                .skip_while(|w| !matches!(**w, "-p" | "--port"))
                .nth(1)
                .and_then(|w| w.parse().ok());
            (is_host(host) && host != "hosts").then(|| (host.to_owned(), port))
        } else if before == "hosts" && words.get(i.wrapping_sub(2)) == Some(&"getent") {
            is_host(word).then(|| ((*word).to_owned(), None))
        } else if after_nc && next_port.is_some() {
            is_host(word).then(|| ((*word).to_owned(), next_port))
        } else {
            None
        };
        found.extend(target.filter(|t| !found.contains(t)));
    }
    found
}

/// Whether a word can be the name of a host: letters, digits, dots and dashes, not a number, not this pod itself.
fn is_host(word: &str) -> bool {
    let begins = word.starts_with(|c: char| c.is_ascii_alphabetic());
    begins && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) && word != "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{check, check_snapshot, snapshot};

    #[test]
    fn hosts_are_found_in_commands_and_logs() {
        for (text, wanted) in [
            (
                "sh -c until nc -z db 5432; do echo waiting for db:5432; sleep 2; done",
                vec![("db", Some(5432))],
            ),
            ("until nc -w 2 -z db.prod.svc 5432", vec![("db.prod.svc", Some(5432))]),
            ("curl -sf http://user:pw@api:8080/health", vec![("api", Some(8080))]),
            (
                "until nslookup mydb.default.svc.cluster.local; do sleep 2",
                vec![("mydb.default.svc.cluster.local", None)],
            ),
            ("until getent hosts redis", vec![("redis", None)]),
            ("pg_isready -h pg -p 5432", vec![("pg", Some(5432))]),
            ("wait-for-it.sh rabbit:5672 -t 0", vec![("rabbit", Some(5672))]),
            ("12:00:01 starting", vec![]),
            ("sleep 1d", vec![]),
        ] {
            let found = targets(text);
            let found: Vec<(&str, Option<u16>)> = found.iter().map(|(h, p)| (h.as_str(), *p)).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

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
    fn a_wait_names_what_it_waits_for() {
        let found = check(super::check, &WAITING.replace("STARTED", "2026-01-01T11:55:00Z"));
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
        check_snapshot(super::check, &s).remove(0)
    }

    #[test]
    fn a_command_that_fails_by_itself_blames_no_service_that_is_well() {
        let usage =
            "nc: invalid option -- 'z'\nBusyBox v1.35.0 multi-call binary.\n\nUsage: nc [-wN]\n\n\t-e PROG\tRun PROG after connect\n";
        let found = stuck(usage, GOOD);
        assert_eq!(found.cause, "command-fails");
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
        assert_eq!(found.cause, "waits-for");
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
    fn what_is_awaited_and_ready_is_said_to_be_ready() {
        let found = stuck("waiting\n", GOOD);
        assert_eq!(found.cause, "waits-for");
        assert!(
            found.summary.ends_with("it waits for db:5432, whose pods are ready"),
            "{}",
            found.summary
        );
        assert!(!found.fixes[0].text.contains("make db:5432 answer"), "{}", found.fixes[0].text);
    }

    #[test]
    fn a_normal_start_is_silent() {
        let found = check(super::check, &WAITING.replace("STARTED", "2026-01-01T11:59:58Z"));
        assert!(
            found
                .iter()
                .all(|f| f.severity == Severity::Symptom && f.confidence == Confidence::Possible)
        );
        assert!(crate::rules::causes::link(found).is_empty());
        let works = WAITING
            .replace("wait-db", "migrate")
            .replace("until nc -z $DB 5432; do sleep 2; done", "migrate");
        assert!(check(super::check, &works.replace("STARTED", "2026-01-01T11:59:30Z")).is_empty());
    }

    #[test]
    fn a_wait_for_what_is_broken_is_linked_at_once() {
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
        let diagnosis = crate::rules::assess::assess(&snapshot(&broken), &Default::default());
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
        let found = check_snapshot(super::check, &s);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, Code::InitContainerFailing);
        assert!(found[0].summary.contains("relation \"users\""), "{}", found[0].summary);
    }
}
