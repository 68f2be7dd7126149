"""The recorder: writes every message of the queue as a line to the claim, and acknowledges it when the line is on disk."""

import contextlib
import os
import pathlib
import signal
import sys
import time

from connections import ERRORS, MAX_AGE, QUEUE, channel

CONNECTED = pathlib.Path("/tmp/connected")  # what the readiness probe looks for


class Stop:
    requested = False

    @classmethod
    def request(cls, *_):
        cls.requested = True


def consume(entries):
    source, expires = channel(), time.monotonic() + MAX_AGE
    with contextlib.closing(source.connection):
        source.basic_qos(prefetch_count=100)
        CONNECTED.touch()
        for method, _, body in source.consume(QUEUE, inactivity_timeout=0.5):
            if Stop.requested or time.monotonic() > expires:
                return
            if method:
                entries.write(body + b"\n")
                os.fsync(entries.fileno())
                source.basic_ack(method.delivery_tag)


def main():
    signal.signal(signal.SIGTERM, Stop.request)
    with open("/data/entries", "ab", buffering=0) as entries:
        if entries.tell():
            entries.write(b"\n")  # ends a line that a crash has cut short
        while not Stop.requested:
            try:
                consume(entries)
            except ERRORS as error:
                print(f"{type(error).__name__}: {error}".strip(), file=sys.stderr, flush=True)
                time.sleep(1)
            finally:
                CONNECTED.unlink(missing_ok=True)


main()
