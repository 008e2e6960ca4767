"""Named places at which a process can be told to die, so that a test kills it exactly there.

    PENSTOCK_FAILPOINT="delta_acknowledged@3" penstock run …      SIGKILL when the third delta is acknowledged

Where nothing is armed, passing a point is a call and a look at a global: about 30 ns, and never once per record.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from penstock.operators.error import Rejected

VARIABLE = "PENSTOCK_FAILPOINT"

FAILPOINTS: Mapping[str, str] = {
    # opening
    "opening": "A task is about to be opened; nobody is fenced yet.",
    "release_awaited": "Kafka: somebody else had it and has not released it; nobody is fenced yet.",
    "fenced": "Kafka: its producer is initialised, so every predecessor is fenced; nothing was read.",
    "sqlite_epoch_written": "SQLite: its epoch is raised, and that is not committed.",
    "sqlite_fenced": "SQLite: its epoch is raised for everybody; nothing was read.",
    "log_read": "Its log was read to the end.",
    "outputs_checked": "Kafka: it is known what the last commit left undone.",
    "restored": "The core knows what the log says; the inputs are not taken up.",
    "inputs_begun": "The inputs stand at their positions; `opened` is not written.",
    "opened": "`opened` is committed; nothing was asked again, nothing was fed.",
    # a commit
    "fed": "Records were fed; what followed from them is in memory only.",
    "trial_fed": "A record was fed alone, because its like may have ended others: what followed from it is in memory only.",
    "cut": "A delta is cut; its commit has not begun.",
    "transaction_begun": "Kafka: a transaction is begun, of which the brokers have not heard.",
    "delta_sent": "Kafka: the records of the delta are on their way.",
    "delta_acknowledged": "Kafka: the delta is written, and nothing else of its transaction.",
    "outputs_sent": "Kafka: images and outputs are on their way.",
    "outputs_acknowledged": "Kafka: everything is written; nobody has asked to commit it.",
    "commit_decided": "Kafka: the end of the transaction was answered; nobody here was told.",
    "epoch_abandoned": "Kafka: after a commit that sent something twice: its producer is given up.",
    "epoch_retired": "Kafka: a new producer of the same task is initialised; the end of the log was not looked at.",
    "sqlite_commit_begun": "SQLite: the lock is taken and the epoch compared.",
    "sqlite_records_written": "SQLite: delta, images and outputs are written, and not committed.",
    "sqlite_log_trimmed": "SQLite: the log is trimmed in the same transaction, which is not committed.",
    "sqlite_committed": "SQLite: the commit is durable; nobody was told.",
    "settled": "A commit was decided and the session knows it.",
    "trimming": "Kafka: the log is about to be trimmed to what the newest images need.",
    "trimmed": "Kafka: the log was trimmed.",
    "offsets_reported": "Kafka: group offsets were sent for dashboards.",
    # a call
    "calling": "A model call has its seat and is about to leave.",
    "answer_arrived": "An answer, or a part of one, has arrived; the core has not seen it.",
    "answer_fed": "An answer was fed; its outcome is in memory only.",
    # membership, and the end
    "assigned": "The process was told of a task; it did nothing about it yet.",
    "sqlite_seats_written": "SQLite: a heartbeat and the seats are written, and not committed.",
    "releasing": "A task is to be released: its last delta is not cut.",
    "released": "The last delta of a task is committed and marked; its log is still open.",
    "log_closed": "A task's log is closed; the process is still a member of the group.",
    "leaving": "Every task is closed; the group was not told yet.",
}
"""Every point by its name, in about the order in which a process passes them."""


class Armed:
    """One point at which this process dies, when it is passed for the `count`-th time."""

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count

    def passed(self, name: str) -> None:
        if name != self.name:
            return
        self.count -= 1
        if self.count == 0:
            os.kill(os.getpid(), signal.SIGKILL)


_armed: Armed | None = None


def failpoint(name: str) -> None:
    """This place is passed: die here, if that was asked for."""
    if _armed is not None:
        _armed.passed(name)


def arm(text: str) -> None:
    """From now on this process dies at `name` or `name@count`. Raises Rejected for anything else."""
    global _armed
    name, at, count = text.partition("@")
    if name not in FAILPOINTS:
        raise Rejected(f"there is no failpoint {name!r}", where=VARIABLE, remedy="they are in connectors/failpoint.py")
    if at and not (count.isascii() and count.isdecimal() and int(count)):
        raise Rejected(f"{count!r} is no number of times", where=VARIABLE, remedy="write name@1 or a higher number")
    _armed = Armed(name, int(count or 1))
