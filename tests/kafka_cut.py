"""A way to a Kafka broker that goes wrong when it is told to: between a client and the broker stands a proxy that reads frames.

    way.strike(END_TXN, "lose answer")       what becomes of the next request of this kind, once
    way.hold("requests", "answers")          from now on the link is half-open; with one of the two it is one-way
    way.heal()

Held frames are not lost: TCP sends again until it gets through. So requests arrive late, also those of a client that has
given up and gone, and answers arrive late where somebody still waits for them.

Kafka tells clients where its brokers are, so answers are rewritten: whoever came through the proxy stays on it.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

PRODUCE, INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, END_TXN = 0, 22, 24, 26
"""Kinds of requests: Kafka's API keys."""
API_KEY, CORRELATION = struct.Struct(">h"), struct.Struct(">i")
HELD_POLL_SECONDS = 0.02

Direction = Literal["requests", "answers"]
Fault = Literal["cut", "lose request", "lose answer", "delay request", "delay answer", "repeat", "overtake"]
"""`cut`: the broker answers, and the connection ends before that is heard. Whatever is lost otherwise, the connection stays.
`repeat`: sent to the broker twice, and answered once. `overtake`: the connection ends, and the request comes to the broker
by itself, when the client has long sent it again."""


class Strike(NamedTuple):
    """What becomes of one request. `seconds`: how long what is late takes."""

    kind: int
    fault: Fault
    seconds: float = 0.0


@dataclass
class Cut:
    """`coming`: strikes that wait for a request of their kind. `struck`: those that were carried out."""

    broker: str
    bootstrap: str = ""
    coming: list[Strike] = field(default_factory=list)
    struck: list[Strike] = field(default_factory=list)
    held: frozenset[Direction] = frozenset()

    def strike(self, kind: int, fault: Fault, seconds: float = 0.0) -> None:
        self.coming.append(Strike(kind, fault, seconds))

    def hold(self, *directions: Direction) -> None:
        self.held = frozenset(directions)

    def heal(self) -> None:
        self.held = frozenset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as overtaken:
            try:
                await self._serve(reader, writer, overtaken)
            except* (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, overtaken: asyncio.TaskGroup
    ) -> None:
        from_broker, to_broker = await self._connect()
        expected: deque[Strike | None] = deque()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_requests(reader, to_broker, expected, overtaken))
                both.create_task(self._pass_answers(from_broker, writer, expected))
        finally:
            to_broker.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.broker.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pass_requests(
        self, client: asyncio.StreamReader, broker: asyncio.StreamWriter, expected: deque[Strike | None],
        overtaken: asyncio.TaskGroup,
    ) -> None:  # fmt: skip
        """`expected`: what becomes of each answer, as Kafka answers in the order in which it was asked."""
        while True:
            request = await _frame(client)
            await self._let_through("requests")
            strike = self._strike_on(request)
            match strike:
                case Strike(fault="lose request"):
                    self.struck.append(strike)
                    continue
                case Strike(fault="overtake"):
                    overtaken.create_task(self._arrive_late(request, strike))
                    raise ConnectionResetError
                case Strike(fault="delay request"):
                    await asyncio.sleep(strike.seconds)
                    self.struck.append(strike)
                    strike = None
                case Strike(fault="repeat"):
                    expected.append(None)
                    _send(broker, request)
            expected.append(strike)
            _send(broker, request)

    def _strike_on(self, request: bytes) -> Strike | None:
        (kind,) = API_KEY.unpack_from(request)
        strike = next((each for each in self.coming if each.kind == kind), None)
        if strike is not None:
            self.coming.remove(strike)
        return strike

    async def _arrive_late(self, request: bytes, strike: Strike) -> None:
        """On a connection of its own, which is open until the broker has done what is asked."""
        await asyncio.sleep(strike.seconds)
        from_broker, to_broker = await self._connect()
        _send(to_broker, request)
        await _frame(from_broker)
        to_broker.close()
        self.struck.append(strike)

    async def _pass_answers(
        self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, expected: deque[Strike | None]
    ) -> None:
        while True:
            answer = await _frame(broker)
            strike = expected.popleft()
            if strike is not None:
                await asyncio.sleep(strike.seconds)
                self.struck.append(strike)
            await self._let_through("answers")
            match strike:
                case Strike(fault="cut"):
                    raise ConnectionResetError
                case None | Strike(fault="delay answer"):
                    _send(client, answer.replace(_as_kafka_says(self.broker), _as_kafka_says(self.bootstrap)))

    async def _let_through(self, direction: Direction) -> None:
        while direction in self.held:  # noqa: ASYNC110 - who heals the link may be another thread
            await asyncio.sleep(HELD_POLL_SECONDS)


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(CORRELATION.pack(len(frame)) + frame)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = CORRELATION.unpack(await reader.readexactly(CORRELATION.size))
    return await reader.readexactly(size)


def _as_kafka_says(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    return host.encode() + CORRELATION.pack(int(port))


@asynccontextmanager
async def cut(broker: str) -> AsyncIterator[Cut]:
    """For a broker that is known to its clients by the address given here."""
    way = Cut(broker)
    serving: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(way.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    way.bootstrap = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()
        for each in serving:
            each.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@contextmanager
def cut_beside(broker: str) -> Iterator[Cut]:
    """The same for tests that have no event loop: it has a thread of its own."""
    opened: list[Cut] = []
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with cut(broker) as way:
            opened.append(way)
            ready.set()
            await over.wait()

    with asyncio.Runner() as runner:
        serving = threading.Thread(target=runner.run, args=(serve(),))
        serving.start()
        assert ready.wait(10), "the proxy did not start"
        try:
            yield opened[0]
        finally:
            runner.get_loop().call_soon_threadsafe(over.set)
            serving.join()
