//! `--from` and `--to` as they are written.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::cmd::exit::Failure;
use crate::model::finding::ObjectRef;
use crate::model::kind::{self, Kind};
use crate::rules::network_policy::connection::AskedPort;

/// The two ends of a connection that is asked about.
#[derive(Debug, Args)]
pub struct BetweenArgs {
    /// Say whether anything stops a connection from this pod or workload to that of --to; evaluated, not dialled
    #[arg(
        long,
        value_name = "TYPE/NAME",
        requires = "to",
        conflicts_with_all = ["targets", "all_namespaces", "selector", "field_selector", "container", "ignore", "fail_on", "exec", "debug_image", "watch"]
    )]
    from: Option<String>,
    /// Who is called: svc/NAME:PORT, svc/NAME.NAMESPACE:PORT, pod/NAME:PORT or ADDRESS:PORT; /UDP behind it names a protocol
    #[arg(long, value_name = "TYPE/NAME:PORT", requires = "from")]
    to: Option<String>,
}

/// What the two flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    /// Who calls.
    pub from: (Kind, String),
    /// Who is called.
    pub to: Called,
    /// On which port.
    pub port: Option<AskedPort>,
    /// `TCP`, `UDP` or `SCTP`, where it is said.
    pub protocol: Option<String>,
}

/// Who is called, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// An object; names of pods and workloads may have dots, so that the last part may be a namespace or not.
    Named(Kind, String),
    /// An address.
    Address(IpAddr),
}

impl Called {
    /// The objects that may be meant, seen from a namespace, the likeliest first.
    pub fn candidates(&self, namespace: &str) -> Vec<ObjectRef> {
        let Self::Named(kind, name) = self else { return Vec::new() };
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
}

impl BetweenArgs {
    /// What the flags ask; none where they are not given.
    pub fn read(&self) -> Result<Option<Between>, Failure> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            return Ok(None);
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

fn caller(text: &str) -> Result<(Kind, String), Failure> {
    let (kind_name, name) = text.split_once('/').unwrap_or(("pod", text));
    let kind = known(kind_name, "--from")?;
    if !kind::RUN_PODS.contains(&kind) {
        return Err(
            Failure::usage(format!("--from: a {} calls nobody", kind.singular())).hint("name a pod or a workload, as deployment/web")
        );
    }
    Ok((kind, named(name, text)?))
}

fn known(kind_name: &str, flag: &str) -> Result<Kind, Failure> {
    let known = kind::named(kind_name).cloned();
    known.ok_or_else(|| {
        Failure::usage(format!("{flag}: {kind_name:?} is no type of object that podlife knows")).hint("for example svc/db:5432")
    })
}

fn named(name: &str, text: &str) -> Result<String, Failure> {
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    if is_name {
        Ok(name.to_owned())
    } else {
        Err(Failure::usage(format!("{text:?} names no object")).hint("write TYPE/NAME, for example deployment/web"))
    }
}

type Asked = (Called, Option<AskedPort>, Option<String>);

fn called(text: &str) -> Result<Asked, Failure> {
    let (rest, protocol) = match text.rsplit_once('/') {
        Some((rest, last)) if rest.contains(':') => match last.to_ascii_uppercase() {
            protocol if ["TCP", "UDP", "SCTP"].contains(&protocol.as_str()) => (rest, Some(protocol)),
            _ => return Err(Failure::usage(format!("--to: {last:?} is no protocol")).hint("TCP, UDP or SCTP")),
        },
        _ => (text, None),
    };
    if let Ok(address) = rest.parse::<SocketAddr>() {
        return Ok((Called::Address(address.ip()), Some(AskedPort::Number(address.port())), protocol));
    }
    if rest.parse::<IpAddr>().is_ok() {
        return Err(Failure::usage(format!("--to: which port of {rest}?")).hint("write ADDRESS:PORT, with an IPv6 address in brackets"));
    }
    let (object, port) = match rest.rsplit_once(':') {
        Some((object, port)) => (object, Some(asked_port(port)?)),
        None => (rest, None),
    };
    let Some((kind_name, name)) = object.split_once('/') else {
        return Err(Failure::usage(format!("--to: {object:?} has no type")).hint("for example svc/db:5432 or pod/db-0:5432"));
    };
    let kind = known(kind_name, "--to")?;
    if kind != kind::SERVICE && !kind::RUN_PODS.contains(&kind) {
        return Err(Failure::usage(format!("--to: nobody connects to a {}", kind.singular()))
            .hint("name a Service, a pod, a workload or an address"));
    }
    Ok((Called::Named(kind, named(name, object)?), port, protocol))
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
        let service = |name: &str| Called::Named(kind::SERVICE, name.to_owned());
        for (to, called, port, protocol) in [
            ("svc/b:80", service("b"), number(80), None),
            (
                "services/b.data:http",
                service("b.data"),
                Some(AskedPort::Name("http".to_owned())),
                None,
            ),
            ("svc/dns.kube-system:53/udp", service("dns.kube-system"), number(53), Some("UDP")),
            ("service/b", service("b"), None, None),
            ("pod/b:8080", Called::Named(kind::POD, "b".to_owned()), number(8080), None),
            ("10.0.0.1:443", Called::Address("10.0.0.1".parse().unwrap()), number(443), None),
            (
                "[fd00::1]:443/tcp",
                Called::Address("fd00::1".parse().unwrap()),
                number(443),
                Some("TCP"),
            ),
        ] {
            let between = read("deploy/a", to).unwrap();
            assert_eq!(
                (between.to, between.port, between.protocol.as_deref()),
                (called, port, protocol),
                "{to}"
            );
        }
        assert_eq!(read("a", "svc/b:80").unwrap().from, (kind::POD, "a".to_owned()));
        for (from, to) in [
            ("svc/a", "svc/b:80"),
            ("pod/", "svc/b:80"),
            ("pod/a", "b:80"),
            ("pod/a", "svc/b:0"),
            ("pod/a", "svc/b:70000"),
            ("pod/a", "svc/b:80/icmp"),
            ("pod/a", "cm/b:80"),
            ("pod/a", "10.0.0.1"),
            ("pod/a", "svc/:80"),
            ("pod/a", "widget/b:80"),
        ] {
            assert!(read(from, to).is_err(), "{from} {to}");
        }
    }

    #[test]
    fn a_name_with_dots_may_have_a_namespace_in_it() {
        let of = |to: &str| -> Vec<String> {
            let between = read("pod/a", to).unwrap();
            between.to.candidates("shop").iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("svc/b:80"), ["service/shop/b"]);
        assert_eq!(of("svc/b.data:80"), ["service/data/b"]);
        assert_eq!(of("svc/b.data.svc.cluster.local:80"), ["service/data/b"]);
        assert_eq!(of("pod/b.data:80"), ["pod/shop/b.data", "pod/data/b"]);
        assert_eq!(of("deployment/b:80"), ["deployment/shop/b"]);
    }
}
