//! What an application needs from others: Services, names, hosts outside, the API server. A container that crashes, waits or is not ready
//! because of another one is linked to that one's own cause.

mod awaited;
mod dns;
mod forbidden;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::facts::calls::callers::Caller;
use crate::facts::calls::failure::{Failure, How};
use crate::facts::calls::places::Place;
use crate::facts::calls::trouble::Trouble;
use crate::facts::calls::{callers, places, stopped, trouble};
use crate::facts::ending::{create_service, edit_command};
use crate::facts::listening::dials::opens_nothing;
use crate::facts::listening::fault::is_mismatch_proven;
use crate::model::cause;
use crate::model::code::Code::{DependencyUnreachable, LocalTrafficPolicyWithoutEndpoint, ServiceMissing, ServicePortMismatch};
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::snapshot::Presence;
use crate::model::{kind, near};
use crate::text::{command, redact, shorten};
use crate::view::endpoints::{self, Endpoints};
use crate::view::{Needs, Out, View, ports, service_effect, service_reference};

/// Containers that cannot do without something that they do not reach.
pub fn check(view: &View<'_>, out: &mut Out) {
    awaited::check(view, out);
    for caller in callers::callers(view, &mut out.needs) {
        let settles = trouble::settles(view, &caller.container, caller.trouble);
        if let Some(refused) = forbidden::check(view, &caller) {
            out.findings.push(refused.settling(settles));
            continue;
        }
        let failures = callers::of_caller(view, &mut out.needs, &caller);
        if failures.is_empty() && caller.trouble == Trouble::Suspect {
            out.findings.extend(suspicions(view, &caller));
        }
        for failure in failures {
            let found = judge(view, &mut out.needs, &failure).into_iter();
            out.findings.extend(found.map(|finding| finding.settling(settles)));
        }
    }
}

fn judge(view: &View<'_>, needs: &mut Needs, failure: &Failure<'_>) -> Vec<Finding> {
    match &failure.place {
        Place::Own => own(view, failure).into_iter().collect(),
        Place::Outside(host) => outside(view, needs, failure, host).into_iter().collect(),
        Place::Service { namespace, name } => {
            let own = failure.container.pod.namespace().unwrap_or_default();
            match places::presence(view, needs, &own, namespace, name) {
                Presence::Absent => vec![missing(view, failure, namespace, name)],
                Presence::Unknown => unreachable(view, failure, namespace, name, None, Vec::new()).into_iter().collect(),
                Presence::Present => match view.service(namespace, name) {
                    Some(service) => present(view, needs, failure, service),
                    None => Vec::new(),
                },
            }
        }
    }
}

/// The finding about the calling container, with the line that shows it and what it brings about.
fn of_caller(view: &View<'_>, failure: &Failure<'_>, mut finding: Finding) -> Finding {
    let container = &failure.container;
    if let Some((source, line)) = &failure.line {
        finding = finding.evidence(source, shorten(&redact(line), 200));
    }
    if failure.named_by != "log" {
        let target = match &failure.place {
            Place::Service { name, .. } => name.clone(),
            Place::Outside(host) => host.clone(),
            Place::Own => "localhost".to_owned(),
        };
        let port = failure.port.map(|p| format!(":{p}")).unwrap_or_default();
        finding = finding.evidence(
            format!("container {} {}", container.name(), failure.named_by),
            format!("names {target}{port}"),
        );
    }
    // What is ready serves all the same.
    let [container_fails, not_ready] = view.container_effects(container);
    finding = finding.breaking(container_fails);
    if failure.trouble != Trouble::Ready {
        finding = finding.breaking(not_ready);
    }
    if failure.trouble.lasts() {
        finding = finding.breaking(Effect::Silence(view.workload_of(container.pod), container.name().to_owned()));
    }
    if failure.trouble == Trouble::Deaf {
        let namespace = container.pod.namespace().unwrap_or_default();
        for service in view.services_selecting(&namespace, container.pod.labels()) {
            finding = finding.breaking(service_effect(service));
        }
    }
    finding
}

