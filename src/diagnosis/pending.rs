//! What holds objects that may still get to their goal by themselves. A pending finding is shown like a root cause, and changes neither verdict
//! nor exit code.

use std::collections::BTreeSet;

use crate::diagnosis::about::About;
use crate::diagnosis::causes;
use crate::diagnosis::scope::Scope;
use crate::facts::unready;
use crate::model::finding::{Finding, ObjectRef, Severity};
use crate::model::report::{Judged, NEVER_APPLIED, Verdict};
use crate::view::{View, rollout};

/// The pending findings of a scope, linked with the faults and with what follows from both.
pub(crate) struct Held {
    linked: Vec<Finding>,
}

/// Parts faults from what may still pass by itself. What a fault explains is not pending: it is a symptom of the fault. What is held is told as
/// pending alone, for linked with the faults again it could begin a circle, which is a root cause.
pub(crate) fn part(scope: &Scope, found: Vec<Finding>) -> (Vec<Finding>, Held) {
    if !found.iter().any(|f| f.settles.is_pending()) {
        return (found, Held { linked: Vec::new() });
    }
    let linked = causes::link(found.clone());
    let held: BTreeSet<&str> = linked.iter().filter(|f| is_held(f)).map(|f| f.id.as_str()).collect();
    let weak = |f: Finding| match f.severity {
        Severity::Error if f.settles.is_pending() => f.severity(Severity::Symptom),
        _ => f,
    };
    let faults = found.into_iter().filter(|f| !held.contains(f.id.as_str())).map(weak).collect();
    let linked = scope.filter(linked);
    (faults, Held { linked })
}

impl Held {
    fn ids(&self) -> BTreeSet<&str> {
        self.linked.iter().filter(|f| is_held(f)).map(|f| f.id.as_str()).collect()
    }

    /// Notes in each object what holds it. What a pending finding is about is not at its goal yet.
    pub(crate) fn note(&self, view: &View<'_>, scope: &Scope, judged: &mut Vec<Judged>) {
        let (about, ids) = (About::of(&self.linked), self.ids());
        let known: BTreeSet<ObjectRef> = judged.iter().map(|j| j.object.clone()).collect();
        let subjects: BTreeSet<&ObjectRef> = self.linked.iter().filter(|f| is_held(f)).map(|f| &f.subject.object).collect();
        let unknown = subjects.into_iter().filter(|object| !known.contains(*object) && scope.has(object));
        judged.extend(unknown.map(|object| Judged {
            object: object.clone(),
            verdict: Verdict::Progressing,
            state: String::new(),
            ready_pods: None,
            wanted_pods: None,
            causes: Vec::new(),
            pending: Vec::new(),
        }));
        for item in judged {
            item.pending = about.root_causes_of(&item.object);
            item.pending.retain(|id| ids.contains(id.as_str()));
            if item.verdict == Verdict::Healthy && about.touching(&item.object).any(|f| ids.contains(f.id.as_str())) {
                item.verdict = Verdict::Progressing;
            }
            let is_untold = matches!(item.verdict, Verdict::Progressing | Verdict::Inconclusive) && item.causes.is_empty();
            if is_untold && item.pending.is_empty() && item.state != NEVER_APPLIED {
                item.state.push_str(&start(view, &item.object));
            }
        }
    }

    /// The findings that hold something, most important first.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut held: Vec<Finding> = self.linked.iter().filter(|f| is_held(f)).cloned().collect();
        let ids: BTreeSet<String> = held.iter().map(|f| f.id.clone()).collect();
        for finding in &mut held {
            finding.breaks.retain(|id| ids.contains(id));
        }
        held
    }
}

fn is_held(finding: &Finding) -> bool {
    finding.settles.is_pending() && finding.severity == Severity::Error
}

