//! What a log says about the addresses and ports that its program listens on. Purely textual.

mod words;

use serde_json::Value;

use crate::facts::listening::bind::{Bind, BindAddress};
use crate::facts::listening::log_lines::words::{ADDRESSES, ELSEWHERE, HOSTS, LISTENING, MESSAGES, OTHERWISE, RUNNING};
use crate::facts::listening::servers::Line;
use crate::facts::listening::told::Told;
use crate::facts::listening::{bind, servers};
use crate::model::finding::Confidence;
use crate::text::{Url, Words, redact, sanitise, shorten, visible};

/// A line is not looked at beyond this: no server says where it listens after a thousand characters.
const LONGEST: usize = 2000;
/// A quote of a line.
const QUOTE: usize = 160;
/// How far behind the words for listening an address may stand.
const WORDS_BEHIND: usize = 12;

/// What the lines of one instance's log tell, the oldest first.
pub fn of_log<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Told> {
    let mut everywhere = Vec::new();
    let mut found: Vec<Told> = Vec::new();
    for line in lines {
        let line: String = visible(&line.chars().take(LONGEST).collect::<String>());
        for told in of_line(&line) {
            if told.address.bind == Bind::AnyV4 && told.address.port.is_none() {
                everywhere.extend(told.server);
            }
            let again = found
                .iter()
                .position(|known| known.address == told.address && known.server == told.server);
            // The newest word counts, and one line for each is enough.
            if let Some(at) = again {
                found.remove(at);
            }
            found.push(told);
        }
    }
    settle(found, &everywhere)
}

