"""What stage 1 of a rekeyed source writes, and what stage 2 reads of it: records on their way, and marks of time.

    auth/0   a1 ─── b1 ─── a2 ──▶            x 0@0 means: record 0 of partition 0 of the source
    auth/1   a3 ─── b2 ─────────▶
                                     rekey/0 (key a)   a 0@0 │ a 0@2 │ mark of 0 │ a 1@0 │ mark of 1 │ …
                                     rekey/1 (key b)   b 0@1 │ mark of 0 │ b 1@1 │ mark of 1 │ …

A record keeps its value, its key and its headers, so it is read here as it would be there; where it comes from stands in a
header of its own, so that ids and dead letters name the record that you wrote. Its key on the way is that of the context.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from penstock.operators.record import Headers, Output, Raw, coordinates
from penstock.state.delta import Mark

ORIGIN = "penstock-origin"
"""[partition, offset, timestamp in ms] of a record on its way: its first header."""
ORIGIN_KEY = "penstock-origin-key"
"""The key that it had, if it had one: its second."""
MARK = "penstock-mark"
"""The only header of a mark."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A `Raw` with the coordinates that it has in its source's topic. `at` is the record that brought it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    at: Raw


def on_its_way(raw: Raw, key: str, topic: str) -> Output:
    """The record for the partition of `topic` that has the context of this key."""
    origin = msgspec.json.encode((raw.partition, raw.offset, raw.timestamp))
    own: Headers = ((ORIGIN, origin),) if raw.key is None else ((ORIGIN, origin), (ORIGIN_KEY, raw.key))
    return Output(coordinates(raw), topic, key.encode(), raw.value, (*own, *raw.headers), spread="key")


def mark_for_all(mark: Mark, topic: str, seq: int) -> Output:
    """For every partition of `topic`; `seq` is that of the commit that it belongs to."""
    header = (MARK, msgspec.json.encode(mark))
    return Output(f"mark/{mark.partition}@{seq}", topic, None, b"", (header,), spread="all")


_mark = msgspec.json.Decoder(Mark)
_origin = msgspec.json.Decoder(tuple[int, int, int])


def arrived(raw: Raw, source_topic: str) -> Moved | Mark | None:
    """What a record of the rekeyed topic brings; None: stage 1 has not written it."""
    headers = tuple(raw.headers)
    name, said = headers[0] if headers else ("", b"")
    try:
        if name == MARK:
            return _mark.decode(said)
        return _moved(raw, source_topic, headers) if name == ORIGIN else None
    except msgspec.DecodeError:
        return None


def _moved(raw: Raw, topic: str, headers: Headers) -> Moved:
    partition, offset, timestamp = _origin.decode(headers[0][1])
    has_key = len(headers) > 1 and headers[1][0] == ORIGIN_KEY
    key = headers[1][1] if has_key else None
    return Moved(topic, partition, offset, timestamp, key, raw.value, headers[2 if has_key else 1 :], raw)


def place_of(raw: Raw) -> Raw:
    """The record that was read, by which an input's position goes."""
    return raw.at if isinstance(raw, Moved) else raw
