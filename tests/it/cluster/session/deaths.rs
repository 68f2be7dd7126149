//! Clients that are killed right behind one of their writes, all of them: what is left is put in order by `gc --once --orphans`. And clients that
//! are interrupted while the API server creates their record.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use podlife::model::kind;
use serde_json::Value;

use crate::cluster::harness::{Scenario, kubeconfig, kubectl_program, send};
use crate::cluster::session::life::{Template, begun, made, nowhere, records, session};
use crate::fake_api::Folder;

/// `kubectl proxy`, which brings the credentials.
struct Upstream {
    child: Child,
    address: String,
}

impl Upstream {
    fn start() -> Self {
        let mut child = Command::new(kubectl_program())
            .args(["--kubeconfig", &kubeconfig(), "proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What happens at a write of a client: gets its first line and how to pass it on, and returns the answer, if one is to come.
type AtWrite = dyn Fn(&str, &mut dyn FnMut() -> Vec<u8>, &mut Child) -> Option<Vec<u8>> + Send + Sync;

/// A way to the API server on which something happens at the writes of a client.
struct Way {
    kubeconfig: String,
    client: Arc<Mutex<Option<Child>>>,
    _folder: Folder,
}

impl Way {
    fn open(upstream: &str, at_write: Box<AtWrite>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let folder = Folder::new();
        let file = folder.0.join("kubeconfig");
        let content = format!(
            "{{apiVersion: v1, kind: Config, current-context: way, clusters: [{{name: way, cluster: {{server: '{url}'}}}}], \
             contexts: [{{name: way, context: {{cluster: way, user: way}}}}], users: [{{name: way, user: {{}}}}]}}"
        );
        std::fs::write(&file, content).unwrap();
        let client: Arc<Mutex<Option<Child>>> = Arc::default();
        let (of_way, at_write, upstream) = (client.clone(), Arc::new(at_write), upstream.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (client, at_write, upstream) = (of_way.clone(), at_write.clone(), upstream.clone());
                thread::spawn(move || pass_on(stream, &upstream, &**at_write, &client));
            }
        });
        Self {
            kubeconfig: file.to_str().unwrap().to_owned(),
            client,
            _folder: folder,
        }
    }

    /// Runs a client to its end, or its death: how it ended, and what it said.
    fn run(&self, namespace: &str, arguments: &[&str]) -> (ExitStatus, String) {
        let child = begun(&self.kubeconfig, namespace, arguments);
        let (stdout, stderr) = {
            let mut client = self.client.lock().unwrap();
            let child = client.insert(child);
            (child.stdout.take().unwrap(), child.stderr.take().unwrap())
        };
        let read = |mut from: Box<dyn std::io::Read + Send>| {
            thread::spawn(move || {
                let mut text = String::new();
                from.read_to_string(&mut text).map(|_| text)
            })
        };
        let (stdout, stderr) = (read(Box::new(stdout)), read(Box::new(stderr)));
        let said = format!("{}{}", stdout.join().unwrap().unwrap(), stderr.join().unwrap().unwrap());
        let status = self.client.lock().unwrap().take().unwrap().wait().unwrap();
        (status, said)
    }
}

/// Passes one request on, over a connection of its own.
fn pass_on(mut stream: TcpStream, upstream: &str, at_write: &AtWrite, client: &Mutex<Option<Child>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        if !line.to_lowercase().starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let connect = || {
        let mut server = TcpStream::connect(upstream).unwrap();
        server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        server.write_all(&body).unwrap();
        server
    };
    if head.starts_with("GET ") {
        let _ = std::io::copy(&mut connect(), &mut stream);
        return;
    }
    let mut pass = || {
        let mut answer = Vec::new();
        connect().read_to_end(&mut answer).unwrap();
        answer
    };
    let mut client = client.lock().unwrap();
    let answer = match client.as_mut() {
        Some(client) => at_write(head.lines().next().unwrap_or_default(), &mut pass, client),
        None => return,
    };
    if let Some(answer) = answer {
        let _ = stream.write_all(&answer);
    }
}

/// Each record has one slot and, unless it is paused, the one pod of its generation; nothing else is there.
fn is_in_order(scenario: &Scenario) -> bool {
    let leases = made(scenario, &kind::LEASE);
    let records = records(scenario);
    let names: BTreeSet<&str> = records.iter().map(|record| record["metadata"]["name"].as_str().unwrap()).collect();
    let of = |object: &Value| object["metadata"]["labels"]["podlife.dev/session"].as_str().unwrap().to_owned();
    let slots: Vec<String> = leases
        .iter()
        .filter(|lease| !lease["metadata"]["labels"]["podlife.dev/slot"].is_null())
        .map(of)
        .collect();
    let expected: Vec<String> = records
        .iter()
        .filter(|record| record["metadata"]["annotations"]["podlife.dev/phase"] != "Paused")
        .map(|record| {
            let metadata = &record["metadata"];
            let generation = metadata["annotations"]["podlife.dev/generation"].as_str().unwrap();
            format!("{}-g{generation}", metadata["name"].as_str().unwrap())
        })
        .collect();
    let pods: Vec<String> = made(scenario, &kind::POD)
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    let has_shared = !records.is_empty();
    let shared = [&kind::CONFIG_MAP, &kind::NETWORK_POLICY].map(|kind| made(scenario, kind).len());
    slots.len() == names.len()
        && slots.iter().all(|slot| names.contains(slot.as_str()))
        && pods == expected
        && shared == [usize::from(has_shared); 2]
        && records
            .iter()
            .all(|record| record["metadata"]["annotations"]["podlife.dev/phase"] != "Pending")
}

/// A client dies behind its `deadly`-th write: the write has its effect, and its answer never comes.
fn dies_behind(deadly: usize) -> Box<AtWrite> {
    let writes = AtomicUsize::new(0);
    Box::new(move |_, pass, client| {
        let answer = pass();
        if writes.fetch_add(1, Ordering::SeqCst) + 1 < deadly {
            return Some(answer);
        }
        client.kill().unwrap();
        None
    })
}

/// Runs a command again and again, and kills it behind its first write, its second one, and so on, until it ends before that.
fn dies_behind_each_write(name: &str, least: usize, prepare: &dyn Fn(&Scenario, &str), arguments: &[&str]) {
    let scenario = Scenario::new(name);
    let (_folder, file) = Template::new();
    let upstream = Upstream::start();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| if *argument == "FILE" { file.as_str() } else { argument })
        .collect();
    let mut deaths = 0;
    loop {
        prepare(&scenario, &file);
        let (status, said) = Way::open(&upstream.address, dies_behind(deaths + 1)).run(&scenario.namespace, &arguments);
        let died = status.code().is_none();
        assert!(status.success() || died, "{status}: {said}");
        let pass = session(&scenario, &["gc", "--once", "--orphans"]);
        assert_eq!(pass.exit, 0, "{}", pass.stderr);
        scenario.wait(&format!("all is in order after write {}", deaths + 1), is_in_order);
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= least, "{arguments:?} has only {deaths} writes");
}

fn gone(scenario: &Scenario, _: &str) {
    let deleted = session(scenario, &["delete", "--all"]);
    assert_eq!(deleted.exit, 0, "{}", deleted.stderr);
    let pass = session(scenario, &["gc", "--once", "--orphans"]);
    assert_eq!(pass.exit, 0, "{}", pass.stderr);
}

fn there(scenario: &Scenario, file: &str) {
    let created = session(scenario, &[&["create", "one"][..], &nowhere(file)].concat());
    assert_eq!(created.exit, 0, "{}", created.stderr);
}

fn without_pod(scenario: &Scenario, file: &str) {
    // A new one: whose pods were gone before has to wait.
    gone(scenario, file);
    there(scenario, file);
    scenario.kubectl(&["delete", "pods", "--all"]);
}

#[test]
fn create_may_die_behind_each_write() {
    dies_behind_each_write("dies-create", 6, &gone, &["create", "one", "-f", "FILE", "--no-wait"]);
}

#[test]
fn replace_may_die_behind_each_write() {
    let replace = ["create", "one", "-f", "FILE", "--no-wait", "--if-exists", "replace"];
    dies_behind_each_write("dies-replace", 5, &there, &replace);
}

#[test]
fn pause_may_die_behind_each_write() {
    dies_behind_each_write("dies-pause", 2, &there, &["pause", "one"]);
}

#[test]
fn delete_may_die_behind_each_write() {
    dies_behind_each_write("dies-delete", 1, &there, &["delete", "one", "--no-wait"]);
}

#[test]
fn healing_may_die_behind_each_write() {
    dies_behind_each_write("dies-heal", 3, &without_pod, &["gc", "--once"]);
}

fn paused(scenario: &Scenario, file: &str) {
    there(scenario, file);
    let paused = session(scenario, &["pause", "one"]);
    assert_eq!(paused.exit, 0, "{}", paused.stderr);
}

#[test]
fn resume_may_die_behind_each_write() {
    dies_behind_each_write("dies-resume", 3, &paused, &["resume", "one", "--no-wait"]);
}

/// Whether a write creates a Lease: the record of a session, and then its slot.
fn creates_lease(line: &str) -> bool {
    line.starts_with("POST ") && line.contains("/leases")
}

#[test]
fn an_interrupted_run_deletes_what_it_was_making() {
    let scenario = Scenario::new("run-interrupted");
    let upstream = Upstream::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let at_write: Box<AtWrite> = Box::new(move |line, pass, client| {
        let answer = pass();
        if creates_lease(line) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            send(client, "-TERM");
        }
        Some(answer)
    });
    let run = ["run", "one", "--rm", "--image", "podlife.test/app:1", "--", "/app"];
    let (status, said) = Way::open(&upstream.address, at_write).run(&scenario.namespace, &run);
    assert!(status.code() == Some(143) && asked.load(Ordering::SeqCst) > 0, "{status}: {said}");
    assert_eq!(records(&scenario), Vec::<Value>::new());
}

#[test]
fn an_interrupted_run_leaves_what_another_client_has_made_under_its_id() {
    let scenario = Scenario::new("run-overtaken");
    let (_folder, file) = Template::new();
    let upstream = Upstream::start();
    let namespace = scenario.namespace.clone();
    let at_write: Box<AtWrite> = Box::new(move |line, pass, client| {
        if creates_lease(line) {
            // The run has seen that there is none.
            let create = [&["create", "one"][..], &nowhere(&file)].concat();
            let created = begun(&kubeconfig(), &namespace, &create).wait_with_output().unwrap();
            assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
            send(client, "-TERM");
        }
        Some(pass())
    });
    let run = ["run", "one", "--rm", "--image", "podlife.test/app:1", "--", "/app"];
    let (status, said) = Way::open(&upstream.address, at_write).run(&scenario.namespace, &run);
    assert_eq!(status.code(), Some(143), "{said}");
    assert_eq!((records(&scenario).len(), made(&scenario, &kind::POD).len()), (1, 1), "{said}");
}
