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
"""The cell that holds a key's last event, where a condition may read it when time passes. No trigger has this identity.

For the last event of a group it is followed by a blank and what its grouping is.
"""
TENANT_CELL = "tenant"
"""The cell that says whose a key is, where sources do. No trigger has this identity."""
_GROUP = "\0"
"""Before the name of a group, in the name of a cell. Neither identities nor canonical JSON have this character."""

_encode = msgspec.msgpack.encode


class Tail(NamedTuple):
    """An aggregate as an image had it (encoded; None: no image had it), and what it took since: time, value, N, time, …"""

    base: bytes | None
    taken: list[Any]


def cell_name(identity: str, group: str) -> str:
    """What the log calls the cell of a trigger, or the last event, of a group; without a name (`ONLY`), of a key."""
    return f"{identity}{_GROUP}{group}" if group else identity


def cell_parts(name: str) -> tuple[str, str]:
    """Identity and group of a cell."""
    identity, _, group = name.partition(_GROUP)
    return identity, group


def is_event(identity: str) -> bool:
    """It is that of a last event."""
    return identity == EVENT_CELL or identity.startswith(f"{EVENT_CELL} ")


class Parts:
    """What one key carries, by identity; cells by group, too, and last events by their whole names. Cells are encoded."""

    __slots__ = ("aggregates", "cells", "events")

    def __init__(self) -> None:
        self.aggregates: dict[str, Tail] = {}
        self.cells: dict[str, dict[str, bytes]] = {}
        self.events: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self.aggregates or self.cells or self.events)


class Carried:
    """By key, and only for keys that carry anything. Nothing here takes longer the more keys there are."""

    def __init__(self) -> None:
        self._parts: dict[str, Parts] = {}
        self._kept: set[str] = set()
        self._forgotten: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def keep_cell(self, key: str, name: str, dumped: Any) -> None:
        """What a trigger remembers, or a last event; None: nothing any more."""
        identity, group = cell_parts(name)
        if dumped is None:
            self._drop_cell(key, identity, group)
        elif is_event(identity):
            self._parts.setdefault(key, Parts()).events[name] = _encode(dumped)
        else:
            self._of(key, identity).cells.setdefault(identity, {})[group] = _encode(dumped)

    def _drop_cell(self, key: str, identity: str, group: str) -> None:
        parts = self._parts.get(key)
        groups = None if parts is None else parts.cells.get(identity)
        if parts is None or groups is None:
            return
        groups.pop(group, None)
        if not groups:
            del parts.cells[identity]
            self._drop_if_empty(key)

    def keep_aggregate(self, key: str, identity: str, base: Any, taken: Iterable[Any] = ()) -> None:
        """The whole of an aggregate; one that holds nothing need not be kept."""
        tail = Tail(None if is_empty(base) else _encode(base), list(taken))
        if tail.base is not None or tail.taken:
            self._of(key, identity).aggregates[identity] = tail

    def take(self, key: str, identity: str, time: int, value: Any, now: int) -> None:
        """An aggregate took an event."""
        aggregates = self._of(key, identity).aggregates
        if identity not in aggregates:
            aggregates[identity] = Tail(None, [])
        aggregates[identity].taken.extend((time, value, now))

    def _of(self, key: str, identity: str) -> Parts:
        self._kept.add(identity)
        return self._parts.setdefault(key, Parts())

    def miss(self, key: str, known: Collection[str] = ()) -> None:
        """The key took in an event, which went by all aggregates and last events but the `known` ones."""
        parts = self._parts.get(key)
        if parts is not None:
            parts.aggregates = {identity: tail for identity, tail in parts.aggregates.items() if identity in known}
            parts.events = {name: cell for name, cell in parts.events.items() if cell_parts(name)[0] in known}
            self._drop_if_empty(key)

    def _drop_if_empty(self, key: str) -> None:
        if not self._parts[key]:
            del self._parts[key]

    def drop(self, key: str) -> None:
        self._parts.pop(key, None)

    def forget(self, identities: Collection[str]) -> None:
        """Nobody will come for these: they are not found any more, and go with the next image of their keys at the latest."""
        self._forgotten |= frozenset(identities)
        if not self.identities():
            self._parts = {}

    def identities(self) -> set[str]:
        """Of everything that may be carried, for whichever key."""
        return self._kept - self._forgotten

    def has_cell(self, key: str, trigger: str, group: str = "") -> bool:
        """Whether a former meaning of this trigger remembers something of the key, or of a group of it."""
        cells = self._left(key).cells.items()
        return any(identity.startswith(f"{trigger}:") and group in groups for identity, groups in cells)

    def cells(self, key: str) -> Mapping[str, msgspec.Raw]:
        """For the key's image."""
        parts = self._left(key)
        cells = {cell_name(each, name): cell for each, groups in parts.cells.items() for name, cell in groups.items()}
        return {name: msgspec.Raw(cell) for name, cell in {**cells, **parts.events}.items()}

    def aggregates(self, key: str) -> Mapping[str, tuple[msgspec.Raw | None, list[Any]]]:
        """For the key's image."""
        return {
            identity: (None if tail.base is None else msgspec.Raw(tail.base), tail.taken)
            for identity, tail in self._left(key).aggregates.items()
        }

    def _left(self, key: str) -> Parts:
        """Without what is forgotten."""
        parts = self._parts.get(key)
        if parts is None:
            return _NOTHING
        for identity in self._forgotten:
            parts.cells.pop(identity, None)
            parts.aggregates.pop(identity, None)
        self._drop_if_empty(key)
        return parts


_NOTHING = Parts()


def is_empty(dumped: Any) -> bool:
    """Of the content of an aggregate: no image, or one of lists that hold nothing, or of no groups."""
    if isinstance(dumped, dict):
        return not dumped
    return dumped is None or (isinstance(dumped, list) and all(part is not None and is_empty(part) for part in dumped))
