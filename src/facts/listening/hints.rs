//! What a container's command, variables, mounted configuration and log say about where it listens, without any request of its own.

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::facts::listening::bind::Bind;
use crate::facts::listening::environment::{Environment, Origin};
use crate::facts::listening::servers::Server;
use crate::facts::listening::told::Told;
use crate::facts::listening::{command, config_lines, log_lines, variables};
use crate::model::finding::Confidence;
use crate::text::{redact, shorten};
use crate::view::{ContainerView, Needs, View};

/// Where a hint was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The container's log: what the program itself says.
    Log {
        /// The log of the instance before the present one.
        previous: bool,
    },
    /// `command` and `args`.
    Command,
    /// A variable that the spec sets to a plain value.
    Environment(String),
    /// A ConfigMap that is mounted, or that variables come from.
    Config {
        /// The ConfigMap.
        config_map: String,
        /// The key of it.
        key: String,
    },
}

/// Something that says where a container listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The address.
    pub bind: Bind,
    /// The port; none where only an address is said.
    pub port: Option<u16>,
    /// The server, where it is known.
    pub server: Option<&'static Server>,
    /// Where it was found.
    pub source: Source,
    /// What was seen, without credentials: `--host 127.0.0.1`, `BIND_ADDR=127.0.0.1:8080`, a line of the log.
    pub detail: String,
    /// `likely`: a known option, variable or line. `possible`: another program may be meant, a developer's link may have been printed, or an image may hold
    /// another default; it accuses nobody by itself.
    pub strength: Confidence,
    /// Whether nothing was written and the server's own default is meant.
    pub is_default: bool,
}

impl Hint {
    pub(crate) fn new(told: Told, source: Source) -> Self {
        Self {
            bind: told.address.bind,
            port: told.address.port,
            server: told.server,
            source,
            detail: shorten(&redact(&told.detail), 160),
            strength: told.strength,
            is_default: told.is_default,
        }
    }

    /// Whether it speaks of this port: it names it, or names none.
    pub fn is_about(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }

    /// Whether it says that it speaks of UDP.
    pub fn is_udp(&self) -> bool {
        let mut words = self.detail.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| matches!(word.to_ascii_lowercase().as_str(), "udp" | "udp4" | "udp6"))
    }

    /// Whether the program itself says it.
    pub fn is_of_log(&self) -> bool {
        matches!(self.source, Source::Log { .. })
    }

    /// Where it was seen, in words: `log`, `command`, `env BIND_ADDR`, `configmap/web key nginx.conf`.
    pub fn place(&self) -> String {
        match &self.source {
            Source::Log { previous: false } => "log".to_owned(),
            Source::Log { previous: true } => "previous log".to_owned(),
            Source::Command => "command".to_owned(),
            Source::Environment(name) => format!("env {name}"),
            Source::Config { config_map, key } => format!("configmap/{config_map} key {key}"),
        }
    }

    /// The word for the kind of source in the port table.
    pub const fn source_word(&self) -> &'static str {
        match self.source {
            Source::Log { .. } => "log",
            Source::Command => "command",
            Source::Environment(_) => "environment",
            Source::Config { .. } => "config",
        }
    }
}

/// Everything that says where a container listens, the surest first. Asks for nothing: a log or a ConfigMap counts where it was read already.
pub fn of_container(view: &View<'_>, container: &ContainerView<'_>) -> Vec<Hint> {
    collect(view, container, None)
}

