//! The manifests of `--print-manifests`, as they are printed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use podlife::model::kind;
use serde_json::Value;

use super::gateway::{Reply, TEMPLATE, try_ask};
use super::life::leader;
use crate::cluster::harness::{Scenario, established, is_ready, kubectl};
use crate::cluster::session::images;
use crate::cluster::session::life::{made, records};

/// The kinds of the Prometheus operator, without their schemas.
const MONITORING: [(&str, &str); 2] = [("servicemonitors", "ServiceMonitor"), ("prometheusrules", "PrometheusRule")];

fn monitoring_types() {
    for (plural, kind) in MONITORING {
        let definition = format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.monitoring.coreos.com}}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {{kind: {kind}, listKind: {kind}List, plural: {plural}, singular: {}}}
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]
",
            kind.to_lowercase()
        );
        kubectl(&["apply", "-f", "-"], Some(&definition));
        established(&format!("{plural}.monitoring.coreos.com"));
    }
}

/// A client of a session, with the token of its owner.
struct Client {
    address: String,
    headers: String,
}

/// A connection that is kept as long as the gateway keeps it.
struct Kept<'a> {
    client: &'a Client,
    stream: Option<BufReader<TcpStream>>,
}

impl Kept<'_> {
    /// Makes a request: status and body. An error is what a client would see.
    fn ask(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.client.connect()?,
        };
        write!(
            stream.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: gateway\r\n{}\r\n",
            self.client.headers
        )?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Err(std::io::Error::other(format!("closed after {head:?}")));
            }
        }
        let head = head.to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let length: usize = length.ok_or_else(|| std::io::Error::other(format!("no length: {head}")))?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if !head.contains("connection: close") {
            self.stream = Some(stream);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(head.clone()))?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// What came of a stream so far, and who reads it.
struct Open {
    received: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Open {
    fn len(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// All of it behind the head, when it has ended.
    fn end(self) -> Vec<u8> {
        self.reader.join().unwrap();
        let all = self.received.lock().unwrap();
        let head = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        all[head + 4..].to_vec()
    }
}

impl Client {
    fn connect(&self) -> std::io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(BufReader::new(stream))
    }

    fn ask(&self, path: &str, headers: &str) -> std::io::Result<Reply> {
        try_ask(&self.address, "GET", path, &format!("{}{headers}", self.headers))
    }

    /// Begins a stream, and reads it until it ends or breaks.
    fn open(&self, path: &str, headers: &str) -> Open {
        let mut stream = self.connect().unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n{}{headers}\r\n", self.headers);
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let received = Arc::<Mutex<Vec<u8>>>::default();
        let to = received.clone();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                to.lock().unwrap().extend(&bytes[..count]);
            }
        });
        Open { received, reader }
    }

    /// Asks for a path, about 200 times a second on connections that are kept, while something happens: what was not answered as it should be.
    fn while_asking(&self, path: &str, expected: &str, happens: impl FnOnce(&dyn Fn())) -> Vec<std::io::Result<(u16, String)>> {
        let (is_over, count) = (&AtomicBool::new(false), &AtomicUsize::new(0));
        thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(move || {
                        let mut kept = Kept {
                            client: self,
                            stream: None,
                        };
                        let mut failed = Vec::new();
                        while !is_over.load(Ordering::Relaxed) {
                            match kept.ask(path) {
                                Ok((200, body)) if body == expected => drop(count.fetch_add(1, Ordering::Relaxed)),
                                other => failed.push(other),
                            }
                            thread::sleep(Duration::from_millis(40));
                        }
                        failed
                    })
                })
                .collect();
            // Else the clients would ask for ever.
            let happened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                happens(&|| {
                    let before = count.load(Ordering::Relaxed);
                    let begun = std::time::Instant::now();
                    while count.load(Ordering::Relaxed) < before + 100 {
                        assert!(begun.elapsed() < Duration::from_secs(240), "requests go on");
                        thread::sleep(Duration::from_millis(20));
                    }
                });
            }));
            is_over.store(true, Ordering::Relaxed);
            let failed = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
            happened.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            failed
        })
    }
}

/// The gateways of a namespace that are not about to end.
fn gateways(scenario: &Scenario) -> Vec<Value> {
    let is_gateway = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/name"] == "podlife-gateway";
    scenario.state().pods.into_iter().filter(is_gateway).collect()
}

