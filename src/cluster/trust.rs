//! Whose certificates an application may show: those of the system's authorities, of a file's, or anybody's.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::certificate::Looker;
use crate::cluster::outcome::Told;
use crate::text::shorten;

/// What is spoken inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Which certificates count.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    /// The flag that names further authorities.
    flag: &'static str,
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Trust")
    }
}

impl Trust {
    /// The authorities of this system, and those of a file in PEM form, which is named by this flag.
    pub fn of_authorities(file: Option<&[u8]>, flag: &'static str) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut added = 0;
        for certificate in file.into_iter().flat_map(CertificateDer::pem_slice_iter) {
            let certificate = certificate.map_err(|error| format!("it is not a PEM file: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("a certificate in it cannot be read: {error}"))?;
            added += 1;
        }
        if file.is_some() && added == 0 {
            return Err("it holds no certificate".to_owned());
        }
        let config = builder()?.with_root_certificates(roots).with_no_client_auth();
        let config = Arc::new(config);
        Ok(Self { config, flag })
    }

    /// Any certificate for any name.
    pub fn of_anybody() -> Result<Self, String> {
        let verifier = Arc::new(Looker::new(provider()));
        let config = builder()?.dangerous().with_custom_certificate_verifier(verifier);
        let config = Arc::new(config.with_no_client_auth());
        Ok(Self { config, flag: "" })
    }

    /// Makes a connection secure, with the host as the name that is asked for and that the certificate must bear.
    pub(super) async fn secure<S>(&self, stream: S, host: &str, protocol: Protocol) -> Result<TlsStream<S>, Told>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![match protocol {
            Protocol::Http1 => b"http/1.1".to_vec(),
            Protocol::Http2 => b"h2".to_vec(),
        }];
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Told::NoTls(format!("{} is not a host name", shorten(host, 80))))?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .map_err(|error| told(error, self.flag))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// What a handshake that failed says.
fn told(error: std::io::Error, flag: &str) -> Told {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Told::NoTls("it closes the connection in the TLS handshake".to_owned());
    };
    match tls {
        rustls::Error::InvalidCertificate(certificate) => Told::Untrusted(in_words(certificate, flag)),
        rustls::Error::InvalidMessage(_) => Told::NoTls("it does not speak TLS".to_owned()),
        other => Told::NoTls(shorten(&format!("no TLS connection: {other}"), 160)),
    }
}

fn in_words(error: &CertificateError, flag: &str) -> String {
    use CertificateError::*;
    match error {
        NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| own_name(name)).take(3).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            format!("its certificate is for {}, not for {}", shorten(&names, 120), expected.to_str())
        }
        NotValidForName => "its certificate is for another host".to_owned(),
        UnknownIssuer => format!("its certificate is signed by an authority that is not trusted ({flag} names one)"),
        Expired | ExpiredContext { .. } => "its certificate has expired".to_owned(),
        NotValidYet | NotValidYetContext { .. } => "its certificate is not valid yet".to_owned(),
        Revoked => "its certificate was revoked".to_owned(),
        other => shorten(&format!("its certificate does not count: {other}"), 160),
    }
}

/// `shop.example` for webpki's `DnsName("shop.example")`.
fn own_name(presented: &str) -> &str {
    presented.split('"').nth(1).unwrap_or(presented)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_no_file_of_authorities() {
        for bad in ["", "hello", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(Trust::of_authorities(Some(bad.as_bytes()), "--ca-file").is_err(), "{bad}");
        }
        assert!(Trust::of_authorities(None, "--ca-file").is_ok());
    }
}
