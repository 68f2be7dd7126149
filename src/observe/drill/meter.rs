//! Clients that start a request at every interval, whatever becomes of the ones before: from here, or from inside the cluster.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::cluster::{Connection, Direct, Health, Kept, Question, Told, Trust};
use crate::drill::meter::{Client, Clock, Moments, Sample, measure, widest};
use crate::model::drill::{Connections, MeasuredFrom, Measurement};
use crate::observe::prober::{Means, Sampler};
use crate::readiness::prober;

/// Requests that may be under way at once: at an interval of 100 ms, those of two seconds.
const MOST: usize = 100;

/// What is asked, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) client: Client,
    /// The Service that it was named by, or whose load balancer has the address.
    pub(crate) service: Option<String>,
    pub(crate) ask: Ask,
    /// How long an answer may take.
    pub(crate) limit: Duration,
}

/// What is asked, and from where.
#[derive(Clone)]
pub(crate) enum Ask {
    /// From here.
    Directly { to: Direct, question: Question, trust: Trust },
    /// From inside the cluster.
    Inside(prober::Question),
}

impl Target {
    /// Whether it may be asked before anybody knows whether the drill is made.
    pub(crate) fn is_early(&self) -> bool {
        matches!(&self.ask, Ask::Directly { question, .. } if question.is_safe())
    }
}

/// Requests so far, from the moment of the start.
pub(crate) struct Meter {
    pub(crate) target: Target,
    pub(crate) begun: Instant,
    samples: Samples,
    /// What it waits for before its first request.
    waits: Word,
    /// Why no more will come.
    trouble: Word,
    task: Option<JoinHandle<()>>,
}

type Samples = Arc<Mutex<Vec<Sample>>>;
type Word = Arc<Mutex<Option<String>>>;

/// Why an answer is none; none for a good one.
fn failure(told: &Told, only_connects: bool) -> Option<String> {
    match told {
        Told::Status(200..=399) | Told::Health(Health::Serving) => None,
        Told::Accepted if only_connects => None,
        Told::Status(status) => Some(format!("status {status}")),
        Told::Health(health) => Some(format!("health {health:?}")),
        Told::Accepted => Some("closed".to_owned()),
        Told::Silent | Told::TimedOut => Some("timeout".to_owned()),
        Told::Refused => Some("refused".to_owned()),
        Told::Unresolved => Some("unresolved".to_owned()),
        Told::Untrusted(_) | Told::NoTls(_) => Some("tls".to_owned()),
        Told::Untried => Some("untried".to_owned()),
    }
}

impl Meter {
    /// Starts to make the requests from here.
    pub(crate) fn start(connection: &Connection, target: Target) -> Self {
        let (begun, samples) = (Instant::now(), Samples::default());
        let task = tokio::spawn(requests(connection.clone(), target.clone(), begun, samples.clone()));
        Self {
            target,
            begun,
            samples,
            waits: Word::default(),
            trouble: Word::default(),
            task: Some(task),
        }
    }

    /// Why it measures no more, if it does not.
    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Why nothing has been answered well, as far as it knows.
    pub(crate) fn last_failure(&self) -> Option<String> {
        let failure = self.samples().iter().rev().find_map(|sample| sample.failure.clone());
        failure.or_else(|| lock(&self.waits).clone())
    }

    /// What its requests say.
    pub(crate) fn measure(&self, at: Moments) -> Measurement {
        let samples = self.samples();
        let mut client = self.target.client.clone();
        if client.from == MeasuredFrom::Cluster {
            client.interval = widest(&samples).max(client.interval);
        }
        measure(&client, &samples, at)
    }

    /// Target and kind of client, in words.
    pub(crate) fn named(&self) -> String {
        match self.target.client.connections {
            Connections::New => self.target.client.name.clone(),
            Connections::Kept => format!("{} on kept connections", self.target.client.name),
        }
    }

