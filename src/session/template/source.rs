//! The sources of a template: an image, a document, or an object of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvFromSource, EnvVar, PodSpec, Probe, SecretEnvSource, TCPSocketAction, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::options::Options;
use super::security::containers;
use super::{OWN_PREFIX, Template, Volume, defaults};

/// The container of a template that is made from an image.
const CONTAINER: &str = "app";

/// The volume of the session's own, where the template has no name for it.
const VOLUME: &str = "session-volume";

/// Objects that make pods, and where their template stands.
const WORKLOADS: [(&str, &str); 7] = [
    ("Deployment", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
];

/// A template of an image.
pub(super) fn of_image(image: &str, options: &Options) -> Result<Template, String> {
    let container = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        ..Container::default()
    };
    let template = Template {
        spec: PodSpec {
            containers: vec![container],
            ..PodSpec::default()
        },
        ..Template::default()
    };
    complete(template, options)
}

/// A template of a file's document.
pub(super) fn of_document(document: &Value, options: &Options) -> Result<Template, String> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let of = match kind {
        "Pod" => document,
        "PodTemplate" => &document["template"],
        "ConfigMap" => return stored(document, options),
        "List" => return Err("a template is one Pod or PodTemplate, not a List".to_owned()),
        "" => return Err("a template needs apiVersion and kind, of a Pod or a PodTemplate".to_owned()),
        kind if WORKLOADS.iter().any(|(known, _)| *known == kind) => {
            let name = document["metadata"]["name"].as_str().unwrap_or("NAME");
            let from = format!("--from {}/{name}", kind.to_lowercase());
            return Err(format!(
                "a template is a Pod or a PodTemplate, not a {kind}; {from} takes the pod of one in the cluster"
            ));
        }
        kind => return Err(format!("a template is a Pod or a PodTemplate, not a {kind}")),
    };
    if document["apiVersion"] != "v1" {
        return Err(format!("apiVersion of a {kind} is v1, not {}", document["apiVersion"]));
    }
    let template = read(of)?;
    let keys = || template.labels.keys().chain(template.annotations.keys());
    if let Some(own) = keys().find(|key| key.starts_with(OWN_PREFIX)) {
        return Err(format!("podlife sets {own} itself: remove it from the template"));
    }
    complete(template, options)
}

/// A template of an object in the cluster: of a workload, a Pod or a PodTemplate.
pub(super) fn of_workload(object: &Value, options: &Options) -> Result<Template, String> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let of = match kind {
        "Pod" => object,
        "ConfigMap" => return stored(object, options),
        _ => match WORKLOADS.iter().find(|(known, _)| *known == kind) {
            Some((_, path)) => object.pointer(path).unwrap_or(&Value::Null),
            None => return Err(format!("a {kind} has no pod template")),
        },
    };
    let mut template = read(of)?;
    template.labels.retain(|key, _| is_for_webhooks(key));
    let selector = &object["spec"]["selector"]["matchLabels"];
    template.labels.retain(|key, _| selector.get(key).is_none());
    template.annotations.retain(|key, _| !is_of_server(key));
    if kind == "Pod" {
        clean(&mut template.spec);
    }
    if kind == "StatefulSet" {
        claim(object, &mut template, options)?;
    }
    complete(template, options)
}

/// The template that a ConfigMap keeps, as it is.
fn stored(config_map: &Value, options: &Options) -> Result<Template, String> {
    if *options != Options::default() {
        return Err("flags cannot change a stored template".to_owned());
    }
    Template::from_config_map(config_map)
}

/// Whether a label may stand on a session's pod. Services, budgets and controllers find the pods of a workload by their labels, and must not find
/// sessions; what a webhook reads has a prefix of its own.
fn is_for_webhooks(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return false };
    let is_of = |domain: &str| prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    !["kubernetes.io", "k8s.io", "helm.sh", "podlife.dev"].into_iter().any(is_of)
}

