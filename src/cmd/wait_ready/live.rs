//! The run against a cluster: watches drive it, the tracker decides.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::application::{self, Expected, Fault};
use super::selection::Selection;
use super::store::Store;
use super::teller::Teller;
use super::{Plan, finish, report, why};
use crate::cluster::{Connection, ListQuery, Log};
use crate::cmd::Outcome;
use crate::cmd::collect::{self, Rights};
use crate::cmd::exit::{Exit, Failure};
use crate::gate;
use crate::gate::check::{self, Check};
use crate::gate::progress::{Causes, Decision, Limits, Look, Step, Tracker};
use crate::gate::streak::{Identity, Streak};
use crate::io::{Interruption, Io};
use crate::model::finding::{Finding, ObjectRef};
use crate::model::readiness::{Application, AskedPort, ObjectReadiness, Readiness, State, Trend};
use crate::model::{duration, kind};
use crate::rules::context::Context;
use crate::rules::{Need, Options};

/// More nodes than this are read by one list.
const SINGLE_NODES: usize = 10;
/// The longest time between two looks: it bounds how late a deadline is seen.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// How long what has just been rolled out must go on answering, where nothing else was said.
const STABLE_FOR: Duration = Duration::from_secs(5);
/// From the start of one round of questions to the next.
const BETWEEN_ROUNDS: Duration = Duration::from_millis(200);
/// An application that does not answer for this long is worth a question to the rules.
const UNANSWERED: Duration = Duration::from_secs(3);

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
        asking: Asking::default(),
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
    asking: Asking,
}

/// What is known of the application's answers.
#[derive(Default)]
struct Asking {
    checks: Vec<Check>,
    streak: Streak,
    round: Option<Round>,
    next_round: Duration,
    /// Why the last round proved nothing, and since when that has been so.
    fault: Option<(Fault, Duration)>,
}

