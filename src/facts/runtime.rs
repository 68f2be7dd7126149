//! What container runtimes say when they cannot start a program. runc writes `exec: "/app": permission denied`, crun writes
//! "executable file `/app` not found in $PATH: No such file or directory" and `open executable: Permission denied`.

use k8s_openapi::api::core::v1::Container;

use crate::text::{redact, shorten};

/// Whether the program is not in the image.
pub fn lacks_program(message: &str) -> bool {
    has(
        message,
        &[
            "executable file not found",
            "not found in $path",
            "no such file or directory",
            "command not found",
        ],
    )
}

/// Whether the user of the container may not execute the program.
pub fn may_not_execute(message: &str) -> bool {
    has(message, &["permission denied", "open executable: operation not permitted"])
}

/// Whether it is the program that cannot be executed, and not a mount or a folder.
pub fn is_about_program(message: &str) -> bool {
    has(
        message,
        &["exec: ", "exec /", "exec format error", "executable file `", "open executable: "],
    )
}

/// Whether the program, or what it is started with, is not there.
pub fn is_absent(message: &str) -> bool {
    lacks_program(message) || message.contains("not found")
}

/// The program that a message is about: the one that it names, else the first word of the command.
pub fn program_of<'a>(message: &'a str, container: &'a Container) -> Option<&'a str> {
    named(message).or_else(|| container.command.as_ref()?.first().map(String::as_str))
}

/// The program that a message names.
fn named(message: &str) -> Option<&str> {
    let between = |before: &str, after: &str| {
        let rest = message.split_once(before)?.1;
        Some(rest.split_once(after).map_or(rest, |(program, _)| program))
    };
    between("exec: \"", "\": ").or_else(|| between("executable file `", "`"))
}

/// Where a runtime was to mount something.
pub fn mount_target(message: &str) -> Option<String> {
    if let Some((_, rest)) = message.split_once("to rootfs at \"") {
        return rest.split('"').next().map(str::to_owned);
    }
    let target = message.split_once(" mount `")?.1.split_once("` to `")?.1.split('`').next()?;
    Some(format!("/{}", target.trim_start_matches('/')))
}

/// The part of a message that matters stands behind the words of each layer.
pub fn tail_of(message: &str) -> String {
    let layers = [
        "unable to start container process: ",
        "OCI runtime create failed: ",
        "OCI runtime exec failed: ",
        "container create failed: ",
    ];
    let after = layers
        .iter()
        .find_map(|layer| message.split_once(layer))
        .map_or(message, |(_, tail)| tail);
    shorten(&redact(after.trim_end_matches(": unknown")), 200)
}

fn has(message: &str, words: &[&str]) -> bool {
    let lower = message.to_lowercase();
    words.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runc_and_crun_are_understood() {
        let runc = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/nosuch\": stat /nosuch: no such file or directory: unknown";
        let crun = "failed to create shim task: OCI runtime create failed: executable file `/nosuch` not found in $PATH: No such file or directory: unknown";
        for message in [runc, crun] {
            assert!(
                is_about_program(message) && lacks_program(message) && !may_not_execute(message),
                "{message}"
            );
            assert_eq!(named(message), Some("/nosuch"));
        }
        assert_eq!(
            tail_of(crun),
            "executable file `/nosuch` not found in $PATH: No such file or directory"
        );
        for message in [
            "OCI runtime create failed: open executable: Permission denied: unknown",
            "open executable: Operation not permitted",
        ] {
            assert!(
                is_about_program(message) && may_not_execute(message) && named(message).is_none(),
                "{message}"
            );
        }
    }

    #[test]
    fn a_mount_and_a_folder_are_no_program() {
        let runc = "unable to start container process: error during container init: error mounting \"/var/lib/kubelet/x\" to rootfs at \"/etc/app.conf\": not a directory";
        let crun = "OCI runtime create failed: mount `/var/lib/kubelet/x` to `etc/app.conf`: Not a directory: unknown";
        for message in [runc, crun] {
            assert!(!is_about_program(message), "{message}");
            assert_eq!(mount_target(message).as_deref(), Some("/etc/app.conf"));
        }
        assert!(!is_about_program("chdir `/etc/passwd`: Not a directory"));
        assert_eq!(mount_target("chdir `/etc/passwd`: Not a directory"), None);
    }
}
