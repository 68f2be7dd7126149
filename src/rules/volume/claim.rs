//! Claims that are missing, pending or lost. Why a claim is pending stands in its own events and its class.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use crate::facts::ending::counts;
use crate::facts::mount::claim_of;
use crate::model::cause::{Cause, ClaimPending};
use crate::model::code::Code;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Settles, Severity, Subject};
use crate::model::snapshot::Presence;
use crate::model::{age, kind, near};
use crate::text::{Command, command, redact, shorten};
use crate::view::{EventView, Needs, View, WorkloadObject, condition};

/// What nobody uses is gone within this time.
const TAKES_AWAY: Duration = Duration::from_secs(30);
/// A provisioner that works needs some seconds.
const PROVISIONING: Duration = Duration::from_secs(60);

pub(crate) fn check(view: &View<'_>, needs: &mut Needs) -> Vec<Finding> {
    let mut findings = missing(view);
    let claims = view.snapshot.objects.claims.iter();
    findings.extend(claims.filter_map(|claim| judge(view, needs, claim)));
    findings
}

/// Claims that pods or templates name and that are not there. The pod waits for its node meanwhile.
fn missing(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            let bound = pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).is_some();
            for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
                // The claim of an ephemeral volume is made by a controller, not by the user.
                let Some(source) = &volume.persistent_volume_claim else { continue };
                let namespace = pod.namespace().unwrap_or_default();
                let said = condition(pod, "PodScheduled")
                    .map(|(_, _, message)| message)
                    .filter(|m| m.contains(&format!("persistentvolumeclaim \"{}\" not found", source.claim_name)));
                let absent = match view.snapshot.presence(&kind::CLAIM, &namespace, &source.claim_name) {
                    Presence::Absent => true,
                    Presence::Present => false,
                    Presence::Unknown => said.is_some(),
                };
                if absent && !bound {
                    let subject = view.pod_subject(pod).volume(&volume.name);
                    findings.push(gone(view, &workload.reference, subject, &namespace, &source.claim_name, said));
                }
            }
        }
        let template = workload
            .object
            .filter(|o| workload.pods.is_empty() && !matches!(o, WorkloadObject::Pod(_)));
        let wanted = template.and_then(WorkloadObject::wanted).is_none_or(|n| n > 0);
        let Some(spec) = template.and_then(WorkloadObject::pod_spec).filter(|_| wanted) else {
            continue;
        };
        for volume in spec.volumes.iter().flatten() {
            let Some(source) = &volume.persistent_volume_claim else { continue };
            let namespace = &workload.reference.namespace;
            if view.snapshot.presence(&kind::CLAIM, namespace, &source.claim_name) == Presence::Absent {
                let subject = Subject::of(workload.reference.clone()).volume(&volume.name);
                findings.push(gone(view, &workload.reference, subject, namespace, &source.claim_name, None));
            }
        }
    }
    findings
}

fn gone(view: &View<'_>, owner: &ObjectRef, subject: Subject, namespace: &str, claim: &str, said: Option<&str>) -> Finding {
    let names = view
        .snapshot
        .objects
        .claims
        .iter()
        .filter(|c| c.namespace().as_deref() == Some(namespace))
        .filter_map(|c| c.metadata.name.as_deref());
    let near = near::nearest(claim, names);
    let meant = near.map_or_else(String::new, |near| format!("; there is one named {near}"));
    let volume = subject.volume.clone().unwrap_or_default();
    let summary = format!(
        "volume {volume} of {} needs PersistentVolumeClaim {claim}, which does not exist in namespace {namespace}{meant}",
        owner.short()
    );
    let fix = match near {
        Some(near) => format!("use the claim {near}, or create {claim}"),
        None => format!("create the claim {claim}, or correct claimName in the pod template"),
    };
    let (source, detail) = match said {
        Some(said) => ("condition PodScheduled".to_owned(), shorten(said, 200)),
        None => (format!("claims of namespace {namespace}"), format!("no claim {claim}")),
    };
    Finding::error(Code::ClaimMissing, subject, summary)
        .related("missing", ObjectRef::new(&kind::CLAIM, namespace, claim))
        .evidence(source, detail)
        .breaking(Effect::Claim(namespace.to_owned(), claim.to_owned()))
        .breaking(Effect::NotReady(owner.clone()))
        .fix_command(
            fix,
            match near {
                Some(_) if !owner.is(&kind::POD) => command("kubectl edit {} -n {}", &[&owner.short(), &namespace]),
                _ => command("kubectl get pvc -n {}", &[&namespace]),
            },
        )
}

