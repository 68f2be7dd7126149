//! Which volume a path lies in, and what that volume cannot do.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{KeyToPath, PersistentVolume, Volume};
use kube::ResourceExt;
use serde_json::json;

use crate::facts::mount::claim_of;
use crate::facts::provided::paths::paths_in;
use crate::facts::provided::privilege::has_capability;
use crate::facts::provided::spec::{
    Mounted, Provided, fs_group, is_within, namespace, patch_container, patch_pod, patch_with_volume, user,
};
use crate::facts::runtime;
use crate::model::finding::ObjectRef;
use crate::model::{kind, near};
use crate::text::{Command, command, few};
use crate::view::{ContainerView, Need, Needs, Role, View, containers};

/// What a program was refused at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Denied,
    ReadOnly,
    Full,
    IsFolder,
    IsFile,
    Absent,
}

impl Refusal {
    fn of(line: &str) -> Option<Self> {
        let lower = line.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if has(&["no space left on device", "enospc"]) {
            Some(Self::Full)
        } else if has(&["read-only file system", "erofs", "read-only filesystem"]) {
            Some(Self::ReadOnly)
        } else if has(&["is a directory", "eisdir", "isadirectoryerror"]) {
            Some(Self::IsFolder)
        } else if has(&["not a directory", "enotdir", "notadirectoryerror"]) {
            Some(Self::IsFile)
        } else if has(&["no such file or directory", "enoent", "filenotfound"]) {
            Some(Self::Absent)
        } else {
            // What is `not permitted` is a call, whatever the owner of the path.
            let is_call = has(&["not permitted", "eperm"]);
            (!is_call && has(&["permission denied", "eacces", "permissionerror"])).then_some(Self::Denied)
        }
    }
}

pub(super) fn of_line(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let refusal = Refusal::of(line)?;
    if refusal == Refusal::Full && line.to_lowercase().contains("shared memory") {
        return full(view, container, SHARED_MEMORY);
    }
    paths_in(line).into_iter().find_map(|path| match refusal {
        Refusal::Denied => denied(view, needs, container, path),
        Refusal::ReadOnly => read_only(view, container, path),
        Refusal::Full => full(view, container, path),
        Refusal::IsFolder => is_folder(view, needs, container, path).map(Provided::of_config),
        Refusal::IsFile => is_file(container, path).map(Provided::of_config),
        Refusal::Absent => missing(view, needs, container, path).map(Provided::of_config),
    })
}

/// A runtime that cannot mount a folder over a file: `error mounting "…" to rootfs at "/etc/app.conf": … not a directory`.
pub(super) fn of_mount(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, message: &str) -> Option<Provided> {
    let target = runtime::mount_target(message)?;
    message
        .to_lowercase()
        .contains("not a directory")
        .then(|| is_folder(view, needs, container, &target))?
}

