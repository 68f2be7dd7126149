//! README, CONTRIBUTING and docs/ say what the program does. PODLIFE_UPDATE=1 writes the transcripts again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use podlife::cmd::Cli;
use podlife::exit::{self, Exit};
use podlife::io::Environment;

use crate::process::{Setting, podlife, podlife_in};

const README: &str = "README.md";
const LONGEST_README: usize = 1_000;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The documents in Markdown, by their paths from the root.
pub fn documents() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".md"));
    let mut all: Vec<String> = docs.map(|name| format!("docs/{name}")).collect();
    all.extend([README, "CONTRIBUTING.md"].map(str::to_owned));
    all.sort();
    all
}

/// The examples at the beginning of the help of podlife and of each verb.
fn helps() -> Vec<(String, String)> {
    let root = Cli::command();
    let verbs = std::iter::once(&root).chain(root.get_subcommands());
    verbs.map(|command| (command.get_name().to_owned(), examples(command))).collect()
}

fn examples(command: &clap::Command) -> String {
    command.get_before_help().map(ToString::to_string).unwrap_or_default()
}

/// The examples of the verbs of `session`.
pub fn helps_of_session() -> Vec<(String, String)> {
    let root = Cli::command();
    let session = root.find_subcommand("session").unwrap();
    let verbs = session.get_subcommands();
    verbs.map(|verb| (format!("session {}", verb.get_name()), examples(verb))).collect()
}

/// Each `kubectl podlife …` in a text, up to the end of its line, a pipe or a comment.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", "");
    let after = text.match_indices("kubectl podlife ").map(|(at, start)| &text[at + start.len()..]);
    after
        .map(|rest| rest.split(['\n', '|', '#', '`', ')']).next().unwrap_or_default())
        .map(words)
        .filter(|words: &Vec<String>| words.first().is_some_and(|verb| !verb.starts_with('<')))
        .collect()
}

/// The words of a line; what stands in single quotes is part of one word.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        let mut pieces = part.split(char::is_whitespace);
        words.last_mut().unwrap().push_str(pieces.next().unwrap_or_default());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The commands of all documents, of the help and of the krew manifest, with where each is from.
pub fn all_commands() -> Vec<(String, Vec<String>)> {
    let paths = documents().into_iter().chain(["krew/podlife.yaml".to_owned()]);
    let texts = paths
        .map(|path| (path.clone(), read(&path)))
        .chain(helps())
        .chain(helps_of_session());
    texts
        .flat_map(|(from, text)| commands(&text).into_iter().map(move |command| (from.clone(), command)))
        .collect()
}

/// Whether a command asks no cluster: this test can run it.
pub fn is_offline(command: &[String]) -> bool {
    let has = |flag: &str| command.iter().any(|word| word == flag);
    matches!(command[0].as_str(), "explain" | "rbac" | "completion")
        || command[..2.min(command.len())] == ["session", "name"]
        || (has("--local") && !command.starts_with(&["session".to_owned(), "serve".to_owned()]))
        || has("--client")
        || has("--help")
}

/// What a command line prints on stdout, as on a terminal of 100 columns without colour.
fn printed(arguments: &[&str]) -> String {
    let environment = Environment::of([("NO_COLOR".to_owned(), "1".to_owned())]);
    let setting = Setting {
        terminal: Some(100),
        environment,
        ..Setting::default()
    };
    without_elapsed(&podlife_in(&setting, arguments).stdout)
}

/// How long a run took differs each time: ` · 0.1 s` goes from the end of the first line.
fn without_elapsed(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    match first.rsplit_once(" · ") {
        Some((before, last)) if last.ends_with(" s") => format!("{before}\n{rest}"),
        _ => text.to_owned(),
    }
}

/// The first two cells of each row of the tables in a text whose first cell is code or a number.
fn rows(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split_once(" | "))
        .map(|(first, rest)| (first.trim_matches('`'), rest.split(" | ").next().unwrap_or_default()))
        .map(|(first, second)| (first, second.trim_end_matches(" |")))
        .collect()
}

/// The part of a document below a heading, up to the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("there is no {heading}"));
    let rest = &text[start + heading.len() + 2..];
    rest.split("\n#").next().unwrap_or(rest)
}

#[test]
fn the_readme_is_short() {
    let words = read(README).split_whitespace().count();
    assert!(words <= LONGEST_README, "{words} words");
}

#[test]
fn commands_are_accepted() {
    let commands = all_commands();
    for (from, command) in &commands {
        // A placeholder is a code for the eye only.
        let words = command.iter().map(|word| if word == "CODE" { "AddressInUse" } else { word });
        if let Err(error) = Cli::try_parse_from(std::iter::once("kubectl-podlife").chain(words)) {
            assert!(!error.use_stderr(), "{from}: kubectl podlife {}\n{error}", command.join(" "));
        }
    }
    let verbs: BTreeSet<&str> = commands.iter().map(|(_, command)| command[0].as_str()).collect();
    for verb in Cli::command().get_subcommands() {
        assert!(verbs.contains(verb.get_name()), "no document shows {}", verb.get_name());
    }
}

