//! Words of log lines: what is said of listening, and what is said of anything else.

use crate::text::Words;

/// What is said of a socket to listen on.
pub(crate) const LISTENING: Words = Words(
    "listening, listen on, listens on, listen at, listen address, listener on, bound to, binding to, bind to, binding on, \
     serving on, serving at, serving http, serving grpc, now serving, accepting connections, accepting requests",
);

/// What is said of a server that is up, and of other things.
pub(crate) const RUNNING: Words = Words(
    "server started, started server, server running, server is running, server is up, server ready, running on, running at, \
     started on, started at, starting on, starting at, starting server, starting http, starting grpc, ready on, ready at, \
     available at, available on, http server, grpc server, server on, server at",
);

/// Words of lines that speak of something else: another program's socket, a fault, a socket without a port.
pub(crate) const OTHERWISE: Words = Words(
    "connecting, connected, connect to, connection from, new connection, accepted connection, dialing, dialling, failed, failure, \
     error, cannot, can't, could not, couldn't, unable, refused, timed out, timeout, in use, retry, stopped, stopping, closing, \
     closed, shutting, shutdown, no longer, unix, .sock, udp, http/1., http/2., waiting for, not listening, isn't listening, usage:",
);

/// Words after which the line speaks of the other side.
pub(crate) const ELSEWHERE: Words = Words(
    "to, ->, =>, →, via, forwarding, forwards, proxying, upstream, upstreams, backend, target, from, using, database, db, redis, \
     broker, peer, peers, leader, master, primary, advertise, advertised, advertising, external, public",
);

/// Keys of fields that hold an address.
pub(crate) const ADDRESSES: Words = Words(
    "address, addr, listen, listenaddr, listenaddress, bind, bindaddr, bindaddress, binding, local, localaddr, endpoint, url, http, \
     httpaddr, httpaddress, listener, server",
);

/// Keys of fields that hold a host.
pub(crate) const HOSTS: Words = Words("host, hostname, ip, interface");

/// Keys of a record that hold its message.
pub(crate) const MESSAGES: [&str; 7] = ["msg", "message", "event", "Message", "@m", "@mt", "text"];
