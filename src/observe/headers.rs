//! Headers that are sent to the application. Their values are secrets: they are read, sent and masked here, and no text holds them.

use std::path::Path;

use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::cluster::Headers;
use crate::model::readiness::Readiness;

/// What stands for a value.
const MASK: &str = "***";
/// What is shorter is part of too many words to be masked in them, and too short to be a secret.
const SHORTEST: usize = 4;
/// Headers about the connection itself: set by us and by proxies only.
const OURS: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "expect",
];

/// Headers, and what must not be shown of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    headers: Headers,
    secrets: Secrets,
}

/// Texts that are masked wherever they turn up.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} secrets", self.0.len())
    }
}

impl Sent {
    /// Reads what was given: `NAME=VALUE`, or `@FILE` with a line `NAME: VALUE` for each. No error repeats a value.
    pub(crate) fn read(given: &[String]) -> Result<Self, String> {
        let mut sent = Self::default();
        for (at, text) in given.iter().enumerate() {
            let nth = at + 1;
            match text.strip_prefix('@') {
                Some(path) => sent.read_file(Path::new(path))?,
                None => {
                    let (name, value) = text
                        .split_once('=')
                        .ok_or_else(|| format!("--header number {nth} is not NAME=VALUE or @FILE"))?;
                    sent.add(name, value).map_err(|why| format!("--header number {nth}: {why}"))?;
                }
            }
        }
        Ok(sent)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("reading headers from {}: {error}", path.display()))?;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = || format!("{}, line {}", path.display(), at + 1);
            let (name, value) = line.split_once(':').ok_or_else(|| format!("{} is not NAME: VALUE", place()))?;
            self.add(name, value).map_err(|why| format!("{}: {why}", place()))?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = HeaderName::try_from(name.trim()).map_err(|_| "this is not a header name".to_owned())?;
        if name == http::header::HOST {
            return Err("the Host header is given with --host".to_owned());
        }
        if OURS.contains(&name.as_str()) || name.as_str().starts_with("impersonate-") {
            return Err(format!("the header {name} is not sent: it is part of the connection"));
        }
        let text = value.trim();
        let mut value = HeaderValue::try_from(text).map_err(|_| format!("the value of {name} has characters that no header may have"))?;
        value.set_sensitive(true);
        self.headers.push((name, value));
        self.secrets.add(text);
        Ok(())
    }

    /// What is sent.
    pub(crate) const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Whether the header is among them that the API server's proxy keeps to itself.
    pub(crate) fn has_authorization(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == http::header::AUTHORIZATION)
    }

    /// What an application may have repeated in its log, its events or its answers, taken out of a report.
    pub(crate) fn mask_report(&self, report: &mut Readiness) {
        if self.is_empty() {
            return;
        }
        let mask = |text: &mut String| *text = self.mask(text);
        mask(&mut report.reason);
        report.phases.iter_mut().for_each(|phase| mask(&mut phase.reason));
        for object in &mut report.objects {
            mask(&mut object.reason);
            object.blocking.iter_mut().for_each(|blocking| mask(&mut blocking.reason));
        }
        for finding in &mut report.root_causes {
            mask(&mut finding.summary);
            finding.evidence.iter_mut().for_each(|evidence| mask(&mut evidence.detail));
            for fix in &mut finding.fixes {
                mask(&mut fix.text);
                fix.command.iter_mut().for_each(mask);
            }
        }
        report.unchecked.iter_mut().for_each(|unchecked| mask(&mut unchecked.why));
    }

    /// The same for a document of any form: every text in it.
    pub(crate) fn mask_document(&self, document: &mut Value) {
        match document {
            _ if self.is_empty() => {}
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_document(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.mask_document(field)),
            _ => {}
        }
    }

    /// A text without the values.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.secrets.mask(text)
    }
}

impl Secrets {
    /// A value, its words, and both as they stand in JSON.
    fn add(&mut self, value: &str) {
        let words = value.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"'));
        // A scheme alone, and the name of a cookie, are no secrets, and would be missed in other sentences.
        let words = words.flat_map(|word| [word, word.split_once('=').map_or("", |(_, after)| after)]);
        let words = words.filter(|word| !["bearer", "basic", "digest", "token"].contains(&word.to_ascii_lowercase().as_str()));
        for text in std::iter::once(value).chain(words).filter(|text| text.chars().count() >= SHORTEST) {
            let escaped = Value::from(text).to_string();
            self.0.push(text.to_owned());
            self.0.push(escaped.trim_matches('"').to_owned());
        }
        // The longest first, else a part of it would stay.
        self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        self.0.dedup();
    }

    fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), MASK)
            } else {
                text
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str]) -> Result<Sent, String> {
        Sent::read(&given.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_value_is_sent_and_never_shown() {
        let sent = read(&["Authorization=Bearer s3cr3t-t0ken", "X-Shop=a=b\"c,d123456"]).unwrap();
        assert_eq!(sent.headers()[0].1, "Bearer s3cr3t-t0ken");
        assert!(sent.has_authorization());
        let shown = format!("{sent:?}");
        assert!(!shown.contains("s3cr3t") && !shown.contains("d123456"), "{shown}");
        for echoed in [
            "it says Authorization: Bearer s3cr3t-t0ken",
            "token s3cr3t-t0ken is bad",
            r#"{"got":"a=b\"c,d123456"}"#,
            "got a=b\"c,d123456",
        ] {
            let masked = sent.mask(echoed);
            assert!(
                masked.contains(MASK) && !masked.contains("s3cr3t") && !masked.contains("d123456"),
                "{masked}"
            );
        }
        assert_eq!(sent.mask("the bearer of news"), "the bearer of news");
    }

    #[test]
    fn an_invalid_header_is_refused_without_its_value() {
        for bad in [
            "hunter2hunter2",
            "=hunter2hunter2",
            "a b=hunter2hunter2",
            "X-A=hunter2\nhunter2",
            "Host=hunter2hunter2",
            "Connection=hunter2hunter2",
            "Impersonate-User=hunter2hunter2",
            "@/nowhere/hunter",
        ] {
            let error = read(&[bad]).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
