//! When waiting is no use: root causes that keep a target from being ready, found by the same rules as `diagnose`, each with the time that
//! it is given to go away by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::findings;
use crate::findings::Class;
use crate::model::cause::Cause;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::model::readiness::{ObjectReadiness, State};
use crate::model::snapshot::Snapshot;
use crate::readiness::lasting::{is_lasting, starts_until};
use crate::view::{ContainerView, View, WorkloadObject, containers, has_ended, revision};

/// How long faults of each class may last before they count as final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grace {
    /// Until somebody changes an object.
    pub permanent: Duration,
    /// Images that cannot be pulled for now.
    pub image: Duration,
    /// Whether the time for images was asked for: then it is that of each image, also of one that a registry does not have.
    pub is_image_given: bool,
    /// Crash loops: so many restarts ...
    pub restarts: i32,
    /// ... or, where it is given, this time.
    pub crash: Option<Duration>,
    /// No node for a pod; the rules are silent while an autoscaler makes one.
    pub scheduling: Duration,
    /// Probes and listeners.
    pub probe: Duration,
    /// Everything else.
    pub other: Duration,
    /// No change at all.
    pub stall: Duration,
    /// Suspended, paused or at zero, until somebody lets it go on.
    pub suspended: Duration,
}

impl Default for Grace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            permanent: seconds(20),
            image: seconds(90),
            is_image_given: false,
            restarts: 3,
            crash: None,
            scheduling: seconds(180),
            probe: seconds(180),
            other: seconds(120),
            stall: seconds(600),
            suspended: Duration::ZERO,
        }
    }
}

impl Grace {
    /// The names that [`Self::set`] takes.
    pub const CLASSES: [&str; 8] = ["permanent", "image", "crash", "scheduling", "probe", "other", "stall", "suspended"];

    /// Sets the time of a class by its name; the error names the classes.
    pub fn set(&mut self, class: &str, time: Duration) -> Result<(), String> {
        match class {
            "permanent" => self.permanent = time,
            "image" => (self.image, self.is_image_given) = (time, true),
            "crash" => self.crash = Some(time),
            "scheduling" => self.scheduling = time,
            "probe" => self.probe = time,
            "other" => self.other = time,
            "stall" => self.stall = time,
            "suspended" => self.suspended = time,
            _ => {
                let classes = Self::CLASSES.join(", ");
                return Err(format!("{class:?} is not a class of faults; the classes are {classes}"));
            }
        }
        Ok(())
    }
}

/// A root cause of something that is not ready, and what tells for how long it has been so.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The root cause.
    pub finding: Finding,
    /// The objects that it keeps from being ready.
    pub of: BTreeSet<ObjectRef>,
    class: Class,
    /// Whether it may be why, and no more: everything is ready, and a log complains.
    is_hint: bool,
    /// How often the container has been started again, where nothing else limits that.
    restarts: i32,
    /// Whether the container runs and has never ended: it will not be started again.
    never_ended: bool,
    /// Since when, where the objects tell.
    since: Option<Timestamp>,
    /// Until when the container has time to start.
    starts_until: Option<Timestamp>,
}

impl Suspect {
    /// Whether it has lasted longer than it is given; `seen_for` is how long this run has seen it.
    pub fn is_final(&self, grace: &Grace, now: Timestamp, seen_for: Duration) -> bool {
        if self.is_hint {
            return false;
        }
        match self.is_final_in(grace, now, seen_for) {
            Some(left) => left.is_zero(),
            None => self.restarts >= grace.restarts,
        }
    }

    /// How long it still has; none where something else than time decides.
    pub fn is_final_in(&self, grace: &Grace, now: Timestamp, seen_for: Duration) -> Option<Duration> {
        if self.is_hint {
            return None;
        }
        let given = match self.class {
            // The workload that is waited for has its own word on that; this may be one that it depends on.
            Class::Other if matches!(self.finding.code, Code::RolloutPaused | Code::ScaledToZero | Code::UpdateOnDelete) => {
                grace.other.max(grace.suspended)
            }
            Class::Permanent if grace.is_image_given && findings::entry(self.finding.code).class == Class::Image => grace.image,
            Class::Permanent => grace.permanent,
            Class::Image => grace.image,
            Class::Crash if self.never_ends() => grace.crash.unwrap_or(grace.other),
            Class::Crash => grace.crash?,
            Class::Scheduling => grace.scheduling,
            Class::Probe => grace.probe,
            Class::Other => grace.other,
        };
        let starts_for = self
            .starts_until
            .and_then(|until| Duration::try_from(until.duration_since(now)).ok());
        Some(given.saturating_sub(self.lasted(now, seen_for)).max(starts_for.unwrap_or_default()))
    }

