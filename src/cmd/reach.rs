//! Reaches into pods: dials their ports, and reads their listening sockets where the user allows it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::{ApiError, ApiErrorKind, Connection, LogQuery, Patch, PodPort, WriteOptions};
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::kind;
use crate::model::snapshot::Snapshot;
use crate::model::sockets::{self, PodSockets};
use crate::model::text::{sanitise, shorten};
use crate::rules::context::containers;

/// Second samples are taken at least this long after the first.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);
/// How long the second sample may take: an answer that comes later than this helps nobody.
pub(super) const SLOW_ANSWER: Duration = Duration::from_secs(10);
/// How long the pod's address may take before the way inside is tried beside it.
const HEAD_START: Duration = Duration::from_millis(400);
/// How long a command in a container may take.
const EXEC_LIMIT: Duration = Duration::from_secs(10);
/// How long an ephemeral container may take to be pulled, started and to end.
const DEBUG_LIMIT: Duration = Duration::from_secs(60);
/// How the name of every such container begins.
const DEBUG_NAME: &str = "podlife-sockets-";
/// How often the pod is looked at meanwhile.
const DEBUG_PERIOD: Duration = Duration::from_millis(500);

const TABLES: [&str; 4] = ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"];
/// In the first line of each table.
const TABLE_HEADING: &str = "local_address";
/// For images with a shell but without `cat`.
const READ_WITH_SHELL: &str = "for f in /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6; do \
    [ -r $f ] && while IFS= read -r l; do echo \"$l\"; done < $f; done";
/// The open files of every process that the container sees.
const LIST_FILES: &str = "ls -l /proc/[0-9]*/fd 2>/dev/null";

/// How a run may reach into pods.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// How long one connection may take.
    pub limit: Duration,
    /// Run commands in containers.
    pub exec: bool,
    /// Add an ephemeral container with this image where no container can tell.
    pub debug_image: Option<String>,
    /// What turned out to be forbidden: namespace and subresource. It is not asked for again.
    forbidden: Arc<Mutex<BTreeSet<(String, &'static str)>>>,
    /// The ephemeral containers that were added.
    added: Arc<Mutex<Vec<String>>>,
}

impl Reach {
    /// What the flags allow.
    pub fn new(limit: Duration, exec: bool, debug_image: Option<String>) -> Self {
        Self {
            limit,
            exec,
            debug_image,
            forbidden: Arc::default(),
            added: Arc::default(),
        }
    }

    /// The ephemeral containers that were added since this was asked last, and to what.
    pub fn take_added(&self) -> Vec<String> {
        self.added.lock().map(|mut added| std::mem::take(&mut *added)).unwrap_or_default()
    }

    /// Asks, unless that was forbidden before; remembers a refusal.
    async fn ask(
        &self,
        namespace: &str,
        subresource: &'static str,
        asking: impl Future<Output = Result<Reply, ApiError>>,
    ) -> Result<Reply, ApiError> {
        let right = (namespace.to_owned(), subresource);
        let known = |set: &Mutex<BTreeSet<_>>| set.lock().map(|set| set.contains(&right)).unwrap_or_default();
        if known(&self.forbidden) {
            return Ok(Reply::Untried);
        }
        let answer = asking.await;
        if answer.as_ref().is_err_and(|error| error.kind == ApiErrorKind::Forbidden)
            && let Ok(mut set) = self.forbidden.lock()
        {
            set.insert(right);
        }
        answer
    }
}

