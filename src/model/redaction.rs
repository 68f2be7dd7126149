//! What a snapshot keeps of texts that may hold a secret before it is saved. Rules judge the whole texts; a file that is passed on does not need them.

use serde_json::Value;

use super::text::{redact, redact_words};

/// What stands for a value that is left out.
const LEFT_OUT: &str = "***";

/// Masks credentials in one object as the API server writes it: environment variables, commands, arguments, annotations, messages, headers of probes.
pub fn redact_object(object: &mut Value) {
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.values_mut().for_each(redact_text);
    }
    redact_fields(object);
}

fn redact_fields(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(redact_fields),
        Value::Object(fields) => {
            redact_command(fields);
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), &mut *field) {
                    ("env", Value::Array(variables)) => variables.iter_mut().for_each(redact_variable),
                    ("httpHeaders", Value::Array(headers)) => headers.iter_mut().for_each(|header| {
                        if header["name"].as_str().is_none_or(|name| !name.eq_ignore_ascii_case("host")) {
                            header["value"] = LEFT_OUT.into();
                        }
                    }),
                    ("message" | "path" | "note", Value::String(_)) => redact_text(field),
                    _ => redact_fields(field),
                }
            }
        }
        _ => {}
    }
}

fn redact_text(text: &mut Value) {
    if let Some(known) = text.as_str() {
        let masked = redact(known);
        if masked != known {
            *text = masked.into();
        }
    }
}

/// The value of a variable stays only where it is an address, a name of a host, a number or a switch: that is what a diagnosis follows.
fn redact_variable(variable: &mut Value) {
    let Some(value) = variable["value"].as_str() else { return };
    let name = variable["name"].as_str().unwrap_or_default();
    let line = format!("{name}={value}");
    let kept = if is_setting(value) && redact(&line) == line {
        None
    } else {
        Some(masked_address(value))
    };
    if let Some(kept) = kept {
        variable["value"] = kept.into();
    }
}

/// A number, a switch, a host, a host with its port, or an address with its path.
fn is_setting(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '/' | '_' | '[' | ']' | ',');
    let is_switch = matches!(value, "" | "true" | "false" | "yes" | "no" | "on" | "off");
    let names_a_port = value
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.split('/').next().is_some_and(|p| p.parse::<u16>().is_ok()));
    let is_host = value.split('.').all(|label| {
        !label.is_empty() && label.len() <= 20 && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    });
    is_switch
        || value.parse::<i64>().is_ok() && value.len() <= 6
        || value.chars().all(plain) && (names_a_port || value.contains("://") || is_host)
}

/// `postgres://db:5432` for `postgres://user:password@db:5432/name?ssl=1`; anything else is left out.
fn masked_address(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return LEFT_OUT.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '+' | '[' | ']' | ','))
    };
    if is_plain(scheme) && is_plain(host) {
        format!("{scheme}://{host}")
    } else {
        LEFT_OUT.to_owned()
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
    fn credentials_go_and_what_a_diagnosis_follows_stays() {
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
        redact_object(&mut pod);
        let text = pod.to_string();
        assert!(!text.contains("hunter2") && !text.contains("Hunter Two"), "{text}");
        let env = &pod["spec"]["containers"][0]["env"];
        let kept: Vec<&str> = env.as_array().unwrap().iter().filter_map(|v| v["value"].as_str()).collect();
        assert_eq!(kept, ["db", "5432", "postgres://db:5432", "http://api.shop.svc:80/x", "***", "***"]);
        assert_eq!(pod["spec"]["containers"][0]["command"][4], "0.0.0.0");
        let mut split = json!({"command": ["mysql"], "args": ["-phunter2", "-h", "db"]});
        redact_object(&mut split);
        assert_eq!(
            (&split["command"], &split["args"]),
            (&json!(["mysql"]), &json!(["-p***", "-h", "db"]))
        );
        assert_eq!(env[6]["valueFrom"]["secretKeyRef"]["key"], "k");
    }
}
