//! Connections hop by hop, as snapshots show them.

mod destination;

use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::snapshot::{Coverage, Snapshot};
use crate::model::trace::{HopAnswer, Stage, Trace};
use crate::testing::snapshot;
use crate::trace::question::AskedPort;
use crate::trace::{Ask, Target, Unanswerable, needs, trace};
use crate::view::{Need, Options};

/// A shop with a web, a database behind a Service, and the cluster's DNS; then what a test adds.
fn shop(more: &str) -> Snapshot {
    snapshot(&format!(
        "
{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{team: a, kubernetes.io/metadata.name: shop}}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec: {{selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: i}}]}}}}}}
---
{{apiVersion: apps/v1, kind: ReplicaSet, metadata: {{name: web-1, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}}]}},
  spec: {{selector: {{matchLabels: {{app: web}}}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-1-x, labels: {{app: web, pod-template-hash: '1'}}, ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u, controller: true}}]}}
spec: {{nodeName: n1, containers: [{{name: web, image: i}}]}}
status: {{phase: Running, podIP: 10.244.0.7, hostIP: 192.0.2.1, conditions: [{{type: Ready, status: 'True'}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: db-0, labels: {{app: db}}}}
spec: {{nodeName: n2, containers: [{{name: db, image: i, ports: [{{name: sql, containerPort: 5433}}]}}]}}
status: {{phase: Running, podIP: 10.244.0.9, conditions: [{{type: Ready, status: 'True'}}]}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: db}}, spec: {{clusterIP: 10.96.3.4, selector: {{app: db}}, ports: [{{name: sql, port: 5432, targetPort: sql}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: kube-dns, namespace: kube-system}},
  spec: {{clusterIP: 10.96.0.10, selector: {{k8s-app: kube-dns}}, ports: [{{name: dns, port: 53, protocol: UDP, targetPort: 53}}]}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: coredns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec: {{containers: [{{name: coredns, image: i}}]}}
status: {{phase: Running, podIP: 10.244.0.2, conditions: [{{type: Ready, status: 'True'}}]}}
---
{more}
"
    ))
}

fn policy(name: &str, spec: &str) -> String {
    format!("---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}}}, spec: {spec}}}\n")
}

fn ask(to: Target, port: Option<AskedPort>) -> Ask {
    Ask {
        from: ObjectRef::new(&kind::DEPLOYMENT, "shop", "web"),
        to,
        port,
        protocol: None,
        searched: true,
    }
}

/// The web calls port 5432 of Service db.
fn service_ask() -> Ask {
    ask(
        Target::Object(ObjectRef::new(&kind::SERVICE, "shop", "db")),
        Some(AskedPort::Number(5432)),
    )
}

fn traced(snapshot: &Snapshot, ask: &Ask) -> Trace {
    trace(snapshot, ask, &Options::default()).unwrap()
}

/// `blocked: dns allowed, service open, egress blocked, ingress open; NetworkPolicyBlocks egress`
fn told(snapshot: &Snapshot, ask: &Ask) -> String {
    let trace = traced(snapshot, ask);
    let hops: Vec<String> = trace
        .hops
        .iter()
        // Manifests have no status: whether a process listens is not known.
        .filter(|h| (h.stage, h.answer) != (Stage::Listener, HopAnswer::Unknown))
        .map(|h| format!("{} {}", h.stage.as_str(), format!("{:?}", h.answer).to_lowercase()))
        .collect();
    let causes: Vec<String> = trace
        .root_causes
        .iter()
        .map(|f| format!("{} {}", f.code.as_str(), f.cause).trim().to_owned())
        .collect();
    let passage = format!("{:?}", trace.passage).to_lowercase();
    format!("{passage}: {}; {}", hops.join(", "), causes.join(", "))
}

#[test]
fn the_first_hop_that_is_closed_is_named_first() {
    let out = |rules: &str| {
        policy(
            "out",
            &format!("{{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], egress: [{rules}]}}"),
        )
    };
    let names = "{ports: [{port: 53, protocol: UDP}]}";
    let to_db = "{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: sql}]}";
    for (more, expected) in [
        (String::new(), "allowed: dns open, service open, egress open, ingress open; "),
        (
            out(""),
            "blocked: dns blocked, service open, egress blocked, ingress open; NetworkPolicyBlocks dns, NetworkPolicyBlocks egress",
        ),
        (
            out(names),
            "blocked: dns allowed, service open, egress blocked, ingress open; NetworkPolicyBlocks egress",
        ),
        (
            out(to_db),
            "blocked: dns blocked, service open, egress allowed, ingress open; NetworkPolicyBlocks dns",
        ),
        (
            out(&format!("{names}, {to_db}")),
            "allowed: dns allowed, service open, egress allowed, ingress open; ",
        ),
        // A rule with the Service's port is about no port of the pod.
        (
            policy("in", "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}]}]}"),
            "blocked: dns open, service open, egress open, ingress blocked; NetworkPolicyBlocks ingress",
        ),
        (
            policy("in", "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5433}]}]}"),
            "allowed: dns open, service open, egress open, ingress allowed; ",
        ),
    ] {
        assert_eq!(told(&shop(&more), &service_ask()), expected, "{more}");
    }
}

#[test]
fn the_answer_names_the_allowing_rule_and_the_missing_one() {
    let more = policy("closed", "{podSelector: {}}")
        + &policy(
            "in",
            "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}]}, {from: [{podSelector: {matchLabels: {app: web}}}]}]}",
        );
    let trace = traced(&shop(&more), &service_ask());
    let hop = trace.hops.iter().rfind(|h| h.stage == Stage::Ingress).unwrap();
    assert_eq!(hop.policies.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["closed", "in"]);
    let by = hop.allowed_by.as_ref().unwrap();
    assert_eq!((by.policy.name.as_str(), by.rule), ("in", 1));
    assert_eq!(by.text, "{from: [{podSelector: {matchLabels: {app: web}}}]}");

    let more = policy(
        "in",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: job}}}]}, \
         {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}",
    );
    let trace = traced(&shop(&more), &service_ask());
    let finding = &trace.root_causes[0];
    let evidence: Vec<&str> = finding.evidence.iter().map(|e| e.detail.as_str()).collect();
    assert!(
        evidence.contains(&"allows this port, but only for [{podSelector: {matchLabels: {app: job}}}]"),
        "{evidence:?}"
    );
    assert!(evidence.contains(&"allows this source, but only on [{port: 5432}]"), "{evidence:?}");
    assert_eq!(
        finding.fixes[0].text,
        "add a rule to NetworkPolicy in: ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5433}]}]"
    );
}

