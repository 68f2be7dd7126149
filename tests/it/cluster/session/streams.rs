//! Commands, logs and forwarded ports of a session, by real pods.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use podlife::model::kind;
use serde_json::Value;

use crate::cluster::harness::{Scenario, kubeconfig, send};
use crate::cluster::session::life::{made, records, session};
use crate::fake_api::Folder;

/// Many tests run at once on a small node.
const IMAGE: [&str; 4] = ["--image", "busybox:1.36", "--cpu", "10m:500m"];

/// A session that serves its hostname, and prints a line of its pod, numbered, over and over; the last line says that it was asked to end.
const SERVER: &str =
    "trap 'echo $HOSTNAME end; exit 0' TERM; httpd -p 8080 -h /etc; i=0; while :; do i=$((i+1)); echo $HOSTNAME $i; sleep 0.05; done";

fn arguments(scenario: &Scenario, verb: &[&str]) -> Vec<String> {
    let kubeconfig = kubeconfig();
    let begin = ["--kubeconfig", &kubeconfig, "--namespace", &scenario.namespace, "session"];
    begin.iter().chain(verb).map(|word| (*word).to_owned()).collect()
}

/// A run of podlife whose streams are pipes.
fn begun(scenario: &Scenario, verb: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(arguments(scenario, verb))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A run that gets `input` and then the end of it.
fn with_input(scenario: &Scenario, verb: &[&str], input: &[u8]) -> Output {
    let mut child = begun(scenario, verb);
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // What the command does not take is lost.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// A run that prints to files.
fn to_files(scenario: &Scenario, folder: &Folder, verb: &[&str]) -> (Child, PathBuf, PathBuf) {
    let (stdout, stderr) = (folder.0.join("stdout"), folder.0.join("stderr"));
    let child = Command::new(env!("CARGO_BIN_EXE_kubectl-podlife"))
        .args(arguments(scenario, verb))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&stdout).unwrap())
        .stderr(fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    (child, stdout, stderr)
}

/// A command line on a terminal of its own (script(1) of util-linux), with a file for its standard input that stays open.
fn on_terminal(line: &str) -> Child {
    Command::new("script")
        .args(["-qec", line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("script starts")
}

/// What a terminal showed until its command ended. It has a keyboard as long as that.
fn shown(mut terminal: Child) -> (Option<i32>, String) {
    let keyboard = terminal.stdin.take();
    let output = terminal.wait_with_output().unwrap();
    drop(keyboard);
    (output.status.code(), lossy(&output.stdout))
}

/// podlife as a word of a shell.
fn quoted(scenario: &Scenario, verb: &[&str]) -> String {
    let words = arguments(scenario, verb);
    let words = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    format!("{} {}", env!("CARGO_BIN_EXE_kubectl-podlife"), words.collect::<Vec<_>>().join(" "))
}

fn create(scenario: &Scenario, id: &str, flags: &[&str], script: &str) -> String {
    let verb = [&["create", id, "-o", "json"], &IMAGE[..], flags, &["--", "sh", "-c", script]].concat();
    let created = session(scenario, &verb);
    assert_eq!(created.exit, 0, "{}{}", created.stderr, created.stdout);
    created.json["pod"].as_str().unwrap().to_owned()
}

fn text(path: &Path) -> String {
    String::from_utf8(fs::read(path).unwrap_or_default()).unwrap()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn renewed(scenario: &Scenario) -> jiff::Timestamp {
    records(scenario)[0]["spec"]["renewTime"].as_str().unwrap().parse().unwrap()
}

fn nothing_is_left(scenario: &Scenario) {
    for kind in [&kind::LEASE, &kind::POD] {
        scenario.wait("nothing is left", |scenario| made(scenario, kind).is_empty());
    }
}

#[test]
fn exec_passes_streams_and_the_exit_code() {
    let scenario = Scenario::new("session-exec");
    create(&scenario, "Ex", &[], "sleep 3600 & trap 'exit 0' TERM; wait");

    let input: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let echoed = with_input(&scenario, &["exec", "-i", "Ex", "--", "cat"], &input);
    assert!(
        echoed.stdout == input && echoed.status.code() == Some(0),
        "{}",
        lossy(&echoed.stderr)
    );

    let script = "echo out; echo err >&2; head -c 2000000 /dev/zero; exit 7";
    let both = with_input(&scenario, &["exec", "Ex", "--", "sh", "-c", script], b"");
    assert_eq!(
        (both.status.code(), both.stdout.len(), lossy(&both.stderr).as_str()),
        (Some(7), 2_000_004, "err\n")
    );

    let missing = with_input(&scenario, &["exec", "Ex", "--", "no-such-command"], b"");
    assert_eq!(missing.status.code(), Some(127));
    assert!(
        lossy(&missing.stderr).starts_with("error: the command was not started: exec: \"no-such-command\""),
        "{}",
        lossy(&missing.stderr)
    );

    let nobody = session(&scenario, &["exec", "other", "--", "true"]);
    assert_eq!(nobody.exit, 5, "{}", nobody.stderr);
    let container = session(&scenario, &["exec", "Ex", "-c", "other", "--", "true"]);
    assert_eq!(container.exit, 2, "{}", container.stderr);

    // Nobody reads on.
    let mut endless = begun(&scenario, &["exec", "Ex", "--", "yes"]);
    let mut first = [0; 2];
    endless.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!((first, endless.wait().unwrap().code()), (*b"y\n", Some(141)));

    // The command ends with its pod, and that is no exit code of the command.
    let mut cut = begun(&scenario, &["exec", "Ex", "--", "sh", "-c", "echo up; sleep 3600"]);
    let mut up = [0; 3];
    cut.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let paused = session(&scenario, &["pause", "Ex"]);
    assert_eq!(paused.exit, 0, "{}", paused.stderr);
    let cut = cut.wait_with_output().unwrap();
    assert_eq!(cut.status.code(), Some(3), "{}", lossy(&cut.stderr));
    assert!(
        lossy(&cut.stderr).contains("went away while the command ran"),
        "{}",
        lossy(&cut.stderr)
    );

    let paused = session(&scenario, &["exec", "Ex", "--", "true"]);
    assert_eq!(paused.exit, 3);
    assert!(
        paused.stderr.contains("is paused") && paused.stderr.contains("session resume -n "),
        "{}",
        paused.stderr
    );
}

#[test]
fn a_terminal_is_passed_on_and_restored() {
    let scenario = Scenario::new("session-terminal");
    let folder = Folder::new();
    create(&scenario, "Tty", &[], "sleep 3600 & trap 'exit 0' TERM; wait");
    let (before, after) = (folder.0.join("before"), folder.0.join("after"));
    let (before_, after_) = (before.display(), after.display());

    let shell = quoted(&scenario, &["exec", "-it", "Tty", "--", "sh"]);
    let mut typed = on_terminal(&format!(
        "stty rows 33 cols 101; stty -g > {before_}; {shell}; code=$?; stty -g > {after_}; exit $code"
    ));
    typed.stdin.as_mut().unwrap().write_all(b"tty; stty size\rexit 5\r").unwrap();
    let (code, shown) = shown(typed);
    assert_eq!(code, Some(5), "{shown}");
    assert!(shown.contains("/dev/pts/0") && shown.contains("33 101"), "{shown}");
    assert!(!text(&before).is_empty());
    assert_eq!(text(&before), text(&after));

    // Ctrl-C is a key for the command.
    let shell = quoted(
        &scenario,
        &[
            "exec",
            "-it",
            "Tty",
            "--",
            "sh",
            "-c",
            "trap 'exit 9' INT; echo up; sleep 3600 & wait",
        ],
    );
    let mut interrupted = on_terminal(&shell);
    let mut up = Vec::new();
    while !lossy(&up).contains("up") {
        let mut byte = [0];
        interrupted.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        up.push(byte[0]);
    }
    interrupted.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert_eq!(interrupted.wait().unwrap().code(), Some(9));

    // A signal ends the run, and the terminal is as before.
    for (signal, code) in [("-TERM", 143), ("-QUIT", 131)] {
        let pid = folder.0.join("pid");
        let shell = quoted(&scenario, &["exec", "-it", "Tty", "--", "sh", "-c", "echo up; sleep 3600"]);
        let inner = format!("echo $$ > {}; exec {shell}", pid.display()).replace('\'', r"'\''");
        let mut ended = on_terminal(&format!(
            "stty -g > {before_}; sh -c '{inner}'; code=$?; stty -g > {after_}; exit $code"
        ));
        let mut up = Vec::new();
        while !lossy(&up).contains("up") {
            let mut byte = [0];
            ended.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
            up.push(byte[0]);
        }
        assert!(Command::new("kill").args([signal, text(&pid).trim()]).status().unwrap().success());
        assert_eq!(ended.wait().unwrap().code(), Some(code));
        assert_eq!(text(&before), text(&after));
    }
}

#[test]
fn a_terminal_shows_what_is_waited_for() {
    let scenario = Scenario::new("says-why");
    let pod = create(&scenario, "Held", &[], "sleep 3600");
    scenario.kubectl(&["patch", "pod", &pod, "-p", r#"{"metadata": {"finalizers": ["podlife.test/held"]}}"#]);
    scenario.kubectl(&["delete", "pod", &pod, "--wait=false", "--grace-period=120"]);
    let again = |timeout| [&["create", "Held", "--timeout", timeout][..], &IMAGE].concat();
    let still_going = format!("pod {pod} is still terminating");
    let (code, output) = shown(on_terminal(&quoted(&scenario, &again("20s"))));
    assert_eq!((code, output.matches(&still_going).count()), (Some(124), 2), "{output}");
    let created = session(&scenario, &again("10s"));
    assert_eq!(
        (created.exit, created.stderr.matches(&still_going).count()),
        (124, 1),
        "{}",
        created.stderr
    );
    let deleted = session(&scenario, &["delete", "Held", "--timeout", "10s"]);
    assert_eq!(deleted.exit, 124, "{}", deleted.stderr);
    assert!(deleted.stderr.contains("held by finalizer podlife.test/held"), "{}", deleted.stderr);
    scenario.kubectl(&["patch", "pod", &pod, "-p", r#"{"metadata": {"finalizers": null}}"#]);
    scenario.kubectl(&["delete", "pod", &pod, "--grace-period=1", "--ignore-not-found"]);
    let deleted = session(&scenario, &["delete", "Held"]);
    assert_eq!(deleted.exit, 0, "{}", deleted.stderr);
}

#[test]
fn a_log_goes_on_with_the_next_pod() {
    let scenario = Scenario::new("session-logs");
    let folder = Folder::new();
    let first = create(&scenario, "Lo", &[], SERVER);
    let (child, stdout, stderr) = to_files(&scenario, &folder, &["logs", "-f", "Lo"]);
    let lines_of = |pod: &str| text(&stdout).lines().filter(|line| line.starts_with(pod)).count();
    scenario.wait("the log is followed", |_| lines_of(&first) > 20);
    scenario.kubectl(&["delete", "pod", &first]);
    let second = first.replace("-g1", "-g2");
    scenario.wait("the log goes on", |_| lines_of(&second) > 20);
    send(&child, "-INT");
    let mut child = child;
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let shown = text(&stdout);
    for pod in [&first, &second] {
        let of: Vec<&str> = shown
            .lines()
            .filter_map(|line| line.strip_prefix(pod.as_str()))
            .map(str::trim)
            .collect();
        let numbered = of.iter().filter(|line| **line != "end");
        for (at, number) in numbered.enumerate() {
            assert_eq!(*number, (at + 1).to_string(), "{shown}");
        }
    }
    assert!(shown.contains(&format!("{first} end\n")), "{shown}");
    let note = format!("pod {first} has ended; the log continues with pod {second}");
    assert!(text(&stderr).contains(&note), "{}", text(&stderr));

    let last = session(&scenario, &["logs", "Lo", "--tail=1"]);
    assert!(
        last.stdout.starts_with(&second) && last.stdout.lines().count() == 1,
        "{}",
        last.stdout
    );
    let limited = session(&scenario, &["logs", "Lo", "--limit-bytes=11"]);
    assert_eq!(limited.stdout, second[..11]);
    let times = session(&scenario, &["logs", "Lo", "--tail=1", "--timestamps"]);
    assert!(
        times.stdout.split(' ').next().unwrap().parse::<jiff::Timestamp>().is_ok(),
        "{}",
        times.stdout
    );

    // Nobody reads on, and nothing is printed any more that could show it.
    create(&scenario, "Si", &[], "echo first; sleep 3600 & trap 'exit 0' TERM; wait");
    let mut unread = begun(&scenario, &["logs", "-f", "Si"]);
    let mut first = [0; 6];
    unread.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!((first, unread.wait().unwrap().code()), (*b"first\n", Some(141)));
}

/// The hostname that a pod serves.
fn hostname(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn forwarded_ports_carry_many_connections_over_pods_and_keep_the_session() {
    let scenario = Scenario::new("session-forward");
    let folder = Folder::new();
    let first = create(&scenario, "Fo", &["--idle-timeout", "6s"], SERVER);
    let (mut child, stdout, stderr) = to_files(&scenario, &folder, &["forward", "Fo", ":8080", ":81"]);
    let ports = || -> Vec<u16> {
        let text = text(&stdout);
        let lines = text.lines().filter_map(|line| line.strip_prefix("Forwarding from 127.0.0.1:"));
        lines.filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
    };
    scenario.wait("it listens", |_| ports().len() == 2);
    let [port, nothing] = ports()[..] else { panic!() };

    let all: Vec<_> = (0..20).map(|_| thread::spawn(move || hostname(port).unwrap())).collect();
    for answer in all {
        assert_eq!(answer.join().unwrap(), first);
    }
    // One that fails is reported, and the others go on.
    assert!(!hostname(nothing).is_ok_and(|answer| !answer.is_empty()));
    scenario.wait("it is reported", |_| text(&stderr).contains("forwarding port 81 of pod/"));

    // While it is forwarded the session is in use, however short its idle timeout is.
    let begun = renewed(&scenario);
    scenario.wait("two idle timeouts pass", |scenario| {
        let reaped = session(scenario, &["gc", "--once"]);
        assert_eq!((reaped.exit, records(scenario).len()), (0, 1), "{}{}", reaped.stdout, reaped.stderr);
        renewed(scenario).duration_since(begun).as_secs() >= 12
    });

    scenario.kubectl(&["delete", "pod", &first]);
    let second = first.replace("-g1", "-g2");
    scenario.wait("the next pod answers", |_| hostname(port).is_ok_and(|answer| answer == second));
    assert!(
        text(&stderr).contains(&format!("connections go to pod {second}")),
        "{}",
        text(&stderr)
    );

    send(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    // Nobody renews it any more.
    scenario.wait("it is cleaned up", |scenario| {
        session(scenario, &["gc", "--once"]);
        records(scenario).is_empty()
    });
}

#[test]
fn run_ends_as_its_command_and_rm_leaves_nothing() {
    let scenario = Scenario::new("session-run");
    let run = |flags: &[&'static str], command: &[&'static str], input: &[u8]| {
        let verb = [&["run", "Ru"], &IMAGE[..], flags, &["--"], command].concat();
        with_input(&scenario, &verb, input)
    };
    // Without the pause the container runtime loses the end of the output on a busy node: `kubectl logs` does not have it either.
    let counted = run(&["--rm"], &["sh", "-c", "seq 1 30000; sleep 3; exit 7"], b"");
    assert_eq!(counted.status.code(), Some(7), "{}", lossy(&counted.stderr));
    let expected: String = (1..=30_000).map(|n| format!("{n}\n")).collect();
    assert!(
        lossy(&counted.stdout) == expected,
        "{} of {} bytes",
        counted.stdout.len(),
        expected.len()
    );
    nothing_is_left(&scenario);

    let read = run(&["--rm", "-i"], &["sh", "-c", "wc -c"], &[b'x'; 100_000]);
    assert_eq!(
        (read.status.code(), lossy(&read.stdout).trim()),
        (Some(0), "100000"),
        "{}",
        lossy(&read.stderr)
    );
    let missing = run(&["--rm"], &["no-such-command"], b"");
    assert_eq!(missing.status.code(), Some(127), "{}", lossy(&missing.stderr));
    let image = with_input(
        &scenario,
        &[
            "run",
            "Im",
            "--rm",
            "--image",
            "podlife.test/missing:1",
            "--cpu",
            "10m:500m",
            "--",
            "true",
        ],
        b"",
    );
    assert_eq!(image.status.code(), Some(3), "{}", lossy(&image.stderr));
    assert!(lossy(&image.stderr).contains("ImagePullFailing"), "{}", lossy(&image.stderr));

    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let verb = [
            &["run", "Ru", "--rm"],
            &IMAGE[..],
            &["--", "sh", "-c", "trap 'exit 0' TERM; echo up; sleep 3600 & wait"],
        ]
        .concat();
        let mut child = begun(&scenario, &verb);
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        send(&child, signal);
        let status = child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
        assert_eq!(records(&scenario), Vec::<Value>::new());
    }
    nothing_is_left(&scenario);

    // What another client has made of the id in the meantime stays.
    let mut replaced = begun(
        &scenario,
        &[&["run", "Ru", "--rm"], &IMAGE[..], &["--", "sh", "-c", SERVER]].concat(),
    );
    let mut up = [0; 3];
    replaced.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    create(&scenario, "Ru", &["--if-exists=replace"], SERVER);
    let replaced = replaced.wait_with_output().unwrap();
    assert_eq!(replaced.status.code(), Some(3), "{}", lossy(&replaced.stderr));
    assert_eq!(records(&scenario).len(), 1);
    assert_eq!(session(&scenario, &["delete", "Ru"]).exit, 0);

    // Without --rm the session stays, and nothing runs its command again.
    assert_eq!(run(&[], &["sh", "-c", "echo once; exit 3"], b"").status.code(), Some(3));
    let reaped = session(&scenario, &["gc", "--once"]);
    assert_eq!(reaped.exit, 0, "{}", reaped.stderr);
    assert_eq!(made(&scenario, &kind::POD).len(), 1);
    assert_eq!(session(&scenario, &["logs", "-f", "Ru"]).stdout, "once\n");
    let again = run(&[], &["true"], b"");
    assert_eq!(again.status.code(), Some(3));
    assert!(lossy(&again.stderr).contains("has ended"), "{}", lossy(&again.stderr));

    // Beside what a session runs, and --rm does not delete what others made.
    create(&scenario, "Be", &[], "sleep 3600 & trap 'exit 0' TERM; wait");
    let beside = with_input(&scenario, &["run", "Be", "--", "sh", "-c", "echo beside; exit 4"], b"");
    assert_eq!((beside.status.code(), lossy(&beside.stdout).as_str()), (Some(4), "beside\n"));
    assert_eq!(session(&scenario, &["run", "Be", "--rm", "--", "true"]).exit, 3);
    assert_eq!(session(&scenario, &["run", "Un", "--", "true"]).exit, 2);
}

#[test]
fn run_on_a_terminal_gives_the_command_one() {
    let scenario = Scenario::new("session-run-terminal");
    let verb = [&["run", "Rt", "--rm"], &IMAGE[..], &["--", "sh"]].concat();
    let mut typed = on_terminal(&quoted(&scenario, &verb));
    typed.stdin.as_mut().unwrap().write_all(b"tty; echo $SESSION_ID\rexit 6\r").unwrap();
    let (code, shown) = shown(typed);
    assert_eq!(code, Some(6), "{shown}");
    assert!(shown.contains("/dev/pts/0") && shown.contains("Rt\r\n"), "{shown}");
    nothing_is_left(&scenario);
}
