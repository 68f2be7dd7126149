//! The run against a cluster: watches drive it, the tracker decides.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::selection::Selection;
use super::store::Store;
use super::teller::Teller;
use super::{Plan, finish, report, why};
use crate::cluster::{Connection, Log};
use crate::cmd::Outcome;
use crate::cmd::collect::{self, Rights};
use crate::cmd::exit::{Exit, Failure};
use crate::gate;
use crate::gate::progress::{Causes, Decision, Limits, Look, Step, Tracker};
use crate::io::{Interruption, Io};
use crate::model::finding::{Finding, ObjectRef};
use crate::model::kind;
use crate::model::readiness::{Readiness, State, Trend};
use crate::rules::context::Context;
use crate::rules::{Need, Options};

/// More nodes than this are read by one list.
const SINGLE_NODES: usize = 10;
/// The longest time between two looks: it bounds how late a deadline is seen.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// What a workload is told to run.
type Orders = Vec<(ObjectRef, Option<String>, Option<i64>)>;

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
    let options = plan.connect.clone().complete(io.stdin_is_terminal);
    let connection = Connection::open(&options, &io.environment, log).await?;
    let selection = Selection::resolve(&connection, &plan.wanted, args.selector.as_ref(), &documents).await?;
    let namespace = connection.default_namespace().to_owned();
    if selection.needs_namespace() && collect::namespace_exists(&connection, &namespace).await? == Some(false) {
        return Err(Failure::new(Exit::NotFound, format!("namespace {namespace} does not exist")).hint("kubectl get namespaces"));
    }
    let mut store = Store::open(&connection, &namespace, (io.now)());
    for (kind, namespace, name) in selection.kinds() {
        store.watch(kind, namespace.as_deref(), name.as_deref());
    }
    if args.selector.is_none() && connection.serves(&kind::HTTP_ROUTE).await.unwrap_or(false) {
        store.watch(kind::HTTP_ROUTE, Some(&namespace), None);
        store.watch(kind::GATEWAY, Some(&namespace), None);
    }
    let teller = Teller::new(&args.output, args.color, plan.timeout, io);
    let tracker = Tracker::new(Limits {
        timeout: plan.timeout,
        phases: plan.phase_timeouts(),
        grace: plan.grace.clone(),
    });
    let mut run = Run {
        plan,
        selection,
        connection,
        store,
        tracker,
        teller,
        start: Instant::now(),
        clock: io.now,
        asked: BTreeSet::new(),
        orders: Vec::new(),
        question: None,
        next_question: why::PAUSE.0,
        pause: why::PAUSE.0,
        confirmed: false,
    };
    let stopped = io.stop.told();
    tokio::pin!(stopped);
    let (report, exit) = tokio::select! {
        biased;
        interruption = &mut stopped => run.interrupted(interruption),
        ended = run.until_over() => ended?,
    };
    run.teller.clear();
    super::super::warnings_as_errors(run.plan.connect, &run.connection)?;
    finish(&run.plan, &report, &run.store.snapshot, io)?;
    Ok(exit)
}

struct Run<'a> {
    plan: Plan<'a>,
    selection: Selection,
    connection: Connection,
    store: Store,
    tracker: Tracker,
    teller: Teller,
    start: Instant,
    clock: fn() -> Timestamp,
    /// Objects beside the watched ones that were asked for; what may not be read is not asked for again.
    asked: BTreeSet<ObjectRef>,
    orders: Orders,
    question: Option<Question>,
    next_question: Duration,
    pause: Duration,
    /// Whether what is read beside the watches was read again since everything looked ready.
    confirmed: bool,
}

/// A question to the rules that is under way.
struct Question {
    at: Duration,
    now: Timestamp,
    orders: Orders,
    answer: BoxFuture<'static, why::Answer>,
}

