//! What the requests of a client say about an outage.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::drill::{Connections, DrillSample, Latency, MeasuredFrom, MeasuredRole, Measurement, Outage};
use crate::model::duration::rounded;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// When it started, from the start of the meter.
    pub(crate) started: Duration,
    /// How long it took.
    pub(crate) took: Duration,
    /// The kind of failure, where it failed: `refused`, `status 503`.
    pub(crate) failure: Option<String>,
}

impl Sample {
    fn ended(&self) -> Duration {
        self.started + self.took
    }
}

/// Where moments of another machine's clock are on ours: what it says is heard late, and the line that came quickest tells most.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// How many seconds it is ahead.
    ahead: Option<f64>,
}

impl Clock {
    /// Hears at `now` of something that ended at `theirs`. How much earlier everything was than thought before.
    pub(crate) fn hear(&mut self, now: Duration, theirs: Duration) -> Duration {
        let told = theirs.as_secs_f64() - now.as_secs_f64();
        let ahead = self.ahead.get_or_insert(told);
        let earlier = (told - *ahead).max(0.0);
        *ahead += earlier;
        Duration::from_secs_f64(earlier)
    }

    /// A moment of it on our clock.
    pub(crate) fn place(&self, theirs: Duration) -> Duration {
        let ours = theirs.as_secs_f64() - self.ahead.unwrap_or_default();
        Duration::from_secs_f64(ours.max(0.0))
    }
}

/// The longest time between the starts of two requests that follow each other.
pub(crate) fn widest(samples: &[Sample]) -> Duration {
    let mut starts: Vec<Duration> = samples.iter().map(|sample| sample.started).collect();
    starts.sort_unstable();
    starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Moments of a drill, from the start of the meter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    /// The first change.
    pub(crate) fault: Duration,
    /// When the fault was undone, or was there to be seen if it heals by itself.
    pub(crate) undone: Duration,
}

/// Whose requests they are.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The target, as the user named it.
    pub(crate) name: String,
    pub(crate) role: MeasuredRole,
    pub(crate) connections: Connections,
    pub(crate) from: MeasuredFrom,
    /// How far apart requests are started.
    pub(crate) interval: Duration,
}

/// Nobody had an answer between these moments.
struct Down {
    from: Duration,
    to: Duration,
    failed: usize,
}

