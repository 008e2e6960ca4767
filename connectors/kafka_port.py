"""The seam below the Kafka protocol code: everything that it wants of a cluster, in prose and types.

    kafka.py  kafka_log.py  kafka_writer.py  kafka_inputs.py  kafka_membership.py  kafka_topics.py  kafka_read.py  kafka_keys.py
    ──────────────────────────────────────────── Clients ────────────────────────────────────────────
    kafka_client.py: aiokafka and sockets                                    or a cluster that is simulated

Above it nothing makes or opens up a client of aiokafka; its value types and its errors, which are Kafka's error codes as
classes, are shared. Whoever implements it keeps every sentence below: the protocol rests on what is said here of fencing,
order and silence. Time that is waited is the running loop's; no call needs a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka.structs import OffsetAndTimestamp, RecordMetadata, TopicPartition

from penstock.connectors.port import WallClock
from penstock.operators.error import Unreachable
from penstock.operators.record import Raw

PARTITION_FETCH_BYTES = 4 << 20
"""What one answer to a reader holds of one partition, about; a larger batch comes alone."""
REQUEST_BYTES_MAX = 8 << 20
"""What our producers send at most in one record; the log topic is created with the same limit."""
BATCH_BYTES = 256 << 10
"""What our producers put into one batch, unless one record is larger."""

REQUEST_SECONDS = 10.0
"""So long an answer is waited for, and what has to be asked again."""

Headers = list[tuple[str, bytes]]

Sending = asyncio.Future[RecordMetadata]
"""A record under way: done when the brokers acknowledged it, with its coordinates, or failed with a KafkaError."""


class Reader(Protocol):
    """Fetches partitions that it was told to, in no group, and never resets a position by itself.

    Committed: up to the last stable offset, without aborted records. Uncommitted: up to the high watermark, all records.
    Markers of transactions are never handed over. It fetches ahead in the background, for every assigned partition that is
    not paused and of which nothing is buffered: one answer per partition at most.
    """

    async def start(self) -> None:
        """Connect. Raises KafkaError when no broker answers; `stop` is still to be called."""
        ...

    async def stop(self) -> None:
        """Close the connections. Does nothing when it never started or was stopped before."""
        ...

    def assign(self, partitions: Sequence[TopicPartition], /) -> None:
        """Read exactly these from now on: replaces everything, also what was buffered, and positions and pauses.

        Seek each before the next `getmany`, in the same step of the loop: a partition without position is an error.
        """
        ...

    def seek(self, partition: TopicPartition, offset: int, /) -> None:
        """Go on at `offset`; what was buffered of the partition is dropped. Whether the offset exists shows later."""
        ...

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Raw]]:
        """What is buffered of these partitions (none named: of all) in offset order, at most `max_records` in all.

        Waits up to `timeout_ms` for a first record, and is empty without one. Partitions without records are left out.
        Those whose answers came first come first: one with more than `max_records` keeps the others waiting. Of a paused
        partition nothing is returned, and what was buffered of it is dropped and fetched again after `resume`.
        Not to be cancelled.

        Raises OffsetOutOfRangeError({partition: offset}) for a position outside of [start, end], once per fetch that
        met it, and not while other partitions have records to return; TopicAuthorizationFailedError(topic) likewise;
        CorruptRecordException. A broker or a topic that is away is no error: it is asked again, silently, for ever.

        The classic mistake: taking an empty answer for the end. Compare positions.
        """
        ...

    async def position(self, partition: TopicPartition, /) -> int:
        """Offset of the next record to hand over. Moves past markers and aborted records without returning anything.

        It moves with `getmany` alone, never with what is fetched ahead.
        """
        ...

    def highwater(self, partition: TopicPartition, /) -> int | None:
        """High watermark (also for committed readers) in the newest answer to a fetch; None before the first one.

        An answer that came for a position that was left meanwhile does not count, nor one that is an error.
        """
        ...

    def last_poll_timestamp(self, partition: TopicPartition, /) -> int | None:
        """When `highwater` was learned, wall clock, ms since the epoch. A paused partition is not fetched: it stands still."""
        ...

    async def beginning_offsets(self, partitions: Sequence[TopicPartition], /) -> Mapping[TopicPartition, int]:
        """First offset that is retained, asked of the leaders now; needs no assignment.

        Tries again for REQUEST_SECONDS, then raises KafkaTimeoutError, also for a topic that is not there.
        Raises TopicAuthorizationFailedError. The classic mistake: asking for a topic that may not exist creates it where
        the brokers create topics by themselves.
        """
        ...

    async def end_offsets(self, partitions: Sequence[TopicPartition], /) -> Mapping[TopicPartition, int]:
        """Committed: the last stable offset. Uncommitted: the high watermark. Otherwise as `beginning_offsets`.

        The classic mistake: asking a committed reader how far a log goes, while a transaction is open there.
        """
        ...

    async def offsets_for_times(
        self, times: dict[TopicPartition, int], /
    ) -> Mapping[TopicPartition, OffsetAndTimestamp | None]:
        """First record at or after a time (ms since the epoch); None where there is none. Otherwise as `beginning_offsets`."""
        ...

    def pause(self, partition: TopicPartition, /) -> None:
        """Fetch and return nothing of an assigned partition; its position stands. A fetch under way is not called back."""
        ...

    def resume(self, partition: TopicPartition, /) -> None: ...


class TransactionalProducer(Protocol):
    """The writing half of one task: a transactional id, which is its fence. One transaction at a time.

    `start`, then any number of (`begin_transaction`, `send` …, await every future, `commit_transaction`). After any error
    and any cancellation in between it is only to be abandoned (protocol rule 3).

    Fenced means: a producer of the same id was started later. It shows as ProducerFenced (or InvalidProducerEpoch,
    InvalidProducerIdMapping) wherever the coordinator or a partition's leader next says so: in `send`, in a future, in
    `commit_transaction`; not in `begin_transaction`, which asks nobody.
    """

    @property
    def resent(self) -> int:
        """How many EndTxn and AddPartitionsToTxn requests of the current transaction were sent again without an answer.

        The transaction stays the current one until the next begins. A copy of such a request may still be under way, and
        end a later transaction (protocol rule 4). Not counted: a request that was answered "not yet" or "not here", and was
        asked again. Nothing of it is under way any more, and nearly every commit that follows another closely meets one.
        """
        ...

    @property
    def ended_by(self) -> BaseException | None:
        """What the cluster said that ended it for good, where that is known: its errors may say less."""
        ...

    async def start(self) -> None:
        """InitProducerId: once it returns, every producer that was started before with this id is fenced.

        A transaction that one of them left open is aborted, or completed if its end was decided, with all markers
        written. Tries again while the coordinator is away or busy with that, for ever: bound it. Raises
        TransactionalIdAuthorizationFailed, KafkaError.
        """
        ...

    async def begin_transaction(self) -> None:
        """Local: the cluster hears of a transaction by the first record. `resent` is 0 after it."""
        ...

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        *,
        headers: Headers,
    ) -> Sending:
        """Put a record into the transaction; key or value has to be there. Returns when it is buffered.

        Records of one partition are written in the order of the calls, each once, however often a request is repeated.
        The partition is added to the transaction before (AddPartitionsToTxn). What the brokers have against it, the future
        raises: MessageSizeTooLargeError, TopicAuthorizationFailedError, the fence; a partition that has no leader for
        REQUEST_SECONDS fails it, too. Brokers that are merely away are waited for without end.

        Raises itself: MessageSizeTooLargeError for more than REQUEST_BYTES_MAX, UnknownTopicOrPartitionError,
        KafkaTimeoutError when there was no room for REQUEST_SECONDS, and the fence once it is known.
        """
        ...

    async def commit_transaction(self) -> None:
        """EndTxn. Returns when the commit is *decided*: markers, and so visibility, may follow later.

        Repeats the request while the coordinator is away, for ever: bound it. Cancelling takes nothing back. Raises the
        fence, InvalidTxnState, KafkaError: then the outcome is unknown, since a first copy may have been heard.

        The classic mistake: it commits what arrived, also after a send has failed. Await every future before.
        """
        ...

    async def abandon(self) -> None:
        """From the moment it is called nothing more leaves. Also for one that never started; needs no broker to return.

        The transaction is neither ended nor aborted: who starts the id next does that, or the time-out of transactions.
        """
        ...

    def batch_bytes(self, key: bytes | None, value: bytes | None, headers: Headers, /) -> int:
        """Bytes of a batch that holds this record alone, at most: a topic's `max.message.bytes` is compared with that."""
        ...


