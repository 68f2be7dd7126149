//! Ingresses, Gateways and routes with the conditions that controllers write.

use crate::model::certificate::{Certificate, CertificateKey, Served};
use crate::model::code::Code;
use crate::model::code::Code::*;
use crate::model::finding::Severity;
use crate::model::kind;
use crate::model::snapshot::Coverage;
use crate::rules::ingress::check;
use crate::testing;
use crate::testing::{check_snapshot, run, snapshot};
use crate::view::{Need, Options, View};

const SERVICE: &str = "---\n{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {selector: {app: api}, ports: [{name: web, port: 80, targetPort: 8080}]}}\n";
const CLASS: &str =
    "---\n{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}, spec: {controller: k8s.io/ingress-nginx}}\n";
const OLD: &str = "2026-01-01T11:00:00Z";
const NEW: &str = "2026-01-01T11:59:50Z";
const ADDRESS: &str = "{loadBalancer: {ingress: [{ip: 192.0.2.1}]}}";

fn ingress(class: &str, port: &str, created: &str, status: &str) -> String {
    format!(
        "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop, uid: u, creationTimestamp: '{created}'}}
spec:
  {class}
  tls: [{{hosts: [shop.example], secretName: shop-tls}}]
  rules: [{{host: shop.example, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: api, port: {{{port}}}}}}}}}]}}}}]
status: {status}
"
    )
}

fn codes(yaml: &str) -> Vec<Code> {
    let mut snapshot = snapshot(yaml);
    // Secrets are not read unless they are asked for.
    snapshot.cover(&kind::SECRET, None, Coverage::Unreadable);
    let errors = check_snapshot(check, &snapshot)
        .into_iter()
        .filter(|f| f.severity == Severity::Error);
    errors.map(|f| f.code).collect()
}

#[test]
fn backends_and_classes() {
    let named = "ingressClassName: nginx";
    for (yaml, expected) in [
        (format!("{SERVICE}{CLASS}{}", ingress(named, "number: 80", OLD, ADDRESS)), vec![]),
        (format!("{SERVICE}{CLASS}{}", ingress(named, "name: web", OLD, ADDRESS)), vec![]),
        (
            format!("{SERVICE}{CLASS}{}", ingress(named, "number: 8080", OLD, ADDRESS)),
            vec![ServicePortMismatch],
        ),
        (
            format!("{SERVICE}{CLASS}{}", ingress(named, "number: 81", OLD, ADDRESS)),
            vec![IngressBackendPortMissing],
        ),
        (
            format!("{CLASS}{}", ingress(named, "number: 80", OLD, ADDRESS)),
            vec![IngressBackendMissing],
        ),
        (
            format!("{SERVICE}{}", ingress(named, "number: 80", NEW, "{}")),
            vec![IngressClassMissing],
        ),
        // Whoever gave it an address serves it, whatever the class.
        (format!("{SERVICE}{}", ingress(named, "number: 80", OLD, ADDRESS)), vec![]),
        (format!("{SERVICE}{CLASS}{}", ingress(named, "number: 80", NEW, "{}")), vec![]),
        (
            format!("{SERVICE}{CLASS}{}", ingress(named, "number: 80", OLD, "{}")),
            vec![IngressWithoutAddress],
        ),
        (
            format!("{SERVICE}{CLASS}{}", ingress("", "number: 80", OLD, "{}")),
            vec![IngressClassMissing],
        ),
    ] {
        assert_eq!(codes(&yaml), expected, "{yaml}");
    }
}

#[test]
fn a_class_is_named_only_where_there_is_one() {
    for (classes, fix) in [("", "install an ingress controller"), (CLASS, "set spec.ingressClassName to nginx")] {
        let found = check_snapshot(
            check,
            &snapshot(&format!("{SERVICE}{classes}{}", ingress("", "number: 80", OLD, "{}"))),
        );
        let missing = found.iter().find(|f| f.code == IngressClassMissing).unwrap();
        assert!(missing.fixes[0].text.starts_with(fix), "{}", missing.fixes[0].text);
    }
}

#[test]
fn a_certificate_is_missing_only_where_secrets_were_read() {
    let yaml = format!("{SERVICE}{CLASS}{}", ingress("ingressClassName: nginx", "number: 80", OLD, ADDRESS));
    assert!(codes(&yaml).is_empty());
    let found = testing::check(check, &yaml);
    assert_eq!((found[0].code, found[0].cause.as_str()), (IngressTlsSecretMissing, "missing"));
}