#[test]
fn the_service_is_a_hop_of_its_own() {
    let to = |name: &str, port| ask(Target::Object(ObjectRef::new(&kind::SERVICE, "shop", name)), port);
    let number = |n| Some(AskedPort::Number(n));
    let service = |spec: &str| format!("---\n{{apiVersion: v1, kind: Service, metadata: {{name: other}}, spec: {spec}}}\n");
    let unready = "---
apiVersion: v1
kind: Pod
metadata: {name: cold, labels: {app: cold}}
spec: {containers: [{name: cold, image: i}]}
status: {phase: Running, podIP: 10.244.0.10, conditions: [{type: Ready, status: 'False'}]}
";
    for (more, port, expected) in [
        (
            service("{clusterIP: 10.96.3.5, selector: {app: db}, ports: [{port: 80, targetPort: 5433}]}"),
            number(5433),
            "blocked: dns open, service blocked; ServicePortMismatch",
        ),
        (
            service("{clusterIP: 10.96.3.5, selector: {app: db}, ports: [{port: 80, targetPort: http}]}"),
            number(80),
            "blocked: dns open, service blocked; TargetPortNameUnresolved",
        ),
        (
            service("{clusterIP: 10.96.3.5, selector: {app: bd}, ports: [{port: 80}]}"),
            number(80),
            "blocked: dns open, service blocked; ServiceSelectsNothing no-workload",
        ),
        (
            service("{clusterIP: 10.96.3.5, selector: {app: cold}, ports: [{port: 80}]}") + unready,
            number(80),
            "blocked: dns open, service blocked, egress open, ingress open; ServiceHasNoReadyEndpoints",
        ),
        (
            service("{clusterIP: 10.96.3.5, selector: {app: cold}, publishNotReadyAddresses: true, ports: [{port: 80}]}") + unready,
            number(80),
            "allowed: dns open, service open, egress open, ingress open; ",
        ),
        // Two ports of one number: each protocol for itself.
        (
            service("{clusterIP: 10.96.3.5, selector: {app: db}, ports: [{name: a, port: 80, protocol: UDP}, {name: b, port: 80}]}"),
            number(80),
            "allowed: dns open, service open, egress open, ingress open; ",
        ),
        // Names of a headless Service lead to any port of its pods.
        (
            service("{clusterIP: None, selector: {app: db}, ports: [{port: 80}]}"),
            number(5433),
            "allowed: dns open, service open, egress open, ingress open; ",
        ),
        (
            service("{clusterIP: 10.96.3.5, internalTrafficPolicy: Local, selector: {app: db}, ports: [{port: 80, targetPort: 5433}]}"),
            number(80),
            "blocked: dns open, service blocked; LocalTrafficPolicyWithoutEndpoint",
        ),
        (
            service("{type: ExternalName, externalName: db.example.com}"),
            number(5432),
            "unknown: dns open, service open, egress open, ingress unknown; ",
        ),
        // The only port need not be named.
        (
            service("{clusterIP: 10.96.3.5, selector: {app: db}, ports: [{port: 80, targetPort: sql}]}"),
            None,
            "allowed: dns open, service open, egress open, ingress open; ",
        ),
    ] {
        assert_eq!(told(&shop(&more), &to("other", port)), expected, "{more}");
    }
    let two = service("{clusterIP: 10.96.3.5, selector: {app: db}, ports: [{name: a, port: 80}, {name: b, port: 81}]}");
    assert!(matches!(
        trace(&shop(&two), &to("other", None), &Options::default()),
        Err(Unanswerable::Usage(_))
    ));
    for (port, says) in [
        (
            Some(AskedPort::Name("c".into())),
            "has no port named c; its ports are 80 (a), 81 (b)",
        ),
        (None, "which port of Service other? it has 80 (a), 81 (b)"),
    ] {
        let said = trace(&shop(&two), &to("other", port), &Options::default()).unwrap_err();
        assert!(matches!(&said, Unanswerable::Usage(words) if words.ends_with(says)), "{said:?}");
    }
}

