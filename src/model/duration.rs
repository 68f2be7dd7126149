//! Durations as Go and kubectl write them.

use std::time::Duration;

/// Seconds for a report: to the millisecond.
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Reads a duration by Go's rules (`1m30s`, `500ms`, `1.5h`, `0`); a bare whole number is seconds, as in kubectl's `--request-timeout`.
///
/// The error says what is wrong with the text.
pub fn parse(text: &str) -> Result<Duration, String> {
    let bad = |why: &str| format!("{text:?} is not a duration: {why}; write it like 90s, 1m30s or 500ms");
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    if text
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c == '.' || c.is_ascii_digit()))
    {
        return Err(bad("it is negative"));
    }
    let rest = text.strip_prefix('+').unwrap_or(text);
    if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest.parse().map(Duration::from_secs).map_err(|_| bad("it is too long"));
    }
    let mut rest = rest;
    let mut nanoseconds: u128 = 0;
    if rest.is_empty() {
        return Err(bad("there is no number"));
    }
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(bad("there is no number"));
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let unit: u128 = match unit {
            "ns" => 1,
            // Go takes both the micro sign and the Greek letter.
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(bad("a unit is missing")),
            other => return Err(bad(&format!("{other:?} is not a unit"))),
        };
        // More digits than this are below a nanosecond in any unit.
        let fraction = &fraction[..fraction.len().min(18)];
        let whole: u128 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| bad("it is too long"))?
        };
        let part: u128 = if fraction.is_empty() {
            0
        } else {
            fraction.parse().map_err(|_| bad("it is too long"))?
        };
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        nanoseconds = whole
            .checked_mul(unit)
            .and_then(|sum| sum.checked_add(part * unit / scale))
            .and_then(|sum| sum.checked_add(nanoseconds))
            // Go's own limit, a signed 64-bit number of nanoseconds.
            .filter(|sum| *sum <= i64::MAX as u128)
            .ok_or_else(|| bad("it is too long"))?;
        rest = next;
    }
    u64::try_from(nanoseconds)
        .map(Duration::from_nanos)
        .map_err(|_| bad("it is too long"))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// A duration for people: the two largest units, `350ms`, `45s`, `2m 5s`, `6m`, `3h 2m`, `4d`.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let kept = match seconds {
        0 => Duration::from_millis(u64::from(duration.subsec_millis())),
        1..3_600 => Duration::from_secs(seconds),
        3_600..86_400 => Duration::from_secs(seconds / 60 * 60),
        _ => Duration::from_secs(seconds / 3_600 * 3_600),
    };
    // humantime speaks of months and years, which no rollout lasts.
    match kept.as_secs() / 86_400 {
        0 => humantime::format_duration(kept).to_string(),
        days => {
            let hours = kept.as_secs() % 86_400 / 3_600;
            if hours == 0 {
                format!("{days}d")
            } else {
                format!("{days}d {hours}h")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_s_durations_are_understood() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("5", 5_000),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("500ms", 500),
            ("2500us", 2),
            ("2500\u{b5}s", 2),
            ("2500\u{3bc}s", 2),
            ("1h2m3s4ms", 3_723_004),
            ("+3s", 3_000),
            ("0.100000000000000000000000000s", 100),
        ] {
            assert_eq!(parse(text).map(|d| d.as_millis()), Ok(milliseconds), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "-1s",
            "1.5",
            "s",
            "1M",
            "1d",
            "1 s",
            "1s ",
            "1m30",
            "1h-2m",
            "abc",
            ".s",
            "+",
            "9999999999h",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.0, "0s"),
            (0.35, "350ms"),
            (45.9, "45s"),
            (125.0, "2m 5s"),
            (360.0, "6m"),
            (3_600.0, "1h"),
            (10_930.0, "3h 2m"),
            (86_400.0, "1d"),
            (4_000_000.0, "46d 7h"),
        ] {
            assert_eq!(short(Duration::from_secs_f64(seconds)), text);
        }
    }
}
