//! What belongs to a target: what it owns and what owns it, the Services that select it, and what leads traffic to those.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::model::finding::{Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::view::near_miss::meant_for;
use crate::view::ports::{absent_behind, has_selector, ingress_services, workloads_behind};
use crate::view::{View, Workload, controller, reference_of, selects, service_selects};

/// What a run is about.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// None: everything that was read in these namespaces (none named: everywhere).
    pub objects: Option<BTreeSet<ObjectRef>>,
    /// Namespaces that were asked for whole.
    pub namespaces: BTreeSet<String>,
    /// Only findings about these containers and about their pods as a whole, where any are named.
    pub containers: BTreeSet<String>,
}

impl Scope {
    /// Everything in these namespaces; none means all.
    pub fn whole(namespaces: impl IntoIterator<Item = String>) -> Self {
        Self {
            objects: None,
            namespaces: namespaces.into_iter().collect(),
            containers: BTreeSet::new(),
        }
    }

    /// These objects and all that belongs to them.
    pub fn around(view: &View<'_>, targets: &[ObjectRef]) -> Self {
        let mut objects = BTreeSet::new();
        // All Services are looked at for that: once, however many targets there are.
        let nowhere = OnceCell::new();
        for target in targets {
            add(view, target, &nowhere, &mut objects);
        }
        Self {
            objects: Some(objects),
            ..Self::default()
        }
    }

    /// Whether an object belongs to the scope.
    pub fn has(&self, object: &ObjectRef) -> bool {
        match &self.objects {
            Some(objects) => objects.contains(object),
            None => object.namespace.is_empty() || self.namespaces.is_empty() || self.namespaces.contains(&object.namespace),
        }
    }

    /// Keeps the findings about the scope and those on a path to one of them. The input is linked already.
    pub fn filter(&self, findings: Vec<Finding>) -> Vec<Finding> {
        part(findings, |f| self.has(&f.subject.object)).0
    }

    /// Parts the findings about the named containers, about their pods as a whole and on a path to one of them from those about others.
    pub fn of_containers(&self, findings: Vec<Finding>) -> (Vec<Finding>, Vec<Finding>) {
        part(findings, |f| match &f.subject.container {
            _ if self.containers.is_empty() => true,
            Some(container) => self.containers.contains(container),
            // What follows from a fault of some container is not about the pod as a whole.
            None => {
                f.caused_by.is_empty()
                    && f.effects.iter().any(|effect| match effect {
                        Effect::NotReady(_) => true,
                        Effect::Container(_, container) => self.containers.contains(container),
                        _ => false,
                    })
            }
        })
    }
}

/// Keeps what is wanted and what explains it, and returns the rest too.
fn part(findings: Vec<Finding>, is_wanted: impl Fn(&Finding) -> bool) -> (Vec<Finding>, Vec<Finding>) {
    let mut keep: BTreeSet<String> = findings.iter().filter(|f| is_wanted(f)).map(|f| f.id.clone()).collect();
    loop {
        let causes: Vec<String> = findings
            .iter()
            .filter(|f| keep.contains(&f.id))
            .flat_map(|f| f.caused_by.iter())
            .filter(|id| !keep.contains(*id))
            .cloned()
            .collect();
        if causes.is_empty() {
            break;
        }
        keep.extend(causes);
    }
    let (mut kept, rest): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(|f| keep.contains(&f.id));
    for finding in &mut kept {
        finding.breaks.retain(|id| keep.contains(id));
    }
    (kept, rest)
}

/// A Service that selects nothing, and the workload that it was meant for.
type Nowhere<'a> = (&'a Service, Option<ObjectRef>);

fn leading_nowhere<'a>(view: &View<'a>) -> Vec<Nowhere<'a>> {
    let services = view.snapshot.objects.services.iter();
    services
        .filter(|service| has_selector(service) && workloads_behind(view, service).is_empty())
        .map(|service| (service, meant_for(view, service)))
        .collect()
}

