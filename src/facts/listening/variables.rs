//! What environment variables say about the address and port that a program listens on. Purely textual.

use crate::facts::listening::bind::BindAddress;
use crate::facts::listening::command::options;
use crate::facts::listening::servers::Server;
use crate::facts::listening::told::{Told, listeners, of_list};
use crate::facts::listening::{bind, servers};
use crate::model::finding::Confidence;
use crate::text::Words;

/// Variables that hold options of any Java program.
const JAVA_OPTIONS: Words = Words("JAVA_TOOL_OPTIONS, JDK_JAVA_OPTIONS, _JAVA_OPTIONS, JAVA_OPTS, JAVA_ARGS, CATALINA_OPTS");

/// Names that clients use as well, or that have another meaning elsewhere.
const VAGUE: Words = Words(
    "HOST, HOSTNAME, ADDR, ADDRESS, IP, INTERFACE, HTTP_ADDR, HTTP_ADDRESS, HTTP_HOST, HTTP_IP, SERVER_HOST, SERVER_ADDR, SERVER_IP, \
     APP_HOST, APP_ADDR, APP_ADDRESS, WEB_HOST, WEB_ADDR, API_HOST, UI_HOST, GRPC_HOST, GRPC_ADDR, GRPC_ADDRESS, URLS",
);

/// Names that hold the port of the server itself more often than another's.
const PORTS: Words =
    Words("PORT, HTTP_PORT, SERVER_PORT, LISTEN_PORT, BIND_PORT, APP_PORT, WEB_PORT, ASPNETCORE_HTTP_PORTS, ASPNETCORE_HTTPS_PORTS");

/// Names of an address beside which `PORT` holds the port.
const MAIN: Words = Words(
    "HOST, HOSTNAME, ADDR, ADDRESS, IP, LISTEN, BIND, LISTEN_ADDR, LISTEN_ADDRESS, BIND_ADDR, BIND_ADDRESS, \
     LISTEN_HOST, BIND_HOST, LISTEN_IP, BIND_IP, BINDING",
);

/// What one variable says; `all` are the others beside it, for the port.
pub fn of_value(name: &str, value: &str, all: &[(String, String)], ports: &[u16]) -> Vec<Told> {
    let upper = name.to_ascii_uppercase();
    let takes_options = servers::all().find(|s| !s.options_variable.is_empty() && s.options_variable == upper);
    if takes_options.is_some() || JAVA_OPTIONS.has(&upper) {
        return options::of_options(value, takes_options, ports)
            .into_iter()
            .filter(|told| !told.is_default)
            .map(|told| Told {
                detail: format!("{name} holds {}", told.detail),
                ..told
            })
            .collect();
    }
    if let Some(meaning) = address_of(&upper) {
        let port = meaning.port_beside(&upper, all);
        return listeners(value)
            .into_iter()
            .filter_map(|part| {
                let mut address = of_list(part)?;
                let has_port = address.port.is_some();
                address.port = address.port.or(port);
                // Spring's variable takes no port: with one it names another server.
                let odd = upper == "SERVER_ADDRESS" && has_port;
                let strength = if meaning.is_sure && !odd {
                    Confidence::Likely
                } else {
                    Confidence::Possible
                };
                Some(Told::new(
                    address,
                    meaning.server,
                    format!("{name}={}", bind::shown(part)),
                    strength,
                ))
            })
            .collect();
    }
    let is_port = PORTS.has(&upper);
    let of_server = servers::all().find(|s| {
        s.variables
            .iter()
            .any(|(_, port)| port.eq_ignore_ascii_case(&upper) && !PORTS.has(port))
    });
    // Who writes the address beside it has said both already.
    let said = all.iter().any(|(other, value)| {
        address_of(&other.to_ascii_uppercase()).is_some_and(|meaning| {
            meaning.port_names(&other.to_ascii_uppercase()).contains(&upper) && of_list(value).is_some_and(|a| a.port.is_none())
        })
    });
    if !(is_port || of_server.is_some()) || said {
        return Vec::new();
    }
    value
        .split(';')
        .filter_map(bind::port)
        .map(|port| {
            let strength = if of_server.is_some() {
                Confidence::Likely
            } else {
                Confidence::Possible
            };
            Told::new(BindAddress::of_port(port), of_server, format!("{name}={port}"), strength)
        })
        .collect()
}

/// What a variable's name means.
struct Meaning {
    server: Option<&'static Server>,
    is_sure: bool,
    port: &'static str,
}

fn address_of(upper: &str) -> Option<Meaning> {
    let vague = VAGUE.has(upper);
    let of_server = servers::all().find_map(|server| {
        let (_, port) = server.variables.iter().find(|(name, _)| name.eq_ignore_ascii_case(upper))?;
        Some((server, port.as_str()))
    });
    if let Some((server, port)) = of_server {
        // HOST means many things: it does not tell which server it is.
        let server = (!vague && !matches!(upper, "SERVER_ADDRESS" | "BINDING")).then_some(server);
        return Some(Meaning {
            server,
            is_sure: !vague,
            port,
        });
    }
    let words: Vec<&str> = upper.split(['_', '.', '-']).collect();
    let says_so = words
        .iter()
        .any(|word| matches!(*word, "LISTEN" | "BIND" | "LISTENADDR" | "BINDADDR"));
    let of_other = words
        .last()
        .is_some_and(|last| matches!(*last, "PORT" | "DN" | "PASSWORD" | "PW" | "USER" | "BACKLOG" | "MOUNT"));
    (vague || (says_so && !of_other)).then_some(Meaning {
        server: None,
        is_sure: !vague,
        port: "",
    })
}

