//! What a container waits for in a loop and never gets: a file that nothing puts into its volume, a Job that does not exist or has failed.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt;

use crate::facts::provided;
use crate::facts::provided::Provided;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef};
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::text::{command, shell};
use crate::view::{ContainerView, Needs, View};

/// What a script waits for before it does anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A file or folder.
    File(String),
    /// A Job by its name.
    Job(String),
}

impl Awaited {
    /// `the file /config/app.yaml`, `Job migrate`
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => format!("the file {path}"),
            Self::Job(name) => format!("Job {name}"),
        }
    }
}

/// Why what a container waits for never comes.
pub enum Never {
    /// Nothing in the spec provides it.
    Provided(Provided),
    /// The Job does not exist.
    JobMissing(ObjectRef),
    /// The Job has failed.
    JobFailed(ObjectRef),
}

impl Never {
    /// Adds why it never comes, and what to do.
    pub fn explain(self, view: &View<'_>, container: &ContainerView<'_>, finding: Finding) -> Finding {
        match self {
            Self::Provided(provided) => provided.explain(view, container.pod, finding),
            Self::JobMissing(job) => {
                let get = command("kubectl get jobs -n {}", &[&job.namespace]);
                finding
                    .confidence(Confidence::Likely)
                    .explained(&format!("namespace {} has no Job {}", job.namespace, job.name))
                    .fix_command(
                        format!(
                            "create Job {}, or correct the name; a finished Job with ttlSecondsAfterFinished is deleted",
                            job.name
                        ),
                        get,
                    )
                    .related("waits-for", job)
            }
            Self::JobFailed(job) => finding
                .explained(&format!("Job {} has failed", job.name))
                .fix_command(
                    format!("see why Job {} fails, and run it again", job.name),
                    command("kubectl podlife diagnose job/{} -n {}", &[&job.name, &job.namespace]),
                )
                .suffering(Effect::NotReady(job.clone()))
                .suffering(Effect::Object(job.clone()))
                .related("waits-for", job),
        }
    }
}

/// What a running container waits for, and why it never comes. None where it may come.
pub fn in_vain(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>) -> Option<(Awaited, Never)> {
    let awaited = of_command(container.spec)?;
    let never = match &awaited {
        Awaited::File(path) => Never::Provided(provided::of_awaited(view, needs, container, path)?),
        Awaited::Job(name) => {
            let namespace = container.pod.namespace().unwrap_or_default();
            needs.list(view, &kind::JOB, &namespace);
            let object = ObjectRef::new(&kind::JOB, &namespace, name);
            match view.snapshot.presence(&kind::JOB, &namespace, name) {
                Presence::Absent => Never::JobMissing(object),
                Presence::Present if has_failed(view, &object) => Never::JobFailed(object),
                _ => return None,
            }
        }
    };
    Some((awaited, never))
}

fn has_failed(view: &View<'_>, object: &ObjectRef) -> bool {
    let fails = |job: &Job| {
        let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|c| c.type_ == "Failed" && c.status == "True")
    };
    let jobs = &view.snapshot.objects.jobs;
    jobs.iter()
        .any(|job| job.name_any() == object.name && job.namespace().as_deref() == Some(&object.namespace) && fails(job))
}

/// Programs that end by themselves and bring nothing about that a script could wait for.
const HARMLESS: [&str; 6] = ["echo", "printf", "set", "export", "sleep", "date"];

/// What the first loop of a command waits for, where nothing before it could bring that about.
fn of_command(spec: &Container) -> Option<Awaited> {
    let words: Vec<String> = spec.command.iter().chain(&spec.args).flatten().cloned().collect();
    let commands = shell::commands(&words);
    let first = commands
        .iter()
        .find(|command| !command.first().is_some_and(|program| HARMLESS.contains(&program.as_str())))?;
    let words: Vec<&str> = first.iter().map(String::as_str).collect();
    let condition = match words.as_slice() {
        ["until", condition @ ..] => condition,
        ["while", "!", condition @ ..] => condition,
        ["while", open @ ("[" | "[[" | "test"), "!", rest @ ..] => return file(open, rest),
        // The image k8s-wait-for takes kind and name.
        ["job" | "job-wr" | "job-we", name] if spec.image.as_deref().is_some_and(|image| image.contains("k8s-wait-for")) => {
            return Some(Awaited::Job((*name).to_owned()));
        }
        _ => return None,
    };
    match condition {
        [open @ ("[" | "[[" | "test"), rest @ ..] => file(open, rest),
        ["ls" | "cat" | "stat", rest @ ..] => path(rest.iter().find(|word| !word.starts_with('-'))?),
        ["kubectl", "wait" | "get", rest @ ..] => job(rest),
        _ => None,
    }
}

