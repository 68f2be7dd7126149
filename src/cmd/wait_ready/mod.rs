//! `wait-ready`: does it really work yet?

mod account;
mod application;
mod asking;
mod calm;
mod contact;
mod dials;
mod files;
mod headers;
mod judgement;
mod live;
mod offline;
mod prober;
mod questions;
mod reading;
mod selection;
mod sense;
mod store;
mod teller;
mod why;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::exit::{Exit, Failure};
use super::flags::ConnectFlags;
use super::targets::{self, Wanted};
use super::{Outcome, local};
use crate::cluster::{Direct, Log, Trust};
use crate::gate;
use crate::gate::check::{Via, Wish};
use crate::gate::doom::Grace;
use crate::gate::verdict;
use crate::io::Io;
use crate::model::duration;
use crate::model::finding::Finding;
use crate::model::readiness::{ObjectReadiness, Phase, PhaseReadiness, Readiness, State};
use crate::model::report::API_VERSION;
use crate::model::selector;
use crate::model::snapshot::Snapshot;
use crate::render::document::{self, Format};
use crate::render::paper::Paper;
use crate::render::readiness::{self, Annotations};
use crate::render::readiness_junit::junit;

use files::Files;
use headers::Sent;
pub(crate) use prober::RIGHTS as PROBER_RIGHTS;
pub use store::{WATCHED, WATCHED_WHERE_NAMED};

/// Wait until objects, and what belongs to them, are ready.
///
/// Infrastructure (claims, addresses) and pods (all of the current revision, and the endpoints that they become) are judged by what proves
/// them, not by conditions alone; then the application is asked, through the Services that lead to it and each pod by itself, until it answers
/// several times in a row. What is named need not exist yet. What will not become ready ends the wait, with the same root causes as diagnose.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::exit::HELP))]
pub struct WaitReadyArgs {
    /// What must be ready: TYPE/NAME..., TYPE NAME..., TYPE, or a bare name
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Workloads whose pods have these labels, whenever they come
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = label_selector, conflicts_with = "local")]
    selector: Option<(LabelSelector, String)>,
    /// Files or folders that name the objects (- is standard input); with --local, the objects themselves
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Vec<String>,
    /// Read folders below the given ones too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Judge the objects in the files once, as they are, and ask no server
    #[arg(long, requires = "filename")]
    local: bool,
    /// How long to wait; 0 is one look [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// Look once and do not wait, as with --timeout 0
    #[arg(long)]
    once: bool,
    /// How long claims and addresses may take
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    infrastructure_timeout: Option<Duration>,
    /// How long pods and endpoints may take once the infrastructure is ready
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pods_timeout: Option<Duration>,
    /// How long the application may take to answer once its pods are ready
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    application_timeout: Option<Duration>,
    /// The path that must answer with --status; without it what the probes ask, else any answer or connection counts
    #[arg(long, value_name = "PATH", conflicts_with_all = ["tcp", "local"], value_parser = sense::path)]
    http: Option<String>,
    /// A connection is enough, whatever the probes ask
    #[arg(long, conflicts_with_all = ["grpc", "local", "status", "body"])]
    tcp: bool,
    /// The gRPC health check (grpc.health.v1) of the server, or of a service, must say SERVING
    #[arg(long, value_name = "SERVICE", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with_all = ["http", "local", "status", "body"])]
    grpc: Option<String>,
    /// The port of the Services that must answer, by number or name; without it each TCP port
    #[arg(long, value_name = "PORT", conflicts_with = "local", value_parser = sense::port)]
    port: Option<String>,
    /// The way to ask along: auto, load-balancer, ingress (or Gateway), node-port, in-cluster, service-proxy, port-forward or a URL (http, https, tcp, grpc, grpcs)
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = via)]
    via: Via,
    /// An image with a shell and curl, or wget and nc (busybox), for a short-lived Job that asks the Services from inside of the cluster
    #[arg(long, value_name = "IMAGE", conflicts_with = "local", value_parser = sense::image)]
    probe_image: Option<String>,
    /// How many answers in a row are needed, each on a new connection
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    successes: u32,
    /// How long they must go on [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    stable_for: Option<Duration>,
    /// The status that counts, or from which to which
    #[arg(long, value_name = "CODES", default_value = "200-399", value_parser = statuses)]
    status: (u16, u16),
    /// What the answer must contain, as a regular expression
    #[arg(long, value_name = "REGEX", value_parser = regex::Regex::new)]
    body: Option<regex::Regex>,
    /// The Host header, and with TLS the name of the certificate, instead of that of an Ingress's rule or of an address
    #[arg(long, value_name = "HOST", value_parser = sense::host)]
    host: Option<String>,
    /// Do not dial ports of pods to find out why they do not answer
    #[arg(long, conflicts_with = "local")]
    no_dial: bool,
    /// A header to send (NAME=VALUE), or a file of them (@FILE, with lines NAME: VALUE); values are never shown
    #[arg(long, value_name = "NAME=VALUE|@FILE")]
    header: Vec<String>,
    /// Certificates of authorities (PEM) that an application may be signed by, beside the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Take any certificate of an application; this does not concern the API server
    #[arg(long, conflicts_with = "ca_file")]
    insecure_skip_tls_verify_application: bool,
    /// Wait until pods of older revisions are gone, not only out of the endpoints
    #[arg(long)]
    old_gone: bool,
    /// The image that a container of each workload must have
    #[arg(long, value_name = "IMAGE", value_parser = sense::image)]
    expect_image: Option<String>,
    /// The revision (kubectl rollout history) that each Deployment must have reached
    #[arg(long, value_name = "N", value_parser = sense::revision)]
    expect_revision: Option<u64>,
    /// How long faults of a class may last before they are final: permanent=20s, image=90s, crash=DURATION (else three restarts), scheduling=3m, probe=3m, other=2m, stall=10m, suspended=0s (Jobs of a queue, paused roll-outs, workloads at zero)
    #[arg(long, value_name = "CLASS=DURATION", value_delimiter = ',', value_parser = grace)]
    grace: Vec<(String, Duration)>,
    /// Output: text, json, yaml, ndjson (a line per change, the verdict in the last) or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text", value_parser = output)]
    output: Output,
    /// Write the verdict to a file as JUnit XML
    #[arg(long, value_name = "FILE", value_parser = sense::file)]
    junit: Option<PathBuf>,
    /// Tell a CI system in its own words, on standard error: auto, github, gitlab or none
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    annotations: Annotate,
    /// Write what was judged to a file, without values of Secrets
    #[arg(long, value_name = "FILE", value_parser = sense::file)]
    save: Option<PathBuf>,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: super::Colour,
}

