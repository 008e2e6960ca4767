"""One input as it is read: to its end, or up to the first record at or behind a time, where something else comes first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.operators.record import DeadLetter
from penstock.pipelines.backtest_feed import Reader, Recorded
from penstock.pipelines.backtest_input import Block


class Cursor:
    """`told` hears how many bytes were read since."""

    def __init__(self, reader: Reader, blocks: Iterator[Block], told: Callable[[int], None]) -> None:
        self.reader = reader
        self._blocks, self._told = blocks, told
        self._rest: list[Recorded] = []
        self.over = False

    def next(self, until: int | None) -> list[Recorded] | None:
        """What is fed next; None where nothing is left before `until`."""
        if not self._rest:
            block = next(self._blocks, None)
            if block is None:
                self.over = True
                return None
            self._told(block.read)
            self._rest = self.reader.decoded(block)
        place = len(self._rest) if until is None else _place(self._rest, until)
        if place == 0:
            return None
        found, self._rest = self._rest[:place], self._rest[place:]
        return self.reader.shared(found)


def _place(records: list[Recorded], until: int) -> int:
    """Of the first record at or behind a time; what cannot be read has none."""
    places = enumerate(record.read for record in records)
    return next((place for place, read in places if type(read) is not DeadLetter and read[1] >= until), len(records))
