"""The ports: what the world promises to the engine, in prose and types.

Three brokers (memory, SQLite, Kafka) keep the promises of `Broker` and `TaskLog`; one contract suite runs against all
of them. What a promise is *for* is in PROTOCOL rules 1-3, 5, 7, 8 and 13 (`docs/protocol.md`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from penstock.operators.event import ChatRequest, Progress, Tops, Usage
from penstock.operators.record import DeadLetter, Output, Raw
from penstock.operators.schemas import Kind, Schema
from penstock.state.delta import Bucket, Delta, Entry, Position

MAIN = "main"
"""The stage of every task. What rekeys a source is run as a pipeline of its own, with a layout of its own."""


class TaskId(NamedTuple):
    """One partition of one stage. The incarnation is not part of it: it is learned from the log at open."""

    stage: str
    partition: int


@dataclass(frozen=True, slots=True)
class Given:
    """The task should be worked on here. A hint: the log's fence is what decides."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class Asked:
    """The task will be taken: stop intake, finish within `deadline` seconds, release."""

    task: TaskId
    deadline: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The task belongs to somebody else now: drop it."""

    task: TaskId


Assignment = Given | Asked | Taken


@dataclass(frozen=True, slots=True)
class Tenure:
    """A task is ours. Times are monotonic seconds.

    `since`: neither was it taken since then, nor has the lease run out. `confirmed`: when the group was asked last that said so.
    """

    since: float
    confirmed: float


Start = Literal["earliest", "latest"] | int
"""Where an input that has no position begins; an int is event-log time in ms since the epoch."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The topics of one pipeline and how they are cut: everything that a broker has to know about a definition."""

    namespace: str
    name: str
    inputs: Mapping[str, Start]
    outputs: frozenset[str]
    """Every topic that `Output.topic` may name."""
    previews: str | None = None
    compacted: frozenset[str] = frozenset()
    """Those of the outputs of which only the last record per key counts."""
    tables: Mapping[str, str] = field(default_factory=dict)
    """Topics that every task reads as a whole, by what they are called in the log; `<that>/<partition>` is then the name of the
    input in positions, batches and progress. They may have any number of partitions, and begin at their start."""
    partitioned: frozenset[str] = frozenset()
    """Those of these topics that must have as many partitions as the sources."""
    rekeyed: Mapping[str, str] = field(default_factory=dict)
    """By the topics of those inputs that a first stage reads: the topics that it writes, which are ours and read instead."""
    spread: frozenset[str] = frozenset()
    """Those of the outputs whose records go to any partition (`Output.spread`): only such a first stage has one."""

    @property
    def prefix(self) -> str:
        return f"{self.namespace}.{self.name}"

    @property
    def log(self) -> str:
        return f"{self.prefix}.log"

    @property
    def own(self) -> tuple[str, ...]:
        """The topics that are ours to create."""
        previews = () if self.previews is None else (self.previews,)
        return (self.log, *sorted(self.outputs), *sorted(self.rekeyed.values()), *previews)

    @property
    def partitioned_alike(self) -> list[str]:
        """The topics of sources that are read as they are: one key has to lie in one partition of all of them."""
        return [topic for topic in self.inputs if topic not in self.rekeyed]

    @property
    def read(self) -> tuple[str, ...]:
        """The topics that are not ours, each once."""
        return tuple(dict.fromkeys((*self.inputs, *self.tables.values())))

    def place(self, name: str, partition: int) -> tuple[str, int]:
        """Topic and partition of an input of the task `partition`."""
        identity, _, number = name.partition("/")
        return (self.tables[identity], int(number)) if number else (self.rekeyed.get(name, name), partition)

    @property
    def group(self) -> str:
        return self.prefix


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one fetch: it returns as soon as something is there, or empty after `wait` seconds."""

    records: int = 500
    wait: float = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """What a fetch brought: per input its records in offset order (committed ones only), and how far each input was read.

    An input of a source is called by its topic, one of a table as `Layout.tables` says.
    """

    records: Mapping[str, Sequence[Raw]]
    progress: Mapping[str, Progress]


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit that was decided.

    `sent`: per output topic the last offset that is accounted for, that of the last own record or a later one: nothing of
    ours lies behind it. −1 where the topic was empty and nothing was sent. `sizes`: how many bytes the delta takes in the
    log, then each bucket.
    """

    sent: Mapping[str, int]
    sizes: Sequence[int]


class Stored(NamedTuple):
    """An entry of the log, and how many bytes it takes there."""

    entry: Entry
    size: int


