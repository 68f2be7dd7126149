//! The waiting loop without a cluster and without a clock: events in, actions out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::model::cause::{ListenerOnLoopback, NetworkPolicyBlocks};
use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding, Subject};
use crate::model::kind;
use crate::readiness::check::{ANSWER_LIMIT, Ask};
use crate::readiness::failfast::{Grace, Suspect, suspect_of};
use crate::readiness::route::Route;
use crate::readiness::wait::rule_checks::Generations;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn wait(timeout: u64) -> Wait {
    Wait::new(Terms {
        limits: Limits {
            timeout: ms(timeout),
            phases: BTreeMap::new(),
            grace: Grace::default(),
        },
        successes: 3,
        stable_for: ms(1000),
        report_every: ms(30_000),
    })
}

/// What the rules said of these generations, without dials.
fn explanation(at: Duration, generations: Generations, suspects: Vec<Suspect>) -> Explanation {
    Explanation {
        at,
        clock: Timestamp::UNIX_EPOCH,
        generations,
        suspects,
        dials: Vec::new(),
    }
}

fn web() -> ObjectRef {
    ObjectRef::new(&kind::DEPLOYMENT, "shop", "web")
}

fn check() -> Check {
    Check {
        service: Some(ObjectRef::new(&kind::SERVICE, "shop", "web")),
        port: 80,
        ask: Ask::Http("/".into()),
        ask_pods: Ask::Http("/".into()),
        tls: false,
        strict: false,
        route: Route::LoadBalancer("192.0.2.1".into(), 80),
        pods: Vec::new(),
        untranslated: None,
        limit: ANSWER_LIMIT,
        admitted: Vec::new(),
    }
}

/// A deployment in this state, with one pod of this UID and a Service in front of it.
fn seen(state: State, uid: &str) -> Observation {
    Observation {
        clock: Timestamp::UNIX_EPOCH,
        targets: vec![web()],
        judged: vec![ObjectReadiness {
            object: web(),
            phase: Phase::Pods,
            state,
            reason: if state == State::Ready {
                String::new()
            } else {
                "0 of 1 pods ready".into()
            },
            related: false,
            suspended: false,
            overdue: false,
            ready_pods: None,
            wanted_pods: None,
            blocking: Vec::new(),
            causes: Vec::new(),
        }],
        no_match: None,
        checks: Ok(if state == State::Ready { vec![check()] } else { Vec::new() }),
        pods: vec![("deployment/shop/web".into(), format!("pod-of-{uid}"), 0)],
        ready_for: Duration::ZERO,
        restless: None,
        generations: vec![(web(), Some(uid.into()), Some(1))],
        nodes: BTreeSet::from(["node-1".into()]),
        lost_nodes: BTreeSet::new(),
        unread: BTreeSet::new(),
        unwatched: BTreeSet::new(),
        trouble: None,
    }
}

/// A run, and what came of its last step.
struct Run {
    wait: Wait,
    actions: Vec<Action>,
}

impl Run {
    fn new(timeout: u64) -> Self {
        Self {
            wait: wait(timeout),
            actions: Vec::new(),
        }
    }

    fn event(&mut self, event: Event, at: u64) -> &mut Self {
        self.actions = self.wait.step(event, ms(at));
        self
    }

    fn look(&mut self, seen: Observation, at: u64) -> &mut Self {
        self.event(Event::Looked(Box::new(seen)), at)
    }

    /// The round of checks that has just begun.
    fn asked(&self) -> Option<u32> {
        self.actions.iter().find_map(|action| match action {
            Action::Ask(id, ..) => Some(*id),
            _ => None,
        })
    }

    fn reread(&self) -> Option<(u32, &Reread)> {
        self.actions.iter().find_map(|action| match action {
            Action::Reread(id, wanted) => Some((*id, wanted)),
            _ => None,
        })
    }

