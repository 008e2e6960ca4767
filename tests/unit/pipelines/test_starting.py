"""Waiting for the world to be there: only where waiting can help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import pytest
from tests.virtual_time import VirtualClock

from penstock.operators.error import Unanswered, Unreachable
from penstock.pipelines.starting import ATTEMPTS, patiently

VIRTUAL_TIME = True


def failing(*errors: Unreachable) -> Callable[[], Awaitable[str]]:
    """Raises one after the other, then works."""
    waiting = list(errors)

    async def attempt() -> str:
        if waiting:
            raise waiting.pop(0)
        return "there"

    return attempt


async def test_somebody_who_does_not_answer_yet_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    attempt = failing(*[Unanswered("no broker answers", where="kafka here")] * (ATTEMPTS - 1))
    assert await patiently(attempt, clock, Random(1)) == "there"
    assert caplog.messages == ["kafka here: no broker answers; trying again"] * (ATTEMPTS - 1)
    assert clock.monotonic() > 0


async def test_somebody_who_never_answers_is_given_up_after_a_few_tries() -> None:
    with pytest.raises(Unanswered):
        await patiently(failing(*[Unanswered("no broker answers")] * ATTEMPTS), VirtualClock(), Random(1))


async def test_what_answers_and_is_not_as_needed_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unreachable, match="topic auth does not exist"):
        await patiently(failing(Unreachable("topic auth does not exist")), VirtualClock(), Random(1))
    assert caplog.messages == []