    /// All requests that have ended, in the order in which they ended.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        lock(&self.samples).clone()
    }

    /// How many requests in a row were answered well, up to the one that was started last.
    pub(crate) fn good_in_a_row(&self) -> usize {
        let samples = lock(&self.samples);
        let last_failed = samples
            .iter()
            .filter(|sample| sample.failure.is_some())
            .map(|sample| sample.started)
            .max();
        samples
            .iter()
            .filter(|sample| last_failed.is_none_or(|failed| sample.started > failed))
            .count()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients inside the cluster: one pod makes the requests of all of them.
pub(crate) struct Inside {
    sampler: Arc<Sampler>,
    task: JoinHandle<()>,
}

impl Inside {
    /// Starts to make the requests, and a meter for each of them; `means` say the interval.
    pub(crate) fn start(means: Means, namespace: &str, targets: Vec<Target>) -> (Self, Vec<Meter>) {
        let begun = Instant::now();
        let questions = targets.iter().filter_map(|target| match &target.ask {
            Ask::Inside(question) => Some(question.clone()),
            Ask::Directly { .. } => None,
        });
        let sampler = Arc::new(Sampler::begin(means, namespace, &questions.collect::<Vec<_>>()));
        let (waits, trouble) = (Word::default(), Word::default());
        let all: Vec<Samples> = targets.iter().map(|_| Samples::default()).collect();
        let meters = targets.into_iter().zip(&all).map(|(target, samples)| Meter {
            target,
            begun,
            samples: samples.clone(),
            waits: waits.clone(),
            trouble: trouble.clone(),
            task: None,
        });
        let meters = meters.collect();
        let follows = sampler.clone();
        let task = tokio::spawn(async move {
            let mut clock = Clock::default();
            let starts = |why: String| *lock(&waits) = Some(why);
            let why = follows.follow(starts, |sampled, told| {
                let earlier = clock.hear(begun.elapsed(), sampled.begun + sampled.took);
                if !earlier.is_zero() {
                    let known = all.iter().map(|samples| lock(samples));
                    known.for_each(|mut samples| {
                        samples
                            .iter_mut()
                            .for_each(|sample| sample.started = sample.started.saturating_sub(earlier))
                    });
                }
                if let Some(samples) = all.get(sampled.question) {
                    lock(samples).push(Sample {
                        started: clock.place(sampled.begun),
                        took: sampled.took,
                        failure: failure(told, false),
                    });
                }
            });
            *lock(&trouble) = Some(why.await);
        });
        (Self { sampler, task }, meters)
    }

    /// Ends them, and removes their Job.
    pub(crate) async fn end(&self) {
        self.task.abort();
        self.sampler.end().await;
    }
}

async fn requests(connection: Connection, target: Target, begun: Instant, samples: Samples) {
    let Ask::Directly { to, question, trust } = target.ask else {
        return;
    };
    let asked = Arc::new((to, question, trust));
    let (client, limit) = (target.client, target.limit);
    let mut clock = tokio::time::interval(client.interval);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let kept = Kept::default();
    loop {
        tokio::select! {
            _ = clock.tick(), if under_way.len() < MOST => {
                let (connection, asked, samples, kept) = (connection.clone(), asked.clone(), samples.clone(), kept.clone());
                let connections = client.connections;
                under_way.spawn(async move {
                    let started = Instant::now();
                    let (to, question, trust) = &*asked;
                    let told = match connections {
                        Connections::New => connection.ask_directly(to, question, trust, limit).await.told,
                        Connections::Kept => connection.ask_again(to, question, trust, limit, &kept).await,
                    };
                    let sample = Sample {
                        started: started - begun,
                        took: started.elapsed(),
                        failure: failure(&told, matches!(question, Question::Connect)),
                    };
                    lock(&samples).push(sample);
                });
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::*;
    use crate::cluster::{ConnectOptions, no_log};
    use crate::io::Environment;
    use crate::model::drill::MeasuredRole;

    const INTERVAL: Duration = Duration::from_millis(50);
    const HANGS: Duration = Duration::from_millis(400);
    const SLOW: Duration = Duration::from_millis(150);

    /// What a server does with requests.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Way {
        Answers,
        Refuses,
        Hangs,
        Resets,
        Fails,
        Slow,
    }

    async fn serve(mut stream: TcpStream, mut way: watch::Receiver<Way>, bad: Arc<AtomicUsize>) -> std::io::Result<()> {
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {
            let now = *way.borrow();
            let status = match now {
                Way::Resets => {
                    bad.fetch_add(1, Ordering::SeqCst);
                    return stream.set_zero_linger();
                }
                Way::Fails => {
                    bad.fetch_add(1, Ordering::SeqCst);
                    "503 Service Unavailable"
                }
                Way::Hangs => {
                    let _ = way.wait_for(|way| *way == Way::Answers).await;
                    "200 OK"
                }
                Way::Slow => {
                    tokio::time::sleep(SLOW).await;
                    "200 OK"
                }
                // A request on a connection from before.
                Way::Refuses => return Ok(()),
                Way::Answers => "200 OK",
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    async fn listen(listener: TcpListener, mut way: watch::Receiver<Way>, bad: Arc<AtomicUsize>) {
        let address = listener.local_addr().unwrap();
        let mut listener = Some(listener);
        loop {
            if *way.borrow() == Way::Refuses {
                listener = None;
                let _ = way.wait_for(|way| *way == Way::Answers).await;
            }
            if listener.is_none() {
                listener = TcpListener::bind(address).await.ok();
            }
            let Some(listener) = &listener else { continue };
            tokio::select! {
                accepted = listener.accept() => {
                    tokio::spawn(serve(accepted.unwrap().0, way.clone(), bad.clone()));
                }
                changed = way.changed() => if changed.is_err() { return },
            }
        }
    }

    /// What the meter says of an outage, how long that was, how much the meter was late, and how many requests the server spoiled.
    struct Round {
        measured: Measurement,
        truth: f64,
        tolerance: f64,
        bad: usize,
    }

    async fn round(connection: Connection, outage: Way, length: Duration, connections: Connections) -> Round {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (way, seen) = watch::channel(Way::Answers);
        let bad = Arc::<AtomicUsize>::default();
        let server = tokio::spawn(listen(listener, seen, bad.clone()));
        let (to, question) = Direct::of_url(&url).unwrap();
        let client = Client {
            name: url,
            role: MeasuredRole::Target,
            connections,
            from: MeasuredFrom::Here,
            interval: INTERVAL,
        };
        let target = Target {
            client: client.clone(),
            service: None,
            ask: Ask::Directly {
                to,
                question,
                trust: Trust::of_anybody().unwrap(),
            },
            // A machine that is busy is not to look like a server that hangs.
            limit: if outage == Way::Hangs { HANGS } else { Duration::from_secs(10) },
        };
        let meter = Meter::start(&connection, target);
        let good = async |times| {
            while meter.good_in_a_row() < times {
                tokio::time::sleep(INTERVAL / 5).await;
            }
        };
        good(3).await;
        let fault = Instant::now();
        way.send(outage).unwrap();
        tokio::time::sleep(length).await;
        way.send(Way::Answers).unwrap();
        let undone = Instant::now();
        // Those that were started in the outage have ended by then.
        while meter.samples().iter().all(|sample| sample.started < undone + HANGS - meter.begun) {
            tokio::time::sleep(INTERVAL).await;
        }
        good(3).await;
        server.abort();
        let samples = meter.samples();
        let mut starts: Vec<Duration> = samples.iter().map(|sample| sample.started).collect();
        starts.sort_unstable();
        let latest = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        let outside = samples.iter().filter(|s| s.failure.is_none() && meter.begun + s.started > undone);
        let slowest = outside.map(|sample| sample.took).max().unwrap();
        let at = Moments {
            fault: fault - meter.begun,
            undone: undone - meter.begun,
        };
        Round {
            measured: measure(&client, &samples, at),
            truth: (undone - fault).as_secs_f64(),
            tolerance: latest.max(INTERVAL).as_secs_f64() + slowest.as_secs_f64() + 0.002,
            bad: bad.load(Ordering::SeqCst),
        }
    }

    /// Two hundred outages of known kind and length. On a machine that starts requests late, downtime is as much less exact.
    #[tokio::test]
    async fn outages_of_a_server_are_measured_as_they_were() {
        let folder = std::env::temp_dir().join(format!("podlife-meter-{}", std::process::id()));
        let kubeconfig =
            "{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}],
            contexts: [{name: a, context: {cluster: a}}]}";
        std::fs::write(&folder, kubeconfig).unwrap();
        let options = ConnectOptions {
            kubeconfig: Some(folder.clone()),
            ..ConnectOptions::default()
        };
        let connection = Connection::open(&options, &Environment::default(), no_log()).await.unwrap();
        std::fs::remove_file(folder).unwrap();
        let ways = [Way::Refuses, Way::Hangs, Way::Resets, Way::Fails, Way::Slow];
        let lengths = (0..20).map(|i| HANGS + Duration::from_millis(100 + 37 * i));
        let mut rounds = JoinSet::new();
        for (number, length) in lengths.enumerate() {
            for way in ways {
                for connections in [Connections::New, Connections::Kept] {
                    let round = round(connection.clone(), way, length, connections);
                    rounds.spawn(async move { (number, way, connections, round.await) });
                }
            }
            // Ten at once: they share one thread.
            while let Some(done) = rounds.join_next().await {
                check(done.unwrap());
            }
        }
    }

    fn check((number, way, connections, round): (usize, Way, Connections, Round)) {
        let seen = &round.measured;
        let told = format!(
            "{number} {way:?} {connections:?} truth {} ± {}: {seen:?}",
            round.truth, round.tolerance
        );
        let kinds: Vec<&str> = seen.errors.keys().map(String::as_str).collect();
        match way {
            Way::Slow => {
                assert_eq!((seen.failed, seen.downtime_seconds), (0, 0.0), "{told}");
                assert!(seen.latency_during.unwrap().p99_milliseconds >= 150.0, "{told}");
                return;
            }
            Way::Refuses => assert!(kinds.iter().all(|kind| matches!(*kind, "refused" | "closed")), "{told}"),
            Way::Hangs => assert_eq!(kinds, ["timeout"], "{told}"),
            Way::Resets => assert_eq!(kinds, ["closed"], "{told}"),
            Way::Fails => assert_eq!(kinds, ["status 503"], "{told}"),
            Way::Answers => unreachable!(),
        }
        if matches!(way, Way::Resets | Way::Fails) {
            assert_eq!(seen.failed, round.bad, "{told}");
        }
        assert!((seen.downtime_seconds - round.truth).abs() <= round.tolerance, "{told}");
        assert!(!seen.is_down && seen.failed > 0, "{told}");
    }
}