/// Pods that use a claim and wait for it.
fn users<'a>(view: &View<'a>, claim: &PersistentVolumeClaim) -> Vec<&'a Pod> {
    let name = claim.name_any();
    let uses = |pod: &&Pod| {
        pod.namespace() == claim.namespace()
            && counts(view, pod)
            && pod
                .spec
                .iter()
                .flat_map(|s| s.volumes.iter().flatten())
                .any(|v| claim_of(pod, v).as_deref() == Some(&name))
    };
    view.snapshot.objects.pods.iter().filter(uses).collect()
}

struct Why<'a> {
    cause: Cause,
    what: String,
    fix: String,
    command: Option<Command>,
    event: Option<EventView<'a>>,
}

fn judge(view: &View<'_>, needs: &mut Needs, claim: &PersistentVolumeClaim) -> Option<Finding> {
    let phase = claim.status.as_ref()?.phase.as_deref()?;
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let pods = users(view, claim);
    if let Some(since) = &claim.metadata.deletion_timestamp {
        return Some(terminating(view, claim, view.age(since.0), &pods).settling(view.settles(since.0, TAKES_AWAY)));
    }
    let why = match phase {
        "Lost" => {
            let volume = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or_default();
            Why {
                cause: Code::ClaimLost.into(),
                what: format!("its PersistentVolume {volume} is gone, and with it perhaps the data"),
                fix: "restore the volume from a backup and make a new claim: a lost claim does not come back".to_owned(),
                command: None,
                event: None,
            }
        }
        "Pending" => why_pending(view, needs, claim, &pods)?,
        _ => return None,
    };
    let reference = ObjectRef::new(&kind::CLAIM, &namespace, &name);
    let owners: BTreeSet<ObjectRef> = pods.iter().map(|pod| view.workload_of(pod)).collect();
    let users = match owners.first() {
        Some(owner) => format!(", so {} waits", owner.short()),
        None => String::new(),
    };
    let state = if phase == "Lost" { "is lost" } else { "gets no volume" };
    let summary = format!("PersistentVolumeClaim {name} {state}: {}{users}", why.what);
    // Nothing is broken as long as nobody uses the claim, unless it is what was asked about.
    let unused = owners.is_empty() && !view.is_in_focus(&reference);
    let severity = if unused { Severity::Advice } else { Severity::Error };
    // Every claim passes through this, the more so without a provisioner.
    let settles = match why.cause {
        Cause::ClaimPending(ClaimPending::NoProvisioner) if !unused => {
            view.settles_from(claim.metadata.creation_timestamp.as_ref(), PROVISIONING)
        }
        _ => Settles::Never,
    };
    let mut finding = Finding::new(why.cause, severity, Confidence::Proven, Subject::of(reference), summary)
        .settling(settles)
        .evidence(format!("pvc/{name}"), format!("phase {phase}"))
        .breaking(Effect::Claim(namespace.clone(), name.clone()))
        .fix_command(
            why.fix,
            why.command
                .unwrap_or_else(|| command("kubectl describe pvc {} -n {}", &[&name, &namespace])),
        );
    if let Some(event) = why.event {
        finding = finding.evidence(
            format!("pvc/{name} event {}", event.reason()),
            shorten(&redact(event.message()), 200),
        );
    }
    Some(owners.into_iter().map(Effect::NotReady).fold(finding, Finding::breaking))
}

/// A claim that is being deleted stays as long as a pod has it, and nothing else may use it meanwhile.
fn terminating(view: &View<'_>, claim: &PersistentVolumeClaim, since: Duration, pods: &[&Pod]) -> Finding {
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let has_node = |pod: &&&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let holders: Vec<String> = pods.iter().filter(has_node).map(|pod| pod.name_any()).collect();
    let waiting: BTreeSet<ObjectRef> = pods.iter().filter(|pod| !has_node(pod)).map(|pod| view.workload_of(pod)).collect();
    let finalizers = claim.metadata.finalizers.clone().unwrap_or_default().join(", ");
    let held = match holders.first() {
        Some(pod) => format!("pod {pod} still has it"),
        None => format!("its finalizer {finalizers} holds it"),
    };
    let consequence = match waiting.first() {
        Some(owner) => format!(", so {} gets no volume", owner.short()),
        None => " and will be deleted with its data".to_owned(),
    };
    let severity = if waiting.is_empty() { Severity::Advice } else { Severity::Error };
    let summary = format!(
        "PersistentVolumeClaim {name} is being deleted for {}: {held}{consequence}",
        age::short(since)
    );
    let reference = ObjectRef::new(&kind::CLAIM, &namespace, &name);
    let finding = Finding::new(
        ClaimPending::Terminating,
        severity,
        Confidence::Proven,
        Subject::of(reference),
        summary,
    )
    .evidence(format!("pvc/{name}"), format!("deletionTimestamp is set; finalizers: {finalizers}"))
    .breaking(Effect::Claim(namespace.clone(), name.clone()))
    .fix_command(
        "a deletion cannot be undone: save the data, let the pods that use it end, and recreate the claim",
        command("kubectl describe pvc {} -n {}", &[&name, &namespace]),
    );
    waiting.into_iter().map(Effect::NotReady).fold(finding, Finding::breaking)
}

