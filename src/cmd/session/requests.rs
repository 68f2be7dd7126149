//! How requests to a gateway name sessions, and what they may take.

use std::time::Duration;

use clap::{Args, value_parser};

use crate::exit::Failure;
use crate::gateway::naming::Naming;
use crate::gateway::plan::Limits;
use crate::model::duration;
use crate::session::template::options::object_name;

/// How requests name sessions, and what they may take.
#[derive(Args, Debug)]
pub(super) struct RequestFlags {
    /// Also take the session id from the header X-Session-Id
    #[arg(long)]
    session_header: bool,
    /// Also take the session id from hosts of this domain: ID.DOMAIN
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    session_domain: Option<String>,
    /// How long a request waits until its session is ready
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    ready_timeout: Duration,
    /// How many requests may wait for one session at once
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = value_parser!(u32).range(1..))]
    max_waiters_per_session: u32,
    /// How many requests may wait for all sessions at once
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = value_parser!(u32).range(1..))]
    max_waiters: u32,
    /// How many requests and streams an owner may have at once [default: unlimited]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..))]
    max_requests_per_owner: Option<u32>,
    /// How many sessions an owner may have [default: unlimited]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..))]
    max_sessions_per_owner: Option<u32>,
    /// Maximum size of a request body, in bytes [default: unlimited]
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    /// How long requests and streams may take to finish after SIGTERM or Ctrl-C
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(super) drain: Duration,
}

impl RequestFlags {
    /// The flags again, for another process.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--ready-timeout={}s", self.ready_timeout.as_secs_f64()),
            format!("--drain={}s", self.drain.as_secs_f64()),
            format!("--max-waiters={}", self.max_waiters),
            format!("--max-waiters-per-session={}", self.max_waiters_per_session),
        ];
        words.extend(self.session_header.then(|| "--session-header".to_owned()));
        words.extend(self.session_domain.iter().map(|domain| format!("--session-domain={domain}")));
        words.extend(self.max_requests_per_owner.map(|most| format!("--max-requests-per-owner={most}")));
        words.extend(self.max_sessions_per_owner.map(|most| format!("--max-sessions-per-owner={most}")));
        words.extend(self.max_body.map(|length| format!("--max-body={length}")));
        words
    }

    pub(super) fn naming(&self) -> Naming {
        Naming {
            by_header: self.session_header,
            domain: self.session_domain.clone(),
        }
    }

    /// What requests may take, where it is known whose they are or not.
    pub(super) fn limits(&self, has_owners: bool) -> Result<Limits, Failure> {
        if !has_owners && (self.max_requests_per_owner.is_some() || self.max_sessions_per_owner.is_some()) {
            return Err(Failure::usage("limits per owner need --auth: without it, sessions have no owners"));
        }
        Ok(Limits {
            ready_timeout: self.ready_timeout,
            waiters_of_session: self.max_waiters_per_session as usize,
            waiters: self.max_waiters as usize,
            requests_of_owner: self.max_requests_per_owner.map(|most| most as usize),
            sessions_of_owner: self.max_sessions_per_owner,
            body: self.max_body,
            drain: self.drain,
        })
    }
}

/// A domain in lower case, as hosts are compared.
fn domain(text: &str) -> Result<String, String> {
    object_name(&text.to_ascii_lowercase()).map_err(|_| "expected a domain, for example sessions.example".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: RequestFlags,
    }

    fn flags(words: &[&str]) -> RequestFlags {
        Line::parse_from([&["serve"], words].concat()).flags
    }

    #[test]
    fn another_process_gets_the_same_flags() {
        let words = [
            "--session-header",
            "--session-domain=Sessions.Example",
            "--max-requests-per-owner=8",
            "--max-sessions-per-owner=2",
            "--max-body=10",
            "--ready-timeout=1m",
        ];
        let first = flags(&words);
        assert_eq!(first.naming().domain.as_deref(), Some("sessions.example"));
        let again = first.words();
        let again = flags(&again.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
    }

    #[test]
    fn owners_are_limited_where_there_are_some() {
        let limited = flags(&["--max-sessions-per-owner=2"]);
        assert!(limited.limits(false).is_err());
        assert_eq!(limited.limits(true).ok().and_then(|limits| limits.sessions_of_owner), Some(2));
        assert!(flags(&[]).limits(false).is_ok());
    }
}
