"""The inputs of a pipeline: what fills the topics of its sources, where these lie in the embedded broker.

    file ─┐
    http ─┼─▶ InputLog ─▶ topic in the broker ─▶ worker          one process at a time has them; another takes over when it dies
    sse  ─┘
    stdin ──▶ topic in the broker                                every process reads its own

An input is a producer. Everything behind it (positions, exactly-once, several workers) is as for a topic that anybody fills.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from penstock.connectors.embedded_broker import EmbeddedBroker
from penstock.connectors.embedded_input import InputLog, KeyOf
from penstock.connectors.http_listen import Listener
from penstock.connectors.input_file import FilesInput
from penstock.connectors.input_http import PostsInput, Refuse
from penstock.connectors.input_kind import Input
from penstock.connectors.input_sse import EventsInput
from penstock.connectors.input_stdin import StdinInput
from penstock.connectors.port import Broker, WallClock
from penstock.connectors.tls import tls_context
from penstock.operators.error import Lost, Misused, Unreachable
from penstock.operators.input_settings import InputSettings
from penstock.operators.record import DeadLetter, Raw
from penstock.operators.source import Source, SourceSettings
from penstock.operators.tls import TlsSettings
from penstock.pipelines.backoff import Backoff
from penstock.pipelines.brokers import OPTION

log = logging.getLogger("penstock.inputs")

Fail = Callable[[BaseException], None]
"""Told of what no repetition helps against."""
AGAIN_SECONDS = 1.0
AGAIN_SECONDS_MAX = 30.0


@dataclass(slots=True)
class Feed:
    """One source and its input. `trouble` is what holds it up at the moment, `log` what it writes into.

    `reopened` and `written` count over all of them: how often there was a next one, and the records in those before it.
    """

    source: Source
    input: Input
    own: bool
    """Every process has its own."""
    log: InputLog | None = None
    trouble: str = ""
    reopened: int = 0
    written: int = 0

    @property
    def counts(self) -> Counter[tuple[str, ...]]:
        """By (what, which)."""
        records = self.written + (0 if self.log is None else self.log.written)
        return Counter({("records",): records, ("reopened",): self.reopened, **self.input.counts})


class Inputs:
    """All inputs of one process, until they are cancelled."""

    def __init__(self, broker: EmbeddedBroker, feeds: Sequence[Feed], clock: WallClock, random: Random) -> None:
        self.feeds = feeds
        self._broker, self._clock, self._random = broker, clock, random
        self._standing_by: float | None = None
        """Since when another process has those that only one can have."""

    @property
    def quiet_since(self) -> float | None:
        """Since when nothing has come, as far as it is this process that would bring it; None: something may be coming."""
        times = [self._quiet_since(feed) for feed in self.feeds]
        known = [time for time in times if time is not None]
        return max(known) if len(known) == len(times) else None

    def _quiet_since(self, feed: Feed) -> float | None:
        """Whoever has the inputs may be dead, and his turn over only with his session."""
        if feed.own or self._standing_by is None:
            return feed.input.quiet_since
        return self._standing_by + self._broker.terms.session / 1000

    def troubles(self) -> list[str]:
        """A sentence per input that does not get on."""
        return [f"the input of source {feed.source.name}: {feed.trouble}" for feed in self.feeds if feed.trouble]

    def absence(self) -> Unreachable | None:
        """Of what an input was to read nothing was ever there: whoever meant to be done with it is not."""
        absent = [(feed.source.name, feed.input.absent) for feed in self.feeds if feed.input.absent]
        if not absent or self._standing_by is not None:
            return None
        name, why = absent[0]
        return Unreachable(
            f"nothing was read of this input: {why}",
            where=f"sources.{name}.input",
            remedy="see that it is there, and run it again",
        )

    async def run(self, fail: Fail) -> None:
        """Until it is cancelled, and then until everything that has come is written or refused."""
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self.feeds:
                    if feed.own:
                        group.create_task(self._keep(feed, fail))
                if any(not feed.own for feed in self.feeds):
                    group.create_task(self._take_turns(fail))
        except* Exception as problems:  # noqa: BLE001 - whatever it is, the process has to end with a sentence
            fail(problems.exceptions[0])

    async def _take_turns(self, fail: Fail) -> None:
        at_work: asyncio.Task[None] | None = None
        try:
            async for ours in self._turns():
                self._standing_by = None if ours else self._standing_by or self._clock.monotonic()
                if ours and at_work is None:
                    at_work = asyncio.create_task(self._work(fail))
                elif not ours and at_work is not None:
                    log.info("another process takes over the inputs")
                    await _end(at_work)
                    at_work = None
                    await self._broker.leave_inputs()
        finally:
            if at_work is not None:
                await _end(at_work)
            await self._broker.leave_inputs()

    async def _turns(self) -> AsyncIterator[bool]:
        backoff = Backoff(self._random, first=AGAIN_SECONDS, longest=AGAIN_SECONDS_MAX)
        while True:
            try:
                async for ours in self._broker.input_turns():
                    backoff.reset()
                    yield ours
            except Unreachable as error:
                log.warning("whose turn it is to run the inputs is not known: %s; trying again", error)
                await self._clock.sleep(backoff.draw())

    async def _work(self, fail: Fail) -> None:
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds:
                if not feed.own:
                    group.create_task(self._keep(feed, fail))

    async def _keep(self, feed: Feed, fail: Fail) -> None:
        backoff = Backoff(self._random, first=AGAIN_SECONDS, longest=AGAIN_SECONDS_MAX)
        while True:
            try:
                await self._run(feed)
                return
            except (Lost, Unreachable) as error:
                feed.trouble = str(error)
                feed.reopened += 1
                log.warning("the input of source %s is opened again: %s", feed.source.name, error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the process has to end with a sentence
                fail(error)
                return
            if feed.log is not None and feed.log.written:
                backoff.reset()
            await self._clock.sleep(AGAIN_SECONDS + backoff.draw())

    async def _run(self, feed: Feed) -> None:
        feed.written, feed.log = feed.counts["records",], None
        source = feed.source
        feed.log = await self._broker.open_input(source.name, source.topic, arrival_key(source), shared=feed.own)
        feed.trouble = ""
        await feed.input.run(feed.log)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def arrival_key(source: Source) -> KeyOf:
    """The key that the source reads, so that equal keys meet in one partition; that of the sender where it cannot be read."""

    def key(raw: Raw) -> bytes | None:
        read = source.decode(raw)
        return raw.key if isinstance(read, DeadLetter) else read[0].encode()

    return key


def inputs_of(
    settings: Mapping[str, SourceSettings], sources: Sequence[Source], broker: Broker, clock: WallClock, random: Random
) -> Inputs | None:
    """What the sources say under `input`; None: nothing. Raises Misused where the broker is not an embedded one."""
    named = {name: each.input for name, each in settings.items() if each.input is not None}
    if not named:
        return None
    if not isinstance(broker, EmbeddedBroker):
        raise Misused(
            f"the topic of source {next(iter(named))} is in Kafka, and `input` fills topics of the embedded broker only",
            where=OPTION,
            remedy="write --broker sqlite:FILE; or take `input` out, and let a log shipper write to the topic",
        )
    build = _Builder(clock, random)
    feeds = [
        Feed(source, build.input(source, named[source.name]), own=named[source.name].stdin is not None)
        for source in sources
        if source.name in named
    ]
    return Inputs(broker, feeds, clock, random)


class _Builder:
    """Sources that name one address to listen at share it."""

    def __init__(self, clock: WallClock, random: Random) -> None:
        self._clock, self._random = clock, random
        self._listeners: dict[str, Listener] = {}

    def input(self, source: Source, settings: InputSettings) -> Input:
        if settings.followed is not None:
            return FilesInput(settings.followed, self._clock)
        if settings.http is not None:
            listener = self._listeners.setdefault(settings.http.listen, Listener(settings.http.listen))
            return PostsInput(settings.http, listener, refusal_of(source), self._clock)
        if settings.sse is not None:
            own = settings.sse.tls != TlsSettings()
            tls = tls_context(settings.sse.tls, f"sources.{source.name}.input.sse.tls") if own else None
            return EventsInput(settings.sse, self._clock, self._random, tls)
        return StdinInput(self._clock)


def refusal_of(source: Source) -> Refuse:
    """Why a record would become a dead letter: its sender can be told."""

    def refuse(raw: Raw) -> DeadLetter | None:
        read = source.decode(raw)
        return read if isinstance(read, DeadLetter) else None

    return refuse


@asynccontextmanager
async def running(inputs: Inputs | None, fail: Fail) -> AsyncIterator[None]:
    """They run as long as the block does."""
    if inputs is None:
        yield
        return
    task = asyncio.create_task(inputs.run(fail))
    try:
        yield
    finally:
        await _end(task)
