//! The rollout state of a workload and the state of one pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};

use crate::text::shorten;
use crate::view::container::ContainerView;

/// How far a workload is from what its spec asks for.
#[derive(Debug)]
pub struct Rollout<'a> {
    /// The first thing that is missing, or that nothing is.
    pub stage: Stage,
    /// Ready pods of the current revision, and wanted pods; none for kinds without a number of pods.
    pub pods: Option<(usize, usize)>,
    /// Pods that keep the workload from its goal.
    pub blocking: Vec<(&'a Pod, PodState<'a>)>,
    /// Pods of older revisions that are being deleted.
    pub old_terminating: usize,
}

/// What a workload lacks, or the kind of rest that it has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No controller has written a status yet.
    Unseen,
    /// The controller has not seen the newest spec.
    Behind,
    /// The object is being deleted.
    Deleted,
    /// The rollout is paused, and a change of the template waits.
    Paused,
    /// The controller gave up on the current revision after this many seconds.
    DeadlineExceeded(i32),
    /// Fewer pods exist than are wanted.
    Missing {
        /// Pods that exist: all of them, or those of the current revision.
        exist: usize,
        /// Wanted pods.
        wanted: usize,
        /// Whether only pods of the current revision count.
        of_current: bool,
        /// Why the API server refuses new pods.
        refused: Option<String>,
    },
    /// Fewer pods are of the current revision than should be.
    Outdated {
        /// Pods of the current revision.
        updated: usize,
        /// Pods that should be of the current revision.
        wanted: usize,
        /// Whether the others stay until somebody deletes them.
        on_delete: OnDelete,
    },
    /// This many pods of older revisions are left.
    OldPods(usize),
    /// This many pods are left over after scaling down.
    Surplus(usize),
    /// Not all pods are ready for `minReadySeconds`.
    Unready {
        /// Pods that are available.
        available: usize,
        /// Wanted pods.
        wanted: usize,
        /// `minReadySeconds`, where ready pods wait for that.
        must_stay: Option<i32>,
    },
    /// An autoscaler is about to ask for more pods.
    Growing {
        /// The autoscaler.
        autoscaler: String,
        /// Pods that it asks for.
        asked: usize,
        /// Pods that the workload has.
        replicas: usize,
    },
    /// All pods say that they are ready, and for one of them that proves nothing.
    Unproven,
    /// One pod, which is not ready: see [`Rollout::blocking`].
    PodUnready,
    /// A Job at work.
    Running {
        /// Pods that run.
        active: i32,
        /// Pods that ended well.
        succeeded: i32,
        /// Pods that failed.
        failed: i32,
    },
    /// A Job or a bare pod has failed for good.
    Failed(String),
    /// Suspended: a Job or CronJob starts no pods until it is resumed.
    Suspended,
    /// Scaled to zero; this many pods are still there.
    Zero(usize),
    /// A DaemonSet that no node matches.
    NoNode,
    /// A CronJob that waits for its time, and whether it has run before.
    Scheduled(bool),
    /// A CronJob whose last run, scheduled at this time, has ended without success.
    RunFailed(Timestamp),
    /// A Job is complete, or a bare pod has completed.
    Complete,
    /// Everything that was asked for runs and is ready.
    Ready {
        /// Pods that stay at an older revision on purpose, and the partition that says so.
        kept: Option<(usize, usize)>,
    },
}

/// Whether old pods stay until somebody deletes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// Their controller replaces them.
    No,
    /// They stay, and one is being replaced now.
    AtWork,
    /// They stay, and nobody is at work on them.
    Waits,
}

