//! Faults that run a command inside containers: what is run, what is seen of it, and what takes it back.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube_quantity::ParsedQuantity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::drill::change::Change;
use crate::drill::fault::Fault;
use crate::drill::scripts::{BURN, FILL, KILL, SIGNAL, STOP, mark, sh};
use crate::facts::requests::amount_of;
use crate::model::drill::Refusal;
use crate::model::kind;
use crate::model::security::restricted;
use crate::text::counted;
use crate::text::shell::is_shell;
use crate::view::{ContainerView, containers, is_ready};

/// Signals whose handlers usually end a process, with their numbers: the gentlest first.
const SIGNALS: [(&str, u32); 4] = [("TERM", 15), ("INT", 2), ("QUIT", 3), ("ABRT", 6)];
/// Programs that pass signals on to another one, and end when it ends.
const WRAPPERS: [&str; 5] = ["tini", "tini-static", "dumb-init", "docker-init", "catatonit"];
/// Bytes of a piece of memory of `FILL`.
const PIECE: f64 = 16.0 * 1024.0 * 1024.0;
/// Pieces beyond the limit, so that it is reached for certain.
const SPARE_PIECES: u32 = 4;
/// KiB that a node keeps while memory is filled: the kubelet evicts pods from 100 MiB on.
const KEPT: u64 = 256 * 1024;
/// How much longer than the fault is held what fills memory and keeps CPUs busy may run: the fault has to be seen first.
const SPARE_SECONDS: u64 = 15;
/// Periods of the CPU limit, 100 ms each, that have to be throttled: an application may be throttled once by itself.
const THROTTLED: u64 = 3;

/// What the flags say about commands in containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inside {
    /// None: the first.
    pub(crate) container: Option<String>,
    /// Command that makes a pod not ready.
    pub(crate) break_with: String,
    /// Command that takes it back.
    pub(crate) heal_with: String,
    /// Image of an ephemeral container, for images without a shell.
    pub(crate) ephemeral_image: Option<String>,
    /// CPU limit of `cpu --resize`.
    pub(crate) resize: String,
    /// Whether CPUs may be kept busy without a limit.
    pub(crate) without_limit: bool,
}

/// An instance of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) container: String,
    /// Another one after each restart.
    pub(crate) container_id: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "container {} of pod/{}", self.container, self.pod)
    }
}

impl Place {
    /// Whether this instance of the container runs, by the pod as the API server sent it.
    pub(crate) fn runs_in(&self, pod: &Value) -> bool {
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter();
        let sidecars = pod["status"]["initContainerStatuses"].as_array().into_iter();
        let is_it = |status: &&Value| status["containerID"] == self.container_id.as_str();
        let found = statuses.chain(sidecars).flatten().find(is_it);
        found.is_some_and(|status| status["state"]["running"].is_object())
    }
}

/// A command that takes back what a command has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remedy {
    pub(crate) place: Place,
    /// Whether a restart of the container has taken it back already.
    pub(crate) ends_with_container: bool,
    pub(crate) command: Vec<String>,
    /// The command, or what it does.
    pub(crate) words: String,
}

/// What proves that a command has had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// The container has ended.
    Ended,
    /// The kernel has killed a process for its memory.
    OutOfMemory,
    /// The CPU limit has held processes up.
    Throttled,
    /// So many seconds of CPU were used.
    Used(u64),
    /// The pod is not ready.
    NotReady,
}

/// A command that is run in a container.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) place: Place,
    /// How often the container had been restarted.
    restarts: i32,
    /// Empty as long as nobody has looked which command works.
    pub(crate) command: Vec<String>,
    /// The command, or what it does.
    pub(crate) words: String,
    pub(crate) evidence: Evidence,
    /// KiB of memory that it fills.
    pub(crate) fills: u64,
    pub(crate) remedy: Option<Remedy>,
    /// The ephemeral container that runs the command, where the container itself has no shell.
    pub(crate) ephemeral: Option<Value>,
    /// What its control group counted before.
    pub(crate) before: Counters,
}

