"""A writer appends, rotates and empties a file as it likes; whoever follows it is killed at any moment. Every line comes once."""

from __future__ import annotations

import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.file_follow import Follower

LATE_LAPS = 3
"""So long a writer may go on writing into a file that was rotated away: less than the follower's grace."""


class World:
    """`written` holds the lines of every file in their order, `read` those that were committed together with their marks."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self.path, self._patterns, self._looks_for_all = folder / "app.log", [str(folder / pattern)], "*" in pattern
        self.written: list[list[bytes]] = [[]]
        self.read: list[bytes] = []
        self.marks: dict[str, bytes] = {}
        self._now, self._laps, self._rotated_at = 0.0, 0, -100
        self._seen = False
        self._half = b""
        self._number = 0
        self.restart()

    def restart(self) -> None:
        self._follower = Follower(self._patterns, self.marks)

    def lap(self, portions: int | None = None) -> None:
        """`portions`: it is killed after so many were committed, with the next one in its hands."""
        self._now += 0.25
        self._laps += 1
        lap = self._follower.lap(self._now)
        for portion in lap if portions is None else islice(lap, portions):
            self.read += portion.lines
            self.marks = {name: mark for name, mark in self.marks.items() if name not in portion.drop}
            self.marks.update(portion.put)
        if portions is None:
            self._seen = self._seen or self.path.exists()
        else:
            next(lap, None)
            self.restart()

    def write(self, path: Path, generation: int, count: int) -> None:
        lines = [b"%d %s" % (self._number + each, b"x" * (self._number % 700)) for each in range(count)]
        self._number += count
        with path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        self.written[generation] += lines

    def append(self, count: int) -> None:
        if not self._half:
            self.write(self.path, -1, count)

    def half(self) -> None:
        """Half of a line, then the other half."""
        if self._half:
            end = b" end"
            self.written[-1].append(self._half + end)
            piece, self._half = end + b"\n", b""
        else:
            piece = self._half = b"%d half" % self._number
            self._number += 1
        with self.path.open("ab") as file:
            file.write(piece)

    def rotate(self) -> None:
        """A file that came and went while nobody looked is only found by a pattern that means it."""
        if self.path.exists() and not self._half and (self._seen or self._looks_for_all):
            self.path.rename(self.path.with_suffix(f".log.{len(self.written)}"))
            self.written.append([])
            self._seen, self._rotated_at = False, self._laps

    def late(self) -> None:
        if self._laps - self._rotated_at <= LATE_LAPS:
            self.write(self.path.with_suffix(f".log.{len(self.written) - 1}"), -2, 1)

    def empty(self) -> None:
        """As `copytruncate` does, at a moment when everything was read. What is in it then is not known by what was before."""
        if self.path.exists() and not self._half:
            self.lap()
            self.path.write_bytes(b"")
            self._seen = False


STEPS = st.lists(
    st.one_of(
        st.integers(1, 40).map(lambda count: ("append", count)),
        st.sampled_from([("half",), ("rotate",), ("late",), ("empty",), ("lap",), ("restart",)]),
        st.integers(0, 3).map(lambda portions: ("lap", portions)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@settings(deadline=None)
@given(steps=STEPS)
def test_every_line_comes_once_and_in_the_order_of_its_file(pattern: str, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), pattern)
        for name, *arguments in steps:
            getattr(world, name)(*arguments)
        world.lap()
        world.lap()
    expected = [line for file in world.written for line in file]
    assert Counter(world.read) == Counter(expected)
    for file in world.written:
        assert [line for line in world.read if line in set(file)] == file
