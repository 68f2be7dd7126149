//! Objects from files: snapshots, what kubectl prints, dumps and manifests. Read-only; nothing asks a server.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde_json::Value;

use crate::model::kind;
use crate::model::kind::Kind;
use crate::model::snapshot::{Coverage, LogKey, Snapshot};

/// A file larger than this is not an object of a cluster.
const MAX_BYTES: u64 = 512 << 20;

/// Documents read from files, and the logs that a dump has beside them.
#[derive(Default)]
pub struct Documents {
    /// Objects, Lists taken apart, in the order of the files.
    pub objects: Vec<Value>,
    /// A saved snapshot, if one was among them.
    pub snapshot: Option<Value>,
    /// Logs from the folders of a `cluster-info dump`.
    pub logs: Vec<(LogKey, String)>,
    /// Kinds of which a List was read: in its namespaces it is taken as complete.
    lists: BTreeSet<(Kind, String)>,
    /// The newest modification time of the files.
    newest: Option<Timestamp>,
}

/// Reads files, folders (with `recursive` also those below) and, for `-`, standard input.
pub fn read(paths: &[String], recursive: bool, stdin: &mut dyn Read) -> anyhow::Result<Documents> {
    let mut documents = Documents::default();
    for path in paths {
        if path == "-" {
            let mut text = String::new();
            stdin.take(MAX_BYTES).read_to_string(&mut text).context("reading standard input")?;
            documents.take_in(&text, "standard input")?;
            continue;
        }
        let metadata = fs::metadata(path).with_context(|| format!("reading {path}"))?;
        if metadata.is_dir() {
            let files = files_of(Path::new(path), recursive || is_dump(Path::new(path)))?;
            if files.is_empty() {
                bail!("{path} holds no .json, .yaml or .yml file");
            }
            for file in files {
                documents.file(&file)?;
            }
        } else {
            documents.file(Path::new(path))?;
        }
    }
    Ok(documents)
}

/// A `kubectl cluster-info dump` has a folder per namespace, and its lists go one level down.
fn is_dump(folder: &Path) -> bool {
    folder.join("nodes.json").exists() || folder.join("nodes.yaml").exists()
}

fn files_of(folder: &Path, recursive: bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("reading folder {}", folder.display()))?
        .collect::<Result<_, _>>()
        .with_context(|| format!("reading folder {}", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            if recursive {
                files.extend(files_of(&path, true)?);
            }
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("json" | "yaml" | "yml"))
            || path.file_name().is_some_and(|n| n == "logs.txt")
        {
            files.push(path);
        }
    }
    Ok(files)
}