/// What the requests of a client say. Downtime counts from the first change on.
///
/// An outage begins with the start of the first request that failed: the good one before it had been answered by then or was overtaken. It
/// ends when the first good answer to a later request came in: until then nobody had one.
pub(crate) fn measure(client: &Client, samples: &[Sample], at: Moments) -> Measurement {
    let mut samples: Vec<&Sample> = samples.iter().collect();
    samples.sort_by_key(|sample| sample.started);
    let during: Vec<&Sample> = samples.iter().copied().filter(|sample| sample.ended() >= at.fault).collect();
    let since = |moment: Duration| rounded(moment.as_secs_f64() - at.fault.as_secs_f64());
    let mut down: Vec<Down> = Vec::new();
    let mut rest = &during[..];
    let mut is_down = false;
    while let Some(first) = rest.iter().position(|sample| sample.failure.is_some()) {
        rest = &rest[first..];
        let failed = rest.iter().position(|sample| sample.failure.is_none()).unwrap_or(rest.len());
        let from = rest[0].started.max(at.fault);
        let good = rest[failed..].iter().take_while(|sample| sample.failure.is_none());
        let end = good.map(|sample| sample.ended()).min();
        is_down = end.is_none();
        let to = end.or_else(|| rest.iter().map(|sample| sample.ended()).max()).unwrap_or(from);
        match down.last_mut() {
            // The good answer that ended the last one came in late: another request had failed by then.
            Some(last) if from <= last.to => {
                last.to = last.to.max(to);
                last.failed += failed;
            }
            _ => down.push(Down { from, to, failed }),
        }
        rest = &rest[failed..];
    }
    let last_up = down.last().filter(|_| !is_down).map(|last| last.to);
    let settled = last_up.unwrap_or_default().max(at.undone);
    let outages: Vec<Outage> = down
        .iter()
        .map(|down| Outage {
            from_seconds: since(down.from),
            to_seconds: since(down.to),
            failed: down.failed,
        })
        .collect();
    let length = |outage: &Outage| outage.to_seconds - outage.from_seconds;
    let mut errors = BTreeMap::new();
    for failure in during.iter().filter_map(|sample| sample.failure.clone()) {
        *errors.entry(failure).or_default() += 1;
    }
    let failed = errors.values().sum();
    let good = |keep: &dyn Fn(&Sample) -> bool| {
        let kept = samples.iter().filter(|sample| sample.failure.is_none() && keep(sample));
        latency(kept.map(|sample| sample.took).collect())
    };
    Measurement {
        target: client.name.clone(),
        role: client.role,
        connections: client.connections,
        from: client.from,
        requests: during.len(),
        failed,
        error_percent: if during.is_empty() {
            0.0
        } else {
            rounded(100.0 * failed as f64 / during.len() as f64)
        },
        errors,
        downtime_seconds: rounded(outages.iter().map(length).fold(0.0, |sum, length| sum + length)),
        longest_outage_seconds: rounded(outages.iter().map(length).fold(0.0, f64::max)),
        interval_seconds: rounded(client.interval.as_secs_f64()),
        stray_errors: outages.iter().filter(|outage| outage.failed == 1).count(),
        outages,
        is_down,
        latency_before: good(&|sample| sample.ended() < at.fault),
        latency_during: good(&|sample| sample.ended() >= at.fault && sample.started < settled),
        latency_after: good(&|sample| sample.started >= settled),
        samples: samples
            .iter()
            .map(|sample| DrillSample {
                started_seconds: since(sample.started),
                took_milliseconds: rounded(sample.took.as_secs_f64() * 1000.0),
                failure: sample.failure.clone(),
            })
            .collect(),
    }
}

/// The least value that so many percent of the sorted ones do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    rounded(sorted[index].as_secs_f64() * 1000.0)
}

