//! Servers and frameworks written in Go.

use super::{SERVER, Server, address, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Fiber",
        // Above it stands a link to 127.0.0.1, whatever the address is.
        lines: &[address("(bound on host <host> and port <port>)")],
        directive: "app.Listen(\":PORT\")",
        ..SERVER
    },
    Server {
        name: "Gin",
        lines: &[
            address("Listening and serving HTTP on <at>"),
            address("Listening and serving HTTPS on <at>"),
        ],
        directive: "router.Run(\":PORT\")",
        ..SERVER
    },
    Server {
        name: "Echo",
        lines: &[address("⇨ http server started on <at>"), address("⇨ https server started on <at>")],
        directive: "e.Start(\":PORT\")",
        ..SERVER
    },
    Server {
        name: "Hugo",
        programs: &["hugo"],
        subcommands: &["server", "serve"],
        default: "127.0.0.1:1313",
        lines: &[address("Web Server is available at <*>:<port>/<*>(bind address <host>)")],
        option: "--bind 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Ollama",
        programs: &["ollama"],
        subcommands: &["serve"],
        // Its image sets OLLAMA_HOST.
        default: "127.0.0.1:11434",
        default_is_vague: true,
        variables: &[("OLLAMA_HOST", "")],
        lines: &[address("Listening on <at> (version")],
        variable: "OLLAMA_HOST=0.0.0.0:11434",
        ..SERVER
    },
    Server {
        name: "Vault",
        programs: &["vault"],
        subcommands: &["-dev"],
        default: "127.0.0.1:8200",
        variables: &[("VAULT_DEV_LISTEN_ADDRESS", "")],
        lines: &[address("tcp (addr: \"<at>\",")],
        option: "-dev-listen-address=0.0.0.0:8200",
        variable: "VAULT_DEV_LISTEN_ADDRESS=0.0.0.0:8200",
        ..SERVER
    },
    Server {
        name: "Consul",
        programs: &["consul"],
        subcommands: &["agent"],
        address_options: &["-client"],
        lines: &[address("Client Addr: [<host>] (HTTP: <port>,")],
        option: "-client=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Prometheus",
        programs: &["prometheus"],
        lines: &[address("msg=\"Start listening for connections\" address=<at>")],
        option: "--web.listen-address=0.0.0.0:9090",
        ..SERVER
    },
    Server {
        name: "Grafana",
        programs: &["grafana", "grafana-server"],
        variables: &[("GF_SERVER_HTTP_ADDR", "GF_SERVER_HTTP_PORT")],
        lines: &[address("HTTP Server Listen\" <*>address=<at>")],
        variable: "GF_SERVER_HTTP_ADDR=0.0.0.0",
        directive: "http_addr = 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "MinIO",
        programs: &["minio"],
        variables: &[("MINIO_ADDRESS", "")],
        // It lists every address of the pod, the loopback among them.
        lines: &[port("S3-API: http://<*>:<port>"), port("API: http://<*>:<port>")],
        option: "--address :9000",
        ..SERVER
    },
    Server {
        name: "oauth2-proxy",
        programs: &["oauth2-proxy"],
        default: "127.0.0.1:4180",
        variables: &[("OAUTH2_PROXY_HTTP_ADDRESS", "")],
        lines: &[address("HTTP: listening on <at>")],
        option: "--http-address=0.0.0.0:4180",
        variable: "OAUTH2_PROXY_HTTP_ADDRESS=0.0.0.0:4180",
        ..SERVER
    },
    Server {
        name: "kubectl proxy",
        programs: &["kubectl"],
        subcommands: &["proxy"],
        port_options: &["-p"],
        default: "127.0.0.1:8001",
        lines: &[address("Starting to serve on <at>")],
        option: "--address=0.0.0.0",
        caution: "it gives whoever reaches it the rights of its service account",
        ..SERVER
    },
];

#[cfg(test)]
mod tests {
    use super::super::holds;

    #[test]
    fn lines_as_they_are_printed() {
        holds(&[
            (" │        (bound on host 0.0.0.0 and port 3000)       │ ", "Fiber 0.0.0.0:3000"),
            (
                "INFO Server started on: \thttp://127.0.0.1:3000 (bound on host 0.0.0.0 and port 3000)",
                "Fiber 0.0.0.0:3000",
            ),
            ("[GIN-debug] Listening and serving HTTP on :8080", "Gin port 8080"),
            ("[GIN-debug] Listening and serving HTTP on 127.0.0.1:8080", "Gin 127.0.0.1:8080"),
            ("⇨ http server started on [::]:1323", "Echo [::]:1323"),
            ("⇨ http server started on 127.0.0.1:1323", "Echo 127.0.0.1:1323"),
            (
                "Web Server is available at http://localhost:1313/ (bind address 127.0.0.1)",
                "Hugo 127.0.0.1:1313",
            ),
            (
                "time=2024-05-01T10:00:00.000Z level=INFO source=routes.go:1074 msg=\"Listening on 127.0.0.1:11434 (version 0.1.32)\"",
                "Ollama 127.0.0.1:11434",
            ),
            (
                "              Listener 1: tcp (addr: \"127.0.0.1:8200\", cluster address: \"127.0.0.1:8201\", tls: \"disabled\")",
                "Vault 127.0.0.1:8200",
            ),
            (
                "       Client Addr: [127.0.0.1] (HTTP: 8500, HTTPS: -1, gRPC: 8502, DNS: 8600)",
                "Consul 127.0.0.1:8500",
            ),
            (
                "ts=2024-05-01T10:00:00.000Z caller=web.go:562 level=info component=web msg=\"Start listening for connections\" address=0.0.0.0:9090",
                "Prometheus 0.0.0.0:9090",
            ),
            (
                "logger=http.server t=2024-05-01T10:00:00Z level=info msg=\"HTTP Server Listen\" address=[::]:3000 protocol=http",
                "Grafana [::]:3000",
            ),
            ("API: http://10.244.0.5:9000  http://127.0.0.1:9000", "MinIO port 9000"),
            (
                "[2024/05/01 10:00:00] [http.go:49] HTTP: listening on 127.0.0.1:4180",
                "oauth2-proxy 127.0.0.1:4180",
            ),
            ("Starting to serve on 127.0.0.1:8001", "kubectl proxy 127.0.0.1:8001"),
        ]);
    }
}
