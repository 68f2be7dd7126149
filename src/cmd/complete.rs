//! What `kubectl podlife <TAB>` offers.
//!
//! kubectl looks for a program `kubectl_complete-podlife`, calls it with the words typed so far (the last one perhaps
//! empty), and reads cobra's form: one candidate per line, behind a tab its description, and `:N` in the last line.
//! The one binary does it when it is called by that name, or with the hidden verb `__complete`. It must never print
//! anything else, ask anybody anything, or take longer than a person waits.

use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, FromArgMatches as _, ValueHint};

use super::flags::ConnectFlags;
use crate::cluster::{self, ConnectOptions, Connection, ListQuery, no_log};
use crate::gate::doom::Grace;
use crate::io::Environment;
use crate::model::code::Code;
use crate::model::kind::{self, KNOWN, Kind};
use crate::rules::codes;

/// The name by which kubectl calls for completions.
pub const PROGRAM: &str = "kubectl_complete-podlife";
/// The hidden verb for the same.
pub const VERB: &str = "__complete";

/// How long the cluster may take to name things.
const PATIENCE: Duration = Duration::from_secs(2);
/// More than this helps nobody.
const MOST: usize = 500;

/// What the shell does besides; bits of cobra's `ShellCompDirective`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Directive {
    /// Files, where there is no candidate.
    Default = 0,
    /// No space behind the word, no files.
    NoSpace = 2 | 4,
    /// No files.
    NoFiles = 4,
    /// Folders only.
    Folders = 16,
}

struct Offer {
    candidates: Vec<(String, String)>,
    directive: Directive,
}

impl Offer {
    fn none() -> Self {
        Self {
            candidates: Vec::new(),
            directive: Directive::NoFiles,
        }
    }

    fn of(candidates: Vec<(String, String)>) -> Self {
        Self {
            candidates,
            directive: Directive::NoFiles,
        }
    }
}

/// The arguments of a process, with the hidden verb in front where it was called by kubectl's name for completions.
pub fn arguments(program: &str, arguments: Vec<String>) -> Vec<String> {
    let name = Path::new(program)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    match name.strip_suffix(".exe").unwrap_or(&name) == PROGRAM {
        true => std::iter::once(VERB.to_owned()).chain(arguments).collect(),
        false => arguments,
    }
}

/// The candidates for the last of `words`, in cobra's form. Reads namespaces, contexts or names from the cluster where
/// those are asked for; what goes wrong there is nobody's business, and there are simply no candidates.
pub async fn complete(command: &Command, words: &[String], environment: &Environment) -> String {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let offer = offer(command, before, last, environment).await;
    let mut text = String::new();
    for (candidate, about) in offer.candidates.iter().filter(|(name, _)| name.starts_with(last)).take(MOST) {
        text.push_str(candidate);
        if !about.is_empty() {
            text.push('\t');
            text.push_str(about);
        }
        text.push('\n');
    }
    text + &format!(":{}\n", offer.directive as u8)
}

/// What the words before the last one say.
struct Line<'a> {
    verb: &'a Command,
    /// Words that are neither flags nor their values.
    positionals: Vec<&'a str>,
    /// The flag whose value comes next.
    waiting: Option<&'a Arg>,
    /// Behind `--` everything is a positional.
    only_positionals: bool,
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

/// All flags that may stand behind a verb: its own and the global ones.
fn flags<'a>(root: &'a Command, verb: &'a Command) -> impl Iterator<Item = &'a Arg> {
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    let own = verb.get_arguments().filter(|arg| !arg.is_positional());
    let at_root = std::ptr::eq(root, verb);
    own.chain(global.filter(move |_| !at_root)).filter(|arg| !arg.is_hide_set())
}

fn long<'a>(root: &'a Command, verb: &'a Command, name: &str) -> Option<&'a Arg> {
    flags(root, verb).find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name)))
}

fn short<'a>(root: &'a Command, verb: &'a Command, name: char) -> Option<&'a Arg> {
    flags(root, verb).find(|arg| arg.get_short() == Some(name))
}

