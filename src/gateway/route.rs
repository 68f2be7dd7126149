//! What a request line asks for. A path names a session and nothing else: no part of it becomes an address.

use std::borrow::Cow;

use http::Method;

use crate::cluster::escape;
use crate::session::name::LONGEST_ID;

/// Where the applications of sessions are.
const SESSION: &str = "/api/v1/session/";
/// Where sessions are as objects.
const SESSIONS: &str = "/api/v1/sessions";

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// Something of the application of a session.
    Application {
        id: Cow<'a, str>,
        /// What the client has to put before a path of the application.
        prefix: &'a str,
        /// Path and query that the application gets.
        rest: Cow<'a, str>,
    },
    /// Where a session stands.
    Status(Cow<'a, str>),
    /// A session as an object.
    Session(Cow<'a, str>),
    /// All sessions.
    Sessions,
    /// The description of the API.
    OpenApi,
    /// Whether the process runs.
    Alive,
    /// Whether it can serve.
    Ready,
    /// Nothing that is known.
    Unknown,
}

impl<'a> Route<'a> {
    /// The same for a request that names its session elsewhere: the whole path is the application's. One that names another session is refused, as
    /// whoever has let the request pass may have looked at the path.
    pub(super) fn of_named(self, id: String, target: &'a str) -> Result<Self, &'static str> {
        match self {
            Self::Application { id: other, .. } | Self::Status(other) | Self::Session(other) if other != id => {
                Err("the path names another session than the host or X-Session-Id")
            }
            _ => Ok(Self::Application {
                id: id.into(),
                prefix: "",
                rest: target.into(),
            }),
        }
    }
}

/// Reads path and query; an error says what is wrong with them.
pub(super) fn route<'a>(method: &Method, target: &'a str) -> Result<Route<'a>, &'static str> {
    if let Some(tail) = target.strip_prefix(SESSION) {
        let end = tail.find(['/', '?']).unwrap_or(tail.len());
        let (segment, rest) = tail.split_at(end);
        let id = id(segment)?;
        if matches!(*method, Method::GET | Method::HEAD) && path_of(rest) == "/status" {
            return Ok(Route::Status(id));
        }
        let rest = match rest.starts_with('/') {
            true => Cow::Borrowed(rest),
            false => Cow::Owned(format!("/{rest}")),
        };
        let prefix = &target[..SESSION.len() + segment.len()];
        return Ok(Route::Application { id, prefix, rest });
    }
    let path = path_of(target);
    if let Some(tail) = path.strip_prefix(SESSIONS) {
        return match tail.strip_prefix('/') {
            None if tail.is_empty() => Ok(Route::Sessions),
            Some(segment) if !segment.contains('/') => Ok(Route::Session(id(segment)?)),
            _ => Ok(Route::Unknown),
        };
    }
    Ok(match path {
        "/openapi.json" => Route::OpenApi,
        "/healthz" => Route::Alive,
        "/readyz" => Route::Ready,
        _ => Route::Unknown,
    })
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// The id that a segment of a path stands for, or a header. It is decoded once.
pub(super) fn id(segment: &str) -> Result<Cow<'_, str>, &'static str> {
    let id = match segment.contains('%') {
        false => Cow::Borrowed(segment),
        true => Cow::Owned(decoded(segment).ok_or("the session id is not percent-encoded UTF-8")?),
    };
    match &*id {
        "" => Err("the session id is empty"),
        // Proxies on the way and clients take these for steps in the path.
        "." | ".." => Err("a session id of a request cannot be . or .."),
        id if id.len() > LONGEST_ID => Err("the session id is longer than 4096 bytes"),
        id if id.chars().any(char::is_control) => Err("the session id has control characters"),
        _ => Ok(id),
    }
}

fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit()? * 16 + digit()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Where a session is as an object.
pub(super) fn location(id: &str) -> String {
    format!("{SESSIONS}/{}", escape(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Route<'_>, &'static str> {
        route(&Method::GET, target)
    }

    fn application<'a>(id: &'a str, prefix: &'a str, rest: &'a str) -> Result<Route<'a>, &'static str> {
        let (id, rest) = (id.into(), rest.into());
        Ok(Route::Application { id, prefix, rest })
    }

    #[test]
    fn the_prefix_is_taken_off_and_nothing_else() {
        for (target, id, prefix, rest) in [
            ("/api/v1/session/a", "a", "/api/v1/session/a", "/"),
            ("/api/v1/session/a/", "a", "/api/v1/session/a", "/"),
            ("/api/v1/session/a?x=1", "a", "/api/v1/session/a", "/?x=1"),
            ("/api/v1/session/a/b/c?x=/y", "a", "/api/v1/session/a", "/b/c?x=/y"),
            ("/api/v1/session/a//b", "a", "/api/v1/session/a", "//b"),
            ("/api/v1/session/a/../b/x", "a", "/api/v1/session/a", "/../b/x"),
            ("/api/v1/session/a/%2e%2e/b", "a", "/api/v1/session/a", "/%2e%2e/b"),
            ("/api/v1/session/a%2Fb/c", "a/b", "/api/v1/session/a%2Fb", "/c"),
            ("/api/v1/session/%2561/c", "%61", "/api/v1/session/%2561", "/c"),
            ("/api/v1/session/a/statuses", "a", "/api/v1/session/a", "/statuses"),
            ("/api/v1/session/%C3%A4/", "ä", "/api/v1/session/%C3%A4", "/"),
        ] {
            assert_eq!(get(target), application(id, prefix, rest), "{target}");
        }
        assert_eq!(
            route(&Method::POST, "/api/v1/session/a/status"),
            application("a", "/api/v1/session/a", "/status")
        );
    }

    #[test]
    fn a_session_that_is_named_elsewhere_gets_the_whole_path() {
        for target in ["/x/../y?q=%2f", "/healthz", "/api/v1/sessions", "/api/v1/session/a/x", "//b", "*"] {
            let named = get(target).unwrap().of_named("a".to_owned(), target);
            assert_eq!(named, application("a", "", target), "{target}");
        }
        for target in ["/api/v1/session/b/x", "/api/v1/session/b/status", "/api/v1/sessions/b"] {
            assert!(get(target).unwrap().of_named("a".to_owned(), target).is_err(), "{target}");
        }
    }

    #[test]
    fn paths_beside_those_of_applications() {
        assert_eq!(get("/api/v1/session/a/status?x"), Ok(Route::Status("a".into())));
        assert_eq!(get("/api/v1/sessions"), Ok(Route::Sessions));
        assert_eq!(get("/api/v1/sessions?limit=1"), Ok(Route::Sessions));
        assert_eq!(get("/api/v1/sessions/a%20b"), Ok(Route::Session("a b".into())));
        assert_eq!(get("/healthz"), Ok(Route::Alive));
        for unknown in [
            "/",
            "*",
            "/api/v1/sessions/a/b",
            "/api/v1/sessionsx",
            "/api/v1/session",
            "//api/v1/session/a/",
            "/healthz/",
        ] {
            assert_eq!(get(unknown), Ok(Route::Unknown), "{unknown}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let long = format!("/api/v1/session/{}/", "x".repeat(4097));
        for target in [
            "/api/v1/session//x",
            "/api/v1/session/../x",
            "/api/v1/session/%2e%2E/x",
            "/api/v1/session/./x",
            "/api/v1/session/%/x",
            "/api/v1/session/%2/x",
            "/api/v1/session/%zz/x",
            "/api/v1/session/%ff/x",
            "/api/v1/session/a%00/x",
            "/api/v1/session/a%0d%0ab/x",
            "/api/v1/sessions/",
            &long,
        ] {
            assert!(get(target).is_err(), "{target}");
        }
    }

    #[test]
    fn an_id_as_a_segment_is_read_as_the_same_id() {
        for id in ["a", "a/b", "ä b", "%61", "a?b#c", "..a", "x;y=z"] {
            let path = location(id);
            assert_eq!(get(&path), Ok(Route::Session(id.into())), "{path}");
        }
    }
}