    /// Whether restarts will never decide. What somebody waits for may still come, however long that takes.
    fn never_ends(&self) -> bool {
        let waits = self.finding.code == Code::InitContainerStuck || self.finding.cause == Cause::Only(Code::DependencyUnreachable);
        self.never_ended && !waits
    }

    /// Whether clients are kept away by this while checks by this path are not.
    pub(crate) fn is_hidden_from(&self, path: &str) -> bool {
        match self.finding.code {
            Code::ListenerOnLoopback | Code::ListenerAddressFamily => path == "port-forward",
            // One that stops a certain client says nothing of others.
            Code::NetworkPolicyBlocks => self.finding.confidence == Confidence::Proven && matches!(path, "port-forward" | "service-proxy"),
            _ => false,
        }
    }

    /// The state of an application that answers in these words and is kept from its clients. Who they are to be is not known behind a policy.
    pub(crate) fn in_doubt(&self, answered: &str) -> (State, String) {
        let (code, summary) = (self.finding.code, &self.finding.summary);
        match code {
            Code::NetworkPolicyBlocks => (
                State::Unknown,
                format!("{answered}, which bypasses NetworkPolicies; {code}: {summary}"),
            ),
            _ => (
                State::Progressing,
                format!("{answered}, which does not show that clients are served; {code}: {summary}"),
            ),
        }
    }

    fn lasted(&self, now: Timestamp, seen_for: Duration) -> Duration {
        let told = self
            .since
            .and_then(|since| Duration::try_from(now.duration_since(since)).ok())
            .unwrap_or_default();
        seen_for.max(told)
    }

    /// Whether it is final as far as one look can tell: where the objects say since when, or how often, that counts.
    pub fn is_final_at_once(&self, grace: &Grace, now: Timestamp) -> bool {
        match self.class {
            _ if self.is_hint => false,
            Class::Scheduling => self.is_final(grace, now, Duration::ZERO),
            Class::Crash => self.restarts >= grace.restarts,
            _ => true,
        }
    }
}

/// The root causes that keep judged objects from being ready, most important first; each is noted in what it concerns.
///
/// Faults of pods that are about to be replaced say nothing about the revision that is waited for: only what is found without them, too,
/// counts. `all`: what is wrong around the targets counts although their objects look ready, because the application does not answer.
pub fn suspects(snapshot: &Snapshot, question: &Question, run: assess::Run, judged: &mut [ObjectReadiness], all: bool) -> Vec<Suspect> {
    let is_waited_for = |j: &ObjectReadiness| matches!(j.state, State::Progressing | State::Failed);
    let all_ready = !judged.iter().any(is_waited_for);
    if !all && all_ready {
        return Vec::new();
    }
    let diagnosis = assess::diagnose(snapshot, question, run);
    let of_current = without_old_pods(snapshot).map(|current| -> BTreeSet<String> {
        let diagnosis = assess::assess(&current, question);
        diagnosis.root_causes.into_iter().chain(diagnosis.pending).map(|f| f.id).collect()
    });
    let suffers: BTreeMap<&ObjectRef, BTreeSet<&String>> = diagnosis
        .workloads
        .iter()
        .map(|j| (&j.object, j.causes.iter().chain(&j.pending).collect()))
        .collect();
    let view = View::new(snapshot, question.options.clone());
    // Most of what may still pass is given its time by the rules; what is proven and lasts is given that of its class here.
    let pending = diagnosis.pending.iter().filter(|finding| is_lasting(&view, finding));
    let services = judged.iter().map(|j| &j.object).filter(|o| o.is(&kind::SERVICE));
    let services: BTreeSet<(String, String)> = services.map(|s| (s.namespace.clone(), s.name.clone())).collect();
    let mut suspects = Vec::new();
    for finding in diagnosis.root_causes.iter().chain(pending) {
        // Old pods that stay are what the new revision waits for.
        let is_about_old = matches!(finding.code, Code::UpdateOnDelete | Code::OrderedStartBlocked);
        let is_of_current = || of_current.as_ref().is_none_or(|ids| ids.contains(&finding.id));
        if finding.confidence == Confidence::Possible || !(is_about_old || is_of_current()) {
            continue;
        }
        // What keeps clients of a Service away that nobody waits for.
        let is_elsewhere =
            |effect: &Effect| matches!(effect, Effect::Service(namespace, name) if !services.contains(&(namespace.clone(), name.clone())));
        let elsewhere = !finding.effects.is_empty() && finding.effects.iter().all(is_elsewhere);
        let concerns = |object: &ObjectRef| {
            (finding.subject.object == *object && !elsewhere) || suffers.get(object).is_some_and(|ids| ids.contains(&finding.id))
        };
        let mut of = BTreeSet::new();
        for item in judged.iter_mut() {
            if concerns(&item.object) && (is_waited_for(item) || all) {
                of.insert(item.object.clone());
                if is_waited_for(item) {
                    item.causes.push(finding.id.clone());
                }
            }
        }
        if of.is_empty() && (!all || elsewhere || has_ended_for_good(&view, &finding.subject.object)) {
            continue;
        }
        // What a log says again and again need not be why an answer is not the wanted one: the path may be wrong. Proven is what this run was
        // answered.
        let is_hint = finding.code == Code::ApplicationError && finding.confidence != Confidence::Proven && all_ready;
        suspects.push(suspect(&view, finding.clone(), of, is_hint));
    }
    suspects
}

