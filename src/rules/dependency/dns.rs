//! Names of Services that do not resolve although the Service exists: who answers the pod's questions, and what the name is.

use k8s_openapi::api::core::v1::{PodSpec, Service};
use kube::ResourceExt;

use crate::facts::calls::failure::Failure;
use crate::facts::calls::trouble::Trouble;
use crate::facts::ending::edit_command;
use crate::facts::policy;
use crate::model::code::Code::{ClusterDnsFailing, DependencyUnreachable};
use crate::model::finding::{Confidence, Effect, Finding, Subject};
use crate::model::kind;
use crate::rules::dependency::{of_caller, shown, unreachable};
use crate::text::{command, redact, shorten};
use crate::view::{Needs, View, endpoints, ports, service_effect, service_reference, service_selects};

/// Why the name of a Service that exists does not resolve.
pub(crate) fn unresolved(view: &View<'_>, needs: &mut Needs, failure: &Failure<'_>, service: &Service) -> Vec<Finding> {
    let container = &failure.container;
    let reference = service_reference(service);
    // The Service came after the attempt: the next one will find it.
    let ended = match failure.trouble {
        Trouble::Crashed => container.newest_end().and_then(|end| end.finished_at.as_ref()).map(|t| t.0),
        _ => None,
    };
    let created = service.metadata.creation_timestamp.as_ref().map(|t| t.0);
    if ended.zip(created).is_some_and(|(ended, created)| created > ended) {
        return Vec::new();
    }
    if let Some(denied) = policy::denies_dns(view, needs, container.pod) {
        return unreachable(view, failure, &reference.namespace, &reference.name, None, denied.references())
            .into_iter()
            .collect();
    }
    let name = shown(failure, &reference.namespace, &reference.name);
    let of_resolver = container.pod.spec.as_ref().and_then(|spec| resolver(spec, &reference.namespace));
    if let Some((why, fix)) = of_resolver {
        let summary = format!("container {} cannot resolve Service {name}: {why}", container.name());
        let finding = Finding::error(DependencyUnreachable, view.subject_of(container), summary)
            .related("service", reference)
            .fix_command(fix, edit_command(view, container.pod));
        return vec![of_caller(view, failure, finding)];
    }
    let of_service = address_as_name(service).or_else(|| each_other(view, failure, service));
    let mut found: Vec<Finding> = unreachable(view, failure, &reference.namespace, &reference.name, None, Vec::new())
        .into_iter()
        .map(|f| f.suffering(Effect::Dns))
        .collect();
    if let Some(of_service) = of_service {
        let evidence = found.first().and_then(|caller| caller.evidence.first().cloned());
        found.push(
            evidence
                .into_iter()
                .fold(of_service, |of, line| of.evidence(line.source, line.detail)),
        );
        return found;
    }
    found.extend(cluster_dns(view, needs, failure));
    found
}

/// What the pod's DNS settings lack for names of Services, and the field to set.
fn resolver(spec: &PodSpec, namespace: &str) -> Option<(String, String)> {
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let on_host = spec.host_network == Some(true);
    match policy {
        "ClusterFirst" if on_host => Some((
            "with hostNetwork, dnsPolicy ClusterFirst means the node's name servers, not the cluster's".to_owned(),
            "set dnsPolicy: ClusterFirstWithHostNet in the pod template".to_owned(),
        )),
        "Default" => Some((
            "with dnsPolicy Default its pod asks the node's name servers, not the cluster's".to_owned(),
            format!(
                "set dnsPolicy: {} in the pod template",
                if on_host { "ClusterFirstWithHostNet" } else { "ClusterFirst" }
            ),
        )),
        "None" => {
            let config = spec.dns_config.as_ref();
            let list = |of: Option<&Vec<String>>| of.map(|all| all.join(", ")).unwrap_or_default();
            let searches = config.and_then(|c| c.searches.as_ref());
            let svc = format!("{namespace}.svc.");
            if searches.is_some_and(|all| all.iter().any(|domain| domain.starts_with(&svc))) {
                return Some((
                    format!(
                        "with dnsPolicy None its pod asks only {}",
                        list(config.and_then(|c| c.nameservers.as_ref()))
                    ),
                    "set dnsPolicy: ClusterFirst, or the cluster's DNS address in dnsConfig.nameservers of the pod template".to_owned(),
                ));
            }
            Some((
                format!("with dnsPolicy None its pod has no search domain {svc}cluster.local"),
                format!("set dnsPolicy: ClusterFirst, or add {svc}cluster.local to dnsConfig.searches of the pod template"),
            ))
        }
        _ => None,
    }
}

