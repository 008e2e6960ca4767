from __future__ import annotations

import pytest

from penstock.operators.instant import iso_text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_795_252_447_250, "2026-11-21T09:14:07.250Z"),
        (2**62, "9999-12-31T23:59:59.999Z"),
        (-(2**62), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_an_instant_is_written_in_utc_with_milliseconds_and_never_fails(ms: int, text: str) -> None:
    assert iso_text(ms) == text
