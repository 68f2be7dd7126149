//! The file of `drill suite`: each of its drills becomes the arguments of `drill run`, by the same parser.

use clap::{Args as _, Command, FromArgMatches as _};

use crate::cmd::drill::run::check;
use crate::cmd::drill::run_args::RunArgs;
use crate::cmd::targets;
use crate::drill::fault::Fault;
use crate::drill::suite::{Entry, Setting, parse};
use crate::exit::Failure;
use crate::model::drill_suite::Priority;
use crate::observe::targets::Wanted;

/// Options of `drill run` that belong on the command line of the suite.
const OF_THE_SUITE: [&str; 5] = ["dry-run", "i-know-this-is-production", "output", "report", "samples"];

/// A suite that can be made.
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) cool_down: std::time::Duration,
    pub(super) dependants: Vec<Wanted>,
    pub(super) drills: Vec<Drill>,
}

/// One drill of it.
pub(super) struct Drill {
    pub(super) name: String,
    pub(super) priority: Priority,
    pub(super) args: RunArgs,
    pub(super) wanted: Vec<Wanted>,
    pub(super) from: Option<Wanted>,
}

fn command() -> Command {
    RunArgs::augment_args(Command::new("drill").no_binary_name(true).disable_help_flag(true))
}

/// Reads a suite; the error says the line.
pub(super) fn read(text: &str) -> Result<Suite, String> {
    let command = command();
    let known: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|name| !OF_THE_SUITE.contains(name))
        .map(str::to_owned)
        .collect();
    let suite = parse(text, &known)?;
    let drills = suite.drills.into_iter().map(|entry| drill(&command, entry));
    Ok(Suite {
        name: suite.name,
        cool_down: suite.cool_down,
        dependants: targets::parse(&suite.dependants).map_err(|failure| failure.message)?,
        drills: drills.collect::<Result<_, _>>()?,
    })
}

fn drill(command: &Command, entry: Entry) -> Result<Drill, String> {
    // What heals by itself is not held, whatever the defaults say.
    let heals = Fault::ALL
        .iter()
        .any(|fault| fault.heals_by_itself() && entry.words.first().is_some_and(|word| word == fault.name()));
    let fits = |option: &&Setting| !(heals && option.is_default && option.name == "duration");
    let options = entry.options.iter().filter(fits).flat_map(|option| option.words());
    let words = options.chain(["--".to_owned()]).chain(entry.words.iter().cloned());
    let parsed = command.clone().try_get_matches_from(words);
    let args = parsed.and_then(|matches| RunArgs::from_arg_matches(&matches)).map_err(|error| {
        let message = error.to_string();
        let told: Vec<&str> = message.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let told = told.join(" ");
        let is_named = |option: &&Setting| told.contains(&format!("--{}", option.name));
        let line = entry.options.iter().find(is_named).map_or(entry.line, |option| option.line);
        format!("line {line}: {}", told.strip_prefix("error: ").unwrap_or(&told))
    })?;
    let wrong = |failure: Failure| format!("line {}: {}", entry.line, failure.message);
    check(&args).map_err(wrong)?;
    let wanted = targets::parse(&args.fault.targets).map_err(wrong)?;
    let from = targets::parse(args.fault.from.as_slice()).map_err(wrong)?.into_iter().next();
    if !wanted.iter().all(|one| matches!(one, Wanted::Named(..))) {
        let why = "name each workload as TYPE/NAME, for example deployment/api";
        return Err(format!("line {}: {why}", entry.line));
    }
    Ok(Drill {
        name: entry.name,
        priority: entry.priority,
        wanted,
        from,
        args,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_drill(options: &str) -> Result<Suite, String> {
        read(&format!(
            "apiVersion: podlife/v1\nkind: DrillSuite\nname: shop\ndrills:\n- fault: scale\n  workloads: deployment/api\n{options}"
        ))
    }

    #[test]
    fn a_drill_has_the_options_of_run() {
        let suite =
            read_drill("  to: 1\n  duration: 5s\n  target: http://web/\n  max-downtime: 2s\n  allow: [degraded, gitops]\n").unwrap();
        let request = suite.drills[0].args.fault.request().unwrap();
        assert_eq!((request.to, request.hold.as_secs(), request.allow.len()), (1, 5, 2));
        let limits = suite.drills[0].args.limits(true);
        assert_eq!(limits.downtime.map(|most| most.as_secs()), Some(2));
    }

    #[test]
    fn a_default_duration_is_for_faults_that_are_held() {
        let drills = "drills:\n- {fault: [pod-delete, scale-zero], workloads: deployment/api}\n";
        let file = |defaults: &str| read(&format!("apiVersion: podlife/v1\nkind: DrillSuite\nname: shop\n{defaults}{drills}"));
        let suite = file("defaults: {duration: 5s}\n").ok().unwrap();
        let held = suite.drills.iter().map(|drill| drill.args.fault.request().unwrap().hold.as_secs());
        assert_eq!(held.collect::<Vec<_>>(), [0, 5]);
        let own = drills.replace("deployment/api}", "deployment/api, duration: 5s}");
        let own = format!("apiVersion: podlife/v1\nkind: DrillSuite\nname: shop\n{own}");
        assert!(read(&own).err().unwrap().contains("pod-delete heals by itself"));
    }

    #[test]
    fn what_the_documentation_shows_is_a_suite() {
        let document = include_str!("../../../docs/drill.md");
        let shown = document
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .unwrap();
        assert_eq!(read(shown).ok().unwrap().drills.len(), 4);
        let example = include_str!("../../../examples/drills/shop.yaml");
        assert_eq!(read(example).ok().unwrap().drills.len(), 8);
    }

    #[test]
    fn what_run_would_refuse_is_said_with_its_line() {
        for (options, said) in [
            ("  to: 1\n  duration: soon\n", "line 8: invalid value 'soon' for '--duration"),
            ("  to: -1\n", "line 7: invalid value '-1' for '--to"),
            ("", "line 5: scale needs --to N"),
            (
                "  to: 1\n  count: 2\n",
                "line 5: --count, --percent and --all cannot be used with scale",
            ),
            ("  to: 1\n  target: nonsense\n", "line 5: "),
            ("  to: 1\n  max-downtime: 1s\n", "line 5: "),
            ("  to: 1\n  dry-run: true\n", "line 8: unknown key dry-run"),
            (
                "  to: 1\n  i-know-this-is-production: shop\n",
                "line 8: unknown key i-know-this-is-production",
            ),
            (
                "  to: 1\n- {fault: nonsense, workloads: deployment/api}\n",
                "line 8: invalid value 'nonsense' for '<FAULT>'",
            ),
            ("  to: 1\n- {fault: evict, workloads: api}\n", "line 8: "),
        ] {
            let error = read_drill(options).err().unwrap();
            assert!(error.starts_with(said), "{options}\n{error}");
        }
    }
}
