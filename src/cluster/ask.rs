//! Asks an application for something: through the API server's proxy, or directly along the way that its clients take. Each request is a
//! connection of its own.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Connection;
use super::error::{About, ApiError};
use super::http_get;
use super::proxied::Proxied;
use crate::model::dial::Reply;

/// As much of an answer as is compared and looked through.
const ENOUGH: usize = 64 << 10;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub reply: Reply,
    /// The beginning of what was sent; empty where nothing was.
    pub body: Vec<u8>,
}

impl Answer {
    fn without_body(reply: Reply) -> Self {
        Self { reply, body: Vec::new() }
    }
}

/// What is asked directly.
#[derive(Clone, Debug)]
pub struct Direct {
    /// Where to connect: an address or a name.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The name for the Host header and, with TLS, for SNI and the certificate; empty for the address.
    pub host: String,
    /// Whether TLS is spoken; the certificate must be trusted by this machine.
    pub tls: bool,
    /// What is asked for with GET; none only connects.
    pub path: Option<String>,
}

impl Direct {
    /// Reads a URL of the scheme http, https or tcp.
    pub fn of_url(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url:?} is no URL: {e}"))?;
        let (tls, port, is_http) = match uri.scheme_str() {
            Some("http") => (false, 80, true),
            Some("https") => (true, 443, true),
            Some("tcp") => (false, 0, false),
            _ => return Err(format!("{url:?} is no URL of the scheme http, https or tcp")),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(port);
        if host.is_empty() || port == 0 {
            return Err(format!("{url:?} names no host and port"));
        }
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Self {
            address: host.clone(),
            port,
            host,
            tls,
            path: is_http.then_some(path),
        })
    }
}

impl Connection {
    /// Asks a Service or a pod through the API server, which picks an endpoint and dials it itself, past kube-proxy and NetworkPolicies.
    /// Needs `get` on `services/proxy` or `pods/proxy`.
    pub async fn ask_proxied(&self, to: Proxied<'_>, limit: Duration) -> Result<Answer, ApiError> {
        let about = About {
            doing: format!("asking {}/{}/{} on port {}", to.plural, to.namespace, to.name, to.port),
            verb: "get",
            resource: format!("{}/proxy", to.plural),
            namespace: Some(to.namespace.to_owned()),
        };
        let (reply, body) = self.exchange_proxied(to, about, ENOUGH, limit).await?;
        Ok(Answer { reply, body })
    }
}

/// Asks directly, without the cluster's API server. Whatever comes of it is an answer.
pub async fn ask_directly(to: &Direct, limit: Duration) -> Answer {
    let asked = tokio::time::timeout(limit, exchange(to)).await;
    asked.unwrap_or_else(|_| Answer::without_body(Reply::TimedOut))
}

async fn exchange(to: &Direct) -> Answer {
    let stream = match TcpStream::connect((to.address.as_str(), to.port)).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Answer::without_body(Reply::Refused),
        Err(_) => return Answer::without_body(Reply::TimedOut),
    };
    let Some(path) = &to.path else {
        return Answer::without_body(Reply::Accepted);
    };
    let host = if to.host.is_empty() { &to.address } else { &to.host };
    let answer = if to.tls {
        match secured(stream, host).await {
            Some(stream) => get(stream, host, path).await,
            None => None,
        }
    } else {
        get(stream, host, path).await
    };
    answer.unwrap_or_else(|| Answer::without_body(Reply::Accepted))
}

async fn secured(stream: TcpStream, host: &str) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

async fn get(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, host: &str, path: &str) -> Option<Answer> {
    let (status, body) = http_get::get(stream, host, path, ENOUGH).await?;
    Some(Answer {
        reply: Reply::Status(status.as_u16()),
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let read = |url: &str| Direct::of_url(url).map(|d| (d.address, d.port, d.tls, d.path));
        assert_eq!(
            read("http://a.example/x?y=1"),
            Ok(("a.example".into(), 80, false, Some("/x?y=1".into())))
        );
        assert_eq!(
            read("https://a.example:8443"),
            Ok(("a.example".into(), 8443, true, Some("/".into())))
        );
        assert_eq!(read("tcp://192.0.2.1:6379"), Ok(("192.0.2.1".into(), 6379, false, None)));
        for bad in ["a.example", "ftp://a.example", "tcp://a.example", "http://", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
