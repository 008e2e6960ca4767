"""The table of brokers: the word before the colon in `--broker`, and what opens it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from penstock.connectors.clock import MachineClock
from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Broker, Layout
from penstock.operators.error import Misused

OPTION = "--broker (or PENSTOCK_BROKER)"
"""How messages call it: the variable has the same meaning."""


class Wanted(NamedTuple):
    """What a broker is opened for. The two `unsafe` ones are for tests of fencing, see `KafkaBroker`."""

    layout: Layout
    kafka: KafkaSettings
    member: str
    unsafe_open_any_task: bool = False
    unsafe_read_before_fence: bool = False


def member_name() -> str:
    """How this process is called in the group, the log and in messages."""
    return f"{socket.gethostname()}/{os.getpid()}"


def open_broker(url: str, wanted: Wanted) -> Broker:
    """The broker that `--broker` names, not started yet. Raises Misused for a word that is not in the table."""
    kind, address = known_broker(url)
    return BROKERS[kind](address, wanted)


def known_broker(url: str) -> tuple[str, str]:
    """The word before the colon and what follows it. Raises Misused for a word that is not in the table."""
    kind, _, address = url.partition(":")
    if kind not in BROKERS:
        raise Misused(f"there is no broker {kind!r}", where=OPTION, remedy=f"write one of: {', '.join(BROKERS)}")
    return kind, address


async def make_missing_sources(broker: Broker, sources: Iterable[str]) -> list[str]:
    """In an embedded broker nobody else makes topics: a source that is not there gets one partition. Kafka's are yours.

    Returns those that were made. Raises Unreachable.
    """
    from penstock.connectors.embedded_broker import EmbeddedBroker

    if not isinstance(broker, EmbeddedBroker):
        return []
    missing = [topic for topic in sources if await broker.partitions(topic) is None]
    for topic in missing:
        await broker.create_topic(topic, 1)
    return missing


def _kafka(address: str, wanted: Wanted) -> Broker:
    from penstock.connectors.kafka import KafkaBroker

    if address:
        raise Misused("kafka takes no address here", where=OPTION, remedy="write it into the file: kafka.bootstrap")
    return KafkaBroker(
        wanted.layout,
        wanted.kafka,
        wanted.member,
        unsafe_open_any_task=wanted.unsafe_open_any_task,
        unsafe_read_before_fence=wanted.unsafe_read_before_fence,
    )


def _sqlite(address: str, wanted: Wanted) -> Broker:
    from penstock.connectors.membership import Terms
    from penstock.connectors.sqlite import SqliteBroker

    if not address:
        raise Misused("sqlite needs a file", where=OPTION, remedy="write sqlite:PATH")
    terms = Terms(session=wanted.kafka.session_timeout)
    return SqliteBroker(Path(address), wanted.layout, wanted.member, MachineClock(), terms=terms)


BROKERS: Mapping[str, Callable[[str, Wanted], Broker]] = {"kafka": _kafka, "sqlite": _sqlite}
