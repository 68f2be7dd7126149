//! Databases, caches, queues and search engines.

use super::{SERVER, Server, address, loopback, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Redis",
        programs: &["redis-server", "valkey-server", "keydb-server"],
        lines: &[port("Running mode=<*>, port=<port>."), port("Running mode=<*>, port=<port>,")],
        option: "--bind 0.0.0.0",
        directive: "bind 0.0.0.0",
        caution: "set a password as well: protected-mode refuses other hosts without one, and switching it off opens the data to the whole cluster",
        ..SERVER
    },
    Server {
        name: "PostgreSQL",
        programs: &["postgres"],
        address_options: &["-h"],
        port_options: &["-p"],
        lines: &[
            address("listening on IPv4 address \"<host>\", port <port>"),
            address("listening on IPv6 address \"<host>\", port <port>"),
        ],
        option: "-c listen_addresses='*'",
        directive: "listen_addresses = '*'",
        caution: "pg_hba.conf must admit the network of the pods too",
        ..SERVER
    },
    Server {
        name: "MySQL",
        programs: &["mysqld", "mariadbd"],
        lines: &[
            address("Server hostname (bind-address): '<host>'; port: <port>"),
            address("X Plugin ready for connections. Bind-address: '<host>' port: <port>"),
            address("Server socket created on IP: '<host>'"),
            port("socket: '<*>'  port: <port>"),
        ],
        option: "--bind-address=0.0.0.0",
        directive: "bind-address = 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "MongoDB",
        programs: &["mongod", "mongos"],
        default: "127.0.0.1:27017",
        default_is_vague: true,
        lines: &[
            address("\"msg\":\"Listening on\",\"attr\":{\"address\":\"<at>\"}"),
            port("\"msg\":\"Waiting for connections\",\"attr\":{\"port\":<port>,"),
        ],
        option: "--bind_ip_all",
        directive: "net.bindIp: 0.0.0.0",
        caution: "enable access control first",
        ..SERVER
    },
    Server {
        name: "RabbitMQ",
        lines: &[
            address("started TCP listener on <at>"),
            address("started TLS (SSL) listener on <at>"),
        ],
        directive: "listeners.tcp.default = 5672",
        ..SERVER
    },
    Server {
        name: "Kafka",
        variables: &[("KAFKA_LISTENERS", ""), ("KAFKA_CFG_LISTENERS", "")],
        lines: &[address("Awaiting socket connections on <at>")],
        variable: "KAFKA_LISTENERS=PLAINTEXT://0.0.0.0:9092",
        directive: "listeners=PLAINTEXT://0.0.0.0:9092",
        caution: "advertised.listeners must keep a name that clients reach",
        ..SERVER
    },
    Server {
        name: "ZooKeeper",
        lines: &[address("binding to port <at>")],
        directive: "clientPortAddress=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Elasticsearch",
        programs: &["elasticsearch", "opensearch"],
        variables: &[("network.host", "http.port"), ("http.host", "http.port")],
        lines: &[
            // It publishes the loopback only where it is bound to nothing else.
            address("publish_address {<at>}, bound_addresses"),
        ],
        variable: "network.host=0.0.0.0",
        directive: "network.host: 0.0.0.0",
        caution: "with another address it checks the node's limits when it starts; discovery.type=single-node passes them for one node",
        ..SERVER
    },
    Server {
        name: "etcd",
        programs: &["etcd"],
        default: "127.0.0.1:2379",
        default_is_vague: true,
        variables: &[("ETCD_LISTEN_CLIENT_URLS", "")],
        lines: &[
            address("insecure client requests on <at>,"),
            address("\"msg\":\"serving client traffic insecurely; this is strongly discouraged!\",<*>\"address\":\"<at>\""),
            address("\"msg\":\"serving client traffic securely\",<*>\"address\":\"<at>\""),
        ],
        option: "--listen-client-urls=http://0.0.0.0:2379",
        variable: "ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379",
        caution: "advertise-client-urls must be given with it",
        ..SERVER
    },
    Server {
        name: "Memcached",
        programs: &["memcached"],
        address_options: &["-l"],
        port_options: &["-p"],
        option: "-l 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "CouchDB",
        lines: &[address("Apache CouchDB has started on <at>")],
        directive: "bind_address = 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "ClickHouse",
        programs: &["clickhouse-server"],
        lines: &[
            address("Application: Listening for <*>: <at>"),
            address("Application: Listening for <at>"),
        ],
        directive: "<listen_host>0.0.0.0</listen_host>",
        ..SERVER
    },
    Server {
        name: "Neo4j",
        lines: &[
            address("Bolt enabled on <at>"),
            address("HTTP enabled on <at>"),
            port("Remote interface available at <at>"),
        ],
        variable: "NEO4J_server_default__listen__address=0.0.0.0",
        directive: "server.default_listen_address=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Mosquitto",
        programs: &["mosquitto"],
        lines: &[
            loopback("Starting in local only mode. Connections will only be possible from clients running on this machine"),
            port("listen socket on port <port>"),
        ],
        directive: "listener 1883 0.0.0.0",
        caution: "it needs allow_anonymous true or a password file then",
        ..SERVER
    },
    Server {
        name: "NATS",
        programs: &["nats-server"],
        address_options: &["-a"],
        port_options: &["-p"],
        lines: &[address("Listening for client connections on <at>")],
        option: "--addr 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "SurrealDB",
        programs: &["surreal"],
        subcommands: &["start"],
        default: "127.0.0.1:8000",
        default_is_vague: true,
        lines: &[address("Started web server on <at>")],
        option: "--bind 0.0.0.0:8000",
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
                "1:M 01 May 2024 10:00:00.000 * Running mode=standalone, port=6379.",
                "Redis port 6379",
            ),
            (
                "2024-05-01 10:00:00.000 UTC [1] LOG:  listening on IPv4 address \"127.0.0.1\", port 5432",
                "PostgreSQL 127.0.0.1:5432",
            ),
            (
                "2024-05-01 10:00:00.000 UTC [1] LOG:  listening on IPv6 address \"::\", port 5432",
                "PostgreSQL [::]:5432",
            ),
            (
                "2024-05-01 10:00:00.000 UTC [1] LOG:  listening on Unix socket \"/var/run/postgresql/.s.PGSQL.5432\"",
                "",
            ),
            (
                "/usr/sbin/mysqld: ready for connections. Version: '8.0.33'  socket: '/var/lib/mysql/mysql.sock'  port: 3306  MySQL Community Server - GPL.",
                "MySQL port 3306",
            ),
            (
                "2024-05-01 10:00:00 0 [Note] Server socket created on IP: '127.0.0.1'.",
                "MySQL 127.0.0.1",
            ),
            (
                "[Note] Server hostname (bind-address): '127.0.0.1'; port: 3306",
                "MySQL 127.0.0.1:3306",
            ),
            (
                "[Server] X Plugin ready for connections. Bind-address: '::' port: 33060, socket: /var/run/mysqld/mysqlx.sock",
                "MySQL [::]:33060",
            ),
            (
                r#"{"t":{"$date":"2024-05-01T10:00:00.000+00:00"},"s":"I","c":"NETWORK","id":23015,"ctx":"listener","msg":"Listening on","attr":{"address":"127.0.0.1"}}"#,
                "MongoDB 127.0.0.1",
            ),
            (
                r#"{"s":"I","c":"NETWORK","id":23015,"ctx":"listener","msg":"Listening on","attr":{"address":"/tmp/mongodb-27017.sock"}}"#,
                "",
            ),
            (
                r#"{"s":"I","c":"NETWORK","id":23016,"ctx":"listener","msg":"Waiting for connections","attr":{"port":27017,"ssl":"off"}}"#,
                "MongoDB port 27017",
            ),
            (
                "2024-05-01 10:00:00.000000+00:00 [info] <0.500.0> started TCP listener on [::]:5672",
                "RabbitMQ [::]:5672",
            ),
            (
                "[INFO] Awaiting socket connections on localhost:9092. (kafka.network.DataPlaneAcceptor)",
                "Kafka 127.0.0.1:9092",
            ),
            (
                "[INFO] binding to port /127.0.0.1:2181 (org.apache.zookeeper.server.NIOServerCnxnFactory)",
                "ZooKeeper 127.0.0.1:2181",
            ),
            (
                "[INFO ][o.e.h.AbstractHttpServerTransport] [es-0] publish_address {127.0.0.1:9200}, bound_addresses {[::1]:9200}, {127.0.0.1:9200}",
                "Elasticsearch 127.0.0.1:9200",
            ),
            (
                "[INFO ][o.e.h.AbstractHttpServerTransport] [es-0] publish_address {10.244.0.5:9200}, bound_addresses {[::]:9200}",
                "Elasticsearch 10.244.0.5:9200",
            ),
            (
                "embed: serving insecure client requests on 127.0.0.1:2379, this is strongly discouraged!",
                "etcd 127.0.0.1:2379",
            ),
            (
                r#"{"level":"info","ts":"2024-05-01T10:00:00Z","msg":"serving client traffic insecurely; this is strongly discouraged!","traffic":"grpc+http","address":"127.0.0.1:2379"}"#,
                "etcd 127.0.0.1:2379",
            ),
            (
                "[info] 2024-05-01T10:00:00Z nonode@nohost <0.9.0> -------- Apache CouchDB has started on http://127.0.0.1:5984/",
                "CouchDB 127.0.0.1:5984",
            ),
            (
                "<Information> Application: Listening for http://127.0.0.1:8123",
                "ClickHouse 127.0.0.1:8123",
            ),
            (
                "2024-05-01 10:00:00.000+0000 INFO  Bolt enabled on localhost:7687.",
                "Neo4j 127.0.0.1:7687",
            ),
            ("INFO  Remote interface available at http://localhost:7474/", "Neo4j port 7474"),
            (
                "1714557600: Starting in local only mode. Connections will only be possible from clients running on this machine.",
                "Mosquitto loopback",
            ),
            ("1714557600: Opening ipv4 listen socket on port 1883.", "Mosquitto port 1883"),
            (
                "[1] 2024/05/01 10:00:00.000000 [INF] Listening for client connections on 0.0.0.0:4222",
                "NATS 0.0.0.0:4222",
            ),
            (
                "INFO surrealdb::net Started web server on 127.0.0.1:8000",
                "SurrealDB 127.0.0.1:8000",
            ),
        ]);
    }
}
