//! From flags, environment and kubeconfig files to one server and one user, by client-go's rules.
//!
//! kube's own loader makes a missing file of a list fatal, turns an unknown user into nobody and asks the wrong
//! question about proxies; its parser of single files is used.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::cluster::error::{ApiError, ApiErrorKind};
use crate::cluster::options::ConnectOptions;
use crate::cluster::proxy;
use crate::model::environment::Environment;

/// Where the kubelet mounts a pod's own credentials.
pub(super) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

const DOING: &str = "reading the kubeconfig";

/// One API server and one user.
pub(super) struct Target {
    pub server: Uri,
    pub namespace: String,
    /// Name of the context, where one is chosen.
    pub context: Option<String>,
    /// PEM; none means the system's certificates.
    pub ca: Option<Vec<u8>>,
    /// Read again now and then, where the platform renews it.
    pub ca_file: Option<PathBuf>,
    pub insecure: bool,
    pub tls_server_name: Option<String>,
    pub proxy: Option<Uri>,
    pub disable_compression: bool,
    pub user: AuthInfo,
    /// Client certificate and key, PEM.
    pub identity: Option<Identity>,
    /// The cluster information that a credential plugin can request.
    pub cluster_info: Value,
}

/// Client certificate and key, both PEM.
#[derive(Clone)]
pub(super) struct Identity {
    pub certificate: Vec<u8>,
    pub key: SecretString,
}

fn config(message: impl Into<String>) -> ApiError {
    ApiError::before(ApiErrorKind::Config, DOING, message)
}

fn usage(message: impl Into<String>, hint: &str) -> ApiError {
    ApiError::before(ApiErrorKind::Usage, DOING, message).hint(hint)
}

/// What a flag says is the user's to mend on the command line, what the kubeconfig says is not.
fn said_by_flag(error: ApiError) -> ApiError {
    if error.kind != ApiErrorKind::Config {
        return error;
    }
    let usage = ApiError::before(ApiErrorKind::Usage, "reading the flags", error.message.clone());
    match &error.hint {
        Some(hint) => usage.hint(hint.clone()),
        None => usage,
    }
}

/// Reads what leads to the API server. `service_account` is where a pod finds its own credentials.
pub(super) fn resolve(options: &ConnectOptions, environment: &Environment, service_account: &Path) -> Result<Target, ApiError> {
    let kubeconfig = load(options, environment)?;
    let is_empty = kubeconfig.clusters.is_empty()
        && kubeconfig.contexts.is_empty()
        && kubeconfig.auth_infos.is_empty()
        && kubeconfig.current_context.is_none();
    let (mut cluster, mut user, mut namespace, mut ca_file) = match is_empty {
        true => from_within(options, environment, service_account),
        false => from_contexts(options, &kubeconfig)?,
    };
    if let Some(given) = options.namespace.as_deref().filter(|given| !given.is_empty()) {
        namespace = Some(given.to_owned());
    }
    override_cluster(&mut cluster, options, &mut ca_file);
    override_user(&mut user, options)?;

    let has_tls = cluster.certificate_authority.is_some()
        || cluster.certificate_authority_data.is_some()
        || cluster.insecure_skip_tls_verify == Some(true)
        || user.client_certificate.is_some()
        || user.client_certificate_data.is_some();
    let server = cluster.server.clone().filter(|server| !server.is_empty()).ok_or_else(|| {
        config("no configuration has been provided: there is no kubeconfig, and this is not inside a cluster")
            .hint("set KUBECONFIG, pass --kubeconfig FILE, or see `kubectl config view`")
    })?;
    let server = server_url(&server, has_tls).map_err(|error| match options.server {
        Some(_) => said_by_flag(error),
        None => error,
    })?;
    let insecure = cluster.insecure_skip_tls_verify == Some(true);
    let ca = match insecure {
        true => None,
        false => data_or_file(
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_deref(),
            "certificate authority",
        )
        .map_err(|error| match options.certificate_authority {
            Some(_) => said_by_flag(error),
            None => error,
        })
        .and_then(|ca| {
            let file = file_of(
                cluster.certificate_authority_data.as_deref(),
                cluster.certificate_authority.as_ref(),
            );
            pem(
                ca,
                "certificate authority",
                file,
                "in certificate-authority-data of the kubeconfig",
                pem_certificates,
            )
        })?,
    };
    let identity = identity(&user).map_err(|error| match (&options.client_certificate, &options.client_key) {
        (None, None) => error,
        _ => said_by_flag(error),
    })?;
    let proxy = proxy::for_server(&server, cluster.proxy_url.as_deref(), environment).map_err(config)?;
    let cluster_info = describe(&cluster, ca.as_deref());
    Ok(Target {
        identity,
        server,
        namespace: namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
        context: options.context.clone().or(kubeconfig.current_context),
        ca,
        ca_file: if insecure { None } else { ca_file },
        insecure,
        tls_server_name: cluster.tls_server_name.filter(|name| !name.is_empty()),
        proxy,
        disable_compression: options.disable_compression || cluster.disable_compression == Some(true),
        user,
        cluster_info,
    })
}