fn denied(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    let uid = user(container);
    if uid == Some(0) {
        return (!has_capability(container, "DAC_OVERRIDE")).then(|| {
            Provided::new(
                "it runs as root without the capability DAC_OVERRIDE, so that the owner and mode of a file bind it as well",
                format!("add the capability DAC_OVERRIDE, or run it as the owner of {path}"),
            )
            .likely()
            .command(patch_container(
                view,
                container,
                json!({"securityContext": {"capabilities": {"add": ["DAC_OVERRIDE"]}}}),
            ))
        });
    }
    let who = uid.map_or_else(|| "the user of its image".to_owned(), |uid| format!("uid {uid}"));
    let owner = uid.map_or_else(|| "UID".to_owned(), |uid| uid.to_string());
    let Some(mounted) = Mounted::of(container, path) else {
        return image_file(container, path, uid);
    };
    let (mount, volume) = (mounted.mount, mounted.volume);
    let name = &volume.name;
    let by_hand = format!(
        "let an init container that runs as root do chown -R {owner} {}, or use a volume of another type",
        mount.mount_path
    );
    if let Some(host) = &volume.host_path {
        let group = if fs_group(container.pod).is_some() {
            ", on which fsGroup has no effect"
        } else {
            ""
        };
        return Some(
            Provided::new(
                format!(
                    "volume {name} is the hostPath {}{group}; {who} may not use what root owns there",
                    host.path
                ),
                by_hand,
            )
            .likely()
            .seen(
                format!("volume {name}"),
                format!("hostPath {}, mounted at {}", host.path, mount.mount_path),
            ),
        );
    }
    if let Some(claim) = claim_of(container.pod, volume) {
        return Some(denied_on_claim(view, needs, container, &claim, &who, by_hand, &mounted));
    }
    if volume.nfs.is_some() {
        let why = format!("volume {name} is an NFS export, on which fsGroup has no effect; {who} has no right there");
        return Some(
            Provided::new(
                why,
                format!("give {owner} the folder on the NFS server (chown there, or its export options)"),
            )
            .likely(),
        );
    }
    if volume.empty_dir.is_some() {
        // An emptyDir is open to every user; what another user made in it is not.
        let shares = |other: &ContainerView<'_>| other.spec.volume_mounts.iter().flatten().any(|m| m.name == *name);
        let other = containers(container.pod)
            .into_iter()
            .find(|other| other.name() != container.name() && shares(other) && user(other) != uid)?;
        let as_user = user(&other).map_or_else(|| "the user of its image".to_owned(), |uid| format!("uid {uid}"));
        return Some(
            Provided::new(
                format!(
                    "container {} writes to the same volume {name} as {as_user}, and this one runs as {who}",
                    other.name()
                ),
                format!(
                    "give both containers the same runAsUser, or let {} open what it makes to others (chmod -R a+rwX)",
                    other.name()
                ),
            )
            .likely(),
        );
    }
    let mode = file_mode(volume, mounted.inner(path))?;
    (mode & 0o004 == 0 && fs_group(container.pod).is_none()).then(|| {
        Provided::new(
            format!("the files of volume {name} have mode {mode:04o} and belong to root, and {who} may not read them"),
            format!("set defaultMode: 0444 on volume {name}, or securityContext.fsGroup on the pod"),
        )
        .command(patch_mode(view, container, volume, 0o444))
    })
}

/// Whether fsGroup can help on a claim depends on the volume that it is bound to.
fn denied_on_claim(
    view: &View<'_>,
    needs: &mut Needs,
    container: &ContainerView<'_>,
    claim: &str,
    who: &str,
    by_hand: String,
    mounted: &Mounted<'_>,
) -> Provided {
    let (name, namespace) = (&mounted.volume.name, namespace(container));
    let object = ObjectRef::new(&kind::CLAIM, &namespace, claim);
    let kept = bound_volume(view, needs, &namespace, claim).and_then(type_without_groups);
    let provided = match (kept, fs_group(container.pod)) {
        (Some(type_), _) => Provided::new(
            format!(
                "volume {name} is claim {claim} on a volume of type {type_}, on which fsGroup has no effect; {who} may not use what root owns there"
            ),
            by_hand,
        ),
        (None, Some(group)) => Provided::new(
            format!(
                "volume {name} is claim {claim}; fsGroup is {group} already, so its driver does not apply it or the path belongs to another"
            ),
            by_hand,
        ),
        (None, None) => {
            let context = container.spec.security_context.as_ref();
            let group = context.and_then(|s| s.run_as_group).or_else(|| user(container));
            let shown = group.map_or_else(|| "the group of the image's user".to_owned(), |group| group.to_string());
            let patch = group.and_then(|group| patch_pod(view, container, &json!({"securityContext": {"fsGroup": group}})));
            Provided::new(
                format!("volume {name} is claim {claim}, which belongs to root unless fsGroup is set; {who} may not use it"),
                format!("set securityContext.fsGroup of the pod to {shown}"),
            )
            .command(patch)
        }
    };
    provided.likely().by(object, "")
}

