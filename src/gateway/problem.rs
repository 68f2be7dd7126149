//! Answers of the gateway itself that are no success (RFC 9457), for programs and for browsers.

use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::model::report::Diagnosis;
use crate::render::xml::escape;
use crate::text::{redact, sanitise};

/// Why a request has no answer of an application.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// A word that programs can compare.
    pub(super) kind: &'static str,
    pub(super) detail: String,
    /// Seconds after which another try may help.
    pub(super) retry_after: Option<u32>,
    /// What helps.
    pub(super) hint: Option<String>,
    /// Why the pod does not start.
    pub(super) diagnosis: Option<Box<Diagnosis>>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            retry_after: None,
            hint: None,
            diagnosis: None,
        }
    }

    /// There is nobody left to answer.
    pub(super) fn ending() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "this gateway is shutting down").retry_after(1)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// A failure with a status of its own.
    pub(super) fn of_failure(status: StatusCode, kind: &'static str, failure: Failure) -> Self {
        let mut problem = Self::new(status, kind, failure.message);
        problem.hint = failure.hint;
        problem
    }

    /// What a failure of the session core is to a client.
    pub(super) fn of(failure: Failure) -> Self {
        match failure.exit {
            Exit::Usage => Self::of_failure(StatusCode::BAD_REQUEST, "bad-request", failure),
            Exit::NotFound => Self::of_failure(StatusCode::NOT_FOUND, "no-such-session", failure),
            Exit::NoAnswer => Self::of_failure(StatusCode::SERVICE_UNAVAILABLE, "api-server-away", failure).retry_after(5),
            Exit::TimedOut => Self::of_failure(StatusCode::GATEWAY_TIMEOUT, "not-ready", failure).retry_after(5),
            Exit::Bad => Self::of_failure(StatusCode::CONFLICT, "no-pod", failure),
            _ => Self::of_failure(StatusCode::INTERNAL_SERVER_ERROR, "fault", failure),
        }
    }

    /// Another try may help after so many seconds.
    pub(super) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The answer to a program.
    pub(super) fn answer(&self) -> Response<Bytes> {
        let mut document = json!({
            "type": format!("urn:podlife:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": plain(&self.detail),
        });
        if let Some(hint) = &self.hint {
            document["hint"] = plain(hint).into();
        }
        if let Some(diagnosis) = &self.diagnosis {
            document["diagnosis"] = serde_json::to_value(diagnosis).unwrap_or(Value::Null);
        }
        self.with("application/problem+json", document.to_string())
    }

    /// The answer to a browser.
    pub(super) fn page(&self) -> Response<Bytes> {
        let causes = self.diagnosis.as_ref().map(|diagnosis| diagnosis.root_causes.as_slice());
        let mut lines = vec![plain(&self.detail)];
        lines.extend(causes.unwrap_or_default().iter().map(|cause| plain(&cause.summary)));
        let title = self.status.canonical_reason().unwrap_or_default();
        self.with("text/html; charset=utf-8", page(title, &lines, None))
    }

    fn with(&self, kind: &'static str, body: String) -> Response<Bytes> {
        let mut answer = own(self.status, kind, body);
        if self.status == StatusCode::UNAUTHORIZED {
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }
}

/// The page of a session that is not ready yet: it asks again by itself.
pub(super) fn waiting(step: &str) -> Response<Bytes> {
    const AGAIN: u32 = 1;
    let lines = ["The session is being prepared.".to_owned(), format!("{step} …")];
    let mut answer = own(
        StatusCode::SERVICE_UNAVAILABLE,
        "text/html; charset=utf-8",
        page("Please wait", &lines, Some(AGAIN)),
    );
    answer.headers_mut().insert(header::RETRY_AFTER, AGAIN.into());
    answer
}

/// An answer of the gateway's own.
pub(super) fn own(status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if kind.starts_with("text/html") {
        // The page shares its origin with applications, and needs nothing but its own style.
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

fn page(title: &str, lines: &[String], again: Option<u32>) -> String {
    let refresh = again.map_or_else(String::new, |seconds| {
        format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">")
    });
    let text: String = lines.iter().map(|line| format!("<p>{}</p>", escape(line))).collect();
    let title = escape(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}<title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;padding:0 1em}}</style></head>\
         <body><h1>{title}</h1>{text}</body></html>\n"
    )
}

/// Text from a cluster, for anybody.
fn plain(text: &str) -> String {
    sanitise(&redact(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_a_document_and_says_when_to_try_again() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "api-server-away", "no answer").retry_after(5);
        let answer = problem.answer();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "5");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(body["type"], "urn:podlife:api-server-away");
        assert_eq!((&body["status"], &body["detail"]), (&json!(503), &json!("no answer")));
    }

    #[test]
    fn text_from_a_cluster_is_no_markup() {
        let body = waiting("<script>alert(1)</script>").into_body();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;"), "{text}");
    }
}
