//! Which container exits still matter: not those of pods that are finished, nor of containers that recovered.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::model::finding::{Finding, ObjectRef};
use crate::model::{age, kind};
use crate::text::{Command, command, counted};
use crate::view::{
    ContainerView, EventView, HEALED_AFTER, Role, View, Workload, WorkloadObject, containers, controller, has_ended, is_terminating, phase,
    revision,
};

/// How long a container may take to exit after the kubelet's `Killing` event, beyond its grace period.
const KILL_SLACK: Duration = Duration::from_secs(15);

/// With at most this many restarts, a container that runs several times longer than its failed start has recovered.
const FEW_RESTARTS: i32 = 3;

/// A container that restarted this recently has not recovered, even if its status has no exit.
const JUST_STARTED: Duration = Duration::from_secs(60);

/// Placeholder for an exit of which the status shows only the restart.
static UNTOLD: LazyLock<ContainerStateTerminated> = LazyLock::new(|| ContainerStateTerminated {
    exit_code: -1,
    ..ContainerStateTerminated::default()
});

/// A container exit that still matters.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The container.
    pub container: ContainerView<'a>,
    /// How it ended; meaningless where the status does not have it.
    pub end: &'a ContainerStateTerminated,
    /// Whether the status has the exit. Right after a restart the kubelet may have counted it without writing the exit yet.
    pub is_told: bool,
}

impl Ending<'_> {
    /// `exit code 1, 6 restarts, ended 12s ago`
    pub fn describe(&self, view: &View<'_>) -> String {
        let mut parts = vec![match self.end.reason.as_deref() {
            _ if !self.is_told => "its status does not show how it ended".to_owned(),
            Some(reason) if !matches!(reason, "Error" | "Completed" | "") => format!("{reason}, exit code {}", self.end.exit_code),
            _ => format!("exit code {}", self.end.exit_code),
        }];
        match self.container.restarts() {
            0 => {}
            n => parts.push(counted(n, "restart")),
        }
        if let Some(ago) = view.age_of(self.end.finished_at.as_ref()) {
            parts.push(format!("ended {} ago", age::short(ago)));
        }
        parts.join(", ")
    }

    /// How long the instance lived; zero where it never started.
    pub fn lifetime(&self) -> Duration {
        lifetime(self.end)
    }
}

fn lifetime(end: &ContainerStateTerminated) -> Duration {
    // A runtime that could not start the container reports the epoch as the start.
    let started = end.started_at.as_ref().map(|t| t.0).filter(|t| *t > Timestamp::UNIX_EPOCH);
    started
        .zip(end.finished_at.as_ref())
        .and_then(|(start, end)| Duration::try_from(end.0.duration_since(start)).ok())
        .unwrap_or_default()
}

/// Whether a pod's state still matters: it is not terminating, did not succeed, and was not replaced.
pub fn counts(view: &View<'_>, pod: &Pod) -> bool {
    if is_terminating(pod) || phase(pod) == "Succeeded" {
        return false;
    }
    if phase(pod) == "Failed" {
        let refused = pod.status.as_ref().and_then(|s| s.reason.as_deref()).is_some_and(|r| !r.is_empty());
        let restarts = pod
            .spec
            .as_ref()
            .and_then(|s| s.restart_policy.as_deref())
            .is_none_or(|p| p == "Always");
        // Evicted, refused by the node, or replaced by a controller that never gives up: other rules speak of those.
        if refused || restarts || view.is_replaced(pod) {
            return false;
        }
    }
    match controller(&pod.metadata) {
        Some(owner) if owner.kind == "Job" => job_counts(view, pod, &owner.name),
        _ => true,
    }
}

