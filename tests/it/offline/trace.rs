//! `trace` between objects of files, without a server.

use crate::process::{Answer, Setting, podlife, podlife_in};

const SHOP: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: i}]}
status: {phase: Running, podIP: 10.244.0.7, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: data, labels: {app: db}}
spec: {containers: [{name: db, image: i, ports: [{name: sql, containerPort: 5432}]}]}
status: {phase: Running, podIP: 10.244.0.9, conditions: [{type: Ready, status: 'True'}]}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: data}, spec: {selector: {app: db}, ports: [{port: 80, targetPort: sql}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-in, namespace: data}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], ingress: [{from: [RULE], ports: [{port: sql}]}]}
";

fn asked(rule: &str, to: &str, more: &[&str]) -> Answer {
    let input = SHOP.replace("RULE", rule);
    let setting = Setting {
        input: &input,
        ..Setting::default()
    };
    let mut arguments = vec!["trace", "--local", "-f", "-", "pod/web", to];
    arguments.extend(more);
    podlife_in(&setting, &arguments)
}

/// What programs read is what the schema says.
#[test]
fn the_document_fits_its_schema() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/trace.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    for rule in [OPEN, CLOSED, BY_TEAM] {
        let document = asked(rule, "svc/db.data:80", &["-o", "json"]).json;
        assert_eq!(document["kind"], "Trace");
        let errors: Vec<String> = schema.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

const CLOSED: &str = "{podSelector: {matchLabels: {app: web}}}";
const OPEN: &str = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}";
const BY_TEAM: &str = "{namespaceSelector: {matchLabels: {team: a}}}";

