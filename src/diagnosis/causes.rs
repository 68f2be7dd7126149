//! Which finding explains which, and which one comes first.
//!
//! Two findings are linked where one breaks what the other suffers from (see [`Effect`](crate::model::finding::Effect)),
//! or where [`PRECEDENCE`] says that one kind of fault explains another in the same container or workload.

mod circle;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::cause::ProbeFailure;
use crate::model::code::Code;
use crate::model::code::Code::*;
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity};

/// How close two findings must be for one to explain the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// Both name the same container of the same workload.
    Container,
    /// Both are about the same workload, whatever the container.
    Workload,
}

/// Codes on the left explain codes on the right.
const PRECEDENCE: &[(&[Code], &[Code], Within)] = &[
    (LISTENER, PROBE_FAILING, Within::Container),
    (LISTENER, &[LivenessKilled, ContainerCrashing, ApplicationError], Within::Container),
    // A container that does not listen yet may wait for another one.
    (
        &[ListenerOnLoopback, ListenerOnOtherPort, ListenerAddressFamily, AddressInUse],
        &[DependencyUnreachable],
        Within::Container,
    ),
    (
        &[ProbeBudgetTooShort],
        &[
            StartupProbeFailing,
            LivenessProbeFailing,
            ReadinessProbeFailing,
            LivenessKilled,
            ContainerCrashing,
            ContainerCompletes,
        ],
        Within::Container,
    ),
    (&[OutOfMemory], ENDS_AND_PROBES, Within::Container),
    (&[AddressInUse], ENDS_AND_PROBES, Within::Container),
    (
        &[
            DependencyUnreachable,
            ServiceMissing,
            ServicePortMismatch,
            ApiAccessForbidden,
            ClusterDnsFailing,
        ],
        ENDS_AND_PROBES,
        Within::Container,
    ),
    (&[ServiceMissing, ServicePortMismatch], &[DependencyUnreachable], Within::Container),
    (&[LifecycleHookFailing], ENDS_AND_PROBES, Within::Container),
    (
        &[StartupProbeFailing, LivenessProbeFailing],
        &[LivenessKilled, ContainerCrashing, ContainerCompletes],
        Within::Container,
    ),
    (
        &[StartupProbeFailing, LivenessProbeFailing],
        &[ReadinessProbeFailing],
        Within::Container,
    ),
    (&[LivenessKilled], &[ContainerCrashing, ReadinessProbeFailing], Within::Container),
    (
        &[ContainerCrashing, ContainerCompletes, ContainerCreateFailing],
        &[StartupProbeFailing, ReadinessProbeFailing, LivenessProbeFailing, ApplicationError],
        Within::Container,
    ),
    (PROBE_FAILING, &[ApplicationError], Within::Container),
    (&[ApplicationError], &[ReadinessProbeFailing], Within::Container),
    (CONFIG, &[VolumeMountFailing], Within::Workload),
    (
        &[ClaimMissing, ClaimPending, ClaimLost],
        &[VolumeMountFailing, Unschedulable],
        Within::Workload,
    ),
    (&[ImagePullSecretMissing], &[ImagePullFailing], Within::Workload),
    (STOPS_PODS, CONTROLLERS_SYMPTOMS, Within::Workload),
    (
        &[InitContainerFailing, InitContainerStuck],
        &[ReadinessProbeFailing],
        Within::Workload,
    ),
    (
        &[OrderedStartBlocked, RolloutPaused, UpdateOnDelete],
        &[RolloutStuck],
        Within::Workload,
    ),
    (&[NodeNotReady], &[PodStuckTerminating], Within::Workload),
    // A pod of a revision that has been mended since: what is wrong with it needs no mending any more, the pod must go.
    (&[OrderedStartBlocked], STOPS_PODS, Within::Workload),
];

