//! The flags of `wait-ready`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cmd::wait_ready::values::{self, Annotate, Output, grace, label_selector, output, statuses, via};
use crate::model::duration;
use crate::readiness::check::ProbePath;

/// Wait until workloads really work: infrastructure, pods and application.
///
/// Three phases must be ready: the infrastructure (volume claims, addresses), the pods (all of the current revision, with their endpoints) and
/// the application (requests through its Services and to each pod must succeed several times in a row). The objects need not exist yet. The wait
/// ends early, with the root causes that diagnose would name, when something will not become ready.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_long_help = crate::exit::HELP)]
pub struct WaitReadyArgs {
    /// Objects that must be ready: TYPE/NAME..., TYPE NAME..., TYPE or NAME
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Workloads whose pods have these labels, also those that are created later
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = label_selector, conflicts_with = "local")]
    pub(crate) selector: Option<(LabelSelector, String)>,
    /// Files or folders that name the objects (- for standard input); with --local, the objects themselves
    #[arg(short = 'f', long, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) filename: Vec<String>,
    /// Read subfolders of -f too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Check the objects in the files of -f once, without a server
    #[arg(long, requires = "filename")]
    pub(crate) local: bool,
    /// When the objects in the files were read, such as 2026-01-31T09:30:00Z; without it their state stands as it was saved
    #[arg(long, value_name = "TIME", requires = "local")]
    pub(crate) now: Option<jiff::Timestamp>,
    /// How long to wait in total; 0 checks once [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Check once and do not wait, like --timeout 0
    #[arg(long)]
    pub(crate) once: bool,
    /// How long volume claims and addresses may take
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) infrastructure_timeout: Option<Duration>,
    /// How long pods and endpoints may take after the infrastructure is ready
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) pods_timeout: Option<Duration>,
    /// How long the application may take to answer after its pods are ready
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) application_timeout: Option<Duration>,
    /// Path that must answer with --status [default: what the HTTP probes request, else any answer or connection]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["tcp", "local"], value_parser = values::path)]
    pub(crate) http: Option<String>,
    /// Only check that a TCP connection can be opened
    #[arg(long, conflicts_with_all = ["grpc", "local", "status", "body"])]
    pub(crate) tcp: bool,
    /// The gRPC health check (grpc.health.v1) of the server, or of this service, must return SERVING
    #[arg(long, value_name = "SERVICE", num_args = 0..=1, require_equals = true, default_missing_value = "", conflicts_with_all = ["http", "local", "status", "body"])]
    pub(crate) grpc: Option<String>,
    /// Service port that must answer, by number or name [default: each TCP port]
    #[arg(long, value_name = "PORT", conflicts_with = "local", value_parser = values::port)]
    pub(crate) port: Option<String>,
    /// Network path used for checks: auto, load-balancer, ingress (or Gateway), node-port, in-cluster, service-proxy, port-forward or a URL (http, https, tcp, grpc, grpcs)
    #[arg(long, value_name = "PATH", default_value = "auto", value_parser = via)]
    pub(crate) via: ProbePath,
    /// Image for a short-lived Job that checks the Services from inside the cluster; it needs a shell and curl, or wget and nc (busybox)
    #[arg(long, value_name = "IMAGE", conflicts_with = "local", value_parser = values::image)]
    pub(crate) probe_image: Option<String>,
    /// Successful requests in a row that are needed, each on a new connection
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) successes: u32,
    /// How long the requests must go on succeeding [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true)]
    pub(crate) stable_for: Option<Duration>,
    /// How long one answer may take [default: 3s, or timeoutSeconds of the port's probes if that is longer]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, allow_hyphen_values = true, conflicts_with = "local")]
    pub(crate) answer_timeout: Option<Duration>,
    /// Accepted HTTP status code or range
    #[arg(long, value_name = "CODES", default_value = "200-399", value_parser = statuses)]
    pub(crate) status: (u16, u16),
    /// Regular expression that must match the body of the answer
    #[arg(long, value_name = "REGEX", value_parser = regex::Regex::new)]
    pub(crate) body: Option<regex::Regex>,
    /// Host header and TLS server name, instead of the host of the Ingress rule or address
    #[arg(long, value_name = "HOST", value_parser = values::host)]
    pub(crate) host: Option<String>,
    /// Do not connect to pods to find out why they do not answer
    #[arg(long, conflicts_with = "local")]
    pub(crate) no_dial: bool,
    /// HTTP header to send (NAME=VALUE), or a file of headers (@FILE, with lines NAME: VALUE); values are never shown
    #[arg(long, value_name = "NAME=VALUE|@FILE")]
    pub(crate) header: Vec<String>,
    /// Certificate authorities (PEM) to trust for the application, in addition to the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Accept any certificate of the application; certificates of the API server are still checked
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure_skip_tls_verify_application: bool,
    /// Also wait until pods of older revisions are deleted, not only removed from the endpoints
    #[arg(long)]
    pub(crate) old_gone: bool,
    /// Image that a container of each workload must have
    #[arg(long, value_name = "IMAGE", value_parser = values::image)]
    pub(crate) expect_image: Option<String>,
    /// Revision (see kubectl rollout history) that each Deployment must have reached
    #[arg(long, value_name = "N", value_parser = values::revision)]
    pub(crate) expect_revision: Option<u64>,
    /// How long a class of faults may last before the wait fails: permanent=20s, image=90s, crash=DURATION (default: three restarts), scheduling=3m, probe=3m, other=2m, stall=10m, suspended=0s (suspended Jobs, paused rollouts, workloads at zero, pods that OnDelete leaves)
    #[arg(long, value_name = "CLASS=DURATION", value_delimiter = ',', value_parser = grace)]
    pub(crate) grace: Vec<(String, Duration)>,
    /// Output format: text, json, yaml, ndjson (one line per change, the verdict last) or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text", value_parser = output)]
    pub(crate) output: Output,
    /// Write the verdict to a file as JUnit XML
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub(crate) junit: Option<PathBuf>,
    /// Annotations for a CI system, on standard error: auto, github, gitlab or none
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub(crate) annotations: Annotate,
    /// Write the checked objects to a file, without values of Secrets
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    pub(crate) save: Option<PathBuf>,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: crate::cmd::Colour,
}

const EXAMPLES: &str = "\
Examples:
  # in a pipeline, after kubectl apply
  kubectl podlife wait-ready deployment/api --timeout 3m
  # all objects of the manifests, with a test report
  kubectl podlife wait-ready -f manifests/ -R --junit ready.xml
  # a path that must answer through the load balancer
  kubectl podlife wait-ready svc/api --http /healthz --via load-balancer
  # like a client in the cluster: through kube-proxy and NetworkPolicies
  kubectl podlife wait-ready svc/api --via in-cluster --probe-image busybox
  # with a secret token, over TLS with a private certificate authority
  kubectl podlife wait-ready ing/shop --header @token.txt --ca-file ca.pem
  # the new image, and no pod of an old revision left
  kubectl podlife wait-ready deploy/api --expect-image api:1.7 --old-gone
  # check once, for a program
  kubectl podlife wait-ready deployment/api --once -o json
  # what `kubectl get -o yaml` printed, without a server
  kubectl podlife wait-ready --local -f shop.yaml";
