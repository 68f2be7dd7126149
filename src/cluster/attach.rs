//! A process in a container with its streams: a command that is started there, or the container's own process.

use hyper::body::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::cluster::Connection;
use crate::cluster::channels::{Incoming, KEEP_ALIVE, Outgoing};
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::read::{collection, escape};
use crate::model::kind;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;

/// Which container of which pod.
#[derive(Clone, Copy, Debug)]
pub struct PodContainer<'a> {
    /// Namespace of the pod.
    pub namespace: &'a str,
    /// The pod.
    pub pod: &'a str,
    /// The container.
    pub container: &'a str,
}

/// Which process of a container.
#[derive(Clone, Copy, Debug)]
pub enum Process<'a> {
    /// A command that is started for this.
    Command(&'a [String]),
    /// The one that the container runs.
    Main,
}

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output; everything where there is a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a process is connected with.
pub struct Ends<W> {
    /// Its standard input, which ends with the channel; none for none.
    pub input: Option<mpsc::Receiver<Vec<u8>>>,
    /// Columns and lines of its terminal, now and later; none for no terminal.
    pub terminal: Option<watch::Receiver<(u16, u16)>>,
    /// Takes what it prints. False where nobody wants more of it.
    pub output: W,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an exit code. The container's own process has none here: see the status of the pod.
    Exited(u8),
    /// It was not started, or nobody knows how it ended; in the kubelet's words.
    Failed(String),
    /// Nobody wanted more of its output.
    Unread,
}

impl Connection {
    /// Connects a process with `ends` and waits until it ends. Needs `create` on `pods/exec` or `pods/attach` (before Kubernetes 1.35 `get` for
    /// this way of asking). No turn of other requests is taken for longer than it takes to open the connection.
    pub async fn attach<W>(&self, to: PodContainer<'_>, process: Process<'_>, ends: Ends<W>) -> Result<Ending, ApiError>
    where
        W: AsyncFn(Source, Bytes) -> bool,
    {
        let (about, path) = address(to, process, ends.input.is_some(), ends.terminal.is_some());
        let opened = {
            let _permit = self.inner.transport.permit().await;
            self.channels(&path, &about).await
        };
        let (incoming, outgoing) = opened?;
        let Ends { input, terminal, output } = ends;
        let ended = tokio::select! {
            biased;
            ended = receive(incoming, output) => ended,
            error = send(outgoing, input, terminal, matches!(process, Process::Main)) => Err(error),
        };
        match ended {
            Ok(Some(ending)) => Ok(ending),
            Ok(None) => Err(ApiError::of(
                &about,
                ApiErrorKind::Unreachable,
                "the connection ended before the process did",
            )),
            Err(error) => Err(self.cut_off(&about, error)),
        }
    }
}

/// What is asked for, and the path to ask for it with.
fn address(to: PodContainer<'_>, process: Process<'_>, stdin: bool, tty: bool) -> (About, String) {
    let PodContainer { namespace, pod, container } = to;
    let (subresource, doing, command) = match process {
        Process::Command(command) => ("exec", format!("running {}", command.join(" ")), command),
        Process::Main => ("attach", "attaching to the process".to_owned(), &[][..]),
    };
    let about = About {
        doing: format!("{doing} in pod/{namespace}/{pod}, container {container}"),
        verb: "create",
        resource: format!("pods/{subresource}"),
        namespace: Some(namespace.to_owned()),
    };
    let pods = collection(&kind::POD, Some(namespace));
    let mut path = format!("{pods}/{}/{subresource}?container={}", escape(pod), escape(container));
    // With a terminal there is one stream of output.
    path += &format!("&stdin={stdin}&stdout=true&stderr={}&tty={tty}", !tty);
    for word in command {
        path += "&command=";
        path += &escape(word);
    }
    (about, path)
}