fn read<'a>(root: &'a Command, before: &'a [String]) -> Line<'a> {
    let mut line = Line {
        verb: root,
        positionals: Vec::new(),
        waiting: None,
        only_positionals: false,
    };
    for word in before {
        if line.waiting.take().is_some() {
            continue;
        }
        if line.only_positionals {
            line.positionals.push(word);
        } else if word == "--" {
            line.only_positionals = true;
        } else if let Some(name) = word.strip_prefix("--") {
            if !name.contains('=') {
                line.waiting = long(root, line.verb, name).filter(|arg| takes_value(arg));
            }
        } else if word.len() > 1 && word.starts_with('-') {
            // Of `-wn` the last letter may wait for its value; in `-nshop` the value is there.
            let mut letters = word.chars().skip(1);
            while let Some(letter) = letters.next() {
                let Some(arg) = short(root, line.verb, letter).filter(|arg| takes_value(arg)) else {
                    continue;
                };
                line.waiting = letters.next().is_none().then_some(arg);
                break;
            }
        } else if line.positionals.is_empty()
            && let Some(verb) = line.verb.find_subcommand(word)
        {
            line.verb = verb;
        } else {
            line.positionals.push(word);
        }
    }
    line
}

async fn offer(root: &Command, before: &[String], last: &str, environment: &Environment) -> Offer {
    let line = read(root, before);
    if let Some(arg) = line.waiting {
        return values(root, arg, "", before, environment).await;
    }
    if !line.only_positionals && last.starts_with('-') {
        if let Some((flag, _)) = last.split_once('=') {
            let arg = flag.strip_prefix("--").and_then(|name| long(root, line.verb, name));
            return match arg {
                Some(arg) => values(root, arg, &format!("{flag}="), before, environment).await,
                None => Offer::none(),
            };
        }
        return Offer::of(flag_names(root, line.verb));
    }
    if line.verb.has_subcommands() {
        let verbs = line.verb.get_subcommands().filter(|verb| !verb.is_hide_set());
        return Offer::of(verbs.map(|verb| (verb.get_name().to_owned(), about(verb.get_about()))).collect());
    }
    positional(root, &line, last, before, environment).await
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string)
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn flag_names(root: &Command, verb: &Command) -> Vec<(String, String)> {
    let mut names = Vec::new();
    for arg in flags(root, verb) {
        if let Some(long) = arg.get_long() {
            names.push((format!("--{long}"), about(arg.get_help())));
        }
        if let Some(short) = arg.get_short() {
            names.push((format!("-{short}"), about(arg.get_help())));
        }
    }
    names.sort();
    names.dedup();
    names
}

async fn values(root: &Command, arg: &Arg, prefix: &str, before: &[String], environment: &Environment) -> Offer {
    let possible = arg.get_possible_values();
    let named = |names: Vec<String>| names.into_iter().map(|name| (format!("{prefix}{name}"), String::new())).collect();
    if !possible.is_empty() {
        let visible = possible.iter().filter(|value| !value.is_hide_set());
        let candidates = visible.map(|value| (format!("{prefix}{}", value.get_name()), about(value.get_help())));
        return Offer::of(candidates.collect());
    }
    match arg.get_long() {
        Some("namespace") => Offer::of(named(names(&kind::NAMESPACE, root, before, environment).await)),
        Some("output") => {
            let formats = ["text", "wide", "json", "yaml", "name", "jsonpath="];
            Offer::of(named(formats.map(str::to_owned).to_vec()))
        }
        Some("ignore") => Offer::of(named(Code::ALL.iter().map(|code| code.as_str().to_owned()).collect())),
        // A duration follows.
        Some("grace") => Offer {
            candidates: named(Grace::CLASSES.iter().map(|class| format!("{class}=")).collect()),
            directive: Directive::NoSpace,
        },
        Some("context") => Offer::of(named(in_kubeconfig(root, before, environment).contexts)),
        Some("cluster") => Offer::of(named(in_kubeconfig(root, before, environment).clusters)),
        Some("user") => Offer::of(named(in_kubeconfig(root, before, environment).users)),
        _ => match arg.get_value_hint() {
            ValueHint::FilePath | ValueHint::AnyPath => Offer {
                candidates: Vec::new(),
                directive: Directive::Default,
            },
            ValueHint::DirPath => Offer {
                candidates: Vec::new(),
                directive: Directive::Folders,
            },
            _ => Offer::none(),
        },
    }
}