/// How far a start has come of which nothing more is to be told: what its first pod lacks, or that it has none yet.
fn start(view: &View<'_>, object: &ObjectRef) -> String {
    let Some(object) = view.workload(object).and_then(|workload| workload.object) else {
        return String::new();
    };
    let rollout = rollout::of(view, object);
    match rollout.blocking.first() {
        Some((pod, state)) => format!("; {}", unready::reason(view, pod, state)),
        None if rollout.pods.is_some_and(|(ready, wanted)| ready < wanted) => format!("; {}", rollout.stage.in_words()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::assess::{Question, assess};
    use crate::model::report::{Diagnosis, Verdict};
    use crate::testing::snapshot;

    /// The objects three seconds after they were made, and so many seconds later.
    fn looked_at(yaml: &str, later: i64) -> Diagnosis {
        let mut snapshot = snapshot(yaml);
        snapshot.taken_at += jiff::SignedDuration::from_secs(later);
        assess(&snapshot, &Question::default())
    }

    fn pod(spec: &str, status: &str) -> String {
        format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: a, uid: u, labels: {{app: a}}, creationTimestamp: '2026-01-01T11:59:57Z'}}
spec: {{{spec}}}
status: {{{status}}}
---
{{apiVersion: v1, kind: Node, metadata: {{name: node-1}}}}
"
        )
    }

    fn running(container: &str, status: &str) -> String {
        pod(
            &format!("nodeName: node-1, containers: [{{name: c, image: i, {container}}}]"),
            &format!(
                "phase: Running, conditions: [{{type: Ready, status: 'False', lastTransitionTime: '2026-01-01T11:59:57Z'}}], containerStatuses: \
                 [{{name: c, image: i, imageID: '', restartCount: 0, ready: false, {status}, state: {{running: {{startedAt: '2026-01-01T11:59:58Z'}}}}}}]"
            ),
        )
    }

    fn unscheduled(spec: &str, reason: &str, message: &str) -> String {
        pod(
            spec,
            &format!(
                "phase: Pending, conditions: [{{type: PodScheduled, status: 'False', reason: {reason}, message: '{message}', \
                 lastTransitionTime: '2026-01-01T11:59:57Z'}}]"
            ),
        )
    }

    fn event(reason: &str, message: &str) -> String {
        format!(
            "
---
apiVersion: v1
kind: Event
metadata: {{name: e}}
type: Warning
reason: {reason}
message: {message:?}
count: 1
lastTimestamp: '2026-01-01T11:59:59Z'
involvedObject: {{kind: Pod, name: a, namespace: shop, uid: u, fieldPath: 'spec.containers{{c}}'}}
"
        )
    }

    const SERVICE: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: s, uid: s, creationTimestamp: '2026-01-01T11:59:57Z'}
