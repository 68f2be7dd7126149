//! A client that starts a request at every interval, whatever becomes of the ones before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::cluster::{Connection, Direct, Health, Kept, Question, Told, Trust};
use crate::drill::meter::{Client, Sample};
use crate::model::drill::Connections;

/// Requests that may be under way at once: at an interval of 100 ms, those of two seconds.
const MOST: usize = 100;

/// What is asked, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) to: Direct,
    pub(crate) question: Question,
    pub(crate) trust: Trust,
    /// How long an answer may take.
    pub(crate) limit: Duration,
}

/// Requests so far, from the moment of the start.
pub(crate) struct Meter {
    pub(crate) target: Target,
    pub(crate) begun: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: tokio::task::JoinHandle<()>,
}

/// Why an answer is none; none for a good one.
fn failure(told: &Told, question: &Question) -> Option<String> {
    match told {
        Told::Status(200..=399) | Told::Health(Health::Serving) => None,
        Told::Accepted if matches!(question, Question::Connect) => None,
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
    pub(crate) fn start(connection: &Connection, target: Target) -> Self {
        let begun = Instant::now();
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let task = tokio::spawn(requests(connection.clone(), target.clone(), begun, samples.clone()));
        Self {
            target,
            begun,
            samples,
            task,
        }
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
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests in a row were answered well, up to the one that was started last.
    pub(crate) fn good_in_a_row(&self) -> usize {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.task.abort();
    }
}

async fn requests(connection: Connection, target: Target, begun: Instant, samples: Arc<Mutex<Vec<Sample>>>) {
    let mut clock = tokio::time::interval(target.client.interval);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let kept = Kept::default();
    loop {
        tokio::select! {
            _ = clock.tick(), if under_way.len() < MOST => {
                let (connection, target, samples) = (connection.clone(), target.clone(), samples.clone());
                let kept = kept.clone();
                under_way.spawn(async move {
                    let started = Instant::now();
                    let Target { to, question, trust, limit, .. } = &target;
                    let told = match target.client.connections {
                        Connections::New => connection.ask_directly(to, question, trust, *limit).await.told,
                        Connections::Kept => connection.ask_again(to, question, trust, *limit, &kept).await,
                    };
                    let sample = Sample {
                        started: started - begun,
                        took: started.elapsed(),
                        failure: failure(&told, question),
                    };
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
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
    use crate::drill::meter::{Moments, measure};
    use crate::io::Environment;
    use crate::model::drill::{MeasuredRole, Measurement};

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
            interval: INTERVAL,
        };
        let target = Target {
            client: client.clone(),
            to,
            question,
            trust: Trust::of_anybody().unwrap(),
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