#[test]
fn a_service_without_a_selector_leads_to_the_addresses_of_its_slices() {
    let more = "---
{apiVersion: v1, kind: Service, metadata: {name: legacy}, spec: {clusterIP: 10.96.3.6, ports: [{name: sql, port: 5432}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: legacy-1, labels: {kubernetes.io/service-name: legacy}}
addressType: IPv4
ports: [{name: sql, port: 5555}]
endpoints: [{addresses: [192.0.2.50]}]
"
    .to_owned();
    let asked = ask(
        Target::Object(ObjectRef::new(&kind::SERVICE, "shop", "legacy")),
        Some(AskedPort::Number(5432)),
    );
    let out = |rule: &str| {
        policy(
            "out",
            &format!("{{podSelector: {{}}, policyTypes: [Egress], egress: [{{ports: [{{port: 53, protocol: UDP}}]}}, {rule}]}}"),
        )
    };
    for (rule, expected) in [
        ("{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 5555}]}", "allowed"),
        ("{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 5432}]}", "blocked"),
        ("{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.48/28]}}]}", "blocked"),
        ("{to: [{namespaceSelector: {}}]}", "blocked"),
    ] {
        let trace = traced(&shop(&(more.clone() + &out(rule))), &asked);
        let egress = trace.hops.iter().find(|h| h.stage.as_str() == "egress").unwrap();
        assert_eq!(format!("{:?}", egress.answer).to_lowercase(), expected, "{rule}");
        assert_eq!(egress.port, Some(5555));
    }
}

#[test]
fn addresses_are_classified() {
    let to = |ip: &str, searched| Ask {
        searched,
        ..ask(Target::Address(ip.parse().unwrap()), Some(AskedPort::Number(5432)))
    };
    let closed_in = policy("in", "{podSelector: {matchLabels: {app: db}}}");
    // A Service by its address: no name is asked for, and what counts is the pod behind it.
    assert_eq!(
        told(&shop(&closed_in), &to("10.96.3.4", true)),
        "blocked: service open, egress open, ingress blocked; NetworkPolicyBlocks ingress"
    );
    assert_eq!(
        told(&shop(&closed_in), &to("10.244.0.9", true)),
        "blocked: egress open, ingress blocked; NetworkPolicyBlocks ingress"
    );
    assert_eq!(
        told(&shop(&closed_in), &to("192.0.2.50", true)),
        "allowed: egress open, ingress open; "
    );
    // Where not every namespace could be searched it may be a pod's.
    assert_eq!(
        told(&shop(&closed_in), &to("192.0.2.50", false)),
        "unknown: egress open, ingress unknown; "
    );
    let out = policy(
        "out",
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}",
    );
    assert_eq!(
        told(&shop(&out), &to("192.0.2.50", true)),
        "blocked: egress blocked, ingress open; NetworkPolicyBlocks egress"
    );
    assert_eq!(
        told(&shop(&out), &to("192.0.2.50", false)),
        "unknown: egress unknown, ingress unknown; "
    );
    assert!(
        traced(&shop(&out), &to("192.0.2.50", true)).root_causes[0].fixes[0]
            .text
            .contains("192.0.2.50/32")
    );
}

#[test]
fn pods_on_the_nodes_network_and_calls_of_oneself() {
    let closed = policy("closed", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let on_host = |node: &str, policy: &str| {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: agent, labels: {{app: agent}}}}
spec: {{nodeName: {node}, hostNetwork: true, {policy} containers: [{{name: a, image: i}}]}}
status: {{phase: Running, podIP: 192.0.2.1, hostIP: 192.0.2.1, conditions: [{{type: Ready, status: 'True'}}]}}
"
        )
    };
    let pod = |name: &str| ObjectRef::new(&kind::POD, "shop", name);
    let from = |name: &str, to: &str| Ask {
        from: pod(name),
        ..ask(Target::Object(pod(to)), Some(AskedPort::Number(5433)))
    };
    for (node, from, expected) in [
        ("n2", from("agent", "db-0"), "allowed: egress open, ingress open; "),
        (
            "n1",
            from("agent", "db-0"),
            "blocked: egress open, ingress blocked; NetworkPolicyBlocks ingress",
        ),
        (
            "n1",
            from("db-0", "agent"),
            "blocked: egress blocked, ingress open; NetworkPolicyBlocks egress",
        ),
        ("n1", from("db-0", "db-0"), "allowed: egress open, ingress open; "),
    ] {
        assert_eq!(
            told(&shop(&(closed.clone() + &on_host(node, ""))), &from),
            expected,
            "{node} {from:?}"
        );
    }
    // Its rule names the node: labels say nothing there.
    let trace = traced(&shop(&(closed.clone() + &on_host("n1", ""))), &from("agent", "db-0"));
    assert!(trace.root_causes[0].fixes[0].text.contains("192.0.2.1/32"));
    let asked = Ask {
        from: pod("agent"),
        ..service_ask()
    };
    assert_eq!(
        told(&shop(&on_host("n1", "")), &asked),
        "blocked: dns blocked, service open, egress open, ingress open; DependencyUnreachable"
    );
    assert_eq!(
        told(&shop(&on_host("n1", "dnsPolicy: ClusterFirstWithHostNet,")), &asked),
        "allowed: dns open, service open, egress open, ingress open; "
    );
}

