//! The way back: an older revision of a Deployment, offered where its template lacks the fault.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::facts::references::references;
use crate::model::age;
use crate::model::code::Code;
use crate::model::finding::{Finding, Fix, Related, Severity};
use crate::text::{command, redact};
use crate::view::{View, Workload, WorkloadObject, revision};

/// Adds the way back to what is wrong with the newest revision of a Deployment, and takes it from a stuck rollout whose cause it does not mend.
pub fn offer(view: &View<'_>, findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.severity == Severity::Error) {
        let fixes = ways_back(view, finding);
        finding.fixes.extend(fixes);
    }
    let mended: Vec<String> = findings
        .iter()
        .filter(|f| f.fixes.iter().any(is_undo))
        .map(|f| f.id.clone())
        .collect();
    for stuck in findings
        .iter_mut()
        .filter(|f| f.code == Code::RolloutStuck && !f.caused_by.is_empty())
    {
        if !stuck.caused_by.iter().any(|cause| mended.contains(cause)) {
            stuck.fixes.retain(|fix| !is_undo(fix));
        }
    }
}

fn is_undo(fix: &Fix) -> bool {
    fix.command
        .as_deref()
        .is_some_and(|command| command.starts_with("kubectl rollout undo "))
}

fn ways_back(view: &View<'_>, finding: &Finding) -> Vec<Fix> {
    let Some(workload) = view
        .workload(&finding.subject.object)
        .filter(|_| !finding.fixes.iter().any(is_undo))
    else {
        return Vec::new();
    };
    let Some(WorkloadObject::Deployment(deployment)) = workload.object else {
        return Vec::new();
    };
    let serving = revision::half_way(view, workload);
    let number = serving
        .as_ref()
        .and_then(revision::HalfWay::old)
        .or_else(|| replaced(view, deployment));
    let Some((number, old)) = number.map(|number| (number, set(view, deployment, number).and_then(pod_spec))) else {
        return Vec::new();
    };
    let new = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let helps = match (old, new) {
        (Some(old), Some(new)) => lacks(old, new, finding),
        // Of what is missing an older revision may be in need, too.
        _ => serving.is_some() && missing(finding).next().is_none(),
    };
    if !helps {
        return Vec::new();
    }
    let image = old.and_then(|old| older_image(workload, finding, number, old));
    let undo = match serving {
        Some(serving) => serving.undo(workload),
        None => after(view, deployment, workload, number),
    };
    image.into_iter().chain(undo).collect()
}

/// The revision before the present one, where that has come within the time that events count: an older rollout is not what has changed.
fn replaced(view: &View<'_>, deployment: &Deployment) -> Option<u64> {
    let newest = revision::replica_set(view, deployment)?;
    let present = revision::number(&newest.metadata)?;
    let made = newest.metadata.creation_timestamp.as_ref()?.0;
    let older = revision::replica_sets(view, deployment)
        .filter_map(|set| revision::number(&set.metadata))
        .filter(|number| *number < present);
    older.max().filter(|_| view.age(made) <= view.options.since)
}

fn after(view: &View<'_>, deployment: &Deployment, workload: &Workload<'_>, number: u64) -> Option<Fix> {
    let newest = revision::replica_set(view, deployment)?;
    let present = revision::number(&newest.metadata)?;
    let made = view.age(newest.metadata.creation_timestamp.as_ref()?.0);
    Some(revision::undo(
        workload,
        number,
        format!(
            "go back to revision {number}: it has not this fault, and revision {present} rolled out {} ago",
            age::short(made)
        ),
    ))
}

fn set<'a>(view: &View<'a>, deployment: &Deployment, number: u64) -> Option<&'a ReplicaSet> {
    revision::replica_sets(view, deployment).find(|set| revision::number(&set.metadata) == Some(number))
}

fn pod_spec(set: &ReplicaSet) -> Option<&PodSpec> {
    set.spec.as_ref()?.template.as_ref()?.spec.as_ref()
}

fn missing(finding: &Finding) -> impl Iterator<Item = &Related> {
    finding.related.iter().filter(|related| related.role == "missing")
}

/// Whether an older template lacks the fault of the present one.
fn lacks(old: &PodSpec, new: &PodSpec, finding: &Finding) -> bool {
    let needs = |related: &Related| {
        references(old).iter().any(|reference| {
            let is_object = related.object.is(&reference.kind.kind()) && related.object.name == reference.name;
            is_object && (related.key.is_none() || related.key.as_deref() == reference.key)
        })
    };
    if old == new || missing(finding).any(needs) {
        return false;
    }
    let Some(name) = &finding.subject.container else { return true };
    let (Some(before), Some(present)) = (container(old, name), container(new, name)) else {
        return true;
    };
    match finding.code {
        Code::ImagePullFailing => before.image != present.image,
        _ => before != present || old.volumes != new.volumes || old.security_context != new.security_context,
    }
}

fn container<'s>(spec: &'s PodSpec, name: &str) -> Option<&'s Container> {
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.find(|container| container.name == name)
}