/// The PersistentVolume of a claim; volumes are asked for where they were not read.
fn bound_volume<'a>(view: &View<'a>, needs: &mut Needs, namespace: &str, claim: &str) -> Option<&'a PersistentVolume> {
    let objects = &view.snapshot.objects;
    let claim = objects
        .claims
        .iter()
        .find(|c| c.name_any() == claim && c.namespace().as_deref() == Some(namespace))?;
    let name = claim.spec.as_ref()?.volume_name.as_deref()?;
    if view.snapshot.coverage(&kind::VOLUME, "").is_none() {
        needs.need(Need::Object(ObjectRef::new(&kind::VOLUME, "", name)));
    }
    objects.volumes.iter().find(|volume| volume.name_any() == name)
}

/// The type of a PersistentVolume to which the kubelet never applies fsGroup.
fn type_without_groups(volume: &PersistentVolume) -> Option<&'static str> {
    let spec = volume.spec.as_ref()?;
    match (&spec.host_path, &spec.nfs) {
        (Some(_), _) => Some("hostPath"),
        (_, Some(_)) => Some("NFS"),
        _ => None,
    }
}

/// Where no volume is mounted, the path belongs to the image.
fn image_file(container: &ContainerView<'_>, path: &str, uid: Option<i64>) -> Option<Provided> {
    let of_kernel = ["/proc", "/sys", "/dev", "/var/run/secrets"]
        .iter()
        .any(|folder| is_within(path, folder));
    let uid = uid.filter(|_| !of_kernel)?;
    let set_by = match container.spec.security_context.as_ref().and_then(|s| s.run_as_user) {
        Some(_) => "runAsUser of the container",
        None => "runAsUser of the pod",
    };
    Some(
        Provided::new(
            format!("{path} is in no volume but in the image, and {set_by} is {uid}, who may not use it"),
            format!("give {path} to uid {uid} in the image, run the container as the user of its image, or mount a volume there"),
        )
        .likely(),
    )
}

fn read_only(view: &View<'_>, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    if is_within(path, "/proc/sys") || is_within(path, "/sys") {
        let parameter = path.strip_prefix("/proc/sys/").map(|rest| rest.replace('/', "."));
        return Some(Provided::new(
            "kernel parameters are read-only in a container that is not privileged",
            parameter.map_or_else(
                || "do not write there, or set it on the node".to_owned(),
                |name| format!("set {name} in securityContext.sysctls of the pod, or on the node"),
            ),
        ));
    }
    let Some(Mounted { mount, volume }) = Mounted::of(container, path) else {
        let is_fixed = container.spec.security_context.as_ref().and_then(|s| s.read_only_root_filesystem) == Some(true);
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let folder = if folder.is_empty() { path } else { folder };
        return is_fixed.then(|| {
            let name = folder
                .trim_matches('/')
                .to_lowercase()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let mount = json!({"volumeMounts": [{"name": name, "mountPath": folder}]});
            let patch = patch_with_volume(view, container, mount, json!({"emptyDir": {}, "name": name}));
            Provided::new(
                format!("{path} is in no volume, and readOnlyRootFilesystem is true"),
                format!("mount an emptyDir at {folder}"),
            )
            .command(patch)
        });
    };
    let name = &volume.name;
    let written = format!("volume {name}");
    if let Some(type_) = of_objects(volume) {
        return Some(
            Provided::new(
                format!("volume {name} is {type_}, which is always read-only"),
                format!(
                    "copy what is needed into an emptyDir when the container starts, and write there instead of {}",
                    mount.mount_path
                ),
            )
            .seen(written, format!("mounted at {}", mount.mount_path)),
        );
    }
    if mount.read_only == Some(true) {
        return Some(
            Provided::new(
                format!("volume {name} is mounted at {} with readOnly: true", mount.mount_path),
                "remove readOnly from this volumeMount",
            )
            .command(patch_container(
                view,
                container,
                json!({"volumeMounts": [{"mountPath": mount.mount_path, "name": name, "readOnly": false}]}),
            )),
        );
    }
    let claim = volume
        .persistent_volume_claim
        .as_ref()
        .filter(|claim| claim.read_only == Some(true))?;
    Some(Provided::new(
        format!("volume {name} uses claim {} with readOnly: true", claim.claim_name),
        format!("remove readOnly from the volume {name}"),
    ))
}