/// Of a Job, only what did not succeed in the end; of a CronJob, only the newest run that came to anything.
fn job_counts(view: &View<'_>, pod: &Pod, job: &str) -> bool {
    let object = view
        .snapshot
        .objects
        .jobs
        .iter()
        .find(|j| j.name_any() == job && j.namespace() == pod.namespace());
    let completed = object
        .and_then(|j| j.status.as_ref())
        .and_then(|s| s.conditions.as_ref())
        .is_some_and(|all| {
            all.iter()
                .any(|c| matches!(c.type_.as_str(), "Complete" | "SuccessCriteriaMet") && c.status == "True")
        });
    let suspended = object.and_then(|j| j.spec.as_ref()).and_then(|s| s.suspend) == Some(true);
    if completed || suspended {
        return false;
    }
    let Some(workload) = view.workload(&view.workload_of(pod)) else {
        return true;
    };
    let mut runs: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for other in &workload.pods {
        runs.entry(revision(other)).or_default().push(other);
    }
    let mine = runs.get(revision(pod)).cloned().unwrap_or_default();
    // A retry that has been up for long is the answer to the failures before it.
    let retried = phase(pod) == "Failed" && mine.iter().any(|p| is_settled(view, p));
    let newest_with_outcome = runs
        .values()
        .filter(|pods| pods.iter().any(|p| has_outcome(p)))
        .max_by_key(|pods| created(pods));
    !retried && newest_with_outcome.is_none_or(|run| created(run) <= created(&mine))
}

fn created(pods: &[&Pod]) -> Option<Timestamp> {
    pods.iter()
        .filter_map(|p| p.metadata.creation_timestamp.as_ref())
        .map(|t| t.0)
        .max()
}

fn is_settled(view: &View<'_>, pod: &Pod) -> bool {
    phase(pod) == "Running"
        && containers(pod)
            .iter()
            .filter_map(ContainerView::running_since)
            .any(|t| view.age(t) >= HEALED_AFTER)
}

fn has_outcome(pod: &Pod) -> bool {
    has_ended(pod)
        || containers(pod)
            .iter()
            .any(|c| c.restarts() > 0 || c.waiting().is_some_and(|(reason, _)| is_trouble(reason)))
}

/// Waiting reasons that a normal start never shows.
pub fn is_trouble(reason: &str) -> bool {
    !matches!(reason, "" | "ContainerCreating" | "PodInitializing")
}

/// The end of a container that should run and that still matters; none where it healed, or is an init container that is done.
pub fn ending<'a>(view: &View<'_>, container: ContainerView<'a>) -> Option<Ending<'a>> {
    let Some(end) = container.newest_end() else {
        return untold(view, container);
    };
    if !counts(view, container.pod) || is_healed(view, &container, end) {
        return None;
    }
    if container.role == Role::Init && end.exit_code == 0 {
        return None;
    }
    Some(Ending {
        container,
        end,
        is_told: true,
    })
}

/// The end of a container that was started again, and whose status does not say why: it waits for its next start, has just been started,
/// or the kubelet has said not long ago that it holds it back.
fn untold<'a>(view: &View<'_>, container: ContainerView<'a>) -> Option<Ending<'a>> {
    if container.role == Role::Init || container.restarts() == 0 || !counts(view, container.pod) {
        return None;
    }
    let waits = container.waiting().is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    let just_started = view.snapshot.has_clock && container.running_since().is_some_and(|t| view.age(t) < JUST_STARTED);
    let held_back = |e: &EventView<'_>| {
        e.reason() == "BackOff" && e.container() == Some(container.name()) && e.last_seen.is_some_and(|t| view.age(t) < JUST_STARTED)
    };
    (waits || just_started || view.pod_events(container.pod).iter().any(held_back)).then(|| Ending {
        container,
        end: &UNTOLD,
        is_told: false,
    })
}

