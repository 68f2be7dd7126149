//! Servers that run on Node, Deno and Bun. Most of them print a link to `localhost` wherever they listen.

use super::{SERVER, Server, address, loopback, numeric, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Nuxt",
        programs: &["nuxt", "nuxi"],
        subcommands: &["dev", "preview"],
        default: "127.0.0.1:3000",
        variables: &[("NUXT_HOST", "NUXT_PORT"), ("NITRO_HOST", "NITRO_PORT")],
        lines: &[loopback("Network:  use --host to expose"), port("➜ Local:    <at>")],
        option: "--host 0.0.0.0",
        variable: "NUXT_HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Vite",
        programs: &["vite"],
        default: "127.0.0.1:5173",
        default_is_vague: true,
        lines: &[
            loopback("Network: use --host to expose"),
            loopback("Network: use `--host` to expose"),
            address("➜  Network: <at>"),
            port("➜  Local:   <at>"),
            port("> Local: <at>"),
            address("> Network: <at>"),
        ],
        option: "--host 0.0.0.0",
        directive: "server: { host: \"0.0.0.0\" }",
        ..SERVER
    },
    Server {
        name: "Astro",
        programs: &["astro"],
        default: "127.0.0.1:4321",
        default_is_vague: true,
        lines: &[
            loopback("┃ Network  use --host to expose"),
            port("┃ Local    <at>"),
            address("┃ Network  <at>"),
        ],
        option: "--host 0.0.0.0",
        variable: "HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "webpack-dev-server",
        programs: &["webpack-dev-server", "webpack"],
        subcommands: &["serve", "webpack-dev-server"],
        lines: &[
            port("[webpack-dev-server] Loopback: <at>"),
            address("[webpack-dev-server] On Your Network (IPv4): <at>"),
            address("[webpack-dev-server] On Your Network (IPv6): <at>"),
            address("｢wds｣: Project is running at <at>"),
        ],
        option: "--host 0.0.0.0",
        directive: "devServer: { host: \"0.0.0.0\" }",
        ..SERVER
    },
    Server {
        name: "Angular CLI",
        programs: &["ng"],
        subcommands: &["serve", "s"],
        default: "127.0.0.1:4200",
        lines: &[address("Angular Live Development Server is listening on <at>, open your browser")],
        option: "--host 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Create React App",
        programs: &["react-scripts"],
        subcommands: &["start"],
        variables: &[("HOST", "PORT")],
        lines: &[port("Local:            <at>"), address("On Your Network:  <at>")],
        variable: "HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Vue CLI",
        programs: &["vue-cli-service"],
        subcommands: &["serve"],
        lines: &[port("  - Local:   <at>"), address("  - Network: <at>")],
        option: "--host 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Next.js",
        programs: &["next"],
        subcommands: &["dev", "start"],
        address_options: &["-H"],
        port_options: &["-p"],
        // The stand-alone server binds to $HOSTNAME, which is the pod's own name unless it is set.
        variables: &[("HOSTNAME", "PORT")],
        lines: &[
            address("started server on <at>, url:"),
            port("- Local: <*>http://<*>:<port>"),
            port("- Network: <*>http://<*>:<port>"),
        ],
        option: "-H 0.0.0.0",
        variable: "HOSTNAME=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Fastify",
        // With 0.0.0.0, version 5 prints a line for each address of the pod.
        lines: &[numeric("Server listening at <at>")],
        directive: "fastify.listen({ host: \"0.0.0.0\" })",
        ..SERVER
    },
    Server {
        name: "Node-RED",
        programs: &["node-red"],
        lines: &[port("Server now running at <at>")],
        directive: "uiHost: \"0.0.0.0\"",
        ..SERVER
    },
    Server {
        name: "n8n",
        programs: &["n8n"],
        variables: &[("N8N_LISTEN_ADDRESS", "N8N_PORT")],
        lines: &[address("n8n ready on <host>, port <port>")],
        variable: "N8N_LISTEN_ADDRESS=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Kibana",
        lines: &[address("Kibana<*>http server running at <at>")],
        variable: "SERVER_HOST=0.0.0.0",
        directive: "server.host: 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Verdaccio",
        programs: &["verdaccio"],
        lines: &[address("http address - <at>")],
        option: "--listen 0.0.0.0:PORT",
        ..SERVER
    },
    Server {
        name: "json-server",
        programs: &["json-server"],
        default: "127.0.0.1:3000",
        default_is_vague: true,
        lines: &[port("JSON Server started on PORT :<port>")],
        option: "--host 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Wrangler",
        programs: &["wrangler"],
        subcommands: &["dev"],
        default: "127.0.0.1:8787",
        default_is_vague: true,
        lines: &[port("[wrangler:inf] Ready on <at>")],
        option: "--ip 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Remix",
        programs: &["remix-serve"],
        variables: &[("HOST", "PORT")],
        lines: &[port("[remix-serve] <at>")],
        variable: "HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Bun",
        lines: &[
            port("Started development server: <at>"),
            port("Started server <at>"),
            port("Started server: <at>"),
        ],
        directive: "Bun.serve({ hostname: \"0.0.0.0\" })",
        ..SERVER
    },
    Server {
        name: "Hardhat",
        programs: &["hardhat"],
        subcommands: &["node"],
        default: "127.0.0.1:8545",
        default_is_vague: true,
        lines: &[address("Started HTTP and WebSocket JSON-RPC server at <at>")],
        option: "--hostname 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "code-server",
        programs: &["code-server"],
        default: "127.0.0.1:8080",
        default_is_vague: true,
        lines: &[numeric("HTTP server listening on <at>"), numeric("HTTPS server listening on <at>")],
        option: "--bind-addr 0.0.0.0:PORT",
        ..SERVER
    },
];

