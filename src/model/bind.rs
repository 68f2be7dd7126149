//! Addresses that a server binds to, in every form that people and programs write them.

use std::net::IpAddr;

/// What a socket is bound to, as far as text says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bind {
    /// 127.0.0.1, or another address of 127/8.
    LoopbackV4,
    /// `::1`
    LoopbackV6,
    /// `::ffff:127.0.0.1`: an IPv6 socket that takes IPv4 connections of the pod itself only.
    LoopbackMapped,
    /// `0.0.0.0`
    AnyV4,
    /// `::` or `*`: both families, or IPv6 alone where the socket says so.
    AnyV6,
    /// A port without an address: servers take every address then, but text alone does not say so.
    Unspecified,
    /// One address, such as the pod's own.
    Address(IpAddr),
}

impl Bind {
    /// Whether only processes of the same pod get there.
    pub fn is_loopback(self) -> bool {
        matches!(self, Self::LoopbackV4 | Self::LoopbackV6 | Self::LoopbackMapped)
    }

    /// Whether other pods get there as well.
    pub fn is_reachable(self) -> bool {
        matches!(self, Self::AnyV4 | Self::AnyV6 | Self::Address(_))
    }

    /// The variant of `ListenerOnLoopback`; none where it is no loopback address.
    pub fn loopback_cause(self) -> Option<&'static str> {
        match self {
            Self::LoopbackV4 => Some("ipv4"),
            Self::LoopbackV6 => Some("ipv6"),
            Self::LoopbackMapped => Some("mapped"),
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
            Self::Unspecified => f.write_str("an address that it does not say"),
            Self::Address(ip) => write!(f, "{ip}"),
        }
    }
}

/// An address and a port that a server is told to bind to, or says that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindAddress {
    /// The address.
    pub bind: Bind,
    /// The port, where one is said.
    pub port: Option<u16>,
}

impl BindAddress {
    /// Reads `127.0.0.1:8080`, `[::1]:80`, `:8080`, `*`, `localhost`, `http://0.0.0.0:5000/`, Java's `localhost/127.0.0.1:9042` and Node's `:::3000`.
    /// None for a Unix socket, a name that is not surely the loopback, a bare number, and whatever else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '`'));
        let text = match text.split_once("://") {
            Some((scheme, _)) if !is_scheme(scheme) => return None,
            Some((_, rest)) => {
                let authority = rest.split(['/', '?', '#']).next()?;
                // User information is what a client writes.
                if authority.contains('@') {
                    return None;
                }
                authority
            }
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

    /// A port that is written without an address.
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

/// A written address in its parts, so that it can be shown or changed without what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// A scheme, or the kind of the socket: `http://`, `tcp:`.
    before: &'a str,
    /// The host, with its brackets.
    host: &'a str,
    /// `:8080`
    port: &'a str,
    /// A path, and whatever else: it may be anything.
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

    /// As it is written, with what stands behind the address left out.
    pub fn shown(&self) -> String {
        let after = if matches!(self.after, "" | "/") { self.after } else { "/…" };
        format!("{}{}{}{after}", self.before, self.host, self.port)
    }

    /// The same for every address instead of the one that is written, as [`Self::shown`].
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

/// One or several written addresses as [`Written::shown`] has them; what is none is left out.
pub fn shown(text: &str) -> String {
    mapped(text, |part| {
        Written::parse(part).map_or_else(|| "…".to_owned(), |written| written.shown())
    })
}

/// One or several written addresses, each loopback among them opened to all addresses.
pub fn opened(text: &str, ipv6_only: bool) -> String {
    mapped(text, |part| {
        let is_loopback = BindAddress::parse(part).is_some_and(|address| address.bind.is_loopback());
        match Written::parse(part).filter(|_| is_loopback) {
            Some(written) => written.opened(ipv6_only).shown(),
            None => part.to_owned(),
        }
    })
}

/// Puts something in the place of each address of a list; Redis writes a hyphen before one that may be missing.
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

/// A port by its number; 0 asks for any and names none.
pub fn port(text: &str) -> Option<u16> {
    text.trim()
        .trim_matches(|c| matches!(c, '"' | '\'' | ':'))
        .parse()
        .ok()
        .filter(|port| *port > 0)
}

/// Schemes before an address to listen on; `unix` and `fd` lead to no port, and `postgres://` is what a client writes.
fn is_scheme(scheme: &str) -> bool {
    let scheme = scheme.to_ascii_lowercase();
    matches!(
        scheme.as_str(),
        "http"
            | "https"
            | "tcp"
            | "tcp4"
            | "tcp6"
            | "ssl"
            | "tls"
            | "ws"
            | "wss"
            | "grpc"
            | "h2c"
            | "plaintext"
            | "sasl_plaintext"
            | "sasl_ssl"
    ) || matches!(
        scheme.as_str(),
        "internal" | "external" | "client" | "controller" | "broker" | "amqp" | "mqtt"
    )
}

/// Twisted and others write the kind of the socket before the address: `tcp6:[::]:80`, `tls:0.0.0.0:443`.
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

/// Parts address and port.
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

/// What a host means to a socket; none for a name whose address is not known.
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
    fn what_is_no_address_to_listen_on() {
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
    fn what_stands_around_an_address_stays_and_what_may_be_anything_is_not_shown() {
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
            assert_eq!(BindAddress::parse(text).unwrap().bind.loopback_cause(), cause, "{text}");
        }
    }
}