fn is_healed(view: &View<'_>, container: &ContainerView<'_>, end: &ContainerStateTerminated) -> bool {
    let Some(since) = container.running_since() else {
        return false;
    };
    let uptime = view.age(since);
    // The node or the kubelet went away and came back: no fault of the container.
    let lost = matches!(end.reason.as_deref(), Some("Unknown" | "ContainerStatusUnknown"));
    if view.has_healed(container, since) || lost {
        return true;
    }
    // A start that lost a race (a database that came up later) and then held several times as long.
    let held = uptime > Duration::from_secs(60).max(lifetime(end) * 3);
    container.role != Role::Init && container.is_ready() && container.restarts() <= FEW_RESTARTS && held
}

/// Whether a pod of a workload that is meant to end may exit with 0.
pub fn may_complete(view: &View<'_>, pod: &Pod) -> bool {
    let finite = view
        .workload(&view.workload_of(pod))
        .and_then(|w| w.object)
        .is_some_and(WorkloadObject::is_finite);
    finite
        || pod
            .spec
            .as_ref()
            .and_then(|s| s.restart_policy.as_deref())
            .is_some_and(|policy| policy != "Always")
}

/// The probe (`liveness` or `startup`) whose failure made the kubelet end this instance, with the event that says so.
pub fn killed_by_probe<'a>(view: &View<'a>, ending: &Ending<'_>) -> Option<(&'static str, EventView<'a>)> {
    let container = &ending.container;
    let event = view
        .pod_events(container.pod)
        .into_iter()
        .find(|e| e.reason() == "Killing" && e.container() == Some(container.name()) && probe_of(e.message()).is_some())?;
    let probe = probe_of(event.message())?;
    // The kubelet's counter lags, so that the newest kill may have no event of its own: then the exit code must fit a kill.
    let fits_kill = matches!(ending.end.exit_code, 0 | 137 | 143);
    (fits_kill || !ending.is_told || ended_after(ending, &event)).then_some((probe, event))
}

fn probe_of(message: &str) -> Option<&'static str> {
    ["liveness", "startup"]
        .into_iter()
        .find(|probe| message.contains(&format!("failed {probe} probe")))
}

/// Whether the instance ended as a consequence of what the event says: soon after it.
pub fn ended_after(ending: &Ending<'_>, event: &EventView<'_>) -> bool {
    let grace = ending
        .container
        .pod
        .spec
        .as_ref()
        .and_then(|s| s.termination_grace_period_seconds)
        .unwrap_or(30);
    let slack = KILL_SLACK + Duration::from_secs(u64::try_from(grace).unwrap_or_default());
    match (ending.end.finished_at.as_ref(), event.last_seen) {
        (Some(end), Some(seen)) => {
            let after = end.0.duration_since(seen);
            after.as_secs() >= -1 && after <= jiff::SignedDuration::try_from(slack).unwrap_or_default()
        }
        _ => false,
    }
}

/// The endings of all containers, in groups that one finding explains: same workload, revision, container and kind of end.
/// The first of a group represents it.
pub fn groups<'a>(view: &View<'a>, wanted: impl Fn(&ContainerView<'a>) -> bool) -> Vec<Vec<Ending<'a>>> {
    let mut groups: BTreeMap<(ObjectRef, &str, &str, i32, &str), Vec<Ending<'a>>> = BTreeMap::new();
    for workload in view.workloads() {
        for &pod in &workload.pods {
            for container in containers(pod).into_iter().filter(|c| wanted(c)) {
                if let Some(ending) = ending(view, container) {
                    let reason = ending.end.reason.as_deref().unwrap_or_default();
                    let key = (
                        workload.reference.clone(),
                        revision(pod),
                        &*container.spec.name,
                        ending.end.exit_code,
                        reason,
                    );
                    groups.entry(key).or_default().push(ending);
                }
            }
        }
    }
    groups.into_values().collect()
}

/// The same finding for every pod of a group; they are merged into one that counts them.
pub fn for_each_pod<'a>(finding: &Finding, group: impl IntoIterator<Item = &'a Ending<'a>>) -> Vec<Finding> {
    let with_pod = |ending: &Ending<'_>| {
        let mut of_pod = finding.clone();
        of_pod.subject.pods = vec![ending.container.pod.name_any()];
        of_pod
    };
    group.into_iter().map(with_pod).collect()
}

