//! The current revision of a workload: which pods are of it, its number, and one that does not come up while an older one still serves.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, DeploymentCondition, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;

use crate::model::finding::{Fix, ObjectRef};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::Presence;
use crate::text::{command, sanitise};
use crate::view::{View, Workload, WorkloadObject, controller, has_ended, is_ready, is_terminating, revision};

/// Where the Deployment controller writes the number of a revision.
const NUMBER: &str = "deployment.kubernetes.io/revision";
/// The label by which a Deployment tells the pods of its ReplicaSets apart.
const HASH: &str = "pod-template-hash";

/// How a roll-out stands that has stopped half-way.
pub struct HalfWay {
    /// The number of the revision that does not come up; none where the kind has no numbers.
    new: Option<u64>,
    /// The number of the newest older revision that serves, and its ready pods.
    old: Option<u64>,
    serving: usize,
}

impl HalfWay {
    /// `revision 2 does not come up; revision 1 still serves with 2 pods`
    pub fn words(&self) -> String {
        let named = |number: Option<u64>, otherwise: &str| number.map_or_else(|| otherwise.to_owned(), |n| format!("revision {n}"));
        let pods = if self.serving == 1 { "pod" } else { "pods" };
        format!(
            "{} does not come up; {} still serves with {} {pods}",
            named(self.new, "the new revision"),
            named(self.old, "the one before"),
            self.serving
        )
    }

    /// The command that goes back to the revision that serves; `rollout undo` alone may go to one that never did.
    pub fn undo(&self, workload: &Workload<'_>) -> Option<Fix> {
        let number = self.old?;
        Some(undo(workload, number, format!("go back to revision {number}, which serves")))
    }

    /// The number of the older revision that serves.
    pub const fn old(&self) -> Option<u64> {
        self.old
    }
}

/// The command that goes back to a revision.
pub fn undo(workload: &Workload<'_>, number: u64, text: String) -> Fix {
    let reference = &workload.reference;
    let arguments: [&dyn std::fmt::Display; 3] = [&reference.short(), &number, &reference.namespace];
    Fix::command(text, command("kubectl rollout undo {} --to-revision={} -n {}", &arguments))
}

/// Whether no pod of the newest revision is ready while some of an older one are. It says nothing about whether that is a fault yet.
pub fn half_way(view: &View<'_>, workload: &Workload<'_>) -> Option<HalfWay> {
    let live = || workload.pods.iter().copied().filter(|pod| !has_ended(pod) && !is_terminating(pod));
    match workload.object? {
        WorkloadObject::Deployment(deployment) => {
            let new = number(&deployment.metadata)?;
            let mut ready: BTreeMap<u64, usize> = BTreeMap::new();
            for pod in live().filter(|pod| is_ready(pod)) {
                *ready.entry(number(set_of(view, pod)?)?).or_default() += 1;
            }
            let (old, serving) = ready.pop_last().filter(|(old, _)| *old < new)?;
            Some(HalfWay {
                new: Some(new),
                old: Some(old),
                serving,
            })
        }
        WorkloadObject::StatefulSet(set) => {
            let status = set.status.as_ref()?;
            let new = status.update_revision.as_deref()?;
            if status.current_revision.as_deref() == Some(new) {
                return None;
            }
            let (of_new, of_old): (Vec<&Pod>, Vec<&Pod>) = live().filter(|pod| is_ready(pod)).partition(|pod| revision(pod) == new);
            (of_new.is_empty() && !of_old.is_empty()).then_some(HalfWay {
                new: None,
                old: None,
                serving: of_old.len(),
            })
        }
        _ => None,
    }
}

/// The condition of a Deployment whose newest template has not come up within its deadline; none where it speaks of an older one.
pub fn missed_deadline(deployment: &Deployment) -> Option<&DeploymentCondition> {
    let status = deployment.status.as_ref()?;
    let is_older = status.observed_generation.is_some() && status.observed_generation != deployment.metadata.generation;
    let condition = status.conditions.iter().flatten().find(|c| c.type_ == "Progressing")?;
    let is_missed = condition.status == "False" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded");
    (is_missed && !is_older).then_some(condition)
}

