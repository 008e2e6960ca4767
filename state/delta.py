"""What a task appends to its log: facts that happened and cells that changed.

State is restored by applying deltas in order. A *fact* is one event that a key took in, with everything that was decided
when it was fed (so that restoring decides nothing again). A *cell* is a small value that is replaced as a whole: what one
trigger knows about one key. *Runs* are replaced as a whole, too; None means that the run ended.

Names travel with the data (`slots`, trigger ids): a definition that changed reads what it still knows, and carries the rest.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock.operators.record import Output

FORMAT = 4
"""Version of the log's format; a log with a higher one is refused (`TooNew`).

2: the log has a `Basis`, images carry on. 3: deltas name the keys that were forgotten. 4: there are rows of tables.
"""

EntryKind = Literal["opened", "delta", "released"]


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The next offset to read of one input, and what the last record read looked like.

    `crc` and `timestamp` belong to the record at `offset - 1` (or the last one before a gap, at `last`): at open that
    record must still look so, otherwise the topic was deleted and made again. -1 where nothing was read yet.
    """

    offset: int
    last: int = -1
    timestamp: int = -1
    crc: int = -1
    generation: int = 0


class Clock(msgspec.Struct, frozen=True, array_like=True):
    """Time of one origin in ms: the largest event time fed, the processing time of its last record, its watermark.

    None before the first record. The watermark is saved because it moves in silence, too, and must never go back.
    """

    event_time: int | None = None
    heard_at: int = 0
    watermark: int | None = None


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """How far stage 1 has read partition `partition` of a source that has `of` of them.

    What lies before offset `position` was written before the mark. `watermark` (ms) is None before the first event;
    `silent`: it never had one, and need not be waited for.
    """

    partition: int
    of: int
    position: int
    watermark: int | None
    silent: bool


Trial = tuple[str, int]
"""(topic, offset) of a record of the task's partition that is about to be fed alone."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Repeated in every delta: whoever reads only the newest one knows where the task stands.

    `trial`: what the task does next, so that its successor knows what it died of. `again`, of an `opened`: the process that
    wrote the delta before lives, and has opened the task once more. `started`: when the process was (ms since the epoch).
    `origins`: of rekeyed sources how far each partition has come, as their first stage told.
    """

    seq: int
    incarnation: int
    kind: EntryKind = "delta"
    owner: str = ""
    build: str = ""
    definition: str = ""
    positions: dict[str, Position] = {}
    clocks: dict[str, Clock] = {}
    origins: dict[str, list[Mark]] = {}
    tick: int = 0
    sent: dict[str, int] = {}
    trial: Trial | None = None
    again: bool = False
    started: int = 0
    format: int = FORMAT


Fact = tuple[str, int, int, bytes | None, tuple[Any, ...] | None]
"""(key, event time, N − event time, line for the prompt or None if hidden, (slot, value, slot, value, …) or None).

N is the key's *now* after the event was fed, its largest event time or the watermark: restoring needs no watermark.
"""


Forgotten = tuple[str, int, int | None]
"""(key, how many facts of this delta came before, since when nothing is remembered of it that a new run could see).

None: it is gone. Else runs without an outcome still need its events for their prompts: these stay, their numbers go on.
"""


TableRow = tuple[str, str, Any]
"""(identity of the table, key, [fields, timestamp in ms, partition of the table's topic, key of the record]; None: gone)."""


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What the state in a log rests on. Every `opened` has it and every image of bucket 0: a log that is trimmed keeps one.

    `keying` maps what must not change while there is state (`the key of topic auth`) to what it is, also for inputs that are
    gone. `known`: the triggers and aggregates of the definition that wrote it. `retired`: those of former definitions whose
    memories are carried through, each with the processing time (ms) since when no definition knows it. `definitions`: by
    digest, what runs without an outcome need of the definition that began them, and those that will begin of the present one.
    """

    keying: dict[str, str] = {}
    known: tuple[str, ...] = ()
    retired: dict[str, int] = {}
    definitions: dict[str, str] = {}


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One commit. `outputs` are the outcomes that this delta implies, whole; of partials only the suffix is kept.

    `partials`: (run, attempt, revision, what was added to the stream of this attempt), in order. Whoever opens the task next
    knows from them how far each answer had got. `forgotten`: keys whose end came, in order; one may have come back since.
    `rows`: of tables, in order. `began`: the task's first watermark (ms), where a trigger needs it. `counted`: what limits have
    let through (limit, event time).
    """

    header: Header
    slots: tuple[str, ...] = ()
    facts: list[Fact] = []
    cells: dict[str, dict[str, Any]] = {}
    runs: dict[str, bytes | None] = {}
    partials: list[tuple[str, int, int, str]] = []
    outputs: list[Output] = []
    basis: Basis | None = None
    forgotten: list[Forgotten] = []
    rows: list[TableRow] = []
    began: int | None = None
    counted: list[tuple[str, int]] = []


class Bucket(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A snapshot of all keys whose hash falls into `index` modulo `of`, as of the delta `seq` that it travels with.

    Replaces whatever a reader holds for these keys. `keys` maps a key to its image (builtins only), `runs` holds the open
    runs of these keys, with what their streams have said so far. `rows` are those of tables whose keys fall into it, by the
    table's identity and key. `counted`, in buckets of index 0: what limits have let through.
    """

    index: int
    of: int
    seq: int
    slots: tuple[str, ...] = ()
    keys: dict[str, Any] = {}
    runs: dict[str, bytes] = {}
    basis: Basis | None = None
    rows: dict[str, dict[str, Any]] = {}
    counted: dict[str, Any] | None = None


Entry = Delta | Bucket
