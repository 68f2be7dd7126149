//! `session status`

use clap::Args;

use crate::cluster::Log;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::{open, report};
use crate::cmd::{Colour, Outcome};
use crate::exit::Exit;
use crate::io::Io;
use crate::model::session::SessionState;
use crate::render::diagnosis::{Detail, text};
use crate::render::document::Format;
use crate::render::session::status;
use crate::render::text_writer::TextWriter;
use crate::session::state;

/// Show a session: its pod, its last use, what happens next and when, and why it is not ready.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0    ready
  3    not ready
  5    the session does not exist")]
pub(super) struct StatusArgs {
    /// Session id
    #[arg(value_name = "ID")]
    id: String,
    /// Output format: text, wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

pub(super) async fn run(args: &StatusArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("status", connect, io, log).await?;
    let found = sessions.find(&args.id).await?;
    let now = sessions.now();
    let mut session = state::report(&found.record, found.pod(), now);
    if !matches!(session.state, SessionState::Ready | SessionState::Ended)
        && let Some(pod) = &session.pod
    {
        session.diagnosis = Some(Box::new(sessions.diagnose(pod, io).await?));
    }
    if matches!(args.output, Format::Text | Format::Wide) {
        let mut writer = TextWriter::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
        status(&session, now, &mut writer);
        if let Some(diagnosis) = &session.diagnosis {
            writer.gap();
            let wide = args.output == Format::Wide;
            text(diagnosis, Detail { advice: false, wide }, &mut writer);
        }
        io.stdout.write(&writer.into_text());
    } else {
        report::print(&session, "", &args.output, io)?;
    }
    Ok(if session.state == SessionState::Ready {
        Exit::Good
    } else {
        Exit::Bad
    })
}
