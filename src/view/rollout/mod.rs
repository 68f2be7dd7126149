//! The rollout state of a workload: the one place that decides whether it runs what its spec asks for.
//!
//! The verdict of `diagnose` and the pod phase of `wait-ready` are two mappings from [`Rollout`]. The rules of both:
//! - At its goal ([`Stage::is_goal`]): `healthy`, unless a finding says otherwise, and ready.
//! - At rest ([`Stage::is_rest`]): suspended, scaled to zero, or a DaemonSet that no node matches. The spec asks for no pods, and there are
//!   none. That is `healthy` with an advice, because nothing is wrong; `wait-ready` says that it will not become ready (suspended, or at
//!   zero behind a Service) or that it cannot tell (no node), because waiting does not help. Zero without a Service is ready.
//! - Unproven ([`Stage::Unproven`]): every pod says that it is ready, by a readiness gate that opened without a health check. `diagnose`
//!   sees nothing wrong and says `healthy`; `wait-ready` needs a proof and says that it cannot tell.
//! - Everything else is under way: `progressing` (worse when its time is over or a finding explains it) and not ready. That includes a
//!   paused rollout whose change waits, pods that an `OnDelete` strategy leaves at an older revision, and a Job at work. Pods below a
//!   partition are where they should be.

mod daemon_set;
mod deployment;
mod job;
pub(crate) mod pod;
mod replica_set;
pub(crate) mod state;
mod stateful_set;

use kube::ResourceExt;

pub(crate) use job::{goes_after_its_end, has_run, was_cleaned_up};
pub(crate) use state::{PodState, Rollout, Stage};

use crate::model::finding::ObjectRef;
use crate::view::{View, WorkloadObject, autoscaler, reference_of};

/// How far a workload is from what its spec asks for.
pub fn of<'a>(view: &View<'a>, object: WorkloadObject<'a>) -> Rollout<'a> {
    let reference = reference_of(&object.kind(), object.metadata());
    let may_go = match object {
        WorkloadObject::Pod(_) => true,
        WorkloadObject::Job(job) => goes_after_its_end(job),
        _ => false,
    };
    if object.metadata().deletion_timestamp.is_some() && !may_go {
        return Rollout::of(Stage::Deleted);
    }
    let rollout = match object {
        WorkloadObject::Deployment(o) => deployment::rollout(view, o, &reference),
        WorkloadObject::StatefulSet(o) => stateful_set::rollout(view, o, &reference),
        WorkloadObject::DaemonSet(o) => daemon_set::rollout(view, o, &reference),
        WorkloadObject::ReplicaSet(o) => replica_set::replica_set(view, o, &reference),
        WorkloadObject::ReplicationController(o) => replica_set::replication_controller(view, o, &reference),
        WorkloadObject::Job(o) => Rollout::of(job::job(o)),
        WorkloadObject::CronJob(o) => Rollout::of(job::cron_job(o)),
        WorkloadObject::Pod(o) => pod::rollout(view, o),
    };
    growing(view, &reference, rollout)
}

/// A workload that has what it asks for is not at its goal where its autoscaler is about to ask for more.
fn growing<'a>(view: &View<'a>, workload: &ObjectRef, rollout: Rollout<'a>) -> Rollout<'a> {
    let replicas = rollout.pods.map_or(0, |(_, wanted)| wanted);
    let Some(scaler) = autoscaler::of(view, workload).filter(|_| rollout.stage.is_goal()) else {
        return rollout;
    };
    let asked = autoscaler::asks_for(scaler, replicas);
    if asked <= replicas {
        return rollout;
    }
    let stage = Stage::Growing {
        autoscaler: scaler.name_any(),
        asked,
        replicas,
    };
    Rollout { stage, ..rollout }.with_pods(replicas, asked)
}
