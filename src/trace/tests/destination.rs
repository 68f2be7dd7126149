//! The other end: Services without pods, headless ones, other names, and ports that are known to refuse.

use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::snapshot::Snapshot;
use crate::model::trace::{HopAnswer, Listening, Passage, Stage, Trace};
use crate::testing::noon;
use crate::trace::question::AskedPort;
use crate::trace::tests::{ask, policy, service_ask, shop, told, traced};
use crate::trace::{Ask, Target, needs};
use crate::view::{Need, Options};

fn to(name: &str, port: u16) -> Ask {
    ask(
        Target::Object(ObjectRef::new(&kind::SERVICE, "shop", name)),
        Some(AskedPort::Number(port)),
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}\n")
}

/// A pod of one container that has run for an hour.
fn runs(name: &str, ready: &str, ports: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec: {{nodeName: n2, containers: [{{name: c, image: i, ports: [{ports}]}}]}}
status:
  phase: Running
  podIP: 10.244.0.30
  conditions: [{{type: Ready, status: '{ready}'}}]
  containerStatuses: [{{name: c, image: i, imageID: '', ready: {}, started: true, restartCount: 0, state: {{running: {{startedAt: '2026-01-01T11:00:00Z'}}}}}}]
",
        ready.to_lowercase()
    )
}

fn dialled(snapshot: &mut Snapshot, pod: &str, port: u16, reply: Reply) {
    snapshot.put_dial(Dial {
        key: DialKey {
            namespace: "shop".into(),
            pod: pod.into(),
            port,
            speech: Speech::Http,
            path: "/".into(),
            again: false,
        },
        at: noon(),
        address: reply.clone(),
        inside: reply,
    });
}

fn of(snapshot: &Snapshot, ask: &Ask) -> Trace {
    traced(snapshot, ask)
}

#[test]
fn an_unready_destination_does_not_hide_the_policy_that_would_stop_it_too() {
    let more = service("cold", "{clusterIP: 10.96.3.5, selector: {app: cold}, ports: [{port: 80}]}")
        + &runs("cold", "False", "")
        + &policy("in", "{podSelector: {matchLabels: {app: cold}}}")
        + &policy("out", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}");
    assert_eq!(
        told(&shop(&more), &to("cold", 80)),
        "blocked: dns blocked, service blocked, egress blocked, ingress blocked; \
         ServiceHasNoReadyEndpoints, NetworkPolicyBlocks dns, NetworkPolicyBlocks egress, NetworkPolicyBlocks ingress"
    );
    // A workload that has no pods yet is judged by what it will make.
    let none = service("batch", "{clusterIP: 10.96.3.5, selector: {app: batch}, ports: [{port: 80}]}")
        + "---
apiVersion: apps/v1
kind: Deployment
metadata: {name: batch}
spec: {replicas: 0, selector: {matchLabels: {app: batch}}, template: {metadata: {labels: {app: batch}}, spec: {containers: [{name: c, image: i}]}}}
"
        + &policy("in", "{podSelector: {matchLabels: {app: batch}}}");
    assert_eq!(
        told(&shop(&none), &to("batch", 80)),
        "blocked: dns open, service blocked, egress open, ingress blocked; ScaledToZero, NetworkPolicyBlocks ingress"
    );
}

#[test]
fn a_service_that_selects_nothing_is_reported_from_its_first_second() {
    let young = "---\n{apiVersion: v1, kind: Service, metadata: {name: young, creationTimestamp: '2026-01-01T11:59:59Z'}, \
                 spec: {clusterIP: 10.96.3.5, selector: {app: nobody}, ports: [{port: 80}]}}\n";
    assert_eq!(
        told(&shop(young), &to("young", 80)),
        "blocked: dns open, service blocked; ServiceSelectsNothing no-workload"
    );
    let near = young.replace("nobody", "dbb");
    assert_eq!(
        told(&shop(&near), &to("young", 80)),
        "blocked: dns open, service blocked; ServiceSelectsNothing label-differs"
    );
    let bare = young.replace("selector: {app: nobody}, ", "");
    assert_eq!(
        told(&shop(&bare), &to("young", 80)),
        "blocked: dns open, service blocked; ServiceSelectsNothing no-selector"
    );
}

