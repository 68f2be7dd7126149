//! The manifests of `examples/` come to what the snapshots beside them hold.

use std::fs;
use std::path::Path;

use super::harness::Scenario;
use crate::process;

#[test]
fn each_example_breaks_as_its_snapshot_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let is_scenario = |path: &std::path::PathBuf| path.join("snapshot.json").exists();
    let folders = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(is_scenario);
    let mut applied = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let snapshot = folder.join("snapshot.json").display().to_string();
        let expected = process::podlife(&["diagnose", "--local", "-f", &snapshot, "-o", "json"]);
        let manifest = fs::read_to_string(folder.join("manifest.yaml")).unwrap();
        applied.push((Scenario::new(&format!("ex-{name}")).apply(&manifest), expected.root_cause().clone()));
    }
    assert!(applied.len() >= 6);
    for (scenario, expected) in applied {
        let same = |answer: &process::Answer| {
            let cause = answer.root_cause();
            ["code", "cause"].iter().all(|part| cause[part] == expected[part]) && cause["subject"]["name"] == expected["subject"]["name"]
        };
        scenario.wait(&format!("podlife says {} {}", expected["code"], expected["cause"]), |s| {
            same(&s.diagnose())
        });
    }
}
