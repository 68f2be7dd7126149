//! Web servers and proxies; most are told where to listen in a file.

use super::{SERVER, Server, address};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "nginx",
        programs: &["nginx", "openresty"],
        directive: "listen PORT;",
        ..SERVER
    },
    Server {
        name: "Apache",
        programs: &["httpd-foreground", "apache2", "apache2-foreground", "apachectl", "apache2ctl"],
        directive: "Listen PORT",
        ..SERVER
    },
    Server {
        name: "Caddy",
        programs: &["caddy"],
        lines: &[
            address("\"msg\":\"admin endpoint started\",\"address\":\"<at>\""),
            address("admin endpoint started\t{\"address\": \"<at>\""),
        ],
        directive: "bind 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "HAProxy",
        programs: &["haproxy"],
        directive: "bind :PORT",
        ..SERVER
    },
    Server {
        name: "Envoy",
        programs: &["envoy"],
        lines: &[address("admin address: <at>")],
        directive: "socket_address: { address: 0.0.0.0, port_value: PORT }",
        ..SERVER
    },
    Server {
        name: "socat",
        programs: &["socat"],
        option: "TCP-LISTEN:PORT,bind=0.0.0.0",
        ..SERVER
    },
];

#[cfg(test)]
mod tests {
    use super::super::holds;

    #[test]
    fn lines_as_they_are_printed() {
        holds(&[
            (
                r#"{"level":"info","ts":1714557600.0,"logger":"admin","msg":"admin endpoint started","address":"localhost:2019","enforce_origin":false}"#,
                "Caddy 127.0.0.1:2019",
            ),
            (
                "[2024-05-01 10:00:00.000][1][info][main] [source/server/server.cc:800] admin address: 127.0.0.1:9901",
                "Envoy 127.0.0.1:9901",
            ),
        ]);
    }
}
