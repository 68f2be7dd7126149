//! Faults that run a command in containers.

use super::super::harness::kubectl_program;
use super::super::session::images;
use super::*;

/// A script that handles SIGTERM, is ready while a file exists, and has limits; beside it a process without a handler for any signal.
const SCRIPT: &str = "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.2; done";
const BREAK: &[&str] = &["not-ready", "--break", "rm /tmp/ready", "--heal", "touch /tmp/ready"];
const INSIDE: [&[&str]; 5] = [&["container-crash"], &["oom"], &["cpu"], &["cpu", "--resize", "50m"], BREAK];

fn container(name: &str, command: &[&str]) -> Value {
    json!({"name": name, "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent", "command": command})
}

/// Two pods of shells.
fn shells(kind: &str) -> Value {
    let mut script = container("script", &["sh", "-c", SCRIPT]);
    script["resources"] = json!({"limits": {"cpu": "100m", "memory": "32Mi"}, "requests": {"cpu": "10m", "memory": "16Mi"}});
    script["readinessProbe"] = json!({"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "timeoutSeconds": 5});
    let mut shells = web(2, json!({}), json!({}));
    shells["kind"] = kind.into();
    if kind == "StatefulSet" {
        shells["spec"]["serviceName"] = "web".into();
        shells["spec"]["podManagementPolicy"] = "Parallel".into();
    }
    shells["spec"]["template"]["spec"]["containers"] = json!([script, container("deaf", &["sleep", "36000"])]);
    shells
}

fn of_shells(name: &str, kind: &str) -> Scenario {
    Scenario::new(name)
        .apply(&manifest(&[shells(kind)]))
        .until("both are ready", pods_ready(2))
}

/// What each pod is to be after a drill: its identity and spec, and that none of its processes is podlife's.
fn pods(scenario: &Scenario) -> Vec<(Value, Value)> {
    let pods = scenario.list(&kind::POD);
    pods.iter()
        .map(|pod| (pod["metadata"]["uid"].clone(), pod["spec"].clone()))
        .collect()
}

/// The processes of all containers. The kernel may end the command that lists them while memory is full: then it is run again.
fn strangers(scenario: &Scenario) -> String {
    let processes = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let words = [
            "--kubeconfig",
            &kubeconfig(),
            "-n",
            &scenario.namespace,
            "exec",
            name,
            "-c",
            "script",
            "--",
            "ps",
        ];
        let list = || Command::new(kubectl_program()).args(words).output().unwrap();
        let told = std::iter::repeat_with(list).take(60).find(|output| output.status.success());
        String::from_utf8_lossy(&told.expect("the processes are listed").stdout).into_owned()
    };
    scenario.list(&kind::POD).iter().map(processes).collect()
}

fn each_command(scenario: &Scenario, target: &str) {
    let before = (specs(scenario), pods(scenario));
    for fault in INSIDE {
        let answer = drill(scenario, &[fault, &[target]].concat());
        let told = format!("{fault:?}: {}{}", answer.stdout, answer.stderr);
        assert_eq!((&answer.json["verdict"], answer.exit), (&json!("held"), 0), "{told}");
        let has = |what: &str| answer.json["events"].as_array().unwrap().iter().any(|event| event["what"] == what);
        assert!(has("injected") && has("proven") && has("recovered"), "{told}");
        assert_eq!(answer.json["restarts"], 0, "the one that the fault makes does not count: {told}");
        let undone = answer.json["restored"].as_array().unwrap();
        assert_eq!(undone.is_empty(), fault[0] == "container-crash", "{told}");
        assert!(
            undone.iter().all(|one| one["how"] == "restored" || one["how"] == "asBefore"),
            "{told}"
        );
        assert_eq!((specs(scenario), pods(scenario)), before, "{told}");
        assert!(is_closed(scenario), "{told}");
        let left = strangers(scenario);
        assert!(!left.contains("podlife-drill"), "{told}{left}");
    }
}

#[test]
fn each_command_in_a_deployment_is_proven_and_taken_back() {
    each_command(&of_shells("inside-deploy", "Deployment"), "deployment/web");
}

#[test]
fn each_command_in_a_stateful_set_is_proven_and_taken_back() {
    each_command(&of_shells("inside-set", "StatefulSet"), "statefulset/web");
}

/// What was seen of a fault that was proven.
fn proof(answer: &Answer) -> String {
    let told = format!("{}{}", answer.stdout, answer.stderr);
    assert_eq!((&answer.json["verdict"], answer.exit), (&json!("held"), 0), "{told}");
    let events = answer.json["events"].as_array().unwrap();
    let proven = events.iter().find(|event| event["what"] == "proven").expect(&told);
    proven["detail"].as_str().unwrap().to_owned()
}

#[test]
fn a_container_is_killed_in_the_way_that_works_or_not_at_all() {
    let mut wrapped = named(shells("Deployment"), "wrapped");
    wrapped["spec"]["replicas"] = 1.into();
    wrapped["spec"]["template"]["spec"]["containers"] = json!([container("script", &["sh", "-c", "sleep 36000; exit 9"])]);
    let mut shared = named(wrapped.clone(), "shared");
    shared["spec"]["template"]["spec"]["shareProcessNamespace"] = true.into();
    shared["spec"]["template"]["spec"]["containers"] =
        json!([container("script", &["sleep", "36000"]), container("other", &["sleep", "36000"])]);
    let bare = named(web(1, json!({}), probe()), "bare");
    let mut restless = named(wrapped.clone(), "restless");
    restless["spec"]["template"]["spec"]["containers"] = json!([container("script", &["sh", "-c", "while :; do sleep 36000; done"])]);
    let scenario = Scenario::new("inside-ways")
        .apply(&manifest(&[shells("Deployment"), wrapped, shared, bare, restless]))
        .until("all are ready", pods_ready(6));
    for (target, flags, ended) in [
        ("deployment/web", &["--all"][..], "with 3 (Error)"),
        ("deployment/wrapped", &[], "with 9 (Error)"),
        ("deployment/shared", &["--container", "other"], "container other of pod/shared"),
        (
            "deployment/bare",
            &["--ephemeral-image", "busybox:1.36"],
            "container app of pod/bare",
        ),
    ] {
        let answer = drill(&scenario, &[&["container-crash", target], flags].concat());
        let proof = proof(&answer);
        assert!(proof.contains(ended), "{target}: {proof}");
        assert_eq!(answer.json["restarts"], 0, "{target}");
    }
    let before = pods(&scenario);
    let vain = drill(&scenario, &["container-crash", "deployment/restless"]);
    assert_eq!((&vain.json["verdict"], vain.exit), (&json!("notInjected"), 7), "{}", vain.stdout);
    let why = vain.json["reasons"][0].as_str().unwrap();
    assert!(
        why.contains("process 1 has replaced the killed processes"),
        "it is known before a minute is over: {why}"
    );
    let answer = drill(&scenario, &["cpu", "deployment/restless", "--allow", "no-limit"]);
    assert!(proof(&answer).contains("ms of CPU"), "{}", answer.stdout);
    for (arguments, reason) in [
        (
            &["container-crash", "deployment/web", "--container", "deaf"][..],
            "process 1 (sleep) handles none of TERM",
        ),
        (
            &["container-crash", "deployment/web", "--container", "none"],
            "no running container none",
        ),
        (&["container-crash", "deployment/bare"], "has no shell to send a signal with"),
        (&["oom", "deployment/bare"], "has no memory limit"),
        (&["cpu", "deployment/bare"], "--allow no-limit"),
        (&["cpu", "deployment/bare", "--allow", "no-limit"], "has no shell"),
        (&["cpu", "deployment/bare", "--resize", "10m"], "has no CPU limit"),
        (&["cpu", "deployment/web", "--resize", "200m"], "is not lower"),
        (&["not-ready", "deployment/bare", "--break", "x", "--heal", "y"], "has no shell"),
    ] {
        let answer = drill(&scenario, arguments);
        assert_eq!(answer.exit, 7, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.stderr.contains(reason), "{arguments:?}: {}", answer.stderr);
        assert!(is_closed(&scenario));
    }
    assert_eq!(pods(&scenario), before);
    for arguments in [
        &["cpu", "deployment/web", "--break", "x", "--heal", "y"][..],
        &["not-ready", "deployment/web", "--break", "x"],
        &["pod-delete", "deployment/web", "--container", "script"],
        &["cpu", "deployment/web", "--resize", "nothing"],
        &["container-crash", "deployment/web", "--duration", "3s"],
    ] {
        let answer = scenario.podlife(&[&["drill", "run"], arguments].concat());
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{arguments:?}: {}", answer.stderr);
    }
}

#[test]
fn what_an_init_runs_is_killed_by_force() {
    if !images::inits() {
        return;
    }
    let of = |name: &str, init: &[&str]| {
        let mut object = named(web(1, json!({}), json!({})), name);
        let command = [init, &["sleep", "36000"]].concat();
        let mut container = container("app", &command);
        container["image"] = "podlife.test/inits:1".into();
        object["spec"]["template"]["spec"]["containers"] = json!([container]);
        object
    };
    let scenario = Scenario::new("inside-inits")
        .apply(&manifest(&[
            of("tini", &["/usr/bin/tini", "--"]),
            of("dumb", &["/usr/bin/dumb-init", "--"]),
        ]))
        .until("both are ready", pods_ready(2));
    for target in ["deployment/tini", "deployment/dumb"] {
        let answer = drill(&scenario, &["container-crash", target]);
        assert!(proof(&answer).contains("with 137 (Error)"), "{target}: {}", answer.stdout);
        let events = answer.json["events"].to_string();
        assert!(events.contains("kill -KILL") && events.contains("(sleep)"), "{target}: {events}");
        assert_eq!(answer.json["restarts"], 0, "{target}");
    }
}

#[test]
fn a_command_that_fails_or_has_no_effect_is_no_fault() {
    let scenario = of_shells("inside-vain", "Deployment");
    let before = pods(&scenario);
    let failed = drill(
        &scenario,
        &["not-ready", "deployment/web", "--break", "exit 4", "--heal", "touch /tmp/ready"],
    );
    assert_eq!(
        (&failed.json["verdict"], failed.exit),
        (&json!("notInjected"), 7),
        "{}{}",
        failed.stdout,
        failed.stderr
    );
    let unhealed = drill(
        &scenario,
        &["not-ready", "deployment/web", "--break", "rm /tmp/ready", "--heal", "exit 5"],
    );
    assert_eq!(
        (&unhealed.json["verdict"], unhealed.exit),
        (&json!("notRestored"), 8),
        "{}",
        unhealed.stdout
    );
    assert!(!is_closed(&scenario), "its journal tells what is left to do");
    for pod in scenario.list(&kind::POD) {
        scenario.kubectl(&[
            "exec",
            pod["metadata"]["name"].as_str().unwrap(),
            "-c",
            "script",
            "--",
            "touch",
            "/tmp/ready",
        ]);
    }
    assert_eq!(pods(&scenario), before);
}

#[test]
fn what_a_killed_drill_runs_in_containers_is_ended_by_restore_and_by_itself() {
    let scenario = of_shells("inside-killed", "Deployment");
    let before = (specs(&scenario), pods(&scenario));
    for fault in [&["cpu"][..], &["oom"], &["cpu", "--resize", "50m"], BREAK] {
        let (home, other) = (Folder::new(), Folder::new());
        let (mut child, mut lines) = begun(
            &scenario,
            &home,
            &[&["run"], fault, &["deployment/web", "--duration", "1h"]].concat(),
        );
        until_said(&mut lines, "proven");
        child.kill().unwrap();
        child.wait().unwrap();
        let (mut restore, lines) = begun(&scenario, &other, &["restore"]);
        assert_eq!(
            restore.wait().unwrap().code(),
            Some(0),
            "{fault:?}: {:?}",
            lines.collect::<Vec<_>>()
        );
        scenario.wait("both are ready again", |scenario| pods_ready(2)(&scenario.state()));
        assert_eq!((specs(&scenario), pods(&scenario)), before, "{fault:?}");
        let left = strangers(&scenario);
        assert!(is_closed(&scenario) && !left.contains("podlife-drill"), "{fault:?}: {left}");
    }
    for fault in ["cpu", "oom"] {
        let home = Folder::new();
        let (mut child, mut lines) = begun(&scenario, &home, &["run", fault, "deployment/web", "--duration", "3s"]);
        until_said(&mut lines, "proven");
        child.kill().unwrap();
        child.wait().unwrap();
        // What fills memory may have been ended by the kernel already.
        assert!(fault == "oom" || strangers(&scenario).contains("podlife-drill"), "{fault}");
        scenario.wait("it ends by itself", |scenario| !strangers(scenario).contains("podlife-drill"));
        assert_eq!(scenario.podlife(&["drill", "restore"]).exit, 0);
    }
}

#[test]
fn the_printed_role_is_enough_for_commands_in_containers() {
    let scenario = of_shells("inside-role", "Deployment");
    let account = format!("serviceaccount:{}:breaker", scenario.namespace);
    let role = scenario.podlife(&["rbac", "drill", "--bind", &account]);
    scenario.kubectl(&["create", "serviceaccount", "breaker"]);
    let scenario = scenario.apply(&role.stdout);
    let user = format!("system:serviceaccount:{}:breaker", scenario.namespace);
    for fault in INSIDE {
        let arguments = [
            &["--as", &user, "drill", "run"],
            fault,
            &["deployment/web", "--duration", "0", "-o", "json"],
        ]
        .concat();
        let answer = scenario.podlife(&arguments);
        assert_eq!(answer.exit, 0, "{fault:?}: {}{}", answer.stdout, answer.stderr);
    }
}
