//! What the kubelet's Unhealthy events say: which probe, and why it failed.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::runtime;
use crate::model::cause::{Cause, ProbeFailure};
use crate::model::code::Code;
use crate::text::Url;
use crate::view::{ContainerView, EventView, View};

/// The three probes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    /// Runs until it passes once; nothing else is probed before.
    Startup,
    /// Kills the container.
    Liveness,
    /// Takes the pod out of its Services.
    Readiness,
}

impl Which {
    /// `startup`, as in `startupProbe`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
        }
    }

    /// The probe of this kind that a container has.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// The code of its failures, with their cause where the kubelet tells it.
    pub fn failing(self, cause: Option<ProbeFailure>) -> Cause {
        match self {
            Self::Startup => cause.map_or(Code::StartupProbeFailing.into(), Cause::StartupProbeFailing),
            Self::Liveness => cause.map_or(Code::LivenessProbeFailing.into(), Cause::LivenessProbeFailing),
            Self::Readiness => cause.map_or(Code::ReadinessProbeFailing.into(), Cause::ReadinessProbeFailing),
        }
    }
}

/// Splits an event's text into the probe and what happened
/// (`Readiness probe failed: …`, `… probe errored: …`, `… probe errored and resulted in unknown state: …`; pkg/kubelet/prober).
pub fn parse(message: &str) -> Option<(Which, &str)> {
    // Texts that differ in a port or an id fold into one event after ten of them.
    let message = message.trim_start_matches("(combined from similar events): ");
    let (which, rest) = [Which::Startup, Which::Liveness, Which::Readiness].into_iter().find_map(|which| {
        let mut name = which.word().to_owned();
        name[..1].make_ascii_uppercase();
        message.strip_prefix(&format!("{name} probe ")).map(|rest| (which, rest))
    })?;
    ["failed:", "errored and resulted in unknown state:", "errored:"]
        .into_iter()
        .find_map(|verb| rest.strip_prefix(verb))
        .map(|text| (which, text.trim()))
}

/// Says nothing about the application: the container was gone while its probe ran.
pub fn is_noise(text: &str) -> bool {
    text.contains("no running task found") || text.contains("container is not running") || text.contains("not found: not found")
}

/// Why a probe failed; none where the text does not tell.
pub fn cause(text: &str, probe: &Probe, container: &Container) -> Option<ProbeFailure> {
    let has = |needle: &str| text.contains(needle);
    if probe.grpc.is_some() {
        return Some(ProbeFailure::Grpc);
    }
    if probe.exec.is_some() {
        // What the command itself prints is no word of the runtime.
        let is_refused = has("unable to start container process") || has("failed to exec") || has("OCI runtime exec failed");
        let missing = has("executable file not found") || is_refused && runtime::lacks_program(text);
        let forbidden = is_refused && runtime::may_not_execute(text);
        return Some(if missing || forbidden {
            ProbeFailure::ExecMissing
        } else if has("timed out after") || has("command timed out") || has("context deadline exceeded") {
            ProbeFailure::Timeout
        } else {
            ProbeFailure::ExecExit
        });
    }
    if has("strconv.Atoi") || has("invalid port number") || has("couldn't find port") {
        return Some(ProbeFailure::NamedPortMissing);
    }
    if let Some(status) = status_code(text) {
        // A TLS server answers plain HTTP with 400; the kubelet does not print the answer's text, but the port gives it away.
        return Some(if status == 400 && looks_like_tls(probe, container) {
            ProbeFailure::HttpSentToHttps
        } else {
            ProbeFailure::HttpStatus
        });
    }
    if is_redirected(text, probe, container) {
        return Some(ProbeFailure::Redirected);
    }
    Some(if has("server gave HTTP response to HTTPS client") {
        ProbeFailure::HttpsSentToHttp
    } else if has("malformed HTTP") {
        ProbeFailure::HttpSentToHttps
    } else if has("first record does not look like a TLS handshake") || has("tls:") || has("x509:") {
        ProbeFailure::Tls
    } else if has("dial tcp: lookup") || has("no such host") || has("server misbehaving") {
        ProbeFailure::Dns
    } else if has("connection refused") {
        ProbeFailure::Refused
    } else if has("connection reset") || has("EOF") || has("broken pipe") {
        ProbeFailure::Reset
    } else if has("deadline exceeded") || has("i/o timeout") || has("Client.Timeout") || has("no route to host") || has("unreachable") {
        ProbeFailure::Timeout
    } else {
        return None;
    })
}

