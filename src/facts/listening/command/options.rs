//! What the options of a program say about the address and port that it listens on.

use crate::facts::listening::bind::{Bind, BindAddress};
use crate::facts::listening::command::names::{ADDRESS_PARTS, MAIN, SURE, SURE_ENDS, VAGUE};
use crate::facts::listening::command::settings::{Setting, options};
use crate::facts::listening::servers::Server;
use crate::facts::listening::told::{Told, listeners, of_list};
use crate::facts::listening::{bind, servers};
use crate::model::finding::Confidence;
use crate::text::{Words, shell};

/// Options alone, as a variable such as `JAVA_TOOL_OPTIONS` holds them; the server is known by the variable, if at all.
pub fn of_options(text: &str, server: Option<&'static Server>, ports: &[u16]) -> Vec<Told> {
    let words: Vec<String> = shell::words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    read(&words, server, ports)
}

/// Options after which a server listens on every address.
const EVERYWHERE: &[&str] = &["bind-all", "bind-ip-all"];
/// Options of servers that use a socket which is no port, or was opened for them.
const NO_PORT: &[&str] = &["uds", "fd", "unix", "unix-socket", "sock", "socket-file", "endpoint"];
/// Options that name a file which may say more.
const FILES: &[&str] = &["config", "c", "conf", "config-file"];

/// Whether an option holds an address to listen on: surely, perhaps, or not.
fn holds_address(option: &Setting<'_>, server: Option<&'static Server>) -> Option<bool> {
    let own = server.is_some_and(|s| servers::has(&s.address_options, option.written));
    let name = option.name.as_str();
    if own || SURE.has(name) || SURE_ENDS.iter().any(|end| name.ends_with(end)) {
        Some(true)
    } else {
        VAGUE.has(name).then_some(false)
    }
}

/// What the options of a program tell.
pub(crate) fn read(words: &[&str], server: Option<&'static Server>, ports: &[u16]) -> Vec<Told> {
    let options = options(words);
    let mut found = Vec::new();
    let mut spoken_ports = Vec::new();
    for option in &options {
        // `vite --host` alone opens it, as `--bind_all` does elsewhere.
        let opens = EVERYWHERE.contains(&option.name.as_str()) || option.name == "host" && matches!(option.value.as_str(), "" | "true");
        if opens {
            let everywhere = BindAddress {
                bind: Bind::AnyV6,
                port: main_port(&options, server).map(|(port, _)| port),
            };
            spoken_ports.extend(everywhere.port);
            found.push(Told::new(everywhere, server, option.written, Confidence::Likely));
        } else if let Some(sure) = holds_address(option, server) {
            let port = port_beside(&option.name, &options, server);
            for value in listeners(&option.value) {
                let Some(mut address) = of_list(value) else { continue };
                address.port = address.port.or(port);
                // Who names a port that the container declares speaks of itself.
                let is_own = address.port.is_some_and(|port| ports.contains(&port));
                let strength = if sure || server.is_some() || is_own {
                    Confidence::Likely
                } else {
                    Confidence::Possible
                };
                spoken_ports.extend(address.port);
                found.push(Told::new(address, server, option.shown(&bind::shown(value)), strength));
            }
        } else if let Some(attached) = server.and_then(|s| {
            // `-b127.0.0.1:8000`
            let short = s.address_options.iter().filter(|o| o.len() == 2);
            short
                .filter_map(|o| option.written.strip_prefix(o.as_str()))
                .find(|rest| !rest.is_empty())
        }) && let Some(address) = of_list(attached)
        {
            spoken_ports.extend(address.port);
            let detail = format!("{}{}", option.written.trim_end_matches(attached), bind::shown(attached));
            found.push(Told::new(address, server, detail, Confidence::Likely));
        }
    }
    if found.is_empty() {
        found.extend(positional(words, server));
    }
    let port = main_port(&options, server)
        .filter(|(port, ..)| !spoken_ports.contains(port) && !found.iter().any(|t| t.address.port == Some(*port)));
    if found.is_empty()
        && let Some(server) = server.filter(|s| !s.default.is_empty() && !is_told_otherwise(&options, s))
        && let Some(mut address) = BindAddress::parse(&server.default)
    {
        let mut detail = format!("{} without an address listens on {}", server.name, address.bind);
        if let Some((port, written)) = &port {
            address.port = Some(*port);
            detail = format!("{detail}; {written} {port}");
        }
        let has_file = options.iter().any(|option| FILES.contains(&option.name.as_str()));
        let strength = if server.default_is_vague || has_file {
            Confidence::Possible
        } else {
            Confidence::Likely
        };
        let mut told = Told::new(address, Some(server), detail, strength);
        told.is_default = true;
        found.push(told);
    } else if let Some((port, written)) = port {
        let strength = if server.is_some() || ports.contains(&port) {
            Confidence::Likely
        } else {
            Confidence::Possible
        };
        // `httpd -p 127.0.0.1:8080` was read as an address above.
        found.push(Told::new(BindAddress::of_port(port), server, format!("{written} {port}"), strength));
    }
    let open: Vec<Option<u16>> = found
        .iter()
        .filter(|t| t.address.bind.is_reachable())
        .map(|t| t.address.port)
        .collect();
    // `-b 127.0.0.1:80 -b 10.0.0.5:80`
    found.retain(|told| !(told.address.bind.is_loopback() && open.contains(&told.address.port)));
    found
}

