//! What follows from dials, sockets and words about one port.

use std::net::IpAddr;

use crate::model::code::Code;
use crate::model::code::Code::*;
use crate::model::dial::{Dial, DialKey, Reply, Speech};
use crate::model::finding::{Confidence, Effect, Finding, Severity};
use crate::model::snapshot::{LogKey, Snapshot};
use crate::model::sockets::{PodSockets, Socket};
use crate::rules::listen::check;
use crate::rules::listen::unsettled::behind_meshes;
use crate::testing::{check_snapshot, noon, run, snapshot};
use crate::view::{Need, Needs, Options, View};

const OLD: &str = "2026-01-01T06:00:00Z";
const YOUNG: &str = "2026-01-01T11:59:50Z";

/// A pod that runs and is ready, without a probe, behind a Service that sends port 80 to 8080.
fn pod(since: &str, container: &str, service: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: api-1, labels: {{app: api}}}}
spec: {{nodeName: n1, containers: [{{name: api, image: i{container}}}]}}
status: {{phase: Running, podIP: 10.244.0.9, conditions: [{{type: Ready, status: 'True'}}],
  containerStatuses: [{{name: api, image: i, imageID: '', ready: true, started: true, restartCount: 0, state: {{running: {{startedAt: '{since}'}}}}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: api}}
spec: {{selector: {{app: api}}, ports: [{{port: 80, targetPort: 8080{service}}}]}}
"
    )
}

fn key(port: u16, speech: Speech, again: bool) -> DialKey {
    DialKey {
        namespace: "shop".into(),
        pod: "api-1".into(),
        port,
        speech,
        path: if speech == Speech::Plain { String::new() } else { "/".into() },
        again,
    }
}

fn dialled(snapshot: &mut Snapshot, key: DialKey, address: Reply, inside: Reply) {
    snapshot.put_dial(Dial {
        key,
        at: noon(),
        address,
        inside,
    });
}

/// What is found where the first dial (and, where it is asked for, the second) of port 8080 had this outcome.
fn after(yaml: &str, address: Reply, inside: Reply) -> Vec<(Code, String, Confidence)> {
    let mut snapshot = snapshot(yaml);
    for again in [false, true] {
        dialled(&mut snapshot, key(8080, Speech::Http, again), address.clone(), inside.clone());
    }
    found(&snapshot)
}

fn found(snapshot: &Snapshot) -> Vec<(Code, String, Confidence)> {
    check_snapshot(check, snapshot)
        .into_iter()
        .map(|f| (f.code, f.cause.to_string(), f.confidence))
        .collect()
}

fn asked(snapshot: &Snapshot) -> Vec<Need> {
    let view = View::new(
        snapshot,
        Options {
            dial: true,
            sockets: false,
            ..Options::default()
        },
    );
    run(check, &view).needs.into_set().into_iter().collect()
}

fn said(snapshot: &mut Snapshot, line: &str) {
    snapshot.put_log(
        LogKey {
            namespace: "shop".into(),
            pod: "api-1".into(),
            container: "api".into(),
            previous: false,
        },
        Some(format!("{line}\n")),
    );
}

fn one(code: Code, cause: &str, confidence: Confidence) -> Vec<(Code, String, Confidence)> {
    vec![(code, cause.to_owned(), confidence)]
}

#[test]
fn a_port_that_is_dialled_from_inside_alone_is_judged_by_words() {
    for (line, expected) in [
        ("listening on 127.0.0.1:8080", one(ListenerOnLoopback, "ipv4", Confidence::Likely)),
        ("listening on 0.0.0.0:8080", vec![]),
        ("listening on localhost:8080", vec![]),
        ("ready", vec![]),
    ] {
        let mut s = snapshot(&pod(OLD, "", ", name: redis"));
        dialled(&mut s, key(8080, Speech::Plain, false), Reply::Untried, Reply::Silent);
        assert!(
            asked(&s).iter().any(|need| matches!(need, Need::Log(_))),
            "its own words are asked for"
        );
        said(&mut s, line);
        assert_eq!(found(&s), expected, "{line}");
    }
}

#[test]
fn between_two_lives_the_refusal_and_the_words_of_the_last_one_tell() {
    let killed = pod(OLD, ", livenessProbe: {httpGet: {path: /, port: 8080}}", "")
        .replace("restartCount: 0", "restartCount: 3")
        .replace("ready: true", "ready: false")
        .replace(
            &format!("{{running: {{startedAt: '{OLD}'}}}}"),
            "{waiting: {reason: CrashLoopBackOff}}",
        );
    let event = |reason: &str, message: &str| {
        format!(
            "---
{{apiVersion: v1, kind: Event, metadata: {{name: e-{reason}}}, reason: {reason}, type: Warning, lastTimestamp: '2026-01-01T11:59:50Z',
  involvedObject: {{kind: Pod, namespace: shop, name: api-1, fieldPath: 'spec.containers{{api}}'}}, message: '{message}'}}
"
        )
    };
    let refused = event(
        "Unhealthy",
        "Liveness probe failed: Get \"http://10.244.0.9:8080/\": dial tcp 10.244.0.9:8080: connect: connection refused",
    );
    let by_probe = event("Killing", "Container api failed liveness probe, will be restarted");
    let mut s = snapshot(&(killed.clone() + &refused + &by_probe));
    assert!(
        asked(&s).iter().all(|need| !matches!(need, Need::Dial(_))),
        "there is nobody to dial"
    );
    said(&mut s, "listening on 127.0.0.1:8080");
    assert_eq!(found(&s), one(ListenerOnLoopback, "ipv4", Confidence::Likely));
    // It ended by itself: what its probe was told once explains nothing.
    let mut s = snapshot(&(killed + &refused));
    said(&mut s, "listening on 127.0.0.1:8080");
    assert_eq!(found(&s), vec![]);
}

#[test]
fn the_dial_pair_tells() {
    use Reply::*;
    let plain = pod(OLD, "", "");
    let loopback = one(ListenerOnLoopback, "ipv4", Confidence::Proven);
    let nothing = one(NothingListening, "", Confidence::Likely);
    let fails = one(ApplicationError, "", Confidence::Likely);
    for (address, inside, expected) in [
        (Status(200), Untried, vec![]),
        (Status(404), Untried, vec![]),
        (Accepted, Untried, vec![]),
        (Refused, Status(200), loopback.clone()),
        (Refused, Accepted, loopback.clone()),
        (Refused, Silent, loopback),
        (Refused, Refused, nothing.clone()),
        // Forwarding may be forbidden: nobody is at the pod's address all the same.
        (Refused, Untried, nothing),
        // Packets that get lost say nothing about who listens.
        (TimedOut, Refused, vec![]),
        (TimedOut, Status(200), vec![]),
        (TimedOut, Untried, vec![]),
        (Untried, Refused, vec![]),
        (Untried, Accepted, vec![]),
        (Status(500), Untried, fails),
        // A gateway does not know the host that is asked for.
        (Status(503), Untried, vec![]),
        // That it does not do GET is no fault.
        (Status(501), Untried, vec![]),
        // Who is slow looks like who hangs.
        (TimedOut, Silent, vec![]),
    ] {
        assert_eq!(after(&plain, address.clone(), inside.clone()), expected, "{address:?} {inside:?}");
    }
}

#[test]
fn silence_is_left_open_after_a_second_look() {
    let http = pod(OLD, "", ", name: http");
    let mut slow = snapshot(&http);
    for again in [false, true] {
        dialled(&mut slow, key(8080, Speech::Http, again), Reply::TimedOut, Reply::Silent);
    }
    assert!(found(&slow).is_empty());
    assert_eq!(open(&slow), ["port 8080 of pod/api-1 by dialling"]);
    // Not everything that is silent speaks HTTP.
    let unsure = pod(OLD, "", "").replace("port: 80,", "port: 9900,").replace("8080", "7777");
    let mut s = snapshot(&unsure);
    for again in [false, true] {
        dialled(&mut s, key(7777, Speech::Http, again), Reply::TimedOut, Reply::Silent);
    }
    assert!(found(&s).is_empty());
    assert_eq!(open(&s), ["port 7777 of pod/api-1 by dialling"]);
    let mut once = snapshot(&http);
    dialled(&mut once, key(8080, Speech::Http, false), Reply::TimedOut, Reply::Silent);
    assert!(found(&once).is_empty());
    assert_eq!(asked(&once), [Need::Dial(key(8080, Speech::Http, true))]);
}

#[test]
fn a_young_container_is_sampled_twice_and_has_time_to_listen() {
    let young = pod(YOUNG, "", "");
    let mut first = snapshot(&young);
    dialled(&mut first, key(8080, Speech::Http, false), Reply::Refused, Reply::Accepted);
    assert!(found(&first).is_empty());
    assert!(asked(&first).contains(&Need::Dial(key(8080, Speech::Http, true))));
    // Loopback is no stage of a start that lasts.
    assert_eq!(
        after(&young, Reply::Refused, Reply::Accepted),
        one(ListenerOnLoopback, "ipv4", Confidence::Proven)
    );
    assert!(after(&young, Reply::Refused, Reply::Refused).is_empty());
    let mut late = snapshot(&young);
    dialled(&mut late, key(8080, Speech::Http, false), Reply::Refused, Reply::Refused);
    dialled(&mut late, key(8080, Speech::Http, true), Reply::Status(200), Reply::Untried);
    assert!(found(&late).is_empty());
}

#[test]
fn a_pod_that_shares_the_nodes_network_is_less_sure() {
    let host = pod(OLD, "", "").replace("nodeName: n1,", "nodeName: n1, hostNetwork: true,");
    assert_eq!(
        after(&host, Reply::Refused, Reply::Accepted),
        one(ListenerOnLoopback, "ipv4", Confidence::Likely)
    );
}

#[test]
fn a_service_mesh_answers_in_its_place_and_that_is_said() {
    let mesh = pod(OLD, "}, {name: istio-proxy, image: p", "");
    assert!(after(&mesh, Reply::Refused, Reply::Refused).is_empty());
    let s = snapshot(&mesh);
    assert!(asked(&s).is_empty());
    let view = View::new(&s, Options::default());
    let unsaid: Vec<String> = behind_meshes(&view, |_| true)
        .iter()
        .map(|u| format!("{}: {}", u.what, u.why))
        .collect();
    assert_eq!(
        unsaid,
        ["port 8080 of pod/api-1 by dialling: the service mesh's istio-proxy answers in its place; --exec shows what listens"]
    );
    assert!(behind_meshes(&view, |_| false).is_empty());
    let rows = crate::rules::listen::table::rows(&view, view.workloads().next().expect("the pod"));
    assert_eq!(rows[0].answer, "not tried: istio-proxy answers in its place");
    // What the kubelet's probe proves needs no dial, and what nobody uses is nobody's loss.
    let probed = pod(
        OLD,
        ", readinessProbe: {httpGet: {path: /, port: 8080}}}, {name: istio-proxy, image: p",
        "",
    );
    let unused = mesh.replace("{app: api}, ports", "{app: other}, ports");
    for quiet in [probed, unused] {
        let s = snapshot(&quiet);
        assert!(behind_meshes(&View::new(&s, Options::default()), |_| true).is_empty(), "{quiet}");
    }
}

#[test]
fn the_configured_port_is_named_and_dialled() {
    for (container, expected) in [
        (", args: [--port, '9090']", Some(("command", "--port 9090"))),
        (", env: [{name: PORT, value: '9090'}]", Some(("env PORT", "PORT=9090"))),
        (
            ", env: [{name: BIND_ADDR, value: '0.0.0.0:9090'}]",
            Some(("env BIND_ADDR", "BIND_ADDR=0.0.0.0:9090")),
        ),
        // It was told the very port that is used, and one beside it.
        (
            ", env: [{name: PORT, value: '8080'}, {name: EXTRA_BIND_ADDRESS, value: '0.0.0.0:9090'}]",
            None,
        ),
        (", env: [{name: METRICS_BIND_ADDRESS, value: '0.0.0.0:9090'}]", None),
        (", env: [{name: ADMIN_BIND_ADDRESS, value: '127.0.0.1:9090'}]", None),
        ("", None),
    ] {
        let refused = || {
            let mut s = snapshot(&pod(OLD, container, ""));
            dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Refused);
            s
        };
        let asks = asked(&refused()).contains(&Need::Dial(key(9090, Speech::Http, false)));
        assert_eq!(asks, expected.is_some(), "{container}");
        let unknown = check_snapshot(check, &refused());
        assert_eq!(unknown[0].code, NothingListening, "{container}");
        let told = unknown[0].evidence.iter().find(|e| e.detail.contains("9090"));
        assert_eq!(told.map(|e| (e.source.as_str(), e.detail.as_str())), expected, "{container}");
        assert_eq!(
            unknown[0].summary.ends_with("names port 9090"),
            expected.is_some(),
            "{}",
            unknown[0].summary
        );
        let command = unknown[0].fixes[0].command.as_deref().unwrap_or_default();
        assert_eq!(command.contains("\"value\":9090"), expected.is_some(), "{command}");

        let after = |address: Reply| {
            let mut s = refused();
            dialled(&mut s, key(9090, Speech::Http, false), address, Reply::Refused);
            check_snapshot(check, &s).remove(0)
        };
        if expected.is_some() {
            let open = after(Reply::Status(200));
            assert_eq!((open.code, open.confidence), (ListenerOnOtherPort, Confidence::Proven));
            let shut = after(Reply::Refused);
            assert_eq!(shut.code, NothingListening);
            assert!(
                shut.summary.ends_with("names port 9090, where nothing listens either"),
                "{}",
                shut.summary
            );
            assert!(shut.fixes[0].command.as_deref().is_some_and(|c| c.starts_with("kubectl logs")));
        }
    }
}