/// Whether an object is a pod of its own that has ended: it is nobody's endpoint any more, so that no answer waits for it.
fn has_ended_for_good(view: &View<'_>, object: &ObjectRef) -> bool {
    let workload = view.workload(object).and_then(|workload| workload.object);
    matches!(workload, Some(WorkloadObject::Pod(pod)) if has_ended(pod))
}

/// The snapshot as it will be when older revisions are gone; none where there are no pods of such.
fn without_old_pods(snapshot: &Snapshot) -> Option<Snapshot> {
    let view = View::new(snapshot, Default::default());
    let goes = |pod: &Pod| revision::is_old(&view, pod) || pod.metadata.deletion_timestamp.is_some();
    if !snapshot.objects.pods.iter().any(goes) {
        return None;
    }
    let stay: Vec<Pod> = snapshot.objects.pods.iter().filter(|p| !goes(p)).cloned().collect();
    let mut current = snapshot.clone();
    current.objects.pods = stay;
    Some(current)
}

fn suspect(view: &View<'_>, finding: Finding, of: BTreeSet<ObjectRef>, is_hint: bool) -> Suspect {
    let is_lasting = is_lasting(view, &finding);
    let class = if is_lasting {
        Class::Permanent
    } else {
        findings::class(finding.cause)
    };
    let workload = view.workload(&finding.subject.object);
    let pods = || {
        workload
            .into_iter()
            .flat_map(|w| w.pods.iter().copied())
            .filter(|p| !revision::is_old(view, p))
    };
    // A Job has a limit of its own for its failures.
    let has_limit = workload
        .and_then(|w| w.object)
        .is_some_and(|o| matches!(o, WorkloadObject::Job(_) | WorkloadObject::CronJob(_)));
    let at_fault = || {
        let is_meant = |c: &ContainerView<'_>| finding.subject.container.as_deref().is_none_or(|name| name == c.name());
        pods().flat_map(containers).filter(is_meant)
    };
    // Without a clock, what was saved has lasted.
    let restarts = match view.snapshot.has_clock {
        true => at_fault().filter(|_| !has_limit).map(|c| c.restarts()).max().unwrap_or_default(),
        false => i32::MAX,
    };
    let never_ended = at_fault().next().is_some() && at_fault().all(|c| c.newest_end().is_none());
    let starts_until = at_fault()
        .filter(|_| is_lasting && view.snapshot.has_clock)
        .filter_map(|c| starts_until(&finding, &c))
        .max();
    let since = pods()
        .filter_map(|p| {
            p.status
                .as_ref()?
                .conditions
                .as_ref()?
                .iter()
                .find(|c| c.type_ == "PodScheduled" && c.status != "True")
        })
        .filter_map(|c| c.last_transition_time.as_ref().map(|t| t.0))
        .min()
        .filter(|_| class == Class::Scheduling);
    Suspect {
        finding,
        of,
        class,
        is_hint,
        restarts,
        never_ended,
        since,
        starts_until,
    }
}