/// `deployment/api`, for a summary.
pub fn owner_name(view: &View<'_>, pod: &Pod) -> String {
    view.workload_of(pod).short()
}

/// `kubectl logs api-1 -c app -n shop --previous`
pub fn logs_command(container: &ContainerView<'_>, previous: bool) -> Command {
    let namespace = container.pod.namespace().unwrap_or_default();
    command(
        "kubectl logs {} -c {} -n {}",
        &[&container.pod.name_any(), &container.name(), &namespace],
    )
    .with("--previous", previous)
}

/// `kubectl patch deployment/api -n shop -p '…'`: gives a container of the template these fields, of which one is its `name`.
pub fn patch_command(workload: &ObjectRef, container: &Value) -> Option<Command> {
    patch_template(workload, &json!({"containers": [container]}))
}

/// `kubectl patch deployment/api -n shop -p '…'`: gives the pods of a workload these fields. None where there is no template that can be
/// patched by the names of containers.
pub fn patch_template(workload: &ObjectRef, fields: &Value) -> Option<Command> {
    let has_template = [&kind::DEPLOYMENT, &kind::STATEFUL_SET, &kind::DAEMON_SET]
        .iter()
        .any(|k| workload.is(k));
    let patch = json!({"spec": {"template": {"spec": fields}}}).to_string();
    has_template.then(|| command("kubectl patch {} -n {} -p {}", &[&workload.short(), &workload.namespace, &patch]))
}

/// How to change the template of a pod.
pub fn edit_command(view: &View<'_>, pod: &Pod) -> Command {
    edit_template(&view.workload_of(pod))
}

/// Makes the Service of a workload: headless where it is the one that a StatefulSet names. `kubectl expose` knows few kinds, and
/// `kubectl create service` sets the selector `app=NAME`, whatever labels the pods have.
pub fn create_service(workload: &Workload<'_>, name: &str, port: Option<u16>) -> Command {
    let of = &workload.reference;
    let namespace = &of.namespace;
    let number = port.map_or_else(|| "PORT".to_owned(), |port| port.to_string());
    let is_headless = matches!(workload.object, Some(WorkloadObject::StatefulSet(set)) if set.spec.as_ref().and_then(|s| s.service_name.as_deref()) == Some(name));
    let is_exposed = of.name == name
        && [kind::DEPLOYMENT, kind::REPLICA_SET, kind::REPLICATION_CONTROLLER, kind::POD]
            .iter()
            .any(|kind| of.is(kind));
    let Some(object) = workload.object.filter(|_| !is_exposed) else {
        return command("kubectl expose {} -n {} --port={}", &[&of.short(), namespace, &number]);
    };
    let labels: Vec<String> = object.pod_labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let create = match (is_headless, port) {
        (true, None) => command("kubectl create service clusterip {} --clusterip=None -n {}", &[&name, namespace]),
        (true, Some(port)) => command(
            "kubectl create service clusterip {} --clusterip=None --tcp={} -n {}",
            &[&name, &port, namespace],
        ),
        (false, _) => command("kubectl create service clusterip {} --tcp={} -n {}", &[&name, &number, namespace]),
    };
    create.and(&command(
        "kubectl set selector service {} {} -n {}",
        &[&name, &labels.join(","), namespace],
    ))
}

/// `kubectl edit deployment/api -n shop`. Hardly anything of a pod can be changed: a bare one is created anew, from what this prints.
pub fn edit_template(workload: &ObjectRef) -> Command {
    let verb = if workload.is(&kind::POD) {
        "kubectl get {} -o yaml -n {}"
    } else {
        "kubectl edit {} -n {}"
    };
    command(verb, &[&workload.short(), &workload.namespace])
}