/// Puts together what a server spreads over several lines, and drops the links that it prints for its readers.
fn settle(mut found: Vec<Told>, everywhere: &[&'static servers::Server]) -> Vec<Told> {
    let (bare, whole): (Vec<&Told>, Vec<&Told>) = found.iter().partition(|told| told.address.bind == Bind::Unspecified);
    let ports: Vec<(Option<&'static servers::Server>, u16)> = bare
        .into_iter()
        .chain(whole)
        .filter_map(|told| Some((told.server, told.address.port?)))
        .collect();
    for told in &mut found {
        if told.address.port.is_none() && told.server.is_some() {
            told.address.port = ports.iter().find(|(server, _)| *server == told.server).map(|(_, port)| *port);
        }
    }
    let reachable: Vec<u16> = found
        .iter()
        .filter(|told| told.address.bind.is_reachable())
        .filter_map(|told| told.address.port)
        .collect();
    found.retain(|told| {
        let is_link = told.address.bind.is_loopback()
            && (told.address.port.is_some_and(|port| reachable.contains(&port)) || told.server.is_some_and(|s| everywhere.contains(&s)));
        !is_link
    });
    let known: Vec<u16> = found
        .iter()
        .filter(|told| told.address.bind != Bind::Unspecified)
        .filter_map(|told| told.address.port)
        .collect();
    found.retain(|told| told.address.bind != Bind::Unspecified || told.address.port.is_some_and(|port| !known.contains(&port)));
    found
}

/// What one line tells.
pub fn of_line(line: &str) -> Vec<Told> {
    let quote = || shorten(&redact(&sanitise(line)), QUOTE);
    let record = Record::of(line);
    let by_server = servers::by_line(line).or_else(|| servers::by_line(&record.message));
    if let Some((server, known, seen)) = by_server {
        let strength = match known {
            Line::Port(_) => Confidence::Possible,
            _ => Confidence::Likely,
        };
        return known
            .told(&seen)
            .map(|address| Told::new(address, Some(server), quote(), strength))
            .into_iter()
            .collect();
    }
    generic(&record)
        .into_iter()
        .map(|(address, strength)| Told::new(address, None, quote(), strength))
        .collect()
}

/// A line parted into what it says and the fields that stand beside it.
struct Record {
    message: String,
    fields: Vec<(String, String)>,
}

impl Record {
    fn of(line: &str) -> Self {
        let trimmed = line.trim();
        if trimmed.starts_with('{')
            && let Ok(Value::Object(object)) = serde_json::from_str::<Value>(trimmed)
        {
            // tracing puts the message among the fields.
            let places = [Some(&object), object.get("fields").and_then(Value::as_object)];
            let message = places
                .into_iter()
                .flatten()
                .find_map(|place| MESSAGES.iter().find_map(|key| place.get(*key)?.as_str()))
                .unwrap_or_default()
                .to_owned();
            return Self {
                message,
                fields: fields(&object),
            };
        }
        // zap prints its fields as JSON behind the message.
        if let Some(at) = trimmed.find('{')
            && trimmed.ends_with('}')
            && let Ok(Value::Object(object)) = serde_json::from_str::<Value>(&trimmed[at..])
        {
            return Self {
                message: trimmed[..at].trim_end().to_owned(),
                fields: fields(&object),
            };
        }
        let pairs = pairs(trimmed);
        match pairs.iter().find(|(key, _)| MESSAGES.contains(&key.as_str())) {
            Some((_, message)) => Self {
                message: message.clone(),
                fields: pairs.into_iter().filter(|(key, _)| !MESSAGES.contains(&key.as_str())).collect(),
            },
            None => Self {
                message: trimmed.to_owned(),
                fields: pairs,
            },
        }
    }
}

fn fields(object: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in object {
        match value {
            Value::String(text) => found.push((key.clone(), text.clone())),
            Value::Number(number) => found.push((key.clone(), number.to_string())),
            // tracing and MongoDB put them one level down.
            Value::Object(inner) => found.extend(inner.iter().filter_map(|(key, value)| {
                let text = value
                    .as_str()
                    .map(str::to_owned)
                    .or_else(|| value.as_u64().map(|n| n.to_string()))?;
                Some((key.clone(), text))
            })),
            _ => {}
        }
    }
    found
}

/// `key=value` and `key="some words"`.
fn pairs(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('=') {
        let key: String = rest[..at]
            .chars()
            .rev()
            .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
            .collect();
        let key: String = key.chars().rev().collect();
        let after = &rest[at + 1..];
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        if !key.is_empty() {
            found.push((key, value.trim_end_matches(',').to_owned()));
        }
        rest = left;
    }
    found
}

fn generic(record: &Record) -> Vec<(BindAddress, Confidence)> {
    let lower = record.message.to_lowercase();
    // Letters whose case has another length would shift what is found; no server writes such words about its socket.
    if lower.len() != record.message.len() || OTHERWISE.occur_in(&lower) {
        return Vec::new();
    }
    let first = |words: &Words| words.iter().filter_map(|w| Some((lower.find(w)?, w.len()))).min();
    let (start, listens) = match (first(&LISTENING), first(&RUNNING)) {
        (Some((at, length)), _) => (at + length, true),
        (None, Some((at, length))) => (at + length, false),
        (None, None) => return Vec::new(),
    };
    let mut found = behind(&record.message[start..], listens);
    if found.is_empty() {
        found = beside(&record.fields, listens);
    }
    found
}

/// Addresses in the words that follow.
fn behind(text: &str, listens: bool) -> Vec<(BindAddress, Confidence)> {
    let mut found: Vec<(BindAddress, Confidence)> = Vec::new();
    let mut host: Option<(BindAddress, Confidence)> = None;
    let mut after_port = false;
    let trim = |c: char| matches!(c, '(' | ')' | '<' | '>' | '"' | '\'' | '`' | ',' | ';' | '!' | '{' | '}' | '*');
    for (index, raw) in text.split_whitespace().take(WORDS_BEHIND).enumerate() {
        let word = raw.trim_matches(trim).trim_end_matches(['.', '…']);
        let word = if raw.trim_matches(|c| matches!(c, ',' | '.')) == "*" {
            "*"
        } else {
            word
        };
        let lower = word.trim_end_matches(':').to_ascii_lowercase();
        if ELSEWHERE.has(&lower) && index > 0 {
            break;
        }
        if lower.starts_with("port") && lower[4..].chars().all(|c| matches!(c, 's' | '(' | ')')) {
            after_port = true;
            continue;
        }
        let word = word.rsplit_once('=').map_or(word, |(_, value)| value);
        let number = bind::port(word).filter(|_| !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit() || c == b':'));
        if let Some(port) = number {
            match host.take() {
                Some((address, strength)) => found.push((
                    BindAddress {
                        port: Some(port),
                        ..address
                    },
                    strength,
                )),
                // A number alone may count anything.
                None if after_port || word.starts_with(':') || (listens && port >= 80 && is_first(text, raw)) => {
                    found.push((BindAddress::of_port(port), Confidence::Possible));
                }
                None => {}
            }
            after_port = false;
            continue;
        }
        after_port = false;
        if let Some((address, strength)) = mention(word, listens) {
            if address.port.is_some() {
                host = None;
                found.push((address, strength));
            } else {
                host = Some((address, strength));
            }
        }
    }
    found
}

/// Whether only little words stand before this one.
fn is_first(text: &str, word: &str) -> bool {
    text.split_whitespace().take_while(|w| !std::ptr::eq(*w, word)).all(|w| {
        matches!(
            w.trim_matches(':'),
            "on" | "at" | "in" | "tcp" | "tcp4" | "tcp6" | "the" | "for" | "http" | "https" | "address" | ""
        )
    })
}

/// An address in a word, and how much its form is worth: who prints a link, or writes `localhost`, has rarely asked the socket.
fn mention(word: &str, listens: bool) -> Option<(BindAddress, Confidence)> {
    let url = Url::parse(word);
    let is_link = url.scheme.is_some();
    let Some(parsed) = BindAddress::parse(word) else {
        // A link to a name has a port all the same.
        let port = url
            .host
            .rsplit_once(':')
            .filter(|_| matches!(url.scheme, Some("http" | "https")))?
            .1;
        return Some((BindAddress::of_port(bind::port(port)?), Confidence::Possible));
    };
    let authority = if is_link { url.host } else { bind::without_kind(word) };
    let is_name = authority.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_link && is_name {
        return Some((BindAddress::of_port(parsed.port?), Confidence::Possible));
    }
    let strength = if listens && !is_link && !is_name {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    Some((parsed, strength))
}

/// Addresses in the fields of a record whose message says that it listens.
fn beside(fields: &[(String, String)], listens: bool) -> Vec<(BindAddress, Confidence)> {
    let key = |key: &str| {
        key.chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .collect::<String>()
            .to_ascii_lowercase()
    };
    let port = fields
        .iter()
        .find(|(k, _)| key(k) == "port")
        .and_then(|(_, value)| bind::port(value));
    let of = |keys: &Words| {
        fields
            .iter()
            .filter(|(k, _)| keys.has(&key(k)))
            .find_map(|(_, value)| mention(value, listens))
    };
    let found = of(&ADDRESSES).or_else(|| of(&HOSTS).filter(|_| port.is_some()));
    match found {
        Some((address, strength)) => {
            let address = BindAddress {
                port: address.port.or(port),
                ..address
            };
            // What stands in a field is a value of the program, not a link for the reader.
            let strength = if listens { Confidence::Likely } else { strength };
            address.port.map(|_| vec![(address, strength)]).unwrap_or_default()
        }
        None => port
            .map(|port| (BindAddress::of_port(port), Confidence::Possible))
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests;