impl Run<'_> {
    async fn until_over(&mut self) -> Result<(Readiness, Exit), Failure> {
        loop {
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

    /// Waits until something has changed, the rules have answered, or it is time to look again.
    async fn sleep(&mut self) -> Result<(), Failure> {
        let at = self.start.elapsed();
        let question = if self.question.is_none() {
            self.next_question
        } else {
            Duration::MAX
        };
        let wake = [question, self.plan.timeout, at + self.teller.period(), at + LONGEST_SLEEP]
            .into_iter()
            .filter(|t| *t > at)
            .min()
            .unwrap_or(at + LONGEST_SLEEP);
        tokio::select! {
            biased;
            answer = answered(&mut self.question) => self.take(answer),
            changed = self.store.changed() => changed?,
            () = tokio::time::sleep_until(self.start + wake) => {}
        }
        Ok(())
    }

    fn take(&mut self, (at, now, orders, answer): (Duration, Timestamp, Orders, why::Answer)) {
        self.question = None;
        self.pause = if answer.suspects.is_empty() {
            (self.pause * 2).min(why::PAUSE.1)
        } else {
            why::PAUSE.0
        };
        self.next_question = self.start.elapsed() + self.pause;
        self.store.snapshot.unchecked.extend(answer.snapshot.unchecked.iter().cloned());
        // What was found out about another order is of no use any more.
        if orders == self.orders {
            self.tracker.explain(Causes {
                at,
                now,
                suspects: answer.suspects,
            });
        }
    }

    /// Looks at everything as it is now; the report and the exit code where the run is over.
    async fn look(&mut self) -> Option<(Readiness, Exit)> {
        loop {
            self.store.snapshot.taken_at = (self.clock)();
            self.store.snapshot.sort();
            let context = Context::new(&self.store.snapshot, Options::default());
            self.plan.gate.targets = self.selection.targets(&context);
            let judged = gate::judge(&context, &self.plan.gate);
            let orders = gate::judge::orders(&context, &judged);
            let nodes = gate::judge::nodes(&context, &judged);
            let needs: BTreeSet<Need> = context
                .take_needs()
                .into_iter()
                .filter(|need| matches!(need, Need::Object(object) if self.asked.insert(object.clone())))
                .collect();
            if !needs.is_empty() {
                self.read_beside(needs).await;
                continue;
            }
            if orders != self.orders {
                self.orders = orders;
                self.tracker.forget_causes();
                self.pause = why::PAUSE.0;
                self.next_question = self.next_question.min(self.start.elapsed() + self.pause);
            }
            let at = self.start.elapsed();
            let is_ready = judged.iter().all(|j| j.state == State::Ready) && !judged.is_empty();
            if self.plan.timeout.is_zero() && !is_ready {
                // One look has no second: the rules are asked at once.
                self.ask(at, &judged);
                let answer = answered(&mut self.question).await;
                self.take(answer);
            }
            let step = self.tracker.look(Look {
                at,
                judged,
                application: None,
            });
            if step.decision == Decision::Done(State::Ready) && !self.confirmed {
                // Nodes are not watched: what was read of them may be long out of date.
                self.confirmed = true;
                self.read_nodes(nodes).await;
                continue;
            }
            self.confirmed = self.confirmed && is_ready;
            let report = self.report(&step, at);
            self.teller.tell(&step.changes, &report, at, self.store.snapshot.taken_at);
            // A view that is cut off from the cluster decides nothing but that time is up.
            let decided = match step.decision {
                Decision::Done(_) if self.store.is_cut_off() => Decision::Wait,
                decision => decision,
            };
            match decided {
                Decision::Wait => {
                    if self.question.is_none() && at >= self.next_question && !is_ready {
                        self.ask(at, &step.judged);
                    }
                    return None;
                }
                Decision::Done(state) => {
                    let exit = super::exit_of(state);
                    return Some((report, exit));
                }
                Decision::TimedOut(phase, trend) => {
                    let mut report = report;
                    report.exit_code = Exit::TimedOut as u8;
                    report.trend = (!self.plan.timeout.is_zero()).then_some(trend);
                    if let Some(phase) = phase {
                        report.reason = format!("the time of phase {} is up: {}", phase.as_str(), report.reason);
                    }
                    let first = self.tracker.suspects().map(|s| &s.finding).next();
                    if let Some(cause) = first.filter(|f| !report.reason.contains(f.code.as_str())) {
                        report.reason = format!("{}; {}: {}", report.reason, cause.code, cause.summary);
                    }
                    return Some((report, Exit::TimedOut));
                }
            }
        }
    }

    /// Asks the rules, aside from the run.
    fn ask(&mut self, at: Duration, judged: &[crate::model::readiness::ObjectReadiness]) {
        let answer = why::ask(
            self.connection.clone(),
            self.store.snapshot.clone(),
            self.plan.gate.targets.clone(),
            judged.to_vec(),
            false,
        );
        self.question = Some(Question {
            at,
            now: self.store.snapshot.taken_at,
            orders: self.orders.clone(),
            answer: answer.boxed(),
        });
    }

    async fn read_beside(&mut self, needs: BTreeSet<Need>) {
        let nodes = needs.iter().filter(|n| matches!(n, Need::Object(o) if o.is(&kind::NODE))).count();
        let needs = if nodes > SINGLE_NODES {
            let others = needs.into_iter().filter(|n| !matches!(n, Need::Object(o) if o.is(&kind::NODE)));
            others.chain([Need::List(kind::NODE, None)]).collect()
        } else {
            needs
        };
        let rights = Rights {
            nodes: true,
            ..Rights::default()
        };
        collect::further_round(&self.connection, &mut self.store.snapshot, needs, &rights).await;
    }

    /// Reads nodes again, where they could be read before.
    async fn read_nodes(&mut self, names: BTreeSet<String>) {
        let known: BTreeSet<String> = self
            .store
            .snapshot
            .objects
            .nodes
            .iter()
            .filter_map(|n| n.metadata.name.clone())
            .collect();
        let needs = names
            .intersection(&known)
            .map(|name| Need::Object(ObjectRef::new(&kind::NODE, "", name)))
            .collect::<BTreeSet<_>>();
        for name in &known {
            self.store.snapshot.remove(&kind::NODE, "", name);
        }
        if !needs.is_empty() {
            self.read_beside(needs).await;
        }
    }

    fn report(&self, step: &Step, at: Duration) -> Readiness {
        let mut causes: Vec<Finding> = step.causes.clone();
        let others = self.tracker.suspects().map(|s| &s.finding);
        causes.extend(others.filter(|f| !step.causes.iter().any(|c| c.id == f.id)).cloned());
        let mut targets = self.selection.in_words();
        if targets.is_empty() {
            targets = self.plan.gate.targets.iter().map(ToString::to_string).collect();
        }
        let mut report = report(
            targets,
            step.phases.clone(),
            step.judged.clone(),
            &step.causes,
            &self.store.snapshot,
        );
        report.root_causes = causes;
        report.requests = self.connection.request_count();
        report.elapsed_seconds = (at.as_secs_f64() * 1000.0).round() / 1000.0;
        report
    }

    /// The report of a run that was told to end.
    fn interrupted(&mut self, interruption: Interruption) -> (Readiness, Exit) {
        let exit = match interruption {
            Interruption::Interrupt => Exit::Interrupted,
            Interruption::Terminate => Exit::Terminated,
        };
        let at = self.start.elapsed();
        let context = Context::new(&self.store.snapshot, Options::default());
        let judged = if self.store.is_complete() {
            gate::judge(&context, &self.plan.gate)
        } else {
            Vec::new()
        };
        let step = self.tracker.look(Look {
            at,
            judged,
            application: None,
        });
        let mut report = self.report(&step, at);
        report.exit_code = exit as u8;
        report.trend = Some(Trend::Progressing);
        if report.state == State::Unknown && report.objects.is_empty() {
            report.state = State::Progressing;
            report.reason = "nothing had been read yet".to_owned();
        }
        (report, exit)
    }
}

/// The answer to a question that is under way; never, where none is.
async fn answered(question: &mut Option<Question>) -> (Duration, Timestamp, Orders, why::Answer) {
    match question {
        Some(question) => {
            let answer = (&mut question.answer).await;
            (question.at, question.now, question.orders.clone(), answer)
        }
        None => std::future::pending().await,
    }
}
