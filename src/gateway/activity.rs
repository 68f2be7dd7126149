//! When a session was last used, as this process has seen it: bytes of its application, or a stream that is open. And when that has to end.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::Shared;
use tokio::sync::oneshot;

/// Why what is open is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The session has reached its maximum lifetime.
    Lifetime,
    /// The gateway ends.
    Gateway,
}

/// The use of one session.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    /// Exchanges that go on now.
    open: AtomicU32,
    /// Milliseconds since `begun`, and one; 0 is never.
    last: AtomicU64,
    /// Whether the session has ended.
    has_ended: AtomicBool,
    /// Whether what is open is cut, and why.
    cause: OnceLock<Cause>,
    /// Dropped when it is.
    cutter: Mutex<Option<oneshot::Sender<()>>>,
    cut: Shared<oneshot::Receiver<()>>,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let (cutter, cut) = oneshot::channel();
        Arc::new(Self {
            begun: Instant::now(),
            open: AtomicU32::new(0),
            last: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            cause: OnceLock::new(),
            cutter: Mutex::new(Some(cutter)),
            cut: cut.shared(),
        })
    }

    /// Notes that the session is used now.
    pub(super) fn stamp(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(now + 1, Ordering::Relaxed);
    }

    /// How long ago the session was last used here; none: never.
    pub(super) fn idle(&self) -> Option<Duration> {
        if self.open.load(Ordering::Acquire) > 0 {
            return Some(Duration::ZERO);
        }
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.begun.elapsed().saturating_sub(Duration::from_millis(last)))
    }

    /// Notes that the session has ended: its pod goes.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Cuts what is open.
    pub(super) fn cut(&self, cause: Cause) {
        if cause == Cause::Lifetime {
            self.end();
        }
        if self.cause.set(cause).is_ok() {
            self.cutter.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// Tells an exchange when it is cut. One that began when all others were cut already is not: it ends with the pod, or the gateway.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    activity: Arc<Activity>,
    is_late: bool,
    /// Only what waits listens.
    listening: Option<Shared<oneshot::Receiver<()>>>,
}

impl Cut {
    fn new(activity: &Arc<Activity>) -> Self {
        Self {
            activity: activity.clone(),
            is_late: activity.cause.get().is_some(),
            listening: None,
        }
    }

    /// Whether the session has ended, cut or not.
    pub(super) fn has_ended(&self) -> bool {
        self.activity.has_ended.load(Ordering::Relaxed)
    }

    /// Why it is cut now; none: it is not.
    pub(super) fn cause(&self) -> Option<Cause> {
        self.activity.cause.get().copied().filter(|_| !self.is_late)
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_late {
            return Poll::Pending;
        }
        if self.cause().is_none() {
            let listening = self.listening.get_or_insert_with(|| self.activity.cut.clone());
            let _ = ready!(Pin::new(listening).poll(context));
        }
        Poll::Ready(())
    }
}

/// An exchange with the application of a session, from the request to the end of the answer.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Whether the application has answered, and not with a fault.
    counts: bool,
    cut: Cut,
}

impl Exchange {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::AcqRel);
        Self {
            counts: false,
            cut: Cut::new(activity),
        }
    }

    /// Tells when the exchange is cut.
    pub(super) const fn cut(&mut self) -> &mut Cut {
        &mut self.cut
    }

    /// Counts the exchange as use.
    pub(super) const fn count(&mut self) {
        self.counts = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Before the exchange ends: in between, nobody takes the session for idle.
        if self.counts {
            self.cut.activity.stamp();
        }
        self.cut.activity.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_and_a_fault_does_not() {
        let activity = Activity::new();
        drop(Exchange::begin(&activity));
        assert_eq!(activity.idle(), None);
        let mut exchange = Exchange::begin(&activity);
        exchange.count();
        drop(exchange);
        assert!(activity.idle().is_some());
    }

    #[test]
    fn an_open_exchange_is_use_as_long_as_it_lasts() {
        let activity = Activity::new();
        let (one, other) = (Exchange::begin(&activity), Exchange::begin(&activity));
        drop(one);
        assert_eq!(activity.idle(), Some(Duration::ZERO));
        drop(other);
        assert_eq!(activity.idle(), None);
    }

    #[tokio::test]
    async fn what_is_open_is_cut_and_what_comes_late_is_not() {
        let activity = Activity::new();
        let mut early = Exchange::begin(&activity);
        let waiting = std::future::poll_fn(|context| early.cut().poll(context));
        let (_, ()) = tokio::join!(waiting, async { activity.cut(Cause::Gateway) });
        assert!(!early.cut().has_ended());
        activity.cut(Cause::Lifetime);
        let mut late = Exchange::begin(&activity);
        assert_eq!((early.cut().cause(), late.cut().cause()), (Some(Cause::Gateway), None));
        assert!(late.cut().has_ended());
        assert!(
            std::future::poll_fn(|context| Poll::Ready(late.cut().poll(context)))
                .await
                .is_pending()
        );
    }
}
