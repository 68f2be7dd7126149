//! Which ports of a pod are used: by Services, Ingresses and probes. An unused port is no fault.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Probe, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::facts::listening::hints;
use crate::facts::listening::mesh::is_mesh;
use crate::facts::probe::Which;
use crate::model::dial::Speech;
use crate::view::ports::{Declared, ingress_services};
use crate::view::{ContainerView, Role, View, containers, ports};

/// A port of a pod, and who uses it.
#[derive(Clone, Debug)]
pub struct Use<'a> {
    /// The number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
    /// Services that lead to it, with the port of each that does.
    pub services: Vec<(&'a Service, &'a ServicePort)>,
    /// Names of Ingresses that lead to these Services.
    pub ingresses: Vec<String>,
    /// Probes that ask it, and of which container.
    pub probes: Vec<(Which, &'a Probe, &'a str)>,
    /// What the containers declare about it.
    pub declared: Vec<Declared<'a>>,
}

/// Every port of a pod that is declared or used, in order of number.
pub fn of_pod<'a>(view: &View<'a>, pod: &'a Pod) -> Vec<Use<'a>> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut uses: Vec<Use<'a>> = Vec::new();
    for declared in ports::declared(spec) {
        if let Some(found) = u16::try_from(declared.number)
            .ok()
            .map(|port| entry(&mut uses, port, declared.protocol))
        {
            found.declared.push(declared);
        }
    }
    for container in containers(pod).into_iter().filter(|c| c.role != Role::Init) {
        for which in [Which::Startup, Which::Liveness, Which::Readiness] {
            if let Some((probe, port)) = which.of(container.spec).and_then(|p| Some((p, probe_port(p, container.spec)?))) {
                entry(&mut uses, port, "TCP").probes.push((which, probe, container.name()));
            }
        }
    }
    let namespace = pod.namespace().unwrap_or_default();
    for service in view.services_selecting(&namespace, pod.labels()) {
        for port in ports::of_service(service) {
            if let Some(number) = ports::resolve(spec, port).and_then(|n| u16::try_from(n).ok()) {
                let found = entry(&mut uses, number, ports::protocol(port.protocol.as_ref()));
                found.services.push((service, port));
                for ingress in &view.snapshot.objects.ingresses {
                    let name = ingress.name_any();
                    let leads =
                        ingress.namespace().as_deref() == Some(&namespace) && ingress_services(ingress).contains(&service.name_any());
                    if leads && !found.ingresses.contains(&name) {
                        found.ingresses.push(name);
                    }
                }
            }
        }
    }
    uses.sort_by_key(|u| (u.port, u.protocol));
    uses
}

fn entry<'u, 'a>(uses: &'u mut Vec<Use<'a>>, port: u16, protocol: &'a str) -> &'u mut Use<'a> {
    let at = uses
        .iter()
        .position(|u| u.port == port && u.protocol == protocol)
        .unwrap_or_else(|| {
            uses.push(Use::unknown(port, protocol));
            uses.len() - 1
        });
    &mut uses[at]
}

/// The port that a probe asks at the pod's address; none for commands, for names that no port has, and where another host is named.
pub fn probe_port(probe: &Probe, container: &Container) -> Option<u16> {
    let (port, host) = if let Some(get) = &probe.http_get {
        (get.port.clone(), get.host.as_deref())
    } else if let Some(tcp) = &probe.tcp_socket {
        (tcp.port.clone(), tcp.host.as_deref())
    } else {
        (IntOrString::Int(probe.grpc.as_ref()?.port), None)
    };
    if host.is_some_and(|host| !host.is_empty()) {
        return None;
    }
    let number = match port {
        IntOrString::Int(number) => number,
        IntOrString::String(name) => {
            container
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_deref() == Some(&name))?
                .container_port
        }
    };
    u16::try_from(number).ok()
}

impl<'a> Use<'a> {
    /// A port that nobody declares and nobody is known to use.
    pub fn unknown(port: u16, protocol: &'a str) -> Self {
        Self {
            port,
            protocol,
            services: Vec::new(),
            ingresses: Vec::new(),
            probes: Vec::new(),
            declared: Vec::new(),
        }
    }

    /// Whether a Service or a probe counts on it.
    pub fn is_used(&self) -> bool {
        !self.services.is_empty() || !self.probes.is_empty()
    }

