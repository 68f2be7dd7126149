//! `explain`: what a finding's code means and what to do about it. Asks no cluster.

use clap::Args;

use crate::cmd::Outcome;
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::io::Io;
use crate::model::code::Code;
use crate::render::document;
use crate::render::document::Format;
use crate::render::explanation::{page, table};
use crate::render::text_writer::TextWriter;

/// Explain a finding's code: what it means and how to fix it.
///
/// Without a code, all codes are listed. No cluster is needed.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES)]
pub struct ExplainArgs {
    /// Code of the finding, or a reason of Kubernetes such as ImagePullBackOff, in upper or lower case
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// Output format: text, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: crate::cmd::Colour,
}

const EXAMPLES: &str = "\
Examples:
  # list all codes
  kubectl podlife explain
  # one code, with its causes and fixes
  kubectl podlife explain ConfigMapKeyMissing
  # what kubectl get pods shows
  kubectl podlife explain ImagePullBackOff";

/// Prints the explanation of one code, or the table of all.
pub fn run(args: &ExplainArgs, io: &mut Io) -> Outcome {
    let mut explanation = findings::explanation(None);
    if let Some(word) = &args.code {
        let meant = codes_named(word)?;
        explanation.codes.retain(|one| meant.contains(&one.code));
    }
    let text = match document::print(&explanation, &args.output).map_err(|error| Failure::new(Exit::Fault, error))? {
        Some(document) => document,
        None if args.output == Format::Name => explanation.codes.iter().map(|c| format!("{}\n", c.code)).collect(),
        None => {
            let mut writer = TextWriter::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            match explanation.codes.as_slice() {
                [one] => page(one, &mut writer),
                _ => table(&explanation, &mut writer),
            }
            writer.into_text()
        }
    };
    io.stdout.write(&text);
    Ok(Exit::Good)
}

/// The code of this name, or the codes that show as this reason of Kubernetes.
fn codes_named(word: &str) -> Result<Vec<Code>, Failure> {
    if let Ok(code) = word.parse() {
        return Ok(vec![code]);
    }
    let shown = findings::shown_as(word);
    if !shown.is_empty() {
        return Ok(shown);
    }
    let meant: Vec<&str> = findings::suggestions(word).into_iter().map(Code::as_str).collect();
    Err(
        Failure::usage(format!("{word:?} is neither a finding code nor a known reason of Kubernetes")).hint(match meant.as_slice() {
            [] => "kubectl podlife explain lists the codes".to_owned(),
            meant => format!("did you mean {}?", meant.join(", ")),
        }),
    )
}