fn names(pods: &[Value]) -> BTreeSet<String> {
    pods.iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The numbers of a stream of chunks that has been cut.
fn numbers(stream: &[u8]) -> Vec<u64> {
    let (mut rest, mut lines) = (std::str::from_utf8(stream).unwrap(), String::new());
    while let Some((length, behind)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        assert_ne!(length, 0, "it seems to be whole");
        let Some(chunk) = behind.get(..length) else { break };
        lines.push_str(chunk);
        rest = behind.get(length + 2..).unwrap_or_default();
    }
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

const UPGRADE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn two_replicas_behind_an_address_serve_through_a_rolling_restart_and_the_death_of_each() {
    if !images::podlife() {
        return;
    }
    monitoring_types();
    let scenario = Scenario::new("serve-deployed").apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: ann}}");
    let flags = ["--auth", "token-review", "--audience", "sessions", "--log-level", "debug"];
    let printed = scenario.podlife(&[&["session", "serve", "--print-manifests"], &flags[..], &TEMPLATE].concat());
    assert_eq!(printed.exit, 0, "{}", printed.stderr);
    kubectl(&["apply", "-f", "-"], Some(&printed.stdout));
    scenario.kubectl(&["rollout", "status", "deployment/podlife-gateway", "--timeout=240s"]);
    let token = scenario.kubectl(&["create", "token", "ann", "--audience", "sessions"]);
    let address = || {
        let services = scenario.list(&kind::SERVICE);
        let service = services.iter().find(|service| service["metadata"]["name"] == "podlife-gateway")?;
        let ip = service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str()?;
        Some(format!("{ip}:80"))
    };
    scenario.wait("the Service has an address", |_| address().is_some());
    let client = Client {
        address: address().unwrap(),
        headers: super::access::bearer(&token),
    };
    // kube-proxy learns of each of them at its own time.
    scenario.wait("the address leads to both replicas", |scenario| {
        let reply = client.ask("/readyz", "X-Request-Id: hello\r\n");
        let has_answered = |replica: &String| scenario.kubectl(&["logs", replica]).contains("hello");
        reply.is_ok_and(|reply| reply.status == 200) && names(&gateways(scenario)).iter().all(has_answered)
    });
    let path = "/api/v1/session/one/";
    let expected = first_requests(&scenario, &client, path);
    // All of them are replaced while requests and streams go on.
    let open = ["stream", "stream", "stream", "websocket", "websocket", "websocket"].map(|kind| {
        let headers = if kind == "websocket" { UPGRADE } else { "" };
        (kind, client.open(&format!("{path}{kind}"), headers))
    });
    let old = names(&gateways(&scenario));
    let failed = client.while_asking(path, &expected, |go_on| {
        go_on();
        scenario.kubectl(&["rollout", "restart", "deployment/podlife-gateway"]);
        scenario.wait("a gateway is told to end", |scenario| {
            gateways(scenario)
                .iter()
                .any(|pod| pod["metadata"]["deletionTimestamp"].is_string())
        });
        let before = open.each_ref().map(|(_, open)| open.len());
        scenario.wait("streams go on", |_| {
            open.iter().zip(before).all(|((_, open), before)| open.len() >= before + 60)
        });
        scenario.kubectl(&["rollout", "status", "deployment/podlife-gateway", "--timeout=240s"]);
        scenario.wait("the old gateways have ended", |scenario| {
            let now = names(&gateways(scenario));
            now.len() == 2 && now.is_disjoint(&old)
        });
        go_on();
    });
    assert!(failed.is_empty(), "{failed:?}");
    for (kind, open) in open {
        let all = open.end();
        match kind {
            "stream" => {
                let numbers = numbers(&all);
                assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{numbers:?}");
            }
            _ => {
                let messages = all.strip_suffix(b"\x88\x17\x03\xe9the gateway is ending");
                let messages = messages.unwrap_or_else(|| panic!("{}", all.escape_ascii()));
                assert!(messages.chunks(3).all(|message| message == b"\x81\x01x"), "{}", all.escape_ascii());
            }
        }
    }
    deaths(&scenario, &client, path, &expected);
    assert_eq!(client.ask(path, "").unwrap().header("x-session-generation"), Some("1"));
}