/// Whether a pod belongs to a revision that has not come up within the deadline of its Deployment: whatever keeps it from being ready is no
/// mere start any more.
pub fn is_overdue(view: &View<'_>, pod: &Pod) -> bool {
    let workload = view.workload(&view.workload_of(pod));
    let Some(WorkloadObject::Deployment(deployment)) = workload.and_then(|workload| workload.object) else {
        return false;
    };
    let of_newest = || match (number(&deployment.metadata), set_of(view, pod).and_then(number)) {
        (Some(newest), Some(own)) => own == newest,
        _ => true,
    };
    missed_deadline(deployment).is_some() && of_newest()
}

/// The number of the revision that a Deployment or one of its ReplicaSets is at, as `kubectl rollout history` shows it.
pub fn number(metadata: &ObjectMeta) -> Option<u64> {
    metadata.annotations.as_ref()?.get(NUMBER)?.parse().ok()
}

fn set_of<'a>(view: &View<'a>, pod: &Pod) -> Option<&'a ObjectMeta> {
    let owner = controller(&pod.metadata)?;
    view.owner(&kind::REPLICA_SET, &pod.namespace().unwrap_or_default(), &owner.name)
}

/// The ReplicaSets of a Deployment: one for each revision that is kept.
pub fn replica_sets<'a>(view: &View<'a>, deployment: &Deployment) -> impl DoubleEndedIterator<Item = &'a ReplicaSet> {
    let (namespace, name, uid) = (deployment.namespace(), deployment.name_any(), deployment.metadata.uid.clone());
    view.snapshot.objects.replica_sets.iter().filter(move |set| {
        let is_own =
            |of: &OwnerReference| of.kind == kind::DEPLOYMENT.kind && of.name == name && uid.as_ref().is_none_or(|uid| *uid == of.uid);
        set.namespace() == namespace && controller(&set.metadata).is_some_and(is_own)
    })
}

/// Whether a Deployment may have a revision to go back to.
pub fn has_older(view: &View<'_>, deployment: &Deployment) -> bool {
    let present = number(&deployment.metadata);
    let is_older = |set: &ReplicaSet| number(&set.metadata).is_some_and(|number| Some(number) < present);
    let is_known = view
        .snapshot
        .is_complete(&kind::REPLICA_SET, &deployment.namespace().unwrap_or_default());
    replica_sets(view, deployment).any(is_older) || !is_known && present != Some(1)
}

/// The ReplicaSet that a Deployment runs now: the one of the same template, as its controller compares them
/// (`deploymentutil.FindNewReplicaSet`); where the API server has filled in fields since, the one with the newest number.
pub fn replica_set<'a>(view: &View<'a>, deployment: &Deployment) -> Option<&'a ReplicaSet> {
    let own = || replica_sets(view, deployment);
    let template = deployment.spec.as_ref().map(|s| without_hash(&s.template));
    let mut same: Vec<&ReplicaSet> = own()
        .filter(|set| set.spec.as_ref().and_then(|s| s.template.as_ref()).map(without_hash) == template)
        .collect();
    // The oldest of equals, as the controller has it.
    same.sort_by_key(|set| set.metadata.creation_timestamp.clone());
    same.first().copied().or_else(|| {
        let observed = number(&deployment.metadata)?;
        own().rfind(|set| number(&set.metadata) == Some(observed))
    })
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(HASH);
    }
    template
}

/// How many pods of a StatefulSet are to stay as they are: those with an ordinal below the partition.
pub fn partition(set: &StatefulSet) -> usize {
    let strategy = set.spec.as_ref().and_then(|s| s.update_strategy.as_ref());
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()).and_then(|r| r.partition);
    partition.and_then(|p| usize::try_from(p).ok()).unwrap_or_default()
}