    fn explains(&self) -> Option<(u32, &RuleCheck)> {
        self.actions.iter().find_map(|action| match action {
            Action::Explain(id, check) => Some((*id, check)),
            _ => None,
        })
    }

    fn wakes_at(&self) -> Option<Duration> {
        self.actions.iter().find_map(|action| match action {
            Action::SleepUntil(time) => Some(*time),
            _ => None,
        })
    }

    fn wakes_at_ms(&self) -> u64 {
        u64::try_from(self.wakes_at().expect("it sleeps").as_millis()).unwrap()
    }

    fn end(&self) -> Option<&End> {
        self.actions.iter().find_map(|action| match action {
            Action::Finish(end) => Some(end),
            _ => None,
        })
    }

    /// What is reported as changed.
    fn changes(&self) -> Vec<&str> {
        let reports = self.actions.iter().filter_map(|action| match action {
            Action::Report(progress) => Some(progress),
            _ => None,
        });
        reports.flat_map(|p| &p.changes).map(|change| change.reason.as_str()).collect()
    }

    /// Looks when it wants to, and answers each round after 10 ms, until `until` or the end. Returns the time.
    fn answer(&mut self, mut at: u64, until: u64, uid: &str) -> u64 {
        while self.end().is_none() && at < until {
            if let Some(id) = self.asked() {
                at += 10;
                self.event(Event::Answered(id, Ok(())), at);
                assert!(self.actions.is_empty(), "a look decides what follows: {:?}", self.actions);
            } else if let Some((id, _)) = self.reread() {
                self.event(Event::Reread(id, Ok(())), at);
            } else {
                at = self.wakes_at_ms();
            }
            self.look(seen(State::Ready, uid), at);
        }
        at
    }
}

#[test]
fn a_ready_target_is_checked_read_again_and_done() {
    let mut run = Run::new(60_000);
    assert!(run.event(Event::Listing, 0).wakes_at().is_some());
    run.look(seen(State::Progressing, "a"), 100);
    assert_eq!((run.asked(), run.end()), (None, None));
    assert_eq!(run.changes(), ["0 of 1 pods ready"]);
    run.look(seen(State::Ready, "a"), 1000);
    assert_eq!(run.asked(), Some(1));
    assert_eq!(run.wakes_at(), Some(ms(1000) + ms(250)), "a silent round does not delay the next");
    let Some(Action::Ask(_, 0, checks)) = run.actions.first() else {
        panic!("{:?}", run.actions);
    };
    assert_eq!(checks, &[check()]);
    let mut at = run.answer(1000, 2000, "a");
    while run.reread().is_none() {
        at = run.answer(at, at + 1, "a");
    }
    assert!((2000..2100).contains(&at), "the answers lasted for a second: {at}");
    let (id, wanted) = run.reread().unwrap();
    assert!(
        wanted.pods && wanted.objects.contains(&web()) && wanted.nodes.contains("node-1"),
        "{wanted:?}"
    );
    assert_eq!(run.end(), None, "watches may lag");
    run.event(Event::Reread(id, Ok(())), at + 5).look(seen(State::Ready, "a"), at + 5);
    assert_eq!(run.end(), Some(&End::Decided(State::Ready)));
    let application = run.wait.answers().reported().unwrap();
    assert!(application.successes >= 3 && application.failures == 0, "{application:?}");
}

#[test]
fn flapping_answers_have_to_last_longer() {
    let mut run = Run::new(60_000);
    run.look(seen(State::Ready, "a"), 0);
    run.answer(0, 800, "a");
    assert_eq!(run.wait.answers().reported().unwrap().successes, 4);
    // An open round is void once the pods are not ready.
    let open = run.asked().unwrap();
    run.look(seen(State::Progressing, "a"), 3000);
    assert!(!run.wait.awaits(Pending::Answer(open)) && run.wait.answers().reported().is_none());
    run.look(seen(State::Ready, "a"), 4000);
    let at = run.answer(4000, 60_000, "a");
    assert_eq!(run.end(), Some(&End::Decided(State::Ready)));
    // It was ready for 3 s, so that it has to stay so for half as long again and 5 s.
    assert!((13_500..14_000).contains(&at), "{at}");
}

