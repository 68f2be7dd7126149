//! The paths in a message.

/// The absolute paths that a line names, without the punctuation around them.
pub(super) fn paths_in(line: &str) -> Vec<&str> {
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\'' | '`' | '(' | ')' | '[' | ']' | '<' | '>' | ',' | ';' | '=' | '‘' | '’'
            )
    };
    line.split(ends)
        .map(|word| word.trim_end_matches([':', '.', '!']))
        .map(|word| word.strip_prefix("file:").unwrap_or(word))
        .filter(|word| word.len() > 1 && word.starts_with('/') && !word.starts_with("//"))
        .collect()
}
