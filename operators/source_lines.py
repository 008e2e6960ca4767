"""Many records of a plain source at once: what a recording is read with.

    values ── parse_lines ──▶ events ── key, time ──▶ is each of them plainly right? ──▶ reads
                 └── None ───────────────────────────────┴── no: None, ask `decode` of each record

Equal to `decode` of every record by itself, or None: a block with one unusual record is read one by one, whatever is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from penstock.operators.decode import VALUE_BYTES_MAX, Event, Format, Read
from penstock.operators.source_key import SURELY_SHORT
from penstock.operators.timestamp import LATEST_MS

DecodeLines = Callable[[Sequence[bytes], int], list[Read] | None]
"""(values, at least one; the timestamp that they share, ms)."""


def lines_decoder(form: Format, events: type[Event], fields: tuple[str, str], ahead: int) -> DecodeLines | None:
    """`fields`: the attributes of key and time, which are taken as they are; `ahead` as in the source. None: no such way."""
    if form.parse_lines is None:
        return None
    parse_lines, look = form.parse_lines(events), attrgetter(*fields)

    def decode_lines(values: Sequence[bytes], timestamp: int) -> list[Read] | None:
        if max(map(len, values)) > VALUE_BYTES_MAX:
            return None
        found = parse_lines(values)
        if found is None:
            return None
        keys, times = zip(*map(look, found), strict=True)
        if not _are_plain(keys, times, min(timestamp + ahead, LATEST_MS)):
            return None
        return list(zip(keys, times, found, strict=True))

    return decode_lines


def _are_plain(keys: Sequence[object], times: Sequence[object], latest: int) -> bool:
    if set(map(type, keys)) != {str} or set(map(type, times)) != {int}:
        return False
    return max(map(len, keys)) <= SURELY_SHORT and min(times) >= 0 and max(times) <= latest  # type: ignore[arg-type, type-var, operator]  # they are what the line before found them to be