/// Why a claim has no volume; none while that is in order.
fn why_pending<'a>(view: &View<'a>, needs: &mut Needs, claim: &PersistentVolumeClaim, pods: &[&Pod]) -> Option<Why<'a>> {
    let events = view.events_of(&kind::CLAIM, &claim.metadata);
    let newest = events.first().copied();
    let spec = claim.spec.as_ref();
    let class = spec.and_then(|s| s.storage_class_name.as_deref());
    let age = view.age_of(claim.metadata.creation_timestamp.as_ref()).unwrap_or(PROVISIONING);
    let class_absent = |name: &str| !name.is_empty() && view.snapshot.presence(&kind::STORAGE_CLASS, "", name) == Presence::Absent;
    if let Some(name) = class.filter(|name| class_absent(name)) {
        return Some(class_missing(view, needs, name, newest));
    }
    let event = newest?;
    let message = event.message();
    match event.reason() {
        "ProvisioningFailed" if message.contains("storageclass.storage.k8s.io") && message.contains("not found") => {
            let known = class.is_some_and(|name| view.snapshot.presence(&kind::STORAGE_CLASS, "", name) == Presence::Present);
            // The class came later than the claim: the controller will look again.
            (!known).then(|| class_missing(view, needs, class.unwrap_or_default(), newest))
        }
        "ProvisioningFailed" => Some(Why {
            cause: ClaimPending::ProvisioningFailed.into(),
            what: format!("the provisioner fails: {}", shorten(&redact(message), 160)),
            fix: "correct what the provisioner's message names: quota, zone, parameters of the class, size".to_owned(),
            command: None,
            event: newest,
        }),
        "FailedBinding" => {
            if let Some((what, fix, command)) = held_volume(view, needs, claim) {
                return Some(Why {
                    cause: ClaimPending::NoMatchingVolume.into(),
                    what,
                    fix,
                    command: Some(command),
                    event: newest,
                });
            }
            let what = match spec.and_then(|s| s.volume_name.as_deref()) {
                Some(volume) => format!("it needs PersistentVolume {volume}, which it cannot have"),
                None => "it has no storage class, and no PersistentVolume fits it".to_owned(),
            };
            Some(Why {
                cause: ClaimPending::NoMatchingVolume.into(),
                what,
                fix: "name a storage class, mark one as default, or create a PersistentVolume that fits in size, access mode and class"
                    .to_owned(),
                command: None,
                event: newest,
            })
        }
        "ExternalProvisioning" if age >= PROVISIONING || !pods.is_empty() => {
            let provisioner = message.split('\'').nth(1).unwrap_or("its provisioner");
            let lacks = if age >= PROVISIONING {
                "does not answer"
            } else {
                "has not made it yet"
            };
            Some(Why {
                cause: ClaimPending::NoProvisioner.into(),
                what: format!("the provisioner {provisioner} of its class {lacks}"),
                fix: format!("install or repair the provisioner {provisioner}, or use another storage class"),
                command: None,
                event: newest,
            })
        }
        "WaitForFirstConsumer" | "WaitForPodScheduled" => for_consumer(view, class, pods, newest),
        _ => None,
    }
}

