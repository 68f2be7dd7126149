//! Values of flags: what can never work is refused before the wait begins.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cluster::Direct;
use crate::model::{duration, selector};
use crate::readiness::check::ProbePath;
use crate::readiness::failfast::Grace;
use crate::render::document::Format;

/// The format of the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// One report at the end.
    Report(Format),
    /// A line of JSON per change, and the report in the last.
    NdJson,
}

/// Which CI system gets annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Annotate {
    /// Where the environment names a system.
    Auto,
    /// GitHub Actions.
    Github,
    /// GitLab.
    Gitlab,
    /// Nowhere.
    None,
}

/// A path of a URL, with its query.
pub(crate) fn path(text: &str) -> Result<String, String> {
    let whole = if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("/{text}")
    };
    match whole.parse::<http::uri::PathAndQuery>() {
        _ if text.contains("://") => Err("expected a path; a URL is given with --via".to_owned()),
        _ if text.contains('#') => Err("a server never gets what follows #: leave it out, or write # as %23".to_owned()),
        Ok(_) if text.is_ascii() && !text.contains(char::is_whitespace) => Ok(whole),
        _ => Err(format!("{text:?} is not a URL path: write other characters as %XX")),
    }
}

/// A port by number or name. The name of a Service's port is a label of DNS (core validation, `ValidateDNS1123Label`).
pub(crate) fn port(text: &str) -> Result<String, String> {
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
        "{text:?} is not a port: give a number from 1 to 65535, or the name that a port of the Service has"
    ))
}

/// An image reference, checked without a registry.
pub(crate) fn image(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty (a variable that is not set?): name an image, such as shop/api:1.7".to_owned());
    }
    if !text.is_ascii() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{text:?} is not an image: write it like shop/api:1.7"));
    }
    Ok(text.to_owned())
}

/// A Host header.
pub(crate) fn host(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::Authority>() {
        Ok(host) if !host.host().is_empty() && !text.contains('@') => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is not a host: write it like shop.example.org, without scheme and path"
        )),
    }
}

/// A revision of a Deployment.
pub(crate) fn revision(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is not a revision: they are counted from 1 (kubectl rollout history)"))
}

/// A file to write.
pub(crate) fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("it is empty (a variable that is not set?): name a file".to_owned()),
        "-" => Err("a file is needed: standard output holds the verdict".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

/// The format of the output.
pub(crate) fn output(text: &str) -> Result<Output, String> {
    let expected = || "expected text, json, yaml, ndjson or jsonpath=TEMPLATE".to_owned();
    if text == "ndjson" {
        return Ok(Output::NdJson);
    }
    match text.parse() {
        Ok(Format::Name | Format::Wide) => Err(expected()),
        Ok(format) => Ok(Output::Report(format)),
        Err(why) if text.starts_with("jsonpath=") => Err(why),
        Err(_) => Err(expected()),
    }
}

/// The network path of the checks.
pub(crate) fn via(text: &str) -> Result<ProbePath, String> {
    match text {
        "auto" => Ok(ProbePath::Auto),
        "load-balancer" => Ok(ProbePath::LoadBalancer),
        "ingress" => Ok(ProbePath::Ingress),
        "node-port" => Ok(ProbePath::NodePort),
        "in-cluster" => Ok(ProbePath::InCluster),
        "service-proxy" => Ok(ProbePath::ServiceProxy),
        "port-forward" => Ok(ProbePath::PortForward),
        url if url.contains("://") => Direct::of_url(url).map(|_| ProbePath::Url(url.to_owned())),
        _ => Err("expected auto, load-balancer, ingress, node-port, in-cluster, service-proxy, port-forward or a URL".to_owned()),
    }
}

/// An accepted status code, or a range of them.
pub(crate) fn statuses(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| text.parse().ok().filter(|n| (100..=599).contains(n));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err(format!("{text:?} is not a status; write it like 200 or 200-399")),
    }
}

/// A label selector, and its text.
pub(crate) fn label_selector(text: &str) -> Result<(LabelSelector, String), String> {
    Ok((selector::parse(text)?, text.to_owned()))
}

/// The time for a class of faults.
pub(crate) fn grace(text: &str) -> Result<(String, Duration), String> {
    let (class, time) = text.split_once('=').ok_or_else(|| format!("{text:?} is not CLASS=DURATION"))?;
    let time = duration::parse(time)?;
    Grace::default().set(class, time)?;
    Ok((class.to_owned(), time))
}

/// A warning where the timeout is shorter than answers have to last.
pub(crate) fn too_short(timeout: Duration, span: Duration) -> Option<String> {
    (!timeout.is_zero() && timeout <= span).then(|| {
        let [timeout, span] = [timeout, span].map(duration::short);
        format!(
            "warning: within --timeout {timeout} it cannot be proven to stay ready for {span}: use a longer --timeout or a shorter --stable-for"
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
    fn a_timeout_that_cannot_be_enough_is_reported() {
        let told = |timeout, span| too_short(Duration::from_secs(timeout), Duration::from_secs(span)).is_some();
        assert_eq!((told(5, 5), told(6, 5), told(0, 5), told(3, 0)), (true, false, false, false));
    }
}
