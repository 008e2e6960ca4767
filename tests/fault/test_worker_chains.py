"""Chains over crashes: every answer is followed once, by the same runs and the same answers as undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache

import pytest
from tests.fault.life import live_on
from tests.stage import WATCH, Stage, Told, logins
from tests.virtual_time import run_virtually

from penstock.connectors.fault import CommitFault, CrashAfter, CrashBefore, LostAfter, LostBefore

CHAIN = WATCH.replace(
    "models:",
    """  ticket: {after: judge, where: answer.verdict == "attack", agent: write}
  page: {after: write, where: answer.verdict == "attack", agent: none}
models:""",
) + """  write:
    ask: "{{ trigger.name }}: what about {{ answer.why }}"
    answer: {verdict: {enum: [attack, benign]}, why: {type: string}}
    partials: {every: 100ms}
"""  # fmt: skip
EVENTS = logins(seed=3, count=40)
FAULTS: list[CommitFault] = [CrashBefore(), CrashAfter(), LostBefore(), LostAfter()]


def told_after(faults: Sequence[CommitFault | None]) -> Told:
    async def run() -> Told:
        stage = await Stage(CHAIN).open()
        await stage.produce(EVENTS[:20])
        await asyncio.gather(stage.produce(EVENTS[20:], seconds_apart=0.05), live_on(stage, commits=faults))
        return await stage.told()

    told = run_virtually(run())
    told.check()
    return told


@cache
def undisturbed() -> Told:
    return told_after([])


def test_every_step_of_a_chain_is_there() -> None:
    finals = [record["triggers"][0] for record in undisturbed().results if record["state"] == "final"]
    assert len(finals) > finals.count("ticket") > finals.count("page") > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("position", range(1, 30, 3))
def test_no_fault_of_a_commit_changes_a_chain(fault: CommitFault, position: int) -> None:
    assert told_after([*[None] * position, fault]).outcomes == undisturbed().outcomes
