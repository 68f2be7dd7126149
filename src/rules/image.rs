//! Images that cannot be pulled.

use kube::ResourceExt;

use super::Context;
use super::container::ending::{counts, edit_command, owner_name};
use super::context::{ContainerView, containers, revision};
use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::model::near;
use crate::model::snapshot::Presence;
use crate::model::text::{redact, shorten};

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
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for workload in context.workloads() {
        for &pod in workload.pods.iter().filter(|pod| counts(context, pod)) {
            for container in &containers(pod) {
                if let Some((reason, message)) = failure(context, container) {
                    let cause = cause_of(reason, &message);
                    findings.push(failing(context, container, cause, reason, &message));
                    findings.extend(secret_missing(context, container, cause));
                }
            }
        }
    }
    findings
}

/// Reason and message of a failing pull. Where the status only says back-off, the newest event of the container tells.
fn failure<'a>(context: &Context<'a>, container: &ContainerView<'a>) -> Option<(&'a str, String)> {
    let (reason, message) = container.waiting().filter(|(reason, _)| REASONS.contains(reason))?;
    let tells = message.split_once(": Err").is_some() || !(message.is_empty() || message.starts_with("Back-off pulling image"));
    if tells {
        return Some((reason, message.to_owned()));
    }
    let event = context.pod_events(container.pod).into_iter().find(|e| {
        let about = e.container().is_none_or(|name| name == container.name());
        about && (e.reason() == "InspectFailed" || (e.reason() == "Failed" && e.message().starts_with("Failed to pull image")))
    });
    Some((reason, event.map_or(message, |e| e.message()).to_owned()))
}

/// Which kind of failure a message of containerd, CRI-O or Docker speaks of.
fn cause_of(reason: &str, message: &str) -> &'static str {
    let lower = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    // The name of the image may hold any of these words: it is cut out.
    match reason {
        "ErrImageNeverPull" => return "never-pull",
        "InvalidImageName" => return "invalid-name",
        _ => {}
    }
    if has(&["invalid reference format", "couldn't parse image name"]) {
        "invalid-name"
    } else if has(&[" 429", "toomanyrequests", "too many requests", "rate limit"]) {
        "rate-limited"
    } else if has(&[
        "no match for platform",
        "no matching manifest for",
        "no image found in manifest list",
        "no image found in image index",
    ]) {
        "architecture"
    } else if has(&["no space left on device"]) {
        "no-space"
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
        "unauthorized"
    } else if has(&[
        "i/o timeout",
        "deadline exceeded",
        "timed out",
        "handshake timeout",
        "client.timeout",
    ]) {
        "timeout"
    } else if has(&["x509:", "tls: ", "certificate", "http response to https client"]) {
        "tls"
    } else if has(&[
        "connection refused",
        "no such host",
        "no route to host",
        "network is unreachable",
        "connection reset",
        "server misbehaving",
        "name resolution",
    ]) {
        "registry-unreachable"
    } else if has(&[
        "code = notfound",
        "not found",
        "manifest unknown",
        "name unknown",
        "manifest_unknown",
        "repository name not known",
    ]) {
        "not-found"
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
        "registry-error"
    } else if has(&["dial tcp", ": eof", "unexpected eof"]) {
        "registry-unreachable"
    } else {
        "unknown"
    }
}