/// What a control group counts, by the kernel's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters(BTreeMap<String, u64>);

impl Counters {
    pub(crate) fn parse(text: &str) -> Self {
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Self(text.lines().filter_map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Milliseconds of CPU; the versions of control groups count in different units.
    fn used(&self) -> Option<u64> {
        let nanoseconds = self.get("usage_nsec").map(|value| value / 1_000_000);
        self.get("usage_usec").map(|value| value / 1_000).or(nanoseconds)
    }
}

/// What has been seen inside since the commands were begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// By uid of the pod.
    pub(crate) counters: BTreeMap<String, Counters>,
    /// CPU limits that containers have, by uid of the pod.
    pub(crate) limits: BTreeMap<String, String>,
    /// Why a command was not run, or how it ended.
    pub(crate) failed: Option<String>,
    /// Why a container goes on although its process was killed.
    pub(crate) survived: Option<String>,
}

fn container<'a>(pod: &'a Pod, name: Option<&str>) -> Option<ContainerView<'a>> {
    let own = pod.spec.as_ref()?.containers.first()?.name.as_str();
    containers(pod)
        .into_iter()
        .find(|container| container.name() == name.unwrap_or(own))
}

fn container_id<'a>(container: &ContainerView<'a>) -> &'a str {
    let id = container.status.and_then(|status| status.container_id.as_deref());
    id.unwrap_or_default()
}