const LISTENER: &[Code] = &[
    ListenerOnLoopback,
    NothingListening,
    ListenerOnOtherPort,
    ListenerAddressFamily,
    AddressInUse,
];
const PROBE_FAILING: &[Code] = &[StartupProbeFailing, LivenessProbeFailing, ReadinessProbeFailing];
const CONFIG: &[Code] = &[ConfigMapMissing, SecretMissing, ConfigMapKeyMissing, SecretKeyMissing];
const ENDS_AND_PROBES: &[Code] = &[
    ContainerCrashing,
    ContainerCompletes,
    LivenessKilled,
    StartupProbeFailing,
    LivenessProbeFailing,
    ReadinessProbeFailing,
    InitContainerFailing,
    InitContainerStuck,
    ApplicationError,
];
/// What keeps a pod from being ready: it explains what its controller reports.
const STOPS_PODS: &[Code] = &[
    ListenerOnLoopback,
    NothingListening,
    ListenerOnOtherPort,
    ListenerAddressFamily,
    AddressInUse,
    HostPortConflict,
    StartupProbeFailing,
    LivenessProbeFailing,
    ReadinessProbeFailing,
    ProbeBudgetTooShort,
    ReadinessGateUnmet,
    ServiceMissing,
    ServicePortMismatch,
    Unschedulable,
    QuotaExceeded,
    LimitRangeViolated,
    PodSecurityViolated,
    AdmissionDenied,
    WebhookUnavailable,
    ServiceAccountMissing,
    PriorityClassMissing,
    RuntimeClassMissing,
    InvalidPodSpec,
    RunAsNonRootViolated,
    ObjectCreationFailing,
    NamespaceTerminating,
    ImagePullFailing,
    ImagePullSecretMissing,
    InitContainerFailing,
    InitContainerStuck,
    ContainerCrashing,
    ContainerCompletes,
    OutOfMemory,
    ContainerCreateFailing,
    LivenessKilled,
    LifecycleHookFailing,
    DependencyUnreachable,
    ApiAccessForbidden,
    PodSandboxFailing,
    ConfigMapMissing,
    SecretMissing,
    ConfigMapKeyMissing,
    SecretKeyMissing,
    VolumeMountFailing,
    ClaimMissing,
    ClaimPending,
    ClaimLost,
    PodEvicted,
    PodPreempted,
    PodStuckTerminating,
    ApplicationError,
];
const CONTROLLERS_SYMPTOMS: &[Code] = &[RolloutStuck, JobFailing, JobDeadlineExceeded];

/// Merges the same finding of several pods, links causes to what they explain, and turns explained errors into symptoms.
/// The result is in order of importance.
pub fn link(findings: Vec<Finding>) -> Vec<Finding> {
    let mut findings = merge(findings);
    let mut causes = direct_causes(&findings);
    // A symptom that is only possible, or may pass, only counts as a link; alone it would accuse what is merely starting.
    let is_weak = |f: &Finding| f.confidence == Confidence::Possible || f.settles.is_pending();
    let is_aimless = |causes: &Causes, i: usize, f: &Finding| f.severity == Severity::Symptom && is_weak(f) && !causes.contains_key(&i);
    while findings.iter().enumerate().any(|(i, f)| is_aimless(&causes, i, f)) {
        let numbered = findings.into_iter().enumerate();
        findings = numbered.filter(|(i, f)| !is_aimless(&causes, *i, f)).map(|(_, f)| f).collect();
        causes = direct_causes(&findings);
    }
    for circle in break_cycles(&findings, &mut causes) {
        circle::tell(&mut findings, &circle);
    }

    let explained: Vec<(usize, BTreeSet<usize>)> = causes.iter().map(|(&effect, by)| (effect, by.clone())).collect();
    for (effect, by) in &explained {
        for cause in by {
            let (cause_id, effect_id) = (findings[*cause].id.clone(), findings[*effect].id.clone());
            findings[*effect].caused_by.push(cause_id);
            findings[*cause].breaks.push(effect_id);
        }
        if findings[*effect].severity == Severity::Error && !by.is_empty() {
            findings[*effect].severity = Severity::Symptom;
        }
    }
    let effects = reversed(&causes);
    let weights: BTreeMap<String, usize> = (0..findings.len())
        .map(|i| (findings[i].id.clone(), reach(i, &effects).len()))
        .collect();
    let ending: Vec<String> = findings
        .iter()
        .filter(|f| f.code == NamespaceTerminating)
        .map(|f| f.id.clone())
        .collect();
    for finding in &mut findings {
        finding.caused_by.sort();
        finding.breaks.sort();
        // Nothing can be created or rolled back there.
        if finding.caused_by.iter().any(|cause| ending.contains(cause)) {
            finding.fixes.clear();
        }
    }
    findings.sort_by_cached_key(|f| {
        let weight = weights.get(&f.id).copied().unwrap_or_default();
        (
            f.severity,
            f.confidence,
            Reverse(f.effects.len().min(1)),
            Reverse(weight),
            Reverse(f.subject.pod_count),
            f.subject.clone(),
            f.code,
        )
    });
    findings
}

fn merge(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: BTreeMap<String, Finding> = BTreeMap::new();
    for finding in findings {
        match merged.get_mut(&finding.id) {
            Some(first) => first.merge(finding),
            None => {
                merged.insert(finding.id.clone(), finding);
            }
        }
    }
    let mut merged: Vec<Finding> = merged.into_values().collect();
    for finding in &mut merged {
        if finding.subject.pod_count.is_some() {
            finding.subject.pod_count = Some(finding.subject.pods.len());
            finding.subject.pods.truncate(3);
        }
    }
    merged
}