fn class_missing<'a>(view: &View<'_>, needs: &mut Needs, name: &str, event: Option<EventView<'a>>) -> Why<'a> {
    needs.list(view, &kind::STORAGE_CLASS, "");
    let classes: Vec<&str> = view
        .snapshot
        .objects
        .storage_classes
        .iter()
        .filter_map(|c| c.metadata.name.as_deref())
        .collect();
    let near = near::nearest(name, classes.iter().copied());
    let there = match near {
        Some(near) => format!(" (there is one named {near})"),
        None if classes.is_empty() => String::new(),
        None => format!(" (the cluster has {})", classes.join(", ")),
    };
    Why {
        cause: ClaimPending::StorageClassMissing.into(),
        what: format!("its storage class {name} does not exist{there}"),
        fix: "recreate the claim with a class that exists (the class of a claim cannot be changed), or create the class".to_owned(),
        command: Some("kubectl get storageclass".into()),
        event: event.filter(|e| e.reason() == "ProvisioningFailed"),
    }
}

/// A volume that would do and is held for another claim: what holds it, and the change and command that free it.
fn held_volume(view: &View<'_>, needs: &mut Needs, claim: &PersistentVolumeClaim) -> Option<(String, String, Command)> {
    if !needs.list(view, &kind::VOLUME, "") {
        return None;
    }
    let (namespace, name) = (claim.namespace(), claim.name_any());
    let wanted = claim
        .spec
        .as_ref()
        .and_then(|s| s.volume_name.as_deref())
        .filter(|name| !name.is_empty());
    let volumes = view.snapshot.objects.volumes.iter();
    let (volume, held_by) = volumes
        .filter_map(|volume| Some((volume, volume.spec.as_ref()?.claim_ref.as_ref()?)))
        .find(|(volume, holder)| {
            let is_own = holder.namespace == namespace && holder.name.as_deref() == Some(&name);
            // A claim of that name that was deleted had another uid.
            let is_earlier = is_own && holder.uid.is_some() && holder.uid != claim.metadata.uid;
            match wanted {
                Some(wanted) => volume.name_any() == wanted && (is_earlier || !is_own),
                None => is_earlier,
            }
        })?;
    let volume = volume.name_any();
    let (of, holder) = (
        held_by.namespace.clone().unwrap_or_default(),
        held_by.name.clone().unwrap_or_default(),
    );
    let release = command(
        "kubectl patch pv {} --type json -p '[{\"op\":\"remove\",\"path\":\"/spec/claimRef\"}]'",
        &[&volume],
    );
    let is_earlier = Some(&of) == namespace.as_ref() && holder == name;
    Some(if is_earlier {
        (
            format!("PersistentVolume {volume} is still held for an earlier claim of this name, which was deleted"),
            format!("release the volume (its data stays): remove spec.claimRef of PersistentVolume {volume}"),
            release,
        )
    } else if view.snapshot.presence(&kind::CLAIM, &of, &holder) == Presence::Absent {
        (
            format!("PersistentVolume {volume} is held for claim {holder} in namespace {of}, which does not exist"),
            format!("release the volume (its data stays): remove spec.claimRef of PersistentVolume {volume}"),
            release,
        )
    } else {
        (
            format!("PersistentVolume {volume} is bound to claim {holder} in namespace {of}"),
            format!("use another volume, or delete claim {holder} and then remove spec.claimRef of PersistentVolume {volume}"),
            command("kubectl get pvc {} -n {}", &[&holder, &of]),
        )
    })
}

