//! The run against a cluster: watches drive it, the tracker decides. Nothing that is asked or read meanwhile holds it up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::application::{self, Asker};
use super::asking::Asking;
use super::confirm::{self, Read, Wanted};
use super::contact::{Contact, Trouble};
use super::judgement::Expected;
use super::prober::Prober;
use super::selection::Selection;
use super::store::Store;
use super::teller::Teller;
use super::why::{self, Asked, Dials};
use super::{Plan, finish};
use crate::cluster::{Connection, Log, Trust};
use crate::cmd::Outcome;
use crate::cmd::collect;
use crate::cmd::exit::{Exit, Failure};
use crate::cmd::reach::Reach;
use crate::gate::check::{self, Check};
use crate::gate::hops::Marks;
use crate::gate::progress::{Causes, Decision, Limits, Look, Step, Tracker};
use crate::gate::settle::{self, Restless};
use crate::gate::streak::Identity;
use crate::gate::untried::{self, Untried};
use crate::gate::{self, judge};
use crate::io::{Interruption, Io};
use crate::model::finding::ObjectRef;
use crate::model::readiness::{ObjectReadiness, Readiness, State};
use crate::model::{duration, kind};
use crate::rules::context::Context;
use crate::rules::{Need, Options};

/// The longest time between two looks: it bounds how late a deadline is seen.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How long what has just been rolled out must go on answering, where nothing else was said.
const STABLE_FOR: Duration = Duration::from_secs(5);
/// Until the API server is asked again after it gave no answer.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// How often a node that is not ready is looked at again.
const LOST_NODES: Duration = Duration::from_secs(5);
/// What the rules said this long ago is worth asking again before the last word.
const STALE: Duration = Duration::from_secs(5);
/// How long the rules are waited for once it is over, so that the end names the cause; before the time is up they are asked as much earlier.
const LAST_QUESTION: Duration = Duration::from_secs(3);

/// What a workload is told to run.
pub(super) type Orders = Vec<(ObjectRef, Option<String>, Option<i64>)>;

