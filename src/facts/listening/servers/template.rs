//! Matches a line of a log against the wording of a server.

use crate::facts::listening::bind;
use crate::facts::listening::bind::BindAddress;
use crate::text::Url;

/// What the places of a template hold in a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen<'a> {
    at: &'a str,
    host: &'a str,
    port: &'a str,
}

impl Seen<'_> {
    /// The address, with the port where one is said.
    pub fn address(&self) -> Option<BindAddress> {
        let text = if self.at.is_empty() { self.host } else { self.at };
        BindAddress::with_port(text, bind::port(self.port))
    }

    /// Whether the address is written in numbers.
    pub fn is_numeric(&self) -> bool {
        Url::parse(self.at)
            .host
            .starts_with(|c: char| c.is_ascii_digit() || matches!(c, '[' | ':'))
    }

    /// The port, whatever the host beside it is: that may be the pod's own name.
    pub fn port(&self) -> Option<u16> {
        if !self.port.is_empty() {
            return bind::port(self.port);
        }
        let host = Url::parse(self.at).host;
        let number = host.rsplit_once(':').map_or(host, |(_, number)| number);
        bind::port(number)
    }
}

/// Characters of an address or a URL.
fn is_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_' | '*' | '+' | '/' | '[' | ']' | '%' | '?' | '=' | '&' | '@')
}

/// Characters of a host without brackets and port.
fn is_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '*' | '[' | ']' | '%')
}

/// What the template's places hold, if the line has its words in order; the line may begin and end with anything.
pub fn read<'a>(template: &str, line: &'a str) -> Option<Seen<'a>> {
    let first = template.split('<').next().unwrap_or_default();
    let starts = line.char_indices().map(|(at, _)| at).filter(|at| line[*at..].starts_with(first));
    starts.into_iter().find_map(|at| read_here(template, &line[at..], Seen::default()))
}

fn read_here<'a>(template: &str, line: &'a str, mut seen: Seen<'a>) -> Option<Seen<'a>> {
    let Some(inner) = template.strip_prefix('<') else {
        let end = template.find('<').unwrap_or(template.len());
        let rest = line.strip_prefix(&template[..end])?;
        return if end == template.len() {
            Some(seen)
        } else {
            read_here(&template[end..], rest, seen)
        };
    };
    let (place, after) = inner.split_once('>')?;
    let next = after.split('<').next().unwrap_or_default();
    if place == "*" {
        return line.match_indices(next).find_map(|(at, _)| read_here(after, &line[at..], seen));
    }
    let belongs = match place {
        "host" => is_host,
        "port" => |c: char| c.is_ascii_digit(),
        _ => is_address,
    };
    let mut end = line.find(|c| !belongs(c)).unwrap_or(line.len());
    if !next.is_empty()
        && let Some(before) = line.find(next).filter(|at| *at < end)
    {
        // The words that follow may begin with a character that an address can hold, such as a colon or a bracket.
        end = before;
    }
    let (value, rest) = line.split_at(end);
    let value = if next.is_empty() {
        value.trim_end_matches(['.', ','])
    } else {
        value
    };
    if value.is_empty() {
        return None;
    }
    match place {
        "at" => seen.at = value,
        "host" => seen.host = value,
        _ => seen.port = value,
    }
    if after.is_empty() {
        Some(seen)
    } else {
        read_here(after, rest, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_from_a_line() {
        for (template, line, address) in [
            ("listening on <at>", "12:00 listening on 127.0.0.1:80, go", "127.0.0.1:80"),
            (
                "HTTP on <host> port <port>",
                "Serving HTTP on :: port 8000 (http://[::]:8000/)",
                "[::]:8000",
            ),
            ("('<host>', <port>)", "socket ('127.0.0.1', 8000)", "127.0.0.1:8000"),
            ("a <*> b <at>", "a x y b [::1]:1", "[::1]:1"),
            ("http-nio-<host>-<port>\"", "[\"http-nio-127.0.0.1-8080\"]", "127.0.0.1:8080"),
            ("[<host>:<port>]", "HTTP: [127.0.0.1:4646]", "127.0.0.1:4646"),
            ("up: <at>", "up: 0.0.0.0:1.", "0.0.0.0:1"),
            ("at <*>:<port>/<*>(bind <host>)", "at http://localhost:80/ (bind ::1)", "[::1]:80"),
        ] {
            let seen = read(template, line).and_then(|seen| seen.address());
            assert_eq!(seen.map(|a| a.to_string()).as_deref(), Some(address), "{template}: {line}");
        }
    }

    #[test]
    fn a_line_that_lacks_a_word_or_a_value_does_not_match() {
        for (template, line) in [
            ("listening on <at>", "listening on"),
            ("on <host> port <port>", "on localhost"),
            ("a <*> b", "a ü"),
            ("übel <at>", "ü"),
        ] {
            assert_eq!(read(template, line), None, "{template}: {line}");
        }
    }
}
