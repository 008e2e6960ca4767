"""How an instant is written wherever Penstock writes one: RFC 3339, UTC, milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_MS = -62_135_596_800_000
"""0001-01-01T00:00:00.000Z"""
_LATEST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z"""


def iso_text(ms: int) -> str:
    """`2026-11-20T09:14:07.000Z` of milliseconds since the epoch. Total: outside the years 1-9999 it is the nearest instant."""
    clamped = min(max(ms, _EARLIEST_MS), _LATEST_MS)
    return (_EPOCH + timedelta(milliseconds=clamped)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
