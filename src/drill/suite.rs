//! The file of a suite: workloads × faults, each with the options of `drill run`. Options are read by the command line's own parser; here they are
//! words with the line that they stand on.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::model::drill_suite::Priority;
use crate::model::{duration, near};

/// Keys of a drill that are no options of `drill run`.
const OWN: [&str; 4] = ["name", "priority", "fault", "workloads"];

/// A suite, as its file says it.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: String,
    /// How long nothing is done between two drills.
    pub(crate) cool_down: Duration,
    /// Workloads that no drill is about, and that have to be at their goal before each of them.
    pub(crate) dependants: Vec<String>,
    pub(crate) drills: Vec<Entry>,
}

/// One drill.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) priority: Priority,
    /// The line that it begins on.
    pub(crate) line: u64,
    /// Its fault and its workloads, as on the command line.
    pub(crate) words: Vec<String>,
    pub(crate) options: Vec<Setting>,
}

/// An option of `drill run`.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Without its dashes.
    pub(crate) name: String,
    pub(crate) line: u64,
    /// Whether it is one of the file's defaults, which may not fit every fault.
    pub(crate) is_default: bool,
    value: Value,
}

impl Setting {
    /// The option as on a command line; none for one that is switched off.
    pub(crate) fn words(&self) -> Vec<String> {
        let flag = format!("--{}", self.name);
        match &self.value {
            Value::Bool(true) => vec![flag],
            Value::Bool(false) => Vec::new(),
            Value::Array(values) => values.iter().map(|value| format!("{flag}={}", plain(value))).collect(),
            value => vec![format!("{flag}={}", plain(value))],
        }
    }
}

/// A value as a word: text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(rename = "apiVersion")]
    api_version: Spanned<String>,
    kind: Spanned<String>,
    name: String,
    cool_down: Option<Spanned<Value>>,
    #[serde(default)]
    dependants: Vec<String>,
    #[serde(default)]
    defaults: Keys,
    drills: Vec<Spanned<Keys>>,
}

/// Keys and values in the order of the file.
#[derive(Default)]
struct Keys(Vec<(Spanned<String>, Value)>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("options by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    keys.push(entry);
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// An error with the line that it is about.
fn at(line: u64, why: impl fmt::Display) -> String {
    format!("line {line}: {why}")
}

impl Keys {
    /// The value of a key, with its line.
    fn get(&self, name: &str) -> Option<(u64, &Value)> {
        let found = self.0.iter().find(|(key, _)| key.value == name);
        found.map(|(key, value)| (key.referenced.line(), value))
    }

    /// Every key but those of the file itself; the error names one that is not known.
    fn options(&self, known: &[String], own: &[&str]) -> Result<Vec<Setting>, String> {
        let mut options = Vec::new();
        for (key, value) in self.0.iter().filter(|(key, _)| !own.contains(&key.value.as_str())) {
            let (name, line) = (&key.value, key.referenced.line());
            if !known.contains(name) {
                let nearest = near::nearest(name, known.iter().map(String::as_str).chain(own.iter().copied()));
                let meant = nearest.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                return Err(at(line, format!("unknown key {name}{meant}")));
            }
            if matches!(value, Value::Null | Value::Object(_)) {
                return Err(at(line, format!("{name} needs a value, or a list of values")));
            }
            options.push(Setting {
                name: name.clone(),
                line,
                is_default: false,
                value: value.clone(),
            });
        }
        Ok(options)
    }
}

/// One name, or a list of them.
fn names(line: u64, key: &str, value: &Value) -> Result<Vec<String>, String> {
    let all: Option<Vec<String>> = match value {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    all.filter(|all| !all.is_empty())
        .ok_or_else(|| at(line, format!("{key} needs a name, or a list of names")))
}

/// Reads a suite. `known` are the options that its drills may have; the error says the line.
pub(crate) fn parse(text: &str, known: &[String]) -> Result<Suite, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        // It says the line once more.
        let why = error.without_snippet().to_string();
        at(line, why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why))
    })?;
    for (found, wanted) in [(&file.api_version, "podlife/v1"), (&file.kind, "DrillSuite")] {
        if found.value != wanted {
            return Err(at(found.referenced.line(), format!("expected {wanted}, not {}", found.value)));
        }
    }
    let cool_down = match &file.cool_down {
        Some(spanned) => duration::parse(&plain(&spanned.value)).map_err(|why| at(spanned.referenced.line(), why))?,
        None => Duration::ZERO,
    };
    let mut defaults = file.defaults.options(known, &[])?;
    defaults.iter_mut().for_each(|setting| setting.is_default = true);
    let mut drills: Vec<Entry> = Vec::new();
    for spanned in &file.drills {
        drills.extend(entries(&spanned.value, spanned.referenced.line(), &defaults, known)?);
    }
    let is_taken = |at: usize, name: &str| drills[..at].iter().any(|other| other.name == name);
    if let Some((_, twice)) = drills.iter().enumerate().find(|(at, drill)| is_taken(*at, &drill.name)) {
        return Err(at(twice.line, format!("another drill has the name {}", twice.name)));
    }
    if drills.is_empty() {
        return Err(at(1, "it has no drills"));
    }
    Ok(Suite {
        name: file.name,
        cool_down,
        dependants: file.dependants,
        drills,
    })
}