/// Hands out what the process prints until it ends. None where the connection ended before.
async fn receive(
    mut incoming: Incoming,
    output: impl AsyncFn(Source, Bytes) -> bool,
) -> Result<Option<Ending>, tokio_tungstenite::tungstenite::Error> {
    while let Some((channel, bytes)) = incoming.next().await? {
        let source = match channel {
            // The first message of each channel is empty.
            _ if bytes.is_empty() => continue,
            STDOUT => Source::Stdout,
            STDERR => Source::Stderr,
            STATUS => return Ok(Some(ending(&bytes))),
            _ => continue,
        };
        if !output(source, bytes).await {
            return Ok(Some(Ending::Unread));
        }
    }
    Ok(None)
}

/// Sends input and sizes, until that fails. A process that `is_late` has drawn its screen before: that its terminal changes makes it do so again.
async fn send(
    mut outgoing: Outgoing,
    mut input: Option<mpsc::Receiver<Vec<u8>>>,
    mut terminal: Option<watch::Receiver<(u16, u16)>>,
    is_late: bool,
) -> tokio_tungstenite::tungstenite::Error {
    let mut keep_alive = interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if let Some(terminal) = &mut terminal {
        terminal.mark_changed();
        let (width, height) = *terminal.borrow();
        if is_late
            && let Err(error) = outgoing
                .send(RESIZE, &resize((width.saturating_add(1), height.saturating_add(1))))
                .await
        {
            return error;
        }
    }
    loop {
        let sent = tokio::select! {
            bytes = next_input(&mut input) => match bytes {
                Some(bytes) => outgoing.send(STDIN, &bytes).await,
                None => {
                    input = None;
                    outgoing.end(STDIN).await
                }
            },
            size = next_size(&mut terminal) => match size {
                Some(size) => outgoing.send(RESIZE, &resize(size)).await,
                None => {
                    terminal = None;
                    Ok(())
                }
            },
            _ = keep_alive.tick() => outgoing.keep_alive().await,
        };
        if let Err(error) = sent {
            return error;
        }
    }
}

fn resize((width, height): (u16, u16)) -> Vec<u8> {
    json!({"Width": width, "Height": height}).to_string().into_bytes()
}

async fn next_input(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_size(terminal: &mut Option<watch::Receiver<(u16, u16)>>) -> Option<(u16, u16)> {
    match terminal {
        Some(terminal) => {
            terminal.changed().await.ok()?;
            Some(*terminal.borrow_and_update())
        }
        None => std::future::pending().await,
    }
}

/// What the last message says.
fn ending(status: &[u8]) -> Ending {
    let Ok(status) = serde_json::from_slice::<Status>(status) else {
        return Ending::Failed(String::from_utf8_lossy(status).into_owned());
    };
    if status.status.as_deref() == Some("Success") {
        return Ending::Exited(0);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match code.and_then(|cause| cause.message.as_deref()?.parse().ok()) {
        Some(code) => Ending::Exited(code),
        None => Ending::Failed(status.message.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_read_from_the_status() {
        let nonzero = br#"{"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode",
            "details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#;
        assert_eq!(ending(nonzero), Ending::Exited(42));
        assert_eq!(ending(br#"{"status":"Success"}"#), Ending::Exited(0));
        let missing = br#"{"status":"Failure","message":"executable file not found in $PATH","reason":"InternalError"}"#;
        assert_eq!(ending(missing), Ending::Failed("executable file not found in $PATH".into()));
        assert_eq!(ending(b"odd"), Ending::Failed("odd".into()));
    }

    #[test]
    fn every_word_of_a_command_arrives_as_it_is() {
        let to = PodContainer {
            namespace: "shop",
            pod: "a",
            container: "app",
        };
        let words = ["sh", "-c", "a && b=c", ""].map(str::to_owned);
        let (about, path) = address(to, Process::Command(&words), true, true);
        assert_eq!(
            path,
            "/api/v1/namespaces/shop/pods/a/exec?container=app&stdin=true&stdout=true&stderr=false&tty=true\
             &command=sh&command=-c&command=a%20%26%26%20b%3Dc&command="
        );
        assert_eq!(about.resource, "pods/exec");
    }
}
