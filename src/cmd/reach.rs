//! Reaches into pods: dials their ports, and reads their listening sockets where the user allows it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::{sleep, timeout};

use super::debug_container::by_debug_container;
use crate::cluster::{ApiError, ApiErrorKind, Connection, PodPort};
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::snapshot::Snapshot;
use crate::model::sockets::{self, PodSockets};
use crate::model::text::shorten;
use crate::rules::context::containers;

/// Second samples are taken at least this long after the first.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);
/// How long the second sample may take: an answer that comes later than this helps nobody.
pub(super) const SLOW_ANSWER: Duration = Duration::from_secs(10);
/// How long the pod's address may take before the way inside is tried beside it.
const HEAD_START: Duration = Duration::from_millis(400);
/// How long a command in a container may take.
const EXEC_LIMIT: Duration = Duration::from_secs(10);

/// Where the kernel tells which sockets there are.
pub(super) const TABLES: [&str; 4] = ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"];
/// In the first line of each table.
pub(super) const TABLE_HEADING: &str = "local_address";
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
    pub(super) added: Arc<Mutex<Vec<String>>>,
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
pub(super) fn lacks_program(why: &str) -> bool {
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
