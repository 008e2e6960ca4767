"""Penstock as one operator of somebody's own dataflow in Bytewax (`penstock[bytewax]`).

    flow ─▶ items ─▶ records, by task ─▶ task 0 ─┬─▶ results
                                     └─▶ task 1 ─┼─▶ dead
                                                 └─▶ outputs: all that a worker would write, with topics and headers

The tasks are those of `penstock run`; their state is saved by Bytewax's recovery. docs/bytewax.md says what differs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from penstock.connectors.bytewax_records import Item, Routing
from penstock.connectors.bytewax_task import Answer, FlowTask, Setting, begun, resumed
from penstock.connectors.clock import MachineClock
from penstock.operators.error import Misused, Rejected
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.pipelines.compile import compile_pipeline
from penstock.pipelines.load import load_pipeline
from penstock.pipelines.problem import has_errors

try:
    import bytewax.operators as op
    from bytewax.dataflow import Stream, operator
    from bytewax.operators import KeyedStream, StatefulBatchLogic
except ModuleNotFoundError as missing:
    raise ImportError(
        "penstock.connectors.bytewax needs Bytewax, which there is for Python 3.11 and 3.12: "
        "pip install penstock[bytewax]"
    ) from missing

TICK = timedelta(seconds=1)
"""How often a task whose inputs may fall silent looks at the time."""


class Result(NamedTuple):
    """A record of the results topic: docs/results.md says what is in it.

    `id` is unique and the same whenever the same happens again: deduplicate by it where a flow that was resumed repeats
    itself. `time` is the event time of the firing.
    """

    id: str
    time: datetime
    record: dict[str, Any]


@dataclass(frozen=True)
class PenstockOut:
    """Streams returned from the `penstock` operator.

    `results` are keyed by what they are about. `dead` are records that cannot be used, as they were, with the reason in their
    headers. `outputs` holds these two, and what goes to routes and `latest`: all that a worker would write.
    """

    results: KeyedStream[Result]
    dead: Stream[Output]
    outputs: Stream[Output]


@operator
def penstock(
    step_id: str,
    up: Stream[Item],
    file: str | Path,
    partitions: int = 1,
    end: Literal["hold", "fire"] = "hold",
    answer: Answer | None = None,
    overlays: Sequence[str | Path] = (),
    sets: Sequence[str] = (),
    now_getter: Callable[[], datetime] | None = None,
) -> PenstockOut:
    """Run the triggers of a pipeline file over a stream of records.

    :arg step_id: Unique ID.

    :arg up: Stream of records: bytes, text or mappings of the only source, pairs of a source's name and one of these, or
        messages of Kafka, whose topics say which source they are of.

    :arg file: The pipeline, with its `overlays` and `sets` as on the command line. It is read when the flow is built.

    :arg partitions: How many tasks share the keys. More than one let several workers take part; each has a watermark of its
        own.

    :arg end: What the end of the stream means: `hold`, nothing, more may come when the flow is resumed; `fire`, what is due
        some day fires now, and everything is forgotten.

    :arg answer: Asks a model and waits for it. Without it a pipeline whose triggers ask agents is refused.

    :arg now_getter: The time, for silent inputs and for records without a timestamp. Defaults to the machine's.

    :returns: Results, dead letters, and all outputs.

    Raises Rejected where the file has errors or needs what a flow cannot give, Misused for arguments.
    """
    if partitions < 1:
        raise Misused(f"{partitions} tasks cannot share the keys", where="partitions", remedy="name 1 or more")
    now = MachineClock().now if now_getter is None else partial(_milliseconds, now_getter)
    setting = Setting(_plan(Path(file), [Path(overlay) for overlay in overlays], sets, answer), partitions, answer)
    topics = setting.plan.results.results, setting.plan.dead_topic
    routed = op.flat_map_batch("route", up, Routing(setting.plan, partitions, now))
    fed = op.stateful_batch("task", routed, lambda saved: _Logic(setting, end, now, saved))
    outputs = op.key_rm("outputs", fed)
    results = op.filter_map("results", outputs, lambda output: _result(output) if output.topic == topics[0] else None)
    return PenstockOut(results, op.filter("dead", outputs, lambda output: output.topic == topics[1]), outputs)


class _Logic(StatefulBatchLogic[Record, Output, bytes]):
    """A task, as Bytewax wants it. Which one it is stands in its first record."""

    def __init__(self, setting: Setting, end: str, now: Callable[[], int], saved: bytes | None) -> None:
        self._setting, self._end, self._now = setting, end, now
        self._ticks = any(source.idle is not None for source in setting.plan.sources)
        self._task = None if saved is None else resumed(setting, saved, now())

    def on_batch(self, values: list[Record]) -> tuple[list[Output], bool]:
        now = self._now()
        if self._task is None:
            self._task = begun(self._setting, values[0].partition, now)
        self._task.feed(values, now)
        return self._task.take(), self.RETAIN

    def on_notify(self) -> tuple[list[Output], bool]:
        self._known.tick(self._now())
        return self._known.take(), self.RETAIN

    def on_eof(self) -> tuple[list[Output], bool]:
        if self._end == "hold":
            return self._known.take(), self.RETAIN
        self._known.end(self._now())
        return self._known.take(), self.DISCARD

    def notify_at(self) -> datetime | None:
        """Called for a new task before it has seen anything, too."""
        if self._task is None or not (self._ticks or self._task.waits):
            return None
        return datetime.fromtimestamp(self._now() / 1000, UTC) + (timedelta() if self._task.waits else TICK)

    def snapshot(self) -> bytes:
        return self._known.save()

    @property
    def _known(self) -> FlowTask:
        assert self._task is not None, "a task is made for a record or a snapshot"
        return self._task


def _plan(file: Path, overlays: Sequence[Path], sets: Sequence[str], answer: Answer | None) -> Plan:
    loaded = load_pipeline([file, *overlays], sets=sets, environ=os.environ)
    if has_errors(loaded.problems):
        said = "\n".join(problem.to_text() for problem in loaded.problems if problem.severity == "error")
        raise Rejected(f"has errors\n{said}\n", where=str(file), remedy="mend it; `penstock check` says the same")
    plan = compile_pipeline(loaded).plan
    _refuse(plan, answer, str(file))
    return plan


def _refuse(plan: Plan, answer: Answer | None, where: str) -> None:
    """What a flow cannot give."""
    asking = [planned.name for planned in plan.triggers if planned.agent is not None]
    if asking and answer is None:
        remedy = "give `answer`, a function that asks a model, or write `agent: none` there, in an overlay perhaps"
        raise Rejected(
            f"these triggers ask an agent, and nobody answers: {', '.join(asking)}", where=where, remedy=remedy
        )
    if plan.tables:
        remedy = "run it with `penstock run`, or take out what reads rows with an overlay"
        raise Rejected("looks up rows of tables, which a dataflow does not give", where=where, remedy=remedy)
    if registered := [source.name for source in plan.sources if source.schemas is not None]:
        remedy = "decode them in the flow, and name a file in which their `format` is json"
        names = ", ".join(registered)
        raise Rejected(
            f"records of {names} name schemas of a registry, which nobody asks here", where=where, remedy=remedy
        )


def _result(output: Output) -> tuple[str, Result]:
    record = orjson.loads(output.value or b"{}")
    time = datetime.fromisoformat(dict(output.headers)["ce_time"].decode())
    return record["key"], Result(output.id, time, record)


def _milliseconds(now_getter: Callable[[], datetime]) -> int:
    return int(now_getter().timestamp() * 1000)
