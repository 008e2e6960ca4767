"""How long the partitions of a process that dies without a word are nobody's: its session, and a little more."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.machine import Machine, settings
from tests.simulation.world import Story, World

SESSION_SECONDS = settings().session_timeout / 1_000
MORE_SECONDS = 3.0
"""A heartbeat until the others hear of it, a second in which a predecessor might be finishing, joining anew and opening."""
SETTLING_SECONDS = 30.0


class Funeral(World):
    """One process is killed when every partition is worked on. `seconds`: until all of its partitions are, again."""

    def __init__(self, story: Story, *, replaced: bool) -> None:
        super().__init__(story)
        self._replaced = replaced
        self.seconds = 0.0

    async def _disturb(self) -> None:
        await self._until_open(set(range(self.story.partitions)))
        victim = self.random.choice([machine for machine in self.machines if open_tasks(machine)])
        orphans, began = open_tasks(victim), self.clock.monotonic()
        self._bury(victim)
        await self._until_open(orphans)
        self.seconds = self.clock.monotonic() - began

    def _bury(self, victim: Machine) -> None:
        if self._replaced:
            victim.kill()
        elif victim.process is not None:
            self.loop.kill_process(victim.process)
        victim.worker = None

    async def _until_open(self, partitions: set[int]) -> None:
        async with asyncio.timeout(SETTLING_SECONDS):
            while not partitions <= set().union(*map(open_tasks, self.machines)):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.05)


def open_tasks(machine: Machine) -> set[int]:
    keepers = machine.worker.keepers if machine.worker is not None else []
    return {keeper.task.partition for keeper in keepers if keeper.working}


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced at once", "not replaced"])
@pytest.mark.parametrize("seed", range(6))
def test_what_a_dead_process_had_is_open_again_soon_after_its_session(seed: int, replaced: bool) -> None:
    world = Funeral(Story(seed, workers=3, partitions=6), replaced=replaced)
    world.play().check()
    assert 0 < world.seconds < SESSION_SECONDS + MORE_SECONDS
