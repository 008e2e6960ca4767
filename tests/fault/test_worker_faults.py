"""Whatever goes wrong between a worker and its broker or its model: the outcomes equal those of an undisturbed run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fault.life import live_on
from tests.stage import Stage, Told, judge, logins
from tests.virtual_time import run_virtually

from penstock.connectors.fault import (
    Away,
    CommitFault,
    CrashAfter,
    CrashBefore,
    FencedBefore,
    FetchFault,
    LostAfter,
    LostBefore,
    OpenFault,
    Silent,
)
from penstock.connectors.memory import CommitStep, Late, Undecided
from penstock.connectors.scripted import CutAfter, Overloaded, ScriptedModel, Step
from penstock.pipelines.poison import SUSPICIOUS_DEATHS

EVENTS = logins(seed=3, count=60)
COMMITS = 26
"""About as many as an undisturbed run makes."""


def told_after(
    play: Callable[[Stage], Awaitable[None]], steps: Iterable[CommitStep] = (), *, partitions: int = 1
) -> Told:
    """What the topics hold after a run in which most events arrive while it works."""

    async def run() -> Told:
        stage = await Stage(partitions=partitions, steps=steps).open()
        await stage.produce(EVENTS[:20])
        await asyncio.gather(stage.produce(EVENTS[20:], seconds_apart=0.05), play(stage))
        return await stage.told()

    told = run_virtually(run())
    told.check()
    return told


@cache
def undisturbed(partitions: int = 1) -> Told:
    return told_after(live_on, partitions=partitions)


FAULTS: list[CommitFault] = [CrashBefore(), CrashAfter(), LostBefore(), LostAfter(), FencedBefore()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("position", range(COMMITS))
def test_one_fault_at_any_commit_neither_loses_nor_doubles_an_outcome(fault: CommitFault, position: int) -> None:
    commits = [*[None] * position, fault]
    assert told_after(lambda stage: live_on(stage, commits=commits)).outcomes == undisturbed().outcomes


@pytest.mark.parametrize("step", [Undecided(), Late(3), Late(3, lost=True)], ids=repr)
@pytest.mark.parametrize("position", range(0, COMMITS, 3))
def test_a_commit_that_is_decided_late_or_never_neither_loses_nor_doubles_an_outcome(
    step: CommitStep, position: int
) -> None:
    assert told_after(live_on, steps=[*[None] * position, step]).outcomes == undisturbed().outcomes


def spared(faults: list[CommitFault | None]) -> list[CommitFault | None]:
    """With no more deaths than are allowed before a record is suspected of them: those are for `test_worker_poison`."""
    deaths = [place for place, fault in enumerate(faults) if isinstance(fault, CrashBefore | CrashAfter)]
    return [None if place in deaths[SUSPICIOUS_DEATHS:] else fault for place, fault in enumerate(faults)]


commit_faults = st.lists(st.sampled_from([None, None, *FAULTS]), max_size=25).map(spared)
fetch_faults: st.SearchStrategy[list[FetchFault]] = st.lists(
    st.sampled_from([None, None, Silent(), Away()]), max_size=25
)
open_faults: st.SearchStrategy[list[OpenFault]] = st.lists(st.sampled_from([None, Away()]), max_size=10)
steps = st.lists(st.sampled_from([None, None, Undecided(), Late(2), Late(4, lost=True)]), max_size=25)
model_steps: st.SearchStrategy[list[Step]] = st.lists(
    st.sampled_from([None, None, CutAfter(0), CutAfter(5), Overloaded(None), Overloaded(2.0)]), max_size=40
)


OPENED_LAST = LostAfter(), None, CrashAfter(), None, None, LostBefore(), LostAfter(), None, CrashAfter(), *[None] * 4
DECIDED_LATE = None, Undecided(), None, None, Undecided(), *[None] * 4, Undecided()


@example([*OPENED_LAST, CrashBefore()], [], [], [*DECIDED_LATE], [], 1)  # whoever fails to open twice has not died
@given(commit_faults, fetch_faults, open_faults, steps, model_steps, st.integers(1, 3))
def test_whatever_goes_wrong_together_the_outcomes_are_those_of_an_undisturbed_run(
    commits: list[CommitFault],
    fetches: list[FetchFault],
    opens: list[OpenFault],
    steps: list[CommitStep],
    script: list[Step],
    partitions: int,
) -> None:
    model = ScriptedModel(judge, script=script, seconds_per_piece=0.02)
    told = told_after(
        lambda stage: live_on(stage, model, commits=commits, fetches=fetches, opens=opens), steps, partitions=partitions
    )
    assert told.outcomes == undisturbed(partitions).outcomes
