//! What gives a container more time to start, and the command that does it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use serde_json::{Value, json};

use crate::facts::ending::{edit_command, patch_command};
use crate::facts::probe::describe;
use crate::rules::probes::{Failing, Which};
use crate::text::{Command, redact, redact_path};
use crate::view::{ContainerView, Role, View};

/// What to change so that a probe that kills leaves a start at least this long, in words and as a command.
pub(crate) fn more_time(view: &View<'_>, failing: &Failing<'_>, wanted: Duration) -> (String, Command) {
    let container = &failing.container;
    let edit = || edit_command(view, container.pod);
    let Some(probe) = failing.which.of(container.spec) else {
        return (String::new(), edit());
    };
    let period = u64::try_from(probe.period_seconds.unwrap_or(10)).unwrap_or(10).max(1);
    let threshold = wanted.as_secs().div_ceil(period).max(1);
    let total = threshold * period;
    let (words, startup) = if failing.which == Which::Startup {
        (
            format!("raise failureThreshold of the start-up probe to {threshold} (every {period} s: {total} s)"),
            Some(json!({"failureThreshold": threshold})),
        )
    } else {
        (
            format!(
                "add a startupProbe with the same check ({}) with periodSeconds {period}, failureThreshold {threshold} ({total} s); the liveness \
                 probe then begins after it has passed",
                describe(probe)
            ),
            same(probe, period, threshold),
        )
    };
    let command = startup.and_then(|startup| patch(view, container, &startup));
    (words, command.unwrap_or_else(edit))
}

/// A start-up probe that asks what another one asks; none where it holds what is not shown.
fn same(probe: &Probe, period: u64, threshold: u64) -> Option<Value> {
    let asks = if let Some(get) = &probe.http_get {
        let path = get.path.as_deref().unwrap_or("/");
        let is_plain = get.http_headers.as_ref().is_none_or(Vec::is_empty) && redact_path(path) == path;
        ("httpGet", is_plain.then(|| json!(get))?)
    } else if let Some(tcp) = &probe.tcp_socket {
        ("tcpSocket", json!(tcp))
    } else if let Some(grpc) = &probe.grpc {
        ("grpc", json!(grpc))
    } else {
        let exec = probe.exec.as_ref()?;
        let words = exec.command.as_deref().unwrap_or_default().join(" ");
        let shown = crate::text::redact_args(exec.command.iter().flatten());
        ("exec", (shown == words && redact(&words) == words).then(|| json!(exec))?)
    };
    let mut startup = json!({"periodSeconds": period, "failureThreshold": threshold});
    startup[asks.0] = asks.1;
    if let Some(timeout) = probe.timeout_seconds.filter(|timeout| *timeout > 1) {
        startup["timeoutSeconds"] = json!(timeout);
    }
    Some(startup)
}

/// The command that lets a probe ask another port.
pub(crate) fn other_port(view: &View<'_>, container: &ContainerView<'_>, which: Which, probe: &Probe, port: u16) -> Option<Command> {
    let way = match (&probe.http_get, &probe.tcp_socket) {
        (Some(_), _) => "httpGet",
        (None, Some(_)) => "tcpSocket",
        (None, None) => "grpc",
    };
    let mut fields = json!({"name": container.name()});
    fields[format!("{}Probe", which.word())] = json!({way: {"port": port}});
    (container.role == Role::App).then(|| patch_command(&view.workload_of(container.pod), &fields))?
}

/// The command that gives a container this start-up probe, or these fields of the one it has.
fn patch(view: &View<'_>, container: &ContainerView<'_>, startup: &Value) -> Option<Command> {
    if container.role != Role::App {
        return None;
    }
    let fields = json!({"name": container.name(), "startupProbe": startup});
    patch_command(&view.workload_of(container.pod), &fields)
}
