//! Runs the commands of a drill in containers, and watches what they do there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::cluster::{ApiErrorKind, Connection, Ending, Ends, Patch, PodContainer, Process as Attached, WriteOptions};
use crate::drill::change::Change;
use crate::drill::inside::{Counters, Evidence, Place, Process, Remedy, Seen, Strike, limit_in};
use crate::drill::plan::{Plan, Request};
use crate::drill::scripts::{COUNTERS, GOES_ON, PROCESSES, sh};
use crate::facts::runtime::lacks_program;
use crate::model::drill::{Refusal, Restored, RestoredHow};
use crate::model::kind;
use crate::observe::drill::restore::{AGAIN, PATIENCE, passes};
use crate::text::shorten;

/// How long a command may take that is not held: a container that is out of CPU starts one slowly.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// How often is looked at what the control groups count.
const PERIOD: Duration = Duration::from_millis(500);
/// How often a command that takes something back is run before its failure is believed.
const TRIES: usize = 5;
/// Letters of an error that are shown.
const LONGEST_WHY: usize = 160;

/// Runs a command to its end; the error is why it did not succeed.
async fn run(connection: &Connection, namespace: &str, place: &Place, command: &[String]) -> Result<String, String> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let ended = connection
        .exec(namespace, &place.pod, &place.container, &words, COMMAND_LIMIT)
        .await;
    let output = ended.map_err(|error| error.message.clone())?;
    let why = output.why.trim();
    // The runtime says at the end of a long sentence that a program is missing.
    let shown = || {
        if lacks_program(why) {
            why.to_owned()
        } else {
            shorten(why, LONGEST_WHY)
        }
    };
    if output.succeeded { Ok(output.stdout) } else { Err(shown()) }
}

/// Looks into the containers that are to be hit: which way to end a process works, and what is counted. What cannot be done is refused.
pub(crate) async fn look(connection: &Connection, namespace: &str, plan: &mut Plan) {
    let request = &plan.request;
    // All may be on one node.
    let fills = plan.strikes.iter().map(|strike| strike.fills).sum();
    let looks = plan
        .strikes
        .iter_mut()
        .map(|strike| look_into(connection, namespace, strike, request, fills));
    let refused = join_all(looks).await.into_iter().filter_map(Result::err);
    plan.refusals.extend(refused.map(Refusal::never));
}

async fn look_into(connection: &Connection, namespace: &str, strike: &mut Strike, request: &Request, fills: u64) -> Result<(), String> {
    let kills = strike.evidence == Evidence::Ended;
    let script = sh(if kills { PROCESSES } else { COUNTERS }, &[]);
    match (
        run(connection, namespace, &strike.place, &script).await,
        &request.inside.ephemeral_image,
    ) {
        (Ok(text), _) if kills => strike.kill(&Process::parse(&text)),
        (Ok(text), _) => {
            strike.before = Counters::parse(&text);
            strike.is_possible(fills)
        }
        (Err(why), Some(image)) if kills && lacks_program(&why) => {
            let pod = connection.get(&kind::POD, Some(namespace), &strike.place.pod, false).await;
            strike.kill_from(image, &request.id, &pod.map_err(|error| error.to_string())?.unwrap_or_default())
        }
        (Err(why), None) if kills && lacks_program(&why) => Err(format!(
            "{} has no shell to send a signal with; --ephemeral-image IMAGE sends it from an ephemeral container",
            strike.place
        )),
        (Err(why), _) if lacks_program(&why) => Err(format!("{} has no shell", strike.place)),
        (Err(why), _) => Err(format!("{}: inspecting it: {why}", strike.place)),
    }
}

/// Commands that are under way.
pub(crate) struct Running {
    seen: Arc<Mutex<Seen>>,
    /// They end with this; what runs in the containers does not.
    _tasks: JoinSet<()>,
}

impl Running {
    /// Begins all commands. The error is why one was not run.
    pub(crate) async fn begin(connection: &Connection, namespace: &str, strikes: &[Strike]) -> Result<Self, String> {
        let mut tasks = JoinSet::new();
        let seen = Arc::<Mutex<Seen>>::default();
        for strike in strikes {
            if let Some(container) = &strike.ephemeral {
                let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
                let (pod, sub) = (&strike.place.pod, Some("ephemeralcontainers"));
                let made = connection
                    .patch(&kind::POD, Some(namespace), pod, sub, &patch, &WriteOptions::default())
                    .await;
                made.map_err(|error| error.to_string())?;
            } else if strike.evidence == Evidence::NotReady {
                let ran = run(connection, namespace, &strike.place, &strike.command).await;
                ran.map_err(|why| format!("{} in {}: {why}", strike.words, strike.place))?;
            } else {
                tasks.spawn(hold(connection.clone(), namespace.to_owned(), strike.clone(), seen.clone()));
                if strike.evidence != Evidence::Ended {
                    tasks.spawn(count(connection.clone(), namespace.to_owned(), strike.place.clone(), seen.clone()));
                }
            }
        }
        Ok(Self { seen, _tasks: tasks })
    }

