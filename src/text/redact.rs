//! Masks what looks like a credential. It errs on the side of masking: a word too many costs less than a password in a ticket.

mod arguments;
mod places;
mod spoken;

use crate::text::{Words, visible};

/// What stands in place of a credential.
const MASK: &str = "***";

/// Parts of names whose values are secret, in lower case and without separators.
const SECRET_NAMES: Words = Words(
    "password, passwd, passphrase, passwort, pwd, secret, token, apikey, accesskey, accountkey, privatekey, signingkey, \
     encryptionkey, masterkey, credential, authorization, cookie, jwt, signature, sessionid, bearer, salt",
);

/// Ends of names that are too short to be looked for everywhere.
const SHORT_NAMES: &[&str] = &["dbpw", "userpw", "rootpw", "adminpw", "ldappw", "bindpw", "httppw"];
/// Words that end as `requirepass` does.
const WORDS_IN_PASS: &[&str] = &["bypass", "compass", "trespass", "overpass", "surpass"];

/// Names that only speak about a secret: where it lies, how long it lives.
const HARMLESS_ENDS: Words =
    Words("name, file, path, dir, url, uri, endpoint, type, ttl, expiry, expires, length, count, mount, ref, kind, store");

/// Values that are no secret and often the very point of a message.
const HARMLESS_VALUES: Words = Words(
    "null, nil, none, true, false, undefined, required, missing, invalid, expired, empty, unset, not, is, no, the, a, must, cannot, \
     failed, error, serviceaccount, serviceaccounts, secret, secrets, open, read, dial, get, post, unable, could, unexpected, \
     context, rpc, permission, connection",
);

/// Headers whose whole value is secret, scheme word included.
const SECRET_HEADERS: &[&str] = &["authorization", "cookie", "apikey", "authtoken"];

/// Beginnings of tokens that name their own issuer, and how many characters must follow at least.
const TOKEN_SHAPES: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xapp-", 10),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("rk_live_", 10),
    ("sk-", 20),
    ("hvs.", 20),
    ("npm_", 30),
    ("dckr_pat_", 20),
    ("SG.", 40),
    ("eyJ", 20),
    ("AGE-SECRET-KEY-", 20),
    ("pypi-", 30),
    ("dop_v1_", 30),
];

/// Opaque words of this length and more are taken for key material: an AWS secret key has 40 characters.
const OPAQUE_LENGTH: usize = 40;

