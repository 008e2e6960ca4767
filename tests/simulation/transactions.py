"""The transaction coordinator (KIP-98), with the old protocol and with that of KIP-890.

                 first partition              EndTxn                     all markers are written
    empty ──────────▶ ongoing ──────────▶ commit or abort decided ──────────▶ complete ──first partition──▶ ongoing …
                        │ time-out, or InitProducerId by a successor: epoch + 1, abort decided

The decision is what EndTxn answers; markers follow later, partition by partition. With the old protocol (version 1) an
epoch lasts for many transactions, and a late copy of EndTxn ends whichever of them is open then (KAFKA-17754). With
version 2 every end raises the epoch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from math import ceil
from random import Random
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import (
    ConcurrentTransactions,
    InvalidProducerIdMapping,
    InvalidTransactionTimeout,
    InvalidTxnState,
    ProducerFenced,
)
from aiokafka.structs import TopicPartition
from tests.simulation.messages import AddPartitions, EndTransaction, Error, InitProducerId, ProducerId
from tests.simulation.partition_log import PartitionLog
from tests.simulation.settings import BrokerSettings

EPOCH_MAX = 2**15 - 2
MARKER_RETRY_SECONDS = 0.1


class Brokers(Protocol):
    """What coordinators need of the cluster that they are in."""

    def led(self, partition: TopicPartition) -> PartitionLog | None:
        """None while nobody leads it, or when it was deleted."""
        ...

    def exists(self, partition: TopicPartition) -> bool: ...
    def grown(self, partition: TopicPartition, now: float) -> None:
        """Something was written, or became visible: whoever waits for it is to be told."""
        ...

    def at(self, when: float, callback: Callable[..., None], *arguments: Any) -> None:
        """`callback(*arguments, when)` is called when the time has come."""
        ...

    def wall(self, now: float) -> int:
        """ms since the epoch."""
        ...


class State(Enum):
    EMPTY = "empty"
    ONGOING = "ongoing"
    COMMIT_DECIDED = "commit decided"
    ABORT_DECIDED = "abort decided"
    COMMITTED = "committed"
    ABORTED = "aborted"


_DECIDED = (State.COMMIT_DECIDED, State.ABORT_DECIDED)
_MAY_BEGIN = (State.EMPTY, State.COMMITTED, State.ABORTED)


class Transaction:
    """What is known of one transactional id. `term` counts the coordinators that it has had; `unmarked`: markers to come.

    `raised_by_client`: the last end raised the epoch, so that a repeated EndTxn carries the one before.
    """

    __slots__ = (
        "epoch", "history", "name", "partitions", "producer", "raised_by_client", "started", "state", "term", "timeout",
        "unmarked", "updated",
    )  # fmt: skip

    def __init__(self, name: str, producer: int) -> None:
        self.name, self.producer, self.epoch = name, producer, -1
        self.state, self.timeout = State.EMPTY, 0.0
        self.started = self.updated = 0.0
        self.partitions: dict[TopicPartition, None] = {}
        self.unmarked: dict[TopicPartition, None] = {}
        self.raised_by_client = False
        self.term = 0
        self.history: deque[tuple[Any, ...]] = deque()

    def save(self, now: float, unflushed: float) -> None:
        """Note how it is now, for a power failure to go back to."""
        self.updated = now
        partitions, raised = tuple(self.partitions), self.raised_by_client
        self.history.append(
            (now, self.producer, self.epoch, self.state, self.timeout, self.started, partitions, raised)
        )
        while len(self.history) > 1 and self.history[1][0] < now - unflushed:
            self.history.popleft()

    def go_back(self, to: float) -> bool:
        """As it was at a time; False if it was not known then."""
        while self.history and self.history[-1][0] > to:
            self.history.pop()
        if not self.history:
            return False
        self.updated, self.producer, self.epoch, self.state, self.timeout, self.started, partitions, raised = (
            self.history[-1]
        )
        self.partitions, self.raised_by_client = dict.fromkeys(partitions), raised
        return True


class CommitDecision(NamedTuple):
    """`at` is when it was decided: the markers came later."""

    at: float
    producer: int
    partitions: tuple[TopicPartition, ...]


class TransactionCoordinator:
    """All transactional ids. Which broker may be asked for which is the cluster's to say."""

    def __init__(self, brokers: Brokers, settings: BrokerSettings, random: Random) -> None:
        self._brokers, self._settings, self._random = brokers, settings, random
        self._transactions: dict[str, Transaction] = {}
        self._producers = 0
        self.commits: list[CommitDecision] = []
        """Every commit in the order of decisions, for whoever looks at it all at the end."""

    def names(self) -> Iterable[str]:
        return list(self._transactions)

    def state(self, name: str) -> State | None:
        """For tests."""
        return self._transactions[name].state if name in self._transactions else None

    def init(self, request: InitProducerId, now: float) -> ProducerId:
        """Raises the epoch. Where a transaction is open it is aborted first, and the answer is: come again."""
        name = request.transactional_id
        if name is None:
            return ProducerId(None, self._new_producer(), 0)
        if not 0 < request.timeout <= self._settings.transaction_timeout_most:
            return ProducerId(InvalidTransactionTimeout)
        transaction = self._known(name, now)
        if transaction is None:
            transaction = self._transactions[name] = Transaction(name, self._new_producer())
        if transaction.state is State.ONGOING:
            self._fence(transaction, now)
        if transaction.state in _DECIDED:
            return ProducerId(ConcurrentTransactions)
        if transaction.epoch >= EPOCH_MAX:
            transaction.producer, transaction.epoch = self._new_producer(), -1
        transaction.epoch += 1
        transaction.state, transaction.timeout, transaction.raised_by_client = State.EMPTY, request.timeout, False
        self._save(transaction, now)
        return ProducerId(None, transaction.producer, transaction.epoch)

    def _new_producer(self) -> int:
        self._producers += 1
        return 999 + self._producers

    def _known(self, name: str, now: float) -> Transaction | None:
        transaction = self._transactions.get(name)
        if transaction is None:
            return None
        expired = now - transaction.updated > self._settings.transactional_id_expiration
        if expired and transaction.state in _MAY_BEGIN:
            del self._transactions[name]
            return None
        return transaction

    def _save(self, transaction: Transaction, now: float) -> None:
        transaction.save(now, self._settings.unflushed)

    def add(self, request: AddPartitions, now: float) -> Error:
        return self.take_part(
            request.transactional_id, request.producer, request.epoch, request.partitions, now, adding=True
        )

    def take_part(
        self, name: str, producer: int, epoch: int, partitions: Iterable[TopicPartition], now: float, *, adding: bool
    ) -> Error:
        """Add partitions to the transaction, which begins with the first one; or check that they are in it."""
        transaction = self._known(name, now)
        if transaction is None or transaction.producer != producer:
            return InvalidProducerIdMapping
        if transaction.epoch != epoch:
            return ProducerFenced
        if transaction.state in _DECIDED:
            return ConcurrentTransactions
        new = [each for each in partitions if each not in transaction.partitions]
        if not new and transaction.state is State.ONGOING:
            return None
        if not adding:
            return InvalidTxnState
        if transaction.state is not State.ONGOING:
            self._begin(transaction, now)
        transaction.partitions.update(dict.fromkeys(new))
        self._save(transaction, now)
        return None

    def _begin(self, transaction: Transaction, now: float) -> None:
        transaction.state, transaction.started = State.ONGOING, now
        self._watch(transaction, now)

    def _watch(self, transaction: Transaction, now: float) -> None:
        """Transactions that are open for too long are found by a scan that comes every so often."""
        scan = self._settings.abort_scan
        when = ceil(max(now, transaction.started + transaction.timeout) / scan) * scan
        self._brokers.at(when, self._time_out, transaction, transaction.started, transaction.term)

    def _time_out(self, transaction: Transaction, started: float, term: int, now: float) -> None:
        if transaction.state is State.ONGOING and transaction.started == started and transaction.term == term:
            self._fence(transaction, now)

    def _fence(self, transaction: Transaction, now: float) -> None:
        """Nobody ever gets this epoch: it makes that of whoever has the transaction open an old one."""
        transaction.epoch += self._settings.transaction_version
        transaction.raised_by_client = self._settings.transaction_version == 2
        self._decide(transaction, State.ABORT_DECIDED, now)

    def end(self, request: EndTransaction, now: float) -> ProducerId:
        transaction = self._known(request.transactional_id, now)
        if transaction is None or transaction.producer != request.producer:
            return ProducerId(InvalidProducerIdMapping)
        state = transaction.state
        repeated = transaction.raised_by_client and state not in (State.ONGOING, State.EMPTY)
        if transaction.epoch != request.epoch + repeated:
            return ProducerId(ProducerFenced)
        wanted = (State.COMMIT_DECIDED, State.COMMITTED) if request.commit else (State.ABORT_DECIDED, State.ABORTED)
        if state is State.ONGOING:
            if self._settings.transaction_version == 2:
                transaction.epoch, transaction.raised_by_client = transaction.epoch + 1, True
            self._decide(transaction, wanted[0], now)
        elif state not in wanted:
            return ProducerId(InvalidTxnState)
        elif state in _DECIDED:
            return ProducerId(ConcurrentTransactions)
        return ProducerId(None, transaction.producer, transaction.epoch)

    def _decide(self, transaction: Transaction, state: State, now: float) -> None:
        transaction.state = state
        if state is State.COMMIT_DECIDED:
            self.commits.append(CommitDecision(now, transaction.producer, tuple(transaction.partitions)))
        self._save(transaction, now)
        self._send_markers(transaction, now)

    def _send_markers(self, transaction: Transaction, now: float) -> None:
        transaction.unmarked = dict(transaction.partitions)
        for partition in transaction.partitions:
            when = now + self._settings.marker.draw(self._random)
            self._brokers.at(
                when, self._mark, transaction, transaction.term, transaction.epoch, transaction.state, partition
            )

    def _mark(
        self, transaction: Transaction, term: int, epoch: int, state: State, partition: TopicPartition, now: float
    ) -> None:
        """Also what a coordinator sent that has been replaced meanwhile arrives: the partition knows better."""
        log = self._brokers.led(partition)
        if log is None and self._brokers.exists(partition):
            if transaction.term == term:
                when = now + MARKER_RETRY_SECONDS
                self._brokers.at(when, self._mark, transaction, term, epoch, state, partition)
            return
        if log is not None:
            commit = state is State.COMMIT_DECIDED
            log.mark(transaction.producer, epoch, term, now, self._brokers.wall(now), commit=commit)
            self._brokers.grown(partition, now)
        if transaction.term == term and transaction.epoch == epoch and transaction.state is state:
            transaction.unmarked.pop(partition, None)
            if not transaction.unmarked:
                when = now + self._settings.completed.draw(self._random)
                self._brokers.at(when, self._complete, transaction, term, epoch, state)

    def _complete(self, transaction: Transaction, term: int, epoch: int, state: State, now: float) -> None:
        if transaction.term != term or transaction.epoch != epoch or transaction.state is not state:
            return
        transaction.state = State.COMMITTED if state is State.COMMIT_DECIDED else State.ABORTED
        transaction.partitions = {}
        self._save(transaction, now)

    def take_over(self, name: str, now: float) -> None:
        """A new coordinator has read the log of its predecessor: it writes the markers of what was decided, all of them."""
        transaction = self._transactions.get(name)
        if transaction is None:
            return
        transaction.term += 1
        if transaction.state in _DECIDED:
            self._send_markers(transaction, now)
        elif transaction.state is State.ONGOING:
            self._watch(transaction, now)

    def forget(self, name: str, after: float) -> None:
        """A power failure: what the coordinator has noted since then is gone."""
        if not self._transactions[name].go_back(after):
            del self._transactions[name]