impl Documents {
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        let metadata = fs::metadata(path).with_context(|| format!("reading {shown}"))?;
        if metadata.len() > MAX_BYTES {
            bail!("{shown} is larger than {} MiB", MAX_BYTES >> 20);
        }
        if let Some(written) = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok()) {
            self.newest = self.newest.max(Some(written));
        }
        let text = String::from_utf8_lossy(&fs::read(path).with_context(|| format!("reading {shown}"))?).into_owned();
        if path.file_name().is_some_and(|n| n == "logs.txt") {
            self.dump_logs(&text);
            return Ok(());
        }
        self.take_in(&text, &shown.to_string())
    }

    fn take_in(&mut self, text: &str, source: &str) -> anyhow::Result<()> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            return Ok(());
        }
        let documents: Vec<Value> = if text.trim_start().starts_with('{') {
            serde_json::Deserializer::from_str(text)
                .into_iter::<Value>()
                .collect::<Result<_, _>>()
                .or_else(|json_error| documents_of_yaml(text).map_err(|_| json_error))
                .with_context(|| format!("reading {source} as JSON"))?
        } else {
            documents_of_yaml(text)
                .map_err(|error| anyhow::anyhow!("{}", first_line(&error.to_string())))
                .with_context(|| format!("reading {source} as YAML"))?
        };
        for document in documents {
            if document.is_null() {
                continue;
            }
            if !document.is_object() || document["kind"].as_str().is_none() {
                bail!("{source} holds a document without apiVersion and kind");
            }
            if let Some(version) = document["apiVersion"].as_str().filter(|v| v.starts_with("podlife/")) {
                if document["kind"] != "Snapshot" {
                    bail!(
                        "{source} is a {}, not objects of a cluster",
                        document["kind"].as_str().unwrap_or_default()
                    );
                }
                if version != "podlife/v1" {
                    bail!("{source} is a snapshot of version {version}; this podlife reads podlife/v1");
                }
                if self.snapshot.replace(document).is_some() {
                    bail!("{source}: only one snapshot can be judged at a time");
                }
            } else {
                self.object(document);
            }
        }
        Ok(())
    }

    fn object(&mut self, mut document: Value) {
        let name = document["kind"].as_str().unwrap_or_default().to_owned();
        // Go writes an empty list as null.
        if name.ends_with("List") && document.get("items").is_some_and(Value::is_null) {
            return;
        }
        let Some(items) = document.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take) else {
            self.objects.push(document);
            return;
        };
        let api_version = document["apiVersion"].clone();
        // A typed list names its kind once for all items; kubectl's own List names it in each.
        let of_list = name.strip_suffix("List").filter(|kind| !kind.is_empty());
        for mut item in items {
            if item["kind"].is_null()
                && let Some(kind) = of_list
            {
                item["kind"] = kind.into();
                item["apiVersion"] = api_version.clone();
            }
            if let Some(kind) = kind::of_object(
                item["apiVersion"].as_str().unwrap_or_default(),
                item["kind"].as_str().unwrap_or_default(),
            ) {
                let namespace = item["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
                self.lists.insert((kind.clone(), namespace));
            }
            self.object(item);
        }
    }

    /// `NAMESPACE/POD/logs.txt` of a dump: sections between `==== START logs for container C of pod NS/POD ====` lines.
    fn dump_logs(&mut self, text: &str) {
        let mut open: Option<(LogKey, String)> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("==== START logs for container ") {
                let rest = rest.trim_end_matches(" ====");
                if let Some((container, pod)) = rest.split_once(" of pod ") {
                    let (namespace, pod) = pod.split_once('/').unwrap_or(("default", pod));
                    open = Some((
                        LogKey {
                            namespace: namespace.to_owned(),
                            pod: pod.to_owned(),
                            container: container.to_owned(),
                            previous: false,
                        },
                        String::new(),
                    ));
                }
            } else if line.starts_with("==== END logs for container ") {
                self.logs.extend(open.take());
            } else if let Some((_, log)) = &mut open {
                log.push_str(line);
                log.push('\n');
            }
        }
    }

    /// Makes a snapshot of the documents. Lists count as complete only where `complete`: a partial dump proves no absence.
    /// `taken_at`: when the objects were read, where the user says so.
    pub fn into_snapshot(
        self,
        namespace: Option<&str>,
        taken_at: Option<Timestamp>,
        now: Timestamp,
    ) -> anyhow::Result<(Snapshot, Vec<String>)> {
        let mut warnings = Vec::new();
        let (mut snapshot, bad) = match self.snapshot {
            Some(saved) => Snapshot::from_json(saved).map_err(|e| anyhow::anyhow!("{e}"))?,
            None => (Snapshot::new(now, true), Vec::new()),
        };
        warnings.extend(bad.iter().map(ToString::to_string));
        if !self.objects.is_empty() {
            snapshot.namespaces = namespace.map(str::to_owned).into_iter().collect();
            snapshot.taken_at = newest_time(&self.objects).or(self.newest).map_or(now, |newest| newest.min(now));
            snapshot.has_clock = false;
            snapshot.local = true;
            for object in self.objects {
                if let Err(bad) = snapshot.insert(object) {
                    warnings.push(bad.to_string());
                }
            }
            for (kind, of_namespace) in self.lists {
                snapshot.cover(&kind, Some(&of_namespace), Coverage::Partial);
            }
            snapshot.namespaces.clear();
        }
        if let Some(taken_at) = taken_at {
            (snapshot.taken_at, snapshot.has_clock) = (taken_at, true);
        }
        for (key, text) in self.logs {
            snapshot.put_log(key, Some(text));
        }
        snapshot.sort();
        Ok((snapshot, warnings))
    }
}

