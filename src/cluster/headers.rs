//! The headers of requests: our own user agent, and those that the user adds.

use http::header::{HeaderName, HeaderValue};

/// Headers that are sent with a question. Their values are marked as sensitive: they are in no debug text.
pub type Headers = Vec<(HeaderName, HeaderValue)>;

pub(super) fn user_agent() -> String {
    format!(
        "kubectl-podlife/{} ({}/{})",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    )
}

/// Puts headers into a request: one that is named more than once is sent as often, and takes the place of our own.
pub(super) fn put(into: &mut http::HeaderMap, headers: &Headers) {
    for (name, _) in headers {
        into.remove(name);
    }
    for (name, value) in headers {
        into.append(name, value.clone());
    }
}