#[test]
fn a_headless_service_translates_no_port() {
    let pods = runs("set", "True", "{name: web, containerPort: 8080}");
    let headless = |port: &str| service("set", &format!("{{clusterIP: None, selector: {{app: set}}, ports: [{port}]}}")) + &pods;
    let open = "allowed: dns open, service open, egress open, ingress open; ";
    let wrong = "blocked: dns open, service blocked; ServicePortMismatch";
    for (port, called, expected) in [
        ("{port: 80, targetPort: 8080}", 80, wrong),
        ("{port: 80, targetPort: web}", 80, wrong),
        ("{port: 80, targetPort: 8080}", 8080, open),
        ("{port: 8080}", 8080, open),
        // What the pods declare is what they listen on, whatever the Service lists.
        ("{port: 8080, targetPort: 9090}", 8080, open),
    ] {
        assert_eq!(told(&shop(&headless(port)), &to("set", called)), expected, "{port} {called}");
    }
    let trace = of(&shop(&headless("{port: 80, targetPort: web}")), &to("set", 80));
    let cause = &trace.root_causes[0];
    assert!(cause.summary.contains("whose port is 8080"), "{}", cause.summary);
    assert!(cause.fixes[0].text.starts_with("call port 8080,"), "{}", cause.fixes[0].text);
    assert_eq!(cause.subject.object.short(), "deployment/web");

    // Who answers on both is called rightly; who was seen to refuse is not.
    let mut snapshot = shop(&headless("{port: 80, targetPort: 8080}"));
    dialled(&mut snapshot, "set", 80, Reply::Status(200));
    assert!(
        told(&snapshot, &to("set", 80)).starts_with("allowed: "),
        "{}",
        told(&snapshot, &to("set", 80))
    );
    // A client that asks for the port by name looks up its number, too.
    let by_name = ask(
        Target::Object(ObjectRef::new(&kind::SERVICE, "shop", "set")),
        Some(AskedPort::Name("w".into())),
    );
    let named = headless("{name: w, port: 80, targetPort: 8080}");
    assert_eq!(told(&shop(&named), &by_name), open);
}

#[test]
fn another_name_is_followed_to_its_end() {
    let alias = |name: &str, host: &str| service(name, &format!("{{type: ExternalName, externalName: {host}}}"));
    let closed = policy("in", "{podSelector: {matchLabels: {app: db}}}");
    for (more, expected) in [
        (
            alias("a", "db.shop.svc.cluster.local"),
            "allowed: dns open, service open, service open, egress open, ingress open; ",
        ),
        (
            alias("a", "b.shop.svc.cluster.local.") + &alias("b", "db.shop.svc"),
            "allowed: dns open, service open, service open, service open, egress open, ingress open; ",
        ),
        (
            alias("a", "db.shop.svc.cluster.local") + &closed,
            "blocked: dns open, service open, service open, egress open, ingress blocked; NetworkPolicyBlocks ingress",
        ),
        (
            alias("a", "dd.shop.svc.cluster.local"),
            "blocked: dns open, service blocked; ServiceMissing",
        ),
        (
            alias("a", "b.shop.svc.cluster.local") + &alias("b", "a.shop.svc.cluster.local"),
            "blocked: dns open, service open, service blocked; DependencyUnreachable",
        ),
        (
            alias("a", "a.shop.svc.cluster.local"),
            "blocked: dns open, service blocked; DependencyUnreachable",
        ),
        (
            alias("a", "db.example.com"),
            "unknown: dns open, service open, egress open, ingress unknown; ",
        ),
    ] {
        assert_eq!(told(&shop(&more), &to("a", 5432)), expected, "{more}");
    }
    let wrong = alias("a", "db.shop.svc.cluster.local");
    assert_eq!(
        told(&shop(&wrong), &to("a", 80)),
        "blocked: dns open, service open, service blocked; ServicePortMismatch"
    );
}

#[test]
fn a_refused_port_is_the_cause_and_an_undialled_one_is_not_called_open() {
    let more = service("cold", "{clusterIP: 10.96.3.5, selector: {app: cold}, ports: [{port: 80}]}") + &runs("cold", "True", "");
    let listening = |reply: Option<Reply>, ready: &str| {
        let more = more.replace("status: 'True'", &format!("status: '{ready}'"));
        let mut snapshot = shop(&more);
        if let Some(reply) = reply {
            dialled(&mut snapshot, "cold", 80, reply);
        }
        let trace = of(&snapshot, &to("cold", 80));
        let hop = trace.hops.iter().find(|h| h.stage == Stage::Listener).unwrap();
        (told(&snapshot, &to("cold", 80)), trace.listening, hop.answer)
    };
    let open = "allowed: dns open, service open, egress open, ingress open";
    let (told_, listening_, answer) = listening(None, "True");
    assert_eq!(
        (told_, listening_, answer),
        (format!("{open}; "), Listening::Undialled, HopAnswer::Unknown)
    );
    let (told_, listening_, answer) = listening(Some(Reply::Status(404)), "True");
    assert_eq!(
        (told_, listening_, answer),
        (format!("{open}, listener open; "), Listening::Answers, HopAnswer::Open)
    );
    let (told_, listening_, answer) = listening(Some(Reply::Refused), "True");
    assert_eq!(
        (told_, listening_, answer),
        (
            format!("{}, listener blocked; NothingListening", open.replace("allowed", "blocked")),
            Listening::Refuses,
            HopAnswer::Blocked
        )
    );
    let (told_, listening_, _) = listening(Some(Reply::Status(500)), "True");
    assert_eq!(
        (told_, listening_),
        (format!("{open}, listener open; ApplicationError"), Listening::Failing)
    );
    // Nobody is ready because nobody listens: the one cause, and what follows from it.
    let (told_, ..) = listening(Some(Reply::Refused), "False");
    assert_eq!(
        told_,
        "blocked: dns open, service blocked, egress open, ingress open, listener blocked; NothingListening"
    );
}

