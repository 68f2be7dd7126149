//! What is generated from the types and tables is what the code says now; PODLIFE_UPDATE=1 writes it anew.

use std::fs;
use std::path::{Path, PathBuf};

use podlife::model::code::Code;
use podlife::model::explanation::Explanation;
use podlife::model::readiness::{Readiness, ReadinessEvent};
use podlife::model::report::Diagnosis;
use podlife::model::snapshot;
use podlife::render::explanation::markdown;
use podlife::rules::codes;
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
            "{path}:{}\n  is     {is}\n  should {should}\nPODLIFE_UPDATE=1 cargo test --test it docs writes it anew",
            at + 1
        );
    }
    assert!(
        found == text,
        "{path} is shorter or longer than it should be; PODLIFE_UPDATE=1 cargo test --test it docs writes it anew"
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

fn schemas() -> [(&'static str, Value); 5] {
    [
        ("diagnosis", schema_for!(Diagnosis).to_value()),
        ("explanation", schema_for!(Explanation).to_value()),
        ("readiness", schema_for!(Readiness).to_value()),
        ("readiness-event", schema_for!(ReadinessEvent).to_value()),
        ("snapshot", snapshot::schema().to_value()),
    ]
}

fn schema(name: &str) -> jsonschema::Validator {
    let (_, schema) = schemas().into_iter().find(|(known, _)| *known == name).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn must_fit(name: &str, document: &Value) {
    let errors: Vec<String> = schema(name)
        .iter_errors(document)
        .map(|e| format!("{}: {e}", e.instance_path))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_documentation_of_findings_is_what_the_table_says() {
    generated("docs/findings.md", &markdown(&codes::explanation(None)));
}

#[test]
fn the_schemas_are_what_the_types_say() {
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
    let documents = podlife::cmd::local::read(&["-".to_owned()], false, &mut manifest.as_bytes()).unwrap();
    let (snapshot, warnings) = documents.into_snapshot(None, "2026-01-01T01:00:00Z".parse().unwrap()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    must_fit("snapshot", &snapshot.to_json());
    let diagnosis = podlife::rules::assess::assess(&snapshot, &podlife::rules::assess::Question::default());
    must_fit("diagnosis", &serde_json::to_value(diagnosis).unwrap());
}

/// Every `Finding::error(Code::X, "cause", …` in the rules names a cause that `explain` knows.
#[test]
fn rules_use_only_causes_that_are_explained() {
    let mut seen = 0;
    let mut unknown = Vec::new();
    for file in rust_files(&root().join("src/rules")) {
        let text = fs::read_to_string(&file).unwrap();
        for (at, _) in text.match_indices("Code::") {
            let before = text[..at].trim_end();
            if !["error(", "symptom(", "advice(", "new("].iter().any(|made| before.ends_with(made)) {
                continue;
            }
            let rest = &text[at + "Code::".len()..];
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            let after = rest[name.len()..].trim_start();
            let literal = after
                .strip_prefix(',')
                .map(str::trim_start)
                .and_then(|a| a.strip_prefix('"'))
                .and_then(|a| a.split_once('"'));
            let (Ok(code), Some((cause, _))) = (name.parse::<Code>(), literal) else {
                continue;
            };
            seen += 1;
            if !cause.contains(' ') && !codes::has_cause(code, cause) {
                unknown.push(format!("{}: {code} {cause}", file.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(seen > 0, "no finding with a cause was found in src/rules");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
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
