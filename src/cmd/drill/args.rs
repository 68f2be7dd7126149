//! The flags that name a fault, and those of `drill plan`.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{ArgGroup, Args};
use kube_quantity::ParsedQuantity;

use crate::cmd::wait_ready::image;
use crate::drill::config::Corruption;
use crate::drill::fault::{Fault, Share};
use crate::drill::inside::Inside;
use crate::drill::plan::{Allow, Request};
use crate::exit::Failure;
use crate::model::duration;
use crate::render::document::Format;

/// A fault, and what it is about.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("share").args(["count", "percent", "all"]))]
pub(super) struct FaultArgs {
    /// Fault: see drill list
    #[arg(value_name = "FAULT", value_parser = PossibleValuesParser::new(BTreeSet::from(Fault::ALL.map(Fault::name))).map(|name| fault(&name)))]
    fault: Fault,
    /// Workloads: TYPE/NAME
    #[arg(value_name = "TYPE/NAME", required = true)]
    pub(super) targets: Vec<String>,
    /// Number of ready pods of each workload to hit [default: 1; evict, not-ready: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Share of the ready pods to hit, in percent, rounded up
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(1..=100))]
    percent: Option<u32>,
    /// Hit all ready pods
    #[arg(long)]
    all: bool,
    /// Delete pods without their grace period
    #[arg(long)]
    force: bool,
    /// Container to hit [default: the first]
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// For not-ready: shell command that makes a pod not ready
    #[arg(long = "break", value_name = "COMMAND", requires = "heal")]
    break_with: Option<String>,
    /// Shell command that undoes --break; it may run twice
    #[arg(long, value_name = "COMMAND", requires = "break_with")]
    heal: Option<String>,
    /// For cpu: lower the CPU limit to this, in place, instead of keeping CPUs busy
    #[arg(long, value_name = "LIMIT", value_parser = cpu_limit)]
    resize: Option<String>,
    /// For container-crash: if a container has no shell, send the signal from an ephemeral container with this image, which stays in the pod until the pod is deleted
    #[arg(long, value_name = "IMAGE")]
    ephemeral_image: Option<String>,
    /// Number of replicas for scale
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    to: Option<u32>,
    /// Node for node-loss [default: the node with most pods of the targets]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// ConfigMap for config-corrupt
    #[arg(long, value_name = "NAME")]
    configmap: Option<String>,
    /// Key of the ConfigMap
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Value to set [default: podlife-drill]
    #[arg(long, value_name = "TEXT")]
    value: Option<String>,
    /// Replace the pods, so that they start with the new value
    #[arg(long)]
    restart: bool,
    /// Limit isolate to the pods of this workload
    #[arg(long, value_name = "TYPE/NAME")]
    pub(super) from: Option<String>,
    /// Image of the Job that proves isolate and dns-block inside the cluster, and makes the requests if a Service cannot be reached from here; it needs a shell and curl, or wget and nc (busybox)
    #[arg(long, value_name = "IMAGE", value_parser = image)]
    pub(super) probe_image: Option<String>,
    /// Seed for choosing pods: the same seed chooses the same ones of the same pods [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long the fault is held [default: 30s; 0s for faults that heal by themselves]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// How long the recovery may take
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration::parse)]
    timeout: Duration,
    /// Run the drill despite: degraded, bare-pods, autoscaled, gitops, force-stateful, lost-claims, no-limit, other-workloads, orphans
    #[arg(long, value_name = "REASON", value_delimiter = ',', value_parser = PossibleValuesParser::new(ALLOW.map(Allow::word)).map(|word| allow(&word)))]
    allow: Vec<Allow>,
    /// Allow a drill in this namespace although it is production
    #[arg(long, value_name = "NAMESPACE")]
    pub(super) i_know_this_is_production: Option<String>,
}

const ALLOW: [Allow; 9] = [
    Allow::Degraded,
    Allow::BarePods,
    Allow::Autoscaled,
    Allow::GitOps,
    Allow::ForceStateful,
    Allow::LostClaims,
    Allow::NoLimit,
    Allow::OtherWorkloads,
    Allow::Orphans,
];

fn fault(name: &str) -> Fault {
    Fault::ALL
        .into_iter()
        .find(|fault| fault.name() == name)
        .unwrap_or(Fault::PodDelete)
}

fn allow(word: &str) -> Allow {
    ALLOW.into_iter().find(|allow| allow.word() == word).unwrap_or(Allow::Degraded)
}

/// A CPU limit as the API server writes it.
fn cpu_limit(text: &str) -> Result<String, String> {
    let cpus = ParsedQuantity::try_from(text).ok().and_then(|parsed| parsed.to_bytes_f64());
    let thousandths = cpus.map_or(0, |cpus| (cpus * 1000.0).round() as u64);
    match thousandths {
        0 => Err("expected an amount of CPU, for example 100m".to_owned()),
        whole if whole % 1000 == 0 => Ok((whole / 1000).to_string()),
        part => Ok(format!("{part}m")),
    }
}

