//! Servers written in Rust and C.

use super::{SERVER, Server, address};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Actix",
        lines: &[address("starting service: <*>, listening on: <at>")],
        directive: ".bind((\"0.0.0.0\", PORT))",
        ..SERVER
    },
    Server {
        name: "Rocket",
        default: "127.0.0.1:8000",
        variables: &[("ROCKET_ADDRESS", "ROCKET_PORT")],
        lines: &[address("Rocket has launched from <at>")],
        variable: "ROCKET_ADDRESS=0.0.0.0",
        directive: "address = \"0.0.0.0\"",
        ..SERVER
    },
    Server {
        name: "warp",
        lines: &[
            address("warp::server: listening on <at>"),
            address("Server::run; addr=<at>"),
            address("Server::run{addr=<at>}"),
        ],
        directive: ".run(([0, 0, 0, 0], PORT))",
        ..SERVER
    },
    Server {
        name: "Trunk",
        programs: &["trunk"],
        subcommands: &["serve"],
        address_options: &["-a"],
        default: "127.0.0.1:8080",
        lines: &[address("server listening at <at>")],
        option: "--address 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Meilisearch",
        programs: &["meilisearch"],
        default: "127.0.0.1:7700",
        default_is_vague: true,
        variables: &[("MEILI_HTTP_ADDR", "")],
        lines: &[address("Server listening on:\t\"<at>\""), address("Server listening on: \"<at>\"")],
        option: "--http-addr 0.0.0.0:7700",
        variable: "MEILI_HTTP_ADDR=0.0.0.0:7700",
        ..SERVER
    },
    Server {
        name: "llama.cpp's server",
        programs: &["llama-server"],
        default: "127.0.0.1:8080",
        default_is_vague: true,
        variables: &[("LLAMA_ARG_HOST", "LLAMA_ARG_PORT")],
        lines: &[
            address("server is listening on <at> - starting the main loop"),
            address("HTTP server is listening, hostname: <host>, port: <port>"),
            address("HTTP server listening<*>hostname=\"<host>\" port=\"<port>\""),
        ],
        option: "--host 0.0.0.0",
        variable: "LLAMA_ARG_HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Foundry's Anvil",
        programs: &["anvil"],
        default: "127.0.0.1:8545",
        default_is_vague: true,
        variables: &[("ANVIL_IP_ADDR", "")],
        option: "--host 0.0.0.0",
        variable: "ANVIL_IP_ADDR=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "BusyBox httpd",
        programs: &["httpd"],
        port_options: &["-p"],
        option: "-p 0.0.0.0:PORT",
        ..SERVER
    },
    Server {
        name: "netcat",
        programs: &["nc", "ncat", "netcat"],
        subcommands: &[
            "-l", "-lk", "-ll", "-lp", "-lkp", "-llp", "-vl", "-vlk", "-lv", "-lvk", "-lvp", "-nlvp", "--listen",
        ],
        address_options: &["-s"],
        port_options: &["-p", "-lp", "-lkp", "-llp", "-lvp", "-nlvp"],
        option: "-s 0.0.0.0",
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
                "[INFO] starting service: \"actix-web-service-127.0.0.1:8080\", workers: 4, listening on: 127.0.0.1:8080",
                "Actix 127.0.0.1:8080",
            ),
            ("🚀 Rocket has launched from http://127.0.0.1:8000", "Rocket 127.0.0.1:8000"),
            (
                " INFO Server::run{addr=127.0.0.1:3030}: warp::server: listening on http://127.0.0.1:3030",
                "warp 127.0.0.1:3030",
            ),
            (
                "2024-05-01 INFO 📡 server listening at http://127.0.0.1:8080",
                "Trunk 127.0.0.1:8080",
            ),
            ("Server listening on: \"http://localhost:7700\"", "Meilisearch 127.0.0.1:7700"),
            (
                "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
                "llama.cpp's server 127.0.0.1:8080",
            ),
            (
                "main: HTTP server is listening, hostname: 127.0.0.1, port: 8080, http threads: 7",
                "llama.cpp's server 127.0.0.1:8080",
            ),
        ]);
    }
}