/// `TYPE/NAME`, `TYPE NAME` and a bare pod, for verbs that take targets; the possible values for others.
async fn positional(root: &Command, line: &Line<'_>, last: &str, before: &[String], environment: &Environment) -> Offer {
    let Some(arg) = line.verb.get_positionals().next() else {
        return Offer::none();
    };
    if !arg.get_possible_values().is_empty() {
        return match line.positionals.is_empty() {
            true => values(root, arg, "", before, environment).await,
            false => Offer::none(),
        };
    }
    if arg.get_id() == "code" {
        return match line.positionals.is_empty() {
            true => codes(),
            false => Offer::none(),
        };
    }
    if !arg.get_id().as_str().to_lowercase().contains("target") {
        return Offer::none();
    }
    if let Some((name, _)) = last.split_once('/') {
        let Some(kind) = kind::named(name) else { return Offer::none() };
        let found = names(kind, root, before, environment).await;
        return Offer::of(found.into_iter().map(|found| (format!("{name}/{found}"), String::new())).collect());
    }
    match line.positionals.first() {
        Some(first) if first.contains('/') => types(),
        Some(first) => match kind::named(first) {
            Some(kind) => Offer::of(plain(names(kind, root, before, environment).await)),
            None => Offer::none(),
        },
        None => {
            let mut offer = types();
            // Pods are meant where no type is said; they are asked for only once no type fits any more.
            if !offer.candidates.iter().any(|(name, _)| name.starts_with(last)) {
                offer = Offer::of(plain(names(&kind::POD, root, before, environment).await));
            }
            offer
        }
    }
}

/// The codes of findings with their titles.
fn codes() -> Offer {
    let entries = codes::explanation(None).codes.into_iter();
    Offer::of(entries.map(|entry| (entry.code.to_string(), entry.title)).collect())
}

fn plain(names: Vec<String>) -> Vec<(String, String)> {
    names.into_iter().map(|name| (name, String::new())).collect()
}

/// The types a person asks about, with a slash that a name can follow.
fn types() -> Offer {
    let mut candidates: Vec<_> = KNOWN
        .iter()
        .map(|(kind, short)| (format!("{}/", kind.singular()), short.join(", ")))
        .collect();
    candidates.sort();
    Offer {
        candidates,
        directive: Directive::NoSpace,
    }
}

/// The connection flags among the words, however incomplete the rest is.
fn options(root: &Command, before: &[String]) -> ConnectOptions {
    let mut kept = vec!["podlife".to_owned()];
    let mut words = before.iter();
    while let Some(word) = words.next() {
        let arg = match word.strip_prefix("--") {
            Some(name) => long(root, root, name.split('=').next().unwrap_or_default()),
            None => word.strip_prefix('-').and_then(|rest| short(root, root, rest.chars().next()?)),
        };
        let Some(arg) = arg.filter(|arg| arg.is_global_set()) else {
            continue;
        };
        kept.push(word.clone());
        let complete = word.contains('=') || (!word.starts_with("--") && word.chars().count() > 2);
        if takes_value(arg) && !complete {
            kept.extend(words.next().cloned());
        }
    }
    let parser = <ConnectFlags as clap::Args>::augment_args(Command::new("podlife"));
    let flags = parser
        .try_get_matches_from(kept)
        .ok()
        .and_then(|matches| ConnectFlags::from_arg_matches(&matches).ok())
        .unwrap_or_default();
    ConnectOptions {
        request_timeout: Some(PATIENCE),
        verbosity: 0,
        ..flags.complete(false)
    }
}