/// Services that lead nowhere and belong to a workload all the same: they were meant for it, or led to an earlier revision of a Deployment, by its
/// labels.
fn lost(view: &View<'_>, workload: &Workload<'_>, nowhere: &[Nowhere<'_>]) -> Vec<String> {
    let of = &workload.reference;
    let sets = view.snapshot.objects.replica_sets.iter().filter(|set| {
        of.is(&kind::DEPLOYMENT)
            && set.namespace().as_ref() == Some(&of.namespace)
            && controller(&set.metadata).is_some_and(|owner| owner.kind == of.kind && owner.name == of.name)
    });
    let labels = sets.filter_map(|set| set.spec.as_ref()?.template.as_ref()?.metadata.as_ref()?.labels.as_ref());
    let here = nowhere.iter().filter(|(s, _)| s.namespace().as_ref() == Some(&of.namespace));
    let belongs = |(service, meant): &&Nowhere<'_>| {
        meant.as_ref() == Some(of)
            || (view.pods_selected(service).is_empty() && labels.clone().any(|labels| service_selects(service, labels)))
    };
    here.filter(belongs).map(|(service, _)| service.name_any()).collect()
}

fn add<'a>(view: &View<'a>, target: &ObjectRef, nowhere: &OnceCell<Vec<Nowhere<'a>>>, to: &mut BTreeSet<ObjectRef>) {
    let objects = &view.snapshot.objects;
    to.insert(target.clone());
    // Whatever goes on in a namespace that is being deleted follows from that.
    to.insert(ObjectRef::new(&kind::NAMESPACE, "", &target.namespace));
    let mut workloads: BTreeSet<ObjectRef> = view
        .workloads()
        .filter(|w| &w.reference == target || is_controlled_by(w, target) || w.pods.iter().any(|pod| uses(pod, target)))
        .map(|w| w.reference.clone())
        .collect();
    workloads.extend(Some(view.climb(target)).filter(|top| view.workload(top).is_some()));
    let mut services: BTreeSet<(String, String)> = BTreeSet::new();
    if target.is(&kind::SERVICE) {
        services.insert((target.namespace.clone(), target.name.clone()));
    }
    for ingress in objects
        .ingresses
        .iter()
        .filter(|i| &reference_of(&kind::INGRESS, &i.metadata) == target)
    {
        services.extend(ingress_services(ingress).into_iter().map(|name| (target.namespace.clone(), name)));
    }
    for route in objects
        .other
        .iter()
        .filter(|o| o["kind"] == *target.kind && o["metadata"]["name"] == *target.name)
    {
        for backend in route["spec"]["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|r| r["backendRefs"].as_array().into_iter().flatten())
        {
            if let Some(name) = backend["name"].as_str() {
                services.insert((target.namespace.clone(), name.to_owned()));
            }
        }
    }
    // Traffic comes from the Service to the pods ...
    for (namespace, name) in &services {
        let Some(service) = view.service(namespace, name) else { continue };
        workloads.extend(view.pods_selected(service).into_iter().map(|pod| view.workload_of(pod)));
        workloads.extend(absent_behind(view, service).into_iter().map(|workload| workload.reference.clone()));
    }
    for workload in &workloads {
        to.insert(workload.clone());
        let Some(workload) = view.workload(workload) else { continue };
        let mut labels: Vec<_> = workload.pods.iter().map(|pod| pod.labels().clone()).collect();
        labels.extend(workload.object.map(crate::view::WorkloadObject::pod_labels));
        let namespace = &workload.reference.namespace;
        for labels in &labels {
            // ... and what selects the pods leads traffic to them, or bounds it.
            services.extend(
                view.services_selecting(namespace, labels)
                    .iter()
                    .map(|s| (namespace.clone(), s.name_any())),
            );
            for policy in objects
                .network_policies
                .iter()
                .filter(|p| p.namespace().as_ref() == Some(namespace))
            {
                let takes = policy
                    .spec
                    .as_ref()
                    .is_some_and(|s| s.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels)));
                if takes {
                    to.insert(reference_of(&kind::NETWORK_POLICY, &policy.metadata));
                }
            }
            for budget in objects
                .disruption_budgets
                .iter()
                .filter(|b| b.namespace().as_ref() == Some(namespace))
            {
                if budget
                    .spec
                    .as_ref()
                    .and_then(|s| s.selector.as_ref())
                    .is_some_and(|selector| selects(selector, labels))
                {
                    to.insert(reference_of(&kind::DISRUPTION_BUDGET, &budget.metadata));
                }
            }
        }
        let nowhere = nowhere.get_or_init(|| leading_nowhere(view));
        services.extend(lost(view, workload, nowhere).into_iter().map(|name| (namespace.clone(), name)));
        for scaler in objects.autoscalers.iter().filter(|a| a.namespace().as_ref() == Some(namespace)) {
            let aims = scaler
                .spec
                .as_ref()
                .is_some_and(|s| s.scale_target_ref.kind == workload.reference.kind && s.scale_target_ref.name == workload.reference.name);
            if aims {
                to.insert(reference_of(&kind::AUTOSCALER, &scaler.metadata));
            }
        }
        for pod in &workload.pods {
            for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
                if let Some(claim) = &volume.persistent_volume_claim {
                    to.insert(ObjectRef::new(&kind::CLAIM, namespace, &claim.claim_name));
                }
            }
        }
    }
    for (namespace, name) in &services {
        to.insert(ObjectRef::new(&kind::SERVICE, namespace, name));
    }
    for ingress in &objects.ingresses {
        let namespace = ingress.namespace().unwrap_or_default();
        if ingress_services(ingress)
            .into_iter()
            .any(|name| services.contains(&(namespace.clone(), name)))
        {
            to.insert(reference_of(&kind::INGRESS, &ingress.metadata));
        }
    }
}