/// Volumes made from objects of the API.
fn of_objects(volume: &Volume) -> Option<String> {
    if let Some(map) = &volume.config_map {
        Some(format!("ConfigMap {}", map.name))
    } else if let Some(secret) = &volume.secret {
        Some(format!("Secret {}", secret.secret_name.as_deref().unwrap_or_default()))
    } else if volume.projected.is_some() {
        Some("a projected volume".to_owned())
    } else {
        volume.downward_api.is_some().then(|| "a downwardAPI volume".to_owned())
    }
}

/// The mode of a file that comes from an object.
pub(super) fn file_mode(volume: &Volume, file: &str) -> Option<i32> {
    let of = |items: &Option<Vec<KeyToPath>>, default: Option<i32>| {
        let item = items.iter().flatten().find(|item| item.path == file);
        item.and_then(|item| item.mode).or(default).unwrap_or(0o644)
    };
    match (&volume.config_map, &volume.secret) {
        (Some(map), _) => Some(of(&map.items, map.default_mode)),
        (_, Some(secret)) => Some(of(&secret.items, secret.default_mode)),
        _ => None,
    }
}

/// Gives the files of a ConfigMap or Secret another mode.
pub(super) fn patch_mode(view: &View<'_>, container: &ContainerView<'_>, volume: &Volume, mode: i32) -> Option<Command> {
    let source = if volume.config_map.is_some() { "configMap" } else { "secret" };
    patch_pod(
        view,
        container,
        &json!({"volumes": [{"name": volume.name, source: {"defaultMode": mode}}]}),
    )
}

const SHARED_MEMORY: &str = "/dev/shm";

fn full(view: &View<'_>, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    let Some(Mounted { mount, volume }) = Mounted::of(container, path) else {
        return is_within(path, SHARED_MEMORY).then(|| {
            Provided::new(
                "/dev/shm has 64 MiB in every container that mounts nothing there",
                "mount an emptyDir with medium: Memory at /dev/shm; it counts towards the memory limit",
            )
            .command(patch_with_volume(
                view,
                container,
                json!({"volumeMounts": [{"name": "shm", "mountPath": SHARED_MEMORY}]}),
                json!({"emptyDir": {"medium": "Memory"}, "name": "shm"}),
            ))
        });
    };
    let name = &volume.name;
    if let Some(empty) = volume.empty_dir.as_ref().filter(|empty| empty.medium.as_deref() == Some("Memory")) {
        let limit = empty.size_limit.as_ref()?;
        return Some(Provided::new(
            format!("volume {name} is an emptyDir in memory with sizeLimit {}", limit.0),
            format!("raise sizeLimit of volume {name} (it counts towards the memory limit), or write less"),
        ));
    }
    let namespace = namespace(container);
    let claim = claim_of(container.pod, volume)?;
    let object = view
        .snapshot
        .objects
        .claims
        .iter()
        .find(|c| c.name_any() == claim && c.namespace().as_deref() == Some(&namespace));
    let size = object.and_then(|c| c.status.as_ref()?.capacity.as_ref()?.get("storage"));
    let size = size.map(|size| format!(" of {}", size.0)).unwrap_or_default();
    Some(
        Provided::new(
            format!("volume {name} is claim {claim}{size}, and it is full"),
            format!(
                "delete what is not needed at {}, or enlarge the claim where its StorageClass allows it",
                mount.mount_path
            ),
        )
        .likely()
        .command(Some(command("kubectl edit persistentvolumeclaim/{} -n {}", &[&claim, &namespace])))
        .by(ObjectRef::new(&kind::CLAIM, &namespace, &claim), ""),
    )
}

/// A volume of files that have names: the object, its items, and its keys where they are known.
struct Files<'a> {
    object: ObjectRef,
    shown: String,
    /// The files by name; none where the keys are not known.
    names: Option<BTreeSet<&'a str>>,
}

