//! Clients that are killed right behind one of their writes, all of them: what is left is put in order by `gc --once --orphans`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use podlife::model::kind;
use serde_json::Value;

use crate::cluster::harness::{Scenario, kubeconfig, kubectl_program};
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

/// A way to the API server on which a client dies behind its `deadly`-th write: the write has its effect, and its answer never comes.
struct Way {
    kubeconfig: String,
    client: Arc<Mutex<Option<Child>>>,
    _folder: Folder,
}

impl Way {
    fn open(upstream: &str, deadly: usize) -> Self {
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
        let (of_way, writes, upstream) = (client.clone(), Arc::new(Mutex::new(0)), upstream.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (client, writes, upstream) = (of_way.clone(), writes.clone(), upstream.clone());
                thread::spawn(move || pass_on(stream, &upstream, deadly, &writes, &client));
            }
        });
        Self {
            kubeconfig: file.to_str().unwrap().to_owned(),
            client,
            _folder: folder,
        }
    }

    /// Runs a client to its end, or its death. True: it died.
    fn run(&self, namespace: &str, arguments: &[&str]) -> bool {
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
        assert!(status.success() || status.code().is_none(), "{status}: {said}");
        status.code().is_none()
    }
}

/// Passes one request on, over a connection of its own.
fn pass_on(mut stream: TcpStream, upstream: &str, deadly: usize, writes: &Mutex<usize>, client: &Mutex<Option<Child>>) {
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
    let is_write = !head.starts_with("GET ");
    let mut server = TcpStream::connect(upstream).unwrap();
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    server.write_all(&body).unwrap();
    if is_write {
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).unwrap();
        let mut writes = writes.lock().unwrap();
        *writes += 1;
        if *writes == deadly {
            if let Some(client) = client.lock().unwrap().as_mut() {
                client.kill().unwrap();
            }
            return;
        }
        let _ = stream.write_all(&answer);
    } else {
        let _ = std::io::copy(&mut server, &mut stream);
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
        let died = Way::open(&upstream.address, deaths + 1).run(&scenario.namespace, &arguments);
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
