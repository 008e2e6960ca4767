"""Topics of Avro and protobuf with a schema registry, from the file to the results, with real processes.

The registry is a test server that speaks the protocol (tests/schema_registry.py); producer and reader are librdkafka.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from tests.binary_records import PRESS, avro, framed, text, vibration
from tests.command_line import written
from tests.e2e.processes import penstock
from tests.e2e.ssh_stream import Written
from tests.e2e.transport import KafkaTransport, SqliteTransport, Transport
from tests.e2e.trial import unique_name
from tests.schema_registry import RegistryServer, registry_server

FILE = """
penstock: v1
name: press
sources:
  press: {topic: any, format: avro, key: event.machine, time: event.at, watermark: {ahead: 36500d}}
triggers:
  loud: {each: event.rms > 1, agent: none, cooldown: 0s, annotations: {summary: "{{ key }} is loud"}}
outputs: {results: any-results, dead: any-dead}
models:
  small: {base_url: "http://127.0.0.1:9/v1", model: tiny}
"""
AVRO = {
    "type": "record", "name": "Vibration",
    "fields": [
        {"name": "machine", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "rms", "type": "float"},
    ],
}  # fmt: skip
COUNT = 60
AWAY = web.Response(status=503)


def records(form: str) -> list[bytes]:
    """Every third is loud."""
    values = [(f"m{number % 4}", 1_795_000_000 + number, 2.5 if number % 3 == 0 else 0.1) for number in range(COUNT)]
    if form == "avro":
        return [framed(7, avro(AVRO, {"machine": name, "at": at * 1000, "rms": rms})) for name, at, rms in values]
    messages = [vibration(machine=name, at={"seconds": at}, rms=rms) for name, at, rms in values]
    return [framed(8, b"\x00" + message.SerializeToString()) for message in messages]


def settings(transport: Transport, server: RegistryServer, form: str, name: str) -> list[str]:
    sets = [
        f"kafka.registry.url={server.address}", f"namespace={name}", f"sources.press.topic={name}",
        f"sources.press.format={form}", f"outputs.results={name}.results", f"outputs.dead={name}.dead", *transport.sets,
    ]  # fmt: skip
    return [argument for each in sets for argument in ("--set", each)]


async def back_after(server: RegistryServer, requests: int) -> None:
    """The registry does not answer before it was asked so often."""
    server.answer = AWAY
    while len(server.asked) < requests:  # noqa: ASYNC110 - whoever asks is another process
        await asyncio.sleep(0.05)
    server.answer = None


async def worked_off(transport: Transport, form: str, folder: Path) -> tuple[list[str], list[bytes]]:
    """Keys of the results, and the reasons of the dead letters, after one process has read everything."""
    name, file = unique_name("press"), str(written(folder, FILE))
    async with registry_server() as server:
        server.put(7, text(AVRO).decode())
        server.put(8, 'syntax = "proto3";', kind="PROTOBUF", serialized=PRESS.SerializeToString())
        await asyncio.to_thread(transport.create, name)
        sent = [Written(b"k", value, 1_795_000_100_000) for value in [*records(form), framed(99, b"x"), b"\x05"]]
        await asyncio.to_thread(transport.produce, name, sent)
        options = ("--broker", transport.broker, "--until-idle", "1")
        running = asyncio.to_thread(penstock, "run", file, *options, *settings(transport, server, form, name))
        done, _ = await asyncio.gather(running, back_after(server, requests=3))
    assert done.returncode == 0, done.stderr
    assert "answers again" in done.stderr
    results = await asyncio.to_thread(transport.read, f"{name}.results")
    dead = await asyncio.to_thread(transport.read, f"{name}.dead")
    reasons = [dict(letter.headers)["penstock-dead-reason"] for letter in dead]
    return [json.loads(result.value or b"")["key"] for result in results], reasons


@pytest.mark.parametrize("form", ["avro", "protobuf"])
async def test_a_binary_topic_of_kafka_is_read_with_a_registry_that_was_away_at_first(
    form: str, kafka_transport: KafkaTransport, tmp_path: Path
) -> None:
    keys, reasons = await worked_off(kafka_transport, form, tmp_path)
    assert sorted(keys) == sorted(f"m{number % 4}" for number in range(0, COUNT, 3))
    assert sorted(reasons) == [b"undecodable", b"unknown_schema"]


async def test_the_embedded_broker_does_the_same(sqlite: SqliteTransport, tmp_path: Path) -> None:
    keys, reasons = await worked_off(sqlite, "avro", tmp_path)
    assert len(keys) == COUNT // 3
    assert sorted(reasons) == [b"undecodable", b"unknown_schema"]