/// A Service that is another name for an address, which no resolver gives out.
fn address_as_name(service: &Service) -> Option<Finding> {
    let target = service
        .spec
        .as_ref()?
        .external_name
        .as_deref()
        .filter(|_| ports::is_external_name(service))?;
    let address: std::net::IpAddr = target.parse().ok()?;
    let reference = service_reference(service);
    let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
    Some(
        Finding::error(
            DependencyUnreachable,
            Subject::of(reference),
            format!("Service {name} does not resolve: its externalName {address} is an address, and DNS aliases lead to names only"),
        )
        .evidence(format!("service/{name}"), format!("externalName is {address}"))
        .breaking(Effect::Service(namespace.clone(), name.clone()))
        .fix_command(
            format!(
                "give Service {name} no type ExternalName and no selector, and write an EndpointSlice with the address {address} for it"
            ),
            command("kubectl edit service {} -n {}", &[&name, &namespace]),
        ),
    )
}

/// A headless Service has a name once a pod behind it is ready; this one's pods ask for it before they are.
fn each_other(view: &View<'_>, failure: &Failure<'_>, service: &Service) -> Option<Finding> {
    let pod = failure.container.pod;
    let is_own = service.namespace() == pod.namespace() && service_selects(service, pod.labels());
    let is_silent = ports::is_headless(service) && !ports::publishes_unready(service) && endpoints::by_pods(view, service).is_nobody();
    if !is_own || !is_silent {
        return None;
    }
    let reference = service_reference(service);
    let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
    Some(
        Finding::error(
            DependencyUnreachable,
            Subject::of(reference),
            format!("headless Service {name} resolves to ready pods only, and its pods look each other up before they are ready"),
        )
        .confidence(Confidence::Likely)
        .evidence(
            format!("service/{name}"),
            "clusterIP None, publishNotReadyAddresses false; none of its pods is ready",
        )
        .related("caller", view.workload_of(pod))
        .breaking(service_effect(service))
        .fix_command(
            format!("set publishNotReadyAddresses: true on Service {name}"),
            command(
                "kubectl patch service {} -n {} -p '{\"spec\":{\"publishNotReadyAddresses\":true}}'",
                &[&name, &namespace],
            ),
        ),
    )
}

/// The cluster's DNS, where none of its pods is ready.
fn cluster_dns(view: &View<'_>, needs: &mut Needs, failure: &Failure<'_>) -> Option<Finding> {
    const NAMESPACE: &str = "kube-system";
    let kinds = [&kind::SERVICE, &kind::POD, &kind::DEPLOYMENT, &kind::REPLICA_SET];
    let read = kinds.map(|kind| needs.list(view, kind, NAMESPACE)) == [true; 4];
    let dns = view.service(NAMESPACE, "kube-dns")?;
    if !read || endpoints::by_pods(view, dns).is_ready() {
        return None;
    }
    let behind = ports::workloads_behind(view, dns);
    let subject = behind.first().map_or_else(|| service_reference(dns), |w| w.reference.clone());
    let mut finding = Finding::error(
        ClusterDnsFailing,
        Subject::of(subject),
        "Cluster DNS does not answer: no pod behind Service kube-dns is ready, so names of Services do not resolve",
    )
    .evidence("service/kube-dns", "no ready endpoint in namespace kube-system")
    .fix_command(
        "make the DNS pods ready",
        command("kubectl get pods -n {} -l k8s-app=kube-dns -o wide", &[&NAMESPACE]),
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