#[test]
fn a_failure_breaks_the_streak_and_a_cause_is_asked_for() {
    let mut run = Run::new(60_000);
    run.look(seen(State::Ready, "a"), 0);
    let mut now = run.answer(0, 700, "a");
    let refused = |run: &mut Run, at: u64| {
        if let Some(id) = run.asked() {
            run.event(Event::Answered(id, Err(Fault::Failing("refused".into()))), at);
            run.look(seen(State::Ready, "a"), at);
        }
    };
    refused(&mut run, now);
    assert_eq!(run.changes(), ["refused"]);
    assert_eq!((run.wait.answers().is_answering(), run.explains().is_none()), (false, true));
    let begun = now;
    while run.explains().is_none() {
        refused(&mut run, now);
        now = run.wakes_at_ms();
        run.look(seen(State::Ready, "a"), now);
        assert!(now < 10_000, "the rules are not asked");
    }
    assert!(now >= begun + 1000, "{now}");
    let (check, wanted) = run.explains().unwrap();
    assert!(wanted.all, "everything is ready: any fault around it may be why");
    while run.asked().is_none() {
        now = run.wakes_at_ms();
        run.look(seen(State::Ready, "a"), now);
    }
    let id = run.asked().unwrap();
    run.event(Event::Answered(id, Ok(())), now);
    assert!(!run.wait.awaits(Pending::Explanation(check)), "it answers again");
}

#[test]
fn a_silent_api_server_decides_nothing_until_the_time_is_up() {
    let silent = || Observation {
        trouble: Some(Trouble::silence("connection refused".into())),
        ..seen(State::Failed, "a")
    };
    let mut run = Run::new(20_000);
    run.look(seen(State::Progressing, "a"), 0);
    run.look(silent(), 1000);
    assert_eq!(run.end(), None, "the objects may be out of date");
    assert_eq!(run.wakes_at(), Some(ms(2000)), "an outage is reported after a second");
    run.look(silent(), 2000);
    let outage = "the API server cannot be reached since 00:00:00Z: connection refused";
    assert_eq!(run.changes(), [outage]);
    assert_eq!(run.wait.api().outage().as_deref(), Some(outage));
    run.look(seen(State::Progressing, "a"), 5000);
    assert!(
        run.changes().contains(&"the API server answers again after 4s"),
        "{:?}",
        run.changes()
    );
    assert_eq!((run.end(), run.wait.api().outage()), (None, None));
    run.look(silent(), 20_000);
    assert!(matches!(run.end(), Some(End::TimedOut(None, _))), "{:?}", run.end());
}

#[test]
fn the_deadline_waits_for_a_last_answer_of_the_rules_and_no_longer() {
    let mut run = Run::new(20_000);
    run.look(seen(State::Progressing, "a"), 0);
    run.look(seen(State::Progressing, "a"), 17_000);
    let (id, check) = run.explains().expect("the rules run 3 s before the end");
    assert_eq!((check.at, check.all), (ms(17_000), false));
    let explanation = explanation(check.at, check.generations.clone(), Vec::new());
    run.event(Event::Explained(id, explanation), 17_500);
    run.look(seen(State::Progressing, "a"), 17_500);
    assert_eq!((run.end(), run.wait.suspects().count()), (None, 0));
    assert_eq!(run.look(seen(State::Progressing, "a"), 19_999).end(), None);
    run.look(seen(State::Progressing, "a"), 20_000);
    assert_eq!(run.end(), Some(&End::TimedOut(None, Trend::Stuck)));
    let mut unlisted = Run::new(20_000);
    assert_eq!(unlisted.event(Event::Listing, 19_999).wakes_at(), Some(ms(20_000)));
    assert_eq!(unlisted.event(Event::Listing, 20_000).end(), Some(&End::NotListed));
}

