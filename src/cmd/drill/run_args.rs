//! The flags of `drill run`.

use std::time::Duration;

use clap::Args;

use crate::cmd::drill::args::FaultArgs;
use crate::cmd::drill::files::ReportArgs;
use crate::drill::judge::{HELD, Limits};
use crate::exit::Failure;
use crate::model::duration;
use crate::model::finding::ObjectRef;
use crate::observe::drill::data::{Data, Means};
use crate::render::document::Format;

/// Inject a fault, prove it, measure what clients see, restore everything, and judge.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) fault: FaultArgs,
    #[command(flatten)]
    pub(super) clients: ClientArgs,
    /// How long a target may be down in total [default: 1s if no outage is expected]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "target")]
    max_downtime: Option<Duration>,
    /// How many requests may fail, in percent
    #[arg(long, value_name = "PERCENT", requires = "target")]
    max_error_rate: Option<f64>,
    /// How long the recovery may take from the first change [default: any time within --timeout]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_recovery: Option<Duration>,
    /// How often containers of pods that existed before may restart
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_restarts: u32,
    /// What clients must see: held (no request fails), or only these kinds of failure: refused, timeout, closed, tls, unresolved, status=CODE
    #[arg(long, value_name = "KIND", value_delimiter = ',', requires = "target", value_parser = expected)]
    expect: Vec<String>,
    /// Shell command to run, or URL to GET, before the fault; it writes what --verify-data reads
    #[arg(long, value_name = "COMMAND", requires = "verify_data")]
    pub(super) write_marker: Option<String>,
    /// Shell command to run, or URL to GET, before the fault and after the recovery; the answer must be the same
    #[arg(long, value_name = "COMMAND")]
    pub(super) verify_data: Option<String>,
    /// Where the two commands run: in the first container of a ready pod of this workload [default: the first target]
    #[arg(long, value_name = "TYPE/NAME", requires = "verify_data")]
    pub(super) data_in: Option<String>,
    /// Only show the plan
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) reports: ReportArgs,
    /// Output format: text, json, yaml or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub(super) output: Format,
}

/// Where clients make requests, and how.
#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    /// Where clients make requests: a URL (http, https, tcp, grpc, grpcs) that can be reached from here, or svc/NAME:PORT/PATH for the load balancer or the Ingress of a Service; with --probe-image, the requests are made inside the cluster if neither can be reached
    #[arg(long, value_name = "URL")]
    pub(super) target: Vec<String>,
    /// The same for what depends on the targets: it must recover; its outages are measured but not judged
    #[arg(long, value_name = "URL")]
    pub(super) watch: Vec<String>,
    /// How often to start a request
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration::parse)]
    pub(super) interval: Duration,
    /// How long an answer may take
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse)]
    pub(super) answer_timeout: Duration,
    /// HTTP method of the requests
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub(super) http_method: String,
    /// Body of the requests
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) body: String,
    /// HTTP header to send (NAME=VALUE), or a file of headers (@FILE, with lines NAME: VALUE); values are never shown
    #[arg(long, value_name = "HEADER")]
    pub(super) header: Vec<String>,
}

/// A kind of failure, as it is counted.
fn expected(text: &str) -> Result<String, String> {
    const KINDS: [&str; 6] = [HELD, "refused", "timeout", "closed", "tls", "unresolved"];
    match text.strip_prefix("status=").map(|code| code.parse::<u16>()) {
        Some(Ok(code @ 100..=599)) => Ok(format!("status {code}")),
        None if KINDS.contains(&text) => Ok(text.to_owned()),
        _ => Err(format!("expected one of {} and status=CODE", KINDS.join(", "))),
    }
}

impl RunArgs {
    /// What is asked about the data, in the pods of a workload.
    pub(super) fn data(&self, pods_of: Option<ObjectRef>) -> Result<Option<Data>, Failure> {
        let means = |text: &Option<String>| text.as_deref().map(Means::of).transpose().map_err(Failure::usage);
        let (write, verify) = (means(&self.write_marker)?, means(&self.verify_data)?);
        Ok(pods_of.filter(|_| verify.is_some()).map(|pods_of| Data { write, verify, pods_of }))
    }

    /// What may happen at most.
    pub(super) fn limits(&self, expects_outage: bool) -> Limits {
        Limits {
            downtime: self.max_downtime.or((!expects_outage).then_some(Duration::from_secs(1))),
            error_percent: self.max_error_rate,
            recovery: self.max_recovery.unwrap_or(Duration::MAX),
            restarts: self.max_restarts,
            expect: self.expect.clone(),
        }
    }
}
