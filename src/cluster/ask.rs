//! Asks an application for something: through the API server's proxy, from inside a pod by port-forward, or directly along the way that its
//! clients take. Each request is a connection of its own.

use std::io::ErrorKind;
use std::time::Duration;

use http::{Method, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::cluster::dial::{PodPort, silent_answer};
use crate::cluster::error::{About, ApiError};
use crate::cluster::headers::Headers;
use crate::cluster::http1::Kept;
use crate::cluster::outcome::Told;
use crate::cluster::proxied::Proxied;
use crate::cluster::trust::{Protocol, Trust};
use crate::cluster::{Connection, health, http1};
use crate::model::dial::Reply;

/// As much of an answer as is compared and looked through.
const ENOUGH: usize = 64 << 10;

/// What an application is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// Nothing: a connection is made, and nothing is sent.
    Connect,
    /// A path, over HTTP/1.1.
    Http {
        /// `GET` as a rule.
        method: Method,
        /// The path, with its query.
        path: String,
        /// Headers beside our own.
        headers: Headers,
        /// What is sent; empty as a rule.
        body: Bytes,
    },
    /// Whether it serves, by the gRPC health protocol.
    Health {
        /// The service that is meant; empty for the server as a whole.
        service: String,
        /// Headers beside our own.
        headers: Headers,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub told: Told,
    /// The beginning of what was sent; empty where nothing was.
    pub body: Vec<u8>,
}

impl Question {
    /// A path, with GET.
    pub fn get(path: String, headers: Headers) -> Self {
        Self::Http {
            method: Method::GET,
            path,
            headers,
            body: Bytes::new(),
        }
    }

    /// Whether it changes nothing, as far as HTTP promises that.
    pub fn is_safe(&self) -> bool {
        match self {
            Self::Http { method, .. } => method.is_safe(),
            Self::Connect | Self::Health { .. } => true,
        }
    }
}

impl From<Told> for Answer {
    fn from(told: Told) -> Self {
        Self { told, body: Vec::new() }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Told::from(reply).into()
    }
}

/// Where a question goes directly.
#[derive(Clone, Debug)]
pub struct Direct {
    /// Where to connect: an address or a name.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The name for the Host header and, with TLS, for SNI and the certificate; empty for the address.
    pub host: String,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl Direct {
    /// Reads a URL of the scheme http, https, tcp, grpc or grpcs, and what it asks; the path of the last two is the service that is meant.
    pub fn of_url(url: &str) -> Result<(Self, Question), String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url:?} is not a URL: {e}"))?;
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let headers = Headers::new();
        let health = |headers| Question::Health {
            service: uri.path().trim_matches('/').to_owned(),
            headers,
        };
        let (tls, port, question) = match uri.scheme_str() {
            Some("http") => (false, 80, Question::get(path, headers)),
            Some("https") => (true, 443, Question::get(path, headers)),
            Some("tcp") => (false, 0, Question::Connect),
            Some("grpc") => (false, 0, health(headers)),
            Some("grpcs") => (true, 443, health(headers)),
            _ => return Err(format!("{url:?} is not a URL of the scheme http, https, tcp, grpc or grpcs")),
        };
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err("a URL with a user or password would be shown: send them with --header @FILE".to_owned());
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(port);
        if host.is_empty() || port == 0 {
            return Err(format!("{url:?} names no host and port"));
        }
        let to = Self {
            address: host.clone(),
            port,
            host,
            tls,
        };
        Ok((to, question))
    }

    /// The name that is asked for: `shop.example`, or the address with its port where that says more.
    fn authority(&self) -> String {
        if !self.host.is_empty() && self.host != self.address {
            return self.host.clone();
        }
        let bracketed = if self.address.contains(':') {
            format!("[{}]", self.address)
        } else {
            self.address.clone()
        };
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => bracketed,
            (_, port) => format!("{bracketed}:{port}"),
        }
    }
}

impl Direct {
    /// The name for SNI and the certificate.
    fn tls_name(&self) -> &str {
        if self.host.is_empty() { &self.address } else { &self.host }
    }

