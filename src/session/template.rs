//! What the pods of sessions are made from.

mod defaults;
pub(crate) mod options;
pub(crate) mod policy;
#[cfg(test)]
mod properties;
mod security;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EnvVar, EnvVarSource, ObjectFieldSelector,
    PersistentVolumeClaimVolumeSource, PodSpec, Volume as PodVolume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use options::Options;

use crate::model::kind;
use crate::model::kind::Kind;
use crate::session::record::owner_reference;
use crate::session::{GENERATION, ID, MANAGED_BY, ONCE, SESSION, TEMPLATE, name, warm};

/// The variable that tells a container the id of its session.
const SESSION_ID: &str = "SESSION_ID";

/// Prefix of the labels and annotations that only podlife sets.
const OWN_PREFIX: &str = "podlife.dev/";
/// Label of pods that may connect to sessions, with the value `true`.
pub(crate) const GATEWAY: &str = "podlife.dev/gateway";

/// Where the template stands in its ConfigMap.
const CONFIG_MAP_KEY: &str = "template.json";

/// What a session's pod is made from: the same for every session that shares it, and complete, so that another version of podlife with other
/// defaults makes the same pod of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Template {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    spec: PodSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    volume: Option<Volume>,
    #[serde(default)]
    service: bool,
}

/// A volume that each session has of its own. The containers mount it by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Volume {
    name: String,
    size: Quantity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storage_class: Option<String>,
}

/// The session whose pod, claim and Service are made.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// The session's full id.
    pub(crate) id: String,
    /// The name of its record, which claim and Service share.
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The record's uid; where it is empty, nothing is owned.
    pub(crate) uid: String,
    /// The generation of the pod.
    pub(crate) generation: u32,
}

impl Owner {
    /// Metadata of an object of the session.
    fn metadata(&self, name: &str) -> Value {
        let mut metadata = json!({
            "name": name,
            "labels": {MANAGED_BY.0: MANAGED_BY.1, SESSION: self.name},
            "annotations": {ID: self.id},
        });
        if !self.namespace.is_empty() {
            metadata["namespace"] = self.namespace.as_str().into();
        }
        if !self.uid.is_empty() {
            metadata["ownerReferences"] = json!([owner_reference(&self.name, &self.uid)]);
        }
        metadata
    }
}

impl Template {
    /// A pod of one container with this image.
    pub(crate) fn of_image(image: &str, options: &Options) -> Result<Self, String> {
        source::of_image(image, options)
    }

    /// The Pod or PodTemplate of a file, or the ConfigMap of a template.
    pub(crate) fn of_document(document: &Value, options: &Options) -> Result<Self, String> {
        source::of_document(document, options)
    }

    /// The pod of an object in the cluster: a workload, a Pod, a PodTemplate.
    pub(crate) fn of_workload(object: &Value, options: &Options) -> Result<Self, String> {
        source::of_workload(object, options)
    }

    /// The same for a command that is run once while somebody waits for it.
    pub(crate) fn once(mut self, stdin: bool, tty: bool) -> Self {
        self.annotations.insert(ONCE.to_owned(), "true".to_owned());
        self.spec.restart_policy = Some("Never".to_owned());
        if let Some(container) = self.spec.containers.first_mut() {
            container.stdin = stdin.then_some(true);
            container.stdin_once = stdin.then_some(true);
            container.tty = tty.then_some(true);
        }
        self
    }

