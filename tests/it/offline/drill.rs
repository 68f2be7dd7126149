//! Reports of drills: printed, converted and compared from files; and the files of suites that are refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::docs::must_fit;
use super::examples::compare;
use crate::fake_api::{FakeApi, Folder};
use crate::process::{Answer, Setting, podlife, podlife_in};

fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/drill").join(name).display().to_string()
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden").join(name)
}

fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Converts a report.
fn converted(report: &str, ending: &str) -> String {
    let folder = Folder::new();
    let file = folder.0.join(format!("report.{ending}"));
    let answer = podlife(&["drill", "report", report, "--report", &file.display().to_string()]);
    assert_eq!(answer.exit, 0, "{}", answer.stderr);
    fs::read_to_string(file).unwrap()
}

/// How many elements of each name a document has.
fn elements(document: &roxmltree::Document<'_>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        *counts.entry(node.tag_name().name().to_owned()).or_default() += 1;
    }
    counts
}

fn parsed(text: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    roxmltree::Document::parse_with_options(text, options).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn saved_reports_fit_their_schemas_and_are_printed_as_text() {
    must_fit("drill-report", &json(&fixture("report.json")));
    must_fit("drill-suite-report", &json(&fixture("suite.json")));
    for (report, columns, name) in [
        ("report.json", 100, "drill-report.txt"),
        ("report.json", 50, "drill-report-narrow.txt"),
        ("suite.json", 100, "drill-suite.txt"),
    ] {
        let setting = Setting {
            terminal: Some(columns),
            ..Setting::default()
        };
        let answer = podlife_in(&setting, &["drill", "report", &fixture(report)]);
        assert_eq!(answer.exit, 0, "{}", answer.stderr);
        compare(&golden(name), &answer.stdout);
    }
}

#[test]
fn requests_are_in_the_json_only_where_they_are_asked_for() {
    let report = fixture("report.json");
    let plain = podlife(&["drill", "report", &report, "-o", "json"]);
    assert!(!plain.stdout.contains("startedSeconds"));
    let all = podlife(&["drill", "report", &report, "-o", "json", "--samples"]);
    assert_eq!(all.json, json(&report));
    let lines = converted(&report, "ndjson");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 340);
    assert_eq!(
        (&lines[40]["failure"], &lines[40]["connections"]),
        (&"refused".into(), &"new".into())
    );
    assert_eq!(lines[339]["connections"], "kept");
    assert!(
        lines
            .iter()
            .all(|line| line["target"] == "http://192.0.2.7/" && line["drill"] == "scale-zero deployment/api")
    );
}

#[test]
fn junit_counts_what_it_holds() {
    for (report, suites, counts) in [("report.json", 1, ["9", "2", "0", "0"]), ("suite.json", 3, ["19", "2", "1", "1"])] {
        let text = converted(&fixture(report), "xml");
        let document = parsed(&text);
        let root = document.root_element();
        let names = ["tests", "failures", "errors", "skipped"];
        assert_eq!(names.map(|name| root.attribute(name).unwrap()), counts, "{text}");
        let mut sums = [0; 4];
        let all: Vec<_> = root.children().filter(roxmltree::Node::is_element).collect();
        assert_eq!(all.len(), suites, "{text}");
        for suite in all {
            let has = |name: &str| suite.descendants().filter(|node| node.has_tag_name(name)).count();
            let found = ["testcase", "failure", "error", "skipped"].map(has);
            assert_eq!(
                names.map(|name| suite.attribute(name).unwrap().parse::<usize>().unwrap()),
                found,
                "{text}"
            );
            sums = std::array::from_fn(|at| sums[at] + found[at]);
        }
        assert_eq!(sums.map(|sum: usize| sum.to_string()), counts);
        let cases: Vec<_> = document.descendants().filter_map(|node| node.attribute("name")).collect();
        let unique: std::collections::BTreeSet<_> = document
            .descendants()
            .filter(|node| node.has_tag_name("testcase"))
            .map(|node| node.attribute("name"))
            .collect();
        assert_eq!(unique.len().to_string(), counts[0], "{cases:?}");
    }
}

