//! Credentials in sentences: `the password is "SECRET"`, `invalid token SECRET`, `passwd SECRET`.

use crate::text::Words;
use crate::text::redact::HARMLESS_VALUES;

/// What the last word of a name ends with, in lower case and without separators.
const NAMES: Words = Words("password, passwd, passwort, passphrase, passcode, pwd, token, apikey, accesskey, secretkey");

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
const ANNOUNCING: Words =
    Words("with, using, invalid, wrong, bad, incorrect, unknown, expired, revoked, rejected, given, got, received, use, my");

/// Words that follow a name in sentences about it.
const ORDINARY: Words = Words(
    "a, absent, accepted, access, accessor, after, again, age, agent, algorithm, already, an, and, api, are, argument, as, at, \
     attribute, audience, auth, authentication, authenticator, authorization, backend, bad, based, bearer, because, before, being, \
     box, bucket, but, by, bytes, cache, callback, can, cannot, case, chain, change, characters, check, claim, claims, client, code, \
     column, command, complexity, config, configuration, contains, cookie, correct, could, count, credential, credentials, data, \
     database, default, dialog, did, digest, does, doesn't, email, empty, encoding, endpoint, entry, env, environment, error, \
     exchange, expiry, failed, failure, family, field, fields, file, files, flag, flags, flow, flows, for, form, format, found, \
     from, generation, generator, given, grant, handler, has, hash, header, here, history, hook, id, ids, if, in, incorrect, input, \
     instead, into, invalid, is, isn't, issue, issuer, it, key, keys, kind, kubernetes, leeway, length, lifetime, limit, line, list, \
     login, long, lookup, malformed, manager, map, mechanism, method, mismatch, missing, mode, module, must, name, names, near, \
     needs, no, not, now, null, number, object, of, off, ok, old, on, only, option, options, or, owner, page, pair, parameter, path, \
     plugin, plus, policies, policy, prefix, present, prompt, property, protocol, provider, question, refresh, refs, renewal, \
     replay, request, required, reset, response, review, right, rotation, rule, rules, same, scheme, scope, secret, secrets, server, \
     service, session, sessions, set, setting, short, should, signature, since, size, source, spec, state, status, storage, store, \
     strength, string, strong, subject, suffix, support, system, table, task, template, than, that, the, there, this, tls, to, \
     tokens, too, trailing, transport, ttl, twice, type, ui, unknown, unset, uri, uris, url, urls, use, user, username, users, \
     valid, validation, value, variable, variables, vault, verification, version, via, volume, was, weak, web, when, which, will, \
     window, with, without, words, work, worker, workflow, would, wrong, yet, you, your, zone",
);

const QUOTES: [char; 3] = ['"', '\'', '`'];
const AROUND: [char; 10] = ['"', '\'', '`', '(', ')', '[', ']', ',', ';', '.'];

/// A line without the credentials that its sentences tell.
pub fn mask(line: &str, mask: &str) -> String {
    let words = words(line);
    let mut out = String::with_capacity(line.len());
    let mut copied = 0;
    let mut i = 0;
    while i < words.len() {
        let ranges = [
            value_after(line, &words, i),
            value_at_end(line, &words, i),
            of_statement(line, &words, i),
        ];
        let new = ranges.into_iter().flatten().find(|(from, _)| *from >= copied);
        if let Some((from, to)) = new {
            out.push_str(&line[copied..from]);
            out.push_str(mask);
            copied = to;
        }
        i += 1;
    }
    out.push_str(&line[copied..]);
    out
}

/// How far a value may be from the name that announces it: `password for user root is X`.
const LONGEST_CLAUSE: usize = 6;

