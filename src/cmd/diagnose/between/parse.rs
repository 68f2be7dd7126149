//! `--from` and `--to` as they are written.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::cmd::exit::Failure;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::rules::dependency::names;
use crate::rules::network_policy::connection::{AskedPort, Target};

/// The two ends of a connection that is asked about.
#[derive(Debug, Args)]
pub struct BetweenArgs {
    /// Say whether anything stops a connection from this pod or workload to that of --to
    #[arg(
        long,
        value_name = "[TYPE/]NAME",
        conflicts_with_all = ["targets", "all_namespaces", "selector", "field_selector", "container", "ignore", "fail_on", "exec", "debug_image", "watch"]
    )]
    from: Option<String>,
    /// Who is called: svc/NAME:PORT, NAME.NAMESPACE:PORT, pod/NAME:PORT, ADDRESS:PORT or a URL; /UDP behind a port names a protocol
    #[arg(long, value_name = "[TYPE/]NAME:PORT")]
    to: Option<String>,
}

/// What the two flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    /// Who calls.
    pub from: Caller,
    /// Who is called.
    pub to: Called,
    /// On which port.
    pub port: Option<AskedPort>,
    /// `TCP`, `UDP` or `SCTP`, where it is said.
    pub protocol: Option<String>,
}

/// Who calls, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An object of a kind.
    Named(Kind, String),
    /// A name alone: a pod, or else a workload.
    Bare(String),
}

impl Caller {
    /// What may be meant in a namespace, in the order in which it is tried.
    pub fn candidates(&self, namespace: &str) -> Vec<ObjectRef> {
        match self {
            Self::Named(kind, name) => vec![ObjectRef::new(kind, namespace, name)],
            Self::Bare(name) => kind::RUN_PODS.iter().map(|kind| ObjectRef::new(kind, namespace, name)).collect(),
        }
    }
}

/// Who is called, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// An object; names of pods and workloads may have dots, so that the last part may be a namespace or not.
    Named(Kind, String),
    /// A name as clients write it: of a Service, perhaps with its namespace or in full, else of a pod or workload, or of a host outside.
    Bare {
        /// The name.
        name: String,
        /// Whether it stood in a URL, which only hosts do.
        is_host: bool,
    },
    /// An address.
    Address(IpAddr),
}

impl Called {
    /// Whether it stood in a URL.
    pub const fn is_host(&self) -> bool {
        matches!(self, Self::Bare { is_host: true, .. })
    }