#[test]
fn the_port_is_dialled_where_that_is_allowed() {
    let more = service("cold", "{clusterIP: 10.96.3.5, selector: {app: cold}, ports: [{port: 80}]}") + &runs("cold", "True", "");
    let dials = |dial: bool| {
        let options = Options {
            dial,
            ..Options::default()
        };
        let needs = needs(&shop(&more), &to("cold", 80), &options);
        needs
            .iter()
            .filter(|need| matches!(need, Need::Dial(key) if key.port == 80))
            .count()
    };
    assert_eq!((dials(true), dials(false)), (1, 0));
}

#[test]
fn one_command_adds_all_that_a_policy_lacks() {
    let some = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}";
    let trace = of(&shop(&policy("out", some)), &service_ask());
    let commands: Vec<&str> = trace.root_causes.iter().filter_map(|f| f.fixes[0].command.as_deref()).collect();
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[0], commands[1]);
    assert!(
        commands[0].contains("\"port\":53") && commands[0].contains("\"port\":5433"),
        "{}",
        commands[0]
    );
    assert_eq!(commands[0].matches("\"op\":\"add\"").count(), 1, "{}", commands[0]);
}

#[test]
fn the_protocol_is_part_of_the_port() {
    let mut asked = service_ask();
    asked.protocol = Some("UDP".into());
    let trace = of(&shop(""), &asked);
    let cause = &trace.root_causes[0];
    assert_eq!(
        (cause.summary.as_str(), cause.fixes[0].text.as_str()),
        (
            "deployment/web calls Service db on port 5432 by UDP, but that Service offers it by TCP only",
            "call it by TCP, or add port 5432 with protocol UDP to Service db"
        )
    );
}

/// A workload whose pods do not run, and what stands for it in the answer.
#[test]
fn nothing_answers_where_nothing_runs() {
    let to = |kind: &kind::Kind, name: &str| ask(Target::Object(ObjectRef::new(kind, "shop", name)), Some(AskedPort::Number(8080)));
    let deployment = |name: &str, replicas: u8| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{replicas: {replicas}, selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}}}}}\n"
        )
    };
    let pod = |name: &str, status: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {name}}}}}, spec: {{containers: [{{name: c, image: i}}]}}, status: {status}}}\n"
        )
    };
    let crash = "{phase: Running, podIP: 10.244.0.30, containerStatuses: [{name: c, ready: false, restartCount: 9, image: i, imageID: '', state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error}}}]}";
    for (more, asked, cause) in [
        (deployment("cache", 0), to(&kind::DEPLOYMENT, "cache"), "ScaledToZero"),
        (pod("typo", crash), to(&kind::POD, "typo"), "ContainerCrashing"),
        (
            pod("wait", "{phase: Pending}"),
            to(&kind::POD, "wait"),
            "DependencyUnreachable stopped",
        ),
    ] {
        let trace = traced(&shop(&more), &asked);
        let causes: Vec<String> = trace
            .root_causes
            .iter()
            .map(|f| format!("{} {}", f.code.as_str(), f.cause).trim().to_owned())
            .collect();
        assert_eq!(trace.passage, Passage::Blocked, "{more}: {causes:?}");
        assert_eq!(trace.listening, Listening::Stopped, "{more}");
        assert!(causes.first().is_some_and(|c| c.starts_with(cause)), "{more}: {causes:?}");
    }
    let runs = pod(
        "runs",
        "{phase: Running, podIP: 10.244.0.31, containerStatuses: [{name: c, ready: true, restartCount: 0, image: i, imageID: '', state: {running: {}}}]}",
    );
    let trace = traced(&shop(&runs), &to(&kind::POD, "runs"));
    assert_eq!(trace.passage, Passage::Allowed);
}

/// The kubelet, the API server on a node, and pods on its network are reached from the pods of that node whatever policies say.
#[test]
fn a_pod_may_always_call_its_own_node() {
    let closed = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: out}, spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}}\n";
    let agent = |node: &str, ip: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: agent}}, spec: {{nodeName: {node}, hostNetwork: true, containers: [{{name: c, image: i}}]}}, status: {{phase: Running, podIP: {ip}, hostIP: {ip}, conditions: [{{type: Ready, status: 'True'}}]}}}}\n"
        )
    };
    let egress = |more: &str, to: Target| {
        let trace = traced(
            &shop(&format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: x}}}}\n{closed}{more}"
            )),
            &ask(to, Some(AskedPort::Number(10250))),
        );
        trace.hops.iter().find(|h| h.stage == Stage::Egress).unwrap().answer
    };
    let pod = || Target::Object(ObjectRef::new(&kind::POD, "shop", "agent"));
    assert_eq!(egress("", Target::Address("192.0.2.1".parse().unwrap())), HopAnswer::Open);
    assert_eq!(egress("", Target::Address("192.0.2.2".parse().unwrap())), HopAnswer::Blocked);
    assert_eq!(egress(&agent("n1", "192.0.2.1"), pod()), HopAnswer::Open);
    assert_eq!(egress(&agent("n2", "192.0.2.2"), pod()), HopAnswer::Blocked);
}
