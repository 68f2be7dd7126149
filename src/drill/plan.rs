//! What a drill would do to the objects as they are now, and why it would rather not.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::drill::change::Change;
use crate::drill::choose::choose;
use crate::drill::fault::{Fault, Share};
use crate::drill::inside;
use crate::drill::inside::{Inside, Remedy, Strike};
use crate::model::drill::{PodCount, Refusal};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::view::{View, WorkloadObject, autoscaler, is_ready, is_terminating, rollout};

/// The kinds that a drill can be about.
const KINDS: [Kind; 4] = [kind::DEPLOYMENT, kind::STATEFUL_SET, kind::DAEMON_SET, kind::POD];

/// Annotations and labels of controllers that bring an object back to what a repository says.
const GIT_OPS: [(&str, &str); 4] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
];

/// What `kubectl rollout restart` writes.
pub(crate) const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// A reason to refuse that a flag overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Allow {
    Degraded,
    BarePods,
    Autoscaled,
    GitOps,
    ForceStateful,
    LostClaims,
    NoLimit,
}

impl Allow {
    /// The word behind `--allow`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Degraded => "degraded",
            Self::BarePods => "bare-pods",
            Self::Autoscaled => "autoscaled",
            Self::GitOps => "gitops",
            Self::ForceStateful => "force-stateful",
            Self::LostClaims => "lost-claims",
            Self::NoLimit => "no-limit",
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Says which drill it is; stands in what is changed.
    pub(crate) id: String,
    pub(crate) fault: Fault,
    pub(crate) targets: Vec<ObjectRef>,
    pub(crate) share: Share,
    /// The number of pods of `scale`.
    pub(crate) to: u32,
    /// Delete pods without their grace period.
    pub(crate) force: bool,
    pub(crate) seed: u64,
    pub(crate) hold: Duration,
    pub(crate) timeout: Duration,
    pub(crate) allow: BTreeSet<Allow>,
    pub(crate) inside: Inside,
}

/// A pod, as it was when the drill was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodBefore {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) workload: ObjectRef,
    /// Restarts of all its containers, with the one that the fault itself makes.
    pub(crate) restarts: u32,
}

/// What a drill would do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) changes: Vec<Change>,
    /// Pods to delete or to evict, in this order.
    pub(crate) hit: Vec<PodBefore>,
    /// Commands in containers.
    pub(crate) strikes: Vec<Strike>,
    /// Workloads whose pods are replaced: kind and name.
    pub(crate) restarts: Vec<(Kind, String)>,
    /// All pods of the targets.
    pub(crate) before: Vec<PodBefore>,
    /// Services that are taken apart.
    pub(crate) services: Vec<String>,
    /// Services that lead to the targets.
    pub(crate) fronts: BTreeSet<String>,
    pub(crate) expected: Vec<String>,
    /// Whether the specs let expect that nobody answers for a while.
    pub(crate) expects_outage: bool,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) pods: PodCount,
}

impl Plan {
    /// The requests that change something, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut requests: Vec<String> = self.changes.iter().map(Change::request).collect();
        requests.extend(
            self.restarts
                .iter()
                .map(|(kind, name)| format!("PATCH {}/{name}: annotation {RESTARTED_AT} of the template", kind.plural)),
        );
        requests.extend(self.strikes.iter().map(Strike::request));
        requests.extend(self.hit.iter().map(|pod| match self.request.fault {
            Fault::Evict => format!("CREATE pods/{}/eviction (uid {})", pod.name, pod.uid),
            _ if self.request.force => format!("DELETE pods/{} (uid {}, grace period 0)", pod.name, pod.uid),
            _ => format!("DELETE pods/{} (uid {})", pod.name, pod.uid),
        }));
        requests
    }

    /// The commands that take back what commands do.
    pub(crate) fn remedies(&self) -> Vec<Remedy> {
        self.strikes.iter().filter_map(|strike| strike.remedy.clone()).collect()
    }

    /// The rights to undo it, and then those to do it: verb, group, resource, subresource.
    pub(crate) fn rights(&self) -> Vec<(&'static str, String, String, String)> {
        let own = |verb, group: &str, resource: &str, sub: &str| (verb, group.to_owned(), resource.to_owned(), sub.to_owned());
        let mut rights = vec![own("create", "", "configmaps", ""), own("delete", "", "configmaps", "")];
        for change in &self.changes {
            let sub = change.subresource.as_deref().unwrap_or_default();
            rights.push(own("get", &change.kind.group, &change.kind.plural, ""));
            rights.push(own("patch", &change.kind.group, &change.kind.plural, sub));
        }
        rights.extend(self.restarts.iter().map(|(kind, _)| own("patch", &kind.group, &kind.plural, "")));
        match self.request.fault {
            Fault::Evict => rights.push(own("create", "", "pods", "eviction")),
            Fault::PodDelete => rights.push(own("delete", "", "pods", "")),
            fault if fault.is_inside() => {
                // A websocket is opened with GET; from Kubernetes 1.35 `create` is asked for too.
                rights.extend(["create", "get"].map(|verb| own(verb, "", "pods", "exec")));
                if self.request.inside.ephemeral_image.is_some() {
                    rights.push(own("patch", "", "pods", "ephemeralcontainers"));
                }
            }
            _ => {}
        }
        rights.dedup();
        rights
    }
}

