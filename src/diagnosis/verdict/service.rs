//! How a Service stands that no fault is known of: no further than the pods that it leads to.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Service, ServicePort};

use crate::facts::listening::fault::{silent, starting};
use crate::model::finding::{Finding, ObjectRef};
use crate::model::kind;
use crate::model::report::Verdict;
use crate::view::endpoints::{self, Endpoints};
use crate::view::{Needs, View, Workload, WorkloadObject, ports, rollout};

/// The verdict on a Service without a fault, and the words for its state. `of_workloads`: the verdicts on the workloads of the scope.
pub(crate) fn standing(view: &View<'_>, service: &Service, of_workloads: &HashMap<ObjectRef, Verdict>) -> (Verdict, String) {
    let healthy = (Verdict::Healthy, String::new());
    let progressing = |words: String| (Verdict::Progressing, words);
    if ports::publishes_unready(service) {
        return healthy;
    }
    let behind = awaited(view, service);
    // What is not in the scope is not judged, and may still come.
    let of = |workload: &Workload<'_>| of_workloads.get(&workload.reference).copied().unwrap_or(Verdict::Progressing);
    let best = behind.iter().map(|workload| of(workload)).max();
    if best.is_none() && !ports::workloads_behind(view, service).is_empty() {
        return healthy;
    }
    let none_ready = || {
        let pods = ports::pods_behind(view, service);
        let ready = pods.iter().filter(|pod| rollout::pod::state(view, pod).is_ready()).count();
        let words = match (ready, pods.len()) {
            (0, pods) if ports::has_selector(service) => format!("0/{pods} of its pods ready"),
            _ => "has no ready endpoint".to_owned(),
        };
        (best.unwrap_or(Verdict::Progressing).min(Verdict::Progressing), words)
    };
    match endpoints::of(view, service, |_| true) {
        Endpoints::Unread if ports::has_selector(service) && matches!(endpoints::by_pods(view, service), Endpoints::NoneReady) => {
            none_ready()
        }
        Endpoints::NoPods | Endpoints::NoneReady => none_ready(),
        Endpoints::NoneOnPort(port) => progressing(format!("has no endpoint for port {}", ports::shown(port))),
        Endpoints::OutOfPlace(pods) => {
            let first = pods.first().map(|(pod, why)| format!("endpoint {pod} {}", why.in_words()));
            progressing(first.unwrap_or_default())
        }
        _ if best == Some(Verdict::Progressing) => port_of_all(view, service, &behind, starting).map_or(healthy, |port| {
            progressing(format!("nothing listens on port {port} yet (it may still be starting)"))
        }),
        _ if best == Some(Verdict::Inconclusive) && port_of_all(view, service, &behind, silent).is_some() => {
            let words = "its pods accept connections, and gave no answer in time";
            (Verdict::Inconclusive, words.to_owned())
        }
        _ if waits_for_address(service) => progressing("waits for the address of its load balancer".to_owned()),
        _ => healthy,
    }
}

/// The ports of a Service that nobody answers at, where that is not all of them: each of these findings is about one port alone.
pub(crate) fn dead_ports<'f>(view: &View<'_>, service: &Service, silencing: impl Iterator<Item = &'f Finding>) -> Option<String> {
    let all = ports::of_service(service);
    let specs = ports::specs_behind(view, service);
    let mut dead = BTreeSet::new();
    for finding in silencing {
        let number: i32 = finding.subject.port.as_deref()?.parse().ok()?;
        let is_own = finding.subject.object.is(&kind::SERVICE);
        let leads = |port: &ServicePort| match is_own {
            true => port.port == number,
            false => specs.iter().any(|(_, spec)| ports::resolve(spec, port) == Some(number)),
        };
        let of_finding: Vec<usize> = (0..all.len()).filter(|at| leads(&all[*at])).collect();
        if of_finding.is_empty() {
            return None;
        }
        dead.extend(of_finding);
    }
    let names: Vec<String> = dead.iter().map(|at| ports::shown(&all[*at])).collect();
    let word = if names.len() == 1 { "port" } else { "ports" };
    (names.len() < all.len()).then(|| format!("{word} {}", names.join(", ")))
}