/// The image that the older revision has in place of one that cannot be pulled.
fn older_image(workload: &Workload<'_>, finding: &Finding, number: u64, old: &PodSpec) -> Option<Fix> {
    let name = finding
        .subject
        .container
        .as_deref()
        .filter(|_| finding.code == Code::ImagePullFailing)?;
    let image = container(old, name)?.image.as_deref().filter(|image| redact(image) == **image)?;
    let reference = &workload.reference;
    Some(Fix::command(
        format!("set the image of revision {number} for container {name}"),
        command(
            "kubectl set image {} {}={} -n {}",
            &[&reference.short(), &name, &image, &reference.namespace],
        ),
    ))
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::assess::{Question, assess};
    use crate::model::report::Diagnosis;
    use crate::testing::snapshot;

    /// A Deployment whose second revision has no ready pod; the pods of the first one are gone.
    fn second(first: &str, second: &str, made: &str, state: &str) -> Diagnosis {
        let set = |number: u8, spec: &str, made: &str| {
            format!(
                "---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web-{number}, uid: r{number}, creationTimestamp: '{made}', \
                 annotations: {{deployment.kubernetes.io/revision: '{number}'}}, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, \
                 uid: d, controller: true}}]}}\nspec: {{selector: {{}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{{spec}}}}}}}\n"
            )
        };
        let all = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, uid: d, generation: 2, annotations: {{deployment.kubernetes.io/revision: '2'}}}}\n\
             spec: {{replicas: 1, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{{second}}}}}}}\n\
             status: {{observedGeneration: 2, replicas: 1, updatedReplicas: 1}}\n{}{}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web-2-a, \
             labels: {{app: web}}, creationTimestamp: '{made}', ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-2, uid: r2, \
             controller: true}}]}}\nspec: {{nodeName: node-1, {second}}}\nstatus: {{phase: Pending, conditions: [{{type: Ready, status: 'False'}}], \
             containerStatuses: [{{name: c, image: i, imageID: '', ready: false, restartCount: 0, state: {{waiting: {state}}}}}]}}\n",
            set(1, first, "2026-01-01T08:00:00Z"),
            set(2, second, made),
        );
        let conf = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {uri: x}}\n";
        assess(&snapshot(&(all + conf)), &Question::default())
    }

    fn commands(diagnosis: &Diagnosis) -> Vec<&str> {
        let fixes = diagnosis.root_causes.iter().flat_map(|finding| &finding.fixes);
        fixes
            .filter_map(|fix| fix.command.as_deref())
            .filter(|command| command.contains("undo") || command.contains("set image"))
            .collect()
    }

    const UNDO: &str = "kubectl rollout undo deployment/web --to-revision=1 -n shop";
    const NO_KEY: &str = "{reason: CreateContainerConfigError, message: \"couldn't find key url in ConfigMap shop/conf\"}";
    const NO_IMAGE: &str =
        "{reason: ImagePullBackOff, message: 'Back-off pulling image \"i:2\": ErrImagePull: docker.io/library/i:2: not found'}";
    const LATELY: &str = "2026-01-01T11:59:20Z";

    fn needing(key: &str, image: &str) -> String {
        format!(
            "containers: [{{name: c, image: '{image}', env: [{{name: URL, valueFrom: {{configMapKeyRef: {{name: conf, key: {key}}}}}}}]}}]"
        )
    }

    #[test]
    fn a_revision_that_needs_the_same_key_is_no_way_back() {
        let same = second(&needing("url", "i:1"), &needing("url", "i:2"), LATELY, NO_KEY);
        assert!(!same.root_causes.is_empty() && commands(&same).is_empty(), "{:?}", commands(&same));
        let other = second(&needing("uri", "i:1"), &needing("url", "i:1"), LATELY, NO_KEY);
        assert_eq!(commands(&other), [UNDO]);
        let told = other.root_causes[0].fixes.last().map(|fix| fix.text.as_str());
        assert_eq!(
            told,
            Some("go back to revision 1: it has not this fault, and revision 2 rolled out 40s ago")
        );
    }

    #[test]
    fn an_image_that_was_there_before_is_named() {
        let image = |tag: &str| format!("containers: [{{name: c, image: 'i:{tag}'}}]");
        let found = second(&image("1"), &image("2"), LATELY, NO_IMAGE);
        assert_eq!(commands(&found), ["kubectl set image deployment/web c=i:1 -n shop", UNDO]);
        // Only a label has changed: the image is the same.
        let same = second(&image("2"), &(image("2") + ", hostname: b"), LATELY, NO_IMAGE);
        assert!(!same.root_causes.is_empty() && commands(&same).is_empty(), "{:?}", commands(&same));
    }

    #[test]
    fn a_fault_long_after_the_rollout_did_not_come_with_it() {
        let image = |tag: &str| format!("containers: [{{name: c, image: 'i:{tag}'}}]");
        let old = second(&image("1"), &image("2"), "2026-01-01T09:00:00Z", NO_IMAGE);
        assert!(!old.root_causes.is_empty() && commands(&old).is_empty(), "{:?}", commands(&old));
    }
}
