//! When waiting is no use: root causes that keep a target from being ready, found by the same rules as `diagnose`, each with the time that
//! it is given to go away by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::revision;
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::model::readiness::{ObjectReadiness, State};
use crate::model::snapshot::Snapshot;
use crate::rules::assess::{self, Question};
use crate::rules::codes::{self, Class};
use crate::rules::context::{Context, WorkloadObject, containers};

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
                return Err(format!("{class:?} is no class of faults; the classes are {classes}"));
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
    /// Since when, where the objects tell.
    since: Option<Timestamp>,
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
            Class::Other if matches!(self.finding.code, Code::RolloutPaused | Code::ScaledToZero) => grace.other.max(grace.suspended),
            Class::Permanent if grace.is_image_given && codes::class(self.finding.code, "") == Class::Image => grace.image,
            Class::Permanent => grace.permanent,
            Class::Image => grace.image,
            Class::Crash => grace.crash?,
            Class::Scheduling => grace.scheduling,
            Class::Probe => grace.probe,
            Class::Other => grace.other,
        };
        Some(given.saturating_sub(self.lasted(now, seen_for)))
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
pub fn suspects(snapshot: &Snapshot, question: &Question, judged: &mut [ObjectReadiness], all: bool) -> Vec<Suspect> {
    let is_waited_for = |j: &ObjectReadiness| matches!(j.state, State::Progressing | State::Failed);
    if !all && !judged.iter().any(is_waited_for) {
        return Vec::new();
    }
    let diagnosis = assess::assess(snapshot, question);
    let of_current = without_old_pods(snapshot).map(|current| -> BTreeSet<String> {
        let diagnosis = assess::assess(&current, question);
        diagnosis.root_causes.into_iter().map(|f| f.id).collect()
    });
    let causes: BTreeMap<&ObjectRef, &Vec<String>> = diagnosis.workloads.iter().map(|j| (&j.object, &j.causes)).collect();
    let context = Context::new(snapshot, question.options.clone());
    let mut suspects = Vec::new();
    for finding in &diagnosis.root_causes {
        let counts = finding.confidence != Confidence::Possible && of_current.as_ref().is_none_or(|ids| ids.contains(&finding.id));
        if !counts {
            continue;
        }
        // What keeps clients of a Service away that nobody waits for.
        let services = judged.iter().map(|j| &j.object).filter(|o| o.is(&kind::SERVICE));
        let services: BTreeSet<(&str, &str)> = services.map(|s| (s.namespace.as_str(), s.name.as_str())).collect();
        let is_elsewhere = |effect: &Effect| matches!(effect, Effect::Service(namespace, name) if !services.contains(&(namespace, name)));
        let elsewhere = !finding.effects.is_empty() && finding.effects.iter().all(is_elsewhere);
        let concerns = |object: &ObjectRef| {
            (finding.subject.object == *object && !elsewhere) || causes.get(object).is_some_and(|ids| ids.contains(&finding.id))
        };
        let concerned: BTreeSet<ObjectRef> = judged.iter().map(|j| &j.object).filter(|o| concerns(o)).cloned().collect();
        let mut of = BTreeSet::new();
        for item in judged.iter_mut() {
            if concerned.contains(&item.object) && (is_waited_for(item) || all) {
                of.insert(item.object.clone());
                if is_waited_for(item) {
                    item.causes.push(finding.id.clone());
                }
            }
        }
        if of.is_empty() && (!all || elsewhere) {
            continue;
        }
        // What a log says again and again need not be why an answer is not the wanted one: the path may be wrong.
        let is_hint = finding.code == Code::ApplicationError && !judged.iter().any(is_waited_for);
        suspects.push(Suspect {
            is_hint,
            ..suspect(&context, finding.clone(), of)
        });
    }
    suspects
}

/// The snapshot as it will be when older revisions are gone; none where there are no pods of such.
fn without_old_pods(snapshot: &Snapshot) -> Option<Snapshot> {
    let context = Context::new(snapshot, Default::default());
    let goes = |pod: &Pod| revision::is_old(&context, pod) || pod.metadata.deletion_timestamp.is_some();
    if !snapshot.objects.pods.iter().any(goes) {
        return None;
    }
    let stay: Vec<Pod> = snapshot.objects.pods.iter().filter(|p| !goes(p)).cloned().collect();
    let mut current = snapshot.clone();
    current.objects.pods = stay;
    Some(current)
}

fn suspect(context: &Context<'_>, finding: Finding, of: BTreeSet<ObjectRef>) -> Suspect {
    let class = codes::class(finding.code, &finding.cause);
    let workload = context.workload(&finding.subject.object);
    let pods = || {
        workload
            .into_iter()
            .flat_map(|w| w.pods.iter().copied())
            .filter(|p| !revision::is_old(context, p))
    };
    // A Job has a limit of its own for its failures.
    let has_limit = workload
        .and_then(|w| w.object)
        .is_some_and(|o| matches!(o, WorkloadObject::Job(_) | WorkloadObject::CronJob(_)));
    let restarts = pods()
        .filter(|_| !has_limit)
        .flat_map(containers)
        .filter(|c| finding.subject.container.as_deref().is_none_or(|name| name == c.name()))
        .map(|c| c.restarts())
        .max()
        .unwrap_or_default();
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
        is_hint: false,
        restarts,
        since,
    }
}
