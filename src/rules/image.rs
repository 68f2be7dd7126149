//! Images that cannot be pulled.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use serde_json::json;

use crate::facts::ending::{counts, edit_command, owner_name, patch_command};
use crate::model::cause::ImagePullFailing;
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef};
use crate::model::snapshot::Presence;
use crate::model::{kind, near};
use crate::text::{Command, command, redact, shorten};
use crate::view::{ContainerView, Need, Needs, Out, View, containers, revision};

/// Why the kubelet waits when it has no image (`pkg/kubelet/images/types.go`).
pub const REASONS: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Containers that wait for their image, and the pull secrets they lack.
pub fn check(view: &View<'_>, out: &mut Out) {
    for workload in view.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(view, pod)) {
            for container in &containers(pod) {
                if let Some((reason, message)) = failure(view, container) {
                    let cause = cause_of(reason, &message);
                    out.findings.push(failing(view, &mut out.needs, container, cause, reason, &message));
                    out.findings.extend(secret_missing(view, container, cause));
                }
            }
        }
    }
}

/// Reason and message of a failing pull. Where the status only says back-off, the newest event of the container tells.
fn failure<'a>(view: &View<'a>, container: &ContainerView<'a>) -> Option<(&'a str, String)> {
    let (reason, message) = container.waiting().filter(|(reason, _)| REASONS.contains(reason))?;
    let tells = message.split_once(": Err").is_some() || !(message.is_empty() || message.starts_with("Back-off pulling image"));
    if tells {
        return Some((reason, message.to_owned()));
    }
    let event = view.pod_events(container.pod).into_iter().find(|e| {
        let about = e.container().is_none_or(|name| name == container.name());
        about && (e.reason() == "InspectFailed" || (e.reason() == "Failed" && e.message().starts_with("Failed to pull image")))
    });
    Some((reason, event.map_or(message, |e| e.message()).to_owned()))
}

/// Which kind of failure a message of containerd, CRI-O or Docker speaks of.
fn cause_of(reason: &str, message: &str) -> ImagePullFailing {
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    // The name of the image may hold any of these words: it is cut out.
    match reason {
        "ErrImageNeverPull" => return ImagePullFailing::NeverPull,
        "InvalidImageName" => return ImagePullFailing::InvalidName,
        _ => {}
    }
    if has(&["invalid reference format", "couldn't parse image name"]) {
        ImagePullFailing::InvalidName
    } else if has(&[" 429", "toomanyrequests", "too many requests", "rate limit"]) {
        ImagePullFailing::RateLimited
    } else if has(&[
        "no match for platform",
        "no matching manifest for",
        "no image found in manifest list",
        "no image found in image index",
    ]) {
        ImagePullFailing::Architecture
    } else if has(&["no space left on device"]) {
        ImagePullFailing::NoSpace
    } else if has(&[
        "401 ",
        "403 ",
        "unauthorized",
        "forbidden",
        "authentication required",
        "authorization failed",
        "access denied",
        "no basic auth",
        "access to the resource is denied",
        "insufficient_scope",
        "failed to fetch anonymous token",
        "failed to fetch oauth token",
        "permission_denied",
        "permission denied",
    ]) {
        ImagePullFailing::Unauthorized
    } else if has(&[
        "i/o timeout",
        "deadline exceeded",
        "timed out",
        "handshake timeout",
        "client.timeout",
    ]) {
        ImagePullFailing::Timeout
    } else if has(&["x509:", "tls: ", "certificate", "http response to https client"]) {
        ImagePullFailing::Tls
    } else if has(&[
        "connection refused",
        "no such host",
        "no route to host",
        "network is unreachable",
        "connection reset",
        "server misbehaving",
        "name resolution",
    ]) {
        ImagePullFailing::RegistryUnreachable
    } else if has(&[
        "code = notfound",
        "not found",
        "manifest unknown",
        "name unknown",
        "manifest_unknown",
        "repository name not known",
    ]) {
        ImagePullFailing::NotFound
    } else if has(&[
        " 500 ",
        " 502 ",
        " 503 ",
        " 504 ",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "unexpected status",
    ]) {
        ImagePullFailing::RegistryError
    } else if has(&["dial tcp", ": eof", "unexpected eof"]) {
        ImagePullFailing::RegistryUnreachable
    } else {
        ImagePullFailing::Unknown
    }
}

