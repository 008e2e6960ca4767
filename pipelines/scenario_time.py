"""Times in scenarios: counted from the beginning of the scenario, because what matters is how far apart things are.

at: 90s                      a minute and a half after the scenario begins
at: +5s                      five seconds after the latest time so far (events only)
at: 2026-11-20T09:14:07Z     an instant, for recordings
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from penstock.operators.timestamp import instant
from penstock.operators.unit import duration_ms, duration_text

START = "2026-01-01T12:34:56Z"
"""When a scenario begins that does not say so: at no instant at which an hour, a day or a period of `every` begins."""
_LATER = "+"
_EXAMPLES = "such as 90s, or 2026-11-20T09:14:07Z"


def time_ms(text: str, start: int) -> int:
    """A time of a scenario that begins at `start`, in ms since the epoch. Raises ValueError."""
    found = instant(text)
    return start + duration_ms(text) if found is None else found


def event_time_ms(text: str, start: int, latest: int) -> int:
    """The same where `+5s` counts from the latest time so far."""
    return latest + duration_ms(text[1:]) if text.startswith(_LATER) else time_ms(text, start)


def relative_text(ms: int) -> str:
    """`1m30s`, `0s`, `-5s`."""
    sign = "-" if ms < 0 else ""
    return sign + duration_text(abs(ms)) if ms else "0s"


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in what happened: compared with whatever a scenario writes for it, shown from the scenario's beginning."""

    ms: int
    start: int

    def __str__(self) -> str:
        return relative_text(self.ms - self.start)

    def is_written(self, text: object) -> bool:
        """Whether a scenario that writes this means this time."""
        try:
            return isinstance(text, str) and time_ms(text, self.start) == self.ms
        except ValueError:
            return False


def _instant(text: Any) -> Any:
    if not isinstance(text, str) or instant(text) is None:
        raise ValueError(f"{text!r} is not an instant; write one such as {START}")
    return text


def _time(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError(f"{text} has no unit; write how long after the scenario's beginning, {_EXAMPLES}")
    try:
        time_ms(text, 0)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write how long after the scenario's beginning, {_EXAMPLES}"
        ) from None
    return text


def _event_time(text: Any) -> Any:
    if not isinstance(text, str) or not text.startswith(_LATER):
        return _time(text)
    duration_ms(text[1:])
    return text


_SHOWN = {"type": "string", "examples": ["90s", "1h30m", START]}
InstantText = Annotated[str, BeforeValidator(_instant), WithJsonSchema({"type": "string", "examples": [START]})]
TimeText = Annotated[str, BeforeValidator(_time), WithJsonSchema(_SHOWN)]
EventTimeText = Annotated[str, BeforeValidator(_event_time), WithJsonSchema({**_SHOWN, "examples": ["90s", "+5s"]})]
