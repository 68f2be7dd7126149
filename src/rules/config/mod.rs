//! ConfigMaps and Secrets that pods refer to.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::facts::ending::{counts, edit_template};
use crate::facts::mount;
use crate::facts::references::{Holder, MissingReference, Reference, Source, missing_in, references};
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::kind::Kind;
use crate::model::snapshot::Presence;
use crate::model::{age, kind, near};
use crate::text::{command, shorten};
use crate::view;
use crate::view::{Need, Needs, Out, View, WorkloadObject, containers};

/// References that do not resolve, of pods that wait for them and of templates that have no pods.
pub fn check(view: &View<'_>, out: &mut Out) {
    for workload in view.workloads() {
        let pods: Vec<&Pod> = workload.pods.iter().copied().filter(|pod| counts(view, pod)).collect();
        for pod in &pods {
            if waits(pod) {
                out.findings.extend(of_pod(view, &mut out.needs, pod));
            }
        }
        if workload.pods.is_empty()
            && let Some(object) = workload.object
        {
            out.findings.extend(of_template(view, &mut out.needs, object, &workload.reference));
        }
    }
}

/// Whether some container of the pod has never started: a reference of a pod that runs matters only at its next start.
fn waits(pod: &Pod) -> bool {
    let all = containers(pod);
    // Init containers that are done wait for nothing any more.
    all.iter().any(|c| !c.is_running() && c.newest_end().is_none() && c.restarts() == 0)
}

/// What is missing, for a person: one finding per object or key, whatever number of places refers to it.
struct Missing<'r> {
    reference: &'r Reference<'r>,
    key: Option<String>,
    source: String,
    detail: String,
}

fn of_pod(view: &View<'_>, needs: &mut Needs, pod: &Pod) -> Vec<Finding> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let namespace = pod.namespace().unwrap_or_default();
    let all = references(spec);
    let mut missing: Vec<Missing<'_>> = Vec::new();
    let name = pod.name_any();
    // The kubelet's own word, of containers that wait and of volumes that do not mount.
    for container in containers(pod) {
        if let Some((_, message)) = container.waiting() {
            let of_container = |r: &&Reference<'_>| matches!(r.holder, Holder::Container(c) if c == container.name());
            let source = container.source();
            missing.extend(
                missing_in(message)
                    .iter()
                    .filter_map(|said| confirm(view, needs, &namespace, said, all.iter().filter(of_container), &source, message)),
            );
        }
    }
    for (volume, event) in mount::newest_events(view, pod) {
        let of_volume = |r: &&Reference<'_>| matches!(r.holder, Holder::Volume(v) if v == volume);
        let source = format!("pod/{name} event {}", event.reason());
        let message = event.message();
        missing.extend(
            missing_in(message)
                .iter()
                .filter_map(|said| confirm(view, needs, &namespace, said, all.iter().filter(of_volume), &source, message)),
        );
    }
    // What a complete list or a 404 says; a pod that waits for an image or a node will meet it next.
    missing.extend(compare(view, needs, &namespace, &all));
    judge(view, needs, &namespace, missing, |reference| {
        let subject = view.pod_subject(pod);
        let effects = vec![Effect::NotReady(view.workload_of(pod))];
        match reference.holder {
            Holder::Container(c) => {
                let of_container = Effect::Container(view.workload_of(pod), c.to_owned());
                (subject.container(c), [effects, vec![of_container]].concat())
            }
            Holder::Volume(v) => (subject.volume(v), effects),
        }
    })
}

/// The reference that a text speaks of. Silent where the text is out of date: the object is there by now.
fn confirm<'r>(
    view: &View<'_>,
    needs: &mut Needs,
    namespace: &str,
    said: &MissingReference<'_>,
    mut among: impl Iterator<Item = &'r Reference<'r>>,
    source: &str,
    message: &str,
) -> Option<Missing<'r>> {
    let reference = among.find(|r| {
        let named = said.name.is_none_or(|name| r.name == name);
        let keyed = said.key.is_none_or(|key| r.key.is_none_or(|k| k == key));
        r.kind == said.kind && named && keyed && !(r.optional && said.key.is_none())
    })?;
    let out_of_date = match said.key {
        None => view.snapshot.presence(&reference.kind.kind(), namespace, reference.name) == Presence::Present,
        Some(key) => keys(view, needs, namespace, reference).is_some_and(|keys| keys.contains(key)),
    };
    (!out_of_date).then(|| Missing {
        reference,
        key: said.key.map(str::to_owned),
        source: source.to_owned(),
        detail: shorten(message, 200),
    })
}

