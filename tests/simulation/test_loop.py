"""The simulator's event loop: what SIGSTOP, SIGCONT and SIGKILL mean, that time only jumps, and that nothing goes unnoticed."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest
from tests.simulation.loop import (
    BEGINNING_SECONDS,
    Complaint,
    NothingWillHappen,
    Process,
    RunsAway,
    SimulatedClock,
    SimulatedLoop,
    this_process,
)


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    loop = SimulatedLoop()
    yield loop
    loop.close()


async def ticking(said: list[object], name: str, seconds: float = 1.0, count: int = 5) -> None:
    for number in range(count):
        await asyncio.sleep(seconds)
        said.append(f"{name}{number}")


def test_time_jumps_to_the_next_timer_and_rests_while_anybody_can_run(loop: SimulatedLoop) -> None:
    async def main() -> list[float]:
        times = [loop.time()]
        for _ in range(3):
            await asyncio.sleep(0)
        times.append(loop.time())
        await asyncio.sleep(3_600)
        return [*times, loop.time()]

    assert loop.run(main()) == [BEGINNING_SECONDS, BEGINNING_SECONDS, BEGINNING_SECONDS + 3_600]


def test_timeouts_task_groups_queues_and_shields_of_asyncio_work_on_it(loop: SimulatedLoop) -> None:
    async def main() -> list[object]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        said: list[object] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(ticking(said, "a", count=2))
            group.create_task(queue.put(7))
            said.append(await queue.get())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.shield(asyncio.sleep(10))
        await asyncio.gather(asyncio.sleep(1), asyncio.wait_for(asyncio.sleep(2), 3))
        return said

    assert loop.run(main()) == [7, "a0", "a1"]
    assert loop.time() == pytest.approx(BEGINNING_SECONDS + 9, abs=1e-3)


def test_a_wait_too_short_to_be_told_from_none_ends(loop: SimulatedLoop) -> None:
    async def main() -> None:
        until = loop.time() + 1e-5
        while loop.time() < until:  # noqa: ASYNC110 - it is the loop that is tested
            await asyncio.sleep(1e-17)

    loop.run(main())


def test_a_process_is_known_in_everything_that_it_schedules(loop: SimulatedLoop) -> None:
    process = loop.process("a")
    seen: list[Process] = []

    async def nested() -> None:
        seen.append(this_process())
        loop.call_later(1, lambda: seen.append(this_process()))
        await asyncio.create_task(asyncio.sleep(2))
        seen.append(this_process())

    async def main() -> None:
        await loop.spawn(process, nested())
        seen.append(this_process())

    loop.run(main())
    assert [each.name for each in seen] == ["a", "a", "a", "outside"]


def test_a_stopped_process_runs_what_fell_due_meanwhile_when_it_goes_on(loop: SimulatedLoop) -> None:
    said: list[object] = []

    async def main() -> None:
        process = loop.process("a")
        loop.spawn(process, ticking(said, "a"))
        loop.spawn(loop.process("b"), ticking(said, "b", 2.0, 2))
        await asyncio.sleep(1.5)
        loop.stop_process(process)
        loop.call_at(loop.time() + 1, said.append, "for a", context=process.context)
        await asyncio.sleep(10)
        said.append("continued")
        loop.continue_process(process)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        said.append("at once")
        await asyncio.sleep(10)

    loop.run(main())
    assert said == ["a0", "b0", "b1", "continued", "for a", "a1", "at once", "a2", "a3", "a4"]


def test_of_a_killed_process_nothing_runs_again_no_finally_and_no_callback(loop: SimulatedLoop) -> None:
    said: list[object] = []

    async def generator() -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            said.append("generator ended")
            await asyncio.sleep(1)

    async def worker() -> None:
        task = asyncio.create_task(ticking(said, "child", 0.4))
        task.add_done_callback(lambda _: said.append("callback"))
        loop.call_later(3, said.append, "timer")
        try:
            async for _ in generator():
                said.append("step")  # noqa: PERF401 - a comprehension would have no `finally`
        finally:
            said.append("finally")
            await asyncio.sleep(1)

    async def main() -> None:
        process = loop.process("a")
        task = loop.spawn(process, worker())
        task.add_done_callback(lambda _: said.append("told outside"))
        del task
        await asyncio.sleep(1.1)
        loop.kill_process(process)
        loop.continue_process(process)
        gc.collect()
        await asyncio.sleep(10)

    loop.run(main())
    assert said == ["child0", "child1", "step"]


def test_a_process_may_be_killed_while_it_is_stopped_or_from_within(loop: SimulatedLoop) -> None:
    said: list[object] = []

    async def suicidal() -> None:
        try:
            await asyncio.sleep(1)
            loop.kill_process(this_process())
            await asyncio.sleep(1)
        finally:
            said.append("finally")

    async def main() -> None:
        loop.spawn(loop.process("a"), suicidal())
        stopped = loop.process("b")
        loop.spawn(stopped, ticking(said, "b"))
        loop.stop_process(stopped)
        await asyncio.sleep(3)
        loop.kill_process(stopped)
        await asyncio.sleep(3)

    loop.run(main())
    assert said == []


def test_an_exception_in_a_callback_fails_the_run(loop: SimulatedLoop) -> None:
    loop.call_later(1, lambda: {"": 0}["missing"])
    with pytest.raises(KeyError, match="missing"):
        loop.run(asyncio.sleep(2))


def test_an_exception_of_a_task_that_nobody_awaits_fails_the_run(loop: SimulatedLoop) -> None:
    async def failing() -> None:
        raise ValueError("nobody looks at me")

    async def main() -> None:
        asyncio.create_task(failing())  # noqa: RUF006 - that is the mistake
        await asyncio.sleep(1)

    with pytest.raises(Complaint, match="never retrieved") as complaint:
        loop.run(main())
    assert isinstance(complaint.value.__cause__, ValueError)


def test_waiting_for_what_will_never_happen_is_an_error_that_names_who_waits(loop: SimulatedLoop) -> None:
    async def main() -> None:
        await loop.spawn(loop.process("a"), asyncio.Event().wait(), name="listener")

    with pytest.raises(NothingWillHappen, match="listener, main"):
        loop.run(main())


def test_a_run_that_does_not_end_is_ended() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 - that is the mistake
            await asyncio.sleep(0)

    loop = SimulatedLoop(steps_max=1_000)
    with pytest.raises(RunsAway):
        loop.run(main())
    loop.close()


def test_sets_of_tasks_are_in_one_order_in_every_run() -> None:
    async def main() -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(1), name=f"t{number}") for number in range(50)}
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done]

    runs = []
    for _ in range(3):
        loop = SimulatedLoop()
        runs.append(loop.run(main()))
        loop.close()
    assert runs[0] == runs[1] == runs[2]


def test_processes_whose_timers_fall_due_together_come_in_an_order_that_the_seed_decides() -> None:
    def order(seed: int) -> list[object]:
        loop = SimulatedLoop(Random(seed))
        said: list[object] = []

        async def main() -> None:
            for name in "abcd":
                loop.spawn(loop.process(name), ticking(said, name, count=2))
            await asyncio.sleep(3)

        loop.run(main())
        loop.close()
        return said

    orders = [order(seed) for seed in range(10)]
    assert len({tuple(map(str, said)) for said in orders}) > 1
    assert orders[3] == order(3)
    assert all(said.index("a0") < said.index("a1") for said in orders)


def test_a_machine_may_have_a_wrong_clock_and_time_passes_on_it_all_the_same(loop: SimulatedLoop) -> None:
    right, wrong = SimulatedClock(loop), SimulatedClock(loop, ahead_ms=90_000)

    async def main() -> None:
        await wrong.sleep(2)

    before = right.now()
    loop.run(main())
    assert right.now() - before == 2_000
    assert wrong.now() - right.now() == 90_000
    assert wrong.monotonic() == right.monotonic()