/// Show what a drill would do: its requests, their rights, how they are undone, and what to expect. Changes nothing.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) fault: FaultArgs,
    /// Output format: text, json, yaml or jsonpath=TEMPLATE
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "text")]
    pub(super) output: Format,
}

impl FaultArgs {
    /// What config-corrupt changes.
    fn corruption(&self) -> Result<Option<Corruption>, Failure> {
        let is_it = self.fault == Fault::ConfigCorrupt;
        let given = self.configmap.is_some() || self.key.is_some() || self.value.is_some() || self.restart;
        match (&self.configmap, &self.key) {
            _ if !is_it && given => Err(Failure::usage(format!(
                "--configmap, --key, --value and --restart belong to config-corrupt, not to {}",
                self.fault.name()
            ))),
            (Some(map), Some(key)) => Ok(Some(Corruption {
                map: map.clone(),
                key: key.clone(),
                value: self.value.clone().unwrap_or_else(|| "podlife-drill".to_owned()),
                restart: self.restart,
            })),
            _ if is_it => Err(Failure::usage("config-corrupt needs --configmap NAME and --key KEY")),
            _ => Ok(None),
        }
    }

    /// What is asked for, without the objects, which have to be looked up.
    pub(super) fn request(&self) -> Result<Request, Failure> {
        let fault = match self.fault {
            Fault::NotReady if self.break_with.is_some() => Fault::BreakHeal,
            Fault::Cpu if self.resize.is_some() => Fault::CpuResize,
            fault => fault,
        };
        let chooses_pods = fault.chooses_pods() || fault == Fault::NotReady;
        let by_label = fault == Fault::NotReady && (self.count.is_some() || self.percent.is_some());
        let misplaced = [
            (
                "--count, --percent and --all",
                self.count.is_some() || self.percent.is_some() || self.all,
                chooses_pods,
            ),
            ("--seed", self.seed.is_some(), chooses_pods),
            ("--force", self.force, fault == Fault::PodDelete),
            (
                "--container",
                self.container.is_some(),
                fault.is_inside() || fault == Fault::CpuResize,
            ),
            ("--break", self.break_with.is_some(), fault == Fault::BreakHeal),
            ("--resize", self.resize.is_some(), fault == Fault::CpuResize),
            ("--ephemeral-image", self.ephemeral_image.is_some(), fault == Fault::ContainerCrash),
            ("--to", self.to.is_some(), fault == Fault::Scale),
        ];
        if let Some((flag, ..)) = misplaced.iter().find(|(_, given, fits)| *given && !fits) {
            return Err(Failure::usage(format!("{flag} cannot be used with {}", fault.name())));
        }
        if fault == Fault::Scale && self.to.is_none() {
            return Err(Failure::usage("scale needs --to N"));
        }
        if self.node.is_some() && fault != Fault::NodeLoss {
            return Err(Failure::usage(format!(
                "--node cannot be used with {}, only with node-loss",
                fault.name()
            )));
        }
        let corruption = self.corruption()?;
        if self.from.is_some() && fault != Fault::Isolate {
            return Err(Failure::usage(format!(
                "--from cannot be used with {}, only with isolate",
                fault.name()
            )));
        }
        if fault.cuts_off() && self.probe_image.is_none() {
            let why = "a connection inside the cluster must prove the fault";
            return Err(Failure::usage(format!("{} needs --probe-image IMAGE: {why}", fault.name())));
        }
        if fault.heals_by_itself() && self.duration.is_some_and(|hold| !hold.is_zero()) {
            return Err(Failure::usage(format!(
                "{} heals by itself: it cannot be held with --duration",
                fault.name()
            )));
        }
        // A number that nobody could foresee, without a crate for it.
        let number = |salt: u8| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u8(salt);
            hasher.finish()
        };
        Ok(Request {
            id: format!("{:016x}", number(1)),
            fault,
            targets: Vec::new(),
            share: match (self.count, self.percent) {
                (Some(count), _) => Share::Count(count as usize),
                (_, Some(percent)) => Share::Percent(percent as usize),
                _ if self.all || matches!(fault, Fault::Evict | Fault::BreakHeal) => Share::All,
                _ => Share::Count(1),
            },
            to: self.to.unwrap_or_default(),
            force: self.force,
            seed: self.seed.unwrap_or_else(|| number(2)),
            hold: self.duration.unwrap_or_else(|| fault.held_for()),
            timeout: self.timeout,
            allow: self.allow.iter().copied().collect::<BTreeSet<_>>(),
            inside: Inside {
                container: self.container.clone(),
                break_with: self.break_with.clone().unwrap_or_default(),
                heal_with: self.heal.clone().unwrap_or_default(),
                ephemeral_image: self.ephemeral_image.clone(),
                resize: self.resize.clone().unwrap_or_default(),
                without_limit: self.allow.contains(&Allow::NoLimit),
            },
            from: None,
            by_label,
            node: self.node.clone(),
            corruption,
            image: self.probe_image.clone().unwrap_or_default(),
        })
    }
}
