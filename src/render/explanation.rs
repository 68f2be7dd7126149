//! Explanations of finding codes: a table for all of them, a page for one, and the documentation in Markdown.

use std::fmt::Write as _;

use crate::model::explanation::{ExplainedCode, Explanation};
use crate::model::finding::Severity;
use crate::render::text_writer::{TextWriter, Tone, width};

/// Writes every code with its severity and title, by area.
pub fn table(explanation: &Explanation, writer: &mut TextWriter) {
    let code_column = explanation.codes.iter().map(|c| width(c.code.as_str())).max().unwrap_or_default();
    let severity_column = width(word(Severity::Symptom));
    let mut area = "";
    for code in &explanation.codes {
        if code.area != area {
            area = &code.area;
            writer.gap();
            let heading = writer.tone(Tone::Strong, area);
            writer.line(&heading, width(area), "");
        }
        let padded = format!("{:severity_column$}", word(code.severity));
        let severity = writer.tone(tone(code.severity), &padded);
        let lead = format!("  {:code_column$}  {severity}  ", code.code);
        writer.line(&lead, code_column + severity_column + 6, &code.title);
    }
    writer.gap();
    writer.line("", 0, "One of them in full: kubectl podlife explain CODE");
}

/// Writes all that is known about one code.
pub fn page(code: &ExplainedCode, writer: &mut TextWriter) {
    let name = writer.tone(Tone::Strong, code.code.as_str());
    writer.line(&format!("{name}  "), width(code.code.as_str()) + 2, &code.title);
    let column = width("severity");
    writer.labelled(2, "severity", column, Tone::Faint, &severity(code.severity));
    writer.labelled(2, "about", column, Tone::Faint, &code.subject);
    writer.labelled(2, "class", column, Tone::Faint, &code.class);
    if !code.signs.is_empty() {
        writer.labelled(2, "shows as", column, Tone::Faint, &code.signs.join(" · "));
    }
    writer.gap();
    writer.line("", 0, &code.explanation);
    if !code.causes.is_empty() {
        heading("Causes", writer);
        let column = code.causes.iter().map(|c| width(&c.name)).max().unwrap_or_default();
        for cause in &code.causes {
            writer.labelled(2, &cause.name, column, Tone::Plain, &cause.meaning);
        }
    }
    if !code.joins.is_empty() {
        heading("Looked up in the spec", writer);
        for join in &code.joins {
            writer.line(
                "  - ",
                4,
                &format!("{} Compared with: {} Says: {}", join.names, join.with, join.says),
            );
        }
    }
    heading("What to do (words in capitals stand for names)", writer);
    for (at, step) in code.steps.iter().enumerate() {
        writer.line(&format!("  {}. ", at + 1), 5, &step.text);
        if let Some(command) = &step.command {
            // A command is never broken, so that it can be copied.
            let command = writer.tone(Tone::Good, command);
            writer.line(&format!("     {command}"), 5, "");
        }
    }
    writer.gap();
    let related: Vec<&str> = code.related.iter().map(|c| c.as_str()).collect();
    writer.line("See also: ", 10, &related.join(", "));
}

fn heading(text: &str, writer: &mut TextWriter) {
    writer.gap();
    let heading = writer.tone(Tone::Strong, text);
    writer.line(&heading, width(text), "");
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Symptom => "symptom",
        Severity::Advice => "advice",
    }
}

/// The highest severity, in a few words.
fn severity(severity: Severity) -> String {
    match severity {
        Severity::Error => "error: it can be the root cause that breaks a workload",
        Severity::Symptom => "symptom: something else always explains it",
        Severity::Advice => "advice: nothing is broken by it; shown with --advice",
    }
    .to_owned()
}

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Symptom => Tone::Doubtful,
        Severity::Advice => Tone::Faint,
    }
}

/// The documentation of every code, for `docs/findings.md`.
pub fn markdown(explanation: &Explanation) -> String {
    let mut text = String::from(
        "<!-- Generated from src/findings; PODLIFE_UPDATE=1 cargo test --test it docs writes it again. -->\n\
         # Findings\n\n\
         Every finding of `kubectl podlife` has a code, and many codes have causes that say which variant was seen. Both are part of the\n\
         public contract. `kubectl podlife explain CODE` prints the same text. In commands, words in capitals stand for names.\n\n\
         The severity shown is the highest that a code can have; it depends on the case:\n\n\
         - **error**: breaks a workload now, and may be the root cause.\n\
         - **symptom**: something else explains it. An error that another finding explains is shown as a symptom as well.\n\
         - **advice**: worth changing, but breaks nothing; shown with `--advice`.\n",
    );
    let mut area = "";
    for code in &explanation.codes {
        if code.area != area {
            area = &code.area;
            let _ = write!(text, "\n## {area}\n\n| Code | Severity | What |\n|---|---|---|\n");
            for same in explanation.codes.iter().filter(|c| c.area == area) {
                let _ = writeln!(
                    text,
                    "| [{0}](#{1}) | {2} | {3} |",
                    same.code,
                    same.code.as_str().to_lowercase(),
                    word(same.severity),
                    escaped(&same.title)
                );
            }
        }
        section(code, &mut text);
    }
    text
}

fn section(code: &ExplainedCode, text: &mut String) {
    let _ = write!(
        text,
        "\n### {}\n\n**{}.** Severity: {}. About: {}. Class: {}.\n\n{}\n",
        code.code,
        escaped(&code.title),
        word(code.severity),
        escaped(&code.subject),
        code.class,
        escaped(&code.explanation)
    );
    if !code.signs.is_empty() {
        let signs: Vec<String> = code.signs.iter().map(|sign| format!("`{sign}`")).collect();
        let _ = write!(text, "\nShows as: {}\n", signs.join(", "));
    }
    if !code.causes.is_empty() {
        text.push_str("\n| Cause | Meaning |\n|---|---|\n");
        for cause in &code.causes {
            let _ = writeln!(text, "| `{}` | {} |", cause.name, escaped(&cause.meaning));
        }
    }
    if !code.joins.is_empty() {
        text.push_str("\n| When the message names | podlife looks at | and says |\n|---|---|---|\n");
        for join in &code.joins {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                escaped(&join.names),
                escaped(&join.with),
                escaped(&join.says)
            );
        }
    }
    text.push('\n');
    for (at, step) in code.steps.iter().enumerate() {
        let _ = writeln!(text, "{}. {}", at + 1, escaped(&step.text));
        if let Some(command) = &step.command {
            let _ = writeln!(text, "   ```sh\n   {command}\n   ```");
        }
    }
    let related: Vec<String> = code
        .related
        .iter()
        .map(|c| format!("[{c}](#{})", c.as_str().to_lowercase()))
        .collect();
    let _ = write!(text, "\nSee also: {}\n", related.join(", "));
}

/// Characters that Markdown would take for markup.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '<' | '*' | '_' | '|' | '[' | ']' | '`') {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}
