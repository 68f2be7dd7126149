//! Dependencies point one way, areas of rules do not know each other, and no files import each other in a circle.
//!
//! Imports are read as text, from the paths that the code names. Code of tests may import whatever it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules of `src/` from the top down: a module may use those of later rows, and its own.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["lib"],
    &["cmd"],
    &["gateway"],
    &["observe"],
    &["exit"],
    &["cluster", "io", "render"],
    &["readiness", "trace", "session", "drill"],
    &["diagnosis"],
    &["rules"],
    &["facts", "findings"],
    &["view"],
    &["model"],
    &["text"],
];

/// A verb is flags, plan and wiring: what needs more lines than this is an engine and belongs elsewhere.
const MOST_LINES_OF_A_VERB: usize = 300;

/// One source file: its module path (`rules::init`) and the paths of the crate that its code names.
struct Source {
    module: String,
    text: String,
}

/// The sources of `src/` without the code of tests.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let inner = path.strip_prefix(&root).unwrap().with_extension("");
            let parts: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if parts.iter().any(|part| part == "tests" || part == "testing") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(Source {
                    module: parts.join("::").trim_end_matches("::mod").to_owned(),
                    text: without_tests(&fs::read_to_string(&path).unwrap()),
                });
            }
        }
    }
    found.sort_by(|a, b| a.module.cmp(&b.module));
    found
}

/// Code without comments and without its inline module of tests, which stands last in a file.
fn without_tests(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths behind `crate::` and, from `module`, behind `super::`, with groups in braces spelled out.
fn used(text: &str, module: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let parent = if parent.is_empty() { String::new() } else { format!("{parent}::") };
    for (prefix, base) in [("crate::", ""), ("podlife::", ""), ("super::", parent.as_str())] {
        for (at, _) in text.match_indices(prefix) {
            let is_longer = text[..at]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
            if !is_longer {
                expand(base, &text[at + prefix.len()..], &mut paths);
            }
        }
    }
    paths
}

/// Adds the path that a text begins with: `a::{b, c::d}` are `a::b` and `a::c::d`. Returns how much of the text it took.
fn expand(base: &str, text: &str, paths: &mut BTreeSet<String>) -> usize {
    let word = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    let path = format!("{base}{}", &text[..word]);
    if !text[word..].starts_with('{') {
        paths.insert(path.trim_end_matches("::").to_owned());
        return word;
    }
    let mut at = word + 1;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', ',', '\n', '\t']).len();
        if at >= text.len() || text[at..].starts_with('}') {
            return at + 1;
        }
        let taken = expand(&path, &text[at..], paths);
        // An alias: `x as y`.
        let rest = text[at + taken..].find([',', '}']).unwrap_or(0);
        at += taken + rest.max(usize::from(taken == 0));
    }
}

/// Which file imports which, by module path: the longest module that a named path begins with.
fn imports(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<&str> = sources.iter().map(|source| source.module.as_str()).collect();
    let file_of = |path: &str| {
        let mut path = path;
        loop {
            if modules.contains(path) {
                return Some(path.to_owned());
            }
            path = path.rsplit_once("::")?.0;
        }
    };
    let of = |source: &Source| {
        let mut to: BTreeSet<String> = used(&source.text, &source.module).iter().filter_map(|path| file_of(path)).collect();
        to.remove(&source.module);
        (source.module.clone(), to)
    };
    sources.iter().map(of).collect()
}

fn top(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// What breaks the order of modules, or makes one area of rules depend on another.
fn wrong_edges(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let row = |module: &str| ROWS.iter().position(|row| row.contains(&module));
    let mut wrong = Vec::new();
    for (from, to) in imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
        let (Some(above), Some(below)) = (row(top(from)), row(top(to))) else {
            wrong.push(format!("{from} or {to} has no place in the order of modules"));
            continue;
        };
        if top(from) != top(to) && below <= above {
            wrong.push(format!("{from} imports {to}, which is beside or above it"));
        }
        let area = |module: &str| module.split("::").nth(1).map(str::to_owned);
        if let (Some(one), Some(other)) = (area(from), area(to))
            && top(from) == "rules"
            && top(to) == "rules"
            && one != other
        {
            wrong.push(format!(
                "rules::{one} imports rules::{other}: areas of rules are leaves ({from} → {to})"
            ));
        }
    }
    wrong
}

