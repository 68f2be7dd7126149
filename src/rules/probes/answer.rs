//! Why a probe fails that is answered, or refused where it did not ask: its request, its headers and its host, joined with the kubelet's words,
//! the container's log and what listens.

use k8s_openapi::api::core::v1::{HTTPGetAction, Probe};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::facts::calls::names;
use crate::facts::ending::{edit_command, patch_command};
use crate::facts::listening::hints;
use crate::facts::listening::hints::Hint;
use crate::facts::probe::{Which, asked_url, status_code};
use crate::model::bind::Bind;
use crate::model::cause::ProbeFailure;
use crate::model::finding::Finding;
use crate::rules::probes::Failing;
use crate::text::{Command, Words, redact, shorten};
use crate::view::ports::ingress_services;
use crate::view::{ContainerView, Needs, Role, View};

/// What is known beyond the kubelet's words.
pub struct Explained {
    /// What goes on, to stand behind what the probe asks.
    pub what: String,
    /// What shows it.
    evidence: Vec<(String, String)>,
    fix: String,
    command: Command,
}

impl Explained {
    /// Adds the evidence and the fix.
    pub fn add_to(self, finding: Finding) -> Finding {
        let all = self.evidence.into_iter();
        let finding = all.fold(finding, |finding, (source, detail)| finding.evidence(source, detail));
        finding.fix_command(self.fix, self.command)
    }
}

/// What explains the failure of a probe; none where the kubelet's words say all there is.
pub fn explain(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>) -> Option<Explained> {
    let probe = failing.which.of(failing.container.spec)?;
    let get = probe.http_get.as_ref();
    match failing.cause? {
        ProbeFailure::Redirected => redirected(view, failing, get?),
        ProbeFailure::HttpStatus => match status_code(&failing.text)? {
            400 | 403 | 421 if !has_header(get?, "Host") => {
                unknown_host(view, needs, failing).or_else(|| without_credentials(view, failing, get?))
            }
            401 | 403 => without_credentials(view, failing, get?),
            _ => None,
        },
        ProbeFailure::Refused => another_host(view, failing, probe),
        ProbeFailure::ExecExit => another_address(view, failing, probe),
        _ => None,
    }
}

fn has_header(get: &HTTPGetAction, name: &str) -> bool {
    get.http_headers.iter().flatten().any(|h| h.name.eq_ignore_ascii_case(name))
}

/// The application redirected the kubelet, and where that leads nobody answers as the probe expects.
fn redirected(view: &View<'_>, failing: &Failing<'_>, get: &HTTPGetAction) -> Option<Explained> {
    let word = failing.which.word();
    let target = asked_url(&failing.text)?;
    let what = format!("is redirected by the application to {}, and fails there", redact(target));
    let plain = get.scheme.as_deref() != Some("HTTPS") && target.starts_with("https:");
    let (fix, command) = if plain && !has_header(get, "X-Forwarded-Proto") {
        (
            format!("let the {word} probe send the header X-Forwarded-Proto: https, or probe a path that is not redirected"),
            header_patch(view, &failing.container, "X-Forwarded-Proto", "https"),
        )
    } else {
        (
            format!("set {word}Probe.httpGet.path to a path that the application does not redirect"),
            None,
        )
    };
    Some(explained(view, failing, what, Vec::new(), fix, command))
}

fn explained(
    view: &View<'_>,
    failing: &Failing<'_>,
    what: String,
    evidence: Vec<(String, String)>,
    fix: String,
    command: Option<Command>,
) -> Explained {
    let command = command.unwrap_or_else(|| edit_command(view, failing.container.pod));
    Explained {
        what,
        evidence,
        fix,
        command,
    }
}

/// What servers write of a host that they do not know, beside the word `host`.
const REJECTED: Words = Words(
    "not allowed, allowed hosts, allowed_hosts, disallowed, invalid host, invalid http_host, unknown host, unrecognized host, blocked host, \
     untrusted, misdirected, no vhost, bad host, host header",
);

