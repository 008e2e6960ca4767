from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_membership import Membership
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.operators.error import Unreachable


class Failing:
    """A member whose polls fail."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def getmany(self, *, timeout_ms: int) -> None:
        raise self._error


async def first_change(error: Exception) -> object:
    """What whoever follows the changes is told when a poll fails like that."""
    clients = KafkaClients(KafkaSettings(bootstrap="127.0.0.1:1"), "test")
    membership = Membership(clients, "group", "topic", 10_000, MachineClock())
    serving = asyncio.create_task(membership._serve(Failing(error)))  # type: ignore[arg-type]  # it is polled, nothing else
    try:
        async with asyncio.timeout(5):
            return await anext(membership.changes())
    finally:
        await asyncio.wait([serving])


async def test_a_member_that_is_not_allowed_is_told_so() -> None:
    with pytest.raises(Unreachable, match="not allowed: reading group watch"):
        await first_change(GroupAuthorizationFailedError("watch"))


async def test_a_bug_in_a_member_reaches_whoever_follows_it() -> None:
    """Else the process would go on as if it were one, and fight for tasks that others were given."""
    with pytest.raises(ZeroDivisionError):
        await first_change(ZeroDivisionError("in the client"))