/// Gives a container of a pod less CPU, in place. `raw` is the pod as it is stored.
pub(crate) fn resize(options: &Inside, pod: &Pod, raw: &Value) -> Result<Change, Refusal> {
    let (name, limit) = (pod.name_any(), &options.resize);
    let all = raw["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = |one: &Value| options.container.as_ref().is_none_or(|name| one["name"] == name.as_str());
    let Some(at) = all.iter().position(wanted) else {
        let wanted = options.container.as_deref().unwrap_or_default();
        return Err(Refusal::never(format!("pod/{name} has no container {wanted}")));
    };
    let mut resources = all[at]["resources"].clone();
    let place = format!("container {} of pod/{name}", all[at]["name"].as_str().unwrap_or_default());
    let amount = |value: &Value| ParsedQuantity::try_from(value.as_str()?).ok();
    let (new, old) = (ParsedQuantity::try_from(limit.as_str()).ok(), amount(&resources["limits"]["cpu"]));
    if old.is_none() {
        return Err(Refusal::never(format!(
            "{place} has no CPU limit, and a new one could not be removed again"
        )));
    }
    if new >= old {
        return Err(Refusal::never(format!(
            "{place} has a CPU limit of {}, and {limit} is not lower",
            resources["limits"]["cpu"]
        )));
    }
    resources["limits"]["cpu"] = limit.as_str().into();
    // A request must not exceed the limit.
    if amount(&resources["requests"]["cpu"]) > new {
        resources["requests"]["cpu"] = limit.as_str().into();
    }
    Ok(Change {
        subresource: Some("resize".to_owned()),
        ..Change::of(&kind::POD, raw, &["spec", "containers", &at.to_string(), "resources"], resources)
    })
}

/// The CPU limit that the kubelet has given the container that a change is about, by the pod as the API server sent it.
pub(crate) fn limit_in(pod: &Value, change: &Change) -> Option<String> {
    let name = &pod["spec"]["containers"][change.path.get(2)?.parse::<usize>().ok()?]["name"];
    let statuses = pod["status"]["containerStatuses"].as_array()?;
    let status = statuses.iter().find(|status| status["name"] == *name)?;
    Some(status["resources"]["limits"]["cpu"].as_str()?.to_owned())
}

/// Whether each container has the CPU limit of the value that `wanted` picks; the error says which has another one.
pub(crate) fn resized(changes: &[Change], seen: &Seen, wanted: impl Fn(&Change) -> Option<&Value>) -> Result<String, String> {
    let of = |change: &Change| {
        let limit = wanted(change).and_then(|all| all["limits"]["cpu"].as_str()).unwrap_or_default();
        match seen.limits.get(&change.uid) {
            Some(has) if has == limit => Ok(format!("pod/{} has a CPU limit of {limit}", change.name)),
            _ => Err(format!("pod/{} does not have a CPU limit of {limit} yet", change.name)),
        }
    };
    let all: Result<Vec<String>, String> = changes.iter().map(of).collect();
    all.map(|all| all.join("; "))
}

impl Strike {
    /// The command of a fault in a pod; the error is why there is none.
    pub(crate) fn of(fault: Fault, options: &Inside, id: &str, held: u64, pod: &Pod) -> Result<Self, Refusal> {
        let name = pod.name_any();
        let found = container(pod, options.container.as_deref());
        let Some(found) = found.filter(ContainerView::is_running) else {
            let wanted = options.container.as_deref().unwrap_or("of its own");
            return Err(Refusal::never(format!("pod/{name} has no running container {wanted}")));
        };
        let place = Place {
            pod: name,
            uid: pod.uid().unwrap_or_default(),
            container: found.name().to_owned(),
            container_id: container_id(&found).to_owned(),
        };
        let limit = |resource: &str| amount_of(found.spec.resources.as_ref().and_then(|all| all.limits.as_ref()), resource);
        let remedy = |ends_with_container: bool, command: Vec<String>, words: String| {
            Some(Remedy {
                place: place.clone(),
                ends_with_container,
                command,
                words,
            })
        };
        let mark = mark(id);
        let stop = |words: &str| remedy(true, sh(STOP, &[&mark]), format!("stop {words}"));
        let seconds = held + SPARE_SECONDS;
        let seconds_text = seconds.to_string();
        let marked = |script: &str, number: u32| sh(&format!("{mark} {script}"), &[&seconds_text, &number.to_string()]);
        let mut fills = 0;
        let (command, words, evidence, remedy) = match fault {
            Fault::Oom => {
                let Some(bytes) = limit("memory").and_then(|limit| limit.to_bytes_f64()) else {
                    return Err(Refusal::never(format!(
                        "{place} has no memory limit: the node would run out of memory"
                    )));
                };
                let words = format!("fill its memory for at most {seconds} s");
                let pieces = (bytes / PIECE) as u32 + SPARE_PIECES;
                fills = (f64::from(pieces) * PIECE / 1024.0) as u64;
                (
                    marked(FILL, pieces),
                    words,
                    Evidence::OutOfMemory,
                    stop("the processes that fill its memory"),
                )
            }
            Fault::Cpu => {
                let cpus = limit("cpu").and_then(|limit| limit.to_bytes_f64());
                let (loops, evidence) = match cpus {
                    // One more than fit, so that they are held up.
                    Some(cpus) => (cpus as u32 + 1, Evidence::Throttled),
                    None if options.without_limit => (1, Evidence::Used(1)),
                    None => {
                        let why = format!("{place} has no CPU limit: its neighbours on the node would suffer");
                        let flag = Some("--allow no-limit".to_owned());
                        return Err(Refusal { why, flag });
                    }
                };
                let words = format!("keep {} busy for at most {seconds} s", counted(loops, "CPU"));
                (marked(BURN, loops), words, evidence, stop("the processes that keep CPUs busy"))
            }
            Fault::BreakHeal => {
                let heal = remedy(false, sh(&options.heal_with, &[]), options.heal_with.clone());
                (sh(&options.break_with, &[]), options.break_with.clone(), Evidence::NotReady, heal)
            }
            _ => (Vec::new(), "kill its process".to_owned(), Evidence::Ended, None),
        };
        Ok(Self {
            place,
            restarts: found.restarts(),
            command,
            words,
            evidence,
            fills,
            remedy,
            ephemeral: None,
            before: Counters::default(),
        })
    }

    /// The request, as it stands in a plan.
    pub(crate) fn request(&self) -> String {
        let Place { pod, container, .. } = &self.place;
        match &self.ephemeral {
            Some(made) => {
                let (name, image) = (&made["name"], &made["image"]);
                format!(
                    "PATCH pods/{pod}/ephemeralcontainers: container {name} with image {image}, which stays in the pod until it is deleted: {}",
                    self.words
                )
            }
            None => format!("CREATE pods/{pod}/exec (container {container}): {}", self.words),
        }
    }

    /// Whether the node can bear all that is filled, and what the control group counts can prove it; the error says what is missing.
    pub(crate) fn is_possible(&self, fills: u64) -> Result<(), String> {
        let place = &self.place;
        if self.fills > 0 && self.before.get("available").is_none_or(|left| left < fills + KEPT) {
            let (left, fills) = (self.before.get("available").unwrap_or_default() / 1024, fills / 1024);
            return Err(format!(
                "{place}: the node has {left} MiB of memory left, and {fills} MiB would be filled"
            ));
        }
        let (is_there, name) = match self.evidence {
            Evidence::OutOfMemory => (self.before.get("oom_kill").is_some(), "oom_kill"),
            Evidence::Throttled => (self.before.get("nr_throttled").is_some(), "nr_throttled"),
            Evidence::Used(_) => (self.before.used().is_some(), "usage"),
            Evidence::Ended | Evidence::NotReady => return Ok(()),
        };
        let why = || format!("{place}: /sys/fs/cgroup does not have {name}, so the fault could not be seen");
        is_there.then_some(()).ok_or_else(why)
    }

    /// Kills the process of the container in the way that works; the error says why none does.
    pub(crate) fn kill(&mut self, processes: &[Process]) -> Result<(), String> {
        match way(processes) {
            Err(why) => return Err(format!("{}: {why}", self.place)),
            Ok(Way::Kill(victims)) => {
                let pairs: Vec<[String; 2]> = victims.iter().map(|one| [one.pid.to_string(), one.name.clone()]).collect();
                let pairs: Vec<&str> = pairs.iter().flatten().map(String::as_str).collect();
                let names: Vec<String> = victims.iter().map(|one| format!("{} ({})", one.pid, one.name)).collect();
                // In a shared namespace process 1 is nobody's parent that matters.
                let ends = if victims.iter().all(|one| one.parent == 1) { "1" } else { "0" };
                self.command = sh(KILL, &[&[ends], &pairs[..]].concat());
                self.words = format!("kill -KILL {}", names.join(" "));
            }
            Ok(Way::Signals(signals)) => {
                self.command = sh(SIGNAL, &signals);
                self.words = signals
                    .iter()
                    .map(|signal| format!("kill -{signal} 1"))
                    .collect::<Vec<_>>()
                    .join(", 10 s later ");
            }
        }
        Ok(())
    }

    /// Kills process 1 of a container without a shell from an ephemeral container. Its KILL would be ignored too, because it is in the same
    /// process namespace; so are signals without a handler, which is why all are tried. `pod` is as the API server sent it.
    pub(crate) fn kill_from(&mut self, image: &str, id: &str, pod: &Value) -> Result<(), String> {
        let container = &self.place.container;
        let is_it = |one: &&Value| one["name"] == container.as_str();
        let of = |all: &'static str, part: &'static str| pod[part][all].as_array().and_then(|all| all.iter().find(is_it));
        let (spec, status) = (of("containers", "spec"), of("containerStatuses", "status"));
        let contexts = [spec.map(|spec| &spec["securityContext"]), Some(&pod["spec"]["securityContext"])];
        let said = |field: &str| {
            contexts
                .iter()
                .flatten()
                .map(|context| &context[field])
                .find(|value| !value.is_null())
        };
        let told = status.and_then(|status| status["user"]["linux"]["uid"].as_i64());
        // Where nothing is said it is that of the image: root, unless that is forbidden.
        let of_image = || said("runAsNonRoot").is_none_or(|value| value == false).then_some(0);
        let user = told.or_else(|| said("runAsUser")?.as_i64()).or_else(of_image);
        let Some(user) = user else {
            return Err(format!(
                "{}: neither its status nor its spec has its user, which an ephemeral container must share",
                self.place
            ));
        };
        let signals = SIGNALS.map(|(name, _)| name);
        self.words = format!("kill -{} 1", signals.join(", then -"));
        self.ephemeral = Some(json!({
            "name": format!("podlife-drill-{id}"),
            "image": image,
            "command": sh(SIGNAL, &signals),
            "targetContainerName": self.place.container,
            "securityContext": restricted(user),
        }));
        Ok(())
    }

    /// How the container that was hit has ended, if it has.
    fn end(&self, pod: &Pod) -> Option<String> {
        let now = container(pod, Some(&self.place.container))?;
        let end = now.newest_end();
        let is_its = end.is_some_and(|end| end.container_id.as_ref() == Some(&self.place.container_id));
        let is_over = is_its || container_id(&now) != self.place.container_id || now.restarts() > self.restarts;
        let how = end.map(|end| format!(" with {} ({})", end.exit_code, end.reason.as_deref().unwrap_or("no reason")));
        is_over.then(|| format!("{} has ended{}", self.place, how.unwrap_or_default()))
    }

    fn proven(&self, pod: &Pod, seen: Option<&Counters>) -> Result<String, String> {
        let place = &self.place;
        let grown = |read: &dyn Fn(&Counters) -> Option<u64>| {
            let now = seen.and_then(read);
            now.unwrap_or_default().saturating_sub(read(&self.before).unwrap_or_default())
        };
        match self.evidence {
            Evidence::Ended => self.end(pod).ok_or_else(|| format!("{place} is still running")),
            Evidence::OutOfMemory => {
                if let Some(end) = self.end(pod) {
                    let is_oom = end.ends_with("(OOMKilled)");
                    return if is_oom {
                        Ok(end)
                    } else {
                        Err(format!("{end}, but not because of its memory"))
                    };
                }
                match grown(&|counters| counters.get("oom_kill")) {
                    0 => Err(format!("no process of {place} was OOM killed")),
                    kills => Ok(format!(
                        "{place} is at its memory limit: the kernel killed a process {}, and the container keeps running",
                        counted(u32::try_from(kills).unwrap_or(u32::MAX), "time")
                    )),
                }
            }
            Evidence::Throttled => match grown(&|counters| counters.get("nr_throttled")) {
                periods if periods >= THROTTLED => Ok(format!("{place} is at its CPU limit: throttled in {periods} periods")),
                periods => Err(format!("{place} was throttled in {periods} periods")),
            },
            Evidence::Used(seconds) => match grown(&Counters::used) {
                used if used >= seconds * 1000 => Ok(format!("{place} has used {used} ms of CPU")),
                used => Err(format!("{place} has used {used} ms of CPU")),
            },
            Evidence::NotReady if is_ready(pod) => Err(format!("pod/{} is ready", place.pod)),
            Evidence::NotReady => Ok(format!("pod/{} is not ready", place.pod)),
        }
    }
}

/// Whether every command has had its effect; the error says what is not seen.
pub(crate) fn proven(pods: &[Pod], strikes: &[Strike], seen: &Seen) -> Result<String, String> {
    let of = |strike: &Strike| {
        let pod = pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(&strike.place.uid));
        let pod = pod.ok_or_else(|| format!("pod/{} is gone", strike.place.pod))?;
        strike.proven(pod, seen.counters.get(&strike.place.uid))
    };
    let all: Result<Vec<String>, String> = strikes.iter().map(of).collect();
    let with_failure = |missing: String| match &seen.failed {
        Some(failed) => format!("{missing}: {failed}"),
        None => missing,
    };
    all.map(|seen| seen.join("; ")).map_err(with_failure)
}

