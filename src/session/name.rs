//! The name of a session's objects, from its id.

use sha2::{Digest as _, Sha256};

/// An id may be this long, in bytes.
pub(crate) const LONGEST_ID: usize = 4096;
/// How much of a name is readable.
const LONGEST_SLUG: usize = 40;

/// The name of a session: a readable part of the id, and 64 bits of its SHA-256. A valid DNS label that begins with a letter, as Services want it.
pub(crate) fn of(id: &str) -> Result<String, String> {
    if id.is_empty() {
        return Err("a session id cannot be empty".to_owned());
    }
    if id.len() > LONGEST_ID {
        return Err(format!(
            "a session id has at most {LONGEST_ID} bytes, and this one has {}",
            id.len()
        ));
    }
    let hash: String = Sha256::digest(id.as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(format!("{}-{hash}", slug(id)))
}

/// Letters and digits of the id in lower case, everything else as single dashes.
fn slug(id: &str) -> String {
    let mut slug = String::new();
    for c in id.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => {
                if slug.is_empty() && c.is_ascii_digit() {
                    slug.push_str("s-");
                }
                slug.push(c);
            }
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= LONGEST_SLUG {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "s".to_owned() } else { slug.to_owned() }
}

/// What the names of warm pods begin with.
const WARM: &str = "podlife-warm-";

/// The name of a warm pod.
pub(crate) fn of_warm(number: u64) -> String {
    format!("{WARM}{number:016x}")
}

/// Whether a name is one of a warm pod.
pub(crate) fn is_warm(name: &str) -> bool {
    let number = name.strip_prefix(WARM);
    number.is_some_and(|number| number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()))
}

/// The name of a session's pod.
pub(crate) fn of_pod(name: &str, generation: u32) -> String {
    format!("{name}-g{generation}")
}
