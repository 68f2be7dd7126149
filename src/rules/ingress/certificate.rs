//! Whether the address of an Ingress serves a certificate that is for the hosts of the Ingress. What every client is shown is looked at;
//! no Secret is read.

use k8s_openapi::api::networking::v1::{Ingress, IngressTLS};
use kube::ResourceExt;

use crate::model::cause;
use crate::model::certificate::{CertificateKey, Served};
use crate::model::finding::{Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::rules::ingress::{SILENCE, is_issued, reference};
use crate::text::command;
use crate::view::{Needs, View};

/// HTTPS, where every ingress controller serves the hosts of an Ingress.
const PORT: u16 = 443;
/// Hosts of one Ingress that are looked at.
const MOST_HOSTS: usize = 5;

/// Hosts for which clients get a certificate that is not for them.
pub(crate) fn check(view: &View<'_>, needs: &mut Needs, ingress: &Ingress) -> Vec<Finding> {
    let namespace = ingress.namespace().unwrap_or_default();
    let Some(address) = address(ingress) else { return Vec::new() };
    // Issuing a certificate takes a moment.
    let age = view.age_of(ingress.metadata.creation_timestamp.as_ref());
    if is_issued(ingress) && age.is_none_or(|age| age < SILENCE) {
        return Vec::new();
    }
    let entries = ingress.spec.iter().flat_map(|spec| spec.tls.iter().flatten());
    let hosts = entries.flat_map(|tls| tls.hosts.iter().flatten().map(move |host| (tls, host)));
    hosts
        .filter(|(tls, _)| !is_known_to_lack(view, &namespace, tls))
        .take(MOST_HOSTS)
        .filter_map(|(tls, host)| {
            let key = CertificateKey {
                namespace: namespace.clone(),
                ingress: ingress.name_any(),
                address: address.to_owned(),
                port: PORT,
                // A wildcard stands for any name: one that nobody is likely to have a certificate of its own for.
                host: host.replacen('*', "www", 1),
            };
            match &needs.certificate(view, &key)?.served {
                Served::Certificate { names, fits: false } => Some(mismatch(ingress, tls, host, &key, names)),
                _ => None,
            }
        })
        .collect()
}

/// The missing Secret is reported already.
fn is_known_to_lack(view: &View<'_>, namespace: &str, tls: &IngressTLS) -> bool {
    let secret = tls.secret_name.as_deref();
    secret.is_some_and(|secret| view.snapshot.presence(&kind::SECRET, namespace, secret) == Presence::Absent)
}

fn address(ingress: &Ingress) -> Option<&str> {
    let balancer = ingress.status.as_ref()?.load_balancer.as_ref()?;
    let mut all = balancer.ingress.iter().flatten();
    all.find_map(|point| {
        point
            .ip
            .as_deref()
            .or(point.hostname.as_deref())
            .filter(|address| !address.is_empty())
    })
}

fn mismatch(ingress: &Ingress, tls: &IngressTLS, host: &str, key: &CertificateKey, names: &[String]) -> Finding {
    let (namespace, of) = (ingress.namespace().unwrap_or_default(), ingress.name_any());
    let served = match names {
        [] => "for no host name at all".to_owned(),
        [one] => format!("for {one}"),
        [first, rest @ ..] => format!("for {first} and {} more", rest.len()),
    };
    let at = if key.address.contains(':') {
        format!("[{}]:{}", key.address, key.port)
    } else {
        format!("{}:{}", key.address, key.port)
    };
    let finding = Finding::error(
        cause::IngressTlsSecretMissing::HostMismatch,
        Subject::of(reference(ingress)).port(host),
        format!("clients of Ingress {of} that ask for {host} get a certificate that is {served}"),
    )
    .evidence("connected", format!("{at} as {}: the certificate is {served}", key.host));
    let Some(secret) = &tls.secret_name else {
        return finding
            .evidence(
                format!("ingress/{of}"),
                format!("spec.tls has {host} without a secretName: the controller's own certificate is meant"),
            )
            .fix_command(
                format!("name a Secret of type kubernetes.io/tls for {host} in spec.tls"),
                command("kubectl edit ingress {} -n {}", &[&of, &namespace]),
            );
    };
    let finding = finding
        .evidence(
            format!("ingress/{of}"),
            format!("spec.tls takes the certificate of {host} from Secret {secret}"),
        )
        .related("certificate", ObjectRef::new(&kind::SECRET, &namespace, secret));
    if is_issued(ingress) {
        finding.fix_command(
            "cert-manager should have issued it: see its Certificate",
            command("kubectl describe certificate -n {}", &[&namespace]),
        )
    } else {
        finding.fix_command(
            format!(
                "see that Secret {secret} is there, of type kubernetes.io/tls, and for {host}; without it the controller serves its own \
                 certificate (this prints the names in it, not the key)"
            ),
            command("kubectl get secret {} -n {} -o jsonpath='{.data.tls\\.crt}' | base64 -d | openssl x509 -noout -ext subjectAltName -enddate", &[&secret, &namespace]),
        )
    }
}
