//! Services as the API server shows them.

use crate::model::code::Code;
use crate::model::finding::{Effect, Finding, Severity};
use crate::model::kind;
use crate::model::snapshot::Coverage;
use crate::rules::service::check;
use crate::testing;
use crate::testing::{check_snapshot, snapshot};

const API: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api, tier: back}}
    spec: {containers: [{name: api, image: i, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, labels: {app: api, tier: back, pod-template-hash: a}, creationTimestamp: '2026-01-01T11:00:00Z',
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: api-a, uid: u, controller: true}]}
spec: {nodeName: n1, containers: [{name: api, image: i, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.244.0.9, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:00:05Z'}]}
";

fn service(spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: api, uid: s, creationTimestamp: '2026-01-01T11:00:00Z'}}\nspec: {spec}\n"
    )
}

/// The slice that the controller writes for the pod above.
const SLICE: &str = "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-x, labels: {kubernetes.io/service-name: api, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io},
  annotations: {endpoints.kubernetes.io/last-change-trigger-time: '2026-01-01T11:00:05Z'}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.9], conditions: {ready: true}, targetRef: {kind: Pod, name: api-1}}]
ports: [{port: 8080}]
";

fn found(yaml: &str) -> Vec<(Code, String, Severity)> {
    testing::check(check, yaml)
        .into_iter()
        .map(|f| (f.code, f.cause.to_string(), f.severity))
        .collect()
}

