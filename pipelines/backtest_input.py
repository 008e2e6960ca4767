"""What a backtest reads: files of lines, by source. Big files are read in blocks of lines.

    --input auth=2025-11/       every recording of a folder, in the order of their names, as one input
    --input flow=flow.jsonl.gz
    --input sshd.log            no name: the only source, or the only one that has none yet

All records of a source are those of partition 0 of its topic, numbered from 0 over all its files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from penstock.connectors.lines import is_header
from penstock.operators.error import Misused, Rejected
from penstock.operators.plan import Plan
from penstock.operators.record import Headers
from penstock.operators.source import Source
from penstock.pipelines.recording import opened, recorded_at
from penstock.pipelines.samples import source_of

BLOCK_BYTES = 1 << 18
"""Lines of so many bytes are decoded together: they stay in the processor's cache."""
LINE_BYTES_MAX = 64 << 20
SPOOL = ".spool"
"""What was read from one partition of a topic (`backtest_spool.py`)."""
RECORDINGS = frozenset({SPOOL, ".jsonl", ".ndjson", ".json", ".csv", ".txt", ".log"})
"""What counts as a recording in a folder, `.gz` behind it or not."""
_NAMED = re.compile(r"([A-Za-z_][\w-]*)=(.*)", re.DOTALL)


class Recording(NamedTuple):
    """One file; `timestamp` is what its records have (ms), `size` its bytes on disk."""

    path: Path
    timestamp: int
    size: int


Inputs = Mapping[str, Sequence[Recording]]
"""The files of every source that has some, by its name."""


class Block(NamedTuple):
    """Lines without their ends, none of them empty. `read`: how many bytes of the file it took. `about`: of every record what a
    line does not tell, where it is known."""

    values: Sequence[bytes | None]
    timestamp: int
    read: int
    about: Sequence[About] | None = None


class About(NamedTuple):
    """Where and when a record stood in its topic."""

    offset: int
    timestamp: int
    key: bytes | None
    headers: Headers


def inputs_of(plan: Plan, options: Sequence[str]) -> Inputs:
    """Raises Misused where a source is named that there is not, or none where one has to be; Rejected for files."""
    named = [_split(plan, text) for text in options]
    if not named:
        raise Misused("there is nothing to read", where="--input", remedy="name a recording: --input FILE")
    free = [source.name for source in plan.sources if source.name not in {name for name, _ in named}]
    found: dict[str, list[Recording]] = {}
    for name, path in named:
        source = source_of(plan, _only(free, path) if name is None else name)
        found.setdefault(source.name, []).extend(_recordings(source, path))
    return found


def _split(plan: Plan, text: str) -> tuple[str | None, Path]:
    named = _NAMED.fullmatch(text)
    if named is None or Path(text).exists():
        return None, Path(text)
    if all(source.name != named[1] for source in plan.sources):
        names = ", ".join(source.name for source in plan.sources)
        raise Misused(f"there is no source {named[1]!r}", where="--input", remedy=f"name one of: {names}")
    return named[1], Path(named[2])


def _only(free: Sequence[str], path: Path) -> str:
    if len(free) != 1:
        names = ", ".join(free) or "all of them have a recording"
        raise Misused(f"whose recording is {path}?", where="--input", remedy=f"write SOURCE={path}; sources: {names}")
    return free[0]


def _recordings(source: Source, path: Path) -> Iterator[Recording]:
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if _is_recording(file))
        if not files:
            wanted = ", ".join(sorted(RECORDINGS))
            raise Rejected(
                "holds no recording", where=str(path), remedy=f"what is read ends in {wanted}, or .gz behind it"
            )
    for file in files:
        yield Recording(file, 0 if file.suffix == SPOOL else recorded_at(source, file), file.stat().st_size)


def _is_recording(file: Path) -> bool:
    name = file.with_suffix("") if file.suffix == ".gz" else file
    return file.is_file() and name.suffix in RECORDINGS


def blocks(recordings: Sequence[Recording], size: int = BLOCK_BYTES) -> Iterator[Block]:
    """All lines of a source, in order. Raises Rejected where a file cannot be read."""
    for recording in recordings:
        with opened(recording.path) as (file, place):
            yield from _blocks(recording, file, place, size)


def _blocks(recording: Recording, file: IO[bytes], place: IO[bytes], size: int) -> Iterator[Block]:
    rest, before, is_first = b"", 0, True
    while True:
        more = file.read(size)
        text = rest + more
        lines = text.split(b"\n")
        rest = lines.pop() if more else b""
        if len(rest) > LINE_BYTES_MAX:
            raise Rejected(
                "has a line of more than 64 MiB", where=str(recording.path), remedy="a recording has one event per line"
            )
        values = _values(lines, has_returns=b"\r" in text)
        if is_first and values:
            is_first = False
            del values[: is_header(recording.path.name, values[0])]
        read, before = place.tell() - before, place.tell()
        if values:
            yield Block(values, recording.timestamp, read)
        if not more:
            return


def _values(lines: list[bytes], *, has_returns: bool) -> list[bytes]:
    if has_returns:
        lines = [line.rstrip(b"\r") if line.endswith(b"\r") else line for line in lines]
    return list(filter(None, lines))
