"""The API server: a request to / writes a row and publishes a message, and is answered with 201 when both are on disk.

/live asks the process alone. /ready asks the database and the queue as well: while one of them is down, the pod leaves
the Service, and is not restarted. On SIGTERM kept connections are closed after the answer that is under way.
"""

import signal
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pika

from connections import ERRORS, QUEUE, Pool

POOL = Pool()


def check():
    with POOL.take() as connections:
        with connections.database, connections.database.cursor() as cursor:
            cursor.execute("SELECT 1")
        connections.channel.queue_declare(QUEUE, passive=True)
    return 200, "ready"


def write():
    """The row is committed after the broker has confirmed the message: no row is without its message."""
    entry = str(uuid.uuid4())
    with POOL.take() as connections:
        with connections.database, connections.database.cursor() as cursor:
            cursor.execute("INSERT INTO entries (id) VALUES (%s)", (entry,))
            persistent = pika.BasicProperties(delivery_mode=2)
            connections.channel.basic_publish("", QUEUE, entry.encode(), persistent, mandatory=True)
    return 201, entry


ROUTES = {"/live": lambda: (200, "live"), "/ready": check, "/": write}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5  # seconds without a request, until a connection is closed

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            code, text = ROUTES.get(self.path, lambda: (404, "not found"))()
        except ERRORS as error:
            code, text = 503, f"{type(error).__name__}: {error}".strip()
            self.log_error("%s: %s", self.path, text)
        body = f"{text}\n".encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        if self.server.is_closing:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_request(self, code="-", size="-"):
        """Failures alone are logged."""


class Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for the requests that are under way
    request_queue_size = 128
    is_closing = False


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = Server(("", 8080), Handler)
    try:
        server.serve_forever()
    finally:
        server.is_closing = True
        server.server_close()


main()