/// The application does not know the host that the kubelet asks for, which is the pod's address.
fn unknown_host(view: &View<'_>, needs: &mut Needs, failing: &Failing<'_>) -> Option<Explained> {
    let container = &failing.container;
    let address = container.pod.status.as_ref()?.pod_ip.as_deref()?;
    let rejects = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        lower.contains("host") && (REJECTED.occur_in(&lower) || line.contains(address))
    };
    // What runs may have been started a moment ago.
    let present = needs.log(view, container, false);
    let find = |log: crate::view::LogView<'_>| {
        let line = log.lines().rev().find(rejects)?.to_owned();
        Some((format!("{} of {}", log.source(), container.source()), line))
    };
    let seen = present.and_then(find);
    let (source, line) = match seen {
        None if container.restarts() > 0 => needs.log(view, container, true).and_then(find)?,
        seen => seen?,
    };
    let host = known_host(view, container);
    let named = host.as_deref().unwrap_or("with a host that it knows");
    Some(explained(
        view,
        failing,
        format!(
            "is answered with status {}: the application rejects the host {address}, which the kubelet sends",
            status_code(&failing.text)?
        ),
        vec![(source, shorten(&redact(&line), 200))],
        format!("let the probe send a header Host {named} (httpGet.httpHeaders), or let the application accept the pod's address"),
        host.as_deref().and_then(|host| header_patch(view, container, "Host", host)),
    ))
}

/// A host that the application is meant to be called by: of an Ingress that leads to it, of a variable that lists hosts, or the only one that
/// its command quotes.
fn known_host(view: &View<'_>, container: &ContainerView<'_>) -> Option<String> {
    let namespace = container.pod.namespace().unwrap_or_default();
    let services = view.services_selecting(&namespace, container.pod.labels());
    let leads_here = |name: &String| services.iter().any(|s| s.name_any() == *name);
    let mut ingresses = view.snapshot.objects.ingresses.iter();
    let by_ingress = ingresses
        .find(|i| i.namespace().as_deref() == Some(&namespace) && ingress_services(i).iter().any(leads_here))
        .and_then(|i| i.spec.as_ref()?.rules.iter().flatten().find_map(|rule| rule.host.clone()));
    let is_name = |text: &str| {
        let host = names::authority(text, true).filter(|m| m.ip().is_none() && m.port.is_none())?.host;
        let (_, top) = host.rsplit_once('.')?;
        (top.len() > 1 && top.chars().all(|c| c.is_ascii_alphabetic())).then_some(host)
    };
    let lists = container
        .spec
        .env
        .iter()
        .flatten()
        .filter(|e| e.name.to_ascii_uppercase().contains("HOSTS"));
    let by_variable = || {
        lists
            .filter_map(|e| e.value.as_deref())
            .flat_map(|v| v.split([',', ' ']))
            .find_map(is_name)
    };
    let by_command = || {
        let words = container.spec.command.iter().chain(&container.spec.args).flatten();
        let mut quoted: Vec<String> = words
            .flat_map(|word| word.split(['"', '\'']).skip(1).step_by(2))
            .filter_map(is_name)
            .collect();
        quoted.dedup();
        quoted.pop().filter(|_| quoted.is_empty())
    };
    by_ingress.or_else(by_variable).or_else(by_command)
}

/// The path of the probe wants to know who asks.
fn without_credentials(view: &View<'_>, failing: &Failing<'_>, get: &HTTPGetAction) -> Option<Explained> {
    let status = status_code(&failing.text).filter(|status| matches!(status, 401 | 403))?;
    let word = failing.which.word();
    let (what, fix) = if has_header(get, "Authorization") {
        (
            format!("is answered with status {status}: the application does not accept the Authorization header of the probe"),
            format!("correct the Authorization header in {word}Probe.httpGet.httpHeaders, or probe a path that needs none"),
        )
    } else {
        (
            format!("is answered with status {status}: the path needs credentials, and the probe sends none"),
            format!("set {word}Probe.httpGet.path to a path that the application answers without credentials"),
        )
    };
    Some(explained(view, failing, what, Vec::new(), fix, None))
}

/// The probe names a host of its own: the kubelet calls it from the node.
fn another_host(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> Option<Explained> {
    let by_get = probe.http_get.as_ref().map(|get| ("httpGet", get.host.as_deref()));
    let (kind, host) = by_get.or_else(|| probe.tcp_socket.as_ref().map(|tcp| ("tcpSocket", tcp.host.as_deref())))?;
    let host = host.filter(|host| !host.is_empty())?;
    let own = container_address(&failing.container);
    let on_host = failing.container.pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
    if own == Some(host) || on_host {
        return None;
    }
    let word = failing.which.word();
    Some(explained(
        view,
        failing,
        format!("is refused: the kubelet calls {host} from the node, not in the pod"),
        Vec::new(),
        format!("remove {word}Probe.{kind}.host: the kubelet then calls the pod's address"),
        None,
    ))
}

fn container_address<'a>(container: &ContainerView<'a>) -> Option<&'a str> {
    container.pod.status.as_ref()?.pod_ip.as_deref()
}

