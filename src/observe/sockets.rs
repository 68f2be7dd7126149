//! Reads the listening sockets of a pod by running a command in its containers.

use std::time::Duration;

use futures::future::join_all;

use crate::cluster::{ApiError, ApiErrorKind, Connection};
use crate::facts::runtime::lacks_program;
use crate::model::sockets;
use crate::model::sockets::PodSockets;
use crate::text::shorten;

/// How long a command in a container may take.
const EXEC_LIMIT: Duration = Duration::from_secs(10);

/// Where the kernel tells which sockets there are.
pub(crate) const TABLES: [&str; 4] = ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"];
/// In the first line of each table.
pub(crate) const TABLE_HEADING: &str = "local_address";
/// For images with a shell but without `cat`.
const READ_WITH_SHELL: &str = "for f in /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6; do \
    [ -r $f ] && while IFS= read -r l; do echo \"$l\"; done < $f; done";
/// The open files of every process that the container sees.
const LIST_FILES: &str = "ls -l /proc/[0-9]*/fd 2>/dev/null";

/// Why the sockets of a pod could not be seen.
#[derive(Debug)]
pub enum Unseen {
    /// The API server, or the kubelet behind it, did not let us look.
    Api(ApiError),
    /// There was nothing to look with.
    Because(String),
}

/// Reads the tables in the first container that can print them.
pub(crate) async fn by_exec(connection: &Connection, namespace: &str, pod: &str, running: &[String]) -> Result<PodSockets, Unseen> {
    let mut unseen = Unseen::Because("none of its containers runs".to_owned());
    for container in running {
        for command in [
            &["cat", TABLES[0], TABLES[1], TABLES[2], TABLES[3]] as &[&str],
            &["sh", "-c", READ_WITH_SHELL],
        ] {
            let why = match connection.exec(namespace, pod, container, command, EXEC_LIMIT).await {
                // A table that is not there (no IPv6) makes `cat` fail after it has printed the others.
                Ok(output) if output.stdout.contains(TABLE_HEADING) => {
                    let mut sockets = sockets::parse(&output.stdout);
                    name_owners(connection, namespace, pod, running, &mut sockets).await;
                    return Ok(PodSockets {
                        namespace: namespace.to_owned(),
                        pod: pod.to_owned(),
                        seen_from: format!("container {container}"),
                        sockets,
                    });
                }
                Ok(output) => output.why,
                // An old runtime refuses the whole request where the program is not there.
                Err(error) if lacks_program(&error.message) => error.message.clone(),
                // If exec is forbidden, another command is forbidden too.
                Err(error) => {
                    unseen = Unseen::Api(error);
                    break;
                }
            };
            // Another container may tell; what kept us out of one is worth more than that the next has no shell.
            if matches!(unseen, Unseen::Because(_)) {
                unseen = Unseen::Because(if lacks_program(&why) {
                    "no container has cat or sh; --debug-image IMAGE looks from an ephemeral container".to_owned()
                } else {
                    format!("{} in container {container} printed none: {}", command[0], shorten(why.trim(), 160))
                });
            }
        }
        if matches!(&unseen, Unseen::Api(error) if error.kind == ApiErrorKind::Forbidden || error.is_fatal_for_api()) {
            break;
        }
    }
    Err(unseen)
}

/// Finds whose process holds each socket. A socket that several containers see (shared process namespace) has no owner.
async fn name_owners(connection: &Connection, namespace: &str, pod: &str, running: &[String], sockets: &mut [sockets::Socket]) {
    if let [only] = running {
        for socket in sockets.iter_mut() {
            socket.container = Some(only.clone());
        }
        return;
    }
    let seen = join_all(running.iter().map(|container| async move {
        let listed = connection
            .exec(namespace, pod, container, &["sh", "-c", LIST_FILES], EXEC_LIMIT)
            .await;
        sockets::inodes(&listed.map(|output| output.stdout).unwrap_or_default())
    }))
    .await;
    for socket in sockets.iter_mut() {
        let mut holders = running.iter().zip(&seen).filter(|(_, inodes)| inodes.contains(&socket.inode));
        socket.container = match (holders.next(), holders.next()) {
            (Some((holder, _)), None) => Some(holder.clone()),
            _ => None,
        };
    }
}