/// `waits for`, `crashes because it cannot reach`: what the caller does about it.
fn predicate(failure: &Failure<'_>) -> &'static str {
    match failure.trouble {
        Trouble::Waits => "waits for",
        Trouble::Crashed => "ends because it needs",
        Trouble::Unready => "is not ready because it needs",
        Trouble::Deaf => "does not listen because it needs",
        Trouble::Suspect => "calls",
        Trouble::Ready => "keeps calling",
    }
}

/// `db`, or `db in namespace data` where it is not the caller's own.
fn shown(failure: &Failure<'_>, namespace: &str, name: &str) -> String {
    if failure.container.pod.namespace().as_deref() == Some(namespace) {
        name.to_owned()
    } else {
        format!("{name} in namespace {namespace}")
    }
}

fn missing(view: &View<'_>, failure: &Failure<'_>, namespace: &str, name: &str) -> Finding {
    let container = &failure.container;
    let object = ObjectRef::new(&kind::SERVICE, namespace, name);
    let services = &view.snapshot.objects.services;
    // What leads to the caller itself is not what it looks for.
    let own = match container.pod.namespace() {
        Some(own) if own == namespace => view.services_selecting(namespace, container.pod.labels()),
        _ => Vec::new(),
    };
    let here = services
        .iter()
        .filter(|s| s.namespace().as_deref() == Some(namespace))
        .filter(|s| !own.iter().any(|own| own.metadata.name == s.metadata.name))
        .map(|s| s.metadata.name.as_deref().unwrap_or_default());
    let near = near::nearest(name, here);
    let elsewhere = services
        .iter()
        .find(|s| s.metadata.name.as_deref() == Some(name) && s.namespace().as_deref() != Some(namespace))
        .and_then(|s| s.namespace());
    let mut workloads = view.workloads();
    let namesake = workloads.find(|w| w.reference.namespace == namespace && w.reference.name == name);
    let is_elsewhere = container.pod.namespace().as_deref() != Some(namespace);
    let has_no_namespace = is_elsewhere && view.snapshot.presence(&kind::NAMESPACE, "", namespace) == Presence::Absent;
    let mut finding = Finding::new(
        ServiceMissing,
        Severity::Error,
        if failure.line.is_some() && failure.trouble != Trouble::Ready {
            Confidence::Proven
        } else {
            Confidence::Likely
        },
        view.subject_of(container),
        format!(
            "container {} {} Service {}, which does not exist{}",
            container.name(),
            predicate(failure),
            shown(failure, namespace, name),
            if has_no_namespace { ", and neither does the namespace" } else { "" }
        ),
    )
    .related("missing", object.clone())
    .breaking(Effect::Object(object))
    .breaking(Effect::Service(namespace.to_owned(), name.to_owned()));
    let absent = match has_no_namespace {
        true => "does not exist".to_owned(),
        false => format!("has no Service {name}"),
    };
    finding = of_caller(view, failure, finding).evidence(format!("namespace/{namespace}"), absent);
    if has_no_namespace {
        return finding.fix_command(
            format!(
                "correct the namespace in {}, or create namespace {namespace} and what belongs there",
                spec_of(failure)
            ),
            match failure.named_by.as_str() {
                "log" => "kubectl get namespaces".into(),
                _ => edit_command(view, container.pod),
            },
        );
    }
    if let Some(set) = view.named_by(namespace, name) {
        return finding.fix_command(
            format!(
                "create Service {name}, by which {} wants its pods to be known",
                set.reference.short()
            ),
            create_service(set, name, failure.port),
        );
    }
    match (near, elsewhere, namesake) {
        (Some(near), ..) => finding.fix_command(
            format!("if Service {near} is meant, use that name in {}", spec_of(failure)),
            match failure.named_by.as_str() {
                "command" => edit_command(view, container.pod),
                _ => command("kubectl get services -n {}", &[&namespace]),
            },
        ),
        (None, Some(other), _) => finding.fix_command(
            format!("a Service {name} is in namespace {other}: if that is meant, call it {name}.{other}"),
            command("kubectl get service {} -n {}", &[&name, &other]),
        ),
        (None, None, Some(workload)) => finding.fix_command(
            format!("create Service {name} for the workload of that name"),
            create_service(workload, name, failure.port),
        ),
        (None, None, None) => finding.fix_command(
            format!(
                "create Service {name} and what is behind it, or correct the name in {}",
                spec_of(failure)
            ),
            command("kubectl get services -n {}", &[&namespace]),
        ),
    }
}

/// Where the name stands that may have to change.
fn spec_of(failure: &Failure<'_>) -> String {
    match failure.named_by.as_str() {
        "log" => format!("the configuration of container {}", failure.container.name()),
        "command" => format!("the command of container {}", failure.container.name()),
        by => format!("{by} of container {}", failure.container.name()),
    }
}

fn present(view: &View<'_>, needs: &mut Needs, failure: &Failure<'_>, service: &Service) -> Vec<Finding> {
    let reference = service_reference(service);
    let (namespace, name) = (reference.namespace.as_str(), reference.name.as_str());
    if failure.how == How::Unresolved {
        return dns::unresolved(view, needs, failure, service);
    }
    if ports::wrong_port(view, service, failure.port) {
        return vec![port_mismatch(view, failure, service, Severity::Error)];
    }
    let state = endpoints::by_pods(view, service);
    let denied = stopped::by_policy(view, needs, failure);
    if let Some(denied) = denied {
        return unreachable(view, failure, namespace, name, Some(&state), denied.references())
            .into_iter()
            .collect();
    }
    // Without a line it is possible, no more: it gives way to what the Service suffers from, or is not told.
    if failure.line.is_none() && (failure.trouble == Trouble::Crashed || failure.trouble.lasts()) {
        return unreachable(view, failure, namespace, name, Some(&state), Vec::new())
            .into_iter()
            .map(|f| f.severity(Severity::Symptom).confidence(Confidence::Possible))
            .collect();
    }
    // The rule on init containers reports a wait without a log line.
    if failure.line.is_none() || failure.trouble == Trouble::Suspect || (failure.trouble == Trouble::Waits && !state.is_ready()) {
        return Vec::new();
    }
    let mut found: Vec<Finding> = unreachable(view, failure, namespace, name, Some(&state), Vec::new())
        .into_iter()
        .collect();
    if state.is_ready() {
        found.extend(local_policy(failure, view, service));
        found.extend(target_refuses(failure, view, needs, service));
    }
    found
}

fn port_mismatch(view: &View<'_>, failure: &Failure<'_>, service: &Service, severity: Severity) -> Finding {
    let container = &failure.container;
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let port = failure.port.unwrap_or_default();
    let leads = ports::of_service(service)
        .iter()
        .find(|p| ports::target(p) == IntOrString::Int(i32::from(port)) || resolved(view, service, p).contains(&i32::from(port)));
    let right = leads.or_else(|| ports::of_service(service).first());
    let untranslated = ports::untranslated(view, service, port);
    let (why, fix) = match untranslated {
        Some(right) => ports::mismatch_of_headless(service, port, right),
        None => {
            let hint = match leads {
                Some(p) => format!(" ({port} is the port of its pods; the Service offers it as {})", p.port),
                None => String::new(),
            };
            (
                format!("but that Service has only port {}{hint}", ports::list(service)),
                format!(
                    "use port {} in {}, or add port {port} to Service {name}",
                    right.map_or_else(String::new, |p| p.port.to_string()),
                    spec_of(failure)
                ),
            )
        }
    };
    let finding = Finding::new(
        ServicePortMismatch,
        severity,
        if failure.line.is_some() || failure.trouble == Trouble::Waits {
            Confidence::Likely
        } else {
            Confidence::Possible
        },
        view.subject_of(container),
        format!(
            "container {} {} Service {} on port {port}, {why}",
            container.name(),
            predicate(failure),
            shown(failure, &namespace, &name),
        ),
    )
    .evidence(format!("service/{name}"), format!("its ports are {}", ports::list(service)))
    .related("service", service_reference(service))
    .fix_command(fix, command("kubectl get service {} -n {}", &[&name, &namespace]));
    if severity == Severity::Advice {
        finding
    } else {
        of_caller(view, failure, finding)
    }
}

fn resolved(view: &View<'_>, service: &Service, port: &k8s_openapi::api::core::v1::ServicePort) -> Vec<i32> {
    ports::specs_behind(view, service)
        .into_iter()
        .filter_map(|(_, spec)| ports::resolve(spec, port))
        .collect()
}

const POLICY_IN_WAY: &str = " (a NetworkPolicy is in the way)";

fn unreachable(
    view: &View<'_>,
    failure: &Failure<'_>,
    namespace: &str,
    name: &str,
    state: Option<&Endpoints<'_>>,
    policies: Vec<ObjectRef>,
) -> Option<Finding> {
    let container = &failure.container;
    let port = failure.port.map(|p| format!(":{p}")).unwrap_or_default();
    let stands = match state {
        _ if !policies.is_empty() => POLICY_IN_WAY,
        Some(Endpoints::NoPods) => " (it selects no pod)",
        Some(Endpoints::NoneReady) => " (it has no ready endpoints)",
        Some(Endpoints::Ready(_)) => " (its pods are ready)",
        _ => "",
    };
    let finding = Finding::new(
        DependencyUnreachable,
        // While the other side is on its way up, waiting for it is no fault. Who listens nowhere may have been refused long ago by one that
        // is well now.
        match state {
            Some(Endpoints::NoneReady) if failure.trouble.lasts() => Severity::Symptom,
            Some(Endpoints::Ready(_)) if failure.how == How::Refused && is_deaf(view, failure) => Severity::Symptom,
            _ => Severity::Error,
        },
        if failure.trouble.lasts() {
            Confidence::Possible
        } else {
            Confidence::Likely
        },
        view.subject_of(container),
        format!(
            "container {} {} Service {}, which {}{stands}",
            container.name(),
            predicate(failure),
            format_args!("{}{port}", shown(failure, namespace, name)),
            failure.how.shown()
        ),
    )
    .related("service", ObjectRef::new(&kind::SERVICE, namespace, name))
    .suffering(Effect::Service(namespace.to_owned(), name.to_owned()))
    .fix_command(
        format!("see why Service {name} does not answer"),
        command("kubectl podlife diagnose service/{} -n {}", &[&name, &namespace]),
    );
    // One look at a crash loop can find the other side ready: what is wrong with its pods explains this all the same.
    let behind = view.service(namespace, name).map(|s| ports::workloads_behind(view, s));
    let finding = behind
        .into_iter()
        .flatten()
        .fold(finding, |f, workload| f.suffering(Effect::NotReady(workload.reference.clone())));
    let finding = policies.into_iter().fold(finding, |f, policy| f.suffering(Effect::Object(policy)));
    Some(of_caller(view, failure, finding))
}

/// Whether nobody listens in the calling container.
fn is_deaf(view: &View<'_>, failure: &Failure<'_>) -> bool {
    failure.trouble == Trouble::Deaf || (failure.trouble == Trouble::Unready && opens_nothing(view, &failure.container))
}

/// A Service that keeps traffic on the node, called from a node where none of its pods is ready.
fn local_policy(failure: &Failure<'_>, view: &View<'_>, service: &Service) -> Option<Finding> {
    let local = service.spec.as_ref()?.internal_traffic_policy.as_deref() == Some("Local");
    let node = failure.container.pod.spec.as_ref()?.node_name.as_deref()?;
    let behind = ports::nodes_behind(view, service);
    if !local || behind.contains(node) || behind.is_empty() {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let nodes: Vec<&str> = behind.into_iter().take(5).collect();
    Some(
        Finding::error(
            LocalTrafficPolicyWithoutEndpoint,
            Subject::of(service_reference(service)),
            format!(
                "Service {name} has internalTrafficPolicy Local, and node {node} runs none of its ready pods: callers there reach no pod"
            ),
        )
        .confidence(Confidence::Likely)
        .evidence(format!("pod/{}", failure.container.pod.name_any()), format!("runs on node {node}"))
        .evidence(format!("service/{name}"), format!("its ready pods run on {}", nodes.join(", ")))
        .related("caller", view.workload_of(failure.container.pod))
        .fix_command(
            "set internalTrafficPolicy: Cluster, or run a pod of it on every node that calls it",
            command("kubectl edit service {} -n {}", &[&name, &namespace]),
        )
        .breaking(service_effect(service)),
    )
}

/// A refusal by ready pods at a number that none of them declares: what was a hint is now seen.
fn target_refuses(failure: &Failure<'_>, view: &View<'_>, needs: &mut Needs, service: &Service) -> Option<Finding> {
    if failure.how != How::Refused || !ports::has_selector(service) {
        return None;
    }
    let port = ports::of_service(service)
        .iter()
        .find(|p| failure.port.is_none_or(|called| p.port == i32::from(called)))?;
    let IntOrString::Int(number) = ports::target(port) else {
        return None;
    };
    let behind = ports::specs_behind(view, service);
    let (workload, spec) = behind.first()?;
    let declared = ports::declared(spec);
    let undeclared = behind.iter().all(|(_, spec)| {
        let declared = ports::declared(spec);
        !declared.is_empty() && declared.iter().all(|d| d.number != number)
    });
    // A dialled port is reported once, by the rule on listeners.
    if !undeclared || is_mismatch_proven(view, needs, service, port) {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let (source, line) = failure.line.as_ref()?;
    let offered: Vec<String> = declared.iter().map(|d| d.number.to_string()).collect();
    Some(
        Finding::error(
            cause::TargetPortMismatch::Declared,
            Subject::of(service_reference(service)).port(port.port),
            format!(
                "Service {name} sends port {} to {number}, where its ready pods refuse; they declare {}",
                ports::shown(port),
                offered.join(", ")
            ),
        )
        .confidence(Confidence::Likely)
        .evidence(source, shorten(&redact(line), 200))
        .evidence(
            format!("service/{name}"),
            format!("port {} has targetPort: {number}", ports::shown(port)),
        )
        .related("target", workload.reference.clone())
        .fix_command(
            format!(
                "set targetPort to the port that the application listens on, probably {}",
                offered.join(" or ")
            ),
            command("kubectl edit service {} -n {}", &[&name, &namespace]),
        )
        .breaking(service_effect(service)),
    )
}

fn outside(view: &View<'_>, needs: &mut Needs, failure: &Failure<'_>, host: &str) -> Option<Finding> {
    failure.line.as_ref()?;
    if failure.trouble == Trouble::Suspect {
        return None;
    }
    let container = &failure.container;
    let port = failure.port.map(|p| format!(":{p}")).unwrap_or_default();
    let fix = match failure.how {
        How::Unresolved => "check the name, and whether the cluster's DNS resolves names outside",
        How::Timeout | How::NoRoute => "check the way out of the cluster: egress policies, firewall, proxy, routes",
        _ => "check that the host is up and that host and port are right",
    };
    let policies = stopped::by_policy(view, needs, failure)
        .map(|denied| denied.references())
        .unwrap_or_default();
    let stands = if policies.is_empty() { "" } else { POLICY_IN_WAY };
    let finding = Finding::error(
        DependencyUnreachable,
        view.subject_of(container),
        format!(
            "container {} {} {host}{port}, which {}{stands}",
            container.name(),
            predicate(failure),
            failure.how.shown()
        ),
    )
    .confidence(Confidence::Likely)
    .fix(fix);
    let finding = policies.into_iter().fold(finding, |f, policy| f.suffering(Effect::Object(policy)));
    Some(of_caller(view, failure, finding))
}

/// An application that looks for another one on its own localhost.
fn own(view: &View<'_>, failure: &Failure<'_>) -> Option<Finding> {
    let container = &failure.container;
    let port = failure.port?;
    let spec = container.pod.spec.as_ref()?;
    let expected = ports::declared(spec).iter().any(|d| d.number == i32::from(port));
    if failure.trouble != Trouble::Crashed || expected || failure.how != How::Refused {
        return None;
    }
    let finding = Finding::error(
        DependencyUnreachable,
        view.subject_of(container),
        format!(
            "container {} ends because it needs localhost:{port}, where nothing listens: localhost is the pod itself",
            container.name()
        ),
    )
    .confidence(Confidence::Likely)
    .fix("name the Service that offers it, for example in an environment variable, instead of localhost");
    Some(of_caller(view, failure, finding))
}

/// What the spec of a healthy container names and cannot reach, though nothing in its log complains.
fn suspicions(view: &View<'_>, caller: &Caller<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for reference in &caller.references {
        let Place::Service { namespace, name } = &reference.place else {
            continue;
        };
        let Some(service) = view.service(namespace, name) else {
            continue;
        };
        if ports::wrong_port(view, service, reference.mention.port) {
            let failure = Failure {
                container: caller.container,
                trouble: caller.trouble,
                how: How::Unknown,
                place: reference.place.clone(),
                port: reference.mention.port,
                named_by: reference.source.clone(),
                line: None,
            };
            found.push(port_mismatch(view, &failure, service, Severity::Advice));
        }
    }
    found
}
