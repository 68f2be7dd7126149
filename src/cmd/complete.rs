//! What `kubectl podlife <TAB>` offers.
//!
//! kubectl runs `kubectl_complete-podlife` with the words typed so far (the last one may be empty) and reads cobra's format: one candidate per
//! line, a tab before its description, and `:N` in the last line. The binary does this under that name, and with the hidden verb `__complete`.
//! It prints nothing else and never waits longer than a person does.

mod containers;
mod ports;
mod valid;

use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, FromArgMatches as _, ValueHint};

use crate::cluster::{ConnectOptions, Connection, ListQuery, no_log};
use crate::cmd::flags::ConnectFlags;
use crate::io::Environment;
use crate::model::code::Code;
use crate::model::kind;
use crate::model::kind::{KNOWN, Kind};
use crate::readiness::failfast::Grace;
use crate::{cluster, findings};

/// The name by which kubectl calls for completions.
pub const PROGRAM: &str = "kubectl_complete-podlife";
/// The hidden verb for the same.
pub const VERB: &str = "__complete";

/// How long the cluster may take to name things.
const PATIENCE: Duration = Duration::from_secs(2);
/// More candidates than this do not help.
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

/// Candidates with their descriptions.
type Candidates = Vec<(String, String)>;
type Offer = (Candidates, Directive);

fn none() -> Offer {
    (Vec::new(), Directive::NoFiles)
}

/// The arguments of a process, with the hidden verb in front where it was called by kubectl's name for completions.
pub fn arguments(program: &str, arguments: Vec<String>) -> Vec<String> {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    match name.strip_suffix(".exe").unwrap_or(&name) == PROGRAM {
        true => std::iter::once(VERB.to_owned()).chain(arguments).collect(),
        false => arguments,
    }
}

/// The candidates for the last of `words`, in cobra's format. Namespaces, contexts and names of objects are read from the cluster; an error
/// there means no candidates.
pub async fn complete(command: &Command, words: &[String], environment: &Environment) -> String {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (mut candidates, mut directive) = offer(command, before, last, environment).await;
    candidates.retain(|(name, _)| name.starts_with(last));
    // `jsonpath=`: a template follows.
    if !candidates.is_empty() && candidates.iter().all(|(name, _)| name.ends_with('=')) {
        directive = Directive::NoSpace;
    }
    let mut text = String::new();
    for (candidate, about) in candidates.iter().take(MOST) {
        let separator = if about.is_empty() { "" } else { "\t" };
        text += &format!("{candidate}{separator}{about}\n");
    }
    text + &format!(":{}\n", directive as u8)
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

/// All flags of a verb: its own and the global ones.
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
                None => none(),
            };
        }
        return (flag_names(root, line.verb), Directive::NoFiles);
    }
    if line.verb.has_subcommands() {
        let verbs = line.verb.get_subcommands().filter(|verb| !verb.is_hide_set());
        let candidates = verbs.map(|verb| (verb.get_name().to_owned(), about(verb.get_about())));
        return (candidates.collect(), Directive::NoFiles);
    }
    positional(root, &line, last, before, environment).await
}

/// The first line of a help text.
fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn flag_names(root: &Command, verb: &Command) -> Candidates {
    let mut names = Vec::new();
    for arg in flags(root, verb) {
        let written = [
            arg.get_long().map(|long| format!("--{long}")),
            arg.get_short().map(|short| format!("-{short}")),
        ];
        names.extend(written.into_iter().flatten().map(|name| (name, about(arg.get_help()))));
    }
    names.sort();
    names.dedup();
    names
}

/// The values of a flag or a positional argument; `prefix` is what the shell has already in the same word.
async fn values(root: &Command, arg: &Arg, prefix: &str, before: &[String], environment: &Environment) -> Offer {
    let possible = arg.get_possible_values();
    let candidates: Candidates = if possible.is_empty() {
        let named = |names: Vec<String>| names.into_iter().map(|name| (name, String::new())).collect();
        let in_kubeconfig = || cluster::names(&options(root, before), environment).unwrap_or_default();
        match arg.get_long() {
            Some("namespace") => named(names(&kind::NAMESPACE, root, before, environment).await),
            Some("output") => named(valid::of(root, read(root, before).verb, arg, valid::OUTPUTS)),
            Some("via") => named(valid::of(root, read(root, before).verb, arg, valid::PATHS)),
            Some("container") => named(containers::names(&options(root, before), &read(root, before).positionals, environment).await),
            Some("ignore") => named(Code::ALL.iter().map(|code| code.as_str().to_owned()).collect()),
            Some("grace") => named(Grace::CLASSES.iter().map(|class| format!("{class}=")).collect()),
            Some("context") => named(in_kubeconfig().contexts),
            Some("cluster") => named(in_kubeconfig().clusters),
            Some("user") => named(in_kubeconfig().users),
            _ if arg.get_id() == "code" => codes(),
            _ => Vec::new(),
        }
    } else {
        let visible = possible.iter().filter(|value| !value.is_hide_set());
        visible
            .map(|value| (value.get_name().to_owned(), about(value.get_help())))
            .collect()
    };
    let directive = match arg.get_value_hint() {
        ValueHint::FilePath | ValueHint::AnyPath => Directive::Default,
        ValueHint::DirPath => Directive::Folders,
        _ => Directive::NoFiles,
    };
    let candidates = candidates.into_iter().map(|(name, about)| (format!("{prefix}{name}"), about));
    (candidates.collect(), directive)
}

