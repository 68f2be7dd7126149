//! Failed calls, and how they failed by the words of clients and run times.

use crate::facts::calls::places::Place;
use crate::facts::calls::trouble::Trouble;
use crate::text::Words;
use crate::view::ContainerView;

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure<'a> {
    /// The container that calls.
    pub container: ContainerView<'a>,
    /// Why it was looked into.
    pub trouble: Trouble,
    /// How the call failed.
    pub how: How,
    /// Whom it called.
    pub place: Place,
    /// The port that it called, where that is known.
    pub port: Option<u16>,
    /// Where that is seen: `env DATABASE_HOST`, `command`, `log`.
    pub named_by: String,
    /// The line that shows it, and where it was seen; none where only the spec and the wait are known.
    pub line: Option<(String, &'a str)>,
}

/// How a call to another host failed. Each has other causes, and other fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The name has no address.
    Unresolved,
    /// Someone said no: nothing listens there, or no endpoint is behind the Service.
    Refused,
    /// Nobody said anything.
    Timeout,
    /// The network says that there is no way.
    NoRoute,
    /// It was cut off.
    Reset,
    /// It has not come through, and nobody says how.
    Unknown,
}

impl How {
    /// `does not resolve`: what the other end does.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Unresolved => "does not resolve",
            Self::Refused => "refuses the connection",
            Self::Timeout => "does not answer in time",
            Self::NoRoute => "has no route",
            Self::Reset => "cuts the connection off",
            Self::Unknown => "does not answer",
        }
    }
}

const UNRESOLVED: Words = Words(
    "no such host, could not translate host name, name or service not known, nodename nor servname, \
     temporary failure in name resolution, enotfound, eai_again, unknownhostexception, could not resolve host, \
     couldn't resolve, bad address, unable to resolve host, failed to resolve, host not found in upstream, \
     unknown mysql server host, getaddrinfo failed, name does not resolve, nxdomain, : servfail, no address associated with hostname, \
     failed to lookup address, dns resolution failed, server misbehaving, non-existing domain, cannot resolve host",
);
const REFUSED: Words = Words(
    "connection refused, econnrefused, actively refused, errno 111, error 111, os error 111, rejecting connections, \
     couldn't connect to server, could not connect to server, can't connect to mysql server, connection could not be established",
);
const TIMEOUT: Words = Words(
    "i/o timeout, timed out, etimedout, connection timeout, connect timeout, connecttimeout, timeout was reached, \
     context deadline exceeded, timeout occurred after waiting, timeout after, timeout expired, errno 110, os error 110, \
     no response, timeouterror, handshake timeout, connect_timeout",
);
const NO_ROUTE: Words = Words("no route to host, ehostunreach, network is unreachable, enetunreach");
const RESET: Words = Words(
    "connection reset by peer, econnreset, server closed the connection unexpectedly, upstream prematurely closed, \
     connection was reset",
);

/// How a line says that a call failed; none where it does not.
pub fn in_line(line: &str) -> Option<How> {
    if is_usage(line) {
        return None;
    }
    let line = line.to_ascii_lowercase();
    let says = |words: Words| words.occur_in(&line);
    // A resolver that times out is about names, whatever it wanted to call.
    let lookup = line.contains("lookup ") || line.contains("resolver");
    if says(UNRESOLVED) || (lookup && says(TIMEOUT)) {
        Some(How::Unresolved)
    } else if says(NO_ROUTE) {
        Some(How::NoRoute)
    } else if says(TIMEOUT) {
        Some(How::Timeout)
    } else if says(REFUSED) || (line.contains("connection to ") && line.contains(" refused")) {
        Some(How::Refused)
    } else if says(RESET) {
        Some(How::Reset)
    } else {
        None
    }
}

/// Whether a line is one of a usage text, which speaks of what may fail and of nothing that did: `-w SEC  Connect timeout`.
pub fn is_usage(line: &str) -> bool {
    let text = line.trim();
    let is_option = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphanumeric()));
    // A short text that begins with a flag has its explanation after a gap.
    let has_gap = text.contains('\t') || text.contains("  ");
    let lower = text.to_ascii_lowercase();
    lower.starts_with("usage:") || (is_option && (has_gap || line.starts_with([' ', '\t'])))
}

/// Faults that have nothing to do with a call: where one of these ends a log, what was called before is not to blame.
const OTHERS: Words = Words(
    "keyerror:, importerror:, modulenotfounderror:, typeerror:, valueerror:, attributeerror:, nameerror:, syntaxerror:, \
     filenotfounderror:, permissionerror:, panic:, segmentation fault",
);

/// Whether a line says that the API server refused a call of a ServiceAccount.
pub fn is_forbidden(line: &str) -> bool {
    line.contains("system:serviceaccount:") && line.contains(" cannot ")
}

/// Whether a line names a fault of another kind than a failed call.
pub fn is_of_another_kind(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    OTHERS.occur_in(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_many_run_times_are_understood() {
        for (line, how) in [
            ("dial tcp: lookup db on 10.96.0.10:53: no such host", Some(How::Unresolved)),
            (
                "dial tcp: lookup db on 10.96.0.10:53: read udp 10.244.0.5:39->10.96.0.10:53: i/o timeout",
                Some(How::Unresolved),
            ),
            ("dial tcp 10.96.3.4:80: connect: connection refused", Some(How::Refused)),
            ("dial tcp 10.96.3.4:80: i/o timeout", Some(How::Timeout)),
            ("Error: getaddrinfo EAI_AGAIN db", Some(How::Unresolved)),
            ("Error: connect ETIMEDOUT 10.96.3.4:5432", Some(How::Timeout)),
            ("Connection refused (os error 111)", Some(How::Refused)),
            ("nc: timed out", Some(How::Timeout)),
            (
                "curl: (7) Failed to connect to db port 80 after 2 ms: Could not connect to server",
                Some(How::Refused),
            ),
            (
                "wget: can't connect to remote host (10.96.3.4): No route to host",
                Some(How::NoRoute),
            ),
            (
                "Connection to db:5432 refused. Check that the hostname and port are correct",
                Some(How::Refused),
            ),
            (
                "upstream timed out (110: Connection timed out) while connecting to upstream",
                Some(How::Timeout),
            ),
            ("read tcp: connection reset by peer", Some(How::Reset)),
            ("listening on :8080", None),
            ("\t-w SEC\tConnect timeout", None),
            ("  -w SEC  Timeout for connects and final net reads (timed out)", None),
            ("Usage: nc [-w SEC connect timeout] HOST PORT", None),
            ("- connection timed out", Some(How::Timeout)),
            ("KeyError: 'DATABASE_URL'", None),
        ] {
            assert_eq!(in_line(line), how, "{line}");
        }
    }
}