class PlainProducer(Protocol):
    """Acknowledged writes of a process, outside of transactions. A record may be written twice when an answer was lost."""

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        ...

    async def stop(self) -> None:
        """Send what is buffered, and close; also after a start that failed. Bound it: it waits for brokers that are away."""
        ...

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int | None = None, *,
        timestamp_ms: int | None = None, headers: Headers | None = None,
    ) -> Sending:  # fmt: skip
        """As `TransactionalProducer.send`, but what is not acknowledged for REQUEST_SECONDS fails.

        `partition` None: murmur2 of the key, any for a record without one. `timestamp_ms` None: now.
        """
        ...


Assigned = Callable[[frozenset[int], float], None]
"""Told which partitions are ours now, and when the request that was answered with them had been sent (monotonic)."""
Heard = Callable[[float], None]
"""Told when a heartbeat was sent (monotonic), once it was answered and our place in the group still stands."""


class GroupMember(Protocol):
    """One member of a consumer group, which shares out the partitions of one topic and reads nothing of it.

    The assignment is eager and sticky: with every rebalance all partitions are taken from everybody and given anew, and
    most come back to where they were. Taking is not told.
    """

    async def join(self, assigned: Assigned, heard: Heard) -> None:
        """Connect, and join in the background. Raises KafkaError when no broker answers; `leave` is still to be called.

        `assigned` is called after every rebalance, with the whole set, which may be empty or the same as before; `heard`
        after every heartbeat that was answered well or with "rebalancing", also while a rebalance is waited for. Neither is
        called after `leave` has begun, and neither may raise. Nothing is called when the group has given us up: only the
        missing heartbeats show that.

        The classic mistake: counting a lease from when an answer came. The coordinator counts from when it was asked.
        """
        ...

    async def poll(self, seconds: float) -> None:
        """Wait so long, or for the end of a rebalance, and say what went wrong meanwhile.

        Not polled for 5 minutes, the member leaves by itself.

        Raises KafkaError: one that is `retriable` passes; after another one it is only to be left.
        """
        ...

    async def report(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Group offsets, of any topics, as a plain commit of the current generation; nothing where there is none.

        Raises KafkaError when the coordinator does not answer. That it refuses is not said.
        """
        ...

    async def leave(self) -> None:
        """Tell the coordinator, so that others need not wait for the session time-out; close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to be created."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str] = field(default_factory=dict)


class Admin(Protocol):
    """Looks at the cluster and its topics. Nothing here creates a topic by asking for it."""

    async def start(self) -> None:
        """Connect; does nothing when that is done. Raises KafkaError."""
        ...

    async def stop(self) -> None: ...

    async def brokers(self) -> int:
        """How many brokers there are. Raises KafkaError."""
        ...

    async def leaders(self, topics: Iterable[str]) -> dict[str, dict[int, int]]:
        """The leading broker of every partition of those topics that exist (-1: none just now).

        Topics that are not there, or that this principal may not see, are left out. Raises KafkaError,
        TopicAuthorizationFailedError(topic) for one that it may see and not describe.
        """
        ...

    async def settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """All settings of topics that exist, defaults included. Raises KafkaError, with the topic as its argument."""
        ...

    async def create(self, topics: Sequence[NewTopic]) -> dict[str, Exception]:
        """Returns those that were not created, and why: a KafkaError with what the broker says as its argument, if anything.

        TopicAlreadyExistsError among them: another process was faster. What was created shows in `leaders` a little later.
        """
        ...

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """Delete the records up to an offset (exclusive), for good. Raises KafkaError, and changes nothing then."""
        ...


class Clients(Protocol):
    """One cluster, as one process reaches it: makes everything else, with one address, TLS, SASL and time limits."""

    @property
    def address(self) -> str:
        """For messages."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What a person should know about the library in use."""
        ...

    def reader(self, *, committed: bool = True, partition_bytes: int = PARTITION_FETCH_BYTES) -> Reader: ...

    def member(self, group: str, topic: str, session_ms: int, clock: WallClock) -> GroupMember:
        """Silent for `session_ms`, it loses its place. `clock` tells when requests were sent."""
        ...

    def transactional(self, transactional_id: str, batch_bytes: int) -> TransactionalProducer:
        """A topic's limit is one on batches: `batch_bytes` may not exceed that of any topic written to."""
        ...

    def producer(self) -> PlainProducer: ...
    def admin(self) -> Admin: ...

    async def probe(self) -> None:
        """One connection, to learn *why* none can be had. Raises Unreachable if no broker of the address lets us in."""
        ...

    def unreachable(self, error: BaseException, doing: str = "connecting") -> Unreachable:
        """The same, as a sentence that says what to do."""
        ...
