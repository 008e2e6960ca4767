"""Lines out of a stream of bytes, without any I/O.

A line is whole when its line end has come. The classic mistake is to take what one read returned for lines: a read ends anywhere.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.operators.decode import VALUE_BYTES_MAX

LINE_BYTES_MAX = VALUE_BYTES_MAX + 1
"""More of a line is not kept: it is a dead letter with so many bytes as with all of them."""
_HEADER = re.compile(r'^"?[A-Za-z_][\w ]*"?([,;\t]"?[A-Za-z_][\w ]*"?)*$')


class Cut(NamedTuple):
    """Whole lines without their ends and without empty ones; how many bytes they and what was dropped took.

    `skipping`: the last line was too long: what follows up to the next line end belongs to it, and is to be dropped.
    """

    lines: list[bytes]
    taken: int
    skipping: bool


def cut_lines(data: bytes, *, skipping: bool = False, last: bool = False) -> Cut:
    """Cut what lies behind a line's end or, if `skipping`, within a line. `last`: nothing will follow, which ends a line, too."""
    taken = 0
    if skipping:
        taken = data.find(b"\n") + 1 or len(data)
        skipping = not (last or data[taken - 1 : taken] == b"\n")
    end = data.rfind(b"\n", taken) + 1 or taken
    lines = data[taken:end].split(b"\n")
    if (last and not skipping) or len(data) - end >= LINE_BYTES_MAX:
        lines.append(data[end:])
        skipping, end = not last, len(data)
    return Cut([line for line in map(_bare, lines) if line], end, skipping)


def _bare(line: bytes) -> bytes:
    return line.removesuffix(b"\r")[:LINE_BYTES_MAX]


def is_header(path: str, line: bytes) -> bool:
    """Whether the first line of this file names columns."""
    return path.removesuffix(".gz").endswith(".csv") and _HEADER.match(line.decode("utf-8", "replace")) is not None