impl Stage {
    /// Whether nothing is missing: what the spec asks for is there.
    pub const fn is_goal(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Complete | Self::Scheduled(_))
    }

    /// Whether the workload rests as its spec asks it to: it runs nothing, and never will until somebody changes that.
    pub const fn is_rest(&self) -> bool {
        matches!(self, Self::Suspended | Self::Zero(0) | Self::NoNode)
    }

    /// The state in a few words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Unseen => "its controller has not observed it yet".to_owned(),
            Self::Behind => "its controller has not observed the last change yet".to_owned(),
            Self::Deleted => "is being deleted".to_owned(),
            Self::Paused => "it is paused: its last change is not rolled out until it is resumed".to_owned(),
            Self::DeadlineExceeded(seconds) => format!("its rollout has made no progress within {seconds} s"),
            Self::Missing {
                exist,
                wanted,
                of_current,
                refused,
            } => {
                let which = if *of_current { " of the current revision" } else { "" };
                let why = refused.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{exist} of {}{which} exist{why}", pods(*wanted))
            }
            Self::Outdated {
                updated,
                wanted,
                on_delete,
            } => {
                let how = if *on_delete != OnDelete::No {
                    ", the others stay until somebody deletes them (updateStrategy OnDelete)"
                } else {
                    ""
                };
                format!("{updated} of {} are of the current revision{how}", pods(*wanted))
            }
            Self::OldPods(count) => format!("{} of older revisions are still there", pods(*count)),
            Self::Surplus(count) => format!("{} too many are still there", pods(*count)),
            Self::Unready {
                available,
                wanted,
                must_stay: Some(seconds),
            } => format!("{available} of {} available, others must stay ready for {seconds} s", pods(*wanted)),
            Self::Unready { available, wanted, .. } => format!("{available} of {} ready", pods(*wanted)),
            Self::Growing {
                autoscaler,
                asked,
                replicas,
            } => format!("autoscaler {autoscaler} asks for {}, it has {replicas}", pods(*asked)),
            Self::Unproven => "a readiness gate turned True without a health check".to_owned(),
            Self::PodUnready => "is not ready".to_owned(),
            Self::Running { active, succeeded, failed } => format!("{active} active, {succeeded} succeeded, {failed} failed"),
            Self::Failed(why) => why.clone(),
            Self::Suspended => "suspended".to_owned(),
            Self::Zero(0) => "it is scaled to zero".to_owned(),
            Self::Zero(left) => format!("it is scaled to zero, {} still there", pods(*left)),
            Self::NoNode => "no node matches it: it has no pods".to_owned(),
            Self::Scheduled(_) => "scheduled".to_owned(),
            Self::RunFailed(scheduled) => format!("its last run, scheduled for {scheduled}, did not succeed"),
            Self::Complete => "complete".to_owned(),
            Self::Ready { kept: None } => "ready".to_owned(),
            Self::Ready {
                kept: Some((stay, partition)),
            } => format!("{} below partition {partition} not updated", pods(*stay)),
        }
    }
}

impl<'a> Rollout<'a> {
    /// A state without pods.
    pub(crate) const fn of(stage: Stage) -> Self {
        Self {
            stage,
            pods: None,
            blocking: Vec::new(),
            old_terminating: 0,
        }
    }

    /// Adds how many pods are ready and how many are wanted.
    #[must_use]
    pub(crate) fn with_pods(mut self, ready: usize, wanted: usize) -> Self {
        self.pods = Some((ready.min(wanted), wanted));
        self
    }
}

/// The state of one pod, as far as its own status, its node and its workload tell.
#[derive(Clone, Debug)]
pub enum PodState<'a> {
    /// It is ready.
    Ready,
    /// It says that it is ready, by a readiness gate that opened without a health check.
    Unproven(&'a PodCondition),
    /// It has completed.
    Succeeded,
    /// It has failed for good.
    Failed,
    /// It is being deleted.
    Deleted,
    /// It is of an older revision than its workload asks for.
    Old,
    /// Its node does not exist any more.
    NodeGone(&'a str),
    /// Its node is not ready: what the pod says may be out of date.
    NodeNotReady(&'a Node, &'a str),
    /// It is not scheduled: reason and message.
    Unscheduled(&'a str, &'a str),
    /// A container is not where it should be.
    Held(ContainerView<'a>),
    /// A readiness gate is not open.
    GateClosed(&'a str),
    /// Its condition Ready is not True: reason and message.
    NotReady(&'a str, &'a str),
    /// It says nothing about being ready.
    Silent,
}

impl PodState<'_> {
    /// Whether the pod takes requests, as far as it says.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready | Self::Unproven(_))
    }
}

/// `1 pod`, `2 pods`
pub(crate) fn pods(count: usize) -> String {
    format!("{count} {}", if count == 1 { "pod" } else { "pods" })
}

/// A count of the API as a number of things.
pub(crate) fn count(number: Option<i32>) -> usize {
    number.and_then(|n| usize::try_from(n).ok()).unwrap_or_default()
}

/// The message of a condition as a reason.
pub(crate) fn message(text: Option<&String>) -> String {
    shorten(text.map(String::as_str).unwrap_or_default(), 160)
}
