//! The lines of a configuration that say where a server listens, and the interpreter of a script: all that a snapshot keeps of a ConfigMap.
//!
//! What is kept has one form, `path = value`, and the value is an address or a port and nothing else: no credential has that shape. A path leads through
//! the sections of the file, because `host` means one thing under `server` and another under `database`.

use serde_json::Value;

use crate::model::bind;
use crate::model::bind::BindAddress;
use crate::model::environment::names_host;
use crate::text::{Url, Words, redact};

/// Files beyond this are not configuration.
const LONGEST: usize = 512 << 10;
/// How deep and how wide a document is followed.
const DEPTH: usize = 16;
const LINES: usize = 200;

/// A setting of an address or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Where it stands: `server.address`, `static_resources.listeners.0.address.socket_address.address`.
    pub path: String,
    /// An address, several of them, or a port.
    pub value: String,
}

/// How surely a path means the listener of the program itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// `listen`, `server.address`.
    Sure,
    /// `host` at the top of a file.
    Vague,
}

/// What is kept of one key of a ConfigMap; empty where nothing says where a server listens.
pub fn kept(key: &str, text: &str) -> String {
    let interpreter = interpreter(text);
    if text.len() > LONGEST {
        return interpreter;
    }
    // A variable: the key is its name and the value an address, or a port.
    let whole = text.trim();
    if !whole.contains('\n') && is_kept(key, whole) {
        return whole.to_owned();
    }
    if let Some(host) = called(key, whole) {
        return host;
    }
    let lines: Vec<String> = directives(text)
        .iter()
        .take(LINES)
        .map(|d| format!("{} = {}", d.path, d.value))
        .collect();
    format!("{interpreter}{}", lines.join("\n"))
}

/// The first line of a script, `#!/bin/sh`, with its line end but without arguments; empty for a text that names no interpreter.
fn interpreter(text: &str) -> String {
    let line = text.split_inclusive('\n').next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    let Some(path) = line.strip_prefix("#!").map(str::trim_start) else {
        return String::new();
    };
    let path = &path[..path.find(|c| !is_plain(c)).unwrap_or(path.len())];
    let end = if line.ends_with("\r\n") || line.ends_with('\r') {
        "\r\n"
    } else {
        "\n"
    };
    format!("#!{path}{end}")
}

/// The host that the value of a variable names, without user, path and query: whom the application calls. None where it may be a credential.
fn called(key: &str, value: &str) -> Option<String> {
    let pair = format!("{key}={value}");
    if value.contains(char::is_whitespace) || value.contains(',') || !value.contains(char::is_alphabetic) {
        return None;
    }
    let url = Url::parse(value);
    let is_name = |host: &str| {
        host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
            && host.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let (host, port) = url.host.split_once(':').unwrap_or((url.host, ""));
    let has_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    if !is_name(host) || !(port.is_empty() || has_port) {
        return None;
    }
    let upper = key.to_ascii_uppercase();
    let is_host = names_host(key) && ["HOST", "HOSTNAME", "SERVER", "SERVICE"].iter().any(|end| upper.ends_with(end));
    match url.scheme {
        _ if !host.contains(char::is_alphabetic) || host == "localhost" => None,
        Some(scheme)
            if !scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '.' | '-' | ':')) =>
        {
            None
        }
        Some(scheme) => Some(format!("{scheme}://{}", url.host)),
        None if url.host != value || redact(&pair) != pair => None,
        None => (has_port || host.contains(".svc") || is_host).then(|| value.to_owned()),
    }
}

/// Every setting of an address or a port that a server listens on, in the order of the text.
pub fn directives(text: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(fields)) if !fields.is_empty() => flatten(&Value::Object(fields), &mut String::new(), 0, &mut found),
        _ => by_line(text, &mut found),
    }
    found.retain(|directive| is_kept(&directive.path, &directive.value));
    found
}