/// A round of questions to the application that is under way.
struct Round {
    begun: Duration,
    identity: Identity,
    answer: BoxFuture<'static, Result<(), Fault>>,
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
        let round = if self.asking.checks.is_empty() || self.asking.round.is_some() {
            Duration::MAX
        } else {
            self.asking.next_round
        };
        let wake = [question, round, self.plan.timeout, at + self.teller.period(), at + LONGEST_SLEEP]
            .into_iter()
            .filter(|t| *t >= at)
            .min()
            .unwrap_or(at + LONGEST_SLEEP);
        tokio::select! {
            biased;
            (begun, identity, outcome) = asked(&mut self.asking.round) => self.take_round(begun, &identity, outcome),
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

    fn take_round(&mut self, begun: Duration, identity: &Identity, outcome: Result<(), Fault>) {
        self.asking.round = None;
        let now = self.start.elapsed();
        self.asking.next_round = (begun + BETWEEN_ROUNDS).max(now);
        match outcome {
            Ok(()) => {
                self.asking.streak.succeeded(begun, identity);
                if self.asking.fault.take().is_some() {
                    // It answers: what was thought to keep it from that does not.
                    self.tracker.forget_causes();
                }
            }
            Err(fault) => {
                self.asking.streak.failed();
                self.confirmed = false;
                self.asking.next_round = now + BETWEEN_ROUNDS;
                let since = self.asking.fault.take().map_or(now, |(_, since)| since);
                self.asking.fault = Some((fault, since));
            }
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
            let is_ready = judged.iter().all(|j| j.state == State::Ready) && !judged.is_empty();
            let needs: BTreeSet<Need> = context
                .take_needs()
                .into_iter()
                .filter(|need| matches!(need, Need::Object(object) if self.asked.insert(object.clone())))
                .collect();
            if !needs.is_empty() {
                self.read_beside(needs).await;
                continue;
            }
            let derived = if is_ready {
                check::derive(&context, &judged, &self.plan.gate, &self.plan.wish)
            } else {
                Ok(Vec::new())
            };
            let identity = gate::judge::identity(&context, &judged);
            let span = self
                .plan
                .args
                .stable_for
                .unwrap_or_else(|| check::span(&context, &judged, STABLE_FOR));
            if orders != self.orders {
                self.orders = orders;
                self.tracker.forget_causes();
                self.pause = why::PAUSE.0;
                self.next_question = self.next_question.min(self.start.elapsed() + self.pause);
            }
            let at = self.start.elapsed();
            let application = self.application(derived, is_ready, identity, span).await;
            if self.plan.timeout.is_zero() && !is_ready {
                // One look has no second: the rules are asked at once.
                self.ask(at, &judged);
                let answer = answered(&mut self.question).await;
                self.take(answer);
            }
            let step = self.tracker.look(Look { at, judged, application });
            if step.decision == Decision::Done(State::Ready) && !self.confirmed {
                // Watches may lag, and nodes are not watched: all that the verdict rests on is read again.
                self.confirmed = true;
                self.read_nodes(nodes).await;
                self.read_again(&step.judged).await;
                continue;
            }
            self.confirmed = self.confirmed && step.decision == Decision::Done(State::Ready);
            let report = self.report(&step, at);
            self.teller.tell(&step.changes, &report, at, self.store.snapshot.taken_at);
            // A view that is cut off from the cluster decides nothing but that time is up.
            let decided = match step.decision {
                Decision::Done(_) if self.store.is_cut_off() => Decision::Wait,
                decision => decision,
            };
            match decided {
                Decision::Wait => {
                    let unanswered = self.asking.fault.as_ref().is_some_and(|(_, since)| at >= *since + UNANSWERED);
                    if self.question.is_none() && at >= self.next_question && (!is_ready || unanswered) {
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

    /// The third phase: goes on asking where that is due, and says how it stands. None: there is nobody to ask.
    async fn application(
        &mut self,
        derived: Result<Vec<Check>, String>,
        is_ready: bool,
        identity: Identity,
        span: Duration,
    ) -> Option<(State, String)> {
        if !is_ready {
            self.asking.round = None;
            self.asking.checks.clear();
            self.asking.streak.reset();
            self.asking.fault = None;
            return None;
        }
        self.asking.checks = match derived {
            Ok(checks) => checks,
            Err(why) => return Some((State::Unknown, why)),
        };
        if self.asking.checks.is_empty() {
            return None;
        }
        let wanted = self.plan.args.successes;
        if self.plan.timeout.is_zero() {
            // One look asks as often as is needed, but does not wait to see it last.
            while !self.asking.streak.holds(wanted, Duration::ZERO, &identity) && self.asking.fault.is_none() {
                self.begin_round(identity.clone());
                let (begun, identity, outcome) = asked(&mut self.asking.round).await;
                self.take_round(begun, &identity, outcome);
            }
        }
        let span = if self.plan.timeout.is_zero() { Duration::ZERO } else { span };
        let streak = &self.asking.streak;
        if streak.holds(wanted, span, &identity) {
            let over = crate::model::duration::short(streak.span());
            let says = format!(
                "answered {} times in a row over {over}, by {}",
                streak.successes(),
                self.proven_by()
            );
            return Some((State::Ready, says));
        }
        if self.asking.round.is_none() && self.start.elapsed() >= self.asking.next_round && !self.plan.timeout.is_zero() {
            self.begin_round(identity);
        }
        Some(match &self.asking.fault {
            Some((Fault::Failing(why), _)) => (State::Progressing, why.clone()),
            Some((Fault::Impossible(why), _)) => (State::Unknown, why.clone()),
            None => {
                let over = crate::model::duration::short(span);
                (
                    State::Progressing,
                    format!("{wanted} answers in a row over {over} are needed, by {}", self.proven_by()),
                )
            }
        })
    }

    fn begin_round(&mut self, identity: Identity) {
        let expected = Expected {
            status: self.plan.args.status,
            body: self.plan.args.body.clone(),
        };
        let answer = application::round(self.connection.clone(), self.asking.checks.clone(), expected);
        self.asking.round = Some(Round {
            begun: self.start.elapsed(),
            identity,
            answer: answer.boxed(),
        });
    }

    /// The weakest of the ways that are asked along.
    fn proven_by(&self) -> &'static str {
        let ways = ["service-proxy", "url", "ingress", "load-balancer"];
        let weakest = ways
            .into_iter()
            .find(|way| self.asking.checks.iter().any(|c| c.route.proves() == *way));
        weakest.unwrap_or_default()
    }

    /// Reads the workloads and the pods of the namespace again.
    async fn read_again(&mut self, judged: &[ObjectReadiness]) {
        let namespace = self.connection.default_namespace().to_owned();
        if let Ok(list) = self.connection.list(&kind::POD, Some(&namespace), &ListQuery::default()).await {
            let now: BTreeSet<&str> = list.items.iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
            let gone: Vec<String> = self
                .store
                .snapshot
                .objects
                .pods
                .iter()
                .filter_map(|p| p.metadata.name.clone())
                .filter(|name| !now.contains(name.as_str()))
                .collect();
            for name in gone {
                self.store.snapshot.remove(&kind::POD, &namespace, &name);
            }
            for pod in list.items {
                collect::note_bad(&mut self.store.snapshot, pod);
            }
        }
        for object in judged.iter().map(|j| &j.object).collect::<BTreeSet<_>>() {
            let Some(kind) = kind::of_object(&object.api_version, &object.kind).filter(|k| **k != kind::POD) else {
                continue;
            };
            let namespace = (!object.namespace.is_empty()).then_some(object.namespace.as_str());
            match self.connection.get(kind, namespace, &object.name, false).await {
                Ok(Some(value)) => collect::note_bad(&mut self.store.snapshot, value),
                Ok(None) => self.store.snapshot.remove(kind, &object.namespace, &object.name),
                // What cannot be read now was read before: the watch has the last word.
                Err(_) => {}
            }
        }
    }

    /// Asks the rules, aside from the run.
    fn ask(&mut self, at: Duration, judged: &[ObjectReadiness]) {
        let answer = why::ask(
            self.connection.clone(),
            self.store.snapshot.clone(),
            self.plan.gate.targets.clone(),
            judged.to_vec(),
            // Everything looks ready and nobody answers: any fault around it may be why.
            judged.iter().all(|j| j.state == State::Ready),
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
        if !self.asking.checks.is_empty() {
            let streak = &self.asking.streak;
            report.proven_by = (report.state == State::Ready).then(|| self.proven_by().to_owned());
            report.application = Some(Application {
                asked: self
                    .asking
                    .checks
                    .iter()
                    .map(|check| AskedPort {
                        name: check.name(),
                        via: check.route.proves().to_owned(),
                        path: check.path.clone(),
                        pods: check.pods.len(),
                    })
                    .collect(),
                successes: streak.successes(),
                span_seconds: duration::rounded(streak.span().as_secs_f64()),
                attempts: streak.attempts,
                failures: streak.failures,
            });
        }
        report.requests = self.connection.request_count();
        report.elapsed_seconds = duration::rounded(at.as_secs_f64());
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

/// What came of a round that is under way; never, where none is.
async fn asked(round: &mut Option<Round>) -> (Duration, Identity, Result<(), Fault>) {
    match round {
        Some(round) => {
            let outcome = (&mut round.answer).await;
            (round.begun, round.identity.clone(), outcome)
        }
        None => std::future::pending().await,
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