#[test]
fn a_run_is_ended_from_outside() {
    let mut run = Run::new(60_000);
    run.look(seen(State::Ready, "a"), 0);
    run.answer(0, 300, "a");
    assert_eq!(run.event(Event::Interrupted, 400).end(), Some(&End::Interrupted));
    assert_eq!(run.wait.trend(ms(400)), Trend::Progressing, "it was answering");
    assert!(run.wait.answers().reported().is_some(), "the report says what was answered");
    assert_eq!(Run::new(60_000).event(Event::OutputClosed, 0).end(), Some(&End::OutputClosed));
}

#[test]
fn an_object_of_the_same_name_is_another_object() {
    let mut run = Run::new(60_000);
    run.look(seen(State::Progressing, "a"), 0);
    run.look(seen(State::Progressing, "a"), 2000);
    let (id, check) = run.explains().unwrap();
    let generations: Generations = check.generations.clone();
    let about_the_old = explanation(check.at, generations, Vec::new());
    run.look(seen(State::Ready, "b"), 2500);
    let round = run.asked().unwrap();
    assert!(!run.wait.awaits(Pending::Explanation(id)), "it was about another object");
    run.event(Event::Explained(id, about_the_old), 2550);
    run.event(Event::Answered(round, Ok(())), 2560);
    // Answers of the pods of `b` do not count for those of `c`.
    let at = run.look(seen(State::Ready, "b"), 2560).answer(2560, 3300, "b");
    assert!(run.wait.answers().reported().unwrap().successes >= 3);
    let at = run.answer(at, at + 1, "c");
    let done = run.answer(at, 60_000, "c");
    assert_eq!(run.end(), Some(&End::Decided(State::Ready)));
    assert!(done >= at + 900, "the streak began anew: {at} {done}");
}

#[test]
fn a_confirmation_is_void_once_it_is_not_ready() {
    let mut run = Run::new(60_000);
    run.look(seen(State::Ready, "a"), 0);
    let mut at = 0;
    while run.reread().is_none() {
        at = run.answer(at, at + 1, "a");
    }
    let id = run.reread().unwrap().0;
    run.look(seen(State::Progressing, "a"), at + 1);
    assert!(!run.wait.awaits(Pending::Reread(id)));
    run.event(Event::Reread(id, Ok(())), at + 2);
    assert_eq!(run.look(seen(State::Progressing, "a"), at + 2).end(), None);
}

#[test]
fn once_waits_only_for_its_own_requests() {
    let mut run = Run::new(0);
    run.look(seen(State::Ready, "a"), 0);
    for round in 1..=3 {
        assert_eq!((run.asked(), run.wakes_at(), run.end()), (Some(round), None, None));
        run.event(Event::Answered(round, Ok(())), 10).look(seen(State::Ready, "a"), 10);
    }
    let (id, _) = run.reread().expect("it is confirmed");
    run.event(Event::Reread(id, Ok(())), 20).look(seen(State::Ready, "a"), 20);
    assert_eq!(run.end(), Some(&End::Decided(State::Ready)));

    let mut progressing = Run::new(0);
    progressing.look(seen(State::Progressing, "a"), 0);
    let (id, check) = progressing.explains().expect("the rules run at once");
    assert_eq!(progressing.wakes_at(), None);
    let explanation = explanation(check.at, check.generations.clone(), Vec::new());
    progressing
        .event(Event::Explained(id, explanation), 10)
        .look(seen(State::Progressing, "a"), 10);
    assert_eq!(progressing.end(), Some(&End::TimedOut(None, Trend::Progressing)));

    let unread = ObjectRef::new(&kind::SECRET, "shop", "tls");
    let mut missing = Run::new(0);
    let with_unread = || Observation {
        unread: BTreeSet::from([unread.clone()]),
        ..seen(State::Ready, "a")
    };
    missing.look(with_unread(), 0);
    assert_eq!((missing.asked(), missing.wakes_at()), (None, None), "first it has to be read");
    let id = missing.reread().unwrap().0;
    missing.event(Event::Reread(id, Ok(())), 5).look(with_unread(), 5);
    assert_eq!(missing.asked(), Some(1));
}