/// For each finding that has any, the findings that explain it.
type Causes = BTreeMap<usize, BTreeSet<usize>>;

/// For each finding, the findings that explain it directly: only what is about the same object or brings about what it suffers from can.
fn direct_causes(findings: &[Finding]) -> Causes {
    let mut of_object: HashMap<&ObjectRef, Vec<usize>> = HashMap::new();
    let mut of_effect: HashMap<&Effect, Vec<usize>> = HashMap::new();
    for (i, finding) in findings.iter().enumerate().filter(|(_, f)| f.severity != Severity::Advice) {
        of_object.entry(&finding.subject.object).or_default().push(i);
        for effect in &finding.effects {
            of_effect.entry(effect).or_default().push(i);
        }
    }
    let mut causes = Causes::new();
    let ending = findings.iter().enumerate().filter(|(_, f)| f.code == NamespaceTerminating);
    let ending: Vec<usize> = ending.map(|(i, _)| i).collect();
    for (effect, explained) in findings.iter().enumerate() {
        let near = of_object.get(&explained.subject.object);
        let bringing = explained.suffers.iter().filter_map(|suffered| of_effect.get(suffered));
        let by: BTreeSet<usize> = near
            .into_iter()
            .chain(bringing)
            .chain([&ending])
            .flatten()
            .copied()
            .filter(|&cause| cause != effect && explains(&findings[cause], explained))
            .collect();
        if !by.is_empty() {
            causes.insert(effect, by);
        }
    }
    causes
}

fn explains(cause: &Finding, effect: &Finding) -> bool {
    if cause.severity == Severity::Advice || effect.severity == Severity::Advice {
        return false;
    }
    // What goes wrong in a namespace that is being deleted need not be mended; what holds the namespace is the exception.
    if cause.code == NamespaceTerminating
        && effect.subject.object.namespace == cause.subject.object.name
        && effect.code != PodStuckTerminating
    {
        return true;
    }
    let by_effect = !cause.effects.is_disjoint(&effect.suffers);
    let by_precedence = || {
        PRECEDENCE.iter().any(|(winners, losers, within)| {
            let near = cause.subject.object == effect.subject.object
                && (*within == Within::Workload
                    || (cause.subject.container.is_some() && cause.subject.container == effect.subject.container));
            // Where later ordinals wait for a pod of the present revision, that is a symptom of the pod's own fault.
            let waits = cause.code == OrderedStartBlocked && cause.effects.is_empty();
            // A command tests what it likes, and a port that answers listens.
            let is_apart = LISTENER.contains(&cause.code)
                && !matches!(
                    effect.cause.of_probe(),
                    None | Some(ProbeFailure::Refused | ProbeFailure::Timeout | ProbeFailure::Reset | ProbeFailure::Grpc)
                );
            near && !waits && !is_apart && winners.contains(&cause.code) && losers.contains(&effect.code)
        })
    };
    by_effect || by_precedence()
}

/// Where findings explain each other in a circle that nothing outside explains, the first of them by rank is taken as the beginning:
/// a call, where there is one, for it tells what the others wait for, and a fault rather than what may still pass. Returns the way around each
/// circle, from its beginning.
fn break_cycles(findings: &[Finding], causes: &mut Causes) -> Vec<Vec<usize>> {
    let mut circles = Vec::new();
    loop {
        let effects = reversed(causes);
        let mut reached: BTreeSet<usize> = (0..findings.len())
            .filter(|i| causes.get(i).is_none_or(BTreeSet::is_empty))
            .collect();
        let mut open: Vec<usize> = reached.iter().copied().collect();
        while let Some(next) = open.pop() {
            let new = effects.get(&next).into_iter().flatten().filter(|effect| reached.insert(**effect));
            open.extend(new);
        }
        let begin = (0..findings.len())
            .filter(|i| !reached.contains(i))
            .filter(|&i| {
                let below = reach(i, &effects);
                reach(i, causes).iter().all(|above| below.contains(above))
            })
            .min_by_key(|&i| {
                (
                    !circle::is_call(&findings[i]),
                    findings[i].settles.is_pending(),
                    findings[i].severity,
                    findings[i].confidence,
                    findings[i].code,
                    findings[i].subject.clone(),
                )
            });
        match begin {
            Some(begin) => {
                circles.push(circle::around(begin, causes));
                causes.remove(&begin);
            }
            None => return circles,
        }
    }
}

