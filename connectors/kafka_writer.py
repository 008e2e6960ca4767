"""One commit of one task is one transaction of its producer (protocol rules 2, 3 and 4).

    begin ─▶ delta records ─ acknowledged ─▶ images, outputs ─ acknowledged ─▶ end of transaction ─▶ decided

aiokafka commits although a send of the transaction failed, and is of no use after a batch that the broker refused. So every
future is awaited before the end, and whatever goes wrong ends the writer: only the log can say what became of it.

aiokafka repeats a request that was not answered, and a late copy of the first one may end a later transaction of the same
epoch before that is whole. So after such a commit the epoch is retired before anything else is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from aiokafka.errors import InvalidProducerEpoch, InvalidProducerIdMapping, ProducerFenced

from penstock.connectors.failpoint import failpoint
from penstock.connectors.kafka_error import cause
from penstock.connectors.kafka_fence import Fence
from penstock.connectors.kafka_port import Sending, TransactionalProducer
from penstock.connectors.partition import places_of
from penstock.operators.error import Fenced, Indefinite, Refused
from penstock.operators.record import Headers, Output
from penstock.state.codec import LogRecord

_FENCED = (ProducerFenced, InvalidProducerEpoch, InvalidProducerIdMapping)


class Writer:
    """Partition `partition` of the log and of every output topic, for whoever holds the fence."""

    def __init__(
        self, fence: Fence, log: str, partition: int, limits: Mapping[str, int], counts: Mapping[str, int],
        seconds: float,
    ) -> None:  # fmt: skip
        """`limits`: bytes of the largest batch per output topic, `counts`: its partitions. `seconds` bound one commit."""
        self._fence, self._log, self._partition = fence, log, partition
        self._limits, self._counts, self._seconds = limits, counts, seconds
        self._made: TransactionalProducer | None = None
        self._given_up = False
        self._deciding = False

    async def start(self) -> None:
        """Take the fence. Raises NotOurs, Unreachable."""
        self._made = await self._fence.take()

    @property
    def _producer(self) -> TransactionalProducer:
        assert self._made is not None, "start the writer first"
        return self._made

    @property
    def stale(self) -> bool:
        """A copy of what ended the last transaction may still be under way: retire the epoch before the next one."""
        return self._producer.resent > 0

    async def retire(self, check: Callable[[], Awaitable[None]]) -> None:
        """Take the fence again. `check` has to find that nobody had it meanwhile: whatever it raises ends the writer.

        Raises NotOurs, Unreachable, and what `check` raises.
        """
        self._given_up = True
        await self._producer.abandon()
        failpoint("epoch_abandoned")
        await self.start()
        failpoint("epoch_retired")
        await check()
        self._given_up = False

    def check(self, outputs: Iterable[Output]) -> None:
        """Raises Refused for the first output that its topic would not take (protocol rule 15)."""
        for output in outputs:
            size = self._producer.batch_bytes(output.key, output.value, list(output.headers))
            limit = self._limits[output.topic]
            if size > limit:
                raise Refused(output, f"{size} bytes, but {output.topic} takes at most {limit}")

    async def commit(
        self, delta: Sequence[LogRecord], images: Sequence[LogRecord], outputs: Sequence[Output], follows: int | None
    ) -> tuple[int, dict[str, int]]:
        """Returns the offset of the first record, and the last own offset per output topic, when decided.

        `follows`: the offset at which the first record has to come to lie, where that is known. Raises Fenced when nothing
        was committed because somebody opened the task, Indefinite when it is not known whether anything was.
        """
        if self._given_up:
            raise Indefinite("the log was given up after a commit that failed", where=self._where)
        self._given_up, self._deciding = True, False
        try:
            async with asyncio.timeout(self._seconds):
                result = await self._transaction(delta, images, outputs, follows)
        except Fenced:
            raise
        except Exception as error:
            raise self._lost(error) from error
        self._given_up = False
        return result

    async def _transaction(
        self, delta: Sequence[LogRecord], images: Sequence[LogRecord], outputs: Sequence[Output], follows: int | None
    ) -> tuple[int, dict[str, int]]:
        await self._producer.begin_transaction()
        failpoint("transaction_begun")
        sending = [await self._send_record(record) for record in delta]
        failpoint("delta_sent")
        first = (await asyncio.gather(*sending))[0].offset
        failpoint("delta_acknowledged")
        if follows is not None and first != follows:
            raise Fenced(
                f"somebody wrote to the log after it was read (to {follows}, at {first} now)", where=self._where
            )
        sending = [await self._send_record(record) for record in images]
        plain = [output for output in outputs if output.spread is None]
        spread = [output for output in outputs if output.spread is not None]
        sending += [await self._send_output(output) for output in plain]
        sending += [sent for output in spread for sent in await self._spread(output)]
        failpoint("outputs_sent")
        written = await asyncio.gather(*sending)
        failpoint("outputs_acknowledged")
        self._deciding = True
        await self._producer.commit_transaction()
        failpoint("commit_decided")
        return first, {each.topic: each.offset for each in written[len(images) : len(images) + len(plain)]}

    async def _send_record(self, record: LogRecord) -> Sending:
        return await self._send(self._log, record.value, record.key, record.headers, self._partition)

    async def _send_output(self, output: Output) -> Sending:
        (sending,) = await self._spread(output)
        return sending

    async def _spread(self, output: Output) -> list[Sending]:
        value, places = written_value(output), places_of(output, self._partition, self._counts[output.topic])
        return [await self._send(output.topic, value, output.key, output.headers, place) for place in places]

    async def _send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, partition: int
    ) -> Sending:
        sending = await self._producer.send(topic, value, key, partition, headers=list(headers))
        sending.add_done_callback(_retrieve)
        return sending

    def _lost(self, error: Exception) -> Fenced | Indefinite:
        """A fence that shows at the end of a transaction says nothing: the end may have been sent twice."""
        if isinstance(error, _FENCED) and not self._deciding:
            return Fenced("somebody opened the task after us", where=self._where)
        reason = (
            f"no end after {self._seconds:g} s"
            if isinstance(error, TimeoutError)
            else cause(self._producer.ended_by or error)
        )
        return Indefinite(f"it is not known whether a commit went through ({reason})", where=self._where)

    @property
    def _where(self) -> str:
        return f"{self._log}/{self._partition}"

    async def close(self) -> None:
        """Nothing more leaves this writer. What was begun and not decided is aborted by the next who opens the task."""
        self._given_up = True
        if self._made is not None:
            await self._made.abandon()


def written_value(output: Output) -> bytes | None:
    """As it lies on the topic: a record without key and value is nothing that aiokafka would send."""
    return b"" if output.key is None and output.value is None else output.value


def _retrieve(sending: Sending) -> None:
    """The first send that fails ends the transaction; asyncio would complain of the others, which nobody awaits any more."""
    if not sending.cancelled():
        sending.exception()
