//! The run against a cluster: watches drive it, the tracker decides. Nothing that is asked or read meanwhile holds it up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::application::{self, Asker};
use super::asking::{Asking, FOLLOWS};
use super::calm::Calm;
use super::contact::Contact;
use super::judgement::Expected;
use super::prober::{Means, Prober};
use super::questions::Questions;
use super::reading::Readings;
use super::selection::Selection;
use super::store::Store;
use super::teller::Teller;
use super::why::{Answer, Asked};
use super::{Output, Plan, finish};
use crate::cluster::{Connection, Log, Trust};
use crate::cmd::Outcome;
use crate::cmd::collect;
use crate::cmd::exit::{Exit, Failure};
use crate::gate::check::{self, Check, Via};
use crate::gate::hops::Marks;
use crate::gate::progress::{Decision, Limits, Look, Step, Tracker};
use crate::gate::settle;
use crate::gate::steady::Steady;
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
/// A shorter `--timeout` leaves this time for the first answers of the API server.
const LEAST_TO_CONNECT: Duration = Duration::from_secs(1);

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
    let connecting = connect(&plan, &documents, io, log);
    let (connection, selection) = if plan.timeout.is_zero() {
        connecting.await?
    } else {
        let limit = plan.timeout.max(LEAST_TO_CONNECT);
        tokio::time::timeout(limit, connecting).await.map_err(|_| {
            let within = duration::short(limit);
            Failure::new(Exit::NoAnswer, format!("the API server has not answered within {within}"))
        })??
    };
    let namespaces = selection.namespaces();
    let mut store = Store::open(&connection, &namespaces, selection.defined(), (io.now)());
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
        chooses: plan.wish.via == Via::Auto,
        anybody: Trust::of_anybody().map_err(|why| Failure::new(Exit::Fault, why))?,
        prober: args.probe_image.as_deref().map(|image| {
            Prober::new(Means {
                connection: connection.clone(),
                image: image.to_owned(),
                with_body: args.body.is_some(),
                ends: (!plan.timeout.is_zero()).then(|| Instant::now() + plan.timeout),
                scheduling: plan.grace.scheduling,
                stderr: io.stderr.clone(),
            })
        }),
    };
    let mut run = Run {
        asker: Arc::new(asker),
        marks: Marks::new((io.now)()),
        readings: Readings::new(&connection, &namespaces),
        questions: Questions::new(plan.timeout),
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
        contact: Contact::default(),
        was_ready: false,
        asking: Asking::default(),
        calm: Calm::default(),
        steady: Default::default(),
        row: Duration::ZERO,
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
    let (report, mut exit) = ended?;
    super::super::warnings_as_errors(run.plan.connect, &run.connection)?;
    finish(&run.plan, &report, &run.store.snapshot, io)?;
    // A program that reads line by line has gone without the verdict.
    let has_ended = matches!(exit, Exit::HungUp | Exit::Interrupted | Exit::Terminated);
    if args.output == Output::NdJson && !has_ended && io.stdout.is_closed() {
        exit = Exit::Unread;
    }
    Ok(exit)
}

