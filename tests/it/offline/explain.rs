//! `explain`: the table, a page, documents, and codes that are misspelt.

use podlife::io::Environment;
use podlife::model::code::Code;
use serde_json::Value;

use crate::process::{Setting, podlife_in};

/// What a command line prints, or what it says on stderr where it fails; `columns` is the width of the terminal, none for a pipe.
fn explain(arguments: &[&str], columns: Option<usize>) -> Result<String, String> {
    let setting = Setting {
        terminal: columns,
        environment: Environment::of([("NO_COLOR".to_owned(), "1".to_owned())]),
        ..Setting::default()
    };
    let arguments: Vec<&str> = std::iter::once("explain").chain(arguments.iter().copied()).collect();
    let answer = podlife_in(&setting, &arguments);
    match answer.exit {
        0 => {
            assert_eq!(answer.stderr, "", "nothing but the result is printed");
            Ok(answer.stdout)
        }
        exit => {
            assert_eq!((exit, answer.stdout.as_str()), (2, ""));
            Err(answer.stderr)
        }
    }
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

/// What is looked up for a code stands on its page, in the words of its document.
#[test]
fn every_lookup_of_a_code_is_printed() {
    let all: Value = serde_json::from_str(&explain(&["-o", "json"], None).unwrap()).unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut seen = 0;
    for code in all["codes"].as_array().unwrap() {
        let page = words(&explain(&[code["code"].as_str().unwrap()], None).unwrap());
        for join in code["joins"].as_array().unwrap() {
            for part in ["names", "with", "says"] {
                assert!(page.contains(&words(join[part].as_str().unwrap())), "{join}: {page}");
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn a_reason_of_kubernetes_finds_the_codes_that_show_as_it() {
    let page = explain(&["imagePullBackOff"], None).unwrap();
    assert!(page.starts_with("ImagePullFailing  "), "{page}");
    assert_eq!(
        explain(&["Unhealthy", "-o", "name"], None).unwrap(),
        "StartupProbeFailing\nLivenessProbeFailing\nReadinessProbeFailing\n"
    );
}

#[test]
fn a_code_that_is_not_known_is_a_usage_error_with_near_ones() {
    let failure = explain(&["ListnerOnLoopback"], None).unwrap_err();
    assert!(failure.contains("ListenerOnLoopback"), "{failure}");
    let failure = explain(&["CrashLoopBackOf"], None).unwrap_err();
    assert!(failure.contains("hint: did you mean ContainerCrashing"), "{failure}");
    let failure = explain(&["xyzzy"], None).unwrap_err();
    assert!(failure.contains("hint: kubectl podlife explain lists the codes"), "{failure}");
}