/// Where the value is of a name that says first whose it is: `generated password for root is X`.
fn value_at_end(line: &str, words: &[(usize, usize)], i: usize) -> Option<(usize, usize)> {
    let word = |i: usize| words.get(i).map(|&(from, to)| &line[from..to]);
    let plain: String = word(i)?
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let begins = word(i + 1)?.to_lowercase();
    if !word(i)?.ends_with(char::is_alphanumeric) || !NAMES.iter().any(|known| plain.ends_with(known)) || !OF.contains(&begins.as_str()) {
        return None;
    }
    let lower = |at: usize| word(at).unwrap_or_default().to_lowercase();
    let is_new = (i.saturating_sub(2)..i).any(|at| NEW.contains(&lower(at).as_str()));
    let link = (i + 2..=i + 1 + LONGEST_CLAUSE)
        .take_while(|&at| word(at - 1).is_some_and(|w| !w.ends_with(['.', ';'])))
        .find(|&at| {
            word(at).is_some_and(|w| {
                let bare = w.trim_end_matches([':', '=']).to_lowercase();
                // What follows a colon is an error more often than a value, but where something has just been made.
                LINKS.contains(&bare.as_str()) || (is_new && w.len() > 1 && w.ends_with(':'))
            })
        })?;
    let &(from, to) = words.get(link + 1)?;
    bare_value(line, from, to).filter(|&(from, to)| !is_ordinary(&line[from..to]))
}

/// Words in front of a secret that was made for somebody.
const NEW: &[&str] = &["generated", "created", "initial", "temporary", "default", "new", "random"];

/// Words between a name and whose it is.
const OF: &[&str] = &["for", "of", "to"];

/// A value without quotes and stops around it.
fn bare_value(line: &str, from: usize, to: usize) -> Option<(usize, usize)> {
    let word = &line[from..to];
    let lead = word.len() - word.trim_start_matches(QUOTES).len();
    let bare = word[lead..].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\'', '`']);
    (!bare.is_empty()).then_some((from + lead, from + lead + bare.len()))
}

/// Mechanisms that stand where a password could.
const MECHANISMS: Words = Words("login, plain, cram-md5, digest-md5, xoauth2, oauthbearer, ntlm, gssapi, external");

/// Where the password is in a statement: `AUTH X`, `AUTH name X` of Redis, `IDENTIFIED BY 'X'` of SQL.
fn of_statement(line: &str, words: &[(usize, usize)], i: usize) -> Option<(usize, usize)> {
    let word = |i: usize| words.get(i).map(|&(from, to)| &line[from..to]);
    let is = |i: usize, text: &str| word(i).is_some_and(|w| w.trim_matches(AROUND) == text);
    let is_any_case = |i: usize, text: &str| word(i).is_some_and(|w| w.trim_matches(AROUND).eq_ignore_ascii_case(text));
    if is_any_case(i, "identified") {
        let by = (i + 1..i + 5).find(|&at| is_any_case(at, "by") || is_any_case(at, "as"))?;
        let &(from, to) = words.get(by + 1)?;
        // `it is identified by its name` is a sentence, and no statement about a user.
        let is_statement = is(i, "IDENTIFIED")
            || line[from..].starts_with(QUOTES)
            || (0..i).any(|at| ["create", "alter", "grant"].iter().any(|verb| is_any_case(at, verb)));
        if !is_statement {
            return None;
        }
        if is_any_case(by + 1, "password") || is_any_case(by + 1, "random") {
            return words.get(by + 2).and_then(|&(from, to)| statement_value(line, from, to));
        }
        return statement_value(line, from, to);
    }
    // Only in upper case is it a command: `auth failed` is a sentence.
    if !is(i, "AUTH") {
        return None;
    }
    let first = words.get(i + 1).and_then(|&(from, to)| bare_value(line, from, to))?;
    let said = line[first.0..first.1].to_lowercase();
    if is_ordinary(&said) && said.chars().count() >= 3 && !MECHANISMS.has(&said) {
        return None;
    }
    // With a name before it, all up to the password goes.
    let second = words.get(i + 2).and_then(|&(from, to)| bare_value(line, from, to));
    match second.filter(|&(from, to)| !is_ordinary(&line[from..to])) {
        Some((_, end)) if !line[first.0..first.1].contains(['.', ':']) => Some((first.0, end)),
        _ if MECHANISMS.has(&said) => None,
        _ => Some(first),
    }
}