impl Meaning {
    /// Names of the variable that may hold the port beside it.
    fn port_names(&self, upper: &str) -> Vec<String> {
        let mut names = Vec::new();
        if !self.port.is_empty() {
            names.push(self.port.to_owned());
        }
        if let Some((stem, _)) = upper.rsplit_once('_') {
            names.push(format!("{stem}_PORT"));
            let stem = stem.trim_end_matches("_LISTEN").trim_end_matches("_BIND");
            names.push(format!("{stem}_PORT"));
        }
        if MAIN.has(upper) {
            names.push("PORT".to_owned());
        }
        names
    }

    fn port_beside(&self, upper: &str, all: &[(String, String)]) -> Option<u16> {
        self.port_names(upper).iter().find_map(|name| {
            all.iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
                .and_then(|(_, value)| bind::port(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pairs: &[(&str, &str)]) -> Vec<String> {
        let all: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        all.iter()
            .flat_map(|(name, value)| of_value(name, value, &all, &[]))
            .map(|told| told.shown())
            .collect()
    }

    #[test]
    fn variables_that_say_where_to_listen() {
        let mut wrong = Vec::new();
        for (pairs, expected) in [
            (&[("BIND_ADDR", "127.0.0.1:8080")][..], "127.0.0.1:8080"),
            (&[("LISTEN_ADDR", "localhost:8080")], "127.0.0.1:8080"),
            (&[("LISTEN", "[::1]:8080")], "[::1]:8080"),
            (&[("APP_LISTEN_ADDRESS", "127.0.0.1"), ("APP_PORT", "80")], "127.0.0.1:80"),
            (&[("HOST", "localhost"), ("PORT", "3000")], "127.0.0.1:3000?"),
            (&[("HOST", "0.0.0.0")], "0.0.0.0?"),
            (&[("PORT", "3000")], "port 3000?"),
            (&[("SERVER_ADDRESS", "127.0.0.1"), ("SERVER_PORT", "8080")], "127.0.0.1:8080"),
            (&[("SERVER_ADDRESS", "localhost:50051")], "127.0.0.1:50051?"),
            (
                &[("ASPNETCORE_URLS", "http://localhost:5000;https://localhost:5001")],
                "Kestrel 127.0.0.1:5000 Kestrel 127.0.0.1:5001",
            ),
            (&[("ASPNETCORE_HTTP_PORTS", "8080")], "port 8080?"),
            (
                &[("GRADIO_SERVER_NAME", "127.0.0.1"), ("GRADIO_SERVER_PORT", "7860")],
                "Gradio 127.0.0.1:7860",
            ),
            (&[("OLLAMA_HOST", "127.0.0.1:11434")], "Ollama 127.0.0.1:11434"),
            (&[("OLLAMA_HOST", "0.0.0.0")], "Ollama 0.0.0.0"),
            (
                &[("GUNICORN_CMD_ARGS", "--bind=127.0.0.1:8000 --workers=3")],
                "Gunicorn 127.0.0.1:8000",
            ),
            (&[("GUNICORN_CMD_ARGS", "--workers=3")], ""),
            (
                &[("JAVA_TOOL_OPTIONS", "-Xmx1g -Dserver.address=127.0.0.1 -Dserver.port=8080")],
                "127.0.0.1:8080",
            ),
            (
                &[("KAFKA_CFG_LISTENERS", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://:9093")],
                "Kafka 127.0.0.1:9092 Kafka port 9093",
            ),
            (&[("network.host", "127.0.0.1")], "Elasticsearch 127.0.0.1"),
            (&[("METRICS_BIND_ADDRESS", "127.0.0.1:9100")], "127.0.0.1:9100"),
            (&[("UVICORN_PORT", "9000")], "Uvicorn port 9000"),
        ] {
            let said = shown(pairs).join(" ");
            wrong.extend((said != expected).then(|| format!("{said:?}, not {expected:?}: {pairs:?}")));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn variables_that_name_others() {
        for pairs in [
            [("REDIS_HOST", "localhost")],
            [("DB_HOST", "127.0.0.1")],
            [("DATABASE_URL", "postgres://app@localhost:5432/shop")],
            [("API_URL", "http://localhost:8080")],
            [("BACKEND_ADDR", "127.0.0.1:9000")],
            [("LDAP_BIND_DN", "cn=admin")],
            [("LDAP_BIND_PASSWORD", "127.0.0.1")],
            [("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:9092")],
            [("VAULT_ADDR", "http://127.0.0.1:8200")],
            [("CONSUL_HTTP_ADDR", "127.0.0.1:8500")],
            [("PHX_HOST", "localhost")],
            [("KC_HOSTNAME", "localhost")],
            [("BIND_ADDR", "unix:/run/app.sock")],
            [("DB_PORT", "5432")],
        ] {
            assert!(shown(&pairs).is_empty(), "{pairs:?}: {:?}", shown(&pairs));
        }
    }
}
