//! The two ends of a connection as the user writes them.

use std::net::{IpAddr, SocketAddr};

use crate::facts::calls::names;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::trace::question::{AskedPort, Target};

/// Why an end of a connection is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What is wrong.
    pub message: String,
    /// How to write it.
    pub hint: &'static str,
}

fn invalid(message: impl Into<String>, hint: &'static str) -> Invalid {
    Invalid {
        message: message.into(),
        hint,
    }
}

/// A connection as the user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The pod or workload that opens it.
    pub from: Source,
    /// Its destination.
    pub to: Destination,
    /// Its destination port.
    pub port: Option<AskedPort>,
    /// `TCP`, `UDP` or `SCTP`, if the user names one.
    pub protocol: Option<String>,
}

/// The source, as the user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An object of a kind.
    Named(Kind, String),
    /// A name without a type: a pod, or else a workload.
    Bare(String),
}

impl Source {
    /// The objects that it may name in a namespace, in the order in which they are tried.
    pub fn candidates(&self, namespace: &str) -> Vec<ObjectRef> {
        match self {
            Self::Named(kind, name) => vec![ObjectRef::new(kind, namespace, name)],
            Self::Bare(name) => kind::RUN_PODS.iter().map(|kind| ObjectRef::new(kind, namespace, name)).collect(),
        }
    }
}

/// The destination, as the user writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// An object. Names of pods and workloads may have dots, so the last part may be a namespace or not.
    Named(Kind, String),
    /// A name as clients write it: a Service, with or without its namespace or domain, else a pod or workload, or a host outside the cluster.
    Bare {
        /// The name.
        name: String,
        /// Whether it is the host of a URL: then it is not a pod or workload.
        is_host: bool,
    },
    /// An address.
    Address(IpAddr),
}

impl Destination {
    /// Whether it is the host of a URL.
    pub const fn is_host(&self) -> bool {
        matches!(self, Self::Bare { is_host: true, .. })
    }

    /// What it may name, seen from a namespace, the likeliest first.
    pub fn candidates(&self, namespace: &str) -> Vec<Target> {
        match self {
            Self::Address(ip) => vec![Target::Address(*ip)],
            Self::Named(kind, name) => of_kind(kind, name, namespace).into_iter().map(Target::Object).collect(),
            Self::Bare { name, is_host } => bare(name, *is_host, namespace),
        }
    }
}

fn of_kind(kind: &Kind, name: &str, namespace: &str) -> Vec<ObjectRef> {
    let parts: Vec<&str> = name.split('.').collect();
    if kind == &kind::SERVICE {
        let (name, of) = match parts.as_slice() {
            [name] => (*name, namespace),
            [name, of, ..] => (*name, *of),
            [] => ("", namespace),
        };
        return vec![ObjectRef::new(kind, of, name)];
    }
    let here = ObjectRef::new(kind, namespace, name);
    let there = name.rsplit_once('.').map(|(name, of)| ObjectRef::new(kind, of, name));
    std::iter::once(here).chain(there).collect()
}

/// Names that the cluster's DNS knows come first: clients use them.
fn bare(name: &str, is_host: bool, namespace: &str) -> Vec<Target> {
    let object = |kind: &Kind, namespace: &str, name: &str| Target::Object(ObjectRef::new(kind, namespace, name));
    match name.split('.').collect::<Vec<_>>().as_slice() {
        [only] => {
            let mut all = vec![object(&kind::SERVICE, namespace, only)];
            if !is_host {
                all.extend(kind::RUN_PODS.map(|kind| object(&kind, namespace, only)));
            }
            all
        }
        [service, of, "svc", ..] => vec![object(&kind::SERVICE, of, service)],
        // One pod of a StatefulSet.
        [pod, _, of, "svc", ..] => vec![object(&kind::POD, of, pod)],
        [service, of] => {
            let mut all = vec![object(&kind::SERVICE, of, service)];
            if !is_host {
                all.extend([object(&kind::POD, namespace, name), object(&kind::POD, of, service)]);
            }
            all.push(Target::Name(name.to_owned()));
            all
        }
        _ => vec![Target::Name(name.to_owned())],
    }
}

impl Request {
    /// Parses both ends.
    pub fn parse(from: &str, to: &str) -> Result<Self, Invalid> {
        let (to, port, protocol) = destination(to)?;
        Ok(Self {
            from: source(from)?,
            to,
            port,
            protocol,
        })
    }
}

fn source(text: &str) -> Result<Source, Invalid> {
    let Some((kind_name, name)) = text.split_once('/') else {
        return Ok(Source::Bare(named(text, text)?));
    };
    let kind = known(kind_name, "write TYPE/NAME, for example deployment/web; -n names its namespace")?;
    if !kind::RUN_PODS.contains(&kind) {
        return Err(invalid(
            format!("FROM: a {} opens no connections", kind.singular()),
            "name a pod or a workload, for example deployment/web",
        ));
    }
    Ok(Source::Named(kind, named(name, text)?))
}

