"""The input of the ssh example: lines of several hosts with attacks in them, their order and time stamps always the same."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from penstock.pipelines.generator import Line, SshdLog

HOUR_MS = 3_600_000
YEAR_OF_THE_RECORDING = 2025
GARBAGE = (b"the disk of a printer is full", b"\xff\xfe not even text", b"")
"""No pattern finds a host in these, so they have no key: dead letters."""


class Written(NamedTuple):
    """A record as its producer writes it."""

    key: bytes
    value: bytes
    timestamp: int


def generated(seed: int, hours: float, hosts: str = "") -> list[Line]:
    """Generated lines; `hosts` is set before the names of the hosts."""
    return [
        Line(line.time, hosts + line.host, line.text.replace(f" {line.host} ", f" {hosts}{line.host} ", 1))
        for line in SshdLog(seed, hours).lines()
    ]


def break_ins(count: int, hosts: Sequence[str]) -> list[Line]:
    """A login with a password every two seconds, on one host after the other: every one of them is a result by itself."""
    start = next(SshdLog(0, 1).lines()).time
    return [
        Line(at, host, f"{_stamp(at)} {host} sshd[{number}]: Accepted password for root from 192.0.2.7 port 4711 ssh2")
        for number in range(count)
        for at, host in [(start + 2000 * number, hosts[number % len(hosts)])]
    ]


def recorded(recordings: Path) -> list[Line]:
    """2,000 real lines of one host. Its columns are put together again to lines as sshd wrote them."""
    with (recordings / "loghub" / "OpenSSH_2k.log_structured.csv").open(newline="") as file:
        return [_line_of(row) for row in csv.DictReader(file)]


def _line_of(row: dict[str, str]) -> Line:
    stamp = f"{row['Date']} {int(row['Day']):2d} {row['Time']}"
    at = datetime.strptime(f"{YEAR_OF_THE_RECORDING} {stamp}", "%Y %b %d %H:%M:%S").replace(tzinfo=UTC)
    host = row["Component"]
    return Line(int(at.timestamp()) * 1000, host, f"{stamp} {host} sshd[{row['Pid']}]: {row['Content']}")


def records(lines: Sequence[Line]) -> list[Written]:
    """Time is that of the lines. Among them is some garbage, and every host has a last line.

    The last lines stand two hours after the others and five minutes past the hour: every episode and every hour of interest is
    over by then, and nothing is left that would happen merely because the test takes long.
    """
    ordered = sorted([*lines, *_last_lines(lines)], key=lambda line: (line.time, line.host))
    written = [Written(line.host.encode(), line.text.encode(), line.time) for line in ordered]
    for number, value in enumerate(GARBAGE, 1):
        place = number * len(written) // (len(GARBAGE) + 1)
        written.insert(place, written[place]._replace(value=value))
    return written


def _last_lines(lines: Iterable[Line]) -> list[Line]:
    spoke_last = {line.host: line.time for line in lines}
    over = {host: (time // HOUR_MS + 2) * HOUR_MS + 5 * 60_000 for host, time in spoke_last.items()}
    return [
        Line(at, host, f"{_stamp(at)} {host} sshd[1]: Server listening on :: port 22.") for host, at in over.items()
    ]


def _stamp(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S}"
