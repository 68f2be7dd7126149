//! The options of a command line and their values, in every way they are written.

use crate::facts::listening::bind::BindAddress;

/// An option and its value, as they stand.
pub(crate) struct Setting<'a> {
    /// Its name with hyphens, in lower case: `server-address` for `-Dserver.address`.
    pub(crate) name: String,
    /// As it is written: `-Dserver.address`.
    pub(crate) written: &'a str,
    /// Empty where none is written.
    pub(crate) value: String,
    /// Whether the value is of the same word.
    joined: bool,
}

impl Setting<'_> {
    /// As it is written, with this value.
    pub(crate) fn shown(&self, value: &str) -> String {
        if self.joined {
            format!("{}={value}", self.written)
        } else {
            format!("{} {value}", self.written)
        }
    }
}

/// The options among the words of a command line.
pub(crate) fn options<'a>(words: &[&'a str]) -> Vec<Setting<'a>> {
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let setting = index > 0 && matches!(words[index - 1], "-c" | "--set" | "-o" | "-E" | "-D");
        if !(word.starts_with('-') || setting && word.contains('=')) {
            continue;
        }
        let (written, value, joined) = match word.split_once('=') {
            Some((written, value)) => (written, value.to_owned(), true),
            None => (*word, values(&words[index + 1..]), false),
        };
        let bare = written.trim_start_matches('-');
        // Java's and Elasticsearch's settings: `-Dserver.address=…`, `-Enetwork.host=…`.
        let bare = match bare.strip_prefix(['D', 'E']) {
            Some(setting) if joined && written.len() > 2 && !written.starts_with("--") => setting,
            _ => bare,
        };
        let name = bare
            .chars()
            .map(|c| if matches!(c, '_' | '.') { '-' } else { c.to_ascii_lowercase() })
            .collect();
        found.push(Setting {
            name,
            written,
            value,
            joined,
        });
    }
    found
}

/// The word behind an option, and further addresses behind that: `--bind 127.0.0.1 10.0.0.5`, `--bind 127.0.0.1 -::1`.
fn values(rest: &[&str]) -> String {
    let is_value = |word: &&&str| !word.starts_with('-') || word.starts_with("-:");
    let Some(first) = rest.first().filter(is_value) else {
        return String::new();
    };
    let is_address = |word: &str| BindAddress::parse(word.trim_start_matches('-')).is_some();
    let more = rest[1..].iter().filter(|_| is_address(first)).take_while(|word| is_address(word));
    std::iter::once(first).chain(more).copied().collect::<Vec<_>>().join(" ")
}
