//! Autoscalers and disruption budgets.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::model::cause::AutoscalerUnableToScale;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Settles, Severity, Subject};
use crate::model::kind;
use crate::text::{command, shorten};
use crate::view::{Out, View, reference_of};

/// The metrics of new pods come after this time.
const METRICS_ARRIVE: Duration = Duration::from_secs(120);

/// Autoscalers that cannot scale and budgets that block.
pub fn check(view: &View<'_>, out: &mut Out) {
    let objects = &view.snapshot.objects;
    out.findings
        .extend(objects.autoscalers.iter().filter_map(|scaler| autoscaler(view, scaler)));
    out.findings.extend(objects.disruption_budgets.iter().filter_map(budget));
}

fn condition<'a>(scaler: &'a HorizontalPodAutoscaler, type_: &str, status: &str) -> Option<&'a HorizontalPodAutoscalerCondition> {
    let conditions = scaler.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == type_ && c.status == status)
}

fn autoscaler(view: &View<'_>, scaler: &HorizontalPodAutoscaler) -> Option<Finding> {
    let spec = scaler.spec.as_ref()?;
    let reference = reference_of(&kind::AUTOSCALER, &scaler.metadata);
    let (name, namespace) = (&reference.name, &reference.namespace);
    let aim = &spec.scale_target_ref;
    let target = ObjectRef {
        api_version: aim.api_version.clone().unwrap_or_default(),
        kind: aim.kind.clone(),
        namespace: namespace.clone(),
        name: aim.name.clone(),
    };
    let describe = command("kubectl describe hpa {} -n {}", &[&name, &namespace]);
    let make = |cause: AutoscalerUnableToScale, severity: Severity, condition: &HorizontalPodAutoscalerCondition, summary: String| {
        Finding::error(cause, Subject::of(reference.clone()), summary)
            .severity(severity)
            .related("target", target.clone())
            .evidence(
                format!("horizontalpodautoscaler/{name} condition {}", condition.type_),
                format!(
                    "{}: {}",
                    condition.reason.as_deref().unwrap_or_default(),
                    shorten(condition.message.as_deref().unwrap_or_default(), 200)
                ),
            )
    };
    if let Some(unable) = condition(scaler, "AbleToScale", "False") {
        let message = unable.message.as_deref().unwrap_or_default();
        if unable.reason.as_deref() == Some("FailedGetScale") && (message.contains("not found") || message.contains("no matches for kind"))
        {
            return Some(
                make(
                    AutoscalerUnableToScale::TargetMissing,
                    Severity::Error,
                    unable,
                    format!("autoscaler {name} scales {}, which does not exist", target.short()),
                )
                .fix_command(
                    "correct spec.scaleTargetRef, or create the target",
                    command("kubectl edit hpa {} -n {}", &[&name, &namespace]),
                ),
            );
        }
    }
    if let Some(inactive) = condition(scaler, "ScalingActive", "False") {
        return metrics(view, scaler, &target, inactive, &make).map(|f| f.fix_command("see what the autoscaler says", describe));
    }
    let limited = condition(scaler, "ScalingLimited", "True").filter(|c| c.reason.as_deref() == Some("TooManyReplicas"))?;
    let current = scaler.status.as_ref().and_then(|s| s.current_replicas)?;
    (current >= spec.max_replicas && spec.max_replicas > spec.min_replicas.unwrap_or(1)).then(|| {
        make(
            AutoscalerUnableToScale::AtMaximum,
            Severity::Advice,
            limited,
            format!("autoscaler {name} needs more than its maximum of {} pods", spec.max_replicas),
        )
        .fix_command(
            "raise maxReplicas if the load is real",
            command("kubectl edit hpa {} -n {}", &[&name, &namespace]),
        )
    })
}

fn metrics(
    view: &View<'_>,
    scaler: &HorizontalPodAutoscaler,
    target: &ObjectRef,
    inactive: &HorizontalPodAutoscalerCondition,
    make: &dyn Fn(AutoscalerUnableToScale, Severity, &HorizontalPodAutoscalerCondition, String) -> Finding,
) -> Option<Finding> {
    let reason = inactive.reason.as_deref().unwrap_or_default();
    let message = inactive.message.as_deref().unwrap_or_default();
    let name = scaler.metadata.name.as_deref().unwrap_or_default();
    // Scaled to zero: the workload's own finding says it.
    if reason == "ScalingDisabled" {
        return None;
    }
    // `missing request for cpu in container c of Pod p` (pkg/controller/podautoscaler/replica_calculator.go)
    if let Some((_, rest)) = message.split_once("missing request for ") {
        let resource = rest.split_whitespace().next().unwrap_or_default();
        let container = rest.split_once("in container ").and_then(|(_, c)| c.split_whitespace().next());
        let of = container.map(|c| format!("container {c} of ")).unwrap_or_default();
        return Some(
            make(
                AutoscalerUnableToScale::NoRequests,
                Severity::Error,
                inactive,
                format!(
                    "autoscaler {name} cannot compute a utilisation: {of}{} has no request for {resource}",
                    target.short()
                ),
            )
            .fix_command(
                format!("set resources.requests.{resource} on every container of the pod template"),
                command("kubectl edit {} -n {}", &[&target.short(), &target.namespace]),
            ),
        );
    }
    let api_missing = message.contains("the server could not find the requested resource")
        || message.contains("no custom metrics API")
        || message.contains("the server is currently unable to handle the request")
        || message.contains("no known available metric versions found");
    // Metrics of pods that have just come up, or are not ready, are missing for a while.
    let settles = match api_missing {
        true => Settles::Never,
        false => view.settles_from(inactive.last_transition_time.as_ref(), METRICS_ARRIVE),
    };
    let what = if api_missing {
        "the metrics API does not exist or does not answer (is metrics-server installed?)"
    } else {
        "it gets no metrics"
    };
    let mut finding = make(
        AutoscalerUnableToScale::NoMetrics,
        Severity::Error,
        inactive,
        format!("autoscaler {name} does not scale: {what}"),
    )
    .settling(settles);
    if api_missing {
        finding = finding.fix_command("see whether the metrics API is there", "kubectl get apiservices | grep metrics");
    } else {
        finding = finding.suffering(Effect::NotReady(target.clone()));
    }
    Some(finding)
}