fn known(kind_name: &str, hint: &'static str) -> Result<Kind, Invalid> {
    let known = kind::named(kind_name).cloned();
    known.ok_or_else(|| invalid(format!("{kind_name:?} is not a resource type that podlife knows"), hint))
}

fn named(name: &str, text: &str) -> Result<String, Invalid> {
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        && name.split('.').all(|label| !label.is_empty());
    if is_name {
        Ok(name.to_owned())
    } else {
        Err(invalid(
            format!("{text:?} is not a valid name"),
            "write TYPE/NAME, for example deployment/web",
        ))
    }
}

type Asked = (Destination, Option<AskedPort>, Option<String>);

fn destination(text: &str) -> Result<Asked, Invalid> {
    if text.contains("://") {
        return url(text);
    }
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, last)) if rest.contains(':') => match last.to_ascii_uppercase() {
            protocol if ["TCP", "UDP", "SCTP"].contains(&protocol.as_str()) => (rest, Some(protocol)),
            _ => {
                return Err(invalid(
                    format!("TO: {last:?} after the port is not a protocol"),
                    "TCP, UDP or SCTP; a URL with a path begins with http:// or https://",
                ));
            }
        },
        _ => (text, None),
    };
    if let Ok(address) = rest.parse::<SocketAddr>() {
        return match address.port() {
            0 => asked_port("0").map(|port| (Destination::Address(address.ip()), Some(port), protocol)),
            port => Ok((Destination::Address(address.ip()), Some(AskedPort::Number(port)), protocol)),
        };
    }
    if rest.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(invalid(
            format!("TO: which port of {rest}?"),
            "write ADDRESS:PORT, with an IPv6 address in brackets",
        ));
    }
    let (object, port) = match rest.rsplit_once(':') {
        Some((object, port)) => (object, Some(asked_port(port)?)),
        None => (rest, None),
    };
    if let Ok(ip) = object.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok((Destination::Address(ip), port, protocol));
    }
    let Some((kind_name, name)) = object.split_once('/') else {
        if object.contains('.') && object.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(invalid(
                format!("TO: {object} is neither an address nor a name"),
                "an IPv4 address has four numbers from 0 to 255, without leading zeros",
            ));
        }
        let name = named(object.trim_end_matches('.'), object)?;
        return Ok((Destination::Bare { name, is_host: false }, port, protocol));
    };
    let kind = known(
        kind_name,
        "write TYPE/NAME:PORT, for example svc/db:5432; the namespace follows the name: svc/db.data:5432",
    )?;
    if kind != kind::SERVICE && !kind::RUN_PODS.contains(&kind) {
        return Err(invalid(
            format!("TO: a {} accepts no connections", kind.singular()),
            "name a Service, a pod, a workload or an address",
        ));
    }
    Ok((Destination::Named(kind, named(name, object)?), port, protocol))
}

/// `http://db.data:8080/path`: its host and its port, or the default port of its scheme.
fn url(text: &str) -> Result<Asked, Invalid> {
    let Some(mention) = names::authority(text, true) else {
        return Err(invalid(
            format!("TO: {text:?} has no host and port"),
            "for example http://db.data:8080/",
        ));
    };
    let Some(port) = mention.port else {
        return Err(invalid(
            format!("TO: which port of {}? its scheme has no default port", mention.host),
            "write HOST:PORT",
        ));
    };
    let destination = match mention.ip() {
        Some(ip) => Destination::Address(ip),
        None => Destination::Bare {
            name: mention.host,
            is_host: true,
        },
    };
    Ok((destination, Some(AskedPort::Number(port)), None))
}