/// For each finding that explains any, the findings that it explains.
fn reversed(causes: &Causes) -> Causes {
    let mut effects = Causes::new();
    for (&effect, by) in causes {
        for &cause in by {
            effects.entry(cause).or_default().insert(effect);
        }
    }
    effects
}

/// All that can be reached from a finding: of causes its causes and theirs, of effects its effects and theirs.
fn reach(from: usize, next: &Causes) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        open.extend(next.get(&at).into_iter().flatten().filter(|new| seen.insert(**new)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cause;
    use crate::model::finding::Subject;
    use crate::model::kind;

    fn deployment(name: &str) -> ObjectRef {
        ObjectRef::new(&kind::DEPLOYMENT, "shop", name)
    }

    fn on(code: Code, workload: &str, container: &str) -> Finding {
        Finding::error(code, Subject::of(deployment(workload)).container(container), code.as_str())
            .breaking(Effect::NotReady(deployment(workload)))
    }

    fn no_endpoints(service: &str, of: &str) -> Finding {
        Finding::error(
            ServiceHasNoReadyEndpoints,
            Subject::of(ObjectRef::new(&kind::SERVICE, "shop", service)),
            "",
        )
        .suffering(Effect::NotReady(deployment(of)))
        .breaking(Effect::Service("shop".into(), service.into()))
    }

    fn waits(workload: &str, service: &str) -> Finding {
        on(DependencyUnreachable, workload, "app").suffering(Effect::Service("shop".into(), service.into()))
    }

    fn roots(findings: Vec<Finding>) -> Vec<(Code, String)> {
        link(findings)
            .into_iter()
            .filter(|f| f.severity == Severity::Error)
            .map(|f| (f.code, f.subject.object.name))
            .collect()
    }

    #[test]
    fn one_answer_over_two_services() {
        let found = roots(vec![
            no_endpoints("api", "api"),
            waits("web", "api"),
            on(ReadinessProbeFailing, "web", "app"),
            no_endpoints("web", "web"),
            on(ConfigMapKeyMissing, "api", "app"),
        ]);
        assert_eq!(found, [(ConfigMapKeyMissing, "api".to_owned())]);
    }

    /// `a` needs `b`, `b` needs `c`, … and the last one needs the first again.
    fn ring(names: &[&str]) -> Vec<Finding> {
        let next = names.iter().cycle().skip(1);
        let pairs = names.iter().zip(next);
        pairs.flat_map(|(a, b)| [no_endpoints(a, a), waits(a, b)]).collect()
    }

    #[test]
    fn circular_waits_are_one_root_cause() {
        for (names, words) in [
            (
                &["a", "b"][..],
                "deployment/a and deployment/b wait for each other: deployment/a needs Service b, deployment/b needs Service a",
            ),
            (
                &["a", "c", "b"],
                "deployment/a, deployment/c and deployment/b wait for each other: deployment/a needs Service c, deployment/c needs Service b, \
                 deployment/b needs Service a",
            ),
            (
                &["a", "b", "c", "d", "e"],
                "deployment/a, deployment/b, deployment/c, deployment/d and deployment/e wait for each other: deployment/a needs Service b, \
                 deployment/b needs Service c, deployment/c needs Service d, deployment/d needs Service e, deployment/e needs Service a",
            ),
            (
                &["a"],
                "deployment/a waits for itself: deployment/a needs Service a, behind which are only its own pods",
            ),
        ] {
            // Whatever order they are found in.
            let mut found = ring(names);
            for _ in 0..names.len() {
                found.rotate_left(1);
                let linked = link(found.clone());
                let roots: Vec<&Finding> = linked.iter().filter(|f| f.severity == Severity::Error).collect();
                assert_eq!(roots.len(), 1, "{roots:#?}");
                assert_eq!((roots[0].code, roots[0].summary.as_str()), (DependencyUnreachable, words));
                assert_eq!(roots[0].related.iter().filter(|r| r.role == "waits-for").count(), names.len() - 1);
                // Everyone else suffers from it.
                assert!(linked.iter().skip(1).all(|f| !f.caused_by.is_empty()), "{linked:#?}");
            }
        }
        // A name in a sentence of its own ends somewhere.
        let many: Vec<String> = (10..30).map(|i| format!("w{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let linked = link(ring(&many));
        assert!(
            linked[0].summary.contains("deployment/w15 and 14 more wait for each other"),
            "{}",
            linked[0].summary
        );
    }

    #[test]
    fn a_circle_whose_member_has_a_fault_of_its_own_is_no_cause() {
        let mut found = ring(&["a", "b", "c"]);
        found.push(on(ConfigMapKeyMissing, "b", "app"));
        assert_eq!(roots(found), [(ConfigMapKeyMissing, "b".to_owned())]);
        // Two circles are two faults; who only waits for one of them is in neither.
        let mut found = [ring(&["a", "b"]), ring(&["x", "y"])].concat();
        found.push(waits("web", "a"));
        assert_eq!(
            roots(found),
            [(DependencyUnreachable, "a".to_owned()), (DependencyUnreachable, "x".to_owned())]
        );
    }

    #[test]
    fn probes_of_a_circle_give_way_to_the_calls() {
        let mut found: Vec<Finding> = ring(&["a", "b"])
            .into_iter()
            .map(|f| f.severity(Severity::Symptom).confidence(Confidence::Possible))
            .collect();
        found.push(on(ReadinessProbeFailing, "a", "app"));
        found.push(on(ReadinessProbeFailing, "b", "app"));
        assert_eq!(roots(found), [(DependencyUnreachable, "a".to_owned())]);
    }

    #[test]
    fn a_chain_of_many_ends_at_the_last() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut found: Vec<Finding> = names
            .windows(2)
            .flat_map(|w| [no_endpoints(w[0], w[0]), waits(w[0], w[1])])
            .collect();
        found.push(no_endpoints("f", "f"));
        found.push(on(ImagePullFailing, "f", "app"));
        assert_eq!(roots(found), [(ImagePullFailing, "f".to_owned())]);
    }

    #[test]
    fn a_possible_symptom_without_a_cause_is_silent() {
        let weak = |service: &str, of: &str| {
            let mut finding = no_endpoints(service, of);
            (finding.severity, finding.confidence) = (Severity::Symptom, Confidence::Possible);
            finding
        };
        assert!(link(vec![weak("api", "api")]).is_empty());
        let linked = link(vec![weak("api", "api"), on(ReadinessProbeFailing, "api", "app")]);
        assert_eq!(linked.len(), 2);
        assert_eq!(linked[1].caused_by, [linked[0].id.clone()]);
    }

    #[test]
    fn another_container_is_not_blamed() {
        let found = roots(vec![on(OutOfMemory, "a", "sidecar"), on(ContainerCrashing, "a", "app")]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn pods_of_one_fault_are_counted() {
        let of = |pod: &str| {
            Finding::error(
                cause::ImagePullFailing::NotFound,
                Subject::of(deployment("a")).container("c").pod(pod),
                "",
            )
        };
        let found = link(["a-1", "a-2", "a-3", "a-4"].map(of).to_vec());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].subject.pod_count, found[0].subject.pods.len()), (Some(4), 3));
    }

    #[test]
    fn a_fixed_revision_explains_the_fault_of_the_old_pod() {
        assert_eq!(
            roots(vec![on(OrderedStartBlocked, "db", "c"), on(ImagePullFailing, "db", "c")]),
            [(OrderedStartBlocked, "db".to_owned())]
        );
        let waits = Finding::error(OrderedStartBlocked, Subject::of(deployment("db")), "").suffering(Effect::NotReady(deployment("db")));
        assert_eq!(
            roots(vec![waits, on(ImagePullFailing, "db", "c")]),
            [(ImagePullFailing, "db".to_owned())]
        );
    }

    #[test]
    fn a_probe_that_kills_explains_the_restart_and_the_budget_explains_the_probe() {
        let found = roots(vec![
            on(LivenessKilled, "a", "c"),
            on(LivenessProbeFailing, "a", "c"),
            on(ProbeBudgetTooShort, "a", "c"),
            on(RolloutStuck, "a", "c"),
        ]);
        assert_eq!(found, [(ProbeBudgetTooShort, "a".to_owned())]);
    }

    #[test]
    fn nothing_is_mended_in_a_namespace_that_is_being_deleted() {
        let ending = |name: &str| Finding::error(NamespaceTerminating, Subject::of(ObjectRef::new(&kind::NAMESPACE, "", name)), "");
        let missing = || on(ServiceAccountMissing, "a", "c").fix("create it");
        let linked = link(vec![ending("shop"), missing()]);
        assert_eq!((linked[0].code, linked[1].severity), (NamespaceTerminating, Severity::Symptom));
        assert!(linked[1].fixes.is_empty());
        // What holds the namespace is for itself, and another namespace has nothing to do with it.
        for apart in [
            vec![ending("shop"), on(PodStuckTerminating, "a", "c")],
            vec![ending("other"), missing()],
        ] {
            assert_eq!(link(apart).iter().filter(|f| f.severity == Severity::Error).count(), 2);
        }
    }
}
