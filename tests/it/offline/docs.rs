//! What is generated from the types and tables is what the code says now; PODLIFE_UPDATE=1 writes it again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use podlife::cmd::Cli;
use podlife::findings as codes;
use podlife::model::code::Code;
use podlife::model::drill::{DrillPlan, DrillReport};
use podlife::model::drill_suite::{DrillComparison, DrillSuitePlan, DrillSuiteReport};
use podlife::model::explanation::Explanation;
use podlife::model::plan::SessionPlan;
use podlife::model::readiness::{Readiness, ReadinessEvent};
use podlife::model::report::Diagnosis;
use podlife::model::session::{Session, SessionList};
use podlife::model::snapshot;
use podlife::model::trace::Trace;
use podlife::render::explanation::markdown;
use schemars::schema_for;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a generated file with what it should be, or writes it where the environment asks for that.
fn generated(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("PODLIFE_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    if let Some((at, (is, should))) = found.lines().zip(text.lines()).enumerate().find(|(_, (is, should))| is != should) {
        panic!(
            "{path}:{}\n  is     {is}\n  should {should}\nPODLIFE_UPDATE=1 cargo test --test it docs writes it again",
            at + 1
        );
    }
    assert!(
        found == text,
        "{path} is shorter or longer than it should be; PODLIFE_UPDATE=1 cargo test --test it docs writes it again"
    );
}

/// Keys in order, so that a change of the types changes few lines.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().map(|(name, field)| (name, sorted(field))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

fn schemas() -> [(&'static str, Value); 14] {
    [
        ("diagnosis", schema_for!(Diagnosis).to_value()),
        ("drill-comparison", schema_for!(DrillComparison).to_value()),
        ("drill-plan", schema_for!(DrillPlan).to_value()),
        ("drill-report", schema_for!(DrillReport).to_value()),
        ("drill-suite-plan", schema_for!(DrillSuitePlan).to_value()),
        ("drill-suite-report", schema_for!(DrillSuiteReport).to_value()),
        ("explanation", schema_for!(Explanation).to_value()),
        ("readiness", schema_for!(Readiness).to_value()),
        ("readiness-event", schema_for!(ReadinessEvent).to_value()),
        ("session", schema_for!(Session).to_value()),
        ("session-list", schema_for!(SessionList).to_value()),
        ("session-plan", schema_for!(SessionPlan).to_value()),
        ("snapshot", snapshot::schema().to_value()),
        ("trace", schema_for!(Trace).to_value()),
    ]
}

fn schema(name: &str) -> jsonschema::Validator {
    let (_, schema) = schemas().into_iter().find(|(known, _)| *known == name).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

pub fn must_fit(name: &str, document: &Value) {
    let errors: Vec<String> = schema(name)
        .iter_errors(document)
        .map(|e| format!("{}: {e}", e.instance_path))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_documentation_of_findings_matches_the_table() {
    generated("docs/findings.md", &markdown(&codes::explanation(None)));
}

/// How a flag is written, and the words for its value: `-o`, `--output FORMAT`.
fn flag(argument: &clap::Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = argument.get_value_names().unwrap_or_default().join(" ");
    let written = match names.join("`, `") {
        none if none.is_empty() && matches!(argument.get_action(), clap::ArgAction::Append) => format!("{value}..."),
        none if none.is_empty() => value,
        names if !argument.get_action().takes_values() => names,
        names if argument.is_require_equals_set() => format!("{names}[={value}]"),
        names => format!("{names} {value}"),
    };
    format!("`{}`", written.replace('|', "\\|"))
}

/// The table of a verb's own targets and flags, in the words of `--help`.
fn flags(verb: &str) -> String {
    let root = Cli::command();
    let command = verb
        .split(' ')
        .try_fold(&root, |command, word| command.find_subcommand(word))
        .unwrap_or_else(|| panic!("there is no verb {verb}"));
    let row = |argument: &clap::Arg| {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let default: Vec<_> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        let default = match default.join(",") {
            none if none.is_empty() || !argument.get_action().takes_values() => none,
            default => format!(" [default: {default}]"),
        };
        format!("| {} | {}{default} |\n", flag(argument), help.replace('|', "\\|"))
    };
    let rows: String = command.get_arguments().map(row).collect();
    format!("| Flag | Meaning |\n|---|---|\n{rows}")
}

#[test]
fn the_flag_tables_match_clap() {
    const BEGIN: &str = "<!-- flags of ";
    const END: &str = "<!-- end of flags -->";
    let mut seen = BTreeSet::new();
    for file in fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let mut parts = text.split(BEGIN);
        let mut should = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (verb, rest) = part.split_once(" -->\n").unwrap();
            let (_, after) = rest.split_once(END).unwrap();
            should.push_str(&format!("{BEGIN}{verb} -->\n{}{END}{after}", flags(verb)));
            seen.insert(verb.to_owned());
        }
        generated(&file.strip_prefix(root()).unwrap().display().to_string(), &should);
    }
    for verb in ["diagnose", "wait-ready", "trace", "session create", "session gc", "session serve"] {
        assert!(seen.contains(verb), "no document has the flags of {verb}: {seen:?}");
    }
}

#[test]
fn the_schemas_match_the_types() {
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&sorted(schema)).unwrap() + "\n";
        generated(&format!("docs/schema/{name}.json"), &text);
    }
}

#[test]
fn an_explanation_fits_its_schema() {
    must_fit("explanation", &serde_json::to_value(codes::explanation(None)).unwrap());
    must_fit(
        "explanation",
        &serde_json::to_value(codes::explanation(Some(Code::Unschedulable))).unwrap(),
    );
}

#[test]
fn a_snapshot_and_its_diagnosis_fit_their_schemas() {
    let manifest = "\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {containers: [{name: api, image: 'shop/api:1'}]}
status:
  phase: Pending
  containerStatuses:
  - name: api
    ready: false
    restartCount: 0
    image: shop/api:1
    imageID: ''
    state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"shop/api:1\": ErrImagePull: not found'}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{port: 80}]}
";
    let documents = podlife::observe::files::read(&["-".to_owned()], false, &mut manifest.as_bytes()).unwrap();
    let (snapshot, warnings) = documents
        .into_snapshot(None, None, "2026-01-01T01:00:00Z".parse().unwrap())
        .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    must_fit("snapshot", &snapshot.to_json());
    let diagnosis = podlife::diagnosis::assess::assess(&snapshot, &podlife::diagnosis::assess::Question::default());
    must_fit("diagnosis", &serde_json::to_value(diagnosis).unwrap());
}

#[test]
fn a_verdict_of_wait_ready_fits_its_schema() {
    let objects = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, namespace: shop, generation: 1}\n\
        spec: {serviceName: db, selector: {}, template: {}}\n---\napiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\n";
    let setting = crate::process::Setting {
        input: objects,
        ..Default::default()
    };
    let answer = crate::process::podlife_in(&setting, &["wait-ready", "--local", "-f", "-", "-o", "json"]);
    assert_eq!(answer.json["kind"], "Readiness", "{}", answer.stderr);
    must_fit("readiness", &answer.json);
}
