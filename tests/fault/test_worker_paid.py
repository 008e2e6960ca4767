"""What a crash makes somebody pay for again: the calls that were in flight, once each, and nothing that had been told."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest
from tests.stage import Stage, judge

from penstock.connectors.fault import CommitFault, CrashAfter, CrashBefore, FaultyBroker
from penstock.connectors.scripted import ScriptedModel

VIRTUAL_TIME = True
HOSTS = [f"host-{number}" for number in range(9)]
EVENTS = [(host, "failed") for host in HOSTS]
SECONDS_APART = 0.5
"""An answer takes more than a second: some are told and some are in flight whenever the process dies."""
COMMITS = 16
"""About as many as an undisturbed run makes."""
TAKEN_OVER_SECONDS = 11.0
ASKED = re.compile(r"Is (\S+) under attack")


def asked(model: ScriptedModel) -> Counter[str]:
    """How often the model was asked about each host: every call is paid for when it begins."""
    texts = ["\n".join(message.content for message in call.request.messages) for call in model.calls]
    return Counter(host for text in texts for host in ASKED.findall(text))


async def answered(stage: Stage) -> set[str]:
    told = await stage.told()
    told.check()
    return {result["key"] for result in told.results}


@pytest.mark.parametrize("fault", [CrashBefore(), CrashAfter()], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("position", range(COMMITS))
async def test_a_crash_has_each_call_in_flight_paid_once_more_and_nothing_that_was_told(
    fault: CommitFault, position: int
) -> None:
    stage, model = await Stage().open(), ScriptedModel(judge, seconds_per_piece=0.02)
    dying = FaultyBroker(stage.broker(), commits=[*[None] * position, fault])
    living = asyncio.create_task(stage.play(dying, model, until_idle=TAKEN_OVER_SECONDS))
    producing = asyncio.create_task(stage.produce(EVENTS, seconds_apart=SECONDS_APART))
    assert "Crash" in (await living).problem
    before, told = asked(model), await answered(stage)
    assert max(before.values(), default=1) == 1
    await producing
    assert (await stage.play(model=model, until_idle=TAKEN_OVER_SECONDS)).exit_code == 0
    assert await answered(stage) == set(HOSTS)
    assert asked(model) == {host: 2 if host in before.keys() - told else 1 for host in HOSTS}