/// Whether every container that was hit has ended, so that nothing is left to be held.
pub(crate) fn have_ended(pods: &[Pod], strikes: &[Strike]) -> bool {
    let has_ended = |strike: &Strike| {
        let pod = pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(&strike.place.uid));
        pod.is_none_or(|pod| strike.end(pod).is_some())
    };
    !strikes.is_empty()
        && strikes
            .iter()
            .all(|strike| strike.evidence == Evidence::OutOfMemory && has_ended(strike))
}

/// A process, as `/proc` of a container shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    parent: u32,
    user: u32,
    /// Signals that have an effect on it although they have no default one: blocked or caught, and not ignored.
    taken: u64,
    /// Whether it is in the same control group as the shell that looked.
    is_own: bool,
    /// Whether it is that shell.
    is_looking: bool,
    name: String,
}

impl Process {
    /// Reads what `PROCESSES` prints. The dead are left out.
    pub(crate) fn parse(text: &str) -> Vec<Self> {
        let of = |line: &str| {
            let mut words = line.splitn(10, ' ');
            let mut next = || words.next();
            let (pid, parent, user) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
            let mut mask = || u64::from_str_radix(next()?, 16).ok();
            let (blocked, ignored, caught) = (mask()?, mask()?, mask()?);
            let (is_own, is_looking, state, name) = (next()? == "1", next()? == "1", next()?, next()?);
            let process = Self {
                pid,
                parent,
                user,
                taken: (blocked | caught) & !ignored,
                is_own,
                is_looking,
                name: name.to_owned(),
            };
            (!state.starts_with('Z')).then_some(process)
        };
        text.lines().filter_map(of).collect()
    }
}

