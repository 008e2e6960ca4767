"""What a consumer of the partials topic is promised about one run: its revisions, checked one after the other.

    partial*  ──▶  final | failed  ──▶  resolved

`rev` grows by one from 1. Within an attempt an answer only grows, and the final says nothing else. Nothing partial comes
after the outcome, and what is resolved is what was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

OUTCOMES = frozenset({"final", "failed"})
_RANK = {"partial": 0, "final": 1, "failed": 1, "resolved": 2}

Record = Mapping[str, Any]
"""A record of the results or the partials topic, parsed."""
Kind = Literal["lost", "duplicated", "contradicted", "repaid"]


class Problem(NamedTuple):
    """Something that the guarantee rules out, as a sentence."""

    kind: Kind
    text: str


class Story:
    """One run. What `told` returns is all that is wrong with the record in the light of the earlier ones."""

    __slots__ = ("_answer", "_attempt", "_rank", "_rev", "_text")

    def __init__(self) -> None:
        self._rev, self._attempt, self._rank = 0, 0, 0
        self._answer: Mapping[str, Any] = {}
        self._text = ""

    @property
    def has_outcome(self) -> bool:
        return self._rank > 0

    def told(self, record: Record) -> Iterator[Problem]:
        name = f"{record['run']}/{record['rev']}"
        yield from self._place(record, name)
        yield from self._substance(record, name)
        self._rev, self._attempt = record["rev"], record["attempt"] or 0
        self._rank = max(self._rank, _RANK[record["state"]])
        self._answer, self._text = record["answer"] or {}, record["text"] or ""

    def _place(self, record: Record, name: str) -> Iterator[Problem]:
        state, rank = record["state"], _RANK[record["state"]]
        if record["rev"] <= self._rev:
            yield Problem("duplicated", f"revision {name} comes after revision {self._rev}")
        elif record["rev"] > self._rev + 1:
            yield Problem("contradicted", f"revision {name} comes right after revision {self._rev}")
        if rank == self._rank > 0:
            yield Problem("duplicated", f"{name} is {state}, and the run had that already")
        elif rank < self._rank or rank > self._rank + 1:
            yield Problem("contradicted", f"{name} is {state} after what was told before")

    def _substance(self, record: Record, name: str) -> Iterator[Problem]:
        attempt = record["attempt"] or 0
        if attempt < self._attempt:
            yield Problem("contradicted", f"{name} is of attempt {attempt} after attempt {self._attempt}")
        if attempt == self._attempt and not _gave_up(record) and not self._goes_on(record):
            yield Problem("contradicted", f"{name} does not say what its attempt had said before")

    def _goes_on(self, record: Record) -> bool:
        answer, text = record["answer"] or {}, record["text"] or ""
        if record["state"] == "resolved":
            return bool(answer == self._answer and text == self._text)
        kept = all(name in answer and answer[name] == value for name, value in self._answer.items())
        return kept and text.startswith(self._text)


def _gave_up(record: Record) -> bool:
    """No model gave an answer in the end: what was shown of one does not count, and the record says so."""
    return record["state"] == "failed" or any(each["step"] == "fallback" for each in record["degraded"])