/// Whether the target is the custom resource that a workload was made for.
fn is_controlled_by(workload: &Workload<'_>, target: &ObjectRef) -> bool {
    workload
        .object
        .and_then(|object| controller(object.metadata()))
        .is_some_and(|owner| owner.kind == target.kind && owner.name == target.name && workload.reference.namespace == target.namespace)
}

/// Whether a pod is, is owned by, runs on, or refers to the target.
fn uses(pod: &k8s_openapi::api::core::v1::Pod, target: &ObjectRef) -> bool {
    if target.is(&kind::NODE) {
        return pod.spec.as_ref().and_then(|s| s.node_name.as_deref()) == Some(&target.name);
    }
    if pod.namespace().as_deref() != Some(&target.namespace) {
        return false;
    }
    let is_it = target.is(&kind::POD) && pod.name_any() == target.name;
    let owned = pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .any(|o| o.kind == target.kind && o.name == target.name);
    let spec = pod.spec.iter();
    let mounts = || {
        spec.clone().flat_map(|s| s.volumes.iter().flatten()).any(|v| {
            (target.is(&kind::CLAIM) && v.persistent_volume_claim.as_ref().is_some_and(|c| c.claim_name == target.name))
                || (target.is(&kind::CONFIG_MAP) && v.config_map.as_ref().is_some_and(|c| c.name == target.name))
                || (target.is(&kind::SECRET) && v.secret.as_ref().is_some_and(|s| s.secret_name.as_deref() == Some(&target.name)))
        })
    };
    let reads = || {
        pod.spec
            .iter()
            .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
            .any(|c| {
                c.env_from.iter().flatten().any(|e| {
                    (target.is(&kind::CONFIG_MAP) && e.config_map_ref.as_ref().is_some_and(|r| r.name == target.name))
                        || (target.is(&kind::SECRET) && e.secret_ref.as_ref().is_some_and(|r| r.name == target.name))
                }) || c.env.iter().flatten().filter_map(|e| e.value_from.as_ref()).any(|from| {
                    (target.is(&kind::CONFIG_MAP) && from.config_map_key_ref.as_ref().is_some_and(|r| r.name == target.name))
                        || (target.is(&kind::SECRET) && from.secret_key_ref.as_ref().is_some_and(|r| r.name == target.name))
                })
            })
    };
    is_it || owned || mounts() || reads()
}