/// The URL of `Get "http://10.0.0.1:8080/": …`: the last one, where the answers before were redirects.
pub fn asked_url(text: &str) -> Option<&str> {
    text.split_once("Get \"")?.1.split('"').next()
}

/// Whether the kubelet was sent from what the probe asks to another scheme or port, or round and round.
fn is_redirected(text: &str, probe: &Probe, container: &Container) -> bool {
    let (Some(get), Some(url)) = (&probe.http_get, asked_url(text).map(Url::parse)) else {
        return false;
    };
    let asks = get.scheme.as_deref().unwrap_or("HTTP");
    let scheme = url.scheme.unwrap_or_default();
    let port = url.host.rsplit_once(':').and_then(|(_, port)| port.parse::<i32>().ok());
    let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    let wanted = match &get.port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let declared = container.ports.iter().flatten().find(|p| p.name.as_ref() == Some(name));
            declared.map(|p| p.container_port)
        }
    };
    let is_elsewhere = !scheme.eq_ignore_ascii_case(asks) || wanted.is_some_and(|wanted| wanted != port);
    is_elsewhere || text.contains("stopped after 10 redirects")
}

/// The status of `HTTP probe failed with statuscode: 503`.
pub fn status_code(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("statuscode: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Whether a server's log says that it was sent plain HTTP on a port that speaks TLS (Go; nginx).
pub fn speaks_tls(log: &str) -> bool {
    log.contains("client sent an HTTP request to an HTTPS server") || log.contains("client sent plain HTTP request to HTTPS port")
}

fn looks_like_tls(probe: &Probe, container: &Container) -> bool {
    let Some(get) = &probe.http_get else { return false };
    let number = match &get.port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => return name.contains("https") || name.contains("tls"),
    };
    let named = container
        .ports
        .iter()
        .flatten()
        .any(|port| port.container_port == number && port.name.as_deref().is_some_and(|n| n.contains("https") || n.contains("tls")));
    named || matches!(number, 443 | 8443 | 6443 | 9443 | 4443)
}

/// What a probe asks, for people: `GET /healthz on port 8080`, `a TCP connection to port 5432`.
pub fn describe(probe: &Probe) -> String {
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => format!("\"{name}\""),
    };
    if let Some(get) = &probe.http_get {
        let scheme = if get.scheme.as_deref() == Some("HTTPS") { "HTTPS " } else { "" };
        let host = get
            .host
            .as_deref()
            .filter(|h| !h.is_empty())
            .map(|h| format!(" of {h}"))
            .unwrap_or_default();
        format!(
            "{scheme}GET {} on port {}{host}",
            crate::text::redact_path(get.path.as_deref().unwrap_or("/")),
            port(&get.port)
        )
    } else if let Some(tcp) = &probe.tcp_socket {
        format!("a TCP connection to port {}", port(&tcp.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("the gRPC health check on port {}", grpc.port)
    } else if let Some(exec) = &probe.exec {
        let command = crate::text::redact_args(exec.command.iter().flatten());
        format!("the command `{}`", crate::text::shorten(&command, 80))
    } else {
        "its check".to_owned()
    }
}

/// The port a probe asks, as it is written in the spec.
pub fn port(probe: &Probe) -> Option<String> {
    let of = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    probe
        .http_get
        .as_ref()
        .map(|get| of(&get.port))
        .or_else(|| probe.tcp_socket.as_ref().map(|tcp| of(&tcp.port)))
        .or_else(|| probe.grpc.as_ref().map(|grpc| grpc.port.to_string()))
}

/// Whether the container's start-up or liveness probe had it killed, as the kubelet's event says.
pub fn was_killed(view: &View<'_>, container: &ContainerView<'_>, which: Which) -> bool {
    kill_of(view, container, which).is_some()
}

/// The kubelet's newest event about a probe that had the container killed.
pub fn kill_of<'a>(view: &View<'a>, container: &ContainerView<'_>, which: Which) -> Option<EventView<'a>> {
    let words = format!("ontainer {} failed {} probe", container.name(), which.word());
    // A sidecar is an `Init container` to the kubelet.
    let is_it = |message: &str| {
        ["C", "Init c"]
            .iter()
            .any(|start| message.strip_prefix(start).is_some_and(|rest| rest.starts_with(&words)))
    };
    let mut events = view.pod_events(container.pod).into_iter();
    events.find(|event| event.reason() == "Killing" && is_it(event.message()))
}

/// The kubelet's events about failures of any probe of a container, newest first.
pub fn unhealthy<'a>(view: &View<'a>, container: &ContainerView<'_>) -> impl Iterator<Item = EventView<'a>> {
    let name = container.name().to_owned();
    let events = view.pod_events(container.pod).into_iter();
    events.filter(move |event| event.reason() == "Unhealthy" && event.container() == Some(&name))
}

/// The failures of every probe of a container, newest first: the probe, the event, and the kubelet's words without what was said while the
/// container was gone.
pub fn all_failures<'a>(view: &View<'a>, container: &ContainerView<'_>) -> impl Iterator<Item = (Which, EventView<'a>, &'a str)> {
    unhealthy(view, container)
        .filter_map(|event| parse(event.message()).map(|(which, text)| (which, event, text)))
        .filter(|(.., text)| !is_noise(text))
}

/// The failures of a probe, newest first.
pub fn failures<'a>(view: &View<'a>, container: &ContainerView<'_>, which: Which) -> impl Iterator<Item = (EventView<'a>, &'a str)> {
    all_failures(view, container)
        .filter(move |(of, ..)| *of == which)
        .map(|(_, event, text)| (event, text))
}