fn only(yaml: &str) -> Finding {
    let mut all = testing::check(check, yaml);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn services_of_ready_pods_are_silent() {
    for spec in [
        "{selector: {app: api}, ports: [{port: 80, targetPort: http}]}",
        "{selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}",
        "{selector: {app: api}, ports: [{port: 8080}]}",
        "{selector: {app: api}, clusterIP: None, ports: [{port: 1}, {port: 8080}]}",
        "{type: ExternalName, externalName: example.com}",
    ] {
        let errors: Vec<_> = found(&format!("{API}{SLICE}{}", service(spec)))
            .into_iter()
            .filter(|f| f.2 != Severity::Advice)
            .collect();
        assert!(errors.is_empty(), "{spec}: {errors:?}");
    }
}

#[test]
fn a_selector_is_compared_with_the_nearest_workload() {
    let other = API
        .replace("name: api", "name: web")
        .replace("app: api", "app: web")
        .replace("api-", "web-");
    let all = |selector: &str| {
        format!(
            "{API}---{other}{SLICE}{}",
            service(&format!("{{selector: {selector}, ports: [{{port: 80}}]}}"))
        )
    };
    for (selector, near) in [
        ("{app: apii}", "the pods of deployment/api have app=api"),
        ("{app: API}", "the pods of deployment/api have app=api"),
        ("{app: api, version: v2}", "the pods of deployment/api have no label version"),
        ("{name: api}", "the pods of deployment/api have app=api"),
    ] {
        let finding = only(&all(selector));
        assert_eq!(
            (finding.code, finding.cause.as_str()),
            (Code::ServiceSelectsNothing, "label-differs"),
            "{selector}"
        );
        assert!(finding.summary.contains(near), "{selector}: {}", finding.summary);
        assert!(finding.effects.contains(&Effect::Service("shop".into(), "api".into())));
        // Where only a value differs, one command mends it.
        let command = match near.contains("app=api") && selector.contains("app") {
            true => "kubectl set selector service api app=api -n shop",
            false => "kubectl edit service api -n shop",
        };
        assert_eq!(finding.fixes[0].command.as_deref(), Some(command), "{selector}");
    }
}

#[test]
fn a_label_that_pods_get_while_they_run_is_advice() {
    let pod = API.replace("pod-template-hash: a}", "pod-template-hash: a, role: standby}");
    let finding = only(&format!(
        "{pod}{SLICE}{}",
        service("{selector: {app: api, role: leader}, ports: [{port: 80}]}")
    ));
    assert_eq!(finding.severity, Severity::Advice);
}

#[test]
fn a_workload_scaled_to_zero_is_still_selected() {
    let zero = API
        .split("---\napiVersion: v1\nkind: Pod")
        .next()
        .unwrap()
        .replace("replicas: 1", "replicas: 0");
    let finding = only(&format!(
        "{zero}{}",
        service("{selector: {app: api}, ports: [{port: 80, targetPort: http}]}")
    ));
    assert_eq!(
        (finding.code, finding.severity),
        (Code::ServiceHasNoReadyEndpoints, Severity::Symptom)
    );
}

#[test]
fn nothing_is_missing_where_not_all_was_read() {
    let mut partial = snapshot(&service("{selector: {app: billing}, ports: [{port: 80}]}"));
    assert_eq!(check_snapshot(check, &partial)[0].cause.as_str(), "no-workload");
    partial.cover(&kind::DEPLOYMENT, None, Coverage::Partial);
    assert!(check_snapshot(check, &partial).is_empty());
}

#[test]
fn neither_selector_nor_endpoints() {
    assert_eq!(only(&service("{ports: [{port: 80}]}")).cause.as_str(), "no-selector");
    assert!(found(&format!("{}{SLICE}", service("{ports: [{port: 80}]}"))).is_empty());
    let api_server = service("{ports: [{port: 443}]}").replace("name: api,", "name: kubernetes, namespace: default,");
    assert!(found(&api_server).is_empty());
}

#[test]
fn ports_are_followed_into_the_pods() {
    let with = |ports: &str| format!("{API}{SLICE}{}", service(&format!("{{selector: {{app: api}}, ports: [{ports}]}}")));
    for (ports, expected) in [
        (
            "{port: 80, targetPort: htpp}",
            Some((Code::TargetPortNameUnresolved, Severity::Error)),
        ),
        (
            "{port: 80, targetPort: http, protocol: UDP}",
            Some((Code::ServiceProtocolMismatch, Severity::Error)),
        ),
        (
            "{port: 80, targetPort: 8080, protocol: UDP}",
            Some((Code::ServiceProtocolMismatch, Severity::Error)),
        ),
        ("{port: 80, targetPort: 9090}", Some((Code::TargetPortMismatch, Severity::Advice))),
        (
            "{name: a, port: 53, targetPort: 8080}, {name: b, port: 53, targetPort: 8080, protocol: UDP}",
            None,
        ),
    ] {
        let got = found(&with(ports)).into_iter().map(|(code, _, severity)| (code, severity)).next();
        assert_eq!(got, expected, "{ports}");
    }
}

#[test]
fn a_sidecar_may_own_the_named_port() {
    let sidecar = API.replace(
        "containers: [{name: api, image: i, ports: [{name: http, containerPort: 8080}]}]",
        "initContainers: [{name: proxy, image: i, restartPolicy: Always, ports: [{name: http, containerPort: 8080}]}], containers: [{name: api, image: i}]",
    );
    assert!(
        found(&format!(
            "{sidecar}{SLICE}{}",
            service("{selector: {app: api}, ports: [{port: 80, targetPort: http}]}")
        ))
        .is_empty()
    );
}

#[test]
fn no_ready_endpoint_is_a_symptom_of_its_workload() {
    let unready = API.replace("status: 'True'", "status: 'False'");
    let slice = SLICE.replace("ready: true", "ready: false");
    let finding = only(&format!(
        "{unready}{slice}{}",
        service("{selector: {app: api}, ports: [{port: 80, targetPort: http}]}")
    ));
    assert_eq!(
        (finding.code, finding.severity),
        (Code::ServiceHasNoReadyEndpoints, Severity::Error)
    );
    assert_eq!(finding.suffers.len(), 1);
    let young = unready.replace(
        "creationTimestamp: '2026-01-01T11:00:00Z',\n  owner",
        "creationTimestamp: '2026-01-01T11:59:00Z',\n  owner",
    );
    let finding = only(&format!(
        "{young}{slice}{}",
        service("{selector: {app: api}, ports: [{port: 80, targetPort: http}]}")
    ));
    assert_eq!(finding.severity, Severity::Symptom);
}

#[test]
fn endpoints_without_controller_are_stale() {
    let gone = SLICE.replace("name: api-1}", "name: api-0}").replace("10.244.0.9", "10.244.0.8");
    let finding = only(&format!(
        "{API}{gone}{}",
        service("{selector: {app: api}, ports: [{port: 80, targetPort: http}]}")
    ));
    assert_eq!(finding.code, Code::EndpointsStale);
}

#[test]
fn the_controller_need_not_have_noted_when_it_wrote_a_slice() {
    let noted = "annotations: {endpoints.kubernetes.io/last-change-trigger-time: '2026-01-01T11:00:05Z'}";
    let slice = |time: &str| {
        let fields = format!("managedFields: [{{manager: kube-controller-manager, operation: Update, time: '2026-01-01T{time}Z'}}]");
        let gone = SLICE.replace(
            "endpoints: [",
            "endpoints: [{addresses: [10.244.0.8], targetRef: {kind: Pod, name: api-0}}, ",
        );
        assert!(gone.contains(noted));
        let service = service("{selector: {app: api}, ports: [{port: 80, targetPort: http}]}");
        found(&format!("{API}{}{service}", gone.replace(noted, &fields)))
            .into_iter()
            .filter(|f| f.0 == Code::EndpointsStale)
            .count()
    };
    assert_eq!(slice("11:00:05"), 1);
    // The controller is given a while to write anew.
    assert_eq!(slice("11:59:50"), 0);
}

#[test]
fn a_load_balancer_gets_time_and_an_error_is_reported_at_once() {
    let lb = |extra: &str, created: &str| {
        let spec = format!("{{type: LoadBalancer, selector: {{app: api}}, ports: [{{port: 80, targetPort: http}}]{extra}}}");
        format!(
            "{API}{SLICE}{}",
            service(&spec).replace(
                "uid: s, creationTimestamp: '2026-01-01T11:00:00Z'",
                &format!("uid: s, creationTimestamp: '{created}'")
            )
        )
    };
    let event = |reason: &str, type_: &str, message: &str| {
        format!(
            "---\napiVersion: v1\nkind: Event\nmetadata: {{name: e}}\ninvolvedObject: {{kind: Service, name: api, namespace: shop, uid: s}}\nreason: {reason}\ntype: {type_}\nmessage: '{message}'\nlastTimestamp: '2026-01-01T11:59:50Z'\n"
        )
    };
    let (old, young) = ("2026-01-01T11:50:00Z", "2026-01-01T11:59:45Z");
    let failed = event(
        "SyncLoadBalancerFailed",
        "Warning",
        "Error syncing load balancer: failed to ensure load balancer: quota exceeded",
    );
    let ensuring = event("EnsuringLoadBalancer", "Normal", "Ensuring load balancer");
    for (yaml, cause) in [
        (lb("", young), None),
        (lb("", old), Some("no-controller")),
        (lb(", loadBalancerClass: example.com/x", old), Some("class-unknown")),
        (lb("", young) + &failed, Some("provider-error")),
        (lb("", young) + &ensuring, None),
        (lb("", old) + &ensuring, Some("waiting")),
    ] {
        let got = found(&yaml).into_iter().next().map(|(_, cause, _)| cause);
        assert_eq!(got.as_deref(), cause, "{yaml}");
    }
}

#[test]
fn an_external_name_without_target_is_reported_at_its_service() {
    let alias = |name: &str, of: &str| {
        format!("---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {{type: ExternalName, externalName: {of}}}}}\n")
    };
    for (yaml, expected) in [
        (
            alias("e-missing", "nosuch.shop.svc.cluster.local"),
            vec!["e-missing ServiceMissing Error"],
        ),
        (
            alias("b", "a.shop.svc.cluster.local") + &alias("a", "b.shop.svc"),
            vec!["a DependencyUnreachable Error", "b DependencyUnreachable Symptom"],
        ),
        (
            alias("b", "a.shop.svc.cluster.local") + &alias("a", "nosuch.shop.svc"),
            vec!["a ServiceMissing Error", "b DependencyUnreachable Symptom"],
        ),
        (alias("outside", "db.example.com"), vec![]),
        (
            alias("well", "db.shop.svc") + "---\n{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 80}]}}\n",
            vec![],
        ),
    ] {
        let snapshot = crate::testing::snapshot(&yaml);
        let view = crate::view::View::new(&snapshot, crate::view::Options::default());
        let services = snapshot.objects.services.iter();
        let mut found: Vec<String> = services
            .filter_map(|s| crate::rules::service::alias::check(&view, &mut crate::view::Needs::default(), s))
            .map(|f| format!("{} {} {:?}", f.subject.object.name, f.code.as_str(), f.severity))
            .collect();
        found.sort();
        assert_eq!(found, expected, "{yaml}");
    }
}

#[test]
fn a_hand_made_slice_is_compared_with_the_service() {
    let cause = |service: &str, slice: &str| {
        let yaml = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s, creationTimestamp: '2026-01-01T11:00:00Z'}}, spec: {{ipFamilies: [IPv4], ports: [{service}]}}}}\n\
             ---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s-1, creationTimestamp: '2026-01-01T11:00:00Z', \
             labels: {{kubernetes.io/service-name: s}}}}, {slice}}}\n"
        );
        let found = testing::check(check, &yaml);
        found.iter().map(|f| f.cause.to_string()).next().unwrap_or_default()
    };
    let of = |port: &str| format!("addressType: IPv4, ports: [{port}], endpoints: [{{addresses: [10.1.2.3]}}]");
    for (service, slice, expected) in [
        ("{port: 80}", of("{port: 8080}"), ""),
        ("{name: http, port: 80}", of("{name: http, port: 8080}"), ""),
        ("{port: 80}", of("{name: http, port: 8080}"), "slice-port"),
        ("{port: 80, protocol: UDP}", of("{port: 8080}"), "slice-port"),
        ("{port: 80}", "addressType: IPv4, ports: [], endpoints: []".to_owned(), ""),
        ("{port: 80}", of("{port: 8080}").replace("IPv4", "IPv6"), "slice-family"),
        (
            "{port: 80}",
            of("{port: 8080}").replace("[10.1.2.3]", "[10.1.2.3], conditions: {ready: false}"),
            "slice-unready",
        ),
    ] {
        assert_eq!(cause(service, &slice), expected, "{service} {slice}");
    }
}
