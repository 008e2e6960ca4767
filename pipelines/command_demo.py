"""`penstock demo`: a pipeline on the embedded broker, fed with a generated or a recorded stream, answered by a simulated model.

    generator or recording ─▶ SQLite topics ─▶ worker ◀─▶ simulated model server (in this process, over real HTTP)
                                                 └─▶ results ─▶ your terminal

The same worker, broker port and model client as in production; only the names of the world differ.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

import orjson
import typer
import uvloop
from rich.console import Console

from penstock.connectors.clock import MachineClock
from penstock.connectors.port import Broker
from penstock.connectors.sqlite import SqliteBroker
from penstock.operators.error import Misused
from penstock.operators.record import Record
from penstock.operators.result import read_result
from penstock.operators.source import Source
from penstock.pipelines.brokers import make_missing_sources, member_name
from penstock.pipelines.command_feed import generated, recorded, write_all
from penstock.pipelines.command_run import stop_on_signals
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.endpoints import limits_of, opened_models
from penstock.pipelines.fake_model import FakeModelServer
from penstock.pipelines.fake_work import FakeModelOptions
from penstock.pipelines.load import Loaded
from penstock.pipelines.loading import load, usable
from penstock.pipelines.samples import source_of
from penstock.pipelines.show import ResultPrinter, screen
from penstock.pipelines.worker import Summary, Worker, WorkerOptions

EXAMPLE = "ssh_watch.yaml"
QUIET_SECONDS = 0.5
"""The demo is over when nothing was left to do for so long."""
SIMULATED = FakeModelOptions(tokens_per_second=150, ttft=0.05)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    file: Path | None
    overlays: list[Path]
    sets: list[str]
    env_file: Path | None
    json: bool
    input: Path | None
    source: str | None
    seed: int
    hours: float
    live: bool
    db: Path | None


def demo(options: DemoOptions) -> None:
    """Ends by itself, with a summary and the worker's exit code."""
    if options.file is not None and options.input is None:
        raise Misused(
            "the generator writes lines of sshd, for the built-in pipeline only",
            where="penstock demo",
            remedy="name a recording for your pipeline with --input",
        )
    uvloop.run(_demo(options))


async def _demo(options: DemoOptions) -> None:
    async with AsyncExitStack() as stack:
        server = None if options.live else await stack.enter_async_context(FakeModelServer(SIMULATED))
        loaded = _load(options, None if server is None else server.base_url)
        _, pipeline = usable(loaded)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-")))
        broker = SqliteBroker(options.db or folder / "demo.db", pipeline.layout, member_name(), MachineClock())
        stack.push_async_callback(broker.close)
        stage = Stage(options, pipeline, broker, screen(stderr=options.json, quiet=options.json))
        stage.introduce(simulated=server is not None)
        await stage.play(stack)
    stage.finish()


def _load(options: DemoOptions, simulated_url: str | None) -> Loaded:
    """The pipeline, its models pointed to the simulated server unless it is to be `--live`."""
    file = options.file or Path(str(files("penstock.pipelines").joinpath("examples", EXAMPLE)))
    loaded = load(file, options.overlays, options.sets, options.env_file)
    if simulated_url is None or loaded.spec is None:
        return loaded
    sets = [f"models.{name}.base_url={simulated_url}" for name in loaded.spec.models]
    return load(file, options.overlays, [*options.sets, *sets], options.env_file)


def _records(source: Source, options: DemoOptions) -> Iterator[Record]:
    return recorded(source, options.input) if options.input else generated(source, options.seed, options.hours)


class Stage:
    """One demo: the stream, the worker, and what is shown of them."""

    def __init__(self, options: DemoOptions, pipeline: Pipeline, broker: SqliteBroker, console: Console) -> None:
        self._options, self._pipeline, self._broker, self._console = options, pipeline, broker, console
        self._source = source_of(pipeline.plan, options.source)
        self._records = _records(self._source, options)
        self._produced = 0
        self._began = perf_counter()
        self._summary: Summary | None = None
        self._figures: dict[str, Any] = {}

    def introduce(self, *, simulated: bool) -> None:
        model = "a simulated model (no GPU is used, every answer is labelled)" if simulated else "the file's models"
        what = str(
            self._options.input or f"{self._options.hours:g} generated hours of sshd logs, seed {self._options.seed}"
        )
        self._console.print(f"[bold]{self._pipeline.plan.name}[/]: {what}, answered by {model}\n")

    async def play(self, stack: AsyncExitStack) -> None:
        await make_missing_sources(self._broker, self._pipeline.layout.read)
        await self._broker.start()
        self._produced = await write_all(self._broker, self._source, self._records)
        models = await stack.enter_async_context(opened_models(self._pipeline.models))
        limits = limits_of(self._pipeline.models)
        options = WorkerOptions(
            owner=member_name(), build=version("penstock"), until_idle=QUIET_SECONDS, limits=limits, bounded=True
        )
        worker = Worker(self._pipeline.plan, self._pipeline.layout, self._broker, models, MachineClock(), options)
        stop_on_signals(worker)
        shown = asyncio.create_task(self._show_results())
        self._summary = await worker.run()
        await asyncio.sleep(0)
        shown.cancel()
        self._figures = await self._read_figures()

    async def _show_results(self) -> None:
        printer = ResultPrinter(self._console, (trigger.name for trigger in self._pipeline.plan.triggers))
        async for raw in self._broker.follow(self._pipeline.plan.results.results):
            printer.print(raw)

    async def _read_figures(self) -> dict[str, Any]:
        """The summary, from what a consumer of the topics would find."""
        results = await _records_of(self._broker, self._pipeline.plan.results.results)
        partials = await _records_of(self._broker, self._pipeline.plan.results.partials)
        dead = [raw async for raw in self._broker.read(self._pipeline.plan.dead_topic, 0, 0)]
        outcomes = [record for record in results if record["state"] in ("final", "failed")]
        costs = [record["usage"]["cost"] for record in outcomes]
        usage = {
            name: sum(record["usage"][name] for record in outcomes)
            for name in ("input_tokens", "cached_input_tokens", "output_tokens")
        }
        counts = self._summary.counts if self._summary is not None else {}
        return {
            "events": self._produced,
            "firings": sum(count for name, count in counts.items() if name[0] == "fired"),
            "runs": len({record["run"] for record in outcomes}),
            "finals": sum(record["state"] == "final" for record in outcomes),
            "failed": sum(record["state"] == "failed" for record in outcomes),
            "partials": sum(record["state"] == "partial" for record in partials),
            "dead": len(dead),
            **usage,
            "cost": None if None in costs else round(sum(costs), 9),
            "seconds": round(perf_counter() - self._began, 3),
            "simulated": any(record["simulated"] for record in outcomes),
        }

    def finish(self) -> None:
        """Print the summary; end the process with the worker's exit code where it is not 0."""
        if self._options.json:
            typer.echo(orjson.dumps(self._figures).decode())
        else:
            self._print_summary()
        if self._summary is not None and self._summary.exit_code:
            typer.echo(f"penstock: {self._summary.problem}", err=True)
            raise typer.Exit(self._summary.exit_code)

    def _print_summary(self) -> None:
        self._console.print()
        for name, value in self._figures.items():
            self._console.print(f"{name.replace('_', ' '):<20} {_readable(value)}", markup=False)


def _readable(value: float | None) -> str:
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"


async def _records_of(broker: Broker, topic: str) -> list[dict[str, Any]]:
    return [read_result(raw) async for raw in broker.read(topic, 0, 0)]