/// What the kubeconfig names, for completion. Credentials stay out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Contexts, in the files' order.
    pub contexts: Vec<String>,
    /// Clusters, in the files' order.
    pub clusters: Vec<String>,
    /// Users, in the files' order.
    pub users: Vec<String>,
}

/// Reads the names in the kubeconfig that `options` and `environment` lead to; no cluster is asked.
pub fn names(options: &ConnectOptions, environment: &Environment) -> Result<Names, ApiError> {
    let kubeconfig = load(options, environment)?;
    Ok(Names {
        contexts: kubeconfig.contexts.into_iter().map(|context| context.name).collect(),
        clusters: kubeconfig.clusters.into_iter().map(|cluster| cluster.name).collect(),
        users: kubeconfig.auth_infos.into_iter().map(|user| user.name).collect(),
    })
}

/// Every file that counts, merged: the first one to name something wins.
fn load(options: &ConnectOptions, environment: &Environment) -> Result<Kubeconfig, ApiError> {
    if let Some(file) = &options.kubeconfig {
        return read(file)?
            .ok_or_else(|| config(format!("{} does not exist", file.display())).hint("see `kubectl config view` for the one in use"));
    }
    let listed: Vec<PathBuf> = environment
        .get("KUBECONFIG")
        .map(|list| std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    let files = match listed.is_empty() {
        false => listed,
        true => environment
            .home()
            .map(|home| home.join(".kube").join("config"))
            .into_iter()
            .collect(),
    };
    let mut merged = Kubeconfig::default();
    for file in files {
        let Some(next) = read(&file)? else { continue };
        merged = merged.merge(next).map_err(|error| config(format!("{}: {error}", file.display())))?;
    }
    Ok(merged)
}

/// One file; none where it does not exist, which client-go skips.
fn read(file: &Path) -> Result<Option<Kubeconfig>, ApiError> {
    match Kubeconfig::read_from(file) {
        Ok(mut kubeconfig) => {
            // An empty name must not win over the next file's.
            kubeconfig.current_context = kubeconfig.current_context.filter(|name| !name.is_empty());
            Ok(Some(kubeconfig))
        }
        Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(KubeconfigError::ReadConfig(error, _)) => Err(config(format!("cannot read {}: {error}", file.display())).caused_by(error)),
        // The parser quotes the line it stumbles over, which may hold a token.
        Err(KubeconfigError::Parse(error)) => Err(config(format!(
            "{} is not a kubeconfig: {}",
            file.display(),
            error.to_string().lines().next().unwrap_or_default()
        ))),
        Err(error) => Err(config(format!("{}: {error}", file.display())).caused_by(error)),
    }
}

type Parts = (Cluster, AuthInfo, Option<String>, Option<PathBuf>);

fn from_contexts(options: &ConnectOptions, kubeconfig: &Kubeconfig) -> Result<Parts, ApiError> {
    let name = options.context.as_ref().or(kubeconfig.current_context.as_ref());
    let context =
        match name {
            None => None,
            Some(name) => {
                let found = kubeconfig.contexts.iter().find(|context| &context.name == name);
                Some(found.and_then(|found| found.context.clone()).ok_or_else(|| {
                    match &options.context {
                        Some(_) => usage(format!("context {name:?} does not exist"), "see `kubectl config get-contexts`"),
                        None => config(format!("the current context {name:?} does not exist"))
                            .hint("choose one with `kubectl config use-context NAME`"),
                    }
                })?)
            }
        };
    let wanted = options.cluster.as_ref().or(context.as_ref().map(|context| &context.cluster));
    let cluster = match wanted.filter(|name| !name.is_empty()) {
        None if options.server.is_some() => Cluster::default(),
        None => {
            return Err(config("no context is chosen, so no cluster is known")
                .hint("choose one with `kubectl config use-context NAME`, or pass --context"));
        }
        Some(name) => {
            let found = kubeconfig.clusters.iter().find(|cluster| &cluster.name == name);
            found
                .and_then(|found| found.cluster.clone())
                .ok_or_else(|| match &options.cluster {
                    Some(_) => usage(format!("cluster {name:?} does not exist"), "see `kubectl config get-clusters`"),
                    None => config(format!("the context names cluster {name:?}, which does not exist"))
                        .hint("see `kubectl config get-clusters`"),
                })?
        }
    };
    let wanted = options.user.as_ref().or(context.as_ref().and_then(|context| context.user.as_ref()));
    let user = match wanted.filter(|name| !name.is_empty()) {
        None => AuthInfo::default(),
        Some(name) => match kubeconfig.auth_infos.iter().find(|user| &user.name == name) {
            Some(found) => found.auth_info.clone().unwrap_or_default(),
            // kube (and client-go for a context's user) would go on as nobody, which ends in a puzzling 401.
            None => {
                return Err(match &options.user {
                    Some(_) => usage(format!("user {name:?} does not exist"), "see `kubectl config get-users`"),
                    None => config(format!("the context names user {name:?}, who does not exist")).hint("see `kubectl config get-users`"),
                });
            }
        },
    };
    Ok((cluster, user, context.and_then(|context| context.namespace), None))
}

/// What a pod knows of its own cluster; empty outside of one.
fn from_within(options: &ConnectOptions, environment: &Environment, service_account: &Path) -> Parts {
    let token_file = service_account.join("token");
    let (Some(host), Some(port)) = (
        environment.get("KUBERNETES_SERVICE_HOST"),
        environment.get("KUBERNETES_SERVICE_PORT"),
    ) else {
        return Default::default();
    };
    if !token_file.is_file() {
        return Default::default();
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let ca_file = service_account.join("ca.crt");
    let has_ca = ca_file.is_file();
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: has_ca.then(|| ca_file.display().to_string()),
        ..Cluster::default()
    };
    let user = AuthInfo {
        token_file: options.token.is_none().then(|| token_file.display().to_string()),
        ..AuthInfo::default()
    };
    let namespace = environment.get("POD_NAMESPACE").map(str::to_owned).or_else(|| {
        let text = std::fs::read_to_string(service_account.join("namespace")).ok()?;
        Some(text.trim().to_owned())
    });
    (cluster, user, namespace, has_ca.then_some(ca_file))
}

/// `getCluster` of client-go's `client_config.go`.
fn override_cluster(cluster: &mut Cluster, options: &ConnectOptions, ca_file: &mut Option<PathBuf>) {
    if let Some(server) = &options.server {
        cluster.server = Some(server.clone());
    }
    let insecure = options.insecure_skip_tls_verify;
    if insecure == Some(true) || options.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = insecure;
        cluster.certificate_authority = options.certificate_authority.as_ref().map(|path| path.display().to_string());
        cluster.certificate_authority_data = None;
        *ca_file = None;
    } else if insecure == Some(false) {
        cluster.insecure_skip_tls_verify = insecure;
    }
    if options.server.is_some() || options.tls_server_name.is_some() {
        // Another server has another name.
        cluster.tls_server_name = options.tls_server_name.clone();
    }
}

