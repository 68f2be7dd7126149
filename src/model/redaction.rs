//! What a snapshot keeps of texts that may hold a secret before it is saved. Rules judge the whole texts; a file that is passed on does not need them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use crate::model::environment::names_host;
use crate::text::{Url, redact, redact_path, redact_words};

/// What stands for a value that is left out.
const LEFT_OUT: &str = "***";

/// Masks credentials in one object as the API server writes it: environment variables, commands, arguments, annotations, messages, paths and
/// headers of probes. `known`: names of objects, which are no secret where they stand as a value.
pub fn redact_object(object: &mut Value, known: &BTreeSet<String>) {
    redact_fields(object, known);
}

fn redact_fields(value: &mut Value, known: &BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| redact_fields(item, known)),
        Value::Object(fields) => {
            redact_command(fields);
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), &mut *field) {
                    ("env", Value::Array(variables)) => variables.iter_mut().for_each(|v| redact_variable(v, known)),
                    ("annotations", Value::Object(annotations)) => {
                        for (key, value) in annotations.iter_mut() {
                            redact_annotation(key, value, known);
                        }
                    }
                    ("httpHeaders", Value::Array(headers)) => headers.iter_mut().for_each(|header| {
                        if header["name"].as_str().is_none_or(|name| !name.eq_ignore_ascii_case("host")) {
                            header["value"] = LEFT_OUT.into();
                        }
                    }),
                    ("path", Value::String(_)) => replace(field, redact_path),
                    ("message" | "note" | "image" | "imageID", Value::String(_)) => replace(field, redact),
                    _ => redact_fields(field, known),
                }
            }
        }
        _ => {}
    }
}

fn replace(text: &mut Value, masked: impl Fn(&str) -> String) {
    if let Some(known) = text.as_str() {
        let masked = masked(known);
        if masked != known {
            *text = masked.into();
        }
    }
}

/// Annotations of Kubernetes itself say what a diagnosis needs to know; of others no more is kept than of a variable.
fn redact_annotation(key: &str, value: &mut Value, known: &BTreeSet<String>) {
    let domain = key.split_once('/').map(|(domain, _)| domain).unwrap_or_default();
    let is_own = ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| domain == *own || domain.strip_suffix(own).is_some_and(|sub| sub.ends_with('.')));
    let Some(text) = value.as_str() else { return };
    let line = format!("{}={text}", key.rsplit('/').next().unwrap_or(key));
    let kept = redact(&line) == line && (is_own || is_setting("", text, known));
    if !kept {
        let masked = if is_own { redact(text) } else { LEFT_OUT.to_owned() };
        *value = if masked == text { LEFT_OUT.into() } else { masked.into() };
    }
}

/// The value of a variable stays only where it is an address, a name of a host, a number or a switch: that is what a diagnosis follows.
fn redact_variable(variable: &mut Value, known: &BTreeSet<String>) {
    let Some(value) = variable["value"].as_str() else { return };
    let name = variable["name"].as_str().unwrap_or_default();
    let line = format!("{name}={value}");
    let kept = if is_setting(name, value, known) && redact(&line) == line {
        None
    } else {
        Some(masked_address(value))
    };
    if let Some(kept) = kept {
        variable["value"] = kept.into();
    }
}

/// Parts of names whose short values may be secrets of people: numbers too, and pairs with a colon.
const PERSONAL: [&str; 9] = ["auth", "cred", "user", "login", "pass", "pin", "code", "otp", "key"];

/// A number, a switch, a host or a host with its port. A word alone counts as a host only where the variable's name says so, or where it is the
/// name of something in the cluster: any password is a word.
fn is_setting(name: &str, value: &str, known: &BTreeSet<String>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '[' | ']' | ',');
    let is_switch = matches!(
        value.to_ascii_lowercase().as_str(),
        "" | "true" | "false" | "yes" | "no" | "on" | "off" | "enabled" | "disabled" | "none" | "localhost"
    );
    let lower = name.to_ascii_lowercase();
    let is_personal = !names_host(name) && PERSONAL.iter().any(|part| lower.contains(part));
    let is_number = value.parse::<i64>().is_ok() && value.len() <= 6;
    let is_address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let with_port = value
        .rsplit_once(':')
        .filter(|(host, port)| port.parse::<u16>().is_ok() && (host.is_empty() || is_address(host) || is_host(host)));
    let is_named = || {
        let first = value.split('.').next().unwrap_or_default();
        names_host(name) || known.contains(first) || value.contains(".svc")
    };
    is_switch
        || is_address(value)
        || (is_number || with_port.is_some()) && !is_personal
        || value.chars().all(plain) && is_named() && value.split(',').all(|one| is_host(one.split(':').next().unwrap_or_default()))
}

/// Labels of letters in lower case, digits and hyphens.
fn is_host(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty() && label.len() <= 40 && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    })
}

/// `postgres://db:5432` for `postgres://user:password@db:5432/name?ssl=1`; anything else is left out.
fn masked_address(value: &str) -> String {
    let url = Url::parse(value);
    let is_plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '+' | '[' | ']' | ','))
    };
    match url.scheme {
        Some(scheme) if is_plain(scheme) && is_plain(url.host) => format!("{scheme}://{}", url.host),
        _ => LEFT_OUT.to_owned(),
    }
}