    /// The container that should listen there: the one that declares the port, else the one whose probe asks it, else the one that says of
    /// itself that it listens there, else the first of the application's.
    pub fn container(&self, view: &View<'_>, pod: &'a Pod) -> Option<ContainerView<'a>> {
        let all = containers(pod);
        let named = self
            .declared
            .first()
            .map(|d| d.container)
            .or(self.probes.first().map(|(_, _, container)| *container));
        let mut serving = all.iter().filter(|c| c.role != Role::Init);
        match named {
            Some(name) => serving.find(|c| c.name() == name).copied(),
            None => {
                let own: Vec<ContainerView<'a>> = serving.filter(|c| !is_mesh(c)).copied().collect();
                let says = |c: &&ContainerView<'a>| {
                    let hints = hints::of_container(view, c);
                    hints.iter().any(|hint| hint.port == Some(self.port))
                };
                let first = own.iter().find(|c| c.role == Role::App);
                if own.len() < 2 {
                    first.copied()
                } else {
                    own.iter().find(says).or(first).copied()
                }
            }
        }
    }

    /// What is spoken there, as far as probes, `appProtocol`, names and well-known numbers tell; HTTP where nothing tells.
    /// The path is that of a probe, without its query, else `/`.
    pub fn speech(&self) -> (Speech, String) {
        for (_, probe, _) in &self.probes {
            if let Some(get) = &probe.http_get {
                let path = get.path.as_deref().unwrap_or("/");
                let path = path.split(['?', '#']).next().unwrap_or("/").to_owned();
                let tls = get.scheme.as_deref() == Some("HTTPS");
                return (if tls { Speech::Https } else { Speech::Http }, path);
            }
        }
        let root = |speech: Speech| match speech {
            Speech::Plain => (speech, String::new()),
            _ => (speech, "/".to_owned()),
        };
        if self.probes.iter().any(|(_, probe, _)| probe.grpc.is_some()) {
            return root(Speech::Plain);
        }
        let protocols = self.services.iter().filter_map(|(_, port)| port.app_protocol.as_deref());
        let names = self.services.iter().filter_map(|(_, port)| port.name.as_deref());
        let names = names.chain(self.declared.iter().map(|d| d.name)).filter(|name| !name.is_empty());
        let words: Vec<&str> = protocols.chain(names).collect();
        if let Some(speech) = words.iter().find_map(|word| speech_of_word(word)) {
            return root(speech);
        }
        if !self.probes.is_empty() && self.probes.iter().all(|(_, probe, _)| probe.tcp_socket.is_some()) && self.ingresses.is_empty() {
            return root(Speech::Plain);
        }
        // The number that clients use tells as much as the one that the pod has.
        let of_services = self.services.iter().filter_map(|(_, port)| u16::try_from(port.port).ok());
        let is_plain = of_services
            .chain([self.port])
            .any(|number| speech_of_number(number) == Speech::Plain);
        root(match speech_of_number(self.port) {
            _ if is_plain && self.ingresses.is_empty() => Speech::Plain,
            _ if is_plain => Speech::Http,
            speech => speech,
        })
    }

    /// Whether the containers declare this number for another protocol alone: the Service that leads here as this one has the wrong protocol,
    /// unless one leads there as the other, too.
    pub fn is_declared_otherwise(&self, all: &[Use<'_>]) -> bool {
        let is_other = |other: &Use<'_>| {
            other.port == self.port && other.protocol != self.protocol && !other.declared.is_empty() && other.services.is_empty()
        };
        self.declared.is_empty() && self.probes.is_empty() && !self.services.is_empty() && all.iter().any(is_other)
    }

    /// Whether something says that HTTP is spoken there, so that silence is a fault.
    pub fn is_surely_http(&self) -> bool {
        let http = |word: &str| matches!(speech_of_word(word), Some(Speech::Http | Speech::Https));
        let is_web = |port: i32| WEB_PORTS.contains(&port);
        let by_number = || is_web(self.port.into()) || self.services.iter().any(|(_, port)| is_web(port.port));
        (self.speech().0 != Speech::Plain && by_number())
            || !self.ingresses.is_empty()
            || self.probes.iter().any(|(_, probe, _)| probe.http_get.is_some())
            || self
                .services
                .iter()
                .any(|(_, port)| port.app_protocol.as_deref().is_some_and(http) || port.name.as_deref().is_some_and(http))
            || self.declared.iter().any(|d| http(d.name))
    }

    /// Who uses it, in words.
    pub fn users(&self) -> String {
        let services = self
            .services
            .iter()
            .map(|(service, port)| format!("service/{}:{}", service.name_any(), port.port));
        let probes = self.probes.iter().map(|(which, ..)| format!("the {} probe", which.word()));
        let all: Vec<String> = services.chain(probes).collect();
        match all.is_empty() {
            true => "who calls it".to_owned(),
            false => all.join(" and "),
        }
    }
}

