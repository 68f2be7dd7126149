//! An explanation, and the fields of a pod's spec that explanations are made from.

use k8s_openapi::api::core::v1::{Pod, PodSecurityContext, Volume, VolumeMount};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::facts::ending::{edit_command, patch_template};
use crate::model::cause::ContainerCrashing;
use crate::model::finding::{Confidence, Finding, ObjectRef};
use crate::text::Command;
use crate::view::{ContainerView, Role, View};

/// What the spec says about something that a message names.
#[derive(Clone, Debug)]
pub struct Provided {
    /// The explanation, to stand behind the message.
    pub(super) why: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// The cause that it makes of an end which nothing else explains.
    pub cause: Option<ContainerCrashing>,
    /// The field or object that shows it, and what it holds.
    evidence: Option<(String, String)>,
    related: Option<(ObjectRef, String)>,
    pub(super) fix: String,
    pub(super) command: Option<Command>,
}

impl Provided {
    pub(super) fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            confidence: Confidence::Proven,
            cause: None,
            evidence: None,
            related: None,
            fix: fix.into(),
            command: None,
        }
    }

    pub(super) fn of_config(mut self) -> Self {
        self.cause = Some(ContainerCrashing::Config);
        self
    }

    pub(super) fn likely(mut self) -> Self {
        self.confidence = Confidence::Likely;
        self
    }

    pub(super) fn seen(mut self, source: impl Into<String>, detail: impl Into<String>) -> Self {
        self.evidence = Some((source.into(), detail.into()));
        self
    }

    /// The object that provides it, and the key within it that matters.
    pub(super) fn by(mut self, object: ObjectRef, key: &str) -> Self {
        self.related = Some((object, key.to_owned()));
        self
    }

    pub(super) fn command(mut self, command: Option<Command>) -> Self {
        self.command = command;
        self
    }

    /// Adds the explanation, what shows it, and what to do.
    pub fn explain(self, view: &View<'_>, pod: &Pod, finding: Finding) -> Finding {
        let mut finding = finding.explained(&self.why);
        if let Some((source, detail)) = &self.evidence {
            finding = finding.evidence(source, detail);
        }
        if let Some((object, key)) = self.related {
            finding = match key.is_empty() {
                true => finding.related("names", object),
                false => finding.related_key("names", object, &key),
            };
        }
        finding.fix_command(self.fix, self.command.unwrap_or_else(|| edit_command(view, pod)))
    }
}

/// The file or folder that a path lies in, where a volume provides it.
pub(super) struct Mounted<'a> {
    pub(super) mount: &'a VolumeMount,
    pub(super) volume: &'a Volume,
}

impl<'a> Mounted<'a> {
    /// The mount of a container that is nearest to a path.
    pub(super) fn of(container: &ContainerView<'a>, path: &str) -> Option<Self> {
        let mounts = container.spec.volume_mounts.iter().flatten();
        let mount = mounts
            .filter(|mount| is_within(path, &mount.mount_path))
            .max_by_key(|mount| mount.mount_path.trim_end_matches('/').len())?;
        let volume = volumes(container.pod).find(|volume| volume.name == mount.name)?;
        Some(Self { mount, volume })
    }

    /// The path within the volume; empty for the mount itself.
    pub(super) fn inner<'p>(&self, path: &'p str) -> &'p str {
        path.get(self.mount.mount_path.trim_end_matches('/').len()..)
            .unwrap_or_default()
            .trim_start_matches('/')
    }

    /// The folder or file of the volume that is mounted; empty for all of it.
    pub(super) fn sub_path(&self) -> &'a str {
        self.mount.sub_path.as_deref().unwrap_or_default()
    }
}

pub(super) fn is_within(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

pub(super) fn pod_security(pod: &Pod) -> Option<&PodSecurityContext> {
    pod.spec.as_ref()?.security_context.as_ref()
}

pub(super) fn fs_group(pod: &Pod) -> Option<i64> {
    pod_security(pod)?.fs_group
}

/// The user that the spec gives a container; none where the image decides.
pub(super) fn user(container: &ContainerView<'_>) -> Option<i64> {
    let own = container.spec.security_context.as_ref().and_then(|s| s.run_as_user);
    own.or_else(|| pod_security(container.pod)?.run_as_user)
}

/// `kubectl patch …`: gives a container of the template these fields.
pub(super) fn patch_container(view: &View<'_>, container: &ContainerView<'_>, fields: Value) -> Option<Command> {
    let mut fields = fields;
    fields["name"] = container.name().into();
    let list = if container.role == Role::App {
        "containers"
    } else {
        "initContainers"
    };
    patch_template(&view.workload_of(container.pod), &json!({list: [fields]}))
}

/// The command that gives a container of the template these fields, and its pods this volume.
pub(super) fn patch_with_volume(view: &View<'_>, container: &ContainerView<'_>, mut fields: Value, volume: Value) -> Option<Command> {
    fields["name"] = container.name().into();
    let list = if container.role == Role::App {
        "containers"
    } else {
        "initContainers"
    };
    patch_template(&view.workload_of(container.pod), &json!({"volumes": [volume], list: [fields]}))
}

pub(super) fn patch_pod(view: &View<'_>, container: &ContainerView<'_>, fields: &Value) -> Option<Command> {
    patch_template(&view.workload_of(container.pod), fields)
}

pub(super) fn namespace(container: &ContainerView<'_>) -> String {
    container.pod.namespace().unwrap_or_default()
}