    /// The request that asks a question of HTTP.
    fn request(&self, question: &Question) -> Option<http::Request<Full<Bytes>>> {
        let Question::Http {
            method,
            path,
            headers,
            body,
        } = question
        else {
            return None;
        };
        http1::request(method, &self.authority(), path, headers, body.clone())
    }

    /// `GET https://shop.example/ at 192.0.2.1:443`: what is asked, and where.
    fn asking(&self, question: &Question) -> String {
        let secure = if self.tls { "s" } else { "" };
        let (verb, url) = match question {
            Question::Connect => ("CONNECT", format!("tcp://{}", self.authority())),
            Question::Http { method, path, .. } => (method.as_str(), format!("http{secure}://{}{path}", self.authority())),
            Question::Health { service, .. } => ("HEALTH", format!("grpc{secure}://{}/{service}", self.authority())),
        };
        let place = match self.host.as_str() {
            "" => String::new(),
            host if host == self.address => String::new(),
            _ => format!(" at {}:{}", self.address, self.port),
        };
        format!("{verb} {url}{place}")
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
        Ok(Answer { told: reply.into(), body })
    }

    /// Asks a pod from inside, by port-forward: at its loopback address, past everything. TLS is spoken without a look at the certificate, as by
    /// probes; the host is asked for instead of localhost, where there is one. Needs `create` on `pods/portforward` (before Kubernetes 1.35 `get` for this way of asking).
    pub async fn ask_inside(
        &self,
        to: PodPort<'_>,
        host: &str,
        tls: bool,
        question: &Question,
        limit: Duration,
    ) -> Result<Answer, ApiError> {
        let local = Direct {
            address: "localhost".to_owned(),
            port: to.port,
            host: host.to_owned(),
            tls,
        };
        self.forwarded(to, limit, async |stream, deadline| match question {
            Question::Connect => silent_answer(stream, Instant::now() + limit / 2).await.map(Answer::from),
            _ => Some(match Trust::of_anybody() {
                Ok(trust) => {
                    let answer = tokio::time::timeout_at(deadline, over(stream, &local, question, &trust)).await;
                    answer.unwrap_or_else(|_| Told::Silent.into())
                }
                Err(why) => Told::NoTls(why).into(),
            }),
        })
        .await
    }
}

impl Connection {
    /// Asks directly, without the cluster's API server; `-v 6` shows it. Whatever comes of it is an answer.
    pub async fn ask_directly(&self, to: &Direct, question: &Question, trust: &Trust, limit: Duration) -> Answer {
        let started = Instant::now();
        let answer = directly(to, question, trust, limit).await;
        let shown = || (to.asking(question), answer.told.shown());
        self.inner.transport.show_direct(shown, started.elapsed());
        answer
    }

    /// The same for a question of HTTP, on a connection that is kept from an earlier one, where there is one; `-v 6` shows it.
    pub async fn ask_again(&self, to: &Direct, question: &Question, trust: &Trust, limit: Duration, connections: &Kept) -> Told {
        let started = Instant::now();
        let asked = tokio::time::timeout(limit, kept(to, question, trust, connections)).await;
        let told = asked.unwrap_or(Told::Silent);
        self.inner
            .transport
            .show_direct(|| (to.asking(question), told.shown()), started.elapsed());
        told
    }

    /// Whether a name has an address, as seen from here; `-v 6` shows it.
    pub async fn resolves(&self, name: &str, limit: Duration) -> bool {
        let started = Instant::now();
        let looked_up = tokio::time::timeout(limit, tokio::net::lookup_host((name, 0))).await;
        let found = looked_up.is_ok_and(|found| found.is_ok_and(|mut found| found.next().is_some()));
        let shown = || {
            (
                format!("LOOKUP {name}"),
                if found { "has an address" } else { "no address" }.to_owned(),
            )
        };
        self.inner.transport.show_direct(shown, started.elapsed());
        found
    }
}

async fn directly(to: &Direct, question: &Question, trust: &Trust, limit: Duration) -> Answer {
    let deadline = Instant::now() + limit;
    let stream = match tokio::time::timeout_at(deadline, connect(to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(told)) => return told.into(),
        Err(_) => return Told::TimedOut.into(),
    };
    if matches!(question, Question::Connect) {
        return Told::Accepted.into();
    }
    let asked = tokio::time::timeout_at(deadline, over(stream, to, question, trust)).await;
    asked.unwrap_or_else(|_| Told::Silent.into())
}