fn latency(mut took: Vec<Duration>) -> Option<Latency> {
    took.sort_unstable();
    (!took.is_empty()).then(|| Latency {
        p50_milliseconds: percentile(&took, 50),
        p95_milliseconds: percentile(&took, 95),
        p99_milliseconds: percentile(&took, 99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn sample(started: u64, took: u64, failure: Option<&str>) -> Sample {
        Sample {
            started: ms(started),
            took: ms(took),
            failure: failure.map(str::to_owned),
        }
    }

    fn of(samples: &[Sample]) -> Measurement {
        let at = Moments {
            fault: ms(1000),
            undone: ms(8000),
        };
        let client = Client {
            name: "http://web/".to_owned(),
            role: MeasuredRole::Target,
            connections: Connections::New,
            from: MeasuredFrom::Here,
            interval: INTERVAL,
        };
        measure(&client, samples, at)
    }

    /// Requests every 100 ms for ten seconds to a server that refuses between two moments.
    fn refusing(from: u64, to: u64) -> Vec<Sample> {
        let at = |started: u64| sample(started, 2, (started >= from && started < to).then_some("refused"));
        (0..100).map(|i| at(i * 100)).collect()
    }

    #[test]
    fn downtime_is_within_one_interval_of_the_truth() {
        for (from, to) in [(2000, 2900), (2001, 5000), (2050, 2060), (3099, 3201)] {
            let measured = of(&refusing(from, to));
            let truth = (to - from) as f64 / 1000.0;
            assert!((measured.downtime_seconds - truth).abs() <= 0.101, "{from} {to}: {measured:?}");
            assert!(!measured.is_down);
        }
    }

    #[test]
    fn a_server_that_hangs_is_down_from_the_first_request_that_it_swallows() {
        // It hangs from 2.0 to 4.0 s; requests are given up after a second, and the last ones are answered when it goes on.
        let samples: Vec<Sample> = (0..80)
            .map(|i| i * 100)
            .map(|started| match started {
                2000..3000 => sample(started, 1000, Some("timeout")),
                3000..4000 => sample(started, 4000 - started, None),
                _ => sample(started, 2, None),
            })
            .collect();
        let measured = of(&samples);
        assert!((measured.downtime_seconds - 2.0).abs() <= 0.1, "{measured:?}");
        assert_eq!((measured.failed, measured.errors["timeout"]), (10, 10));
    }

    #[test]
    fn outages_that_overlap_count_once() {
        // The request of 2.1 s is answered after 0.9 s, and the one of 2.2 s has failed meanwhile.
        let samples = [
            sample(1900, 2, None),
            sample(2000, 2, Some("refused")),
            sample(2100, 900, None),
            sample(2200, 2, Some("refused")),
            sample(2300, 1000, None),
            sample(3400, 2, None),
        ];
        let measured = of(&samples);
        assert_eq!(measured.outages.len(), 1, "{measured:?}");
        assert_eq!((measured.outages[0].failed, measured.downtime_seconds), (2, 1.3));
        assert_eq!(measured.longest_outage_seconds, 1.3);
    }

    #[test]
    fn what_failed_before_the_fault_is_none_of_its_errors() {
        let mut samples = refusing(2000, 2300);
        samples[3].failure = Some("refused".to_owned());
        let measured = of(&samples);
        assert_eq!((measured.failed, measured.outages.len(), measured.stray_errors), (3, 1, 0));
        assert_eq!(
            (measured.outages[0].from_seconds, measured.longest_outage_seconds),
            (1.0, measured.downtime_seconds)
        );
    }

    #[test]
    fn an_outage_without_an_end_is_said() {
        let measured = of(&refusing(9000, 20_000));
        assert!(measured.is_down && measured.failed == 10, "{measured:?}");
        assert_eq!(measured.downtime_seconds, 0.902);
        assert_eq!(of(&[]).requests, 0);
    }

    #[test]
    fn the_line_that_came_quickest_places_another_clock() {
        let mut clock = Clock::default();
        // Their clock is 100 s ahead; lines are heard after 30, 5 and 80 ms.
        assert_eq!(clock.hear(ms(1030), ms(101_000)), Duration::ZERO);
        assert_eq!(clock.place(ms(101_000)), ms(1030));
        let earlier = clock.hear(ms(2005), ms(102_000)).as_secs_f64();
        assert!((earlier - 0.025).abs() < 1e-6, "{earlier}");
        assert_eq!(clock.hear(ms(3080), ms(103_000)), Duration::ZERO);
        let placed = clock.place(ms(103_000)).as_secs_f64();
        assert!((placed - 3.005).abs() < 1e-6, "{placed}");
        assert_eq!(widest(&[sample(500, 1, None), sample(100, 1, None), sample(250, 1, None)]), ms(250));
    }

    #[test]
    fn percentiles_are_of_good_answers() {
        let samples: Vec<Sample> = (1..=100).map(|i| sample(1000 + i, i, (i == 100).then_some("timeout"))).collect();
        let measured = of(&samples);
        let latency = measured.latency_during.unwrap();
        assert_eq!((latency.p50_milliseconds, latency.p99_milliseconds), (50.0, 99.0));
        assert_eq!((measured.stray_errors, measured.latency_after), (1, None));
    }

    #[test]
    fn what_was_started_behind_the_last_outage_came_after_it() {
        let mut samples = refusing(2000, 9050);
        samples.last_mut().unwrap().took = ms(7);
        assert_eq!(of(&samples).latency_after.unwrap().p99_milliseconds, 7.0);
        let early = of(&refusing(2000, 3000));
        assert_eq!(early.latency_after.unwrap().p50_milliseconds, 2.0, "from the undo on");
    }
}
