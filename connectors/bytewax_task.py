"""One partition of a pipeline inside somebody's dataflow: it is fed, gives its outputs, and can be put away and taken up again.

    records ─▶ numbered ─▶ task.feed ─▶ Ask ─▶ answered at once, by a function of the flow's ─▶ task.feed
                               └─▶ cut: outputs ─▶ the flow
    saved ◀── the task's only bucket, and a delta that says how far it has come ── resumed

What it knows is saved as a whole: a flow keeps the last snapshot of a key, and no log. Nothing here knows of Bytewax.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

import msgspec
from msgspec.structs import replace as with_fields

from penstock.operators.error import Damaged, ModelError, Superseded
from penstock.operators.event import (
    Answered,
    Arrived,
    Ask,
    CallLost,
    ChatRequest,
    Effect,
    Ended,
    Event,
    Progress,
    Ticked,
    Usage,
)
from penstock.operators.plan import Plan
from penstock.operators.record import Output, Record
from penstock.operators.task import Cut, Task
from penstock.state.codec import decode, encode
from penstock.state.delta import Delta

OWNER = "bytewax"
UNSAVED_BYTES_MAX = 1 << 20
"""Above this what changed is let go of, for only the whole is ever saved."""

Answer = Callable[[ChatRequest], str]
"""Asks a model, and waits for it. Raises ModelError where there is no answer: then the agent does without."""


@dataclass(frozen=True)
class Setting:
    """What all tasks of a flow have in common."""

    plan: Plan
    partitions: int
    answer: Answer | None

    @property
    def asks(self) -> bool:
        return any(planned.agent is not None for planned in self.plan.triggers)


class Saved(msgspec.Struct, array_like=True):
    """A task, as it is put away. `outputs` were not given out yet."""

    partition: int
    partitions: int
    delta: bytes
    bucket: bytes
    outputs: list[Output]


_DECODER = msgspec.msgpack.Decoder(Saved)


def begun(setting: Setting, partition: int, now: int) -> FlowTask:
    """A task that has seen nothing yet. `now` is processing time (ms), here as everywhere."""
    return FlowTask(setting, Task(setting.plan, partition, setting.partitions), now)


def resumed(setting: Setting, data: bytes, now: int) -> FlowTask:
    """The task that `save` put away. Raises Superseded where state cannot follow what the file or the flow says now, Damaged
    and TooNew where it cannot be read.

    While the flow stood still nobody knows what waited: that time is no silence of an input.
    """
    saved = _read(data, setting.plan.name)
    where = f"task {saved.partition} of {setting.plan.name}"
    if saved.partitions != setting.partitions:
        raise Superseded(
            f"its keys were shared among {saved.partitions} tasks and are among {setting.partitions} now",
            where=where,
            remedy="take that back, or begin afresh with another step id",
        )
    task = Task(setting.plan, saved.partition, setting.partitions)
    delta = decode(saved.delta, where)
    assert isinstance(delta, Delta)
    clocks = {topic: with_fields(clock, heard_at=now) for topic, clock in delta.header.clocks.items()}
    task.apply(with_fields(delta, header=with_fields(delta.header, clocks=clocks)))
    task.apply(decode(saved.bucket, where))
    return FlowTask(setting, task, now, saved.outputs)


def _read(data: bytes, pipeline: str) -> Saved:
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, TypeError) as error:
        remedy = "restore the flow's recovery store from a copy, or begin afresh with another step id"
        raise Damaged(f"a snapshot is none of a task ({error})", where=pipeline, remedy=remedy) from error


def _of_one_topic(records: Iterable[Record]) -> Iterable[list[Record]]:
    """Records that stand together."""
    return (list(group) for _, group in groupby(records, attrgetter("topic")))


class FlowTask:
    """A task without a log. Made by `begun` and `resumed`."""

    def __init__(self, setting: Setting, task: Task, now: int, outputs: Iterable[Output] = ()) -> None:
        self._partitions, self._answer, self._asks = setting.partitions, setting.answer, setting.asks
        self._task = task
        self._outputs = [*outputs]
        self._seq = 0
        positions = task.positions
        self._next = {source.topic: 0 for source in setting.plan.sources}
        self._next |= {topic: position.offset for topic, position in positions.items() if topic in self._next}
        self._follow(task.opened(positions, now))
        self._collect()

    @property
    def waits(self) -> bool:
        """It has something to give out."""
        return bool(self._outputs)

    def feed(self, records: Sequence[Record], now: int) -> None:
        """In this order, whatever their sources; a question is answered before the next record comes. So what is fed together
        makes no difference."""
        portions = ([record] for record in records) if self._asks else _of_one_topic(records)
        for portion in portions:
            topic = portion[0].topic
            numbered = [replace(record, offset=offset) for offset, record in enumerate(portion, self._next[topic])]
            self._next[topic] += len(numbered)
            self._let_happen(Arrived({topic: numbered}, self._progress(now), now))

    def tick(self, now: int) -> None:
        """Time passed, perhaps in silence."""
        self._let_happen(Ticked(now, self._progress(now)))

    def end(self, now: int) -> None:
        """Nothing comes any more: the watermark passes everything."""
        self._let_happen(Ended(now))

    def take(self) -> list[Output]:
        """What is to be given out, each once."""
        taken, self._outputs = self._outputs, []
        return taken

    def save(self) -> bytes:
        """All that it knows. O(state)."""
        delta = self._cut().delta
        header = Delta(header=delta.header, slots=delta.slots, began=delta.began)
        bucket = self._task.image(0, 1, self._seq)
        saved = Saved(self._task.partition, self._partitions, encode(header), encode(bucket), self._outputs)
        return msgspec.msgpack.encode(saved)

    def _progress(self, now: int) -> Mapping[str, Progress]:
        """Whatever the flow has handed over was fed: it is not known to hold anything back."""
        return {topic: Progress(offset, offset, now) for topic, offset in self._next.items()}

    def _let_happen(self, event: Event) -> None:
        self._follow(self._task.feed(event))
        self._collect()

    def _follow(self, effects: Iterable[Effect]) -> None:
        """Whatever is asked is answered before anything else happens: no run waits when the task is saved."""
        waiting = deque(effects)
        while waiting:
            ask = waiting.popleft()
            if isinstance(ask, Ask):
                waiting += self._task.feed(self._answered(ask))

    def _answered(self, ask: Ask) -> Answered | CallLost:
        assert self._answer is not None, "a pipeline that asks is refused without it"
        try:
            return Answered(ask.call_id, self._answer(ask.request), "stop", Usage())
        except ModelError as error:
            return CallLost(ask.call_id, "failed", str(error))

    def _collect(self) -> None:
        if self._task.urgent or self._task.unsaved_bytes > UNSAVED_BYTES_MAX:
            self._cut()

    def _cut(self) -> Cut:
        self._seq += 1
        cut = self._task.cut(seq=self._seq, incarnation=1, owner=OWNER, build=OWNER, sent={})
        self._outputs += cut.outputs
        return cut