#[test]
fn a_server_that_is_alone_in_its_young_container_is_dialled_where_its_command_says() {
    let serves = ", command: [sh, -c, 'mkdir /w; exec httpd -f -p 9090 -h /w']";
    let elsewhere = Need::Dial(key(9090, Speech::Http, false));
    let young = |container: &str| {
        let mut s = snapshot(&pod(YOUNG, container, ""));
        for again in [false, true] {
            dialled(&mut s, key(8080, Speech::Http, again), Reply::Refused, Reply::Refused);
        }
        s
    };
    let mut s = young(serves);
    assert!(asked(&s).contains(&elsewhere));
    dialled(&mut s, key(9090, Speech::Http, false), Reply::Status(200), Reply::Untried);
    assert_eq!(found(&s), one(ListenerOnOtherPort, "", Confidence::Proven));
    // It has not opened that one yet either.
    let mut s = young(serves);
    dialled(&mut s, key(9090, Speech::Http, false), Reply::Refused, Reply::Refused);
    assert!(found(&s).is_empty());
    for (why, container) in [
        ("it was told the port that is used", serves.replace("9090", "8080")),
        ("another program may open it", serves.replace("-h /w", "-h /w; exec /server")),
        (
            "an unknown program may open its ports one after the other",
            ", args: [--port, '9090']".to_owned(),
        ),
        ("the spec promises it", format!("{serves}, ports: [{{containerPort: 8080}}]")),
        (
            "a probe waits for it",
            format!("{serves}, livenessProbe: {{tcpSocket: {{port: 8080}}}}"),
        ),
    ] {
        let mut s = young(&container);
        assert!(!asked(&s).contains(&elsewhere), "{why}");
        dialled(&mut s, key(9090, Speech::Http, false), Reply::Status(200), Reply::Untried);
        assert!(found(&s).is_empty(), "{why}");
    }
}

