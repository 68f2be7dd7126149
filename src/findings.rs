//! The table of finding codes: what each one means, how podlife knows, and what to do.
//!
//! `explain`, `docs/findings.md` and the grace periods are made from it. Data only; nothing here looks at a cluster.
//! In commands, words in capitals stand for names that the reader puts in.

mod admission;
mod application;
mod config;
mod container;
mod image;
mod ingress;
mod joins;
mod node;
mod ports;
mod probes;
mod service;
mod workload;

use crate::model::cause::{Cause, ImagePullFailing, InitContainerStuck, QuotaExceeded};
use crate::model::code::Code;
use crate::model::explanation::{ExplainedCause, ExplainedCode, ExplainedJoin, Explanation};
use crate::model::finding::{Fix, Severity};
use crate::model::near;
use crate::model::report::API_VERSION;

/// Faults that are waited for equally long before they count as final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Stays as it is until somebody changes an object.
    Permanent,
    /// An image that cannot be pulled; registries recover.
    Image,
    /// Containers that end.
    Crash,
    /// Room, nodes, volumes: may appear by themselves.
    Scheduling,
    /// Probes and listeners: may be a slow start.
    Probe,
    /// Everything else.
    Other,
}

impl Class {
    /// The word as it is written in options and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Image => "image",
            Self::Crash => "crash",
            Self::Scheduling => "scheduling",
            Self::Probe => "probe",
            Self::Other => "other",
        }
    }
}

/// One step of what to do.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// In words.
    pub text: &'static str,
    /// The command for it.
    pub command: &'static str,
}

/// What is known about a code.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// A few words.
    pub title: &'static str,
    /// The highest severity that it can have.
    pub severity: Severity,
    /// How long it is waited for; see also [`class`].
    pub class: Class,
    /// What kind of object must change.
    pub subject: &'static str,
    /// Words of Kubernetes or of applications that it shows as.
    pub signs: &'static [&'static str],
    /// What it means, how podlife knows, what usually is the reason.
    pub explanation: &'static str,
    /// What to do, in this order.
    pub steps: &'static [Step],
    /// Codes worth reading next.
    pub related: &'static [Code],
}

/// Codes that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// The heading.
    pub title: &'static str,
    /// Its codes.
    pub entries: &'static [Entry],
}

/// Every area; together they hold every code once, in the order of [`Code::ALL`].
pub const AREAS: &[Area] = &[
    ports::AREA,
    probes::AREA,
    service::AREA,
    ingress::AREA,
    admission::AREA,
    image::AREA,
    container::AREA,
    config::AREA,
    node::AREA,
    workload::AREA,
    application::AREA,
];

/// By code; that none is missing, double or out of order is checked when this is compiled.
static TABLE: [&Entry; Code::ALL.len()] = in_order();

const fn in_order() -> [&'static Entry; Code::ALL.len()] {
    let mut table = [&AREAS[0].entries[0]; Code::ALL.len()];
    let mut at = 0;
    let mut area = 0;
    while area < AREAS.len() {
        let entries = AREAS[area].entries;
        let mut entry = 0;
        while entry < entries.len() {
            assert!(
                entries[entry].code as usize == at,
                "a code has no entry, two, or one in another place than in Code::ALL"
            );
            table[at] = &entries[entry];
            at += 1;
            entry += 1;
        }
        area += 1;
    }
    assert!(at == Code::ALL.len(), "the last codes have no entry");
    table
}

/// What is known about a code.
pub fn entry(code: Code) -> &'static Entry {
    TABLE[code as usize]
}

/// How long a finding is waited for: some causes are more final than their code.
pub fn class(cause: Cause) -> Class {
    match cause {
        Cause::ImagePullFailing(ImagePullFailing::NotFound | ImagePullFailing::InvalidName)
        | Cause::QuotaExceeded(QuotaExceeded::MustSpecify)
        | Cause::InitContainerStuck(InitContainerStuck::CommandFails) => Class::Permanent,
        _ => entry(cause.code()).class,
    }
}

