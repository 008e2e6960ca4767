"""`penstock topics plan | apply`: what a pipeline needs of its cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
import typer
from rich.table import Table

from penstock.connectors.kafka_client import KafkaClients
from penstock.connectors.kafka_topics import TopicPlan, apply_topics, plan_topics
from penstock.connectors.port import Layout
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.rekeying import staged
from penstock.pipelines.show import screen


def topics(loaded: Loaded, *, apply: bool, json: bool) -> None:
    """Ends with 1 where a topic is set up in a way that is refused."""
    spec, pipeline = usable(loaded)
    plans = asyncio.run(_plans(staged(pipeline).layouts, KafkaClients(spec.kafka, "penstock-topics"), apply=apply))
    if json:
        typer.echo(orjson.dumps([_as_json(plan) for plan in plans]).decode())
    else:
        _print(plans)
    if any(plan.action == "refuse" for plan in plans):
        raise typer.Exit(1)


async def _plans(layouts: Iterable[Layout], clients: KafkaClients, *, apply: bool) -> list[TopicPlan]:
    """Of all stages, each topic once: what the first of them says that names it."""
    plans: dict[str, TopicPlan] = {}
    for layout in layouts:
        for plan in await (apply_topics if apply else plan_topics)(layout, clients):
            plans.setdefault(plan.topic, plan)
    return list(plans.values())


def _as_json(plan: TopicPlan) -> dict[str, Any]:
    return {
        "topic": plan.topic,
        "role": plan.role,
        "exists": plan.exists,
        "partitions": plan.partitions,
        "settings": dict(plan.settings),
        "differences": list(plan.differences),
        "action": plan.action,
    }


def _print(plans: list[TopicPlan]) -> None:
    table = Table("topic", "what", "partitions", "there", "action", "because", box=None, pad_edge=False)
    for plan in plans:
        there = "yes" if plan.exists else "no"
        table.add_row(plan.topic, plan.role, str(plan.partitions), there, plan.action, "; ".join(plan.differences))
    screen().print(table)
