//! Addresses that a server binds to, in every common notation.

use std::net::IpAddr;

use crate::model::cause::ListenerOnLoopback;
use crate::text::{Url, Words};

/// The address that a socket is bound to, parsed from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bind {
    /// 127.0.0.1, or another address of 127/8.
    LoopbackV4,
    /// `::1`
    LoopbackV6,
    /// `::ffff:127.0.0.1`: an IPv6 socket that only accepts IPv4 connections from the pod itself.
    LoopbackMapped,
    /// `0.0.0.0`
    AnyV4,
    /// `::` or `*`: both families, or IPv6 only if the socket is set so.
    AnyV6,
    /// A port without an address: most servers then bind to all addresses, but the text does not prove it.
    Unspecified,
    /// One address, such as the pod's own.
    Address(IpAddr),
}

impl Bind {
    /// Whether only processes of the same pod can reach it.
    pub fn is_loopback(self) -> bool {
        matches!(self, Self::LoopbackV4 | Self::LoopbackV6 | Self::LoopbackMapped)
    }

    /// Whether other pods can reach it.
    pub fn is_reachable(self) -> bool {
        matches!(self, Self::AnyV4 | Self::AnyV6 | Self::Address(_))
    }

    /// The variant of `ListenerOnLoopback`; none for other addresses.
    pub fn loopback_cause(self) -> Option<ListenerOnLoopback> {
        match self {
            Self::LoopbackV4 => Some(ListenerOnLoopback::Ipv4),
            Self::LoopbackV6 => Some(ListenerOnLoopback::Ipv6),
            Self::LoopbackMapped => Some(ListenerOnLoopback::Mapped),
            _ => None,
        }
    }

    /// What an address means to a socket that is bound to it.
    pub fn of_ip(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) if ip.is_loopback() => Self::LoopbackV4,
            IpAddr::V4(ip) if ip.is_unspecified() => Self::AnyV4,
            IpAddr::V6(ip) if ip.is_loopback() => Self::LoopbackV6,
            IpAddr::V6(ip) if ip.is_unspecified() => Self::AnyV6,
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(inner) if inner.is_loopback() => Self::LoopbackMapped,
                Some(inner) if inner.is_unspecified() => Self::AnyV4,
                Some(inner) => Self::Address(inner.into()),
                None => Self::Address(ip.into()),
            },
            IpAddr::V4(_) => Self::Address(ip),
        }
    }
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoopbackV4 => f.write_str("127.0.0.1"),
            Self::LoopbackV6 => f.write_str("::1"),
            Self::LoopbackMapped => f.write_str("::ffff:127.0.0.1"),
            Self::AnyV4 => f.write_str("0.0.0.0"),
            Self::AnyV6 => f.write_str("::"),
            Self::Unspecified => f.write_str("unknown address"),
            Self::Address(ip) => write!(f, "{ip}"),
        }
    }
}

/// An address and a port that a server is configured to bind to, or reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindAddress {
    /// The address.
    pub bind: Bind,
    /// The port, if there is one.
    pub port: Option<u16>,
}

impl BindAddress {
    /// Reads `127.0.0.1:8080`, `[::1]:80`, `:8080`, `*`, `localhost`, `http://0.0.0.0:5000/`, Java's `localhost/127.0.0.1:9042` and Node's `:::3000`.
    /// None for a Unix socket, a host name other than localhost, a bare number, and anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '`'));
        let url = Url::parse(text);
        let text = match url.scheme {
            // Only a client writes user information.
            Some(scheme) if !SCHEMES.has(&scheme.to_ascii_lowercase()) || url.user.is_some() => return None,
            Some(_) => url.host,
            None => java(without_kind(text)),
        };
        let (host, port) = split_port(text)?;
        let bind = host_bind(host)?;
        (bind != Bind::Unspecified || port.is_some()).then_some(Self { bind, port })
    }

    /// The address alone: `127.0.0.1`, `localhost`; also with a port, which wins over `port`.
    pub fn with_port(text: &str, port: Option<u16>) -> Option<Self> {
        let mut parsed = Self::parse(text)?;
        parsed.port = parsed.port.or(port);
        Some(parsed)
    }

    /// A port without an address.
    pub fn of_port(port: u16) -> Self {
        Self {
            bind: Bind::Unspecified,
            port: Some(port),
        }
    }
}