fn failing(
    view: &View<'_>,
    needs: &mut Needs,
    container: &ContainerView<'_>,
    cause: ImagePullFailing,
    reason: &str,
    message: &str,
) -> Finding {
    let image = container.spec.image.as_deref().unwrap_or_default();
    let namespace = container.pod.namespace().unwrap_or_default();
    let registry = registry_of(image);
    let what = match cause {
        ImagePullFailing::NotFound => format!("{image} does not exist in {registry}"),
        ImagePullFailing::Unauthorized => format!("{registry} refuses access to {image}: it is private, or does not exist"),
        ImagePullFailing::RegistryUnreachable => format!("the node cannot reach {registry}"),
        ImagePullFailing::Tls if message.contains("HTTP response to HTTPS client") => {
            format!("{registry} speaks plain HTTP, but the node uses HTTPS")
        }
        ImagePullFailing::Tls => format!("the node does not trust the TLS certificate of {registry}"),
        ImagePullFailing::RateLimited => format!("{registry} limits the rate of pulls"),
        ImagePullFailing::InvalidName => format!("{image:?} is not a valid image name"),
        ImagePullFailing::NeverPull => format!("{image} is not on the node, and imagePullPolicy is Never"),
        ImagePullFailing::Architecture => format!("{image} has no variant for the node's CPU architecture"),
        ImagePullFailing::RegistryError => format!("{registry} answers with a server error"),
        ImagePullFailing::Timeout => format!("{registry} does not answer in time"),
        ImagePullFailing::NoSpace => format!("the node has no space left to unpack {image}"),
        _ => format!("{image} cannot be pulled"),
    };
    let summary = format!(
        "container {} of {} cannot get its image: {what}",
        container.name(),
        owner_name(view, container.pod)
    );
    let mut finding = Finding::error(cause, view.subject_of(container), summary)
        .evidence(container.source(), format!("{reason}: {}", shorten(&redact(tail_of(message)), 200)));
    let edit = edit_command(view, container.pod);
    if let Some((node, patch)) = is_needless(view, needs, container, cause) {
        finding = finding
            .evidence(format!("node/{node}"), "has this image; imagePullPolicy is Always")
            .fix_command("set imagePullPolicy: IfNotPresent: the node has the image", patch);
    }
    finding = match cause {
        ImagePullFailing::NotFound | ImagePullFailing::InvalidName => match other_tag(view, container) {
            Some((tag, pod)) => finding.fix_command(format!("correct the image: pod/{pod} runs {tag}"), edit),
            None => finding.fix_command("correct the name or the tag of the image, or push it", edit),
        },
        ImagePullFailing::Unauthorized => with_pull_secrets(view, needs, container, finding),
        ImagePullFailing::NeverPull => {
            let holders = holders(view, needs, image);
            let fix = match holders.first() {
                Some(node) => format!("set imagePullPolicy: IfNotPresent, or load the image onto the node: only {node} has it"),
                None => "set imagePullPolicy: IfNotPresent, or load the image onto every node".to_owned(),
            };
            finding.fix_command(fix, edit)
        }
        ImagePullFailing::RateLimited => {
            finding.fix_command("pull with credentials, through a mirror, or wait: the kubelet tries again", edit)
        }
        ImagePullFailing::Architecture => finding.fix_command(
            "build the image for the node's architecture too, or select nodes that fit it",
            "kubectl get nodes -L kubernetes.io/arch",
        ),
        ImagePullFailing::NoSpace => finding.fix_command("free space on the node's image file system", describe_node(container)),
        ImagePullFailing::Tls => finding.fix_command(
            "add the registry's CA to the runtime of the nodes, or correct the scheme of the registry",
            describe_node(container),
        ),
        ImagePullFailing::RegistryUnreachable | ImagePullFailing::Timeout => finding.fix_command(
            "check name, DNS, route and proxy to the registry from the node",
            describe_node(container),
        ),
        _ => finding.fix_command(
            "the registry's own state or log says more; the kubelet tries again",
            command("kubectl describe pod {} -n {}", &[&container.pod.name_any(), &namespace]),
        ),
    };
    view.container_effects(container).into_iter().fold(finding, Finding::breaking)
}

