//! Sessions that are being made ready: one flight for each id, whoever asked first, and any number of requests that wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::gateway::plan::Limits;
use crate::gateway::problem::Problem;

/// How a flight ended.
pub(super) type Landing = Result<(), Arc<Problem>>;

/// A flight that is to begin. Dropping it tells those who wait that nothing will come of it.
pub(super) struct Start {
    pub(super) id: Arc<str>,
    /// Whom the session has to belong to; none: anybody.
    pub(super) owner: Option<Arc<str>>,
    pub(super) landing: watch::Sender<Option<Landing>>,
    pub(super) delay: Delay,
}

/// Whether a flight takes longer than a session may take as a rule: a node is made for it. It lands all the same.
#[derive(Clone, Default)]
pub(super) struct Delay(Arc<AtomicBool>);

impl Delay {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All flights.
pub(super) struct Flights {
    limits: Limits,
    waiting: Arc<AtomicUsize>,
    /// By id and owner.
    of_id: Mutex<HashMap<Key, Flight>>,
    starts: UnboundedSender<Start>,
}

type Key = (Arc<str>, Option<Arc<str>>);

struct Flight {
    landing: watch::Receiver<Option<Landing>>,
    delay: Delay,
    waiting: Arc<AtomicUsize>,
}

/// The place of one request that waits.
pub(super) struct Seat {
    landing: watch::Receiver<Option<Landing>>,
    delay: Delay,
    counts: [Arc<AtomicUsize>; 2],
}

impl Flights {
    pub(super) fn new(limits: Limits, starts: UnboundedSender<Start>) -> Self {
        Self {
            limits,
            waiting: Arc::default(),
            of_id: Mutex::default(),
            starts,
        }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A seat in the flight of an id, which begins if there is none. Who must not see the sessions of others shares no flight with them.
    pub(super) fn join(&self, id: &str, owner: Option<&Arc<str>>) -> Result<Seat, Problem> {
        let mut flights = self.of_id.lock().unwrap_or_else(PoisonError::into_inner);
        let all = Count::within(&self.waiting, self.limits.waiters).ok_or_else(|| full("too many requests are waiting for sessions"))?;
        let key: Key = (id.into(), owner.cloned());
        if !flights.contains_key(&key) {
            let (sender, landing) = watch::channel(None);
            let delay = Delay::default();
            let started = self.starts.send(Start {
                id: key.0.clone(),
                owner: key.1.clone(),
                landing: sender,
                delay: delay.clone(),
            });
            started.map_err(|_| Problem::ending())?;
            let waiting = Arc::default();
            flights.insert(key.clone(), Flight { landing, delay, waiting });
        }
        let flight = flights.get(&key).ok_or_else(Problem::ending)?;
        let of_id = Count::within(&flight.waiting, self.limits.waiters_of_session);
        let of_id = of_id.ok_or_else(|| full("too many requests are waiting for this session"))?;
        Ok(Seat {
            landing: flight.landing.clone(),
            delay: flight.delay.clone(),
            counts: [all.keep(), of_id.keep()],
        })
    }

    /// From now on, the next request begins another flight.
    pub(super) fn end(&self, id: &Arc<str>, owner: Option<&Arc<str>>) {
        let key = (id.clone(), owner.cloned());
        self.of_id.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

fn full(detail: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-waiters", detail).retry_after(2)
}

/// One of a number that is bounded; given back when it is dropped.
struct Count<'a>(Option<&'a Arc<AtomicUsize>>);

impl<'a> Count<'a> {
    fn within(count: &'a Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let one = Self(Some(count));
        (before < most).then_some(one)
    }

    /// Somebody else gives it back.
    fn keep(mut self) -> Arc<AtomicUsize> {
        self.0.take().cloned().unwrap_or_default()
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Seat {
    /// Whether the flight takes longer than a session may take as a rule.
    pub(super) fn is_delayed(&self) -> bool {
        self.delay.0.load(Ordering::Relaxed)
    }

    /// Waits until the flight has landed.
    pub(super) async fn landed(&mut self) -> Landing {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Ok(())),
            Err(_) => Err(Arc::new(Problem::ending())),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for count in &self.counts {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    fn flights(waiters_of_session: usize, waiters: usize) -> (Flights, UnboundedReceiver<Start>) {
        let (sender, receiver) = unbounded_channel();
        let limits = Limits {
            ready_timeout: Duration::from_secs(1),
            waiters_of_session,
            waiters,
            requests_of_owner: None,
            sessions_of_owner: None,
            body: None,
            drain: Duration::ZERO,
        };
        (Flights::new(limits, sender), receiver)
    }

    #[tokio::test]
    async fn all_requests_for_an_id_share_one_flight() {
        let (flights, mut starts) = flights(10, 10);
        let mut seats: Vec<Seat> = (0..5).map(|_| flights.join("a", None).ok().unwrap()).collect();
        let start = starts.try_recv().unwrap();
        assert!(starts.try_recv().is_err());
        start.landing.send_replace(Some(Ok(())));
        for seat in &mut seats {
            assert!(seat.landed().await.is_ok());
        }
        flights.end(&"a".into(), None);
        let _seat = flights.join("a", None);
        assert_eq!(&*starts.try_recv().unwrap().id, "a");
    }

    #[tokio::test]
    async fn owners_share_no_flight() {
        let (flights, mut starts) = flights(10, 10);
        let owners: [Arc<str>; 2] = ["ann".into(), "bob".into()];
        let seats: Vec<_> = owners.iter().chain(&owners).map(|owner| flights.join("a", Some(owner))).collect();
        assert!(seats.iter().all(Result::is_ok));
        let begun = [starts.try_recv(), starts.try_recv()].map(|start| start.unwrap().owner.unwrap());
        assert_eq!(begun, owners);
        assert!(starts.try_recv().is_err());
    }

    #[tokio::test]
    async fn who_waits_is_counted_and_bounded() {
        let (flights, _starts) = flights(2, 3);
        let seats = (flights.join("a", None), flights.join("a", None), flights.join("b", None));
        assert!(seats.0.is_ok() && seats.1.is_ok() && seats.2.is_ok());
        for id in ["a", "c"] {
            let refused = flights.join(id, None).err().unwrap();
            assert_eq!((refused.status.as_u16(), refused.retry_after), (503, Some(2)), "{id}");
        }
        drop(seats.0);
        assert!(flights.join("a", None).is_ok());
        drop((seats.1, seats.2));
        assert_eq!(flights.waiting(), 0);
    }

    #[tokio::test]
    async fn a_flight_that_is_dropped_lands_with_a_problem() {
        let (flights, mut starts) = flights(1, 1);
        let mut seat = flights.join("a", None).ok().unwrap();
        drop(starts.try_recv());
        assert_eq!(seat.landed().await.unwrap_err().status, 503);
    }
}