const EXAMPLES: &str = "\
Examples:
  # in a pipeline, after kubectl apply
  kubectl podlife wait-ready deployment/api --timeout 3m
  # everything that the manifests name
  kubectl podlife wait-ready -f manifests/ -R --junit ready.xml
  # a path that must answer, along the way that clients take
  kubectl podlife wait-ready deployment/api --http /healthz --via load-balancer
  # as a client in the cluster asks: through kube-proxy and NetworkPolicies
  kubectl podlife wait-ready deployment/api --via in-cluster --probe-image busybox:1.36
  # a token that is not shown, over TLS that a CA of our own has signed
  kubectl podlife wait-ready ingress/shop --http /me --header @token.txt --ca-file ca.pem
  # the new image, and nothing of the old revision left
  kubectl podlife wait-ready deployment/api --expect-image shop/api:1.7 --old-gone
  # one look, for a program
  kubectl podlife wait-ready deployment/api --once -o json
  # what kubectl printed, judged as of then
  kubectl podlife wait-ready --local -f shop.yaml";

/// How the answer is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Output {
    /// In the end.
    Report(Format),
    /// A line of JSON per change, and the report in the last.
    NdJson,
}

/// Where the verdict is told beside its own output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Annotate {
    /// Where the environment names a system.
    Auto,
    /// GitHub Actions.
    Github,
    /// GitLab.
    Gitlab,
    /// Nowhere.
    None,
}

fn output(text: &str) -> Result<Output, String> {
    let expected = || "expected text, json, yaml, ndjson or jsonpath=TEMPLATE".to_owned();
    if text == "ndjson" {
        return Ok(Output::NdJson);
    }
    match text.parse() {
        Ok(Format::Name | Format::Wide) => Err(expected()),
        Ok(format) => Ok(Output::Report(format)),
        Err(why) if text.starts_with("jsonpath=") => Err(why),
        Err(_) => Err(expected()),
    }
}