/// Whether an annotation says something of the one object that it stands on.
fn is_of_server(key: &str) -> bool {
    let of_one = [
        OWN_PREFIX,
        "cni.projectcalico.org/",
        "k8s.v1.cni.cncf.io/network-status",
        "kubectl.kubernetes.io/",
        "kubernetes.io/",
    ];
    of_one.iter().any(|prefix| key.starts_with(prefix))
}

/// Removes what the API server, its admission and the scheduler have set on a pod.
fn clean(spec: &mut PodSpec) {
    spec.node_name = None;
    spec.hostname = None;
    spec.ephemeral_containers = None;
    spec.enable_service_links = None;
    spec.priority = None;
    spec.preemption_policy = None;
    spec.overhead = None;
    spec.service_account = None;
    spec.service_account_name.take_if(|name| name == "default");
    let is_default = |key: Option<&str>| matches!(key, Some("node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable"));
    spec.tolerations
        .get_or_insert_default()
        .retain(|toleration| !is_default(toleration.key.as_deref()));
    let is_token = |name: &str| name.starts_with("kube-api-access-");
    spec.volumes.get_or_insert_default().retain(|volume| !is_token(&volume.name));
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        container
            .volume_mounts
            .get_or_insert_default()
            .retain(|mount| !is_token(&mount.name));
    }
}

/// A claim template of a StatefulSet becomes the volume of the session's own.
fn claim(object: &Value, template: &mut Template, options: &Options) -> Result<(), String> {
    let claims = object["spec"]["volumeClaimTemplates"].as_array().map_or(&[][..], Vec::as_slice);
    let [claim] = claims else {
        return match claims.is_empty() {
            true => Ok(()),
            false => Err(
                "the StatefulSet has several volumeClaimTemplates, and a session has one volume: write the pod to a file and use -f"
                    .to_owned(),
            ),
        };
    };
    let name = claim["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if options.volume.is_some() {
        return Err(format!("the StatefulSet gives each pod the volume {name}: leave out --volume"));
    }
    let spec = &claim["spec"];
    template.volume = Some(Volume {
        name,
        size: Quantity(spec["resources"]["requests"]["storage"].as_str().unwrap_or_default().to_owned()),
        storage_class: spec["storageClassName"].as_str().map(str::to_owned),
    });
    Ok(())
}

/// Labels, annotations and spec of a pod or a pod template.
fn read(of: &Value) -> Result<Template, String> {
    let map = |field: &str| -> Result<BTreeMap<String, String>, String> {
        match &of["metadata"][field] {
            Value::Null => Ok(BTreeMap::new()),
            map => serde_json::from_value(map.clone()).map_err(|e| format!("metadata.{field}: {e}")),
        }
    };
    let mut spec = of["spec"].clone();
    if !spec.is_object() {
        return Err("the template has no spec".to_owned());
    }
    quantities_as_text(&mut spec);
    let read: PodSpec = serde_json::from_value(spec.clone()).map_err(|e| format!("spec: {e}"))?;
    let known = serde_json::to_value(&read).map_err(|e| format!("spec: {e}"))?;
    if let Some(unknown) = unknown_field(&spec, &known, "spec") {
        return Err(format!("podlife does not know the field {unknown}"));
    }
    Ok(Template {
        labels: map("labels")?,
        annotations: map("annotations")?,
        spec: read,
        ..Template::default()
    })
}

/// A quantity may be written as a number.
fn quantities_as_text(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match key.as_str() {
                    "requests" | "limits" | "overhead" => {
                        for amount in field.as_object_mut().into_iter().flat_map(|amounts| amounts.values_mut()) {
                            number_as_text(amount);
                        }
                    }
                    "sizeLimit" | "divisor" => number_as_text(field),
                    _ => quantities_as_text(field),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(quantities_as_text),
        _ => {}
    }
}

fn number_as_text(value: &mut Value) {
    if let Value::Number(number) = value {
        *value = Value::String(number.to_string());
    }
}

