"""The commits of one task, as its log shows them to whoever reads it: no gap, nothing twice, nobody who was fenced.

The header `penstock` of a record is `format seq incarnation part parts crc`; a new incarnation begins with a delta that names
the process which opened the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import zstandard

from penstock.operators.record import Headers
from penstock.pipelines.torture_story import Problem

HEADER = "penstock"
_ZSTD_BIT = 0x80


class Commit(NamedTuple):
    """A delta that became visible at `at` (monotonic seconds) and was written at `timestamp` (ms since the epoch).

    `owner` is known of the first one of an incarnation, which opened the task.
    """

    at: float
    timestamp: int
    incarnation: int
    owner: str | None


@dataclass
class Chain:
    """Fed with the log of one partition in offset order."""

    commits: list[Commit] = field(default_factory=list)
    _next: int | None = None

    def saw(self, commit: Commit, seq: int, place: str) -> Iterator[Problem]:
        if self._next is not None and seq != self._next:
            text = f"commit {seq} of the log at {place}, where {self._next} belongs"
            yield Problem("duplicated" if seq < self._next else "lost", text)
        if self.commits and commit.incarnation < self.commits[-1].incarnation:
            yield Problem("contradicted", f"a process that was fenced committed at {place}")
        self._next = seq + 1
        self.commits.append(commit)

    def skipped(self) -> None:
        """A part of the log was trimmed before it could be read."""
        self._next = None

    @property
    def incarnation(self) -> int:
        return self.commits[-1].incarnation if self.commits else 0

    @property
    def opened(self) -> list[Commit]:
        return [commit for commit in self.commits if commit.owner is not None]

    def owner_at(self, at: float) -> str | None:
        """Who had the task then, as far as it was visible."""
        before = [commit.owner for commit in self.opened if commit.at <= at]
        return before[-1] if before else None


def tag_of(headers: Headers) -> tuple[int, int] | None:
    """`seq` and `incarnation` of the first part of a delta; None for the other parts and for what was not written by a task."""
    fields = next((value for name, value in headers if name == HEADER), b"").split()
    if len(fields) < 4 or fields[3] != b"0":
        return None
    return int(fields[1]), int(fields[2])


def owner_of(value: bytes | None) -> str:
    """Who wrote a delta; empty where it is in several parts, or cannot be read here."""
    first, body = (value or b"\0")[0], (value or b"\0")[1:]
    try:
        whole = zstandard.ZstdDecompressor().decompress(body) if first & _ZSTD_BIT else body
        return str(msgspec.msgpack.decode(whole)["header"]["owner"])
    except (zstandard.ZstdError, msgspec.DecodeError, KeyError, TypeError):
        return ""