/// What a path means; none where it leads to something else than a listener.
pub fn meaning(path: &str) -> Option<Meaning> {
    let lower = path.to_ascii_lowercase();
    let joined: String = lower.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let segments: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|s| !s.is_empty())
        .collect();
    let sections: Vec<&str> = lower.split('.').map(|s| s.trim_matches('"')).collect();
    if segments.iter().any(|s| OTHERS.has(s)) || sections.iter().any(|s| OTHERS.has(&s.replace(['_', '-'], ""))) {
        return None;
    }
    if joined.starts_with("listenerstcp") || joined.starts_with("listenersssl") || SURE_ENDS.iter().any(|end| joined.ends_with(end)) {
        return Some(Meaning::Sure);
    }
    let (last, before) = segments.split_last()?;
    if !ENDS.has(last) {
        return None;
    }
    let of_server = before.iter().any(|s| SERVERS.has(s)) || sections.iter().any(|s| SERVERS.has(&s.replace(['_', '-'], "")));
    if of_server {
        Some(Meaning::Sure)
    } else if before.is_empty() || before.iter().all(|s| APPLICATIONS.has(s)) {
        Some(Meaning::Vague)
    } else {
        None
    }
}

/// Ends of paths, without separators, that mean a listener wherever they stand.
const SURE_ENDS: Words = Words(
    "listen, listenaddress, listenaddr, listenaddresses, listenhost, listenip, listenon, listenport, listenclienturls, listeners, \
     bind, bindaddress, bindaddr, bindhost, bindip, bindport, binding, httpaddr, httpport, clientportaddress, clientport, \
     entrypoint, listener",
);
/// Last words of a path that hold an address or a port of something.
const ENDS: Words = Words("host, hostname, address, addr, ip, interface, endpoint, url, urls, port, value");
/// Words of a path that lead to a listener of the program.
const SERVERS: Words = Words(
    "server, http, https, listen, listener, listeners, bind, grpc, rest, admin, metrics, management, receivers, entrypoints, \
     kestrel, network, net, mysqld, mariadb, debug, pprof, health, healthcheck, dev, devserver",
);
/// Words that may, and may not.
const APPLICATIONS: Words = Words("app, api, web, ui, service, main, default, config, settings, frontend");
/// Words of a path that lead to another program.
const OTHERS: Words = Words(
    "db, database, databases, datasource, datasources, redis, cache, client, clients, cluster, clusters, upstream, upstreams, \
     backend, backends, broker, brokers, bootstrap, rabbitmq, amqp, mail, smtp, remote, exporter, exporters, target, targets, peer, \
     peers, replica, replicas, replicaof, slaveof, master, primary, sentinel, ldap, auth, oauth, oidc, jwks, session, sessions, \
     storage, s3, minio, zookeeper, consul, tracing, jaeger, zipkin, statsd, graphite, influxdb, sink, sinks, destination, \
     destinations, output, outputs, loadassignment, lbendpoints, external, public, advertise, advertised, advertisedlisteners, \
     proxy, proxies, proxypass, forward, kube, kubernetes, etcd, vault, elasticsearch, postgres, postgresql, mysql, mongo, mongodb, \
     mongos, kafka, nats, memcached, servers, postgresqls, remotes, password, secret, token, key",
);

/// Whether a setting is one of a listener, and its value nothing else than an address or a port.
fn is_kept(path: &str, value: &str) -> bool {
    meaning(path).is_some() && is_place(value)
}

/// An address, several of them, or a port.
fn is_place(value: &str) -> bool {
    let mut parts = value.split([',', ' ', ';']).filter(|part| !part.is_empty()).peekable();
    parts.peek().is_some()
        && parts.all(|part| {
            let part = part.strip_prefix('-').unwrap_or(part);
            part == "::*"
                || bind::port(part).is_some_and(|_| part.bytes().all(|c| c.is_ascii_digit()))
                || BindAddress::parse(part).is_some()
        })
}

/// The settings of a YAML or JSON document.
fn flatten(value: &Value, path: &mut String, depth: usize, found: &mut Vec<Directive>) {
    if depth > DEPTH || found.len() > 20 * LINES {
        return;
    }
    let mut enter = |name: &str, inner: &Value, found: &mut Vec<Directive>| {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        flatten(inner, path, depth + 1, found);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                enter(name, inner, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                enter(&index.to_string(), inner, found);
            }
        }
        Value::String(text) => found.push(directive(path, text)),
        Value::Number(number) => found.push(directive(path, &number.to_string())),
        Value::Bool(_) | Value::Null => {}
    }
}

