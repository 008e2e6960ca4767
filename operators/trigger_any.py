"""`any`: fires when one of several other triggers fires.

disk_full       F        F        F
latency_high        F    F
any             F   F    F        ×    each; several in one evaluation are one; × in the cooldown of the one before
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from penstock.operators.combination import Combination, CombinationSettings, Heard, Members
from penstock.operators.key_state import KeyState
from penstock.operators.trigger import Bind, Suppressed, Transition


class AnySettings(CombinationSettings):
    """Fires when one of these triggers fires for the key."""

    any: Members = Field(
        min_length=1, description="Other triggers of the file, by name.", examples=[["disk_full", "latency_high"]]
    )


class AnyOf(Combination):
    """The cell is the event time of the firing before, where there is a cooldown."""

    def __init__(self, members: Members, cooldown: int) -> None:
        super().__init__(members, cooldown)
        self.condition = f"any: [{', '.join(members)}]"

    def heard(self, key: KeyState, cell: int | None, heard: Sequence[Heard]) -> tuple[int | None, Transition | None]:
        fired = [each for each in heard if each.run is not None]
        if not fired:
            return cell, None
        first = fired[0]
        if self.rests(first.at, cell):
            return cell, Suppressed()
        told = [(each.member, each.at) for each in fired]
        return (first.at if self.cooldown else None), self.firing(key, first.at, first, told)

    def skipped(self, before: int | None, after: int | None) -> int | None:
        return before


def build(settings: AnySettings, bind: Bind) -> AnyOf:
    """Nothing of it is an expression."""
    return AnyOf(settings.any, settings.cooldown)
