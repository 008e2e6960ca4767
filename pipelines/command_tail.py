"""`penstock tail`: what a pipeline has said and says, as it is committed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from typing import Any

import orjson
import typer

from penstock.connectors.port import Broker
from penstock.operators.error import Misused
from penstock.operators.record import Raw
from penstock.pipelines.brokers import Wanted, member_name, open_broker
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.show import ResultPrinter, dead_line, screen


def tail(loaded: Loaded, *, topic: str, json: bool, broker: str, until_idle: float | None) -> None:
    """Until Ctrl-C, or `until_idle` seconds without a record. Creates nothing; raises Unreachable for what is not there."""
    spec, pipeline = usable(loaded)
    topics = spec.output_topics
    names = {"results": topics.results, "partials": topics.partials, "dead": topics.dead}
    names |= {"latest": topics.latest} if topics.latest is not None else {}
    names |= {topic: topic for topic in topics.routes}
    if topic not in names:
        known = ", ".join(names)
        raise Misused(f"there is no topic {topic!r} to follow", where="--topic", remedy=f"write one of: {known}")
    opened = open_broker(broker, Wanted(pipeline.layout, spec.kafka, member_name()))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_follow(opened, names[topic], _shower(pipeline, topic, json=json), until_idle))


async def _follow(broker: Broker, topic: str, show: Callable[[Raw], None], until_idle: float | None) -> None:
    try:
        await broker.connect(topic)
        records = aiter(broker.follow(topic))
        while True:
            show(await asyncio.wait_for(anext(records), until_idle))
    except (TimeoutError, StopAsyncIteration):
        return
    finally:
        await broker.close()


def _shower(pipeline: Pipeline, topic: str, *, json: bool) -> Callable[[Raw], None]:
    """What prints one record."""
    if json:
        return lambda raw: typer.echo(orjson.dumps(_as_json(raw)).decode())
    console = screen()
    if topic == "dead":
        return lambda raw: console.print(dead_line(raw), soft_wrap=True)
    return ResultPrinter(console, (trigger.name for trigger in pipeline.plan.triggers)).print


def _as_json(raw: Raw) -> dict[str, Any]:
    """The whole record; a value that is no JSON stands as base64 under `value_base64`."""
    about = {
        "topic": raw.topic,
        "partition": raw.partition,
        "offset": raw.offset,
        "key": None if raw.key is None else raw.key.decode("utf-8", "replace"),
        "headers": {name: value.decode("utf-8", "replace") for name, value in raw.headers},
    }
    try:
        return {**about, "value": None if raw.value is None else orjson.loads(raw.value)}
    except orjson.JSONDecodeError:
        return {**about, "value_base64": base64.b64encode(raw.value or b"").decode()}