fn directive(path: &str, value: &str) -> Directive {
    let unquoted = value.trim().trim_end_matches(';').trim().trim_matches(|c| matches!(c, '"' | '\''));
    Directive {
        path: path.to_owned(),
        value: unquoted.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// The settings of properties, INI, TOML, and of servers whose files have words and values: nginx, Apache, HAProxy, Redis, Mosquitto.
fn by_line(text: &str, found: &mut Vec<Directive>) {
    let mut section = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';', '!', '<']) || line.starts_with("//") {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim_matches(['[', ']', ' ']).to_owned();
            continue;
        }
        let path = |name: &str| {
            if section.is_empty() {
                name.to_owned()
            } else {
                format!("{section}.{name}")
            }
        };
        if let Some((name, value)) = pair(line) {
            found.push(directive(&path(name), value));
        } else if let Some((word, rest)) = line.split_once(char::is_whitespace) {
            found.extend(of_words(word, rest).map(|value| directive(&path(word), &value)));
        }
    }
}

/// `name = value`, `name: value`; a comment behind the value is cut off.
fn pair(line: &str) -> Option<(&str, &str)> {
    let at = line.find(['=', ':']).filter(|at| *at > 0)?;
    let name = line[..at].trim();
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '%'));
    let value = line[at + 1..].trim_start_matches(['=', ' ']);
    let value = value.split(" #").next().unwrap_or_default().split("\t#").next().unwrap_or_default();
    is_name.then_some((name.trim_start_matches("export "), value))
}

