//! What the dials of used ports leave open: it is said, and never passed over.

use super::look::{Standing, look};
use super::mesh::behind_meshes;
use super::{reached, uses};
use crate::model::dial::{Reply, Speech};
use crate::model::finding::ObjectRef;
use crate::model::snapshot::{DIALS, Unchecked};
use crate::rules::Context;
use crate::rules::context::ContainerView;

/// What the dials of used ports do not settle: a mesh answers in the application's place, or the answer has two meanings.
pub fn unsettled(context: &Context<'_>, has: impl Fn(&ObjectRef) -> bool) -> Vec<Unchecked> {
    let mut found = behind_meshes(context, &has);
    for workload in context.workloads().filter(|workload| has(&workload.reference)) {
        for pod in reached(context, workload) {
            for used in uses::of_pod(context, pod).iter().filter(|used| used.is_used()) {
                let container = used.container(context, pod).filter(ContainerView::is_running);
                let Some(seen) = container
                    .map(|c| look(context, pod, &c, used))
                    .filter(|seen| seen.standing == Standing::Unknown)
                else {
                    continue;
                };
                let Some(dial) = seen.dial.filter(|_| seen.sockets.is_none()) else {
                    continue;
                };
                let why = match (&dial.address, &dial.inside) {
                    (Reply::TimedOut, Reply::Silent) => {
                        "it accepts connections and does not answer HTTP: it hangs, or speaks something else (appProtocol of the Service says what)"
                    }
                    (Reply::Untried, Reply::Refused) if used.speech().0 == Speech::Plain => {
                        "it is refused inside of the pod, and may listen on the pod's own address alone; --exec shows what listens"
                    }
                    _ => continue,
                };
                let what = format!("port {} of {} {DIALS}", used.port, workload.reference.short());
                let unsaid = Unchecked::without_right(what, why);
                if !found.contains(&unsaid) {
                    found.push(unsaid);
                }
            }
        }
    }
    found
}