/// The ordinal of a StatefulSet's pod.
pub fn ordinal(pod: &Pod) -> Option<usize> {
    pod.name_any().rsplit_once('-')?.1.parse().ok()
}

/// Whether a pod is of an older revision than its workload's current one. Unknown revisions are not old.
pub fn is_old(view: &View<'_>, pod: &Pod) -> bool {
    match view.workload(&view.workload_of(pod)).and_then(|w| w.object) {
        Some(WorkloadObject::Deployment(deployment)) => replica_set(view, deployment).is_some_and(|set| {
            !is_of(
                pod,
                &ObjectRef::new(&kind::REPLICA_SET, &set.namespace().unwrap_or_default(), &set.name_any()),
            )
        }),
        Some(WorkloadObject::StatefulSet(set)) => {
            let update = set.status.as_ref().and_then(|s| s.update_revision.as_deref()).unwrap_or_default();
            let stays = ordinal(pod).is_some_and(|o| o < partition(set));
            !update.is_empty() && !stays && !revision(pod).is_empty() && revision(pod) != update
        }
        Some(WorkloadObject::DaemonSet(set)) => daemon_set_is_old(set, pod),
        _ => false,
    }
}

/// The controller of a pod, or the controller of that, which could not be read: the revision that it should run is unknown.
pub fn unread_owner(view: &View<'_>, pod: &Pod) -> Option<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let unread = |kind: &Kind, name: &str| {
        let is_unknown = view.snapshot.presence(kind, &namespace, name) == Presence::Unknown;
        is_unknown.then(|| sanitise(&format!("{}/{name}", kind.kind.to_lowercase())))
    };
    let owner = controller(&pod.metadata)?;
    for kind in [kind::STATEFUL_SET, kind::DAEMON_SET, kind::REPLICA_SET] {
        if owner.kind == kind.kind
            && let Some(unread) = unread(&kind, &owner.name)
        {
            return Some(unread);
        }
    }
    let sets = view.snapshot.objects.replica_sets.iter();
    let set = sets
        .filter(|s| s.namespace() == pod.namespace())
        .find(|s| owner.kind == kind::REPLICA_SET.kind && s.name_any() == owner.name)?;
    let above = controller(&set.metadata).filter(|above| above.kind == kind::DEPLOYMENT.kind)?;
    unread(&kind::DEPLOYMENT, &above.name)
}

/// Whether an object controls the pod.
pub fn is_of(pod: &Pod, owner: &ObjectRef) -> bool {
    pod.namespace().unwrap_or_default() == owner.namespace
        && controller(&pod.metadata).is_some_and(|o| o.kind == owner.kind && o.name == owner.name)
}