#[test]
fn unused_ports_and_probed_ports_are_not_dialled() {
    let unused = pod(OLD, ", ports: [{containerPort: 9000}]", "").replace("{app: api}, ports", "{app: other}, ports");
    assert!(asked(&snapshot(&unused)).is_empty());
    let probed = pod(OLD, ", readinessProbe: {httpGet: {path: /, port: 8080}}", "");
    assert!(asked(&snapshot(&probed)).is_empty());
    let elsewhere = pod(OLD, ", readinessProbe: {httpGet: {path: /, port: 9000}}", "");
    assert_eq!(asked(&snapshot(&elsewhere)), [Need::Dial(key(8080, Speech::Http, false))]);
    let udp = pod(OLD, "", ", protocol: UDP");
    assert!(asked(&snapshot(&udp)).is_empty());
}

#[test]
fn non_http_ports_are_sent_nothing() {
    for (container, service, port) in [("", ", name: redis", 8080), ("", ", appProtocol: mysql", 8080)] {
        assert_eq!(
            asked(&snapshot(&pod(OLD, container, service))),
            [Need::Dial(key(port, Speech::Plain, false))]
        );
    }
    let postgres = pod(OLD, "", "").replace("targetPort: 8080", "targetPort: 5432");
    assert_eq!(asked(&snapshot(&postgres)), [Need::Dial(key(5432, Speech::Plain, false))]);
    for (number, speech) in [(5432, Speech::Plain), (25, Speech::Plain), (9000, Speech::Http)] {
        let at_service = pod(OLD, "", "").replace("port: 80,", &format!("port: {number},"));
        assert_eq!(asked(&snapshot(&at_service)), [Need::Dial(key(8080, speech, false))], "{number}");
    }
    let https = pod(OLD, "", ", appProtocol: https");
    assert_eq!(asked(&snapshot(&https)), [Need::Dial(key(8080, Speech::Https, false))]);
    let mut refused = snapshot(&pod(OLD, "", ", name: redis"));
    dialled(&mut refused, key(8080, Speech::Plain, false), Reply::Untried, Reply::Refused);
    assert_eq!(found(&refused), one(NothingListening, "", Confidence::Likely));
    assert!(open(&refused).is_empty());
    // Some servers listen on the pod's address alone: a refusal inside is not enough, and is not passed over either.
    let own = ", env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]";
    let mut own = snapshot(&pod(OLD, own, ", name: redis"));
    dialled(&mut own, key(8080, Speech::Plain, false), Reply::Untried, Reply::Refused);
    assert!(found(&own).is_empty());
    assert_eq!(open(&own), ["port 8080 of pod/api-1 by dialling"]);
}

