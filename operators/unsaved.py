"""What changed since the last cut: the makings of the next delta."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.operators.inhibition import Inhibitions
from penstock.operators.key_state import KeyState
from penstock.operators.record import Output
from penstock.state.delta import Fact, Forgotten

FACT_OVERHEAD_BYTES = 40


class Unsaved:
    """Facts and outputs in the order in which they came; of cells and runs only the names: their newest value is saved.

    `cells` and `inhibitions` are (key, place of the trigger), `counted` what limits let through: (limit, event time).
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: it is in a delta now."""
        self.facts: list[Fact] = []
        self.forgotten: list[Forgotten] = []
        self.cells: set[tuple[str, int]] = set()
        self.inhibitions: set[tuple[str, int]] = set()
        self.counted: list[tuple[str, int]] = []
        self.runs: dict[str, None] = {}
        self.partials: list[tuple[str, int, int, str]] = []
        self.outputs: list[Output] = []
        self.implied: list[Output] = []
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

    def inhibit(self, key: KeyState, place: int, inhibitions: Inhibitions) -> None:
        """What is known of when this trigger kept others quiet is replaced."""
        key.inhibitions = {**(key.inhibitions or {}), place: inhibitions}
        self.inhibitions.add((key.name, place))

    def forget(self, name: str, cells: int, since: int | None) -> None:
        """A key ends here, with the changes of its cells: `cells` is how many it has."""
        self.forgotten.append((name, len(self.facts), since))
        self.bytes += len(name)
        for changed in (self.cells, self.inhibitions):
            changed.difference_update((name, index) for index in range(cells))

    @property
    def weight(self) -> int:
        """Roughly the bytes of the next delta before it is compressed."""
        return self.bytes + FACT_OVERHEAD_BYTES * (len(self.facts) + len(self.forgotten))

    @property
    def anything(self) -> bool:
        return bool(
            self.facts or self.cells or self.inhibitions or self.counted or self.runs or self.outputs or self.forgotten
        )
