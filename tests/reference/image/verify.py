"""Compares what was acknowledged to clients (one identifier a line on the standard input), the rows of the database and
the entries of the recorder, which gets 20 s to empty the queue. Rows that were seen once have to be there for good. Runs
beside the recorder. What differs between two runs goes to the standard error, so that the standard output can be compared.
"""

import collections
import contextlib
import pathlib
import sys
import time

from connections import ERRORS, database

SEEN = pathlib.Path("/data/seen")  # rows of an earlier run


def read_rows():
    with contextlib.closing(database()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id::text FROM entries")
        return {row[0] for row in cursor}


def read_entries():
    return collections.Counter(pathlib.Path("/data/entries").read_text(encoding="ascii").split())


def compare(acknowledged):
    rows, entries = read_rows(), read_entries()
    lost = acknowledged - rows, rows - entries.keys()
    twice = sum(count > 1 for count in entries.values())
    details = f"{twice} recorded twice, {len(entries.keys() - rows)} of requests that failed"
    print(f"{len(acknowledged)} acknowledged or seen before, {len(rows)} rows, {len(entries)} entries ({details})", file=sys.stderr)
    return rows, lost


def main():
    acknowledged = set(sys.stdin.read().split())
    if SEEN.exists():
        acknowledged |= set(SEEN.read_text(encoding="ascii").split())
    deadline = time.monotonic() + 20
    while True:
        late = time.monotonic() > deadline
        try:
            rows, lost = compare(acknowledged)
            if late or not any(lost):
                break
        except ERRORS:
            if late:
                raise
        time.sleep(0.5)
    print(f"lost: {len(lost[0])} rows, {len(lost[1])} entries")
    if any(lost):
        sys.exit(1)
    SEEN.write_text("\n".join(rows), encoding="ascii")


main()