/// The explanation of one code, or of every code.
pub fn explanation(only: Option<Code>) -> Explanation {
    let of_area = |area: &'static Area| area.entries.iter().map(|entry| explained(area, entry));
    Explanation {
        api_version: API_VERSION.to_owned(),
        kind: "Explanation".to_owned(),
        codes: AREAS
            .iter()
            .flat_map(of_area)
            .filter(|e| only.is_none_or(|code| code == e.code))
            .collect(),
    }
}

fn explained(area: &Area, entry: &Entry) -> ExplainedCode {
    let cause = |(name, meaning): &(&str, &str)| ExplainedCause {
        name: (*name).to_owned(),
        meaning: (*meaning).to_owned(),
    };
    let step = |step: &Step| Fix {
        text: step.text.to_owned(),
        command: Some(step.command.to_owned()),
    };
    let join = |join: &joins::Join| ExplainedJoin {
        names: join.names.to_owned(),
        with: join.with.to_owned(),
        says: join.says.to_owned(),
    };
    ExplainedCode {
        code: entry.code,
        title: entry.title.to_owned(),
        area: area.title.to_owned(),
        severity: entry.severity,
        class: entry.class.as_str().to_owned(),
        subject: entry.subject.to_owned(),
        signs: entry.signs.iter().map(|sign| (*sign).to_owned()).collect(),
        causes: Cause::of(entry.code).iter().map(cause).collect(),
        explanation: entry.explanation.to_owned(),
        steps: entry.steps.iter().map(step).collect(),
        joins: joins::JOINS
            .iter()
            .filter(|join| join.codes.contains(&entry.code))
            .map(join)
            .collect(),
        related: entry.related.to_vec(),
    }
}

/// The codes that show as a reason of Kubernetes, such as `ImagePullBackOff`.
pub fn shown_as(reason: &str) -> Vec<Code> {
    let shows = |code: &&Code| entry(**code).signs.iter().any(|sign| sign.eq_ignore_ascii_case(reason));
    Code::ALL.iter().filter(shows).copied().collect()
}

/// Codes that somebody may have meant, the likeliest first: misspelt, part of a name, or a reason of Kubernetes such as `CrashLoopBackOff`.
pub fn suggestions(word: &str) -> Vec<Code> {
    let word = word.to_lowercase();
    if word.chars().count() < 3 {
        return Vec::new();
    }
    let mut scored: Vec<(usize, Code)> = Code::ALL.iter().filter_map(|code| Some((distance(&word, *code)?, *code))).collect();
    scored.sort_by_key(|(score, _)| *score);
    scored.into_iter().map(|(_, code)| code).take(5).collect()
}

