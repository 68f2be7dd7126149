//! A command in the pod of a session.

use crate::cluster::{Ending, Ends, Process, Source};
use crate::exit::{Exit, Failure};
use crate::facts::runtime::{lacks_program, may_not_execute, tail_of};
use crate::io::{Io, read_aside, terminal};
use crate::observe::session::Sessions;
use crate::observe::session::objects::InCluster;
use crate::observe::session::stream::{Attachment, Live, Used, is_over, state};
use crate::text::sanitise;

/// Exit codes of a process that was ended from outside: SIGKILL and SIGTERM.
const KILLED: [u8; 2] = [137, 143];

/// What is run, and with which streams.
pub(crate) struct Command<'a> {
    pub(crate) words: &'a [String],
    pub(crate) container: Option<&'a str>,
    /// Passes standard input on.
    pub(crate) stdin: bool,
    /// Gives it a terminal.
    pub(crate) tty: bool,
}

impl Sessions<InCluster> {
    /// Runs a command in the pod of a session, with the process's own streams, and returns its exit code.
    pub(crate) async fn run_in(&self, live: &Live, command: &Command<'_>, io: &mut Io) -> Result<Exit, Failure> {
        let container = live.container(command.container)?.name.clone();
        let is_running = !is_over(&live.pod) && state(&live.pod, &container).is_some_and(|state| state.running.is_some());
        if !is_running {
            let why = format!("container {container} of pod {} is not running", live.pod_name());
            return Err(self.without_pod(&live.record.id, &why));
        }
        let process = Process::Command(command.words);
        match self.attached(live, (&container, process), (command.stdin, command.tty), io).await? {
            Used::Interrupted(interruption) => Ok(interruption.into()),
            Used::Done(Ending::Unread) => Ok(Exit::Unread),
            Used::Done(Ending::Exited(code)) if KILLED.contains(&code) && self.is_gone(live).await => Err(self.went_away(live)),
            Used::Done(Ending::Exited(code)) => Ok(Exit::OfCommand(code)),
            Used::Done(Ending::Failed(why)) => Err(not_started(&why)),
        }
    }

    /// Connects a process with the process's own streams until it ends.
    pub(super) async fn attached(
        &self,
        live: &Live,
        (container, process): (&str, Process<'_>),
        (stdin, tty): (bool, bool),
        io: &mut Io,
    ) -> Result<Used<Ending>, Failure> {
        let nobody: Box<dyn std::io::Read + Send> = Box::new(std::io::empty());
        let input = stdin.then(|| read_aside(std::mem::replace(&mut io.stdin, nobody)));
        let raw = match tty && stdin {
            true => Some(terminal::Raw::new().map_err(|error| Failure::usage(format!("-t: setting the terminal: {error}")))?),
            false => None,
        };
        let with = Attachment {
            stderr: &io.stderr,
            stop: &io.stop,
            is_raw: raw.is_some(),
        };
        let (stdout, stderr) = (io.stdout.clone(), io.stderr.clone());
        let ends = Ends {
            input,
            terminal: tty.then(terminal::sizes),
            output: async |source, bytes| match source {
                Source::Stdout => stdout.write_aside(bytes).await,
                Source::Stderr => stderr.write_aside(bytes).await,
            },
        };
        let attach = async {
            match self.objects.connection.attach(live.to(container), process, ends).await {
                Ok(ending) => Ok(ending),
                Err(_) if self.is_gone(live).await => Err(self.went_away(live)),
                Err(error) => Err(error.into()),
            }
        };
        let ended = self.while_used(&live.record, &with, attach).await;
        drop(raw);
        ended
    }

    /// Whether the pod goes, has ended or is gone.
    pub(super) async fn is_gone(&self, live: &Live) -> bool {
        let now = self.pod_now(live).await;
        now.is_ok_and(|now| now.is_none_or(|now| is_over(&now)))
    }

    pub(super) fn went_away(&self, live: &Live) -> Failure {
        let message = format!(
            "pod {} of session {:?} went away while the command ran, and the command with it",
            live.pod_name(),
            live.record.id
        );
        Failure::new(Exit::Bad, message).hint("run it again as soon as the session has its next pod")
    }
}

/// A command that could not be started has the exit code that a shell gives it.
pub(super) fn not_started(why: &str) -> Failure {
    let code = match why {
        why if may_not_execute(why) => 126,
        why if lacks_program(why) => 127,
        _ => return Failure::new(Exit::NoAnswer, sanitise(why)),
    };
    let short = sanitise(&tail_of(why));
    Failure::new(Exit::OfCommand(code), format!("the command was not started: {short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_started_has_a_shells_exit_code() {
        let exit = |why| not_started(why).exit;
        assert_eq!(
            exit("exec: \"x\": executable file not found in $PATH: unknown"),
            Exit::OfCommand(127)
        );
        assert_eq!(exit("exec: \"/etc/passwd\": permission denied: unknown"), Exit::OfCommand(126));
        assert_eq!(exit("container not running"), Exit::NoAnswer);
        let long = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"x\": executable file not found in $PATH: unknown";
        assert_eq!(
            not_started(long).message,
            "the command was not started: exec: \"x\": executable file not found in $PATH"
        );
    }
}