fn via(text: &str) -> Result<Via, String> {
    match text {
        "auto" => Ok(Via::Auto),
        "load-balancer" => Ok(Via::LoadBalancer),
        "ingress" => Ok(Via::Ingress),
        "node-port" => Ok(Via::NodePort),
        "in-cluster" => Ok(Via::InCluster),
        "service-proxy" => Ok(Via::ServiceProxy),
        "port-forward" => Ok(Via::PortForward),
        url if url.contains("://") => Direct::of_url(url).map(|_| Via::Url(url.to_owned())),
        _ => Err("expected auto, load-balancer, ingress, node-port, in-cluster, service-proxy, port-forward or a URL".to_owned()),
    }
}

fn statuses(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| text.parse().ok().filter(|n| (100..=599).contains(n));
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err(format!("{text:?} is no status; write it like 200 or 200-399")),
    }
}

fn label_selector(text: &str) -> Result<(LabelSelector, String), String> {
    Ok((selector::parse(text)?, text.to_owned()))
}

fn grace(text: &str) -> Result<(String, Duration), String> {
    let (class, time) = text.split_once('=').ok_or_else(|| format!("{text:?} is not CLASS=DURATION"))?;
    let time = duration::parse(time)?;
    Grace::default().set(class, time)?;
    Ok((class.to_owned(), time))
}

/// How long a run lasts, where nothing else was said.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long the application must go on answering, where nothing else was said.
const STABLE_FOR: Duration = Duration::from_secs(5);

/// What a run does, with every default resolved.
struct Plan<'a> {
    args: &'a WaitReadyArgs,
    connect: &'a ConnectFlags,
    wanted: Vec<Wanted>,
    gate: gate::Plan,
    grace: Grace,
    timeout: Duration,
    wish: Wish,
    sent: Sent,
}

impl<'a> Plan<'a> {
    fn new(args: &'a WaitReadyArgs, connect: &'a ConnectFlags) -> Result<Self, Failure> {
        let mut grace = Grace::default();
        for (class, time) in &args.grace {
            grace.set(class, *time).map_err(Failure::usage)?;
        }
        let sent = Sent::read(&args.header).map_err(Failure::usage)?;
        sense::agree(args).map_err(Failure::usage)?;
        if args.via == Via::InCluster && args.probe_image.is_none() {
            return Err(Failure::usage("--via in-cluster needs an image to ask with: --probe-image IMAGE"));
        }
        if args.probe_image.is_some() && !sent.is_empty() {
            return Err(Failure::usage(
                "--header cannot be used with --probe-image: whoever may read the prober's Job would see the values",
            ));
        }
        Ok(Self {
            args,
            connect,
            wanted: targets::parse(&args.targets)?,
            gate: gate::Plan {
                check: args.http.is_some()
                    || args.grpc.is_some()
                    || args.tcp
                    || args.body.is_some()
                    || args.port.is_some()
                    || args.via != Via::Auto,
                port: args.port.clone(),
                old_gone: args.old_gone,
                expect_image: args.expect_image.clone(),
                expect_revision: args.expect_revision,
                ..gate::Plan::default()
            },
            grace,
            wish: Wish {
                http: args.http.clone(),
                tcp: args.tcp,
                grpc: args.grpc.clone(),
                via: args.via.clone(),
                host: args.host.clone(),
                prober: args.probe_image.is_some(),
                authorization: sent.has_authorization(),
            },
            sent,
            timeout: if args.once {
                Duration::ZERO
            } else {
                args.timeout.unwrap_or(TIMEOUT)
            },
        })
    }

    /// How long answers have to last.
    fn span(&self) -> Duration {
        self.args.stable_for.unwrap_or(STABLE_FOR)
    }

    /// Whose certificates of an application count.
    fn trust(&self) -> Result<Trust, Failure> {
        let broken = |why: String| Failure::new(Exit::Fault, why);
        if self.args.insecure_skip_tls_verify_application {
            return Trust::of_anybody().map_err(broken);
        }
        let Some(path) = &self.args.ca_file else {
            return Trust::of_authorities(None).map_err(broken);
        };
        let of_file = |why: String| Failure::usage(format!("--ca-file {}: {why}", path.display()));
        let pem = std::fs::read(path).map_err(|error| of_file(error.to_string()))?;
        Trust::of_authorities(Some(&pem)).map_err(of_file)
    }

    fn phase_timeouts(&self) -> BTreeMap<Phase, Duration> {
        let limits = [
            (Phase::Infrastructure, self.args.infrastructure_timeout),
            (Phase::Pods, self.args.pods_timeout),
            (Phase::Application, self.args.application_timeout),
        ];
        limits.into_iter().filter_map(|(phase, limit)| Some((phase, limit?))).collect()
    }
}

