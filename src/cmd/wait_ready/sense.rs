//! What flags have to be to make sense, each by itself and together: what could only cost the whole wait is refused at once.

use std::path::PathBuf;
use std::time::Duration;

use super::WaitReadyArgs;
use crate::gate::check::Via;
use crate::model::duration;

/// A path of a URL, with its query.
pub(super) fn path(text: &str) -> Result<String, String> {
    let whole = if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("/{text}")
    };
    match whole.parse::<http::uri::PathAndQuery>() {
        _ if text.contains("://") => Err("expected a path; a URL is given with --via".to_owned()),
        _ if text.contains('#') => Err("what is behind # never reaches a server: leave it out, or write # as %23".to_owned()),
        Ok(_) if text.is_ascii() && !text.contains(char::is_whitespace) => Ok(whole),
        _ => Err(format!("{text:?} is no path of a URL: write other characters as %XX")),
    }
}

/// A port by number or name. The name of a Service's port is a label of DNS (core validation, `ValidateDNS1123Label`).
pub(super) fn port(text: &str) -> Result<String, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    let is_port = text.parse::<u16>().is_ok_and(|port| port > 0);
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = text.bytes().all(|byte| is_letter(byte) || byte == b'-')
        && text.bytes().next().is_some_and(is_letter)
        && text.bytes().next_back().is_some_and(is_letter)
        && text.len() <= 63;
    if if is_number { is_port } else { is_name } {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no port: give a number from 1 to 65535, or the name that a port of the Service has"
    ))
}

/// An image, as far as can be told without asking a registry.
pub(super) fn image(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty (a variable that is not set?): name an image, such as shop/api:1.7".to_owned());
    }
    if !text.is_ascii() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{text:?} is no image: write it like shop/api:1.7"));
    }
    Ok(text.to_owned())
}

/// A Host header.
pub(super) fn host(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::Authority>() {
        Ok(host) if !host.host().is_empty() && !text.contains('@') => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is no host: write it like shop.example.org, without scheme and path"
        )),
    }
}

/// A revision of a Deployment.
pub(super) fn revision(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no revision: they are counted from 1 (kubectl rollout history)"))
}

/// A file to write.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("it is empty (a variable that is not set?): name a file".to_owned()),
        "-" => Err("a file is needed: standard output holds the verdict".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

/// Whether the flags go together; the error says which do not, and what to do.
pub(super) fn agree(args: &WaitReadyArgs) -> Result<(), String> {
    if args.once && args.timeout.is_some_and(|timeout| !timeout.is_zero()) {
        return Err("--once does not wait, so that it cannot be used with --timeout: leave one of them out".to_owned());
    }
    if args.probe_image.is_some() && !matches!(args.via, Via::Auto | Via::InCluster) {
        return Err(
            "--probe-image cannot be used with a --via that does not ask from inside of the cluster: leave one of them out, \
                    or ask with --via in-cluster"
                .to_owned(),
        );
    }
    Ok(())
}

/// What to say where a run is over before an answer can have lasted.
pub(super) fn too_short(timeout: Duration, span: Duration) -> Option<String> {
    (!timeout.is_zero() && timeout <= span).then(|| {
        let [timeout, span] = [timeout, span].map(duration::short);
        format!(
            "warning: within --timeout {timeout} nothing can prove that it stays ready for {span}: give it more time, or a shorter --stable-for"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_or_a_name() {
        for good in ["1", "80", "65535", "http", "grpc-web", "8080-tcp"] {
            assert_eq!(port(good), Ok(good.to_owned()));
        }
        for bad in ["", "0", "70000", "99999999999", "a b", "-1", "Http", "http-", "80/tcp"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_has_no_scheme_path_or_space() {
        for good in [
            "shop",
            "shop.example.org",
            "shop.example.org:8443",
            "10.0.0.1",
            "[::1]:80",
            "a_b.internal",
        ] {
            assert_eq!(host(good), Ok(good.to_owned()));
        }
        for bad in ["", "a b", "http://a", "a/b", "me@a", ":80"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_that_cannot_be_enough_is_told() {
        let told = |timeout, span| too_short(Duration::from_secs(timeout), Duration::from_secs(span)).is_some();
        assert_eq!((told(5, 5), told(6, 5), told(0, 5), told(3, 0)), (true, false, false, false));
    }
}