#[test]
fn pods_that_differ_are_listed_apart() {
    let second = "---
apiVersion: v1
kind: Pod
metadata: {name: db-1, labels: {app: db, tier: new}}
spec: {nodeName: n2, containers: [{name: db, image: i, ports: [{name: sql, containerPort: 5433}]}]}
status: {phase: Running, podIP: 10.244.0.11, conditions: [{type: Ready, status: 'True'}]}
";
    let more = second.to_owned() + &policy("new", "{podSelector: {matchLabels: {tier: new}}}");
    assert_eq!(
        told(&shop(&more), &service_ask()),
        "partly: dns open, service open, egress open, ingress open, ingress blocked; NetworkPolicyBlocks ingress"
    );
    let trace = traced(&shop(&more), &service_ask());
    let egress = trace.hops.iter().find(|h| h.stage.as_str() == "egress").unwrap();
    assert_eq!(egress.pairs, 2);
}

#[test]
fn forbidden_reads_give_no_answer() {
    let blind = |kinds: &[(&kind::Kind, Option<&str>)], more: &str| {
        let mut snapshot = shop(more);
        for (of, namespace) in kinds {
            snapshot.cover(of, None, Coverage::Unreadable);
            snapshot.cover(of, *namespace, Coverage::Unreadable);
        }
        snapshot
    };
    let policies = (&kind::NETWORK_POLICY, Some("shop"));
    assert_eq!(
        told(&blind(&[policies], ""), &service_ask()),
        "unknown: dns unknown, service open, egress unknown, ingress unknown; "
    );
    // A rule that was read allows it, whatever other policies there are.
    let rules = policy(
        "all",
        "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}",
    );
    assert_eq!(
        told(&blind(&[policies], &rules), &service_ask()),
        "allowed: dns allowed, service open, egress allowed, ingress allowed; "
    );
    let closed = policy("closed", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
    assert_eq!(
        told(&blind(&[policies], &closed), &service_ask()),
        "unknown: dns unknown, service open, egress unknown, ingress unknown; "
    );
    // The labels of a namespace are asked for where a rule selects by them.
    let by_team = "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}";
    let mut unread = shop(&policy("team", by_team));
    unread.objects.namespaces.clear();
    unread.cover(&kind::NAMESPACE, None, Coverage::Unreadable);
    assert_eq!(
        told(&unread, &service_ask()),
        "unknown: dns open, service open, egress open, ingress unknown; "
    );
    let namespace = ObjectRef::new(&kind::NAMESPACE, "", "shop");
    assert!(needs(&unread, &service_ask(), &Options::default()).contains(&Need::Object(namespace)));
    assert_eq!(
        told(&shop(&policy("team", by_team)), &service_ask()),
        "allowed: dns open, service open, egress open, ingress allowed; "
    );
}

#[test]
fn a_workload_without_pods_is_judged_by_its_template() {
    let more = "---
apiVersion: apps/v1
kind: Deployment
metadata: {name: batch}
spec: {replicas: 0, selector: {matchLabels: {app: batch}}, template: {metadata: {labels: {app: batch}}, spec: {containers: [{name: c, image: i}]}}}
"
    .to_owned()
        + &policy("in", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}");
    let asked = Ask {
        from: ObjectRef::new(&kind::DEPLOYMENT, "shop", "batch"),
        ..service_ask()
    };
    assert_eq!(
        told(&shop(&more), &asked),
        "blocked: dns open, service open, egress open, ingress blocked; NetworkPolicyBlocks ingress"
    );
}

#[test]
fn of_two_families_the_one_of_the_connection_counts() {
    let two = "---
apiVersion: v1
kind: Pod
metadata: {name: both, labels: {app: both}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.244.0.20, podIPs: [{ip: 10.244.0.20}, {ip: 'fd00::20'}], conditions: [{type: Ready, status: 'True'}]}
";
    let out = policy(
        "out",
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 'fd00::/64'}}]}]}",
    );
    let snapshot = shop(&(two.to_owned() + &out));
    for (ip, expected) in [
        ("fd00::20", "allowed: egress allowed, ingress open; "),
        ("10.244.0.20", "blocked: egress blocked, ingress open; NetworkPolicyBlocks egress"),
    ] {
        let asked = ask(Target::Address(ip.parse().unwrap()), Some(AskedPort::Number(80)));
        assert_eq!(told(&snapshot, &asked), expected, "{ip}");
    }
}

#[test]
fn a_name_in_no_namespace_is_taken_for_a_host_outside_and_the_near_one_named() {
    let reasons = |name: &str| -> Vec<String> {
        let asked = ask(Target::Name(name.to_owned()), Some(AskedPort::Number(80)));
        let trace = traced(&shop(""), &asked);
        let hops = trace.hops.iter().filter(|h| h.stage == Stage::Service);
        hops.map(|h| h.reason.clone()).collect()
    };
    assert_eq!(
        reasons("db.shpo"),
        ["no namespace is called shpo (there is shop), so it is treated as a host outside the cluster"]
    );
    assert_eq!(
        reasons("example.com"),
        ["no namespace is called com, so it is treated as a host outside the cluster"]
    );
    assert!(reasons("db.shop").is_empty());
    assert!(reasons("api.example.com").is_empty());
}