/// Whether an option gives the server a place that cannot be read here, or no port at all.
fn is_told_otherwise(options: &[Setting<'_>], server: &'static Server) -> bool {
    options.iter().any(|option| {
        let unread = holds_address(option, Some(server)).is_some() && !option.value.is_empty();
        unread || NO_PORT.contains(&option.name.as_str())
    })
}

/// The port of the same listener: `--server-port` for `--server-address`, `--port` for `--host`.
fn port_beside(name: &str, options: &[Setting<'_>], server: Option<&'static Server>) -> Option<u16> {
    let stem = ADDRESS_PARTS.iter().find_map(|part| {
        let before = name.strip_suffix(part)?;
        (before.is_empty() || before.ends_with('-')).then(|| before.trim_end_matches('-'))
    });
    let stem = stem.unwrap_or_default();
    let own = format!("{stem}-port");
    let of = |wanted: &str| options.iter().find(|o| o.name == wanted).and_then(|o| bind::port(&o.value));
    of(&own).or_else(|| {
        (stem.is_empty() || MAIN.has(stem))
            .then(|| main_port(options, server))
            .flatten()
            .map(|(port, _)| port)
    })
}

/// Options that hold the port of the server itself.
const PORTS: Words =
    Words("port, http-port, server-port, listen-port, bind-port, web-port, quarkus-http-port, micronaut-server-port, jetty-http-port");

/// The port that is named without saying of what.
fn main_port<'a>(options: &[Setting<'a>], server: Option<&'static Server>) -> Option<(u16, &'a str)> {
    options.iter().find_map(|option| {
        let own = server.is_some_and(|s| servers::has(&s.port_options, option.written));
        let known = PORTS.has(&option.name);
        (own || known)
            .then(|| bind::port(&option.value))
            .flatten()
            .map(|port| (port, option.written))
    })
}

/// `runserver 0.0.0.0:8000`, `http.server 8000`, and a port option that takes an address as well: `httpd -p 127.0.0.1:8080`.
fn positional(words: &[&str], server: Option<&'static Server>) -> Option<Told> {
    let server = server?;
    let option = options(words)
        .into_iter()
        .find(|o| servers::has(&server.port_options, o.written) && bind::port(&o.value).is_none());
    if let Some(option) = option {
        let address = BindAddress::parse(&option.value)?;
        return Some(Told::new(
            address,
            Some(server),
            format!("{} {}", option.written, bind::shown(&option.value)),
            Confidence::Likely,
        ));
    }
    if server.positional_after.is_empty() {
        return None;
    }
    let behind = words
        .iter()
        .position(|word| *word == server.positional_after)
        .map_or(0, |at| at + 1);
    let rest = words.get(behind..)?;
    let word = rest
        .iter()
        .enumerate()
        .find(|(at, word)| !word.starts_with('-') && (*at == 0 || !takes_value(rest[at - 1])));
    let (_, word) = word?;
    let detail = |word: &str| format!("{} {word}", server.positional_after);
    match bind::port(word) {
        Some(port) => {
            let default = BindAddress::parse(&server.default).map_or(Bind::Unspecified, |default| default.bind);
            let address = BindAddress {
                bind: default,
                port: Some(port),
            };
            Some(Told::new(address, Some(server), detail(word), Confidence::Likely))
        }
        None => {
            let address = BindAddress::parse(word)?;
            Some(Told::new(address, Some(server), detail(&bind::shown(word)), Confidence::Likely))
        }
    }
}

fn takes_value(option: &str) -> bool {
    option.starts_with('-')
        && !option.contains('=')
        && matches!(
            option,
            "--settings" | "--pythonpath" | "-v" | "--verbosity" | "-d" | "--directory" | "-p" | "--protocol"
        )
}
