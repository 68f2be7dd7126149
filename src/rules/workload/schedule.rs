//! CronJobs that are suspended, or whose schedule never comes.

use k8s_openapi::api::batch::v1::CronJob;

use crate::model::code::Code;
use crate::model::finding::{Confidence, Finding, Subject};
use crate::model::kind;
use crate::text::{command, shorten};
use crate::view::{View, reference_of};

/// Every CronJob.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for cron_job in &view.snapshot.objects.cron_jobs {
        found.extend(suspended(cron_job));
        found.extend(invalid(view, cron_job));
    }
    found
}

fn suspended(cron_job: &CronJob) -> Option<Finding> {
    if cron_job.spec.as_ref()?.suspend != Some(true) {
        return None;
    }
    let reference = reference_of(&kind::CRON_JOB, &cron_job.metadata);
    Some(crate::rules::workload::suspended(
        Code::CronJobSuspended,
        &reference,
        "it starts no jobs",
    ))
}

fn invalid(view: &View<'_>, cron_job: &CronJob) -> Option<Finding> {
    let spec = cron_job.spec.as_ref()?;
    if spec.suspend == Some(true) {
        return None;
    }
    let reference = reference_of(&kind::CRON_JOB, &cron_job.metadata);
    let events = view.events_of(&kind::CRON_JOB, &cron_job.metadata);
    let told = events.iter().find(|e| {
        let names_schedule = e.message().contains(spec.schedule.as_str());
        // An event about a schedule that has been corrected since is over.
        match e.reason() {
            "InvalidSchedule" | "UnparseableSchedule" => names_schedule,
            "UnknownTimeZone" => spec.time_zone.as_deref().is_some_and(|zone| e.message().contains(zone)),
            "TooManyMissedTimes" => true,
            _ => false,
        }
    });
    let fault = fault_of(&spec.schedule);
    let (summary, confidence) = match (&told, &fault) {
        (Some(event), _) if event.reason() == "UnknownTimeZone" => (
            format!("its time zone {} is not known", spec.time_zone.as_deref().unwrap_or_default()),
            Confidence::Proven,
        ),
        (Some(event), _) if event.reason() == "TooManyMissedTimes" => {
            // Starts that went well since then have made it good.
            if cron_job.status.as_ref().and_then(|s| s.last_schedule_time.as_ref()).map(|t| t.0) > event.last_seen {
                return None;
            }
            (
                "it has missed more than 100 start times and is given up until startingDeadlineSeconds is set".to_owned(),
                Confidence::Proven,
            )
        }
        (_, Some(fault)) => (format!("its schedule \"{}\" {fault}", spec.schedule), Confidence::Proven),
        (Some(event), None) => (
            format!("its schedule \"{}\" is refused: {}", spec.schedule, shorten(event.message(), 120)),
            Confidence::Proven,
        ),
        (None, None) => return None,
    };
    let mut finding = Finding::error(
        Code::CronJobInvalid,
        Subject::of(reference.clone()),
        format!("{} starts no jobs: {summary}", reference.short()),
    )
    .confidence(confidence)
    .evidence("spec", format!("schedule: {}", spec.schedule));
    if let Some(event) = told {
        finding = finding.evidence(
            format!("{} event {}", reference.short(), event.reason()),
            shorten(event.message(), 200),
        );
    }
    Some(finding.fix_command(
        "correct the schedule (minute hour day-of-month month day-of-week)",
        command("kubectl edit {} -n {}", &[&reference.short(), &reference.namespace]),
    ))
}

/// What is wrong with a schedule (the standard parser of robfig/cron v3, which the CronJob controller uses).
fn fault_of(schedule: &str) -> Option<String> {
    let schedule = schedule.trim();
    if schedule.starts_with("TZ=") || schedule.starts_with("CRON_TZ=") {
        return Some("names a time zone; use spec.timeZone".to_owned());
    }
    if let Some(word) = schedule.strip_prefix('@') {
        let known =
            ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"].contains(&word) || word.starts_with("every ");
        return (!known).then(|| "is not a known shorthand".to_owned());
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != 5 {
        return Some(format!("has {} fields instead of 5", fields.len()));
    }
    const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let ranges = [
        ("minute", 0, 59, &[][..], 0),
        ("hour", 0, 23, &[][..], 0),
        ("day of month", 1, 31, &[][..], 0),
        ("month", 1, 12, MONTHS, 1),
        ("day of week", 0, 6, DAYS, 0),
    ];
    for (field, (name, min, max, words, first)) in fields.iter().zip(ranges) {
        let number = |text: &str| -> Option<u32> {
            let named = words
                .iter()
                .position(|w| *w == text.to_lowercase())
                .and_then(|i| u32::try_from(i).ok());
            named.map(|i| i + first).or_else(|| text.parse().ok())
        };
        for part in field.split(',') {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let in_range = matches!(range, "*" | "?")
                || number(from)
                    .zip(number(to))
                    .is_some_and(|(from, to)| from >= min && to <= max && from <= to);
            if !in_range || step.parse::<u32>().is_ok_and(|s| s == 0) || step.parse::<u32>().is_err() {
                return Some(format!("has a bad {name}: {part}"));
            }
        }
    }
    never_comes(fields[2], fields[3], fields[4]).then(|| "names a day that no such month has, so it never comes".to_owned())
}

/// A day of the month that none of the months has, where the weekday is left open.
fn never_comes(day: &str, months: &str, weekday: &str) -> bool {
    let Ok(day) = day.parse::<u32>() else { return false };
    let months: Option<Vec<u32>> = months.split(',').map(|m| m.parse().ok()).collect();
    let longest = |month: &u32| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    weekday == "*" && months.is_some_and(|months| months.iter().all(|month| day > longest(month)))
}

#[cfg(test)]
mod tests {
    use crate::rules::workload::schedule::fault_of;

    #[test]
    fn schedules_that_never_fire_are_reported() {
        for good in [
            "* * * * *",
            "*/5 0-6,22 1 JAN-MAR mon-fri",
            "0 0 * * 0",
            "@daily",
            "@every 1h",
            "0 0 29 2 *",
            "0 0 31 1,2 *",
            "30 4 1,15 * 5",
        ] {
            assert_eq!(fault_of(good), None, "{good}");
        }
        for bad in [
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "* * * *",
            "60 * * * *",
            "0 24 * * *",
            "TZ=UTC 0 0 * * *",
            "@often",
            "0 0 * * 8",
            "*/0 * * * *",
        ] {
            assert!(fault_of(bad).is_some(), "{bad}");
        }
    }
}
