"""One address that takes POSTs for several paths: sources share it. It listens while at least one of them is served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from penstock.operators.error import Unreachable
from penstock.operators.input_settings import is_loopback

Handler = Callable[[web.Request], Awaitable[web.Response]]
LAST_REQUESTS_SECONDS = 5.0
"""So long requests under way may take when the address is given up."""

_log = logging.getLogger(__name__)


class Listener:
    """`listen` is host:port; port 0 takes a free one."""

    def __init__(self, listen: str) -> None:
        self._listen = listen
        self._handlers: dict[str, Handler] = {}
        self._runner: web.AppRunner | None = None
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def serving(self, path: str, handler: Handler) -> AsyncIterator[None]:
        """POSTs to `path` go to `handler` as long as the block lasts, and until those under way are answered.

        Raises Unreachable where the address is taken.
        """
        async with self._changing:
            if self._runner is None:
                self._runner = await self._start()
            self._handlers[path] = handler
        _log.info("records are taken at http://%s:%d%s", *self._runner.addresses[0][:2], path)
        try:
            yield
        finally:
            async with self._changing:
                del self._handlers[path]
                if not self._handlers:
                    runner, self._runner = self._runner, None
                    await runner.cleanup()

    async def _start(self) -> web.AppRunner:
        pages = web.Application()
        pages.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(pages, access_log=None, shutdown_timeout=LAST_REQUESTS_SECONDS)
        await runner.setup()
        host, _, port = self._listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
        except OSError as error:
            await runner.cleanup()
            what = f"cannot listen: {error.strerror}"
            raise Unreachable(what, where=self._listen, remedy="write another address under `http.listen`") from error
        if not is_loopback(self._listen):
            _log.warning("%s can be reached by other machines, unencrypted", self._listen)
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        handler = self._handlers.get(request.path)
        if not self._handlers:  # a connection that was kept open may still bring requests
            return said(503, "this process is about to end: send it again", Retry_After="1")
        if handler is None:
            return said(404, f"nothing is taken at this path; try {', '.join(sorted(self._handlers))}")
        if request.method != "POST":
            return said(405, "records are sent by POST", Allow="POST")
        return await handler(request)


def said(status: int, sentence: str, **headers: str) -> web.Response:
    """A refusal, as JSON; `Retry_After` becomes Retry-After."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": sentence}, status=status, headers=names)