/// The address or port behind a word: the options that follow it (`default_server`, `ssl crt FILE`) are left out.
fn of_words(word: &str, rest: &str) -> Option<String> {
    let rest = rest.trim().trim_end_matches(';');
    let mut words = rest.split_whitespace();
    let lower = word.to_ascii_lowercase().replace('-', "_");
    match lower.as_str() {
        // `bind 127.0.0.1 -::1` of Redis, `bind 127.0.0.1:80 ssl …` of HAProxy.
        "bind" => {
            let addresses: Vec<&str> = words.take_while(|word| is_place(word)).collect();
            Some(addresses.join(" "))
        }
        // `listener 1883 127.0.0.1` of Mosquitto.
        "listener" => {
            let port = words.next()?;
            Some(words.next().map_or_else(|| port.to_owned(), |host| format!("{host}:{port}")))
        }
        "listen" | "http_listen" | "bind_address" | "listen_addresses" | "port" | "http_port" => words.next().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_say_where_a_server_listens_are_kept() {
        for (text, expected) in [
            (
                "server {\n  listen 127.0.0.1:80 default_server;\n  server_name x;\n  listen [::1]:80;\n}",
                "listen = 127.0.0.1:80\nlisten = [::1]:80",
            ),
            ("Listen 127.0.0.1:8080\nServerName x", "Listen = 127.0.0.1:8080"),
            (
                "frontend web\n  bind 127.0.0.1:80 ssl crt /etc/x.pem\nbackend b\n  server s 10.0.0.1:80",
                "bind = 127.0.0.1:80",
            ),
            (
                "bind 127.0.0.1 -::1\nport 6379\nrequirepass hunter2",
                "bind = 127.0.0.1 -::1\nport = 6379",
            ),
            (
                "listen_addresses = 'localhost'   # what to listen on\nport = 5432",
                "listen_addresses = localhost\nport = 5432",
            ),
            (
                "[mysqld]\nbind-address = 127.0.0.1\n[client]\nhost = localhost\npassword = x",
                "mysqld.bind-address = 127.0.0.1",
            ),
            (
                "server.address=127.0.0.1\nserver.port=8080\nspring.datasource.url=jdbc:postgresql://db/x",
                "server.address = 127.0.0.1\nserver.port = 8080",
            ),
            (
                "listeners=PLAINTEXT://127.0.0.1:9092\nadvertised.listeners=PLAINTEXT://kafka:9092",
                "listeners = PLAINTEXT://127.0.0.1:9092",
            ),
            ("listeners.tcp.local = 127.0.0.1:5672", "listeners.tcp.local = 127.0.0.1:5672"),
            ("bind = \"127.0.0.1:8000\"\nworkers = 3", "bind = 127.0.0.1:8000"),
            (
                "[server]\nhttp_addr = 127.0.0.1\nhttp_port = 3000\n[database]\nhost = 127.0.0.1:3306",
                "server.http_addr = 127.0.0.1\nserver.http_port = 3000",
            ),
            ("listener 1883 127.0.0.1", "listener = 127.0.0.1:1883"),
            (
                "server:\n  host: 127.0.0.1\n  port: 8080\ndatabase:\n  host: 127.0.0.1\n  port: 5432\n",
                "server.host = 127.0.0.1\nserver.port = 8080",
            ),
            (
                "net:\n  bindIp: 127.0.0.1\n  port: 27017\n",
                "net.bindIp = 127.0.0.1\nnet.port = 27017",
            ),
            ("network.host: 127.0.0.1\ncluster.name: x\n", "network.host = 127.0.0.1"),
            ("host: 127.0.0.1\nport: 80\n", "host = 127.0.0.1\nport = 80"),
            (
                "receivers: {otlp: {protocols: {grpc: {endpoint: 'localhost:4317'}}}}\nexporters: {otlp: {endpoint: 'localhost:4317'}}\n",
                "receivers.otlp.protocols.grpc.endpoint = localhost:4317",
            ),
            ("entryPoints: {web: {address: ':80'}}\n", "entryPoints.web.address = :80"),
            (
                "static_resources:\n  listeners:\n  - address: {socket_address: {address: 127.0.0.1, port_value: 8080}}\n  clusters:\n  - load_assignment: {endpoints: [{address: {socket_address: {address: 127.0.0.1, port_value: 9000}}}]}\n",
                "static_resources.listeners.0.address.socket_address.address = 127.0.0.1\nstatic_resources.listeners.0.address.socket_address.port_value = 8080",
            ),
            (
                "{\"Kestrel\": {\"Endpoints\": {\"Http\": {\"Url\": \"http://localhost:5000\"}}}}",
                "Kestrel.Endpoints.Http.Url = http://localhost:5000",
            ),
        ] {
            let once = kept("file", text);
            assert_eq!(once, expected, "{text}");
            assert_eq!(kept("file", &once), expected, "what was kept is kept again");
        }
    }

    #[test]
    fn nothing_else_is_kept() {
        for text in [
            "",
            "password: hunter2",
            "server:\n  password: hunter2\n  host: secret.example.com\n",
            "listen: hunter2",
            "bind_password = hunter2",
            "bind hunter2",
            "redis.host=127.0.0.1",
            "upstream backend { server 127.0.0.1:9000; }",
            "proxy_pass http://127.0.0.1:9000;",
            "url: postgres://app:hunter2@localhost:5432/x",
            "DATABASE_URL=http://app:hunter2@localhost",
            "client:\n  address: 127.0.0.1:9000\n",
            "- 127.0.0.1\n- hunter2\n",
        ] {
            assert_eq!(kept("file", text), "", "{text}");
        }
    }

    #[test]
    fn of_a_script_only_its_interpreter_is_kept() {
        for (text, expected) in [
            ("#!/bin/sh\nexport TOKEN=hunter2\ncurl http://127.0.0.1:8080", "#!/bin/sh\n"),
            ("#!/bin/sh\r\nexport TOKEN=hunter2\r\n", "#!/bin/sh\r\n"),
            ("#! /usr/bin/env hunter2\n", "#!/usr/bin/env\n"),
            ("export TOKEN=hunter2\n", ""),
        ] {
            let once = kept("start.sh", text);
            assert_eq!(once, expected, "{text}");
            assert_eq!(kept("start.sh", &once), expected, "what was kept is kept again");
        }
    }

    #[test]
    fn a_variable_is_kept_by_its_name() {
        for (key, value, expected) in [
            ("BIND_ADDR", "127.0.0.1:8080", "127.0.0.1:8080"),
            ("HOST", "localhost", "localhost"),
            ("SERVER_PORT", "8080", "8080"),
            ("REDIS_HOST", "127.0.0.1", ""),
            ("API_KEY", "8080", ""),
            ("PIN", "1234", ""),
            ("LISTEN_ADDR", "hunter2", ""),
            ("backend", "backend:80", "backend:80"),
            ("DATABASE_HOST", "db", "db"),
            (
                "DATABASE_URL",
                "postgres://app:hunter2@db:5432/shop?sslmode=off",
                "postgres://db:5432",
            ),
            ("PASSWORD", "hunter2:80", ""),
            ("TOKEN", "hunter2", ""),
        ] {
            assert_eq!(kept(key, value), expected, "{key}");
        }
    }

    #[test]
    fn odd_text_does_not_panic() {
        for text in [
            "[",
            "]",
            "<",
            "<Connector ",
            "=",
            ":",
            "bind",
            "listener",
            "listener x",
            "\u{0}",
            "a: &a [*a]",
            "ü = ö",
        ] {
            kept("ü", text);
        }
    }
}