/// What the dials leave open, in words.
fn open(snapshot: &Snapshot) -> Vec<String> {
    let view = View::new(snapshot, Options::default());
    crate::rules::listen::unsettled(&view, &mut Needs::default(), |_| true)
        .into_iter()
        .map(|u| u.what)
        .collect()
}

#[test]
fn a_name_that_tells_no_protocol_is_asked_like_none() {
    for name in ["main", "server", "tcp", "y", "web", "http-api", "grpc-web"] {
        let s = snapshot(&pod(OLD, "", &format!(", name: '{name}'")));
        assert_eq!(asked(&s), [Need::Dial(key(8080, Speech::Http, false))], "{name}");
        assert_eq!(
            after(&pod(OLD, "", &format!(", name: '{name}'")), Reply::Refused, Reply::Refused),
            one(NothingListening, "", Confidence::Likely),
            "{name}"
        );
    }
    for name in ["dns-tcp", "grpc", "tcp-main", "redis", "kafka", "smtp"] {
        let s = snapshot(&pod(OLD, "", &format!(", name: '{name}'")));
        assert_eq!(asked(&s), [Need::Dial(key(8080, Speech::Plain, false))], "{name}");
    }
    let probed = pod(OLD, ", livenessProbe: {grpc: {port: 8080}}", "");
    assert_eq!(asked(&snapshot(&probed)), [Need::Dial(key(8080, Speech::Plain, false))]);
}

#[test]
fn a_program_configured_for_loopback_that_refuses_there_has_not_bound() {
    for (container, expected) in [
        (
            ", env: [{name: LISTEN, value: '127.0.0.1:8080'}]",
            one(NothingListening, "", Confidence::Likely),
        ),
        (
            ", command: [sh, -c, 'sleep 100000; true --host=127.0.0.1 --port=8080']",
            one(NothingListening, "", Confidence::Likely),
        ),
        (
            ", env: [{name: LISTEN, value: '127.0.0.53:8080'}]",
            one(ListenerOnLoopback, "ipv4", Confidence::Likely),
        ),
        (
            ", env: [{name: LISTEN, value: '[::1]:8080'}]",
            one(ListenerOnLoopback, "ipv6", Confidence::Likely),
        ),
    ] {
        assert_eq!(
            after(&pod(OLD, container, ""), Reply::Refused, Reply::Refused),
            expected,
            "{container}"
        );
    }
}

