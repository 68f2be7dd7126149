//! `diagnose` and `wait-ready` agree on what is at its goal.

use super::*;
use crate::diagnosis::assess::assess;
use crate::model::report::Verdict;
use crate::readiness::verdict;
use crate::view::rollout::{self, Stage};

/// A state of the cluster, the target, and what both verbs say about it.
type Row = (&'static str, String, Kind, &'static str, Verdict, State);

const WEB: Kind = kind::DEPLOYMENT;
const NODE: &str = "nodeName: node-1,";
const PORT: &str = "{name: http, port: 8080, protocol: TCP}";

fn deploy(status: &'static str) -> Deploy {
    Deploy {
        status,
        ..Deploy::default()
    }
}

fn deployments() -> Vec<Row> {
    use {State as S, Verdict as V};
    let goal = || deployment(&Deploy::default());
    let old_pod = |metadata: &str| pod("web-old-a", "ReplicaSet/web-old", "pod-template-hash: old", metadata, "", "");
    let new_pod_with =
        |metadata: &str, spec: &str, status: &str| pod("web-new-a", "ReplicaSet/web-new", "pod-template-hash: new", metadata, spec, status);
    let paused = |status| {
        deployment(&Deploy {
            spec: "paused: true,",
            status,
            ..Deploy::default()
        })
    };
    let zero = |status| {
        deployment(&Deploy {
            replicas: 0,
            status,
            ..Deploy::default()
        })
    };
    let two = |status| {
        deployment(&Deploy {
            replicas: 2,
            status,
            ..Deploy::default()
        })
    };
    let deleting = "deletionTimestamp: '2026-01-01T11:59:58Z', deletionGracePeriodSeconds: 30,";
    let node = |status: &str| {
        format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-1}}\nstatus: {{conditions: [{{type: Ready, status: {status}, \
             reason: NodeStatusUnknown, lastTransitionTime: '2026-01-01T11:59:30Z', lastHeartbeatTime: '2026-01-01T11:59:00Z'}}]}}\n"
        )
    };
    let scaler = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\n\
                  spec: {minReplicas: 1, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\nstatus: {desiredReplicas: 3}\n";
    let gate = "readinessGates: [{conditionType: example.com/lb}],";
    let refused = goal().replacen(
        "observedGeneration: 1, replicas: 1, }",
        "observedGeneration: 1, replicas: 0, conditions: [{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: 'pods \"web\" is forbidden: exceeded quota: q'}]}",
        1,
    );
    let late = "replicas: 2, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [{type: Progressing, status: 'False', \
                reason: ProgressDeadlineExceeded, message: 'ReplicaSet \"web-new\" has timed out progressing.'}]";
    vec![
        ("at its goal", goal() + &new_pod(""), WEB, "web", V::Healthy, S::Ready),
        (
            "generation behind",
            goal().replace("generation: 2", "generation: 3") + &new_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "not seen by its controller",
            goal().replace("observedGeneration: 2, ", "") + &new_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "partly updated",
            two("replicas: 2, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2") + &new_pod("") + &old_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "surge",
            deployment(&deploy("replicas: 2, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2")) + &new_pod("") + &old_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "an old pod is left",
            goal() + &new_pod("") + &old_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "an old pod is being deleted",
            goal() + &new_pod("") + &old_pod(deleting),
            WEB,
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "paused before a change",
            paused("replicas: 1, updatedReplicas: 0, readyReplicas: 1, availableReplicas: 1") + &old_pod(""),
            WEB,
            "web",
            V::Degraded,
            S::Failed,
        ),
        (
            "paused within a change",
            paused("replicas: 2, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2") + &new_pod("") + &old_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Failed,
        ),
        (
            "paused without a change",
            paused("replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1") + &new_pod(""),
            WEB,
            "web",
            V::Healthy,
            S::Ready,
        ),
        ("scaled to zero", zero("replicas: 0"), WEB, "web", V::Healthy, S::Ready),
        (
            "scaled to zero, a pod is left",
            zero("replicas: 1") + &new_pod_with(deleting, "", ""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "scaled to zero behind a Service",
            zero("replicas: 0") + SERVICE,
            WEB,
            "web",
            V::Healthy,
            S::Failed,
        ),
        (
            "being deleted",
            goal().replacen("name: web,", "name: web, deletionTimestamp: '2026-01-01T11:59:58Z',", 1) + &new_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "a pod is missing",
            two("replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1") + &new_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "its pod is being deleted",
            goal() + &new_pod_with(deleting, "", ""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "its pod does not exist any more",
            goal(),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "its pod is on a lost node",
            goal() + &new_pod_with("", NODE, "") + &node("Unknown"),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "its pod is on a node that is gone",
            goal() + &new_pod_with("", NODE, ""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "its pod is on a ready node",
            goal() + &new_pod_with("", NODE, "") + &node("'True'"),
            WEB,
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "its pod is not ready",
            goal() + &new_pod(UNREADY),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "not available for minReadySeconds yet",
            deployment(&Deploy {
                spec: "minReadySeconds: 60,",
                status: "replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 0",
                ..Deploy::default()
            }) + &new_pod(""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "its pods are refused",
            refused.replace("updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1", "updatedReplicas: 0"),
            WEB,
            "web",
            V::Broken,
            S::Progressing,
        ),
        (
            "past its deadline",
            deployment(&deploy(late)) + &new_pod(UNREADY) + &old_pod(""),
            WEB,
            "web",
            V::Degraded,
            S::Failed,
        ),
        (
            "its autoscaler asks for more",
            goal() + &new_pod("") + scaler,
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "a readiness gate is closed",
            goal() + &new_pod_with("", gate, ""),
            WEB,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "a readiness gate proves nothing",
            goal()
                + &new_pod_with(
                    "",
                    gate,
                    &READY.replace(
                        "[{type: PodScheduled",
                        "[{type: example.com/lb, status: 'True', reason: LoadBalancerNegTimeout}, {type: PodScheduled",
                    ),
                ),
            WEB,
            "web",
            V::Healthy,
            S::Unknown,
        ),
    ]
}

fn sets() -> Vec<Row> {
    use {State as S, Verdict as V};
    let done = "updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2";
    let half = "updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2";
    let on_delete = "updateStrategy: {type: OnDelete},";
    let partition = "updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}},";
    let all_new = || db(0, "db-2", "") + &db(1, "db-2", "");
    let one_old = || db(0, "db-1", "") + &db(1, "db-2", "");
    let set = |spec: &str, status: &str| {
        format!(
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: agent, uid: agent, generation: 2, annotations: {{deprecated.daemonset.template.generation: '2'}}}}\n\
             spec: {{{spec} selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: i}}]}}}}}}\n\
             status: {{observedGeneration: 2, currentNumberScheduled: 2, numberMisscheduled: 0, numberReady: 2, {status}}}\n"
        )
    };
    let agent = |name: &str, generation: &str, status: &str| {
        pod(
            name,
            "DaemonSet/agent",
            &format!("pod-template-generation: '{generation}'"),
            "",
            "",
            status,
        )
    };
    let two = "desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2";
    let one_of_two = "desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 2";
    let new_agents = || agent("agent-a", "2", "") + &agent("agent-b", "2", "");
    let mixed_agents = || agent("agent-a", "1", "") + &agent("agent-b", "2", "");
    let replicas = |kind: &str, group: &str, status: &str| {
        format!(
            "apiVersion: {group}v1\nkind: {kind}\nmetadata: {{name: web, uid: web, generation: 2}}\nspec: {{replicas: 1, template: {{metadata: {{labels: {{app: web}}}}, \
             spec: {{containers: [{{name: web, image: 'web:2'}}]}}}}}}\nstatus: {{observedGeneration: 2, {status}}}\n"
        )
    };
    let one = "replicas: 1, readyReplicas: 1, availableReplicas: 1";
    let own = |kind: &str, status: &str| {
        let own = pod("web-a", &format!("{kind}/web"), "role: one", "", "", status);
        own.replace("apps/v1, kind: ReplicationController", "v1, kind: ReplicationController")
    };
    let (db_kind, agent_kind) = (kind::STATEFUL_SET, kind::DAEMON_SET);
    let (rs, rc) = (kind::REPLICA_SET, kind::REPLICATION_CONTROLLER);
    vec![
        (
            "StatefulSet at its goal",
            stateful_set("", done) + &all_new(),
            db_kind.clone(),
            "db",
            V::Healthy,
            S::Ready,
        ),
        (
            "StatefulSet with one of two pods updated, both ready",
            stateful_set("", half) + &one_old(),
            db_kind.clone(),
            "db",
            V::Progressing,
            S::Progressing,
        ),
        (
            "StatefulSet whose status is ahead of its pods",
            stateful_set("", done) + &one_old(),
            db_kind.clone(),
            "db",
            V::Progressing,
            S::Progressing,
        ),
        (
            "StatefulSet with a partition",
            stateful_set(partition, half) + &one_old(),
            db_kind.clone(),
            "db",
            V::Healthy,
            S::Ready,
        ),
        (
            "StatefulSet with OnDelete",
            stateful_set(on_delete, half) + &one_old(),
            db_kind.clone(),
            "db",
            V::Degraded,
            S::Failed,
        ),
        (
            "StatefulSet with a pod too many",
            stateful_set("", done).replace("replicas: 2, currentRevision", "replicas: 3, currentRevision")
                + &all_new()
                + &db(2, "db-2", ""),
            db_kind.clone(),
            "db",
            V::Progressing,
            S::Progressing,
        ),
        (
            "StatefulSet with a generation behind",
            stateful_set("", done).replace("generation: 2}", "generation: 3}") + &all_new(),
            db_kind.clone(),
            "db",
            V::Progressing,
            S::Progressing,
        ),
        (
            "StatefulSet with an unready pod",
            stateful_set("", done) + &db(0, "db-2", "") + &db(1, "db-2", UNREADY),
            db_kind.clone(),
            "db",
            V::Progressing,
            S::Progressing,
        ),
        (
            "StatefulSet within minReadySeconds",
            stateful_set("minReadySeconds: 60,", "updatedReplicas: 2, readyReplicas: 2, availableReplicas: 0") + &all_new(),
            db_kind,
            "db",
            V::Progressing,
            S::Progressing,
        ),
        (
            "DaemonSet at its goal",
            set("", two) + &new_agents(),
            agent_kind.clone(),
            "agent",
            V::Healthy,
            S::Ready,
        ),
        (
            "DaemonSet with one of two pods updated, both ready",
            set("", one_of_two) + &mixed_agents(),
            agent_kind.clone(),
            "agent",
            V::Progressing,
            S::Progressing,
        ),
        (
            "DaemonSet with OnDelete",
            set(on_delete, one_of_two) + &mixed_agents(),
            agent_kind.clone(),
            "agent",
            V::Degraded,
            S::Failed,
        ),
        (
            "DaemonSet with a generation behind",
            set("", two).replace("generation: 2, ann", "generation: 3, ann") + &new_agents(),
            agent_kind.clone(),
            "agent",
            V::Progressing,
            S::Progressing,
        ),
        (
            "DaemonSet with an unready pod",
            set("", two) + &agent("agent-a", "2", UNREADY) + &agent("agent-b", "2", ""),
            agent_kind.clone(),
            "agent",
            V::Progressing,
            S::Progressing,
        ),
        (
            "DaemonSet that no node matches",
            set("", "desiredNumberScheduled: 0"),
            agent_kind,
            "agent",
            V::Healthy,
            S::Unknown,
        ),
        (
            "ReplicaSet at its goal",
            replicas("ReplicaSet", "apps/", one) + &own("ReplicaSet", ""),
            rs.clone(),
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "ReplicaSet without its pod",
            replicas("ReplicaSet", "apps/", "replicas: 0"),
            rs.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "ReplicaSet with a generation behind",
            replicas("ReplicaSet", "apps/", one).replace("observedGeneration: 2", "observedGeneration: 1") + &own("ReplicaSet", ""),
            rs,
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "ReplicationController at its goal",
            replicas("ReplicationController", "", one) + &own("ReplicationController", ""),
            rc.clone(),
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "ReplicationController with an unready pod",
            replicas("ReplicationController", "", one) + &own("ReplicationController", UNREADY),
            rc,
            "web",
            V::Progressing,
            S::Progressing,
        ),
    ]
}

