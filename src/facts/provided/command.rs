//! Why a command cannot be executed: its words, the script from a ConfigMap, what is mounted over its folder, the node's architecture.

use kube::ResourceExt;
use serde_json::json;

use crate::facts::provided::path::{file_mode, hidden, patch_mode};
use crate::facts::provided::paths::paths_in;
use crate::facts::provided::spec::{Mounted, Provided, namespace, patch_container};
use crate::facts::runtime;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::text::{redact, shell, shorten};
use crate::view::{ContainerView, Need, Needs, View};

/// `exec: "/boot/start.sh": permission denied`, as the runtime says it.
pub(super) fn of_start(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, message: &str) -> Option<Provided> {
    if !runtime::is_about_program(message) {
        return None;
    }
    let program = runtime::program_of(message, container.spec)?;
    refused(view, needs, container, program, &message.to_lowercase())
}

/// `exec /boot/start.sh: exec format error`, `sh: /boot/start.sh: Permission denied`, as the program or a shell says it.
pub(super) fn of_line(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let lower = line.to_lowercase();
    let speaker = line.split(": ").next().unwrap_or_default();
    let is_shell = shell::is_shell(speaker) && !lower.contains("can't create");
    if !(is_shell || lower.starts_with("exec ") || lower.contains("exec container process") || lower.contains("exec format error")) {
        return None;
    }
    let program = paths_in(line).into_iter().rfind(|path| *path != speaker)?;
    refused(view, needs, container, program, &lower)
}

/// Where a runtime looks for programs unless the image says otherwise.
const PATH: [&str; 6] = ["/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];

fn refused(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, program: &str, message: &str) -> Option<Provided> {
    let is_absent = runtime::is_absent(message);
    if is_absent && let Some(provided) = one_string(view, container, program) {
        return Some(provided);
    }
    if message.contains("exec format error") {
        let script = Script::of(view, needs, container, program);
        return match script {
            Some(script) if !script.kept.starts_with("#!") => Some(script.without_interpreter(view, container)),
            Some(_) => None,
            None => architecture(view, needs, container, program),
        };
    }
    if is_absent {
        // A bare name is looked for in folders, which a mount may hide.
        if !program.contains('/') {
            return PATH
                .iter()
                .find_map(|folder| hidden(view, needs, container, &format!("{folder}/{program}")));
        }
        let Some(script) = Script::of(view, needs, container, program) else {
            return hidden(view, needs, container, program);
        };
        return script.interpreter_missing();
    }
    let mounted = Mounted::of(container, program).filter(|_| runtime::may_not_execute(message))?;
    let mode = file_mode(mounted.volume, mounted.inner(program)).filter(|mode| mode & 0o111 == 0)?;
    let name = &mounted.volume.name;
    Some(
        Provided::new(
            format!("{program} comes from volume {name}, whose files have mode {mode:04o} and may not be executed"),
            format!("set defaultMode: 0555 on volume {name}, or run it as: sh {program}"),
        )
        .command(patch_mode(view, container, mounted.volume, 0o555))
        .seen(
            format!("volume {name}"),
            format!("defaultMode {mode:04o}, mounted at {}", mounted.mount.mount_path),
        ),
    )
}

/// The whole command written as one string is taken for the name of a program.
fn one_string(view: &View<'_>, container: &ContainerView<'_>, program: &str) -> Option<Provided> {
    let spec = container.spec;
    let (field, words) = match (&spec.command, &spec.args) {
        (Some(command), _) if !command.is_empty() => ("command", command),
        (_, Some(args)) => ("args", args),
        _ => return None,
    };
    let first = words
        .first()
        .filter(|first| *first == program && first.trim().contains(char::is_whitespace))?;
    let is_script = first.contains(['|', '&', ';', '<', '>', '$', '`', '(']);
    let mut parted = match is_script {
        true => vec!["sh".to_owned(), "-c".to_owned(), first.clone()],
        false => shell::words(first),
    };
    parted.extend(words.iter().skip(1).cloned());
    let shown = shorten(&redact(&json!(parted).to_string()), 120);
    let patch = patch_container(view, container, json!({field: parted}));
    // A command with a credential is not printed again.
    let patch = patch.filter(|patch| redact(patch.as_str()) == patch.as_str());
    Some(
        Provided::new(
            format!("{field} is one string with blanks, and the whole of it is taken for the name of a program"),
            format!("write each word as an item of its own: {field}: {shown}"),
        )
        .command(patch),
    )
}

/// A program that is a key of a ConfigMap.
struct Script<'a> {
    program: &'a str,
    object: ObjectRef,
    key: String,
    /// What was kept of it: its first line, where that names an interpreter.
    kept: &'a str,
}

