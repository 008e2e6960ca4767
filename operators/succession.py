"""One definition follows another on the same log (protocol rule 16).

    known to the former, known to this       goes on
    known to the former, not to this         retired: carried through, dropped after CARRIED_MS
    retired, known to this                   taken up again: its triggers look once, for time has passed without them
    neither, known to this                   begins anew, whatever old records of the log still say of it
    another key, another time                refused: what is remembered under the keys would be nonsense

Everything here follows from the log: whoever opens it comes to the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.operators.carried import CARRIED_MS, Carried
from penstock.operators.definitions import Definitions
from penstock.operators.error import Superseded
from penstock.operators.grouping import ONLY
from penstock.operators.keys import Keys, Takeover
from penstock.operators.plan import Plan
from penstock.operators.runs import Runs
from penstock.state.delta import Basis

WAY_OUT = "take that back, or begin afresh under another name or namespace"
"""Of a change that state cannot follow."""


class Succession:
    """The bases of a log while it is restored, what follows for a task that opens it, and the basis that it gives the log."""

    def __init__(
        self, plan: Plan, partition: int, carried: Carried, keys: Keys, runs: Runs, definitions: Definitions
    ) -> None:
        self._where = f"{plan.namespace}.{plan.name}.log/{partition}"
        self._keying = plan.keying
        self._known = plan.identities
        self._carried, self._keys, self._runs, self._definitions = carried, keys, runs, definitions
        self._former: Basis | None = None
        self._retired: dict[str, int] = {}
        self._orphans = False

    def met(self, basis: Basis | None) -> None:
        """An entry of the log has this one; the last one counts."""
        if basis is not None:
            self._former = basis
            self._definitions.met(basis.definitions)

    def take_over(self, now: int) -> Takeover:
        """The log is at its end, at processing time `now` (ms): what follows for its keys.

        A log of format 1 has no basis: what is found in it and is not known here was retired just now. Raises Superseded where
        state cannot follow.
        """
        known, carried = frozenset(self._known), self._carried.identities()
        former = self._former or Basis(known=(*sorted(carried), *self._known))
        self._refuse_other_keying(former)
        held = dict.fromkeys(former.known, now) | former.retired
        alive = {identity: since for identity, since in held.items() if now - since < CARRIED_MS}
        self._retired = {identity: since for identity, since in alive.items() if identity in carried}
        over = carried - alive.keys()
        self._carried.forget(over)
        self._orphans = bool(over) or known != set(former.known)
        return Takeover(returned=known.intersection(former.retired, alive), anew=known.difference(alive))

    def _refuse_other_keying(self, former: Basis) -> None:
        changes = keying_changes(former.keying, self._keying)
        if changes:
            raise Superseded(
                f"the file says otherwise than the state in the log: {'; '.join(changes)}",
                where=self._where,
                remedy=WAY_OUT,
            )
        self._keying = {**former.keying, **self._keying}

    def let_go(self, now: int) -> None:
        """Drop what was retired too long ago at processing time `now` (ms)."""
        over = [identity for identity, since in self._retired.items() if now - since >= CARRIED_MS]
        if over:
            for identity in over:
                del self._retired[identity]
            self._carried.forget(over)
            self._orphans = True
            self.end_orphans()

    def end_orphans(self) -> None:
        """Episodes of triggers that nobody knows and nobody carries any more: nothing else would ever end them."""
        if not self._orphans:
            return
        self._orphans = False
        for run in self._runs.in_episodes():
            key, name = self._keys.get_or_new(run.key), run.firing.trigger
            known = self._keys.episode(key, name, run.firing.group) == run.id
            if not known and not self._carried.has_cell(run.key, name, run.firing.group or ONLY):
                self._runs.resolve(run.id, key.now, f"the definition of the trigger {name!r} is gone")

    def basis(self) -> Basis:
        """For the log, as things stand."""
        return Basis(
            keying=self._keying,
            known=self._known,
            retired=dict(self._retired),
            definitions=self._definitions.texts(self._runs.definitions()),
        )


def keying_changes(former: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """What state cannot follow, a sentence each. Inputs that only one of the two has are no change."""
    return [
        f"{what} was {former[what]} and is {text} now"
        for what, text in present.items()
        if former.get(what, text) != text
    ]
