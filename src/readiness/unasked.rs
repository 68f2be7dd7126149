//! Why nobody was asked whether what is ready answers.

use crate::model::kind;
use crate::model::readiness::ObjectReadiness;
use crate::readiness::{judge, related};
use crate::view::{View, WorkloadObject, ports, rollout};

/// Why no check came of the judged objects, in words; none where there is nothing among them that answers anybody.
pub fn why(view: &View<'_>, judged: &[ObjectReadiness]) -> Option<&'static str> {
    let serves = |item: &&ObjectReadiness| related::may_serve(&item.object) || item.object.is(&kind::SERVICE);
    let serving: Vec<&ObjectReadiness> = judged.iter().filter(serves).collect();
    if serving.is_empty() {
        let has_run_nothing = |item: &ObjectReadiness| {
            let object = view.workload(&item.object).and_then(|w| w.object);
            matches!(object, Some(WorkloadObject::CronJob(job)) if !rollout::has_run(job))
        };
        return (!judged.is_empty() && judged.iter().all(has_run_nothing)).then_some("scheduled; it has run nothing yet");
    }
    let services = judge::services(view, judged);
    let has_tcp = services
        .iter()
        .flat_map(|service| ports::of_service(service))
        .any(|port| ports::protocol(port.protocol.as_ref()) == "TCP");
    let runs_nothing = serving.iter().all(|item| item.wanted_pods.is_none_or(|wanted| wanted == 0));
    Some(match (services.is_empty(), has_tcp) {
        (_, true) | (true, _) if runs_nothing => "the application was not checked: it has no pods to run",
        (true, _) => "the application was not checked: no Service selects it",
        (false, false) => "the application was not checked: no Service that selects it has a TCP port",
        (false, true) => "the application was not checked",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ObjectRef;
    use crate::model::kind::Kind;
    use crate::readiness::{Goal, judge as judge_all};
    use crate::testing::snapshot;
    use crate::view::Options;

    fn of(yaml: &str, kind: &Kind) -> Option<&'static str> {
        let seen = snapshot(yaml);
        let view = View::new(&seen, Options::default());
        let goal = Goal {
            targets: vec![ObjectRef::new(kind, "shop", "web")],
            ..Goal::default()
        };
        why(&view, &judge_all(&view, &goal))
    }

    #[test]
    fn an_unreachable_workload_is_reported() {
        let web = "{kind: Deployment, apiVersion: apps/v1, metadata: {name: web, namespace: shop}, spec: {replicas: 1, \
                   selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app}]}}}}\n";
        assert!(of(web, &kind::DEPLOYMENT).unwrap().ends_with("no Service selects it"));
        let service = "---\n{kind: Service, apiVersion: v1, metadata: {name: web, namespace: shop}, \
                       spec: {selector: {app: web}, ports: [{port: 53, protocol: UDP}]}}\n";
        let udp = format!("{web}{service}");
        assert!(of(&udp, &kind::DEPLOYMENT).unwrap().ends_with("has a TCP port"));
        let none = web
            .replace("replicas: 1", "replicas: 0")
            .replace("spec: {replicas", "status: {observedGeneration: 1}, spec: {replicas");
        assert!(of(&none, &kind::DEPLOYMENT).unwrap().ends_with("it has no pods to run"));
        let job = "{kind: Job, apiVersion: batch/v1, metadata: {name: web, namespace: shop}, spec: {template: {spec: {containers: []}}}}";
        assert_eq!(of(job, &kind::JOB), None);
        let cron =
            "{kind: CronJob, apiVersion: batch/v1, metadata: {name: web, namespace: shop}, spec: {schedule: '0 0 1 1 *', jobTemplate: {}}";
        assert_eq!(of(&format!("{cron}}}"), &kind::CRON_JOB), Some("scheduled; it has run nothing yet"));
        let has_run = format!("{cron}, status: {{lastScheduleTime: '2026-01-01T00:00:00Z'}}}}");
        assert_eq!(of(&has_run, &kind::CRON_JOB), None);
    }
}
