//! Which proxy leads to the API server, by the rules of Go's `net/http`, which kubectl follows.
//!
//! kube compares `NO_PROXY` with the proxy's own address, and curl's rules differ in detail, hence this file.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use crate::model::environment::Environment;

/// The proxy for `server`: `configured` (the kubeconfig's `proxy-url`) first, then the environment. The error says what is wrong with the setting.
pub(super) fn for_server(server: &Uri, configured: Option<&str>, environment: &Environment) -> Result<Option<Uri>, String> {
    if let Some(configured) = configured.filter(|url| !url.is_empty()) {
        if !configured.contains("://") {
            return Err(format!("proxy-url {} has no scheme; use http, https or socks5", masked(configured)));
        }
        return parse(configured, "proxy-url").map(Some);
    }
    let https = server.scheme_str() == Some("https");
    let (upper, lower) = if https {
        ("HTTPS_PROXY", "https_proxy")
    } else {
        ("HTTP_PROXY", "http_proxy")
    };
    let Some(proxy) = environment.get(upper).or_else(|| environment.get(lower)) else {
        return Ok(None);
    };
    let exceptions = environment
        .get("NO_PROXY")
        .or_else(|| environment.get("no_proxy"))
        .unwrap_or_default();
    let host = server.host().unwrap_or_default();
    let port = server.port_u16().unwrap_or(if https { 443 } else { 80 });
    if is_direct(host, port, exceptions) {
        return Ok(None);
    }
    parse(proxy, upper).map(Some)
}

fn parse(text: &str, setting: &str) -> Result<Uri, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // Host names are resolved by the proxy in both spellings.
    let with_scheme = with_scheme.replacen("socks5h://", "socks5://", 1);
    let uri: Uri = with_scheme
        .parse()
        .map_err(|error| format!("{setting} {} is not a URL: {error}", masked(text)))?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(format!("{setting} {} is not supported; use http, https or socks5", masked(text))),
    }
}

/// A URL without the password that may stand in it.
pub(super) fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    match rest.split_once('/').map_or(rest, |(authority, _)| authority).rsplit_once('@') {
        Some((userinfo, _)) => format!("{scheme}{separator}***{}", &rest[userinfo.len()..]),
        None => url.to_owned(),
    }
}

/// Whether a host is reached without a proxy (`useProxy` of golang.org/x/net/http/httpproxy, inverted).
fn is_direct(host: &str, port: u16, exceptions: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions
        .split(',')
        .map(|entry| entry.trim().to_lowercase())
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches_exception(&entry, &host, address, port))
}

fn matches_exception(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, wanted_port) = split_port(entry);
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return address == Some(wanted);
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        // A leading dot means subdomains only.
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(rest) = entry.strip_prefix('[') {
        let (address, after) = rest.split_once(']').unwrap_or((rest, ""));
        return (address, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(server: &str, configured: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let environment = Environment::of(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        for_server(&server.parse().unwrap(), configured, &environment).map(|uri| uri.map(|uri| uri.to_string()))
    }

    #[test]
    fn no_proxy_names_the_server_not_the_proxy() {
        // The proxy's own address among the exceptions must change nothing.
        for (exceptions, server, direct) in [
            ("", "https://api.example.org:6443", false),
            ("10.0.0.9", "https://api.example.org:6443", false),
            ("api.example.org", "https://api.example.org:6443", true),
            ("example.org", "https://api.example.org:6443", true),
            ("example.org", "https://notexample.org", false),
            (".example.org", "https://api.example.org", true),
            (".example.org", "https://example.org", false),
            ("*.example.org", "https://api.example.org", true),
            ("*.example.org", "https://example.org", false),
            ("EXAMPLE.org", "https://API.example.org", true),
            ("a.b, example.org", "https://api.example.org", true),
            ("example.org:6443", "https://api.example.org:6443", true),
            ("example.org:443", "https://api.example.org:6443", false),
            ("example.org:443", "https://api.example.org", true),
            ("*", "https://api.example.org", true),
            ("10.1.0.0/16", "https://10.1.2.3:6443", true),
            ("10.1.0.0/16", "https://10.2.2.3:6443", false),
            ("10.1.2.3", "https://10.1.2.3:6443", true),
            ("10.1.2.3:6443", "https://10.1.2.3:6443", true),
            ("10.1.2.3:443", "https://10.1.2.3:6443", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("fd00::1", "https://[fd00::2]:6443", false),
        ] {
            let got = proxy(server, None, &[("HTTPS_PROXY", "http://10.0.0.9:3128"), ("NO_PROXY", exceptions)]);
            let expected = (!direct).then(|| "http://10.0.0.9:3128/".to_owned());
            assert_eq!(got, Ok(expected), "{exceptions} for {server}");
        }
    }

    #[test]
    fn the_servers_scheme_chooses_the_variable() {
        let both = [("HTTPS_PROXY", "http://s:1"), ("HTTP_PROXY", "p:2")];
        assert_eq!(proxy("https://a", None, &both), Ok(Some("http://s:1/".into())));
        assert_eq!(proxy("http://a", None, &both), Ok(Some("http://p:2/".into())));
        assert_eq!(
            proxy("https://a", None, &[("https_proxy", "http://l:1")]),
            Ok(Some("http://l:1/".into()))
        );
        assert_eq!(proxy("https://a", None, &[("ALL_PROXY", "http://l:1")]), Ok(None));
    }

    #[test]
    fn loopback_is_never_proxied_but_by_the_kubeconfig() {
        let variables = [("HTTPS_PROXY", "http://s:1")];
        for server in [
            "https://localhost:6443",
            "https://127.0.0.1:6443",
            "https://127.1.1.1",
            "https://[::1]:6443",
        ] {
            assert_eq!(proxy(server, None, &variables), Ok(None), "{server}");
        }
        assert_eq!(
            proxy("https://127.0.0.1", Some("socks5h://u:1080"), &variables),
            Ok(Some("socks5://u:1080/".into()))
        );
    }

    #[test]
    fn a_bad_proxy_is_named_without_its_password() {
        let error = proxy("https://a", None, &[("HTTPS_PROXY", "ftp://me:hunter2@p:1")]).unwrap_err();
        assert!(error.contains("HTTPS_PROXY ftp://***@p:1"), "{error}");
        assert!(proxy("https://a", Some("p:1"), &[]).unwrap_err().contains("scheme"));
        assert!(proxy("https://a", None, &[("HTTPS_PROXY", "http://")]).is_err());
    }
}
