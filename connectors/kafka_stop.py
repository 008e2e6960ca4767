"""Ending what holds connections to Kafka: side by side, for a bounded time, whatever the brokers do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def stop_within(seconds: float, *stops: Callable[[], Awaitable[None]]) -> None:
    """Run what ends clients, side by side, for at most so long; nothing is raised, what failed is logged.

    Not `wait_for`: aiokafka's stops catch CancelledError in places, and a cancellation eaten there leaves a producer that
    goes on fencing. Cancelling the caller leaves the stops running.
    """
    running = [asyncio.ensure_future(_quietly(stop)) for stop in stops]
    if running:
        await asyncio.wait(running, timeout=seconds)
        for each in running:
            each.cancel()  # nothing happens to those that are done


async def _quietly(stop: Callable[[], Awaitable[None]]) -> None:
    try:
        await stop()
    except Exception as error:  # noqa: BLE001 - the thing is given up; all that is left to do is to say so
        _log.info("a Kafka client did not end cleanly: %r", error)