";

    /// What the first look shows as pending is the root cause later, and no root cause at first.
    #[test]
    fn the_first_look_says_what_a_later_one_says() {
        let readiness = "readinessProbe: {httpGet: {path: /health, port: 8080}}";
        let startup = "startupProbe: {httpGet: {path: /health, port: 8080}}";
        let waits = "nodeName: node-1, initContainers: [{name: c, image: i, command: [sh, -c, 'until nc -z db 5432; do sleep 1; done']}], \
                     containers: [{name: d, image: i}]";
        let in_init = "phase: Pending, initContainerStatuses: [{name: c, image: i, imageID: '', restartCount: 0, ready: false, \
                       state: {running: {startedAt: '2026-01-01T11:59:58Z'}}}]";
        let creating = "phase: Pending, containerStatuses: [{name: c, image: i, imageID: '', restartCount: 0, ready: false, \
                        state: {waiting: {reason: ContainerCreating}}}]";
        let placed = "nodeName: node-1, containers: [{name: c, image: i}], volumes: [{name: v, hostPath: {path: /no, type: Directory}}]";
        let plain = "containers: [{name: c, image: i}]";
        let well = running("", "started: true")
            .replace("ready: false", "ready: true")
            .replace("status: 'False'", "status: 'True'");
        for (yaml, code, within) in [
            (
                running(readiness, "started: true") + &event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404"),
                "ReadinessProbeFailing",
                28,
            ),
            (
                running(readiness, "started: true")
                    + &event(
                        "Unhealthy",
                        "Readiness probe failed: Get \"http://10.0.0.1:8080/health\": dial tcp 10.0.0.1:8080: connect: connection refused",
                    ),
                "ReadinessProbeFailing",
                58,
            ),
            (
                unscheduled(plain, "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu."),
                "Unschedulable",
                7,
            ),
            (
                unscheduled(
                    "schedulingGates: [{name: example.com/wait}], containers: [{name: c, image: i}]",
                    "SchedulingGated",
                    "gated",
                ),
                "Unschedulable",
                597,
            ),
            (
                pod("schedulerName: other, containers: [{name: c, image: i}]", "phase: Pending"),
                "Unschedulable",
                27,
            ),
            (pod(waits, in_init), "ServiceMissing", 13),
            (
                pod(&waits.replace("nc -z db 5432", "test -f /ready && wget db.example.com:80"), in_init),
                "InitContainerStuck",
                58,
            ),
            (
                pod(placed, creating)
                    + &event(
                        "FailedMount",
                        "MountVolume.SetUp failed for volume \"v\" : hostPath type check failed: /no is not a directory",
                    ),
                "VolumeMountFailing",
                27,
            ),
            (
                pod(placed, creating) + &event("FailedCreatePodSandBox", "Failed to create pod sandbox: plugin type=\"x\" failed"),
                "PodSandboxFailing",
                17,
            ),
            (
                format!(
                    "{SERVICE}spec: {{type: LoadBalancer, selector: {{app: a}}, ports: [{{port: 80}}]}}\nstatus: {{}}\n---\n{}",
                    well
                ),
                "LoadBalancerPending",
                57,
            ),
            (
                format!(
                    "{SERVICE}spec: {{selector: {{app: nobody}}, ports: [{{port: 80}}]}}\n---\n{}",
                    running("", "started: true")
                ),
                "ServiceSelectsNothing",
                27,
            ),
        ] {
            let first = looked_at(&yaml, 0);
            assert!(first.root_causes.is_empty() && first.symptoms.is_empty(), "{code}: {first:#?}");
            let held = first.pending.first().unwrap_or_else(|| panic!("{code}: {first:#?}"));
            let seconds = held.settles.within().map(|left| left.as_secs());
            assert_eq!((held.code.as_str(), seconds), (code, Some(within)), "{first:#?}");
            assert_eq!(first.verdict, Verdict::Progressing, "{code}");
            let judged = first.workloads.iter().find(|j| j.object == held.subject.object).unwrap();
            assert_eq!(judged.pending, std::slice::from_ref(&held.id), "{code}");
            let later = looked_at(&yaml, 700);
            assert_eq!((later.pending.len(), later.root_causes[0].code.as_str()), (0, code), "{later:#?}");
        }
        // A start-up probe has its budget, and the kubelet kills after that.
        let starts =
            running(startup, "started: false") + &event("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503");
        let held = looked_at(&starts, 0).pending;
        assert_eq!((held.len(), held[0].code.as_str()), (1, "StartupProbeFailing"));
    }

    /// What cannot pass by itself is a root cause at once, unless an autoscaler may bring the node that lacks.
    #[test]
    fn labels_of_nodes_do_not_change_by_themselves() {
        let spec = "nodeSelector: {disk: ssd}, containers: [{name: c, image: i}]";
        let yaml = unscheduled(
            spec,
            "Unschedulable",
            "0/1 nodes are available: 1 node(s) didn''t match Pod''s node affinity/selector.",
        );
        let first = looked_at(&yaml, 0);
        assert_eq!((first.root_causes.len(), first.pending.len()), (1, 0), "{first:#?}");
        let pooled = yaml.replace(
            "metadata: {name: node-1}",
            "metadata: {name: node-1, labels: {karpenter.sh/nodepool: a}}",
        );
        let first = looked_at(&pooled, 0);
        assert_eq!((first.root_causes.len(), first.pending.len()), (0, 1), "{first:#?}");
    }

    /// Pods that wait for each other may get there while they start: the circle is pending, and no root cause beside that.
    #[test]
    fn what_waits_in_a_circle_is_told_once() {
        let waits = |own: &str, other: &str| {
            format!(
                "---
apiVersion: v1
kind: Pod
metadata: {{name: {own}, uid: {own}, labels: {{app: {own}}}, creationTimestamp: '2026-01-01T11:59:57Z'}}
spec: {{nodeName: node-1, initContainers: [{{name: wait, image: i, command: [sh, -c, 'until nc -z {other} 80; do sleep 1; done']}}],
  containers: [{{name: c, image: i}}]}}
status: {{phase: Pending, conditions: [{{type: Ready, status: 'False', lastTransitionTime: '2026-01-01T11:59:57Z'}}],
  initContainerStatuses: [{{name: wait, image: i, imageID: '', restartCount: 0, ready: false, state: {{running: {{startedAt: '2026-01-01T11:59:58Z'}}}}}}]}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: {own}, uid: s-{own}}}, spec: {{selector: {{app: {own}}}, ports: [{{port: 80}}]}}}}