/// The restarts of all containers of a pod.
pub(crate) fn restarts(pod: &Pod) -> u32 {
    let containers = crate::view::containers(pod);
    containers.iter().map(|c| u32::try_from(c.restarts()).unwrap_or_default()).sum()
}

/// Plans a drill. `raw` are the targets and the Services of the namespace as the API server sent them. The error is a misuse.
pub(crate) fn plan(view: &View<'_>, request: Request, raw: &[Value]) -> Result<Plan, String> {
    let mut plan = Plan {
        changes: Vec::new(),
        hit: Vec::new(),
        strikes: Vec::new(),
        restarts: Vec::new(),
        before: Vec::new(),
        services: Vec::new(),
        fronts: BTreeSet::new(),
        expected: Vec::new(),
        expects_outage: false,
        refusals: Vec::new(),
        pods: PodCount { hit: 0, all: 0 },
        request,
    };
    for target in plan.request.targets.clone() {
        let workload = view.workload(&target);
        let object = workload.and_then(|workload| workload.object);
        let (Some(workload), Some(object)) = (workload, object) else {
            return Err(format!(
                "{} is no workload of its own: name the controller of its pods",
                target.short()
            ));
        };
        if !KINDS.iter().any(|kind| target.is(kind)) {
            return Err(format!(
                "a drill is about deployments, statefulsets, daemonsets and pods, not about {}",
                target.short()
            ));
        }
        let mut before: Vec<PodBefore> = workload
            .pods
            .iter()
            .filter(|pod| !is_terminating(pod))
            .map(|pod| PodBefore {
                uid: pod.uid().unwrap_or_default(),
                name: pod.name_any(),
                workload: target.clone(),
                restarts: restarts(pod),
            })
            .collect();
        let ready: Vec<&str> = workload
            .pods
            .iter()
            .filter(|pod| is_ready(pod))
            .filter_map(|pod| pod.metadata.name.as_deref())
            .collect();
        plan.refuse(view, &target, object);
        plan.change(view, &target, object, raw)?;
        let chosen = plan.choose(&before, &ready);
        for pod in before.iter_mut().filter(|pod| chosen.contains(&pod.name)) {
            plan.strike(pod, &workload.pods, raw);
        }
        let fronts = view.services_selecting(&target.namespace, &object.pod_labels());
        match fronts.is_empty() {
            true => plan
                .expected
                .push(format!("no Service leads to {}: its clients are not known", target.short())),
            false => plan.expect(&target, object, ready.len()),
        }
        plan.fronts.extend(fronts.into_iter().map(ResourceExt::name_any));
        plan.pods.all += before.len();
        plan.before.extend(before);
    }
    if plan.before.is_empty() && plan.refusals.is_empty() {
        plan.refusals.push(never("the targets have no pods".to_owned()));
    }
    Ok(plan)
}

fn never(why: String) -> Refusal {
    Refusal { why, flag: None }
}

impl Plan {
    fn refuse_unless(&mut self, allow: Allow, why: String) {
        if !self.request.allow.contains(&allow) {
            let flag = Some(format!("--allow {}", allow.word()));
            self.refusals.push(Refusal { why, flag });
        }
    }

    fn refuse(&mut self, view: &View<'_>, target: &ObjectRef, object: WorkloadObject<'_>) {
        let (fault, name) = (self.request.fault, target.short());
        let state = rollout::of(view, object);
        if !state.stage.is_goal() {
            self.refuse_unless(Allow::Degraded, format!("{name} is not at its goal: {}", state.stage.in_words()));
        }
        if matches!(object, WorkloadObject::Pod(_)) {
            self.refuse_unless(Allow::BarePods, format!("{name} has no controller that would make it again"));
        }
        if let Some(scaler) = autoscaler::of(view, target).filter(|_| matches!(fault, Fault::ScaleZero | Fault::Scale)) {
            let why = format!("autoscaler {} scales {name} and may scale it back, or stop", scaler.name_any());
            self.refuse_unless(Allow::Autoscaled, why);
        }
        let metadata = object.metadata();
        let has = |key: &str| {
            [&metadata.labels, &metadata.annotations]
                .into_iter()
                .flatten()
                .any(|of| of.contains_key(key))
        };
        if let Some((_, tool)) = GIT_OPS.iter().find(|(key, _)| fault.changes_spec() && has(key)) {
            self.refuse_unless(Allow::GitOps, format!("{tool} manages {name} and may undo the fault"));
        }
        if let WorkloadObject::StatefulSet(set) = object {
            let policy = set.spec.as_ref().and_then(|s| s.persistent_volume_claim_retention_policy.as_ref());
            let scales_down = matches!(fault, Fault::ScaleZero | Fault::Scale);
            if scales_down && policy.and_then(|p| p.when_scaled.as_deref()) == Some("Delete") {
                let why = format!("{name} deletes the claims of pods that are scaled away: their data would be lost");
                self.refuse_unless(Allow::LostClaims, why);
            }
            if self.request.force && fault == Fault::PodDelete {
                let why = format!("deleting pods of {name} by force may run two pods with one identity and one volume");
                self.refuse_unless(Allow::ForceStateful, why);
            }
        }
    }

