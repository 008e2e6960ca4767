from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.unit.connectors.test_embedded_input import CLOCK, broker_on, of_sender

from penstock.connectors.embedded_store import Write
from penstock.connectors.input_stdin import READ_BYTES, READS_AHEAD, StdinInput
from penstock.connectors.memory import MemoryCluster


class StuckCluster(MemoryCluster):
    """A disk that never answers."""

    async def append(self, write: Write, *, durable: bool = True) -> int:
        await asyncio.Event().wait()
        return 0


async def written(handle: int) -> list[bytes | None]:
    cluster = MemoryCluster(CLOCK)
    await cluster.create_topic("in", 1)
    stdin = StdinInput(CLOCK, handle)
    assert stdin.quiet_since is None
    async with asyncio.timeout(20):
        await stdin.run(await broker_on(cluster).open_input("s", "in", of_sender, shared=True))
    assert stdin.quiet_since is not None
    return [record.value for record in (await cluster.read("in", 0, 0, 100_000)).records]


async def test_the_lines_of_a_file_are_read_to_its_end_and_its_end_ends_a_line(tmp_path: Path) -> None:
    lines = [b"line %d" % number for number in range(20_000)]
    (tmp_path / "in").write_bytes(b"\n".join(lines))
    with (tmp_path / "in").open("rb") as file:
        assert await written(file.fileno()) == lines


async def test_a_line_that_is_too_long_for_one_read_is_whole() -> None:
    line = b"x" * (3 * READ_BYTES)
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as pipe:
            pipe.write(line + b"\nnext\n")

    _, found = await asyncio.gather(asyncio.to_thread(write), written(reading))
    os.close(reading)
    assert found == [line, b"next"]


async def test_what_cannot_be_read_is_taken_as_over() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    assert await written(reading) == []


async def test_more_than_can_be_written_stays_in_the_pipe() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stdin = StdinInput(CLOCK, reading)
    cluster = StuckCluster(CLOCK)
    await cluster.create_topic("in", 1)
    task = asyncio.create_task(stdin.run(await broker_on(cluster).open_input("s", "in", of_sender, shared=True)))
    taken = 0
    for _ in range(100):
        await asyncio.sleep(0.01)
        try:
            taken += os.write(writing, b"x\n" * (READ_BYTES // 2))
        except BlockingIOError:
            break
    task.cancel()
    os.close(writing)
    assert taken <= (READS_AHEAD + 3) * READ_BYTES