fn in_kubeconfig(root: &Command, before: &[String], environment: &Environment) -> cluster::Names {
    cluster::names(&options(root, before), environment).unwrap_or_default()
}

async fn names(kind: &Kind, root: &Command, before: &[String], environment: &Environment) -> Vec<String> {
    let options = options(root, before);
    let read = async {
        let connection = Connection::open(&options, environment, no_log()).await.ok()?;
        let query = ListQuery {
            metadata_only: true,
            ..ListQuery::default()
        };
        let namespace = kind.namespaced.then(|| connection.default_namespace().to_owned());
        let list = connection.list(kind, namespace.as_deref(), &query).await.ok()?;
        let name = |item: &serde_json::Value| item["metadata"]["name"].as_str().map(str::to_owned);
        Some(list.items.iter().filter_map(name).collect::<Vec<_>>())
    };
    // The pages of a long list have a time limit each; together they have this one.
    let mut names = tokio::time::timeout(PATIENCE, read).await.ok().flatten().unwrap_or_default();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    #[command(name = "kubectl-podlife")]
    struct Cli {
        #[command(flatten)]
        connect: ConnectFlags,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(clap::Subcommand)]
    enum Verb {
        /// Say why
        Diagnose {
            targets: Vec<String>,
            #[arg(short, long)]
            watch: bool,
            #[arg(short, long)]
            output: Option<String>,
            #[arg(short, long, value_hint = ValueHint::FilePath)]
            filename: Option<String>,
        },
        Completion(super::super::completion::CompletionArgs),
        #[command(hide = true)]
        Secret,
    }

    fn complete_words(words: &[&str]) -> String {
        use clap::CommandFactory as _;
        let mut command = Cli::command();
        command.build();
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(complete(&command, &words, &Environment::default()))
    }

    #[test]
    fn verbs_flags_and_values_are_offered() {
        assert_eq!(complete_words(&["dia"]), "diagnose\tSay why\n:4\n");
        assert!(!complete_words(&[""]).contains("Secret") && !complete_words(&[""]).contains("secret"));
        assert_eq!(complete_words(&["completion", "z"]), "zsh\tzsh\n:4\n");
        assert!(complete_words(&["diagnose", "--wat"]).starts_with("--watch\n"));
        assert!(complete_words(&["diagnose", "--name"]).starts_with("--namespace\tIf present"));
        assert_eq!(complete_words(&["diagnose", "-o", "j"]), "json\njsonpath=\n:4\n");
        assert_eq!(complete_words(&["diagnose", "--output=y"]), "--output=yaml\n:4\n");
        assert_eq!(complete_words(&["diagnose", "-f", ""]), ":0\n");
        assert_eq!(complete_words(&["diagnose", "--cache-dir", ""]), ":16\n");
    }

    #[test]
    fn types_come_with_a_slash() {
        assert_eq!(complete_words(&["diagnose", "deplo"]), "deployment/\tdeploy\n:6\n");
        assert_eq!(complete_words(&["diagnose", "-w", "-n", "a", "deplo"]), "deployment/\tdeploy\n:6\n");
        assert_eq!(complete_words(&["-nshop", "diagnose", "--", "deplo"]), "deployment/\tdeploy\n:6\n");
    }

    #[test]
    fn without_a_cluster_there_is_silence() {
        assert_eq!(complete_words(&["diagnose", "deployment/"]), ":4\n");
        assert_eq!(complete_words(&["diagnose", "-n", ""]), ":4\n");
        assert_eq!(complete_words(&["diagnose", "pods", ""]), ":4\n");
        assert_eq!(complete_words(&["--context", "x"]), ":4\n");
    }

    #[test]
    fn kubectls_name_for_it_is_recognised() {
        let given = || vec!["diagnose".to_owned(), String::new()];
        for program in [
            "/usr/bin/kubectl_complete-podlife",
            "kubectl_complete-podlife",
            "kubectl_complete-podlife.exe",
        ] {
            assert_eq!(arguments(program, given()), [VERB, "diagnose", ""]);
        }
        assert_eq!(arguments("kubectl-podlife", given()), given());
    }
}