/// A finding about objects of which nothing is known, which keeps the target from being ready.
#[cfg(test)]
pub(crate) fn suspect_of(finding: Finding, of: ObjectRef) -> Suspect {
    let nothing = crate::testing::snapshot("");
    suspect(&View::new(&nothing, Default::default()), finding, BTreeSet::from([of]), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::listening::fault::ALONE;
    use crate::model::cause::*;
    use crate::model::duration;
    use crate::model::finding::Subject;
    use crate::testing;
    use crate::view::{FailingPod, Options};

    /// A pod whose container has run for ten seconds; `CONTAINER` and `STATUS` add to its spec and status.
    const POD: &str = "
kind: Pod
apiVersion: v1
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: app CONTAINER}]}
status: {phase: Running, containerStatuses: [{name: app, image: a, imageID: a, ready: false, restartCount: RESTARTS,
  state: {running: {startedAt: '2026-01-01T11:59:50Z'}} STATUS}]}
---
kind: Service
apiVersion: v1
metadata: {name: web, namespace: shop}
spec: {selector: {app: SELECTED}, ports: [{port: 80}]}
";

    fn cluster(container: &str, restarts: i32, selected: &str) -> Snapshot {
        let ended = ", lastState: {terminated: {exitCode: 1, finishedAt: '2026-01-01T11:59:45Z'}}";
        let pod = POD.replace("CONTAINER", container).replace("SELECTED", selected);
        let pod = pod.replace("RESTARTS", &restarts.to_string());
        testing::snapshot(&pod.replace("STATUS", if restarts > 0 { ended } else { "" }))
    }

    /// After how many seconds a finding about that pod or Service ends a run that has just seen it; none where that does not depend on time.
    fn ends_after(cluster: &Snapshot, cause: impl Into<Cause>, confidence: Confidence, evidence: &[(&str, &str)]) -> Option<u64> {
        ends_after_with(Options::default(), cluster, cause.into(), confidence, evidence)
    }

    fn ends_after_with(
        options: Options,
        cluster: &Snapshot,
        cause: Cause,
        confidence: Confidence,
        evidence: &[(&str, &str)],
    ) -> Option<u64> {
        let view = View::new(cluster, options);
        let subject = match cause {
            Cause::ServiceSelectsNothing(_) | Cause::LoadBalancerPending(_) => Subject::of(ObjectRef::new(&kind::SERVICE, "shop", "web")),
            _ => Subject::of(ObjectRef::new(&kind::POD, "shop", "web")).container("app"),
        };
        let finding = Finding::error(cause, subject, "").confidence(confidence);
        let finding = evidence
            .iter()
            .fold(finding, |finding, (source, detail)| finding.evidence(*source, *detail));
        let suspect = suspect(&view, finding, BTreeSet::new(), false);
        let left = suspect.is_final_in(&Grace::default(), cluster.taken_at, Duration::ZERO);
        left.map(|left| left.as_secs())
    }

    #[test]
    fn a_proven_fault_that_only_a_change_mends_is_permanent_and_others_are_not() {
        use Confidence::{Likely, Proven};
        fn unhealthy(text: &str) -> [(&str, &str); 1] {
            [("pod/web event Unhealthy", text)]
        }
        let readiness = |cause| Cause::ReadinessProbeFailing(cause);
        let log = [("log", "listening on 0.0.0.0:9090")];
        let dial = [("dialled", "port 9090 accepts connections")];
        let told = format!("command says: -p 9090; {ALONE}; port 9090 accepts connections");
        let alone = [("container web", told.as_str())];
        let failed = |status: u16| format!("HTTP probe failed with statuscode: {status}");
        let (not_found, too_many, internal) = (failed(404), failed(429), failed(500));
        let typo = cluster("", 0, "webb");
        let other = cluster("", 0, "orders");
        let running = cluster("", 0, "web");
        for (cluster, cause, confidence, evidence, seconds) in [
            (&running, ListenerOnLoopback::Ipv4.into(), Proven, &[][..], Some(20)),
            (&running, ListenerOnLoopback::Ipv4.into(), Likely, &[], Some(180)),
            (&running, Code::ListenerOnOtherPort.into(), Proven, &log, Some(20)),
            (&running, Code::ListenerOnOtherPort.into(), Proven, &dial, Some(180)),
            (&running, Code::ListenerOnOtherPort.into(), Proven, &alone, Some(20)),
            (&running, Code::ListenerOnOtherPort.into(), Likely, &log, Some(20)),
            (&running, TargetPortMismatch::Proven.into(), Proven, &log, Some(20)),
            (&running, TargetPortMismatch::Proven.into(), Proven, &dial, Some(120)),
            (&running, Code::NothingListening.into(), Proven, &log, Some(180)),
            (
                &running,
                readiness(ProbeFailure::HttpStatus),
                Proven,
                &unhealthy(&not_found),
                Some(20),
            ),
            (
                &running,
                readiness(ProbeFailure::HttpStatus),
                Proven,
                &unhealthy(&too_many),
                Some(180),
            ),
            (
                &running,
                readiness(ProbeFailure::HttpStatus),
                Proven,
                &unhealthy(&internal),
                Some(180),
            ),
            (&running, readiness(ProbeFailure::ExecMissing), Proven, &[], Some(20)),
            (&running, readiness(ProbeFailure::Refused), Proven, &[], Some(180)),
            (&typo, ServiceSelectsNothing::LabelDiffers.into(), Proven, &[], Some(20)),
            (&other, ServiceSelectsNothing::NoWorkload.into(), Proven, &[], Some(120)),
            (&running, LoadBalancerPending::NoController.into(), Likely, &[], Some(120)),
            (&running, ContainerCrashing::CommandNotFound.into(), Proven, &[], Some(20)),
            (&running, InitContainerStuck::CommandFails.into(), Likely, &[], Some(20)),
        ] {
            assert_eq!(
                ends_after(cluster, cause, confidence, evidence),
                seconds,
                "{cause:?} {confidence:?} {evidence:?}"
            );
        }
    }

    #[test]
    fn answers_of_500_since_the_start_are_given_a_minute() {
        let of = |status: u16, was_well: bool, restarts: i32| {
            let failing = FailingPod {
                namespace: "shop".into(),
                name: "web".into(),
                port: 80,
                asked: "/".into(),
                status: Some(status),
                was_well,
            };
            let options = Options {
                failing: BTreeSet::from([failing]),
                ..Options::default()
            };
            let cluster = cluster("", restarts, "web");
            ends_after_with(options, &cluster, Code::ApplicationError.into(), Confidence::Proven, &[])
        };
        assert_eq!(of(500, false, 0), Some(50));
        assert_eq!(of(500, true, 0), Some(120), "it has answered well before");
        assert_eq!(of(503, false, 0), Some(120), "it says that it is not ready yet");
        assert_eq!(of(500, false, 1), Some(120), "it is not its first life");
    }

    #[test]
    fn a_container_that_never_ends_is_not_counted_in_restarts() {
        let running = cluster("", 0, "web");
        let of = |cluster: &Snapshot, cause: Cause| ends_after(cluster, cause, Confidence::Proven, &[]);
        assert_eq!(of(&running, Code::ContainerCreateFailing.into()), Some(120));
        assert_eq!(of(&running, Code::ApiAccessForbidden.into()), Some(120));
        // What is called may still come.
        assert_eq!(of(&running, Code::DependencyUnreachable.into()), None);
        assert_eq!(of(&running, InitContainerStuck::WaitsFor.into()), None);
        assert_eq!(of(&cluster("", 1, "web"), Code::ApiAccessForbidden.into()), None, "restarts decide");
    }

    #[test]
    fn a_container_has_the_time_for_its_start_that_its_probes_allow() {
        let of = |container: &str, restarts: i32| {
            let cluster = cluster(container, restarts, "web");
            ends_after(&cluster, ListenerOnLoopback::Ipv4, Confidence::Proven, &[])
        };
        let slow = ", startupProbe: {httpGet: {path: /, port: 80}, periodSeconds: 10, failureThreshold: 6}";
        assert_eq!(of(slow, 0), Some(50));
        assert_eq!(of(slow, 1), Some(20), "it has had its time");
        assert_eq!(
            of(", readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}", 0),
            Some(20)
        );
    }

    #[test]
    fn the_documentation_has_the_default_grace_periods() {
        let page = include_str!("../../docs/wait-ready.md");
        let table = page.split("| Class | Default |").nth(1).unwrap().split("\n\n").next().unwrap();
        let rows: Vec<(&str, &str)> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .map(|(class, rest)| (class, rest.split(" |").next().unwrap()))
            .collect();
        assert_eq!(rows.iter().map(|(class, _)| *class).collect::<Vec<_>>(), Grace::CLASSES);
        let mut documented = Grace::default();
        for (class, time) in rows.iter().filter(|(class, _)| *class != "crash") {
            documented.set(class, duration::parse(time).unwrap()).unwrap();
        }
        let default = Grace {
            is_image_given: true,
            ..Grace::default()
        };
        assert_eq!(documented, default);
        assert!(rows.contains(&("crash", format!("{} restarts", default.restarts).as_str())));
    }
}
