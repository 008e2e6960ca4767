"""One partition as its leader keeps it: batches, markers of transactions, what is known of producers (KIP-98).

    offset   0   1   2   3   4   5   6   7   8
             d1  d1  d2  C1  d2  A2  d3  d1  ·         dN: data of producer N, C: committed, A: aborted
             ▲                       ▲       ▲
           start            last stable    high watermark      committed readers see d1 d1 and stop at 6

The replicas hold the same at once, so the high watermark is the end: what a crash of one leader may lose is a request
that was not answered, and that the network loses. What a power failure of all may lose is `forget_after`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping, Sequence

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceNumber,
)
from tests.simulation.messages import NO_PRODUCER, Error, Record, SentBatch

REMEMBERED_BATCHES = 5
"""Of every producer: a batch that comes again is known by its sequence numbers, if it is one of so many."""
MARKER_BYTES = 78
MESSAGE_BYTES_MAX = 1_048_588


class InvalidRecordError(KafkaError):
    """aiokafka has no class for INVALID_RECORD: a topic that is compacted takes no records without a key."""

    errno = 87
    message = "INVALID_RECORD"


class TransactionCoordinatorFenced(KafkaError):
    """A marker of a coordinator that has been replaced."""

    errno = 47
    message = "TRANSACTION_COORDINATOR_FENCED"


class Batch:
    """Records that were written together, or one marker (`commit` True or False). `last`: offset of its last record.

    `aborted` is decided when the marker is written: committed readers leave such a batch out, and see no other undecided one.
    """

    __slots__ = (
        "aborted", "base", "commit", "coordinator_epoch", "epoch", "last", "producer", "records", "sequence", "size",
        "timestamp", "transactional", "written_at",
    )  # fmt: skip

    def __init__(
        self, base: int, last: int, records: list[Record], size: int, timestamp: int, written_at: float,
        *, producer: int, epoch: int, sequence: int = -1, transactional: bool, commit: bool | None = None,
        coordinator_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.base, self.last, self.records, self.size = base, last, records, size
        self.timestamp, self.written_at = timestamp, written_at
        self.producer, self.epoch, self.sequence = producer, epoch, sequence
        self.transactional, self.commit, self.coordinator_epoch = transactional, commit, coordinator_epoch
        self.aborted = False

    def __repr__(self) -> str:
        return f"<{self.base} to {self.last} of {self.producer}/{self.epoch}, {self.commit}, {self.aborted}: {self.records!r}>"


class Writer:
    """What a partition knows of one producer id. `began`: offset of the first record of its open transaction."""

    __slots__ = ("batches", "began", "coordinator_epoch", "epoch")

    def __init__(self) -> None:
        self.epoch, self.coordinator_epoch = -1, -1
        self.batches: deque[tuple[int, int, int]] = deque(maxlen=REMEMBERED_BATCHES)
        self.began: int | None = None

    def take_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            self.batches.clear()


class PartitionLog:
    """`settings` are those of the topic, shared with it."""

    def __init__(self, topic: str, partition: int, settings: Mapping[str, str]) -> None:
        self.topic, self.partition, self._settings = topic, partition, settings
        self.start = self.end = 0
        self.history: list[Batch] = []
        """Every batch that was ever written, whatever was deleted since, for whoever looks at it all at the end."""
        self._batches: list[Batch] = []
        self._bases: list[int] = []
        self._writers: dict[int, Writer] = {}
        self._open: dict[int, int] = {}

    @property
    def stable(self) -> int:
        """The last stable offset: where the oldest open transaction begins, also if that was deleted; else the end."""
        return min(self._open.values()) if self._open else self.end

    def has_open(self, producer: int, epoch: int) -> bool:
        """A transaction of this epoch, which need not be asked for any more."""
        return producer in self._open and self._writers[producer].epoch == epoch

    def append(
        self, sent: SentBatch, producer: int, epoch: int, now: float, *, transactional: bool
    ) -> tuple[Error, int]:
        """The offset of the first record. A batch that was written before is not written again, and has its old offset."""
        if sent.size > int(self._settings.get("max.message.bytes", MESSAGE_BYTES_MAX)):
            return MessageSizeTooLargeError, -1
        if self._settings.get("cleanup.policy") == "compact" and any(each.key is None for each in sent.records):
            return InvalidRecordError, -1
        if producer != NO_PRODUCER:
            writer = self._writers.setdefault(producer, Writer())
            known = self._known_offset(writer, sent, epoch)
            if known is not None:
                return None, known
            error = self._refusal(writer, sent, epoch, transactional)
            if error is not None:
                return error, -1
        base = self.end
        batch = Batch(
            base, base + len(sent.records) - 1, self._placed(sent, base), sent.size,
            max(each.timestamp for each in sent.records), now,
            producer=producer, epoch=epoch, sequence=sent.sequence, transactional=transactional,
        )  # fmt: skip
        self._add(batch)
        return None, base

    def _placed(self, sent: SentBatch, base: int) -> list[Record]:
        topic, partition = self.topic, self.partition
        return [
            Record(topic, partition, offset, each.timestamp, each.key, each.value, each.headers)
            for offset, each in enumerate(sent.records, base)
        ]

    def _known_offset(self, writer: Writer, sent: SentBatch, epoch: int) -> int | None:
        if writer.epoch == epoch:
            last = sent.sequence + len(sent.records) - 1
            for first_known, last_known, base in writer.batches:
                if first_known == sent.sequence and last_known == last:
                    return base
        return None

    def _refusal(self, writer: Writer, sent: SentBatch, epoch: int, transactional: bool) -> Error:
        if epoch < writer.epoch:
            return InvalidProducerEpoch
        expected = writer.batches[-1][1] + 1 if epoch == writer.epoch and writer.batches else 0
        if sent.sequence != expected and writer.epoch >= 0:
            return OutOfOrderSequenceNumber
        if writer.began is not None and not transactional:
            return InvalidTxnState
        return None

    def mark(
        self, producer: int, epoch: int, coordinator_epoch: int, now: float, timestamp: int, *, commit: bool
    ) -> Error:
        """The end of a transaction, as far as this partition takes part. Also written where it has no records here."""
        writer = self._writers.setdefault(producer, Writer())
        if epoch < writer.epoch:
            return InvalidProducerEpoch
        if coordinator_epoch < writer.coordinator_epoch:
            return TransactionCoordinatorFenced
        marker = Batch(
            self.end, self.end, [], MARKER_BYTES, timestamp, now, producer=producer, epoch=epoch, transactional=True,
            commit=commit, coordinator_epoch=coordinator_epoch,
        )  # fmt: skip
        self._add(marker)
        return None

    def _add(self, batch: Batch) -> None:
        self.history.append(batch)
        self._batches.append(batch)
        self._bases.append(batch.base)
        self.end = batch.last + 1
        self._learn(batch)

    def _learn(self, batch: Batch) -> None:
        """What a batch says of its producer; all that is known of producers can be learned again from the batches."""
        if batch.producer == NO_PRODUCER:
            return
        writer = self._writers.setdefault(batch.producer, Writer())
        writer.take_epoch(batch.epoch)
        if batch.commit is not None:
            if not batch.commit and writer.began is not None:
                self._abort(batch.producer, writer.began)
            writer.began, writer.coordinator_epoch = None, batch.coordinator_epoch
            self._open.pop(batch.producer, None)
            return
        writer.batches.append((batch.sequence, batch.sequence + batch.last - batch.base, batch.base))
        if batch.transactional and writer.began is None:
            writer.began = self._open[batch.producer] = batch.base

    def _abort(self, producer: int, began: int) -> None:
        for batch in self._batches[self._index(began) :]:
            if batch.producer == producer and batch.transactional:
                batch.aborted = True

    def _index(self, offset: int) -> int:
        """The batch that holds an offset, or the first one after it."""
        index = bisect_right(self._bases, offset) - 1
        return index if index >= 0 and self._batches[index].last >= offset else index + 1

    def read(self, offset: int, *, committed: bool, most: int) -> Sequence[Batch]:
        """Batches from the one that holds `offset`, about `most` bytes of them."""
        upto = self.stable if committed else self.end
        if offset >= upto:
            return ()
        found: list[Batch] = []
        size = 0
        for index in range(self._index(offset), len(self._batches)):
            batch = self._batches[index]
            size += batch.size
            if batch.base >= upto or (found and size > most):
                break
            found.append(batch)
        return found

    def find(self, timestamp: int, *, committed: bool) -> tuple[int, int] | None:
        """Offset and time of the first record at or after a time. Markers and aborted records count, as they do in Kafka."""
        upto = self.stable if committed else self.end
        for batch in self._batches:
            if batch.timestamp < timestamp or batch.last < self.start:
                continue
            placed = [(each.offset, each.timestamp) for each in batch.records] or [(batch.base, batch.timestamp)]
            for offset, at in placed:
                if at >= timestamp and offset >= self.start:
                    return (offset, at) if offset < upto else None
        return None

    def delete_before(self, offset: int) -> Error:
        if offset < 0:
            offset = self.end
        if offset > self.end:
            return OffsetOutOfRangeError
        self.start = max(self.start, offset)
        gone = self._index(self.start)
        del self._batches[:gone], self._bases[:gone]
        return None

    def compact(self) -> None:
        """Drop every decided record to whose key a later one exists, and what was aborted. Offsets stay."""
        stable, seen = self.stable, set[bytes | None]()
        for batch in reversed(self._batches):
            if batch.last >= stable or batch.commit is not None:
                continue
            kept: list[Record] = []
            for record in reversed(batch.records if not batch.aborted else []):
                if record.key not in seen:
                    seen.add(record.key)
                    kept.append(record)
            batch.records = kept[::-1]

    def forget_after(self, offset: int) -> None:
        """A power failure: everything from `offset` on is gone, also what it told of producers."""
        keep = bisect_right([batch.last for batch in self._batches], offset - 1)
        gone = self._batches[keep:]
        if not gone:
            return
        del self._batches[keep:], self._bases[keep:]
        self.end = max(self.start, gone[0].base)
        for producer in {batch.producer: None for batch in (*self._batches, *gone)}:
            self._writers.pop(producer, None)
            self._open.pop(producer, None)
        for batch in self._batches:
            batch.aborted = False
        for batch in list(self._batches):
            self._learn(batch)

    def flushed(self, before: float) -> int:
        """The end as it was at a time."""
        return next((batch.base for batch in self._batches if batch.written_at >= before), self.end)
