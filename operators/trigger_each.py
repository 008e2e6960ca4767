"""`each`: fires for every event that matches.

events        ·  x  ·  x  x  ·        x: the condition is true
cooldown 0       F     F  F
cooldown 2       F     F              the third lies within 2 of the second
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from penstock.operators.condition import Condition
from penstock.operators.key_state import KeyState
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.trigger import Bind, CooldownSettings, Fired, Suppressed, Transition, Trigger


class EachSettings(CooldownSettings):
    """Fires for every event that matches; the condition knows no history."""

    each: ConditionText = Field(description="Condition over one event.", examples=['event.level == "FATAL"'])


class Each(Trigger):
    """The cell is the N at which the cooldown is over."""

    by_event: ClassVar[bool] = True

    def __init__(self, matches: Condition, cooldown: int) -> None:
        self.matches, self.cooldown = matches, cooldown
        self.condition = matches.text
        self.conditions = (matches,)

    def fed(
        self, key: KeyState, cell: int | None, time: int, watermark: int, due: int | None
    ) -> tuple[int | None, Transition | None]:
        if self.matches.asked(key) is not True:
            return cell, None
        if cell is not None and key.now < cell:
            return cell, Suppressed()
        return (key.now + self.cooldown if self.cooldown else None), Fired(time, None)


def build(settings: EachSettings, bind: Bind) -> Each:
    return Each(bind(settings.each, False), settings.cooldown)
