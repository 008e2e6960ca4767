"""Ids that were sent already: a memory that is bounded, and kept as marks beside the records that the ids belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from penstock.connectors.embedded_store import Marks

SEEN_MAX = 65_536
_PREFIX = "id:"


class Seen:
    """`marks` are those of the input when it was opened. The oldest of more than `most` ids is forgotten."""

    def __init__(self, marks: Mapping[str, bytes], most: int = SEEN_MAX) -> None:
        ids = [(int.from_bytes(number), name) for name, number in marks.items() if name.startswith(_PREFIX)]
        self._names = {name: number for number, name in sorted(ids)}
        self._next = max(self._names.values(), default=0) + 1
        self._most = most

    def __contains__(self, id: str) -> bool:
        return _name(id) in self._names

    def add(self, ids: Iterable[str]) -> Marks:
        """Take note of ids, and say what is to be marked together with their records."""
        new = {_name(id): self._next + place for place, id in enumerate(ids)}
        self._next += len(new)
        self._names.update(new)
        dropped = list(self._names)[: max(0, len(self._names) - self._most)]
        for name in dropped:
            del self._names[name]
        put = {name: number.to_bytes(8) for name, number in new.items() if name in self._names}
        return Marks(put, dropped)


def _name(id: str) -> str:
    """Of one size, however long the id is."""
    return _PREFIX + blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