    /// Adds what the fault changes.
    fn change(&mut self, view: &View<'_>, target: &ObjectRef, object: WorkloadObject<'_>, raw: &[Value]) -> Result<(), String> {
        let (fault, kind) = (self.request.fault, object.kind());
        let is_it = |value: &&Value| value["kind"] == kind.kind.as_ref() && value["metadata"]["name"] == target.name.as_str();
        let scales = matches!(object, WorkloadObject::Deployment(_) | WorkloadObject::StatefulSet(_));
        let wrong = || format!("{} cannot be drilled with {}", target.short(), fault.name());
        let spec = ["spec", "template", "spec"];
        let value = json!(format!("podlife-{}", self.request.id));
        let raw_target = || raw.iter().find(is_it).ok_or_else(|| format!("{} was not read", target.short()));
        let in_template = |path: &[&str], ours: Value| Ok::<_, String>(Change::of(&kind, raw_target()?, &[&spec[..], path].concat(), ours));
        match fault {
            Fault::PodDelete | Fault::Evict | Fault::ContainerCrash | Fault::Oom | Fault::Cpu | Fault::CpuResize | Fault::BreakHeal => {}
            _ if matches!(object, WorkloadObject::Pod(_)) => return Err(wrong()),
            Fault::ScaleZero | Fault::Scale if !scales => return Err(wrong()),
            Fault::ScaleZero => self.changes.push(Change::of_scale(&kind, raw_target()?, 0)),
            Fault::Scale => {
                let change = Change::of_scale(&kind, raw_target()?, self.request.to);
                if change.before.as_ref() == Some(&change.ours) {
                    self.refusals
                        .push(never(format!("{} has {} pods already", target.short(), self.request.to)));
                }
                self.changes.push(change);
            }
            // The annotation of kubectl, so that both are seen in one place. It is not put back: that would be another restart.
            Fault::RollingRestart => self.restarts.push((kind, target.name.clone())),
            Fault::NotReady => {
                let labels = object.pod_labels();
                for service in view.services_selecting(&target.namespace, &labels) {
                    let name = service.name_any();
                    let is_service = |value: &&Value| value["kind"] == "Service" && value["metadata"]["name"] == name.as_str();
                    let raw = raw.iter().find(is_service).ok_or_else(|| format!("service/{name} was not read"))?;
                    if !self.services.contains(&name) {
                        self.changes.push(Change::of(
                            &kind::SERVICE,
                            raw,
                            &["spec", "selector", "podlife.dev/drill"],
                            value.clone(),
                        ));
                        self.services.push(name);
                    }
                }
                if self.services.is_empty() {
                    self.refusals
                        .push(never(format!("no Service selects the pods of {}", target.short())));
                }
            }
            Fault::BadImage => self.changes.push(in_template(
                &["containers", "0", "image"],
                json!(format!("podlife.invalid/drill:{}", self.request.id)),
            )?),
            Fault::StuckPending => self.changes.push(in_template(&["nodeSelector", "podlife.dev/drill"], value)?),
            Fault::CrashLoop => self.changes.push(in_template(
                &["containers", "0", "command"],
                json!([format!("/podlife-drill-{}", self.request.id)]),
            )?),
        }
        Ok(())
    }

    /// Chooses the pods; the names are those of pods in which something is to be done.
    fn choose(&mut self, before: &[PodBefore], ready: &[&str]) -> Vec<String> {
        let fault = self.request.fault;
        let count = match fault {
            fault if fault.chooses_pods() => self.request.share.of(ready.len()),
            Fault::ScaleZero | Fault::RollingRestart | Fault::NotReady => before.len(),
            Fault::Scale => before.len().saturating_sub(self.request.to as usize),
            // The rollout does not get beyond its first pods.
            _ => 0,
        };
        self.pods.hit += count;
        if !fault.chooses_pods() {
            return Vec::new();
        }
        let chosen = choose(self.request.seed, ready, count);
        if matches!(fault, Fault::PodDelete | Fault::Evict) {
            let of_name = |name: &&str| before.iter().find(|pod| pod.name == **name).cloned();
            self.hit.extend(chosen.iter().filter_map(of_name));
            return Vec::new();
        }
        chosen.into_iter().map(str::to_owned).collect()
    }