fn override_user(user: &mut AuthInfo, options: &ConnectOptions) -> Result<(), ApiError> {
    if let Some(token) = &options.token {
        *user = AuthInfo {
            token: Some(token.clone()),
            token_file: None,
            exec: None,
            auth_provider: None,
            username: None,
            password: None,
            ..user.clone()
        };
    }
    if options.username.is_some() || options.password.is_some() {
        if options.token.is_some() {
            return Err(usage("--token and --username/--password exclude each other", "pass one of them"));
        }
        user.username = options.username.clone().or(user.username.take());
        user.password = options.password.clone().or(user.password.take());
        (user.token, user.token_file, user.exec, user.auth_provider) = (None, None, None, None);
    }
    if let Some(file) = &options.client_certificate {
        user.client_certificate = Some(file.display().to_string());
        user.client_certificate_data = None;
    }
    if let Some(file) = &options.client_key {
        user.client_key = Some(file.display().to_string());
        user.client_key_data = None;
    }
    if let Some(name) = &options.as_user {
        user.impersonate = Some(name.clone());
    }
    if let Some(uid) = &options.as_uid {
        user.impersonate_uid = Some(uid.clone());
    }
    if !options.as_groups.is_empty() {
        user.impersonate_groups = Some(options.as_groups.clone());
    }
    if !options.as_user_extra.is_empty() {
        let extra = user.impersonate_user_extra.get_or_insert_default();
        for (key, _) in &options.as_user_extra {
            extra.remove(key);
        }
        for (key, value) in &options.as_user_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
    }
    let acts_as_part = user.impersonate_uid.is_some()
        || user.impersonate_groups.as_ref().is_some_and(|groups| !groups.is_empty())
        || user.impersonate_user_extra.as_ref().is_some_and(|extra| !extra.is_empty());
    if acts_as_part && user.impersonate.as_ref().is_none_or(String::is_empty) {
        return Err(usage("a group, uid or extra to act as needs a user to act as", "add --as USER"));
    }
    Ok(())
}

