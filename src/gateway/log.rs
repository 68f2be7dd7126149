//! What a gateway says about itself: lines of text or of JSON.

use std::io;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::io::Stream;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Begins to write lines. Once in a process.
pub(crate) fn begin(stream: Stream, level: Level, format: Format) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Lines(stream))
        .with_target(false);
    // A second one in the same process goes on with the first.
    let _ = match format {
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
        Format::Text => builder.with_ansi(false).try_init(),
    };
}

#[derive(Clone)]
struct Lines(Stream);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