    /// What may be meant, seen from a namespace, the likeliest first.
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

/// Names as the cluster's DNS has them come first, for they are what clients dial.
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

impl BetweenArgs {
    /// What the flags ask; none where they are not given.
    pub fn read(&self) -> Result<Option<Between>, Failure> {
        let (from, to) = match (&self.from, &self.to) {
            (None, None) => return Ok(None),
            (Some(from), Some(to)) => (from, to),
            (Some(_), None) => return Err(Failure::usage("--from needs --to: who is called?").hint("for example --to svc/db:5432")),
            (None, Some(_)) => return Err(Failure::usage("--to needs --from: who calls?").hint("for example --from deployment/web")),
        };
        let (to, port, protocol) = called(to)?;
        Ok(Some(Between {
            from: caller(from)?,
            to,
            port,
            protocol,
        }))
    }
}

fn caller(text: &str) -> Result<Caller, Failure> {
    let Some((kind_name, name)) = text.split_once('/') else {
        return Ok(Caller::Bare(named(text, text)?));
    };
    let kind = known(kind_name, "--from")?;
    if !kind::RUN_PODS.contains(&kind) {
        return Err(
            Failure::usage(format!("--from: a {} calls nobody", kind.singular())).hint("name a pod or a workload, as deployment/web")
        );
    }
    Ok(Caller::Named(kind, named(name, text)?))
}

fn known(kind_name: &str, flag: &str) -> Result<Kind, Failure> {
    let known = kind::named(kind_name).cloned();
    known.ok_or_else(|| {
        let hint = match flag {
            "--from" => "write TYPE/NAME, for example deployment/web; -n names its namespace",
            _ => "write TYPE/NAME:PORT, for example svc/db:5432; a namespace stands behind the name: svc/db.data:5432",
        };
        Failure::usage(format!("{flag}: {kind_name:?} is no type of object that podlife knows")).hint(hint)
    })
}

fn named(name: &str, text: &str) -> Result<String, Failure> {
    let is_name = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        && name.split('.').all(|label| !label.is_empty());
    if is_name {
        Ok(name.to_owned())
    } else {
        Err(Failure::usage(format!("{text:?} names no object")).hint("write TYPE/NAME, for example deployment/web"))
    }
}

type Asked = (Called, Option<AskedPort>, Option<String>);

fn called(text: &str) -> Result<Asked, Failure> {
    if text.contains("://") {
        return url(text);
    }
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, last)) if rest.contains(':') => match last.to_ascii_uppercase() {
            protocol if ["TCP", "UDP", "SCTP"].contains(&protocol.as_str()) => (rest, Some(protocol)),
            _ => {
                return Err(Failure::usage(format!("--to: {last:?} behind the port is no protocol"))
                    .hint("TCP, UDP or SCTP; an address with a path begins with http:// or https://"));
            }
        },
        _ => (text, None),
    };
    if let Ok(address) = rest.parse::<SocketAddr>() {
        return match address.port() {
            0 => asked_port("0").map(|port| (Called::Address(address.ip()), Some(port), protocol)),
            port => Ok((Called::Address(address.ip()), Some(AskedPort::Number(port)), protocol)),
        };
    }
    if rest.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(Failure::usage(format!("--to: which port of {rest}?")).hint("write ADDRESS:PORT, with an IPv6 address in brackets"));
    }
    let (object, port) = match rest.rsplit_once(':') {
        Some((object, port)) => (object, Some(asked_port(port)?)),
        None => (rest, None),
    };
    if let Ok(ip) = object.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok((Called::Address(ip), port, protocol));
    }
    let Some((kind_name, name)) = object.split_once('/') else {
        if object.contains('.') && object.chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(Failure::usage(format!("--to: {object} is neither an address nor a name"))
                .hint("an IPv4 address has four numbers from 0 to 255, without a zero in front"));
        }
        let name = named(object.trim_end_matches('.'), object)?;
        return Ok((Called::Bare { name, is_host: false }, port, protocol));
    };
    let kind = known(kind_name, "--to")?;
    if kind != kind::SERVICE && !kind::RUN_PODS.contains(&kind) {
        return Err(Failure::usage(format!("--to: nobody connects to a {}", kind.singular()))
            .hint("name a Service, a pod, a workload or an address"));
    }
    Ok((Called::Named(kind, named(name, object)?), port, protocol))
}

/// `http://db.data:8080/path`: host and port count, and the scheme's own port where none is written.
fn url(text: &str) -> Result<Asked, Failure> {
    let Some(mention) = names::authority(text, true) else {
        return Err(Failure::usage(format!("--to: {text:?} has no host and port")).hint("for example http://db.data:8080/"));
    };
    let Some(port) = mention.port else {
        return Err(Failure::usage(format!("--to: which port of {}? its scheme has none", mention.host)).hint("write HOST:PORT"));
    };
    let called = match mention.ip() {
        Some(ip) => Called::Address(ip),
        None => Called::Bare {
            name: mention.host,
            is_host: true,
        },
    };
    Ok((called, Some(AskedPort::Number(port)), None))
}