impl std::fmt::Display for BindAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.bind, self.port) {
            (Bind::Unspecified, Some(port)) => write!(f, "port {port}"),
            (bind @ (Bind::LoopbackV6 | Bind::LoopbackMapped | Bind::AnyV6 | Bind::Address(IpAddr::V6(_))), Some(port)) => {
                write!(f, "[{bind}]:{port}")
            }
            (bind, Some(port)) => write!(f, "{bind}:{port}"),
            (bind, None) => write!(f, "{bind}"),
        }
    }
}

/// The parts of a written address, so that it can be shown or changed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// A scheme, or the kind of the socket: `http://`, `tcp:`.
    before: &'a str,
    /// The host, with its brackets.
    host: &'a str,
    /// `:8080`
    port: &'a str,
    /// A path or anything else that follows.
    after: &'a str,
}

impl<'a> Written<'a> {
    /// The parts of what [`BindAddress::parse`] reads.
    pub fn parse(text: &'a str) -> Option<Self> {
        BindAddress::parse(text)?;
        let text = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '`'));
        let rest = text.split_once("://").map_or_else(|| without_kind(text), |(_, rest)| rest);
        let before = &text[..text.len() - rest.len()];
        let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let bare = authority.parse::<IpAddr>().is_ok() && !is_joined(authority);
        let host_end = match authority.find(']') {
            Some(end) => end + 1,
            None if bare => authority.len(),
            None => authority.rfind(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(host_end);
        Some(Self { before, host, port, after })
    }

    /// As written, without what follows the address.
    pub fn shown(&self) -> String {
        let after = if matches!(self.after, "" | "/") { self.after } else { "/…" };
        format!("{}{}{}{after}", self.before, self.host, self.port)
    }

    /// [`Self::shown`], changed to bind to all addresses.
    pub fn opened(&self, ipv6_only: bool) -> Self {
        let v6 = ipv6_only || self.host.contains("::");
        let is_bare = self.before.is_empty() && self.port.is_empty() && !self.host.starts_with('[');
        let host = match (v6, is_bare) {
            (false, _) => "0.0.0.0",
            (true, true) => "::",
            (true, false) => "[::]",
        };
        Self { host, ..*self }
    }
}

/// One or several addresses in the form of [`Written::shown`]; anything else is left out.
pub fn shown(text: &str) -> String {
    mapped(text, |part| {
        Written::parse(part).map_or_else(|| "…".to_owned(), |written| written.shown())
    })
}

/// One or several addresses, with each loopback address changed to all addresses.
pub fn opened(text: &str, ipv6_only: bool) -> String {
    mapped(text, |part| {
        let is_loopback = BindAddress::parse(part).is_some_and(|address| address.bind.is_loopback());
        match Written::parse(part).filter(|_| is_loopback) {
            Some(written) => written.opened(ipv6_only).shown(),
            None => part.to_owned(),
        }
    })
}

/// Replaces each address of a list; Redis writes a hyphen before an optional one.
fn mapped(text: &str, change: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for piece in text.split_inclusive([',', ' ', ';']) {
        let part = piece.trim_end_matches([',', ' ', ';']);
        let bare = part.strip_prefix('-').unwrap_or(part);
        out.push_str(&part[..part.len() - bare.len()]);
        match bare {
            // Redis writes every IPv6 address like this.
            "" | "::*" => out.push_str(bare),
            _ => out.push_str(&change(bare)),
        }
        out.push_str(&piece[part.len()..]);
    }
    out
}

/// A port number; 0 means any port and gives none.
pub fn port(text: &str) -> Option<u16> {
    text.trim()
        .trim_matches(|c| matches!(c, '"' | '\'' | ':'))
        .parse()
        .ok()
        .filter(|port| *port > 0)
}