#[test]
fn the_exit_code_is_the_answer() {
    for (rule, to, exit, passage) in [
        (OPEN, "svc/db.data:80", 0, "allowed"),
        (CLOSED, "svc/db.data:80", 3, "blocked"),
        (CLOSED, "pod/db.data:sql", 3, "blocked"),
        (CLOSED, "10.244.0.9:5432", 3, "blocked"),
        (OPEN, "svc/db.data:5432", 3, "blocked"),
        // Names as clients write them.
        (OPEN, "db.data:80", 0, "allowed"),
        (OPEN, "db.data.svc:80", 0, "allowed"),
        (OPEN, "http://db.data.svc.cluster.local/path", 0, "allowed"),
        (CLOSED, "db.data:80", 3, "blocked"),
        (CLOSED, "10.244.0.9:sql", 3, "blocked"),
        // A port that the Service does not have.
        (OPEN, "svc/db.data:8080", 3, "blocked"),
        (OPEN, "svc/db.data:80/UDP", 3, "blocked"),
        // The labels of namespace shop are in no file.
        (BY_TEAM, "svc/db.data:80", 4, "unknown"),
    ] {
        let answer = asked(rule, to, &["-o", "json"]);
        assert_eq!(
            (answer.exit, answer.json["passage"].as_str()),
            (exit, Some(passage)),
            "{to} {rule}\n{}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

#[test]
fn unanswerable_questions_say_why() {
    for (to, more, exit, says) in [
        ("svc/nope.data:80", &[][..], 5, "service/data/nope is not in the given files"),
        ("pod/db.data:http", &[], 2, "declares no port named http; its names are sql"),
        ("svc/db.data:http", &[], 2, "Service db has no port named http; its only port is 80"),
        ("db.data:http", &[], 2, "Service db has no port named http; its only port is 80"),
        (
            "192.0.2.7:https",
            &[],
            2,
            "192.0.2.7 has no ports with names: write the number, as in 192.0.2.7:443",
        ),
        ("db:80", &[], 5, "service/shop/db is not in the given files"),
        ("http://db/", &[], 5, "service/shop/db is not in the given files"),
        ("svc/db.data:80", &["-A"], 2, "unexpected argument '-A'"),
        (
            "svc/db.data:80",
            &["--ignore", "NetworkPolicyBlocks"],
            2,
            "unexpected argument '--ignore'",
        ),
    ] {
        let answer = asked(OPEN, to, more);
        assert!(
            answer.exit == exit && answer.stdout.is_empty() && answer.stderr.contains(says),
            "{to}: {} {}",
            answer.exit,
            answer.stderr
        );
    }
}

#[test]
fn both_ends_are_needed_and_diagnose_takes_neither() {
    for (arguments, says) in [
        (&["trace", "pod/web"][..], "<TO>"),
        (&["trace"], "<FROM>"),
        (&["trace", "svc/db", "pod/web:80"], "FROM: a service opens no connections"),
        (&["trace", "pod/web", "svc/db:80", "-f", "x.yaml"], "--local"),
        (&["diagnose", "--from", "pod/web", "--to", "svc/db:80"], "'--from'"),
    ] {
        let plain = podlife(arguments);
        assert_eq!((plain.exit, plain.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(plain.stderr.contains(says), "{arguments:?}: {}", plain.stderr);
        let document = podlife(&[arguments, &["-o", "json"]].concat());
        let error: serde_json::Value = serde_json::from_str(&document.stderr).unwrap();
        assert_eq!((document.exit, &error["kind"]), (2, &"Error".into()));
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    // What clap finds says which flag it is about, in a document too.
    let lacking = podlife(&["diagnose", "--local", "-o", "json"]);
    assert!(lacking.exit == 2 && lacking.stderr.contains("--filename"), "{}", lacking.stderr);
}

#[test]
fn the_source_may_be_named_without_its_type() {
    let deployment = "
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: front, namespace: shop}
spec: {selector: {matchLabels: {app: front}}, template: {metadata: {labels: {app: front}}, spec: {containers: [{name: c, image: i}]}}}
";
    let input = SHOP.replace("RULE", OPEN) + deployment;
    let setting = Setting {
        input: &input,
        ..Setting::default()
    };
    for (from, shown) in [("front", "deployment/front"), ("web", "pod/web")] {
        let answer = podlife_in(&setting, &["trace", "--local", "-f", "-", from, "db.data:80"]);
        assert!(
            answer.exit == 0 && answer.stdout.contains(&format!("{shown} → service/db")),
            "{}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

#[test]
fn text_names_the_policy_the_rule_and_the_limits() {
    let blocked = asked(CLOSED, "svc/db.data:80", &[]).stdout;
    for words in [
        "BLOCKED  pod/web → service/db in namespace data port 80/TCP",
        "NetworkPolicy db-in does not let pod/web in to pod/db on port 5432",
        "kubectl patch networkpolicy db-in -n data --type=json -p '[{\"op\":\"add\",\"path\":\"/spec/ingress/-\"",
        "✓ service",
        "✗ ingress",
        "not dialled",
    ] {
        assert!(blocked.contains(words), "no {words:?} in\n{blocked}");
    }
    let allowed = asked(OPEN, "svc/db.data:80", &[]).stdout;
    // Nobody has dialled it: that a policy lets it pass is not all that it takes.
    assert!(
        allowed.starts_with("ALLOWED by policy; the port was not dialled  pod/web → service/db"),
        "{allowed}"
    );
    assert!(allowed.contains("NetworkPolicy db-in allows it by ingress[0]"), "{allowed}");
}

#[test]
fn a_missing_pod_refuses_no_connection() {
    let more = "
---
apiVersion: v1
kind: Pod
metadata: {name: late, namespace: data, labels: {app: late}}
spec: {containers: [{name: late, image: i, ports: [{containerPort: 80}]}]}
status: {phase: Pending}
---
{apiVersion: v1, kind: Service, metadata: {name: late, namespace: data}, spec: {selector: {app: late}, ports: [{name: web, port: 80}]}}
";
    let input = SHOP.replace("RULE", OPEN) + more;
    let setting = Setting {
        input: &input,
        ..Setting::default()
    };
    for to in ["pod/late.data:80", "svc/late.data:80", "late.data:web"] {
        let answer = podlife_in(&setting, &["trace", "--local", "-f", "-", "pod/web", to]);
        assert!(
            answer.exit == 3 && answer.stdout.starts_with("NOT RUNNING  pod/web → "),
            "{to}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

/// `-o name` prints the object that has to change, and nothing for an allowed connection.
#[test]
fn names_are_the_objects_that_have_to_change() {
    let blocked = asked(CLOSED, "svc/db.data:80", &["-o", "name"]);
    assert_eq!(
        (blocked.exit, blocked.stdout.as_str()),
        (3, "networkpolicy.networking.k8s.io/db-in\n")
    );
    let allowed = asked(OPEN, "svc/db.data:80", &["-o", "name"]);
    assert_eq!((allowed.exit, allowed.stdout.as_str()), (0, ""));
    let passage = asked(CLOSED, "svc/db.data:80", &["-o", "jsonpath={.passage}"]);
    assert_eq!((passage.exit, passage.stdout.as_str()), (3, "blocked\n"));
}

#[test]
fn the_objects_can_be_saved() {
    let file = std::env::temp_dir().join(format!("podlife-trace-{}.json", std::process::id()));
    let answer = asked(CLOSED, "svc/db.data:80", &["--save", &file.display().to_string()]);
    let saved: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!((answer.exit, &saved["kind"]), (3, &"Snapshot".into()), "{}", answer.stderr);
    assert!(saved.to_string().contains("db-in"), "{saved}");
}

/// Without a clock, what was saved has lasted.
#[test]
fn a_time_says_when_the_files_were_read() {
    let pending = "phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, \
                   message: '0/3 nodes are available: 3 Insufficient cpu.', lastTransitionTime: '2026-01-01T11:00:00Z'}]";
    let input = SHOP
        .replace("RULE", OPEN)
        .replace(
            "phase: Running, podIP: 10.244.0.9, conditions: [{type: Ready, status: 'True'}]",
            pending,
        )
        .replace(
            "name: db, namespace: data, labels",
            "name: db, namespace: data, creationTimestamp: '2026-01-01T11:00:00Z', labels",
        );
    let causes = |now: &[&str]| {
        let setting = Setting {
            input: &input,
            ..Setting::default()
        };
        let arguments = ["trace", "--local", "-f", "-", "-o", "json", "pod/web", "svc/db.data:80"];
        let answer = podlife_in(&setting, &[&arguments[..], now].concat());
        let causes = answer.json["rootCauses"].as_array().unwrap().iter();
        causes.map(|cause| cause["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(causes(&[]), ["Unschedulable"]);
    assert_eq!(
        causes(&["--now", "2026-01-01T11:00:02Z"]),
        ["ServiceHasNoReadyEndpoints"],
        "the node may still come"
    );
    assert_eq!(causes(&["--now", "2026-01-01T12:00:00Z"]), ["Unschedulable"]);
}

/// A snapshot of files is still one of files when it was saved and read again: both answer alike.
#[test]
fn a_saved_snapshot_of_files_answers_like_the_files() {
    for (rule, exit) in [(OPEN, 0), (CLOSED, 3)] {
        let file = std::env::temp_dir().join(format!("podlife-again-{exit}-{}.json", std::process::id()));
        let path = file.display().to_string();
        let input = SHOP.replace("RULE", rule);
        let setting = Setting {
            input: &input,
            ..Setting::default()
        };
        podlife_in(&setting, &["diagnose", "--local", "-f", "-", "--save", &path]);
        let again = podlife(&["trace", "--local", "-f", &path, "pod/web", "svc/db.data:80"]);
        std::fs::remove_file(&file).unwrap();
        let first = asked(rule, "svc/db.data:80", &[]);
        assert_eq!((again.exit, &again.stdout), (exit, &first.stdout), "{}", again.stderr);
    }
}

/// The least rights are those of `diagnose`: the causes for pods that do not run are the same.
#[test]
fn the_role_has_the_rules_of_diagnose() {
    let role = |verb: &str| podlife(&["rbac", verb, "-n", "shop", "--with", "dial,nodes", "-o", "json"]).json;
    let (trace, diagnose) = (role("trace"), role("diagnose"));
    assert_eq!(trace["items"][0]["metadata"]["name"], "podlife-trace-nodes-dial");
    for at in [0, 1] {
        assert!(trace["items"][at]["rules"].is_array());
        assert_eq!(trace["items"][at]["rules"], diagnose["items"][at]["rules"]);
    }
}
