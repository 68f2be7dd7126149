//! What a run does, with every default resolved.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::cluster::Trust;
use crate::cmd::Colour;
use crate::cmd::targets;
use crate::cmd::wait_ready::args::WaitReadyArgs;
use crate::cmd::wait_ready::values::{Annotate, Output};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::readiness::Phase;
use crate::observe::expected::Expected;
use crate::observe::files;
use crate::observe::headers::Sent;
use crate::observe::targets::Wanted;
use crate::readiness;
use crate::readiness::check::{CheckOptions, ProbePath};
use crate::readiness::failfast::Grace;
use crate::readiness::progress::Limits;

/// Where the report goes.
#[derive(Clone, Debug)]
pub(crate) struct OutputPlan {
    pub(crate) output: Output,
    pub(crate) color: Colour,
    pub(crate) annotations: Annotate,
    pub(crate) junit: Option<PathBuf>,
    pub(crate) save: Option<PathBuf>,
}

/// The default of `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// The default of `--stable-for`.
const STABLE_FOR: Duration = Duration::from_secs(5);

/// Which certificates of an application are accepted.
#[derive(Clone, Debug)]
enum Authorities {
    Any,
    System,
    /// Those of the system, and those in this file.
    File(PathBuf),
}

/// What a run does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) wanted: Vec<Wanted>,
    /// Labels of pods, parsed and as they were given.
    pub(crate) selector: Option<(LabelSelector, String)>,
    /// Files that name objects, and whether folders below them are read too.
    files: (Vec<String>, bool),
    /// When the objects of the files were read.
    pub(crate) now: Option<Timestamp>,
    /// The namespace that was given.
    pub(crate) namespace: Option<String>,
    pub(crate) gate: readiness::Goal,
    pub(crate) checks: CheckOptions,
    pub(crate) limits: Limits,
    /// Answers in a row that are needed, and how long they have to last.
    pub(crate) successes: u32,
    pub(crate) stable_for: Duration,
    pub(crate) expected: Expected,
    pub(crate) sent: Sent,
    authorities: Authorities,
    pub(crate) probe_image: Option<String>,
    /// Whether ports of pods may be dialled.
    pub(crate) may_dial: bool,
    pub(crate) output: OutputPlan,
}

impl Plan {
    /// Resolves the flags; an error says which are invalid.
    pub(crate) fn new(args: &WaitReadyArgs, namespace: Option<&str>) -> Result<Self, Failure> {
        let mut grace = Grace::default();
        for (class, time) in &args.grace {
            grace.set(class, *time).map_err(Failure::usage)?;
        }
        let sent = Sent::read(&args.header).map_err(Failure::usage)?;
        check_combination(args, &sent).map_err(Failure::usage)?;
        let phases = [
            (Phase::Infrastructure, args.infrastructure_timeout),
            (Phase::Pods, args.pods_timeout),
            (Phase::Application, args.application_timeout),
        ];
        let timeout = if args.once {
            Duration::ZERO
        } else {
            args.timeout.unwrap_or(TIMEOUT)
        };
        Ok(Self {
            wanted: targets::parse(&args.targets)?,
            selector: args.selector.clone(),
            files: (args.filename.clone(), args.recursive),
            now: args.now,
            namespace: namespace.map(str::to_owned),
            gate: readiness::Goal {
                check: args.http.is_some()
                    || args.grpc.is_some()
                    || args.tcp
                    || args.body.is_some()
                    || args.port.is_some()
                    || args.via != ProbePath::Auto,
                port: args.port.clone(),
                old_gone: args.old_gone,
                expect_image: args.expect_image.clone(),
                expect_revision: args.expect_revision,
                ..readiness::Goal::default()
            },
            checks: CheckOptions {
                http: args.http.clone(),
                tcp: args.tcp,
                grpc: args.grpc.clone(),
                via: args.via.clone(),
                host: args.host.clone(),
                answer_timeout: args.answer_timeout,
                prober: args.probe_image.is_some(),
                authorization: sent.has_authorization(),
            },
            limits: Limits {
                timeout,
                phases: phases.into_iter().filter_map(|(phase, limit)| Some((phase, limit?))).collect(),
                grace,
            },
            successes: args.successes,
            stable_for: args.stable_for.unwrap_or(STABLE_FOR),
            expected: Expected {
                status: args.status,
                body: args.body.clone(),
            },
            sent,
            authorities: match &args.ca_file {
                _ if args.insecure_skip_tls_verify_application => Authorities::Any,
                Some(path) => Authorities::File(path.clone()),
                None => Authorities::System,
            },
            probe_image: args.probe_image.clone(),
            may_dial: !args.no_dial,
            output: OutputPlan {
                output: args.output.clone(),
                color: args.color,
                annotations: args.annotations,
                junit: args.junit.clone(),
                save: args.save.clone(),
            },
        })
    }

    /// Whether it looks once and does not wait.
    pub(crate) const fn is_one_look(&self) -> bool {
        self.limits.timeout.is_zero()
    }

    /// Reads the files that name objects.
    pub(crate) fn read_files(&self, io: &mut Io) -> Result<files::Documents, Failure> {
        let (files, recursive) = &self.files;
        files::read(files, *recursive, &mut io.stdin).map_err(|error| Failure::usage(format!("{error:#}")))
    }

    /// Whether files name objects.
    pub(crate) fn has_files(&self) -> bool {
        !self.files.0.is_empty()
    }

    /// Which certificates of an application are accepted.
    pub(crate) fn trust(&self) -> Result<Trust, Failure> {
        let broken = |why: String| Failure::new(Exit::Fault, why);
        match &self.authorities {
            Authorities::Any => Trust::of_anybody().map_err(broken),
            Authorities::System => Trust::of_authorities(None, "--ca-file").map_err(broken),
            Authorities::File(path) => {
                let of_file = |why: String| Failure::usage(format!("--ca-file {}: {why}", path.display()));
                let pem = std::fs::read(path).map_err(|error| of_file(error.to_string()))?;
                Trust::of_authorities(Some(&pem), "--ca-file").map_err(of_file)
            }
        }
    }
}

/// Refuses flags that cannot be used together.
fn check_combination(args: &WaitReadyArgs, sent: &Sent) -> Result<(), String> {
    if args.once && args.timeout.is_some_and(|timeout| !timeout.is_zero()) {
        return Err("--once and --timeout cannot be used together".to_owned());
    }
    if args.answer_timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err("--answer-timeout must be more than zero".to_owned());
    }
    if args.probe_image.is_some() && !matches!(args.via, ProbePath::Auto | ProbePath::InCluster) {
        return Err("--probe-image cannot be used with this --via: leave one of them out, or use --via in-cluster".to_owned());
    }
    if args.via == ProbePath::InCluster && args.probe_image.is_none() {
        return Err("--via in-cluster needs an image: --probe-image IMAGE".to_owned());
    }
    if args.probe_image.is_some() && !sent.is_empty() {
        return Err("--header cannot be used with --probe-image: everyone who may read the prober's Job would see the values".to_owned());
    }
    Ok(())
}
