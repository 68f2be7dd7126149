//! Which autoscaler a workload has, and what it asks for.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;

use crate::model::finding::ObjectRef;
use crate::view::View;

/// The autoscaler of a workload.
pub fn of<'a>(view: &View<'a>, workload: &ObjectRef) -> Option<&'a HorizontalPodAutoscaler> {
    let all = view.snapshot.objects.autoscalers.iter();
    all.filter(|scaler| scaler.namespace().as_deref() == Some(&workload.namespace))
        .find(|scaler| {
            scaler
                .spec
                .as_ref()
                .is_some_and(|s| s.scale_target_ref.kind == workload.kind && s.scale_target_ref.name == workload.name)
        })
}

/// To how many pods an autoscaler will bring a workload that has `replicas` now, as far as its spec and status say: at least to its
/// minimum, whatever its metrics (`horizontal.go`: "the current replica count is below" minReplicas), and to none where there are none.
pub fn asks_for(scaler: &HorizontalPodAutoscaler, replicas: usize) -> usize {
    if replicas == 0 {
        return 0;
    }
    let number = |n: i32| usize::try_from(n).unwrap_or_default();
    let least = scaler.spec.as_ref().and_then(|s| s.min_replicas).map_or(1, number);
    let desired = scaler.status.as_ref().map_or(0, |s| number(s.desired_replicas));
    replicas.max(least).max(desired)
}