/// What the pod shows to a registry that refuses it, and which Secret others show there.
fn with_pull_secrets(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, finding: Finding) -> Finding {
    let pod = container.pod;
    let namespace = pod.namespace().unwrap_or_default();
    let registry = registry_of(container.spec.image.as_deref().unwrap_or_default());
    let edit = edit_command(view, pod);
    let own = secrets_of(pod);
    let first = own.first();
    let evidence = match first {
        None => "has no imagePullSecrets".to_owned(),
        Some(_) => format!("imagePullSecrets names {}", own.join(", ")),
    };
    let finding = finding.evidence(format!("pod/{} spec", pod.name_any()), evidence);
    // Asked for with `--with secrets` alone, and then only metadata and type.
    if let Some(name) = first.filter(|name| view.snapshot.presence(&kind::SECRET, &namespace, name) == Presence::Unknown) {
        needs.need(Need::Object(ObjectRef::new(&kind::SECRET, &namespace, name)));
    }
    let types: Vec<(&str, &str)> = own
        .iter()
        .filter_map(|name| {
            let secrets = &view.snapshot.objects.secrets;
            let secret = secrets
                .iter()
                .find(|s| s.name_any() == *name && s.namespace().as_deref() == Some(&namespace))?;
            Some((*name, secret.type_.as_deref()?))
        })
        .collect();
    let is_used = |type_: &str| matches!(type_, "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg");
    if let Some((name, type_)) = types.iter().find(|(_, type_)| !is_used(type_)) {
        // The type of a Secret never changes, and its name is taken.
        let other = if *name == "regcred" { "registry" } else { "regcred" };
        return finding.evidence(format!("secret/{name}"), format!("type {type_}")).fix_command(
            format!(
                "Secret {name} is of type {type_}, which the kubelet does not use for pulls: create one of type \
                     kubernetes.io/dockerconfigjson, and name that in imagePullSecrets"
            ),
            create_secret(other, &namespace, registry),
        );
    }
    // Others pull from the same registry.
    let shown_by_others = view
        .snapshot
        .objects
        .pods
        .iter()
        .filter(|p| p.namespace().as_deref() == Some(&namespace))
        .find_map(|other| {
            let pulls = containers(other).iter().any(|c| {
                let image = c.spec.image.as_deref().unwrap_or_default();
                c.is_running() && registry_of(image) == registry
            });
            let name = secrets_of(other).into_iter().find(|name| !own.contains(name))?;
            pulls.then(|| (name, view.workload_of(other)))
        });
    if let Some((name, other)) = shown_by_others {
        return finding.fix_command(
            format!(
                "name Secret {name} in imagePullSecrets: {} pulls from {registry} with it",
                other.short()
            ),
            edit,
        );
    }
    match first {
        None => finding.fix_command(
            format!(
                "check the name; if {registry} is private, create a pull secret for it and name it in imagePullSecrets of the pod template"
            ),
            create_secret("regcred", &namespace, registry),
        ),
        Some(name) => {
            let check = format!("check the name, and whether Secret {name} is for {registry} and its user may pull this repository");
            // Where the type is known to be right, the command that prints it tells nothing new.
            match types.is_empty() {
                true => finding.fix_command(
                    check,
                    command("kubectl get secret {} -n {} -o jsonpath='{.type}'", &[&name, &namespace]),
                ),
                false => finding.fix(check),
            }
        }
    }
}

/// The names of the Secrets that a pod shows to registries; those of its ServiceAccount are among them.
fn secrets_of(pod: &Pod) -> Vec<&str> {
    let secrets = pod.spec.iter().flat_map(|s| s.image_pull_secrets.iter().flatten());
    secrets.map(|secret| secret.name.as_str()).collect()
}

fn create_secret(name: &str, namespace: &str, registry: &str) -> Command {
    command(
        "kubectl create secret docker-registry {} -n {} --docker-server={} --docker-username=USER --docker-password=PASSWORD",
        &[&name, &namespace, &registry],
    )
}

/// The nodes that have an image. The kubelet lists its largest 50.
fn holders<'a>(view: &View<'a>, needs: &mut Needs, image: &str) -> Vec<&'a str> {
    needs.list(view, &kind::NODE, "");
    let full = if image.contains(':') && !image.ends_with(":latest") || image.contains('@') {
        image.to_owned()
    } else {
        format!("{}:latest", image.trim_end_matches(":latest"))
    };
    let is_it = |name: &String| *name == full || name.strip_suffix(&full).is_some_and(|registry| registry.ends_with('/'));
    let nodes = view.snapshot.objects.nodes.iter();
    let has = |node: &&Node| {
        let images = node.status.iter().flat_map(|s| s.images.iter().flatten());
        images.flat_map(|image| image.names.iter().flatten()).any(is_it)
    };
    nodes.filter(has).filter_map(|node| node.metadata.name.as_deref()).collect()
}