fn jobs_and_pods() -> Vec<Row> {
    use {State as S, Verdict as V};
    let job = |spec: &str, status: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j, uid: j}}\nspec: {{{spec} template: {{spec: {{restartPolicy: Never, containers: [{{name: web, image: i}}]}}}}}}\nstatus: {{{status}}}\n"
        )
    };
    let condition = |type_: &str| format!("conditions: [{{type: {type_}, status: 'True', reason: BackoffLimitExceeded}}]");
    let cron = |suspend: bool, status: &str| {
        format!(
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: c}}\nspec: {{schedule: '0 * * * *', suspend: {suspend}, jobTemplate: {{spec: {{template: {{spec: {{containers: []}}}}}}}}}}\nstatus: {{{status}}}\n"
        )
    };
    let bare = |metadata: &str, status: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, uid: p, creationTimestamp: '2026-01-01T11:50:00Z', {metadata}}}\nspec: {{containers: [{{name: web, image: i}}]}}\nstatus: {status}\n"
        )
    };
    let ran = "lastScheduleTime: '2026-01-01T11:59:00Z'";
    let worker = pod("j-a", "Job/j", "role: one", "", "", "");
    let (pod_kind, job_kind, cron_kind) = (kind::POD, kind::JOB, kind::CRON_JOB);
    vec![
        (
            "Job at work",
            job("", "active: 1") + &worker,
            job_kind.clone(),
            "j",
            V::Progressing,
            S::Progressing,
        ),
        (
            "Job complete",
            job("", &condition("Complete")),
            job_kind.clone(),
            "j",
            V::Healthy,
            S::Ready,
        ),
        (
            "Job failed",
            job("", &condition("Failed")),
            job_kind.clone(),
            "j",
            V::Broken,
            S::Failed,
        ),
        (
            "Job about to fail",
            job("", &condition("FailureTarget")),
            job_kind.clone(),
            "j",
            V::Broken,
            S::Failed,
        ),
        (
            "Job suspended",
            job("suspend: true,", &condition("Suspended")),
            job_kind,
            "j",
            V::Healthy,
            S::Failed,
        ),
        ("CronJob scheduled", cron(false, ""), cron_kind.clone(), "c", V::Healthy, S::Ready),
        ("CronJob suspended", cron(true, ran), cron_kind.clone(), "c", V::Healthy, S::Failed),
        (
            "CronJob in its first run",
            cron(false, &format!("{ran}, active: [{{kind: Job, name: c-1}}]")),
            cron_kind.clone(),
            "c",
            V::Healthy,
            S::Ready,
        ),
        (
            "CronJob whose runs all failed",
            cron(false, ran),
            cron_kind.clone(),
            "c",
            V::Broken,
            S::Progressing,
        ),
        (
            "CronJob whose Jobs are deleted as they end",
            cron(false, ran).replace("{template: ", "{ttlSecondsAfterFinished: 0, template: "),
            cron_kind.clone(),
            "c",
            V::Healthy,
            S::Ready,
        ),
        (
            "CronJob whose newest run failed",
            cron(false, &format!("{ran}, lastSuccessfulTime: '2026-01-01T11:00:09Z'")),
            cron_kind.clone(),
            "c",
            V::Broken,
            S::Progressing,
        ),
        (
            "CronJob whose newest run succeeded",
            cron(false, &format!("{ran}, lastSuccessfulTime: '2026-01-01T11:59:00Z'")),
            cron_kind,
            "c",
            V::Healthy,
            S::Ready,
        ),
        ("bare pod ready", bare("", READY), pod_kind.clone(), "p", V::Healthy, S::Ready),
        (
            "bare pod not ready",
            bare("", UNREADY),
            pod_kind.clone(),
            "p",
            V::Progressing,
            S::Progressing,
        ),
        (
            "bare pod failed",
            bare("", "{phase: Failed}"),
            pod_kind.clone(),
            "p",
            V::Broken,
            S::Failed,
        ),
        (
            "bare pod that ended well",
            bare("", "{phase: Succeeded}"),
            pod_kind.clone(),
            "p",
            V::Healthy,
            S::Ready,
        ),
        (
            "bare pod that is being deleted",
            bare("deletionTimestamp: '2026-01-01T11:59:58Z', deletionGracePeriodSeconds: 30", READY),
            pod_kind,
            "p",
            V::Progressing,
            S::Progressing,
        ),
    ]
}