fn server_url(text: &str, has_tls: bool) -> Result<Uri, ApiError> {
    let scheme = if has_tls { "https" } else { "http" };
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{scheme}://{text}")
    };
    let bad = |why: &str| config(format!("server {} is not a URL: {why}", proxy::masked(text)));
    let uri: Uri = full.parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        (Some("http" | "https"), _) => Err(bad("no host")),
        _ => Err(bad("use http or https")),
    }
}

fn data_or_file(data: Option<&str>, file: Option<&str>, what: &str) -> Result<Option<Vec<u8>>, ApiError> {
    let data = data.filter(|data| !data.is_empty());
    let file = file.filter(|file| !file.is_empty());
    match (data, file) {
        (Some(data), _) => {
            // Line breaks inside are common, because the YAML was folded.
            let packed: String = data.chars().filter(|c| !c.is_whitespace()).collect();
            let bytes = STANDARD
                .decode(packed)
                .map_err(|error| config(format!("the {what} data is not base64: {error}")))?;
            Ok(Some(bytes))
        }
        (None, Some(file)) => std::fs::read(file)
            .map(Some)
            .map_err(|error| config(format!("cannot read the {what} {file}: {error}")).caused_by(error)),
        (None, None) => Ok(None),
    }
}

/// What is no PEM is said with the file, or the field, that holds it: a wrong file is named more often than a broken one.
fn pem(bytes: Option<Vec<u8>>, what: &str, file: Option<&str>, field: &str, read: PemReader) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(bytes) = bytes else { return Ok(None) };
    match read(&bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(why) => {
            let place = file.filter(|file| !file.is_empty()).unwrap_or(field);
            Err(usage(
                format!("the {what} {place} {why}"),
                "it begins with -----BEGIN; `openssl x509` and `openssl pkey` turn other forms into PEM",
            ))
        }
    }
}

type PemReader = fn(&[u8]) -> Result<(), String>;

/// The certificates of a PEM file, which has one at least.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem)
        .map(|der| der.map(|der| der.as_ref().to_vec()))
        .collect();
    match all {
        Ok(all) if all.is_empty() => Err("holds no PEM certificate".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

fn pem_certificates(bytes: &[u8]) -> Result<(), String> {
    certificates(bytes).map(drop)
}

fn pem_key(bytes: &[u8]) -> Result<(), String> {
    use rustls_pki_types::PrivateKeyDer;
    use rustls_pki_types::pem::{Error, PemObject as _};
    match PrivateKeyDer::from_pem_slice(bytes) {
        // The error of an encrypted key says how to decrypt it.
        Ok(_) => Ok(()),
        Err(_) if String::from_utf8_lossy(bytes).contains("ENCRYPTED") => Ok(()),
        Err(Error::NoItemsFound) => Err("holds no PEM key".to_owned()),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}

/// The file that counts: none where the data stands in the kubeconfig itself.
fn file_of<'a>(data: Option<&str>, file: Option<&'a String>) -> Option<&'a str> {
    file.filter(|_| data.is_none_or(str::is_empty)).map(String::as_str)
}

fn identity(user: &AuthInfo) -> Result<Option<Identity>, ApiError> {
    let certificate = data_or_file(
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
        "client certificate",
    )?;
    let key_data = user.client_key_data.as_ref().map(|key| key.expose_secret());
    let key = data_or_file(key_data, user.client_key.as_deref(), "client key")?;
    let file = file_of(user.client_certificate_data.as_deref(), user.client_certificate.as_ref());
    let certificate = pem(
        certificate,
        "client certificate",
        file,
        "in client-certificate-data of the kubeconfig",
        pem_certificates,
    )?;
    let file = file_of(key_data, user.client_key.as_ref());
    let key = pem(key, "client key", file, "in client-key-data of the kubeconfig", pem_key)?;
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(config("there is a client certificate, but no client key")),
        (None, Some(_)) => Err(config("there is a client key, but no client certificate")),
        (Some(certificate), Some(key)) => {
            let key = String::from_utf8(key).map_err(|_| config("the client key is not PEM"))?;
            if key.contains("ENCRYPTED") {
                let file = user
                    .client_key
                    .as_deref()
                    .filter(|_| user.client_key_data.is_none())
                    .unwrap_or("KEY");
                return Err(config("the client key is encrypted, and only plain keys can be used")
                    .hint(format!("decrypt it with `openssl pkey -in {file} -out PLAIN`")));
            }
            Ok(Some(Identity {
                certificate,
                key: SecretString::from(key),
            }))
        }
    }
}

