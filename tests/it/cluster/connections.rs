//! Where a connection leads on a real cluster: through headless Services and other names, to pods that are not ready, to ports that refuse. What
//! podlife says of each is compared with a real connection.

use std::process::Command;

use super::harness::{Answer, Scenario, kubeconfig, kubectl_program, pods_ready};
use super::policies::run;
use super::rights::as_reader;
use podlife::model::kind;

/// A pod of the test application that listens on one port and declares it.
fn pod(name: &str, port: u16, more: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: podlife.test/app:1
    env: [{{name: LISTEN, value: '0.0.0.0:{port}'}}]
    ports: [{{name: main, containerPort: {port}}}]
{more}"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}\n")
}

fn asked(scenario: &Scenario, to: &str) -> Answer {
    scenario.podlife(&["trace", "web", to, "-o", "json"])
}

/// Verdict, how the port answers, and codes of the root causes.
fn told(answer: &Answer) -> String {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let codes: Vec<String> = answer.json["rootCauses"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| text(&f["code"]))
        .collect();
    format!(
        "{} {} {}",
        text(&answer.json["passage"]),
        text(&answer.json["listening"]),
        codes.join(", ")
    )
    .trim()
    .to_owned()
}

/// Dials from the web: `connected`, or the words of the failure.
fn dialled(scenario: &Scenario, target: &str) -> String {
    let target = target.replace("NAMESPACE", &scenario.namespace);
    let output = Command::new(kubectl_program())
        .args(["--kubeconfig", &kubeconfig(), "-n", &scenario.namespace, "exec", "web", "--"])
        .args(["/app", "connect", &target])
        .output()
        .unwrap();
    if output.status.success() {
        "connected".to_owned()
    } else {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// That podlife says this, and that a connection goes so too: it connects, or fails with these words.
fn holds(scenario: &Scenario, to: &str, dial: &str, expected: &str, goes: &str) {
    // The endpoints may be a moment behind the pods for the one that dials.
    scenario.wait(&format!("a connection to {dial} goes as it should: {goes}"), |s| {
        dialled(s, dial).contains(goes)
    });
    let answer = asked(scenario, to);
    assert_eq!(told(&answer), expected, "{to}\n{}{}", answer.stdout, answer.stderr);
}

#[test]
fn headless_services_and_other_names() {
    let manifest = pod("web", 8080, "")
        + &pod("db", 5432, "")
        + &service("db", "{selector: {app: db}, ports: [{name: sql, port: 80, targetPort: main}]}")
        + &service(
            "set",
            "{clusterIP: None, selector: {app: db}, ports: [{port: 80, targetPort: main}]}",
        );
    let scenario = Scenario::new("between-names")
        .apply(&manifest)
        .until("its pods are ready", pods_ready(2));
    let names = service("other", "{type: ExternalName, externalName: db.NAMESPACE.svc.cluster.local}")
        + &service("chain", "{type: ExternalName, externalName: other.NAMESPACE.svc.cluster.local}")
        + &service("round", "{type: ExternalName, externalName: about.NAMESPACE.svc.cluster.local}")
        + &service("about", "{type: ExternalName, externalName: round.NAMESPACE.svc.cluster.local}")
        + &service("lost", "{type: ExternalName, externalName: gone.NAMESPACE.svc.cluster.local}");
    let scenario = {
        let names = names.replace("NAMESPACE", &scenario.namespace);
        scenario.apply(&names)
    };
    let full = |name: &str| format!("{name}.NAMESPACE.svc.cluster.local.");
    let reached = "allowed inside";
    // A port of this number is taken for a protocol of its own: it is dialled from inside alone.
    for to in ["svc/db:80", "db:80", "db:sql", "http://db/path", "set:5432", "other:80", "chain:80"] {
        let (name, port) = match to {
            "http://db/path" => ("db", "80"),
            "db:sql" | "svc/db:80" => ("db", "80"),
            other => other.split_once(':').unwrap(),
        };
        holds(&scenario, to, &format!("{}:{port}", full(name)), reached, "connected");
    }
    // Nothing turns the Service's number into that of the pods.
    holds(
        &scenario,
        "set:80",
        &format!("{}:80", full("set")),
        "blocked undialled ServicePortMismatch",
        "refused",
    );
    let answer = asked(&scenario, "set:80");
    assert_eq!(answer.exit, 3);
    assert!(
        answer.root_cause()["fixes"][0]["text"].as_str().unwrap().contains("call port 5432"),
        "{}",
        answer.stdout
    );
    holds(
        &scenario,
        "other:5432",
        &format!("{}:5432", full("other")),
        "blocked undialled ServicePortMismatch",
        "",
    );
    holds(
        &scenario,
        "round:80",
        &format!("{}:80", full("round")),
        "blocked undialled DependencyUnreachable",
        "lookup",
    );
    holds(
        &scenario,
        "lost:80",
        &format!("{}:80", full("lost")),
        "blocked undialled ServiceMissing",
        "no such host",
    );
    for (to, code) in [
        ("svc/db:web", 2),
        ("pod/db:web", 2),
        ("svc/db:8080", 3),
        ("svc/db:80/UDP", 3),
        ("nobody:80", 5),
        ("svc/db:0", 2),
    ] {
        let answer = asked(&scenario, to);
        assert_eq!(answer.exit, code, "{to}: {}{}", answer.stdout, answer.stderr);
    }
}

#[test]
fn refused_ports_are_reported_together_with_the_policy() {
    let manifest = pod("web", 8080, "")
        + &pod(
            "db",
            8080,
            "    readinessProbe: {httpGet: {path: /status/503, port: main}, periodSeconds: 1}\n",
        )
        + &service("db", "{selector: {app: db}, ports: [{port: 80, targetPort: main}]}")
        + &pod("api", 8080, "")
        + &service("api", "{selector: {app: api}, ports: [{port: 80, targetPort: 9999}]}")
        + &service("empty", "{selector: {app: nobody}, ports: [{port: 80}]}");
    let scenario = Scenario::new("between-ports").apply(&manifest).until("its containers run", |s| {
        s.pods.len() == 3
            && s.pods
                .iter()
                .all(|p| p["status"]["containerStatuses"][0]["state"]["running"].is_object())
    });
    // Seconds after it was made it selects nothing already.
    let answer = asked(&scenario, "empty:80");
    assert_eq!(told(&answer), "blocked undialled ServiceSelectsNothing", "{}", answer.stdout);
    scenario.wait("web and api are ready", |s| {
        let ready = |name: &str| {
            let pods = s.list(&kind::POD);
            let mut named = pods.iter().filter(|p| p["metadata"]["name"] == name);
            named.any(|p| p["status"]["containerStatuses"][0]["ready"] == true)
        };
        ready("web") && ready("api")
    });
    holds(
        &scenario,
        "api:80",
        "api.NAMESPACE.svc.cluster.local.:80",
        "blocked refuses TargetPortMismatch",
        "refused",
    );
    let text = scenario.podlife(&["trace", "web", "api:80"]);
    assert!(
        text.exit == 3 && text.stdout.starts_with("REFUSED  pod/web → service/api port 80/TCP"),
        "{}",
        text.stdout
    );
    let reads_only = scenario.podlife(&["trace", "web", "api:80", "--no-dial"]);
    assert!(
        reads_only.exit == 0 && reads_only.stdout.starts_with("ALLOWED by policy; the port was not dialled"),
        "{}",
        reads_only.stdout
    );
    // Not ready, and a policy that would stop it as well: who mends one alone still does not get through.
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}";
    let scenario = scenario.apply(policy);
    let answer = asked(&scenario, "db:80");
    assert_eq!(
        told(&answer),
        "blocked answers ServiceHasNoReadyEndpoints, NetworkPolicyBlocks",
        "{}",
        answer.stdout
    );
}

/// Two things that one policy lacks: its commands, run one after the other in either order, open the way.
#[test]
fn commands_for_one_policy_do_not_undo_each_other() {
    let manifest =
        pod("web", 8080, "") + &pod("db", 8080, "") + &service("db", "{selector: {app: db}, ports: [{port: 80, targetPort: main}]}");
    let scenario = Scenario::new("between-fix")
        .apply(&manifest)
        .until("its pods are ready", pods_ready(2));
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web-out}, \
                  spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}}";
    for backwards in [false, true] {
        scenario.kubectl(&["delete", "networkpolicy", "--all"]);
        let file = std::env::temp_dir().join(format!("{}.yaml", scenario.namespace));
        std::fs::write(&file, policy).unwrap();
        scenario.kubectl(&["apply", "-f", file.to_str().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        let answer = asked(&scenario, "db:80");
        let mut commands: Vec<String> = answer.json["rootCauses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["fixes"][0]["command"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(commands.len(), 2, "{}", answer.stdout);
        if backwards {
            commands.reverse();
        }
        for command in &commands {
            run(command);
        }
        assert_eq!(asked(&scenario, "db:80").exit, 0);
        scenario.wait("the connection gets through", |s| {
            dialled(s, "db.NAMESPACE.svc.cluster.local.:80") == "connected"
        });
    }
}

/// A pod that waits for a node for ever, and one that runs.
#[test]
fn a_called_pod_that_does_not_run_is_reported() {
    let late = pod("late", 8080, "").replace("  containers:", "  nodeSelector: {podlife.test/nowhere: here}\n  containers:");
    let manifest =
        pod("web", 8080, "") + &late + &service("late", "{selector: {app: late}, ports: [{name: http, port: 80, targetPort: main}]}");
    let scenario = Scenario::new("between-late").apply(&manifest).until("one is ready", |s| {
        s.pods.len() == 2
            && s.pods.iter().any(|p| p["status"]["containerStatuses"][0]["ready"] == true)
            && s.events.iter().any(|e| e["reason"] == "FailedScheduling")
    });
    // That no node takes it is said a while after it was made.
    scenario.wait("it is told why it does not run", |s| {
        let answer = asked(s, "pod/late:8080");
        told(&answer) == "blocked stopped Unschedulable"
    });
    for to in ["pod/late:8080", "pod/late:main", "svc/late:80", "late:http"] {
        let text = scenario.podlife(&["trace", "web", to]);
        assert!(
            text.exit == 3 && text.stdout.starts_with("NOT RUNNING  pod/web → "),
            "{to}: {}{}",
            text.stdout,
            text.stderr
        );
        let answer = asked(&scenario, to);
        assert_eq!(answer.json["listening"], "stopped", "{to}: {}", answer.stdout);
        assert_eq!(answer.root_cause()["code"], "Unschedulable", "{to}: {}", answer.stdout);
    }
    for (to, says) in [
        ("pod/late:http", "pod/late declares no port named http; its names are main"),
        ("svc/late:main", "Service late has no port named main; its only port is 80 (http)"),
    ] {
        let answer = asked(&scenario, to);
        assert!(
            answer.exit == 2 && answer.stdout.is_empty() && answer.stderr.contains(says),
            "{to}: {} {}",
            answer.exit,
            answer.stderr
        );
    }
}

/// Who may read what `rbac diagnose` grants in both namespaces, and nothing else of the cluster, gets the answer of an administrator.
#[test]
fn the_least_role_of_both_namespaces_is_enough_for_a_bare_name() {
    let reader = "\n---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}\n";
    let here = Scenario::new("between-role-a")
        .apply(&(pod("web", 8080, "") + reader))
        .until("it is ready", pods_ready(1));
    let there = Scenario::new("between-role-b")
        .apply(&(pod("db", 8080, "") + &service("db", "{selector: {app: db}, ports: [{name: http, port: 80, targetPort: main}]}")))
        .until("it is ready", pods_ready(1));
    let account = format!("serviceaccount:{}:reader", here.namespace);
    let role = here.podlife(&["rbac", "diagnose", "--bind", &account]).stdout;
    let here = here.apply(&role);
    let to = format!("db.{}:80", there.namespace);
    let ask = |more: &[&str]| {
        let mut arguments = vec!["trace", "web", to.as_str(), "-o", "json"];
        arguments.extend(more);
        as_reader(&here, &arguments)
    };
    // Without any right there, nothing is taken for missing or for allowed.
    let blind = ask(&[]);
    assert!([4, 6].contains(&blind.exit), "{} {}{}", blind.exit, blind.stdout, blind.stderr);
    let there = {
        let role = there.podlife(&["rbac", "diagnose", "--bind", &account]).stdout;
        there.apply(&role)
    };
    let reads = ask(&["--no-dial"]);
    assert_eq!(
        (told(&reads).as_str(), reads.exit),
        ("allowed undialled", 0),
        "{}{}",
        reads.stdout,
        reads.stderr
    );
    let dials = ask(&[]);
    assert_eq!(dials.json["passage"], "allowed", "{}{}", dials.stdout, dials.stderr);
    let unchecked: Vec<&str> = dials.json["unchecked"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|u| u["resource"].as_str())
        .collect();
    assert!(
        unchecked.iter().all(|r| ["pods/proxy", "pods/portforward"].contains(r)),
        "{unchecked:?}"
    );
    let closed = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: db-closed}, \
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}}";
    let _there = there.apply(closed);
    let blocked = ask(&["--no-dial"]);
    assert_eq!(
        (told(&blocked).as_str(), blocked.exit),
        ("blocked undialled NetworkPolicyBlocks", 3),
        "{}{}",
        blocked.stdout,
        blocked.stderr
    );
}