fn asked_port(text: &str) -> Result<AskedPort, Invalid> {
    let is_name = text.chars().any(|c| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(AskedPort::Number(number)),
        _ if is_name => Ok(AskedPort::Name(text.to_owned())),
        _ => Err(invalid(
            format!("TO: {text:?} is not a port"),
            "a number from 1 to 65535, or the name of a port",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(from: &str, to: &str) -> Result<Request, String> {
        Request::parse(from, to).map_err(|invalid| invalid.message)
    }

    #[test]
    fn both_ends_are_parsed() {
        let number = |n| Some(AskedPort::Number(n));
        let word = |w: &str| Some(AskedPort::Name(w.to_owned()));
        let service = |name: &str| Destination::Named(kind::SERVICE, name.to_owned());
        let bare = |name: &str, is_host: bool| Destination::Bare {
            name: name.to_owned(),
            is_host,
        };
        let address = |text: &str| Destination::Address(text.parse().unwrap());
        for (to, called, port, protocol) in [
            ("svc/b:80", service("b"), number(80), None),
            ("services/b.data:http", service("b.data"), word("http"), None),
            ("svc/dns.kube-system:53/udp", service("dns.kube-system"), number(53), Some("UDP")),
            ("service/b", service("b"), None, None),
            ("pod/b:8080", Destination::Named(kind::POD, "b".to_owned()), number(8080), None),
            ("10.0.0.1:443", address("10.0.0.1"), number(443), None),
            ("[fd00::1]:443/tcp", address("fd00::1"), number(443), Some("TCP")),
            ("10.0.0.1:https", address("10.0.0.1"), word("https"), None),
            ("[fd00::1]:https", address("fd00::1"), word("https"), None),
            ("backend:80", bare("backend", false), number(80), None),
            ("backend", bare("backend", false), None, None),
            ("s.ns:80/UDP", bare("s.ns", false), number(80), Some("UDP")),
            (
                "s.ns.svc.cluster.local.:80",
                bare("s.ns.svc.cluster.local", false),
                number(80),
                None,
            ),
            ("http://s.ns:8080/path?x=1", bare("s.ns", true), number(8080), None),
            ("https://api.example.com/v1", bare("api.example.com", true), number(443), None),
            ("postgres://me:pw@db/shop", bare("db", true), number(5432), None),
            ("http://10.0.0.1/", address("10.0.0.1"), number(80), None),
            ("http://[fd00::1]:8080/", address("fd00::1"), number(8080), None),
        ] {
            let request = read("deploy/a", to).unwrap();
            assert_eq!(
                (request.to, request.port, request.protocol.as_deref()),
                (called, port, protocol),
                "{to}"
            );
        }
        assert_eq!(read("a", "svc/b:80").unwrap().from, Source::Bare("a".to_owned()));
        assert_eq!(
            read("deploy/a", "svc/b:80").unwrap().from,
            Source::Named(kind::DEPLOYMENT, "a".to_owned())
        );
    }

    #[test]
    fn an_invalid_end_is_explained() {
        for (from, to, says) in [
            ("svc/a", "svc/b:80", "a service opens no connections"),
            ("pod/", "svc/b:80", "is not a valid name"),
            ("shop/web", "svc/b:80", "\"shop\" is not a resource type"),
            ("pod/a", "svc/b:0", "\"0\" is not a port"),
            ("pod/a", "10.0.0.1:0", "\"0\" is not a port"),
            ("pod/a", "svc/b:", "\"\" is not a port"),
            ("pod/a", "b:70000", "\"70000\" is not a port"),
            ("pod/a", "svc/b:80/icmp", "not a protocol"),
            ("pod/a", "b:80/path", "not a protocol"),
            ("pod/a", "cm/b:80", "a configmap accepts no connections"),
            ("pod/a", "10.0.0.1", "which port of 10.0.0.1"),
            ("pod/a", "999.1.1.1:80", "999.1.1.1 is neither an address nor a name"),
            ("pod/a", "010.1.1.1:80", "010.1.1.1 is neither an address nor a name"),
            ("pod/a", "[fd00::1]", "which port of [fd00::1]"),
            ("pod/a", "svc/:80", "is not a valid name"),
            ("pod/a", ":80", "is not a valid name"),
            ("pod/a", "b..c:80", "is not a valid name"),
            ("pod/a", "data/b:80", "\"data\" is not a resource type"),
            ("pod/a", "widget/b:80", "is not a resource type"),
            ("pod/a", "http://", "has no host"),
            ("pod/a", "http://b:99999/", "has no host"),
            ("pod/a", "gopher://b/", "which port of b"),
            ("", "b:80", "is not a valid name"),
        ] {
            let said = read(from, to).unwrap_err();
            assert!(said.contains(says), "{from} {to}: {said}");
        }
    }

    #[test]
    fn the_likeliest_meaning_of_a_name_is_tried_first() {
        let of = |to: &str| -> Vec<String> {
            let request = read("pod/a", to).unwrap();
            let all = request.to.candidates("shop").into_iter();
            all.map(|target| match target {
                Target::Object(object) => object.to_string(),
                Target::Address(ip) => ip.to_string(),
                Target::Name(name) => name,
            })
            .take(4)
            .collect()
        };
        assert_eq!(of("svc/b:80"), ["service/shop/b"]);
        assert_eq!(of("svc/b.data:80"), ["service/data/b"]);
        assert_eq!(of("svc/b.data.svc.cluster.local:80"), ["service/data/b"]);
        assert_eq!(of("pod/b.data:80"), ["pod/shop/b.data", "pod/data/b"]);
        assert_eq!(of("deployment/b:80"), ["deployment/shop/b"]);
        assert_eq!(of("b:80")[..3], ["service/shop/b", "pod/shop/b", "deployment/shop/b"]);
        assert_eq!(of("b.data:80"), ["service/data/b", "pod/shop/b.data", "pod/data/b", "b.data"]);
        assert_eq!(of("b.data.svc:80"), ["service/data/b"]);
        assert_eq!(of("b-0.b.data.svc.cluster.local:80"), ["pod/data/b-0"]);
        assert_eq!(of("http://b.data/"), ["service/data/b", "b.data"]);
        assert_eq!(of("http://b/"), ["service/shop/b"]);
        assert_eq!(of("db.example.com:5432"), ["db.example.com"]);
        let callers = |from: &str| read(from, "b:80").unwrap().from.candidates("shop")[..1].to_vec();
        assert_eq!(callers("a")[0].to_string(), "pod/shop/a");
        assert_eq!(callers("deploy/a")[0].to_string(), "deployment/shop/a");
    }
}
