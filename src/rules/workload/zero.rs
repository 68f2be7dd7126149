//! Workloads that are scaled to zero.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::kind;
use crate::text::command;
use crate::view::{View, Workload, WorkloadObject, autoscaler};

/// Advice on each, an error where someone visibly depends on it.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    view.workloads().filter_map(|workload| zero(view, workload)).collect()
}

fn zero(view: &View<'_>, workload: &Workload<'_>) -> Option<Finding> {
    let object = workload.object?;
    let scales = matches!(
        object,
        WorkloadObject::Deployment(_)
            | WorkloadObject::StatefulSet(_)
            | WorkloadObject::ReplicaSet(_)
            | WorkloadObject::ReplicationController(_)
    );
    if !scales || object.wanted() != Some(0) {
        return None;
    }
    let reference = &workload.reference;
    let services: Vec<String> = view
        .services_selecting(&reference.namespace, &object.pod_labels())
        .into_iter()
        // Another workload behind the same Service keeps it alive.
        .filter(|service| {
            !view.workloads().any(|other| {
                other.reference != *reference
                    && other.reference.namespace == reference.namespace
                    && other
                        .object
                        .is_some_and(|o| o.wanted() != Some(0) && !o.is_finite() && crate::view::service_selects(service, &o.pod_labels()))
            })
        })
        .map(ResourceExt::name_any)
        .collect();
    // Whoever asks about a Service wants to reach what is behind it.
    let is_asked = services
        .iter()
        .any(|service| view.is_named(&ObjectRef::new(&kind::SERVICE, &reference.namespace, service)));
    let dependant = services.iter().find_map(|service| dependant(view, reference, service));
    // KEDA scales to zero on purpose, and owns its autoscaler.
    let autoscaler = autoscaler::of(view, reference)
        .filter(|scaler| {
            scaler
                .labels()
                .get("app.kubernetes.io/managed-by")
                .is_none_or(|by| by != "keda-operator")
        })
        .map(ResourceExt::name_any);
    let severity = if is_asked || dependant.is_some() || autoscaler.is_some() {
        Severity::Error
    } else {
        Severity::Advice
    };
    let why = match (&dependant, &autoscaler, services.first()) {
        (Some((who, service)), ..) => format!(", but {} reaches it through service {service}", who.short()),
        (None, Some(scaler), _) => format!(", and its autoscaler {scaler} is idle as long as it is"),
        (None, None, Some(service)) => format!("; service {service} therefore has no endpoints"),
        _ => String::new(),
    };
    let mut finding = Finding::error(
        Code::ScaledToZero,
        Subject::of(reference.clone()),
        format!("{} is scaled to zero{why}", reference.short()),
    )
    .severity(severity)
    .evidence("spec", "replicas: 0")
    .breaking(Effect::NotReady(reference.clone()))
    .fix_command(
        "scale it up if it is meant to run",
        command("kubectl scale {} -n {} --replicas=1", &[&reference.short(), &reference.namespace]),
    );
    for service in &services {
        finding = finding.related("service", ObjectRef::new(&kind::SERVICE, &reference.namespace, service));
    }
    if let Some((who, _)) = dependant {
        finding = finding.related("dependant", who);
    }
    Some(finding)
}

/// Who visibly needs a Service: an Ingress that routes to it, or a running workload whose containers name it.
fn dependant(view: &View<'_>, zero: &ObjectRef, service: &str) -> Option<(ObjectRef, String)> {
    let objects = &view.snapshot.objects;
    let by_ingress = objects
        .ingresses
        .iter()
        .filter(|ingress| ingress.namespace().as_deref() == Some(&zero.namespace))
        .find(|ingress| routes_to(ingress, service))
        .map(|ingress| ObjectRef::new(&kind::INGRESS, &zero.namespace, &ingress.name_any()));
    let by_workload = || {
        view.workloads()
            .filter(|other| other.reference != *zero)
            .filter(|other| other.object.is_some_and(|o| o.wanted() != Some(0) && !o.is_finite()))
            .find(|other| {
                let own = other.reference.namespace == zero.namespace;
                other
                    .object
                    .and_then(WorkloadObject::pod_spec)
                    .is_some_and(|spec| names(spec, service, &zero.namespace, own))
            })
            .map(|other| other.reference.clone())
    };
    by_ingress.or_else(by_workload).map(|who| (who, service.to_owned()))
}

fn routes_to(ingress: &Ingress, service: &str) -> bool {
    let Some(spec) = &ingress.spec else { return false };
    let paths = spec.rules.iter().flatten().filter_map(|r| r.http.as_ref()).flat_map(|h| &h.paths);
    paths
        .map(|path| &path.backend)
        .chain(&spec.default_backend)
        .any(|backend| backend.service.as_ref().is_some_and(|s| s.name == service))
}

/// Whether arguments or plain environment values name the Service as a host: `api:80`, `http://api/`, `api.shop.svc`.
fn names(spec: &PodSpec, service: &str, namespace: &str, own_namespace: bool) -> bool {
    let texts = spec.containers.iter().chain(spec.init_containers.iter().flatten()).flat_map(|c| {
        let env = c.env.iter().flatten().filter_map(|e| e.value.as_ref());
        c.command.iter().chain(&c.args).flatten().chain(env)
    });
    let qualified = format!("{service}.{namespace}");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    texts
        .flat_map(|text| text.split(|c: char| !is_word(c)).zip(std::iter::repeat(text)))
        .any(|(word, text)| {
            let fully = word == qualified || word.starts_with(&format!("{qualified}."));
            // A bare name is a host only beside a port or a scheme, or alone; else it is any word.
            let bare = own_namespace
                && word == service
                && (text == service
                    || text.contains(&format!("//{service}"))
                    || text.contains(&format!("{service}:"))
                    || text.contains(&format!("@{service}")));
            fully || bare
        })
}