/// A budget that allows no eviction even while everything is well: it stops every drain.
fn budget(budget: &PodDisruptionBudget) -> Option<Finding> {
    let (spec, status) = (budget.spec.as_ref()?, budget.status.as_ref()?);
    let is_whole = status.expected_pods > 0 && status.current_healthy >= status.expected_pods && status.disruptions_allowed == 0;
    if !is_whole {
        return None;
    }
    let reference = reference_of(&kind::DISRUPTION_BUDGET, &budget.metadata);
    let text = |value: &IntOrString| match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let setting = match (&spec.min_available, &spec.max_unavailable) {
        (Some(min), _) => format!("minAvailable {}", text(min)),
        (None, Some(max)) => format!("maxUnavailable {}", text(max)),
        (None, None) => "minAvailable 1".to_owned(),
    };
    Some(
        Finding::advice(
            Code::DisruptionBudgetBlocks,
            Subject::of(reference.clone()),
            format!(
                "budget {} allows no eviction although all {} pods are healthy ({setting}): a node with one of them cannot be drained",
                reference.name, status.expected_pods
            ),
        )
        .evidence(
            format!("poddisruptionbudget/{} status", reference.name),
            format!(
                "disruptionsAllowed 0, currentHealthy {}, desiredHealthy {}",
                status.current_healthy, status.desired_healthy
            ),
        )
        .fix_command(
            "run one more replica, or set maxUnavailable to 1",
            command("kubectl edit pdb {} -n {}", &[&reference.name, &reference.namespace]),
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::code::Code;
    use crate::model::finding::{Settles, Severity};
    use crate::testing::{check, pending};

    fn scaler_with(condition: &str) -> String {
        format!(
            "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: api}}
spec: {{minReplicas: 1, maxReplicas: 3, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: api}}}}
status: {{currentReplicas: 3, desiredReplicas: 3, conditions: [{condition}]}}
"
        )
    }

    fn scaler(condition: &str) -> Vec<(Code, String, Severity)> {
        check(crate::rules::autoscale::check, &scaler_with(condition))
            .into_iter()
            .map(|f| (f.code, f.cause.to_string(), f.severity))
            .collect()
    }

    #[test]
    fn conditions_of_an_autoscaler_have_their_causes() {
        for (condition, cause, severity) in [
            (
                "{type: AbleToScale, status: 'False', reason: FailedGetScale, message: 'the HPA controller was unable to get the target''s current scale: deployments.apps \"nope\" not found'}",
                "target-missing",
                Severity::Error,
            ),
            (
                "{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: 'the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)'}",
                "no-metrics",
                Severity::Error,
            ),
            (
                "{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: 'the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu in container c of Pod api-1'}",
                "no-requests",
                Severity::Error,
            ),
            (
                "{type: ScalingLimited, status: 'True', reason: TooManyReplicas, message: the desired replica count is more than the maximum replica count}",
                "at-maximum",
                Severity::Advice,
            ),
        ] {
            assert_eq!(
                scaler(condition),
                [(Code::AutoscalerUnableToScale, cause.to_owned(), severity)],
                "{condition}"
            );
        }
    }

    #[test]
    fn an_autoscaler_may_wait_for_metrics_of_new_pods() {
        let message = "message: 'failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready)'";
        let of = |since: &str| {
            scaler_with(&format!(
                "{{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, lastTransitionTime: {since}, {message}}}"
            ))
        };
        let (young, old) = (of("2026-01-01T11:59:30Z"), of("2026-01-01T11:50:00Z"));
        let held = pending(crate::rules::autoscale::check, &young);
        assert_eq!((held.len(), held[0].settles), (1, Settles::Within(Duration::from_secs(90))));
        assert_eq!(pending(crate::rules::autoscale::check, &old).len(), 0);
        assert_eq!(check(crate::rules::autoscale::check, &old).len(), 1);
        assert!(scaler("{type: ScalingActive, status: 'False', reason: ScalingDisabled}").is_empty());
        assert!(scaler("{type: ScalingActive, status: 'True', reason: ValidMetricFound}").is_empty());
    }

    #[test]
    fn a_disruption_budget_only_blocks_healthy_pods() {
        let budget = |healthy: i32| {
            let yaml = format!(
                "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: b}}
spec: {{minAvailable: 1}}
status: {{currentHealthy: {healthy}, desiredHealthy: 1, disruptionsAllowed: 0, expectedPods: 1}}
"
            );
            check(crate::rules::autoscale::check, &yaml).len()
        };
        assert_eq!((budget(1), budget(0)), (1, 0));
    }
}