/// Command and arguments are one line: the program in one says what a flag in the other means.
fn redact_command(fields: &mut serde_json::Map<String, Value>) {
    let texts = |field: Option<&Value>| -> Vec<String> {
        let words = field.and_then(Value::as_array).into_iter().flatten();
        words.map(|word| word.as_str().unwrap_or_default().to_owned()).collect()
    };
    let (command, args) = (texts(fields.get("command")), texts(fields.get("args")));
    let words: Vec<&str> = command.iter().chain(&args).map(String::as_str).collect();
    let masked = redact_words(&words);
    let places = ["command", "args"].map(|name| (name, if name == "command" { 0 } else { command.len() }));
    for (name, first) in places {
        for (at, word) in fields.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
            if word.is_string() && *word != *masked[first + at] {
                *word = masked[first + at].as_str().into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_are_masked_and_evidence_stays() {
        let mut pod = json!({
            "metadata": {"name": "a", "annotations": {"note": "password=hunter2"}},
            "spec": {"containers": [{
                "name": "app",
                "command": ["app", "--password", "hunter2", "--host", "0.0.0.0"],
                "lifecycle": {"preStop": {"exec": {"command": ["mysql", "-phunter2"]}}},
                "args": ["--token=hunter2hunter2", "--db=postgres://me:hunter2@db:5432/shop"],
                "env": [
                    {"name": "DATABASE_HOST", "value": "db"},
                    {"name": "DATABASE_PORT", "value": "5432"},
                    {"name": "DATABASE_URL", "value": "postgres://me:hunter2@db:5432/shop"},
                    {"name": "BACKEND", "value": "http://api.shop.svc:80/x"},
                    {"name": "PASSWORD", "value": "hunter2"},
                    {"name": "GREETING", "value": "Hunter Two, at your service"},
                    {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "livenessProbe": {"httpGet": {"path": "/x?token=hunter2hunter2", "httpHeaders": [{"name": "Authorization", "value": "Basic hunter2"}]}},
            }]},
            "status": {"message": "login with password=hunter2 failed"},
        });
        redact_object(&mut pod, &BTreeSet::from(["orders".to_owned()]));
        let text = pod.to_string();
        assert!(!text.contains("hunter2") && !text.contains("Hunter Two"), "{text}");
        let env = &pod["spec"]["containers"][0]["env"];
        let kept: Vec<&str> = env.as_array().unwrap().iter().filter_map(|v| v["value"].as_str()).collect();
        assert_eq!(kept, ["db", "5432", "postgres://db:5432", "http://api.shop.svc:80", "***", "***"]);
        assert_eq!(pod["spec"]["containers"][0]["command"][4], "0.0.0.0");
        let mut split = json!({"command": ["mysql"], "args": ["-phunter2", "-h", "db"]});
        redact_object(&mut split, &BTreeSet::new());
        assert_eq!(
            (&split["command"], &split["args"]),
            (&json!(["mysql"]), &json!(["-p***", "-h", "db"]))
        );
        assert_eq!(env[6]["valueFrom"]["secretKeyRef"]["key"], "k");
    }

    #[test]
    fn a_short_word_is_kept_only_where_it_is_a_host_a_port_an_address_or_a_switch() {
        let known = BTreeSet::from(["orders".to_owned()]);
        for (name, value, kept) in [
            ("DATABASE_HOST", "db", "db"),
            ("PGHOST", "db.shop", "db.shop"),
            ("KAFKA_BROKERS", "kafka-0:9092,kafka-1:9092", "kafka-0:9092,kafka-1:9092"),
            ("UPSTREAM", "orders", "orders"),
            ("UPSTREAM", "api:8080", "api:8080"),
            ("TARGET", "db.shop.svc.cluster.local", "db.shop.svc.cluster.local"),
            ("PORT", "8080", "8080"),
            ("LISTEN", ":8080", ":8080"),
            ("BIND", "127.0.0.1", "127.0.0.1"),
            ("BIND", "[::1]:8080", "[::1]:8080"),
            ("HOST", "localhost", "localhost"),
            ("DEBUG", "true", "true"),
            ("AUTH_SERVER", "keycloak:8080", "keycloak:8080"),
            ("BACKEND", "http://api/x/hunter2", "http://api"),
            ("GREETING", "swordfish", "***"),
            ("LOG_LEVEL", "debug", "***"),
            ("PIN", "1234", "***"),
            ("BASIC_AUTH", "admin:1234", "***"),
            ("SLACK_URL", "https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com"),
        ] {
            let mut variable = json!({"env": [{"name": name, "value": value}]});
            redact_object(&mut variable, &known);
            assert_eq!(variable["env"][0]["value"], kept, "{name}={value}");
        }
    }

    #[test]
    fn annotations_and_paths_keep_no_credentials() {
        let mut object = json!({
            "metadata": {"annotations": {
                "example.com/password": "swordfish",
                "note": "swordfish",
                "prometheus.io/port": "8080",
                "deployment.kubernetes.io/revision": "3",
                "kubectl.kubernetes.io/restartedAt": "2026-01-01T12:00:00Z",
                "kubernetes.io/ingress.class": "nginx",
                "ingress.kubernetes.io/auth-token": "swordfish",
            }},
            "spec": {"template": {"metadata": {"annotations": {"vault": "swordfish"}}, "spec": {"containers": [{
                "args": ["--requirepass", "swordfish", "--basic-auth=app:swordfish", "--pw", "swordfish", "--port", "80"],
                "readinessProbe": {"httpGet": {"path": "/health/0123456789abcdefgh"}},
            }]}}},
        });
        redact_object(&mut object, &BTreeSet::new());
        let text = object.to_string();
        assert!(!text.contains("swordfish") && !text.contains("0123456789abcdefgh"), "{text}");
        for kept in [
            "\"8080\"",
            "\"3\"",
            "2026-01-01T12:00:00Z",
            "\"nginx\"",
            "\"/health/***\"",
            "\"80\"",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }
}