/// Schemes of listening addresses; `unix` and `fd` have no port, and `postgres://` is a client's.
const SCHEMES: Words = Words(
    "http, https, tcp, tcp4, tcp6, ssl, tls, ws, wss, grpc, h2c, plaintext, sasl_plaintext, sasl_ssl, \
     internal, external, client, controller, broker, amqp, mqtt",
);

/// Twisted and others write the socket type before the address: `tcp6:[::]:80`, `tls:0.0.0.0:443`.
pub fn without_kind(text: &str) -> &str {
    match text.split_once(':') {
        Some(("tcp" | "tcp4" | "tcp6" | "udp" | "udp4" | "udp6" | "tls" | "ssl" | "http" | "https" | "grpc", rest))
            if rest.contains(':') =>
        {
            rest
        }
        _ => text,
    }
}

/// Java prints a name before the address that it resolved to: `localhost/127.0.0.1:9042`, `/0:0:0:0:0:0:0:0:9000`.
fn java(text: &str) -> &str {
    match text.split_once('/') {
        Some((name, rest)) if rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '[' | ':')) && !name.contains(':') => {
            rest.split('/').next().unwrap_or(rest)
        }
        // `127.0.0.1:8080/metrics`
        Some((address, _)) if !address.is_empty() => address,
        _ => text,
    }
}

/// Splits address and port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(number) => Some((host, Some(number.parse().ok().filter(|port| *port > 0)?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    if text.parse::<IpAddr>().is_ok() && !is_joined(text) {
        return Some((text, None));
    }
    match text.rsplit_once(':') {
        Some((host, number)) => Some((host, Some(number.parse().ok().filter(|port| *port > 0)?))),
        None => Some((text, None)),
    }
}

/// `::1:3000` reads as an IPv6 address, but Node and netstat write `::1` and a port like this.
fn is_joined(text: &str) -> bool {
    text.strip_prefix("::1:")
        .is_some_and(|port| port.len() >= 2 && port.bytes().all(|c| c.is_ascii_digit()))
}