/// The first requests, to both replicas, make one pod. What it answers.
fn first_requests(scenario: &Scenario, client: &Client, path: &str) -> String {
    let replies: Vec<Reply> = thread::scope(|scope| {
        let ask = |number: usize| client.ask(path, &format!("X-Request-Id: first-{number}-\r\n")).unwrap();
        let requests: Vec<_> = (0..50).map(|number| scope.spawn(move || ask(number))).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let seen: BTreeSet<(u16, &str)> = replies.iter().map(|reply| (reply.status, reply.body.as_str())).collect();
    let pod = made(scenario, &kind::POD).pop().unwrap();
    let expected = format!("app  on {}\n", pod["metadata"]["name"].as_str().unwrap());
    assert_eq!(seen, BTreeSet::from([(200, expected.as_str())]));
    assert_eq!((records(scenario).len(), made(scenario, &kind::POD).len()), (1, 1));
    let replicas = names(&gateways(scenario));
    assert_eq!(replicas.len(), 2);
    // The address gives each of them about half.
    scenario.wait("both replicas have answered first requests, all of them together", |scenario| {
        let answered = |replica: &String| {
            let log = scenario.kubectl(&["logs", replica]);
            (0..50)
                .filter(|number| {
                    log.lines()
                        .any(|line| line.contains(&format!("first-{number}-")) && line.contains("answered"))
                })
                .count()
        };
        let answered: Vec<usize> = replicas.iter().map(answered).collect();
        answered.iter().sum::<usize>() == 50 && answered.iter().all(|count| *count >= 5)
    });
    expected
}

/// Each replica dies while requests go on, the leader first.
fn deaths(scenario: &Scenario, client: &Client, path: &str, expected: &str) {
    let led = |scenario: &Scenario, by: &dyn Fn(&str) -> bool| {
        scenario.wait("a gateway leads", |scenario| by(&leader(scenario)));
        leader(scenario)
    };
    let before = led(scenario, &|leader| !leader.is_empty());
    let pods = names(&gateways(scenario));
    let killed = pods.iter().find(|pod| before.contains(*pod)).unwrap();
    let other = pods.iter().find(|pod| *pod != killed).unwrap();
    let created = |id: &str| {
        scenario.wait("a session is created", |_| {
            // The address may lead to the one that is gone.
            client
                .ask(&format!("/api/v1/session/{id}/"), "")
                .is_ok_and(|reply| reply.is(200).status == 200)
        });
    };
    let failed = client.while_asking(path, expected, |go_on| {
        go_on();
        // Its process, as the kernel does that runs out of memory.
        let script = format!(
            "for process in /proc/[0-9]*; do
               if grep -qa '^/kubectl-podlife' $process/cmdline && tr '\\0' '\\n' <$process/environ | grep -qx HOSTNAME={killed}; then
                 kill -9 ${{process#/proc/}} && exit
               fi
             done 2>/dev/null
             exit 1"
        );
        let cluster = std::env::var_os("PODLIFE_TEST_CLUSTER").unwrap();
        let status = Command::new(cluster).args(["shell", "sh", "-c", &script]).status().unwrap();
        assert!(status.success(), "the process of {killed} is there");
        created("two");
        led(scenario, &|leader| !leader.is_empty() && leader != before);
        scenario.wait("it runs again", |scenario| {
            let again = |pod: &Value| pod["metadata"]["name"] == **killed && pod["status"]["containerStatuses"][0]["restartCount"] == 1;
            gateways(scenario).iter().any(|pod| again(pod) && is_ready(pod))
        });
        scenario.kubectl(&["delete", "pod", other, "--force", "--grace-period=0"]);
        created("three");
        scenario.wait("another one is in its place", |scenario| {
            let now = gateways(scenario);
            now.len() == 2 && now.iter().all(is_ready) && !names(&now).contains(other)
        });
        go_on();
    });
    // Those whose connection broke have asked again. Nobody got a wrong answer.
    assert!(failed.iter().all(Result::is_err), "{failed:?}");
    assert_eq!((records(scenario).len(), made(scenario, &kind::POD).len()), (3, 3));
}