/// Runs the verb.
pub async fn run(args: &WaitReadyArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let files = Files::open(args)?;
    let outcome = match Plan::new(args, connect) {
        Ok(plan) if args.local => offline::run(plan, io),
        Ok(plan) => {
            if let Some(warning) = sense::too_short(plan.timeout, plan.span()) {
                io.stderr.line(&warning);
            }
            live::run(plan, io, log).await
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &outcome {
        files.without_verdict(failure);
    }
    outcome
}

/// The exit code of a verdict; one look at what is still on its way is a time that was up at once.
const fn exit_of(state: State) -> Exit {
    match state {
        State::Ready => Exit::Good,
        State::Failed => Exit::Bad,
        State::Unknown => Exit::CannotTell,
        State::NotFound => Exit::NotFound,
        State::Progressing => Exit::TimedOut,
    }
}

/// The report of a look at objects; `causes` are those that are final.
fn report(
    targets: Vec<String>,
    phases: Vec<PhaseReadiness>,
    judged: Vec<ObjectReadiness>,
    causes: &[Finding],
    snapshot: &Snapshot,
) -> Readiness {
    let state = verdict::state(&phases);
    Readiness {
        api_version: API_VERSION.to_owned(),
        kind: "Readiness".to_owned(),
        targets,
        state,
        reason: verdict::reason(state, &phases, causes),
        exit_code: exit_of(state) as u8,
        trend: None,
        proven_by: None,
        application: None,
        hops: None,
        phases,
        objects: judged,
        root_causes: Vec::new(),
        unchecked: snapshot.unchecked.iter().cloned().collect(),
        taken_at: snapshot.taken_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        requests: 0,
        elapsed_seconds: 0.0,
    }
}

/// Prints the report, and writes it wherever else it was asked for: last, so that a full disk takes no verdict away.
fn finish(plan: &Plan<'_>, report: &Readiness, snapshot: &Snapshot, io: &Io) -> Result<(), Failure> {
    let args = plan.args;
    let is = |name: &str| io.environment.get(name) == Some("true");
    // The runner's log is no terminal, and shows colour all the same.
    let is_colourless =
        args.color == super::Colour::Never || (args.color == super::Colour::Auto && io.environment.get("NO_COLOR").is_some());
    let gitlab = Annotations::Gitlab { colour: !is_colourless };
    let style = match args.annotations {
        Annotate::Github => Some(Annotations::Github),
        Annotate::Gitlab => Some(gitlab),
        Annotate::Auto if is("GITHUB_ACTIONS") => Some(Annotations::Github),
        Annotate::Auto if is("GITLAB_CI") => Some(gitlab),
        // A person reads the verdict on the same terminal; a log may keep standard error alone.
        Annotate::Auto | Annotate::None if io.stdout.is_terminal() && io.stderr.is_terminal() => None,
        Annotate::Auto | Annotate::None => Some(Annotations::Plain),
    };
    for line in style.iter().flat_map(|style| readiness::annotations(report, *style)) {
        io.stderr.line(&line);
    }
    print(report, args, io)?;
    if let Some(path) = &args.save {
        let mut document = snapshot.to_json();
        plan.sent.mask_document(&mut document);
        super::diagnose::save_document(path, &document)?;
    }
    if let Some(path) = &args.junit {
        write(path, &junit(report))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(Exit::Fault, format!("writing {}: {error}", path.display())))
}

fn print(report: &Readiness, args: &WaitReadyArgs, io: &Io) -> Result<(), Failure> {
    let format = match &args.output {
        Output::Report(format) => format,
        Output::NdJson => {
            let line = serde_json::to_string(report).map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
            io.stdout.line(&line);
            return Ok(());
        }
    };
    match document::print(report, format).map_err(|e| Failure::new(Exit::Fault, e))? {
        Some(document) => io.stdout.write(&document),
        None => {
            let mut paper = Paper::new(args.color.is_on(&io.stdout, &io.environment), io.stdout.columns());
            readiness::text(report, &mut paper);
            io.stdout.write(&paper.into_text());
        }
    }
    Ok(())
}

fn read_files(args: &WaitReadyArgs, io: &mut Io) -> Result<local::Documents, Failure> {
    local::read(&args.filename, args.recursive, &mut io.stdin).map_err(|error| Failure::usage(format!("{error:#}")))
}
