//! Servers that run on the Java virtual machine.

use super::{SERVER, Server, address, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Spring Boot",
        variables: &[("SERVER_ADDRESS", "SERVER_PORT")],
        lines: &[
            port("Tomcat started on port <port>"),
            port("Tomcat started on port(s): <port>"),
            port("Tomcat initialized with port <port>"),
            port("Tomcat initialized with port(s): <port>"),
            port("Undertow started on port <port>"),
            port("Undertow started on port(s) <port>"),
            port("Jetty started on port <port>"),
            port("Jetty started on port(s) <port>"),
            port("Netty started on port <port>"),
            port("Netty started on port(s): <port>"),
        ],
        option: "--server.address=0.0.0.0",
        variable: "SERVER_ADDRESS=0.0.0.0",
        directive: "server.address=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Tomcat",
        programs: &["catalina.sh"],
        lines: &[
            address("Starting ProtocolHandler [\"http-nio-<host>-<port>\"]"),
            address("Starting ProtocolHandler [\"https-jsse-nio-<host>-<port>\"]"),
            port("Starting ProtocolHandler [\"http-nio-<port>\"]"),
            port("Starting ProtocolHandler [\"https-jsse-nio-<port>\"]"),
        ],
        directive: "<Connector address=\"0.0.0.0\" …>",
        ..SERVER
    },
    Server {
        name: "Jetty",
        lines: &[address("Started <*>ServerConnector@<*>}{<at>}")],
        option: "-Djetty.http.host=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Quarkus",
        variables: &[("QUARKUS_HTTP_HOST", "QUARKUS_HTTP_PORT")],
        lines: &[address("(powered by Quarkus<*>Listening on: <at>")],
        option: "-Dquarkus.http.host=0.0.0.0",
        variable: "QUARKUS_HTTP_HOST=0.0.0.0",
        directive: "quarkus.http.host=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Micronaut",
        variables: &[("MICRONAUT_SERVER_HOST", "MICRONAUT_SERVER_PORT")],
        lines: &[
            port("Server Running: http://<*>:<port>"),
            port("Server Running: https://<*>:<port>"),
        ],
        variable: "MICRONAUT_SERVER_HOST=0.0.0.0",
        directive: "micronaut.server.host: 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "WildFly",
        programs: &["standalone.sh"],
        address_options: &["-b"],
        lines: &[
            address("Undertow HTTP listener <*> listening on <at>"),
            address("Undertow HTTPS listener <*> listening on <at>"),
            address("Http management interface listening on <at>"),
        ],
        option: "-b 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Ktor",
        lines: &[address("- Responding at <at>")],
        directive: "embeddedServer(Netty, host = \"0.0.0.0\")",
        ..SERVER
    },
    Server {
        name: "Play",
        lines: &[address("Listening for HTTP on <at>")],
        option: "-Dplay.server.http.address=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "http4s",
        lines: &[
            address("Ember-Server service bound to address: <at>"),
            address("http4s <*> started at <at>"),
        ],
        directive: ".withHost(host\"0.0.0.0\")",
        ..SERVER
    },
    Server {
        name: "Helidon",
        lines: &[address("<at> bound for socket"), port("Server started on port <port>")],
        directive: "server.host: 0.0.0.0",
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
                "o.s.b.w.embedded.tomcat.TomcatWebServer  : Tomcat started on port(s): 8080 (http) with context path ''",
                "Spring Boot port 8080",
            ),
            (
                "o.s.b.w.embedded.tomcat.TomcatWebServer  : Tomcat started on port 8080 (http) with context path '/'",
                "Spring Boot port 8080",
            ),
            (
                "o.s.b.web.embedded.netty.NettyWebServer  : Netty started on port 8080",
                "Spring Boot port 8080",
            ),
            (
                "o.s.b.w.e.undertow.UndertowWebServer     : Undertow started on port(s) 8080 (http)",
                "Spring Boot port 8080",
            ),
            (
                "org.apache.coyote.AbstractProtocol.start Starting ProtocolHandler [\"http-nio-127.0.0.1-8080\"]",
                "Tomcat 127.0.0.1:8080",
            ),
            (
                "org.apache.coyote.AbstractProtocol.start Starting ProtocolHandler [\"http-nio-8080\"]",
                "Tomcat port 8080",
            ),
            (
                "INFO:oejs.AbstractConnector:main: Started ServerConnector@1b2c3d{HTTP/1.1, (http/1.1)}{127.0.0.1:8080}",
                "Jetty 127.0.0.1:8080",
            ),
            (
                "Started oejs.ServerConnector@5c29bfd{HTTP/1.1, (http/1.1, h2c)}{0.0.0.0:8080}",
                "Jetty 0.0.0.0:8080",
            ),
            (
                "(main) shop 1.0 on JVM (powered by Quarkus 3.2.0.Final) started in 1.234s. Listening on: http://localhost:8080",
                "Quarkus 127.0.0.1:8080",
            ),
            (
                "(main) shop 1.0 on JVM (powered by Quarkus 3.2.0.Final) started in 1.234s. Listening on: http://0.0.0.0:8080",
                "Quarkus 0.0.0.0:8080",
            ),
            (
                "io.micronaut.runtime.Micronaut - Startup completed in 512ms. Server Running: http://localhost:8080",
                "Micronaut port 8080",
            ),
            (
                "WFLYUT0006: Undertow HTTP listener default listening on 127.0.0.1:8080",
                "WildFly 127.0.0.1:8080",
            ),
            (
                "WFLYSRV0060: Http management interface listening on http://127.0.0.1:9990/management",
                "WildFly 127.0.0.1:9990",
            ),
            (
                "2024-05-01 10:00:00 INFO  Application - Responding at http://127.0.0.1:8080",
                "Ktor 127.0.0.1:8080",
            ),
            (
                "[info] p.c.s.AkkaHttpServer - Listening for HTTP on /0:0:0:0:0:0:0:0:9000",
                "Play [::]:9000",
            ),
            (
                "[io-compute-1] INFO o.h.e.s.EmberServerBuilderCompanionPlatform - Ember-Server service bound to address: [::1]:8080",
                "http4s [::1]:8080",
            ),
            ("[0x1] http://0.0.0.0:8080 bound for socket '@default'", "Helidon 0.0.0.0:8080"),
        ]);
    }
}
