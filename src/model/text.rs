//! Text from a cluster is hostile until it has passed through here.

mod redact;

pub use redact::{redact, redact_args};

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

/// Makes text from a cluster safe to show: control, bidirectional and zero-width characters are dropped, line ends and tabs become spaces.
pub fn sanitise(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' => Some(' '),
            c if is_unsafe(c) => None,
            c => Some(c),
        })
        .collect()
}

/// Characters that change a terminal or hide text: C0, C1, bidirectional controls, zero-width, tags, variation and annotation marks.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_bidi_marks_do_not_pass() {
        let hostile = "a\u{1b}[31mred\u{202e}evil\u{200b}\u{7}\nnext";
        assert_eq!(sanitise(hostile), "a[31mredevil next");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(shorten("  a\n b ", 10), "a b");
        assert_eq!(shorten("äöü äöü", 5), "äöü…");
    }
}