impl<'a> Files<'a> {
    fn of(view: &View<'a>, needs: &mut Needs, namespace: &str, volume: &'a Volume) -> Option<Self> {
        let (object, word, items, keys) = if let Some(map) = &volume.config_map {
            let object = ObjectRef::new(&kind::CONFIG_MAP, namespace, &map.name);
            let keys = view.snapshot.config_map_keys(namespace, &map.name);
            if keys.is_none() && map.items.is_none() {
                needs.need(Need::Object(object.clone()));
            }
            (object, "ConfigMap", map.items.as_ref(), keys)
        } else {
            let secret = volume.secret.as_ref()?;
            let name = secret.secret_name.as_deref().unwrap_or_default();
            (
                ObjectRef::new(&kind::SECRET, namespace, name),
                "Secret",
                secret.items.as_ref(),
                None,
            )
        };
        let names = match items {
            Some(items) => Some(items.iter().map(|item| item.path.as_str()).collect()),
            None => keys,
        };
        let shown = format!("{word} {}", object.name);
        Some(Self { object, shown, names })
    }

    /// `it has a and b`, for those whose names are known.
    fn listed(&self) -> String {
        match &self.names {
            Some(names) if names.is_empty() => " (it has none)".to_owned(),
            Some(names) => format!(
                " (it has {})",
                few(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), 5)
            ),
            None => String::new(),
        }
    }

    /// Whether a file or folder of this name is in the volume; none where that is not known.
    fn has(&self, path: &str) -> Option<bool> {
        let names = self.names.as_ref()?;
        Some(
            names
                .iter()
                .any(|name| *name == path || name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))),
        )
    }

    /// The name that was probably meant: `settings.yml` for `settings.yaml`.
    fn near(&self, path: &str) -> Option<&'a str> {
        near::nearest(path, self.names.iter().flatten().copied())
    }
}

fn is_folder(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    let mounted = Mounted::of(container, path).filter(|mounted| mounted.inner(path).is_empty())?;
    let (mount, volume) = (mounted.mount, mounted.volume);
    if let Some(host) = &volume.host_path {
        return Some(
            Provided::new(
                format!("volume {} is the hostPath {}, and a folder is there", volume.name, host.path),
                format!(
                    "set type: File on the hostPath, so that the pod waits for the file, and put the file at {} on the node",
                    host.path
                ),
            )
            .likely(),
        );
    }
    let files = Files::of(view, needs, &namespace(container), volume)?;
    let file = path.rsplit('/').next().unwrap_or_default();
    let sub_path = mounted.sub_path();
    let shown = files.shown.clone();
    if sub_path.is_empty() {
        // All keys are mounted as a folder where one file was meant.
        let key = match files.has(file)? {
            true => file,
            false => files.near(file)?,
        };
        let provided = Provided::new(
            format!("{path} is a directory because {shown} is mounted there as a whole"),
            format!("add subPath: {key} to this volumeMount"),
        );
        let patch = patch_container(
            view,
            container,
            json!({"volumeMounts": [{"mountPath": mount.mount_path, "name": volume.name, "subPath": key}]}),
        );
        return Some(provided.command(patch).by(files.object, key));
    }
    let near = files.near(sub_path);
    let fix = near.map_or_else(
        || format!("correct subPath, or add the key {sub_path} to {shown}"),
        |near| format!("set subPath: {near} in this volumeMount"),
    );
    let patch = near.and_then(|near| {
        patch_container(
            view,
            container,
            json!({"volumeMounts": [{"mountPath": mount.mount_path, "name": volume.name, "subPath": near}]}),
        )
    });
    let listed = files.listed();
    match files.has(sub_path) {
        Some(true) => None,
        Some(false) => Some(
            Provided::new(
                format!("{path} is a directory because subPath {sub_path} is no key of {shown}{listed}"),
                fix,
            )
            .command(patch)
            .by(files.object, sub_path),
        ),
        // The keys of a Secret are not read.
        None if volume.secret.is_some() => Some(
            Provided::new(
                format!("{path} is a directory, so subPath {sub_path} is probably no key of {shown}, whose keys are not read"),
                format!("compare subPath {sub_path} with the keys of {shown}"),
            )
            .likely()
            .command(Some(command(
                "kubectl describe secret {} -n {}",
                &[&files.object.name, &files.object.namespace],
            )))
            .by(files.object, sub_path),
        ),
        None => None,
    }
}

