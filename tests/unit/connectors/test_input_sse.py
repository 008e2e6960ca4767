"""Subscribing to a small real server: what it sends becomes records, through cut connections and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from aiohttp import web
from pydantic import SecretStr
from tests.unit.connectors.test_embedded_input import CLOCK, broker_on, of_sender

from penstock.connectors.input_sse import EventsInput
from penstock.connectors.memory import MemoryCluster
from penstock.connectors.sse_events import ServerEvent, ServerEvents
from penstock.operators.input_settings import SseInput


class Server:
    """Sends `events` behind the one that is asked for, `at_once` of them per connection. Ids count from 1."""

    def __init__(self, count: int, at_once: int, cut: bytes = b"", retry: str = "retry: 5\n") -> None:
        self._count, self._at_once, self._cut, self._retry = count, at_once, cut, retry
        self.asked: list[str | None] = []
        self.answers: list[web.Response] = []
        """Given first, instead of a stream."""
        self.headers: list[str | None] = []

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("Last-Event-ID"))
        self.headers.append(request.headers.get("Authorization"))
        if self.answers:
            return self.answers.pop(0)
        first = int(self.asked[-1] or 0) + 1
        if first > self._count:
            return web.Response(status=204)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"{self._retry}: hello\n\n".encode())
        for number in range(first, min(first + self._at_once, self._count + 1)):
            await response.write(f"id: {number}\nevent: tick\ndata: event {number}\n\n".encode())
        await response.write(self._cut)
        return response


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    pages = web.Application()
    pages.router.add_get("/events", server.stream)
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    await runner.cleanup()


class Topic:
    """A topic in memory, and the input that fills it."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.cluster = MemoryCluster(CLOCK)
        headers = {} if token is None else {"Authorization": SecretStr(token)}
        self._settings = SseInput(url=url, headers=headers)

    async def run(self) -> None:
        await self.cluster.create_topic("in", 1)
        log = await broker_on(self.cluster).open_input("s", "in", of_sender)
        self.input = EventsInput(self._settings, CLOCK, Random(1))
        await self.input.run(log)

    async def values(self) -> list[bytes | None]:
        return [record.value for record in (await self.cluster.read("in", 0, 0, 1_000)).records]


def events(first: int, last: int) -> list[bytes]:
    return [b"event %d" % number for number in range(first, last + 1)]


async def test_every_event_comes_once_through_cut_connections_until_the_server_says_it_is_over() -> None:
    server = Server(25, at_once=10, cut=b"id: 99\ndata: half of one")
    async with serving(server) as url, asyncio.timeout(20):
        topic = Topic(url)
        await topic.run()
        assert await topic.values() == events(1, 25)
        assert server.asked == [None, "10", "20", "25"]
        (first, *_) = (await topic.cluster.read("in", 0, 0, 1)).records
        assert first.headers == (("sse_id", b"1"), ("sse_event", b"tick"))


async def test_a_restart_goes_on_behind_the_last_event_that_was_committed() -> None:
    server = Server(20, at_once=10, retry="retry: 60000\n")
    async with serving(server) as url, asyncio.timeout(20):
        topic = Topic(url)
        running = asyncio.create_task(topic.run())
        await until(lambda: len(server.asked) == 1)
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.wait([running])
        assert await topic.values() == events(1, 10)
        running = asyncio.create_task(topic.run())
        await until(lambda: len(server.asked) == 2)
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.wait([running])
        assert await topic.values() == events(1, 20)
        assert server.asked == [None, "10"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Response(status=503, headers={"Retry-After": "0"}), "503"),
        (web.Response(text="<html>"), "text/plain"),
        (web.Response(status=404), "404"),
    ],
)
async def test_what_is_no_stream_is_told_and_asked_for_again(
    answer: web.Response, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(1, at_once=1)
    server.answers = [answer]
    async with serving(server) as url, asyncio.timeout(20):
        topic = Topic(url, "Bearer abc")
        await topic.run()
        assert await topic.values() == events(1, 1)
    assert topic.input.counts["reconnects",] == 2
    assert server.headers[0] == "Bearer abc"
    with caplog.at_level("INFO"):
        assert len(server.asked) == 3


def parsed(*chunks: bytes) -> list[ServerEvent]:
    parser = ServerEvents()
    return [event for chunk in chunks for event in parser.events(chunk)]


def test_an_event_has_the_last_id_that_the_stream_has_named_and_a_type_of_its_own() -> None:
    assert parsed(b"id: 1\nevent: a\ndata: x\n\nda", b"ta: y\n\nid\ndata: z\n\n") == [
        ServerEvent(b"x", b"1", b"a"),
        ServerEvent(b"y", b"1", b""),
        ServerEvent(b"z", b"", b""),
    ]


def test_an_id_counts_when_its_event_is_whole_also_without_data() -> None:
    parser = ServerEvents(b"0")
    parser.events(b"id: 1\ndata: x\n")
    assert parser.id == b"0"
    parser.events(b"\nid: 2\n\nid: no\0id\n\nretry: soon\nretry: 70\n")
    assert (parser.id, parser.retry_ms) == (b"2", 70)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody sets an event when a server is asked
        await asyncio.sleep(0.01)