/// Text without what looks like a credential: passwords in URLs, `password=…`, `"token": "…"`, `--api-key …`, authorization headers, cookies,
/// tokens of well-known shape, private keys, long opaque words, passwords of commands and sentences that tell one. What cannot be seen goes
/// first: a mark of no width within a name must not hide it.
pub fn redact(text: &str) -> String {
    let text = visible(text);
    let mut in_key = false;
    let lines = text.split('\n').map(|line| {
        let begins = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        let secret = in_key || begins;
        in_key = secret && !line.contains("-----END");
        if secret {
            // The words before the key on the same line may be the message.
            let before = line.find("-----BEGIN").map_or("", |at| &line[..at]);
            format!("{}{MASK}", mask_line(before))
        } else {
            mask_line(line)
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A path that is asked for, without credentials in its segments or its query.
pub fn redact_path(path: &str) -> String {
    redact(&places::mask_path(path, MASK))
}

/// Arguments of a command as one line, without credentials.
pub fn redact_args<'a>(args: impl IntoIterator<Item = &'a String>) -> String {
    let words: Vec<&str> = args.into_iter().map(String::as_str).collect();
    redact(&redact_words(&words).join(" "))
}

/// Words of a command, each without credentials: by itself, behind the flag that it belongs to, and as its program takes them.
pub fn redact_words(words: &[&str]) -> Vec<String> {
    let of_program = arguments::secrets(words);
    let mut before = "";
    let mut masked = Vec::with_capacity(words.len());
    for (word, at) in words.iter().zip(of_program) {
        let alone = match at {
            Some(at) => redact(&arguments::masked(word, at, MASK)),
            None => redact(word),
        };
        let after_flag = if before.starts_with('-') && !before.contains('=') {
            redact(&format!("{before} {word}"))
                .strip_prefix(&format!("{before} "))
                .map(str::to_owned)
        } else {
            None
        };
        masked.push(after_flag.filter(|kept| kept != word && at.is_none()).unwrap_or(alone));
        before = word;
    }
    masked
}

fn mask_line(line: &str) -> String {
    let pairs = mask_pairs(&mask_userinfo(&places::mask(line, MASK)));
    mask_words(&spoken::mask(&arguments::mask(&pairs, MASK), MASK))
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';' | '|'
        )
}

/// `scheme://user:password@host` and `user:password@tcp(host)`.
fn mask_userinfo(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for word in line.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')) {
        match split_userinfo(word) {
            Some((before, after)) => {
                out.push_str(before);
                out.push_str(MASK);
                out.push_str(after);
            }
            None => out.push_str(word),
        }
    }
    out
}

/// What stands before and after the secret part of a word with user information.
fn split_userinfo(word: &str) -> Option<(&str, &str)> {
    let start = word.find("://").map_or(0, |at| at + 3);
    let rest = &word[start..];
    let first = rest.split('/').next().unwrap_or_default();
    if start > 0 && !first.contains('@') {
        return None;
    }
    // A password may hold a slash or an at sign: the last one ends it, but for one that begins a path segment (`/@scope/`).
    let authority = rest.split(['?', '#']).next().unwrap_or_default();
    let at = authority
        .char_indices()
        .rev()
        .find(|(i, c)| *c == '@' && !authority[..*i].ends_with('/'))?
        .0;
    // An image by digest is no credential.
    if rest[at + 1..].starts_with("sha256:") {
        return None;
    }
    let info = &rest[..at];
    let secret = match info.find(':') {
        Some(colon) if colon + 1 < info.len() => start + colon + 1,
        // A token alone before the host, as in clones over HTTPS.
        None if start > 0 && info.len() >= 16 => start,
        None if is_dialled(&rest[at + 1..]) => {
            let own = info.rfind(['=', '(', '[', '{', ',']).map_or(0, |at| at + 1);
            is_unlike_name(&info[own..]).then_some(start + own)?
        }
        _ => return None,
    };
    Some((&word[..secret], &word[start + at..]))
}

/// Whether what stands before an at sign is no name of a user: `SECRET1`, unlike `postgres` or `deploy-bot`.
fn is_unlike_name(info: &str) -> bool {
    info.len() >= 6 && info.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
}

/// Whether text begins with a host and its port.
fn is_dialled(text: &str) -> bool {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    let host_port = authority.trim_end_matches(|c: char| is_boundary(c) || c == '.').rsplit_once(':');
    host_port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// The name at the end of `before`, without separators and in lower case, and whether it is in quotes.
fn name_before(before: &str) -> (String, bool) {
    let trimmed = before.trim_end();
    let unquoted = trimmed.trim_end_matches(['"', '\'', '\\']);
    let name: Vec<char> = unquoted
        .chars()
        .rev()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        .filter(|c| c.is_alphanumeric())
        .collect();
    (
        name.iter().rev().flat_map(|c| c.to_lowercase()).collect(),
        unquoted.len() != trimmed.len(),
    )
}

fn is_secret_name(name: &str) -> bool {
    let known = SECRET_NAMES.occur_in(name)
        || matches!(name, "sig" | "pw" | "masterauth" | "sentinelauth")
        || name.ends_with("pass") && !WORDS_IN_PASS.iter().any(|word| name.ends_with(word))
        || SHORT_NAMES.iter().any(|end| name.ends_with(end));
    known && !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
}

/// `password=…`, `token: …`, `"secret": "…"`, `--api-key …`, `Authorization: …`.
fn mask_pairs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':', ' ']) {
        let (before, tail) = rest.split_at(at);
        let separator = tail.chars().next().unwrap_or(' ');
        out.push_str(before);
        rest = &tail[1..];
        out.push(separator);
        let (name, name_quoted) = name_before(&out[..out.len() - 1]);
        // `--password X`, and `-password X` as programs in Go and Java have it.
        let flag = separator == ' ' && before.trim_start_matches(['"', '\'', '[', '(']).starts_with('-') && name.len() > 1;
        // `…/serviceaccount/token: permission denied` is about a file.
        let path = separator == ':'
            && out[..out.len() - 1]
                .rsplit(is_boundary)
                .next()
                .is_some_and(|word| word.contains('/'));
        // `?key=…` is a credential in an address, elsewhere it is any key.
        let of_query =
            separator == '=' && matches!(name.as_str(), "key" | "auth" | "pw" | "code") && is_in_query(&out[..out.len() - 1], name.len());
        // `{"auth": "dXNlcjpwYXNz"}`, as in the configuration of clients of registries.
        let of_document = name == "auth" && name_quoted && separator == ':' && is_encoded(rest);
        if path || !of_query && !of_document && !(is_secret_name(&name) && (separator != ' ' || flag)) {
            continue;
        }
        // `:=` and `=>` are pairs too.
        let value = rest.trim_start_matches([' ', '=', '>', '\\']);
        out.push_str(&rest[..rest.len() - value.len()]);
        rest = value;
        let header = separator == ':' && SECRET_HEADERS.iter().any(|h| name.ends_with(h));
        let length = secret_length(value, header, name_quoted && separator == ':');
        if length > 0 {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let (masked, left) = value.split_at(length);
            out.extend(quote);
            out.push_str(MASK);
            out.extend(quote.filter(|q| masked.len() > 1 && masked.ends_with(*q)));
            rest = left;
        }
    }
    out.push_str(rest);
    out
}

