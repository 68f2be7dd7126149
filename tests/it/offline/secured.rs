//! Keys and certificates of a gateway, as they come over the network and as their files change.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use super::serve::{Running, api, ask, gateway_logging};
use crate::fake_api::{Answer, FakeApi, Folder, fixture};

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// A gateway whose log is read.
struct Logged {
    process: Running,
    address: String,
    log: BufReader<ChildStderr>,
}

impl Logged {
    fn start(api: &FakeApi, flags: &[&str]) -> Self {
        let (mut process, address, _) = gateway_logging(Stdio::piped(), api, "shop", flags);
        let log = BufReader::new(process.0.stderr.take().unwrap());
        Self { process, address, log }
    }

    /// Sends it SIGHUP. What it logs until it has read its files.
    fn hang_up(&mut self) -> String {
        let told = Command::new("kill").args(["-HUP", &self.process.0.id().to_string()]).status();
        assert!(told.unwrap().success());
        let mut logged = String::new();
        while !logged.contains("files have been read again") {
            assert_ne!(self.log.read_line(&mut logged).unwrap(), 0, "{logged}");
        }
        logged
    }
}

fn put(name: &str, to: &Path) {
    fs::copy(fixture(&format!("tls/{name}")), to).unwrap();
}

#[test]
fn keys_of_a_url_follow_its_server_and_the_file_of_its_authorities() {
    let all: Value = serde_json::from_str(&fs::read_to_string(fixture("jwt/keys.json")).unwrap()).unwrap();
    let keys = |names: &[&str]| {
        let is_named = |key: &&Value| names.iter().any(|name| key["kid"] == *name);
        let keys: Vec<&Value> = all["keys"].as_array().unwrap().iter().filter(is_named).collect();
        Answer::from(serde_json::json!({"keys": keys}))
    };
    let issuer = FakeApi::start_tls("ip").on("GET", "/keys", keys(&["rsa"]));
    let (api, folder) = (api("shop", &[]), Folder::new());
    let authorities = folder.0.join("ca.crt");
    put("ca.crt", &authorities);
    let url = format!("{}/keys", issuer.url());
    let flags = [
        "--auth",
        "jwt",
        "--audience",
        "podlife",
        "--jwks",
        &url,
        "--jwks-ca-file",
        authorities.to_str().unwrap(),
    ];
    let mut gateway = Logged::start(&api, &flags);
    let address = gateway.address.clone();
    let status = |name: &str| {
        let token = fs::read_to_string(fixture(&format!("jwt/{name}.jwt"))).unwrap();
        let headers = format!("Authorization: Bearer {}\r\n", token.trim());
        let answer = ask(&address, "GET", "/api/v1/sessions", &headers).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let accepted = |name: &str| {
        let begun = Instant::now();
        while status(name) != "200" {
            assert!(begun.elapsed() < DEADLINE, "{name} is accepted");
            thread::sleep(Duration::from_millis(50));
        }
    };
    accepted("rs256");
    assert_eq!(status("es256"), "401");
    // A token that names a new key makes the gateway look for it.
    issuer.replace("GET", "/keys", keys(&["rsa", "ec"]));
    accepted("es256");
    // The server is away, and then somebody else in its place.
    issuer.replace("GET", "/keys", Answer::drop());
    let logged = gateway.hang_up();
    assert!(logged.contains(&url), "{logged}");
    issuer.replace("GET", "/keys", keys(&["rsa", "ec", "ed"]));
    put("other-ca.crt", &authorities);
    let logged = gateway.hang_up();
    assert!(logged.contains(&url) && logged.contains("(--jwks-ca-file names one)"), "{logged}");
    assert_eq!(["es256", "eddsa"].map(status), ["200", "401"]);
    // It may be that one.
    put("ca.crt", &authorities);
    gateway.hang_up();
    assert_eq!(["es256", "eddsa"].map(status), ["200", "200"]);
    fs::remove_file(&authorities).unwrap();
    let logged = gateway.hang_up();
    assert!(logged.contains(authorities.to_str().unwrap()), "{logged}");
    assert_eq!(status("eddsa"), "200");
}

/// Makes a request over TLS, as a client with this certificate if any: the whole answer, empty where there is none.
fn ask_over_tls(address: &str, certificate: Option<&str>) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("tls/ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(fixture(&format!("tls/{name}.crt"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(fixture(&format!("tls/{name}.key"))).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let connection = rustls::ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    let mut all = Vec::new();
    // Who is refused learns of it with the first bytes, or while it sends.
    let _ = write!(stream, "GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").and_then(|()| stream.read_to_end(&mut all));
    String::from_utf8(all).unwrap()
}

#[test]
fn clients_need_a_certificate_of_the_authority_that_the_file_names_now() {
    let (api, folder) = (api("shop", &[]), Folder::new());
    let authority = folder.0.join("clients.crt");
    put("ca.crt", &authority);
    let (certificate, key) = (fixture("tls/ip.crt"), fixture("tls/ip.key"));
    let flags = [
        "--tls-cert-file",
        certificate.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--client-ca-file",
        authority.to_str().unwrap(),
    ];
    let mut gateway = Logged::start(&api, &flags);
    let address = gateway.address.clone();
    let served =
        || [None, Some("expired"), Some("client")].map(|certificate| ask_over_tls(&address, certificate).starts_with("HTTP/1.1 200 "));
    assert_eq!(served(), [false, false, true]);
    put("other-ca.crt", &authority);
    gateway.hang_up();
    assert_eq!(served(), [false, false, false]);
    put("ca.crt", &authority);
    gateway.hang_up();
    assert_eq!(served(), [false, false, true]);
    // A file that is no authority changes nothing.
    put("client.key", &authority);
    let logged = gateway.hang_up();
    assert!(logged.contains("the CA of clients"), "{logged}");
    assert_eq!(served(), [false, false, true]);
}
