//! What leads traffic from outside to Services: Ingresses here, Gateways and routes in `gateway`.

mod certificate;
mod gateway;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressClass};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::model::cause;
use crate::model::code::Code::{
    IngressBackendMissing, IngressBackendPortMissing, IngressClassMissing, IngressWithoutAddress, ServicePortMismatch,
};
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::snapshot::Presence;
use crate::model::{kind, near};
use crate::text::{Command, command};
use crate::view::{Needs, Out, View, ports, reference_of, service_reference};

/// A controller writes the address of an Ingress within this time, or is not there.
const SILENCE: Duration = Duration::from_secs(60);

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Ingresses, Gateways and routes that lead nowhere.
pub fn check(view: &View<'_>, out: &mut Out) {
    for ingress in &view.snapshot.objects.ingresses {
        if ingress.metadata.deletion_timestamp.is_none() {
            out.findings.extend(backends(view, &mut out.needs, ingress));
            out.findings.extend(class(view, &mut out.needs, ingress));
            out.findings.extend(tls(view, &mut out.needs, ingress));
            out.findings.extend(certificate::check(view, &mut out.needs, ingress));
        }
    }
    out.findings.extend(gateway::check(view));
}

fn reference(ingress: &Ingress) -> ObjectRef {
    reference_of(&kind::INGRESS, &ingress.metadata)
}

fn edit(ingress: &Ingress) -> Command {
    command(
        "kubectl edit ingress {} -n {}",
        &[&ingress.name_any(), &ingress.namespace().unwrap_or_default()],
    )
}

/// Every backend of an Ingress with the path that leads to it: `shop.example/api`.
fn routes(ingress: &Ingress) -> Vec<(String, &IngressBackend)> {
    let Some(spec) = &ingress.spec else { return Vec::new() };
    let default = spec.default_backend.iter().map(|b| ("every other path".to_owned(), b));
    let rules = spec.rules.iter().flatten().flat_map(|rule| {
        let host = rule.host.as_deref().unwrap_or("*");
        let paths = rule.http.iter().flat_map(|h| h.paths.iter());
        paths.map(move |p| (format!("{host}{}", p.path.as_deref().unwrap_or("/")), &p.backend))
    });
    default.chain(rules).collect()
}

fn backends(view: &View<'_>, needs: &mut Needs, ingress: &Ingress) -> Vec<Finding> {
    let namespace = ingress.namespace().unwrap_or_default();
    let mut found: Vec<Finding> = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, backend) in routes(ingress) {
        let Some(to) = &backend.service else { continue };
        let wanted = to.port.as_ref().map(|p| (p.number, p.name.clone()));
        if !seen.insert((to.name.clone(), wanted)) {
            continue;
        }
        needs.list(view, &kind::SERVICE, &namespace);
        match view.snapshot.presence(&kind::SERVICE, &namespace, &to.name) {
            // A manifest on its own may lean on Services that are elsewhere.
            Presence::Unknown => {}
            Presence::Absent => found.push(backend_missing(view, ingress, &path, &to.name)),
            Presence::Present => {
                if let Some(service) = view.service(&namespace, &to.name) {
                    let number = to.port.as_ref().and_then(|p| p.number);
                    let name = to.port.as_ref().and_then(|p| p.name.as_deref());
                    found.extend(backend_port(view, ingress, &path, service, number, name));
                }
            }
        }
    }
    found
}

fn backend_missing(view: &View<'_>, ingress: &Ingress, path: &str, name: &str) -> Finding {
    let namespace = ingress.namespace().unwrap_or_default();
    let services = view.snapshot.objects.services.iter();
    let here = services
        .filter(|s| s.namespace().as_deref() == Some(&namespace))
        .map(|s| s.metadata.name.as_deref().unwrap_or_default());
    let remedy = match near::nearest(name, here) {
        Some(near) => format!("change the backend to Service {near}, which exists, or create Service {name}"),
        None => format!("create Service {name}, or correct the name in the Ingress"),
    };
    Finding::error(
        IngressBackendMissing,
        Subject::of(reference(ingress)).port(name),
        format!(
            "Ingress {} sends {path} to Service {name}, which does not exist",
            ingress.name_any()
        ),
    )
    .evidence(
        format!("ingress/{}", ingress.name_any()),
        format!("backend of {path} is service {name}"),
    )
    .evidence(format!("namespace/{namespace}"), format!("has no Service {name}"))
    .related("missing", ObjectRef::new(&kind::SERVICE, &namespace, name))
    .fix_command(remedy, edit(ingress))
}

