"""`input: {http: …}`: what is sent by POST becomes records. The answer comes when they are durable, and 202 means that they are.

401 403 413 400   what was sent cannot be taken, and never will be: nothing of it is written
503               not now: send it again; with an id, nothing is written twice
202               {"records": written, "duplicates": known already}
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hmac import compare_digest

from aiohttp import web

from penstock.connectors.embedded_input import Arrival, InputLog
from penstock.connectors.http_listen import Listener, said
from penstock.connectors.http_records import BadRequest, Post, posted
from penstock.connectors.port import WallClock
from penstock.connectors.seen import Seen
from penstock.operators.input_settings import HttpInput
from penstock.operators.record import DeadLetter, Raw

WAITING_MAX = 1_000
WAITING_BYTES_MAX = 64 << 20
"""More requests, or more of their bodies, do not wait for the disk: they are asked to come again."""
TAKEN = 202
AGAIN = {"Retry_After": "1"}

Refuse = Callable[[Raw], DeadLetter | None]
"""Why the source could not read a record; None: it can."""


@dataclass(slots=True, eq=False)
class _Waiting:
    post: Post
    size: int
    written: asyncio.Future[int]
    """How many of the records were new."""


class PostsInput:
    """`Input` that listens. Requests that come while one transaction is written share the next one."""

    def __init__(self, settings: HttpInput, listener: Listener, refuse: Refuse, clock: WallClock) -> None:
        self._settings, self._listener, self._refuse, self._clock = settings, listener, refuse, clock
        self.quiet_since: float | None = None
        self.absent = ""
        self.counts = Counter[tuple[str, ...]]({("duplicates",): 0})
        self._log: InputLog | None = None
        self._waiting: list[_Waiting] = []
        self._news = asyncio.Event()

    async def run(self, log: InputLog) -> None:
        """What was accepted when it is cancelled is still written and answered."""
        self._log = log
        self.quiet_since = self._clock.monotonic()
        writer = asyncio.create_task(self._write_all(log, Seen(log.marks)))
        try:
            async with self._listener.serving(self._settings.path, self._answer):
                await asyncio.shield(writer)
        finally:
            self._log = None
            self._news.set()
            await asyncio.wait([writer])

    async def _write_all(self, log: InputLog, seen: Seen) -> None:
        try:
            while self._log is not None or self._waiting:
                await self._news.wait()
                self._news.clear()
                batch, self._waiting = self._waiting, []
                if batch:
                    await self._write(log, seen, batch)
        finally:
            self._log = None
            for each in self._waiting:
                each.written.cancel()
            self._waiting = []

    async def _write(self, log: InputLog, seen: Seen, batch: Sequence[_Waiting]) -> None:
        self.quiet_since = None
        ids: dict[str, None] = {}
        new = [_unknown(each.post, seen, ids) for each in batch]
        try:
            await log.write([arrival for arrivals in new for arrival in arrivals], seen.add(ids))
        except BaseException:
            for each in batch:
                each.written.cancel()
            raise
        for each, arrivals in zip(batch, new, strict=True):
            self.counts["duplicates",] += len(each.post.records) - len(arrivals)
            if not each.written.done():  # its sender may have gone
                each.written.set_result(len(arrivals))
        self.quiet_since = self._clock.monotonic()

    async def _answer(self, request: web.Request) -> web.Response:
        answer = await self._taken(request)
        if answer.status != TAKEN:
            self.counts["refused", str(answer.status)] += 1
        return answer

    async def _taken(self, request: web.Request) -> web.Response:
        log = self._log
        if (refusal := self._refusal(request)) is not None:
            return refusal
        body = await self._body(request)
        if body is None:
            return said(413, f"the body is larger than {self._settings.body_max} bytes")
        try:
            post = posted(request.headers, body)
        except BadRequest as error:
            return said(400, str(error))
        if log is None or self._is_full(len(body)):
            return said(503, "more is waiting for the disk than can be kept: send it again", **AGAIN)
        for number, (arrival, _) in enumerate(post.records, start=1):
            if (dead := self._refuse(log.record(arrival))) is not None:
                status = 413 if dead.reason == "too_large" else 400
                return said(status, f"record {number} of {len(post.records)}: {dead.detail}")
        return await self._written(post, len(body))

    def _refusal(self, request: web.Request) -> web.Response | None:
        """A web page in a browser on this machine may send to any address here: it is known by its `Origin`."""
        if "Origin" in request.headers:
            return said(403, "this is not for web pages: a request with an `Origin` is refused")
        token = self._settings.token
        shown = request.headers.get("Authorization", "")
        if token is not None and not compare_digest(shown.encode(), f"Bearer {token.get_secret_value()}".encode()):
            return said(401, "the bearer token is missing or wrong", WWW_Authenticate="Bearer")
        return None

    async def _body(self, request: web.Request) -> bytes | None:
        """None: it is too large; of one that says so at once nothing is read."""
        most = self._settings.body_max
        if (request.content_length or 0) > most:
            return None
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > most:
                return None
        return bytes(body)

    def _is_full(self, size: int) -> bool:
        waiting = sum(each.size for each in self._waiting)
        return len(self._waiting) >= WAITING_MAX or (waiting > 0 and waiting + size > WAITING_BYTES_MAX)

    async def _written(self, post: Post, size: int) -> web.Response:
        waiting = _Waiting(post, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._news.set()
        await asyncio.wait([waiting.written])
        if waiting.written.cancelled():
            return said(503, "it may not have been written: send it again", **AGAIN)
        count = waiting.written.result()
        return web.json_response({"records": count, "duplicates": len(post.records) - count}, status=TAKEN)


def _unknown(post: Post, seen: Seen, ids: dict[str, None]) -> list[Arrival]:
    """The records that were not sent before, nor by an earlier request of the same transaction; their ids go into `ids`."""

    def is_new(kind: str, id: str | None) -> bool:
        if id is None:
            return True
        name = f"{kind} {id}"
        new = name not in ids and name not in seen
        ids.setdefault(name)
        return new

    if not is_new("request", post.id):
        return []
    return [arrival for arrival, id in post.records if is_new("event", id)]