fn services() -> Vec<Row> {
    use {State as S, Verdict as V};
    let rolled_out = || deployment(&Deploy::default()) + &new_pod("");
    let starting = || deployment(&Deploy::default()) + &new_pod(UNREADY);
    let old = ENDPOINT.replace("web-new-a", "web-old-a");
    let old_pod = pod(
        "web-old-a",
        "ReplicaSet/web-old",
        "pod-template-hash: old",
        "deletionTimestamp: '2026-01-01T11:59:58Z',",
        "",
        "",
    );
    let unready = ENDPOINT.replace("ready: true, serving: true", "ready: false, serving: false");
    let published = SERVICE.replace("spec: {", "spec: {publishNotReadyAddresses: true, ");
    let by_hand = SERVICE.replace("selector: {app: web}, ", "");
    let outside = "{addresses: [192.0.2.7], conditions: {ready: READY}}";
    let web = kind::SERVICE;
    let both = format!("{ENDPOINT}, {old}");
    vec![
        (
            "Service with a ready endpoint",
            format!("{}{SERVICE}{}", rolled_out(), slice(PORT, ENDPOINT)),
            web.clone(),
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "Service without slices",
            format!("{}{SERVICE}", rolled_out()),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "endpoints without ports",
            format!("{}{SERVICE}{}", rolled_out(), slice("", ENDPOINT)),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "endpoints with another port",
            format!(
                "{}{SERVICE}{}",
                rolled_out(),
                slice("{name: admin, port: 9090, protocol: TCP}", ENDPOINT)
            ),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "unready endpoints of ready pods",
            format!("{}{SERVICE}{}", rolled_out(), slice(PORT, &unready)),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "unready pods",
            format!("{}{SERVICE}{}", starting(), slice(PORT, &unready)),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "published unready pods",
            format!("{}{published}{}", starting(), slice(PORT, ENDPOINT)),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "published ready pods",
            format!("{}{published}{}", rolled_out(), slice(PORT, ENDPOINT)),
            web.clone(),
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "an old pod is an endpoint",
            format!("{}{SERVICE}{old_pod}{}", rolled_out(), slice(PORT, &both)),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "a deleted pod is an endpoint",
            format!("{}{SERVICE}{}", rolled_out(), slice(PORT, &both)),
            web.clone(),
            "web",
            V::Progressing,
            S::Progressing,
        ),
        (
            "endpoints by hand",
            format!("{by_hand}{}", slice(PORT, &outside.replace("READY", "true"))),
            web.clone(),
            "web",
            V::Healthy,
            S::Ready,
        ),
        (
            "unready endpoints by hand",
            format!("{by_hand}{}", slice(PORT, &outside.replace("READY", "false"))),
            web,
            "web",
            V::Progressing,
            S::Progressing,
        ),
    ]
}