/// How a container is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way<'a> {
    /// KILL to these.
    Kill(Vec<&'a Process>),
    /// These to process 1, until one ends it.
    Signals(Vec<&'static str>),
}

/// Which way works. The kernel keeps from process 1 of a process namespace what comes from inside and has no handler, KILL included.
fn way(processes: &[Process]) -> Result<Way<'_>, String> {
    let looking = processes.iter().find(|process| process.is_looking);
    let own = || processes.iter().filter(|process| process.is_own && !process.is_looking);
    let may = |victims: Vec<&Process>| {
        let user = looking.map_or(0, |looking| looking.user);
        let foreign = victims.iter().find(|victim| user != 0 && victim.user != user).copied();
        foreign.map_or(Ok(()), |foreign| {
            Err(format!(
                "process {} ({}) belongs to user {}, and commands run as user {user}",
                foreign.pid, foreign.name, foreign.user
            ))
        })
    };
    let Some(first) = own().find(|process| process.pid == 1) else {
        // The namespace is shared: the process of the container is the one whose parent is not of the container.
        let is_main = |process: &&Process| !own().any(|other| other.pid == process.parent);
        let main = own().filter(is_main).min_by_key(|process| process.pid);
        let main = main.ok_or("its process cannot be distinguished from those of other containers")?;
        may(vec![main])?;
        return Ok(Way::Kill(vec![main]));
    };
    let children: Vec<&Process> = own().filter(|process| process.parent == 1).collect();
    let signals: Vec<&str> = SIGNALS
        .iter()
        .filter(|(_, number)| first.taken >> (number - 1) & 1 == 1)
        .map(|(name, _)| *name)
        // A shell catches INT for itself, and goes on.
        .filter(|name| *name != "INT" || !is_shell(&first.name))
        .collect();
    let is_wrapper = WRAPPERS.contains(&first.name.as_str());
    if !children.is_empty() && (is_wrapper || signals.is_empty()) {
        may(children.clone())?;
        return Ok(Way::Kill(children));
    }
    if signals.is_empty() {
        let names = SIGNALS.map(|(name, _)| name).join(", ");
        return Err(format!(
            "process 1 ({}) handles none of {names} and has no child, and the kernel ignores a KILL from inside the container",
            first.name
        ));
    }
    may(vec![first])?;
    Ok(Way::Signals(signals))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<Process> {
        Process::parse(text)
    }

    /// The shell that looks, as root.
    const LOOKING: &str = "9 0 0 0 0 0 1 1 R sh\n";

    fn told(text: &str) -> String {
        let processes = seen(&(text.to_owned() + LOOKING));
        match way(&processes) {
            Ok(Way::Kill(victims)) => format!(
                "kill {}",
                victims.iter().map(|one| one.pid.to_string()).collect::<Vec<_>>().join(" ")
            ),
            Ok(Way::Signals(signals)) => signals.join(" "),
            Err(why) => why,
        }
    }

    #[test]
    fn what_works_is_told_from_the_masks_of_the_first_process() {
        // TERM is bit 14, INT bit 1.
        assert_eq!(told("1 0 0 0 0 4002 1 0 S app\n"), "TERM INT");
        assert_eq!(told("1 0 0 0 4000 4002 1 0 S app\n"), "INT", "it ignores TERM");
        assert_eq!(told("1 0 0 4000 0 0 1 0 S s6-svscan\n"), "TERM", "what is blocked is waited for");
        assert!(told("1 0 0 0 0 0 1 0 S sleep\n").starts_with("process 1 (sleep) handles none of TERM"));
    }

    #[test]
    fn what_a_wrapper_runs_is_killed_by_force() {
        let tini = "1 0 0 fffffffe7ffbb9f8 0 0 1 0 S tini\n7 1 0 0 0 4002 1 0 S app\n8 7 0 0 0 0 1 0 S worker\n";
        assert_eq!(told(tini), "kill 7");
        assert_eq!(
            told("1 0 0 0 0 4000 1 0 S sh\n7 1 0 0 0 0 1 0 S sleep\n"),
            "TERM",
            "a script that has a trap"
        );
        assert_eq!(
            told("1 0 0 0 0 0 1 0 S sh\n7 1 0 0 0 0 1 0 Z app\n8 1 0 0 0 0 1 0 S app\n"),
            "kill 8",
            "the dead do not count"
        );
        let nginx = "1 0 0 0 0 4002 1 0 S nginx\n7 1 101 0 0 4002 1 0 S nginx\n";
        assert_eq!(told(nginx), "TERM INT", "a master would only make another worker");
    }

    #[test]
    fn in_a_shared_namespace_the_process_of_this_container_is_killed() {
        let shared = "1 0 0 0 0 0 0 0 S pause\n7 0 0 0 0 0 1 0 S app\n8 7 0 0 0 0 1 0 S worker\n12 0 0 0 0 0 0 0 S sidecar\n";
        assert_eq!(told(shared), "kill 7");
    }

    #[test]
    fn another_user_s_process_is_out_of_reach() {
        let processes = seen("1 0 1000 0 0 4002 1 0 S app\n9 0 65534 0 0 0 1 1 R sh\n");
        assert!(
            way(&processes)
                .unwrap_err()
                .contains("belongs to user 1000, and commands run as user 65534")
        );
    }

    #[test]
    fn counters_of_both_versions_of_control_groups_are_read() {
        let counters = Counters::parse("oom_kill_disable 0\noom_kill 3\nnr_throttled 7\nusage_nsec 5000000\nnonsense\n");
        assert_eq!(
            (counters.get("oom_kill"), counters.get("nr_throttled"), counters.used()),
            (Some(3), Some(7), Some(5))
        );
        assert_eq!(Counters::parse("usage_usec 9000").used(), Some(9));
    }
}