/// The newest time that the objects mention: the moment that their ages are counted from.
fn newest_time(objects: &[Value]) -> Option<Timestamp> {
    fn visit(value: &Value, newest: &mut Option<Timestamp>) {
        match value {
            Value::String(text) if text.len() >= 20 && text.len() <= 35 && text.ends_with('Z') => {
                if let Ok(time) = text.parse::<Timestamp>() {
                    *newest = (*newest).max(Some(time));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, newest)),
            Value::Object(fields) => fields
                .iter()
                .filter(|(name, _)| *name != "spec" && *name != "data")
                .for_each(|(_, field)| visit(field, newest)),
            _ => {}
        }
    }
    let mut newest = None;
    objects.iter().for_each(|object| visit(object, &mut newest));
    newest
}

/// Reads a stream of YAML documents. Lists of a large cluster go beyond the library's default budget of nodes; what an alias may expand to
/// stays bounded.
fn documents_of_yaml(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: usize::MAX, max_events: usize::MAX, max_total_scalar_bytes: usize::MAX, max_reader_input_bytes: None, max_documents: usize::MAX, },
        // `defaultMode: 0555` is octal to kubectl.
        legacy_octal_numbers: true,
    };
    serde_saphyr::from_multiple_with_options(text, options)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Documents {
        read(&["-".to_owned()], false, &mut text.as_bytes()).unwrap()
    }

    #[test]
    fn lists_single_objects_and_streams_of_documents_are_read() {
        let list = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}]}"#;
        assert_eq!(documents(list).objects.len(), 1);
        let typed = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n";
        assert_eq!(documents(typed).objects[1]["kind"], "Pod");
        let stream = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\n---\n---\nkind: Pod\napiVersion: v1\nmetadata: {name: b}\n";
        assert_eq!(documents(stream).objects.len(), 2);
    }

    #[test]
    fn modes_of_files_are_octal_as_for_kubectl() {
        let pod = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {defaultMode: 0555, port: 80, name: '0555'}\n";
        assert_eq!(
            documents(pod).objects[0]["spec"],
            serde_json::json!({"defaultMode": 365, "port": 80, "name": "0555"})
        );
    }

    #[test]
    fn a_document_that_is_no_object_is_an_error() {
        assert!(read(&["-".to_owned()], false, &mut "hello: world".as_bytes()).is_err());
        assert!(read(&["-".to_owned()], false, &mut "a: [".as_bytes()).is_err());
    }

    #[test]
    fn now_is_the_newest_time_of_the_input() {
        let text = "kind: Pod\napiVersion: v1\nmetadata: {name: a, creationTimestamp: '2020-01-01T00:00:00Z'}\nspec: {containers: []}\nstatus: {startTime: '2020-01-01T00:00:07Z'}\n";
        let (snapshot, warnings) = documents(text)
            .into_snapshot(None, None, "2026-01-01T00:00:00Z".parse().unwrap())
            .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(
            (snapshot.taken_at.to_string().as_str(), snapshot.has_clock),
            ("2020-01-01T00:00:07Z", false)
        );
        let told = "2020-01-01T00:10:00Z".parse().unwrap();
        let (snapshot, _) = documents(text)
            .into_snapshot(None, Some(told), "2026-01-01T00:00:00Z".parse().unwrap())
            .unwrap();
        assert_eq!((snapshot.taken_at, snapshot.has_clock), (told, true));
    }

    #[test]
    fn logs_of_a_dump_are_found() {
        let mut documents = Documents::default();
        documents
            .dump_logs("==== START logs for container c of pod shop/a ====\none\ntwo\n==== END logs for container c of pod shop/a ====\n");
        assert_eq!(documents.logs[0].0.pod, "a");
        assert_eq!(documents.logs[0].1, "one\ntwo\n");
    }
}
