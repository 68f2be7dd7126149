//! Connections between objects of files: the same evaluation, and no server.

use crate::process::{Answer, Setting, podlife_in};

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
    let mut arguments = vec!["diagnose", "--local", "-f", "-", "--from", "pod/web", "--to", to];
    arguments.extend(more);
    podlife_in(&setting, &arguments)
}

/// What programs read is what the schema says.
#[test]
fn the_document_fits_its_schema() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/diagnosis.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    for rule in [OPEN, CLOSED, BY_TEAM] {
        let document = asked(rule, "svc/db.data:80", &["-o", "json"]).json;
        assert!(document["connection"].is_object());
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
            (answer.exit, answer.json["connection"]["passage"].as_str()),
            (exit, Some(passage)),
            "{to} {rule}\n{}{}",
            answer.stdout,
            answer.stderr
        );
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
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
        ("svc/db.data:80", &["-A"], 2, "cannot be used with"),
        ("svc/db.data:80", &["--ignore", "NetworkPolicyBlocks"], 2, "cannot be used with"),
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
fn one_end_alone_is_no_question() {
    for (flag, value, says) in [
        ("--from", "pod/web", "--from needs --to: who is called?"),
        ("--to", "svc/db:80", "--to needs --from: who calls?"),
    ] {
        let plain = crate::process::podlife(&["diagnose", flag, value]);
        assert_eq!((plain.exit, plain.stdout.as_str()), (2, ""));
        assert!(plain.stderr.starts_with(&format!("error: {says}")), "{}", plain.stderr);
        let document = crate::process::podlife(&["diagnose", flag, value, "-o", "json"]);
        let error: serde_json::Value = serde_json::from_str(&document.stderr).unwrap();
        assert_eq!((document.exit, error["message"].as_str()), (2, Some(says)));
    }
    // What clap finds says which flag it is about, in a document too.
    let lacking = crate::process::podlife(&["diagnose", "--local", "-o", "json"]);
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
        let answer = podlife_in(&setting, &["diagnose", "--local", "-f", "-", "--from", from, "--to", "db.data:80"]);
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
        allowed.starts_with("ALLOWED by policy; nobody dialled the port  pod/web → service/db"),
        "{allowed}"
    );
    assert!(allowed.contains("NetworkPolicy db-in allows it by ingress[0]"), "{allowed}");
}

#[test]
fn who_is_not_there_refuses_nobody() {
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
        let answer = podlife_in(&setting, &["diagnose", "--local", "-f", "-", "--from", "pod/web", "--to", to]);
        assert!(
            answer.exit == 3 && answer.stdout.starts_with("NOT RUNNING  pod/web → "),
            "{to}: {}{}",
            answer.stdout,
            answer.stderr
        );
    }
}