/// The node of a pod that has the image which it fails to pull, and the command that lets it use that one.
fn is_needless<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    container: &ContainerView<'a>,
    cause: ImagePullFailing,
) -> Option<(&'a str, Command)> {
    if container.spec.image_pull_policy.as_deref() != Some("Always")
        || matches!(
            cause,
            ImagePullFailing::InvalidName | ImagePullFailing::NoSpace | ImagePullFailing::NeverPull
        )
    {
        return None;
    }
    let own = container.pod.spec.as_ref()?.node_name.as_deref()?;
    let image = container.spec.image.as_deref()?;
    let node = holders(view, needs, image).into_iter().find(|node| *node == own)?;
    let patch = patch_command(
        &view.workload_of(container.pod),
        &json!({"name": container.name(), "imagePullPolicy": "IfNotPresent"}),
    );
    Some((node, patch.unwrap_or_else(|| edit_command(view, container.pod))))
}

fn describe_node(container: &ContainerView<'_>) -> Command {
    let node = container.pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
    command("kubectl describe node {}", &[&node])
}

/// What stands behind the layers that repeat the image's name.
fn tail_of(message: &str) -> &str {
    let message = message.split_once("failed to resolve reference ").map_or(message, |(_, tail)| tail);
    let message = message
        .strip_prefix('"')
        .and_then(|m| m.split_once("\": "))
        .map_or(message, |(_, tail)| tail);
    let message = message.split_once("ErrImagePull: ").map_or(message, |(_, tail)| tail);
    message
        .split_once("failed to pull and unpack image \"")
        .and_then(|(_, tail)| tail.split_once("\": "))
        .map_or(message, |(_, tail)| tail)
}

/// The registry of an image: `docker.io` where it names none.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// An image without tag and digest.
fn repository_of(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    }
}

/// An image that runs in this namespace and was probably meant: another tag of the same repository, or a near miss of its name.
fn other_tag<'a>(view: &View<'a>, container: &ContainerView<'_>) -> Option<(&'a str, String)> {
    let image = container.spec.image.as_deref()?;
    let namespace = container.pod.namespace();
    let running: Vec<(&str, String)> = view
        .snapshot
        .objects
        .pods
        .iter()
        .filter(|p| p.namespace() == namespace && (revision(p) != revision(container.pod) || p.name_any() != container.pod.name_any()))
        .flat_map(containers)
        .filter(ContainerView::is_ready)
        .filter_map(|c| Some((c.spec.image.as_deref()?, c.pod.name_any())))
        .filter(|(other, _)| *other != image)
        .collect();
    let repository = repository_of(image);
    // Short names are near to each other without being a slip: `api` and `app`.
    let is_slip = |other: &str| repository.rsplit('/').next().is_some_and(|last| last.len() >= 5) && near::distance(other, repository) == 1;
    let same = running.iter().find(|(other, _)| repository_of(other) == repository);
    same.or_else(|| running.iter().find(|(other, _)| is_slip(repository_of(other))))
        .cloned()
}

