//! What an application needs from others: Services, names, hosts outside, the API server. A container that crashes, waits or is not ready
//! because of another one is linked to that one's own cause.

pub mod callers;
pub mod failure;
mod forbidden;
pub mod names;
pub mod places;
pub mod search;
#[cfg(test)]
mod tests;
mod trouble;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use self::callers::{Caller, Failure, wrong_port};
use self::failure::How;
use self::places::Place;
pub use self::trouble::Trouble;
use super::context::Context;
use super::ports::{self, State};
use super::{network_policy, service};
use crate::model::code::Code::{
    ClusterDnsFailing, DependencyUnreachable, LocalTrafficPolicyWithoutEndpoint, ServiceMissing, ServicePortMismatch, TargetPortMismatch,
};
use crate::model::finding::{Confidence, Effect, Finding, ObjectRef, Severity, Subject};
use crate::model::kind;
use crate::model::near;
use crate::model::snapshot::Presence;
use crate::model::text::{redact, shorten};

/// Containers that cannot do without something that they do not reach.
pub fn check(context: &Context<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for caller in callers::callers(context) {
        if let Some(refused) = forbidden::check(context, &caller) {
            found.push(refused);
            continue;
        }
        let failures = callers::of_caller(context, &caller);
        if failures.is_empty() && caller.trouble == Trouble::Suspect {
            found.extend(suspicions(context, &caller));
        }
        for failure in failures {
            found.extend(judge(context, &failure));
        }
    }
    found
}

fn judge(context: &Context<'_>, failure: &Failure<'_>) -> Vec<Finding> {
    match &failure.place {
        Place::Own => own(context, failure).into_iter().collect(),
        Place::Outside(host) => outside(context, failure, host).into_iter().collect(),
        Place::Service { namespace, name } => {
            let own = failure.container.pod.namespace().unwrap_or_default();
            match places::presence(context, &own, namespace, name) {
                Presence::Absent => vec![missing(context, failure, namespace, name)],
                Presence::Unknown => unreachable(context, failure, namespace, name, None, Vec::new())
                    .into_iter()
                    .collect(),
                Presence::Present => match context.service(namespace, name) {
                    Some(service) => present(context, failure, service),
                    None => Vec::new(),
                },
            }
        }
    }
}