class TaskLog(Protocol):
    """One task, opened: everyone who opened it earlier is fenced.

    The order of use is fixed: `restored` to its end, `begin`, one commit of kind `opened`, then fetch and commit at will.
    Any exception other than `Refused` ends it: close it, open again. There is no second recovery path.
    """

    @property
    def task(self) -> TaskId: ...
    @property
    def partitions(self) -> int:
        """How many tasks the pipeline has: as many as its log has partitions. That never changes (rule 7)."""
        ...

    @property
    def incarnation(self) -> int:
        """Last one found in the log + 1; known once `restored` is exhausted. Before that 0."""
        ...

    @property
    def seq(self) -> int:
        """`seq` of the last delta, −1 if there was none; the next delta must carry seq + 1."""
        ...

    def restored(self) -> AsyncIterator[Stored]:
        """Deltas and buckets in log order, up to the end that was seen *after* fencing.

        Yields to the loop at least every 10 ms. Raises Damaged (gap in seq, crc), TooNew.
        """
        ...

    async def begin(self, positions: Mapping[str, Position]) -> dict[str, Position]:
        """Take up every input of the layout at the positions restored; resolve the start of those that have none.

        Checks rule 7: a position outside [start, end] of its input, or a last record that looks different now, is Damaged,
        never reset. A missing topic or another partition count is Unreachable.
        """
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many records lie before the start of each input whose start `begin` resolved; counted by offsets."""
        ...

    async def fetch(self, limits: Limits) -> Batch:
        """Next records of all inputs that are not paused. Paused inputs still report progress: `seen_at` says how fresh it is."""
        ...

    def pause(self, topic: str) -> None: ...
    def resume(self, topic: str) -> None: ...

    async def commit(self, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()) -> Committed:
        """All or nothing, in this order: delta, buckets, outputs (rule 2). Returns when decided; visibility may follow.

        Raises Fenced, Indefinite (drop the task), Refused (nothing was begun: replace the output by a dead letter).
        """
        ...

    async def close(self) -> None:
        """Give up what is held in memory and on the network. Never raises; commits nothing."""
        ...


class Broker(Protocol):
    """One process's view of the transport, for one pipeline (its `Layout`)."""

    async def start(self) -> None:
        """Connect and check the world: sources there, partition counts equal, retention of internal topics unlimited.

        Raises Unreachable with one sentence that names what, where and what to do.
        """
        ...

    async def missing(self) -> list[str]:
        """Connect and check the world as `start` does, but change nothing: the topics that `penstock run` will create.

        Raises Unreachable.
        """
        ...

    async def connect(self, topic: str) -> None:
        """Connect for `read`, `follow` and `produce` of this one topic, and create nothing: it has to be there.

        Raises Unreachable.
        """
        ...

    def tasks(self) -> AsyncIterator[Assignment]:
        """Which tasks this process should work on, for as long as it lives."""
        ...

    def lease(self) -> float:
        """Seconds for which this process may still act on the outside; 0: let nothing leave (rule 9)."""
        ...

    def tenure(self, task: TaskId) -> Tenure | None:
        """Since when the task is ours for sure, and how fresh that is; None: it is not, as far as is known."""
        ...

    def unsettled(self, tasks: int) -> float:
        """Seconds within which more tasks may come to a process that has so many: those of one that died without a word.

        0 where these are all there are.
        """
        ...

    async def open(self, task: TaskId) -> TaskLog:
        """Fence whoever had the task, then see the log's end. Raises NotOurs, also when the lease ran out; Unreachable."""
        ...

    async def preview(self, output: Output, partition: int) -> None:
        """Best effort, never transactional, never raises."""
        ...

    def read(
        self, topic: str, partition: int, start: int, end: int | None = None, *, committed: bool = True
    ) -> AsyncIterator[Raw]:
        """Records of any topic from `start` up to `end` (exclusive); None: up to the end seen now."""
        ...

    def follow(self, topic: str) -> AsyncIterator[Raw]:
        """All partitions from their start, committed records only, then for ever as they come."""
        ...

    async def produce(self, topic: str, key: bytes | None, value: bytes | None, timestamp: int | None = None) -> None:
        """An acknowledged plain write, partitioned by murmur2 of the key as Kafka's own clients do. For demo and tests."""
        ...

    async def close(self) -> None:
        """Leave the group and close every connection. Never raises."""
        ...


@dataclass(slots=True)
class Piece:
    """A piece of generated text; the last one of a stream carries `finish`, `usage` and what the server called itself.

    `simulated`, on every piece: the server says that it is no model. `tops` and `vector`, on the last: as in `Answered`.
    """

    text: str = ""
    finish: str | None = None
    usage: Usage | None = None
    served_model: str = ""
    simulated: bool = False
    tops: Tops = ()
    vector: tuple[float, ...] = ()


class Model(Protocol):
    """One endpoint that answers chat requests by streaming. Closing the generator (`aclosing`) stops the generation."""

    @property
    def continues(self) -> bool:
        """It may be given the beginning of an answer (`ChatRequest.continued`), and generates the rest.

        Known once it was probed, unless the file says it; before that False.
        """
        ...

    def stream(self, request: ChatRequest, *, timeout: float) -> AsyncGenerator[Piece, None]:
        """What is generated: of an answer that is continued only the rest; for an `EmbedRequest` one piece without a text.

        Raises Busy, CallFailed, CallInvalid, TimedOut. One attempt: retries are the caller's (admission).
        """
        ...

    async def probe(self) -> str:
        """One cheap request that shows that the endpoint is there and serves the model; returns what it says of itself.

        Raises Unreachable.
        """
        ...

    async def close(self) -> None: ...


class Registry(Protocol):
    """A registry of schemas. An id never changes its meaning, so an answer is good for ever."""

    async def schema(self, number: int, kind: Kind) -> Schema | DeadLetter:
        """The schema with all that it refers to, or why no record can be read with it: `unknown_schema` where there is none.

        Raises Unreachable where the registry does not say. One attempt: retries are the caller's.
        """
        ...

    async def probe(self) -> str:
        """One cheap request; returns what it says of itself. Raises Unreachable."""
        ...

    async def close(self) -> None: ...


class WallClock(Protocol):
    """Time as the engine sees it. Tests and the simulator bring their own."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None: ...
