//! The parts of a URL or of `host:port`, as text writes them.

/// A written URL or address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// `http`; none for an address without a scheme.
    pub(crate) scheme: Option<&'a str>,
    /// `user:password` before an at sign.
    pub(crate) user: Option<&'a str>,
    /// The host, with its port.
    pub(crate) host: &'a str,
}

impl<'a> Url<'a> {
    /// Splits a text; whether the parts are valid is for the caller to decide.
    pub(crate) fn parse(text: &'a str) -> Self {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Self { scheme, user, host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_its_parts() {
        for (text, scheme, user, host) in [
            ("postgres://app:pw@db:5432/shop?x=1", Some("postgres"), Some("app:pw"), "db:5432"),
            ("http://[::1]:80", Some("http"), None, "[::1]:80"),
            ("db:5432/x", None, None, "db:5432"),
            ("a@db", None, Some("a"), "db"),
            ("", None, None, ""),
        ] {
            assert_eq!(Url::parse(text), Url { scheme, user, host }, "{text}");
        }
    }
}
