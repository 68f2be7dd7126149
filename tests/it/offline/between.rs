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
        ("svc/db.data:http", &[], 2, "no port named http"),
        ("pod/db.data:http", &[], 2, "declares no port named http"),
        ("db:80", &[], 2, "has no type"),
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
    let alone = crate::process::podlife(&["diagnose", "--from", "pod/web"]);
    assert_eq!(alone.exit, 2, "{}", alone.stderr);
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
    assert!(allowed.starts_with("ALLOWED  pod/web → service/db"), "{allowed}");
    assert!(allowed.contains("NetworkPolicy db-in allows it by ingress[0]"), "{allowed}");
}