/// What stands in quotes, with blanks in it too, or else the word alone.
fn statement_value(line: &str, from: usize, to: usize) -> Option<(usize, usize)> {
    match line[from..].chars().next().filter(|c| QUOTES.contains(c)) {
        Some(quote) => {
            let inner = from + 1;
            let end = line[inner..].find(quote).map_or(line.len(), |end| inner + end);
            (end > inner && !line[inner..end].contains("***")).then_some((inner, end))
        }
        None => bare_value(line, from, to).filter(|&(from, to)| !is_reference(&line[from..to])),
    }
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
        // A name as configuration has it stands in no sentence.
        ANNOUNCING.has(&first) || plain == "passwd" || name.contains('_')
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
    // `password swordfish`: with nothing behind it, it is no sentence about passwords.
    // Of tokens parsers speak so, too.
    let is_last = value.len() > bare.len() || words.len() == at + 1;
    let is_said = is_last && is_name && !plain.ends_with("token");
    let is_value = looks_secret(bare) || ((announced || is_linked || is_said) && !is_ordinary(bare));
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
    let known = ORDINARY.has(&lower) || HARMLESS_VALUES.has(&lower);
    word.chars().count() < 3 || inflected || known || lower.ends_with("n't") || is_reference(word)
}

/// Paths, variables, pairs that other rules look at, and what is masked already.
fn is_reference(word: &str) -> bool {
    word.starts_with(['/', '$', '<', '(', '{', '[', '*', '-', '"', '\'']) || word.contains(['=', '/']) || word.contains("***")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_sentences_are_masked() {
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
            ("password swordfish", "password ***"),
            ("admin user created, password swordfish.", "admin user created, password ***."),
            ("api_key swordfish used by job", "api_key *** used by job"),
            ("DB_PASSWORD swordfish from env", "DB_PASSWORD *** from env"),
            (
                "generated password for user root is swordfish",
                "generated password for user root is ***",
            ),
            (
                "GENERATED ROOT PASSWORD for postgres is: swordfish",
                "GENERATED ROOT PASSWORD for postgres is: ***",
            ),
            ("generated token for service db: swordfish", "generated token for service db: ***"),
            ("sending AUTH swordfish", "sending AUTH ***"),
            ("\"AUTH\" \"swordfish\"", "\"AUTH\" \"***\""),
            ("AUTH app swordfish", "AUTH ***"),
            ("CREATE USER app IDENTIFIED BY 'sword fish'", "CREATE USER app IDENTIFIED BY '***'"),
            ("alter user app identified by swordfish;", "alter user app identified by ***;"),
            (
                "IDENTIFIED WITH caching_sha2_password BY 'x'",
                "IDENTIFIED WITH caching_sha2_password BY '***'",
            ),
            ("ALTER ROLE app PASSWORD 'x'", "ALTER ROLE app PASSWORD '***'"),
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
            "password for user app is wrong",
            "token for serviceaccount runner is expired",
            "the password for postgres was rejected",
            "failed to fetch token for serviceaccount runner: forbidden",
            "failed to refresh token for repository x: dial tcp 10.0.0.1:443: i/o timeout",
            "the key API_TOKEN of ConfigMap settings: couldn't be read",
            "password for user app is context dependent",
            "lexer: token IDENTIFIER",
            "no password supplied",
            "password reset requested by app",
            "missing API_KEY environment variable",
            "AUTH failed",
            "ERR AUTH called without any password configured",
            "-NOAUTH Authentication required.",
            "AUTH PLAIN",
            "the pod is identified by its uid",
            "could not open the password file",
            "SASL: password mechanism not supported",
        ] {
            assert_eq!(mask(line, "***"), line);
        }
    }
}
