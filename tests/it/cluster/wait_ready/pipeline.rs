//! The script of `examples/pipelines`, as a pipeline runs it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::super::harness::{Scenario, kubeconfig};
use super::{manifest, probe, service, web};
use crate::fake_api::Folder;

fn deploy(scenario: &Scenario, folder: &Path, objects: &str) -> Output {
    let manifests = folder.join("manifests.yaml");
    std::fs::write(&manifests, objects).unwrap();
    let programs = [
        (
            "kubectl",
            std::env::var("PODLIFE_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned()),
        ),
        ("kubectl-podlife", env!("CARGO_BIN_EXE_kubectl-podlife").to_owned()),
    ];
    for (name, program) in programs {
        let script = format!("#!/bin/sh\nexec {program} \"$@\"\n");
        let path = folder.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pipelines/deploy.sh"))
        .args([manifests.to_str().unwrap(), "deployment/web"])
        .env("PATH", path)
        .env("KUBECONFIG", kubeconfig())
        .env("NAMESPACE", &scenario.namespace)
        .env("JUNIT", folder.join("ready.xml"))
        .env("TIMEOUT", "100s")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The last line of the log: stderr is written to last.
fn last(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_pipeline_deploys_and_goes_back() {
    let scenario = Scenario::new("wr-pipeline");
    let folder = Folder::new();
    let good = deploy(
        &scenario,
        &folder.0,
        &manifest(&[web(1, json!({}), probe()), service("LoadBalancer")]),
    );
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    let junit = || std::fs::read_to_string(folder.0.join("ready.xml")).unwrap();
    assert!(junit().contains("failures=\"0\" errors=\"0\""), "{}", junit());
    let broken = web(1, json!({}), json!({"envFrom": [{"secretRef": {"name": "token"}}]}));
    let bad = deploy(&scenario, &folder.0, &manifest(&[broken, service("LoadBalancer")]));
    assert_eq!(bad.status.code(), Some(3), "{}", said(&bad));
    assert!(
        said(&bad).contains("SecretMissing") && said(&bad).contains("READY  deployment/"),
        "{}",
        said(&bad)
    );
    assert!(!said(&bad).contains("not undone"), "{}", said(&bad));
    let ended = "wait-ready ended with exit code 3; rolled back, and the revision before is ready again";
    let ended = format!("DEPLOY FAILED  deployment/web -n {}: {ended}", scenario.namespace);
    assert_eq!(last(&bad), ended, "{}", said(&bad));
    assert!(junit().contains("failures=\"1\""), "{}", junit());
}

#[test]
fn a_pipeline_rolls_back_only_its_own_changes() {
    let scenario = Scenario::new("wr-pipeline-kept");
    let folder = Folder::new();
    let (first, second) = (web(1, json!({"VERSION": "1"}), probe()), web(1, json!({"VERSION": "2"}), probe()));
    for deployment in [&first, &second] {
        let good = deploy(&scenario, &folder.0, &manifest(&[deployment.clone(), service("ClusterIP")]));
        assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    }
    let revision = "jsonpath={.metadata.annotations.deployment\\.kubernetes\\.io/revision}";
    let revision = || scenario.kubectl(&["get", "deployment/web", "-o", revision]);
    let before = revision();
    let mut wrong = service("ClusterIP");
    wrong["spec"]["ports"][0]["targetPort"] = 9090.into();
    let bad = deploy(&scenario, &folder.0, &manifest(&[second, wrong]));
    assert!(matches!(bad.status.code(), Some(3 | 124)), "{}", said(&bad));
    assert_eq!(revision(), before, "{}", said(&bad));
    assert!(said(&bad).contains("not undone: service/web configured"), "{}", said(&bad));
    assert!(!said(&bad).contains("not undone: deployment"), "{}", said(&bad));
    assert!(
        last(&bad).ends_with("this run has not changed its pods, nothing was rolled back"),
        "{}",
        said(&bad)
    );
    assert!(last(&bad).starts_with("DEPLOY FAILED  deployment/web -n "), "{}", said(&bad));
}

#[test]
fn a_first_deployment_has_nothing_to_go_back_to() {
    let scenario = Scenario::new("wr-pipeline-first");
    let folder = Folder::new();
    std::fs::write(folder.0.join("ready.xml"), "OLD").unwrap();
    let nonsense = deploy(&scenario, &folder.0, "apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n");
    assert_eq!(nonsense.status.code(), Some(1), "{}", said(&nonsense));
    assert!(
        last(&nonsense).contains("kubectl apply ended with exit code 1"),
        "{}",
        said(&nonsense)
    );
    assert!(!folder.0.join("ready.xml").exists(), "an old report is published");
    let broken = web(1, json!({}), json!({"envFrom": [{"secretRef": {"name": "token"}}]}));
    let bad = deploy(&scenario, &folder.0, &manifest(&[broken]));
    assert_eq!(bad.status.code(), Some(3), "{}", said(&bad));
    assert!(said(&bad).contains("not undone: deployment.apps/web created"), "{}", said(&bad));
    assert!(
        last(&bad).ends_with("it could not be rolled back and stays as it is"),
        "{}",
        said(&bad)
    );
}
