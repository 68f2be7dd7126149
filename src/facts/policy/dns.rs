//! A pod's access to the cluster's DNS.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::facts::policy::allows;
use crate::facts::policy::allows::{Direction, Doubt, End, Evaluation, Identity, Port};
use crate::facts::policy::denied::Denied;
use crate::facts::policy::ends::{end, namespace_labels, needs_namespace};
use crate::facts::policy::rule::Side;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::view::{Need, Needs, View, has_ended, is_ready, is_terminating, ports, service_selects};

/// The namespace of the DNS Service in every common distribution.
pub const NAMESPACE: &str = "kube-system";
/// The Service of it.
pub const SERVICE: &str = "kube-dns";

/// What the source's policies say about names, and what denies them; none where the cluster's DNS is not to be found.
/// The first of the DNS pods stands for all: they are made from one template.
pub fn evaluate<'a>(view: &View<'a>, needs: &mut Needs, source: (&End<'_>, &Side)) -> Option<(Evaluation<'a>, Option<Denied<'a>>)> {
    let policies = &view.snapshot.objects.network_policies;
    let service = service(view)?;
    let pods = &view.snapshot.objects.pods;
    let server = pods.iter().filter(|p| p.namespace().as_deref() == Some(NAMESPACE)).find(|p| {
        let takes = service.map_or_else(
            || p.labels().get("k8s-app").is_some_and(|v| v == "kube-dns"),
            |s| service_selects(s, p.labels()),
        );
        takes && !has_ended(p) && !is_terminating(p) && (is_ready(p) || p.status.is_none())
    });
    // Every distribution labels its DNS pods so, for the Service to find them.
    let conventional = BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]);
    let labels = service.and_then(|s| s.spec.as_ref()?.selector.as_ref()).unwrap_or(&conventional);
    let destination = match server {
        Some(pod) => end(view, pod),
        None => End {
            namespace: NAMESPACE,
            namespace_labels: namespace_labels(view, NAMESPACE),
            identity: Identity::Pod(labels),
            ip: None,
            ports: None,
        },
    };
    let port = Port {
        number: port(service, server),
        protocol: "UDP",
    };
    let evaluation = allows::evaluate(policies, Direction::Egress, source.0, &destination, port);
    match evaluation.outcome {
        allows::Outcome::Unknown(Doubt::Namespace) => needs_namespace(view, needs, NAMESPACE),
        // Its pods tell addresses and named ports; without them there is nothing better than the convention.
        allows::Outcome::Unknown(Doubt::Address | Doubt::Ports) => {
            needs.list(view, &kind::POD, NAMESPACE);
        }
        // A policy can only deny DNS where the cluster has DNS.
        allows::Outcome::Denied if view.snapshot.presence(&kind::SERVICE, NAMESPACE, SERVICE) == Presence::Unknown => {
            needs.need(Need::Object(ObjectRef::new(&kind::SERVICE, NAMESPACE, SERVICE)));
        }
        _ => {}
    }
    let denied = Denied::of(&evaluation, source, (&destination, &Side::Dns), port);
    Some((evaluation, denied))
}

/// The Service, where it was read; none at all where it surely does not exist.
fn service<'a>(view: &View<'a>) -> Option<Option<&'a Service>> {
    match view.snapshot.presence(&kind::SERVICE, NAMESPACE, SERVICE) {
        Presence::Absent => None,
        _ => Some(view.service(NAMESPACE, SERVICE)),
    }
}

/// The port of the pods that the Service's port 53 leads to.
fn port(service: Option<&Service>, server: Option<&k8s_openapi::api::core::v1::Pod>) -> i32 {
    const DNS: i32 = 53;
    let offered = service.and_then(|s| {
        ports::of_service(s)
            .iter()
            .find(|p| p.port == DNS && p.protocol.as_deref() == Some("UDP"))
    });
    let Some(offered) = offered else { return DNS };
    match (ports::target(offered), server.and_then(|pod| pod.spec.as_ref())) {
        (IntOrString::Int(number), _) => number,
        (IntOrString::String(_), Some(spec)) => ports::resolve(spec, offered).unwrap_or(DNS),
        (IntOrString::String(_), None) => DNS,
    }
}
