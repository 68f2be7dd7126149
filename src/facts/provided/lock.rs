//! Who holds the lock, volume or port that a container cannot get: another pod, most often of the same workload.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::facts::listening::hints;
use crate::facts::mount::claim_of;
use crate::facts::provided::paths::paths_in;
use crate::facts::provided::spec::{Mounted, Provided, patch_container, volumes};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::text::Words;
use crate::text::command;
use crate::view::{ContainerView, View, WorkloadObject, containers, has_ended, is_terminating, revision};

/// What programs say when another process has what they need.
const HELD: Words = Words(
    "is locked, already locked, locked by, lock is held, lock held, unable to lock, cannot lock, could not lock, failed to lock, \
     can't lock, obtain lock, obtain the lock, acquire lock, acquire the lock, lock file, lockfile, lock.db, lockobtainfailed, \
     resource temporarily unavailable, resource unavailable, another process, another instance, already running, \
     in use by another, database is locked, conflicting lock",
);

pub(super) fn of_line(view: &View<'_>, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    if !HELD.occur_in(&line.to_lowercase()) {
        return None;
    }
    let pod = container.pod;
    // The claim that the named path lies in, else the only one that the container mounts.
    let mounted = paths_in(line).into_iter().find_map(|path| Mounted::of(container, path));
    let named = mounted.and_then(|mounted| claim_of(pod, mounted.volume));
    let mut own = container.spec.volume_mounts.iter().flatten().filter_map(|mount| {
        let volume = volumes(pod).find(|volume| volume.name == mount.name)?;
        claim_of(pod, volume)
    });
    let claim = named.or_else(|| own.next().filter(|_| own.next().is_none()))?;
    rival(view, pod, &claim).map(|rival| rival.likely())
}

/// The pod of the same workload that runs with the claim of this one, and what lets only one of them run.
pub fn rival(view: &View<'_>, pod: &Pod, claim: &str) -> Option<Provided> {
    let workload = view.workload(&view.workload_of(pod))?;
    let uses = |other: &Pod| volumes(other).any(|volume| claim_of(other, volume).as_deref() == Some(claim));
    let other = workload.pods.iter().find(|other| runs_beside(pod, other) && uses(other))?;
    let (name, owner, namespace) = (other.name_any(), workload.reference.short(), &workload.reference.namespace);
    let provided = match workload.object? {
        WorkloadObject::Deployment(_) if revision(other) != revision(pod) => {
            older(view, pod, |other| uses(other), &format!("uses the same claim {claim}"))?
        }
        WorkloadObject::Job(_) | WorkloadObject::CronJob(_) | WorkloadObject::DaemonSet(_) | WorkloadObject::Pod(_) => return None,
        _ => Provided::new(
            format!("pod {name} of {owner} runs and uses the same claim {claim}"),
            "run one replica, or give each pod a claim of its own (a StatefulSet with volumeClaimTemplates)",
        )
        .command(Some(command("kubectl scale {} -n {} --replicas=1", &[&owner, &namespace]))),
    };
    Some(provided.by(ObjectRef::new(&kind::CLAIM, namespace, claim), ""))
}

/// The pod that has a claim which only one pod, or one node, may use at a time: of the same workload, else of another one.
pub fn holder(view: &View<'_>, pod: &Pod, claim: &str) -> Option<Provided> {
    rival(view, pod, claim).or_else(|| {
        let uses = |other: &Pod| volumes(other).any(|volume| claim_of(other, volume).as_deref() == Some(claim));
        let mut pods = view.snapshot.objects.pods.iter();
        let other = pods.find(|other| other.namespace() == pod.namespace() && runs_beside(pod, other) && uses(other))?;
        let (name, owner, namespace) = (other.name_any(), view.workload_of(other), other.namespace().unwrap_or_default());
        let shown = shown(&name, &owner);
        let provided = Provided::new(
            format!("{shown} runs and uses the same claim {claim}"),
            format!("give one of them a claim of its own, or end pod {name} first"),
        )
        .command(Some(command("kubectl get pod {} -n {} -o wide", &[&name, &namespace])))
        .by(ObjectRef::new(&kind::CLAIM, &namespace, claim), "");
        Some(provided)
    })
}

/// The pod on the same node that has the port which this one wants on the node's own network.
pub fn holder_of_port(view: &View<'_>, container: &ContainerView<'_>, port: u16) -> Option<Provided> {
    let pod = container.pod;
    let node = pod.spec.as_ref()?.node_name.as_ref()?;
    let holds = |other: &&Pod| {
        let spec = other.spec.as_ref();
        let shares = spec.is_some_and(|spec| spec.host_network == Some(true) && spec.node_name.as_ref() == Some(node));
        let names_it = |c: &ContainerView<'_>| c.is_running() && hints::of_container(view, c).iter().any(|hint| hint.port == Some(port));
        let is_alike = || view.workload_of(other) == view.workload_of(pod) && containers(other).iter().any(ContainerView::is_ready);
        shares && runs_beside(pod, other) && (containers(other).iter().any(names_it) || is_alike())
    };
    let other = view.snapshot.objects.pods.iter().find(holds)?;
    let (name, owner) = (other.name_any(), view.workload_of(other));
    let why = format!("{} runs on the same node {node} with hostNetwork and uses it", shown(&name, &owner));
    let provided = if owner == view.workload_of(pod) {
        let patch = patch_container(
            view,
            container,
            json!({"ports": [{"containerPort": port, "hostPort": port, "protocol": "TCP"}]}),
        );
        Provided::new(
            why,
            format!(
                "run one pod on each node: declare port {port} in ports, so that the scheduler keeps them apart, or do without hostNetwork"
            ),
        )
        .command(patch)
    } else {
        Provided::new(why, "give one of them another port, or do without hostNetwork")
    };
    Some(provided.likely())
}

/// `pod db-0 of statefulset/db`, or `pod db` of one that has no controller.
fn shown(name: &str, owner: &ObjectRef) -> String {
    match owner.is(&kind::POD) {
        true => format!("pod {name}"),
        false => format!("pod {name} of {}", owner.short()),
    }
}

/// The pod of another revision that holds what this one needs, where the strategy of its Deployment lets both run.
pub fn older(view: &View<'_>, pod: &Pod, holds: impl Fn(&Pod) -> bool, what: &str) -> Option<Provided> {
    let workload = view.workload(&view.workload_of(pod))?;
    let Some(WorkloadObject::Deployment(deployment)) = workload.object else {
        return None;
    };
    let strategy = deployment.spec.as_ref()?.strategy.as_ref().and_then(|s| s.type_.as_deref());
    let strategy = strategy.filter(|type_| *type_ != "Recreate")?;
    let is_old = |other: &&&Pod| runs_beside(pod, other) && revision(other) != revision(pod) && holds(other);
    let name = workload.pods.iter().find(is_old)?.name_any();
    let owner = workload.reference.short();
    let patch = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
    Some(
        Provided::new(
            format!("pod {name} of another revision of {owner} still runs and {what}: {strategy} starts the new pod first"),
            "set strategy Recreate (or maxSurge: 0 with maxUnavailable: 1), so that the old pod ends before the new one starts",
        )
        .seen(format!("pod/{name}"), format!("runs and {what}"))
        .command(Some(command(
            "kubectl patch {} -n {} -p {}",
            &[&owner, &workload.reference.namespace, &patch],
        ))),
    )
}

fn runs_beside(pod: &Pod, other: &Pod) -> bool {
    other.metadata.name != pod.metadata.name
        && !has_ended(other)
        && !is_terminating(other)
        && containers(other).iter().any(ContainerView::is_running)
}