/// What `diagnose` says about a target, what `wait-ready` says in its pod phase, and whether the target is one of the exceptions that
/// [`rollout`] describes: it rests, or nothing proves that it is ready.
fn outcome(yaml: &str, target: &ObjectRef) -> (Verdict, State, bool) {
    // Everything has just begun, so that nobody's patience is over.
    let snapshot = snapshot(&yaml.replace("11:50:00Z", "11:59:30Z"));
    let question = Question {
        targets: Some(vec![target.clone()]),
        ..Question::default()
    };
    let phases = verdict::phases(&judged_of(&snapshot, std::slice::from_ref(target)), None);
    let pods = phases.iter().find(|phase| phase.phase == Phase::Pods).unwrap();
    let view = View::new(&snapshot, Options::default());
    let object = view.workload(target).and_then(|workload| workload.object);
    let stage = object.map(|object| rollout::of(&view, object).stage);
    let is_exception = stage.is_some_and(|stage| stage.is_rest() || stage == Stage::Unproven);
    (assess(&snapshot, &question).verdict, pods.state, is_exception)
}

#[test]
fn diagnose_and_wait_ready_agree_on_every_state() {
    let rows: Vec<Row> = [deployments(), sets(), jobs_and_pods(), services()].concat();
    assert!(rows.len() > 60);
    let mut wrong = Vec::new();
    for (what, yaml, kind, name, verdict, state) in rows {
        let (says, is, is_exception) = outcome(&yaml, &target(&kind, name));
        if (says, is) != (verdict, state) {
            wrong.push(format!("{what}: {says:?} and {is:?}, not {verdict:?} and {state:?}"));
        }
        if (says == Verdict::Healthy) != (is == State::Ready) && !is_exception {
            wrong.push(format!("{what}: diagnose says {says:?}, wait-ready says {is:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
