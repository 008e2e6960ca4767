"""One process that copies every record of `in` to `out` and counts them, until all are done. It is there to be killed.

    python sqlite_worker.py FILE SEED RECORDS

It takes the task whenever it is fenced off it: two of them fight for it, which is what the fence is for.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

from penstock.connectors.clock import MachineClock
from penstock.connectors.port import MAIN, Layout, Limits, TaskId, TaskLog
from penstock.connectors.sqlite import SqliteBroker
from penstock.operators.error import Lost
from penstock.operators.record import Output, Raw
from penstock.state.delta import Bucket, Delta, EntryKind, Header, Position

LAYOUT = Layout("dev", "copy", {"in": "earliest"}, frozenset({"out"}))
TASK = TaskId(MAIN, 0)
IMAGE_EVERY = 4


def started(seed: int) -> str:
    """What a worker says when it is at work."""
    return f"worker {seed} started"


class Copier:
    """What it knows: how many records it copied, and the position behind the last of them."""

    def __init__(self, log: TaskLog) -> None:
        self.log = log
        self.count = 0
        self.position: Position | None = None

    async def open(self) -> None:
        async for entry, _ in self.log.restored():
            if isinstance(entry, Delta):
                self.position = entry.header.positions["in"]
            self.count = entry.keys["count"] if isinstance(entry, Bucket) else entry.cells["count"]["n"]
        self.position = (await self.log.begin({} if self.position is None else {"in": self.position}))["in"]
        await self.save("opened", [])

    async def copy(self, limit: int) -> None:
        records = (await self.log.fetch(Limits(limit, wait=0.05))).records.get("in", ())
        if records:
            last = records[-1]
            self.count += len(records)
            self.position = Position(last.offset + 1, last.offset, last.timestamp, crc32(last.value or b""))
            await self.save("delta", records)

    async def save(self, kind: EntryKind, records: Sequence[Raw]) -> None:
        assert self.position is not None
        seq = self.log.seq + 1
        outputs = [Output(f"{raw.offset}", "out", raw.key, raw.value) for raw in records]
        header = Header(seq=seq, incarnation=self.log.incarnation, kind=kind, positions={"in": self.position})
        image = Bucket(index=0, of=1, seq=seq, keys={"count": self.count})
        images = [image] if seq % IMAGE_EVERY == IMAGE_EVERY - 1 and kind == "delta" else []
        await self.log.commit(
            Delta(header=header, cells={"count": {"n": self.count}}, outputs=outputs), outputs, images
        )


async def work(path: Path, seed: int, records: int) -> None:
    chance = random.Random(seed)
    broker = SqliteBroker(path, LAYOUT, f"worker-{seed}", MachineClock())
    await broker.start()
    print(started(seed), flush=True)
    done = False
    while not done:
        copier = Copier(await broker.open(TASK))
        try:
            await copier.open()
            while copier.count < records:
                await copier.copy(chance.randint(1, 5))
            done = True
        except Lost as lost:
            print(type(lost).__name__, flush=True)
            await asyncio.sleep(chance.uniform(0, 0.05))
    await broker.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
