//! What PodDisruptionBudgets promise, to be compared with what happens.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use serde_json::Value;

use crate::view::{View, WorkloadObject, is_ready, selects};

/// A budget that selects pods of a target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Budget {
    pub(crate) name: String,
    /// `minAvailable 2`
    pub(crate) says: String,
    /// Pods that have to be ready, as its controller has computed it.
    pub(crate) promised: usize,
    /// Evictions that it admits now.
    pub(crate) allowed: usize,
    selector: LabelSelector,
}

/// The budgets among the objects that select the pods of a workload.
pub(crate) fn of(object: WorkloadObject<'_>, raw: &[Value]) -> Vec<Budget> {
    let labels = object.pod_labels();
    let budgets = raw.iter().filter(|value| value["kind"] == "PodDisruptionBudget");
    let read = |value: &Value| {
        let budget: PodDisruptionBudget = serde_json::from_value(value.clone()).ok()?;
        let spec = budget.spec.as_ref()?;
        let selector = spec.selector.clone().filter(|selector| selects(selector, &labels))?;
        let number = |of: &IntOrString| match of {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::String(percent) => percent.clone(),
        };
        let least = spec.min_available.as_ref().map(|of| format!("minAvailable {}", number(of)));
        let most = spec.max_unavailable.as_ref().map(|of| format!("maxUnavailable {}", number(of)));
        Some(Budget {
            name: budget.name_any(),
            says: least.or(most).unwrap_or_else(|| "nothing".to_owned()),
            allowed: usize::try_from(budget.status.as_ref()?.disruptions_allowed).ok()?,
            promised: usize::try_from(budget.status.as_ref()?.desired_healthy).ok()?,
            selector,
        })
    };
    budgets.filter_map(read).collect()
}

impl Budget {
    /// Ready pods that it selects.
    pub(crate) fn ready(&self, view: &View<'_>) -> usize {
        let pods = view.snapshot.objects.pods.iter();
        pods.filter(|pod| is_ready(pod) && selects(&self.selector, pod.labels())).count()
    }
}
