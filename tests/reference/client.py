"""A client of the reference system: client.py URL FILE writes the identifier of every request that was acknowledged to FILE,
until it is terminated. Every request is on a new connection."""

import http.client
import sys
import time
import urllib.request


def main(url, file):
    with open(file, "a", encoding="ascii", buffering=1) as acknowledged:
        while True:
            try:
                with urllib.request.urlopen(url, data=b"", timeout=3) as answer:
                    if answer.status == 201:
                        acknowledged.write(answer.read().decode("ascii"))
            except (OSError, http.client.HTTPException):
                pass  # not acknowledged, so nothing is promised
            time.sleep(0.2)


main(*sys.argv[1:])