/// What clients print that were refused.
const REFUSED: Words = Words("refused, can't connect, couldn't connect, could not connect, failed to connect");

/// The command of the probe calls an address of the pod where the application, which listens on another one, does not answer.
fn another_address(view: &View<'_>, failing: &Failing<'_>, probe: &Probe) -> Option<Explained> {
    let container = &failing.container;
    let command = probe.exec.as_ref()?.command.as_deref().unwrap_or_default().join(" ");
    let lower = failing.text.to_ascii_lowercase();
    if !REFUSED.occur_in(&lower) {
        return None;
    }
    let says_v6 = lower.contains("::1");
    let says_v4 = lower.contains("127.0.0.1");
    let by_name = command.contains("localhost");
    // Clients try `::1` first, and some try nothing else; most do not say what they tried.
    let calls = match (says_v6, says_v4) {
        (true, false) => Bind::LoopbackV6,
        (false, true) => Bind::LoopbackV4,
        (false, false) if by_name || command.contains("::1") => Bind::LoopbackV6,
        (false, false) if command.contains("127.0.0.1") => Bind::LoopbackV4,
        _ => return None,
    };
    let misses = |hint: &&Hint| {
        let by_family = match calls {
            Bind::LoopbackV6 => matches!(hint.bind, Bind::AnyV4 | Bind::LoopbackV4),
            _ => hint.bind == Bind::LoopbackV6,
        };
        by_family || matches!(hint.bind, Bind::Address(ip) if Some(ip.to_string().as_str()) == container_address(container))
    };
    let hints = hints::of_container(view, container);
    // `--bind 0.0.0.0 8080` tells the address alone; then the container says the port.
    let own = hints::own_ports(container.spec);
    let called_port = |hint: &Hint| {
        let mut ports = hint.port.map_or_else(|| own.clone(), |port| vec![port]).into_iter();
        ports.find(|port| command.contains(&port.to_string()))
    };
    let named = |hint: &&Hint| called_port(hint).is_some();
    let listener = hints.iter().filter(named).find(misses)?;
    let port = called_port(listener)?;
    if hints
        .iter()
        .filter(named)
        .any(|hint| !misses(&hint) && hint.strength == listener.strength)
    {
        return None;
    }
    let right = match listener.bind {
        Bind::Address(ip) => ip.to_string(),
        Bind::LoopbackV6 => "[::1]".to_owned(),
        _ => "127.0.0.1".to_owned(),
    };
    let called = if by_name {
        format!("localhost as {calls}")
    } else {
        calls.to_string()
    };
    let wrong = if by_name { "localhost".to_owned() } else { calls.to_string() };
    let everywhere = if calls == Bind::LoopbackV6 { "[::]" } else { "0.0.0.0" };
    Some(explained(
        view,
        failing,
        format!("calls {called} and is refused: the application listens on {}:{port}", listener.bind),
        vec![(listener.place(), listener.detail.clone())],
        format!(
            "call {right} instead of {wrong} in the command of the {} probe, or let the application listen on {everywhere}",
            failing.which.word()
        ),
        None,
    ))
}

/// The command that gives every HTTP probe of a container that has no headers this one.
fn header_patch(view: &View<'_>, container: &ContainerView<'_>, name: &str, value: &str) -> Option<Command> {
    let mut fields = json!({"name": container.name()});
    let asked = |which: Which| Some((which, which.of(container.spec)?.http_get.as_ref()?));
    for (which, get) in [Which::Startup, Which::Liveness, Which::Readiness].into_iter().filter_map(asked) {
        if get.http_headers.as_ref().is_some_and(|headers| !headers.is_empty()) {
            return None;
        }
        let headers: Value = json!([{"name": name, "value": value}]);
        fields[format!("{}Probe", which.word())] = json!({"httpGet": {"httpHeaders": headers}});
    }
    (container.role == Role::App).then(|| patch_command(&view.workload_of(container.pod), &fields))?
}
