//! How a Service stands that no fault is known of: no further than the pods that it leads to.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Service;

use crate::model::finding::ObjectRef;
use crate::model::report::Verdict;
use crate::rules::context::{Context, Workload, WorkloadObject};
use crate::rules::listen;
use crate::rules::ports::{self, State};

/// The verdict on a Service without a fault, and the words for its state. `of_workloads`: the verdicts on the workloads of the scope.
pub(super) fn standing(context: &Context<'_>, service: &Service, of_workloads: &HashMap<ObjectRef, Verdict>) -> (Verdict, String) {
    let healthy = (Verdict::Healthy, String::new());
    if !ports::has_selector(service) || ports::publishes_unready(service) {
        return healthy;
    }
    let behind = awaited(context, service);
    // What is not in the scope is not judged, and may still come.
    let of = |workload: &Workload<'_>| of_workloads.get(&workload.reference).copied().unwrap_or(Verdict::Progressing);
    let Some(best) = behind.iter().map(|workload| of(workload)).max() else {
        return healthy;
    };
    match ports::state(context, service) {
        State::NoneReady => {
            let pods = ports::pods_behind(context, service).len();
            (best.min(Verdict::Progressing), format!("0/{pods} of its pods ready"))
        }
        State::Ready if best == Verdict::Progressing => late_port(context, service, &behind).map_or(healthy, |port| {
            (
                Verdict::Progressing,
                format!("nothing listens on port {port} yet, which may still be starting"),
            )
        }),
        _ => healthy,
    }
}

/// The workloads behind a Service that should have pods for as long as they are there.
fn awaited<'c, 'a>(context: &'c Context<'a>, service: &Service) -> Vec<&'c Workload<'a>> {
    let mut behind = ports::workloads_behind(context, service);
    behind.retain(|workload| {
        let object = workload.object;
        !object.is_some_and(WorkloadObject::is_finite) && object.and_then(WorkloadObject::wanted) != Some(0)
    });
    behind
}

/// The port that the Service leads to, where none of the workloads behind it has opened it yet.
fn late_port(context: &Context<'_>, service: &Service, behind: &[&Workload<'_>]) -> Option<u16> {
    let late: Option<Vec<u16>> = behind.iter().map(|workload| listen::starting(context, workload)).collect();
    let leads_to = |port: u16| {
        let specs = ports::specs_behind(context, service);
        let of_service = ports::of_service(service);
        specs
            .iter()
            .any(|(_, spec)| of_service.iter().any(|p| ports::resolve(spec, p) == Some(i32::from(port))))
    };
    late.filter(|late| late.iter().all(|port| leads_to(*port)))?.first().copied()
}

#[cfg(test)]
mod tests {
    use crate::model::kind;
    use crate::model::report::{Judged, Verdict};
    use crate::rules::assess::{Question, assess};
    use crate::rules::testing::snapshot;

    fn front(spec: &str, replicas: u8, status: &str) -> Judged {
        let yaml = format!(
            "
{{apiVersion: v1, kind: Service, metadata: {{name: api}}, spec: {{{spec} selector: {{app: api}}, ports: [{{port: 80}}]}}, status: {{}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api, uid: d, creationTimestamp: '2026-01-01T11:59:30Z'}}
spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: api}}}}, template: {{metadata: {{labels: {{app: api}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}}}
status: {{replicas: {replicas}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: api-1, uid: r, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: d, controller: true}}]}}
spec: {{selector: {{}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: api-1-a, labels: {{app: api}}, creationTimestamp: '2026-01-01T11:59:30Z', ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: api-1, uid: r, controller: true}}]}}
spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}
status: {status}
"
        );
        let diagnosis = assess(&snapshot(&yaml), &Question::default());
        let mut judged = diagnosis.workloads.into_iter();
        judged.find(|j| j.object.is(&kind::SERVICE)).unwrap()
    }

    const STARTS: &str = "{phase: Pending, containerStatuses: [{name: c, image: i, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]}";

    #[test]
    fn a_service_is_no_further_than_its_pods() {
        let starts = front("", 1, STARTS);
        assert_eq!(
            (starts.verdict, starts.state.as_str()),
            (Verdict::Progressing, "0/1 of its pods ready")
        );
        let ready = "{phase: Running, conditions: [{type: Ready, status: 'True'}]}";
        assert_eq!(front("", 1, ready).verdict, Verdict::Healthy);
    }

    #[test]
    fn a_service_that_awaits_nobody_is_not_on_its_way() {
        assert_eq!(front("publishNotReadyAddresses: true,", 1, STARTS).verdict, Verdict::Healthy);
    }
}