/// Whether the name at the end of `before` is one of a query: `?name` or `&name`.
fn is_in_query(before: &str, length: usize) -> bool {
    before.len() > length && before[..before.len() - length].ends_with(['?', '&'])
}

/// Whether a value in quotes is no word of a language.
fn is_encoded(value: &str) -> bool {
    let value = value.trim_start_matches([' ', '\\']);
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.split(['"', '\\']).next())
        .unwrap_or_default();
    let is_sign = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() || matches!(c, '=' | '+' | '/');
    inner.len() >= 8 && inner.chars().any(is_sign) && !inner.contains(char::is_whitespace)
}

/// How many bytes of `value` are secret.
fn secret_length(value: &str, header: bool, needs_quotes: bool) -> usize {
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = &value[1..];
        return match inner.find(quote) {
            Some(0) => 0,
            // A quote within a quoted text: the sign that escapes it stays with it.
            Some(end) if end > 1 && inner[..end].ends_with('\\') => end,
            Some(end) => end + 2,
            None => value.len(),
        };
    }
    if header {
        // A header ends with its line, or with the quotes of the JSON or the curl command around it.
        return before_escape(value, value.find(['"', '\'']).unwrap_or(value.len()));
    }
    if needs_quotes {
        return 0;
    }
    let end = value
        .find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\'' | ')' | ']' | '}'))
        .unwrap_or(value.len());
    let end = before_escape(value, end);
    let word = value[..end].trim_end_matches(['.', ':']).to_lowercase();
    let harmless = HARMLESS_VALUES.has(&word) || word.starts_with("$(") || word.starts_with("${") || word.starts_with(['<', '*', '/']);
    if harmless { 0 } else { end }
}

/// Where a value ends whose closing quote is escaped: `secret\"`.
fn before_escape(value: &str, end: usize) -> usize {
    let is_escaped = value[end..].starts_with(['"', '\'']) && value[..end].ends_with('\\');
    end - usize::from(is_escaped)
}