/// The bind address of a host; none for an unknown name.
fn host_bind(host: &str) -> Option<Bind> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let plain = host.split('%').next().unwrap_or_default();
    match plain {
        "" => return Some(Bind::Unspecified),
        "*" | "+" => return Some(Bind::AnyV6),
        // Django's short form, and inet_aton's.
        "0" | "0.0" => return Some(Bind::AnyV4),
        "localhost" | "localhost4" | "localhost.localdomain" | "ip4-localhost" | "_local_" => return Some(Bind::LoopbackV4),
        "localhost6" | "ip6-localhost" | "ip6-loopback" | "localhost6.localdomain6" => return Some(Bind::LoopbackV6),
        _ => {}
    }
    if let Ok(ip) = plain.parse::<IpAddr>() {
        return Some(Bind::of_ip(ip));
    }
    // `127.1`
    let parts: Option<Vec<u32>> = plain.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some([127, .., last]) if parts.as_ref().is_some_and(|p| p.len() < 4) && *last < 1 << 24 => Some(Bind::LoopbackV4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_written_form_of_an_address() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.53", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("LOCALHOST:8080", "127.0.0.1:8080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("[::1]:80", "[::1]:80"),
            ("::1:3000", "[::1]:3000"),
            ("[::1%lo]:80", "[::1]:80"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80"),
            ("[::ffff:7f00:1]:80", "[::ffff:127.0.0.1]:80"),
            ("0.0.0.0", "0.0.0.0"),
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("0:8000", "0.0.0.0:8000"),
            ("::", "::"),
            ("[::]:8080", "[::]:8080"),
            (":::8080", "[::]:8080"),
            ("*", "::"),
            ("*:8080", "[::]:8080"),
            ("http://*:8080", "[::]:8080"),
            ("http://+:80", "[::]:80"),
            (":8080", "port 8080"),
            ("http://127.0.0.1:5000", "127.0.0.1:5000"),
            ("http://localhost:5000/", "127.0.0.1:5000"),
            ("http://[::1]:5000/path?x=1", "[::1]:5000"),
            ("tcp://0.0.0.0:3000", "0.0.0.0:3000"),
            ("PLAINTEXT://localhost:9092", "127.0.0.1:9092"),
            ("PLAINTEXT://:9092", "port 9092"),
            ("/127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost/127.0.0.1:9042", "127.0.0.1:9042"),
            ("/0:0:0:0:0:0:0:0:9000", "[::]:9000"),
            ("0.0.0.0/0.0.0.0:2181", "0.0.0.0:2181"),
            ("/[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("127.0.0.1:8080/metrics", "127.0.0.1:8080"),
            ("'127.0.0.1'", "127.0.0.1"),
            ("tcp6:[::]:80", "[::]:80"),
            ("tls:127.0.0.1:443", "127.0.0.1:443"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[fd00::1]:80", "[fd00::1]:80"),
        ] {
            assert_eq!(BindAddress::parse(text).map(|a| a.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn values_that_are_no_listen_address() {
        for text in [
            "unix:/run/app.sock",
            "unix:///run/app.sock",
            "/run/app.sock",
            "fd://3",
            "",
            ":",
            "http://",
            "postgres://localhost:5432/db",
            "redis://127.0.0.1:6379",
            "http://user:pw@localhost:80",
            "db",
            "db:5432",
            "localhost.example.com:80",
            "8080",
            "127.0.0.1:http",
            "127.0.0.1:0",
            "[::1",
            "300.1.1.1",
            "main.go:42",
            "12:30:01",
        ] {
            let parsed = BindAddress::parse(text);
            assert_eq!(parsed, None, "{text}");
        }
    }

    #[test]
    fn only_the_address_is_changed_and_unknown_text_is_not_shown() {
        for (text, seen, open) in [
            ("127.0.0.1", "127.0.0.1", "0.0.0.0"),
            ("localhost:8080", "localhost:8080", "0.0.0.0:8080"),
            ("tcp:127.0.0.1:5432", "tcp:127.0.0.1:5432", "tcp:0.0.0.0:5432"),
            ("tcp6:[::1]:80", "tcp6:[::1]:80", "tcp6:[::]:80"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "http://0.0.0.0:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/", "http://0.0.0.0:8080/"),
            ("http://localhost:80/hunter2", "http://localhost:80/…", "http://0.0.0.0:80/…"),
            ("127.0.0.1:8080/hunter2", "127.0.0.1:8080/…", "0.0.0.0:8080/…"),
            ("http://127.0.0.1:80?token=hunter2", "http://127.0.0.1:80/…", "http://0.0.0.0:80/…"),
            ("::1", "::1", "::"),
            ("::1:3000", "::1:3000", "[::]:3000"),
            ("[::1]:3000", "[::1]:3000", "[::]:3000"),
            ("[::1]", "[::1]", "[::]"),
            ("127.0.0.1 -::1", "127.0.0.1 -::1", "0.0.0.0 -::"),
            ("127.0.0.1,10.0.0.5:80", "127.0.0.1,10.0.0.5:80", "0.0.0.0,10.0.0.5:80"),
            ("* -::*", "* -::*", "* -::*"),
            ("127.0.0.1,hunter2", "127.0.0.1,…", "0.0.0.0,hunter2"),
        ] {
            assert_eq!((shown(text), opened(text, false)), (seen.to_owned(), open.to_owned()), "{text}");
        }
        assert_eq!(opened("127.0.0.1:80", true), "[::]:80");
        assert_eq!(opened("127.0.0.1", true), "::");
    }

    #[test]
    fn loopback_addresses_have_a_cause_and_others_none() {
        for (text, cause) in [
            ("127.0.0.53", Some("ipv4")),
            ("::1", Some("ipv6")),
            ("::ffff:127.0.0.1", Some("mapped")),
            ("::", None),
            ("0.0.0.0", None),
            (":80", None),
        ] {
            assert_eq!(
                BindAddress::parse(text)
                    .unwrap()
                    .bind
                    .loopback_cause()
                    .map(ListenerOnLoopback::as_str),
                cause,
                "{text}"
            );
        }
    }
}