/// A pull secret that the kubelet did not find; it matters only where the registry wants to know who asks.
fn secret_missing(view: &View<'_>, container: &ContainerView<'_>, cause: ImagePullFailing) -> Option<Finding> {
    if !matches!(cause, ImagePullFailing::Unauthorized | ImagePullFailing::Unknown) {
        return None;
    }
    let pod = container.pod;
    let namespace = pod.namespace().unwrap_or_default();
    let event = view
        .pod_events(pod)
        .into_iter()
        .find(|e| e.reason() == "FailedToRetrieveImagePullSecret");
    let named = event.and_then(|e| e.message().split_once('(')?.1.split_once(')').map(|(names, _)| names.to_owned()));
    let named: Vec<&str> = named
        .as_deref()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .collect();
    let missing = secrets_of(pod).into_iter().chain(named.iter().copied()).find(|name| {
        match view.snapshot.presence(&kind::SECRET, &namespace, name) {
            Presence::Absent => true,
            Presence::Present => false,
            Presence::Unknown => named.contains(name),
        }
    })?;
    let summary = format!(
        "the image pull secret {missing} of {} does not exist, so its images cannot be pulled",
        owner_name(view, pod)
    );
    let mut finding = Finding::error(Code::ImagePullSecretMissing, view.pod_subject(pod), summary)
        .related("missing", ObjectRef::new(&kind::SECRET, &namespace, missing))
        .breaking(Effect::NotReady(view.workload_of(pod)));
    if let Some(event) = event {
        finding = finding.evidence(
            format!("pod/{} event {}", pod.name_any(), event.reason()),
            shorten(event.message(), 200),
        );
    } else {
        finding = finding.evidence("secrets", format!("no secret {missing} in namespace {namespace}"));
    }
    let names = view
        .snapshot
        .objects
        .secrets
        .iter()
        .filter(|s| s.namespace().as_deref() == Some(&namespace))
        .filter_map(|s| s.metadata.name.as_deref());
    if let Some(near) = near::nearest(missing, names) {
        finding = finding.fix(format!("perhaps secret/{near} was meant"));
    }
    Some(finding.fix_command(
        format!("create the secret {missing}, or correct imagePullSecrets"),
        create_secret(
            missing,
            &namespace,
            registry_of(container.spec.image.as_deref().unwrap_or_default()),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_pod_that_runs_is_silent() {
        let yaml = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}";
        assert!(check(crate::rules::image::check, yaml).is_empty());
    }

    #[test]
    fn messages_of_runtimes_name_their_cause() {
        for (reason, message, cause) in [
            (
                "ErrImagePull",
                r#"rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/nosuch/app:1.2.3": failed to resolve reference "docker.io/nosuch/app:1.2.3": docker.io/nosuch/app:1.2.3: not found"#,
                "not-found",
            ),
            (
                "ImagePullBackOff",
                r#"Back-off pulling image "private/app:1": ErrImagePull: failed to pull and unpack image "docker.io/private/app:1": failed to resolve reference "docker.io/private/app:1": pulling from host 127.0.0.1:5000 failed with status code [manifests 1]: 401 Unauthorized"#,
                "unauthorized",
            ),
            (
                "ErrImagePull",
                "failed to resolve reference \"docker.io/limited/app:1\": pulling from host 127.0.0.1:5000 failed with status code [manifests 1]: 429 Too Many Requests",
                "rate-limited",
            ),
            (
                "ErrImagePull",
                "failed to resolve reference \"docker.io/broken/app:1\": pulling from host 127.0.0.1:5000 failed with status code [manifests 1]: 500 Internal Server Error",
                "registry-error",
            ),
            (
                "InvalidImageName",
                "Failed to apply default image tag \"Acme/App:1\": couldn't parse image name \"Acme/App:1\": invalid reference format: repository name (App) must be lowercase",
                "invalid-name",
            ),
            (
                "ErrImageNeverPull",
                "Container image \"acme/app:1\" is not present with pull policy of Never",
                "never-pull",
            ),
            (
                "ErrImagePull",
                "failed to do request: Head \"https://registry.example/v2/app/manifests/1\": dial tcp: lookup registry.example on 10.0.0.2:53: no such host",
                "registry-unreachable",
            ),
            (
                "ErrImagePull",
                "failed to do request: Head \"https://10.1.2.3/v2/app/manifests/1\": dial tcp 10.1.2.3:443: i/o timeout",
                "timeout",
            ),
            (
                "ErrImagePull",
                "failed to do request: Head \"https://r/v2/a/manifests/1\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "tls",
            ),
            (
                "ErrImagePull",
                "failed to do request: Head \"https://r/v2/\": http: server gave HTTP response to HTTPS client",
                "tls",
            ),
            (
                "ErrImagePull",
                "failed to pull and unpack image \"docker.io/library/x:1\": no match for platform in manifest: not found",
                "architecture",
            ),
            (
                "ErrImagePull",
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                "unauthorized",
            ),
            (
                "ErrImagePull",
                "failed to copy: write /var/lib/containerd/x: no space left on device",
                "no-space",
            ),
            ("ErrImagePull", "something else", "unknown"),
        ] {
            assert_eq!(cause_of(reason, message).as_str(), cause, "{message}");
        }
    }

    const BACK_OFF: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: a, uid: u1}
spec: {nodeName: node-1, imagePullSecrets: [{name: regcred}], containers: [{name: c, image: "private/app:1"}]}
status:
  phase: Pending
  containerStatuses: [{name: c, image: i, imageID: "", ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, message: "Back-off pulling image \"private/app:1\""}}}]
