"""A backtest in one process or several, and what came of it all.

    this process ── Job ──▶ share 0 of N ── bytes read, bytes read, … Part ──▶ joined, in the order of the firings
                  └─ Job ──▶ share 1 of N ──────────────────────────────────────┘

Every process reads the whole recording and keeps the keys of its share (`backtest_feed.py`): nothing is passed between them,
and the outcome is the same for any number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec

from penstock.operators import error as errors
from penstock.operators.error import PenstockError, Rejected
from penstock.operators.plan import Plan
from penstock.pipelines.backtest_answering import Live, Source
from penstock.pipelines.backtest_feed import WHOLE, Share
from penstock.pipelines.backtest_input import inputs_of
from penstock.pipelines.backtest_play import Part, Told, play
from penstock.pipelines.backtest_recorded import load_answers
from penstock.pipelines.backtest_row import SKIPPED, Row
from penstock.pipelines.backtest_rows import Files, rows_of
from penstock.pipelines.backtest_script import load_script
from penstock.pipelines.collector import spare_collector
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.loading import load

TOLD_BYTES = 4 << 20
"""Progress is told after so much."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a process needs to do its share: all of it can be sent there. `script`: scripted answers; a path of None: the rules
    of the simulated model. `recorded`: answers of a former time. `keeps_prompts`: those that nobody answers are asked for."""

    file: Path
    overlays: Sequence[Path]
    sets: Sequence[str]
    env_file: Path | None
    inputs: Sequence[str]
    scripted: bool = False
    script: Path | None = None
    hold: bool = False
    tables: Files = field(default_factory=dict)
    recorded: Path | None = None
    keeps_prompts: bool = False


@dataclass
class History:
    """All that happened. `rows` by time, then by trigger as the file has them, then by key."""

    rows: list[Row]
    counters: Counter[tuple[str, str]]
    keys: int
    minutes: Counter[int]
    first: int | None
    last: int | None
    wall_seconds: float = field(default=0.0)
    prompts: dict[str, bytes] = field(default_factory=dict)

    @property
    def firings(self) -> list[Row]:
        """Without what was held back by a record that says so: that did not fire."""
        return [row for row in self.rows if row.state != SKIPPED]


def backtest(job: Job, plan: Plan, workers: int, told: Told = lambda read: None, live: Live | None = None) -> History:
    """`plan` is that of the job's file. `told` hears how many bytes of the recordings were read, in all processes together.
    `live` models are asked by one process only."""
    if workers == 1:
        return joined(plan, [_share(job, plan, WHOLE, told, live)])
    with _processes(job, workers, plan.digest) as connections:
        return joined(plan, list(_parts(connections, told)))


def joined(plan: Plan, parts: Sequence[Part]) -> History:
    order = {planned.name: place for place, planned in enumerate(plan.triggers)}
    rows = [row for part in parts for row in part.rows]
    rows.sort(key=lambda row: (row.at, order[row.trigger], row.key, row.by or "", *row.cause_order))
    counters = sum((Counter(part.counters) for part in parts), Counter[tuple[str, str]]())
    whole = parts[0]
    keys = sum(part.keys for part in parts)
    prompts = {run: blocks for part in parts for run, blocks in part.prompts.items()}
    return History(rows, counters, keys, Counter(whole.minutes), whole.first, whole.last, prompts=prompts)


def _share(job: Job, plan: Plan, share: Share, told: Told, live: Live | None = None) -> Part:
    inputs = inputs_of(plan, job.inputs)
    script = load_script(job.script) if job.scripted else None
    recorded = None if job.recorded is None else load_answers(job.recorded)
    rows, answers = rows_of(plan, job.tables, share), Source(script, recorded, live)
    return play(
        plan, inputs, share, answers, rows=rows, hold=job.hold, keeps_prompts=job.keeps_prompts, told=_in_steps(told)
    )


def _in_steps(told: Told) -> Told:
    """Small news are gathered."""
    gathered = 0

    def tell(read: int) -> None:
        nonlocal gathered
        gathered += read
        if gathered >= TOLD_BYTES:
            told(gathered)
            gathered = 0

    return tell


@contextmanager
def _processes(job: Job, workers: int, digest: str) -> Iterator[list[Connection]]:
    """They end with the block, whatever happens."""
    context = get_context("spawn")
    started: list[SpawnProcess] = []
    connections: list[Connection] = []
    try:
        for index in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(job, Share(index, workers), digest, theirs), daemon=True)
            process.start()
            theirs.close()
            started.append(process)
            connections.append(ours)
        yield connections
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join()


def _parts(connections: Sequence[Connection], told: Told) -> Iterable[Part]:
    """Of the first share first. Raises what a process raised."""
    found: dict[int, Part] = {}
    while len(found) < len(connections):
        for ready in wait([connection for place, connection in enumerate(connections) if place not in found]):
            assert isinstance(ready, Connection)
            place = connections.index(ready)
            match _heard(ready):
                case int(read):
                    told(read)
                case bytes(data):
                    found[place] = msgspec.msgpack.decode(data, type=Part, strict=False)
                case (str(kind), what, where, remedy):
                    raise getattr(errors, kind)(what, where=where, remedy=remedy)
    return [found[place] for place in range(len(connections))]


def _heard(connection: Connection) -> object:
    try:
        return connection.recv()
    except EOFError:
        remedy = "was it killed, for want of memory perhaps? try fewer with -w"
        raise Rejected("a process of the backtest ended before its work", where="-w", remedy=remedy) from None


def _work(job: Job, share: Share, digest: str, connection: Connection) -> None:
    """In a process of its own."""
    try:
        plan = compile_pipeline(load(job.file, job.overlays, job.sets, job.env_file)).plan
        if plan.digest != digest:
            raise Rejected("changed while it was read", where=str(job.file), remedy="begin again")
        spare_collector()
        connection.send(msgspec.msgpack.encode(_share(job, plan, share, connection.send)))
    except PenstockError as error:
        connection.send((type(error).__name__, error.what, error.where, error.remedy))
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # whoever wanted to know is gone, or was told the same and says so
