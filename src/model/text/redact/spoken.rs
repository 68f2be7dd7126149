//! Credentials in sentences: `the password is "SECRET"`, `invalid token SECRET`, `passwd SECRET`.

/// What the last word of a name ends with, in lower case and without separators.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "passcode",
    "pwd",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
];

/// Names of two words.
const PAIRS: &[(&str, &[&str])] = &[
    ("pass", &["word", "phrase", "code"]),
    ("api", &["key"]),
    ("access", &["key"]),
    ("secret", &["key"]),
    ("auth", &["key", "code"]),
    ("master", &["key"]),
    ("signing", &["key"]),
    ("encryption", &["key"]),
];

/// Words between a name and its value.
const LINKS: &[&str] = &["is", "was", "equals", "=", "being"];

/// Words in front of a name that a value follows more often than not.
const ANNOUNCING: &[&str] = &[
    "with",
    "using",
    "invalid",
    "wrong",
    "bad",
    "incorrect",
    "unknown",
    "expired",
    "revoked",
    "rejected",
    "given",
    "got",
    "received",
    "use",
    "my",
];

/// Words that follow a name in sentences about it.
const ORDINARY: &[&str] = &[
    "a",
    "absent",
    "access",
    "after",
    "again",
    "an",
    "and",
    "are",
    "as",
    "at",
    "auth",
    "authentication",
    "authenticator",
    "authorization",
    "bad",
    "based",
    "because",
    "before",
    "being",
    "but",
    "by",
    "can",
    "cannot",
    "change",
    "check",
    "claim",
    "claims",
    "command",
    "contains",
    "correct",
    "could",
    "count",
    "data",
    "database",
    "did",
    "does",
    "doesn't",
    "empty",
    "endpoint",
    "entry",
    "error",
    "exchange",
    "failed",
    "failure",
    "field",
    "file",
    "flow",
    "for",
    "format",
    "found",
    "from",
    "generation",
    "given",
    "grant",
    "has",
    "hash",
    "header",
    "here",
    "if",
    "in",
    "incorrect",
    "instead",
    "into",
    "invalid",
    "is",
    "isn't",
    "issue",
    "it",
    "length",
    "limit",
    "line",
    "lookup",
    "login",
    "long",
    "malformed",
    "mechanism",
    "method",
    "mismatch",
    "missing",
    "must",
    "near",
    "needs",
    "no",
    "not",
    "null",
    "of",
    "off",
    "ok",
    "old",
    "on",
    "only",
    "or",
    "parameter",
    "path",
    "plugin",
    "policy",
    "present",
    "prompt",
    "refresh",
    "request",
    "required",
    "response",
    "review",
    "right",
    "rotation",
    "same",
    "server",
    "service",
    "set",
    "short",
    "should",
    "signature",
    "since",
    "source",
    "store",
    "string",
    "strong",
    "than",
    "that",
    "the",
    "there",
    "this",
    "to",
    "too",
    "type",
    "unknown",
    "unset",
    "use",
    "user",
    "username",
    "valid",
    "validation",
    "value",
    "verification",
    "via",
    "was",
    "weak",
    "when",
    "which",
    "will",
    "with",
    "without",
    "would",
    "wrong",
    "yet",
    "you",
    "your",
];

const QUOTES: [char; 3] = ['"', '\'', '`'];
const AROUND: [char; 10] = ['"', '\'', '`', '(', ')', '[', ']', ',', ';', '.'];

/// A line without the credentials that its sentences tell.
pub fn mask(line: &str, mask: &str) -> String {
    let words = words(line);
    let mut out = String::with_capacity(line.len());
    let mut copied = 0;
    let mut i = 0;
    while i < words.len() {
        if let Some((from, to)) = value_after(line, &words, i)
            && from >= copied
        {
            out.push_str(&line[copied..from]);
            out.push_str(mask);
            copied = to;
        }
        i += 1;
    }
    out.push_str(&line[copied..]);
    out
}

/// Beginning and end of each word.
fn words(line: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    for part in line.split_inclusive(char::is_whitespace) {
        let word = part.trim_end();
        if !word.is_empty() {
            words.push((at, at + word.len()));
        }
        at += part.len();
    }
    words
}