    /// 16 hexadecimal digits. Equal templates have equal hashes.
    pub(crate) fn hash(&self) -> String {
        let digest = Sha256::digest(self.canonical().as_bytes());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// JSON with its keys in order.
    fn canonical(&self) -> String {
        serde_json::to_value(self).map(sorted).unwrap_or_default().to_string()
    }

    /// The name of the ConfigMap of the template with a hash.
    pub(crate) fn name_of(hash: &str) -> String {
        format!("podlife-template-{hash}")
    }

    /// The immutable ConfigMap that keeps the template for its sessions.
    pub(crate) fn config_map(&self) -> Value {
        let hash = self.hash();
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": Self::name_of(&hash),
                "labels": {MANAGED_BY.0: MANAGED_BY.1, TEMPLATE: hash},
            },
            "immutable": true,
            "data": {CONFIG_MAP_KEY: self.canonical()},
        })
    }

    /// The template that a ConfigMap keeps. One that is not what its name says is refused.
    pub(crate) fn from_config_map(config_map: &Value) -> Result<Self, String> {
        let name = config_map["metadata"]["name"].as_str().unwrap_or_default();
        let Some(text) = config_map["data"][CONFIG_MAP_KEY].as_str() else {
            return Err(format!("ConfigMap {name} is not the template of a session"));
        };
        let template: Self = serde_json::from_str(text).map_err(|e| format!("ConfigMap {name}: {e}"))?;
        match name == Self::name_of(&template.hash()) {
            true => Ok(template),
            false => Err(format!("ConfigMap {name} was changed: its content has another hash")),
        }
    }

    /// What a user should know of the template, each as a sentence: what it relaxes of the secure default, and what sessions would share or lose.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut all = security::violations(&self.spec);
        all.extend(security::beyond(&self.spec));
        for volume in self.spec.volumes.iter().flatten() {
            if let Some(claim) = &volume.persistent_volume_claim {
                all.push(format!(
                    "volume {} is the claim {}, which all sessions of the template share",
                    volume.name, claim.claim_name
                ));
            }
        }
        let sets = |container: &&Container| container.env.iter().flatten().any(|variable| variable.name == SESSION_ID);
        for container in security::containers(&self.spec).filter(sets) {
            all.push(format!(
                "the value that container {} has for {SESSION_ID} is replaced",
                container.name
            ));
        }
        all
    }

    /// The pod of a session.
    pub(crate) fn pod(&self, owner: &Owner) -> Value {
        let mut spec = self.spec_with(&EnvVar {
            name: SESSION_ID.to_owned(),
            // Kubernetes expands $(NAME) in a value, and $$ is a dollar.
            value: Some(owner.id.replace('$', "$$")),
            value_from: None,
        });
        if let Some(volume) = &self.volume {
            let claim = PersistentVolumeClaimVolumeSource {
                claim_name: owner.name.clone(),
                read_only: None,
            };
            spec.volumes.get_or_insert_default().push(PodVolume {
                name: volume.name.clone(),
                persistent_volume_claim: Some(claim),
                ..PodVolume::default()
            });
        }
        let mut metadata = owner.metadata(&name::of_pod(&owner.name, owner.generation));
        metadata["labels"][GENERATION] = owner.generation.to_string().into();
        metadata["labels"][TEMPLATE] = self.hash().into();
        self.pod_of(metadata, &spec)
    }

    /// A pod that waits for its session, and goes with the Lease of that uid.
    pub(crate) fn warm_pod(&self, name: &str, keeper: &str) -> Value {
        // Read whenever the container starts: once it has a session, it finds the id.
        let spec = self.spec_with(&EnvVar {
            name: SESSION_ID.to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                field_ref: Some(id_annotation()),
                ..EnvVarSource::default()
            }),
        });
        let metadata = json!({
            "name": name,
            "labels": warm::labels(&self.hash()),
            "annotations": {},
            "ownerReferences": [owner_reference(warm::KEEPER, keeper)],
        });
        self.pod_of(metadata, &spec)
    }

    /// The same with a file from which a pod that was warm learns its session. An error says why no pod of it can wait for a session.
    pub(crate) fn warmed(mut self) -> Result<Self, String> {
        if self.volume.is_some() {
            return Err("a warm pod has no volume of its session's own".to_owned());
        }
        for container in security::containers(&self.spec) {
            let words = container.command.iter().chain(&container.args).flatten();
            let env = container.env.iter().flatten().filter(|variable| variable.name != SESSION_ID);
            let paths = container
                .volume_mounts
                .iter()
                .flatten()
                .filter_map(|mount| mount.sub_path_expr.as_ref());
            let mut all = words.chain(env.filter_map(|variable| variable.value.as_ref())).chain(paths);
            if all.any(|text| text.contains(SESSION_ID)) {
                let name = &container.name;
                return Err(format!(
                    "container {name} needs {SESSION_ID} when it starts, and a warm pod has no session then"
                ));
            }
        }
        let volumes = self.spec.volumes.get_or_insert_default();
        if volumes.iter().any(|volume| volume.name == warm::VOLUME) {
            return Ok(self);
        }
        volumes.push(PodVolume {
            name: warm::VOLUME.to_owned(),
            downward_api: Some(DownwardAPIVolumeSource {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: warm::FILE.to_owned(),
                    field_ref: Some(id_annotation()),
                    ..DownwardAPIVolumeFile::default()
                }]),
                default_mode: None,
            }),
            ..PodVolume::default()
        });
        for container in &mut self.spec.containers {
            container.volume_mounts.get_or_insert_default().push(VolumeMount {
                name: warm::VOLUME.to_owned(),
                mount_path: warm::MOUNT.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            });
        }
        Ok(self)
    }

    /// The specification with a variable in each container.
    fn spec_with(&self, variable: &EnvVar) -> PodSpec {
        let mut spec = self.spec.clone();
        for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
            let env = container.env.get_or_insert_default();
            env.retain(|known| known.name != variable.name);
            // The first, so that those behind it may refer to it.
            env.insert(0, variable.clone());
        }
        spec
    }

    fn pod_of(&self, mut metadata: Value, spec: &PodSpec) -> Value {
        for (field, of_template) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (key, value) in of_template {
                if metadata[field][key].is_null() {
                    metadata[field][key] = value.as_str().into();
                }
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    }

    /// Claim, Service and pod of a session, in the order in which they are created.
    pub(crate) fn objects(&self, owner: &Owner) -> Vec<(Kind, Value)> {
        let all = [
            (kind::CLAIM, self.claim(owner)),
            (kind::SERVICE, self.service(owner)),
            (kind::POD, Some(self.pod(owner))),
        ];
        all.into_iter().filter_map(|(kind, object)| Some((kind, object?))).collect()
    }

    /// The claim of a session's own volume.
    pub(crate) fn claim(&self, owner: &Owner) -> Option<Value> {
        let volume = self.volume.as_ref()?;
        let mut spec = json!({
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": volume.size}},
        });
        if let Some(class) = &volume.storage_class {
            spec["storageClassName"] = class.as_str().into();
        }
        let metadata = owner.metadata(&owner.name);
        Some(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}))
    }

    /// The Service of a session, with the ports of its containers.
    pub(crate) fn service(&self, owner: &Owner) -> Option<Value> {
        let ports = self.spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
        let ports: Vec<Value> = ports
            .map(|port| {
                let number = port.container_port;
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let name = port.name.clone().unwrap_or_else(|| format!("{}-{number}", protocol.to_lowercase()));
                json!({"name": name, "port": number, "targetPort": number, "protocol": protocol})
            })
            .collect();
        let spec = json!({"selector": {MANAGED_BY.0: MANAGED_BY.1, SESSION: owner.name}, "ports": ports});
        let metadata = owner.metadata(&owner.name);
        self.service
            .then(|| json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}))
    }
}

/// The annotation with the id of a pod's session.
fn id_annotation() -> ObjectFieldSelector {
    ObjectFieldSelector {
        api_version: None,
        field_path: format!("metadata.annotations['{ID}']"),
    }
}

/// The same value with the keys of every object in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let ordered: BTreeMap<String, Value> = fields.into_iter().map(|(key, field)| (key, sorted(field))).collect();
            Value::Object(ordered.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(sorted).collect()),
        other => other,
    }
}
