//! Dials and readiness probes that tell whether a port of a pod is open, as far as they were made already.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::listening::uses;
use crate::facts::listening::uses::Use;
use crate::model::dial::{Dial, DialKey, Reply};
use crate::view::{ContainerView, View, containers, is_ready};

/// Whether the kubelet gets the answer it wants at this port: a container that is ready passes its readiness probe.
pub fn passes_probe(pod: &Pod, port: u16) -> bool {
    is_ready(pod)
        && containers(pod).iter().any(|c| {
            let probe = c.spec.readiness_probe.as_ref();
            c.is_ready() && probe.and_then(|p| uses::probe_port(p, c.spec)) == Some(port)
        })
}

/// The first dial of a used port of a pod.
pub fn dial_key(pod: &Pod, used: &Use<'_>) -> DialKey {
    let (speech, path) = used.speech();
    DialKey {
        namespace: pod.namespace().unwrap_or_default(),
        pod: pod.name_any(),
        port: used.port,
        speech,
        path,
        again: false,
    }
}

/// Whether dials say that nobody listens in a container: all that were made of the ports that others count on were refused.
pub fn opens_nothing(view: &View<'_>, container: &ContainerView<'_>) -> bool {
    let pod = container.pod;
    // Of most pods nobody has dialled a port, because their probes pass.
    if !view.snapshot.was_dialled(&pod.namespace().unwrap_or_default(), &pod.name_any()) {
        return false;
    }
    let is_own = |used: &Use<'_>| {
        let of = used.container(view, pod);
        used.is_used() && used.protocol == "TCP" && of.is_some_and(|c| c.name() == container.name())
    };
    let mut refused = false;
    for used in uses::of_pod(view, pod).iter().filter(|used| is_own(used)) {
        if passes_probe(pod, used.port) {
            return false;
        }
        let Some(dial) = made_dial(view, pod, used) else { continue };
        match (&dial.address, &dial.inside) {
            (Reply::Refused, Reply::Refused | Reply::Untried) | (Reply::Untried, Reply::Refused) => refused = true,
            _ => return false,
        }
    }
    refused
}

/// Whether another used port of a container is known to be open at present.
pub fn opens_another(view: &View<'_>, container: &ContainerView<'_>, port: u16) -> bool {
    let pod = container.pod;
    let is_own = |used: &Use<'_>| used.container(view, pod).is_some_and(|c| c.name() == container.name());
    let is_open = |used: &Use<'_>| {
        let dial = made_dial(view, pod, used);
        passes_probe(pod, used.port) || dial.is_some_and(|dial| dial.address.listens() || dial.inside.listens())
    };
    let others = uses::of_pod(view, pod);
    let mut others = others.iter().filter(|used| used.port != port && used.is_used());
    others.any(|used| is_own(used) && is_open(used))
}

/// The dial of a used port that has been made, where one has.
pub fn made_dial<'a>(view: &View<'a>, pod: &Pod, used: &Use<'_>) -> Option<&'a Dial> {
    let key = dial_key(pod, used);
    let again = DialKey {
        again: true,
        ..key.clone()
    };
    view.snapshot.dial(&again).or_else(|| view.snapshot.dial(&key))
}