/// The finding about the calling container, with the line that shows it and what it brings about.
fn of_caller(context: &Context<'_>, failure: &Failure<'_>, mut finding: Finding) -> Finding {
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
    for effect in context.container_effects(container) {
        finding = finding.breaking(effect);
    }
    if failure.trouble.lasts() {
        finding = finding.breaking(Effect::Silence(context.workload_of(container.pod), container.name().to_owned()));
    }
    if failure.trouble == Trouble::Deaf {
        let namespace = container.pod.namespace().unwrap_or_default();
        for service in context.services_selecting(&namespace, container.pod.labels()) {
            finding = finding.breaking(service::effect(service));
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

fn missing(context: &Context<'_>, failure: &Failure<'_>, namespace: &str, name: &str) -> Finding {
    let container = &failure.container;
    let object = ObjectRef::new(&kind::SERVICE, namespace, name);
    let services = &context.snapshot.objects.services;
    // What leads to the caller itself is not what it looks for.
    let own = match container.pod.namespace() {
        Some(own) if own == namespace => context.services_selecting(namespace, container.pod.labels()),
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
    let workload = context
        .workloads()
        .find(|w| w.reference.namespace == namespace && w.reference.name == name);
    let create = format!(
        "kubectl expose {} -n {namespace} --port={}",
        workload.map_or_else(|| format!("deployment/{name}"), |w| w.reference.short()),
        failure.port.map_or_else(|| "<port>".to_owned(), |p| p.to_string())
    );
    let mut finding = Finding::new(
        ServiceMissing,
        "",
        Severity::Error,
        if failure.line.is_some() {
            Confidence::Proven
        } else {
            Confidence::Likely
        },
        context.subject_of(container),
        format!(
            "Container {} {} Service {}, which does not exist",
            container.name(),
            predicate(failure),
            shown(failure, namespace, name)
        ),
    )
    .related("missing", object.clone())
    .breaking(Effect::Object(object))
    .breaking(Effect::Service(namespace.to_owned(), name.to_owned()));
    finding = of_caller(context, failure, finding).evidence(format!("namespace/{namespace}"), format!("has no Service {name}"));
    match (near, elsewhere) {
        (Some(near), _) => finding.fix_command(
            format!("if Service {near} is meant, use that name in {}", spec_of(failure)),
            format!("kubectl get services -n {namespace}"),
        ),
        (None, Some(other)) => finding.fix_command(
            format!("a Service {name} is in namespace {other}: if that is meant, call it {name}.{other}"),
            format!("kubectl get service {name} -n {other}"),
        ),
        (None, None) if workload.is_some() => finding.fix_command(format!("create Service {name} for the workload of that name"), create),
        (None, None) => finding.fix_command(
            format!(
                "create Service {name} and what is behind it, or correct the name in {}",
                spec_of(failure)
            ),
            format!("kubectl get services -n {namespace}"),
        ),
    }
}

/// Where the name stands that may have to change.
fn spec_of(failure: &Failure<'_>) -> String {
    match failure.named_by.as_str() {
        "log" => format!("the configuration of container {}", failure.container.name()),
        by => format!("{by} of container {}", failure.container.name()),
    }
}

fn present(context: &Context<'_>, failure: &Failure<'_>, service: &Service) -> Vec<Finding> {
    let reference = service::reference(service);
    let (namespace, name) = (reference.namespace.as_str(), reference.name.as_str());
    if failure.how == How::Unresolved {
        return unresolved(context, failure, service);
    }
    if wrong_port(context, service, failure.port) {
        return vec![port_mismatch(context, failure, service, Severity::Error)];
    }
    let state = ports::state(context, service);
    let denied = network_policy::of_failure(context, failure, service);
    if let Some(denied) = denied {
        return unreachable(context, failure, namespace, name, Some(state), denied.references())
            .into_iter()
            .collect();
    }
    // Without a line it is possible, no more: it gives way to what the Service suffers from, or is not told.
    if failure.line.is_none() && (failure.trouble == Trouble::Crashed || failure.trouble.lasts()) {
        return unreachable(context, failure, namespace, name, Some(state), Vec::new())
            .into_iter()
            .map(|f| f.severity(Severity::Symptom).confidence(Confidence::Possible))
            .collect();
    }
    // A wait without a line is told by the rule on init containers.
    if failure.line.is_none() || failure.trouble == Trouble::Suspect || (failure.trouble == Trouble::Waits && state != State::Ready) {
        return Vec::new();
    }
    let mut found: Vec<Finding> = unreachable(context, failure, namespace, name, Some(state), Vec::new())
        .into_iter()
        .collect();
    if state == State::Ready {
        found.extend(local_policy(failure, context, service));
        found.extend(target_refuses(failure, context, service));
    }
    found
}

fn port_mismatch(context: &Context<'_>, failure: &Failure<'_>, service: &Service, severity: Severity) -> Finding {
    let container = &failure.container;
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let port = failure.port.unwrap_or_default();
    let leads = ports::of_service(service)
        .iter()
        .find(|p| ports::target(p) == IntOrString::Int(i32::from(port)) || resolved(context, service, p).contains(&i32::from(port)));
    let right = leads.or_else(|| ports::of_service(service).first());
    let untranslated = ports::untranslated(context, service, port);
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
        "",
        severity,
        if failure.line.is_some() || failure.trouble == Trouble::Waits {
            Confidence::Likely
        } else {
            Confidence::Possible
        },
        context.subject_of(container),
        format!(
            "Container {} {} Service {} on port {port}, {why}",
            container.name(),
            predicate(failure),
            shown(failure, &namespace, &name),
        ),
    )
    .evidence(format!("service/{name}"), format!("its ports are {}", ports::list(service)))
    .related("service", service::reference(service))
    .fix_command(fix, format!("kubectl get service {name} -n {namespace}"));
    if severity == Severity::Advice {
        finding
    } else {
        of_caller(context, failure, finding)
    }
}

fn resolved(context: &Context<'_>, service: &Service, port: &k8s_openapi::api::core::v1::ServicePort) -> Vec<i32> {
    ports::specs_behind(context, service)
        .into_iter()
        .filter_map(|(_, spec)| ports::resolve(spec, port))
        .collect()
}

/// A name does not resolve although its Service exists.
fn unresolved(context: &Context<'_>, failure: &Failure<'_>, service: &Service) -> Vec<Finding> {
    let container = &failure.container;
    let reference = service::reference(service);
    // The Service came after the attempt: the next one will find it.
    let ended = match failure.trouble {
        Trouble::Crashed => container.newest_end().and_then(|end| end.finished_at.as_ref()).map(|t| t.0),
        _ => None,
    };
    let created = service.metadata.creation_timestamp.as_ref().map(|t| t.0);
    if ended.zip(created).is_some_and(|(ended, created)| created > ended) {
        return Vec::new();
    }
    let spec = container.pod.spec.as_ref();
    let policy = spec.and_then(|s| s.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let on_host = spec.and_then(|s| s.host_network).unwrap_or(false);
    if let Some(denied) = network_policy::denies_dns(context, container.pod) {
        return unreachable(context, failure, &reference.namespace, &reference.name, None, denied.references())
            .into_iter()
            .collect();
    }
    let of_host = policy == "Default" || (on_host && policy == "ClusterFirst");
    if of_host {
        let finding = Finding::error(
            DependencyUnreachable,
            "",
            context.subject_of(container),
            format!(
                "Container {} cannot resolve Service {}: with dnsPolicy {policy}{} its pod asks the node's name servers, not the cluster's",
                container.name(),
                shown(failure, &reference.namespace, &reference.name),
                if on_host { " and hostNetwork" } else { "" }
            ),
        )
        .related("service", reference)
        .fix("set dnsPolicy: ClusterFirstWithHostNet (with hostNetwork) or ClusterFirst in the pod template");
        return vec![of_caller(context, failure, finding)];
    }
    let mut found: Vec<Finding> = unreachable(context, failure, &reference.namespace, &reference.name, None, Vec::new())
        .into_iter()
        .map(|f| f.suffering(Effect::Dns))
        .collect();
    found.extend(cluster_dns(context, failure));
    found
}

/// The cluster's DNS, where none of its pods is ready.
fn cluster_dns(context: &Context<'_>, failure: &Failure<'_>) -> Option<Finding> {
    const NAMESPACE: &str = "kube-system";
    let kinds = [&kind::SERVICE, &kind::POD, &kind::DEPLOYMENT, &kind::REPLICA_SET];
    let read = kinds.map(|kind| context.needs_list(kind, NAMESPACE)) == [true; 4];
    let dns = context.service(NAMESPACE, "kube-dns")?;
    if !read || ports::state(context, dns) == State::Ready {
        return None;
    }
    let behind = ports::workloads_behind(context, dns);
    let subject = behind.first().map_or_else(|| service::reference(dns), |w| w.reference.clone());
    let mut finding = Finding::error(
        ClusterDnsFailing,
        "",
        Subject::of(subject),
        "Cluster DNS does not answer: no pod behind Service kube-dns is ready, so names of Services do not resolve",
    )
    .evidence("service/kube-dns", "no ready endpoint in namespace kube-system")
    .fix_command(
        "make the DNS pods ready",
        format!("kubectl get pods -n {NAMESPACE} -l k8s-app=kube-dns -o wide"),
    )
    .breaking(Effect::Dns);
    if let Some((source, line)) = &failure.line {
        finding = finding.evidence(source, shorten(&redact(line), 200));
    }
    for workload in behind {
        finding = finding.suffering(Effect::NotReady(workload.reference.clone()));
    }
    Some(finding)
}

fn unreachable(
    context: &Context<'_>,
    failure: &Failure<'_>,
    namespace: &str,
    name: &str,
    state: Option<State>,
    policies: Vec<ObjectRef>,
) -> Option<Finding> {
    let container = &failure.container;
    let port = failure.port.map(|p| format!(":{p}")).unwrap_or_default();
    let stands = match state {
        _ if !policies.is_empty() => " (a NetworkPolicy is in the way)",
        Some(State::NoPods) => " (it selects no pod)",
        Some(State::NoneReady) => " (it has no ready endpoints)",
        Some(State::Ready) => " (its pods are ready)",
        _ => "",
    };
    let finding = Finding::new(
        DependencyUnreachable,
        "",
        // While the other side is on its way up, waiting for it is no fault. Who listens nowhere may have been refused long ago by one that
        // is well now.
        match state {
            Some(State::NoneReady) if failure.trouble.lasts() => Severity::Symptom,
            Some(State::Ready) if failure.how == How::Refused && is_deaf(context, failure) => Severity::Symptom,
            _ => Severity::Error,
        },
        if failure.trouble.lasts() {
            Confidence::Possible
        } else {
            Confidence::Likely
        },
        context.subject_of(container),
        format!(
            "Container {} {} Service {}, which {}{stands}",
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
        format!("kubectl podlife diagnose service/{name} -n {namespace}"),
    );
    // One look at a crash loop can find the other side ready: what is wrong with its pods explains this all the same.
    let behind = context.service(namespace, name).map(|s| ports::workloads_behind(context, s));
    let finding = behind
        .into_iter()
        .flatten()
        .fold(finding, |f, workload| f.suffering(Effect::NotReady(workload.reference.clone())));
    let finding = policies.into_iter().fold(finding, |f, policy| f.suffering(Effect::Object(policy)));
    Some(of_caller(context, failure, finding))
}

/// Whether nobody listens in the calling container.
fn is_deaf(context: &Context<'_>, failure: &Failure<'_>) -> bool {
    failure.trouble == Trouble::Deaf || (failure.trouble == Trouble::Unready && super::listen::opens_nothing(context, &failure.container))
}

/// A Service that keeps traffic on the node, called from a node where none of its pods is ready.
fn local_policy(failure: &Failure<'_>, context: &Context<'_>, service: &Service) -> Option<Finding> {
    let local = service.spec.as_ref()?.internal_traffic_policy.as_deref() == Some("Local");
    let node = failure.container.pod.spec.as_ref()?.node_name.as_deref()?;
    let behind = ports::nodes_behind(context, service);
    if !local || behind.contains(node) || behind.is_empty() {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let nodes: Vec<&str> = behind.into_iter().take(5).collect();
    Some(
        Finding::error(
            LocalTrafficPolicyWithoutEndpoint,
            "",
            Subject::of(service::reference(service)),
            format!(
                "Service {name} has internalTrafficPolicy Local, and node {node} runs none of its ready pods: callers there reach nobody"
            ),
        )
        .confidence(Confidence::Likely)
        .evidence(format!("pod/{}", failure.container.pod.name_any()), format!("runs on node {node}"))
        .evidence(format!("service/{name}"), format!("its ready pods run on {}", nodes.join(", ")))
        .related("caller", context.workload_of(failure.container.pod))
        .fix_command(
            "set internalTrafficPolicy: Cluster, or run a pod of it on every node that calls it",
            format!("kubectl edit service {name} -n {namespace}"),
        )
        .breaking(service::effect(service)),
    )
}

/// A refusal by ready pods at a number that none of them declares: what was a hint is now seen.
fn target_refuses(failure: &Failure<'_>, context: &Context<'_>, service: &Service) -> Option<Finding> {
    if failure.how != How::Refused || !ports::has_selector(service) {
        return None;
    }
    let port = ports::of_service(service)
        .iter()
        .find(|p| failure.port.is_none_or(|called| p.port == i32::from(called)))?;
    let IntOrString::Int(number) = ports::target(port) else {
        return None;
    };
    let behind = ports::specs_behind(context, service);
    let (workload, spec) = behind.first()?;
    let declared = ports::declared(spec);
    let undeclared = behind.iter().all(|(_, spec)| {
        let declared = ports::declared(spec);
        !declared.is_empty() && declared.iter().all(|d| d.number != number)
    });
    // What was dialled as well is told as that, once.
    if !undeclared || super::listen::is_mismatch_proven(context, service, port) {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let (source, line) = failure.line.as_ref()?;
    let offered: Vec<String> = declared.iter().map(|d| d.number.to_string()).collect();
    Some(
        Finding::error(
            TargetPortMismatch,
            "declared",
            Subject::of(service::reference(service)).port(port.port),
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
            format!("kubectl edit service {name} -n {namespace}"),
        )
        .breaking(service::effect(service)),
    )
}

fn outside(context: &Context<'_>, failure: &Failure<'_>, host: &str) -> Option<Finding> {
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
    let finding = Finding::error(
        DependencyUnreachable,
        "",
        context.subject_of(container),
        format!(
            "Container {} {} {host}{port}, which {}",
            container.name(),
            predicate(failure),
            failure.how.shown()
        ),
    )
    .confidence(Confidence::Likely)
    .fix(fix);
    Some(of_caller(context, failure, finding))
}

/// An application that looks for another one on its own localhost.
fn own(context: &Context<'_>, failure: &Failure<'_>) -> Option<Finding> {
    let container = &failure.container;
    let port = failure.port?;
    let spec = container.pod.spec.as_ref()?;
    let expected = ports::declared(spec).iter().any(|d| d.number == i32::from(port));
    if failure.trouble != Trouble::Crashed || expected || failure.how != How::Refused {
        return None;
    }
    let finding = Finding::error(
        DependencyUnreachable,
        "",
        context.subject_of(container),
        format!(
            "Container {} ends because it needs localhost:{port}, where nothing listens: localhost is the pod itself",
            container.name()
        ),
    )
    .confidence(Confidence::Likely)
    .fix("name the Service that offers it, for example in an environment variable, instead of localhost");
    Some(of_caller(context, failure, finding))
}

/// What the spec of a healthy container names and cannot reach, though nothing in its log complains.
fn suspicions(context: &Context<'_>, caller: &Caller<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for reference in &caller.references {
        let Place::Service { namespace, name } = &reference.place else {
            continue;
        };
        let Some(service) = context.service(namespace, name) else {
            continue;
        };
        if wrong_port(context, service, reference.mention.port) {
            let failure = Failure {
                container: caller.container,
                trouble: caller.trouble,
                how: How::Unknown,
                place: reference.place.clone(),
                port: reference.mention.port,
                named_by: reference.source.clone(),
                line: None,
            };
            found.push(port_mismatch(context, &failure, service, Severity::Advice));
        }
    }
    found
}
