"""What `mutations.py` does to the product: each function breaks one promise, by replacing one method."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partialmethod
from itertools import chain, count
from typing import Any

import msgspec
import pytest
from aiokafka.structs import TopicPartition
from tests.simulation import world

from penstock.connectors.kafka import KafkaBroker
from penstock.connectors.kafka_fence import Fence
from penstock.connectors.kafka_inputs import Inputs
from penstock.connectors.kafka_log import KafkaTaskLog
from penstock.connectors.kafka_repair import Stock
from penstock.connectors.kafka_writer import Writer
from penstock.connectors.lease import Lease
from penstock.connectors.port import Committed, TaskId
from penstock.operators import agent, occasion
from penstock.operators.carried import Carried
from penstock.operators.continuation import Continues
from penstock.operators.definitions import Definitions
from penstock.operators.error import Indefinite
from penstock.operators.event import Effect, Progress
from penstock.operators.inputs import Inputs as TaskInputs
from penstock.operators.merge import Merge
from penstock.operators.record import Output
from penstock.operators.runs import Runs
from penstock.operators.task import Cut, Task
from penstock.operators.watermark import Origin
from penstock.pipelines import run, saving
from penstock.pipelines.deference import Deference
from penstock.pipelines.keeper import Keeper
from penstock.pipelines.kept import KeptAnswers
from penstock.pipelines.run import Session
from penstock.pipelines.saving import Saving
from penstock.state.codec import LogRecord
from penstock.state.delta import Bucket, Clock, Delta, Position
from penstock.state.journal import Journal

Patch = pytest.MonkeyPatch
LATE_SECONDS = 0.3
"""Events come in between."""


def read_before_the_fence(patch: Patch) -> None:
    patch.setattr(KafkaBroker, "__init__", partialmethod(KafkaBroker.__init__, unsafe_read_before_fence=True))


def fence_nobody(patch: Patch) -> None:
    """Every opening has a transactional id of its own, as if it were meant to name the process."""
    plain, numbers = KafkaBroker._fence_of, count()

    def fence_of(broker: KafkaBroker, task: TaskId) -> Fence:
        fence = plain(broker, task)
        fence._id = f"{fence._id}.{next(numbers)}"
        return fence

    patch.setattr(KafkaBroker, "_fence_of", fence_of)


def let_opened_lie_anywhere(patch: Patch) -> None:
    patch.setattr(KafkaTaskLog, "_follows", None)


Sent = tuple[int, dict[str, int]]


def outputs_apart(patch: Patch) -> None:
    plain = Writer._transaction

    async def transaction(
        writer: Writer, delta: Sequence[LogRecord], images: Sequence[LogRecord], outputs: Sequence[Output], follows: int | None
    ) -> Sent:  # fmt: skip
        first, _ = await plain(writer, delta, images, (), follows)
        await writer._producer.begin_transaction()
        written = await asyncio.gather(*[await writer._send_output(output) for output in outputs])
        await writer._producer.commit_transaction()
        return first, {each.topic: each.offset for each in written}

    patch.setattr(Writer, "_transaction", transaction)


def outputs_first(patch: Patch) -> None:
    async def transaction(
        writer: Writer, delta: Sequence[LogRecord], images: Sequence[LogRecord], outputs: Sequence[Output], follows: int | None
    ) -> Sent:  # fmt: skip
        await writer._producer.begin_transaction()
        told = await asyncio.gather(*[await writer._send_output(output) for output in outputs])
        written = await asyncio.gather(*[await writer._send_record(record) for record in chain(delta, images)])
        await writer._producer.commit_transaction()
        return written[0].offset, {each.topic: each.offset for each in told}

    patch.setattr(Writer, "_transaction", transaction)


def repeat_commits(patch: Patch) -> None:
    plain = KafkaTaskLog.commit

    async def commit(
        log: KafkaTaskLog, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()
    ) -> Committed:
        try:
            return await plain(log, delta, outputs, buckets)
        except Indefinite:
            await log._writer.retire(_look_at_nothing)
            return await plain(log, delta, outputs, buckets)

    patch.setattr(KafkaTaskLog, "commit", commit)


async def _look_at_nothing() -> None:
    """In the place of the look at the end of the log."""


def keep_epochs(patch: Patch) -> None:
    patch.setattr(Writer, "stale", False)


def look_at_nothing(patch: Patch) -> None:
    plain = Writer.retire

    async def retire(writer: Writer, check: object) -> None:
        await plain(writer, _look_at_nothing)

    patch.setattr(Writer, "retire", retire)


def encode_late(patch: Patch) -> None:
    plain = Saving._carry_out

    async def carry_out(session: Saving, cut: Cut, buckets: Sequence[Bucket], counts: Any) -> Committed:
        if buckets:
            await asyncio.sleep(LATE_SECONDS)
        late = [session._core.image(bucket.index, bucket.of, bucket.seq) for bucket in buckets]
        return await plain(session, cut, late, counts)

    patch.setattr(Saving, "_carry_out", carry_out)


def trim_early(patch: Patch) -> None:
    """To the last delta, whatever the images need."""
    patch.setattr(Journal, "trim_to", lambda journal: journal._last_delta_at)


def trim_ahead(patch: Patch) -> None:
    """To where the bucket is about to be written that makes the rest superfluous."""
    plain = KafkaTaskLog.commit

    async def commit(
        log: KafkaTaskLog, delta: Delta, outputs: Sequence[Output], buckets: Sequence[Bucket] = ()
    ) -> Committed:
        if any(bucket.of == 1 for bucket in buckets):
            ends = await log._ends.end_offsets([log._partition])
            await log._admin.delete_records(log._partition, ends[log._partition])
        return await plain(log, delta, outputs, buckets)

    patch.setattr(KafkaTaskLog, "commit", commit)


def repair_nothing(patch: Patch) -> None:
    patch.setattr(Stock, "missing", ())


def follow_group_offsets(patch: Patch) -> None:
    plain = KafkaTaskLog.begin

    async def begin(log: KafkaTaskLog, positions: Mapping[str, Position]) -> dict[str, Position]:
        clients: Any = log._clients
        known = clients._network.cluster.groups.offsets(log._layout.group).offsets
        partition = log.task.partition
        return await plain(
            log, {topic: Position(known.get(TopicPartition(topic, partition), 0)) for topic in log._layout.inputs}
        )

    patch.setattr(KafkaTaskLog, "begin", begin)


def wait_for_no_release(patch: Patch) -> None:
    """Whoever is given a task begins at once."""
    patch.setattr(KafkaBroker, "_await_release", _at_once)


def finish_nothing(patch: Patch) -> None:
    """Whoever loses a task drops it."""
    patch.setattr(Session, "_release", _at_once)


async def _at_once(*_: object) -> None:
    """Nothing is waited for."""


def ignore_lease(patch: Patch) -> None:
    """Nor is the group asked whether the task is still ours when somebody else has opened it."""
    patch.setattr(Lease, "left", lambda lease, now: 60.0)
    patch.setattr(Keeper, "_until_confirmed", _at_once)


def ask_at_once(patch: Patch) -> None:
    plain = Session._declare

    async def declare(session: Session) -> None:
        core: Any = session.core
        opening = core.opening

        def asking(*arguments: Any) -> Iterator[list[Effect]]:
            for effects in opening(*arguments):
                session._perform(effects)
                yield []

        core.opening = asking
        await plain(session)

    patch.setattr(Session, "_declare", declare)


def forget_answers(patch: Patch) -> None:
    patch.setattr(KeptAnswers, "find", lambda kept, question: None)


def same_call_id(patch: Patch) -> None:
    patch.setattr(agent, "call_id", lambda question, attempt: question)


def count_runs(patch: Patch) -> None:
    numbers = count()
    patch.setattr(occasion, "run_id", lambda partition, *_: f"{partition}-{next(numbers):024x}")


def tell_silence_by_the_clock(patch: Patch) -> None:
    plain = TaskInputs.let_silence_pass

    def let_silence_pass(inputs: TaskInputs, progress: Mapping[str, Progress]) -> None:
        plain(inputs, progress)
        for origin in inputs.origins.values():
            origin.fall_silent(Progress(0, 0, inputs.tick))

    patch.setattr(TaskInputs, "let_silence_pass", let_silence_pass)


def take_old_news_for_new(patch: Patch) -> None:
    """What an answer says of the end of an input counts as of when it came, however long that took."""
    plain = Inputs._note_progress

    async def note_progress(inputs: Inputs, topic: str, partition: TopicPartition) -> None:
        inputs._came_at[topic] = inputs._reader.last_poll_timestamp(partition) or inputs._came_at[topic]
        before = inputs._progress[topic]
        await plain(inputs, topic, partition)
        seen_at = max(inputs._came_at[topic], before.seen_at)
        inputs._progress[topic] = msgspec.structs.replace(inputs._progress[topic], seen_at=seen_at)

    patch.setattr(Inputs, "_note_progress", note_progress)


def let_any_input_lead(patch: Patch) -> None:
    """Time is as far as the input that is furthest ahead."""
    furthest = property(lambda inputs: max(origin.watermark for origin in inputs.origins.values()))
    patch.setattr(TaskInputs, "least", furthest)


def wait_for_no_input(patch: Patch) -> None:
    """A merge gives out what it has."""
    patch.setattr(Merge, "_waited_enough", lambda merge, now: True)


def take_what_waits_for_read(patch: Patch) -> None:
    """What waits in a merge lies behind the positions that are saved."""
    patch.setattr(TaskInputs, "holds", lambda inputs, topic: False)


def forget_watermarks(patch: Patch) -> None:
    plain = Origin.clock

    def clock(origin: Origin, reached: int) -> Clock:
        return msgspec.structs.replace(plain(origin, reached), event_time=None, watermark=None)

    patch.setattr(Origin, "clock", clock)


def measure_nothing(patch: Patch) -> None:
    """Outputs are sent, however large they are."""
    patch.setattr(Writer, "check", _not_looked_at)


def be_patient(patch: Patch) -> None:
    """A task that commits nothing is left as it is."""
    for module in (run, saving):
        patch.setattr(module, "STUCK_SECONDS", 1e6)


def drop_former_runs(patch: Patch) -> None:
    """Those that were begun under another definition than the present one."""
    plain = Runs.reopen

    def reopen(runs: Runs, continues: Continues) -> Iterator[None]:
        definitions: Any = runs._plan_of
        present = definitions.__self__._plan.digest
        for former in [each for each in runs._runs.values() if each.definition != present]:
            runs.restore({former.id: None})
        yield from plain(runs, continues)

    patch.setattr(Runs, "reopen", reopen)


def ask_by_the_present_file(patch: Patch) -> None:
    patch.setattr(Definitions, "plan_of", lambda definitions, run: definitions._plan)


def defer_to_nobody(patch: Patch) -> None:
    patch.setattr(Deference, "look_at", lambda deference, last, where: None)


def carry_nothing(patch: Patch) -> None:
    """What a definition does not know is thrown away."""
    for name in ("keep_cell", "keep_aggregate", "take"):
        patch.setattr(Carried, name, _not_looked_at)


def miss_nothing(patch: Patch) -> None:
    """An aggregate that its definition left for a while counts on, as if nothing had happened meanwhile."""
    patch.setattr(Carried, "miss", _not_looked_at)


def turn_outputs_round(patch: Patch) -> None:
    plain = Task.cut

    def cut(core: Task, **arguments: Any) -> Cut:
        delta, outputs = plain(core, **arguments)
        return Cut(delta, outputs[::-1])

    patch.setattr(Task, "cut", cut)


def look_at_what_is_told_alone(patch: Patch) -> None:
    """As a consumer would: what else has to hold of a run is not looked at."""
    for name in [name for name in vars(world) if name.startswith("check_")]:
        patch.setattr(world, name, _not_looked_at)


def _not_looked_at(*_: object) -> None:
    """In the place of a check."""
