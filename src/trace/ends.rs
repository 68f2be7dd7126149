//! The pods and addresses at the ends of a connection.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;

use crate::facts::policy::allows::{End, Identity};
use crate::facts::policy::ends::{end, namespace_labels, on_host};
use crate::facts::policy::rule::Side;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::view::{View, Workload, WorkloadObject, controller, has_ended, is_terminating, ports};

/// A pod, what pods will be made from, or an address.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// As policies know it.
    pub end: End<'a>,
    /// As people name it.
    pub side: Side,
    /// Its spec, where it is a pod or a template.
    pub spec: Option<&'a PodSpec>,
    /// The pod, where there is one.
    pub pod: Option<&'a Pod>,
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Place<'a> {
    /// A pod.
    pub fn of_pod(view: &View<'a>, pod: &'a Pod) -> Self {
        Self {
            end: end(view, pod),
            side: Side::of_pod(view, pod),
            spec: pod.spec.as_ref(),
            pod: Some(pod),
        }
    }

    /// The pods that a workload would make: it has none now.
    fn of_template(view: &View<'a>, workload: &Workload<'a>) -> Option<Self> {
        let object = workload.object?;
        let labels = match object {
            WorkloadObject::Pod(pod) => pod.labels(),
            other => other
                .template()
                .and_then(|t| t.metadata.as_ref()?.labels.as_ref())
                .unwrap_or(&NO_LABELS),
        };
        let namespace = object.metadata().namespace.as_deref().unwrap_or_default();
        let spec = object.pod_spec();
        let identity = if on_host(spec) {
            Identity::Host(labels)
        } else {
            Identity::Pod(labels)
        };
        Some(Self {
            end: End {
                namespace,
                namespace_labels: namespace_labels(view, namespace),
                identity,
                ip: None,
                ports: spec.map(ports::declared),
            },
            side: Side::of_template(workload),
            spec,
            pod: None,
        })
    }

    /// The pod or Service that has an address. `searched`: pods of all namespaces were read, so that an unknown address is outside.
    pub fn of_address(view: &View<'a>, ip: IpAddr, searched: bool) -> Self {
        let has = |pod: &&Pod| {
            let own = pod
                .status
                .as_ref()
                .and_then(|s| s.pod_ip.as_deref())
                .and_then(|text| text.parse().ok());
            own == Some(ip) && !on_host(pod.spec.as_ref()) && !has_ended(pod)
        };
        match view.snapshot.objects.pods.iter().find(has) {
            Some(pod) => Self::of_pod(view, pod),
            None => Self {
                end: End {
                    identity: if searched { Identity::Outside } else { Identity::Unseen },
                    ip: Some(ip),
                    ..End::default()
                },
                side: Side::Address(ip),
                spec: None,
                pod: None,
            },
        }
    }

    /// A name outside, of which no address is known here.
    pub fn of_name(name: &str) -> Self {
        Self {
            end: End {
                identity: Identity::Unseen,
                ..End::default()
            },
            side: Side::Name(name.to_owned()),
            spec: None,
            pod: None,
        }
    }

    /// The same with its address of a family: what policies compare is that of the connection.
    pub fn of_family(mut self, is_ipv6: bool) -> Self {
        if let Some(ip) = self.pod.and_then(|pod| addresses(pod).find(|ip| ip.is_ipv6() == is_ipv6)) {
            self.end.ip = Some(ip);
        }
        self
    }

    /// Whether both are the same pod: no policy keeps a pod from itself.
    pub fn is(&self, other: &Self) -> bool {
        let of = |place: &Self| place.pod.map(|p| (p.namespace(), p.name_any()));
        of(self).is_some() && of(self) == of(other)
    }

    /// The node that it runs on.
    pub fn node(&self) -> Option<&'a str> {
        self.pod?.spec.as_ref()?.node_name.as_deref()
    }

    /// Whether it is on its node's network.
    pub const fn is_on_host(&self) -> bool {
        matches!(self.end.identity, Identity::Host(_))
    }

    /// `pod/web-7c9f8`, or what stands for it.
    pub fn shown(&self) -> String {
        match (&self.side, self.pod) {
            (_, Some(pod)) => format!("pod/{}", pod.name_any()),
            (side, None) => side.shown(),
        }
    }
}

/// The addresses of a pod; with two families it has one of each.
fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.iter();
    let all = status.flat_map(|s| s.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(s.pod_ip.as_deref()));
    all.filter_map(|text| text.parse().ok())
}

/// The live pods of a pod or workload; where it has none, what it would make.
pub fn of_object<'a>(view: &View<'a>, reference: &ObjectRef) -> Vec<Place<'a>> {
    let is_of = |pod: &&Pod| {
        let owned = controller(&pod.metadata).is_some_and(|o| o.kind == reference.kind && o.name == reference.name);
        let itself = reference.is(&kind::POD) && pod.name_any() == reference.name;
        pod.namespace().as_deref() == Some(&reference.namespace) && (itself || owned || view.workload_of(pod) == *reference)
    };
    let pods = view.snapshot.objects.pods.iter();
    let live: Vec<Place<'a>> = pods
        .filter(is_of)
        .filter(|pod| !has_ended(pod) && !is_terminating(pod))
        .map(|pod| Place::of_pod(view, pod))
        .collect();
    if live.is_empty() {
        let workload = view.workload(reference).or_else(|| view.workload(&view.climb(reference)));
        return workload.and_then(|w| Place::of_template(view, w)).into_iter().collect();
    }
    live
}
