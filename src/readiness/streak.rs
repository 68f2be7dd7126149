//! A streak: successful answers in a row, over a certain time, from the same pods.

use std::time::Duration;

/// The pods of each workload, by UID and restarts: they must stay the same during a streak.
pub type Identity = Vec<(String, String, i32)>;

/// Successes since the last failure.
#[derive(Clone, Debug, Default)]
pub struct Streak {
    successes: u32,
    first: Option<Duration>,
    last: Option<Duration>,
    identity: Identity,
    /// Attempts in all.
    pub attempts: u32,
    /// Failed ones among them.
    pub failures: u32,
}

impl Streak {
    /// Counts a success: when its request began, and the pods that answered. Other pods begin another streak.
    pub fn succeeded(&mut self, begun: Duration, identity: &Identity) {
        self.attempts += 1;
        if self.identity != *identity {
            self.reset();
            self.identity.clone_from(identity);
        }
        self.successes += 1;
        self.first.get_or_insert(begun);
        self.last = Some(begun);
    }

    /// Counts a failure.
    pub fn failed(&mut self) {
        self.attempts += 1;
        self.failures += 1;
        self.reset();
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.successes = 0;
        self.first = None;
        self.last = None;
    }

    /// Successes in a row.
    pub fn successes(&self) -> u32 {
        self.successes
    }

    /// When the request of the first success began.
    pub fn since(&self) -> Option<Duration> {
        self.first
    }

    /// From the first success to the last.
    pub fn span(&self) -> Duration {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.saturating_sub(first),
            _ => Duration::ZERO,
        }
    }

    /// Whether it is long enough, in number and in time, and of these pods.
    pub fn holds(&self, successes: u32, span: Duration, identity: &Identity) -> bool {
        self.successes >= successes.max(1) && self.span() >= span && self.identity == *identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(restarts: i32) -> Identity {
        vec![("deployment/shop/web".into(), "uid".into(), restarts)]
    }

    #[test]
    fn it_needs_its_number_and_its_time() {
        let mut streak = Streak::default();
        let ms = Duration::from_millis;
        for at in [0, 250, 500] {
            streak.succeeded(ms(at), &pods(0));
        }
        assert!(streak.holds(3, Duration::ZERO, &pods(0)));
        assert!(streak.holds(3, ms(500), &pods(0)));
        assert!(!streak.holds(3, ms(501), &pods(0)), "too short");
        assert!(!streak.holds(4, ms(500), &pods(0)), "too few");
        assert!(
            !Streak::default().holds(0, Duration::ZERO, &Vec::new()),
            "no answer at all is no streak"
        );
    }

    #[test]
    fn a_failure_or_a_restart_starts_it_over() {
        let mut streak = Streak::default();
        let second = Duration::from_secs;
        streak.succeeded(second(0), &pods(0));
        streak.succeeded(second(5), &pods(0));
        assert!(!streak.holds(2, second(5), &pods(1)), "a container was started again since");
        streak.failed();
        assert!(!streak.holds(1, Duration::ZERO, &pods(0)));
        streak.succeeded(second(6), &pods(0));
        assert_eq!(streak.span(), Duration::ZERO);
        streak.succeeded(second(7), &pods(1));
        assert_eq!((streak.successes(), streak.attempts, streak.failures), (1, 5, 1));
    }
}
