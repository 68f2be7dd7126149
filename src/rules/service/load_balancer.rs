//! Services of type LoadBalancer that have no address.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::model::cause;
use crate::model::finding::{Confidence, Finding};
use crate::model::kind;
use crate::rules::service::subject;
use crate::text::{command, shorten};
use crate::view::View;

/// A controller that is there shows itself within this time: it writes an event or an address.
const SILENCE: Duration = Duration::from_secs(60);
/// Clouds need minutes for a load balancer; one that works on it is given this long.
const PROVISIONING: Duration = Duration::from_secs(300);

/// Reasons under which the service controller and providers report a failure.
const FAILED: [&str; 8] = [
    "SyncLoadBalancerFailed",
    "CreatingLoadBalancerFailed",
    "UnAvailableLoadBalancer",
    "FailedDeployModel",
    "FailedBuildModel",
    "AllocationFailed",
    "EnsureServiceFailed",
    "FailedReconcile",
];

/// A LoadBalancer Service without an address, once it is late or someone says why.
pub fn check(view: &View<'_>, service: &Service) -> Option<Finding> {
    let spec = service.spec.as_ref()?;
    let status = service.status.as_ref();
    let has_address = status
        .and_then(|s| s.load_balancer.as_ref())
        .and_then(|l| l.ingress.as_ref())
        .is_some_and(|i| !i.is_empty());
    // A Service from a manifest has no status to judge by.
    if spec.type_.as_deref() != Some("LoadBalancer") || has_address || service.metadata.uid.is_none() {
        return None;
    }
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let events = view.events_of(&kind::SERVICE, &service.metadata);
    let failure = events
        .iter()
        .take_while(|e| e.reason() != "EnsuredLoadBalancer")
        .find(|e| FAILED.contains(&e.reason()) || (e.is_warning() && e.reason().contains("LoadBalancer")));
    // The type may have been changed long after the Service was created.
    let changed = events.iter().filter(|e| e.reason() == "Type").filter_map(|e| e.last_seen).max();
    let created = service.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let since = changed.max(created)?;
    let age = view.age(since);
    let at_work = events
        .iter()
        .find(|e| e.reason().contains("LoadBalancer") || e.reason().contains("Reconcil"));
    let describe = command("kubectl describe service {} -n {}", &[&name, &namespace]);
    let finding = |cause: cause::LoadBalancerPending, summary: String| {
        Finding::error(cause, subject(service), summary).evidence(
            format!("service/{name}"),
            format!("type LoadBalancer, no address in its status after {} s", age.as_secs()),
        )
    };
    if let Some(failure) = failure {
        let message = shorten(failure.message(), 200);
        return Some(
            finding(
                cause::LoadBalancerPending::ProviderError,
                format!("Service {name} gets no load balancer address: the provider failed"),
            )
            .evidence(format!("service/{name} event {}", failure.reason()), message)
            .fix_command("correct what the provider reports", describe),
        );
    }
    if let Some(work) = at_work {
        return Some(
            finding(
                cause::LoadBalancerPending::Waiting,
                format!(
                    "Service {name} has waited {} s for a load balancer address, and no error is reported",
                    age.as_secs()
                ),
            )
            .settling(view.settles(since, PROVISIONING))
            .confidence(Confidence::Likely)
            .evidence(format!("service/{name} event {}", work.reason()), shorten(work.message(), 200))
            .fix_command("look at the log of the cloud controller or at the provider's console", describe),
        );
    }
    let settles = view.settles(since, SILENCE);
    let sees_events = !view.snapshot.local || !view.snapshot.objects.events.is_empty();
    if settles.is_pending() || !sees_events {
        let reported = match sees_events {
            true => "no controller has reported on it yet",
            false => "the files have no events that say why",
        };
        let waits = format!("Service {name} waits for a load balancer address, and {reported}");
        return Some(
            finding(cause::LoadBalancerPending::Waiting, waits)
                .settling(settles)
                .confidence(Confidence::Likely)
                .fix_command("see which controller sets up load balancers in this cluster", describe),
        );
    }
    if let Some(class) = &spec.load_balancer_class {
        return Some(
            finding(
                cause::LoadBalancerPending::ClassUnknown,
                format!("Service {name} gets no load balancer address: no controller serves loadBalancerClass {class}"),
            )
            .confidence(Confidence::Likely)
            .evidence(
                format!("service/{name}"),
                format!("spec.loadBalancerClass is {class}, and no controller has reported on the Service"),
            )
            .fix_command(
                "install the controller of that class, or recreate the Service without a class or with one that is served (it cannot be changed)",
                describe,
            ),
        );
    }
    Some(
        finding(
            cause::LoadBalancerPending::NoController,
            format!("Service {name} gets no load balancer address: no controller in this cluster handles it"),
        )
        .confidence(Confidence::Likely)
        .evidence(format!("service/{name}"), "no event of any load balancer controller")
        .fix_command(
            "install a load balancer controller (a cloud controller manager, MetalLB, …), or use type NodePort or an Ingress",
            describe,
        ),
    )
}
