"""What keys remember for triggers and aggregates of other definitions: carried through untouched (protocol rule 16).

    definition A ─▶ cells, aggregates ─▶ B, which does not know them: carried from image to image ─▶ A again: taken up
                                                                                               └──▶ too long ago: dropped

A cell is taken up as it was. An aggregate that missed an event would give a wrong value without saying so: with the first
event that its key takes in meanwhile it is dropped, and begins anew when its definition comes back. So is a key's last event.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

CARRIED_MS = 7 * 86_400_000
"""How long (processing time) what no definition knows is carried through."""
EVENT_CELL = "event"
"""The cell that holds a key's last event, where a condition may read it when time passes. No trigger has this identity."""

_encode = msgspec.msgpack.encode


class Tail(NamedTuple):
    """An aggregate as an image had it (encoded; None: no image had it), and what it took since: time, value, N, time, …"""

    base: bytes | None
    taken: list[Any]


class Parts:
    """What one key carries, by identity; cells are encoded."""

    __slots__ = ("aggregates", "cells")

    def __init__(self) -> None:
        self.aggregates: dict[str, Tail] = {}
        self.cells: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self.aggregates or self.cells)


class Carried:
    """By key, and only for keys that carry anything."""

    def __init__(self) -> None:
        self._parts: dict[str, Parts] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    def keep_cell(self, key: str, identity: str, dumped: Any) -> None:
        """What a trigger remembers; None: nothing any more."""
        if dumped is not None:
            self._of(key).cells[identity] = _encode(dumped)
        elif key in self._parts:
            self._parts[key].cells.pop(identity, None)
            self._drop_if_empty(key)

    def keep_aggregate(self, key: str, identity: str, base: Any, taken: Iterable[Any] = ()) -> None:
        """The whole of an aggregate; one that holds nothing need not be kept."""
        tail = Tail(None if _is_empty(base) else _encode(base), list(taken))
        if tail.base is not None or tail.taken:
            self._of(key).aggregates[identity] = tail

    def take(self, key: str, identity: str, time: int, value: Any, now: int) -> None:
        """An aggregate took an event."""
        aggregates = self._of(key).aggregates
        if identity not in aggregates:
            aggregates[identity] = Tail(None, [])
        aggregates[identity].taken.extend((time, value, now))

    def miss(self, key: str, known: Collection[str] = ()) -> None:
        """The key took in an event, which went by all aggregates but the `known` ones."""
        parts = self._parts.get(key)
        if parts is None:
            return
        parts.aggregates = {identity: tail for identity, tail in parts.aggregates.items() if identity in known}
        parts.cells.pop(EVENT_CELL, None)
        self._drop_if_empty(key)

    def forget(self, identities: Collection[str]) -> None:
        """Nobody will come for these. O(keys that carry anything)."""
        for key, parts in list(self._parts.items()):
            for identity in identities:
                parts.aggregates.pop(identity, None)
                parts.cells.pop(identity, None)
            self._drop_if_empty(key)

    def drop(self, key: str) -> None:
        self._parts.pop(key, None)

    def identities(self) -> set[str]:
        """Of everything that is carried, for whichever key. O(keys that carry anything)."""
        found = {identity for parts in self._parts.values() for identity in (*parts.cells, *parts.aggregates)}
        return found - {EVENT_CELL}

    def has_cell(self, key: str, trigger: str) -> bool:
        """Whether a former meaning of this trigger remembers something."""
        parts = self._parts.get(key)
        return parts is not None and any(identity.startswith(f"{trigger}:") for identity in parts.cells)

    def cells(self, key: str) -> Mapping[str, msgspec.Raw]:
        """For the key's image."""
        parts = self._parts.get(key)
        return {} if parts is None else {identity: msgspec.Raw(cell) for identity, cell in parts.cells.items()}

    def aggregates(self, key: str) -> Mapping[str, tuple[msgspec.Raw | None, list[Any]]]:
        """For the key's image."""
        parts = self._parts.get(key)
        return {} if parts is None else {
            identity: (None if tail.base is None else msgspec.Raw(tail.base), tail.taken)
            for identity, tail in parts.aggregates.items()
        }  # fmt: skip

    def _of(self, key: str) -> Parts:
        return self._parts.setdefault(key, Parts())

    def _drop_if_empty(self, key: str) -> None:
        if not self._parts[key]:
            del self._parts[key]


def _is_empty(dumped: Any) -> bool:
    """No image, or one of lists that hold nothing."""
    return dumped is None or (isinstance(dumped, list) and all(part is not None and _is_empty(part) for part in dumped))
