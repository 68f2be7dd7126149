//! Failing calls that go on at this moment, as the timed last lines of a container tell that is ready.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::facts::calls::failure;
use crate::facts::calls::failure::How;
use crate::text::Words;

/// Fewer failures than this are stray ones.
const TIMES: usize = 3;
/// A failure that belongs to a series is not older than this, or than two of the pauses between those before it.
const RECENT: Duration = Duration::from_secs(10);

/// What clients write when a call came through at last.
const RECOVERED: Words = Words("connected to, reconnected, connection established, succeeded, successful, recovered, is up again, is back");
/// What is written of things that an application does without, and of clients that go away.
const NO_ERROR: Words = Words("warn, debug, healthz, readyz, livez, kube-probe, client timed out, error from");

/// The newest line of each call that fails again and again until now, oldest first, without their times.
pub fn failing<'a>(text: &'a str, now: Timestamp) -> Vec<&'a str> {
    let mut series: BTreeMap<String, Vec<(Timestamp, &'a str)>> = BTreeMap::new();
    for line in text.lines() {
        let Some((time, line)) = line.split_once(' ') else { continue };
        let Ok(time) = time.parse::<Timestamp>() else { continue };
        let lower = line.to_ascii_lowercase();
        // Health checks of load balancers cut off what they have opened.
        let fails = failure::in_line(line).is_some_and(|how| how != How::Reset) || failure::is_forbidden(line);
        if fails && !NO_ERROR.occur_in(&lower) {
            let same: String = lower.chars().filter(|c| c.is_alphabetic()).take(80).collect();
            let all = series.entry(same).or_default();
            // One failure may be written several times at once.
            if all.last().is_none_or(|(last, _)| time.duration_since(*last).as_millis() >= 500) {
                all.push((time, line));
            }
        } else if RECOVERED.occur_in(&lower) && !lower.contains("not ") {
            series.clear();
        }
    }
    let mut newest: Vec<(Timestamp, &str)> = series
        .into_values()
        .filter(|all| goes_on(all, now))
        .filter_map(|all| all.last().copied())
        .collect();
    newest.sort();
    newest.into_iter().map(|(_, line)| line).collect()
}

/// Whether the next failure of a series may still come.
fn goes_on(series: &[(Timestamp, &str)], now: Timestamp) -> bool {
    let pauses = series.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0));
    let longest = pauses.max().and_then(|pause| Duration::try_from(pause).ok()).unwrap_or_default();
    let since = series
        .last()
        .map(|(last, _)| Duration::try_from(now.duration_since(*last)).unwrap_or_default());
    series.len() >= TIMES && since.is_some_and(|since| since <= RECENT.max(longest * 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[(u32, &str)]) -> Vec<String> {
        let text: String = lines
            .iter()
            .map(|(second, line)| format!("2026-01-01T11:{:02}:{:02}.5Z {line}\n", second / 60, second % 60))
            .collect();
        // At 11:59:00.
        let now = "2026-01-01T11:59:00Z".parse().unwrap();
        failing(&text, now).into_iter().map(str::to_owned).collect()
    }

    const REFUSED: &str = "dial tcp 10.96.0.7:80: connect: connection refused";
    const NOW: u32 = 59 * 60;

    #[test]
    fn what_fails_again_and_again_is_told_once() {
        let all = [
            (NOW - 60, REFUSED),
            (NOW - 40, "GET / 200"),
            (NOW - 40, REFUSED),
            (NOW - 20, REFUSED),
        ];
        assert_eq!(told(&all), [REFUSED]);
        let forbidden = r#"pods is forbidden: User "system:serviceaccount:shop:api" cannot list resource "pods""#;
        assert_eq!(
            told(&[(NOW - 9, forbidden), (NOW - 6, forbidden), (NOW - 3, forbidden)]),
            [forbidden]
        );
    }

    #[test]
    fn stray_old_and_healed_failures_are_silent() {
        for (why, lines) in [
            ("two alone", vec![(NOW - 20, REFUSED), (NOW - 10, REFUSED)]),
            ("over", vec![(NOW - 90, REFUSED), (NOW - 80, REFUSED), (NOW - 70, REFUSED)]),
            (
                "one, written three times",
                vec![(NOW - 5, REFUSED), (NOW - 5, REFUSED), (NOW - 5, REFUSED)],
            ),
            (
                "it came through",
                vec![
                    (NOW - 8, REFUSED),
                    (NOW - 6, REFUSED),
                    (NOW - 4, REFUSED),
                    (NOW - 2, "connected to db"),
                ],
            ),
            (
                "a load balancer's checks",
                (1..9)
                    .map(|at| (NOW - 10 + at, "http: TLS handshake error from 10.0.0.9:4711: read: i/o timeout"))
                    .collect(),
            ),
            (
                "clients that go away",
                (1..9)
                    .map(|at| (NOW - 10 + at, "read tcp 10.0.0.7:80->10.0.0.9:4711: read: connection reset by peer"))
                    .collect(),
            ),
            (
                "warnings",
                vec![
                    (NOW - 8, "WARN timed out"),
                    (NOW - 6, "WARN timed out"),
                    (NOW - 4, "WARN timed out"),
                ],
            ),
        ] {
            assert!(told(&lines).is_empty(), "{why}");
        }
    }
}
