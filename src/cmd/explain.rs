//! `explain`: what a finding's code means and what to do about it. Asks no cluster.

use clap::Args;

use super::Outcome;
use super::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::code::Code;
use crate::render::document::{self, Format};
use crate::render::explanation::{page, table};
use crate::render::paper::Paper;
use crate::rules::codes;

/// Say what a code of a finding means, and what to do about it.
///
/// Without a code every code is listed. No cluster is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The code, in any case
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// Output: text, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: super::Colour,
}

const EXAMPLES: &str = "\
Examples:
  # every code
  kubectl podlife explain
  # one code, with its causes and what to do
  kubectl podlife explain ConfigMapKeyMissing";

/// Prints the explanation of one code, or the table of all.
pub fn run(args: &ExplainArgs, io: &mut Io) -> Outcome {
    let code = args.code.as_deref().map(code_named).transpose()?;
    let explanation = codes::explanation(code);
    let text = match document::print(&explanation, &args.output).map_err(|error| Failure::new(Exit::Fault, error))? {
        Some(document) => document,
        None if args.output == Format::Name => explanation.codes.iter().map(|c| format!("{}\n", c.code)).collect(),
        None => {
            let mut paper = Paper::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            match (code, explanation.codes.as_slice()) {
                (Some(_), [one]) => page(one, &mut paper),
                _ => table(&explanation, &mut paper),
            }
            paper.into_text()
        }
    };
    io.stdout.write(&text);
    Ok(Exit::Good)
}

fn code_named(word: &str) -> Result<Code, Failure> {
    word.parse().map_err(|_| {
        let meant: Vec<&str> = codes::suggestions(word).into_iter().map(Code::as_str).collect();
        Failure::usage(format!("{word:?} is no finding code")).hint(match meant.as_slice() {
            [] => "kubectl podlife explain lists them".to_owned(),
            meant => format!("did you mean {}?", meant.join(", ")),
        })
    })
}
