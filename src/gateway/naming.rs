//! Sessions that a request names by a header or by its host, where that is switched on. Its path is the application's then.

use std::borrow::Cow;

use http::header::{HOST, HeaderMap, HeaderName};
use http::uri::{Authority, Uri};

use crate::gateway::route;

/// The header that names a session.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");

/// What names sessions besides paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming {
    /// The header `X-Session-Id` does.
    pub(crate) by_header: bool,
    /// Hosts `ID.DOMAIN` of this domain do; in lower case.
    pub(crate) domain: Option<String>,
}

impl Naming {
    /// The id that a request names; none: its path says what it asks for.
    pub(super) fn id(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<String>, &'static str> {
        let of_host = match &self.domain {
            Some(domain) => host(headers, uri)?.map_or(Ok(None), |host| id_of_host(&host, domain))?,
            None => None,
        };
        let of_header = if self.by_header { of_header(headers)? } else { None };
        match (of_host, of_header) {
            (Some(host), Some(header)) if host != header => Err("the host and X-Session-Id name different sessions"),
            (host, header) => Ok(host.or(header)),
        }
    }
}

/// The host that a request is for. Where it is said twice, both have to say the same.
fn host(headers: &HeaderMap, uri: &Uri) -> Result<Option<Authority>, &'static str> {
    let said = headers.get(HOST).map(|host| Authority::try_from(host.as_bytes()));
    let said = said.transpose().map_err(|_| "the Host header is not a host")?;
    match (said, uri.authority()) {
        (Some(said), Some(target)) if said != *target => Err("the request URL and the Host header have different hosts"),
        (said, target) => Ok(said.or_else(|| target.cloned())),
    }
}

/// The id that a host names: the one label before the domain.
fn id_of_host(host: &Authority, domain: &str) -> Result<Option<String>, &'static str> {
    let name = host.host().trim_end_matches('.').to_ascii_lowercase();
    let Some(label) = name.strip_suffix(domain).and_then(|before| before.strip_suffix('.')) else {
        return Ok(None);
    };
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = (1..=63).contains(&label.len()) && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-');
    let is_plain = host.as_str() == host.host() || host.port().is_some() && !host.as_str().contains('@');
    match is_label && is_plain {
        true => Ok(Some(label.to_owned())),
        false => Err("the host names no session: an id in a host is one label, of letters, digits and -"),
    }
}

fn of_header(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut all = headers.get_all(SESSION_ID).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err("the header X-Session-Id may be sent only once"),
        (Some(one), None) => {
            let text = one.to_str().map_err(|_| "X-Session-Id is not percent-encoded text")?;
            route::id(text).map(Cow::into_owned).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn id(naming: &Naming, target: &str, pairs: &[(&'static str, &'static str)]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        naming.id(&headers, &target.parse().unwrap())
    }

    fn both() -> Naming {
        Naming {
            by_header: true,
            domain: Some("sessions.example".to_owned()),
        }
    }

    #[test]
    fn nothing_names_a_session_that_is_not_switched_on() {
        let all = [("x-session-id", "a"), ("host", "b.sessions.example")];
        assert_eq!(id(&Naming::default(), "/", &all), Ok(None));
    }

    #[test]
    fn a_host_names_the_label_before_its_domain() {
        for (host, expected) in [
            ("a.sessions.example", Some("a")),
            ("User-42.Sessions.Example:8080", Some("user-42")),
            ("a.sessions.example.", Some("a")),
            ("sessions.example", None),
            ("a.sessions.example.evil", None),
            ("asessions.example", None),
            ("10.0.0.1:80", None),
            ("[::1]:80", None),
        ] {
            assert_eq!(id(&both(), "/", &[("host", host)]), Ok(expected.map(str::to_owned)), "{host}");
            let target = format!("http://{host}/");
            assert_eq!(id(&both(), &target, &[]), Ok(expected.map(str::to_owned)), "{target}");
        }
        for host in [
            "b.a.sessions.example",
            ".sessions.example",
            "-a.sessions.example",
            "a_b.sessions.example",
            "x@a.sessions.example",
            "%61.sessions.example",
            "a.sessions.example:80:90",
            "a.sessions.example:b",
            "a.sessions.example/x",
            "a b.sessions.example",
        ] {
            assert!(id(&both(), "/", &[("host", host)]).is_err(), "{host}");
        }
    }

    #[test]
    fn a_header_names_an_id_as_a_path_does() {
        for (value, expected) in [("a", "a"), ("team/7", "team/7"), ("team%2F7", "team/7"), ("%C3%A4", "ä")] {
            assert_eq!(
                id(&both(), "/", &[("x-session-id", value)]),
                Ok(Some(expected.to_owned())),
                "{value}"
            );
        }
        for value in ["", "..", "%2e%2e", "%0d", "%zz", "%ff"] {
            assert!(id(&both(), "/", &[("x-session-id", value)]).is_err(), "{value}");
        }
        assert!(id(&both(), "/", &[("x-session-id", "a"), ("x-session-id", "a")]).is_err());
    }

    #[test]
    fn two_that_differ_name_none() {
        let of = |target, pairs: &[_]| id(&both(), target, pairs);
        assert_eq!(
            of("/", &[("host", "a.sessions.example"), ("x-session-id", "a")]),
            Ok(Some("a".to_owned()))
        );
        assert!(of("/", &[("host", "a.sessions.example"), ("x-session-id", "b")]).is_err());
        assert!(of("http://b.sessions.example/", &[("host", "a.sessions.example")]).is_err());
        assert_eq!(
            of("http://A.sessions.example/", &[("host", "a.sessions.example")]),
            Ok(Some("a".to_owned()))
        );
    }
}
