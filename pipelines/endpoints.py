"""The clients of a pipeline: one per entry of `models:`, and one for its schema registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.port import Model, Registry
from penstock.connectors.registry import HttpRegistry
from penstock.connectors.registry_settings import registry_settings
from penstock.connectors.tls import tls_context
from penstock.connectors.vllm import VllmModel
from penstock.operators.error import Unreachable
from penstock.operators.model import ModelSettings
from penstock.operators.tls import TlsSettings
from penstock.pipelines.endpoint import EndpointLimits


def model_of(name: str, settings: ModelSettings) -> VllmModel:
    """Nothing is opened yet. Raises Rejected for an address that is none, Unreachable for certificates that are none."""
    return VllmModel(
        name,
        settings.base_url,
        model=settings.model,
        api_key=settings.api_key.get_secret_value() if settings.api_key is not None else None,
        concurrency=settings.concurrency,
        continues=settings.continues,
        tls=None if settings.tls == TlsSettings() else tls_context(settings.tls, f"models.{name}.tls"),
    )


def limits_of(models: Mapping[str, ModelSettings]) -> dict[str, EndpointLimits]:
    """How many calls each of the file's endpoints may have under way."""
    return {name: EndpointLimits(settings.concurrency) for name, settings in models.items()}


async def probed(models: Mapping[str, Model]) -> dict[str, str | Unreachable]:
    """What each endpoint says of itself, or why it is of no use now. All are asked at once."""
    answers = await asyncio.gather(*map(_probed, models.values()))
    return dict(zip(models, answers, strict=True))


async def _probed(model: Model) -> str | Unreachable:
    try:
        return await model.probe()
    except Unreachable as error:
        return error


@asynccontextmanager
async def opened_models(models: Mapping[str, ModelSettings]) -> AsyncIterator[dict[str, Model]]:
    """Every client of the file, closed at the end."""
    clients: dict[str, Model] = {name: model_of(name, settings) for name, settings in models.items()}
    try:
        yield clients
    finally:
        for client in clients.values():
            await client.close()


@asynccontextmanager
async def opened_registry(kafka: KafkaSettings) -> AsyncIterator[Registry | None]:
    """The client of the file's schema registry, closed at the end; None where the file names none."""
    if kafka.registry is None:
        yield None
        return
    registry = HttpRegistry(registry_settings(kafka.registry))
    try:
        yield registry
    finally:
        await registry.close()
