"""The way to Kafka that goes wrong does what it is told, no more and no less: seen from both ends, without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.kafka_cut import API_KEY, CORRELATION, END_TXN, Cut, Direction, Fault, Strike, cut

pytestmark = pytest.mark.timeout(20)

LATE = 0.2
"""Seconds."""
FIRST, SECOND = 1, 2
"""Correlation ids: what tells two requests apart, and which answer is whose."""


class Echo:
    """A broker that answers every request with its correlation id."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while size := await reader.read(CORRELATION.size):
            request = await reader.readexactly(CORRELATION.unpack(size)[0])
            self.heard.append(CORRELATION.unpack_from(request, 4)[0])
            writer.write(CORRELATION.pack(4) + request[4:8])
        writer.close()


class Client:
    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name, self._reader, self._writer = name.encode(), reader, writer

    def ask(self, correlation: int) -> None:
        request = API_KEY.pack(END_TXN) + API_KEY.pack(0) + CORRELATION.pack(correlation)
        request += API_KEY.pack(len(self._name)) + self._name
        self._writer.write(CORRELATION.pack(len(request)) + request)

    async def answers(self, seconds: float = 0.1) -> list[int]:
        """What comes until nothing has come for so long; 0 for the end of the connection."""
        found: list[int] = []
        while True:
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._reader.read(8)
            except TimeoutError:
                return found
            if not answer:
                return [*found, 0]
            found.append(CORRELATION.unpack_from(answer, 4)[0])

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def way(echo: Echo) -> AsyncIterator[Cut]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with cut(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as way:
        yield way
    server.close()


@asynccontextmanager
async def connected(way: Cut, name: str = "client") -> AsyncIterator[Client]:
    host, _, port = way.bootstrap.rpartition(":")
    client = Client(name, *await asyncio.open_connection(host, int(port)))
    yield client
    client.close()


@pytest.mark.parametrize(
    ("fault", "heard", "answered"),
    [
        ("cut", [FIRST], [0]),
        ("lose request", [SECOND], [SECOND]),
        ("lose answer", [FIRST, SECOND], [SECOND]),
        ("delay request", [FIRST, SECOND], [FIRST, SECOND]),
        ("delay answer", [FIRST, SECOND], [FIRST, SECOND]),
        ("repeat", [FIRST, FIRST, SECOND], [FIRST, SECOND]),
    ],
)
async def test_a_strike_meets_the_next_request_and_no_other(
    way: Cut, echo: Echo, fault: Fault, heard: list[int], answered: list[int]
) -> None:
    way.strike(END_TXN, fault, LATE)
    async with connected(way) as client:
        client.ask(FIRST)
        if fault != "cut":
            client.ask(SECOND)
        assert await client.answers(2 * LATE) == answered
    assert echo.heard == heard
    assert (way.coming, way.struck) == ([], [Strike(END_TXN, fault, LATE)])


@pytest.mark.parametrize("fault", ["delay request", "delay answer"])
async def test_what_is_late_is_not_there_before(way: Cut, fault: Fault) -> None:
    way.strike(END_TXN, fault, LATE)
    async with connected(way) as client:
        client.ask(FIRST)
        assert await client.answers(LATE / 2) == []
        assert await client.answers(LATE) == [FIRST]


async def test_a_request_that_was_overtaken_comes_after_the_one_that_was_sent_again(way: Cut, echo: Echo) -> None:
    way.strike(END_TXN, "overtake", LATE)
    async with connected(way) as client:
        client.ask(FIRST)
        assert await client.answers() == [0]
    async with connected(way) as again:
        again.ask(SECOND)
        assert await again.answers(2 * LATE) == [SECOND]
    assert echo.heard == [SECOND, FIRST]
    assert way.struck == [Strike(END_TXN, "overtake", LATE)]


@pytest.mark.parametrize(
    ("held", "heard"), [(("requests",), []), (("answers",), [FIRST]), (("requests", "answers"), [])]
)
async def test_a_link_that_is_held_passes_nothing_that_way_until_it_heals(
    way: Cut, echo: Echo, held: tuple[Direction, ...], heard: list[int]
) -> None:
    way.hold(*held)
    async with connected(way) as client:
        client.ask(FIRST)
        assert (await client.answers(), echo.heard) == ([], heard)
        way.heal()
        assert (await client.answers(), echo.heard) == ([FIRST], [FIRST])


async def test_a_link_may_be_held_for_one_client_alone(way: Cut, echo: Echo) -> None:
    way.hold("requests", "answers", whose="one")
    async with connected(way, "one") as one, connected(way, "other") as other:
        one.ask(FIRST)
        other.ask(SECOND)
        assert (await one.answers(), await other.answers()) == ([], [SECOND])


async def test_requests_that_were_held_arrive_also_if_the_client_has_gone(way: Cut, echo: Echo) -> None:
    way.hold("requests")
    async with connected(way) as client:
        client.ask(FIRST)
    way.heal()
    async with connected(way) as other:
        other.ask(SECOND)
        assert await other.answers(LATE) == [SECOND]
    assert sorted(echo.heard) == [FIRST, SECOND]