fn failing(context: &Context<'_>, container: &ContainerView<'_>, cause: &'static str, reason: &str, message: &str) -> Finding {
    let image = container.spec.image.as_deref().unwrap_or_default();
    let namespace = container.pod.namespace().unwrap_or_default();
    let registry = registry_of(image);
    let what = match cause {
        "not-found" => format!("{image} does not exist in {registry}"),
        "unauthorized" => format!("{registry} refuses access to {image}: it is private, or does not exist"),
        "registry-unreachable" => format!("the node does not reach {registry}"),
        "tls" if message.contains("HTTP response to HTTPS client") => {
            format!("{registry} speaks plain HTTP, and the node asks it by HTTPS")
        }
        "tls" => format!("the node does not trust the TLS of {registry}"),
        "rate-limited" => format!("{registry} limits the rate of pulls"),
        "invalid-name" => format!("{image:?} is no valid image name"),
        "never-pull" => format!("{image} is not on the node, and imagePullPolicy is Never"),
        "architecture" => format!("{image} has no variant for the node's CPU architecture"),
        "registry-error" => format!("{registry} answers with an error of its own"),
        "timeout" => format!("{registry} does not answer in time"),
        "no-space" => format!("the node has no space left to unpack {image}"),
        _ => format!("{image} cannot be pulled"),
    };
    let summary = format!(
        "container {} of {} has no image: {what}",
        container.name(),
        owner_name(context, container.pod)
    );
    let mut finding = Finding::error(Code::ImagePullFailing, cause, context.subject_of(container), summary)
        .evidence(container.source(), format!("{reason}: {}", shorten(&redact(tail_of(message)), 200)));
    let edit = edit_command(context, container.pod);
    finding = match cause {
        "not-found" | "invalid-name" => match other_tag(context, container) {
            Some((tag, pod)) => finding.fix_command(format!("correct the image: pod/{pod} runs {tag}"), edit),
            None => finding.fix_command("correct the name or the tag of the image, or push it", edit),
        },
        "unauthorized" => finding.fix_command(
            "check the name, then give the pod an imagePullSecret for this registry",
            format!(
                "kubectl get pod {} -n {namespace} -o jsonpath='{{.spec.imagePullSecrets}}'",
                container.pod.name_any()
            ),
        ),
        "never-pull" => finding.fix_command("set imagePullPolicy: IfNotPresent, or load the image onto every node", edit),
        "rate-limited" => finding.fix_command("pull with credentials, through a mirror, or wait: the kubelet tries again", edit),
        "architecture" => finding.fix_command(
            "build the image for the node's architecture too, or select nodes that fit it",
            "kubectl get nodes -L kubernetes.io/arch",
        ),
        "no-space" => finding.fix_command("free space on the node's image file system", describe_node(container)),
        "tls" => finding.fix_command(
            "add the registry's CA to the runtime of the nodes, or correct the scheme of the registry",
            describe_node(container),
        ),
        "registry-unreachable" | "timeout" => finding.fix_command(
            "check name, DNS, route and proxy to the registry from the node",
            describe_node(container),
        ),
        _ => finding.fix_command(
            "the registry's own state or log says more; the kubelet tries again",
            format!("kubectl describe pod {} -n {namespace}", container.pod.name_any()),
        ),
    };
    context.container_effects(container).into_iter().fold(finding, Finding::breaking)
}

fn describe_node(container: &ContainerView<'_>) -> String {
    let node = container.pod.spec.as_ref().and_then(|s| s.node_name.as_deref()).unwrap_or_default();
    format!("kubectl describe node {node}")
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
fn other_tag<'a>(context: &Context<'a>, container: &ContainerView<'_>) -> Option<(&'a str, String)> {
    let image = container.spec.image.as_deref()?;
    let namespace = container.pod.namespace();
    let running: Vec<(&str, String)> = context
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
fn secret_missing(context: &Context<'_>, container: &ContainerView<'_>, cause: &str) -> Option<Finding> {
    if !matches!(cause, "unauthorized" | "unknown") {
        return None;
    }
    let pod = container.pod;
    let namespace = pod.namespace().unwrap_or_default();
    let event = context
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
    let referenced = pod
        .spec
        .iter()
        .flat_map(|s| s.image_pull_secrets.iter().flatten())
        .map(|r| r.name.as_str());
    let missing =
        referenced
            .chain(named.iter().copied())
            .find(|name| match context.snapshot.presence(&kind::SECRET, &namespace, name) {
                Presence::Absent => true,
                Presence::Present => false,
                Presence::Unknown => named.contains(name),
            })?;
    let summary = format!(
        "the image pull secret {missing} of {} does not exist, so its images cannot be pulled",
        owner_name(context, pod)
    );
    let mut finding = Finding::error(Code::ImagePullSecretMissing, "", context.pod_subject(pod), summary)
        .related("missing", ObjectRef::new(&kind::SECRET, &namespace, missing))
        .breaking(Effect::NotReady(context.workload_of(pod)));
    if let Some(event) = event {
        finding = finding.evidence(
            format!("pod/{} event {}", pod.name_any(), event.reason()),
            shorten(event.message(), 200),
        );
    } else {
        finding = finding.evidence("secrets", format!("no secret {missing} in namespace {namespace}"));
    }
    let names = context
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
        format!(
            "kubectl create secret docker-registry {missing} -n {namespace} --docker-server={} --docker-username=<user> --docker-password=<password>",
            registry_of(container.spec.image.as_deref().unwrap_or_default())
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    #[test]
    fn a_pod_that_runs_is_silent() {
        let yaml = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}";
        assert!(check(super::check, yaml).is_empty());
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
            assert_eq!(cause_of(reason, message), cause, "{message}");
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
        let found = check(super::check, BACK_OFF);
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
        assert!(command.ends_with(" --docker-password=<password>"), "{command}");
    }

    #[test]
    fn a_secret_that_exists_is_not_blamed() {
        let secret = "---\n{apiVersion: v1, kind: Secret, metadata: {name: regcred}}\n";
        let found = check(super::check, &format!("{BACK_OFF}{secret}"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn what_is_quoted_of_a_message_is_what_failed() {
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
