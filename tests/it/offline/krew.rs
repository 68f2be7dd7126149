//! The krew package: its archive, and a manifest that krew accepts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256};

const TARGETS: &[(&str, &str, &str)] = &[
    ("x86_64-unknown-linux-musl", "linux", "amd64"),
    ("aarch64-unknown-linux-musl", "linux", "arm64"),
    ("x86_64-apple-darwin", "darwin", "amd64"),
    ("aarch64-apple-darwin", "darwin", "arm64"),
    ("x86_64-pc-windows-msvc", "windows", "amd64"),
    ("aarch64-pc-windows-msvc", "windows", "arm64"),
];

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("podlife-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Packs a stand-in for the binary of each of these targets.
    fn pack(&self, targets: &[(&str, &str, &str)]) {
        let binary = self.0.join("binary");
        fs::write(&binary, "a stand-in for the binary").unwrap();
        for (target, ..) in targets {
            let output = self.package(&["--target", target, "--binary", &binary.display().to_string()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn package(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("krew/package");
        let output = self.0.join("dist").display().to_string();
        Command::new(script).args(arguments).args(["--output", &output]).output().unwrap()
    }

    fn manifest(&self) -> Value {
        serde_saphyr::from_str(&fs::read_to_string(self.0.join("dist/podlife.yaml")).unwrap()).unwrap()
    }

    fn archive(&self, os: &str, arch: &str) -> PathBuf {
        self.0
            .join(format!("dist/kubectl-podlife-v{}-{os}-{arch}.tar.gz", env!("CARGO_PKG_VERSION")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| panic!("{what} is missing: {value}"))
}

/// What krew checks before it installs a plugin.
fn must_be_valid(manifest: &Value) {
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["metadata"]["name"], "podlife");
    let spec = &manifest["spec"];
    assert_eq!(text(&spec["version"], "version"), format!("v{}", env!("CARGO_PKG_VERSION")));
    let short = text(&spec["shortDescription"], "shortDescription");
    assert!(short.len() <= 50 && !short.contains('\n') && !short.ends_with('.'), "{short}");
    assert!(text(&spec["description"], "description").lines().all(|line| line.len() <= 80));
    assert!(text(&spec["homepage"], "homepage").starts_with("https://"));
    let mut selected = BTreeSet::new();
    for platform in spec["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (text(&labels["os"], "os"), text(&labels["arch"], "arch"));
        assert!(selected.insert((os, arch)), "{os} {arch} twice");
        let archive = format!("kubectl-podlife-v{}-{os}-{arch}.tar.gz", env!("CARGO_PKG_VERSION"));
        let uri = text(&platform["uri"], "uri");
        assert!(uri.starts_with("https://") && uri.ends_with(&archive), "{uri}");
        let sum = text(&platform["sha256"], "sha256");
        assert!(
            sum.len() == 64 && sum.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)),
            "{sum}"
        );
        let bin = text(&platform["bin"], "bin");
        assert_eq!(
            bin,
            if os == "windows" {
                "kubectl-podlife.exe"
            } else {
                "kubectl-podlife"
            }
        );
        let files = platform["files"].as_array().unwrap();
        let from: BTreeSet<&str> = files.iter().map(|file| text(&file["from"], "from")).collect();
        assert_eq!(from, BTreeSet::from([bin, "LICENSE"]));
        assert!(files.iter().all(|file| file["to"] == "."));
    }
    assert!(!selected.is_empty());
    let left = manifest.to_string();
    assert!(!left.contains('@'), "a value was not filled in: {left}");
}

#[test]
fn the_manifest_of_a_release_has_every_platform() {
    let folder = Folder::new("krew-release");
    folder.pack(TARGETS);
    assert!(
        folder
            .package(&["--manifest-only", "--repository", "someone/podlife"])
            .status
            .success()
    );
    let manifest = folder.manifest();
    must_be_valid(&manifest);
    assert_eq!(manifest["spec"]["platforms"].as_array().map(Vec::len), Some(TARGETS.len()));
    assert_eq!(manifest["spec"]["homepage"], "https://github.com/someone/podlife");
    for (platform, (_, os, arch)) in manifest["spec"]["platforms"].as_array().unwrap().iter().zip(TARGETS) {
        let digest = Sha256::digest(fs::read(folder.archive(os, arch)).unwrap());
        let sum: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(platform["sha256"], sum, "{os} {arch}");
    }
}

#[test]
fn a_platform_without_an_archive_is_left_out_but_not_of_a_release() {
    let folder = Folder::new("krew-one");
    folder.pack(&TARGETS[..1]);
    let manifest = folder.manifest();
    must_be_valid(&manifest);
    assert_eq!(manifest["spec"]["platforms"].as_array().map(Vec::len), Some(1));
    let output = folder.package(&["--manifest-only"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no archive for linux-arm64"));
}

#[test]
fn an_archive_holds_the_binary_and_the_license_and_nothing_else() {
    let folder = Folder::new("krew-archive");
    folder.pack(&[TARGETS[0], TARGETS[4]]);
    for (os, bin) in [("linux", "kubectl-podlife"), ("windows", "kubectl-podlife.exe")] {
        let archive = folder.archive(os, "amd64");
        let unpacked = folder.0.join(os);
        fs::create_dir_all(&unpacked).unwrap();
        assert!(
            Command::new("tar")
                .arg("-xzf")
                .arg(&archive)
                .arg("-C")
                .arg(&unpacked)
                .status()
                .unwrap()
                .success()
        );
        let names: BTreeSet<String> = fs::read_dir(&unpacked)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, BTreeSet::from([bin.to_owned(), "LICENSE".to_owned()]));
        assert_eq!(fs::read_to_string(unpacked.join(bin)).unwrap(), "a stand-in for the binary");
        let license = fs::read_to_string(unpacked.join("LICENSE")).unwrap();
        assert!(license.contains("Apache License") && license.contains("Version 2.0"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(unpacked.join(bin)).unwrap().permissions().mode() & 0o111, 0o111);
        }
    }
    assert!(
        !folder
            .package(&["--target", "riscv64gc-unknown-linux-gnu", "--binary", "Cargo.toml"])
            .status
            .success()
    );
}
