//! What one text says about a socket, before it is known whose text it is.

use crate::facts::listening::bind::{Bind, BindAddress};
use crate::facts::listening::servers::Server;
use crate::model::finding::Confidence;

/// An address or a port that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it names.
    pub address: BindAddress,
    /// The server that is recognised by it.
    pub server: Option<&'static Server>,
    /// What was seen: an option with its value, a variable, a line.
    pub detail: String,
    /// How sure it is that the text speaks of a socket to listen on.
    pub strength: Confidence,
    /// Whether nothing was written and the server's own default is meant.
    pub is_default: bool,
}

impl Told {
    /// Something that was written.
    pub fn new(address: BindAddress, server: Option<&'static Server>, detail: impl Into<String>, strength: Confidence) -> Self {
        Self {
            address,
            server,
            detail: detail.into(),
            strength,
            is_default: false,
        }
    }

    /// `Uvicorn 127.0.0.1:8000`, with a question mark where that is no more than possible.
    #[cfg(test)]
    pub fn shown(&self) -> String {
        let strength = if self.strength == Confidence::Likely { "" } else { "?" };
        let server = self.server.map(|s| format!("{} ", s.name)).unwrap_or_default();
        format!("{server}{}{strength}", self.address)
    }
}

/// Several addresses for one socket: reachable if one of them is, and nothing where one of them cannot be read.
pub fn of_list(text: &str) -> Option<BindAddress> {
    let mut found: Option<BindAddress> = None;
    for part in text.split([',', ' ', ';']).filter(|part| !part.is_empty()) {
        // Redis takes an address behind a hyphen for one that may be missing.
        let part = part.strip_prefix('-').unwrap_or(part);
        let parsed = BindAddress::parse(if part == "::*" { "::" } else { part })?;
        if found.is_none_or(|known| known.bind.is_loopback() && !parsed.bind.is_loopback() || parsed.bind == Bind::AnyV6) {
            found = Some(parsed);
        }
    }
    found
}

/// Several listeners in one value: `http://a:80;https://b:443`, `PLAINTEXT://a:9092,CONTROLLER://b:9093`.
pub fn listeners(value: &str) -> Vec<&str> {
    let parts: Vec<&str> = value.split([';', ',']).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && parts.iter().all(|part| part.contains("://")) {
        parts
    } else {
        vec![value]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_reachable_if_one_of_it_is() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.1 -::1", Some("127.0.0.1")),
            ("127.0.0.1,10.0.0.5", Some("10.0.0.5")),
            ("* -::*", Some("::")),
            ("127.0.0.1,db-0", None),
            ("", None),
        ] {
            assert_eq!(of_list(text).map(|a| a.to_string()).as_deref(), expected, "{text}");
        }
    }
}
