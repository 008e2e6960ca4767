"""The judge of this folder sees what it has to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.e2e.deployment import told_in_memory
from tests.e2e.ledger import Ledger
from tests.e2e.ssh_stream import generated, records

from penstock.operators.record import Raw


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return told_in_memory("auth", records(generated(3, 1)), workers=1, batch=500)


def changed(raw: Raw, old: bytes, new: bytes) -> Raw:
    assert raw.value is not None
    assert old in raw.value
    return replace(raw, value=raw.value.replace(old, new))  # type: ignore[type-var]  # the memory broker's records are Record


def place(ledger: Ledger, state: str) -> int:
    """Of the first record of this state on the partials topic."""
    return next(at for at, raw in enumerate(ledger.partials) if f'"state":"{state}"'.encode() in (raw.value or b""))


def without_first_result(ledger: Ledger) -> Ledger:
    return replace(ledger, results=ledger.results[1:])


def first_result_twice(ledger: Ledger) -> Ledger:
    return replace(ledger, results=[*ledger.results, ledger.results[0]])


def other_answer(ledger: Ledger) -> Ledger:
    first = changed(ledger.results[0], b'"answer":', b'"answer":7,"was":')
    return replace(ledger, results=[first, *ledger.results[1:]])


def dead_letter_twice(ledger: Ledger) -> Ledger:
    return replace(ledger, dead=[*ledger.dead, ledger.dead[0]])


def partial_missing(ledger: Ledger) -> Ledger:
    at = place(ledger, "partial")
    return replace(ledger, partials=[*ledger.partials[:at], *ledger.partials[at + 1 :]])


def partial_repeated(ledger: Ledger) -> Ledger:
    at = place(ledger, "partial")
    return replace(ledger, partials=[*ledger.partials[: at + 1], *ledger.partials[at:]])


def partial_after_its_final(ledger: Ledger) -> Ledger:
    at = place(ledger, "partial")
    return replace(ledger, partials=[*ledger.partials[:at], *ledger.partials[at + 1 :], ledger.partials[at]])


def outcome_on_one_topic_only(ledger: Ledger) -> Ledger:
    at = place(ledger, "resolved")
    return replace(ledger, partials=[*ledger.partials[:at], *ledger.partials[at + 1 :]])


def never_ended(ledger: Ledger) -> Ledger:
    at = place(ledger, "partial")
    return replace(ledger, partials=[*ledger.partials, changed(ledger.partials[at], b'"run":"', b'"run":"x')])


DAMAGES = [
    without_first_result, first_result_twice, other_answer, dead_letter_twice, partial_missing, partial_repeated,
    partial_after_its_final, outcome_on_one_topic_only, never_ended,
]  # fmt: skip


def test_an_undisturbed_ledger_has_no_fault(ledger: Ledger) -> None:
    assert ledger.differences(ledger.told()) == []


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_seen(ledger: Ledger, damage: Callable[[Ledger], Ledger]) -> None:
    assert damage(ledger).differences(ledger.told())


@pytest.mark.parametrize(
    "damage", [first_result_twice, other_answer, dead_letter_twice], ids=lambda damage: damage.__name__
)
def test_what_can_never_become_right_is_seen_at_once(ledger: Ledger, damage: Callable[[Ledger], Ledger]) -> None:
    assert damage(ledger).contradictions(ledger.told())


def test_what_is_not_told_yet_is_no_contradiction(ledger: Ledger) -> None:
    half = Ledger(ledger.results[: len(ledger.results) // 2], ledger.partials[:3], [])
    assert half.contradictions(ledger.told()) == []