/// References that a complete list or a 404 contradicts.
fn compare<'r>(view: &View<'_>, needs: &mut Needs, namespace: &str, all: &'r [Reference<'r>]) -> Vec<Missing<'r>> {
    let mut missing = Vec::new();
    for reference in all.iter().filter(|r| !r.optional) {
        let object = reference.kind.singular();
        match view.snapshot.presence(&reference.kind.kind(), namespace, reference.name) {
            Presence::Absent => missing.push(Missing {
                reference,
                key: None,
                source: format!("{object}s of namespace {namespace}"),
                detail: format!("no {object} {}", reference.name),
            }),
            Presence::Present => {
                if let (Some(key), Some(keys)) = (reference.key, keys(view, needs, namespace, reference))
                    && !keys.contains(key)
                {
                    let list = keys.iter().copied().take(10).collect::<Vec<_>>().join(", ");
                    missing.push(Missing {
                        reference,
                        key: Some(key.to_owned()),
                        source: format!("{object}/{}", reference.name),
                        detail: if list.is_empty() {
                            "has no keys".to_owned()
                        } else {
                            format!("has the keys {list}")
                        },
                    });
                }
            }
            Presence::Unknown => {}
        }
    }
    missing
}

/// The keys of what a reference names, where they are known; those of a ConfigMap are asked for.
fn keys<'a>(view: &View<'a>, needs: &mut Needs, namespace: &str, reference: &Reference<'_>) -> Option<BTreeSet<&'a str>> {
    if reference.kind == Source::ConfigMap {
        let keys = view.snapshot.config_map_keys(namespace, reference.name);
        let exists = view.snapshot.presence(&kind::CONFIG_MAP, namespace, reference.name) != Presence::Absent;
        if keys.is_none() && exists && !view.snapshot.local {
            needs.need(Need::Object(ObjectRef::new(&kind::CONFIG_MAP, namespace, reference.name)));
        }
        keys
    } else if view.snapshot.local {
        // Only files hold whole Secrets; their values were dropped on the way in.
        let secrets = &view.snapshot.objects.secrets;
        let secret = secrets
            .iter()
            .find(|s| s.namespace().as_deref() == Some(namespace) && s.metadata.name.as_deref() == Some(reference.name))?;
        let data = secret.data.iter().flat_map(BTreeMap::keys);
        Some(
            data.chain(secret.string_data.iter().flat_map(BTreeMap::keys))
                .map(String::as_str)
                .collect(),
        )
    } else {
        None
    }
}

fn of_template(view: &View<'_>, needs: &mut Needs, object: WorkloadObject<'_>, reference: &ObjectRef) -> Vec<Finding> {
    let Some(spec) = object.pod_spec() else { return Vec::new() };
    // Without pods nothing waits yet: only workloads that should run now are broken.
    let wanted = match object {
        WorkloadObject::Job(job) => {
            job.status.as_ref().is_none_or(|s| s.completion_time.is_none()) && job.spec.as_ref().is_none_or(|s| s.suspend != Some(true))
        }
        WorkloadObject::CronJob(job) => job.spec.as_ref().is_none_or(|s| s.suspend != Some(true)),
        other => other.wanted().is_none_or(|n| n > 0),
    };
    if !wanted {
        return Vec::new();
    }
    let later = matches!(object, WorkloadObject::CronJob(_)) && !view.snapshot.local;
    let all = references(spec);
    let missing = compare(view, needs, &reference.namespace, &all);
    let findings = judge(view, needs, &reference.namespace, missing, |held| {
        let subject = Subject::of(reference.clone());
        let effects = vec![Effect::NotReady(reference.clone())];
        match held.holder {
            Holder::Container(c) => (subject.container(c), effects),
            Holder::Volume(v) => (subject.volume(v), effects),
        }
    });
    let severity = if later { Severity::Advice } else { Severity::Error };
    findings.into_iter().map(|f| f.severity(severity)).collect()
}

fn judge<'r>(
    view: &View<'_>,
    needs: &mut Needs,
    namespace: &str,
    missing: Vec<Missing<'r>>,
    subject_of: impl Fn(&Reference<'r>) -> (Subject, Vec<Effect>),
) -> Vec<Finding> {
    let mut seen: BTreeSet<(Source, &str, Option<String>)> = BTreeSet::new();
    let absent: BTreeSet<(Source, &str)> = missing
        .iter()
        .filter(|m| m.key.is_none())
        .map(|m| (m.reference.kind, m.reference.name))
        .collect();
    let mut findings = Vec::new();
    for found in missing {
        let reference = found.reference;
        let of_absent = found.key.is_some() && absent.contains(&(reference.kind, reference.name));
        if of_absent || !seen.insert((reference.kind, reference.name, found.key.clone())) {
            continue;
        }
        let (subject, effects) = subject_of(reference);
        let finding = effects
            .into_iter()
            .fold(describe(view, needs, namespace, &found, subject), Finding::breaking);
        findings.push(finding);
    }
    findings
}