fn backend_port(
    view: &View<'_>,
    ingress: &Ingress,
    path: &str,
    service: &k8s_openapi::api::core::v1::Service,
    number: Option<i32>,
    name: Option<&str>,
) -> Option<Finding> {
    let offered = ports::of_service(service);
    let fits = match (number, name) {
        (Some(number), _) => offered.iter().any(|p| p.port == number),
        (None, Some(name)) => offered.iter().any(|p| p.name.as_deref() == Some(name)),
        (None, None) => true,
    };
    // What an external name leads to has ports that nobody here can know.
    if fits || ports::is_external_name(service) {
        return None;
    }
    let (of, to) = (ingress.name_any(), service.name_any());
    let wanted = number.map(|n| n.to_string()).or_else(|| name.map(str::to_owned))?;
    let behind = ports::specs_behind(view, service);
    let targeted = offered.iter().find(|p| {
        let target = ports::target(p);
        let by_number =
            number.is_some_and(|n| target == IntOrString::Int(n) || behind.iter().any(|(_, spec)| ports::resolve(spec, p) == Some(n)));
        by_number || name.is_some_and(|name| target == IntOrString::String(name.to_owned()))
    });
    let near = name.and_then(|name| near::nearest(name, offered.iter().filter_map(|p| p.name.as_deref())));
    let (code, hint) = match targeted {
        Some(port) => (
            ServicePortMismatch,
            format!(": {wanted} is the port of its pods, which the Service offers as {}", port.port),
        ),
        None => (IngressBackendPortMissing, String::new()),
    };
    let right = match (targeted, near, offered) {
        (Some(port), ..) => port.port.to_string(),
        (None, Some(near), _) => near.to_owned(),
        (None, None, [only]) => only.port.to_string(),
        _ => ports::list(service),
    };
    Some(
        Finding::error(
            code,
            Subject::of(reference(ingress)).port(&wanted),
            format!(
                "Ingress {of} sends {path} to port {wanted} of Service {to}, which has only {}{hint}",
                ports::list(service)
            ),
        )
        .evidence(format!("ingress/{of}"), format!("backend of {path} is service {to}, port {wanted}"))
        .evidence(format!("service/{to}"), format!("its ports are {}", ports::list(service)))
        .related("service", service_reference(service))
        .fix_command(format!("set the backend's port to {right}"), edit(ingress)),
    )
}

fn has_address(ingress: &Ingress) -> bool {
    ingress
        .status
        .as_ref()
        .and_then(|s| s.load_balancer.as_ref())
        .and_then(|l| l.ingress.as_ref())
        .is_some_and(|i| !i.is_empty())
}

/// The class that an Ingress asks for, and where it says so.
fn class_of(ingress: &Ingress) -> Option<(&str, &'static str)> {
    let spec = ingress.spec.as_ref().and_then(|s| s.ingress_class_name.as_deref());
    spec.map(|name| (name, "spec.ingressClassName")).or_else(|| {
        let annotation = ingress.annotations().get(CLASS_ANNOTATION)?;
        Some((annotation.as_str(), "annotation kubernetes.io/ingress.class"))
    })
}

fn is_default(class: &IngressClass) -> bool {
    class
        .annotations()
        .get("ingressclass.kubernetes.io/is-default-class")
        .is_some_and(|v| v == "true")
}