---
apiVersion: v1
kind: Event
metadata: {name: e}
involvedObject: {kind: Pod, name: a, uid: u1, fieldPath: "spec.containers{c}"}
reason: Failed
message: "Failed to pull image \"private/app:1\": pulling from host r failed with status code [manifests 1]: 401 Unauthorized"
lastTimestamp: "2026-01-01T11:59:00Z"
"#;

    #[test]
    fn a_bare_back_off_is_explained_by_its_event_and_by_the_secret_that_is_missing() {
        let found = check(crate::rules::image::check, BACK_OFF);
        let codes: Vec<_> = found.iter().map(|f| (f.code, f.cause.as_str())).collect();
        assert_eq!(
            codes,
            [(Code::ImagePullFailing, "unauthorized"), (Code::ImagePullSecretMissing, "")]
        );
        assert_eq!(found[1].related[0].object.name, "regcred");
        let command = found[1].fixes.last().and_then(|fix| fix.command.as_deref()).unwrap();
        assert!(
            command.starts_with("kubectl create secret docker-registry regcred -n "),
            "{command}"
        );
        assert!(command.ends_with(" --docker-password=PASSWORD"), "{command}");
    }

    #[test]
    fn a_refused_pull_is_explained_by_the_secrets_of_the_pod_and_of_others() {
        let of_type = |type_: &str| format!("---\n{{apiVersion: v1, kind: Secret, metadata: {{name: regcred}}, type: {type_}}}\n");
        let docker = of_type("kubernetes.io/dockerconfigjson");
        let other = "---\n{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {imagePullSecrets: [{name: hub}], containers: [{name: c, image: 'private/b:1'}]}, \
             status: {containerStatuses: [{name: c, image: i, imageID: '', ready: true, restartCount: 0, state: {running: {}}}]}}\n";
        let elsewhere = other.replace("private/b:1", "registry.example/b:1");
        let bare = BACK_OFF.replace("imagePullSecrets: [{name: regcred}], ", "");
        for (yaml, fix) in [
            (format!("{BACK_OFF}{docker}"), "whether Secret regcred is for docker.io"),
            (format!("{BACK_OFF}{}", of_type("Opaque")), "Secret regcred is of type Opaque"),
            (
                format!("{BACK_OFF}{docker}{other}"),
                "name Secret hub in imagePullSecrets: pod/b pulls from docker.io with it",
            ),
            (format!("{BACK_OFF}{docker}{elsewhere}"), "whether Secret regcred is for docker.io"),
            (bare, "create a pull secret for it"),
        ] {
            let found = check(crate::rules::image::check, &yaml);
            assert!(found[0].fixes[0].text.contains(fix), "{fix}: {:?}", found[0].fixes);
        }
    }

    #[test]
    fn a_secret_that_exists_is_not_blamed() {
        let secret = "---\n{apiVersion: v1, kind: Secret, metadata: {name: regcred}}\n";
        let found = check(crate::rules::image::check, &format!("{BACK_OFF}{secret}"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn the_quoted_part_of_a_message_is_the_failure() {
        for (message, tail) in [
            (
                r#"failed to pull and unpack image "docker.io/large/app:3": failed to copy: write /var/x/data: no space left on device"#,
                "failed to copy: write /var/x/data: no space left on device",
            ),
            (
                r#"Back-off pulling image "a/b:1": ErrImagePull: failed to pull and unpack image "docker.io/a/b:1": failed to resolve reference "docker.io/a/b:1": docker.io/a/b:1: not found"#,
                "docker.io/a/b:1: not found",
            ),
            ("no such host", "no such host"),
        ] {
            assert_eq!(tail_of(message), tail);
        }
    }

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(registry_of("ghcr.io/acme/app:v9"), "ghcr.io");
        assert_eq!(registry_of("acme/app"), "docker.io");
        assert_eq!(registry_of("localhost:5000/app"), "localhost:5000");
        assert_eq!(repository_of("localhost:5000/app"), "localhost:5000/app");
        assert_eq!(repository_of("a/b:1@sha256:0"), "a/b");
    }
}
