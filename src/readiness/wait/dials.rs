//! Results of dials, kept from one run of the rules to the next.

use std::time::Duration;

use crate::model::dial::{Dial, Reply};

/// How long results are used; twice as long after each dial that changed nothing, up to the second value.
const LIFETIME: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));

/// Recent results of dials: to dial again for each run of the rules would be a load on the pods.
#[derive(Debug, Default)]
pub(crate) struct DialCache {
    results: Vec<Dial>,
    until: Duration,
    lifetime: Duration,
}

impl DialCache {
    /// The results that can still be used; later those of ports that refused, as first samples of a new look.
    pub(crate) fn known(&self, now: Duration) -> Vec<Dial> {
        let refused = |dial: &&Dial| !dial.key.again && dial.is_refused();
        if now < self.until {
            self.results.iter().filter(|dial| !timed_out(dial)).cloned().collect()
        } else {
            self.results.iter().filter(refused).cloned().collect()
        }
    }

    /// Whether the results are of an earlier look.
    pub(crate) fn is_past(&self, now: Duration) -> bool {
        now >= self.until && !self.results.is_empty()
    }

    /// Keeps new results, unless known ones of the same ports can still be used. A time-out may be a busy moment: it gives way to the next result.
    pub(crate) fn keep(&mut self, results: Vec<Dial>, now: Duration) {
        if now < self.until {
            for result in results {
                match self.results.iter_mut().find(|dial| dial.key == result.key) {
                    Some(known) if timed_out(known) => *known = result,
                    Some(_) => {}
                    None => self.results.push(result),
                }
            }
            return;
        }
        if results.is_empty() {
            return;
        }
        self.lifetime = (self.lifetime * 2).clamp(LIFETIME.0, LIFETIME.1);
        self.until = now + self.lifetime;
        self.results = results;
    }
}

/// Whether a port did not answer in time, as its clients or the kubelet reach it.
fn timed_out(dial: &Dial) -> bool {
    dial.address == Reply::TimedOut || dial.inside == Reply::TimedOut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dial::{DialKey, Speech};
    use crate::testing::noon;

    fn dial(port: u16, again: bool, address: Reply) -> Dial {
        let key = DialKey {
            namespace: "shop".into(),
            pod: "web".into(),
            port,
            speech: Speech::Http,
            path: "/".into(),
            again,
        };
        Dial {
            key,
            at: noon(),
            address,
            inside: Reply::Untried,
        }
    }

    #[test]
    fn a_port_that_timed_out_is_dialled_again() {
        let at = Duration::from_secs;
        let mut cache = DialCache::default();
        cache.keep(vec![dial(80, false, Reply::TimedOut), dial(81, false, Reply::Status(200))], at(10));
        assert_eq!(cache.known(at(11)), [dial(81, false, Reply::Status(200))]);
        cache.keep(vec![dial(80, false, Reply::Refused)], at(12));
        assert_eq!(
            cache.known(at(13)),
            [dial(80, false, Reply::Refused), dial(81, false, Reply::Status(200))]
        );
        let of_new_pod = dial(82, false, Reply::Refused);
        cache.keep(vec![dial(81, false, Reply::Refused), of_new_pod.clone()], at(14));
        assert_eq!(
            cache.known(at(15))[1..],
            [dial(81, false, Reply::Status(200)), of_new_pod],
            "the new one is kept beside the others"
        );
    }

    #[test]
    fn refusals_of_an_earlier_look_are_first_samples() {
        let at = Duration::from_secs;
        let mut cache = DialCache::default();
        assert!(!cache.is_past(at(0)) && cache.known(at(0)).is_empty());
        let refused = dial(80, false, Reply::Refused);
        let all = vec![refused.clone(), dial(80, true, Reply::Refused), dial(81, false, Reply::Status(200))];
        cache.keep(all.clone(), at(10));
        assert_eq!((cache.is_past(at(24)), cache.known(at(24))), (false, all));
        assert_eq!((cache.is_past(at(25)), cache.known(at(25))), (true, vec![refused]));
    }
}