#[test]
fn a_gateway_elsewhere_is_watched_before_anything_is_decided() {
    let gateway = ObjectRef::new(&kind::GATEWAY, "edge", "public");
    let mut run = Run::new(60_000);
    run.look(
        Observation {
            unwatched: BTreeSet::from([gateway.clone()]),
            ..seen(State::Failed, "a")
        },
        0,
    );
    let Some(Action::Watch(watched)) = run.actions.first() else {
        panic!("{:?}", run.actions);
    };
    assert!(watched.contains(&gateway) && run.end().is_none() && run.changes().is_empty());
}

/// Everything is ready, and is checked by this path.
fn seen_by(route: &Route) -> Observation {
    let check = Check {
        route: route.clone(),
        ..check()
    };
    Observation {
        checks: Ok(vec![check]),
        ..seen(State::Ready, "a")
    }
}

impl Run {
    /// Answers every round at once, and lets the rules find the same each time, until the end or `until`. Returns how often they were asked.
    fn answer_by(&mut self, route: &Route, found: &[Finding], until: u64) -> u32 {
        let (mut at, mut asked) = (0, 0);
        self.look(seen_by(route), at);
        while self.end().is_none() && at < until {
            let explains = self.explains().map(|(id, check)| (id, check.at, check.generations.clone()));
            if let Some((id, begun, generations)) = explains {
                asked += 1;
                let explanation = explanation(
                    begun,
                    generations,
                    found.iter().map(|finding| suspect_of(finding.clone(), web())).collect(),
                );
                self.event(Event::Explained(id, explanation), at);
            } else if let Some(id) = self.asked() {
                at += 10;
                self.event(Event::Answered(id, Ok(())), at);
            } else if let Some((id, _)) = self.reread() {
                self.event(Event::Reread(id, Ok(())), at);
            } else {
                at = self.wakes_at_ms();
            }
            self.look(seen_by(route), at);
        }
        asked
    }
}

fn found(cause: impl Into<crate::model::cause::Cause>, confidence: Confidence) -> Finding {
    Finding::error(cause, Subject::of(web()), "it is not reached").confidence(confidence)
}

#[test]
fn a_weak_path_is_ready_only_once_the_rules_know_nothing_against_it() {
    let loopback = found(ListenerOnLoopback::Ipv4, Confidence::Proven);
    let other = found(Code::ApplicationError, Confidence::Likely);
    let ready = Some(End::Decided(State::Ready));
    let failed = Some(End::Decided(State::Failed));
    let balancer = Route::LoadBalancer("192.0.2.1".into(), 80);
    for (route, found, asked, end) in [
        (&balancer, vec![loopback.clone()], false, ready.clone()),
        (&Route::PortForward, vec![], true, ready.clone()),
        (&Route::PortForward, vec![other.clone()], true, ready.clone()),
        (&Route::PortForward, vec![loopback.clone()], true, failed),
        // Through the API server the pods are asked at their own address.
        (&Route::ServiceProxy, vec![loopback], true, ready),
    ] {
        let mut run = Run::new(60_000);
        let rules = run.answer_by(route, &found, 60_000);
        assert_eq!((run.end(), rules > 0), (end.as_ref(), asked), "{route:?} {found:?}");
    }
}