/// The workloads behind a Service that should have pods for as long as they are there.
fn awaited<'c, 'a>(view: &'c View<'a>, service: &Service) -> Vec<&'c Workload<'a>> {
    let mut behind = ports::workloads_behind(view, service);
    behind.retain(|workload| {
        let object = workload.object;
        !object.is_some_and(WorkloadObject::is_finite) && object.and_then(WorkloadObject::wanted) != Some(0)
    });
    behind
}

/// A Service of an API server that has asked for a load balancer and has no address yet; one that is late has a finding.
fn waits_for_address(service: &Service) -> bool {
    let is_asked = service
        .spec
        .as_ref()
        .is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let has_address = balancer.is_some_and(|balancer| balancer.ingress.as_ref().is_some_and(|all| !all.is_empty()));
    is_asked && !has_address && service.metadata.uid.is_some()
}

/// A port that the Service leads to and that every workload behind it has `of`: one that is not open yet, or does not answer.
fn port_of_all(
    view: &View<'_>,
    service: &Service,
    behind: &[&Workload<'_>],
    of: fn(&View<'_>, &mut Needs, &Workload<'_>) -> Option<u16>,
) -> Option<u16> {
    let late: Option<Vec<u16>> = behind.iter().map(|workload| of(view, &mut Needs::default(), workload)).collect();
    let leads_to = |port: u16| {
        let specs = ports::specs_behind(view, service);
        let of_service = ports::of_service(service);
        specs
            .iter()
            .any(|(_, spec)| of_service.iter().any(|p| ports::resolve(spec, p) == Some(i32::from(port))))
    };
    late.filter(|late| late.iter().all(|port| leads_to(*port)))?.first().copied()
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::assess::{Question, assess};
    use crate::model::dial::{Dial, DialKey, Reply, Speech};
    use crate::model::kind;
    use crate::model::report::{Judged, Verdict};
    use crate::testing::snapshot;

    fn front(spec: &str, replicas: u8, status: &str) -> Judged {
        let is_ready = status.contains("status: 'True'");
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
---
{{apiVersion: v1, kind: Node, metadata: {{name: node-1}}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: api-1, labels: {{kubernetes.io/service-name: api}}}}
addressType: IPv4
ports: [{{port: 80}}]
endpoints: [{{addresses: [10.0.0.1], conditions: {{ready: {is_ready}}}, targetRef: {{kind: Pod, name: api-1-a}}}}]
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
    fn a_service_without_pending_pods_is_not_progressing() {
        assert_eq!(front("publishNotReadyAddresses: true,", 1, STARTS).verdict, Verdict::Healthy);
    }

    #[test]
    fn a_service_with_one_dead_port_still_serves() {
        let ready = "{phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: c, image: i, imageID: '', \
                     ready: true, started: true, restartCount: 0, state: {running: {startedAt: '2026-01-01T11:00:00Z'}}}]}";
        let of = |ports: &str| {
            let pod = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: two-1, labels: {{app: two}}}}\nspec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}\nstatus: {ready}\n"
            );
            let service = format!(
                "---\n{{apiVersion: v1, kind: Service, metadata: {{name: two}}, spec: {{selector: {{app: two}}, ports: [{ports}]}}}}\n"
            );
            let mut snapshot = snapshot(&(pod + &service));
            for (port, address) in [(8080, Reply::Status(200)), (9100, Reply::Refused)] {
                for again in [false, true] {
                    let key = DialKey {
                        namespace: "shop".into(),
                        pod: "two-1".into(),
                        port,
                        speech: Speech::Http,
                        path: "/".into(),
                        again,
                    };
                    snapshot.put_dial(Dial {
                        key,
                        at: snapshot.taken_at,
                        address: address.clone(),
                        inside: address.clone(),
                    });
                }
            }
            let diagnosis = assess(&snapshot, &Question::default());
            let service = diagnosis.workloads.into_iter().find(|j| j.object.is(&kind::SERVICE)).unwrap();
            (service.verdict, service.state)
        };
        let dead = "{name: metrics, port: 9100}";
        assert_eq!(
            of(&format!("{{name: web, port: 80, targetPort: 8080}}, {dead}")),
            (Verdict::Degraded, "port 9100 (metrics) reaches no pod".to_owned())
        );
        assert_eq!(of(dead), (Verdict::Broken, String::new()));
    }
}