/// Opens the connection and finds out what is meant.
async fn connect(plan: &Plan<'_>, documents: &[Value], io: &Io, log: Log) -> Result<(Connection, Selection), Failure> {
    let options = plan.connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let given = plan.connect.namespace.as_deref();
    let selection = Selection::resolve(&connection, &plan.wanted, plan.args.selector.as_ref(), documents, given).await?;
    for namespace in selection.namespaces().iter().filter(|name| !selection.waits_for_namespace(name)) {
        if collect::namespace_exists(&connection, namespace).await? == Some(false) {
            return Err(selection.no_such_namespace(&connection, namespace).await);
        }
    }
    Ok((connection, selection))
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
    readings: Readings,
    pub(super) contact: Contact,
    was_ready: bool,
    questions: Questions,
    pub(super) asking: Asking,
    calm: Calm,
    /// How long everything was ready, and how long it answered.
    steady: (Steady, Steady),
    /// How long the present row of answers has to last.
    row: Duration,
    pub(super) marks: Marks,
    /// How it stood at the last look.
    pub(super) last: Option<Readiness>,
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
                let waited = duration::short(self.plan.timeout);
                return Err(Failure::new(
                    Exit::NoAnswer,
                    format!("the API server has not listed everything within {waited}"),
                ));
            }
            if self.teller.is_unread() {
                return Ok((self.stopped(self.start.elapsed(), Exit::Unread), Exit::Unread));
            }
            self.sleep().await?;
        }
    }

    /// Waits until something has changed, an answer has come, or it is time to look again.
    async fn sleep(&mut self) -> Result<(), Failure> {
        let at = self.start.elapsed();
        let times = [
            self.questions.due(),
            self.readings.due(),
            self.asking.due(self.row),
            self.contact.due(),
            self.calm.due(),
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
                    self.questions.drop_question();
                    self.questions.forget_dials();
                }
                if self.asking.is_at_fault() {
                    self.readings.forget_confirmation();
                }
            }
            read = self.readings.ended() => self.readings.take(read, self.start.elapsed(), &mut self.store.snapshot),
            answer = self.questions.answered() => self.take_answer(answer),
            changed = self.store.changed() => changed?,
            () = tokio::time::sleep_until(self.start + wake) => {}
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: Answer) {
        let (from, now) = (answer.at, self.start.elapsed());
        if let Some(causes) = self.questions.take(answer, now, &mut self.store.snapshot) {
            self.tracker.explain(causes);
        }
        if let Some(next_final) = self.tracker.next_final(from) {
            self.questions.before(next_final, now);
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
            let objects = context.take_needs().into_iter().filter_map(|need| match need {
                Need::Object(object) => Some(object),
                _ => None,
            });
            let objects: BTreeSet<ObjectRef> = objects.collect();
            self.marks.note(&context, &judged);
            let derived = if is_ready {
                check::derive(&context, &judged, &self.plan.gate, &self.plan.wish)
            } else {
                untried::never(&context, &judged, &self.plan.gate, &self.plan.wish).map_or(Ok(Vec::new()), Err)
            };
            let is_hopeless = derived.as_ref().is_err_and(|untried| untried.is_final);
            let identity = judge::identity(&context, &judged);
            let ready_for = judge::ready_for(&context, &judged).unwrap_or_default();
            let restless = (is_ready && !self.plan.span().is_zero())
                .then(|| settle::restless(&context, &judged))
                .flatten();
            let is_lost = self.contact.is_lost();
            let lost_nodes = if is_lost { BTreeSet::new() } else { lost_nodes };
            if self.readings.see_to(objects, lost_nodes, at) && once {
                // One look has no second.
                let read = self.readings.ended().await;
                self.readings.take(read, self.start.elapsed(), &mut self.store.snapshot);
                continue;
            }
            if self.questions.ordered(orders, at) {
                self.tracker.forget_causes();
            }
            if is_ready && !self.was_ready {
                // What kept it from being ready does not any more.
                self.questions.drop_question();
                self.tracker.set_causes_aside();
            }
            self.was_ready = is_ready;
            self.calm.look(is_ready);
            let mut application = self.application(at, derived, is_ready, identity, ready_for).await;
            if let (Some(restless), None | Some((State::Ready, _))) = (restless, &application) {
                application = Some(self.calm.settled(at, restless));
            }
            if once && !is_ready && !judged.is_empty() {
                // The rules are asked at once.
                self.ask(at, &judged);
                let answer = self.questions.answered().await;
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
                self.questions.soon(at);
            }
            let trouble = self.store.trouble().or_else(|| self.readings.trouble());
            let told = self.contact.note(trouble.cloned(), at, self.store.snapshot.taken_at);
            step.changes.extend(told);
            step.changes
                .iter_mut()
                .for_each(|change| change.reason = self.asker.sent.mask(&change.reason));
            if is_lost && !self.contact.is_lost() {
                self.tracker.resumed(at);
            }
            let decided = self.decide(&step, at, nodes);
            let report = self.report(&step, at);
            self.teller.tell(&step.changes, &report, at, self.store.snapshot.taken_at);
            self.last = Some(report.clone());
            match decided {
                Decision::Wait => {
                    let unanswered = self.asking.is_unanswered(at);
                    let asks = self.questions.is_due(at) && !step.judged.is_empty();
                    if asks && (!is_ready || unanswered) && !self.contact.is_lost() {
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
            self.readings.forget_confirmation();
        }
        let needs_cause = match decision {
            Decision::Wait => return decision,
            Decision::Done(State::Ready) if self.readings.is_confirmed() => return decision,
            Decision::Done(State::Ready) => {
                let is_confirming = self.readings.confirm(step.judged.iter().map(|j| j.object.clone()).collect(), nodes);
                return if is_over || (is_late && !is_confirming) {
                    self.tracker.time_is_up(at)
                } else {
                    Decision::Wait
                };
            }
            Decision::Done(State::Failed) | Decision::TimedOut(..) => {
                let is_known = !step.causes.is_empty() || step.judged.is_empty() || self.questions.are_answered(at);
                !is_known && !self.contact.is_lost() && !self.plan.timeout.is_zero()
            }
            Decision::Done(_) => false,
        };
        // Before the last word the rules are asked once more, but not for ever.
        if needs_cause && !is_over {
            if self.questions.lack_cause(at) {
                self.ask(at, &step.judged);
            }
            if self.questions.hold_up(at) {
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
        ready_for: Duration,
    ) -> Option<(State, String)> {
        if self.contact.is_lost() {
            // Nobody knows what was well meanwhile.
            self.steady = Default::default();
        } else if !(is_ready && self.asking.is_pending()) {
            let answers = self.asking.checks().is_empty() || self.asking.is_answering();
            self.steady.0.note(at, is_ready, ready_for, &identity);
            // The first answers after a roll-out may fail by what leads to the pods, however long they have been ready.
            self.steady.1.note(at, is_ready && answers, Duration::ZERO, &identity);
        }
        if !is_ready {
            self.asking.stop();
            return derived.err().map(|untried| (State::Unknown, untried.why));
        }
        let once = self.plan.timeout.is_zero();
        let span = self.steady.1.wanted(self.steady.0.wanted(self.plan.span(), &identity), &identity);
        self.row = span;
        let checks = match derived {
            Ok(checks) => checks,
            Err(untried) => {
                self.asking.stop();
                return Some((State::Unknown, untried.why));
            }
        };
        let nobody = checks.is_empty();
        self.asking.turn_to(checks, if once { at } else { at + FOLLOWS });
        if nobody {
            return if once { None } else { self.calm.stayed(at, identity, span) };
        }
        let wanted = self.plan.args.successes;
        if once {
            // One look asks as often as is needed, but does not wait to see it last.
            while !self.asking.holds(wanted, Duration::ZERO, &identity) && !self.asking.is_at_fault() {
                self.begin_round(identity.clone());
                let ended = self.asking.ended().await;
                self.asking.take(ended, self.start.elapsed());
            }
            return Some(self.asking.says(wanted, Duration::ZERO, &identity));
        }
        let mut says = self.asking.says(wanted, span, &identity);
        if span > self.plan.span() && says.0 == State::Progressing && self.asking.is_answering() {
            says.1
                .push_str("; it was well before and broke off, so that it has to last longer now");
        }
        if says.0 != State::Ready && self.asking.due(span).is_some_and(|due| at >= due) {
            self.begin_round(identity);
        }
        Some(says)
    }

    fn begin_round(&mut self, identity: Identity) {
        let answer = application::round(self.asker.clone(), self.asking.checks().to_vec(), self.asking.attempts());
        self.asking.begin(self.start.elapsed(), identity, answer.boxed());
    }

    /// Asks the rules, aside from the run.
    fn ask(&mut self, at: Duration, judged: &[ObjectReadiness]) {
        let asked = Asked {
            connection: self.connection.clone(),
            snapshot: self.store.snapshot.clone(),
            namespaces: self.namespaces.clone(),
            targets: self.plan.gate.targets.clone(),
            judged: judged.to_vec(),
            // Everything looks ready and nobody answers: any fault around it may be why.
            all: judged.iter().all(|j| j.state == State::Ready),
            dial: !self.plan.args.no_dial,
        };
        self.questions.ask(asked, at);
    }

    /// The last word of a run that was told to end.
    fn interrupted(&mut self, interruption: Interruption) -> (Readiness, Exit) {
        let exit = Exit::from(interruption);
        (self.stopped(self.start.elapsed(), exit), exit)
    }
}
