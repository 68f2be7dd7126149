//! Services whose pods no connection reaches: policies select them for ingress, and none has a rule.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;

use crate::facts::calls::places::Place;
use crate::facts::policy::allows::{Direction, binds, rules};
use crate::facts::policy::ends::on_host;
use crate::facts::policy::rule;
use crate::model::cause::NetworkPolicyBlocks;
use crate::model::finding::{Effect, Finding, ObjectRef, Subject};
use crate::model::kind;
use crate::text::{command, few};
use crate::view::{View, WorkloadObject, has_ended, ports, service_reference};

/// Names of Services that are written out.
const SHOWN: usize = 3;

/// One finding for each policy that closes Services, but for those that something is known to have called.
pub fn check(view: &View<'_>, called: &[&Place]) -> Vec<Finding> {
    let mut closed: BTreeMap<ObjectRef, Vec<&Service>> = BTreeMap::new();
    for service in &view.snapshot.objects.services {
        let place = Place::Service {
            namespace: service.namespace().unwrap_or_default(),
            name: service.name_any(),
        };
        if called.contains(&&place) {
            continue;
        }
        if let Some(policy) = closing(view, service) {
            closed.entry(rule::reference(policy)).or_default().push(service);
        }
    }
    closed.into_iter().map(|(policy, services)| finding(policy, &services)).collect()
}

fn finding(policy: ObjectRef, services: &[&Service]) -> Finding {
    let names: Vec<String> = services.iter().map(|service| format!("service/{}", service.name_any())).collect();
    let (name, namespace) = (policy.name.clone(), policy.namespace.clone());
    let lets_in = format!("NetworkPolicy {name} lets nobody in to the pods of {}", few(&names, SHOWN));
    let finding = Finding::error(NetworkPolicyBlocks::Ingress, Subject::of(policy), lets_in)
        .evidence(
            format!("networkpolicy/{name}"),
            "selects these pods for ingress and has no ingress rule, and no other policy that selects them has one",
        )
        .fix_command(
            "add an ingress rule for the clients of the Service",
            command("kubectl edit networkpolicy {} -n {}", &[&name, &namespace]),
        );
    services.iter().fold(finding, |finding, service| {
        let reference = service_reference(service);
        let effect = Effect::Service(reference.namespace.clone(), reference.name.clone());
        finding.related("service", reference).breaking(effect)
    })
}

/// The policy that closes a Service: every pod behind it is selected for ingress by policies without a rule.
fn closing<'a>(view: &View<'a>, service: &Service) -> Option<&'a NetworkPolicy> {
    let namespace = service.namespace()?;
    let pods: Vec<&Pod> = ports::pods_behind(view, service)
        .into_iter()
        .filter(|pod| !has_ended(pod))
        .collect();
    let is_known = view.snapshot.is_complete(&kind::NETWORK_POLICY, &namespace);
    if !is_known || is_for_names_alone(view, service, &pods) {
        return None;
    }
    let mut closes = None;
    for pod in pods {
        if on_host(pod.spec.as_ref()) {
            return None;
        }
        let all = view.snapshot.objects.network_policies.iter();
        let selects =
            |policy: &&NetworkPolicy| policy.namespace().as_ref() == Some(&namespace) && binds(policy, Direction::Ingress, pod.labels());
        let policies: Vec<&NetworkPolicy> = all.filter(selects).collect();
        if policies.iter().any(|policy| !rules(policy, Direction::Ingress).is_empty()) {
            return None;
        }
        closes = Some(*policies.first()?);
    }
    closes
}

/// Whether a headless Service only gives the pods of a StatefulSet their names.
fn is_for_names_alone(view: &View<'_>, service: &Service, pods: &[&Pod]) -> bool {
    let names = |pod: &&Pod| match view.workload(&view.workload_of(pod)).and_then(|workload| workload.object) {
        Some(WorkloadObject::StatefulSet(set)) => {
            let spec = set.spec.as_ref();
            spec.is_some_and(|spec| spec.service_name.as_deref() == service.metadata.name.as_deref())
        }
        _ => false,
    };
    ports::is_headless(service) && pods.iter().all(names)
}
