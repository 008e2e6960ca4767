"""A simulated consumer without a group, as aiokafka's behaves: fetches ahead, hands over, moves positions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    StaleMetadata,
)
from aiokafka.structs import OffsetAndTimestamp, TopicPartition
from tests.simulation import messages as m
from tests.simulation.client_wire import BACKOFF_SECONDS, Wire
from tests.simulation.partition_log import Batch

from penstock.connectors.kafka_port import REQUEST_SECONDS
from penstock.connectors.port import WallClock
from penstock.operators.record import Raw

FETCH_WAIT_SECONDS = 0.25


class _Buffered:
    """What a fetch brought: `records` from `index` on are to be handed over, then the position is `after`."""

    __slots__ = ("after", "index", "position", "records")

    def __init__(self, position: int, batches: Sequence[Batch], *, committed: bool) -> None:
        self.position, self.index = position, 0
        self.after = batches[-1].last + 1
        self.records = [
            record
            for batch in batches
            if not (committed and batch.aborted)
            for record in batch.records
            if record.offset >= position
        ]

    def take(self, most: int | None) -> list[m.Record]:
        end = len(self.records) if most is None else min(len(self.records), self.index + most)
        taken = self.records[self.index : end]
        self.index = end
        self.position = self.records[end - 1].offset + 1 if taken else self.position
        if most is None or len(taken) < most:
            self.position = self.after
        return taken

    @property
    def is_over(self) -> bool:
        return self.position == self.after and self.index == len(self.records)


class _Place:
    """One partition that is read."""

    __slots__ = ("buffered", "end", "error", "paused", "position", "seen_at", "under_way")

    def __init__(self) -> None:
        self.position: int | None = None
        self.paused = self.under_way = False
        self.buffered: _Buffered | None = None
        self.error: KafkaError | None = None
        self.end: int | None = None
        self.seen_at: int | None = None


class SimulatedReader:
    """`Reader` of kafka_port.py."""

    def __init__(self, wire: Wire, clock: WallClock, *, committed: bool, partition_bytes: int) -> None:
        self._wire, self._clock = wire, clock
        self._committed, self._partition_bytes = committed, partition_bytes
        self._places: dict[TopicPartition, _Place] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._turning: asyncio.Handle | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._started = self._closed = False

    async def start(self) -> None:
        await self._wire.start()
        self._started = True

    async def stop(self) -> None:
        self._closed = True
        self._wire.close()
        if self._waiting is not None:
            self._waiting.cancel()
        self._wake()

    def assign(self, partitions: Sequence[TopicPartition], /) -> None:
        self._places = {each: _Place() for each in partitions}
        self._wire.want([each.topic for each in partitions])
        self._turn_soon()

    def seek(self, partition: TopicPartition, offset: int, /) -> None:
        place = self._places[partition]
        place.position, place.buffered, place.error = offset, None, None
        self._turn_soon()

    def pause(self, partition: TopicPartition, /) -> None:
        self._places[partition].paused = True

    def resume(self, partition: TopicPartition, /) -> None:
        self._places[partition].paused = False
        self._turn_soon()

    async def position(self, partition: TopicPartition, /) -> int:
        position = self._places[partition].position
        assert position is not None, "seek first"
        return position

    def highwater(self, partition: TopicPartition, /) -> int | None:
        return self._places[partition].end

    def last_poll_timestamp(self, partition: TopicPartition, /) -> int | None:
        return self._places[partition].seen_at

    # Fetching ahead.

    def _turn_soon(self) -> None:
        if self._turning is None and self._started and not self._closed:
            self._turning = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Ask for whatever is not buffered, not under way and not paused: one request per leader."""
        self._turning = None
        if self._closed:
            return
        wanted: dict[int, dict[TopicPartition, int]] = {}
        for partition, place in self._places.items():
            if place.paused or place.under_way or place.buffered or place.error or place.position is None:
                continue
            leader = self._wire.leader(partition)
            if leader is None or leader < 0:
                self._turn_after_renewal()
            else:
                wanted.setdefault(leader, {})[partition] = place.position
        for leader, offsets in wanted.items():
            self._fetch(leader, offsets)

    def _fetch(self, leader: int, offsets: dict[TopicPartition, int]) -> None:
        places = {each: self._places[each] for each in offsets}
        for place in places.values():
            place.under_way = True
        request = m.Fetch(offsets, self._committed, FETCH_WAIT_SECONDS, self._partition_bytes)
        self._wire.send(leader, request, "fetch").add_done_callback(partial(self._fetched, places, offsets))

    def _fetched(
        self, places: dict[TopicPartition, _Place], offsets: dict[TopicPartition, int], answering: asyncio.Future[m.FetchAnswer]
    ) -> None:  # fmt: skip
        for place in places.values():
            place.under_way = False
        failed = answering.exception() is not None
        if self._closed:
            return
        if failed:
            self._wire.doubt()
            self._turn_after_renewal()
            return
        for partition, answer in answering.result().partitions.items():
            place = places[partition]
            if self._places.get(partition) is place and place.position == offsets[partition]:
                self._take_in(partition, place, answer)
        self._turn_soon()

    def _take_in(self, partition: TopicPartition, place: _Place, answer: m.FetchedPartition) -> None:
        if answer.error is None:
            place.end, place.seen_at = answer.high, self._clock.now()
            if answer.batches:
                assert place.position is not None
                place.buffered = _Buffered(place.position, answer.batches, committed=self._committed)
                self._wake()
        elif answer.error is OffsetOutOfRangeError:
            place.error = OffsetOutOfRangeError({partition: place.position})
            self._wake()
        else:
            self._wire.doubt()
            self._turn_after_renewal()

    def _turn_after_renewal(self) -> None:
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.get_running_loop().create_task(
                self._renew(), name=f"{self._wire.name} looks for leaders"
            )

    async def _renew(self) -> None:
        await self._wire.renew()
        await asyncio.sleep(BACKOFF_SECONDS)
        self._turn_soon()

    # Handing over.

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Mapping[TopicPartition, Sequence[Raw]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1_000
        while True:
            drained = self._drain(partitions or tuple(self._places), max_records)
            seconds = deadline - loop.time()
            if drained or seconds <= 0 or self._closed:
                return drained
            waiter = loop.create_future()
            self._waiters.append(waiter)
            timer = loop.call_at(deadline, _set, waiter)
            await waiter
            timer.cancel()

    def _drain(self, partitions: Sequence[TopicPartition], most: int | None) -> dict[TopicPartition, Sequence[Raw]]:
        drained: dict[TopicPartition, Sequence[Raw]] = {}
        for partition in partitions:
            place = self._places.get(partition)
            if place is None:
                continue
            if place.error is not None and not drained:
                error, place.error = place.error, None
                self._turn_soon()
                raise error
            if place.buffered is not None and most != 0:
                records = self._take(place, most)
                if records:
                    drained[partition] = records
                    most = None if most is None else most - len(records)
        return drained

    def _take(self, place: _Place, most: int | None) -> Sequence[Raw]:
        buffered = place.buffered
        assert buffered is not None
        taken: Sequence[Raw] = ()
        if not place.paused:
            taken = buffered.take(most)
            place.position = buffered.position
        if place.paused or buffered.is_over:
            place.buffered = None
            self._turn_soon()
        return taken

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _set(waiter)

    # Looking for offsets.

    async def beginning_offsets(self, partitions: Sequence[TopicPartition], /) -> Mapping[TopicPartition, int]:
        found = await self._look(dict.fromkeys(partitions, m.EARLIEST))
        return {each: answer.offset for each, answer in found.items()}

    async def end_offsets(self, partitions: Sequence[TopicPartition], /) -> Mapping[TopicPartition, int]:
        found = await self._look(dict.fromkeys(partitions, m.LATEST))
        return {each: answer.offset for each, answer in found.items()}

    async def offsets_for_times(
        self, times: dict[TopicPartition, int], /
    ) -> Mapping[TopicPartition, OffsetAndTimestamp | None]:
        found = await self._look(times)
        return {
            each: OffsetAndTimestamp(answer.offset, answer.timestamp) if answer.offset >= 0 else None
            for each, answer in found.items()
        }

    async def _look(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, m.FoundOffset]:
        now = asyncio.get_running_loop().time
        deadline = now() + REQUEST_SECONDS
        self._wire.want([each.topic for each in times])
        while True:
            try:
                await self._wire.renew_if_in_doubt()
                return await self._look_once(times)
            except KafkaError as error:
                if not error.retriable:
                    raise
                self._wire.doubt()
                if now() + BACKOFF_SECONDS > deadline:
                    raise KafkaTimeoutError(f"no offsets for {REQUEST_SECONDS:g} s") from error
            await asyncio.sleep(BACKOFF_SECONDS)

    async def _look_once(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, m.FoundOffset]:
        by_leader: dict[int, dict[TopicPartition, int]] = {}
        for partition, time in times.items():
            leader = self._wire.leader(partition)
            if leader is None:
                raise StaleMetadata(partition)
            if leader < 0:
                raise LeaderNotAvailableError(partition)
            by_leader.setdefault(leader, {})[partition] = time
        asked = [m.ListOffsets(wanted, self._committed) for wanted in by_leader.values()]
        answers = [await self._wire.ask(leader, each) for leader, each in zip(by_leader, asked, strict=True)]
        found: dict[TopicPartition, m.FoundOffset] = {}
        for answer in answers:
            for partition, each in answer.partitions.items():
                if each.error is not None:
                    raise each.error(partition)
                found[partition] = each
        return found


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