/// Dials a port: the pod's address first, and from inside only where that was refused, went unanswered, or cannot be asked this way.
/// The errors are those of the API server; the dial tells the rest.
/// `before`: when the first sample was taken, where this is the second one.
pub async fn dial(connection: &Connection, key: &DialKey, reach: &Reach, before: Option<Timestamp>) -> (Dial, Vec<ApiError>) {
    if let Some(before) = before.filter(|_| key.again) {
        // What was waited for meanwhile counts.
        let since = Duration::try_from(Timestamp::now().duration_since(before)).unwrap_or_default();
        sleep(BETWEEN_SAMPLES.saturating_sub(since)).await;
    }
    let at = Timestamp::now();
    // Who was silent before may only be slow.
    let limit = if key.again { reach.limit.max(SLOW_ANSWER) } else { reach.limit };
    let to = PodPort {
        namespace: &key.namespace,
        pod: &key.pod,
        port: key.port,
    };
    let path = (key.speech == Speech::Http).then_some(key.path.as_str());
    let inside = || reach.ask(&key.namespace, "portforward", connection.dial_inside(to, path, limit));
    let (address, inside) = match key.speech {
        Speech::Plain => (Ok(Reply::Untried), Some(inside().await)),
        speech => {
            let address = connection.dial_address(to, speech == Speech::Https, &key.path, limit);
            let address = reach.ask(&key.namespace, "proxy", address);
            tokio::pin!(address);
            // An address that does not answer at once is not waited for before the other way is tried.
            match timeout(HEAD_START, &mut address).await {
                Ok(Ok(reply)) if reply.listens() => (Ok(reply), None),
                Ok(other) => (other, Some(inside().await)),
                Err(_) => {
                    let (address, inside) = futures::future::join(address, inside()).await;
                    (address, Some(inside))
                }
            }
        }
    };
    let mut errors = Vec::new();
    let mut noted = |answer: Result<Reply, ApiError>| {
        answer.unwrap_or_else(|error| {
            errors.push(error);
            Reply::Untried
        })
    };
    let dial = Dial {
        key: key.clone(),
        at,
        address: noted(address),
        inside: inside.map_or(Reply::Untried, noted),
    };
    (dial, errors)
}

/// Why the sockets of a pod could not be seen.
#[derive(Debug)]
pub enum Unseen {
    /// The API server, or the kubelet behind it, did not let us look.
    Api(ApiError),
    /// There was nothing to look with.
    Because(String),
}

/// Reads the listening sockets of a pod: in the first container that can print them, else in an ephemeral container where one is allowed.
pub async fn pod_sockets(
    connection: &Connection,
    snapshot: &Snapshot,
    namespace: &str,
    name: &str,
    reach: &Reach,
) -> Result<PodSockets, Unseen> {
    let pods = &snapshot.objects.pods;
    let pod = pods
        .iter()
        .find(|pod| pod.namespace().as_deref() == Some(namespace) && pod.name_any() == name)
        .ok_or_else(|| Unseen::Because("the pod has gone".to_owned()))?;
    let running: Vec<String> = containers(pod)
        .iter()
        .filter(|container| container.is_running())
        .map(|container| container.name().to_owned())
        .collect();
    let mut unseen = Unseen::Because(String::new());
    if reach.exec {
        match by_exec(connection, namespace, name, &running).await {
            Ok(sockets) => return Ok(sockets),
            Err(why) => unseen = why,
        }
    }
    match &reach.debug_image {
        Some(image) => by_debug_container(connection, namespace, name, image, reach).await,
        None => Err(unseen),
    }
}

async fn by_exec(connection: &Connection, namespace: &str, pod: &str, running: &[String]) -> Result<PodSockets, Unseen> {
    let mut unseen = Unseen::Because("none of its containers runs".to_owned());
    for container in running {
        for command in [
            &["cat", TABLES[0], TABLES[1], TABLES[2], TABLES[3]] as &[&str],
            &["sh", "-c", READ_WITH_SHELL],
        ] {
            let why = match connection.exec(namespace, pod, container, command, EXEC_LIMIT).await {
                // A table that is not there (no IPv6) makes `cat` fail after it has printed the others.
                Ok(output) if output.stdout.contains(TABLE_HEADING) => {
                    let mut sockets = sockets::parse(&output.stdout);
                    name_owners(connection, namespace, pod, running, &mut sockets).await;
                    return Ok(PodSockets {
                        namespace: namespace.to_owned(),
                        pod: pod.to_owned(),
                        seen_from: format!("container {container}"),
                        sockets,
                    });
                }
                Ok(output) => output.why,
                // An old runtime refuses the whole request where the program is not there.
                Err(error) if lacks_program(&error.message) => error.message.clone(),
                // Whoever is not let in here is not let in by another command either.
                Err(error) => {
                    unseen = Unseen::Api(error);
                    break;
                }
            };
            // Another container may tell; what kept us out of one is worth more than that the next has no shell.
            if matches!(unseen, Unseen::Because(_)) {
                unseen = Unseen::Because(if lacks_program(&why) {
                    "no container has cat or sh; --debug-image IMAGE looks from an ephemeral container".to_owned()
                } else {
                    format!("{} in container {container} printed none: {}", command[0], shorten(why.trim(), 160))
                });
            }
        }
        if matches!(&unseen, Unseen::Api(error) if error.kind == ApiErrorKind::Forbidden || error.is_fatal_for_api()) {
            break;
        }
    }
    Err(unseen)
}