    /// Adds what is done inside a pod. The restart that this makes is expected.
    fn strike(&mut self, before: &mut PodBefore, pods: &[&Pod], raw: &[Value]) {
        let (request, fault) = (&self.request, self.request.fault);
        let Some(pod) = pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(&before.uid)) else {
            return;
        };
        let is_it = |value: &&Value| value["metadata"]["uid"] == before.uid.as_str();
        let refused = match (fault, raw.iter().find(is_it)) {
            (Fault::CpuResize, Some(raw)) => inside::resize(&request.inside, pod, raw).map(|change| self.changes.push(change)),
            (Fault::CpuResize, None) => Err(never(format!("pod/{} has gone meanwhile", before.name))),
            _ => Strike::of(fault, &request.inside, &request.id, request.hold.as_secs(), pod).map(|strike| self.strikes.push(strike)),
        };
        self.refusals.extend(refused.err());
        before.restarts += u32::from(matches!(fault, Fault::ContainerCrash | Fault::Oom));
    }

    /// Adds what the spec lets expect.
    fn expect(&mut self, target: &ObjectRef, object: WorkloadObject<'_>, ready: usize) {
        let name = target.short();
        let replaces_all_first = match object {
            WorkloadObject::Deployment(o) => {
                let strategy = o.spec.as_ref().and_then(|s| s.strategy.as_ref());
                strategy.and_then(|s| s.type_.as_deref()) == Some("Recreate")
            }
            // One pod is taken away before its successor is made.
            _ => ready <= 1,
        };
        let (words, outage) = match self.request.fault {
            Fault::PodDelete | Fault::Evict => match ready.saturating_sub(self.request.share.of(ready)) {
                0 => (format!("no ready pod of {name} is left: an outage until a new one is ready"), true),
                left => (format!("{left} of {ready} pods of {name} go on serving: no outage"), false),
            },
            Fault::ContainerCrash | Fault::Oom | Fault::BreakHeal => match ready.saturating_sub(self.request.share.of(ready)) {
                0 => (format!("no ready pod of {name} is left: an outage until one is ready again"), true),
                left => (format!("{left} of {ready} pods of {name} go on serving: no outage"), false),
            },
            Fault::Cpu | Fault::CpuResize => (format!("{name} answers more slowly: no outage"), false),
            Fault::ScaleZero => (format!("{name} has no pods: an outage until new ones are ready"), true),
            Fault::Scale if self.request.to == 0 => (format!("{name} has no pods: an outage until new ones are ready"), true),
            Fault::Scale => (
                format!("{} pods of {name} go on serving: no outage", ready.min(self.request.to as usize)),
                false,
            ),
            Fault::NotReady => (format!("no Service leads to {name}: an outage until its endpoints are back"), true),
            Fault::RollingRestart | Fault::BadImage | Fault::StuckPending | Fault::CrashLoop if replaces_all_first => {
                (format!("{name} takes its pods away before new ones are ready: an outage"), true)
            }
            Fault::RollingRestart => (format!("{name} is replaced pod by pod: no outage"), false),
            Fault::BadImage | Fault::StuckPending | Fault::CrashLoop => (format!("the old pods of {name} go on serving: no outage"), false),
        };
        self.expects_outage |= outage;
        self.expected.push(words);
    }

    /// Adds the refusals that depend on the namespace: somebody calls it production.
    pub(crate) fn refuse_production(&mut self, namespace: &Value, context: Option<&str>, acknowledged: Option<&str>) {
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        let marked = |of: &str| namespace["metadata"][of]["podlife.dev/production"] == "true";
        let says = |text: &str| {
            text.split(|c: char| !c.is_alphanumeric())
                .any(|word| matches!(word, "prod" | "production" | "prd"))
        };
        let environment = |of: &str| {
            ["env", "environment"]
                .iter()
                .any(|key| namespace["metadata"][of][*key].as_str().is_some_and(says))
        };
        let is_production = marked("labels") || marked("annotations") || environment("labels") || says(name) || context.is_some_and(says);
        if is_production && acknowledged != Some(name) {
            self.refusals.push(Refusal {
                why: format!("namespace {name} is production, by its name, its labels or the context's name"),
                flag: Some(format!("--i-know-this-is-production {name}")),
            });
        }
    }
}
