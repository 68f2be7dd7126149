//! What a drill would do to the objects as they are now, and why it would rather not.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::drill::budget;
use crate::drill::budget::Budget;
use crate::drill::change::Change;
use crate::drill::choose::choose;
use crate::drill::config;
use crate::drill::config::{Corruption, File};
use crate::drill::created::{Created, LABEL, dead_man};
use crate::drill::fault::{Fault, Share};
use crate::drill::inside;
use crate::drill::inside::{Inside, Remedy, Strike};
use crate::drill::label::labels;
use crate::drill::network::{Canary, Side, cut};
use crate::drill::node::{Lost, lost};
use crate::model::drill::{PodCount, Refusal};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::text::shorten;
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

/// Letters of a created object's spec that are shown.
const LONGEST_SPEC: usize = 300;

/// What is created lives this much longer than the fault is held: while it is proven, and taken back.
const SPARE: Duration = Duration::from_secs(120);

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
    OtherWorkloads,
    Orphans,
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
            Self::OtherWorkloads => "other-workloads",
            Self::Orphans => "orphans",
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
    /// The callers that `isolate` is limited to.
    pub(crate) from: Option<ObjectRef>,
    /// `not-ready` takes as many pods out of their Services as `share` says, by their labels.
    pub(crate) by_label: bool,
    /// The node of `node-loss`.
    pub(crate) node: Option<String>,
    /// What `config-corrupt` changes.
    pub(crate) corruption: Option<Corruption>,
    /// The image of the canary.
    pub(crate) image: String,
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
    /// Pods to delete, to evict or to take out of their Services, in this order.
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
    /// Manifests of what is created, the owner of the others first.
    pub(crate) created: Vec<Value>,
    pub(crate) canaries: Vec<Canary>,
    /// Files that show a ConfigMap, with their pods.
    pub(crate) files: Vec<(String, File)>,
    /// What promises that pods stay while others are evicted.
    pub(crate) budgets: Vec<Budget>,
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
        let create = |manifest: &Value| {
            Some(format!(
                "{}: {}",
                Created::of(manifest)?.request(),
                shorten(&manifest["spec"].to_string(), LONGEST_SPEC)
            ))
        };
        requests.extend(self.created.iter().filter_map(create));
        requests.extend(
            self.restarts
                .iter()
                .map(|(kind, name)| format!("PATCH {}/{name}: annotation {RESTARTED_AT} of the template", kind.plural)),
        );
        requests.extend(self.strikes.iter().map(Strike::request));
        let taken = self.hit.iter().filter(|_| self.request.fault.takes_pods());
        requests.extend(taken.map(|pod| match self.request.fault {
            Fault::Evict | Fault::NodeLoss => format!("CREATE pods/{}/eviction (uid {})", pod.name, pod.uid),
            _ if self.request.force => format!("DELETE pods/{} (uid {}, grace period 0)", pod.name, pod.uid),
            _ => format!("DELETE pods/{} (uid {})", pod.name, pod.uid),
        }));
        requests
    }

    /// The commands that take back what commands do.
    pub(crate) fn remedies(&self) -> Vec<Remedy> {
        self.strikes.iter().filter_map(|strike| strike.remedy.clone()).collect()
    }

    /// What is created, as the journal knows it.
    pub(crate) fn created(&self) -> Vec<Created> {
        self.created.iter().filter_map(Created::of).collect()
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
        for created in self.created() {
            rights.extend(["get", "delete", "create"].map(|verb| own(verb, &created.kind.group, &created.kind.plural, "")));
        }
        if !self.canaries.is_empty() {
            rights.extend([
                own("list", "", "pods", ""),
                own("list", "", "events", ""),
                own("get", "", "pods", "log"),
            ]);
        }
        if !self.files.is_empty() {
            rights.push(own("create", "", "pods", "exec"));
        }
        if self.changes.iter().any(Change::is_of_a_set) {
            rights.extend([own("list", "", "pods", ""), own("delete", "", "pods", "")]);
        }
        rights.extend(self.restarts.iter().map(|(kind, _)| own("patch", &kind.group, &kind.plural, "")));
        match self.request.fault {
            Fault::Evict | Fault::NodeLoss => rights.push(own("create", "", "pods", "eviction")),
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

impl PodBefore {
    /// A pod as it is now.
    fn of(pod: &Pod, workload: ObjectRef) -> Self {
        Self {
            uid: pod.uid().unwrap_or_default(),
            name: pod.name_any(),
            workload,
            restarts: restarts(pod),
        }
    }
}

/// The pods behind Services that are no pods of the targets.
pub(crate) fn dependants(view: &View<'_>, namespace: &str, services: &BTreeSet<&str>, targets: &[ObjectRef]) -> Vec<PodBefore> {
    let services = services.iter().filter_map(|name| view.service(namespace, name));
    let pods = services.flat_map(|service| view.pods_selected(service));
    let of = |pod: &Pod| PodBefore::of(pod, view.workload_of(pod));
    let mut pods: Vec<PodBefore> = pods.map(of).filter(|pod| !targets.contains(&pod.workload)).collect();
    pods.sort_by(|a, b| (&a.workload, &a.name).cmp(&(&b.workload, &b.name)));
    pods.dedup();
    pods
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
        created: Vec::new(),
        canaries: Vec::new(),
        files: Vec::new(),
        budgets: Vec::new(),
        expected: Vec::new(),
        expects_outage: false,
        refusals: Vec::new(),
        pods: PodCount { hit: 0, all: 0 },
        request,
    };
    let lost = plan.lose_node(view)?;
    for target in plan.request.targets.clone() {
        let workload = view.workload(&target);
        let object = workload.and_then(|workload| workload.object);
        let (Some(workload), Some(object)) = (workload, object) else {
            return Err(format!("{} is not a workload: name the controller of its pods", target.short()));
        };
        if !KINDS.iter().any(|kind| target.is(kind)) {
            return Err(format!(
                "drills support deployments, statefulsets, daemonsets and pods, not {}",
                target.short()
            ));
        }
        let mut before: Vec<PodBefore> = workload
            .pods
            .iter()
            .filter(|pod| !is_terminating(pod))
            .map(|pod| PodBefore::of(pod, target.clone()))
            .collect();
        let ready: Vec<&str> = workload
            .pods
            .iter()
            .filter(|pod| is_ready(pod))
            .filter_map(|pod| pod.metadata.name.as_deref())
            .collect();
        plan.refuse(view, &target, object);
        plan.change(view, &target, object, raw)?;
        let mut allowed = None;
        for budget in budget::of(object, raw) {
            allowed = allowed.into_iter().chain([(budget.allowed, budget.name.clone())]).min();
            if !plan.budgets.contains(&budget) {
                plan.budgets.push(budget);
            }
        }
        let hit = plan.choose(&before, &ready, lost.as_ref());
        let fault = plan.request.fault;
        if fault.is_inside() || fault == Fault::CpuResize {
            for pod in before.iter_mut().filter(|pod| hit.iter().any(|hit| hit.uid == pod.uid)) {
                plan.strike(pod, &workload.pods, raw);
            }
        }
        if plan.request.by_label {
            plan.change_labels(view, &target, object, &hit);
        }
        let left = ready.iter().filter(|name| hit.iter().all(|pod| pod.name != ***name)).count();
        if fault.takes_pods() || plan.request.by_label {
            plan.hit.extend(hit);
        }
        let fronts = view.services_selecting(&target.namespace, &object.pod_labels());
        match fronts.is_empty() {
            true => plan.expected.push(format!(
                "no Service selects the pods of {}: its clients are not known",
                target.short()
            )),
            false => plan.expect(&target, object, (ready.len(), left), allowed),
        }
        plan.fronts.extend(fronts.into_iter().map(ResourceExt::name_any));
        plan.pods.all += before.len();
        plan.before.extend(before);
    }
    if plan.before.is_empty() && plan.refusals.is_empty() {
        plan.refusals.push(Refusal::never("the targets have no pods".to_owned()));
    }
    Ok(plan)
}

/// An object among those that were read, as the API server stores it.
fn stored<'a>(raw: &'a [Value], kind: &Kind, name: &str) -> Result<&'a Value, String> {
    let is_it = |value: &&Value| value["kind"] == kind.kind.as_ref() && value["metadata"]["name"] == name;
    let found = raw.iter().find(is_it);
    found.ok_or_else(|| format!("{}/{name} was not read", kind.singular()))
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
            self.refuse_unless(Allow::BarePods, format!("{name} has no controller that would recreate it"));
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
                let why = format!("{name} deletes the claims of pods when it is scaled down: their data would be lost");
                self.refuse_unless(Allow::LostClaims, why);
            }
            if self.request.force && fault == Fault::PodDelete {
                let why = format!("force-deleting pods of {name} may run two pods with one identity and one volume");
                self.refuse_unless(Allow::ForceStateful, why);
            }
        }
    }

    /// Adds what the fault changes.
    fn change(&mut self, view: &View<'_>, target: &ObjectRef, object: WorkloadObject<'_>, raw: &[Value]) -> Result<(), String> {
        let (fault, kind) = (self.request.fault, object.kind());
        let scales = matches!(object, WorkloadObject::Deployment(_) | WorkloadObject::StatefulSet(_));
        let wrong = || format!("{} cannot be drilled with {}", target.short(), fault.name());
        let spec = ["spec", "template", "spec"];
        let value = json!(format!("podlife-{}", self.request.id));
        let raw_target = || stored(raw, &kind, &target.name);
        let in_template = |path: &[&str], ours: Value| Ok::<_, String>(Change::of(&kind, raw_target()?, &[&spec[..], path].concat(), ours));
        match fault {
            Fault::PodDelete | Fault::Evict | Fault::ContainerCrash | Fault::Oom | Fault::Cpu | Fault::CpuResize | Fault::BreakHeal => {}
            Fault::Isolate | Fault::DnsBlock => self.cut_off(view, Side { target, object }, raw)?,
            Fault::NodeLoss => {}
            Fault::ConfigCorrupt => self.corrupt(view, Side { target, object }, raw)?,
            Fault::NotReady if self.request.by_label => {}
            _ if matches!(object, WorkloadObject::Pod(_)) => return Err(wrong()),
            Fault::ScaleZero | Fault::Scale if !scales => return Err(wrong()),
            Fault::ScaleZero => self.changes.push(Change::of_scale(&kind, raw_target()?, 0)),
            Fault::Scale => {
                let change = Change::of_scale(&kind, raw_target()?, self.request.to);
                if change.before.as_ref() == Some(&change.ours) {
                    self.refusals
                        .push(Refusal::never(format!("{} already has {} pods", target.short(), self.request.to)));
                }
                self.changes.push(change);
            }
            // The annotation of kubectl, so that both are seen in one place. It is not put back: that would be another restart.
            Fault::RollingRestart => self.restarts.push((kind, target.name.clone())),
            Fault::NotReady => {
                let labels = object.pod_labels();
                for service in view.services_selecting(&target.namespace, &labels) {
                    let name = service.name_any();
                    let raw = stored(raw, &kind::SERVICE, &name)?;
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
                        .push(Refusal::never(format!("no Service selects the pods of {}", target.short())));
                }
            }
            Fault::BadImage => self.changes.push(in_template(
                &["containers", "0", "image"],
                json!(format!("podlife.invalid/drill:{}", self.request.id)),
            )?),
            Fault::StuckPending => self.changes.push(in_template(&["nodeSelector", "podlife.dev/drill"], value)?),
            Fault::StuckCreating => {
                let template = &raw_target()?["spec"]["template"]["spec"];
                let end = |list: &Value| list.as_array().map_or(0, Vec::len).to_string();
                let map = format!("podlife-drill-{}", self.request.id);
                // With the default that the API server would add, so that it can be told from what others write.
                let volume = json!({"name": "podlife-drill", "configMap": {"name": map, "defaultMode": 420}});
                let mount = json!({"name": "podlife-drill", "mountPath": format!("/{map}")});
                let mounts = end(&template["containers"][0]["volumeMounts"]);
                self.changes.push(in_template(&["volumes", &end(&template["volumes"])], volume)?);
                self.changes
                    .push(in_template(&["containers", "0", "volumeMounts", &mounts], mount)?);
            }
            Fault::CrashLoop => self.changes.push(in_template(
                &["containers", "0", "command"],
                json!([format!("/podlife-drill-{}", self.request.id)]),
            )?),
        }
        Ok(())
    }

    /// Adds the policy that cuts a target off, its owner and its canary.
    fn cut_off(&mut self, view: &View<'_>, target: Side<'_>, raw: &[Value]) -> Result<(), String> {
        let request = &self.request;
        let from = match &request.from {
            Some(from) if from == target.target => return Err(format!("--from {} is the target itself", from.short())),
            Some(from) => {
                let object = view.workload(from).and_then(|workload| workload.object);
                let object = object.ok_or_else(|| format!("--from {} is not a workload", from.short()))?;
                Some(Side { target: from, object })
            }
            None => None,
        };
        let policies = raw.iter().filter(|value| value["kind"] == "NetworkPolicy");
        let policies: Vec<NetworkPolicy> = policies.filter_map(|value| serde_json::from_value(value.clone()).ok()).collect();
        let number = self.canaries.len();
        match cut(view, (request.fault, &request.id, number), target, from, &policies) {
            Ok(cut) => {
                if self.created.is_empty() {
                    let seconds = (request.hold + SPARE).as_secs();
                    self.created.push(dead_man(&request.id, &request.image, seconds));
                }
                self.created.push(cut.policy);
                self.canaries.push(cut.canary);
            }
            Err(reasons) => self.refusals.extend(reasons.into_iter().map(Refusal::never)),
        }
        Ok(())
    }

    /// What a lost node takes with it: its workloads are targets too, for all of them have to come back.
    fn lose_node(&mut self, view: &View<'_>) -> Result<Option<Lost>, String> {
        if self.request.fault != Fault::NodeLoss {
            return Ok(None);
        }
        let lost = match lost(view, self.request.node.as_deref(), &self.request.targets) {
            Ok(lost) => lost,
            Err(why) => {
                self.refusals.push(Refusal::never(why));
                return Ok(None);
            }
        };
        let targets = self.request.targets.clone();
        let (others, unfit): (Vec<ObjectRef>, Vec<ObjectRef>) = lost
            .workloads
            .iter()
            .filter(|workload| !targets.contains(workload))
            .cloned()
            .partition(|workload| KINDS.iter().any(|kind| workload.is(kind)));
        let names = |workloads: &[ObjectRef]| workloads.iter().map(ObjectRef::short).collect::<Vec<_>>().join(", ");
        if !others.is_empty() {
            let why = format!("node {} runs pods of other workloads too: {}", lost.node, names(&others));
            self.refuse_unless(Allow::OtherWorkloads, why);
        }
        if !unfit.is_empty() {
            let why = format!(
                "node {} runs pods that no controller would recreate as they are: {}",
                lost.node,
                names(&unfit)
            );
            self.refusals.push(Refusal::never(why));
        }
        self.request.targets.extend(others);
        self.expected.push(format!(
            "node {} itself stays: new pods may start on it, and do so if there is no other node",
            lost.node
        ));
        Ok(Some(lost))
    }

    /// Changes the ConfigMap and, where pods read it only when they start, their template.
    fn corrupt(&mut self, view: &View<'_>, side: Side<'_>, raw: &[Value]) -> Result<(), String> {
        let Some(corruption) = self.request.corruption.clone() else {
            return Ok(());
        };
        let (name, map, key) = (side.target.short(), &corruption.map, &corruption.key);
        let used = side.object.pod_spec().map(|spec| config::used(spec, map, key)).unwrap_or_default();
        if used.files.is_empty() && !used.at_start {
            self.refusals
                .push(Refusal::never(format!("{name} does not use {key} of configmap/{map}")));
        } else if used.files.is_empty() && !corruption.restart {
            self.refusals.push(Refusal {
                why: format!("the containers of {name} read {key} of configmap/{map} only when they start"),
                flag: Some("--restart".to_owned()),
            });
        }
        if self.changes.is_empty() {
            match config::change(&corruption, stored(raw, &kind::CONFIG_MAP, map)?) {
                Ok(change) => self.changes.push(change),
                Err(why) => self.refusals.push(Refusal::never(why)),
            }
        }
        if corruption.restart {
            let kind = side.object.kind();
            let path = ["spec", "template", "metadata", "annotations", LABEL];
            let object = stored(raw, &kind, &side.target.name)?;
            self.changes.push(Change::of(&kind, object, &path, json!(self.request.id)));
        } else {
            let pods = view.workload(side.target).map(|workload| workload.pods.clone()).unwrap_or_default();
            for pod in pods.iter().filter(|pod| is_ready(pod)) {
                self.files.extend(used.files.iter().map(|file| (pod.name_any(), file.clone())));
            }
        }
        Ok(())
    }

    /// Takes pods out of their Services by their labels.
    fn change_labels(&mut self, view: &View<'_>, target: &ObjectRef, object: WorkloadObject<'_>, hit: &[PodBefore]) {
        let services = view.services_selecting(&target.namespace, &object.pod_labels());
        if services.is_empty() {
            self.refusals
                .push(Refusal::never(format!("no Service selects the pods of {}", target.short())));
        }
        let labels = labels(object, &services);
        if labels.orphans {
            let why = format!(
                "{} and its Services select pods by the same labels: it creates others in their place, and deletes as many when the labels are restored",
                target.short()
            );
            self.refuse_unless(Allow::Orphans, why);
        }
        let value = format!("podlife-{}", self.request.id);
        let pods = view.workload(target).map(|workload| workload.pods.clone()).unwrap_or_default();
        let chosen = pods
            .into_iter()
            .filter(|pod| hit.iter().any(|hit| pod.uid().as_ref() == Some(&hit.uid)));
        self.changes.extend(chosen.flat_map(|pod| labels.changes(pod, &value)));
        for service in services {
            if !self.services.contains(&service.name_any()) {
                self.services.push(service.name_any());
            }
        }
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
            (Fault::CpuResize, None) => Err(Refusal::never(format!("pod/{} is gone by now", before.name))),
            _ => Strike::of(fault, &request.inside, &request.id, request.hold.as_secs(), pod).map(|strike| self.strikes.push(strike)),
        };
        self.refusals.extend(refused.err());
        before.restarts += u32::from(matches!(fault, Fault::ContainerCrash | Fault::Oom));
    }

    /// The pods that are hit one by one.
    fn choose(&mut self, before: &[PodBefore], ready: &[&str], lost: Option<&Lost>) -> Vec<PodBefore> {
        let fault = self.request.fault;
        if fault == Fault::NodeLoss {
            let on_it = |pod: &&PodBefore| lost.is_some_and(|lost| lost.pods.contains(&pod.uid));
            let hit: Vec<PodBefore> = before.iter().filter(on_it).cloned().collect();
            self.pods.hit += hit.len();
            return hit;
        }
        let is_chosen = fault.chooses_pods() || self.request.by_label;
        let count = match fault {
            _ if is_chosen => self.request.share.of(ready.len()),
            Fault::Scale => before.len().saturating_sub(self.request.to as usize),
            // The rollout does not get beyond its first pods.
            Fault::BadImage | Fault::StuckPending | Fault::StuckCreating | Fault::CrashLoop => 0,
            _ => before.len(),
        };
        self.pods.hit += count;
        if !is_chosen {
            return Vec::new();
        }
        let chosen = choose(self.request.seed, ready, count);
        let of_name = |name: &&str| before.iter().find(|pod| pod.name == **name).cloned();
        chosen.iter().filter_map(of_name).collect()
    }

    /// Adds what the spec lets expect. `allowed` is how many evictions a budget admits now, and its name.
    fn expect(&mut self, target: &ObjectRef, object: WorkloadObject<'_>, (ready, left): (usize, usize), allowed: Option<(usize, String)>) {
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
            Fault::NotReady if self.request.by_label && left > 0 => {
                (format!("the Services of {name} route to {left} of {ready} pods: no outage"), false)
            }
            Fault::Evict | Fault::NodeLoss if allowed.as_ref().is_some_and(|(allowed, _)| ready - left > *allowed) => {
                let (allowed, budget) = allowed.unwrap_or_default();
                let refused = format!("poddisruptionbudget/{budget} allows {allowed} of {} evictions now", ready - left);
                match ready - allowed {
                    0 => (format!("{refused}: an outage until a new pod of {name} is ready"), true),
                    left => (
                        format!("{refused}: {left} of {ready} pods of {name} keep serving: no outage"),
                        false,
                    ),
                }
            }
            Fault::PodDelete | Fault::Evict | Fault::NodeLoss => match left {
                _ if left == ready => (format!("no ready pod of {name} is hit: no outage"), false),
                0 => (format!("no ready pod of {name} is left: an outage until a new one is ready"), true),
                left => (format!("{left} of {ready} pods of {name} keep serving: no outage"), false),
            },
            Fault::ContainerCrash | Fault::Oom | Fault::BreakHeal => match ready.saturating_sub(self.request.share.of(ready)) {
                0 => (format!("no ready pod of {name} is left: an outage until one is ready again"), true),
                left => (format!("{left} of {ready} pods of {name} keep serving: no outage"), false),
            },
            Fault::Cpu | Fault::CpuResize => (format!("{name} answers more slowly: no outage"), false),
            Fault::ScaleZero => (format!("{name} has no pods: an outage until new ones are ready"), true),
            Fault::Scale if self.request.to == 0 => (format!("{name} has no pods: an outage until new ones are ready"), true),
            Fault::Scale => (
                format!("{} pods of {name} keep serving: no outage", ready.min(self.request.to as usize)),
                false,
            ),
            Fault::NotReady => (format!("no Service routes to {name}: an outage until its endpoints are back"), true),
            Fault::ConfigCorrupt => (format!("the specs do not show how {name} uses the value: no outage"), false),
            Fault::Isolate => match &self.request.from {
                Some(from) => (
                    format!(
                        "{} cannot open connections to {name}, all others can; open ones may continue",
                        from.short()
                    ),
                    false,
                ),
                None => (
                    format!("no connections to or from {name} can be opened, except by its node: an outage; open ones may continue"),
                    true,
                ),
            },
            Fault::DnsBlock => (
                format!("{name} cannot look up names; addresses that it knows can be reached"),
                false,
            ),
            Fault::RollingRestart | Fault::BadImage | Fault::StuckPending | Fault::StuckCreating | Fault::CrashLoop
                if replaces_all_first =>
            {
                (format!("{name} removes its pods before new ones are ready: an outage"), true)
            }
            Fault::RollingRestart => (format!("{name} is replaced pod by pod: no outage"), false),
            Fault::BadImage | Fault::StuckPending | Fault::StuckCreating | Fault::CrashLoop => {
                (format!("the old pods of {name} keep serving: no outage"), false)
            }
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
