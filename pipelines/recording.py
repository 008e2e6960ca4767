"""Recordings: files whose lines are the records that a source would have read. One that ends in `.gz` is unpacked."""

from __future__ import annotations

import gzip
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import orjson

from penstock.connectors.lines import is_header
from penstock.operators.decode import Read
from penstock.operators.error import Rejected
from penstock.operators.record import DeadLetter, Raw, Record
from penstock.operators.source import Source

MONTH_MS = 30 * 86_400_000
TAIL_BYTES = 1 << 21
"""The last record of a file is not longer: one that is could not be decoded."""


def recorded_values(path: Path) -> Iterator[bytes]:
    """The lines of a `.jsonl`, `.csv` or text file without their line ends; a CSV file's first row is left out if it is a header.

    Raises Rejected where the file cannot be read.
    """
    return (value for _, value in recorded_lines(path))


def recorded_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The same with the number of each line in the file, from 1."""
    with opened(path) as (file, _):
        for number, line in enumerate(file, start=1):
            value = line.rstrip(b"\r\n")
            if value and not (number == 1 and is_header(path.name, value)):
                yield number, value


def json_or_none(text: bytes) -> Any:
    """What a line says, or all of them; None, too, where that is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """What the file says, and the file itself, whose position tells how much was read. Raises Rejected, while reading too."""
    try:
        with path.open("rb") as file:
            yield (cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file), file
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise Rejected(f"cannot be read: {why}", where=str(path), remedy="name a file that can be read") from error


def recorded_at(source: Source, path: Path) -> int:
    """The time stamp (ms) that records of a file get: when it was last changed, or earlier.

    A line without a year is read as the year nearest to its time stamp, which may lie ahead of it. A recording does not come
    from the future, so the time stamp is moved back by months until the last line is not ahead any more.
    """
    try:
        changed_at = int(path.stat().st_mtime * 1000)
    except OSError as error:
        raise Rejected(
            f"cannot be read: {error.strerror}", where=str(path), remedy="name a file that can be read"
        ) from error
    last = _last_line(path)
    for months in range(13):
        timestamp = changed_at - months * MONTH_MS
        if not any(_is_ahead(source.decode(raw)) for raw in as_records(source, iter(last), timestamp)):
            return timestamp
    return changed_at


def _last_line(path: Path) -> deque[bytes]:
    """Empty where there is none. O(TAIL_BYTES), unless the file is packed."""
    with opened(path) as (text, file):
        if text is file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        return deque(filter(None, (line.rstrip(b"\r\n") for line in text)), maxlen=1)


def _is_ahead(read: Read | DeadLetter) -> bool:
    return isinstance(read, DeadLetter) and read.reason == "ahead"


def as_records(source: Source, values: Iterator[bytes], timestamp: int) -> Iterator[Record]:
    """Records of partition 0 of the source's topic."""
    for offset, value in enumerate(values):
        yield Record(source.topic, 0, offset, timestamp, None, value)


def key_of(source: Source) -> Callable[[Raw], bytes | None]:
    """What a producer would use as the record's key, so that equal keys meet in one partition; None for a dead record."""

    def key(raw: Raw) -> bytes | None:
        read = source.decode(raw)
        return None if isinstance(read, DeadLetter) else read[0].encode()

    return key