/// Since when a container runs. The kubelet's event comes a moment before the status that says the same.
pub fn running_since(view: &View<'_>, container: &ContainerView<'_>) -> Option<Timestamp> {
    let by_event = || {
        let is_new = container.restarts() == 0 && container.newest_end().is_none();
        let mut events = view.pod_events(container.pod).into_iter().filter(|_| is_new);
        events
            .find(|event| event.reason() == "Started" && event.container() == Some(container.name()))?
            .last_seen
    };
    container.running_since().or_else(by_event)
}

/// The failures of a probe in the current run of the container.
pub fn failures_now<'a>(view: &View<'a>, container: &ContainerView<'_>, which: Which) -> impl Iterator<Item = (EventView<'a>, &'a str)> {
    let since = running_since(view, container);
    // Times of the kubelet's events and of its statuses are cut to whole seconds alike.
    failures(view, container, which).filter(move |(event, _)| since.is_some_and(|since| event.last_seen.is_some_and(|seen| seen >= since)))
}

/// The last answer to a failing probe of the current instance, in few words that do not change from one failure to the next; none where
/// nothing tells.
pub fn last_word(view: &View<'_>, container: &ContainerView<'_>, which: Which) -> Option<String> {
    let probe = which.of(container.spec)?;
    let (_, text) = failures_now(view, container, which).next()?;
    Some(match (cause(text, probe, container.spec), status_code(text)) {
        (_, Some(status)) => format!("status {status}"),
        (Some(ProbeFailure::Refused), _) => "connection refused".to_owned(),
        (Some(ProbeFailure::Timeout), _) => "no answer in time".to_owned(),
        (Some(ProbeFailure::Reset), _) => "connection reset".to_owned(),
        (Some(ProbeFailure::Dns), _) => "its host does not resolve".to_owned(),
        (Some(ProbeFailure::ExecExit), _) => "its command fails".to_owned(),
        (Some(ProbeFailure::ExecMissing), _) => "its command does not exist".to_owned(),
        (Some(ProbeFailure::NamedPortMissing), _) => "no port has the name that it uses".to_owned(),
        (Some(ProbeFailure::HttpsSentToHttp), _) => "it uses TLS, and the server does not".to_owned(),
        (Some(ProbeFailure::HttpSentToHttps), _) => "the server uses TLS, and it does not".to_owned(),
        (Some(ProbeFailure::Tls), _) => "TLS fails".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(yaml: &str) -> Container {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn every_text_of_the_kubelet_has_its_cause() {
        let http = "{httpGet: {path: /, port: 8080}}";
        let https = "{httpGet: {path: /, port: 8080, scheme: HTTPS}}";
        let named = "{httpGet: {path: /, port: web}}";
        let tls = "{httpGet: {path: /, port: 8443}}";
        let exec = "{exec: {command: [x]}}";
        let grpc = "{grpc: {port: 9000}}";
        for (probe, text, expected) in [
            (
                http,
                r#"Get "http://10.244.0.3:8080/": dial tcp 10.244.0.3:8080: connect: connection refused"#,
                "refused",
            ),
            (
                http,
                r#"Get "http://10.244.0.5:8080/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"#,
                "timeout",
            ),
            (http, "dial tcp 10.244.0.5:8085: i/o timeout", "timeout"),
            (http, "HTTP probe failed with statuscode: 404", "http-status"),
            (http, "HTTP probe failed with statuscode: 400", "http-status"),
            (tls, "HTTP probe failed with statuscode: 400", "http-sent-to-https"),
            (
                https,
                r#"Get "https://10.244.0.5:8080/": http: server gave HTTP response to HTTPS client"#,
                "https-sent-to-http",
            ),
            (
                http,
                r#"Get "http://10.0.0.1:8080/": net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01\x00\x02\x02""#,
                "http-sent-to-https",
            ),
            (
                https,
                r#"Get "https://10.0.0.1:8080/": remote error: tls: handshake failure"#,
                "tls",
            ),
            (
                http,
                r#"Get "http://nope.example.invalid:8080/": dial tcp: lookup nope.example.invalid on 10.96.0.10:53: no such host"#,
                "dns",
            ),
            (http, r#"Get "http://10.244.0.5:8080/": EOF"#, "reset"),
            (
                http,
                r#"Get "http://10.244.0.5:8080/": read tcp 10.244.0.1:40000->10.244.0.5:8083: read: connection reset by peer"#,
                "reset",
            ),
            (
                http,
                r#"Get "https://10.244.0.5/": dial tcp 10.244.0.5:443: connect: connection refused"#,
                "redirected",
            ),
            (http, r#"Get "http://10.244.0.5:8080/": stopped after 10 redirects"#, "redirected"),
            (named, r#"strconv.Atoi: parsing "web": invalid syntax"#, "named-port-missing"),
            (exec, "", "exec-exit"),
            (exec, "cat: can't open '/tmp/healthy': No such file or directory", "exec-exit"),
            (exec, r#"command timed out: "sleep 10" timed out after 1s"#, "timeout"),
            (
                exec,
                r#"rpc error: code = Unknown desc = failed to exec in container: failed to start exec "97aa": OCI runtime exec failed: exec failed: unable to start container process: exec: "curl": executable file not found in $PATH: unknown"#,
                "exec-missing",
            ),
            (
                grpc,
                r#"timeout: failed to connect service "10.244.0.4:9000" within 1s: context deadline exceeded"#,
                "grpc",
            ),
            (grpc, r#"service unhealthy (responded with "NOT_SERVING")"#, "grpc"),
        ] {
            let c = container(&format!("{{name: c, readinessProbe: {probe}}}"));
            let cause = cause(text, c.readiness_probe.as_ref().unwrap(), &c);
            assert_eq!(cause.map(ProbeFailure::as_str), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_probe_is_named_by_the_text() {
        assert_eq!(parse("Liveness probe failed: x"), Some((Which::Liveness, "x")));
        assert_eq!(
            parse("Readiness probe errored and resulted in unknown state: x"),
            Some((Which::Readiness, "x"))
        );
        assert_eq!(parse("Startup probe failed: "), Some((Which::Startup, "")));
        assert_eq!(
            parse("(combined from similar events): Readiness probe failed: x"),
            Some((Which::Readiness, "x"))
        );
        assert_eq!(parse("Back-off restarting"), None);
    }
}