/// How far a word is from a code: a reason of Kubernetes first, then spelling of either, then a part of the name.
fn distance(word: &str, code: Code) -> Option<usize> {
    let name = code.as_str().to_lowercase();
    let signs: Vec<String> = entry(code).signs.iter().map(|sign| sign.to_lowercase()).collect();
    let misspelt = |known: &String| Some(near::distance(word, known)).filter(|letters| *letters <= 1 + known.len() / 6);
    let spelling = signs.iter().chain([&name]).filter_map(misspelt).min();
    let part = || name.contains(word).then(|| 10 + name.len() - word.len());
    // Of what shows in more than one place, the plain word is meant: `CrashLoopBackOff` before `Init:CrashLoopBackOff`.
    let in_sign = |sign: &String| (word.len() >= 5 && sign.contains(word)).then(|| 100 + sign.len() - word.len());
    let in_signs = || signs.iter().filter_map(in_sign).min();
    spelling.or_else(part).or_else(in_signs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_entry() {
        for code in Code::ALL {
            assert_eq!(entry(*code).code, *code);
        }
    }

    #[test]
    fn entries_say_enough_and_not_too_much() {
        for entry in AREAS.iter().flat_map(|area| area.entries) {
            let code = entry.code;
            assert!(entry.title.len() <= 80 && !entry.title.ends_with('.'), "{code}: title");
            let sentences = entry.explanation.matches(['.', ':', ';']).count();
            assert!(
                (3..=16).contains(&sentences) && entry.explanation.ends_with('.'),
                "{code}: {sentences} sentences"
            );
            assert!(entry.explanation.contains("podlife"), "{code}: how does podlife know?");
            assert!((1..=4).contains(&entry.steps.len()), "{code}: steps");
            assert!(!entry.related.is_empty() && !entry.related.contains(&code), "{code}: related");
            let related: BTreeSet<_> = entry.related.iter().collect();
            assert_eq!(related.len(), entry.related.len(), "{code}: a related code twice");
            for step in entry.steps {
                assert!(step.command.starts_with("kubectl ") && step.text.ends_with('.'), "{code}: {step:?}");
            }
            let causes = Cause::of(code);
            let names: BTreeSet<_> = causes.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), causes.len(), "{code}: a cause twice");
            for (name, meaning) in causes {
                let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
                assert!(plain && !name.is_empty() && meaning.ends_with('.'), "{code}: {name}");
            }
            for text in [entry.title, entry.explanation]
                .into_iter()
                .chain(entry.steps.iter().flat_map(|s| [s.text, s.command]))
            {
                assert!(!text.contains("  ") && text == text.trim(), "{code}: spaces in {text}");
            }
        }
    }

    #[test]
    fn joins_are_whole_sentences_of_known_codes() {
        for join in joins::JOINS {
            assert!(!join.codes.is_empty(), "{join:?}");
            for text in [join.names, join.with, join.says] {
                assert!(text.ends_with('.') && text == text.trim() && text.len() <= 160, "{text}");
            }
        }
    }

    #[test]
    fn advice_is_never_waited_for_as_a_fault() {
        for entry in AREAS.iter().flat_map(|area| area.entries) {
            assert!(entry.severity != Severity::Advice || entry.class == Class::Other, "{}", entry.code);
        }
        assert_eq!(class(ImagePullFailing::NotFound.into()), Class::Permanent);
        assert_eq!(class(ImagePullFailing::Timeout.into()), Class::Image);
    }

    #[test]
    fn reasons_of_the_kubelet_and_the_scheduler_are_known() {
        assert_eq!(shown_as("imagepullbackoff"), [Code::ImagePullFailing]);
        for reason in [
            "ErrImagePull",
            "ErrImageNeverPull",
            "InvalidImageName",
            "CrashLoopBackOff",
            "BackOff",
            "CreateContainerConfigError",
            "CreateContainerError",
            "RunContainerError",
            "OOMKilled",
            "Evicted",
            "Preempted",
            "FailedScheduling",
            "SchedulingGated",
            "Unhealthy",
            "FailedMount",
            "FailedAttachVolume",
            "ProvisioningFailed",
            "FailedCreatePodSandBox",
            "FailedPostStartHook",
            "FailedCreate",
            "BackoffLimitExceeded",
            "DeadlineExceeded",
            "ProgressDeadlineExceeded",
            "NodeNotReady",
            "NodeLost",
            "ContainerStatusUnknown",
            "OutOfcpu",
            "OutOfmemory",
            "NodeAffinity",
            "Terminating",
            "Init:CrashLoopBackOff",
        ] {
            assert!(!shown_as(reason).is_empty(), "{reason}");
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_first() {
        for (word, code) in [
            ("CrashLoopBackOff", Code::ContainerCrashing),
            ("CrashLoop", Code::ContainerCrashing),
            ("Init:CrashLoop", Code::InitContainerFailing),
            ("ImagePull", Code::ImagePullFailing),
            ("OOMKilled", Code::OutOfMemory),
            ("OOMKiled", Code::OutOfMemory),
            ("imagepullbackoff", Code::ImagePullFailing),
            ("FailedScheduling", Code::Unschedulable),
            ("Unschedulabel", Code::Unschedulable),
            ("ListenerOnLopback", Code::ListenerOnLoopback),
            ("ConfigMapKey", Code::ConfigMapKeyMissing),
            ("Evicted", Code::PodEvicted),
            ("PodSecurity", Code::PodSecurityViolated),
        ] {
            assert_eq!(suggestions(word).first(), Some(&code), "{word}: {:?}", suggestions(word));
        }
        assert!(suggestions("zzzzzz").is_empty());
        assert!(suggestions("").is_empty());
    }
}
