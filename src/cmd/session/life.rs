//! How long a session lives, whose it is, and how many there may be.

use clap::Args;
use serde_json::Value;

use crate::cmd::session::{Limit, Maximum, limit, maximum};
use crate::observe::session::create::{IfExists, Wanted};
use crate::session::MANAGED_BY;
use crate::session::template::Template;
use crate::session::template::options::object_name;
use crate::session::warm::ReadyPods;

/// What a session has beside its template.
#[derive(Args, Clone, Debug)]
pub(super) struct LifeFlags {
    /// Clean up the session when nobody has used it for this long; never disables this
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = limit)]
    idle_timeout: Limit,
    /// Clean up the session at this age, used or not
    #[arg(long, value_name = "DURATION", default_value = "never", value_parser = limit)]
    max_lifetime: Limit,
    /// Maximum number of sessions in the namespace
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = maximum)]
    max_sessions: Maximum,
    /// Labels of the record, for list -l and delete -l
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// Owner of the session
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
}

impl LifeFlags {
    /// The flags again, for another process.
    pub(super) fn words(&self) -> Vec<String> {
        let limit = |limit: Limit| limit.0.map_or_else(|| "never".to_owned(), |limit| format!("{}s", limit.as_secs()));
        let maximum = self
            .max_sessions
            .0
            .map_or_else(|| "never".to_owned(), |maximum| maximum.to_string());
        let mut words = vec![
            format!("--idle-timeout={}", limit(self.idle_timeout)),
            format!("--max-lifetime={}", limit(self.max_lifetime)),
            format!("--max-sessions={maximum}"),
        ];
        words.extend(self.labels.iter().map(|(key, value)| format!("--labels={key}={value}")));
        words.extend(self.owner.iter().map(|owner| format!("--owner={owner}")));
        words
    }

    /// The session that these flags ask for.
    pub(super) fn wanted(&self, id: &str, template: Template, policy: Value, if_exists: IfExists) -> Wanted {
        Wanted {
            id: id.to_owned(),
            template,
            policy,
            labels: self.labels.iter().cloned().collect(),
            owner: self.owner.clone(),
            idle_timeout: self.idle_timeout.0,
            max_lifetime: self.max_lifetime.0,
            max_sessions: self.max_sessions.0,
            max_sessions_of_owner: None,
            if_exists,
            warm: ReadyPods::default(),
        }
    }
}

/// A label, as the API server takes it.
fn label(text: &str) -> Result<(String, String), String> {
    let is_word = |word: &str| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_end = |c: char| c.is_ascii_alphanumeric();
        word.len() <= 63 && word.starts_with(is_end) && word.ends_with(is_end) && word.chars().all(is_inner)
    };
    let is_key = |key: &str| match key.split_once('/') {
        Some((prefix, name)) => object_name(prefix).is_ok() && is_word(name),
        None => is_word(key),
    };
    match text.split_once('=') {
        Some((key, _)) if key.starts_with("podlife.dev/") || key == MANAGED_BY.0 => Err("podlife sets this label itself".to_owned()),
        Some((key, value)) if is_key(key) && (value.is_empty() || is_word(value)) => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, of letters, digits, -, _ and ., 63 each at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_the_api_server_takes() {
        for right in ["a=b", "example.com/a_b.c=1", "a="] {
            assert!(label(right).is_ok(), "{right}");
        }
        let long = format!("a={}", "x".repeat(64));
        for wrong in [
            "",
            "a",
            "=b",
            "a b=c",
            "a=b c",
            "a/b/c=d",
            "/a=b",
            "a=-b",
            "Ä=b",
            &long,
            "podlife.dev/x=y",
        ] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
    }
}
