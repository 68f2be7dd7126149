//! Reaches into pods: dials their ports, and reads their listening sockets where the user allows it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::{ApiError, ApiErrorKind, Connection, PodPort};
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::snapshot::Snapshot;
use crate::model::sockets::PodSockets;
use crate::observe::debug_container::by_debug_container;
use crate::observe::sockets::{Unseen, by_exec};
use crate::view::containers;

/// Second samples are taken at least this long after the first.
const BETWEEN_SAMPLES: Duration = Duration::from_secs(2);
/// How long the second sample may take where the time for all dials allows it.
const SLOW_ANSWER: Duration = Duration::from_secs(10);
/// What a dial leaves of the time for all of them, so that its answer is not lost at the end: the way inside begins after the head start.
const MARGIN: Duration = Duration::from_millis(800);
/// How long all dials of a run may take together, unless a flag says otherwise.
const DIAL_TIME: Duration = Duration::from_secs(30);
/// How long the pod's address may take before the way inside is tried beside it.
const HEAD_START: Duration = Duration::from_millis(400);
/// How a run may reach into pods.
#[derive(Clone, Debug)]
pub struct Reach {
    /// How long one connection may take.
    pub limit: Duration,
    /// How long all connections of a run may take together.
    pub dial_time: Duration,
    /// Run commands in containers.
    pub exec: bool,
    /// Add an ephemeral container with this image where no container can tell.
    pub debug_image: Option<String>,
    /// What turned out to be forbidden: namespace and subresource. It is not asked for again.
    forbidden: Arc<Mutex<BTreeSet<(String, &'static str)>>>,
    /// The ephemeral containers that were added.
    pub(crate) added: Arc<Mutex<Vec<String>>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self::new(Duration::ZERO, false, None)
    }
}

impl Reach {
    /// What the flags allow.
    pub fn new(limit: Duration, exec: bool, debug_image: Option<String>) -> Self {
        Self {
            limit,
            dial_time: DIAL_TIME.max(limit * 3),
            exec,
            debug_image,
            forbidden: Arc::default(),
            added: Arc::default(),
        }
    }

    /// The same with a limit for all connections of a run together.
    #[must_use]
    pub fn within(self, dial_time: Duration) -> Self {
        Self { dial_time, ..self }
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
/// `before`: when the first sample was taken, where this is the second one. `until`: when the time for all dials is over.
pub async fn dial(
    connection: &Connection,
    key: &DialKey,
    reach: &Reach,
    before: Option<Timestamp>,
    until: Instant,
) -> (Dial, Vec<ApiError>) {
    if let Some(before) = before.filter(|_| key.again) {
        // What was waited for meanwhile counts.
        let since = Duration::try_from(Timestamp::now().duration_since(before)).unwrap_or_default();
        sleep(BETWEEN_SAMPLES.saturating_sub(since)).await;
    }
    let at = Timestamp::now();
    // Who was silent before may only be slow.
    let limit = if key.again { reach.limit.max(SLOW_ANSWER) } else { reach.limit };
    let limit = limit.min(until.saturating_duration_since(Instant::now()).saturating_sub(MARGIN));
    let to = PodPort {
        namespace: &key.namespace,
        pod: &key.pod,
        port: key.port,
    };
    let path = (key.speech == Speech::Http).then_some(key.path.as_str());
    let inside = || reach.ask(&key.namespace, "portforward", connection.dial_inside(to, path, limit));
    let by_address = || {
        let address = connection.dial_address(to, key.speech == Speech::Https, &key.path, limit);
        reach.ask(&key.namespace, "proxy", address)
    };
    let (mut address, inside) = if key.speech == Speech::Plain {
        (Ok(Reply::Untried), Some(inside().await))
    } else {
        let address = by_address();
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
    };
    // The port of a young container may have opened between the two dials: a refusal only counts if it still holds.
    if key.again && matches!(address, Ok(Reply::Refused)) && matches!(&inside, Some(Ok(reply)) if reply.listens()) {
        address = by_address().await;
    }
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
        Some(image) => by_debug_container(connection, namespace, name, image, &reach.added).await,
        None => Err(unseen),
    }
}
