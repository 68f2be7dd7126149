//! Headers on their way to an application and back: which go on, which are of one connection only, and which the gateway adds.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What a request is called in logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name of a request that a client may choose.
const LONGEST_REQUEST_ID: usize = 128;

/// Names of requests: no two are the same, of whichever gateway.
pub(super) struct RequestIds {
    own: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let own = RandomState::new().hash_one(std::process::id());
        let next = AtomicU64::new(0);
        Self { own, next }
    }

    /// The name that a request has, or gets.
    pub(super) fn name(&self, headers: &mut HeaderMap) -> HeaderValue {
        let is_name = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=LONGEST_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        };
        if let Some(known) = headers.get(REQUEST_ID).filter(is_name).cloned() {
            // The application must not read another one of the same name.
            headers.insert(REQUEST_ID, known.clone());
            return known;
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let name = HeaderValue::try_from(format!("{:016x}{next:016x}", self.own));
        let name = name.unwrap_or_else(|_| HeaderValue::from_static("-"));
        headers.insert(REQUEST_ID, name.clone());
        name
    }
}

/// Says in an answer what its request is called.
pub(super) fn named(headers: &mut HeaderMap, name: HeaderValue) {
    headers.insert(REQUEST_ID, name);
}

/// Headers of one connection, besides those that `Connection` names (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a client says of itself on the way to a gateway counts only from the gateway.
const FORWARDED: [HeaderName; 6] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// The generation of the pod that a session has.
pub(super) const GENERATION: HeaderName = HeaderName::from_static("x-session-generation");
/// How many seconds a session has left if nobody uses it from now on.
const EXPIRES_IN: HeaderName = HeaderName::from_static("x-session-expires-in");
/// The cookie in which a browser sends its token to the gateway.
pub(super) const COOKIE: &str = "podlife-session-token";

/// How a request came in.
pub(super) struct Origin<'a> {
    pub(super) client: IpAddr,
    pub(super) is_tls: bool,
    pub(super) host: Option<&'a HeaderValue>,
    /// The path that stands before those of the application; empty for none.
    pub(super) prefix: &'a str,
}

/// Prepares the headers of a request for the application. `upgrade`: the protocol that the connection is to change to.
pub(super) fn to_application(headers: &mut HeaderMap, origin: &Origin<'_>, upgrade: Option<&HeaderValue>) {
    let takes_trailers = headers
        .get_all(header::TE)
        .iter()
        .any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case("trailers")));
    strip(headers);
    // The gateway's connection to the client has its own way of asking for a body.
    headers.remove(header::EXPECT);
    headers.remove(header::AUTHORIZATION);
    without_own_cookie(headers);
    for name in FORWARDED {
        headers.remove(name);
    }
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    if let Some(host) = origin.host {
        headers.insert(FORWARDED[2].clone(), host.clone());
        if !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, host.clone());
        }
    }
    // HTTP/1.0 needs none, and the application is asked over HTTP/1.1.
    headers.entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
    for (name, value) in [(&FORWARDED[1], origin.client.to_string().as_str()), (&FORWARDED[3], origin.prefix)] {
        if let Ok(value) = HeaderValue::try_from(value)
            && !value.is_empty()
        {
            headers.insert(name.clone(), value);
        }
    }
    let scheme = if origin.is_tls { "https" } else { "http" };
    headers.insert(FORWARDED[4].clone(), HeaderValue::from_static(scheme));
}

/// Prepares the headers of an answer for the client.
pub(super) fn to_client(headers: &mut HeaderMap, generation: u32, left: Option<Duration>, upgrade: Option<&HeaderValue>) {
    strip(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    headers.insert(GENERATION, generation.into());
    match left {
        Some(left) => headers.insert(EXPIRES_IN, left.as_secs().into()),
        None => headers.remove(EXPIRES_IN),
    };
}

/// The protocol that a message changes its connection to.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut asked = headers.get_all(header::CONNECTION).iter().flat_map(tokens);
    let is_asked = asked.any(|token| token.eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| is_asked)
}

/// Whether a client prefers a word: `Prefer: respond-async`.
pub(super) fn prefers_async(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all("prefer").iter().flat_map(tokens);
    all.any(|token| token.eq_ignore_ascii_case("respond-async"))
}

/// Whether a browser asks for a page.
pub(super) fn takes_page(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(header::ACCEPT).iter().flat_map(tokens);
    all.any(|token| {
        token
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
    })
}

/// Takes away what belongs to the connection that a message came in on.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|token| token.parse().ok())
        .collect();
    // Host and length say what the message is, and the name is the gateway's: a client that names them here means to have them taken away.
    let is_kept = |name: &HeaderName| [header::HOST, header::CONTENT_LENGTH, REQUEST_ID].contains(name);
    for name in named.iter().filter(|name| !is_kept(name)).chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Leaves out the cookie of the gateway. Over HTTP/1.1 there is one header with all the others (RFC 9113, 8.2.3).