/// Waits for a cluster.
pub(super) async fn run(plan: Plan<'_>, io: &mut Io, log: Log) -> Outcome {
    let args = plan.args;
    let documents = if args.filename.is_empty() {
        Vec::new()
    } else {
        super::read_files(args, io)?.objects
    };
    if plan.wanted.is_empty() && documents.is_empty() && args.selector.is_none() {
        return Err(Failure::usage("nothing is named to wait for").hint("name it as TYPE/NAME, with -l SELECTOR or with -f FILE"));
    }
    let trust = plan.trust()?;
    let options = plan.connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let given = plan.connect.namespace.as_deref();
    let selection = Selection::resolve(&connection, &plan.wanted, args.selector.as_ref(), &documents, given).await?;
    let namespaces = selection.namespaces();
    for namespace in namespaces.iter().filter(|name| !selection.waits_for_namespace(name)) {
        if collect::namespace_exists(&connection, namespace).await? == Some(false) {
            return Err(selection.no_such_namespace(&connection, namespace).await);
        }
    }
    let mut store = Store::open(&connection, &namespaces, (io.now)());
    for (kind, namespace, name) in selection.kinds() {
        store.watch(kind, namespace.as_deref(), name.as_deref());
    }
    if args.selector.is_none() && !namespaces.is_empty() && connection.serves(&kind::HTTP_ROUTE).await.unwrap_or(false) {
        for namespace in &namespaces {
            store.watch(kind::HTTP_ROUTE, Some(namespace), None);
            store.watch(kind::GATEWAY, Some(namespace), None);
        }
    }
    let teller = Teller::new(&args.output, args.color, plan.timeout, io);
    let tracker = Tracker::new(Limits {
        timeout: plan.timeout,
        phases: plan.phase_timeouts(),
        grace: plan.grace.clone(),
    });
    let asker = Asker {
        connection: connection.clone(),
        expected: Expected {
            status: args.status,
            body: args.body.clone(),
        },
        sent: plan.sent.clone(),
        host: args.host.clone(),
        trust,
        anybody: Trust::of_anybody().map_err(|why| Failure::new(Exit::Fault, why))?,
        prober: args.probe_image.as_deref().map(|image| {
            let ends = (!plan.timeout.is_zero()).then(|| Instant::now() + plan.timeout);
            Prober::new(&connection, image, args.body.is_some(), ends, &io.stderr)
        }),
    };
    let last_question = plan.timeout.saturating_sub(LAST_QUESTION);
    let mut run = Run {
        asker: Arc::new(asker),
        marks: Marks::new((io.now)()),
        plan,
        selection,
        namespaces,
        connection,
        store,
        tracker,
        teller,
        start: Instant::now(),
        clock: io.now,
        looked: Duration::ZERO,
        reading: None,
        asked: BTreeSet::new(),
        unread: None,
        next_nodes: Duration::ZERO,
        is_confirmed: false,
        contact: Contact::default(),
        orders: Orders::new(),
        was_ready: false,
        question: None,
        next_question: why::PAUSE.0.min(last_question),
        pause: why::PAUSE.0,
        explained: None,
        last_question_until: None,
        dials: Dials::default(),
        reach: Reach::new(why::DIAL_LIMIT, false, None),
        asking: Asking::default(),
        calm: None,
        calm_at: None,
        span: STABLE_FOR,
        last: None,
    };
    let stopped = io.stop.told();
    tokio::pin!(stopped);
    let ended = tokio::select! {
        biased;
        interruption = &mut stopped => Ok(run.interrupted(interruption)),
        ended = run.until_over() => ended,
    };
    run.teller.clear();
    run.asking.stop();
    if let Some(prober) = &run.asker.prober {
        prober.end().await;
    }
    let (report, exit) = ended?;
    super::super::warnings_as_errors(run.plan.connect, &run.connection)?;
    finish(&run.plan, &report, &run.store.snapshot, io)?;
    Ok(exit)
}

/// A run and all that it remembers.
pub(super) struct Run<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) asker: Arc<Asker>,
    pub(super) selection: Selection,
    namespaces: Vec<String>,
    pub(super) connection: Connection,
    pub(super) store: Store,
    pub(super) tracker: Tracker,
    teller: Teller,
    start: Instant,
    clock: fn() -> Timestamp,
    /// When everything was looked at last.
    looked: Duration,
    reading: Option<Reading>,
    /// Objects beside the watched ones that were asked for; what may not be read is not asked for again.
    asked: BTreeSet<ObjectRef>,
    /// Why the API server gave no answer to what was read last, and when to try again.
    unread: Option<(Trouble, Duration)>,
    next_nodes: Duration,
    /// Whether all that the verdict rests on was read again since everything looked ready.
    is_confirmed: bool,
    pub(super) contact: Contact,
    orders: Orders,
    was_ready: bool,
    question: Option<BoxFuture<'static, why::Answer>>,
    next_question: Duration,
    pause: Duration,
    /// From when the last answer of the rules is.
    explained: Option<Duration>,
    last_question_until: Option<Duration>,
    dials: Dials,
    reach: Reach,
    pub(super) asking: Asking,
    /// Since when everything has been ready that nobody can be asked about, by the same pods.
    calm: Option<(Duration, Identity)>,
    /// When to look again whether it is still.
    calm_at: Option<Duration>,
    /// How long answers have to last.
    span: Duration,
    pub(super) marks: Marks,
    /// How it stood at the last look.
    pub(super) last: Option<Readiness>,
}

/// A reading that is under way.
struct Reading {
    confirms: bool,
    objects: BTreeSet<ObjectRef>,
    answer: BoxFuture<'static, Result<Read, Trouble>>,
}

