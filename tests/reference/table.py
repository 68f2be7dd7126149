"""Prints a report of the drills of a suite as a table: table.py FILE."""

import json
import sys

HEAD = ("fault", "targets", "verdict", "down s", "errors %", "recovered s", "restarts", "data")


def row(drill):
    report = drill.get("report")
    if not report:
        return (drill["name"], "", "left out", "", "", "", "", "")
    measured = report["measured"]
    data = report.get("data")
    return (
        report["fault"],
        " ".join(f"{target['kind'].lower()}/{target['name']}" for target in report["targets"]),
        report["verdict"],
        max((client["downtimeSeconds"] for client in measured), default=""),
        max((client["errorPercent"] for client in measured), default=""),
        report.get("recoverySeconds", ""),
        report["restarts"],
        "same" if data and data["isSame"] else data and data["after"] or "",
    )


def main(path):
    with open(path, encoding="utf-8") as file:
        rows = [HEAD, *(tuple(map(str, row(drill))) for drill in json.load(file)["drills"])]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


main(*sys.argv[1:])
