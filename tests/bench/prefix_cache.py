"""Share of prompt tokens that a prefix cache saves on the ssh example, as the server counts it and as it is predicted.

The example asks rarely, so that its prompts have little in common. Here every failed login asks: what an attack looks like to a
model server. One call at a time, because the prediction needs to know the order in which the server saw the prompts.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from tests.bench.figure import CannotRun, Figure
from tests.bench.server import simulated_model

from penstock.connectors.clock import MachineClock
from penstock.connectors.memory import MemoryBroker, MemoryCluster
from penstock.connectors.port import Model, Piece
from penstock.operators.event import ChatRequest
from penstock.operators.prefix import BLOCK, PrefixCache, prompt_ids
from penstock.pipelines.compile import Pipeline, compile_pipeline
from penstock.pipelines.endpoint import EndpointLimits
from penstock.pipelines.endpoints import opened_models
from penstock.pipelines.generator import SshdLog
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.worker import Worker, WorkerOptions

EXAMPLE = Path(__file__).resolve().parents[2] / "pipelines" / "examples" / "ssh_watch.yaml"
EVERY_FAILED_LOGIN = """
triggers:
  failed_login: {each: failed, agent: investigate}
models:
  small: {concurrency: 1}
"""
SEED = 1
HOURS, HOURS_QUICK = 3.0, 0.5
SHARE_MIN = 0.85


class Overheard:
    """A model whose prompts are remembered in the order in which they are asked."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.continues = model.continues
        self.requests: list[ChatRequest] = []

    def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        self.requests.append(request)
        return self._model.stream(request, timeout=timeout)

    async def probe(self) -> str:
        return await self._model.probe()

    async def close(self) -> None:
        await self._model.close()


def run(quick: bool) -> Figure:
    """Raises CannotRun where a call was not answered: its tokens would be missing."""
    hours = HOURS_QUICK if quick else HOURS
    with simulated_model() as base_url:
        records, requests = asyncio.run(_played(base_url, hours))
    usages = [record["usage"] for record in records if record["usage"]["calls"]]
    cached, total, calls = (
        sum(usage[name] for usage in usages) for name in ("cached_input_tokens", "input_tokens", "calls")
    )
    if calls != len(requests):
        raise CannotRun(f"{len(requests)} requests, but results account for {calls}")
    predicted_cached, predicted_total = _predicted(requests)
    ours, predicted = 100 * cached / total, 100 * predicted_cached / predicted_total
    return Figure(
        bench="prefix_cache",
        ours=ours,
        other=predicted,
        unit="% of prompt tokens cached",
        target=f">= {100 * SHARE_MIN:g} %, and as predicted",
        ok=cached >= SHARE_MIN * total and (cached, total) == (predicted_cached, predicted_total),
        detail={
            "stream": f"{hours:g} h of generated sshd lines, seed {SEED}; every failed login asks",
            "block": BLOCK,
            "calls": calls,
            "input_tokens": total,
            "cached_input_tokens": cached,
            "predicted_cached_input_tokens": predicted_cached,
        },
    )


def _predicted(requests: list[ChatRequest]) -> tuple[int, int]:
    """Cached and all prompt tokens, computed from the prompts alone."""
    cache = PrefixCache(block=BLOCK)
    for request in requests:
        cache.lookup_and_add(prompt_ids(request.messages), request.cache_salt or "")
    return cache.cached_tokens, cache.queried_tokens


async def _played(base_url: str, hours: float) -> tuple[list[dict[str, Any]], list[ChatRequest]]:
    """Every outcome on the results topic, and the requests that were sent."""
    clock, pipeline = MachineClock(), _pipeline(base_url)
    broker = MemoryBroker(MemoryCluster(clock), pipeline.layout, "bench")
    await _produce(broker, pipeline, hours)
    async with _overheard(pipeline) as model:
        options = WorkerOptions(
            owner="bench", until_idle=0.5, bounded=True, limits={"small": EndpointLimits(concurrency=1)}
        )
        summary = await Worker(pipeline.plan, pipeline.layout, broker, {"small": model}, clock, options).run()
    if summary.exit_code:
        raise CannotRun(summary.problem)
    records = [orjson.loads(raw.value or b"") async for raw in broker.read(pipeline.plan.results.results, 0, 0)]
    await broker.close()
    return [record for record in records if record["state"] in ("final", "failed")], model.requests


def _pipeline(base_url: str) -> Pipeline:
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / "every_failed_login.yaml"
        overlay.write_text(EVERY_FAILED_LOGIN)
        return compile_pipeline(
            load_pipeline([EXAMPLE, overlay], sets=[f"models.small.base_url={base_url}"], environ={})
        )


async def _produce(broker: MemoryBroker, pipeline: Pipeline, hours: float) -> None:
    (topic,) = pipeline.layout.inputs
    await broker.create_topic(topic, 1)
    await broker.start()
    for line in SshdLog(SEED, hours).lines():
        await broker.produce(topic, line.host.encode(), line.text.encode(), line.time)


@asynccontextmanager
async def _overheard(pipeline: Pipeline) -> AsyncIterator[Overheard]:
    async with opened_models(pipeline.models) as models:
        yield Overheard(models["small"])
