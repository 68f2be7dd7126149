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
        .output()
        .unwrap()
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
    let said = |output: &Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
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
    assert!(junit().contains("failures=\"1\""), "{}", junit());
}
