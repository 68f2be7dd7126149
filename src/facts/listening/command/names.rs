//! Programs and options by name.

use crate::text::Words;

/// Commands that only run another one, and those of them that take a word of their own first.
pub(crate) const RUNNERS: Words = Words(
    "exec, command, nohup, env, tini, dumb-init, catatonit, time, nice, ionice, stdbuf, poetry, pipenv, uv, pdm, rye, bundle, npx, \
     bunx, npm, pnpm, yarn, bun, node, nodejs, deno, python, python2, python3, pypy3, ruby, perl, php, busybox, \
     opentelemetry-instrument, ddtrace-run, newrelic-admin, run, run-program, x, dlx, tsx, ts-node, nodemon, docker-entrypoint.sh, \
     entrypoint.sh, sudo, watchfiles, xvfb-run",
);

pub(crate) const RUNNERS_WITH_A_WORD: &[&str] = &["gosu", "su-exec", "timeout", "chroot", "runuser", "setuidgid", "chpst"];

/// Names of options that hold an address to listen on, with hyphens for every separator.
pub(crate) const SURE: Words = Words(
    "bind, bind-address, bind-addr, bind-host, bind-ip, listen, listen-address, listen-addr, listen-addresses, listen-host, \
     listen-ip, listen-on, listen-client-urls, dev-addr, dev-listen-address, urls, listeners, http-listen, insecure-bind-address, \
     server-address, network-host",
);

/// Names that a client may use as well: sure only where the program is a known server, or a port of its own stands beside.
pub(crate) const VAGUE: Words = Words(
    "host, hostname, addr, address, ip, interface, server-host, server-name, http-host, http-addr, http-address, https-address, \
     grpc-addr, grpc-address, grpc-host, web-host, ui-host, api-host, rest-host, http, quarkus-http-host, micronaut-server-host, \
     jetty-http-host, jetty-host, play-server-http-address, jboss-bind-address, console-address, client",
);

/// Ends of longer names that say it surely: `--web.listen-address`, `--metrics-bind-address`.
pub(crate) const SURE_ENDS: Words =
    Words("-listen-address, -listen-addr, -listen-host, -listen, -bind-address, -bind-addr, -bind-host, -bind-ip, -bind");

/// Last parts of a name that stand for an address; what is before them names the listener, and its port has the same name.
pub(crate) const ADDRESS_PARTS: Words = Words(
    "bind-address, bind-addr, bind-host, bind-ip, listen-address, listen-addr, listen-addresses, listen-host, listen-ip, address, \
     addr, hostname, host, name, ip, interface, bind, listen",
);

/// Listeners of these names have the port that is named without any.
pub(crate) const MAIN: Words =
    Words("http, server, server-http, web, api, app, listen, bind, network, dev, quarkus-http, micronaut-server, jetty, jetty-http");
