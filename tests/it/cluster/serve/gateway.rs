//! A gateway in a process or a pod of its own, and requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::harness::{Scenario, is_ready, kubeconfig, kubectl_program, send};
use crate::cluster::session::images;
use crate::cluster::wait_ready::relay::server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-podlife");
/// What each gateway of these tests makes sessions of.
pub const TEMPLATE: [&str; 6] = ["--image", "podlife.test/app:1", "--port", "8080", "--cpu", "10m:500m"];
/// Far beyond what an answer takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(240);

/// A gateway that serves the sessions of a namespace. It ends with this.
pub struct Gateway {
    /// The gateway, or what forwards a port to it.
    child: Child,
    /// Where it is reached.
    pub address: String,
    /// What the process has logged.
    log: Arc<Mutex<String>>,
    /// Where its metrics are, if it was told to serve any.
    metrics: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Gateway {
    /// A gateway on this machine, which reaches pods through the API server.
    pub fn local(scenario: &Scenario, flags: &[&str]) -> Self {
        Self::of_config(&kubeconfig(), scenario, &[&TEMPLATE, flags].concat())
    }

    /// The same with the rights of a kubeconfig, and flags for everything.
    pub fn of_config(kubeconfig: &str, scenario: &Scenario, flags: &[&str]) -> Self {
        let flags = [
            &["--kubeconfig", kubeconfig, "session", "serve", "--local", "--listen", "127.0.0.1:0"],
            flags,
        ]
        .concat();
        Self::started(Command::new(PROGRAM), scenario, &flags)
    }

    /// The same whose clock differs from that of all others: seconds, with a sign. Where libfaketime is missing, it does not.
    pub fn with_clock(seconds: &str, scenario: &Scenario, flags: &[&str]) -> Self {
        let library = ["x86_64", "aarch64"].map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"));
        let mut command = Command::new(PROGRAM);
        if let Some(library) = library.iter().find(|library| Path::new(library).exists()) {
            // Time that passes is as for all others.
            command.envs([
                ("LD_PRELOAD", &**library),
                ("FAKETIME", seconds),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ]);
        }
        let kubeconfig = kubeconfig();
        let common = [
            "--kubeconfig",
            &kubeconfig,
            "session",
            "serve",
            "--local",
            "--listen",
            "127.0.0.1:0",
        ];
        Self::started(command, scenario, &[&common, &TEMPLATE[..], flags].concat())
    }

    /// A gateway on the node, which connects to the addresses of pods; `flags` lead it to the API server. None where the cluster was given: its
    /// nodes are not entered.
    pub fn on_node(scenario: &Scenario, flags: &[&str]) -> Option<Self> {
        std::env::var_os("PODLIFE_TEST_CLUSTER")?;
        let kubeconfig = kubeconfig();
        let node = std::fs::read_to_string(Path::new(&kubeconfig).with_file_name("run").join("pid")).unwrap();
        let mut command = Command::new("nsenter");
        command.args(["--target", node.trim(), "--net", "--", PROGRAM]);
        let server = server();
        let listen = format!("{}:0", server.rsplit_once(':').unwrap().0);
        let common = ["--kubeconfig", &kubeconfig, "session", "serve", "--listen", &listen];
        Some(Self::started(command, scenario, &[&common, &TEMPLATE[..], flags].concat()))
    }

    fn started(mut command: Command, scenario: &Scenario, flags: &[&str]) -> Self {
        let child = command
            .args(["--namespace", &scenario.namespace])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self::reached(child, "http://", flags.contains(&"--metrics-listen"))
    }

    /// A gateway in a pod; none where the cluster gets no images.
    pub fn in_cluster(scenario: &Scenario, name: &str, flags: &[&str]) -> Option<Self> {
        if !images::podlife() {
            return None;
        }
        let account = format!("serviceaccount:{}:{name}", scenario.namespace);
        let role = scenario.podlife(&["rbac", "session", "--with", "serve", "--bind", &account]);
        scenario.kubectl_in(&["apply", "-f", "-"], Some(&role.stdout));
        let arguments: Vec<&str> = [&["session", "serve"], &TEMPLATE[..], flags].concat();
        let manifest = format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}}}}}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{podlife.dev/gateway: 'true'}}}}, \
             spec: {{serviceAccountName: {name}, containers: [{{name: gateway, image: 'kubectl-podlife:1', args: {}}}]}}}}",
            serde_json::to_string(&arguments).unwrap()
        );
        scenario.kubectl_in(&["apply", "-f", "-"], Some(&manifest));
        scenario.wait("the gateway runs", |scenario| {
            let is_it = |pod: &&Value| pod["metadata"]["name"] == name;
            scenario.state().pods.iter().find(is_it).is_some_and(is_ready)
        });
        let child = Command::new(kubectl_program())
            .args([
                "--kubeconfig",
                &kubeconfig(),
                "-n",
                &scenario.namespace,
                "port-forward",
                "--address",
                "127.0.0.1",
            ])
            .args([&format!("pod/{name}"), ":8080"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self::reached(child, "Forwarding from ", false))
    }

    /// The application of a session, by `session forward`.
    pub fn forwarded(scenario: &Scenario, id: &str, port: &str) -> Self {
        let child = Command::new(PROGRAM)
            .args([
                "--kubeconfig",
                &kubeconfig(),
                "-n",
                &scenario.namespace,
                "session",
                "forward",
                id,
                port,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self::reached(child, "Forwarding from ", false)
    }

    /// Reads the address from the first line that a process prints, and that of its metrics from the second one.
    fn reached(mut child: Child, before: &str, has_metrics: bool) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut next = || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let address = line.split(before).nth(1).unwrap_or_else(|| panic!("no address in {line:?}"));
            address.split(['/', ' ', '\n']).next().unwrap().to_owned()
        };
        let (address, metrics) = (next(), has_metrics.then(&mut next));
        // What comes later must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let log = Arc::<Mutex<String>>::default();
        if let Some(stderr) = child.stderr.take() {
            let log = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = writeln!(std::io::stderr(), "{line}");
                    log.lock().unwrap().push_str(&(line + "\n"));
                }
            });
        }
        let gateway = Self {
            child,
            address,
            log,
            metrics,
        };
        gateway.until("/readyz", |reply| reply.status == 200);
        gateway
    }

    /// Whether it is the one that cleans up, by its own account.
    pub fn leads(&self) -> bool {
        self.counts("session_leader 1")
    }

    /// Whether its metrics have a line.
    pub fn counts(&self, line: &str) -> bool {
        let metrics = try_ask(self.metrics.as_ref().unwrap(), "GET", "/metrics", "").unwrap();
        metrics.is(200).body.lines().any(|known| known == line)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "")
    }

    /// Makes a request, with lines of headers.
    pub fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        try_ask(&self.address, method, path, headers).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks until the answer is as it should be.
    pub fn until(&self, path: &str, condition: impl Fn(&Reply) -> bool) -> Reply {
        self.until_asked(path, "", condition)
    }

    /// The same for a browser.
    pub fn until_page(&self, path: &str, condition: impl Fn(&Reply) -> bool) -> Reply {
        self.until_asked(path, "Accept: text/html\r\n", condition)
    }

    fn until_asked(&self, path: &str, headers: &str, condition: impl Fn(&Reply) -> bool) -> Reply {
        let begun = std::time::Instant::now();
        loop {
            match try_ask(&self.address, "GET", path, headers) {
                Ok(reply) if condition(&reply) => return reply,
                last => assert!(begun.elapsed() < DEADLINE, "{path}: {last:?}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Begins a request, and leaves the answer to be read.
    pub fn begin(&self, path: &str) -> BufReader<TcpStream> {
        self.begin_with(path, "")
    }

    /// The same with lines of headers.
    pub fn begin_with(&self, path: &str, headers: &str) -> BufReader<TcpStream> {
        let mut stream = connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n").unwrap();
        BufReader::new(stream)
    }

    /// Sends it SIGHUP, and waits until it has logged a text. What it has logged since.
    pub fn hang_up(&self, until: &str) -> String {
        let before = self.log.lock().unwrap().len();
        send(&self.child, "-HUP");
        let begun = std::time::Instant::now();
        loop {
            let since = self.log.lock().unwrap()[before..].to_owned();
            if since.contains(until) {
                return since;
            }
            assert!(begun.elapsed() < DEADLINE, "{since}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The same until the answer has begun, with 200.
    pub fn stream(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = self.begin(path);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        stream
    }

    /// Tells it to end, and waits until it has. Its exit code.
    pub fn end(mut self) -> Option<i32> {
        send(&self.child, "-TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

pub fn try_ask(address: &str, method: &str, path: &str, headers: &str) -> std::io::Result<Reply> {
    let mut stream = connect(address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{headers}\r\n"
    )?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let all = String::from_utf8_lossy(&all);
    let cut_off = || std::io::Error::other(format!("no answer: {all:?}"));
    let (head, body) = all.split_once("\r\n\r\n").ok_or_else(cut_off)?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut reply = Reply {
        status: status.ok_or_else(cut_off)?,
        headers: lines.filter_map(header).collect(),
        body: body.to_owned(),
    };
    if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = joined(body).ok_or_else(cut_off)?;
    }
    Ok(reply)
}

/// The chunks of a body together; none where the last one is missing.
fn joined(mut body: &str) -> Option<String> {
    let mut all = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(all);
        }
        all.push_str(rest.get(..length)?);
        body = rest.get(length + 2..)?;
    }
}