/// Words that are credentials by their shape, and the word after `Bearer` or `Basic`.
fn mask_words(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut after_scheme = false;
    for part in line.split_inclusive(|c: char| is_boundary(c) || matches!(c, '=' | ':' | '&' | '?' | '@')) {
        let end = part
            .trim_end_matches(|c: char| is_boundary(c) || matches!(c, '=' | ':' | '&' | '?' | '@'))
            .len();
        let (word, boundary) = part.split_at(end);
        let secret = (after_scheme && word.len() >= 8) || has_token_shape(word) || is_opaque(word);
        out.push_str(if secret { MASK } else { word });
        out.push_str(boundary);
        if !word.is_empty() {
            after_scheme = matches!(word.to_lowercase().as_str(), "bearer" | "basic") && boundary == " ";
        }
    }
    out
}

fn has_token_shape(word: &str) -> bool {
    let token_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    TOKEN_SHAPES.iter().any(|(start, more)| {
        word.strip_prefix(start)
            .is_some_and(|rest| rest.len() >= *more && rest.chars().all(token_char))
    })
}

fn is_opaque(word: &str) -> bool {
    let count = |test: fn(&char) -> bool| word.chars().filter(test).count();
    // A path, a class name or a digest is long as well, but lacks one of these.
    word.len() >= OPAQUE_LENGTH
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_'))
        && count(char::is_ascii_uppercase) >= 4
        && count(char::is_ascii_lowercase) >= 4
        && count(char::is_ascii_digit) >= 2
        && count(|c| !c.is_ascii_alphanumeric()) * 10 <= word.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked() {
        for (line, wanted) in [
            ("postgres://app:hunter2@db:5432/shop?x=1", "postgres://app:***@db:5432/shop?x=1"),
            ("dial redis://:p@ss/w@redis:6379 failed", "dial redis://:***@redis:6379 failed"),
            ("app:hunter2@tcp(db:3306)/shop", "app:***@tcp(db:3306)/shop"),
            ("https://ghp_0123456789abcdefghij@github.com/x", "https://***@github.com/x"),
            ("--bind SECRET1@127.0.0.1:8080", "--bind ***@127.0.0.1:8080"),
            ("--bind=hunter2@127.0.0.1:8080/x", "--bind=***@127.0.0.1:8080/x"),
            ("http://hunter2@db:8080/", "http://***@db:8080/"),
            ("connect --password X -pSECRETVALUE_lg9", "connect --password *** -p***"),
            ("password=hunter2 host=db", "password=*** host=db"),
            ("DB_PASSWORD: hunter2, user: a", "DB_PASSWORD: ***, user: a"),
            (r#"{"token": "abc def", "n": 1}"#, r#"{"token": "***", "n": 1}"#),
            (r#"{"client_secret":"x"}"#, r#"{"client_secret":"***"}"#),
            ("run --api-key abc --port 80", "run --api-key *** --port 80"),
            ("--password='a b' --x", "--password='***' --x"),
            ("Authorization: Basic YTpi", "Authorization: ***"),
            (
                "curl -H 'Authorization: Bearer abc.def' http://x",
                "curl -H 'Authorization: ***' http://x",
            ),
            ("sent Bearer abcdefghijk to x", "sent Bearer *** to x"),
            ("GET /?access_token=abc&x=1", "GET /?access_token=***&x=1"),
            ("key AKIAIOSFODNN7EXAMPLE denied", "key *** denied"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def", "jwt ***"),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1", "***"),
            ("pa\u{200b}ssword=hunter2", "password=***"),
            ("pass\u{1b}[31mword: hunter2", "password: ***"),
            ("passwd hunter2", "passwd ***"),
            ("invalid token tok123", "invalid token ***"),
            ("password is \"hunter2\"", "password is \"***\""),
            ("curl -u a:hunter2 http://x", "curl -u a:*** http://x"),
            ("mysql -phunter2", "mysql -p***"),
            ("GET /health?token=hunter2 on port 80", "GET /health?token=*** on port 80"),
            ("GET /health?key=hunter2&x=1", "GET /health?key=***&x=1"),
            ("AccountKey=abc==;EndpointSuffix=x", "AccountKey=***;EndpointSuffix=x"),
            ("Cookie: sid=1; theme=2", "Cookie: ***"),
            (
                "key: -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nnext",
                "key: ***\n***\n***\nnext",
            ),
        ] {
            assert_eq!(redact(line), wanted);
        }
    }

    #[test]
    fn closing_quotes_stay() {
        for (line, wanted) in [
            (
                r#"{"msg":"{\"token\":\"abcdef\",\"n\":1}"}"#,
                r#"{"msg":"{\"token\":\"***\",\"n\":1}"}"#,
            ),
            (r#""run password=hunter2\" next""#, r#""run password=***\" next""#),
            (
                r#""curl -H \"Authorization: Bearer abc\" x""#,
                r#""curl -H \"Authorization: ***\" x""#,
            ),
            (r#""sh -c \"curl -u a:hunter2\"""#, r#""sh -c \"curl -u a:***\"""#),
            (
                r#"pull image "https://a:hunter2@r.example/app:1": no"#,
                r#"pull image "https://a:***@r.example/app:1": no"#,
            ),
            ("image 'a:hunter2@r.example/app:1'", "image 'a:***@r.example/app:1'"),
            ("password is 'hunter2'", "password is '***'"),
        ] {
            assert_eq!(redact(line), wanted);
        }
    }

    #[test]
    fn the_explanation_of_a_fault_is_kept() {
        for line in [
            "couldn't find key password in Secret shop/db",
            r#"secret "db-password" not found"#,
            r#"MountVolume.SetUp failed for volume "token": secret "tls" not found"#,
            r#"KeyError: "DATABASE_PASSWORD""#,
            "FATAL: password authentication failed for user \"app\"",
            "environment variable API_TOKEN is not set",
            "API_TOKEN: required",
            "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
            "dial tcp 10.96.0.1:443: connect: connection refused",
            "image busybox:1.36@sha256:9ae97d36d26566ff84e8893c64a6dc4fe8ca6d1144bf5b87b2b85a32def253c7",
            "open /var/run/secrets/kubernetes.io/serviceaccount/token: permission denied",
            "org.springframework.beans.factory.UnsatisfiedDependencyException: Error creating bean",
            "secretName: tls-cert",
            "failed to fetch token: serviceaccounts \"runner\" not found",
            "the key=value form",
            "mail to ops@example.com",
            "ssh deploy-bot@10.0.0.1:22 and ops@example.com: no",
            "npm i left-pad@1.3.0 Users@example.com",
            "GET https://registry.npmjs.org:443/@scope/pkg",
        ] {
            assert_eq!(redact(line), line);
        }
    }

    #[test]
    fn odd_text_does_not_panic() {
        for line in [
            "",
            "=",
            "password=",
            "password:",
            "ü:ö@ä",
            "token=\"",
            "://@",
            "a:b@",
            "--token ",
            "Bearer ",
            "pässword=ä ö",
        ] {
            let once = redact(line);
            assert_eq!(redact(&once), once);
        }
    }

    #[test]
    fn words_of_a_command_are_masked_each() {
        let words = ["mysql", "-phunter2", "--password", "hunter2", "--port", "3306", "-u", "a:hunter2"];
        assert_eq!(
            redact_words(&words),
            ["mysql", "-p***", "--password", "***", "--port", "3306", "-u", "a:***"]
        );
        let unknown = [
            "app",
            "-k",
            "SECRETV25",
            "requirepass",
            "SECRETV26",
            "--requirepass",
            "SECRETV27",
            "-a",
            "SECRETV28",
            "--bind",
            "SECRET1@127.0.0.1:80",
            "-p",
            "8080",
            "-a",
            "0.0.0.0",
            "-pSECRETV20",
        ];
        assert_eq!(
            redact_words(&unknown).join(" "),
            "app -k *** requirepass *** --requirepass *** -a *** --bind ***@127.0.0.1:80 -p 8080 -a 0.0.0.0 -p***"
        );
    }
}