/// No class, an unknown class, or a class whose controller does not take the Ingress up.
fn class(view: &View<'_>, needs: &mut Needs, ingress: &Ingress) -> Option<Finding> {
    // A controller that set its address serves it. A manifest has no status to judge by.
    if has_address(ingress) || ingress.metadata.uid.is_none() {
        return None;
    }
    let (namespace, of) = (ingress.namespace().unwrap_or_default(), ingress.name_any());
    let read = needs.list(view, &kind::INGRESS_CLASS, "");
    let classes = &view.snapshot.objects.ingress_classes;
    let names: Vec<String> = classes.iter().map(ResourceExt::name_any).collect();
    let age = view.age_of(ingress.metadata.creation_timestamp.as_ref())?;
    let settles = view.settles_from(ingress.metadata.creation_timestamp.as_ref(), SILENCE);
    let sees_events = !view.snapshot.local || !view.snapshot.objects.events.is_empty();
    let taken_up = !sees_events || !view.events_of(&kind::INGRESS, &ingress.metadata).is_empty();
    let there = if names.is_empty() {
        "this cluster has no IngressClass".to_owned()
    } else {
        format!("IngressClasses of this cluster: {}", names.join(", "))
    };
    if let Some((class, source)) = class_of(ingress) {
        let by_spec = source.starts_with("spec");
        if read && !names.iter().any(|n| n == class) && (by_spec || names.is_empty()) {
            let remedy = match near::nearest(class, names.iter().map(String::as_str)).or(names.first().map(String::as_str)) {
                Some(near) => format!("set spec.ingressClassName to {near}, or install the controller of class {class}"),
                None => format!("install an ingress controller, which brings its IngressClass (here {class})"),
            };
            return Some(
                Finding::error(
                    IngressClassMissing,
                    Subject::of(reference(ingress)),
                    format!("Ingress {of} has class {class}, which does not exist, so no controller serves it"),
                )
                .evidence(format!("ingress/{of}"), format!("{source} is {class}, and it has no address"))
                .evidence("ingressclasses", there)
                .related("missing", ObjectRef::new(&kind::INGRESS_CLASS, "", class))
                .fix_command(remedy, "kubectl get ingressclass")
                .breaking(Effect::Object(reference(ingress))),
            );
        }
    } else if read && !classes.iter().any(is_default) {
        return (!taken_up).then(|| {
            Finding::error(
                IngressClassMissing,
                Subject::of(reference(ingress)),
                format!("Ingress {of} names no class and the cluster has no default one, so no controller serves it"),
            )
            .settling(settles)
            .confidence(Confidence::Likely)
            .evidence(format!("ingress/{of}"), "neither spec.ingressClassName nor an address")
            .evidence("ingressclasses", there)
            .fix_command(
                match names.as_slice() {
                    [] => "install an ingress controller, and name its IngressClass in spec.ingressClassName".to_owned(),
                    [only] => format!("set spec.ingressClassName to {only}"),
                    _ => "set spec.ingressClassName to one of them".to_owned(),
                },
                edit(ingress),
            )
            .breaking(Effect::Object(reference(ingress)))
        });
    }
    if settles.is_pending() && taken_up {
        return None;
    }
    let class = class_of(ingress).map(|(class, _)| format!(" of class {class}")).unwrap_or_default();
    Some(
        Finding::new(
            IngressWithoutAddress,
            // Some controllers serve without writing an address; one that speaks of the Ingress is at work.
            if taken_up { Severity::Advice } else { Severity::Error },
            if taken_up { Confidence::Possible } else { Confidence::Likely },
            Subject::of(reference(ingress)),
            match settles.is_pending() {
                true => format!("Ingress {of} has no address yet: the controller{class} has not handled it so far"),
                false => format!(
                    "Ingress {of} has had no address for {} s: the controller{class} does not handle it",
                    age.as_secs()
                ),
            },
        )
        .settling(settles)
        .evidence(format!("ingress/{of}"), "status.loadBalancer is empty")
        .evidence("ingressclasses", there)
        .fix_command(
            "see whether the ingress controller runs and what its log says about this Ingress",
            command("kubectl describe ingress {} -n {}", &[&of, &namespace]),
        )
        .suffering(Effect::Object(reference(ingress))),
    )
}

/// Certificates that are not there. Secrets are read only where that was asked for.
/// Whether an annotation requests the certificates from a controller.
fn is_issued(ingress: &Ingress) -> bool {
    let mut keys = ingress.annotations().keys();
    keys.any(|key| key.starts_with("cert-manager.io/") || key == "kubernetes.io/tls-acme")
}

fn tls(view: &View<'_>, needs: &mut Needs, ingress: &Ingress) -> Vec<Finding> {
    let (namespace, of) = (ingress.namespace().unwrap_or_default(), ingress.name_any());
    let issued = is_issued(ingress);
    let late = view
        .age_of(ingress.metadata.creation_timestamp.as_ref())
        .is_none_or(|age| age > SILENCE);
    let entries = ingress.spec.iter().flat_map(|s| s.tls.iter().flatten());
    let named = entries.filter_map(|tls| Some((tls.secret_name.as_deref()?, tls.hosts.as_deref().unwrap_or_default())));
    named
        .filter(|(secret, _)| {
            needs.list(view, &kind::SECRET, &namespace);
            view.snapshot.presence(&kind::SECRET, &namespace, secret) == Presence::Absent
        })
        .filter(|_| !issued || late)
        .map(|(secret, hosts)| {
            let host = if hosts.is_empty() {
                String::new()
            } else {
                format!(" for {}", hosts.join(", "))
            };
            let finding = Finding::error(
                cause::IngressTlsSecretMissing::Missing,
                Subject::of(reference(ingress)).port(secret),
                format!("Ingress {of} takes its certificate{host} from Secret {secret}, which does not exist"),
            )
            .evidence(format!("ingress/{of}"), format!("spec.tls names secretName: {secret}"))
            .related("missing", ObjectRef::new(&kind::SECRET, &namespace, secret));
            if issued {
                finding.fix_command(
                    "cert-manager should have made it: see its Certificate",
                    command("kubectl describe certificate -n {}", &[&namespace]),
                )
            } else {
                finding.fix_command(
                    format!("create Secret {secret} of type kubernetes.io/tls"),
                    command(
                        "kubectl create secret tls {} -n {} --cert=CERT_FILE --key=KEY_FILE",
                        &[&secret, &namespace],
                    ),
                )
            }
        })
        .collect()
}
