//! Text from a cluster is hostile until it has passed through here.

mod command;
pub(crate) mod programs;
mod redact;
pub(crate) mod shell;
mod url;
mod words;

pub use command::{Command, command};
pub use redact::{redact, redact_args, redact_path, redact_words};
pub(crate) use url::Url;
pub(crate) use words::Words;

/// Text of at most `max` characters: runs of white space become one space, and what is cut off becomes `…`.
pub fn shorten(text: &str, max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= max {
        return text;
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Digits of a container's or sandbox's id; its first ones tell it apart, as in `crictl ps`. A digest stays whole: it names an image.
const ID_DIGITS: usize = 64;
const ID_SHOWN: usize = 12;

/// Text with ids of containers cut to their first digits.
pub fn short_ids(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if word.len() == ID_DIGITS && word.chars().all(is_digit) && !out.ends_with("sha256:") {
            out.push_str(&word[..ID_SHOWN]);
            out.push('…');
            out.push_str(&part[word.len()..]);
        } else {
            out.push_str(part);
        }
    }
    out
}

/// Makes text from a cluster safe to show: control, bidirectional and zero-width characters are dropped, line ends and tabs become spaces.
pub fn sanitise(text: &str) -> String {
    visible(text).replace(['\n', '\r', '\t'], " ")
}

/// Text without what cannot be seen: sequences for terminals as a whole, and unsafe characters but for line ends and tabs.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\n' | '\r' | '\t' => out.push(c),
            c if is_unsafe(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Longest title or colour that is taken for one: what has no end is text that begins with a stray character.
const LONGEST_SEQUENCE: usize = 200;

fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    let mut after = rest.clone();
    match after.next() {
        Some('[') => {
            skip_control_sequence(&mut after);
            if after.as_str().len() + 1 < rest.as_str().len() {
                *rest = after;
            }
        }
        Some(']' | 'P' | '_' | '^') => {
            let end = after
                .by_ref()
                .take(LONGEST_SEQUENCE)
                .find(|c| matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}'));
            if matches!(end, Some('\u{7}' | '\u{9c}')) || (end == Some('\u{1b}') && after.next() == Some('\\')) {
                *rest = after;
            }
        }
        _ => {}
    }
}

/// Parameters, then one letter: `31m`.
fn skip_control_sequence(rest: &mut std::str::Chars<'_>) {
    let mut after = rest.clone();
    if let Some(c) = after.find(|c| !matches!(c, '0'..='?' | ' '..='/'))
        && ('@'..='~').contains(&c)
    {
        *rest = after;
    }
}

/// Characters that change a terminal or hide text: C0, C1, bidirectional controls, zero-width, tags, variation and annotation marks.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// The first few of several, in words: `a, b and 3 more`
pub fn few(all: &[String], most: usize) -> String {
    let shown = all.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `1 restart`, `2 restarts`
pub fn counted(count: impl Into<i64>, word: &str) -> String {
    match count.into() {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_bidi_marks_do_not_pass() {
        let hostile = "a\u{1b}[31mred\u{202e}evil\u{200b}\u{7}\nnext";
        assert_eq!(sanitise(hostile), "aredevil next");
        assert_eq!(sanitise("\u{1b}]0;title\u{7}a\u{1b}[1;32mb\u{1b}[0m\u{9b}2Jc"), "abc");
        assert_eq!(sanitise("\u{1b}]title\u{1b}\\a"), "a");
        assert_eq!(sanitise("\u{1b}]no end \u{1b}"), "]no end ", "what has no end is kept");
        assert_eq!(sanitise("\u{1b}[\u{1b}[31"), "[[31");
    }

    #[test]
    fn ids_of_containers_are_cut_and_digests_are_not() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(
            short_ids(&format!("container \"{id}\" is gone")),
            "container \"0123456789ab…\" is gone"
        );
        let image = format!("app@sha256:{id}");
        assert_eq!(short_ids(&image), image);
        assert_eq!(short_ids(&id[1..]), id[1..]);
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(shorten("  a\n b ", 10), "a b");
        assert_eq!(shorten("äöü äöü", 5), "äöü…");
    }
}