#[test]
fn a_udp_server_is_taken_at_its_word() {
    let dns = |listen: &str| {
        let container = format!(", env: [{{name: LISTEN, value: '{listen}'}}]");
        pod(OLD, &container, ", protocol: UDP").replace("targetPort: 8080", "targetPort: 5353")
    };
    let mut s = snapshot(&dns("udp:127.0.0.1:5353"));
    assert!(asked(&s).iter().any(|need| matches!(need, Need::Log(_))));
    said(&mut s, "listening on 127.0.0.1:5353");
    assert_eq!(found(&s), one(ListenerOnLoopback, "ipv4", Confidence::Likely));
    assert!(found(&snapshot(&dns("udp:0.0.0.0:5353"))).is_empty());
    // The same number over TCP is another socket.
    let tcp = snapshot(&dns("udp:127.0.0.1:5353").replace(", protocol: UDP", ", name: redis"));
    assert!(found(&tcp).is_empty());
}

#[test]
fn a_probe_that_asks_the_wrong_port_is_the_one_to_change() {
    let refused = |probe: &str| {
        let mut s = snapshot(
            &pod(OLD, probe, "")
                .replace("ready: true", "ready: false")
                .replace("status: 'True'", "status: 'False'"),
        );
        for again in [false, true] {
            for speech in [Speech::Http, Speech::Plain] {
                dialled(&mut s, key(8081, speech, again), Reply::Refused, Reply::Refused);
                dialled(&mut s, key(8080, speech, again), Reply::Status(200), Reply::Untried);
            }
        }
        check_snapshot(check, &s)
    };
    for (probe, word) in [
        (", readinessProbe: {httpGet: {path: /, port: 8081}}", "readiness"),
        (", livenessProbe: {tcpSocket: {port: 8081}}", "liveness"),
    ] {
        let all = refused(probe);
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!((all[0].code, all[0].confidence), (ListenerOnOtherPort, Confidence::Proven));
        assert_eq!(
            all[0].summary,
            format!("container api listens on port 8080, not on 8081, which the {word} probe asks")
        );
        assert_eq!(
            all[0].fixes[0].text,
            format!("change the {word} probe to port 8080, or make the application listen on 8081")
        );
    }
}

#[test]
fn of_two_services_the_wrong_one_is_to_blame() {
    let second = |name: &str| {
        let extra = format!(
            "---
{{apiVersion: v1, kind: Service, metadata: {{name: odd}}, spec: {{selector: {{app: api}}, ports: [{{port: 80, targetPort: 9999{name}}}]}}}}
"
        );
        let mut s = snapshot(&(pod(OLD, "", "") + &extra));
        dialled(&mut s, key(9999, Speech::Http, false), Reply::Refused, Reply::Refused);
        dialled(&mut s, key(8080, Speech::Http, false), Reply::Status(200), Reply::Untried);
        check_snapshot(check, &s)
    };
    let all = second("");
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((all[0].code, all[0].subject.object.name.as_str()), (TargetPortMismatch, "odd"));
    assert_eq!(
        all[0].summary,
        "Service odd sends port 80 to 9999, where nothing listens; container api listens on 8080"
    );
    let command = all[0].fixes[0].command.as_deref().unwrap_or_default();
    assert!(
        command.starts_with("kubectl patch service odd") && command.contains(r#""value":8080"#),
        "{command}"
    );
    // Metrics that are switched off are not to be had at the application's port.
    assert_eq!(second(", name: metrics")[0].code, NothingListening);
}

#[test]
fn a_command_that_fails_is_not_explained_by_a_port_that_it_does_not_ask() {
    for (probe, blocks) in [
        (", readinessProbe: {exec: {command: [ready]}}", false),
        (", readinessProbe: {httpGet: {path: /, port: 8080}}", true),
    ] {
        let yaml = pod(OLD, probe, "")
            .replace("ready: true", "ready: false")
            .replace("status: 'True'", "status: 'False'");
        let mut s = snapshot(&yaml);
        for again in [false, true] {
            dialled(&mut s, key(8080, Speech::Http, again), Reply::Refused, Reply::Refused);
        }
        let all = check_snapshot(check, &s);
        let blocking = all[0].effects.iter().any(|e| matches!(e, Effect::NotReady(_)));
        assert_eq!((all[0].code, blocking), (NothingListening, blocks), "{probe}");
    }
}

#[test]
fn a_port_with_a_purpose_of_its_own_is_no_stand_in() {
    let listening = |container: &str, service: &str| {
        let mut s = snapshot(&pod(OLD, container, service));
        for speech in [Speech::Http, Speech::Plain] {
            dialled(&mut s, key(8080, speech, false), Reply::Refused, Reply::Refused);
            dialled(&mut s, key(9100, speech, false), Reply::Status(200), Reply::Untried);
        }
        found(&s)
    };
    let nothing = one(NothingListening, "", Confidence::Likely);
    assert_eq!(listening(", ports: [{name: metrics, containerPort: 9100}]", ""), nothing);
    assert_eq!(listening(", ports: [{containerPort: 8080}, {containerPort: 9100}]", ""), nothing);
    assert_eq!(
        listening(", ports: [{name: http, containerPort: 9100}]", ""),
        one(TargetPortMismatch, "proven", Confidence::Proven)
    );
    // Two ports in the same plight: which of them the open one stands for is not known.
    let two = listening(", ports: [{containerPort: 9100}]", "}, {name: other, port: 81, targetPort: 8081");
    assert_eq!(two, nothing);
}

#[test]
fn a_port_that_passes_its_probe_is_the_one_that_was_meant() {
    let probed = ", ports: [{containerPort: 9000}], readinessProbe: {httpGet: {path: /, port: 9000}}";
    let mut s = snapshot(&pod(YOUNG, probed, ""));
    for again in [false, true] {
        dialled(&mut s, key(8080, Speech::Http, again), Reply::Refused, Reply::Refused);
    }
    assert_eq!(found(&s), one(TargetPortMismatch, "proven", Confidence::Proven));
}

#[test]
fn the_container_that_names_the_port_is_the_one() {
    let two = pod(
        OLD,
        ", env: [{name: LISTEN, value: '0.0.0.0:9000'}]}, {name: proxy, image: p, env: [{name: LISTEN, value: '127.0.0.1:8080'}]",
        "",
    )
    .replace("containerStatuses: [", "containerStatuses: [{name: proxy, image: p, imageID: '', ready: true, started: true, restartCount: 0, state: {running: {startedAt: '2026-01-01T06:00:00Z'}}}, ");
    let mut s = snapshot(&two);
    dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Accepted);
    let all = check_snapshot(check, &s);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0].subject.container.as_deref(), Some("proxy"));
}