#[test]
fn commands_that_need_no_cluster_run() {
    let mut seen = 0;
    for (from, command) in all_commands().iter().filter(|(_, command)| is_offline(command)) {
        let words: Vec<String> = command
            .iter()
            .map(|word| match word.as_str() {
                "CODE" => "AddressInUse".to_owned(),
                // What --save wrote in the command before, and a list that kubectl printed.
                "shop.json" | "shop.yaml" => root().join("examples/shop.json").display().to_string(),
                path if path.starts_with("examples/") => root().join(path).display().to_string(),
                word => word.to_owned(),
            })
            .collect();
        let answer = podlife(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let is_result = [Exit::Good, Exit::Bad, Exit::CannotTell, Exit::TimedOut]
            .iter()
            .any(|exit| exit.code() == answer.exit);
        assert!(
            is_result && !answer.stdout.is_empty(),
            "{from}: kubectl podlife {} ends with {}: {}",
            command.join(" "),
            answer.exit,
            answer.stderr
        );
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn help_begins_with_examples() {
    // What a terminal wraps cannot be copied.
    for (verb, examples) in helps().into_iter().chain(helps_of_session()) {
        let long: Vec<&str> = examples.lines().filter(|line| line.chars().count() > 79).collect();
        assert!(long.is_empty(), "{verb}: {long:#?}");
    }
    for (verb, examples) in helps() {
        let arguments: &[&str] = if verb == "kubectl-podlife" {
            &["--help"]
        } else {
            &[&verb, "--help"]
        };
        let help = podlife(arguments).stdout;
        let (about, rest) = help
            .split_once("\n\nExamples:\n")
            .unwrap_or_else(|| panic!("{verb} has no examples\n{help}"));
        assert!(!about.contains("Usage:") && rest.contains("\n\nUsage: "), "{verb}\n{help}");
        assert!(!commands(&examples).is_empty(), "{verb}");
    }
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let readme = read(README);
    let told: Vec<(&str, &str)> = exit::HELP
        .lines()
        .skip(1)
        .map(|line| line.trim().split_once(' ').unwrap())
        .map(|(code, meaning)| (code, meaning.trim()))
        .collect();
    let documented: Vec<(&str, &str)> = rows(section(&readme, "## Exit codes"))
        .into_iter()
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .collect();
    assert_eq!(documented, told);
}

#[test]
fn states_and_verdicts_end_with_the_documented_exit_codes() {
    let (wait_ready, diagnose) = (read("docs/wait-ready.md"), read("docs/diagnose.md"));
    let states = rows(section(&wait_ready, "## How it ends"));
    let verdicts = rows(section(&diagnose, "## Verdicts"));
    let unknown = "{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}}";
    let file = |path: &str| root().join("examples").join(path).display().to_string();
    for (verb, path, input, word) in [
        ("wait-ready", file("loopback/snapshot.json"), "", "ready"),
        ("wait-ready", file("image-typo/snapshot.json"), "", "failed"),
        ("wait-ready", file("image-typo/manifest.yaml"), "", "progressing"),
        ("wait-ready", "-".to_owned(), unknown, "unknown"),
        ("diagnose", file("image-typo/snapshot.json"), "", "broken"),
        ("diagnose", file("image-typo/manifest.yaml"), "", "inconclusive"),
    ] {
        let setting = Setting {
            input,
            ..Setting::default()
        };
        let answer = podlife_in(&setting, &[verb, "--local", "-f", &path, "-o", "json"]);
        let said = answer.json[if verb == "diagnose" { "verdict" } else { "state" }].as_str();
        assert_eq!(said, Some(word), "{path}: {}", answer.stderr);
        let exit = answer.exit.to_string();
        let table = if verb == "diagnose" { &verdicts } else { &states };
        assert!(table.contains(&(word, exit.as_str())), "{word} ends with {exit}: {table:?}");
    }
    let is_complete = |table: &[(&str, &str)], words: &[&str]| words.iter().all(|word| table.iter().any(|(known, _)| known == word));
    assert!(is_complete(&states, &["not found"]), "{states:?}");
    assert!(is_complete(&verdicts, &["degraded", "progressing", "healthy"]), "{verdicts:?}");
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        let folder = root().join(&document).parent().map(Path::to_path_buf).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link);
        for link in links.filter(|link| !link.starts_with("https://") && !link.starts_with('#')) {
            let path: PathBuf = folder.join(link.split('#').next().unwrap_or(link));
            assert!(path.exists(), "{document}: {link}");
        }
    }
}

/// Each block that begins with `$ kubectl podlife` shows what that command prints.
#[test]
fn transcripts_match_the_output() {
    const BEGIN: &str = "```\n$ kubectl podlife ";
    let mut verbs = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        let mut updated = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(BEGIN) {
            let (before, block) = rest.split_at(at);
            let (command, shown) = block[BEGIN.len()..].split_once('\n').unwrap();
            let end = shown.find("```").unwrap();
            let printed = printed(&command.split(' ').collect::<Vec<_>>());
            assert!(!printed.is_empty(), "{document}: {command} prints nothing");
            if std::env::var_os("PODLIFE_UPDATE").is_none() {
                assert!(
                    shown[..end] == printed,
                    "{document} shows\n{}\nfor {command}, which prints\n{printed}",
                    &shown[..end]
                );
            }
            if document == README {
                verbs.insert(command.split(' ').next().unwrap_or_default().to_owned());
            }
            updated.push_str(&format!("{before}{BEGIN}{command}\n{printed}"));
            rest = &shown[end..];
        }
        updated.push_str(rest);
        if updated != text {
            fs::write(root().join(document), updated).unwrap();
        }
    }
    let shown: Vec<&str> = verbs.iter().map(String::as_str).collect();
    assert_eq!(shown, ["diagnose", "wait-ready"], "the README shows one run of each");
}