async fn connect(to: &Direct) -> Result<TcpStream, Told> {
    let addresses: Vec<_> = match tokio::net::lookup_host((to.address.as_str(), to.port)).await {
        Ok(found) => found.collect(),
        Err(_) => return Err(Told::Unresolved),
    };
    match TcpStream::connect(addresses.as_slice()).await {
        Ok(stream) => Ok(stream),
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => Err(Told::Refused),
        Err(_) => Err(Told::TimedOut),
    }
}

/// Asks over a connection that is there.
async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, to: &Direct, question: &Question, trust: &Trust) -> Answer {
    if !to.tls {
        return spoken(stream, to, question).await;
    }
    let protocol = if matches!(question, Question::Health { .. }) {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    match trust.secure(stream, to.tls_name(), protocol).await {
        Ok(stream) => spoken(stream, to, question).await,
        Err(told) => told.into(),
    }
}

async fn spoken(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, to: &Direct, question: &Question) -> Answer {
    let answer = match question {
        Question::Connect => None,
        Question::Http { .. } => match to.request(question) {
            Some(request) => http1::once(stream, request, ENOUGH).await.map(|(status, body)| Answer {
                told: Told::Status(status.as_u16()),
                body,
            }),
            None => Some(Told::Untried.into()),
        },
        Question::Health { service, headers } => {
            let scheme = if to.tls { "https" } else { "http" };
            let told = health::check(stream, scheme, &to.authority(), service, headers).await;
            told.map(Answer::from)
        }
    };
    answer.unwrap_or_else(|| Told::Accepted.into())
}

/// Asks on a connection that is kept from an earlier question, or on a new one that is kept for the next.
async fn kept(to: &Direct, question: &Question, trust: &Trust, kept: &Kept) -> Told {
    let Some(request) = to.request(question) else {
        return Told::Untried;
    };
    let status = match kept.again(request).await {
        Ok(status) => status,
        Err(request) => match connect(to).await {
            Ok(stream) if to.tls => match trust.secure(stream, to.tls_name(), Protocol::Http1).await {
                Ok(stream) => kept.first(stream, request).await,
                Err(told) => return told,
            },
            Ok(stream) => kept.first(stream, request).await,
            Err(told) => return told,
        },
    };
    status.map_or(Told::Accepted, |status| Told::Status(status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let read = |url: &str| {
            Direct::of_url(url).map(|(d, question)| {
                let asked = match question {
                    Question::Connect => None,
                    Question::Http { path, .. } => Some(path),
                    Question::Health { service, .. } => Some(service),
                };
                (d.address, d.port, d.tls, asked)
            })
        };
        assert_eq!(
            read("http://a.example/x?y=1"),
            Ok(("a.example".into(), 80, false, Some("/x?y=1".into())))
        );
        assert_eq!(
            read("https://a.example:8443"),
            Ok(("a.example".into(), 8443, true, Some("/".into())))
        );
        assert_eq!(read("tcp://192.0.2.1:6379"), Ok(("192.0.2.1".into(), 6379, false, None)));
        assert_eq!(
            read("grpcs://a.example/shop.Cart"),
            Ok(("a.example".into(), 443, true, Some("shop.Cart".into())))
        );
        for bad in [
            "a.example",
            "ftp://a.example",
            "tcp://a.example",
            "grpc://a.example",
            "http://",
            "http://me:pass@a.example/",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(!read("http://me:pass@a.example/").unwrap_err().contains("pass@"));
    }

    #[test]
    fn the_host_that_is_asked_for_has_its_port_where_that_is_another_one() {
        let authority = |address: &str, port, host: &str, tls| {
            let host = host.to_owned();
            Direct {
                address: address.to_owned(),
                port,
                host,
                tls,
            }
            .authority()
        };
        assert_eq!(authority("192.0.2.1", 80, "", false), "192.0.2.1");
        assert_eq!(authority("192.0.2.1", 8080, "", false), "192.0.2.1:8080");
        assert_eq!(authority("2001:db8::1", 443, "", true), "[2001:db8::1]");
        assert_eq!(authority("192.0.2.1", 8443, "shop.example", true), "shop.example");
    }
}
