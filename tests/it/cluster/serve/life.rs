//! How long sessions live that are served, and how a gateway ends.

use std::io::Read as _;
use std::time::{Duration, Instant};

use podlife::model::kind;
use serde_json::Value;

use super::Gateway;
use crate::cluster::harness::{Scenario, kubeconfig, kubectl};
use crate::cluster::rights::of_reader;
use crate::cluster::session::life::{made, records, session};
use crate::cluster::wait_ready::relay::Relay;
use crate::fake_api::fixture;

fn last_use(scenario: &Scenario) -> (String, String) {
    let record = records(scenario).pop().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&record["spec"]["renewTime"]), text(&record["spec"]["holderIdentity"]))
}

#[test]
fn an_open_stream_keeps_its_session_and_a_request_is_noted_at_the_end() {
    let scenario = Scenario::new("serve-life");
    let gateway = Gateway::local(&scenario, &["--idle-timeout", "60s"]);
    let stream = gateway.stream("/api/v1/session/a/stream");
    let first = last_use(&scenario);
    assert!(first.1.starts_with("serve"), "{first:?}");
    // A third of the idle timeout later.
    scenario.wait("the use is noted while the stream is open", |scenario| {
        last_use(scenario).0 > first.0
    });
    let pass = session(&scenario, &["gc", "--once"]);
    assert_eq!((pass.exit, pass.stdout.as_str()), (0, ""));
    drop(stream);
    gateway.get("/api/v1/session/a/").is(200);
    let before = last_use(&scenario).0;
    assert_eq!(gateway.end(), Some(143));
    assert!(last_use(&scenario).0 >= before);
}

#[test]
fn what_is_deleted_by_hand_is_followed_by_another() {
    let scenario = Scenario::new("serve-heal");
    let gateway = Gateway::local(&scenario, &[]);
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let uid = || made(&scenario, &kind::POD).pop().map(|pod| pod["metadata"]["uid"].clone());
    gateway.get("/api/v1/session/a/").is(200);
    // A record: the session is over, and its pod goes, too.
    let before = uid();
    scenario.kubectl(&["delete", "lease", &name(&records(&scenario)[0])]);
    let reply = gateway.until("/api/v1/session/a/", |reply| {
        assert_eq!(reply.status, 200, "{reply:?}");
        !records(&scenario).is_empty()
    });
    assert_eq!(reply.header("x-session-generation"), Some("1"));
    assert_ne!(uid(), before);
    // A pod: the session goes on.
    let pod = made(&scenario, &kind::POD).pop().unwrap();
    scenario.kubectl(&["delete", "pod", &name(&pod), "--now"]);
    let reply = gateway.get("/api/v1/session/a/").is(200);
    assert_eq!(reply.header("x-session-generation"), Some("2"));
    let healed = |event: &Value| event["reason"] == "SessionHealed";
    scenario.wait("an event tells of it", |scenario| scenario.state().events.iter().any(healed));
}

#[test]
fn rbac_grants_what_a_gateway_needs() {
    let scenario = Scenario::new("serve-rights");
    let account = format!("serviceaccount:{}:reader", scenario.namespace);
    let role = scenario.podlife(&["rbac", "session", "--with", "serve,forward", "--bind", &account]);
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}\n---\n";
    let scenario = scenario.apply(&format!("{account}{}", role.stdout));
    let file = of_reader(&scenario);
    let flags = [&super::gateway::TEMPLATE[..], &["--warm", "1", "--metrics-listen", "127.0.0.1:0"]].concat();
    let gateway = Gateway::of_config(file.to_str().unwrap(), &scenario, &flags);
    let has_warm = |_: &Scenario| gateway.counts("session_warm_pods{state=\"ready\"} 1");
    scenario.wait("a pod is warm", has_warm);
    let reply = gateway.get("/api/v1/session/a/").is(200);
    assert!(reply.body.contains(" on podlife-warm-"), "{reply:?}");
    gateway.get("/api/v1/sessions").is(200);
    gateway.ask("DELETE", "/api/v1/sessions/a", "").is(204);
    assert_eq!(gateway.end(), Some(143));
    std::fs::remove_file(file).unwrap();
}