/// The path of a field that was lost in reading.
fn unknown_field(given: &Value, known: &Value, path: &str) -> Option<String> {
    match (given, known) {
        (Value::Object(given), known) => given.iter().filter(|(_, value)| !value.is_null()).find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match known.get(key) {
                Some(known) => unknown_field(value, known, &path),
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(at, (given, known))| unknown_field(given, known, &format!("{path}[{at}]"))),
        _ => None,
    }
}

/// Adds what the flags say, fills the defaults, and checks the whole.
fn complete(mut template: Template, options: &Options) -> Result<Template, String> {
    let Some(first) = template.spec.containers.first_mut() else {
        return Err("the template has no container".to_owned());
    };
    if let Some(at) = &options.volume {
        if first.volume_mounts.iter().flatten().any(|mount| mount.mount_path == at.path) {
            return Err(format!("container {} already mounts a volume at {}", first.name, at.path));
        }
        first.volume_mounts.get_or_insert_default().push(VolumeMount {
            name: VOLUME.to_owned(),
            mount_path: at.path.clone(),
            ..VolumeMount::default()
        });
        template.volume = Some(Volume {
            name: VOLUME.to_owned(),
            size: at.size.clone(),
            storage_class: options.storage_class.clone(),
        });
    }
    apply(first, options);
    template.service = options.service;
    check(&template)?;
    defaults::fill(&mut template.spec, template.volume.is_some());
    Ok(template)
}

/// What the flags say about the first container.
fn apply(container: &mut Container, options: &Options) {
    if let Some(port) = options.port {
        let number = i32::from(port);
        let ports = container.ports.get_or_insert_default();
        if ports.iter().all(|known| known.container_port != number) {
            ports.push(ContainerPort {
                container_port: number,
                ..ContainerPort::default()
            });
        }
        // Ready means that it listens. A second is the shortest period that there is.
        container.readiness_probe.get_or_insert_with(|| Probe {
            tcp_socket: Some(TCPSocketAction {
                port: IntOrString::Int(number),
                host: None,
            }),
            period_seconds: Some(1),
            ..Probe::default()
        });
    }
    let env = container.env.get_or_insert_default();
    for (name, value) in &options.env {
        env.retain(|known| known.name != *name);
        env.push(EnvVar {
            name: name.clone(),
            value: Some(value.clone()),
            value_from: None,
        });
    }
    for secret in &options.env_from_secrets {
        container.env_from.get_or_insert_default().push(EnvFromSource {
            secret_ref: Some(SecretEnvSource {
                name: secret.clone(),
                optional: None,
            }),
            ..EnvFromSource::default()
        });
    }
    for (name, amounts) in [("cpu", &options.cpu), ("memory", &options.memory)] {
        let Some(amounts) = amounts else { continue };
        let resources = container.resources.get_or_insert_default();
        for (map, amount) in [(&mut resources.requests, &amounts.request), (&mut resources.limits, &amounts.limit)] {
            map.get_or_insert_default().insert(name.to_owned(), amount.clone());
        }
    }
    if !options.command.is_empty() {
        container.command = Some(options.command.clone());
        container.args = None;
    }
}

/// What can be said to be wrong before the API server is asked.
fn check(template: &Template) -> Result<(), String> {
    let spec = &template.spec;
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return Err("sessions run only on Linux, and the template asks for Windows".to_owned());
    }
    let mut names = BTreeSet::new();
    for container in containers(spec) {
        if container.image.as_deref().is_none_or(str::is_empty) {
            return Err(format!("container {} has no image", container.name));
        }
        if !names.insert(container.name.as_str()) {
            return Err(format!("two containers are named {}", container.name));
        }
    }
    let volumes: Vec<&str> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    if let Some(own) = template.volume.as_ref().filter(|own| volumes.contains(&own.name.as_str())) {
        return Err(format!("the template already has a volume named {}", own.name));
    }
    if template.service
        && spec
            .containers
            .iter()
            .all(|container| container.ports.iter().flatten().next().is_none())
    {
        return Err("a Service needs a port: set it with --port".to_owned());
    }
    Ok(())
}