impl<'a> Script<'a> {
    fn of(view: &View<'a>, needs: &mut Needs, container: &ContainerView<'a>, program: &'a str) -> Option<Self> {
        let mounted = Mounted::of(container, program)?;
        let map = mounted.volume.config_map.as_ref()?;
        let file = match (mounted.sub_path(), mounted.inner(program)) {
            ("", inner) => inner.to_owned(),
            (sub, "") => sub.to_owned(),
            (sub, inner) => format!("{sub}/{inner}"),
        };
        let item = map.items.iter().flatten().find(|item| item.path == file);
        let key = item.map_or(file, |item| item.key.clone());
        let namespace = namespace(container);
        let object = ObjectRef::new(&kind::CONFIG_MAP, &namespace, &map.name);
        if view.snapshot.config_map_keys(&namespace, &map.name).is_none() {
            needs.need(Need::Object(object));
            return None;
        }
        let maps = &view.snapshot.objects.config_maps;
        let data = maps
            .iter()
            .find(|m| m.name_any() == map.name && m.namespace().as_deref() == Some(&namespace))?
            .data
            .as_ref()?;
        let kept = data.get(&key)?.as_str();
        Some(Self {
            program,
            object,
            key,
            kept,
        })
    }

    fn without_interpreter(self, view: &View<'_>, container: &ContainerView<'_>) -> Provided {
        let (program, map, key) = (self.program, &self.object.name, &self.key);
        let command = container
            .spec
            .command
            .as_ref()
            .filter(|command| command.first().is_some_and(|first| first == program));
        let patch = command.and_then(|command| {
            let with_shell: Vec<&str> = std::iter::once("sh").chain(command.iter().map(String::as_str)).collect();
            patch_container(view, container, json!({"command": with_shell})).filter(|patch| redact(patch.as_str()) == patch.as_str())
        });
        Provided::new(
            format!("{program} is key {key} of ConfigMap {map}, whose first line names no interpreter (#!)"),
            format!("begin {key} of ConfigMap {map} with a line such as #!/bin/sh, or run it as: sh {program}"),
        )
        .command(patch)
        .by(self.object, &self.key)
    }

    /// The file is there: what its first line names is not.
    fn interpreter_missing(self) -> Option<Provided> {
        let (map, key) = (&self.object.name, &self.key);
        let line = self.kept.lines().next()?;
        let interpreter = line.strip_prefix("#!")?;
        let provided = match interpreter
            .strip_suffix('\r')
            .or_else(|| self.kept.starts_with(&format!("{line}\r")).then_some(interpreter))
        {
            Some(plain) => Provided::new(
                format!(
                    "key {key} of ConfigMap {map} has Windows line ends, so that its interpreter would be {plain} with a carriage return"
                ),
                format!("write {key} of ConfigMap {map} with Unix line ends (sed -i 's/\\r$//' {key})"),
            ),
            None => Provided::new(
                format!("key {key} of ConfigMap {map} names the interpreter {interpreter}, which is not in the image"),
                format!("name an interpreter that the image has in the first line of {key}, or use an image with {interpreter}"),
            ),
        };
        Some(provided.by(self.object, &self.key))
    }
}

/// Of a program in the image it is known for which node it must be built.
fn architecture(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, program: &str) -> Option<Provided> {
    let name = container.pod.spec.as_ref()?.node_name.as_deref()?;
    if view.snapshot.coverage(&kind::NODE, "").is_none() {
        needs.need(Need::Object(ObjectRef::new(&kind::NODE, "", name)));
    }
    let node = view.snapshot.objects.nodes.iter().find(|node| node.name_any() == name)?;
    let architecture = &node.status.as_ref()?.node_info.as_ref()?.architecture;
    Some(
        Provided::new(
            format!(
                "node {name} is {architecture}, and {program} in the image is built for another architecture or is a script without #!"
            ),
            format!("use an image for {architecture} (docker manifest inspect lists them), or give the script its first line"),
        )
        .likely()
        .seen(format!("node/{name}"), format!("architecture {architecture}")),
    )
}
