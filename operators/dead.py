"""Dead letters: what could not be used, as it was, with the reason beside it.

Key, value and headers stay as they were and the reason stands in headers of its own, so a redrive is a copy of the record.
"""

from __future__ import annotations

from penstock.operators.record import DeadLetter, Headers, Output, Raw, coordinates

PREFIX = "penstock-dead-"
REASON = f"{PREFIX}reason"
"""The header that every dead letter has."""
POISON = DeadLetter("poison", "the process that took it in, alone, ended before it could commit, again and again")
DETAIL_CHARACTERS_MAX = 1000


def dead_letter(raw: Raw, letter: DeadLetter, topic: str) -> Output:
    """The record for the dead-letter topic. Headers of an earlier death are replaced, not piled up."""
    own = _reason_headers(
        reason=letter.reason,
        detail=letter.detail,
        topic=raw.topic,
        partition=str(raw.partition),
        offset=str(raw.offset),
        timestamp=str(raw.timestamp),
    )
    original = tuple((name, value) for name, value in raw.headers if not name.startswith(PREFIX))
    return Output(coordinates(raw), topic, raw.key, raw.value, original + own)


def condemn(raw: Raw) -> DeadLetter:
    """Reads a record that nobody survives."""
    return POISON


def refused_output(output: Output, reason: str, topic: str) -> Output:
    """What takes the place of an output that its topic will never accept (protocol rule 15).

    It has no value: what is too large there may be too large here. The run's journaled calls say how it came about. A dead
    letter that is refused itself goes on as a reference to its record; equal to `output` if there is nothing to leave out.
    """
    if output.topic == topic:
        return _reference(output, reason)
    own = _reason_headers(reason="refused", detail=reason, topic=output.topic, id=output.id)
    return Output(f"{output.topic}/{output.id}", topic, output.key, None, own)


def _reference(letter: Output, reason: str) -> Output:
    """The dead letter without the record's value and headers; the second time without its key, too."""
    own = tuple((name, value) for name, value in letter.headers if name.startswith(PREFIX))
    if letter.value is None and own == letter.headers:
        return Output(letter.id, letter.topic, None, None, own)
    return Output(letter.id, letter.topic, letter.key, None, own + _reason_headers(refused=reason, id=letter.id))


def _reason_headers(**parts: str) -> Headers:
    return tuple(
        (f"{PREFIX}{name}", text[:DETAIL_CHARACTERS_MAX].encode("utf-8", "replace")) for name, text in parts.items()
    )
