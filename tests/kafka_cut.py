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
"""A request begins with its kind, its version, its correlation id and the name of the client; the last one like a short text."""
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
    """`coming`: strikes that wait for a request of their kind. `struck`: those that have met one.

    `held`: directions in which nothing passes; `whose`: of the clients that call themselves so, all if None.
    """

    broker: str
    bootstrap: str = ""
    coming: list[Strike] = field(default_factory=list)
    struck: list[Strike] = field(default_factory=list)
    held: frozenset[Direction] = frozenset()
    whose: str | None = None

    def strike(self, kind: int, fault: Fault, seconds: float = 0.0) -> None:
        self.coming.append(Strike(kind, fault, seconds))

    def hold(self, *directions: Direction, whose: str | None = None) -> None:
        self.held, self.whose = frozenset(directions), whose

    def heal(self) -> None:
        self.held = frozenset()

    def strike_on(self, request: bytes) -> Strike | None:
        """What becomes of this one; it is counted."""
        (kind,) = API_KEY.unpack_from(request)
        strike = next((each for each in self.coming if each.kind == kind), None)
        if strike is not None:
            self.coming.remove(strike)
            self.struck.append(strike)
        return strike

    def readdressed(self, answer: bytes) -> bytes:
        return answer.replace(_as_kafka_says(self.broker), _as_kafka_says(self.bootstrap))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the broker."""
        host, _, port = self.broker.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as overtaken:
            try:
                await _Link(self, reader, writer, overtaken).serve()
            except* (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()


class _Link:
    """One connection of a client. `overtaken`: its requests that will come to the broker by themselves."""

    def __init__(
        self, way: Cut, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, overtaken: asyncio.TaskGroup
    ) -> None:
        self._way, self._client, self._to_client, self._overtaken = way, client, to_client, overtaken
        self._name = ""
        self._expected: deque[Strike | None] = deque()
        """What becomes of each answer: Kafka answers in the order in which it was asked."""

    async def serve(self) -> None:
        broker, to_broker = await self._way.connect()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_requests(to_broker))
                both.create_task(self._pass_answers(broker))
        finally:
            to_broker.close()

    async def _pass_requests(self, to_broker: asyncio.StreamWriter) -> None:
        while True:
            request = await _frame(self._client)
            self._name = _client_of(request)
            await self._let_through("requests")
            strike = self._way.strike_on(request)
            match strike:
                case Strike(fault="lose request"):
                    continue
                case Strike(fault="overtake"):
                    self._overtaken.create_task(self._arrive_late(request, strike.seconds))
                    raise ConnectionResetError
                case Strike(fault="delay request"):
                    await asyncio.sleep(strike.seconds)
                case Strike(fault="repeat"):
                    self._expected.append(None)
                    _send(to_broker, request)
            self._expected.append(strike)
            _send(to_broker, request)

    async def _arrive_late(self, request: bytes, seconds: float) -> None:
        """On a connection of its own, which is open until the broker has done what is asked."""
        await asyncio.sleep(seconds)
        broker, to_broker = await self._way.connect()
        try:
            _send(to_broker, request)
            await _frame(broker)
        finally:
            to_broker.close()

    async def _pass_answers(self, broker: asyncio.StreamReader) -> None:
        while True:
            answer = await _frame(broker)
            strike = self._expected.popleft()
            await self._let_through("answers")
            match strike:
                case Strike(fault="cut"):
                    raise ConnectionResetError
                case Strike(fault="lose answer" | "repeat"):
                    continue
                case Strike(fault="delay answer"):
                    await asyncio.sleep(strike.seconds)
            _send(self._to_client, self._way.readdressed(answer))

    async def _let_through(self, direction: Direction) -> None:
        while direction in self._way.held and self._way.whose in (None, self._name):  # noqa: ASYNC110 - another thread heals
            await asyncio.sleep(HELD_POLL_SECONDS)


def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(CORRELATION.pack(len(frame)) + frame)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = CORRELATION.unpack(await reader.readexactly(CORRELATION.size))
    return await reader.readexactly(size)


def _client_of(request: bytes) -> str:
    """As it calls itself."""
    (length,) = API_KEY.unpack_from(request, 8)
    return request[10 : 10 + max(0, length)].decode()


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