/// A folder is wanted where a mount puts a file.
fn is_file(container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    let mounted = Mounted::of(container, path).filter(|m| !m.sub_path().is_empty() && of_objects(m.volume).is_some())?;
    let (mount, source) = (mounted.mount, of_objects(mounted.volume)?);
    Some(Provided::new(
        format!(
            "subPath {} of {source} is a file, and it is mounted at {}",
            mounted.sub_path(),
            mount.mount_path
        ),
        format!(
            "mount it at a path of a file, such as {}/{}",
            mount.mount_path.trim_end_matches('/'),
            mounted.sub_path()
        ),
    ))
}

/// What an object that a volume shows does not have.
pub(super) fn absent(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    let mounted = Mounted::of(container, path).filter(|m| !m.inner(path).is_empty())?;
    let inner = mounted.inner(path);
    let files = Files::of(view, needs, &namespace(container), mounted.volume)?;
    let wanted = match mounted.sub_path() {
        "" => inner.to_owned(),
        sub => format!("{sub}/{inner}"),
    };
    if files.has(&wanted)? {
        return None;
    }
    let (shown, listed) = (files.shown.clone(), files.listed());
    let fix = match files.near(&wanted) {
        Some(near) => format!("rename the key {near} of {shown} to {wanted}, or let the program read {near}"),
        None => {
            format!("add the key {wanted} to {shown}, or mount single keys with subPath: a mount hides what the image has in its folder")
        }
    };
    Some(
        Provided::new(
            format!(
                "{} comes from {shown}, which gives no file {wanted}{listed}",
                mounted.mount.mount_path
            ),
            fix,
        )
        .by(files.object, &wanted),
    )
}

/// An empty volume that no other container of the pod mounts: what the container itself does not write never comes.
pub(super) fn unshared(container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    let mounted = Mounted::of(container, path).filter(|m| m.volume.empty_dir.is_some())?;
    // A hook runs beside the command.
    if container.spec.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some()) {
        return None;
    }
    let name = &mounted.volume.name;
    let mounts = |other: &ContainerView<'_>| other.spec.volume_mounts.iter().flatten().any(|m| m.name == *name);
    let mut others = containers(container.pod)
        .into_iter()
        .filter(|other| other.name() != container.name());
    (!others.any(|other| mounts(&other))).then(|| {
        Provided::new(
            format!("volume {name} is an emptyDir that no other container of the pod mounts"),
            format!("mount volume {name} in the container that writes {path} too, or do not wait for it"),
        )
        .likely()
    })
}

/// Folders that an image fills, unlike those of data.
const OF_IMAGE: [&str; 6] = ["/etc", "/usr", "/bin", "/lib", "/opt", "/var/www"];

fn missing(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, path: &str) -> Option<Provided> {
    if OF_IMAGE.iter().any(|folder| is_within(path, folder)) {
        return hidden(view, needs, container, path);
    }
    absent(view, needs, container, path)
}

/// What of a missing command is known: a mount lies over its folder, or gives no such file.
pub(super) fn hidden(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, program: &str) -> Option<Provided> {
    if let Some(provided) = absent(view, needs, container, program) {
        return Some(provided);
    }
    let mounted = Mounted::of(container, program).filter(|m| !m.inner(program).is_empty() && of_objects(m.volume).is_none())?;
    let path = &mounted.mount.mount_path;
    let fills = |other: &ContainerView<'_>| {
        other.role == Role::Init && other.spec.volume_mounts.iter().flatten().any(|m| m.name == mounted.volume.name)
    };
    let others = containers(container.pod);
    if let Some(other) = others.iter().find(|other| other.name() != container.name() && fills(other)) {
        return Some(
            Provided::new(
                format!(
                    "{path} is volume {}, into which init container {} did not put it",
                    mounted.volume.name,
                    other.name()
                ),
                format!("let init container {} write {program}, or correct the command", other.name()),
            )
            .likely(),
        );
    }
    Some(
        Provided::new(
            format!(
                "volume {} is mounted at {path} and hides what the image has there",
                mounted.volume.name
            ),
            format!("mount the volume at another path than {path}, or put {program} into it"),
        )
        .likely(),
    )
}
