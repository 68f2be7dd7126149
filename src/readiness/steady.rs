//! Flapping: what was ready and broke off during a run has to stay ready for clearly longer than before.

use std::time::Duration;

use crate::readiness::settle::outlives;
use crate::readiness::streak::Identity;

/// Shorter stretches are ignored: not everything that leads to the pods had followed them yet.
const LEAST: Duration = Duration::from_secs(1);

/// Pods that were ready for longer than this before the run do not flap at a pace that matters.
const LONG: Duration = Duration::from_secs(60);

/// The stretches of one run in which everything was ready and answered.
#[derive(Debug, Default)]
pub struct Steady {
    /// The present stretch: its start, how long it had lasted by then, and its pods.
    since: Option<(Duration, Duration, Identity)>,
    /// The longest stretch that broke off, and its pods.
    broken: Option<(Duration, Identity)>,
}

impl Steady {
    /// Notes whether everything is well now; `ready_for` is how long the pods have been ready. Other pods, or a restarted container, begin another
    /// stretch.
    pub fn note(&mut self, at: Duration, is_well: bool, ready_for: Duration, pods: &Identity) {
        match self.since.take() {
            Some(known) if is_well && known.2 == *pods => self.since = Some(known),
            Some((since, before, same)) if !is_well => {
                let lasted = at.saturating_sub(since) + before;
                let longest = self.of(&same).unwrap_or_default().max(lasted);
                self.broken = Some((longest, same));
            }
            _ => {
                let before = if ready_for <= LONG { ready_for } else { Duration::ZERO };
                self.since = is_well.then(|| (at, before, pods.clone()));
            }
        }
    }

    /// How long everything has to stay well, where `asked` was asked for.
    pub fn wanted(&self, asked: Duration, pods: &Identity) -> Duration {
        match self.of(pods).filter(|lasted| *lasted >= LEAST && !asked.is_zero()) {
            Some(lasted) => asked.max(outlives(lasted)),
            None => asked,
        }
    }

    /// The longest stretch of these pods that broke off.
    fn of(&self, pods: &Identity) -> Option<Duration> {
        let (lasted, of) = self.broken.as_ref()?;
        (of == pods).then_some(*lasted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn pods(restarts: i32) -> Identity {
        vec![("deployment/shop/web".into(), "uid".into(), restarts)]
    }

    #[test]
    fn flapping_readiness_has_to_last_longer_than_before() {
        let mut steady = Steady::default();
        let asked = ms(5000);
        steady.note(ms(700), true, ms(0), &pods(0));
        steady.note(ms(3000), true, ms(0), &pods(0));
        assert_eq!(steady.wanted(asked, &pods(0)), asked);
        steady.note(ms(6700), false, ms(0), &pods(0));
        assert_eq!(steady.wanted(asked, &pods(0)), ms(14_000), "half as long again, and 5 s");
        assert_eq!(steady.wanted(ms(60_000), &pods(0)), ms(60_000));
        assert_eq!(steady.wanted(ms(0), &pods(0)), ms(0), "nothing of that was asked for");
        // A shorter stretch does not make up for it.
        steady.note(ms(10_000), true, ms(0), &pods(0));
        steady.note(ms(12_000), false, ms(0), &pods(0));
        assert_eq!(steady.wanted(asked, &pods(0)), ms(14_000));
    }

    #[test]
    fn readiness_before_the_run_counts_unless_long_ago() {
        let asked = ms(5000);
        for (before, wanted) in [(8_000, 17_600), (61_000, 5000)] {
            let mut steady = Steady::default();
            steady.note(ms(700), true, ms(before), &pods(0));
            steady.note(ms(1100), false, ms(0), &pods(0));
            assert_eq!(steady.wanted(asked, &pods(0)), ms(wanted), "{before}");
        }
    }

    #[test]
    fn other_pods_and_a_wink_are_no_stretch() {
        let mut steady = Steady::default();
        let asked = ms(5000);
        steady.note(ms(0), true, ms(0), &pods(0));
        steady.note(ms(900), false, ms(0), &pods(0));
        assert_eq!(steady.wanted(asked, &pods(0)), asked, "the way was not open yet");
        steady.note(ms(1000), true, ms(0), &pods(0));
        steady.note(ms(9000), true, ms(0), &pods(1));
        steady.note(ms(9500), false, ms(0), &pods(1));
        assert_eq!(steady.wanted(asked, &pods(1)), asked, "a container was started again meanwhile");
        steady.note(ms(10_000), true, ms(0), &pods(1));
        steady.note(ms(13_000), false, ms(0), &pods(1));
        assert_eq!(steady.wanted(asked, &pods(2)), asked);
        assert_eq!(steady.wanted(asked, &pods(1)), ms(9500));
    }
}