/// What is spoken on a port of a pod, the path that is asked for, and whether an HTTP probe asks for it there.
pub fn spoken(view: &View<'_>, pod: &Pod, port: u16) -> (Speech, String, bool) {
    let used = of_pod(view, pod).into_iter().find(|used| used.port == port);
    used.map_or((Speech::Http, "/".to_owned(), false), |used| {
        let (speech, path) = used.speech();
        let by_probe = used.probes.iter().any(|(_, probe, _)| probe.http_get.is_some());
        (speech, path, by_probe)
    })
}

/// The longest time that a probe of a port gives it for an answer; zero without a probe.
pub fn probe_timeout(view: &View<'_>, pod: &Pod, port: u16) -> Duration {
    let used = of_pod(view, pod).into_iter().find(|used| used.port == port);
    let probes = used.into_iter().flat_map(|used| used.probes);
    let seconds = probes.filter_map(|(_, probe, _)| u64::try_from(probe.timeout_seconds.unwrap_or(1)).ok());
    Duration::from_secs(seconds.max().unwrap_or_default())
}

/// The service whose health is asked for on a port of a pod by the gRPC health protocol, and whether a probe asks for it: else `appProtocol`
/// or a name says only that gRPC, or HTTP/2 without TLS, is spoken there. None where nothing says so.
pub fn health_asked(view: &View<'_>, pod: &Pod, port: u16) -> Option<(String, bool)> {
    let used = of_pod(view, pod).into_iter().find(|used| used.port == port)?;
    let mut probes: Vec<_> = used.probes.iter().filter(|(_, probe, _)| probe.grpc.is_some()).collect();
    probes.sort_by_key(|(which, ..)| *which != Which::Readiness);
    if let Some(grpc) = probes.first().and_then(|(_, probe, _)| probe.grpc.as_ref()) {
        return Some((grpc.service.clone().unwrap_or_default(), true));
    }
    let is_probed = used.probes.iter().any(|(_, probe, _)| probe.http_get.is_some());
    let is_named = used
        .services
        .iter()
        .any(|(_, of)| of.app_protocol.as_deref().or(of.name.as_deref()).is_some_and(says_grpc));
    (is_named && !is_probed).then(|| (String::new(), false))
}

/// What a port of a Service says of itself, where there is no pod to look at: what is spoken, and whether that is gRPC.
pub fn spoken_by_port(port: &ServicePort) -> (Speech, bool) {
    let words = || port.app_protocol.as_deref().into_iter().chain(port.name.as_deref());
    let is_health = words().next().is_some_and(says_grpc);
    (speech_of_port(words(), u16::try_from(port.port).unwrap_or_default()), is_health)
}

/// Whether a container's port is used by more than its probes: the container declares it or is configured to listen on it, or a Service
/// leads there.
pub fn is_meant(view: &View<'_>, container: &ContainerView<'_>, port: u16) -> bool {
    let counts_on = |used: &Use<'_>| {
        let is_declared = used.declared.iter().any(|d| d.container == container.name());
        used.port == port && used.protocol == "TCP" && (is_declared || !used.services.is_empty())
    };
    let is_told = || {
        let hints = hints::of_container(view, container);
        hints
            .iter()
            .any(|hint| hint.port == Some(port) && !hint.is_of_log() && !hint.is_udp() && !hint.bind.is_loopback())
    };
    of_pod(view, container.pod).iter().any(counts_on) || is_told()
}

/// The one port that a container is meant to listen on, where nobody but a probe speaks of the port that the probe asks.
pub fn meant_instead(view: &View<'_>, container: &ContainerView<'_>, port: u16) -> Option<u16> {
    let is_alone = containers(container.pod).iter().filter(|c| c.role == Role::App).count() == 1;
    let mut others: Vec<u16> = of_pod(view, container.pod)
        .iter()
        .filter(|used| used.protocol == "TCP" && !used.declared.iter().any(|d| is_side_port(d.name)))
        .filter(|used| is_meant(view, container, used.port) && (is_alone || used.declared.iter().any(|d| d.container == container.name())))
        .map(|used| used.port)
        .collect();
    let hints = hints::of_container(view, container);
    let told = hints
        .iter()
        .filter(|hint| !hint.is_of_log() && !hint.is_udp() && !hint.bind.is_loopback() && !is_side_port(&hint.detail));
    others.extend(told.filter_map(|hint| hint.port));
    others.sort_unstable();
    others.dedup();
    match others[..] {
        [other] if other != port && !is_meant(view, container, port) => Some(other),
        _ => None,
    }
}

