//! Hosts of rules and listeners, with their asterisks.

/// `*.example.org` takes any name below it.
pub(crate) fn concrete(host: &str) -> String {
    host.replacen("*.", "podlife.", 1)
}

/// Whether a host is the pattern, or stands one step below its asterisk.
pub(crate) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(first, tail)| !first.is_empty() && tail == rest),
        None => pattern == host,
    }
}

/// The narrower of a route's host and a listener's; none where they have nothing in common.
pub(crate) fn both<'h>(host: &'h str, listener: &'h str) -> Option<&'h str> {
    if listener.is_empty() || covers(listener, host) || host == listener {
        Some(host)
    } else if covers(host, listener) {
        Some(listener)
    } else {
        // An asterisk of a listener takes any number of steps.
        let rest = listener.strip_prefix('*')?;
        host.ends_with(rest).then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_matches_one_step() {
        for (pattern, host, is) in [
            ("shop.example", "shop.example", true),
            ("*.example", "shop.example", true),
            ("*.example", "a.shop.example", false),
            ("*.example", "example", false),
            ("shop.example", "other.example", false),
        ] {
            assert_eq!(covers(pattern, host), is, "{pattern} {host}");
        }
        assert_eq!(concrete("*.shop.example"), "podlife.shop.example");
    }

    #[test]
    fn route_and_listener_must_agree_on_a_host() {
        for (host, listener, common) in [
            ("a.example", "", Some("a.example")),
            ("a.example", "*.example", Some("a.example")),
            ("b.a.example", "*.example", Some("b.a.example")),
            ("*.example", "a.example", Some("a.example")),
            ("*.example", "*.example", Some("*.example")),
            ("a.example", "b.example", None),
            ("a.other", "*.example", None),
        ] {
            assert_eq!(both(host, listener), common, "{host} {listener}");
        }
    }
}
