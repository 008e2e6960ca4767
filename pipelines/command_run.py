"""`penstock run`: one worker process, from the file to a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from random import Random
from typing import Any

import orjson
import typer
import uvloop

from penstock.connectors.clock import MachineClock
from penstock.connectors.failpoint import VARIABLE, arm
from penstock.connectors.port import Broker, Layout, Registry, TaskId
from penstock.operators.error import Rejected
from penstock.pipelines.brokers import Wanted, make_missing_sources, member_name, open_broker
from penstock.pipelines.collector import spare_collector
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.endpoints import limits_of, opened_models, opened_registry
from penstock.pipelines.fail_on import judged
from penstock.pipelines.inputs import inputs_of, running
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import usable
from penstock.pipelines.observe import parse_listen, serve
from penstock.pipelines.rekeying import Stage, run_all, staged
from penstock.pipelines.spec import Spec
from penstock.pipelines.starting import find_models, patiently
from penstock.pipelines.worker import Summary, Worker, WorkerOptions

log = logging.getLogger("penstock")


@dataclass(frozen=True, slots=True)
class RunOptions:
    broker: str = "kafka"
    listen: str | None = None
    until_idle: float | None = None
    fail_on: tuple[str, ...] = ()
    batch: int = 2000
    claim: int = 0
    unsafe_read_before_fence: bool = False
    json: bool = False


def run(loaded: Loaded, options: RunOptions) -> None:
    """Ends the process with the worker's exit code."""
    if options.listen is not None:
        parse_listen(options.listen)  # before anything is opened
    spec, pipeline = usable(loaded)
    set_up_logging()
    if armed := os.environ.get(VARIABLE):
        arm(armed)
    spare_collector()
    summary = uvloop.run(work(spec, pipeline, options))
    if options.json:
        typer.echo(orjson.dumps(as_json(summary)).decode())
    if summary.problem:
        typer.echo(f"penstock: {summary.problem}", err=True)
    raise typer.Exit(summary.exit_code)


def set_up_logging() -> None:
    """One line per change of state, on stderr; the level is PENSTOCK_LOG (default INFO). Raises Rejected for another word."""
    level, levels = os.environ.get("PENSTOCK_LOG", "INFO").upper(), logging.getLevelNamesMapping()
    if level not in levels:
        raise Rejected(f"{level!r} is no level", where="PENSTOCK_LOG", remedy=f"write one of: {', '.join(levels)}")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    silence_clients()


def silence_clients() -> None:
    """What aiokafka has to say comes to us as exceptions, too, and is told in our words."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


async def work(spec: Spec, pipeline: Pipeline, options: RunOptions) -> Summary:
    """Until SIGTERM, SIGINT, idleness or refusal. Raises Unreachable if it cannot begin: no broker, no model."""
    member, clock, stages = member_name(), MachineClock(), staged(pipeline)
    wanted = Wanted(
        layout=stages.main.layout,
        kafka=spec.kafka,
        member=member,
        unsafe_open_any_task=options.claim > 0,
        unsafe_read_before_fence=options.unsafe_read_before_fence,
    )
    async with AsyncExitStack() as stack:
        broker = open_broker(options.broker, wanted)
        stack.push_async_callback(broker.close)
        inputs = inputs_of(spec.sources, pipeline.plan.sources, broker, clock, Random())
        await patiently(partial(_start, broker, stages.main.layout), clock, Random())
        models = await stack.enter_async_context(opened_models(pipeline.models))
        await patiently(partial(find_models, pipeline.plan, models), clock, Random())
        registry = await stack.enter_async_context(opened_registry(spec.kafka))
        settings = _settings(pipeline, options, member)
        main = stages.main
        worker = Worker(main.plan, main.layout, broker, models, clock, settings, registry=registry, inputs=inputs)
        first = [await _first(stage, wanted, options, settings, registry, stack) for stage in stages.first]
        stop_on_signals(worker)
        if options.listen is not None:
            address = await stack.enter_async_context(serve(worker, options.listen))
            log.info("health and metrics at %s", address)
        log.info("%s %s works on %s", pipeline.layout.prefix, pipeline.plan.digest[:19], options.broker)
        async with running(inputs, worker.fail):
            summary = judged(await run_all(worker, first), options.fail_on)
        log.info("ended after %.0f s, exit code %d", summary.seconds, summary.exit_code)
        return summary


def _settings(pipeline: Pipeline, options: RunOptions, member: str) -> WorkerOptions:
    return WorkerOptions(
        owner=member,
        build=version("penstock"),
        until_idle=options.until_idle,
        batch=options.batch,
        limits=limits_of(pipeline.models),
        claimed=tuple(TaskId("main", partition) for partition in range(options.claim)),
    )


async def _first(
    stage: Stage,
    wanted: Wanted,
    options: RunOptions,
    settings: WorkerOptions,
    registry: Registry | None,
    stack: AsyncExitStack,
) -> Worker:
    """The worker of a first stage, on a broker of its own: another group, other tasks, the same process."""
    clock = MachineClock()
    broker = open_broker(options.broker, wanted._replace(layout=stage.layout))
    stack.push_async_callback(broker.close)
    await patiently(broker.start, clock, Random())
    return Worker(stage.plan, stage.layout, broker, {}, clock, replace(settings, until_idle=None), registry=registry)


async def _start(broker: Broker, layout: Layout) -> None:
    if made := await make_missing_sources(broker, layout.read):
        log.info("created topics %s", ", ".join(made))
    await broker.start()


def stop_on_signals(worker: Worker) -> None:
    """SIGTERM and the first Ctrl-C end it cleanly; the second Ctrl-C ends it at once with 130."""
    loop = asyncio.get_running_loop()

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        log.info("stopping; Ctrl-C again to leave at once")
        worker.stop()

    def terminated() -> None:
        log.info("stopping: SIGTERM")
        worker.stop()

    loop.add_signal_handler(signal.SIGTERM, terminated)
    loop.add_signal_handler(signal.SIGINT, interrupted)


def as_json(summary: Summary) -> dict[str, Any]:
    counts = {" ".join(name): count for name, count in sorted(summary.counts.items())}
    return {"exit_code": summary.exit_code, "problem": summary.problem, "seconds": summary.seconds, "counts": counts}
