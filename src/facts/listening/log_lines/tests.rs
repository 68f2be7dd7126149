//! Lines of logs as programs print them.

use super::*;

fn shown(log: &str) -> Vec<String> {
    of_log(log.lines()).iter().map(Told::shown).collect()
}

#[test]
fn log_lines_of_unknown_programs() {
    let mut wrong = Vec::new();
    for (line, expected) in [
        ("listening on 127.0.0.1:8080", "127.0.0.1:8080"),
        ("2024/05/01 10:00:00 Listening on :8080", "port 8080?"),
        ("2024/05/01 10:00:00 main.go:42: listening on [::]:8080...", "[::]:8080"),
        ("INFO listening on 0.0.0.0:3000", "0.0.0.0:3000"),
        ("listening on tcp:127.0.0.1:6379", "127.0.0.1:6379"),
        ("Server is listening on port 3000", "port 3000?"),
        ("Listening on 8080", "port 8080?"),
        ("app listening at http://localhost:3000", "port 3000?"),
        ("Example app listening on port 3000!", "port 3000?"),
        ("Server running at http://127.0.0.1:3000/", "127.0.0.1:3000?"),
        ("Server running at http://localhost:3000/", "port 3000?"),
        ("server started on localhost:8080", "127.0.0.1:8080?"),
        ("Listening on localhost:8080", "127.0.0.1:8080?"),
        ("Ready on http://web.example.com:8080", "port 8080?"),
        ("grpc server listening at ('127.0.0.1', 50051)", "127.0.0.1:50051"),
        ("Serving on 127.0.0.1 port 8080", "127.0.0.1:8080"),
        ("listening on host 127.0.0.1, port 9000", "127.0.0.1:9000"),
        ("listening on tcp://127.0.0.1:2375", "127.0.0.1:2375?"),
        (
            "Starting listening for CQL clients on localhost/127.0.0.1:9042 (unencrypted)...",
            "127.0.0.1:9042?",
        ),
        ("Listening on 0.0.0.0:8080, forwarding to 127.0.0.1:9000", "0.0.0.0:8080"),
        ("metrics server listening on 127.0.0.1:9102", "127.0.0.1:9102"),
        ("pprof listening at 127.0.0.1:6060", "127.0.0.1:6060"),
        (r#"{"level":"info","msg":"listening","addr":"127.0.0.1:8080"}"#, "127.0.0.1:8080"),
        (
            r#"{"level":"info","message":"Server listening on http://localhost:3000"}"#,
            "port 3000?",
        ),
        (
            r#"{"level":"info","msg":"starting HTTP server","host":"127.0.0.1","port":8080}"#,
            "127.0.0.1:8080?",
        ),
        (r#"{"level":"info","msg":"server started","port":8080}"#, "port 8080?"),
        (
            r#"{"timestamp":"x","level":"INFO","fields":{"message":"listening","addr":"[::1]:8080"},"target":"app"}"#,
            "[::1]:8080",
        ),
        (
            r#"level=info msg="server listening on addresses" http=127.0.0.1:3100 grpc=[::]:9095"#,
            "127.0.0.1:3100",
        ),
        (r#"time=x level=INFO msg=listening addr=127.0.0.1:8080"#, "127.0.0.1:8080"),
        (
            "2024-05-01T10:00:00Z\tinfo\totlpreceiver/otlp.go:102\tStarting GRPC server\t{\"kind\": \"receiver\", \"endpoint\": \"localhost:4317\"}",
            "127.0.0.1:4317?",
        ),
        (
            "INFO [05-01|10:00:00.000] HTTP server started                      endpoint=127.0.0.1:8545 auth=false",
            "127.0.0.1:8545?",
        ),
        (
            "\u{1b}[32mINFO\u{1b}[0m listening on \u{1b}[1m127.0.0.1:8080\u{1b}[0m",
            "127.0.0.1:8080",
        ),
    ] {
        wrong.extend((shown(line).join(" ") != expected).then(|| format!("{:?}, not {expected:?}: {line}", shown(line))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lines_that_speak_of_something_else() {
    let mut wrong = Vec::new();
    for line in [
        "connecting to 127.0.0.1:5432",
        "Connected to redis at 127.0.0.1:6379",
        "dial tcp 127.0.0.1:5432: connect: connection refused",
        "failed to listen on 127.0.0.1:8080: address already in use",
        "Error: listen EADDRINUSE: address already in use 127.0.0.1:3000",
        "nginx: [emerg] bind() to 127.0.0.1:80 failed (98: Address already in use)",
        "127.0.0.1 - - [01/May/2024:10:00:00 +0000] \"GET /running HTTP/1.1\" 200 5",
        "INFO:     127.0.0.1:51234 - \"GET / HTTP/1.1\" 200 OK",
        "Listening on unix socket /run/app.sock",
        "Listening on unix:///run/app.sock",
        "listening on udp 127.0.0.1:8125",
        "using database at localhost:5432",
        "worker ready on redis://localhost:6379/0",
        "waiting for 127.0.0.1:5432",
        "proxying requests to http://127.0.0.1:9000",
        "Started at 2024-05-01 10:00:00",
        "Job started at 12:30:01",
        "running on 4 cores",
        "listening to topic orders",
        r#"{"msg":"connecting","addr":"127.0.0.1:5432"}"#,
        r#"{"msg":"serving request","addr":"127.0.0.1:5432"}"#,
        r#"{"msg":"new connection from client","addr":"127.0.0.1:5432"}"#,
        "client 127.0.0.1:51234 closed keepalive connection",
    ] {
        wrong.extend((!shown(line).is_empty()).then(|| format!("{:?}: {line}", shown(line))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lines_that_belong_together() {
    let mut wrong = Vec::new();
    for (log, expected) in [
        // Flask on every address links to the loopback as well.
        (
            " * Running on all addresses (0.0.0.0)\n * Running on http://127.0.0.1:5000\n * Running on http://10.244.0.5:5000\n",
            &["Flask 0.0.0.0:5000", "Flask 10.244.0.5:5000"][..],
        ),
        (
            " * Serving Flask app 'app'\n * Running on http://127.0.0.1:5000\n",
            &["Flask 127.0.0.1:5000"],
        ),
        // Vite says in a second line that nobody else gets there.
        (
            "  VITE v5.0.0  ready in 300 ms\n\n  ➜  Local:   http://localhost:5173/\n  ➜  Network: use --host to expose\n",
            &["Vite 127.0.0.1:5173"],
        ),
        (
            "  ➜  Local:   http://localhost:5173/\n  ➜  Network: http://10.244.0.5:5173/\n",
            &["Vite 10.244.0.5:5173"],
        ),
        // Fastify on 0.0.0.0 names each address of the pod.
        (
            "{\"level\":30,\"msg\":\"Server listening at http://127.0.0.1:3000\"}\n{\"level\":30,\"msg\":\"Server listening at http://10.244.0.5:3000\"}\n",
            &["Fastify 10.244.0.5:3000"],
        ),
        (
            "{\"level\":30,\"msg\":\"Server listening at http://[::1]:3000\"}\n{\"level\":30,\"msg\":\"Server listening at http://127.0.0.1:3000\"}\n",
            &["Fastify [::1]:3000", "Fastify 127.0.0.1:3000"],
        ),
        // MongoDB names address and port in two lines.
        (
            "{\"msg\":\"Listening on\",\"attr\":{\"address\":\"127.0.0.1\"}}\n{\"msg\":\"Waiting for connections\",\"attr\":{\"port\":27017,\"ssl\":\"off\"}}\n",
            &["MongoDB 127.0.0.1:27017"],
        ),
        (
            "[Note] Server socket created on IP: '127.0.0.1'.\n[Note] mariadbd: ready for connections.\nVersion: '10'  socket: '/run/mysqld.sock'  port: 3306  mariadb.org\n",
            &["MySQL 127.0.0.1:3306"],
        ),
        (
            "LOG:  listening on IPv4 address \"0.0.0.0\", port 5432\nLOG:  listening on IPv6 address \"::\", port 5432\n",
            &["PostgreSQL 0.0.0.0:5432", "PostgreSQL [::]:5432"],
        ),
        // Two ports of one program: the admin port stays what it is.
        (
            "listening on 0.0.0.0:8080\nadmin listening on 127.0.0.1:9901\n",
            &["0.0.0.0:8080", "127.0.0.1:9901"],
        ),
        (
            "Starting in local only mode. Connections will only be possible from clients running on this machine.\nOpening ipv4 listen socket on port 1883.\n",
            &["Mosquitto 127.0.0.1:1883"],
        ),
    ] {
        wrong.extend((shown(log) != expected).then(|| format!("{:?}, not {expected:?}: {log}", shown(log))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
