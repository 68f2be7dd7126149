//! Sessions are made ready: created or taken, and dialled until they answer.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::cluster::PodPort;
use crate::exit::{Exit, Failure};
use crate::gateway::auth;
use crate::gateway::backend::{Backend, Dialer, Tunnel, dial};
use crate::gateway::control::Control;
use crate::gateway::flights::{Delay, Start};
use crate::gateway::problem::Problem;
use crate::gateway::table::{Entry, Step};
use crate::model::dial::Reply;
use crate::observe::session::create::{Created, IfExists, Making, Unmade, Wanted, go_on_until, owner_full};
use crate::observe::session::gc::{Act, What};
use crate::observe::session::ready::{self, Ending, Healer};
use crate::session::record::Record;
use crate::session::state;

/// How long the failure of a flight is the answer to all who ask.
const FAILURE_LASTS: Duration = Duration::from_secs(1);
/// First and longest pause between two dials of an application that does not listen yet.
const DIALS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// How long a dial through the API server may take; half of it is how long silence has to last to count as accepted.
const DIAL_INSIDE: Duration = Duration::from_millis(600);
/// How often is looked whether a node is still being made.
const NODE: Duration = Duration::from_secs(5);
/// How long a session that has a pod is tried without the API server.
const ALONE: Duration = Duration::from_secs(10);

/// How long an application may take to answer that it knows its session.
const TELL: Duration = Duration::from_secs(10);
/// How long the record of a session may take to be written that answers already.
const WRITTEN: Duration = Duration::from_secs(5);

/// When the pod of a session was seen to have come how far.
#[derive(Default)]
struct Steps {
    scheduled: Option<Instant>,
    started: Option<Instant>,
}

impl Steps {
    fn note(&mut self, step: Step) {
        let now = Instant::now();
        if matches!(step, Step::Starting | Step::Running) {
            self.scheduled.get_or_insert(now);
        }
        if step == Step::Running {
            self.started.get_or_insert(now);
        }
    }
}

/// Whether an application knows its session.
enum Introduced {
    Yes,
    NotYet,
    /// It does not take it, and its pod goes.
    GivenUp,
}

