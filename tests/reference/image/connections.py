"""Connections to the database and the queue: they give up within seconds, and none lives long."""

import contextlib
import os
import queue
import threading
import time

import pika
import psycopg2
from pika.adapters.utils.connection_workflow import AMQPConnectorException

ERRORS = (psycopg2.Error, pika.exceptions.AMQPError, AMQPConnectorException, OSError)
QUEUE = "entries"
MAX_AGE = 10  # seconds: an isolated dependency keeps connections that it has, as long as they live


def database():
    """A connection to PostgreSQL."""
    return psycopg2.connect(
        host="db",
        user="app",
        password=os.environ["PASSWORD"],
        dbname="postgres",
        connect_timeout=3,
        tcp_user_timeout=3000,
        keepalives_idle=2,
        keepalives_interval=1,
        keepalives_count=2,
        options="-c statement_timeout=3s",
    )


def channel():
    """A channel to RabbitMQ, with the durable queue; a publish returns when the message is on disk."""
    parameters = pika.ConnectionParameters(
        host="queue",
        credentials=pika.PlainCredentials("app", os.environ["PASSWORD"]),
        heartbeat=6,
        socket_timeout=3,
        stack_timeout=4,
        blocked_connection_timeout=3,
    )
    opened = pika.BlockingConnection(parameters).channel()
    opened.queue_declare(QUEUE, durable=True)
    opened.confirm_delivery()
    return opened


class Connections:
    """One to each, used by one request at a time."""

    def __init__(self):
        self.database = database()
        try:
            self.channel = channel()
        except ERRORS:
            self.database.close()
            raise
        self.expires = time.monotonic() + MAX_AGE

    def close(self):
        for connection in (self.database, self.channel.connection):
            with contextlib.suppress(*ERRORS):
                connection.close()


class Pool:
    """Connections that wait for their next request; more than eight at once would only be slower."""

    def __init__(self):
        self.idle = queue.LifoQueue()
        self.free = threading.Semaphore(8)

    @contextlib.contextmanager
    def take(self):
        if not self.free.acquire(timeout=1):
            raise TimeoutError("all connections are busy")
        try:
            connections = self.fresh()
            try:
                yield connections
            except BaseException:
                connections.close()
                raise
            self.idle.put(connections)
        finally:
            self.free.release()

    def fresh(self):
        while not self.idle.empty():
            with contextlib.suppress(queue.Empty):
                connections = self.idle.get_nowait()
                if connections.expires > time.monotonic():
                    return connections
                connections.close()
        return Connections()