/// The generation of the template stands on the pods as a label, and on the DaemonSet as an annotation
/// (`daemonset/util.IsPodUpdated`).
fn daemon_set_is_old(set: &DaemonSet, pod: &Pod) -> bool {
    let generation = set.annotations().get("deprecated.daemonset.template.generation");
    let label = pod.labels().get("pod-template-generation");
    matches!((generation, label), (Some(generation), Some(label)) if generation != label)
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::assess::{Question, assess};
    use crate::model::code::Code;
    use crate::model::report::Verdict;
    use crate::testing::snapshot;

    /// A Deployment at its third revision, whose second one never came up either.
    fn cluster(third: &str) -> String {
        let mut all = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, generation: 3, annotations: {deployment.kubernetes.io/revision: '3'}}\n\
            spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: 'i:3'}]}}}\n\
            status: {observedGeneration: 3, replicas: 3, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2}\n"
            .to_owned();
        for number in 1..=3 {
            all += &format!(
                "---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web-{number}, uid: r{number}, annotations: {{deployment.kubernetes.io/revision: '{number}'}}, \
                 ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}}]}}\nspec: {{selector: {{}}}}\n"
            );
        }
        for (name, number, ready, state) in [
            ("a", 1, true, "running: {startedAt: '2026-01-01T09:00:00Z'}"),
            ("b", 1, true, "running: {startedAt: '2026-01-01T09:00:00Z'}"),
            ("c", 3, false, third),
        ] {
            all += &format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web-{number}-{name}, creationTimestamp: '2026-01-01T11:59:30Z', labels: {{app: web, pod-template-hash: '{number}'}}, ownerReferences: \
                 [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-{number}, uid: r{number}, controller: true}}]}}\nspec: {{containers: [{{name: c, image: 'i:{number}'}}]}}\n\
                 status: {{phase: Running, conditions: [{{type: Ready, status: '{}'}}], containerStatuses: [{{name: c, image: i, imageID: '', ready: {ready}, restartCount: 0, state: {{{state}}}}}]}}\n",
                if ready { "True" } else { "False" },
            );
        }
        all
    }

    #[test]
    fn a_stuck_revision_next_to_a_serving_one_offers_rollback() {
        let refused = "waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"i:3\": ErrImagePull: docker.io/library/i:3: not found'}";
        let diagnosis = assess(&snapshot(&cluster(refused)), &Question::default());
        assert_eq!(diagnosis.verdict, Verdict::Degraded);
        let judged = &diagnosis.workloads[0];
        assert!(
            judged
                .state
                .contains("revision 3 does not come up; revision 1 still serves with 2 pods"),
            "{}",
            judged.state
        );
        let undo = diagnosis.root_causes[0].fixes.last().and_then(|f| f.command.as_deref());
        assert_eq!(undo, Some("kubectl rollout undo deployment/web --to-revision=1 -n shop"));
    }

    #[test]
    fn a_failure_after_the_deadline_is_no_start() {
        let probed = "running: {startedAt: '2026-01-01T11:59:40Z'}";
        let third = "containers: [{name: c, image: 'i:3', readinessProbe: {httpGet: {path: /readyz, port: 8080}}}]";
        let event = "---\n{apiVersion: v1, kind: Event, metadata: {name: e}, type: Warning, reason: Unhealthy, \
            message: 'Readiness probe failed: HTTP probe failed with statuscode: 500', lastTimestamp: '2026-01-01T11:59:50Z', \
            involvedObject: {kind: Pod, name: web-3-c, namespace: shop, fieldPath: 'spec.containers{c}'}}\n";
        let yaml = cluster(probed).replace("containers: [{name: c, image: 'i:3'}]}\nstatus", &format!("{third}}}\nstatus"));
        let yaml = yaml.replace("restartCount", "started: true, restartCount") + event;
        assert!(
            assess(&snapshot(&yaml), &Question::default()).root_causes.is_empty(),
            "it may still start"
        );
        let missed = "conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]";
        let late = yaml.replace("observedGeneration: 3", &format!("observedGeneration: 3, {missed}"));
        let diagnosis = assess(&snapshot(&late), &Question::default());
        let roots: Vec<_> = diagnosis.root_causes.iter().map(|f| (f.code, f.cause.as_str())).collect();
        assert_eq!(roots, [(Code::ReadinessProbeFailing, "http-status")]);
        assert!(
            diagnosis
                .symptoms
                .iter()
                .any(|f| f.code == Code::RolloutStuck && !f.caused_by.is_empty())
        );
        let older = late.replace("observedGeneration: 3", "observedGeneration: 2");
        assert!(
            assess(&snapshot(&older), &Question::default()).root_causes.is_empty(),
            "that was another template"
        );
    }

    #[test]
    fn a_roll_out_under_way_is_not_called_stuck() {
        let diagnosis = assess(&snapshot(&cluster("waiting: {reason: ContainerCreating}")), &Question::default());
        let judged = &diagnosis.workloads[0];
        assert!(!judged.state.contains("does not come up"), "{}", judged.state);
    }
}
