"""What changed since the last cut: the makings of the next delta."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from penstock.operators.record import Output
from penstock.state.delta import Fact, Forgotten, TableRow

FACT_OVERHEAD_BYTES = 40


class Unsaved:
    """Facts and outputs in the order in which they came; of cells and runs only the names: their newest value is saved."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: it is in a delta now."""
        self.facts: list[Fact] = []
        self.forgotten: list[Forgotten] = []
        self.cells: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        """By key: (identity of a trigger, the group that it looked at or none)."""
        self.heard: dict[str, set[tuple[str, int]]] = {}
        """By key: groups that have another last event, where that is saved."""
        self.inhibited: dict[str, set[str]] = {}
        """By key: triggers that began or ceased to keep others quiet."""
        self.counted: list[tuple[str, int]] = []
        """What limits let through: (limit, event time)."""
        self.tenants: set[str] = set()
        """Keys that have another tenant."""
        self.shown: set[str] = set()
        """Keys of which something else stands on the topic `latest`."""
        self.runs: dict[str, None] = {}
        self.partials: list[tuple[str, int, int, str]] = []
        self.outputs: list[Output] = []
        self.implied: list[Output] = []
        self.rows: list[TableRow] = []
        """Of tables."""
        self.urgent = False
        self.bytes = 0
        """Of lines, outputs and names; see `weight`."""

    def publish(self, outputs: Iterable[Output], *, outcome: bool) -> None:
        """Partials leave with the commit but are not repeated in the delta, and never hurry it."""
        for output in outputs:
            self.outputs.append(output)
            self.bytes += len(output.value or b"")
            if outcome:
                self.implied.append(output)
        self.urgent = self.urgent or outcome

    def change(self, name: str, identity: str, group: str | None) -> None:
        """A trigger remembers something else of the key, or of a group of it."""
        self.cells[name].add((identity, group or ""))

    def forget(self, name: str, since: int | None) -> None:
        """A key ends here, with the changes of its cells."""
        self.forgotten.append((name, len(self.facts), since))
        self.bytes += len(name)
        self.shown.discard(name)
        self.tenants.discard(name)
        self.inhibited.pop(name, None)
        self.cells.pop(name, None)
        self.heard.pop(name, None)

    @property
    def weight(self) -> int:
        """Roughly the bytes of the next delta before it is compressed."""
        return self.bytes + FACT_OVERHEAD_BYTES * (len(self.facts) + len(self.forgotten) + len(self.rows))

    @property
    def anything(self) -> bool:
        state = self.facts or self.cells or self.inhibited or self.counted or self.rows
        return bool(state or self.runs or self.outputs or self.forgotten)