/// `TYPE/NAME`, `TYPE NAME` and a bare pod, for verbs that take targets; the possible values for others.
async fn positional(root: &Command, line: &Line<'_>, last: &str, before: &[String], environment: &Environment) -> Offer {
    let Some(arg) = line.verb.get_positionals().next() else {
        return none();
    };
    if arg.get_value_hint() == ValueHint::FilePath {
        return values(root, arg, "", before, environment).await;
    }
    if arg.get_id() == "code" || !arg.get_possible_values().is_empty() {
        return match line.positionals.is_empty() {
            true => values(root, arg, "", before, environment).await,
            false => none(),
        };
    }
    // FROM and TO of trace take one word each.
    let typed = line.positionals.len();
    let (kinds, typed_kind): (Vec<Kind>, _) = match arg.get_id().as_str() {
        "targets" => (KNOWN.iter().map(|(kind, _)| kind.clone()).collect(), line.positionals.first()),
        "from" if typed == 0 => (kind::RUN_PODS.to_vec(), None),
        "from" if typed == 1 => ([&kind::RUN_PODS[..], &[kind::SERVICE]].concat(), None),
        _ => return none(),
    };
    let types = types(&kinds);
    let (kind, prefix) = match (last.split_once('/'), typed_kind) {
        (Some((name, _)), _) => (kind::named(name), format!("{name}/")),
        (None, Some(first)) if !first.contains('/') => (kind::named(first), String::new()),
        // Without a type a pod is meant, and a Service where a connection ends; names are read only if no type fits.
        (None, None) if !types.iter().any(|(name, _)| name.starts_with(last)) => {
            let is_destination = arg.get_id() == "from" && typed == 1;
            (kind::named(if is_destination { "service" } else { "pod" }), String::new())
        }
        _ => return (types, Directive::NoSpace),
    };
    let Some(kind) = kind else { return none() };
    if let Some((service, _)) = last.split_once(':').filter(|_| typed == 1 && *kind == kind::SERVICE) {
        let name = service.split_once('/').map_or(service, |(_, name)| name);
        let ports = ports::of_service(&options(root, before), name, environment).await;
        let candidates = ports.into_iter().map(|(port, about)| (format!("{service}:{port}"), about));
        return (candidates.collect(), Directive::NoFiles);
    }
    let found = names(kind, root, before, environment).await;
    let candidates = found.into_iter().map(|name| (format!("{prefix}{name}"), String::new()));
    (candidates.collect(), Directive::NoFiles)
}

/// The codes of findings with their titles.
fn codes() -> Candidates {
    let entries = findings::explanation(None).codes.into_iter();
    entries.map(|entry| (entry.code.to_string(), entry.title)).collect()
}

/// Resource types, each with a slash before the name.
fn types(kinds: &[Kind]) -> Candidates {
    let types = KNOWN
        .iter()
        .filter(|(kind, _)| kinds.contains(kind))
        .map(|(kind, short)| (format!("{}/", kind.singular()), short.join(", ")));
    let mut candidates: Candidates = types.collect();
    candidates.sort();
    candidates
}

/// The connection flags among the words, however incomplete the rest is.
fn options(root: &Command, before: &[String]) -> ConnectOptions {
    let words = std::iter::once("podlife").chain(before.iter().map(String::as_str));
    let matches = root.clone().ignore_errors(true).try_get_matches_from(words).ok();
    let flags = matches
        .and_then(|matches| ConnectFlags::from_arg_matches(&matches).ok())
        .unwrap_or_default();
    ConnectOptions {
        request_timeout: Some(PATIENCE),
        verbosity: 0,
        ..flags.complete(false)
    }
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
        Completion(crate::cmd::completion::CompletionArgs),
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
