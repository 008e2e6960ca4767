"""`penstock torture`: real faults on a real Kafka, and books that are not ours. Does the guarantee hold on this machine?

    producer ──▶ Kafka ◀──▶ workers ◀──▶ simulated model
        │        ▲   │       ▲ kill, stop, term, …  │
        │  power ┘   └▶ committed reader            └─▶ calls ─▶ bill
        └──▶ acknowledged ──▶ ledger ◀─┘

Everything that runs is a process of its own and ends with the command, also on Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock.connectors.clock import MachineClock
from penstock.operators.error import Rejected, Unreachable
from penstock.pipelines.command_run import silence_clients
from penstock.pipelines.show import screen
from penstock.pipelines.torture_faults import Arena
from penstock.pipelines.torture_kafka import LocalKafka, find_jars
from penstock.pipelines.torture_load import MODEL_OPTIONS, all_topics, pipeline_text, topics_of
from penstock.pipelines.torture_plan import Cycle, chosen, plan
from penstock.pipelines.torture_processes import PENSTOCK, Workers, simulated_model
from penstock.pipelines.torture_report import figures, report
from penstock.pipelines.torture_trial import CALLS, Trial, create_source, delete_topics

APPLY_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class TortureOptions:
    """`kafka`: the address of an existing one, of which only the workers are struck; None: `brokers` local ones."""

    cycles: int
    brokers: int
    kafka: str | None
    workers: int
    events_per_cycle: int
    faults: str | None
    seed: int
    json: bool


def torture(options: TortureOptions) -> None:
    """Ends with 1 unless the guarantee held. Raises Rejected for wrong options, Unreachable where no Kafka can be had."""
    if options.brokers not in (1, 3):
        raise Rejected(f"{options.brokers} brokers are no sensible cluster", where="--brokers", remedy="write 1 or 3")
    cycles = plan(options.seed, options.cycles, chosen(options.faults, 0 if options.kafka else options.brokers))
    silence_clients()
    folder = Path(tempfile.mkdtemp(prefix="penstock-torture-"))
    found: dict[str, Any] = {"ok": True}
    try:
        with _signals_interrupt(), _staged(options, folder) as stage:
            found = stage.play(cycles)
    finally:
        if found["ok"]:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        typer.echo(orjson.dumps(found).decode())
    else:
        report(screen(), found)
    if not found["ok"]:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Stage:
    """Everything is up: the cluster, the model, the topics. Workers are not started yet."""

    options: TortureOptions
    trial: Trial
    kafka: LocalKafka | None

    def play(self, cycles: Sequence[Cycle]) -> dict[str, Any]:
        """The figures; `evidence` is a folder that is kept where something was found."""
        clock = MachineClock()
        began = clock.monotonic()
        with self._progress() as progress:
            bar = progress.add_task("", total=len(cycles))
            self.trial.show = lambda over: progress.update(bar, completed=over, description=self._state())
            try:
                asyncio.run(self.trial.run(cycles))
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from group
            self.trial.show(len(cycles))
        found = figures(
            self.trial,
            len(cycles),
            kafka="" if self.kafka is None else self.kafka.version,
            brokers=0 if self.kafka is None else len(self.kafka.nodes),
            seconds=clock.monotonic() - began,
        )
        return {**found, "evidence": None if found["ok"] else str(self.trial.folder)}

    def _progress(self) -> Progress:
        console = screen(stderr=True, quiet=self.options.json)
        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        return Progress(*columns, console=console, disable=self.options.json)

    def _state(self) -> str:
        ledger, wrong = self.trial.ledger, len(self.trial.found)
        return f"{ledger.events:,} events, {len(ledger.outcomes):,} runs, {wrong or 'nothing'} wrong"


@contextmanager
def _staged(options: TortureOptions, folder: Path) -> Iterator[Stage]:
    """Whatever was started is ended with the block."""
    with ExitStack() as stack:
        kafka = None if options.kafka else stack.enter_context(_local_kafka(options.brokers))
        bootstrap = options.kafka or (kafka.bootstrap if kafka else "")
        model = stack.enter_context(simulated_model(*MODEL_OPTIONS, "--log", str(folder / CALLS)))
        namespace = f"torture-{os.getpid()}-{MachineClock().now():x}"
        topics, file = topics_of(namespace), folder / "pipeline.yaml"
        file.write_text(pipeline_text(namespace, bootstrap, model), encoding="utf-8")
        asyncio.run(create_source(bootstrap, topics.source))
        if kafka is None:
            stack.callback(lambda: asyncio.run(delete_topics(bootstrap, all_topics(namespace))))
        _apply(file)
        workers = Workers((str(file),), folder)
        stack.callback(workers.end)
        arena = Arena(workers, kafka, options.workers)
        yield Stage(options, Trial(bootstrap, topics, arena, folder, options.seed, options.events_per_cycle), kafka)


@contextmanager
def _local_kafka(nodes: int) -> Iterator[LocalKafka]:
    jars = find_jars()
    with (
        tempfile.TemporaryDirectory(prefix="penstock-kafka-", ignore_cleanup_errors=True) as folder,
        LocalKafka(jars, Path(folder), nodes) as kafka,
    ):
        yield kafka


def _apply(file: Path) -> None:
    """The topics that Penstock writes, made as a user makes them."""
    command = [*PENSTOCK, "topics", "apply", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=APPLY_SECONDS_MAX, check=False)
    if done.returncode:
        raise Unreachable(f"topics were not made: {done.stderr.strip()}", where="penstock torture")


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and a terminal that is closed end it as Ctrl-C does: with everything that it started."""
    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(kind, signal.default_int_handler) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