/// Whether an `appProtocol` or a name says that gRPC, or HTTP/2 without TLS, is spoken.
pub fn says_grpc(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().split('-').next(),
        Some("grpc" | "kubernetes.io/h2c" | "h2c")
    )
}

/// What words and number of a port say of it; HTTP where they say nothing.
pub fn speech_of_port<'w>(words: impl Iterator<Item = &'w str>, number: u16) -> Speech {
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    match words.iter().find_map(|word| speech_of_word(word)) {
        Some(speech) => speech,
        None if !words.is_empty() => Speech::Plain,
        None => speech_of_number(number),
    }
}

fn speech_of_number(number: u16) -> Speech {
    match number {
        443 | 6443 | 8443 | 9443 | 10250 => Speech::Https,
        number if PLAIN_PORTS.contains(&number) => Speech::Plain,
        _ => Speech::Http,
    }
}

/// Whether a port's name says that it is for something beside the application's own traffic.
pub fn is_side_port(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "metrics", "prom", "health", "probe", "admin", "manage", "actuator", "debug", "pprof", "monitor", "jmx", "status", "webhook",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// Numbers that IANA or long habit give to protocols other than HTTP.
const PLAIN_PORTS: [u16; 45] = [
    21, 22, 23, 25, 53, 110, 143, 389, 465, 587, 636, 993, 995, 1433, 1521, 1883, 2181, 3268, 3306, 4222, 5432, 5671, 5672, 6379, 6380,
    6432, 7000, 7687, 8883, 9042, 9092, 9093, 11211, 16379, 26257, 26379, 27017, 33060, 2380, 4369, 5701, 7001, 9300, 25672, 61616,
];

/// Numbers that stand for HTTP, at a Service or at a pod, where nothing else is said.
const WEB_PORTS: [i32; 6] = [80, 443, 8000, 8080, 8443, 8888];

/// What an `appProtocol` or a port's name says; the part of a name before the first dash counts, as service meshes read it.
/// None where it says nothing about a protocol above TCP: `main`, `server`, `tcp`.
fn speech_of_word(word: &str) -> Option<Speech> {
    let word = word.to_ascii_lowercase();
    let word = word.strip_prefix("kubernetes.io/").unwrap_or(&word);
    let (first, rest) = word.split_once('-').unwrap_or((word, ""));
    match first {
        "tcp" if rest.is_empty() => None,
        // gRPC for browsers is HTTP/1.1 as well.
        "grpc" if rest == "web" => Some(Speech::Http),
        "https" | "wss" | "tls" => Some(Speech::Https),
        "http" | "http1" | "http2" | "h2c" | "ws" | "web" | "www" | "api" | "app" | "rest" | "graphql" | "ui" | "frontend" | "backend"
        | "dashboard" | "console" | "portal" | "metrics" | "prometheus" | "health" | "healthz" | "admin" | "management" | "actuator"
        | "webhook" | "gateway" => Some(Speech::Http),
        "tcp" | "grpc" | "ftp" | "sftp" | "telnet" | "smtps" | "submission" | "imaps" | "pop3" | "pop3s" | "rtmp" | "rtsp" | "sip"
        | "stun" | "turn" | "bgp" | "stomp" | "epmd" | "etcd" | "cassandra" | "mssql" | "oracle" | "db" | "database" | "sentinel"
        | "syslog" | "fluentd" | "statsd" | "ntp" | "nfs" | "rdp" | "vnc" | "socks" | "socks5" | "jmx" | "rmi" | "transport" | "mysqlx"
        | "mysql" | "mariadb" | "postgres" | "postgresql" | "pg" | "pgsql" | "redis" | "mongo" | "mongodb" | "amqp" | "amqps" | "mqtt"
        | "kafka" | "smtp" | "imap" | "ldap" | "ldaps" | "ssh" | "dns" | "nats" | "memcache" | "memcached" | "thrift" | "cql"
        | "zookeeper" | "sql" | "sqlserver" | "bolt" | "peer" | "gossip" | "raft" => Some(Speech::Plain),
        _ => None,
    }
}