/// A claim that waits for its pod to be scheduled: in order, unless the pod cannot be placed for want of a volume.
fn for_consumer<'a>(view: &View<'_>, class: Option<&str>, pods: &[&Pod], event: Option<EventView<'a>>) -> Option<Why<'a>> {
    let message = pods.iter().find_map(|pod| {
        condition(pod, "PodScheduled")
            .filter(|(status, reason, _)| *status == "False" && *reason == "Unschedulable")
            .map(|(_, _, message)| message)
    })?;
    let no_volume = message.contains("didn't find available persistent volumes to bind");
    let classes = &view.snapshot.objects.storage_classes;
    let manual = classes
        .iter()
        .any(|c| c.metadata.name.as_deref() == class && c.provisioner == "kubernetes.io/no-provisioner");
    no_volume.then(|| Why {
        cause: ClaimPending::NoMatchingVolume.into(),
        what: if manual {
            format!(
                "no PersistentVolume of class {} is free on any node that the pod may use",
                class.unwrap_or_default()
            )
        } else {
            "no PersistentVolume fits on any node that the pod may use".to_owned()
        },
        fix: "create a PersistentVolume that fits in size, access mode, class and node".to_owned(),
        command: None,
        event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn claim(class: &str, age: &str, reason: &str, message: &str) -> String {
        format!(
            r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, uid: c1, creationTimestamp: "{age}"}}
spec: {{storageClassName: "{class}"}}
status: {{phase: Pending}}
---
{{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {{name: standard}}, provisioner: p}}
---
apiVersion: v1
kind: Event
metadata: {{name: e}}
involvedObject: {{kind: PersistentVolumeClaim, name: data, uid: c1}}
reason: {reason}
message: {}
lastTimestamp: "2026-01-01T11:59:50Z"
"#,
            serde_json::to_string(message).unwrap()
        )
    }

    const USER: &str = "---\n{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]}, status: {phase: Pending}}\n";
    const OLD: &str = "2026-01-01T11:50:00Z";
    const WAITING: &str =
        "Waiting for a volume to be created either by the external provisioner 'example.com/none' or manually by the system administrator.";

    fn cause(yaml: &str) -> Option<String> {
        check(crate::rules::volume::check, yaml)
            .into_iter()
            .find(|f| f.severity == Severity::Error)
            .map(|f| format!("{} {}", f.code, f.cause))
    }

    #[test]
    fn a_terminating_claim_is_reported_if_a_pod_waits_for_it() {
        let claim = "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, finalizers: [kubernetes.io/pvc-protection], \
             deletionTimestamp: '2026-01-01T11:50:00Z'}, status: {phase: Bound}}\n";
        let holder = USER.replace("name: a}", "name: b}").replace("spec: {", "spec: {nodeName: n1, ");
        let said = |yaml: &str| {
            let found = check(crate::rules::volume::check, yaml);
            found.iter().map(|f| (f.severity, f.cause.to_string(), f.summary.clone())).next()
        };
        let (severity, cause, summary) = said(&format!("{claim}{USER}{holder}")).unwrap();
        assert_eq!((severity, cause.as_str()), (Severity::Error, "terminating"));
        assert!(
            summary.contains("pod b still has it") && summary.contains("pod/a gets no volume"),
            "{summary}"
        );
        assert_eq!(
            said(&format!("{claim}{holder}")).map(|(severity, ..)| severity),
            Some(Severity::Advice)
        );
        assert!(said(&format!("{}{holder}", claim.replace("11:50:00", "11:59:50"))).is_none());
    }

    #[test]
    fn a_claim_with_nearly_this_name_is_taken_by_an_edit() {
        let deployment = "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: db}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: \
             {a: b}}, spec: {containers: [{name: c, image: i}], volumes: [{name: v, persistentVolumeClaim: {claimName: da-ta}}]}}}}\n";
        let found = check(
            crate::rules::volume::check,
            &format!("{}{deployment}", claim("standard", OLD, "x", "y")),
        );
        let fix = found.iter().find(|f| f.code == Code::ClaimMissing).map(|f| &f.fixes[0]);
        assert_eq!(
            fix.and_then(|fix| fix.command.as_deref()),
            Some("kubectl edit deployment/db -n shop")
        );
    }

    #[test]
    fn events_of_a_claim_name_its_cause() {
        for (class, reason, message, wanted) in [
            (
                "nosuch",
                "ProvisioningFailed",
                "storageclass.storage.k8s.io \"nosuch\" not found",
                Some("ClaimPending storage-class-missing"),
            ),
            (
                "",
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
                Some("ClaimPending no-matching-volume"),
            ),
            ("standard", "ExternalProvisioning", WAITING, Some("ClaimPending no-provisioner")),
            (
                "standard",
                "ProvisioningFailed",
                "failed to provision volume: quota exceeded",
                Some("ClaimPending provisioning-failed"),
            ),
            (
                "standard",
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
                None,
            ),
            (
                "standard",
                "ProvisioningFailed",
                "storageclass.storage.k8s.io \"standard\" not found",
                None,
            ),
        ] {
            let yaml = claim(class, OLD, reason, message) + USER;
            assert_eq!(cause(&yaml).as_deref(), wanted, "{message}");
        }
    }

    #[test]
    fn a_claim_that_is_being_provisioned_or_unused_is_silent() {
        assert_eq!(
            cause(&(claim("standard", "2026-01-01T11:59:45Z", "ExternalProvisioning", WAITING) + USER)),
            None
        );
        assert_eq!(cause(&claim("standard", OLD, "ExternalProvisioning", WAITING)), None);
    }

    #[test]
    fn a_claim_that_does_not_exist_is_named() {
        assert_eq!(cause(USER).as_deref(), Some("ClaimMissing "));
    }
}
