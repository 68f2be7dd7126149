//! What `examples/` holds: saved snapshots of broken applications, with the text that podlife prints about each.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Setting, assert_marks_agree, podlife, podlife_in};

fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        // The pipelines are no scenario.
        .filter(|p| p.is_dir() && !p.ends_with("pipelines"))
        .collect();
    folders.sort();
    folders
}

/// Compares a file with what it should be; with `PODLIFE_UPDATE=1` it is written.
fn compare(file: &Path, text: &str) {
    if std::env::var_os("PODLIFE_UPDATE").is_some() {
        fs::write(file, text).unwrap();
    }
    let golden = fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} is not what podlife prints; PODLIFE_UPDATE=1 writes it anew",
        file.display()
    );
}

#[test]
fn each_example_prints_what_stands_beside_it() {
    let examples = examples();
    assert!(examples.len() >= 6, "{examples:?}");
    for example in examples {
        let snapshot = example.join("snapshot.json").display().to_string();
        let answer = podlife_in(
            &Setting {
                terminal: Some(100),
                ..Setting::default()
            },
            &["diagnose", "--local", "-f", &snapshot, "--color", "never"],
        );
        assert_eq!(answer.exit, 3, "{snapshot}: {}", answer.stderr);
        compare(&example.join("diagnosis.txt"), &answer.stdout);
    }
}

#[test]
fn narrow_terminals_and_colour_have_goldens_too() {
    let example = &examples()[0];
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    fs::create_dir_all(&golden).unwrap();
    let snapshot = example.join("snapshot.json").display().to_string();
    for (name, columns, arguments) in [
        ("80-columns", 80, &[][..]),
        ("wide", 120, &["-o", "wide"]),
        ("no-colour", 100, &["--color", "never"]),
    ] {
        let mut all = vec!["diagnose", "--local", "-f", &snapshot, "--advice"];
        all.extend(arguments);
        let answer = podlife_in(
            &Setting {
                terminal: Some(columns),
                ..Setting::default()
            },
            &all,
        );
        compare(&golden.join(format!("{name}.txt")), &answer.stdout);
    }
}

#[test]
fn no_snapshot_holds_a_secrets_value_or_a_manifests_copy() {
    for example in examples() {
        let text = fs::read_to_string(example.join("snapshot.json")).unwrap();
        assert!(
            !text.contains("last-applied-configuration") && !text.contains("fieldsV1"),
            "{}",
            example.display()
        );
    }
}

#[test]
fn manifests_alone_are_judged_without_inventing_a_status() {
    for example in examples() {
        let manifest = example.join("manifest.yaml").display().to_string();
        let answer = podlife(&["diagnose", "--local", "-f", &manifest, "-o", "json"]);
        let is_faulty = !answer.json["rootCauses"].as_array().unwrap().is_empty();
        // What was never applied is not known to work.
        assert_eq!(answer.exit, if is_faulty { 3 } else { 4 }, "{manifest}: {}", answer.stderr);
        for cause in answer.json["rootCauses"].as_array().unwrap() {
            // Without status only a comparison of specs can prove anything.
            let code = cause["code"].as_str().unwrap();
            assert!(
                matches!(code, "ServiceSelectsNothing" | "ConfigMapKeyMissing" | "TargetPortNameUnresolved"),
                "{manifest}: {code}"
            );
        }
    }
}

#[test]
fn what_was_never_applied_is_one_line_and_cannot_be_told() {
    let manifest = examples()
        .into_iter()
        .map(|example| example.join("manifest.yaml"))
        .find(|path| path.display().to_string().contains("image-typo"))
        .expect("the example is there");
    let answer = podlife(&["diagnose", "--local", "-f", &manifest.display().to_string()]);
    assert_eq!(answer.exit, 4, "{}", answer.stderr);
    let lines: Vec<&str> = answer.stdout.lines().filter(|line| line.contains("never applied")).collect();
    assert!(
        lines.len() == 1 && lines[0].starts_with("? ") && lines[0].contains("deployment/web"),
        "{}",
        answer.stdout
    );
    assert!(!answer.stdout.contains("nothing that was read says why"), "{}", answer.stdout);
}

/// Of the namespace as a whole, and of each of its objects.
#[test]
fn marks_counts_and_verdicts_agree() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop.json");
    let snapshots = examples().into_iter().map(|folder| folder.join("snapshot.json")).chain([shop]);
    let mut seen = 0;
    for snapshot in snapshots {
        let snapshot = snapshot.display().to_string();
        let ask = |target: Option<&str>, format: &str| {
            let mut all = vec!["diagnose", "--local", "-f", &snapshot, "-o", format];
            all.extend(target);
            podlife(&all)
        };
        let whole = ask(None, "json").json;
        assert_marks_agree(&ask(None, "text").stdout, &whole);
        for judged in whole["workloads"].as_array().unwrap() {
            let kind = judged["kind"].as_str().unwrap().to_lowercase();
            let target = format!("{kind}/{}", judged["name"].as_str().unwrap());
            let text = ask(Some(&target), "text").stdout;
            assert_marks_agree(&text, &ask(Some(&target), "json").json);
            // What was asked about has a line wherever something is wrong with it.
            assert!(
                judged["verdict"] == "healthy" || text.matches(&target).count() > 1,
                "{target}\n{text}"
            );
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}