fn describe(view: &View<'_>, needs: &mut Needs, namespace: &str, found: &Missing<'_>, subject: Subject) -> Finding {
    let reference = found.reference;
    let is_secret = reference.kind == Source::Secret;
    let what = if is_secret { "Secret" } else { "ConfigMap" };
    let name = reference.name;
    let object = ObjectRef::new(&reference.kind.kind(), namespace, name);
    let owner = subject.object.short();
    let place = match reference.holder {
        Holder::Container(c) => format!("container {c} of {owner}"),
        Holder::Volume(v) => format!("volume {v} of {owner}"),
    };
    let edit = edit_template(&subject.object);
    let mut finding = if let Some(key) = &found.key {
        let code = if is_secret {
            Code::SecretKeyMissing
        } else {
            Code::ConfigMapKeyMissing
        };
        let keys = keys(view, needs, namespace, reference);
        let near = keys.as_ref().and_then(|keys| near::nearest(key, keys.iter().copied()));
        let meant = near.map_or_else(String::new, |near| format!("; it has the key {near}"));
        let summary = format!("{place} needs the key {key} of {what} {name}, which has no such key{meant}");
        let finding = Finding::error(code, subject, summary).related_key("missing", object.clone(), key);
        match near {
            Some(near) => finding.fix_command(format!("name the key {near}, or add the key {key} to {what} {name}"), edit),
            None => finding.fix_command(
                format!("add the key {key} to {what} {name}, or name one that it has"),
                command("kubectl describe {} -n {}", &[&object.short(), &namespace]),
            ),
        }
    } else {
        let code = if is_secret { Code::SecretMissing } else { Code::ConfigMapMissing };
        let near = near::nearest(name, names(view, namespace, &reference.kind.kind()));
        let meant = near.map_or_else(String::new, |near| format!("; there is one named {near}"));
        let summary = format!("{place} needs {what} {name}, which does not exist in namespace {namespace}{meant}");
        let finding = Finding::error(code, subject, summary).related("missing", object.clone());
        match near {
            Some(near) => finding.fix_command(format!("name {what} {near}, or create {name}"), edit),
            None => {
                let create = if is_secret {
                    "kubectl create secret generic {} -n {} --from-literal={}=VALUE"
                } else {
                    "kubectl create configmap {} -n {} --from-literal={}=VALUE"
                };
                finding.fix_command(
                    format!("create {what} {name}, or correct the name in the pod template"),
                    command(create, &[&name, &namespace, &reference.key.unwrap_or("KEY")]),
                )
            }
        }
    };
    finding = finding.evidence(&found.source, &found.detail);
    if found.key.is_some()
        && let Some(changed) = last_change(view, namespace, reference)
    {
        finding = finding.evidence(object.short(), changed);
    }
    finding
}

/// Names of the objects of this kind in the namespace.
fn names<'a>(view: &View<'a>, namespace: &str, of: &Kind) -> Vec<&'a str> {
    let objects = &view.snapshot.objects;
    let here = |metadata: &'a ObjectMeta| {
        (metadata.namespace.as_deref() == Some(namespace))
            .then_some(metadata.name.as_deref())
            .flatten()
    };
    if *of == kind::SECRET {
        objects.secrets.iter().filter_map(|o| here(&o.metadata)).collect()
    } else {
        objects.config_maps.iter().filter_map(|o| here(&o.metadata)).collect()
    }
}

/// `changed 5m ago by kubectl-edit`, from the managed fields.
fn last_change(view: &View<'_>, namespace: &str, reference: &Reference<'_>) -> Option<String> {
    let objects = &view.snapshot.objects;
    let metadata: &ObjectMeta = if reference.kind == Source::Secret {
        let found = objects
            .secrets
            .iter()
            .find(|o| view::reference_of(&kind::SECRET, &o.metadata) == ObjectRef::new(&kind::SECRET, namespace, reference.name));
        &found?.metadata
    } else {
        let found = objects
            .config_maps
            .iter()
            .find(|o| view::reference_of(&kind::CONFIG_MAP, &o.metadata) == ObjectRef::new(&kind::CONFIG_MAP, namespace, reference.name));
        &found?.metadata
    };
    let newest = metadata
        .managed_fields
        .iter()
        .flatten()
        .max_by_key(|f| f.time.as_ref().map(|t| t.0))?;
    let ago = view.age_of(newest.time.as_ref())?;
    Some(format!(
        "changed {} ago by {}",
        age::short(ago),
        newest.manager.as_deref().unwrap_or("an unknown manager")
    ))
}

#[cfg(test)]
mod tests;
