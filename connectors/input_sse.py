"""`input: {sse: …}`: the events of a stream become records. Behind which of them to go on is committed with them.

connect ──▶ read ──▶ write records and the last id, one transaction ──▶ read …
   ▲                                                                      │ cut, silent, or refused
   └──────── wait: `retry:`, doubled with each failure, with limits ◀─────┘         204: the stream is over
"""

from __future__ import annotations

import logging
import ssl
from collections import Counter
from random import Random

import aiohttp

from penstock.connectors.embedded_input import Arrival, InputLog
from penstock.connectors.embedded_store import Marks
from penstock.connectors.port import WallClock
from penstock.connectors.sse import EventTooLong
from penstock.connectors.sse_events import ServerEvent, ServerEvents
from penstock.connectors.vllm_error import retry_after_seconds
from penstock.operators.input_settings import SseInput

RETRY_SECONDS = 3.0
"""Where the server does not say `retry:`."""
WAIT_SECONDS_MAX = 60.0
ASKED_SECONDS_MAX = 600.0
"""So long a server may make us wait by `Retry-After`."""
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 300.0
"""A connection that brings nothing for so long, not even a comment, may be dead without saying so."""
EVENT_BYTES_MAX = 8 << 20
LAST_ID = "last_event_id"

_log = logging.getLogger(__name__)


class Cut(Exception):
    """The stream is not there now: why, and how long the server asks us to stay away."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


class EventsInput:
    """`Input` that subscribes to server-sent events."""

    def __init__(self, settings: SseInput, clock: WallClock, random: Random, tls: ssl.SSLContext | None = None) -> None:
        self._settings, self._clock, self._random = settings, clock, random
        self._tls = True if tls is None else tls
        self.quiet_since: float | None = None
        self.absent = f"nobody was asked for {settings.url} yet"
        self.counts = Counter[tuple[str, ...]]({("reconnects",): 0})
        self._failures = 0
        self._retry = RETRY_SECONDS

    async def run(self, log: InputLog) -> None:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._tls)
        async with aiohttp.ClientSession(timeout=limits, connector=connector) as session:
            while True:
                try:
                    if not await self._subscribe(session, log):
                        break
                    cut = Cut("the server has closed the stream")
                except Cut as refused:
                    cut = refused
                except (aiohttp.ClientError, TimeoutError, EventTooLong, ssl.SSLError) as error:
                    cut = Cut(str(error) or type(error).__name__)
                await self._wait(cut)

    async def _wait(self, cut: Cut) -> None:
        if self.absent:
            self.absent = f"{self._settings.url}: {cut}"
        wait = self._pause(cut)
        told = _log.info if self._failures == 0 else _log.warning
        told("%s: %s; trying again in %.1f s", self._settings.url, cut, wait)
        self._failures += 1
        self.counts["reconnects",] += 1
        if self.quiet_since is None:
            self.quiet_since = self._clock.monotonic()
        await self._clock.sleep(wait)

    def _pause(self, cut: Cut) -> float:
        if cut.seconds is not None:
            return min(cut.seconds, ASKED_SECONDS_MAX)
        longest = min(self._retry * 2 ** min(self._failures, 16), max(self._retry, WAIT_SECONDS_MAX))
        return longest if self._failures == 0 else self._random.uniform(longest / 2, longest)

    async def _subscribe(self, session: aiohttp.ClientSession, log: InputLog) -> bool:
        """Until the server closes the stream; False: it says that there is nothing more."""
        last_id = log.marks.get(LAST_ID, b"")
        async with session.get(
            self._settings.url, headers=self._headers(last_id), allow_redirects=not self._settings.headers
        ) as response:
            if response.status == 204:
                self.absent = ""
                _log.info("%s is over: the server says that there is nothing more", self._settings.url)
                return False
            _check(response)
            self.absent = ""
            _log.info("%s is read behind id %r", self._settings.url, last_id.decode(errors="replace"))
            self.quiet_since = self._clock.monotonic()
            events = ServerEvents(last_id, EVENT_BYTES_MAX)
            async for chunk in response.content.iter_any():
                await self._write(log, events, events.events(chunk))
        return True

    async def _write(self, log: InputLog, parser: ServerEvents, found: list[ServerEvent]) -> None:
        if parser.retry_ms is not None:
            self._retry = min(parser.retry_ms / 1000, ASKED_SECONDS_MAX)
        marks = Marks({LAST_ID: parser.id}) if parser.id != log.marks.get(LAST_ID, b"") else None
        if found or marks is not None:
            self.quiet_since = None
            await log.write([_arrival(event) for event in found], marks)
            self._failures, self.quiet_since = 0, self._clock.monotonic()

    def _headers(self, last_id: bytes) -> dict[str, str]:
        own = {name: value.get_secret_value() for name, value in self._settings.headers.items()}
        resume = {"Last-Event-ID": last_id.decode("utf-8", "replace")} if last_id else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", **own, **resume}


def _check(response: aiohttp.ClientResponse) -> None:
    """Raises Cut where the answer is no stream of events."""
    if response.status != 200:
        raise Cut(f"the server answers {response.status} {response.reason}", retry_after_seconds(response.headers))
    if response.content_type != "text/event-stream":
        raise Cut(f"the server answers with {response.content_type}, not with text/event-stream")


def _arrival(event: ServerEvent) -> Arrival:
    named = (("sse_id", event.id), ("sse_event", event.type))
    return Arrival(event.data, None, tuple((name, value) for name, value in named if value))