/// `spec.cluster` of an ExecCredential.
fn describe(cluster: &Cluster, ca: Option<&[u8]>) -> Value {
    let mut info = json!({"server": cluster.server});
    if let Some(name) = &cluster.tls_server_name {
        info["tls-server-name"] = json!(name);
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        info["insecure-skip-tls-verify"] = json!(true);
    }
    if let Some(ca) = ca {
        info["certificate-authority-data"] = json!(STANDARD.encode(ca));
    }
    if let Some(proxy) = &cluster.proxy_url {
        info["proxy-url"] = json!(proxy);
    }
    if cluster.disable_compression == Some(true) {
        info["disable-compression"] = json!(true);
    }
    // The name is reserved in the cluster's extensions for this use.
    let extension = cluster
        .extensions
        .iter()
        .flatten()
        .find(|e| e.name == "client.authentication.k8s.io/exec");
    if let Some(extension) = extension {
        info["config"] = extension.extension.clone();
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = include_str!("../../tests/fixtures/tls/ca.crt");

    struct Mount(PathBuf);

    impl Mount {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("podlife-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            for (file, text) in [("token", "hunter2"), ("namespace", "mine\n"), ("ca.crt", CA)] {
                std::fs::write(path.join(file), text).unwrap();
            }
            Self(path)
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_pod_uses_its_own_credentials_where_there_is_no_kubeconfig() {
        let mount = Mount::new("within");
        let within = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "443")];
        let target = resolve(&ConnectOptions::default(), &environment(&within), &mount.0).ok().unwrap();
        assert_eq!(target.server, "https://10.0.0.1:443");
        assert_eq!(target.namespace, "mine");
        assert_eq!(target.ca.as_deref(), Some(CA.as_bytes()));
        assert_eq!(target.ca_file, Some(mount.0.join("ca.crt")));
        assert_eq!(target.user.token_file, Some(mount.0.join("token").display().to_string()));

        let ipv6 = [
            ("KUBERNETES_SERVICE_HOST", "fd00::1"),
            ("KUBERNETES_SERVICE_PORT", "6443"),
            ("POD_NAMESPACE", "set"),
        ];
        let target = resolve(&ConnectOptions::default(), &environment(&ipv6), &mount.0).ok().unwrap();
        assert_eq!(
            (target.server.to_string().as_str(), target.namespace.as_str()),
            ("https://[fd00::1]:6443/", "set")
        );

        // A kubeconfig that is named goes first, and without a mount there is no cluster.
        let options = ConnectOptions {
            kubeconfig: Some("/nonexistent".into()),
            ..Default::default()
        };
        assert!(resolve(&options, &environment(&within), &mount.0).is_err());
        let error = resolve(&ConnectOptions::default(), &environment(&within), Path::new("/nonexistent"))
            .err()
            .unwrap();
        assert!(error.message.contains("no configuration has been provided"), "{error}");
    }

    #[test]
    fn flags_change_the_cluster_as_client_go_lets_them() {
        let given = || Cluster {
            server: Some("https://a".into()),
            certificate_authority_data: Some("eA==".into()),
            tls_server_name: Some("name".into()),
            ..Cluster::default()
        };
        let after = |options: ConnectOptions| {
            let mut cluster = given();
            override_cluster(&mut cluster, &options, &mut None);
            cluster
        };
        let cluster = after(ConnectOptions {
            insecure_skip_tls_verify: Some(true),
            ..Default::default()
        });
        assert_eq!(cluster.certificate_authority_data, None);
        let cluster = after(ConnectOptions {
            certificate_authority: Some("ca".into()),
            ..Default::default()
        });
        assert_eq!(
            (cluster.certificate_authority.as_deref(), cluster.certificate_authority_data),
            (Some("ca"), None)
        );
        let cluster = after(ConnectOptions {
            server: Some("https://b".into()),
            ..Default::default()
        });
        assert_eq!((cluster.server.as_deref(), cluster.tls_server_name), (Some("https://b"), None));
        assert_eq!(after(ConnectOptions::default()).tls_server_name, given().tls_server_name);
    }

    #[test]
    fn a_server_without_a_scheme_gets_client_gos() {
        assert_eq!(server_url("a:8080", false).ok().unwrap(), "http://a:8080");
        assert_eq!(server_url("a:6443", true).ok().unwrap(), "https://a:6443");
        assert!(server_url("https://", true).is_err());
    }
}