/// The same, and asks for the log and for the content of the ConfigMaps that the container mounts or takes variables from: for containers
/// under suspicion, where the server's own words are worth a request.
pub fn asked_hints(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Vec<Hint> {
    collect(view, container, Some(needs))
}

/// Whether a container's log says that it listens somewhere; a log counts where it was read already.
pub fn says_that_it_listens(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    of_container(view, container).iter().any(Hint::is_of_log)
}

fn collect(view: &View<'_>, container: &ContainerView<'_>, mut needs: Option<&mut Needs>) -> Vec<Hint> {
    let environment = Environment::of(view, container, needs.as_deref_mut());
    let ports = own_ports(container.spec);
    let mut hints = Vec::new();
    let words: Vec<String> = container
        .spec
        .command
        .iter()
        .chain(container.spec.args.iter())
        .flatten()
        .map(|word| environment.expand(word))
        .collect();
    hints.extend(
        command::of_words(&words, &ports)
            .into_iter()
            .map(|told| Hint::new(told, Source::Command)),
    );
    let pairs = environment.pairs();
    for variable in &environment.known {
        let source = match &variable.origin {
            Origin::Spec => Source::Environment(variable.name.clone()),
            Origin::ConfigMap { name, key } => Source::Config {
                config_map: name.clone(),
                key: key.clone(),
            },
        };
        let told = variables::of_value(&variable.name, &variable.value, &pairs, &ports);
        hints.extend(told.into_iter().map(|told| Hint::new(told, source.clone())));
    }
    let configured = config_lines::of_container(view, container, needs.as_deref_mut()).into_iter();
    hints.extend(configured.map(|(config_map, key, told)| Hint::new(told, Source::Config { config_map, key })));
    for previous in [false, true] {
        // Without an instance that runs, the last words are those of the one before.
        let has_spoken = hints.iter().any(|hint| matches!(hint.source, Source::Log { .. }));
        let log = match needs.as_deref_mut().filter(|_| !previous) {
            Some(needs) => needs.log(view, container, false),
            None => view.read_log(container, previous),
        };
        if let Some(log) = log.filter(|_| !has_spoken) {
            hints.extend(
                log_lines::of_log(log.lines())
                    .into_iter()
                    .map(|told| Hint::new(told, Source::Log { previous })),
            );
        }
    }
    settle(hints, &environment)
}

/// Merges the sources: what the program reports wins over its configuration, and either wins over a default.
fn settle(mut hints: Vec<Hint>, environment: &Environment) -> Vec<Hint> {
    let is_log = |hint: &Hint| matches!(hint.source, Source::Log { previous: false });
    let reachable_by_log: Vec<u16> = hints
        .iter()
        .filter(|h| is_log(h) && h.bind.is_reachable())
        .filter_map(|h| h.port)
        .collect();
    let opened: Vec<Option<u16>> = hints
        .iter()
        .filter(|h| !is_log(h) && h.bind.is_reachable() && h.strength == Confidence::Likely)
        .map(|h| h.port)
        .collect();
    let overruled: Vec<(Option<&'static Server>, bool)> = hints
        .iter()
        .filter(|h| !h.is_default && h.bind != Bind::Unspecified)
        .map(|h| (h.server, is_log(h)))
        .collect();
    // A command line overrules variables of the same meaning.
    let opened_by_command: Vec<Option<u16>> = hints
        .iter()
        .filter(|h| h.source == Source::Command && h.bind.is_reachable() && h.strength == Confidence::Likely)
        .map(|h| h.port)
        .collect();
    let ports_by_log: Vec<u16> = hints.iter().filter(|h| is_log(h)).filter_map(|h| h.port).collect();
    hints.retain(|hint| {
        if hint.is_default {
            let told_otherwise = overruled
                .iter()
                .any(|(server, log)| *log || server.is_none_or(|s| Some(s) == hint.server));
            let elsewhere = hint
                .port
                .is_some_and(|port| !ports_by_log.is_empty() && !ports_by_log.contains(&port));
            return !told_otherwise && !elsewhere;
        }
        let overruled = !matches!(hint.source, Source::Log { .. } | Source::Command)
            && hint.bind.is_loopback()
            && opened_by_command
                .iter()
                .any(|port| port.is_none() || hint.port.is_none() || *port == hint.port);
        let contradicted = !is_log(hint)
            && hint.bind.is_loopback()
            && match hint.port {
                Some(port) => reachable_by_log.contains(&port),
                None => hint.strength == Confidence::Possible && !reachable_by_log.is_empty(),
            };
        !overruled && !contradicted
    });
    for hint in &mut hints {
        let told_open = is_log(hint) && opened.iter().any(|port| port.is_none() || *port == hint.port);
        let may_be_set_elsewhere = hint.is_default && hint.server.is_some_and(|server| environment.hides(server));
        if (told_open && hint.bind.is_loopback()) || may_be_set_elsewhere {
            hint.strength = Confidence::Possible;
        }
    }
    hints.sort_by(|a, b| (a.strength, &a.source, a.port, a.bind).cmp(&(b.strength, &b.source, b.port, b.bind)));
    hints.dedup();
    hints
}

/// The ports that a container calls its own: those that it declares, and those that its probes dial.
pub fn own_ports(container: &Container) -> Vec<u16> {
    let declared = container.ports.iter().flatten().map(|port| port.container_port);
    let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
    let probed = probes.into_iter().flatten().filter_map(|probe| {
        let port = match (&probe.http_get, &probe.tcp_socket, &probe.grpc) {
            (Some(get), ..) => &get.port,
            (_, Some(tcp), _) => &tcp.port,
            (.., Some(grpc)) => return Some(grpc.port),
            _ => return None,
        };
        match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(_) => None,
        }
    });
    declared.chain(probed).filter_map(|port| u16::try_from(port).ok()).collect()
}

#[cfg(test)]
mod tests;