/// Whether a runtime says that the program of a command is not in the image (runc, crun, gVisor, dockershim).
fn lacks_program(why: &str) -> bool {
    [
        "executable file not found",
        "no such file or directory",
        "not found in $PATH",
        "command not found",
    ]
    .iter()
    .any(|words| why.contains(words))
}

/// Finds whose process holds each socket. A socket that several containers see (they share their processes) is nobody's.
async fn name_owners(connection: &Connection, namespace: &str, pod: &str, running: &[String], sockets: &mut [sockets::Socket]) {
    if let [only] = running {
        for socket in sockets.iter_mut() {
            socket.container = Some(only.clone());
        }
        return;
    }
    let seen = join_all(running.iter().map(|container| async move {
        let listed = connection
            .exec(namespace, pod, container, &["sh", "-c", LIST_FILES], EXEC_LIMIT)
            .await;
        sockets::inodes(&listed.map(|output| output.stdout).unwrap_or_default())
    }))
    .await;
    for socket in sockets.iter_mut() {
        let mut holders = running.iter().zip(&seen).filter(|(_, inodes)| inodes.contains(&socket.inode));
        socket.container = match (holders.next(), holders.next()) {
            (Some((holder, _)), None) => Some(holder.clone()),
            _ => None,
        };
    }
}

/// Adds an ephemeral container that prints the tables, waits for its end and reads its log. It stays in the pod's spec: Kubernetes cannot
/// take ephemeral containers away again. It is as restricted as Pod Security can ask for. One that an earlier run added and that is still
/// at it is waited for, and where one could not be started with this image another one is not added to fail alike.
async fn by_debug_container(connection: &Connection, namespace: &str, pod: &str, image: &str, reach: &Reach) -> Result<PodSockets, Unseen> {
    let before = connection
        .get(&kind::POD, Some(namespace), pod, false)
        .await
        .map_err(Unseen::Api)?
        .unwrap_or_default();
    let name = match earlier_debug_container(&before, image) {
        Some((name, Attempt::Failed)) => return Err(printed_none(&before, &name, image)),
        Some((name, Attempt::Running)) => name,
        Some((_, Attempt::Ended)) | None => add_debug_container(connection, namespace, pod, image, reach).await?,
    };
    let deadline = Instant::now() + DEBUG_LIMIT;
    let mut object;
    loop {
        object = connection
            .get(&kind::POD, Some(namespace), pod, false)
            .await
            .map_err(Unseen::Api)?
            .unwrap_or_default();
        if attempt(&object, &name) != Attempt::Running || Instant::now() >= deadline {
            break;
        }
        sleep_until(deadline.min(Instant::now() + DEBUG_PERIOD)).await;
    }
    let query = LogQuery {
        limit_bytes: Some(1 << 20),
        ..LogQuery::default()
    };
    // Of a container that never started there is no log.
    let text = match connection.log(namespace, pod, &name, &query).await {
        Ok(text) => text,
        Err(error) if error.kind == ApiErrorKind::Forbidden => return Err(Unseen::Api(error)),
        Err(_) => String::new(),
    };
    // No table at all is not the same as a table without a listener.
    if !text.contains(TABLE_HEADING) {
        return Err(printed_none(&object, &name, image));
    }
    Ok(PodSockets {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        seen_from: format!("debug container {name}"),
        sockets: sockets::parse(&text),
    })
}

/// Why an ephemeral container has printed nothing, by what its status says.
fn printed_none(object: &Value, name: &str, image: &str) -> Unseen {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (pod, namespace) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
    let status = ephemeral_status(object, name);
    let states = ["state", "lastState"].map(|which| &status[which]);
    let said = states
        .iter()
        .flat_map(|state| [&state["terminated"], &state["waiting"]])
        .find(|why| why["message"].is_string());
    Unseen::Because(match said {
        Some(why) if lacks_program(&text(&why["message"])) => {
            format!("image {image} has no cat, which the ephemeral container {name} was to run: name another image, such as busybox")
        }
        Some(why) => format!(
            "the ephemeral container {name} was not started ({}: {}): kubectl describe pod {pod} -n {namespace}",
            text(&why["reason"]),
            shorten(text(&why["message"]).trim(), 160)
        ),
        None => {
            format!("the ephemeral container {name} printed none (does image {image} have cat?): kubectl describe pod {pod} -n {namespace}")
        }
    })
}

/// The status of an ephemeral container; null where there is none yet.
fn ephemeral_status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let statuses = pod["status"]["ephemeralContainerStatuses"].as_array();
    let own = statuses.and_then(|all| all.iter().find(|status| status["name"] == *name));
    own.unwrap_or(&Value::Null)
}