/// The circles of files that import each other, each as the files in it. A module and its own children are one unit where the child
/// imports its parent and the parent declares it: that alone is no circle, but one that leaves the family and comes back is.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&str> = imports.get(start).into_iter().flatten().map(String::as_str).collect();
        while let Some(module) = next.pop() {
            if seen.insert(module.to_owned()) {
                next.extend(imports.get(module).into_iter().flatten().map(String::as_str));
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = imports.keys().map(|module| (module.as_str(), reach(module))).collect();
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for module in imports.keys().filter(|module| reached[module.as_str()].contains(*module)) {
        let together = reached[module.as_str()]
            .iter()
            .filter(|other| reached[other.as_str()].contains(module));
        found.insert(together.cloned().collect());
    }
    found.into_iter().collect()
}

/// Files of `cmd` that are too long for a verb's flags, plan and wiring.
fn engines(sources: &[Source]) -> Vec<String> {
    let long = |source: &&Source| top(&source.module) == "cmd" && source.text.lines().count() > MOST_LINES_OF_A_VERB;
    sources
        .iter()
        .filter(long)
        .map(|source| format!("{} has more than {MOST_LINES_OF_A_VERB} lines", source.module))
        .collect()
}

#[test]
fn dependencies_point_one_way_and_areas_are_leaves() {
    let imports = imports(&sources());
    let edges: usize = imports.values().map(BTreeSet::len).sum();
    assert!(edges > 500, "only {edges} imports were seen: the test looks at the wrong place");
    let wrong = wrong_edges(&imports);
    assert!(wrong.is_empty(), "{} wrong imports:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles(&imports(&sources()));
    let shown: Vec<String> = circles.iter().map(|circle| circle.join(", ")).collect();
    assert!(circles.is_empty(), "{} circles:\n{}", circles.len(), shown.join("\n"));
}

#[test]
fn a_verb_is_no_engine() {
    let engines = engines(&sources());
    assert!(engines.is_empty(), "{}", engines.join("\n"));
}

#[test]
fn only_cluster_uses_a_client_and_the_core_is_pure() {
    let pure = [
        "rules",
        "model",
        "render",
        "view",
        "facts",
        "findings",
        "diagnosis",
        "readiness",
        "trace",
        "session",
        "drill",
        "text",
    ];
    for source in sources() {
        let has = |needle: &str| source.text.contains(needle);
        if top(&source.module) != "cluster" {
            let talks = ["kube::Client", "kube::client", "kube::Api"].into_iter().find(|needle| has(needle));
            assert_eq!(talks, None, "{} talks to a cluster", source.module);
        }
        if pure.contains(&top(&source.module)) {
            let effects = [
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
            ];
            let effect = effects.into_iter().find(|needle| has(needle));
            assert_eq!(effect, None, "{} must be pure", source.module);
        }
    }
}

/// A small tree of sources, to show that the checks fail when they should.
fn tree(files: &[(&str, &str)]) -> Vec<Source> {
    let source = |(module, text): &(&str, &str)| Source {
        module: (*module).to_owned(),
        text: without_tests(text),
    };
    files.iter().map(source).collect()
}

#[test]
fn a_leaf_that_imports_another_leaf_is_found() {
    let fine = tree(&[("rules::init", "use crate::view::View;"), ("rules::image", ""), ("view", "")]);
    assert!(wrong_edges(&imports(&fine)).is_empty());
    let planted = tree(&[("rules::init", "use crate::rules::image::pull;"), ("rules::image", "")]);
    assert_eq!(
        wrong_edges(&imports(&planted)),
        ["rules::init imports rules::image: areas of rules are leaves (rules::init → rules::image)"]
    );
    let upward = tree(&[("view", "fn f() { crate::rules::check() }"), ("rules", "")]);
    assert_eq!(wrong_edges(&imports(&upward)), ["view imports rules, which is beside or above it"]);
    let only_in_tests = tree(&[
        ("view", "fn f() {}\n#[cfg(test)]\nmod tests {\n use crate::rules::check;\n}"),
        ("rules", ""),
    ]);
    assert!(wrong_edges(&imports(&only_in_tests)).is_empty());
}

#[test]
fn an_engine_in_a_verb_is_found() {
    let planted = "let x = 1;\n".repeat(MOST_LINES_OF_A_VERB + 1);
    assert!(engines(&tree(&[("cmd::wait_ready", "let x = 1;\n"), ("observe::reads", &planted)])).is_empty());
    assert_eq!(
        engines(&tree(&[("cmd::wait_ready", &planted)])),
        ["cmd::wait_ready has more than 300 lines"]
    );
}

#[test]
fn a_circle_of_files_is_found() {
    let fine = tree(&[
        ("a::x", "use crate::a::y::Y;"),
        ("a::y", "use crate::a::z::{self, Z};"),
        ("a::z", ""),
    ]);
    assert!(circles(&imports(&fine)).is_empty());
    let planted = tree(&[
        ("a::x", "use crate::a::{\n    y::Y,\n    z as w,\n};"),
        ("a::y", "use super::z::Z;"),
        ("a::z", "fn f() { crate::a::x::f() }"),
    ]);
    assert_eq!(circles(&imports(&planted)), [["a::x", "a::y", "a::z"]]);
}
