//! What the README promises is what the program does.

use std::fs;
use std::path::Path;

use podlife::cmd::exit::{self, Exit};
use podlife::io::Environment;

use crate::process::{Setting, podlife_in};

const README: &str = "README.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join(README)).unwrap()
}

/// What a command line prints on stdout, as on a terminal of 100 columns without colour.
fn podlife(arguments: &[&str]) -> (String, u8) {
    let environment = Environment::of([("NO_COLOR".to_owned(), "1".to_owned())]);
    let setting = Setting {
        terminal: Some(100),
        environment,
        ..Setting::default()
    };
    let answer = podlife_in(&setting, arguments);
    (without_elapsed(&answer.stdout), answer.exit)
}

/// How long a run took differs each time: ` · 0.1 s` goes from the end of the first line.
fn without_elapsed(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    match first.rsplit_once(" · ") {
        Some((before, last)) if last.ends_with(" s") => format!("{before}\n{rest}"),
        _ => text.to_owned(),
    }
}

fn help(verb: &str) -> String {
    let (text, exit) = podlife(&[verb, "--help"]);
    assert_eq!(exit, Exit::Good as u8, "there is no verb {verb}");
    text
}

/// Each `kubectl podlife …` in a text, up to the end of its line, a pipe or a comment.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let after = text.match_indices("kubectl podlife ").map(|(at, start)| &text[at + start.len()..]);
    after
        .map(|rest| rest.split(['\n', '|', '#', '`']).next().unwrap_or_default())
        .map(|line| line.split_whitespace().collect())
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect()
}

fn is_flag(word: &str) -> bool {
    word.starts_with("--") && word.len() > 2
}

#[test]
fn commands_and_their_flags_exist() {
    let mut texts = vec![readme()];
    for path in ["docs/findings.md", "krew/podlife.yaml"] {
        texts.push(fs::read_to_string(root().join(path)).unwrap());
    }
    let mut seen = 0;
    for command in texts.iter().flat_map(|text| commands(text)) {
        let verb = command[0];
        let help = help(verb);
        for flag in command.iter().filter(|word| is_flag(word)) {
            assert!(help.contains(flag), "kubectl podlife {verb} has no {flag}");
        }
        seen += 1;
    }
    assert!(seen > 10);
}

#[test]
fn flags_in_the_tables_exist() {
    let readme = readme();
    let connection = readme
        .split("Flags that say which cluster")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let mut seen = 0;
    let mut has = |verb: &str, text: &str| {
        let help = help(verb);
        let flags = text
            .split(['`', ' '])
            .filter(|word| word.starts_with('-') && word.len() > 1 && !word.starts_with("---"));
        for flag in flags {
            assert!(help.contains(flag), "{verb} has no {flag}");
            seen += 1;
        }
    };
    // Each table stands below the heading that names its verb.
    for section in readme.split("### Flags of ").skip(1) {
        let verb = section.split_whitespace().next().unwrap();
        for row in section
            .lines()
            .take_while(|line| !line.starts_with("##"))
            .filter(|line| line.starts_with("| `-"))
        {
            has(verb, row);
        }
    }
    has("diagnose", connection);
    assert!(seen > 20);
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let readme = readme();
    let mut seen = 0;
    for line in exit::HELP.lines().skip(1) {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = format!("| {code} | {}", meaning.trim());
        assert!(readme.contains(&row), "the README lacks: {row}");
        seen += 1;
    }
    let rows = readme
        .lines()
        .filter(|line| line.strip_prefix("| ").is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit())));
    assert_eq!(rows.count(), seen, "the README has an exit code that the program does not name");
}

#[test]
fn links_lead_somewhere() {
    for link in readme()
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link)
    {
        assert!(link.starts_with("https://") || root().join(link).exists(), "{link}");
    }
}

/// Each block that begins with `$ kubectl podlife` shows what that command prints; PODLIFE_UPDATE=1 writes it anew.
#[test]
fn transcripts_are_what_the_program_prints() {
    const BEGIN: &str = "```\n$ kubectl podlife ";
    let readme = readme();
    let mut updated = String::new();
    let mut rest = readme.as_str();
    let mut seen = 0;
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        let (command, shown) = block[BEGIN.len()..].split_once('\n').unwrap();
        let end = shown.find("```").unwrap();
        let (printed, _) = podlife(&command.split(' ').collect::<Vec<_>>());
        assert!(!printed.is_empty(), "{command} prints nothing");
        if std::env::var_os("PODLIFE_UPDATE").is_none() {
            assert!(
                shown[..end] == printed,
                "the README shows\n{}\nfor {command}, which prints\n{printed}",
                &shown[..end]
            );
        }
        updated.push_str(&format!("{before}{BEGIN}{command}\n{printed}"));
        rest = &shown[end..];
        seen += 1;
    }
    updated.push_str(rest);
    assert!(seen > 0, "the README shows no run");
    if updated != readme {
        fs::write(root().join(README), updated).unwrap();
    }
}
