//! What the dials of used ports leave open: it is said, and never passed over.

use crate::facts::listening::dials::passes_probe;
use crate::facts::listening::look::{ListenerState, look};
use crate::facts::listening::mesh::{is_mesh, mesh};
use crate::facts::listening::pods::{reached, representatives};
use crate::facts::listening::uses;
use crate::facts::listening::uses::Use;
use crate::model::dial::{Reply, Speech};
use crate::model::finding::ObjectRef;
use crate::model::snapshot::{Unchecked, UncheckedKind};
use crate::view::{ContainerView, Needs, View};

/// What the dials of used ports do not settle: a mesh answers in the application's place, or the answer has two meanings.
pub fn unsettled(view: &View<'_>, needs: &mut Needs, has: impl Fn(&ObjectRef) -> bool) -> Vec<Unchecked> {
    let mut found = behind_meshes(view, &has);
    for workload in view.workloads().filter(|workload| has(&workload.reference)) {
        for pod in reached(view, workload) {
            for used in uses::of_pod(view, pod).iter().filter(|used| used.is_used()) {
                let container = used.container(view, pod).filter(ContainerView::is_running);
                let Some(seen) = container
                    .map(|c| look(view, needs, pod, &c, used))
                    .filter(|seen| seen.standing == ListenerState::Unknown)
                else {
                    continue;
                };
                let Some(dial) = seen.dial.filter(|_| seen.sockets.is_none()) else {
                    continue;
                };
                let why = match (&dial.address, &dial.inside) {
                    (Reply::TimedOut, Reply::Silent) if used.is_surely_http() => {
                        "it accepts connections, and gave no answer within --dial-time: it is slow, or it hangs"
                    }
                    (Reply::TimedOut, Reply::Silent) => {
                        "it accepts connections and does not answer HTTP: it hangs, or speaks another protocol (set appProtocol of the Service)"
                    }
                    (Reply::Untried, Reply::Refused) if used.speech().0 == Speech::Plain => {
                        "it is refused inside the pod, and may listen on the pod's own address only; --exec shows what listens"
                    }
                    _ => continue,
                };
                let what = format!("port {} of {} by dialling", used.port, workload.reference.short());
                let unsaid = Unchecked::without_right(UncheckedKind::Dials, what, why);
                if !found.contains(&unsaid) {
                    found.push(unsaid);
                }
            }
        }
    }
    found
}

/// What is not dialled although somebody uses it, because a service mesh would answer in the application's place.
pub(crate) fn behind_meshes(view: &View<'_>, has: impl Fn(&ObjectRef) -> bool) -> Vec<Unchecked> {
    let mut found = Vec::new();
    for workload in view.workloads().filter(|workload| has(&workload.reference)) {
        let unsaid = representatives(view, workload).into_iter().find_map(|pod| {
            let sidecar = mesh(pod)?;
            let uses = uses::of_pod(view, pod);
            let open = |used: &&Use<'_>| {
                let of_mesh = used.container(view, pod).is_some_and(|c| is_mesh(&c));
                used.is_used() && used.protocol == "TCP" && !of_mesh && !passes_probe(pod, used.port)
            };
            let ports: Vec<String> = uses.iter().filter(open).map(|used| used.port.to_string()).collect();
            (!ports.is_empty()).then_some((sidecar, ports))
        });
        if let Some((sidecar, ports)) = unsaid {
            let (word, place) = if ports.len() == 1 { ("port", "its") } else { ("ports", "their") };
            found.push(Unchecked::without_right(
                UncheckedKind::Dials,
                format!("{word} {} of {} by dialling", ports.join(", "), workload.reference.short()),
                format!("the service mesh's {sidecar} answers in {place} place; --exec shows what listens"),
            ));
        }
    }
    found
}