/// The drills of one entry: each of its faults on each of its workloads; a list among the workloads is of several at once.
fn entries(keys: &Keys, line: u64, defaults: &[Setting], known: &[String]) -> Result<Vec<Entry>, String> {
    let needed = |key: &str| keys.get(key).ok_or_else(|| at(line, format!("the drill has no {key}")));
    let (fault_line, faults) = needed("fault")?;
    let faults = names(fault_line, "fault", faults)?;
    let (at_line, workloads) = needed("workloads")?;
    let workloads: Vec<Vec<String>> = match workloads {
        Value::Array(all) if !all.is_empty() => all.iter().map(|one| names(at_line, "workloads", one)).collect::<Result<_, _>>()?,
        one => vec![names(at_line, "workloads", one)?],
    };
    let priority = match keys.get("priority") {
        Some((line, value)) => serde_json::from_value(value.clone())
            .map_err(|_| at(line, format!("priority is one of P0, P1, P2 and P3, not {}", plain(value))))?,
        None => Priority::P1,
    };
    let name = keys.get("name").map(|(line, value)| {
        let name = value.as_str().filter(|name| !name.is_empty());
        name.ok_or_else(|| at(line, "name needs a text"))
    });
    let name = name.transpose()?;
    let own = keys.options(known, &OWN)?;
    let is_default = |setting: &&Setting| !own.iter().any(|own| own.name == setting.name);
    let options: Vec<Setting> = defaults.iter().filter(is_default).chain(&own).cloned().collect();
    let is_alone = faults.len() * workloads.len() == 1;
    let entry = |fault: &String, workloads: &Vec<String>| {
        let words: Vec<String> = std::iter::once(fault).chain(workloads).cloned().collect();
        Entry {
            name: match name {
                Some(name) if is_alone => name.to_owned(),
                Some(name) => format!("{name}: {}", words.join(" ")),
                None => words.join(" "),
            },
            priority,
            line,
            words,
            options: options.clone(),
        }
    };
    Ok(faults
        .iter()
        .flat_map(|fault| workloads.iter().map(|workloads| entry(fault, workloads)).collect::<Vec<_>>())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: podlife/v1\nkind: DrillSuite\nname: shop\n";

    fn read(rest: &str) -> Result<Suite, String> {
        let known = ["count", "all", "allow", "max-downtime", "timeout"].map(str::to_owned);
        parse(&format!("{HEAD}{rest}"), &known)
    }

    fn words(entry: &Entry) -> String {
        let options = entry.options.iter().flat_map(Setting::words);
        entry.words.iter().cloned().chain(options).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_fault_meets_each_workload() {
        let suite = read(
            "cool-down: 5s\ndependants: [deployment/web]\ndefaults: {timeout: 2m, all: true}\ndrills:\n\
             - fault: [pod-delete, evict]\n  workloads: [deployment/api, [statefulset/db, statefulset/queue]]\n  priority: P0\n  count: 2\n  all: false\n\
             - {name: gone, fault: scale-zero, workloads: deployment/api, allow: [degraded, gitops], timeout: 30}\n",
        )
        .unwrap();
        let drills: Vec<String> = suite.drills.iter().map(words).collect();
        assert_eq!(
            drills,
            [
                "pod-delete deployment/api --timeout=2m --count=2",
                "pod-delete statefulset/db statefulset/queue --timeout=2m --count=2",
                "evict deployment/api --timeout=2m --count=2",
                "evict statefulset/db statefulset/queue --timeout=2m --count=2",
                "scale-zero deployment/api --all --allow=degraded --allow=gitops --timeout=30",
            ]
        );
        let last = &suite.drills[4];
        assert_eq!((last.name.as_str(), last.priority, last.line), ("gone", Priority::P1, 13));
        assert_eq!((suite.cool_down, suite.drills[0].priority), (Duration::from_secs(5), Priority::P0));
        assert_eq!(suite.drills[1].name, "pod-delete statefulset/db statefulset/queue");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        const DRILL: &str = "drills:\n- fault: evict\n  workloads: deployment/api\n";
        for (rest, said) in [
            ("cooldown: 5s\ndrills: []\n", "line 4: "),
            ("drills: []\n", "line 1: it has no drills"),
            (
                &format!("{DRILL}  max-downtme: 1s\n"),
                "line 7: unknown key max-downtme; did you mean max-downtime?",
            ),
            (
                &format!("{DRILL}  prioritty: P0\n"),
                "line 7: unknown key prioritty; did you mean priority?",
            ),
            (
                &format!("{DRILL}  priority: P9\n"),
                "line 7: priority is one of P0, P1, P2 and P3, not P9",
            ),
            (&format!("{DRILL}  count: {{a: 1}}\n"), "line 7: count needs a value"),
            (
                &format!("defaults:\n  cuont: 1\n{DRILL}"),
                "line 5: unknown key cuont; did you mean count?",
            ),
            (&format!("cool-down: soon\n{DRILL}"), "line 4: \"soon\" is not a duration"),
            ("drills:\n- workloads: deployment/api\n", "line 5: the drill has no fault"),
            (
                "drills:\n- fault: evict\n  workloads: []\n",
                "workloads needs a name, or a list of names",
            ),
            (
                &format!("{DRILL}- fault: evict\n  workloads: deployment/api\n"),
                "line 7: another drill has the name evict deployment/api",
            ),
            (&format!("{DRILL}  count: 1\n  count: 2\n"), "line 8: "),
        ] {
            let error = read(rest).unwrap_err();
            assert!(error.contains(said), "{rest}\n{error}");
        }
        assert!(
            parse("apiVersion: v1\nkind: DrillSuite\nname: a\ndrills: []\n", &[])
                .unwrap_err()
                .starts_with("line 1: expected podlife/v1")
        );
    }
}