/// A hint names what is in the namespace that was named, and of a namespace that is not there the one that is nearly called so.
#[test]
fn a_typo_in_a_namespace_is_reported() {
    let there =
        Scenario::new("between-slip-b").apply(&(pod("db", 8080, "") + &service("db", "{selector: {app: db}, ports: [{port: 80}]}")));
    let here = Scenario::new("between-slip-a")
        .apply(&pod("web", 8080, ""))
        .until("it is ready", pods_ready(1));
    let ask = |to: &str| here.podlife(&["trace", "web", to, "--no-dial"]);
    let answer = ask(&format!("web.{}:80", there.namespace));
    assert_eq!(answer.exit, 5, "{}{}", answer.stdout, answer.stderr);
    assert!(
        answer
            .stderr
            .contains(&format!("no Service, pod or workload web in namespace {}", there.namespace))
            && !answer.stderr.contains("hint: there is"),
        "{}",
        answer.stderr
    );
    let slip = format!("{}x", there.namespace);
    let answer = ask(&format!("db.{slip}:80"));
    assert_eq!(answer.exit, 5, "{}{}", answer.stdout, answer.stderr);
    for says in [
        format!("namespace {slip} does not exist"),
        format!("there is Service db in namespace {}", there.namespace),
    ] {
        assert!(answer.stderr.contains(&says), "{}", answer.stderr);
    }
    for to in [
        format!("svc/db.{slip}:80"),
        format!("pod/db.{slip}:80"),
        format!("db.{slip}.svc:80"),
    ] {
        let answer = ask(&to);
        let hint = format!("there is namespace {}: write db.{}", there.namespace, there.namespace);
        assert!(
            answer.exit == 5 && answer.stderr.contains(&format!("namespace {slip} does not exist")) && answer.stderr.contains(&hint),
            "{to}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
    // Nothing there is called so: it is a host outside, and that is said.
    let answer = ask(&format!("cache.{slip}:80"));
    assert!(
        answer
            .stdout
            .contains(&format!("no namespace is called {slip} (there is {})", there.namespace)),
        "{}{}",
        answer.stdout,
        answer.stderr
    );
}
