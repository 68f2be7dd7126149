//! Looks at the sockets of a pod from an ephemeral container, where none of its own containers can tell.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::cluster::{ApiErrorKind, Connection, LogQuery, Patch, WriteOptions};
use crate::facts::runtime::lacks_program;
use crate::model::security::{NOBODY, restricted};
use crate::model::sockets::PodSockets;
use crate::model::{kind, sockets};
use crate::observe::sockets::{TABLE_HEADING, TABLES, Unseen};
use crate::text::{command, sanitise, shorten};

/// How long an ephemeral container may take to be pulled, started and to end.
const DEBUG_LIMIT: Duration = Duration::from_secs(60);
/// How the name of every such container begins.
const DEBUG_NAME: &str = "podlife-sockets-";
/// How often the pod is looked at meanwhile.
const DEBUG_PERIOD: Duration = Duration::from_millis(500);

/// Adds an ephemeral container that prints the tables, waits for its end and reads its log. It stays in the pod's spec: Kubernetes cannot
/// take ephemeral containers away again. It is as restricted as Pod Security can ask for. One that an earlier run added and that is still
/// at it is waited for, and where one could not be started with this image another one is not added to fail alike.
pub(crate) async fn by_debug_container(
    connection: &Connection,
    namespace: &str,
    pod: &str,
    image: &str,
    added: &Mutex<Vec<String>>,
) -> Result<PodSockets, Unseen> {
    let before = connection
        .get(&kind::POD, Some(namespace), pod, false)
        .await
        .map_err(Unseen::Api)?
        .unwrap_or_default();
    let name = match earlier_debug_container(&before, image) {
        Some((name, Attempt::Failed)) => return Err(printed_none(&before, &name, image)),
        Some((name, Attempt::Running)) => name,
        Some((_, Attempt::Ended)) | None => add_debug_container(connection, namespace, pod, image, added).await?,
    };
    let deadline = Instant::now() + DEBUG_LIMIT;
    let mut object;
    loop {
        object = connection
            .get(&kind::POD, Some(namespace), pod, false)
            .await
            .map_err(Unseen::Api)?
            .unwrap_or_default();
        if attempt(&object, &name) != Attempt::Running || Instant::now() >= deadline {
            break;
        }
        sleep_until(deadline.min(Instant::now() + DEBUG_PERIOD)).await;
    }
    let query = LogQuery {
        limit_bytes: Some(1 << 20),
        ..LogQuery::default()
    };
    // Of a container that never started there is no log.
    let text = match connection.log(namespace, pod, &name, &query).await {
        Ok(text) => text,
        Err(error) if error.kind == ApiErrorKind::Forbidden => return Err(Unseen::Api(error)),
        Err(_) => String::new(),
    };
    // No table at all is not the same as a table without a listener.
    if !text.contains(TABLE_HEADING) {
        return Err(printed_none(&object, &name, image));
    }
    Ok(PodSockets {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        seen_from: format!("debug container {name}"),
        sockets: sockets::parse(&text),
    })
}

/// Why an ephemeral container has printed nothing, by what its status says.
fn printed_none(object: &Value, name: &str, image: &str) -> Unseen {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (pod, namespace) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
    let status = ephemeral_status(object, name);
    let states = ["state", "lastState"].map(|which| &status[which]);
    let said = states
        .iter()
        .flat_map(|state| [&state["terminated"], &state["waiting"]])
        .find(|why| why["message"].is_string());
    let describe = command("kubectl describe pod {} -n {}", &[&pod, &namespace]);
    Unseen::Because(match said {
        Some(why) if lacks_program(&text(&why["message"])) => {
            format!("image {image} has no cat, which the ephemeral container {name} was to run: name another image, such as busybox")
        }
        Some(why) => format!(
            "the ephemeral container {name} was not started ({}: {}): {describe}",
            text(&why["reason"]),
            shorten(text(&why["message"]).trim(), 160)
        ),
        None => {
            format!("the ephemeral container {name} printed none (does image {image} have cat?): {describe}")
        }
    })
}

/// The status of an ephemeral container; null where there is none yet.
fn ephemeral_status<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let statuses = pod["status"]["ephemeralContainerStatuses"].as_array();
    let own = statuses.and_then(|all| all.iter().find(|status| status["name"] == *name));
    own.unwrap_or(&Value::Null)
}