    /// Reads the pods whose limits are changed, again and again: what is watched is kept without them.
    pub(crate) fn follow(connection: &Connection, namespace: &str, changes: &[Change]) -> Self {
        let mut tasks = JoinSet::new();
        let seen = Arc::<Mutex<Seen>>::default();
        for change in changes.iter().cloned() {
            let (connection, namespace, seen) = (connection.clone(), namespace.to_owned(), seen.clone());
            tasks.spawn(async move {
                loop {
                    let pod = connection
                        .get(&kind::POD, Some(&namespace), &change.name, false)
                        .await
                        .ok()
                        .flatten();
                    if let Some(limit) = pod.and_then(|pod| limit_in(&pod, &change)) {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.limits.insert(change.uid.clone(), limit);
                    }
                    sleep(PERIOD).await;
                }
            });
        }
        Self { seen, _tasks: tasks }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs a command that ends with its container, by a signal, or by itself when its time is up.
async fn hold(connection: Connection, namespace: String, strike: Strike, seen: Arc<Mutex<Seen>>) {
    let to = PodContainer {
        namespace: &namespace,
        pod: &strike.place.pod,
        container: &strike.place.container,
    };
    let ends = Ends {
        input: None,
        terminal: None,
        output: async |_, _| true,
    };
    let failed = match connection.attach(to, Attached::Command(&strike.command), ends).await {
        Ok(Ending::Exited(0) | Ending::Unread) => return,
        Ok(Ending::Exited(GOES_ON)) => {
            let why = format!("{}: process 1 has replaced the killed processes and keeps running", strike.place);
            seen.lock().unwrap_or_else(PoisonError::into_inner).survived = Some(why);
            return;
        }
        Ok(Ending::Exited(code)) => format!("the command ended with {code}"),
        Ok(Ending::Failed(why)) => shorten(why.trim(), LONGEST_WHY),
        Err(error) => shorten(&error.message, LONGEST_WHY),
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner).failed = Some(failed);
}

/// Reads what the control group of a container counts, again and again.
async fn count(connection: Connection, namespace: String, place: Place, seen: Arc<Mutex<Seen>>) {
    let script = sh(COUNTERS, &[]);
    loop {
        // A command that is not started because there is no memory or CPU left is no news.
        if let Ok(text) = run(&connection, &namespace, &place, &script).await {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.counters.insert(place.uid.clone(), Counters::parse(&text));
        }
        sleep(PERIOD).await;
    }
}

/// Takes back what commands have done, in all pods at once.
pub(crate) async fn heal(
    connection: &Connection,
    namespace: &str,
    remedies: &[Remedy],
    say: &(dyn Fn(&str) + Send + Sync),
) -> Vec<Restored> {
    join_all(remedies.iter().map(|remedy| heal_one(connection, namespace, remedy, say))).await
}

async fn heal_one(connection: &Connection, namespace: &str, remedy: &Remedy, say: &(dyn Fn(&str) + Send + Sync)) -> Restored {
    let place = &remedy.place;
    let deadline = Instant::now() + PATIENCE;
    let told = |how, why: Option<&str>| Restored {
        what: format!("{place}: {}", remedy.words),
        how,
        why: why.map(str::to_owned),
    };
    let command: Vec<&str> = remedy.command.iter().map(String::as_str).collect();
    let (mut tries, mut last) = (0, String::new());
    loop {
        let error = match connection.get(&kind::POD, Some(namespace), &place.pod, false).await {
            Err(error) => error,
            Ok(pod) => {
                let Some(pod) = pod.filter(|pod| pod["metadata"]["uid"] == place.uid.as_str()) else {
                    return told(RestoredHow::Gone, Some("the pod is gone"));
                };
                if remedy.ends_with_container && !place.runs_in(&pod) {
                    return told(RestoredHow::AsBefore, Some("the container has exited since"));
                }
                match connection
                    .exec(namespace, &place.pod, &place.container, &command, COMMAND_LIMIT)
                    .await
                {
                    Ok(output) if output.succeeded => return told(RestoredHow::Restored, None),
                    Ok(output) => {
                        tries += 1;
                        if tries == TRIES {
                            return told(RestoredHow::Failed, Some(&shorten(output.why.trim(), LONGEST_WHY)));
                        }
                        sleep(AGAIN).await;
                        continue;
                    }
                    Err(error) => error,
                }
            }
        };
        // Its container may be about to start again.
        if !(passes(&error) || error.kind == ApiErrorKind::NotFound) || Instant::now() > deadline {
            return told(RestoredHow::Failed, Some(&error.to_string()));
        }
        if last != error.message {
            last.clone_from(&error.message);
            say(&format!("{place}: {last}; trying again"));
        }
        sleep(AGAIN).await;
    }
}
