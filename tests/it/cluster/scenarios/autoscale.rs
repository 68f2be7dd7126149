//! Autoscalers and disruption budgets.

use podlife::model::kind;

use super::probes::deployment;
use crate::cluster::harness::{Scenario, pods_ready};

fn autoscaler(target: &str) -> String {
    format!(
        "
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: scaler}}
spec:
  maxReplicas: 3
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}}}]
"
    )
}

fn says(scenario: &Scenario, reason: &str) {
    scenario.wait(&format!("the autoscaler says {reason}"), |scenario| {
        scenario.list(&kind::AUTOSCALER).iter().any(|scaler| {
            let conditions = scaler["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["reason"] == reason)
        })
    });
}

#[test]
fn an_autoscaler_without_a_target() {
    let scenario = Scenario::new("no-target").apply(&autoscaler("nope"));
    says(&scenario, "FailedGetScale");
    scenario.first_root_cause("AutoscalerUnableToScale", "target-missing", "horizontalpodautoscaler/scaler");
}

#[test]
fn an_autoscaler_without_metrics() {
    let scenario = Scenario::new("no-metrics")
        .apply(&(deployment("web", "command: [sleep, '3600'], resources: {requests: {cpu: 10m}}") + &autoscaler("web")))
        .until("it runs", pods_ready(1));
    says(&scenario, "FailedGetResourceMetric");
    scenario.first_root_cause("AutoscalerUnableToScale", "no-metrics", "horizontalpodautoscaler/scaler");
}

#[test]
fn a_budget_that_blocks_is_advice() {
    let budget = "---\n{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}\n";
    let scenario = Scenario::new("budget-blocks")
        .apply(&(deployment("web", "command: [sleep, '3600']") + budget))
        .until("it runs", pods_ready(1));
    scenario.wait("the budget has counted", |scenario| {
        scenario
            .list(&kind::DISRUPTION_BUDGET)
            .iter()
            .any(|b| b["status"]["currentHealthy"] == 1)
    });
    let answer = scenario.healthy();
    let codes: Vec<&str> = answer.json["advice"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["code"].as_str())
        .collect();
    assert!(codes.contains(&"DisruptionBudgetBlocks"), "{}", answer.stdout);
}