impl Control<'_> {
    /// Makes a session ready, and tells all who wait for it.
    pub(super) async fn fly(&self, start: Start) {
        let begun = Instant::now();
        let is_new = self.table.get(&start.id).is_none();
        let done = RefCell::default();
        let landing = self.land(&start, is_new, &done).await.map_err(Arc::new);
        let has_failed = landing.is_err();
        let metrics = &self.gate.metrics;
        match &landing {
            Ok(steps) if is_new => {
                let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
                let (scheduled, started) = (steps.scheduled.unwrap_or(begun), steps.started.unwrap_or(begun));
                metrics.created("scheduled", seconds(begun, scheduled));
                metrics.created("started", seconds(scheduled, started));
                metrics.created("answers", seconds(started, Instant::now()));
                metrics.created("total", seconds(begun, Instant::now()));
            }
            Ok(_) => {}
            Err(problem) => {
                metrics.failed(problem.kind);
                metrics.refused.inc_by(u64::from(problem.status == StatusCode::TOO_MANY_REQUESTS));
            }
        }
        let landing = landing.map(drop);
        start.landing.send_replace(Some(landing));
        if let Some(owner) = &start.owner {
            self.making.borrow_mut().remove(&(owner.to_string(), start.id.clone()));
        }
        if has_failed {
            sleep(FAILURE_LASTS).await;
        }
        self.gate.flights.end(&start.id, start.owner.as_ref());
        if let Some(act) = done.take() {
            self.tell(&act).await;
        }
    }

    /// `is_new`: nobody knew of the session before. `done`: what was done for it.
    async fn land(&self, start: &Start, is_new: bool, done: &RefCell<Option<Act>>) -> Result<Steps, Problem> {
        loop {
            let is_made = Cell::new(false);
            let mut cannot = pin!(self.until_it_cannot(start, &is_made, done));
            let steps = tokio::select! {
                biased;
                steps = self.until_it_answers(&start.id, start.owner.as_deref()) => steps?,
                problem = &mut cannot => return Err(problem),
            };
            // Its pod was given up; with another one it begins anew.
            let Some(steps) = steps else { continue };
            // A pod that was warm answers before its session is written down to the end.
            if is_new {
                let _ = timeout(WRITTEN, go_on_until(|| is_made.get(), cannot)).await;
            }
            return Ok(steps);
        }
    }

    /// Dials the pod of a session until it answers, whichever pod that is by then. None: it had to be given up.
    async fn until_it_answers(&self, id: &str, owner: Option<&str>) -> Result<Option<Steps>, Problem> {
        let mut steps = Steps::default();
        let mut changes = self.table.changes();
        let mut pause = DIALS.0;
        loop {
            changes.mark_unchanged();
            let entry = self
                .table
                .get(id)
                .filter(|entry| owner.is_none() || entry.owner.as_deref() == owner);
            steps.note(entry.as_deref().map_or(Step::Absent, |entry| entry.step));
            let backend = entry.and_then(|entry| entry.backend.clone());
            if let Some(backend) = &backend {
                if self.accepts(backend).await {
                    match self.introduce(id, backend).await? {
                        Introduced::Yes => {
                            backend.prove(true);
                            return Ok(Some(steps));
                        }
                        Introduced::GivenUp => return Ok(None),
                        Introduced::NotYet => {}
                    }
                }
                tokio::select! {
                    () = sleep(pause) => pause = (pause * 2).min(DIALS.1),
                    _ = changes.changed() => {}
                }
            } else {
                // The table lives as long as this does.
                let _ = changes.changed().await;
                pause = DIALS.0;
            }
        }
    }

    async fn accepts(&self, backend: &Backend) -> bool {
        if matches!(self.gate.dialer, Dialer::Direct) {
            return dial(backend.address).await.is_ok();
        }
        let to = PodPort {
            namespace: &self.sessions.namespace,
            pod: &backend.pod,
            port: backend.address.port(),
        };
        let dialled = self.sessions.objects.connection.dial_inside(to, None, DIAL_INSIDE).await;
        matches!(dialled, Ok(Reply::Accepted))
    }

    /// Tells the application of a pod that was warm which session it has got.
    async fn introduce(&self, id: &str, backend: &Backend) -> Result<Introduced, Problem> {
        let Some(path) = self.warm_request.as_deref().filter(|_| !backend.is_told()) else {
            return Ok(Introduced::Yes);
        };
        let answer = match timeout(TELL, backend.tell(&self.gate.dialer, path, id)).await {
            Ok(Ok(status)) if status.is_success() => {
                backend.told();
                return Ok(Introduced::Yes);
            }
            Ok(Err(_)) => return Ok(Introduced::NotYet),
            Ok(Ok(status)) => format!("{path} answers {}", status.as_u16()),
            Err(_) => format!("{path} does not answer"),
        };
        let why = format!("pod {} does not accept session {id}: {answer}", backend.pod);
        self.say(&why);
        let record = self.sessions.record(id).await.map_err(Problem::of)?;
        let age = record.map(|record| self.sessions.now().duration_since(record.created));
        let age = age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default();
        // Another gateway may have told it before, and requests may have reached it since.
        if age >= self.gate.limits.ready_timeout {
            return Err(Problem::new(StatusCode::BAD_GATEWAY, "session-not-taken", why));
        }
        self.sessions.give_up(&backend.pod, &backend.uid).await.map_err(Problem::of)?;
        Ok(Introduced::GivenUp)
    }

    /// Makes sure that there is a session, and finds out why its pod does not answer. `is_made`: there is one, with a pod.
    async fn until_it_cannot(&self, start: &Start, is_made: &Cell<bool>, done: &RefCell<Option<Act>>) -> Problem {
        let begun = Instant::now();
        let mut deadline = begun + self.gate.limits.ready_timeout;
        let (id, owner) = (&start.id, start.owner.as_deref());
        let wanted = Wanted {
            id: id.to_string(),
            ..self.wanted.borrow().clone()
        };
        let wanted = match owner {
            None => wanted,
            Some(owner) => {
                if let Err(problem) = self.has_place(owner, id) {
                    return problem;
                }
                Wanted {
                    owner: Some(owner.to_owned()),
                    max_sessions_of_owner: self.gate.limits.sessions_of_owner,
                    if_exists: IfExists::ReuseOwn,
                    ..wanted
                }
            }
        };
        let making = Making::default();
        let record = match timeout_at(deadline, self.sessions.attempt(&wanted, &making)).await {
            Err(_) => return late(id, "it has no pod"),
            Ok(Ok(created)) => {
                is_made.set(true);
                if created.is_new && self.pool.borrow().is_wanted() {
                    self.gate.metrics.claimed(created.record.warm.is_some());
                }
                let is_told = done.borrow().is_some();
                if !is_told {
                    done.replace(act(&created));
                }
                created.record
            }
            Ok(Err(Unmade::Full(failure))) => {
                return Problem::of_failure(StatusCode::TOO_MANY_REQUESTS, "too-many-sessions", failure).retry_after(30);
            }
            Ok(Err(Unmade::OwnerFull(failure))) => return of_owner_full(failure),
            Ok(Err(Unmade::NotOwn(_))) => return auth::forbidden(),
            Ok(Err(Unmade::Failed(failure))) if failure.exit == Exit::NoAnswer => return self.alone(id, failure, deadline).await,
            Ok(Err(Unmade::Failed(failure))) => return Problem::of(failure),
        };
        let ending = self.until_ready(record, (begun, &mut deadline), &start.delay).await;
        match ending {
            // Ready by its own account: what remains is that it answers.
            Ok(Ending::Ready { .. }) => {
                sleep_until(deadline).await;
                let port = self
                    .table
                    .get(id)
                    .and_then(|entry| entry.backend.as_ref().map(|backend| backend.address.port()));
                match port {
                    Some(port) => late(id, &format!("its pod is ready, but does not accept connections on port {port}")),
                    None => late(id, "its pod declares no port: set it with --port"),
                }
            }
            Ok(Ending::Broken { diagnosis, .. }) => {
                let cause = diagnosis.root_causes.first().map(|cause| format!(": {}", cause.summary));
                let detail = format!("the pod of session {id} does not start{}", cause.unwrap_or_default());
                let mut problem = Problem::new(StatusCode::BAD_GATEWAY, "pod-does-not-start", detail);
                problem.diagnosis = Some(diagnosis);
                problem
            }
            Ok(Ending::TimedOut { diagnosis }) => {
                let mut problem = late(id, "its pod is not ready");
                problem.diagnosis = diagnosis;
                problem
            }
            Ok(Ending::Ended) => {
                let detail = format!("the command of session {id} has ended, and its pod with it");
                Problem::new(StatusCode::BAD_GATEWAY, "ended", detail)
            }
            Ok(Ending::Gone) => {
                let detail = format!("session {id} was deleted or paused before it was ready");
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "gone", detail).retry_after(1)
            }
            Err(failure) => self.alone(id, failure, deadline).await,
        }
    }

    /// Waits for a pod. One for which a node is made first has the whole time again when there is one.
    async fn until_ready(&self, record: Record, (begun, deadline): (Instant, &mut Instant), delay: &Delay) -> Result<Ending, Failure> {
        let mut awaited_node = false;
        loop {
            let times = (begun, Some(*deadline));
            let ending = self
                .sessions
                .until_ready(record.clone(), state::is_ready, times, Healer::This, self.io);
            *deadline = match ending.await? {
                Ending::TimedOut {
                    diagnosis: Some(diagnosis),
                } if ready::awaits_node(&diagnosis) => {
                    delay.note();
                    awaited_node = true;
                    Instant::now() + NODE
                }
                ending => {
                    if std::mem::take(&mut awaited_node) {
                        *deadline = Instant::now() + self.gate.limits.ready_timeout;
                        if matches!(ending, Ending::TimedOut { .. }) {
                            continue;
                        }
                    }
                    return Ok(ending);
                }
            };
        }
    }

    /// Whether an owner may have one more session, if it is one, as far as this gateway knows: those that others make now are counted behind the
    /// creation.
    fn has_place(&self, owner: &str, id: &Arc<str>) -> Result<(), Problem> {
        let Some(most) = self.gate.limits.sessions_of_owner else {
            return Ok(());
        };
        let mut making = self.making.borrow_mut();
        let made = self.table.all();
        let is_of_owner = |entry: &&Arc<Entry>| entry.owner.as_deref() == Some(owner);
        let made = made.iter().filter(is_of_owner).map(|entry| &entry.id);
        let all: HashSet<&Arc<str>> = made.chain(making.iter().filter(|(of, _)| of == owner).map(|(_, id)| id)).collect();
        if all.len() >= most as usize && !all.contains(id) {
            return Err(of_owner_full(owner_full(owner, most)));
        }
        making.insert((owner.to_owned(), id.clone()));
        Ok(())
    }

    /// The API server does not help: a session that has a pod may answer all the same.
    async fn alone(&self, id: &str, failure: Failure, deadline: Instant) -> Problem {
        if self.table.get(id).is_some_and(|entry| entry.backend.is_some()) {
            sleep_until(deadline.min(Instant::now() + ALONE)).await;
        }
        Problem::of(failure)
    }

    pub(super) async fn tunnel(&self, tunnel: Tunnel) {
        let to = PodPort {
            namespace: &self.sessions.namespace,
            pod: &tunnel.pod,
            port: tunnel.port,
        };
        // The other end sees that it is closed.
        let _ = self.sessions.objects.connection.forward(to, tunnel.end).await;
    }
}

/// What making a session ready has done for it.
fn act(created: &Created) -> Option<Act> {
    let (record, pod) = (&created.record, created.record.pod());
    let (what, why) = match (created.is_new, created.is_healed) {
        (true, _) => (What::Created, format!("created for a request; pod {pod}")),
        (_, true) => (What::Healed, format!("its pod was gone when a request came; now pod {pod}")),
        _ => return None,
    };
    let (id, object) = (Some(record.id.clone()), format!("session/{}", record.name));
    Some(Act { what, id, object, why })
}

fn of_owner_full(failure: Failure) -> Problem {
    Problem::of_failure(StatusCode::TOO_MANY_REQUESTS, "too-many-sessions-of-owner", failure).retry_after(30)
}

fn late(id: &str, why: &str) -> Problem {
    let detail = format!("session {id} was not ready in time: {why}");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "not-ready", detail).retry_after(5)
}