#[test]
fn an_option_for_the_address_alone_is_about_the_only_port() {
    let redis = pod(OLD, ", command: [redis-server, --bind, 127.0.0.1]", ", name: redis").replace("targetPort: 8080", "targetPort: 6379");
    let mut s = snapshot(&redis);
    dialled(&mut s, key(6379, Speech::Plain, false), Reply::Untried, Reply::Accepted);
    assert_eq!(found(&s), one(ListenerOnLoopback, "ipv4", Confidence::Likely));
}

#[test]
fn an_unqueried_port_is_trusted_if_it_listens_inside_the_pod() {
    let redis = |env: &str| pod(OLD, &format!(", env: [{{name: BIND_ADDR, value: '{env}'}}]"), ", name: redis");
    let found_with = |env: &str, inside: Reply| {
        let mut s = snapshot(&redis(env));
        dialled(&mut s, key(8080, Speech::Plain, false), Reply::Untried, inside);
        found(&s)
    };
    assert_eq!(
        found_with("127.0.0.1:8080", Reply::Accepted),
        one(ListenerOnLoopback, "ipv4", Confidence::Likely)
    );
    assert!(found_with("0.0.0.0:8080", Reply::Accepted).is_empty());
    assert!(found_with("127.0.0.1:9999", Reply::Accepted).is_empty());
    // Nobody listens inside: the variable is not what the server reads.
    assert_eq!(
        found_with("127.0.0.1:8080", Reply::Refused),
        one(NothingListening, "", Confidence::Likely)
    );
}

#[test]
fn the_declared_port_is_asked_before_anything_is_said_to_be_missing() {
    let declared = pod(OLD, ", ports: [{containerPort: 9090}]", "");
    let mut s = snapshot(&declared);
    dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Refused);
    assert!(asked(&s).contains(&Need::Dial(key(9090, Speech::Http, false))));
    dialled(&mut s, key(9090, Speech::Http, false), Reply::Status(200), Reply::Untried);
    let all = check_snapshot(check, &s);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (all[0].code, all[0].cause.as_str(), all[0].severity),
        (TargetPortMismatch, "proven", Severity::Error)
    );
    assert_eq!(all[0].subject.object.name, "api");
    assert!(all[0].effects.contains(&Effect::Service("shop".into(), "api".into())));
    dialled(&mut s, key(9090, Speech::Http, false), Reply::Refused, Reply::Refused);
    assert_eq!(found(&s), one(NothingListening, "", Confidence::Likely));
}

