//! Who may make requests: everybody, who has a signed token, or whom the API server knows.

mod caller;
pub(crate) mod jwt;
pub(crate) mod keys;
mod review;
mod ring;

use http::{HeaderMap, StatusCode, header};

pub(super) use caller::Caller;
pub(super) use review::{Inquiry, Reviews};

use self::keys::Keys;
use crate::gateway::headers::COOKIE;
use crate::gateway::problem::Problem;

/// How is found out who makes a request.
pub(super) enum Auth {
    /// Nobody is asked.
    Nobody,
    /// By a signed token.
    Jwt(Keys),
    /// By the API server.
    Review(Reviews),
}

impl Auth {
    /// Who makes a request with these headers.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if matches!(self, Self::Nobody) {
            return Ok(Caller::anybody());
        }
        let token = token(headers).ok_or_else(|| unknown("a token is required: Authorization: Bearer TOKEN"))?;
        match self {
            Self::Nobody => Ok(Caller::anybody()),
            Self::Jwt(keys) => keys
                .caller(token)
                .await
                .map_err(|why| unknown(format!("the token is not accepted: {why}"))),
            Self::Review(reviews) => reviews.caller(token).await,
        }
    }
}

/// The token of a request: of its header, or of the gateway's cookie.
fn token(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim())
            .filter(|token| !token.is_empty());
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token)
}

fn unknown(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

/// What everybody is told who asks for a session that is not theirs, whether it exists or not.
pub(super) fn forbidden() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "the token does not allow this session")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_in_a_header_or_in_the_cookie_of_the_gateway() {
        let of = |name: &'static str, value: &'static str| {
            let headers: HeaderMap = [(header::HeaderName::from_static(name), value.parse().unwrap())]
                .into_iter()
                .collect();
            token(&headers).map(str::to_owned)
        };
        assert_eq!(of("authorization", "Bearer x.y.z").as_deref(), Some("x.y.z"));
        assert_eq!(of("authorization", "bearer  x").as_deref(), Some("x"));
        assert_eq!(of("cookie", "a=1; podlife-session-token=x=; b=2").as_deref(), Some("x="));
        for (name, value) in [
            ("authorization", "Basic x"),
            ("authorization", "Bearer "),
            ("cookie", "token=x"),
            ("x-token", "x"),
        ] {
            assert_eq!(of(name, value), None, "{name}: {value}");
        }
    }
}
