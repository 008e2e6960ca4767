"""Schemas are fetched before the records that name them are fed, so that reading a record waits for nobody.

    fetched batch ─▶ ids that nobody knows? ─▶ registry ─▶ known ─▶ fed
                                                  └── does not answer: the batch waits, and with it its task

What a registry does not have is asked for a second time a moment later (a follower may lag behind its leader); then
the records are dead letters. An id stays unknown for a minute: it may come, and a flood of wrong ids should cost little.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from random import Random

from penstock.connectors.port import Batch, Registry, WallClock
from penstock.operators.error import Unreachable
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import UNKNOWN_SCHEMA, Schema, Schemas, unknown_schema
from penstock.operators.source import Source
from penstock.pipelines.backoff import Backoff

log = logging.getLogger("penstock.registry")

RETRY_FIRST = 0.5
RETRY_LONGEST = 30.0
SECOND_LOOK_SECONDS = 1.0
UNKNOWN_SECONDS = 60.0
UNKNOWN_KEPT_SECONDS = 600.0
NAMED_MAX = 10
"""So many schemas that are not there are named in the log at once."""


class SchemasAhead:
    """What all tasks of a process ask of one registry: one request at a time, each schema once."""

    def __init__(self, sources: Iterable[Source], registry: Registry, clock: WallClock, random: Random) -> None:
        self._schemas = {source.topic: source.schemas for source in sources if source.schemas is not None}
        self._registry, self._clock = registry, clock
        self._backoff = Backoff(random, first=RETRY_FIRST, longest=RETRY_LONGEST)
        self._turn = asyncio.Lock()
        self._unknown: dict[tuple[str, int], float] = {}
        self.trouble = ""
        """Why records wait, in a sentence; empty while the registry answers."""
        self.requests: Counter[str] = Counter()
        """How requests went: found, unknown, failed."""

    async def prepare(self, batch: Batch) -> None:
        """Until everything is known that these records name, however long that takes."""
        for topic, schemas in self._schemas.items():
            named = schemas.named(raw.value for raw in batch.records.get(topic, ()))
            if self._wanted(topic, named):
                async with self._turn:
                    try:
                        await self._fetch(topic, self._wanted(topic, named))
                    finally:
                        self.trouble = ""  # also of a task that is given up: whoever waits still will say so again

    def _wanted(self, topic: str, named: Iterable[int]) -> list[int]:
        """Those of which nothing is known, or has been unknown for so long that it may have come."""
        schemas, old = self._schemas[topic], self._clock.monotonic() - UNKNOWN_SECONDS
        return sorted(
            number
            for number in named
            if not schemas.knows(number) or self._unknown.get((topic, number), old + 1) <= old
        )

    async def _fetch(self, topic: str, wanted: Iterable[int]) -> None:
        """What is absent counts as unknown only at the second look: other tasks read with what is learned."""
        self._purge()
        absent = [number for number in wanted if not await self._learned(topic, number)]
        if not absent:
            return
        await self._clock.sleep(SECOND_LOOK_SECONDS)
        unknown = [number for number in absent if not await self._learned(topic, number)]
        for number in unknown:
            self._schemas[topic].learn(number, unknown_schema(number))
            self._unknown[topic, number] = self._clock.monotonic()
        if unknown:
            log.warning("%s: the registry has no schema %s; such records are dead letters", topic, _some(unknown))

    async def _learned(self, topic: str, number: int) -> bool:
        """Whether the registry has it. Of a schema that it does not have nothing is learned."""
        schemas = self._schemas[topic]
        answer = await self._answer(schemas, number)
        found = not (isinstance(answer, DeadLetter) and answer.reason == UNKNOWN_SCHEMA)
        self.requests["found" if found else "unknown"] += 1
        if found:
            schemas.learn(number, answer)
            self._unknown.pop((topic, number), None)
        return found

    async def _answer(self, schemas: Schemas, number: int) -> Schema | DeadLetter:
        while True:
            try:
                answer = await self._registry.schema(number, schemas.kind)
            except Unreachable as error:
                self.requests["failed"] += 1
                self._note_trouble(error, number)
                await self._clock.sleep(self._backoff.draw())
            else:
                self._note_recovery()
                return answer

    def _note_trouble(self, error: Unreachable, number: int) -> None:
        """Once, not with every attempt."""
        if not self.trouble:
            log.warning(
                "%s; records that name schema %d wait until it answers, and so do those behind them", error, number
            )
        self.trouble = str(error)

    def _note_recovery(self) -> None:
        if self.trouble:
            log.info("the schema registry answers again; records are read on")
        self.trouble = ""
        self._backoff.reset()

    def _purge(self) -> None:
        """What was found unknown long ago need not be remembered: whatever was prepared by it is fed."""
        now = self._clock.monotonic()
        for (topic, number), since in list(self._unknown.items()):
            if now - since >= UNKNOWN_KEPT_SECONDS:
                self._schemas[topic].forget(number)
                del self._unknown[topic, number]


def _some(numbers: list[int]) -> str:
    more = f" and {len(numbers) - NAMED_MAX} more" if len(numbers) > NAMED_MAX else ""
    return ", ".join(map(str, numbers[:NAMED_MAX])) + more
