//! `explain`: the table, a page, documents, and codes that are misspelt.

use std::io::Write;
use std::sync::{Arc, Mutex};

use clap::Parser;
use podlife::cmd::exit::{Exit, Failure};
use podlife::cmd::explain::{ExplainArgs, run};
use podlife::io::{Environment, Io, Stream};
use podlife::model::code::Code;
use serde_json::Value;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    explain: ExplainArgs,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a command line prints; `columns` is the width of the terminal, none for a pipe.
fn explain(arguments: &[&str], columns: Option<usize>) -> Result<String, Failure> {
    let (out, err) = (Sink::default(), Sink::default());
    let mut io = Io {
        stdout: Stream::new(Box::new(out.clone()), columns.is_some(), columns),
        stderr: Stream::new(Box::new(err.clone()), false, None),
        stdin: Box::new(std::io::empty()),
        stdin_is_terminal: false,
        environment: Environment::default(),
        now: jiff::Timestamp::now,
    };
    let line = Line::try_parse_from(std::iter::once("explain").chain(arguments.iter().copied())).unwrap();
    let exit = run(&line.explain, &mut io);
    assert!(err.0.lock().unwrap().is_empty(), "nothing but the result is printed");
    let printed = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    exit.map(|exit| {
        assert_eq!(exit, Exit::Good);
        printed
    })
}

#[test]
fn without_a_code_every_code_is_listed_with_its_severity() {
    let text = explain(&[], None).unwrap();
    for code in Code::ALL {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(code.as_str()));
        let severity = line.and_then(|line| line.split_whitespace().nth(1));
        assert!(matches!(severity, Some("error" | "symptom" | "advice")), "{code}: {line:?}");
    }
}

#[test]
fn the_table_and_the_pages_keep_to_the_width_of_the_terminal() {
    for columns in [80, 120] {
        let texts = Code::ALL.iter().map(|code| explain(&[code.as_str()], Some(columns)).unwrap());
        for text in texts.chain([explain(&[], Some(columns)).unwrap()]) {
            // Commands stay whole, so that they can be copied.
            let visible = text
                .replace("\u{1b}[", "\u{1b}")
                .split('\u{1b}')
                .map(after_style)
                .collect::<String>();
            for line in visible.lines().filter(|line| !line.trim_start().starts_with("kubectl ")) {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
        }
    }
}

/// What stands behind the style that a piece begins with.
fn after_style(piece: &str) -> String {
    let style = piece
        .find(|c: char| !c.is_ascii_digit() && c != ';')
        .filter(|at| piece[*at..].starts_with('m'));
    style.map_or_else(|| piece.to_owned(), |at| piece[at + 1..].to_owned())
}

#[test]
fn a_code_in_any_case_is_explained_with_causes_and_steps() {
    let text = explain(&["imagepullFAILING"], None).unwrap();
    for part in [
        "ImagePullFailing",
        "ErrImagePull",
        "rate-limited",
        "kubectl set image",
        "See also: ImagePullSecretMissing",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "a pipe gets no colour");
}

#[test]
fn documents_have_the_code_or_all_of_them() {
    let one: Value = serde_json::from_str(&explain(&["Unschedulable", "-o", "json"], None).unwrap()).unwrap();
    assert_eq!(one["apiVersion"], "podlife/v1");
    assert_eq!(one["kind"], "Explanation");
    assert_eq!(one["codes"][0]["code"], "Unschedulable");
    assert_eq!(one["codes"].as_array().map(Vec::len), Some(1));
    let all: Value = serde_saphyr::from_str(&explain(&["-o", "yaml"], None).unwrap()).unwrap();
    assert_eq!(all["codes"].as_array().map(Vec::len), Some(Code::ALL.len()));
    assert_eq!(
        explain(&["oUtOfMemory", "-o", "jsonpath={.codes[0].causes[*].name}"], None).unwrap(),
        "limit node child-process\n"
    );
    assert_eq!(explain(&["-o", "name"], None).unwrap().lines().count(), Code::ALL.len());
}

#[test]
fn a_code_that_is_not_known_is_a_usage_error_with_near_ones() {
    let failure = explain(&["ListnerOnLoopback"], None).unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.hint.unwrap().contains("ListenerOnLoopback"));
    let failure = explain(&["CrashLoopBackOff"], None).unwrap_err();
    assert!(failure.hint.unwrap().starts_with("did you mean ContainerCrashing"));
    let failure = explain(&["xyzzy"], None).unwrap_err();
    assert_eq!(failure.hint.as_deref(), Some("kubectl podlife explain lists them"));
}
