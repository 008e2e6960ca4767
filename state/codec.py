"""Entries of the log as bytes, and as records of at most 512 KiB.

    entry ─▶ encode ─▶ format byte ┃ msgpack, or a zstd frame of it
                                   └─▶ records_of ─▶ record 0 … record n-1, one after the other
    records in log order ─▶ Joiner ─▶ entry, when its last record has come

    record   key     what it is part of, for people and tools: `delta` or `bucket 3/16`
             header  `penstock` = `format seq incarnation part parts crc`, decimal, parted by blanks
             value   a slice of the encoded entry; `crc` is CRC-32 of the whole

A transaction that was torn leaves the beginning of a group behind: it is ignored, whatever follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from zlib import crc32

import msgspec
import zstandard

from penstock.operators.error import Damaged, TooNew
from penstock.operators.record import Headers, Raw, coordinates
from penstock.state.delta import FORMAT, Bucket, Delta, Entry

CHUNK_BYTES = 512 * 1024
HEADER = "penstock"
COMPRESS_BYTES_MIN = 512
_ZSTD_LEVEL = 1

_BUCKET_BIT, _ZSTD_BIT, _FORMAT_BITS = 0x40, 0x80, 0x3F
_ENCODER = msgspec.msgpack.Encoder()
_DECODE: dict[bool, Callable[[bytes], Entry]] = {
    False: msgspec.msgpack.Decoder(Delta).decode,
    True: msgspec.msgpack.Decoder(Bucket).decode,
}


def encode(entry: Entry) -> bytes:
    """One byte (format in the low six bits, 64: a bucket, 128: compressed), then the entry."""
    first = FORMAT | (_BUCKET_BIT if isinstance(entry, Bucket) else 0)
    body = _ENCODER.encode(entry)
    if len(body) >= COMPRESS_BYTES_MIN:
        compressed = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
        if len(compressed) < 0.9 * len(body):
            first, body = first | _ZSTD_BIT, compressed
    return bytes((first,)) + body


def decode(data: bytes, where: str = "") -> Entry:
    """What `encode` was given. `where` names the record in messages. Raises TooNew, Damaged."""
    if not data:
        raise _damaged("an entry of the log is empty", where)
    first, body = data[0], data[1:]
    version = first & _FORMAT_BITS
    if version > FORMAT:
        raise _too_new(version, where)
    if version == 0:
        raise _damaged("an entry of the log was not written by Penstock", where)
    try:
        if first & _ZSTD_BIT:
            body = zstandard.ZstdDecompressor().decompress(body)
        return _DECODE[bool(first & _BUCKET_BIT)](body)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise _damaged(f"an entry of the log cannot be read ({error})", where) from error


class LogRecord(NamedTuple):
    """One record of the log, still without topic, partition and offset."""

    key: bytes
    value: bytes
    headers: Headers


def records_of(entry: Entry, incarnation: int) -> list[LogRecord]:
    """The records of an entry, to be written in this order and in one transaction."""
    data = encode(entry)
    seq = entry.seq if isinstance(entry, Bucket) else entry.header.seq
    key = f"bucket {entry.index}/{entry.of}" if isinstance(entry, Bucket) else "delta"
    slices = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
    crc = crc32(data)
    return [
        LogRecord(
            key.encode(), part, ((HEADER, b"%d %d %d %d %d %d" % (FORMAT, seq, incarnation, i, len(slices), crc)),)
        )
        for i, part in enumerate(slices)
    ]


def size_of(records: Iterable[LogRecord]) -> int:
    """Bytes of the entry that these records hold, as it lies in the log."""
    return sum(len(record.value) for record in records)


class Joined(NamedTuple):
    """An entry, who wrote it, the offset of its first record, and how many bytes it takes in the log."""

    entry: Entry
    incarnation: int
    offset: int
    size: int


class _Tag(NamedTuple):
    """What the header of one record says."""

    seq: int
    incarnation: int
    part: int
    parts: int
    crc: int


class _Group(NamedTuple):
    offset: int
    slices: list[bytes]


class Joiner:
    """Joins records to entries, in log order. `incomplete` counts the groups that were begun and never finished.

    A group is one entry of one incarnation. Joining by seq alone would make one entry of the beginning of a predecessor's
    and the end of ours. A first part begins its group anew: an `opened` that failed is written again under the same
    numbers.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[bytes, int, int], _Group] = {}

    @property
    def incomplete(self) -> int:
        return len(self._groups)

    def add(self, raw: Raw) -> Joined | None:
        """The entry that this record completes, if it does. Raises TooNew, Damaged."""
        tag = _tag_of(raw)
        name = (raw.key or b"", tag.seq, tag.incarnation)
        if tag.part == 0:
            self._groups[name] = _Group(raw.offset, [])
        group = self._groups.get(name)
        if group is None or len(group.slices) != tag.part:
            return None
        group.slices.append(raw.value or b"")
        if len(group.slices) < tag.parts:
            return None
        del self._groups[name]
        data = group.slices[0] if tag.parts == 1 else b"".join(group.slices)
        if crc32(data) != tag.crc:
            raise _damaged("the checksum of an entry of the log is wrong", coordinates(raw))
        return Joined(decode(data, coordinates(raw)), tag.incarnation, group.offset, len(data))


def _tag_of(raw: Raw) -> _Tag:
    """The format comes first: of what a newer version wrote, nothing else is looked at."""
    fields = next((value for name, value in raw.headers if name == HEADER), b"").split()
    try:
        version = int(fields[0])
        if 0 < version <= FORMAT:
            return _Tag(*map(int, fields[1:]))
    except (ValueError, TypeError, IndexError):
        version = 0
    if version > FORMAT:
        raise _too_new(version, coordinates(raw))
    raise _damaged("a record of the log was not written by Penstock", coordinates(raw))


def _damaged(what: str, where: str) -> Damaged:
    return Damaged(what, where=where, remedy="restore the topic from a copy, or start afresh under another name")


def _too_new(version: int, where: str) -> TooNew:
    return TooNew(
        f"the log is written in format {version}, this version of Penstock knows up to {FORMAT}",
        where=where,
        remedy="run the version that wrote it, or a newer one",
    )
