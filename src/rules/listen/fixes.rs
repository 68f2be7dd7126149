//! What to change so that others reach a server: the option, variable or directive of the very framework.

use kube::ResourceExt;

use crate::facts::ending::edit_command;
use crate::facts::listening::bind;
use crate::facts::listening::bind::{Bind, BindAddress};
use crate::facts::listening::hints::{Hint, Source};
use crate::facts::listening::servers::Server;
use crate::model::finding::Fix;
use crate::model::kind;
use crate::text::{Command, command, sanitise};
use crate::view::{ContainerView, View};

/// How to make a container listen beyond the loopback on a port: what was seen to say otherwise comes first, then what the server is known to take.
pub fn advice(view: &View<'_>, container: &ContainerView<'_>, server: Option<&'static Server>, hints: &[Hint], port: u16) -> Vec<Fix> {
    let mut accusing: Vec<&Hint> = hints.iter().filter(|hint| hint.bind.is_loopback() && hint.is_about(port)).collect();
    // What can be changed comes before what merely shows it.
    accusing.sort_by_key(|hint| (hint.strength, matches!(hint.source, Source::Log { .. }), hint.is_default));
    let written = accusing
        .iter()
        .find(|hint| !matches!(hint.source, Source::Log { .. }) && !hint.is_default);
    let server = server
        .or_else(|| accusing.iter().find_map(|hint| hint.server))
        .or_else(|| hints.iter().find_map(|hint| hint.server));
    let place = Place { view, container, port };
    let mut fixes = Vec::new();
    match written {
        Some(hint) => {
            fixes.push(place.change(hint));
            // Which of two it obeys is not known.
            let second = accusing
                .iter()
                .find(|other| !matches!(other.source, Source::Log { .. }) && !other.is_default && other.source != hint.source);
            fixes.extend(second.map(|other| place.change(other)));
        }
        None => fixes.extend(server.map(|server| place.tell(server))),
    }
    if fixes.is_empty() {
        fixes.push(place.fix(
            format!(
                "make the server in container {} listen on {}, not on the loopback address",
                container.name(),
                place.any_with_port()
            ),
            Some(edit_command(view, container.pod)),
        ));
    }
    if let Some(caution) = server.map(|s| &s.caution).filter(|caution| !caution.is_empty()) {
        fixes.push(place.fix(format!("before that: {caution}"), None));
    }
    fixes
}

/// The command that sets the variable which binds a server to one family to every address of the other one; none where no variable says it alone.
pub fn other_family(view: &View<'_>, container: &ContainerView<'_>, hints: &[Hint], port: u16) -> Option<Command> {
    let place = Place { view, container, port };
    let wants_v6 = crate::facts::listening::look::has_ipv6(container.pod);
    hints.iter().filter(|hint| hint.is_about(port)).find_map(|hint| {
        let Source::Environment(name) = &hint.source else { return None };
        let (written, value) = hint.detail.split_once('=')?;
        let of_wrong_family = hint.bind == if wants_v6 { Bind::AnyV4 } else { Bind::AnyV6 };
        if written != name || !of_wrong_family || !place.holds(name, value) {
            return None;
        }
        let host = if wants_v6 { "[::]" } else { "0.0.0.0" };
        let port = BindAddress::parse(value)?.port.map(|port| format!(":{port}")).unwrap_or_default();
        place.set_env(name, &format!("{host}{port}"))
    })
}

struct Place<'c, 'a> {
    view: &'c View<'a>,
    container: &'c ContainerView<'a>,
    port: u16,
}

impl Place<'_, '_> {
    fn fix(&self, text: String, command: Option<Command>) -> Fix {
        Fix {
            text: sanitise(&text),
            command: command.map(String::from),
        }
    }

    /// Whether the pod has no IPv4 address.
    fn is_ipv6_only(&self) -> bool {
        let status = self.container.pod.status.as_ref();
        let addresses: Vec<&str> = status
            .and_then(|s| s.pod_ips.as_ref())
            .into_iter()
            .flatten()
            .map(|ip| ip.ip.as_str())
            .collect();
        !addresses.is_empty() && addresses.iter().all(|ip| ip.contains(':'))
    }

    fn any_with_port(&self) -> String {
        self.opened(&format!("127.0.0.1:{}", self.port))
    }

    /// The wording of the table for this port and the families of the pod.
    fn worded(&self, text: &str) -> String {
        let text = text.replace("PORT", &self.port.to_string());
        if self.is_ipv6_only() {
            text.replace("0.0.0.0:", "[::]:").replace("0.0.0.0", "::")
        } else {
            text
        }
    }

