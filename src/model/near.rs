//! Near misses: which of the names that exist was probably meant.

pub(crate) use strsim::osa_distance as distance;

/// Whether one name is probably a typo of the other: few letters differ for its length, or only case or `-_.`.
pub fn is_near(a: &str, b: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| !matches!(c, '-' | '_' | '.'))
            .flat_map(char::to_lowercase)
            .collect()
    };
    let longest = a.chars().count().max(b.chars().count());
    plain(a) == plain(b) || distance(a, b) <= (longest / 3).min(3)
}

/// The nearest of the names, if one is near: the closest first, then in order of the alphabet.
pub fn nearest<'a>(wanted: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    among
        .into_iter()
        .filter(|name| *name != wanted)
        .filter(|name| is_near(wanted, name) || extends(wanted, name))
        .min_by_key(|name| (distance(wanted, name), *name))
}

/// `db` and `orders-db`: one is the other with more words.
fn extends(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.len() >= 2
        && (long.strip_prefix(short).is_some_and(|rest| rest.starts_with(['-', '.', '_']))
            || long.strip_suffix(short).is_some_and(|rest| rest.ends_with(['-', '.', '_'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        for (a, b, near) in [
            ("api", "apii", true),
            ("api", "pai", true),
            ("DATABASE_PASSWORD", "DATABASE-PASSWORD", true),
            ("htpp", "http", true),
            ("db", "web", false),
            ("api", "web", false),
            ("http", "grpc", false),
        ] {
            assert_eq!(is_near(a, b), near, "{a} {b}");
        }
        assert_eq!(nearest("db", ["web", "orders-db"]), Some("orders-db"));
        assert_eq!(nearest("postgres", ["redis", "postgresql"]), Some("postgresql"));
        assert_eq!(nearest("postgres", ["redis"]), None);
    }
}
