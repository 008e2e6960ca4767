"""How far one file was read, as it is kept: by inode, and proved by what stands before the position.

An inode alone proves nothing: it is given again when its file is deleted, and a file that is emptied and written anew keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

import msgspec

PROOF_BYTES = 1024
"""So much of what was read last is looked at again: lines of a log do not repeat themselves for so long."""


class Position(msgspec.Struct, frozen=True):
    """The value of a mark. `proof` is the checksum of up to PROOF_BYTES before `offset`; `path` is where the file was then.

    `skipping`: the position lies within a line that was too long.
    """

    path: str
    offset: int
    proof: int
    skipping: bool = False


_DECODER, _ENCODER = msgspec.json.Decoder(Position), msgspec.json.Encoder()


def encoded(path: str, offset: int, before: bytes, skipping: bool) -> bytes:
    return _ENCODER.encode(Position(path, offset, crc32(before), skipping))


def decoded(mark: bytes) -> Position:
    return _DECODER.decode(mark)


class Known(NamedTuple):
    """A position that was found to be that of an open file: the mark's name, the position, and the bytes before it."""

    name: str
    position: Position
    before: bytes


def known_position(handle: int, marks: Mapping[str, bytes]) -> Known | None:
    """Which of the marks belongs to this file; None: it was never read, or is not any more what was read."""
    inode = str(os.fstat(handle).st_ino)
    for name in [name for name in marks if name.split(".")[0] == inode]:
        position = decoded(marks[name])
        before = bytes_before(handle, position.offset)
        if len(before) == min(position.offset, PROOF_BYTES) and crc32(before) == position.proof:
            return Known(name, position, before)
    return None


def bytes_before(handle: int, offset: int) -> bytes:
    length = min(offset, PROOF_BYTES)
    return os.pread(handle, length, offset - length)
