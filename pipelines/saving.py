"""Cutting and committing: one commit in flight per task, the next one is gathered meanwhile.

    feed feed feed │cut                   │cut
                   ├─ commit ─ decided ─┐ ├─ commit ─ …
                   └──── feed feed ─────┴─┘

Nothing that failed is continued (protocol rule 3): whatever a commit raises ends the session. The exception is `Refused`:
nothing was begun then, so a dead letter takes the place of the output and the same delta is committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from penstock.connectors.failpoint import failpoint
from penstock.connectors.port import Committed, TaskLog
from penstock.operators.bucket import BUCKETS_MAX
from penstock.operators.dead import refused_output
from penstock.operators.error import Refused, Rejected, Stuck
from penstock.operators.event import Answered
from penstock.operators.key_state import Counts
from penstock.operators.task import Cut, Task
from penstock.pipelines.bell import ring_at_end
from penstock.pipelines.cadence import UNSAVED_BYTES_MAX, Cadence, Rotation, Waiting
from penstock.pipelines.process import Process
from penstock.pipelines.stuck import STUCK_SECONDS
from penstock.state.delta import Bucket, Delta, Entry, EntryKind, Trial

LAST_COMMIT_SECONDS = 5.0

_encode = msgspec.msgpack.encode


class Saving:
    """What one session saves, and when. `ring` is called when a commit was decided, or failed."""

    def __init__(self, core: Task, log: TaskLog, process: Process, ring: Callable[[], None]) -> None:
        self._core, self._log, self._process, self._ring = core, log, process, ring
        self._clock = process.clock
        self._cadence = Cadence(self._clock.monotonic())
        self._rotation = Rotation(BUCKETS_MAX)
        self._sent: Mapping[str, int] = {}
        self._counted: Counts = Counter()
        self._commit: asyncio.Task[Committed] | None = None
        self._eventful = False
        self._images: list[Bucket] = []
        self._answers_fed: list[str] = []
        self._answers_cut: list[str] = []

    def met(self, entry: Entry, size: int) -> None:
        """An entry of the log that takes so many bytes there, while restoring."""
        if isinstance(entry, Delta):
            self._sent = entry.header.sent
            self._rotation.delta_written(size)
        else:
            self._rotation.image_written(entry.index, entry.of, size)

    def fed(self, answer: Answered) -> None:
        """What follows from this answer is part of the next cut."""
        self._answers_fed.append(answer.call_id)

    @property
    def in_flight(self) -> bool:
        return self._commit is not None

    @property
    def saves_events(self) -> bool:
        """A commit of more than how far time has come is in flight."""
        return self._commit is not None and self._eventful

    @property
    def blocked(self) -> bool:
        """So much waits for the next commit that feeding records has to wait for it, too."""
        return self._core.unsaved_bytes >= UNSAVED_BYTES_MAX

    def wait(self) -> float | None:
        """Seconds until a commit should begin; None while one is in flight."""
        if self._commit is not None:
            return None
        core = self._core
        waiting = Waiting(core.dirty, core.urgent, core.unsaved_bytes)
        return max(0.0, self._cadence.wait(self._clock.monotonic(), waiting, self._process.tasks))

    def save_if_due(self) -> None:
        if self.wait() == 0:
            self.begin()

    def begin(self, kind: EntryKind = "delta", *, trial: Trial | None = None, again: bool = False) -> None:
        """Cut, and commit what was cut. None may be in flight. The core may be fed on at once."""
        assert self._commit is None
        core, seq = self._core, self._log.seq + 1
        self._eventful = core.eventful
        cut = core.cut(
            seq=seq,
            incarnation=self._log.incarnation,
            kind=kind,
            owner=self._process.owner,
            build=self._process.build,
            sent=self._sent,
            trial=trial,
            again=again,
            started=self._process.started,
        )
        self._answers_cut, self._answers_fed = self._answers_fed, []
        counts = Counter(core.counters)
        self._images = self._image_due(seq) if kind == "delta" else []
        self._cadence.began(self._clock.monotonic())
        failpoint("cut")
        self._commit = asyncio.get_running_loop().create_task(self._carry_out(cut, self._images, counts))
        ring_at_end(self._ring, self._commit)

    def _image_due(self, seq: int) -> list[Bucket]:
        of = self._rotation.of
        return [self._image(index, of, seq) for index in self._rotation.due()]

    def _image(self, index: int, of: int, seq: int) -> Bucket:
        """A bucket as of the cut just made.

        What it says of the keys is encoded here and now: the core is fed on before the log encodes the rest, and an image
        that knows more than its delta corrupts the state (protocol rule 5).
        """
        bucket = self._core.image(index, of, seq)
        keys = {name: msgspec.Raw(_encode(image)) for name, image in bucket.keys.items()}
        rows = {
            identity: {key: msgspec.Raw(_encode(row)) for key, row in share.items()}
            for identity, share in bucket.rows.items()
        }
        encoded = [*keys.values(), *bucket.runs.values(), *(row for share in rows.values() for row in share.values())]
        self._rotation.image_encoded(of, sum(map(len, encoded)), len(keys) + sum(map(len, rows.values())))
        return msgspec.structs.replace(bucket, keys=keys, rows=rows)

    async def _carry_out(self, cut: Cut, buckets: Sequence[Bucket], counts: Counts) -> Committed:
        dead_topic, refused = self._process.plan.dead_topic, 0
        while True:
            try:
                committed = await self._log.commit(cut.delta, cut.outputs, buckets)
            except Refused as refusal:
                cut = without(cut, refusal, dead_topic)
                refused += refusal.output.topic != dead_topic  # a dead letter was counted when it was written
                continue
            self._process.tally.update(counts - self._counted)
            if refused:
                self._process.tally["dead", "refused"] += refused
            self._counted = counts
            return committed

    def settle(self) -> None:
        """Take note of a commit that was decided meanwhile. Raises what it raised: Fenced, Indefinite, …"""
        if self._commit is not None and self._commit.done():
            committed, self._commit = self._commit.result(), None
            self._sent = committed.sent
            self._weigh(committed.sizes)
            for call_id in self._answers_cut:
                self._process.admission.kept.forget(call_id)
            failpoint("settled")
            self._process.meters.commit_seconds.observe(self._cadence.ended(self._clock.monotonic()))

    def _weigh(self, sizes: Sequence[int]) -> None:
        """What the commit put into the log pays for images, and what is paid for."""
        delta, *images = sizes
        self._rotation.delta_written(delta)
        for bucket, size in zip(self._images, images, strict=True):
            self._rotation.image_written(bucket.index, bucket.of, size)

    async def finish(self) -> None:
        """Wait for the commit in flight, if there is one, and settle it. Raises what it raised, and Stuck."""
        if self._commit is not None:
            await asyncio.wait([self._commit], timeout=STUCK_SECONDS)
            if not self._commit.done():
                raise Stuck(f"a commit was not decided within {STUCK_SECONDS:g} s")
            self.settle()

    async def end(self) -> None:
        """The session is over: let the commit in flight run out, but not for ever. How it went is for the log to say."""
        if self._commit is not None:
            await asyncio.wait([self._commit], timeout=LAST_COMMIT_SECONDS)
            self._commit.cancel()
            await asyncio.gather(self._commit, return_exceptions=True)


def without(cut: Cut, refusal: Refused, dead_topic: str) -> Cut:
    """The same commit with a dead letter in the place of the output that the transport will never accept.

    Raises Rejected when there is nothing left to leave out: a dead letter without a value is refused, too.
    """
    refused = refusal.output
    letter = refused_output(refused, refusal.reason, dead_topic)
    if letter == refused or refused not in cut.outputs:
        raise Rejected(
            f"a dead letter is refused: {refusal.reason}",
            where=refused.topic,
            remedy="allow larger records on that topic; nothing was committed or lost",
        )
    outputs = [letter if output == refused else output for output in cut.outputs]
    implied = [letter if output == refused else output for output in cut.delta.outputs]
    return Cut(msgspec.structs.replace(cut.delta, outputs=implied), outputs)