/// How an ephemeral container has fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// It runs, or is still to be started.
    Running,
    /// It has done its work.
    Ended,
    /// It could not be started, or failed.
    Failed,
}

fn attempt(pod: &Value, name: &str) -> Attempt {
    let status = ephemeral_status(pod, name);
    if status.is_null() {
        return Attempt::Running;
    }
    let waiting = status["state"]["waiting"]["reason"].as_str().unwrap_or_default();
    let is_hopeless = matches!(
        waiting,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "StartError"
            | "CrashLoopBackOff"
    );
    // A runtime that cannot start a command ends the container with a reason of its own; a table that is not there makes `cat` fail.
    let end = &status["state"]["terminated"];
    let never_ran = end["exitCode"].as_i64().is_some_and(|code| code >= 126);
    match (
        is_hopeless || never_ran || status["lastState"]["terminated"].is_object(),
        end.is_object(),
    ) {
        (true, _) => Attempt::Failed,
        (false, true) => Attempt::Ended,
        (false, false) => Attempt::Running,
    }
}

/// The newest container that an earlier run added with this image.
fn earlier_debug_container(pod: &Value, image: &str) -> Option<(String, Attempt)> {
    let all = pod["spec"]["ephemeralContainers"].as_array()?;
    let own = |c: &&Value| c["image"] == *image && c["name"].as_str().is_some_and(|name| name.starts_with(DEBUG_NAME));
    let name = all.iter().rfind(own)?["name"].as_str()?.to_owned();
    let fared = attempt(pod, &name);
    Some((name, fared))
}

async fn add_debug_container(
    connection: &Connection,
    namespace: &str,
    pod: &str,
    image: &str,
    added: &Mutex<Vec<String>>,
) -> Result<String, Unseen> {
    let name = format!("{DEBUG_NAME}{:x}", Timestamp::now().as_millisecond());
    let container = json!({
        "name": name,
        "image": image,
        "command": ["cat"],
        "args": TABLES,
        "securityContext": restricted(NOBODY),
    });
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [container]}}));
    connection
        .patch(
            &kind::POD,
            Some(namespace),
            pod,
            Some("ephemeralcontainers"),
            &patch,
            &WriteOptions::default(),
        )
        .await
        .map_err(Unseen::Api)?;
    if let Ok(mut added) = added.lock() {
        added.push(format!(
            "{name} with image {} to pod/{pod} in namespace {namespace}",
            sanitise(image)
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_container_that_cannot_work_is_not_added_again() {
        let pod = |state: Value| {
            json!({
                "spec": {"ephemeralContainers": [{"name": "podlife-sockets-1", "image": "scratch:1"}]},
                "status": {"ephemeralContainerStatuses": [{"name": "podlife-sockets-1", "state": state}]},
            })
        };
        for (state, expected) in [
            (json!({"waiting": {"reason": "RunContainerError"}}), Attempt::Failed),
            (json!({"terminated": {"exitCode": 128, "reason": "StartError"}}), Attempt::Failed),
            (json!({"terminated": {"exitCode": 1}}), Attempt::Ended),
            (json!({"terminated": {"exitCode": 0}}), Attempt::Ended),
            (json!({"running": {}}), Attempt::Running),
            (json!({"waiting": {"reason": "ContainerCreating"}}), Attempt::Running),
        ] {
            let found = earlier_debug_container(&pod(state.clone()), "scratch:1");
            assert_eq!(found.map(|(_, fared)| fared), Some(expected), "{state}");
        }
        assert_eq!(earlier_debug_container(&pod(json!({})), "busybox:1"), None);
    }

    #[test]
    fn the_failure_of_a_debug_container_is_reported() {
        for (state, says) in [
            (
                json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: \"cat\": executable file not found in $PATH"}}),
                "image scratch:1 has no cat",
            ),
            (
                json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
                "was not started (ErrImagePull: not found): kubectl describe pod api -n shop",
            ),
            (json!({"running": {}}), "printed none (does image scratch:1 have cat?)"),
        ] {
            let pod = json!({
                "metadata": {"name": "api", "namespace": "shop"},
                "status": {"ephemeralContainerStatuses": [{"name": "podlife-sockets-1", "state": state}]},
            });
            let Unseen::Because(why) = printed_none(&pod, "podlife-sockets-1", "scratch:1") else {
                panic!("it is no fault of the API server")
            };
            assert!(why.contains(says), "{why}");
        }
    }
}