/// Where the value is that the name at word `i` announces, if it is one.
fn value_after(line: &str, words: &[(usize, usize)], i: usize) -> Option<(usize, usize)> {
    let word = |i: usize| words.get(i).map(|&(from, to)| &line[from..to]);
    let lower = |i: usize| word(i).map(|w| w.trim_matches(AROUND).to_lowercase()).unwrap_or_default();
    let name = word(i)?;
    // What ends with a colon or an equals sign is a pair; what ends with a quote or a stop ends a sentence or a title.
    if !name.ends_with(char::is_alphanumeric) {
        return None;
    }
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let before = if i > 0 { lower(i - 1) } else { String::new() };
    let is_pair = PAIRS
        .iter()
        .any(|(first, seconds)| before == *first && seconds.contains(&plain.as_str()));
    let is_name = NAMES.iter().any(|known| plain.ends_with(known));
    let is_secret = plain == "secret" || plain == "credential";
    if !is_pair && !is_name && !is_secret {
        return None;
    }
    let announced = {
        let first = if is_pair {
            i.checked_sub(2).map(lower).unwrap_or_default()
        } else {
            before
        };
        if first == "unexpected" {
            return None;
        }
        ANNOUNCING.contains(&first.as_str()) || plain == "passwd"
    };
    let mut at = i + 1;
    let is_linked = LINKS.contains(&word(at)?.to_lowercase().as_str());
    if is_linked {
        at += 1;
    }
    // An object of kind Secret has a name that is no secret.
    if is_secret && !is_linked {
        return None;
    }
    let &(from, to) = words.get(at)?;
    let value = &line[from..to];
    if let Some(quote) = value.chars().next().filter(|c| QUOTES.contains(c)) {
        let inner = from + 1;
        let end = line[inner..].find(quote).map_or(line.len(), |end| inner + end);
        return (end > inner).then_some((inner, end));
    }
    let bare = value.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\'']);
    let is_value = looks_secret(bare) || ((announced || is_linked) && !is_ordinary(bare));
    (is_value && !bare.is_empty()).then_some((from, from + bare.len()))
}

/// Whether no word of a language looks like this: digits or signs among the letters.
fn looks_secret(word: &str) -> bool {
    let has_digit = word.chars().any(|c| c.is_ascii_digit());
    let has_sign = word
        .chars()
        .any(|c| matches!(c, '!' | '@' | '#' | '%' | '^' | '&' | '+' | '~' | '?'));
    word.chars().count() >= 4 && (has_digit || has_sign) && !is_reference(word)
}

fn is_ordinary(word: &str) -> bool {
    let lower = word.to_lowercase();
    let inflected = ["ed", "ing", "able", "ible", "tion"].iter().any(|end| lower.ends_with(end));
    word.chars().count() < 3 || inflected || ORDINARY.contains(&lower.as_str()) || is_reference(word)
}

/// Paths, variables, pairs that other rules look at, and what is masked already.
fn is_reference(word: &str) -> bool {
    word.starts_with(['/', '$', '<', '(', '{', '[', '*', '-', '"', '\'']) || word.contains(['=', '/']) || word.contains("***")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sentences_tell_is_masked() {
        for (line, wanted) in [
            ("passwd hunter2", "passwd ***"),
            ("passwd swordfish", "passwd ***"),
            ("error: invalid token abcdefgh", "error: invalid token ***"),
            ("invalid token tok-123, try again", "invalid token ***, try again"),
            ("the password is \"a b\" now", "the password is \"***\" now"),
            ("the pass word is \"hunter\"", "the pass word is \"***\""),
            ("the password was swordfish.", "the password was ***."),
            ("login as root with password swordfish", "login as root with password ***"),
            ("DB_PASSWORD hunter2", "DB_PASSWORD ***"),
            ("bad api key k-1234", "bad api key ***"),
            ("the secret is 'x'", "the secret is '***'"),
            ("token \"abc\" is not known", "token \"***\" is not known"),
        ] {
            assert_eq!(mask(line, "***"), wanted);
            assert_eq!(mask(wanted, "***"), wanted, "masking again changes nothing");
        }
    }

    #[test]
    fn sentences_about_credentials_stay() {
        for line in [
            "FATAL: password authentication failed for user \"app\"",
            "the token is expired",
            "invalid token signature",
            "wrong password for user admin",
            "password is required",
            "password must have 12 characters",
            "Unexpected token < in JSON at position 0",
            "SyntaxError: Unexpected token 'export'",
            "couldn't find key password in Secret shop/db2",
            "Secret db2 does not exist",
            "secret \"db2\" not found",
            "cannot open token /var/run/secrets/token2",
            "a token",
            "token",
        ] {
            assert_eq!(mask(line, "***"), line);
        }
    }
}