    /// Written addresses with the loopback replaced by every address, everything else as it was.
    fn opened(&self, value: &str) -> String {
        bind::opened(value, self.is_ipv6_only())
    }

    /// Whether a variable of the container holds this and nothing else: then it can be set anew without what is not shown of it.
    fn holds(&self, name: &str, value: &str) -> bool {
        let variables = self.container.spec.env.iter().flatten();
        variables.filter(|v| v.name == name).any(|v| v.value.as_deref() == Some(value))
    }

    /// The change of what was seen to say the loopback.
    fn change(&self, hint: &Hint) -> Fix {
        let container = self.container.name();
        let edit = edit_command(self.view, self.container.pod);
        match &hint.source {
            Source::Environment(name) => match hint.detail.split_once('=') {
                Some((written, value)) if written == name => {
                    let opened = self.opened(value);
                    if self.holds(name, value) {
                        let set = self.set_env(name, &opened).or(Some(edit));
                        self.fix(format!("set {name} to {opened} in container {container}"), set)
                    } else {
                        let text = format!("in {name} of container {container}, change {value} to {opened} and leave the rest as it is");
                        self.fix(text, Some(edit))
                    }
                }
                _ => self.fix(
                    format!("change {name} of container {container}: {}", self.turned(hint.detail.as_str())),
                    Some(edit),
                ),
            },
            Source::Config { config_map, key } => {
                let namespace = self.container.pod.namespace().unwrap_or_default();
                self.fix(
                    format!(
                        "in key {key} of ConfigMap {config_map}, change {}, and restart the pods",
                        self.turned(&hint.detail)
                    ),
                    Some(command("kubectl edit configmap {} -n {}", &[&config_map, &namespace])),
                )
            }
            Source::Command | Source::Log { .. } => self.fix(
                format!("in the command of container {container}, change {}", self.turned(&hint.detail)),
                Some(edit),
            ),
        }
    }

    /// `--host 127.0.0.1 to --host 0.0.0.0`
    fn turned(&self, detail: &str) -> String {
        let end = detail.rfind([' ', '=', ':', '"', '\'']).unwrap_or_default();
        let start = detail
            .char_indices()
            .find(|(at, c)| {
                !c.is_whitespace()
                    && BindAddress::parse(detail[*at..].trim_end_matches([';', ',', '"', '\''])).is_some_and(|a| a.bind.is_loopback())
            })
            .map_or(end, |(at, _)| at);
        let (before, value) = detail.split_at(start);
        let trimmed = value.trim_end_matches([';', ',', '"', '\'']);
        let tail = &value[trimmed.len()..];
        if BindAddress::parse(trimmed).is_some() {
            format!("{detail} to {before}{}{tail}", self.opened(trimmed))
        } else {
            format!("{detail} to {}", self.any_with_port())
        }
    }

    /// What the server takes: its option, its variable or its directive.
    fn tell(&self, server: &Server) -> Fix {
        let container = self.container.name();
        let edit = edit_command(self.view, self.container.pod);
        let (option, variable, directive) = (
            self.worded(&server.option),
            self.worded(&server.variable),
            self.worded(&server.directive),
        );
        let set = variable.split_once('=').and_then(|(name, value)| self.set_env(name, value));
        let text = match (option.is_empty(), variable.is_empty()) {
            (false, false) => format!("start {} in container {container} with {option}, or set {variable}", server.name),
            (false, true) => format!("start {} in container {container} with {option}", server.name),
            (true, false) => format!("set {variable} for {} in container {container}", server.name),
            (true, true) => format!("tell {} in container {container}: {directive}", server.name),
        };
        self.fix(text, set.filter(|_| !variable.is_empty()).or(Some(edit)))
    }

    /// `kubectl set env deployment/api -c api BIND_ADDR=0.0.0.0:8080 -n shop`; none for a bare pod, whose variables cannot be changed.
    fn set_env(&self, name: &str, value: &str) -> Option<Command> {
        let workload = self.view.workload_of(self.container.pod);
        let known = [
            &kind::DEPLOYMENT,
            &kind::STATEFUL_SET,
            &kind::DAEMON_SET,
            &kind::REPLICA_SET,
            &kind::CRON_JOB,
            &kind::REPLICATION_CONTROLLER,
        ];
        if !known.iter().any(|k| workload.is(k)) {
            return None;
        }
        let argument = format!("{name}={value}");
        Some(command(
            "kubectl set env {} -c {} {} -n {}",
            &[&workload.short(), &self.container.name(), &argument, &workload.namespace],
        ))
    }
}

#[cfg(test)]
mod tests;