#[cfg(test)]
mod tests {
    use super::super::holds;

    #[test]
    fn lines_as_they_are_printed() {
        holds(&[
            ("  ➜ Network:  use --host to expose", "Nuxt loopback"),
            ("  ➜ Local:    http://localhost:3000/", "Nuxt port 3000"),
            ("  ➜  Network: use --host to expose", "Vite loopback"),
            ("  > Network: use `--host` to expose", "Vite loopback"),
            ("  ➜  Local:   http://localhost:5173/", "Vite port 5173"),
            ("  ➜  Network: http://10.244.0.5:5173/", "Vite 10.244.0.5:5173"),
            ("┃ Network  use --host to expose", "Astro loopback"),
            ("┃ Local    http://localhost:4321/", "Astro port 4321"),
            (
                "<i> [webpack-dev-server] Loopback: http://localhost:8080/, http://[::1]:8080/",
                "webpack-dev-server port 8080",
            ),
            (
                "<i> [webpack-dev-server] On Your Network (IPv4): http://10.244.0.5:8080/",
                "webpack-dev-server 10.244.0.5:8080",
            ),
            (
                "ℹ ｢wds｣: Project is running at http://localhost:8080/",
                "webpack-dev-server 127.0.0.1:8080",
            ),
            (
                "** Angular Live Development Server is listening on localhost:4200, open your browser on http://localhost:4200/ **",
                "Angular CLI 127.0.0.1:4200",
            ),
            (
                "** Angular Live Development Server is listening on 0.0.0.0:4200, open your browser on http://localhost:4200/ **",
                "Angular CLI 0.0.0.0:4200",
            ),
            ("  Local:            http://localhost:3000", "Create React App port 3000"),
            ("  On Your Network:  http://10.244.0.5:3000", "Create React App 10.244.0.5:3000"),
            ("  - Local:   http://localhost:8080/", "Vue CLI port 8080"),
            (
                "ready - started server on 0.0.0.0:3000, url: http://localhost:3000",
                "Next.js 0.0.0.0:3000",
            ),
            ("   - Local:        http://localhost:3000", "Next.js port 3000"),
            ("   - Network:      http://web-6b7d4ccdbf-hqvf9:3000", "Next.js port 3000"),
            ("Server listening at http://127.0.0.1:3000", "Fastify 127.0.0.1:3000"),
            ("Server listening at http://localhost:3000", "Fastify port 3000"),
            ("[info] Server now running at http://127.0.0.1:1880/", "Node-RED port 1880"),
            ("n8n ready on 127.0.0.1, port 5678", "n8n 127.0.0.1:5678"),
            ("n8n ready on ::, port 5678", "n8n [::]:5678"),
            (
                "[INFO ][http.server.Kibana] http server running at http://localhost:5601",
                "Kibana 127.0.0.1:5601",
            ),
            (
                "warn --- http address - http://localhost:4873/ - verdaccio/5.0.0",
                "Verdaccio 127.0.0.1:4873",
            ),
            ("JSON Server started on PORT :3000", "json-server port 3000"),
            ("[wrangler:inf] Ready on http://localhost:8787", "Wrangler port 8787"),
            ("[remix-serve] http://localhost:3000 (http://10.244.0.5:3000)", "Remix port 3000"),
            ("Started development server: http://localhost:3000", "Bun port 3000"),
            (
                "Started HTTP and WebSocket JSON-RPC server at http://127.0.0.1:8545/",
                "Hardhat 127.0.0.1:8545",
            ),
            (
                "[2024-05-01T10:00:00.000Z] info  HTTP server listening on http://127.0.0.1:8080/",
                "code-server 127.0.0.1:8080",
            ),
        ]);
    }
}
