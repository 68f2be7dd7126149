//! `session plan`: how many sessions fit.

use clap::{Args, value_parser};
use serde_json::Value;

use crate::cluster::Log;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::open;
use crate::cmd::session::template::TemplateFlags;
use crate::cmd::{Colour, Outcome};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::observe::plan;
use crate::render;
use crate::render::document;
use crate::render::document::Format;
use crate::render::text_writer::TextWriter;
use crate::session::capacity::Unit;
use crate::session::template::Owner;

/// A session takes a record, and one of the numbered slots that hold the maximum.
const LEASES: u32 = 2;

/// Check whether a namespace can hold a number of sessions: nodes, pod addresses, quotas, limit ranges and storage classes.
///
/// Sessions that exist count as part of the number. Nodes that an autoscaler might add are not counted.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = "\
Examples:
  # do 200 sessions of this image fit?
  kubectl podlife session plan --max 200 --image ide:3
  # with other requests and a volume each
  kubectl podlife session plan --max 200 --image ide:3 --cpu 50m:1 \\
    --volume 1Gi:/home/user", after_help = EXIT_CODES)]
pub(super) struct PlanArgs {
    /// How many sessions the namespace must hold
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u64).range(1..))]
    max: u64,
    #[command(flatten)]
    template: TemplateFlags,
    /// Output format: text, wide, json, yaml, name (what limits the sessions first) or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    they fit
  1    an internal error of podlife
  2    invalid usage
  3    they do not fit
  4    cannot tell: something that may limit them could not be read
  5    the object of --from does not exist
  6    the API server gave no usable answer";

pub(super) async fn run(args: &PlanArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("plan", connect, io, log).await?;
    let connection = &sessions.objects.connection;
    let template = args.template.template(connection, &sessions.namespace, io).await?;
    let owner = Owner {
        id: "plan".to_owned(),
        name: "plan".to_owned(),
        namespace: sessions.namespace.clone(),
        uid: String::new(),
        generation: 1,
    };
    let fault = |error: serde_json::Error| Failure::new(Exit::Fault, error.to_string());
    let claim: Option<Value> = template.claim(&owner);
    let unit = Unit {
        pod: serde_json::from_value(template.pod(&owner)).map_err(fault)?,
        claim: claim.map(serde_json::from_value).transpose().map_err(fault)?,
        has_service: template.service(&owner).is_some(),
        leases: LEASES,
    };
    let plan = plan::plan(connection, &sessions.namespace, args.max, &unit).await?;
    let document = document::print(&plan, &args.output).map_err(|error| Failure::new(Exit::Fault, error))?;
    let text = document.unwrap_or_else(|| match args.output {
        Format::Name => plan.limits.first().map_or_else(String::new, |limit| format!("{}\n", limit.limit)),
        _ => {
            let mut writer = TextWriter::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            render::plan::text(&plan, &mut writer);
            writer.into_text()
        }
    });
    io.stdout.write(&text);
    Ok(match plan.fits {
        Some(fits) if fits < plan.max => Exit::Bad,
        _ if !plan.unchecked.is_empty() => Exit::CannotTell,
        _ => Exit::Good,
    })
}