#[test]
fn the_log_names_the_address_or_port_of_the_failed_call() {
    for (line, expected) in [
        ("listening on 127.0.0.53:8080", one(ListenerOnLoopback, "ipv4", Confidence::Likely)),
        ("listening on [::1]:8080", one(ListenerOnLoopback, "ipv6", Confidence::Likely)),
        ("listening on [::]:8080", one(ListenerAddressFamily, "", Confidence::Likely)),
        ("listening on 0.0.0.0:9090", one(ListenerOnOtherPort, "", Confidence::Likely)),
        ("ready", one(NothingListening, "", Confidence::Likely)),
    ] {
        let mut s = snapshot(&pod(OLD, "", ""));
        dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Refused);
        said(&mut s, line);
        assert_eq!(found(&s), expected, "{line}");
    }
    let mut mapped = snapshot(&pod(OLD, "", ""));
    dialled(&mut mapped, key(8080, Speech::Http, false), Reply::Refused, Reply::Accepted);
    said(&mut mapped, "listening on [::ffff:127.0.0.1]:8080");
    assert_eq!(found(&mapped), one(ListenerOnLoopback, "mapped", Confidence::Proven));
}

#[test]
fn without_dials_only_a_servers_own_word_accuses_it() {
    let mut s = snapshot(&pod(OLD, "", ""));
    assert!(found(&s).is_empty());
    said(&mut s, "listening on 127.0.0.1:8080");
    assert_eq!(found(&s), one(ListenerOnLoopback, "ipv4", Confidence::Likely));
    // An admin port on loopback beside a good one.
    said(&mut s, "listening on 0.0.0.0:8080\nlistening on 127.0.0.1:9000");
    assert!(found(&s).is_empty());
    // What was reached is reached, whatever it says.
    said(&mut s, "listening on 127.0.0.1:8080");
    dialled(&mut s, key(8080, Speech::Http, false), Reply::Status(200), Reply::Untried);
    assert!(found(&s).is_empty());
}

#[test]
fn sockets_are_the_last_word() {
    let on = |address: &str, port: u16| Socket {
        protocol: "TCP".into(),
        address: address.parse::<IpAddr>().unwrap(),
        port,
        inode: 1,
        container: Some("api".into()),
    };
    let proven = Confidence::Proven;
    for (sockets, refused, expected) in [
        (vec![on("127.0.0.1", 8080)], false, one(ListenerOnLoopback, "ipv4", proven)),
        (vec![on("127.0.0.53", 8080)], true, one(ListenerOnLoopback, "ipv4", proven)),
        (vec![on("::1", 8080)], true, one(ListenerOnLoopback, "ipv6", proven)),
        (vec![on("::ffff:127.0.0.1", 8080)], true, one(ListenerOnLoopback, "mapped", proven)),
        (vec![on("0.0.0.0", 8080)], false, vec![]),
        (vec![on("127.0.0.1", 8080), on("10.244.0.9", 8080)], false, vec![]),
        (vec![on("::", 8080)], false, vec![]),
        (vec![on("::", 8080)], true, one(ListenerAddressFamily, "", proven)),
        (vec![on("0.0.0.0", 9090)], true, one(ListenerOnOtherPort, "", proven)),
        (vec![on("127.0.0.1", 9090)], true, one(NothingListening, "", proven)),
        (vec![], true, one(NothingListening, "", proven)),
    ] {
        let mut s = snapshot(&pod(OLD, ", ports: [{containerPort: 8080}]", ""));
        if refused {
            dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Refused);
        }
        s.put_sockets(
            "shop",
            "api-1",
            Some(PodSockets {
                namespace: "shop".into(),
                pod: "api-1".into(),
                seen_from: "container api".into(),
                sockets: sockets.clone(),
            }),
        );
        assert_eq!(found(&s), expected, "{sockets:?}");
    }
}

#[test]
fn a_pod_with_an_ipv6_address_is_reached_over_that_family() {
    let v6 = pod(OLD, "", "").replace("10.244.0.9", "'fd00::9'");
    assert_eq!(
        after(&v6, Reply::Refused, Reply::Accepted),
        one(ListenerOnLoopback, "ipv4", Confidence::Likely)
    );
    let mut s = snapshot(&v6);
    dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Accepted);
    said(&mut s, "listening on 0.0.0.0:8080");
    assert_eq!(found(&s), one(ListenerAddressFamily, "", Confidence::Proven));
    let mut v4 = snapshot(&pod(OLD, "", ""));
    dialled(&mut v4, key(8080, Speech::Http, false), Reply::Refused, Reply::Accepted);
    said(&mut v4, "listening on [::]:8080");
    assert_eq!(found(&v4), one(ListenerAddressFamily, "", Confidence::Proven));
}

#[test]
fn one_good_revision_keeps_the_service_alive() {
    let ready = pod(OLD, "", "");
    let (first, service) = ready.split_once("---").unwrap();
    let of = |name: &str, hash: &str| {
        first
            .replace("name: api-1", &format!("name: {name}"))
            .replace("{app: api}", &format!("{{app: api, pod-template-hash: {hash}}}"))
    };
    let owned = |text: String| {
        text.replace(
            "labels:",
            "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: api, uid: u, controller: true}], labels:",
        )
    };
    let mut s = snapshot(&format!("{}---\n{}---{service}", owned(of("api-1", "a")), owned(of("api-2", "b"))));
    dialled(&mut s, key(8080, Speech::Http, false), Reply::Refused, Reply::Accepted);
    let other = DialKey {
        pod: "api-2".into(),
        ..key(8080, Speech::Http, false)
    };
    dialled(&mut s, other, Reply::Status(200), Reply::Untried);
    let all: Vec<Finding> = check_snapshot(check, &s);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(!all[0].effects.iter().any(|e| matches!(e, Effect::Service(..))));
}