#[test]
fn the_page_is_the_golden_one_and_asks_nobody_for_anything() {
    for (report, name) in [("report.json", "drill-report.html"), ("suite.json", "drill-suite.html")] {
        let text = converted(&fixture(report), "html");
        compare(&golden(name), &text);
        let document = parsed(&text);
        let elements = elements(&document);
        for forbidden in ["script", "link", "img", "iframe", "object", "embed", "form", "use", "image"] {
            assert_eq!(elements.get(forbidden), None, "{name} has {forbidden}");
        }
        assert!(elements["svg"] > 10, "{elements:?}");
        assert!(!text.contains("url(") && !text.contains("@import"), "{name}");
        for node in document.descendants() {
            for attribute in node.attributes() {
                let is_own = attribute.name() != "href" || attribute.value().starts_with('#');
                assert!(
                    is_own && !attribute.name().starts_with("on") && attribute.name() != "src",
                    "{name}: {attribute:?}"
                );
            }
        }
        for link in document.descendants().filter_map(|node| node.attribute("href")) {
            let leads = document.descendants().any(|node| node.attribute("id") == Some(&link[1..]));
            assert!(leads, "{name}: {link}");
        }
    }
}

/// Words that have to stay as they are for a report to be one.
const WORDS: [&str; 13] = [
    "from",
    "role",
    "connections",
    "apiVersion",
    "kind",
    "verdict",
    "startedAt",
    "state",
    "how",
    "priority",
    "what",
    "atSeconds",
    "name",
];

/// Puts hostile text in place of every text that is free.
fn poison(value: &mut Value, hostile: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, hostile)),
        Value::Object(fields) => {
            let errors = fields.get_mut("errors").and_then(Value::as_object_mut);
            if let Some(errors) = errors {
                errors.insert(hostile.to_owned(), 3.into());
            }
            for (key, field) in fields.iter_mut() {
                let is_word = WORDS.contains(&key.as_str()) && !field.is_object() && !field.is_array();
                if !is_word {
                    poison(field, hostile);
                }
            }
        }
        Value::String(text) => hostile.clone_into(text),
        _ => {}
    }
}

#[test]
fn hostile_text_stays_text_in_every_format() {
    let hostile = "</title></style><script>alert(1)</script><x y=\"'&\">\u{1b}[31m\u{202e}]]>";
    for name in ["report.json", "suite.json"] {
        let folder = Folder::new();
        let path = folder.0.join("hostile.json").display().to_string();
        let mut report = json(&fixture(name));
        poison(&mut report, hostile);
        fs::write(&path, report.to_string()).unwrap();
        let (page, junit) = (converted(&path, "html"), converted(&path, "xml"));
        let before = converted(&fixture(name), "html");
        let known = elements(&parsed(&before));
        let found = elements(&parsed(&page));
        assert!(found.keys().all(|name| known.contains_key(name)), "{found:?}");
        assert!(!elements(&parsed(&junit)).contains_key("script"), "{junit}");
        let text = podlife(&["drill", "report", &path]).stdout;
        for output in [&page, &junit, &text] {
            assert!(!output.contains('\u{1b}') && !output.contains('\u{202e}'), "{output}");
            assert!(output.contains("alert(1)"), "{output}");
        }
    }
}

/// Compares the fixture with a copy that was changed.
fn compared(change: impl FnOnce(&mut Value), more: &[&str]) -> Answer {
    let folder = Folder::new();
    let path = folder.0.join("after.json").display().to_string();
    let mut after = json(&fixture("report.json"));
    change(&mut after);
    fs::write(&path, after.to_string()).unwrap();
    let before = fixture("report.json");
    let arguments = ["drill", "report", &before, &path, "--fail-on-regression", "-o", "json"];
    podlife(&[&arguments[..], more].concat())
}

