//! Pods and workloads by their labels: every Service asks for those that it selects, and there may be thousands of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::view::pod::service_selects;
use crate::view::workload::Workload;

/// Namespace, key and value.
type Label<'a> = (&'a str, &'a str, &'a str);

/// A workload and the labels of its template.
type Template<'a> = (ObjectRef, &'a BTreeMap<String, String>);

/// Who carries which label.
#[derive(Default)]
pub struct Labelled<'a> {
    pods: HashMap<Label<'a>, Vec<&'a Pod>>,
    templates: HashMap<Label<'a>, Vec<Template<'a>>>,
}

impl<'a> Labelled<'a> {
    /// Of these pods, in their order, and of the templates of these workloads.
    pub fn of<'w>(pods: &'a [Pod], workloads: impl Iterator<Item = &'w Workload<'a>>) -> Self
    where
        'a: 'w,
    {
        let mut labelled = Self::default();
        for pod in pods {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            for (key, value) in pod.labels() {
                labelled.pods.entry((namespace, key, value)).or_default().push(pod);
            }
        }
        for workload in workloads {
            let Some(object) = workload.object else { continue };
            let template = object.template().and_then(|t| t.metadata.as_ref());
            let Some(labels) = template.and_then(|m| m.labels.as_ref()) else {
                continue;
            };
            let namespace = object.metadata().namespace.as_deref().unwrap_or_default();
            for (key, value) in labels {
                let list = labelled.templates.entry((namespace, key, value)).or_default();
                list.push((workload.reference.clone(), labels));
            }
        }
        labelled
    }

    /// The pods that a Service's selector takes, whatever their state.
    pub fn pods(&self, service: &Service) -> Vec<&'a Pod> {
        let candidates = fewest(&self.pods, service).into_iter().flatten().copied();
        candidates.filter(|pod| service_selects(service, pod.labels())).collect()
    }

    /// The workloads whose template a Service's selector takes.
    pub fn templates(&self, service: &Service) -> BTreeSet<ObjectRef> {
        let candidates = fewest(&self.templates, service).into_iter().flatten();
        candidates
            .filter(|(_, labels)| service_selects(service, labels))
            .map(|(workload, _)| workload.clone())
            .collect()
    }
}

/// Of the labels that a selector asks for, the list of the rarest: what it takes is among them.
fn fewest<'m, T>(by_label: &'m HashMap<Label<'_>, Vec<T>>, service: &'m Service) -> Option<&'m Vec<T>> {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    let mut rarest: Option<&Vec<T>> = None;
    for (key, value) in selector {
        let list = by_label.get(&(namespace, key.as_str(), value.as_str()))?;
        if rarest.is_none_or(|known| list.len() < known.len()) {
            rarest = Some(list);
        }
    }
    rarest
}