/// Another application behind the same Service that passes a probe on its port.
const NEIGHBOUR: &str = "---
apiVersion: v1
kind: Pod
metadata: {name: fa, labels: {app: api}}
spec: {nodeName: n1, containers: [{name: fa, image: i, readinessProbe: {tcpSocket: {port: 8080}}}]}
status: {phase: Running, podIP: 10.244.0.8, conditions: [{type: Ready, status: 'True'}],
  containerStatuses: [{name: fa, image: i, imageID: '', ready: true, started: true, restartCount: 0, state: {running: {startedAt: '2026-01-01T11:59:50Z'}}}]}
";

#[test]
fn the_port_of_a_service_stays_where_others_answer_at_it() {
    let commands = |yaml: &str| {
        let mut s = snapshot(yaml);
        for again in [false, true] {
            dialled(&mut s, key(8080, Speech::Http, again), Reply::Refused, Reply::Refused);
        }
        dialled(&mut s, key(9999, Speech::Http, false), Reply::Status(200), Reply::Untried);
        let found = check_snapshot(check, &s);
        let fixes = found.iter().flat_map(|finding| &finding.fixes);
        let commands: Vec<String> = fixes.filter_map(|fix| fix.command.clone()).collect();
        (found[0].code, commands.join("; "))
    };
    for (container, alone) in [
        (", ports: [{containerPort: 9999}]", TargetPortMismatch),
        (", env: [{name: LISTEN, value: '0.0.0.0:9999'}]", ListenerOnOtherPort),
    ] {
        let (code, patched) = commands(&pod(OLD, container, ""));
        assert!(code == alone && patched.contains("kubectl patch service api"), "{code} {patched}");
        let (code, kept) = commands(&(pod(OLD, container, "") + NEIGHBOUR));
        assert!(
            code == ListenerOnOtherPort && !kept.contains("kubectl patch service"),
            "{code} {kept}"
        );
    }
}

#[test]
fn a_service_that_takes_a_pod_by_mistake_is_told_while_that_pod_starts() {
    let yaml = pod(YOUNG, ", env: [{name: LISTEN, value: '0.0.0.0:9999'}]", "") + NEIGHBOUR;
    let mut s = snapshot(&yaml);
    for again in [false, true] {
        dialled(&mut s, key(8080, Speech::Http, again), Reply::Refused, Reply::Refused);
    }
    let diagnosis = crate::diagnosis::assess::assess(&s, &crate::diagnosis::assess::Question::default());
    let told: Vec<Code> = diagnosis.root_causes.iter().chain(&diagnosis.pending).map(|f| f.code).collect();
    assert_eq!(told, [ServiceSelectsForeignPods]);
}

#[test]
fn a_service_with_the_wrong_protocol_is_not_told_as_a_port_that_nobody_opens() {
    let codes = |container: &str| {
        let yaml = pod(OLD, container, "");
        let mut s = snapshot(&yaml);
        for again in [false, true] {
            dialled(&mut s, key(8080, Speech::Http, again), Reply::Refused, Reply::Refused);
        }
        let mut found = check_snapshot(check, &s);
        found.extend(check_snapshot(crate::rules::service::check, &s));
        found.iter().map(|f| f.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(", ports: [{containerPort: 8080, protocol: UDP}]"), [ServiceProtocolMismatch]);
    assert_eq!(codes(", ports: [{containerPort: 8080}]"), [NothingListening]);
}

#[test]
fn the_pods_of_a_named_service_are_compared_however_many_others_there_are() {
    let all = pod(OLD, "", "");
    let (first, service) = all.split_once("---").unwrap();
    let owned = first.replace(
        "labels:",
        "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: odd, uid: u, controller: true}], labels:",
    );
    let second = owned.replace("name: api-1", "name: api-2");
    let others: String = (0..30)
        .map(|n| {
            first
                .replace("name: api-1", &format!("name: other-{n}"))
                .replace("app: api", &format!("app: other-{n}"))
                + "---\n"
        })
        .collect();
    let mut s = snapshot(&format!("{others}{owned}---\n{second}---{service}"));
    dialled(&mut s, key(8080, Speech::Http, false), Reply::Status(200), Reply::Untried);
    let asked_about = |targets: &[crate::model::finding::ObjectRef]| {
        let view = View::new(
            &s,
            Options {
                dial: true,
                ..Options::default()
            },
        )
        .focused_on(targets);
        let needs = run(check, &view).needs.into_set();
        needs.iter().any(|need| matches!(need, Need::Dial(key) if key.pod == "api-2"))
    };
    let of = |kind: &crate::model::kind::Kind, name: &str| crate::model::finding::ObjectRef::new(kind, "shop", name);
    assert!(asked_about(&[of(&crate::model::kind::SERVICE, "api")]));
    assert!(asked_about(&[of(&crate::model::kind::STATEFUL_SET, "odd")]));
    assert!(!asked_about(&[]), "in a whole namespace of this size one pod stands for all");
}