fn without_own_cookie(headers: &mut HeaderMap) {
    let is_own = |pair: &str| pair.split('=').next() == Some(COOKIE);
    let all: Vec<&str> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let is_fine = all.len() <= 1 && !all.iter().any(|value| value.contains(COOKIE));
    if is_fine {
        return;
    }
    let pairs = all.iter().flat_map(|value| value.split(';')).map(str::trim);
    let kept: Vec<&str> = pairs.filter(|pair| !pair.is_empty() && !is_own(pair)).collect();
    match HeaderValue::try_from(kept.join("; ")) {
        Ok(value) if !kept.is_empty() => drop(headers.insert(header::COOKIE, value)),
        _ => drop(headers.remove(header::COOKIE)),
    }
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut all = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            all.append(name, value);
        }
        all
    }

    fn sent(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut all = headers(pairs);
        let host = HeaderValue::from_static("gateway.example");
        let origin = Origin {
            client: Ipv4Addr::new(192, 0, 2, 7).into(),
            is_tls: true,
            host: Some(&host),
            prefix: "/api/v1/session/a",
        };
        let upgrade = upgrade(&all).cloned();
        to_application(&mut all, &origin, upgrade.as_ref());
        let mut lines: Vec<String> = all
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .filter(|line| !line.starts_with("x-forwarded-") && !line.starts_with("host: "))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_belongs_to_a_connection_stays_on_it() {
        let all = sent(&[
            ("connection", "close, X-Own, host"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("x-other", "2"),
        ]);
        assert_eq!(all, ["te: trailers", "x-other: 2"]);
    }

    #[test]
    fn an_upgrade_goes_on() {
        let all = sent(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "x"),
        ]);
        assert_eq!(all, ["connection: upgrade", "sec-websocket-key: x", "upgrade: websocket"]);
    }

    #[test]
    fn credentials_of_the_gateway_stay_with_it() {
        let all = sent(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=1; podlife-session-token=x; b=2"),
            ("cookie", "podlife-session-token=x"),
            ("cookie", "c=3"),
        ]);
        assert_eq!(all, ["cookie: a=1; b=2; c=3"]);
        assert!(sent(&[("cookie", "podlife-session-token=x")]).is_empty());
        assert_eq!(
            sent(&[("cookie", "podlife-session-token-2=x")]),
            ["cookie: podlife-session-token-2=x"]
        );
    }

    #[test]
    fn where_a_request_came_from_is_said_by_the_gateway_alone() {
        let mut all = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-host", "evil"),
        ]);
        let host = HeaderValue::from_static("gateway.example");
        let origin = Origin {
            client: Ipv4Addr::new(192, 0, 2, 7).into(),
            is_tls: false,
            host: Some(&host),
            prefix: "/api/v1/session/a",
        };
        to_application(&mut all, &origin, None);
        let expected = headers(&[
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "gateway.example"),
            ("x-forwarded-prefix", "/api/v1/session/a"),
            ("x-forwarded-proto", "http"),
            ("host", "gateway.example"),
        ]);
        assert_eq!(all, expected);
    }

    #[test]
    fn a_request_keeps_its_name_or_gets_one() {
        let ids = RequestIds::new();
        let mut known = headers(&[("x-request-id", "abc-1")]);
        assert_eq!(ids.name(&mut known), "abc-1");
        for wrong in ["", "a b", "\t"] {
            let mut unnamed = headers(&[("x-request-id", wrong)]);
            let name = ids.name(&mut unnamed);
            assert_eq!(name.len(), 32);
            assert_eq!(unnamed["x-request-id"], name);
        }
        assert_ne!(ids.name(&mut HeaderMap::new()), ids.name(&mut HeaderMap::new()));
    }

    #[test]
    fn an_answer_says_the_generation() {
        let mut all = headers(&[
            ("connection", "close"),
            ("x-session-generation", "99"),
            ("content-type", "text/plain"),
        ]);
        to_client(&mut all, 2, Some(Duration::from_secs(60)), None);
        assert_eq!(
            all,
            headers(&[
                ("x-session-generation", "2"),
                ("x-session-expires-in", "60"),
                ("content-type", "text/plain")
            ])
        );
    }

    #[test]
    fn preferences_are_read_in_lists() {
        assert!(prefers_async(&headers(&[("prefer", "wait=1, Respond-Async")])));
        assert!(!prefers_async(&headers(&[("prefer", "wait=1")])));
        assert!(takes_page(&headers(&[("accept", "application/json, text/html;q=0.9")])));
        assert!(!takes_page(&headers(&[("accept", "*/*")])) && !takes_page(&HeaderMap::new()));
    }
}
