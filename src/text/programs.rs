//! Programs that call others, by what they take: what looks like an address on their command line is not their own.

use crate::text::Words;

/// Take a host and a port as plain words.
pub(crate) const DIALLERS: Words = Words("nc, ncat, netcat, telnet, tcping");

/// Take them as options.
pub(crate) const DATABASE_CLIENTS: Words = Words(
    "pg_isready, psql, pg_dump, pg_restore, mysql, mysqladmin, mariadb, mariadb-admin, redis-cli, mongosh, mongo, clickhouse-client, \
     cqlsh",
);

/// Take a host as a plain word.
pub(crate) const LOOKERS: Words = Words("nslookup, ping, dig, getent, traceroute");

/// Take a URL or `host:port`, the scheme left out.
pub(crate) const FETCHERS: Words = Words("curl, wget, wait-for-it, wait-for, wait4x, dockerize, grpc_health_probe");

/// Others that listen nowhere, and what a shell does by itself.
const OTHERS: Words = Words(
    "cd, set, true, umask, ulimit, wait, exit, trap, done, fi, createdb, mysqldump, valkey-cli, grpcurl, ssh, scp, rsync, openssl, echo, printf, cat, cp, mv, mkdir, chown, chmod, sed, awk, \
     grep, test, [, sleep, etcdctl, kafka-topics, mc, ab, wrk, hey, k6, locust, celery, alembic, flyway, liquibase, migrate, goose, \
     rabbitmqctl, rabbitmqadmin, nats, mosquitto_pub, mosquitto_sub, aws, gcloud, helm, git, kubectl, vault, consul",
);

/// Whether a program listens nowhere.
pub(crate) fn is_client(program: &str) -> bool {
    [DIALLERS, DATABASE_CLIENTS, LOOKERS, FETCHERS, OTHERS]
        .iter()
        .any(|list| list.has(program))
}