/// `[ -f /config/app.yaml ]`, and nothing else.
fn file(open: &str, words: &[&str]) -> Option<Awaited> {
    let words = match open {
        "test" => words,
        _ => words.strip_suffix(&["]"]).or_else(|| words.strip_suffix(&["]]"]))?,
    };
    match words {
        ["-f" | "-e" | "-s" | "-r" | "-d", file] => path(file),
        _ => None,
    }
}

fn path(word: &str) -> Option<Awaited> {
    (word.starts_with('/') && !word.contains(['$', '*', '?', '`'])).then(|| Awaited::File(word.to_owned()))
}

/// `job/migrate`, `job migrate`, in the namespace of the pod.
fn job(words: &[&str]) -> Option<Awaited> {
    if words
        .iter()
        .any(|word| matches!(*word, "-n" | "-A") || word.starts_with("--namespace"))
    {
        return None;
    }
    let is_kind = |word: &str| matches!(word, "job" | "jobs" | "job.batch" | "jobs.batch");
    let plain: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let name = match plain.as_slice() {
        [first, name, ..] if is_kind(first) => *name,
        [first, ..] => first.split_once('/').filter(|(kind, _)| is_kind(kind))?.1,
        [] => return None,
    };
    (!name.contains(['$', '/', '>'])).then(|| Awaited::Job(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(script: &str) -> Option<Awaited> {
        of_command(&Container {
            command: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            ..Container::default()
        })
    }

    #[test]
    fn a_loop_at_the_start_of_a_script_says_what_is_awaited() {
        let file = |path: &str| Some(Awaited::File(path.to_owned()));
        let job = |name: &str| Some(Awaited::Job(name.to_owned()));
        for (script, expected) in [
            (
                "until [ -f /config/app.yaml ]; do echo waiting; sleep 1; done; exec app",
                file("/config/app.yaml"),
            ),
            ("set -e\necho start\nwhile [ ! -e /c/ready ]\ndo sleep 1\ndone", file("/c/ready")),
            ("while ! test -s /c/a; do sleep 1; done", file("/c/a")),
            ("until ls -l /c/a >/dev/null 2>&1; do sleep 1; done", file("/c/a")),
            ("until [[ -f /c/a ]]; do sleep 1; done", file("/c/a")),
            (
                "until kubectl wait --for=condition=complete job/migrate --timeout=5s; do sleep 1; done",
                job("migrate"),
            ),
            ("until kubectl get jobs migrate; do sleep 1; done", job("migrate")),
            // What stands before the loop may bring it about; a loop as long as something is there waits for its end; a name may be anything.
            ("download & until [ -f /c/a ]; do sleep 1; done", None),
            ("while [ -f /c/lock ]; do sleep 1; done", None),
            ("while test -f /c/lock; do sleep 1; done", None),
            ("until [ -f $FILE ]; do sleep 1; done", None),
            ("until [ -f /c/a -o -f /c/b ]; do sleep 1; done", None),
            (
                "until kubectl wait -n other --for=condition=complete job/migrate; do sleep 1; done",
                None,
            ),
            ("until kubectl get pods web; do sleep 1; done", None),
            ("until nc -z db 5432; do sleep 1; done", None),
            ("app; until [ -f /c/a ]; do sleep 1; done", None),
        ] {
            assert_eq!(of(script), expected, "{script}");
        }
        let wait_for = |image: &str| {
            of_command(&Container {
                image: Some(image.to_owned()),
                args: Some(["job", "migrate"].map(str::to_owned).to_vec()),
                ..Container::default()
            })
        };
        assert_eq!(wait_for("groundnuty/k8s-wait-for:v2.0"), job("migrate"));
        assert_eq!(wait_for("app:1"), None);
    }
}