/// How an ephemeral container has fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It runs, or is still to be started.
    Running,
    /// It has done its work.
    Ended,
    /// It could not be started, or failed.
    Failed,
}

fn attempt(pod: &Value, name: &str) -> Attempt {
    let status = ephemeral_status(pod, name);
    if status.is_null() {
        return Attempt::Running;
    }
    let waiting = status["state"]["waiting"]["reason"].as_str().unwrap_or_default();
    let is_hopeless = matches!(
        waiting,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "StartError"
            | "CrashLoopBackOff"
    );
    // A runtime that cannot start a command ends the container with a reason of its own; a table that is not there makes `cat` fail.
    let end = &status["state"]["terminated"];
    let never_ran = end["exitCode"].as_i64().is_some_and(|code| code >= 126);
    match (
        is_hopeless || never_ran || status["lastState"]["terminated"].is_object(),
        end.is_object(),
    ) {
        (true, _) => Attempt::Failed,
        (false, true) => Attempt::Ended,
        (false, false) => Attempt::Running,
    }
}

/// The newest container that an earlier run added with this image.
fn earlier_debug_container(pod: &Value, image: &str) -> Option<(String, Attempt)> {
    let all = pod["spec"]["ephemeralContainers"].as_array()?;
    let own = |c: &&Value| c["image"] == *image && c["name"].as_str().is_some_and(|name| name.starts_with(DEBUG_NAME));
    let name = all.iter().rfind(own)?["name"].as_str()?.to_owned();
    let fared = attempt(pod, &name);
    Some((name, fared))
}

async fn add_debug_container(connection: &Connection, namespace: &str, pod: &str, image: &str, reach: &Reach) -> Result<String, Unseen> {
    let name = format!("{DEBUG_NAME}{:x}", Timestamp::now().as_millisecond());
    let container = json!({
        "name": name,
        "image": image,
        "command": ["cat"],
        "args": TABLES,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": true,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    });
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
    connection
        .patch(
            &kind::POD,
            Some(namespace),
            pod,
            Some("ephemeralcontainers"),
            &patch,
            &WriteOptions::default(),
        )
        .await
        .map_err(Unseen::Api)?;
    if let Ok(mut added) = reach.added.lock() {
        added.push(format!(
            "{name} with image {} to pod/{pod} in namespace {namespace}",
            sanitise(image)
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_container_that_cannot_work_is_not_added_again() {
        let pod = |state: Value| {
            json!({
                "spec": {"ephemeralContainers": [{"name": "podlife-sockets-1", "image": "scratch:1"}]},
                "status": {"ephemeralContainerStatuses": [{"name": "podlife-sockets-1", "state": state}]},
            })
        };
        for (state, expected) in [
            (json!({"waiting": {"reason": "RunContainerError"}}), Attempt::Failed),
            (json!({"terminated": {"exitCode": 128, "reason": "StartError"}}), Attempt::Failed),
            (json!({"terminated": {"exitCode": 1}}), Attempt::Ended),
            (json!({"terminated": {"exitCode": 0}}), Attempt::Ended),
            (json!({"running": {}}), Attempt::Running),
            (json!({"waiting": {"reason": "ContainerCreating"}}), Attempt::Running),
        ] {
            let found = earlier_debug_container(&pod(state.clone()), "scratch:1");
            assert_eq!(found.map(|(_, fared)| fared), Some(expected), "{state}");
        }
        assert_eq!(earlier_debug_container(&pod(json!({})), "busybox:1"), None);
    }

    #[test]
    fn what_kept_a_debug_container_from_printing_is_told() {
        for (state, says) in [
            (
                json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: \"cat\": executable file not found in $PATH"}}),
                "image scratch:1 has no cat",
            ),
            (
                json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
                "was not started (ErrImagePull: not found): kubectl describe pod api -n shop",
            ),
            (json!({"running": {}}), "printed none (does image scratch:1 have cat?)"),
        ] {
            let pod = json!({
                "metadata": {"name": "api", "namespace": "shop"},
                "status": {"ephemeralContainerStatuses": [{"name": "podlife-sockets-1", "state": state}]},
            });
            let Unseen::Because(why) = printed_none(&pod, "podlife-sockets-1", "scratch:1") else {
                panic!("it is no fault of the API server")
            };
            assert!(why.contains(says), "{why}");
        }
    }
}