"
            )
        };
        let yaml = waits("a", "b") + &waits("b", "a") + "---\n{apiVersion: v1, kind: Node, metadata: {name: node-1}}\n";
        let first = looked_at(&yaml, 0);
        assert!(first.root_causes.is_empty() && first.symptoms.is_empty(), "{first:#?}");
        assert!(first.pending[0].summary.contains("wait for each other"), "{first:#?}");
        assert_eq!(first.verdict, Verdict::Progressing, "{first:#?}");
        let later = looked_at(&yaml, 700);
        assert_eq!(later.root_causes[0].id, first.pending[0].id, "{later:#?}");
        // One that cannot get there breaks the circle: the rest is a symptom of it.
        let crashed = yaml.replacen(
            "restartCount: 0",
            "restartCount: 5, lastState: {terminated: {exitCode: 3, finishedAt: '2026-01-01T11:59:57Z'}}",
            1,
        );
        let broken = looked_at(&crashed, 0);
        assert!(broken.pending.is_empty() && broken.root_causes.len() == 1, "{broken:#?}");
    }

    /// A start of which nothing is to be told says how far it is, and no more.
    #[test]
    fn a_plain_start_has_no_finding() {
        let creating = "phase: Pending, containerStatuses: [{name: c, image: i, imageID: '', restartCount: 0, ready: false, \
                        state: {waiting: {reason: ContainerCreating}}}]";
        let yaml = pod("nodeName: node-1, containers: [{name: c, image: 'i:1'}]", creating);
        for (yaml, words) in [
            (yaml.clone(), "container c: is being created"),
            (yaml + &event("Pulling", "Pulling image"), "container c: pulls image i:1"),
        ] {
            let first = looked_at(&yaml, 0);
            assert!(first.pending.is_empty() && first.root_causes.is_empty(), "{first:#?}");
            assert!(first.workloads[0].state.ends_with(words), "{}", first.workloads[0].state);
        }
    }

    /// What a fault explains is a symptom of it at once.
    #[test]
    fn what_a_fault_explains_is_not_pending() {
        let readiness = "readinessProbe: {httpGet: {path: /health, port: 8080}}, command: [sh, -c, x]";
        let refused = "Readiness probe failed: Get \"http://10.0.0.1:8080/health\": dial tcp 10.0.0.1:8080: connect: connection refused";
        let yaml = running(
            readiness,
            "started: true, lastState: {terminated: {exitCode: 137, reason: OOMKilled, finishedAt: '2026-01-01T11:59:58Z'}}",
        )
        .replace("restartCount: 0", "restartCount: 2")
            + &event("Unhealthy", refused);
        let first = looked_at(&yaml, 0);
        assert!(first.pending.is_empty(), "{first:#?}");
        assert_eq!(first.root_causes[0].code.as_str(), "OutOfMemory");
        assert!(
            first.symptoms.iter().any(|f| f.code.as_str() == "ReadinessProbeFailing"),
            "{first:#?}"
        );
    }
}