#[test]
fn what_a_policy_lets_nobody_see_is_unknown_by_a_path_that_bypasses_policies() {
    let blocks = |confidence| vec![found(NetworkPolicyBlocks::Ingress, confidence)];
    let mut run = Run::new(60_000);
    run.answer_by(&Route::ServiceProxy, &blocks(Confidence::Proven), 60_000);
    assert_eq!(run.end(), Some(&End::Decided(State::Unknown)));
    // That one client is stopped says nothing of others.
    let mut run = Run::new(60_000);
    run.answer_by(&Route::ServiceProxy, &blocks(Confidence::Likely), 60_000);
    assert_eq!(run.end(), Some(&End::Decided(State::Ready)));
}

#[test]
fn a_proven_fault_of_the_spec_ends_a_run_after_its_grace_and_is_announced() {
    let mut run = Run::new(300_000);
    run.look(seen(State::Progressing, "a"), 0);
    let mut at = 0;
    let mut announced = Vec::new();
    while run.end().is_none() && at < 100_000 {
        if let Some((id, check)) = run.explains() {
            let explanation = explanation(
                check.at,
                check.generations.clone(),
                vec![suspect_of(found(ListenerOnLoopback::Ipv4, Confidence::Proven), web())],
            );
            run.event(Event::Explained(id, explanation), at);
        } else {
            at = run.wakes_at_ms();
        }
        run.look(seen(State::Progressing, "a"), at);
        announced.extend(run.actions.iter().filter_map(|action| match action {
            Action::Report(progress) => progress.fails_at,
            _ => None,
        }));
    }
    assert_eq!(run.end(), Some(&End::Decided(State::Failed)));
    assert_eq!((announced.first(), at), (Some(&(ms(22_000), Code::ListenerOnLoopback)), 22_000));
}

/// A server that is refused from `ready_from` on, with rules that need some time to name the listener. Returns when the run ends.
fn refused_until(ready_from: u64, answers_at: Option<u64>) -> (Option<End>, u64) {
    const RULES_TAKE: u64 = 2000;
    let mut run = Run::new(40_000);
    let state_at = |at: u64| if at < ready_from { State::Progressing } else { State::Ready };
    let mut at = 0;
    let mut under_way = None;
    run.look(seen(state_at(0), "a"), 0);
    while run.end().is_none() {
        if let Some((id, check)) = run.explains() {
            under_way = Some((at + RULES_TAKE, id, check.at, check.generations.clone()));
        }
        let explained = under_way.take_if(|(due, ..)| *due <= at);
        if let Some((_, id, begun, generations)) = explained {
            let suspect = suspect_of(found(ListenerOnLoopback::Ipv4, Confidence::Proven), web());
            run.event(Event::Explained(id, explanation(begun, generations, vec![suspect])), at);
        } else if let Some(id) = run.asked() {
            let outcome = match answers_at {
                Some(from) if at >= from => Ok(()),
                _ => Err(Fault::Failing("refused".into())),
            };
            run.event(Event::Answered(id, outcome), at);
        } else if let Some((id, _)) = run.reread() {
            run.event(Event::Reread(id, Ok(())), at);
        } else {
            let due = under_way.as_ref().map_or(u64::MAX, |(due, ..)| *due);
            let change = if at < ready_from { ready_from } else { u64::MAX };
            at = run.wakes_at().map_or(u64::MAX, |_| run.wakes_at_ms()).min(due).min(change);
        }
        run.look(seen(state_at(at), "a"), at);
    }
    (run.end().cloned(), at)
}

#[test]
fn a_fault_counts_from_the_first_sign_of_it() {
    let failed = |at: u64| (Some(End::Decided(State::Failed)), at);
    // Each time the last run of the rules takes two seconds.
    assert_eq!(refused_until(0, None), failed(22_000), "the first refused answer");
    assert_eq!(refused_until(3000, None), failed(24_000), "what the rules saw before all was ready");
    assert_eq!(
        refused_until(1000, None),
        failed(24_000),
        "the first refused answer once all was ready"
    );
    let (end, _) = refused_until(3000, Some(19_000));
    assert_eq!(end, Some(End::Decided(State::Ready)), "it answers in time");
}