fn of_id(scenario: &Scenario, id: &str) -> Option<Value> {
    records(scenario)
        .into_iter()
        .find(|record| record["metadata"]["annotations"]["podlife.dev/id"] == id)
}

pub fn leader(scenario: &Scenario) -> String {
    let lease = scenario
        .list(&kind::LEASE)
        .into_iter()
        .find(|lease| lease["metadata"]["name"] == "podlife-gateway");
    lease
        .and_then(|lease| lease["spec"]["holderIdentity"].as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[test]
fn one_of_two_gateways_cleans_up_and_spares_what_the_other_serves_whatever_their_clocks_say() {
    let scenario = Scenario::new("serve-two");
    let flags = [
        "--idle-timeout",
        "30s",
        "--cleanup-interval",
        "1s",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    let gateways = ["+60s", "-60s"].map(|clock| Gateway::with_clock(clock, &scenario, &flags));
    let streams: Vec<_> = ["a", "b"]
        .iter()
        .zip(&gateways)
        .map(|(id, gateway)| gateway.stream(&format!("/api/v1/session/{id}/stream")))
        .collect();
    for gateway in &gateways {
        gateway.get("/api/v1/session/idle/").is(200);
    }
    let used = Instant::now();
    scenario.wait("the idle session is cleaned up", |scenario| of_id(scenario, "idle").is_none());
    // Dates have whole seconds.
    assert!(used.elapsed() > Duration::from_secs(28), "{:?}", used.elapsed());
    let reaped = |event: &Value| event["reason"] == "SessionReaped";
    scenario.wait("an event tells of it", |scenario| scenario.state().events.iter().any(reaped));
    assert!(of_id(&scenario, "a").is_some() && of_id(&scenario, "b").is_some());
    assert!(leader(&scenario).starts_with("serve"), "{}", leader(&scenario));
    // The leader is killed, and the other one takes over.
    let (leaders, mut others): (Vec<_>, Vec<_>) = gateways.into_iter().partition(Gateway::leads);
    assert_eq!((leaders.len(), others.len()), (1, 1));
    drop(leaders);
    let other = others.remove(0);
    scenario.wait("the other one leads", |_| other.leads());
    other.get("/api/v1/session/a/").is(200);
    other.get("/api/v1/session/b/").is(200);
    drop(streams);
    scenario.wait("the sessions are cleaned up that are used no more", |scenario| {
        records(scenario).is_empty()
    });
    assert_eq!(other.end(), Some(143));
    assert_eq!(leader(&scenario), "");
}

/// The id of a session, and whether it has come so far.
type Moment<'a> = (&'a str, &'a dyn Fn(&Scenario, &str) -> bool);

#[test]
fn a_gateway_may_be_killed_at_any_moment_of_a_creation() {
    let scenario = Scenario::new("serve-dies");
    let survivor = Gateway::local(&scenario, &[]);
    let has_pod = |scenario: &Scenario, id: &str| {
        let pods = made(scenario, &kind::POD);
        of_id(scenario, id).is_some_and(|record| {
            let is_of_it = |pod: &Value| pod["metadata"]["labels"]["podlife.dev/session"] == record["metadata"]["name"];
            pods.iter().any(is_of_it)
        })
    };
    let moments: [Moment<'_>; 3] = [
        ("asked", &|_, _| true),
        ("recorded", &|scenario, id| of_id(scenario, id).is_some()),
        ("created", &has_pod),
    ];
    for (id, has_come) in moments {
        let gateway = Gateway::local(&scenario, &[]);
        let path = format!("/api/v1/session/{id}/");
        let _waits = gateway.begin(&path);
        scenario.wait(&format!("session {id} has come so far"), |scenario| has_come(scenario, id));
        drop(gateway);
        let reply = survivor.get(&path).is(200);
        assert_eq!(reply.header("x-session-generation"), Some("1"), "{reply:?}");
    }
    assert_eq!((records(&scenario).len(), made(&scenario, &kind::POD).len()), (3, 3));
}

#[test]
fn sessions_are_served_while_the_api_server_is_away() {
    const AWAY: Duration = Duration::from_secs(60);
    let scenario = Scenario::new("serve-away");
    let (relay, keys) = (Relay::start(), fixture("jwt/keys.json"));
    let way = relay.flags();
    let mut flags: Vec<&str> = way.iter().map(String::as_str).collect();
    flags.extend(["--auth", "jwt", "--jwks", keys.to_str().unwrap(), "--audience", "podlife"]);
    flags.extend(["--idle-timeout", "30s", "--cleanup-interval", "1s"]);
    let Some(gateway) = Gateway::on_node(&scenario, &flags) else {
        return;
    };
    let token = super::access::bearer(&std::fs::read_to_string(fixture("jwt/es256.jwt")).unwrap());
    let ask = |id: &str| gateway.ask("GET", &format!("/api/v1/session/{id}/"), &token);
    let before = ["used", "idle"].map(|id| ask(id).is(200).body);
    relay.cut();
    let begun = Instant::now();
    while begun.elapsed() < AWAY {
        assert_eq!(ask("used").is(200).body, before[0]);
        let refused = ask("new").is(503);
        assert_eq!(refused.json()["type"], "urn:podlife:api-server-away");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        // The node is shared with other tests.
        std::thread::sleep(Duration::from_millis(200));
    }
    relay.restore();
    // It was idle for too long, as far as this gateway knows: others may have served it.
    assert_eq!(ask("idle").is(200).body, before[1]);
    assert_eq!(records(&scenario).len(), 2);
    scenario.wait("sessions are created again", |_| ask("new").status == 200);
    scenario.wait("the gateway cleans up again", |scenario| records(scenario).is_empty());
}

#[test]
fn what_is_open_outlives_the_idle_timeout_and_is_cut_at_the_maximum_lifetime() {
    let scenario = Scenario::new("serve-lifetime");
    let limits = ["--idle-timeout", "20s", "--max-lifetime", "90s", "--cleanup-interval", "1s"];
    let gateway = Gateway::local(&scenario, &limits);
    // Nobody reads or writes beside them: both are forgotten.
    let read = |path: &str, headers: &str| {
        let mut stream = gateway.begin_with(&format!("/api/v1/session/a/{path}"), headers);
        std::thread::spawn(move || {
            let mut all = Vec::new();
            // Cut off or ended: either way there is nothing more to read.
            let _ = stream.read_to_end(&mut all);
            all
        })
    };
    let upgrade =
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (stream, websocket) = (read("stream", ""), read("websocket", upgrade));
    let (stream, websocket) = (stream.join().unwrap(), websocket.join().unwrap());
    // Ten of them a second at most.
    let longer_than_idle = 200;
    let text = String::from_utf8_lossy(&stream);
    assert!(
        text.contains("x-session-expires-in: ") && !text.ends_with("\r\n0\r\n\r\n"),
        "{text}"
    );
    assert!(text.contains(&format!("\n{longer_than_idle}\n")), "{text}");
    let told = b"\x88\x17\x11\x38the session has ended";
    let messages = websocket
        .strip_suffix(told)
        .unwrap_or_else(|| panic!("{}", websocket.escape_ascii()));
    let count = messages.windows(3).filter(|frame| frame == b"\x81\x01x").count();
    assert!(messages.ends_with(b"\x81\x01x") && count >= longer_than_idle, "{count}");
    scenario.wait("the record is gone", |scenario| records(scenario).is_empty());
}

#[test]
fn files_are_read_again_and_a_bad_one_changes_nothing() {
    let scenario = Scenario::new("serve-again");
    let file = std::env::temp_dir().join(format!("{}.yaml", scenario.namespace));
    let write = |word: &str| {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, spec: {{containers: [{{name: main, image: 'podlife.test/app:1', env: [{{name: WORD, value: {word}}}], ports: [{{containerPort: 8080}}]}}]}}}}"
        );
        std::fs::write(&file, pod).unwrap();
    };
    write("first");
    let flags = ["-f", file.to_str().unwrap(), "--cpu", "10m:500m"];
    let gateway = Gateway::of_config(&kubeconfig(), &scenario, &flags);
    gateway.hang_up("files have been read again");
    gateway.get("/api/v1/session/first/").is(200);
    std::fs::write(&file, "{kind: Pod").unwrap();
    let said = gateway.hang_up("files have been read again");
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    gateway.get("/api/v1/session/second/").is(200);
    write("third");
    gateway.hang_up("files have been read again");
    gateway.get("/api/v1/session/third/").is(200);
    let words: Vec<String> = made(&scenario, &kind::POD)
        .iter()
        .map(|pod| {
            let id = pod["metadata"]["annotations"]["podlife.dev/id"].as_str().unwrap_or_default();
            let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
            let word = env.iter().find(|variable| variable["name"] == "WORD").unwrap();
            format!("{id}: {}", word["value"].as_str().unwrap())
        })
        .collect();
    assert_eq!(words, ["first: first", "second: first", "third: third"]);
    let reasons: Vec<Value> = scenario.state().events.iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(
        reasons.iter().filter(|reason| *reason == "SessionCreated").count(),
        3,
        "{reasons:?}"
    );
    assert_eq!(gateway.end(), Some(143));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_pod_is_waited_for_while_its_node_is_made() {
    let scenario = Scenario::new("serve-node");
    let label = format!("podlife.test/{}", scenario.namespace);
    let file = std::env::temp_dir().join(format!("{}.yaml", scenario.namespace));
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, spec: {{nodeSelector: {{{label}: made}}, containers: [{{name: main, image: 'podlife.test/app:1', ports: [{{containerPort: 8080}}]}}]}}}}"
    );
    std::fs::write(&file, pod).unwrap();
    let timeout = Duration::from_secs(15);
    let flags = ["-f", file.to_str().unwrap(), "--cpu", "10m:500m", "--ready-timeout", "15s"];
    let gateway = Gateway::of_config(&kubeconfig(), &scenario, &flags);
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let waiting = scope.spawn(|| gateway.get("/api/v1/session/a/"));
        scenario.wait("the pod has no node", |scenario| !made(scenario, &kind::POD).is_empty());
        let pod = made(&scenario, &kind::POD).pop().unwrap();
        let (name, uid) = (&pod["metadata"]["name"], &pod["metadata"]["uid"]);
        let event = serde_json::json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "scale-up"}, "reason": "TriggeredScaleUp", "type": "Normal",
            "message": "pod triggered scale-up", "source": {"component": "cluster-autoscaler"}, "lastTimestamp": pod["metadata"]["creationTimestamp"],
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": scenario.namespace, "name": name, "uid": uid},
        });
        scenario.kubectl_in(&["apply", "-f", "-"], Some(&event.to_string()));
        scenario.wait("the time is up", |_| begun.elapsed() > timeout * 2);
        assert!(!waiting.is_finished(), "{:?}", waiting.join());
        // Those of other tests are pretended.
        let is_real = |node: &&Value| {
            node["status"]["nodeInfo"]["containerRuntimeVersion"]
                .as_str()
                .is_some_and(|name| name.starts_with("containerd"))
        };
        let nodes = scenario.list(&kind::NODE);
        let node = nodes
            .iter()
            .find(is_real)
            .and_then(|node| node["metadata"]["name"].as_str())
            .unwrap();
        kubectl(&["label", "node", node, &format!("{label}=made")], None);
        let reply = waiting.join().unwrap();
        kubectl(&["label", "node", node, &format!("{label}-")], None);
        reply.is(200);
    });
    std::fs::remove_file(file).unwrap();
}
