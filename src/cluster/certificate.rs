//! Looks at the certificate that an address serves: connects, says the name, takes what is shown, and asks for nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::Connection;
use crate::model::certificate::Served;
use crate::text::sanitise;

/// A certificate may be for hundreds of names; so many show what it is for.
const MOST_NAMES: usize = 20;

/// Takes any certificate and keeps it. Handshake signatures are still checked, so that the server must have the certificate's key.
#[derive(Debug)]
pub(super) struct Looker {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl Looker {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            shown: Mutex::default(),
        }
    }
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Ok(mut shown) = self.shown.lock() {
            *shown = Some(end_entity.clone().into_owned());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Connection {
    /// Connects to an address directly, as its clients do, and looks which certificate it serves for a name; `-v 6` shows it.
    pub async fn served_certificate(&self, address: &str, port: u16, host: &str, limit: Duration) -> Served {
        let started = Instant::now();
        let served = served_certificate(address, port, host, limit).await;
        let shown = || {
            let outcome = match &served {
                Served::Certificate { fits: true, .. } => "its certificate is for that name",
                Served::Certificate { fits: false, .. } => "its certificate is for other names",
                Served::Nothing => "no certificate",
            };
            (format!("TLS {host} at {address}:{port}"), outcome.to_owned())
        };
        self.inner.transport.show_direct(shown, started.elapsed());
        served
    }
}

async fn served_certificate(address: &str, port: u16, host: &str, limit: Duration) -> Served {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let looker = Arc::new(Looker::new(provider.clone()));
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let (Ok(config), Ok(name)) = (config, ServerName::try_from(host.to_owned())) else {
        return Served::Nothing;
    };
    let config = config
        .dangerous()
        .with_custom_certificate_verifier(looker.clone())
        .with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect((address, port)).await.ok()?;
        TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await.ok()
    };
    // A server that wants a certificate of its client has shown its own before it ends the connection.
    let _ = tokio::time::timeout(limit, handshake).await;
    let shown = looker.shown.lock().ok().and_then(|mut shown| shown.take());
    shown.map_or(Served::Nothing, |certificate| names_of(&certificate, &name))
}

fn names_of(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Served {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(certificate) => Served::Certificate {
            names: certificate.valid_dns_names().take(MOST_NAMES).map(sanitise).collect(),
            fits: certificate.verify_is_valid_for_subject_name(name).is_ok(),
        },
        // What cannot be read accuses nobody.
        Err(_) => Served::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    fn seen(file: &str, host: &str) -> Served {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/tls")
            .join(file);
        let certificate = CertificateDer::from_pem_file(path).unwrap();
        names_of(&certificate, &ServerName::try_from(host.to_owned()).unwrap())
    }

    #[test]
    fn a_certificate_is_for_the_names_in_it_alone() {
        let Served::Certificate { names, fits } = seen("named.crt", "shop.example") else {
            panic!("it can be read")
        };
        assert!(!names.is_empty() && !fits, "{names:?}");
        let own = names[0].clone();
        assert_eq!(seen("named.crt", &own), Served::Certificate { names, fits: true });
    }

    #[tokio::test]
    async fn an_unanswered_check_prints_nothing() {
        let limit = Duration::from_millis(300);
        // Nothing listens on port 1; a listener that never answers lets the time run out.
        assert_eq!(served_certificate("127.0.0.1", 1, "a.example", limit).await, Served::Nothing);
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        assert_eq!(served_certificate("127.0.0.1", port, "a.example", limit).await, Served::Nothing);
    }
}
