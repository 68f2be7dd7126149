//! Lines of text for a terminal or a file: colour, width and hanging indents.

use std::fmt::Write as _;

use owo_colors::{OwoColorize, Style};
use unicode_width::UnicodeWidthChar;

use crate::text::is_unsafe;

/// What a piece of text means; its colour follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Broken.
    Bad,
    /// Degraded, or not known.
    Doubtful,
    /// Under way.
    Moving,
    /// Healthy.
    Good,
    /// A name to find quickly.
    Strong,
    /// Less important.
    Faint,
}

/// Collects lines; wraps them where a width is known.
#[derive(Debug, Default)]
pub struct TextWriter {
    text: String,
    gap_is_due: bool,
    /// Whether escape sequences for colour may be written.
    pub colour: bool,
    /// Width to wrap at; none for pipes and files.
    pub columns: Option<usize>,
}

impl TextWriter {
    /// An empty sheet.
    pub fn new(colour: bool, columns: Option<usize>) -> Self {
        Self {
            text: String::new(),
            gap_is_due: false,
            colour,
            columns,
        }
    }

    /// What was written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Text in the colour of its tone.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Doubtful => Style::new().yellow().bold(),
            Tone::Moving => Style::new().cyan(),
            Tone::Good => Style::new().green(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        text.style(style).to_string()
    }

    /// An empty line before the next one, if there is a next one.
    pub fn gap(&mut self) {
        self.gap_is_due = !self.text.is_empty();
    }

    /// A line: `lead` (may hold colour; `lead_width` columns of it are seen), then words wrapped under themselves.
    pub fn line(&mut self, lead: &str, lead_width: usize, words: &str) {
        let room = self.columns.map(|columns| columns.saturating_sub(lead_width).max(16));
        if std::mem::take(&mut self.gap_is_due) {
            self.text.push('\n');
        }
        let mut lines = wrap(words, room).into_iter();
        let first = lines.next().unwrap_or_default();
        let line = format!("{lead}{first}");
        let _ = writeln!(self.text, "{}", line.trim_end());
        for line in lines {
            let _ = writeln!(self.text, "{:lead_width$}{line}", "");
        }
    }

    /// A line of a table: never wrapped, so that its columns stay in place.
    pub fn row(&mut self, line: &str) {
        let columns = self.columns.take();
        self.line("", 0, line);
        self.columns = columns;
    }

    /// A command behind a label: never wrapped, so that it can be copied whole.
    pub fn command(&mut self, indent: usize, label: &str, column: usize, tone: Tone, command: &str) {
        let columns = self.columns.take();
        self.labelled(indent, label, column, tone, command);
        self.columns = columns;
    }

    /// `label` in a column of its own, then words.
    pub fn labelled(&mut self, indent: usize, label: &str, column: usize, tone: Tone, words: &str) {
        let width = width(label).max(column);
        let padded = format!("{label}{:1$}", "", width - crate::render::text_writer::width(label));
        let lead = format!("{:indent$}{}  ", "", self.tone(tone, &padded));
        self.beside(indent, &lead, indent + width + 2, words);
    }

    /// Words beside a lead as in [`Self::line`], or below it where there is too little room.
    pub fn beside(&mut self, indent: usize, lead: &str, lead_width: usize, words: &str) {
        let is_narrow = |columns: usize| lead_width > columns / 2 && lead_width + width(words) > columns;
        if self.columns.is_some_and(is_narrow) {
            self.line(lead, 0, "");
            self.line(&" ".repeat(indent + 4), indent + 4, words);
        } else {
            self.line(lead, lead_width, words);
        }
    }
}

/// Columns that a text takes on a terminal: East Asian wide characters take two.
pub fn width(text: &str) -> usize {
    text.chars().filter(|c| !is_unsafe(*c)).filter_map(UnicodeWidthChar::width).sum()
}

/// Breaks at spaces; a word that is longer than the room stays whole, so that it can be copied.
fn wrap(words: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![words.to_owned()] };
    // Spaces in front set the words apart from what stands before them: they stay.
    let text = words.trim_start_matches(' ');
    let mut lines = vec![" ".repeat(words.len() - text.len())];
    for word in text.split(' ') {
        let needed = width(word);
        let line_is_full = lines
            .last()
            .is_some_and(|line| !line.trim_start().is_empty() && width(line) + 1 + needed > room);
        if line_is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.trim_start().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_under_themselves_and_long_words_stay_whole() {
        let mut writer = TextWriter::new(false, Some(40));
        writer.labelled(
            2,
            "fix",
            6,
            Tone::Faint,
            "start it with --host 0.0.0.0 instead of the loopback address",
        );
        assert_eq!(
            writer.into_text(),
            "  fix     start it with --host 0.0.0.0\n          instead of the loopback\n          address\n"
        );
        assert_eq!(
            wrap("a-very-long-word-that-stays-whole b", Some(10)),
            ["a-very-long-word-that-stays-whole", "b"]
        );
        assert_eq!(wrap("   0/2 ready for 6m", Some(14)), ["   0/2 ready", "for 6m"]);
    }

    #[test]
    fn no_colour_means_no_escape() {
        let writer = TextWriter::new(false, None);
        assert_eq!(writer.tone(Tone::Bad, "x"), "x");
        assert!(TextWriter::new(true, None).tone(Tone::Bad, "x").contains('\u{1b}'));
    }
}
