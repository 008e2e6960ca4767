"""Durations, sizes and shares as people write them (`90s`, `1h30m`, `512KiB`, `25%`)."""

from __future__ import annotations

import re

_DURATION_UNITS_MS = {
    "ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000,
}  # fmt: skip
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d|w)")
LENGTH_MS_MAX = 36_525 * 86_400_000
"""A hundred years: an event time and this together are an integer that a log can hold."""
_SIZE_UNITS = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"(\d+)(B|KB|MB|GB|KiB|MiB|GiB)")


def duration_ms(text: str) -> int:
    """`250ms 90s 1h30m 7d 2w` in milliseconds. The unit is always there; parts go from large to small, each once."""
    total, end, last_unit = 0, 0, float("inf")
    for match in _DURATION.finditer(text):
        unit = _DURATION_UNITS_MS[match[2]]
        if match.start() != end or unit >= last_unit:
            break
        total, end, last_unit = total + int(match[1]) * unit, match.end(), unit
    if not text or end != len(text):
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, such as 250ms, 90s, 1h30m, 7d")
    return total


def length_ms(text: str) -> int:
    """`duration_ms` of something that is to end some day."""
    length = duration_ms(text)
    if length > LENGTH_MS_MAX:
        raise ValueError(f"{text!r} is longer than a hundred years; write a shorter duration")
    return length


def duration_text(ms: int) -> str:
    """The shortest way to write a duration that `duration_ms` reads back."""
    parts = []
    for name, unit in sorted(_DURATION_UNITS_MS.items(), key=lambda item: -item[1]):
        count, ms = divmod(ms, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts) or "0ms"


def size_bytes(text: str) -> int:
    """`512KiB 2MiB` (1024) or `1MB` (1000) in bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write a number and a unit, such as 512KiB or 1MB")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def share(text: str) -> float:
    """`25%` as 0.25; above 0 and at most 1."""
    if not text.endswith("%") or not text[:-1].replace(".", "", 1).isdigit():
        raise ValueError(f"{text!r} is not a share; write a percentage, such as 25%")
    value = float(text[:-1]) / 100
    if not 0 < value <= 1:
        raise ValueError(f"{text!r} is out of range; a share lies above 0% and is at most 100%")
    return value