impl Run<'_> {
    async fn until_over(&mut self) -> Result<(Readiness, Exit), Failure> {
        loop {
            self.looked = self.start.elapsed();
            if self.store.is_complete() {
                if let Some(over) = self.look().await {
                    return Ok(over);
                }
            } else if self.start.elapsed() >= self.plan.timeout && !self.plan.timeout.is_zero() {
                let waited = crate::model::duration::short(self.plan.timeout);
                return Err(Failure::new(
                    Exit::NoAnswer,
                    format!("the API server has not listed everything within {waited}"),
                ));
            }
            self.sleep().await?;
        }
    }

    /// Waits until something has changed, an answer has come, or it is time to look again.
    async fn sleep(&mut self) -> Result<(), Failure> {
        let at = self.start.elapsed();
        let question = self.question.is_none().then_some(self.next_question);
        let unread = self.unread.as_ref().filter(|_| self.reading.is_none()).map(|(_, again)| *again);
        let times = [
            question,
            unread,
            self.asking.due(self.span),
            self.contact.due(),
            self.calm_at,
            self.last_question_until,
            self.tracker.due(),
            Some(self.plan.timeout),
            Some(at + self.teller.period()),
        ];
        // What was due at the last look was seen to; what has become due since is not to be missed.
        let wake = times.into_iter().flatten().filter(|t| *t > self.looked).min();
        let wake = wake.unwrap_or(Duration::MAX).clamp(at, at + LONGEST_SLEEP);
        tokio::select! {
            biased;
            ended = self.asking.ended() => {
                if self.asking.take(ended, self.start.elapsed()) {
                    // It answers: what was thought to keep it from that does not.
                    self.tracker.forget_causes();
                    self.question = None;
                    self.dials.forget();
                }
                if self.asking.is_at_fault() {
                    self.is_confirmed = false;
                }
            }
            read = read(&mut self.reading) => self.take_read(read),
            answer = answered(&mut self.question) => self.take_answer(answer),
            changed = self.store.changed() => changed?,
            () = tokio::time::sleep_until(self.start + wake) => {}
        }
        Ok(())
    }

    fn take_read(&mut self, read: Result<Read, Trouble>) {
        let Some(reading) = self.reading.take() else { return };
        match read {
            Ok(read) => {
                read.into_snapshot(&mut self.store.snapshot);
                self.is_confirmed = reading.confirms;
                self.unread = None;
            }
            Err(why) => {
                self.asked.retain(|object| !reading.objects.contains(object));
                self.unread = Some((why, self.start.elapsed() + READ_AGAIN));
            }
        }
    }

    fn take_answer(&mut self, answer: why::Answer) {
        self.question = None;
        let now = self.start.elapsed();
        self.pause = (self.pause * 2).min(why::PAUSE.1);
        self.store.snapshot.unchecked.extend(answer.snapshot.unchecked.iter().cloned());
        // What was found out about another order is of no use any more.
        if answer.orders == self.orders {
            self.dials.keep(&answer.snapshot, now);
            self.explained = Some(answer.at);
            self.tracker.explain(Causes {
                at: answer.at,
                now: answer.now,
                suspects: answer.suspects,
            });
        }
        // Whatever is about to be final is asked about just then.
        let until_final = self.tracker.next_final(answer.at).unwrap_or(Duration::MAX);
        self.next_question = now + self.pause.min(until_final.max(why::PAUSE.0));
        // Their last word has to be there when the time is up.
        let last = self.plan.timeout.saturating_sub(LAST_QUESTION);
        if now < last {
            self.next_question = self.next_question.min(last);
        }
    }

    /// Looks at everything as it is now; the report and the exit code where the run is over.
    async fn look(&mut self) -> Option<(Readiness, Exit)> {
        loop {
            let at = self.start.elapsed();
            self.looked = at;
            let once = self.plan.timeout.is_zero();
            self.store.snapshot.taken_at = (self.clock)();
            self.store.snapshot.sort();
            let context = Context::new(&self.store.snapshot, Options::default());
            self.plan.gate.targets = self.selection.targets(&context);
            let lack = self.selection.lack(&context);
            let judged = gate::judge(&context, &self.plan.gate);
            // Many Gateways live in a namespace of their own.
            let elsewhere = self.store.not_watched(&kind::GATEWAY, judged.iter().map(|j| &j.object));
            if !elsewhere.is_empty() {
                for object in elsewhere {
                    self.store.watch(kind::GATEWAY, Some(&object.namespace), Some(&object.name));
                }
                return None;
            }
            let orders = judge::orders(&context, &judged);
            let nodes = judge::nodes(&context, &judged);
            let lost_nodes = judge::lost_nodes(&context, &nodes);
            let is_ready = judged.iter().all(|j| j.state == State::Ready) && !judged.is_empty() && lack.is_none();
            let objects: BTreeSet<ObjectRef> = context
                .take_needs()
                .into_iter()
                .filter_map(|need| match need {
                    Need::Object(object) if !self.asked.contains(&object) => Some(object),
                    _ => None,
                })
                .collect();
            self.marks.note(&context, &judged);
            let derived = if is_ready {
                check::derive(&context, &judged, &self.plan.gate, &self.plan.wish)
            } else {
                untried::never(&context, &judged, &self.plan.gate, &self.plan.wish).map_or(Ok(Vec::new()), Err)
            };
            let is_hopeless = derived.as_ref().is_err_and(|untried| untried.is_final);
            let identity = judge::identity(&context, &judged);
            let span = self
                .plan
                .args
                .stable_for
                .unwrap_or_else(|| check::span(&context, &judged, STABLE_FOR));
            let restless = is_ready.then(|| settle::restless(&context, &judged)).flatten();
            if !objects.is_empty() && self.reading.is_none() {
                self.asked.extend(objects.iter().cloned());
                self.read(objects, BTreeSet::new(), false);
                if once {
                    // One look has no second.
                    let read = read(&mut self.reading).await;
                    self.take_read(read);
                    continue;
                }
            } else if !lost_nodes.is_empty() && self.reading.is_none() && at >= self.next_nodes && !self.contact.is_lost() {
                self.next_nodes = at + LOST_NODES;
                self.read(BTreeSet::new(), lost_nodes, false);
            } else if self.unread.as_ref().is_some_and(|(_, again)| at >= *again) && self.reading.is_none() {
                self.read(BTreeSet::new(), BTreeSet::new(), false);
            }
            if orders != self.orders {
                self.orders = orders;
                self.tracker.forget_causes();
                self.dials.forget();
                self.explained = None;
                self.ask_soon(at);
            }
            self.span = span;
            if is_ready && !self.was_ready {
                // What kept it from being ready does not any more.
                self.question = None;
                self.tracker.set_causes_aside();
            }
            self.was_ready = is_ready;
            let application = self.application(at, derived, is_ready, identity, span).await;
            let application = self.settled(at, application, restless);
            if once && !is_ready && !judged.is_empty() {
                // The rules are asked at once.
                self.ask(at, &judged);
                let answer = answered(&mut self.question).await;
                self.take_answer(answer);
            }
            let mut step = self.tracker.look(Look {
                at,
                judged,
                application,
                lack,
                is_hopeless: is_hopeless || self.asking.is_hopeless(),
            });
            if step.moved {
                self.ask_soon(at);
            }
            let trouble = self.store.trouble().or(self.unread.as_ref().map(|(why, _)| why));
            let was_lost = self.contact.is_lost();
            let told = self.contact.note(trouble.cloned(), at, self.store.snapshot.taken_at);
            step.changes.extend(told);
            step.changes
                .iter_mut()
                .for_each(|change| change.reason = self.asker.sent.mask(&change.reason));
            if was_lost && !self.contact.is_lost() {
                self.tracker.resumed(at);
            }
            let decided = self.decide(&step, at, nodes);
            let report = self.report(&step, at);
            self.teller.tell(&step.changes, &report, at, self.store.snapshot.taken_at);
            self.last = Some(report.clone());
            match decided {
                Decision::Wait => {
                    let unanswered = self.asking.is_unanswered(at);
                    let asks = self.question.is_none() && !step.judged.is_empty();
                    if asks && at >= self.next_question && (!is_ready || unanswered) && !self.contact.is_lost() {
                        self.ask(at, &step.judged);
                    }
                    return None;
                }
                Decision::Done(State::Failed) => return Some((self.with_cause(self.with_hops(report)), Exit::Bad)),
                Decision::Done(state) => return Some((self.with_hops(super::account::decided(report, state)), super::exit_of(state))),
                Decision::TimedOut(phase, trend) => {
                    let report = self.timed_out(self.with_hops(report), phase, trend);
                    return Some((report, Exit::TimedOut));
                }
            }
        }
    }

    /// What comes of a look, now that it is known whether the view is up to date and the cause is known.
    fn decide(&mut self, step: &Step, at: Duration, nodes: BTreeSet<String>) -> Decision {
        let is_late = at >= self.plan.timeout;
        let is_over = is_late && !self.plan.timeout.is_zero();
        let decision = match step.decision.clone() {
            // A view that is cut off from the cluster decides nothing but that time is up.
            Decision::Done(_) if self.contact.is_lost() && is_late => self.tracker.time_is_up(at),
            Decision::Done(_) if self.contact.is_lost() => Decision::Wait,
            decision => decision,
        };
        if decision != Decision::Done(State::Ready) {
            self.is_confirmed = false;
            if self.reading.as_ref().is_some_and(|reading| reading.confirms) {
                self.reading = None;
            }
        }
        let needs_cause = match decision {
            Decision::Wait => return decision,
            Decision::Done(State::Ready) if self.is_confirmed => return decision,
            Decision::Done(State::Ready) => {
                let is_reading = self.reading.as_ref().is_some_and(|reading| reading.confirms);
                if !is_reading && self.unread.is_none() {
                    self.read(step.judged.iter().map(|j| j.object.clone()).collect(), nodes, true);
                }
                return if is_over || (is_late && !is_reading && self.unread.is_some()) {
                    self.tracker.time_is_up(at)
                } else {
                    Decision::Wait
                };
            }
            Decision::Done(State::Failed) | Decision::TimedOut(..) => {
                let is_fresh = self.explained.is_some_and(|from| at <= from + STALE);
                step.causes.is_empty() && !step.judged.is_empty() && !is_fresh && !self.contact.is_lost() && !self.plan.timeout.is_zero()
            }
            Decision::Done(_) => false,
        };
        // Before the last word the rules are asked once more, but not for ever.
        if needs_cause && !is_over && self.last_question_until.is_none_or(|until| at < until) {
            if self.last_question_until.is_none() {
                self.last_question_until = Some((at + LAST_QUESTION).min(self.plan.timeout));
                self.ask(at, &step.judged);
            }
            if self.question.is_some() {
                return Decision::Wait;
            }
        }
        decision
    }

    /// The third phase: goes on asking where that is due, and says how it stands. None: there is nobody to ask.
    async fn application(
        &mut self,
        at: Duration,
        derived: Result<Vec<Check>, Untried>,
        is_ready: bool,
        identity: Identity,
        span: Duration,
    ) -> Option<(State, String)> {
        self.calm_at = None;
        if !is_ready {
            self.asking.stop();
            self.calm = None;
            return derived.err().map(|untried| (State::Unknown, untried.why));
        }
        self.asking.checks = match derived {
            Ok(checks) => checks,
            Err(untried) => {
                self.asking.stop();
                return Some((State::Unknown, untried.why));
            }
        };
        if self.asking.checks.is_empty() {
            return self.stayed(at, identity, span);
        }
        let wanted = self.plan.args.successes;
        if self.plan.timeout.is_zero() {
            // One look asks as often as is needed, but does not wait to see it last.
            while !self.asking.holds(wanted, Duration::ZERO, &identity) && !self.asking.is_at_fault() {
                self.begin_round(identity.clone());
                let ended = self.asking.ended().await;
                self.asking.take(ended, self.start.elapsed());
            }
            return Some(self.asking.says(wanted, Duration::ZERO, &identity));
        }
        let says = self.asking.says(wanted, span, &identity);
        if says.0 != State::Ready && self.asking.due(span).is_some_and(|due| at >= due) {
            self.begin_round(identity);
        }
        Some(says)
    }

    /// What nobody can be asked about has to stay ready as long as what can be asked must go on answering.
    fn stayed(&mut self, at: Duration, identity: Identity, span: Duration) -> Option<(State, String)> {
        if identity.is_empty() || self.plan.timeout.is_zero() {
            return None;
        }
        let since = match &self.calm {
            Some((since, pods)) if *pods == identity => *since,
            _ => at,
        };
        self.calm = Some((since, identity));
        (at < since + span).then(|| {
            self.calm_at = Some(since + span);
            (State::Progressing, format!("it has to stay ready for {}", duration::short(span)))
        })
    }

    /// Nothing is ready while a container that ended before has not outlived that, unless it was said for how long to look.
    fn settled(&mut self, at: Duration, application: Option<(State, String)>, restless: Option<Restless>) -> Option<(State, String)> {
        match (restless, application) {
            (Some(restless), None | Some((State::Ready, _))) if self.plan.args.stable_for.is_none() => {
                self.calm_at = Some(at + restless.left);
                Some((State::Progressing, restless.reason))
            }
            (_, application) => application,
        }
    }

    fn begin_round(&mut self, identity: Identity) {
        let answer = application::round(self.asker.clone(), self.asking.checks.clone(), self.asking.attempts());
        self.asking.begin(self.start.elapsed(), identity, answer.boxed());
    }

    /// Reads beside the watches: these objects and nodes; to confirm, or where there are none, the pods.
    fn read(&mut self, objects: BTreeSet<ObjectRef>, nodes: BTreeSet<String>, confirms: bool) {
        let with_pods = confirms || (objects.is_empty() && nodes.is_empty());
        let wanted = Wanted {
            namespaces: if with_pods { self.namespaces.clone() } else { Vec::new() },
            objects: objects.iter().filter(|o| !o.is(&kind::POD)).cloned().collect(),
            nodes,
        };
        self.reading = Some(Reading {
            confirms,
            objects,
            answer: confirm::begin(self.connection.clone(), wanted),
        });
    }

    /// Lets the next question to the rules come soon: something is not as it was.
    fn ask_soon(&mut self, at: Duration) {
        self.pause = why::PAUSE.0;
        self.next_question = self.next_question.min(at + self.pause);
    }

    /// Asks the rules, aside from the run.
    fn ask(&mut self, at: Duration, judged: &[ObjectReadiness]) {
        let mut snapshot = self.store.snapshot.clone();
        self.dials.lend(&mut snapshot, at);
        let asked = Asked {
            connection: self.connection.clone(),
            snapshot,
            namespaces: self.namespaces.clone(),
            targets: self.plan.gate.targets.clone(),
            judged: judged.to_vec(),
            // Everything looks ready and nobody answers: any fault around it may be why.
            all: judged.iter().all(|j| j.state == State::Ready),
            dial: !self.plan.args.no_dial,
            reach: self.reach.clone(),
        };
        self.question = Some(why::ask(asked, at, self.orders.clone()).boxed());
    }

    /// The last word of a run that was told to end.
    fn interrupted(&mut self, interruption: Interruption) -> (Readiness, Exit) {
        let exit = match interruption {
            Interruption::Interrupt => Exit::Interrupted,
            Interruption::Terminate => Exit::Terminated,
        };
        (self.stopped(self.start.elapsed(), exit), exit)
    }
}

/// What came of a reading that is under way; never, where none is.
async fn read(reading: &mut Option<Reading>) -> Result<Read, Trouble> {
    match reading {
        Some(reading) => (&mut reading.answer).await,
        None => std::future::pending().await,
    }
}

/// The answer to a question that is under way; never, where none is.
async fn answered(question: &mut Option<BoxFuture<'static, why::Answer>>) -> why::Answer {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}
