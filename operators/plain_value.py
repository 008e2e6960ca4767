"""Values of binary formats as JSON has them: what expressions compare and prompts show.

    bytes               base64 text                          float, 4 bytes      the shortest decimal that is the same float
    instant             ISO 8601 text, which `time` reads    NaN, infinities     null
    decimal             a number: the nearest double, or an integer where the scale is 0

All are total: an instant outside the years 1 to 9999 stays the number that it is.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import date, datetime, timedelta
from math import isfinite
from struct import Struct
from typing import Any

from penstock.operators.expression_value import INT_MIN

UINT_MAX = 2**64 - 1
"""As in JSON: integers are exact within 64 bits, signed or not."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the caller knows whether the text that is made of it gets a zone
_FIRST_SECOND = (datetime(1, 1, 1) - _EPOCH) // timedelta(seconds=1)  # noqa: DTZ001
_LAST_SECOND = (datetime(9999, 12, 31, 23, 59, 59) - _EPOCH) // timedelta(seconds=1)  # noqa: DTZ001
_FIRST_DAY = (date(1, 1, 1) - _EPOCH.date()).days
_LAST_DAY = (date(9999, 12, 31) - _EPOCH.date()).days
_SECONDS_PER_DAY = 86_400
_FLOAT = Struct("<f")


def base64_text(value: bytes) -> str:
    return b64encode(value).decode()


def double(value: float) -> float | None:
    return value if isfinite(value) else None


def shortest_float(value: float) -> float | None:
    """0.1 instead of 0.10000000149011612, which is the same float of 4 bytes."""
    if not isfinite(value):
        return None
    for digits in (6, 7, 8):
        shown = float(f"{value:.{digits}g}")
        if _FLOAT.unpack(_FLOAT.pack(shown))[0] == value:
            return shown
    return float(f"{value:.9g}")


def integer(value: int) -> int | float:
    """Beyond 64 bits the nearest double. Raises OverflowError beyond the range of a double."""
    return value if INT_MIN <= value <= UINT_MAX else float(value)


def decimal(unscaled: bytes, scale: int) -> int | float:
    """A decimal as its unscaled value, two's complement, big-endian. Raises OverflowError as `integer` does."""
    value = int.from_bytes(unscaled, "big", signed=True)
    return value / 10**scale if scale else integer(value)


def instant(value: int, digits: int, zone: str) -> str | int:
    """`2026-11-20T09:14:07.123Z` of so many units of 10^-digits s since 1970; `zone` is what stands behind it."""
    seconds, fraction = divmod(value, 10**digits)
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        return value
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}.{fraction:0{digits}}{zone}"


def day(value: int) -> str | int:
    """`2026-11-20` of days since 1970."""
    return (_EPOCH.date() + timedelta(days=value)).isoformat() if _FIRST_DAY <= value <= _LAST_DAY else value


def time_of_day(value: int, digits: int) -> str | int:
    """`09:14:07.123` of so many units of 10^-digits s since midnight."""
    seconds, fraction = divmod(value, 10**digits)
    if not 0 <= seconds < _SECONDS_PER_DAY:
        return value
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:0{digits}}"


def uuid_text(value: bytes) -> str:
    """`123e4567-e89b-12d3-a456-426614174000` of its 16 bytes."""
    text = value.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def key_text(value: Any) -> str:
    """The key of a map: JSON has only text."""
    return value if isinstance(value, str) else str(value).lower()
