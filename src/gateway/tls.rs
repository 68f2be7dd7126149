//! TLS with certificates from files, which are read again when they change.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;
use webpki::{EndEntityCert, KeyUsage};

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Who has signed the certificates of clients; none: clients need none.
    pub(crate) client_authority: Option<PathBuf>,
}

/// How connections are secured.
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

struct Current {
    /// What the files held.
    read: Vec<Vec<u8>>,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, String> {
        let read = read(&files)?;
        let config = config(&read).map_err(|why| format!("{}: {why}", files.certificate.display()))?;
        let current = RwLock::new(Current { read, config });
        Ok(Self { files, current })
    }

    /// Reads the files again. True: they have changed.
    pub(super) fn refresh(&self) -> Result<bool, String> {
        let read = read(&self.files)?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).read == read {
            return Ok(false);
        }
        // Where only one of the files has been replaced so far, the other one follows.
        let config = config(&read).map_err(|why| format!("{}: {why}", self.files.certificate.display()))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { read, config };
        Ok(true)
    }

    /// When the first certificate of the chain ends that ends, in seconds since 1970.
    pub(super) fn ends(&self) -> Option<u64> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let chain = CertificateDer::pem_slice_iter(current.read.first()?).flatten();
        chain.filter_map(|certificate| end_of(&certificate)).min()
    }

    /// What secures the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone().into()
    }
}

/// Nobody trusts a certificate in the year 10000, and the refusal says when it ended.
fn end_of(certificate: &CertificateDer<'_>) -> Option<u64> {
    let late = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_800));
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    match certificate.verify_for_usage(&[], &[], &[], late, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => Some(not_after.as_secs()),
        _ => None,
    }
}

fn read(files: &TlsFiles) -> Result<Vec<Vec<u8>>, String> {
    let all = [Some(&files.certificate), Some(&files.key), files.client_authority.as_ref()];
    let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()));
    all.into_iter().flatten().map(read).collect()
}

/// The configuration that follows from certificate, key and, where there is one, the authority of clients.
fn config(read: &[Vec<u8>]) -> Result<Arc<ServerConfig>, String> {
    let certificates = |pem: &[u8]| -> Result<Vec<CertificateDer<'static>>, String> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let all = all.map_err(|error| error.to_string())?;
        if all.is_empty() {
            Err("it contains no certificate".to_owned())
        } else {
            Ok(all)
        }
    };
    let [certificate, key, authority @ ..] = read else {
        return Err("certificate and key are needed".to_owned());
    };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key: {error}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match authority.first() {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(pem).map_err(|why| format!("the CA of clients: {why}"))? {
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
        }
    };
    let mut config = builder
        .with_single_cert(certificates(certificate)?, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_certificate_is_read_again_when_both_files_are_new() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
        let folder = std::env::temp_dir().join(format!("podlife-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        let put = |name: &str, to: &Path| {
            fs::copy(fixtures.join(name), to).unwrap();
        };
        put("named.crt", &certificate);
        put("named.key", &key);
        let client_authority = Some(fixtures.join("ca.crt"));
        let tls = Tls::open(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
            client_authority,
        })
        .unwrap();
        assert_eq!(tls.refresh(), Ok(false));
        put("ip.crt", &certificate);
        assert!(tls.refresh().is_err());
        put("ip.key", &key);
        assert_eq!(tls.refresh(), Ok(true));
        // Both were made in 2026, for a hundred years.
        assert_eq!(tls.ends(), Some(4_948_854_537));
        put("expired.crt", &certificate);
        put("expired.key", &key);
        assert_eq!(tls.refresh(), Ok(true));
        assert_eq!(tls.ends(), Some(1_580_515_200));
        fs::remove_dir_all(folder).unwrap();
    }
}