#[test]
fn conditions_of_gateways_and_routes() {
    let gateway = |created: &str, conditions: &str| {
        format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: front, namespace: shop, uid: u, generation: 2, creationTimestamp: '{created}'}}
spec: {{gatewayClassName: envoy}}
status: {{conditions: [{conditions}]}}
"
        )
    };
    let waiting = "{type: Accepted, status: Unknown, reason: Pending, message: Waiting for controller}, {type: Programmed, status: Unknown, reason: Pending}";
    for (yaml, expected) in [
        (gateway(OLD, "{type: Programmed, status: 'True', observedGeneration: 2}"), vec![]),
        (
            gateway(
                OLD,
                "{type: Programmed, status: 'False', reason: AddressNotAssigned, message: no address, observedGeneration: 2}",
            ),
            vec![GatewayNotProgrammed],
        ),
        (gateway(OLD, waiting), vec![GatewayNotProgrammed]),
        (gateway(NEW, waiting), vec![]),
    ] {
        assert_eq!(codes(&yaml), expected, "{yaml}");
    }
    let route = |status: &str| {
        format!(
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: api, namespace: shop, uid: u, generation: 1, creationTimestamp: '{OLD}'}}
spec: {{parentRefs: [{{name: front}}], rules: [{{backendRefs: [{{name: api, port: 80}}]}}]}}
status: {status}
"
        )
    };
    let parent = |conditions: &str| format!("{{parents: [{{parentRef: {{name: front}}, conditions: [{conditions}]}}]}}");
    for (status, expected) in [
        (
            parent(
                "{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'False', reason: BackendNotFound, message: Service api not found}",
            ),
            vec![RouteNotAccepted],
        ),
        (
            parent("{type: Accepted, status: 'False', reason: NotAllowedByListeners}"),
            vec![RouteNotAccepted],
        ),
        (
            parent("{type: Accepted, status: 'True'}, {type: ResolvedRefs, status: 'True'}"),
            vec![],
        ),
        ("{parents: []}".to_owned(), vec![RouteNotAccepted]),
    ] {
        assert_eq!(codes(&route(&status)), expected, "{status}");
    }
}

#[test]
fn a_certificate_for_another_host_is_seen_where_it_is_served() {
    let yaml = format!("{SERVICE}{CLASS}{}", ingress("ingressClassName: nginx", "number: 80", OLD, ADDRESS));
    let key = CertificateKey {
        namespace: "shop".into(),
        ingress: "shop".into(),
        address: "192.0.2.1".into(),
        port: 443,
        host: "shop.example".into(),
    };
    let served = |served: Served| {
        let mut snapshot = snapshot(&yaml);
        snapshot.cover(&kind::SECRET, None, Coverage::Unreadable);
        snapshot.put_certificate(Certificate {
            key: key.clone(),
            at: snapshot.taken_at,
            served,
        });
        let (snapshot, _) = crate::model::snapshot::Snapshot::from_json(snapshot.to_json()).unwrap();
        check_snapshot(check, &snapshot)
    };
    let named = |name: &str, fits: bool| Served::Certificate {
        names: vec![name.to_owned()],
        fits,
    };
    let found = served(named("ingress.local", false));
    assert_eq!(
        found
            .iter()
            .map(|f| (f.code, f.cause.as_str(), f.summary.as_str()))
            .collect::<Vec<_>>(),
        [(
            IngressTlsSecretMissing,
            "host-mismatch",
            "clients of Ingress shop that ask for shop.example get a certificate that is for ingress.local"
        )]
    );
    assert!(served(named("shop.example", true)).is_empty());
    assert!(served(Served::Nothing).is_empty());

    let asks = |yaml: &str, dial: bool| {
        let mut snapshot = snapshot(yaml);
        snapshot.cover(&kind::SECRET, None, Coverage::Unreadable);
        let options = Options {
            dial,
            ..Options::default()
        };
        let view = View::new(&snapshot, options);
        run(check, &view).needs.into_set().contains(&Need::Certificate(key.clone()))
    };
    assert!(asks(&yaml, true) && !asks(&yaml, false));
    // Without an address there is nobody to ask, and a new one is given its time.
    assert!(!asks(&yaml.replace("ingress: [{ip: 192.0.2.1}]", "ingress: []"), true));
    let issued = |created: &str| {
        yaml.replace(
            &format!("'{OLD}'"),
            &format!("'{created}', annotations: {{cert-manager.io/issuer: ca}}"),
        )
    };
    assert!(asks(&issued(OLD), true) && !asks(&issued(NEW), true));
    assert!(!asks(&yaml.replace("hosts: [shop.example], ", ""), true));
}
