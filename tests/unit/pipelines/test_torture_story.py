"""The checker of revision streams sees what it has to see."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.pipelines.torture_story import Problem, Story

RECORD: dict[str, Any] = {
    "run": "2-ab", "rev": 1, "attempt": 1, "state": "partial", "answer": None, "text": None, "degraded": [],
}  # fmt: skip
A, AB = {"a": 1}, {"a": 1, "b": 2}


def told(*changes: dict[str, Any]) -> list[Problem]:
    story = Story()
    return [problem for change in changes for problem in story.told(RECORD | change)]


def partial(rev: int, answer: dict[str, Any] | None = None, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"rev": rev, "attempt": attempt, "answer": answer, **more}


def final(rev: int, answer: dict[str, Any] | None = None, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"rev": rev, "attempt": attempt, "state": "final", "answer": answer, **more}


def resolved(rev: int, answer: dict[str, Any] | None = None, attempt: int = 1) -> dict[str, Any]:
    return {"rev": rev, "attempt": attempt, "state": "resolved", "answer": answer}


RIGHT = {
    "a growing answer": (partial(1, A), partial(2, AB), final(3, AB), resolved(4, AB)),
    "no partial at all": (final(1, A),),
    "nobody was asked": (final(1, attempt=0), resolved(2, attempt=0)),
    "a new attempt begins afresh": (partial(1, AB), partial(2, A, 2), final(3, AB, 2)),
    "a failure takes back what was shown": (partial(1, A), {"rev": 2, "state": "failed"}),
    "a fallback takes back what was shown": (partial(1, A), final(2, AB, degraded=[{"step": "fallback"}])),
    "a text grows": (partial(1, text="It"), partial(2, text="It is"), final(3, text="It is well")),
}
WRONG = {
    "a revision is missing": ("contradicted", (partial(1, A), final(3, AB))),
    "the first revision is missing": ("contradicted", (partial(2, A), final(3, AB))),
    "a revision comes twice": ("duplicated", (partial(1, A), partial(1, A), final(2, AB))),
    "two outcomes": ("duplicated", (final(1, A), final(2, A))),
    "a final and a failure": ("duplicated", (final(1, A), {"rev": 2, "state": "failed"})),
    "resolved twice": ("duplicated", (final(1, A), resolved(2, A), resolved(3, A))),
    "a partial after its final": ("contradicted", (final(1, A), partial(2, A))),
    "a final after it was resolved": ("contradicted", (final(1, A), resolved(2, A), final(3, A))),
    "resolved without an outcome": ("contradicted", (partial(1, A), resolved(2, A))),
    "an attempt that goes back": ("contradicted", (partial(1, A, 2), final(2, A, 1))),
    "a field that changes": ("contradicted", (partial(1, A), partial(2, {"a": 7}))),
    "a field that is taken back": ("contradicted", (partial(1, AB), partial(2, A))),
    "a final that says something else": ("contradicted", (partial(1, A), final(2, {"a": 7, "b": 2}))),
    "a text that is taken back": ("contradicted", (partial(1, text="It is"), final(2, text="I know"))),
    "resolved with another answer": ("contradicted", (final(1, A), resolved(2, AB))),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_promised_has_no_fault(name: str) -> None:
    assert told(*RIGHT[name]) == []


@pytest.mark.parametrize("name", WRONG)
def test_what_is_ruled_out_is_seen(name: str) -> None:
    kind, changes = WRONG[name]
    assert kind in [problem.kind for problem in told(*changes)]