fn asked_port(text: &str) -> Result<AskedPort, Failure> {
    let is_name = text.chars().any(|c| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(AskedPort::Number(number)),
        _ if is_name => Ok(AskedPort::Name(text.to_owned())),
        _ => Err(Failure::usage(format!("--to: {text:?} is no port")).hint("a number from 1 to 65535, or the name of a port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(from: &str, to: &str) -> Result<Between, String> {
        let args = BetweenArgs {
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
        };
        args.read().map(Option::unwrap).map_err(|f| f.message)
    }

    #[test]
    fn both_ends_are_understood() {
        let number = |n| Some(AskedPort::Number(n));
        let word = |w: &str| Some(AskedPort::Name(w.to_owned()));
        let service = |name: &str| Called::Named(kind::SERVICE, name.to_owned());
        let bare = |name: &str, is_host: bool| Called::Bare {
            name: name.to_owned(),
            is_host,
        };
        let address = |text: &str| Called::Address(text.parse().unwrap());
        for (to, called, port, protocol) in [
            ("svc/b:80", service("b"), number(80), None),
            ("services/b.data:http", service("b.data"), word("http"), None),
            ("svc/dns.kube-system:53/udp", service("dns.kube-system"), number(53), Some("UDP")),
            ("service/b", service("b"), None, None),
            ("pod/b:8080", Called::Named(kind::POD, "b".to_owned()), number(8080), None),
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
            let between = read("deploy/a", to).unwrap();
            assert_eq!(
                (between.to, between.port, between.protocol.as_deref()),
                (called, port, protocol),
                "{to}"
            );
        }
        assert_eq!(read("a", "svc/b:80").unwrap().from, Caller::Bare("a".to_owned()));
        assert_eq!(
            read("deploy/a", "svc/b:80").unwrap().from,
            Caller::Named(kind::DEPLOYMENT, "a".to_owned())
        );
    }

    #[test]
    fn what_makes_no_sense_says_why() {
        for (from, to, says) in [
            ("svc/a", "svc/b:80", "a service calls nobody"),
            ("pod/", "svc/b:80", "names no object"),
            ("shop/web", "svc/b:80", "\"shop\" is no type"),
            ("pod/a", "svc/b:0", "\"0\" is no port"),
            ("pod/a", "10.0.0.1:0", "\"0\" is no port"),
            ("pod/a", "svc/b:", "\"\" is no port"),
            ("pod/a", "b:70000", "\"70000\" is no port"),
            ("pod/a", "svc/b:80/icmp", "no protocol"),
            ("pod/a", "b:80/path", "no protocol"),
            ("pod/a", "cm/b:80", "nobody connects to a configmap"),
            ("pod/a", "10.0.0.1", "which port of 10.0.0.1"),
            ("pod/a", "999.1.1.1:80", "999.1.1.1 is neither an address nor a name"),
            ("pod/a", "010.1.1.1:80", "010.1.1.1 is neither an address nor a name"),
            ("pod/a", "[fd00::1]", "which port of [fd00::1]"),
            ("pod/a", "svc/:80", "names no object"),
            ("pod/a", ":80", "names no object"),
            ("pod/a", "b..c:80", "names no object"),
            ("pod/a", "data/b:80", "\"data\" is no type"),
            ("pod/a", "widget/b:80", "is no type"),
            ("pod/a", "http://", "has no host"),
            ("pod/a", "http://b:99999/", "has no host"),
            ("pod/a", "gopher://b/", "which port of b"),
            ("", "b:80", "names no object"),
        ] {
            let said = read(from, to).unwrap_err();
            assert!(said.contains(says), "{from} {to}: {said}");
        }
        for (from, to, says) in [(Some("a"), None, "--from needs --to"), (None, Some("b:80"), "--to needs --from")] {
            let args = BetweenArgs {
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            };
            assert!(args.read().unwrap_err().message.contains(says));
        }
    }

    #[test]
    fn a_name_may_mean_several_things_and_the_likeliest_is_tried_first() {
        let of = |to: &str| -> Vec<String> {
            let between = read("pod/a", to).unwrap();
            let all = between.to.candidates("shop").into_iter();
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
