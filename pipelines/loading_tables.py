"""A task whose tables are not read yet waits: nothing is evaluated with half a table.

opened ─▶ rows up to the end that was seen ─▶ sources
          └── events wait in their topics, the watermark stands
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.operators.event import Progress


class LoadingTables:
    """The inputs that are tables, each until it was read to the end that was seen first. `names` are those of the inputs."""

    def __init__(self, names: Iterable[str]) -> None:
        self._ends: dict[str, int | None] = dict.fromkeys(names)
        self._progress: dict[str, Progress] = {}

    def met(self, progress: Mapping[str, Progress]) -> None:
        """Everything before these positions is handed over."""
        for name in list(self._ends):
            at = progress.get(name)
            if at is None:
                continue
            end = self._ends[name]
            self._ends[name] = end = at.end_seen if end is None else end
            self._progress[name] = at
            if at.position >= end:
                del self._ends[name]

    @property
    def under_way(self) -> bool:
        return bool(self._ends)

    @property
    def tables(self) -> list[str]:
        """Names of those that are not read yet, as the file has them."""
        return sorted({name.partition(":")[0] for name in self._ends})

    @property
    def left(self) -> int:
        """Records to be read yet, counted by offsets, as far as that is known."""
        return sum(max(0, (end or 0) - self._progress[name].position) for name, end in self._ends.items() if end)