#[test]
fn a_regression_is_exit_code_3() {
    let same = compared(|_| {}, &[]);
    assert_eq!((same.exit, &same.json["hasRegressed"]), (0, &false.into()), "{}", same.stderr);
    must_fit("drill-comparison", &same.json);
    let slower = |report: &mut Value| report["recoverySeconds"] = 12.0.into();
    let answer = compared(slower, &[]);
    assert_eq!(answer.exit, 3, "{}", answer.stdout);
    let worse = answer.json["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["isRegression"] == true);
    let worse: Vec<&Value> = worse.map(|one| &one["value"]).collect();
    assert_eq!(worse, ["recoverySeconds"]);
    assert_eq!(compared(slower, &["--tolerance", "50%"]).exit, 0);
    let text = compared(slower, &["-o", "text"]);
    assert!(
        text.stdout.contains("WORSE  scale-zero deployment/api: recoverySeconds 9.1 → 12\n"),
        "{}",
        text.stdout
    );
    assert!(text.stdout.ends_with("1 of 7 values are more than 20 % worse\n"), "{}", text.stdout);
}

#[test]
fn what_is_no_report_or_no_file_of_one_is_misuse() {
    let (folder, report) = (Folder::new(), fixture("report.json"));
    let (other, missing) = (folder.0.join("other.json"), folder.0.join("none/report.html"));
    fs::write(&other, "{\"apiVersion\": \"podlife/v1\", \"kind\": \"Diagnosis\"}").unwrap();
    let (other, missing) = (other.display().to_string(), missing.display().to_string());
    let (report, other, missing) = (report.as_str(), other.as_str(), missing.as_str());
    for (arguments, said) in [
        (&[other][..], "it is not a DrillReport or DrillSuiteReport"),
        (&[missing], "No such file"),
        (&[report, "--report", "report.pdf"], "ends in .json, .xml, .ndjson or .html"),
        (&[report, "--fail-on-regression"], "compares two reports"),
        (&[report, report, "--report", "a.html"], "--report converts one report"),
        (&[report, "--fail-on-regression", "--tolerance=-5%"], "expected 0% or more"),
    ] {
        let arguments: Vec<&str> = ["drill", "report"].into_iter().chain(arguments.iter().copied()).collect();
        let answer = podlife(&arguments);
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(said), "{arguments:?}: {}", answer.stderr);
    }
}

#[test]
fn a_suite_that_makes_no_sense_asks_no_cluster() {
    let api = FakeApi::start();
    let kubeconfig = api.kubeconfig().display().to_string();
    let folder = Folder::new();
    let (file, junit) = (folder.0.join("suite.yaml"), folder.0.join("report.xml"));
    let (path, junit_path) = (file.display().to_string(), junit.display().to_string());
    let head = "apiVersion: podlife/v1\nkind: DrillSuite\nname: shop\ndrills:\n- {fault: evict, workloads: deployment/api}\n";
    for (text, more, said) in [
        (
            format!("{head}- {{fault: evict, workloads: deployment/web, cuont: 3}}\n"),
            &[][..],
            "line 6: unknown key cuont; did you mean count?",
        ),
        (format!("{head}colour: red\n"), &[], "line 6"),
        (
            format!("{head}- {{fault: scale, workloads: deployment/web}}\n"),
            &[],
            "line 6: scale needs --to N",
        ),
        (head.to_owned(), &["--only", "P3"], "no drill has one of the priorities"),
        (head.to_owned(), &["--only", "P7"], "invalid value 'P7'"),
        (head.to_owned(), &["--repeat", "0"], "--repeat"),
    ] {
        fs::write(&file, &text).unwrap();
        let arguments = ["--kubeconfig", &kubeconfig, "drill", "suite", &path, "--report", &junit_path];
        let answer = podlife(&[&arguments[..], more].concat());
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{text}{}", answer.stderr);
        assert!(answer.stderr.contains(said), "{text}{}", answer.stderr);
        assert!(!junit.exists(), "{text}");
    }
    assert!(api.seen().is_empty());
}
