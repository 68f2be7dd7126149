//! Dependencies point one way, on every path that the code uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src/`, from the top down; a module may use those of a later row, and its own.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["lib"],
    &["cmd"],
    &["cluster", "io", "gate", "render"],
    &["rules"],
    &["model"],
];

fn row(module: &str) -> usize {
    ROWS.iter()
        .position(|row| row.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} has no place in the order of modules"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The top-level modules that a text names: `crate::NAME` anywhere, `podlife::NAME`, and `super::` up to the root.
fn used(text: &str, depth: usize) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let to_root = "super::".repeat(depth);
    for prefix in ["crate::", "podlife::", to_root.as_str()] {
        for (at, _) in code.match_indices(prefix).filter(|_| !prefix.is_empty()) {
            let before = code[..at].chars().next_back();
            let rest = &code[at + prefix.len()..];
            let is_longer = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if is_longer || rest.starts_with("super::") {
                continue;
            }
            match rest.strip_prefix('{') {
                // `use crate::{a::b, c}`: the first word of each part.
                Some(group) => names.extend(group.split('}').next().unwrap_or_default().split(',').map(|part| word(part.trim()))),
                None => {
                    names.insert(word(rest));
                }
            }
        }
    }
    names.retain(|name| ROWS.iter().flat_map(|row| row.iter()).any(|known| known == name));
    names
}

#[test]
fn dependencies_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    for file in sources(&root) {
        let inner = file.strip_prefix(&root).unwrap();
        let parts: Vec<String> = inner.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
        let module = parts[0].as_str();
        let depth = if parts.last().is_some_and(|p| p == "mod") {
            parts.len() - 1
        } else {
            parts.len()
        };
        let text = fs::read_to_string(&file).unwrap();
        for name in used(&text, depth) {
            seen += 1;
            assert!(
                name == module || row(&name) > row(module),
                "src/{} uses {name}, which stands beside or above {module}",
                inner.display()
            );
        }
    }
    assert!(seen > 100, "only {seen} uses were seen: the test looks at the wrong place");
}

#[test]
fn only_cluster_uses_a_client_and_only_io_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in sources(&root) {
        let inner = file.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let has = |needle: &str| {
            text.lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(needle))
        };
        if !inner.starts_with("cluster") {
            assert!(
                !has("kube::Client") && !has("kube::client") && !has("kube::Api"),
                "src/{inner} talks to a cluster"
            );
        }
        if ["rules", "model", "render", "gate"].iter().any(|pure| inner.starts_with(pure)) {
            for effect in [
                "std::fs",
                "TcpStream",
                "UdpSocket",
                "ToSocketAddrs",
                "std::process",
                "tokio::",
                "Timestamp::now",
                "Instant::now",
                "SystemTime",
                "std::env",
            ] {
                assert!(!has(effect), "src/{inner} is to be pure, but has {effect}");
            }
        }
    }
}

#[test]
fn a_path_in_the_middle_of_code_is_seen() {
    let names = |text: &str, depth| used(text, depth).into_iter().collect::<Vec<_>>();
    assert_eq!(names("fn f() { crate::cmd::run() }", 2), ["cmd"]);
    assert_eq!(names("use crate::{io::Io, model};", 2), ["io", "model"]);
    assert_eq!(names("super::super::cluster::x()", 2), ["cluster"]);
    assert_eq!(names("// crate::cmd\n", 1), Vec::<String>::new());
}
