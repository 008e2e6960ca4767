"""The model clients of a pipeline, one per entry of `models:`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from penstock.connectors.port import Model
from penstock.connectors.vllm import VllmModel
from penstock.operators.model import ModelSettings


def model_of(name: str, settings: ModelSettings) -> VllmModel:
    """Nothing is opened yet. Raises Rejected for an address that is none."""
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    return VllmModel(name, settings.base_url, model=settings.model, api_key=key, concurrency=settings.concurrency)


@asynccontextmanager
async def opened_models(models: Mapping[str, ModelSettings]) -> AsyncIterator[dict[str, Model]]:
    """Every client of the file, closed at the end."""
    clients: dict[str, Model] = {name: model_of(name, settings) for name, settings in models.items()}
    try:
        yield clients
    finally:
        for client in clients.values():
            await client.close()
