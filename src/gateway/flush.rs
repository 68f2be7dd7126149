//! When the use of a session is written to its record.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::gateway::table::Entry;

/// How old a record may be in any case.
const OLD: Duration = Duration::from_secs(30);
/// What was used so shortly after the record says so is no news at the end.
const NEWS: Duration = Duration::from_secs(1);

/// Whether the use of a session has to be written to its record now.
pub(super) fn is_due(entry: &Entry, now: Timestamp) -> bool {
    is_newer(entry, now, most_age(entry.idle_timeout))
}

/// Whether a session was used after what its record says.
pub(super) fn is_news(entry: &Entry, now: Timestamp) -> bool {
    is_newer(entry, now, NEWS)
}

fn is_newer(entry: &Entry, now: Timestamp, than: Duration) -> bool {
    let Some(used) = entry
        .activity
        .idle()
        .and_then(|idle| now.checked_sub(SignedDuration::try_from(idle).ok()?).ok())
    else {
        return false;
    };
    SignedDuration::try_from(than).is_ok_and(|than| used.duration_since(entry.recorded) > than)
}

/// How old a record may be: a tenth of the time after which the session is cleaned up, and never so much that somebody else takes it for idle.
fn most_age(idle_timeout: Option<Duration>) -> Duration {
    let Some(timeout) = idle_timeout else {
        return OLD.max(Duration::from_secs(60));
    };
    OLD.max(timeout / 10).min(timeout / 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::activity::Activity;
    use crate::gateway::table::Step;

    fn entry(recorded: Timestamp, idle_timeout: Option<Duration>) -> Entry {
        Entry {
            id: "a".into(),
            record_uid: String::new(),
            owner: None,
            step: Step::Running,
            backend: None,
            given_up: None,
            recorded,
            idle_timeout,
            kept: None,
            end: None,
            activity: Activity::new(),
        }
    }

    #[test]
    fn use_is_written_when_the_record_is_old() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ago = |seconds: i64| now - SignedDuration::from_secs(seconds);
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        for (recorded, timeout, is_due_now) in [
            (ago(29), minutes(1), true),
            (ago(15), minutes(1), false),
            (ago(59), minutes(10), false),
            (ago(61), minutes(10), true),
            (ago(5), Some(Duration::from_secs(9)), true),
            (ago(61), None, true),
        ] {
            let entry = entry(recorded, timeout);
            assert!(!is_due(&entry, now));
            entry.activity.stamp();
            assert_eq!(is_due(&entry, now), is_due_now, "{recorded} {timeout:?}");
        }
    }

    #[test]
    fn what_the_record_says_already_is_no_news() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let used = entry(now, None);
        used.activity.stamp();
        assert!(!is_news(&used, now) && is_news(&used, now + SignedDuration::from_secs(2)));
    }
}
