"""`anomaly`: fires when a number is far off what is expected of it, and says when that is over.

    numbers      ·  ·  ·  ·  ·  ·  x  x  ·  x  ·  ·  ·
    |score|      –  –  –  1  2  1  9  5  3  8  1  0  1       threshold: 4
    firing                         F
    resolved                                   R             when the score is below half of the threshold

            |score| ≥ threshold, not in cooldown / Fired
      ┌─────┐ ─────────────────────────────────────────▶ ┌────┐
      │ off │                                            │ on │
      └─────┘ ◀───────────────────────────────────────── └────┘
               |score| < threshold / 2 / Resolved

Events are looked at in feed order, one by one; time that passes changes nothing. What is expected, and how the score comes
about, is a matter of the method: `anomaly_level.py`, `anomaly_season.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from penstock.operators.anomaly import NUMBER_MAX, Method, Reading
from penstock.operators.anomaly_level import ChangePoint, Ewma
from penstock.operators.anomaly_season import RobustSeasonal
from penstock.operators.condition import Condition, count_doubt, known_values
from penstock.operators.expression_value import TYPE_ERROR, Unknown
from penstock.operators.key_state import KeyState
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.setting import Duration, Number, Wait
from penstock.operators.trigger import (
    LATE_UNCORRECTED,
    Bind,
    CooldownSettings,
    EpisodicTrigger,
    Fired,
    LateUncorrected,
    Resolved,
    Suppressed,
    Transition,
)

MethodName = Literal["ewma", "robust_seasonal", "change_point"]
THRESHOLDS: Mapping[MethodName, float] = {"ewma": 4.0, "robust_seasonal": 5.0, "change_point": 10.0}
HALF_LIFE = 100
SEASON_MS = 86_400_000
CALM = 0.5
"""It is over when the score is below so much of the threshold: at one threshold for both, scores around it would open and
close an episode with every event."""
SCORE, EXPECTED, OBSERVED = "score", "expected", "observed"


class AnomalySettings(CooldownSettings):
    """Fires when a number is far off what is expected of it, then a `resolved` record when it is near again."""

    lasts: ClassVar[bool] = True
    tells: ClassVar[frozenset[str]] = frozenset({SCORE, EXPECTED, OBSERVED})
    refused: ClassVar[Mapping[str, str]] = {
        "for": "what it would count, time or numbers, is not defined yet; "
        "`method: change_point` fires for a shift that lasts, not for a single number",
    }

    anomaly: Number = Field(description="The number to watch, of one event.", examples=["event.latency_ms"])
    method: MethodName = Field(
        default="ewma",
        description="What a number is compared with: `ewma` the level of the latest numbers, `robust_seasonal` the same "
        "time of former days or weeks; `change_point` fires when the level itself has moved.",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Fires at this score, in usual spreads. Default: 4, 5 for `robust_seasonal`, 10 for `change_point`.",
    )
    warmup: int = Field(default=100, ge=2, le=1_000_000, description="It fires only after so many numbers of the key.")
    half_life: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="A number counts half as much after so many further ones. Default: 100. Not of `robust_seasonal`.",
    )
    season: Wait | None = Field(
        default=None, description="What repeats itself, for `robust_seasonal`. Default: 1d.", examples=["1w"]
    )
    where: ConditionText | None = Field(
        default=None, description="Which events are looked at; default: all.", examples=["event.status < 500"]
    )
    cooldown: Duration = Field(default=60_000, description="After a firing, the next one for this key waits this long.")
    late: LateUncorrected = Field(default="ignore", description=LATE_UNCORRECTED)

    @field_validator("half_life")
    @classmethod
    def _goes_with_a_level(cls, half_life: int | None, info: ValidationInfo) -> int | None:
        if half_life is not None and info.data.get("method") == "robust_seasonal":
            raise ValueError("it goes with `ewma` and `change_point`; `robust_seasonal` remembers by seasons")
        return half_life

    @field_validator("season")
    @classmethod
    def _goes_with_seasons(cls, season: int | None, info: ValidationInfo) -> int | None:
        if season is not None and info.data.get("method") != "robust_seasonal":
            raise ValueError("it goes with `method: robust_seasonal`; the other methods know no season")
        return season


class AnomalyCell(NamedTuple):
    """`state`: what the method remembers. `seen`: how many numbers, up to `warmup`. `run`: the open episode's, None while off.
    `quiet_until`: N at which the cooldown is over. `held`: the score is high, and the cooldown holds the firing back."""

    state: Any
    seen: int = 0
    run: str | None = None
    quiet_until: int | None = None
    held: bool = False


class Anomaly(EpisodicTrigger):
    """A number that is unknown, or for which `where` is not true, changes nothing. What is no number is counted."""

    by_event: ClassVar[bool] = True
    reads_last: ClassVar[bool] = False

    def __init__(
        self, number: Condition, where: Condition | None, method: Method, threshold: float, warmup: int, cooldown: int
    ) -> None:
        self.number, self.where, self.method = number, where, method
        self.threshold, self.warmup, self.cooldown = threshold, warmup, cooldown
        self.condition = f"anomaly: {number.text}"
        self.conditions = (number,) if where is None else (number, where)
        self.heeds = () if where is None else (where,)

    def fed(
        self, key: KeyState, cell: AnomalyCell | None, time: int, watermark: int, due: int | None
    ) -> tuple[AnomalyCell | None, Transition | None]:
        if self.where is not None and self.where.asked(key) is not True:
            return cell, None
        observed = self._number(key)
        if observed is None:
            return cell, None
        before, seen, run, quiet_until, held = AnomalyCell(self.method.fresh()) if cell is None else cell
        warm = seen >= self.warmup
        state, reading = self.method.take(before, time, float(observed), warm)
        after = AnomalyCell(state, seen if warm else seen + 1, run, quiet_until, held)
        return self._judged(key, after, reading, observed) if warm and reading is not None else (after, None)

    def _number(self, key: KeyState) -> int | float | None:
        value = self.number.asked(key)
        if (type(value) is int or type(value) is float) and -NUMBER_MAX <= value <= NUMBER_MAX:
            return value
        if value.__class__ is not Unknown:
            count_doubt(key.counters, self.number.text, TYPE_ERROR)
        return None

    def _judged(
        self, key: KeyState, cell: AnomalyCell, reading: Reading, observed: float
    ) -> tuple[AnomalyCell, Transition | None]:
        score = abs(reading.score)
        far, calm = score >= self.threshold, score < CALM * self.threshold
        if cell.run is not None:
            return (cell._replace(run=None), Resolved(cell.run, key.now)) if calm else (cell, None)
        if far and cell.quiet_until is not None and key.now < cell.quiet_until:
            return cell._replace(held=True), None
        if far:
            values = {SCORE: reading.score, EXPECTED: reading.expected, OBSERVED: observed}
            after = cell._replace(quiet_until=key.now + self.cooldown, held=False)
            return after, Fired(key.now, None, {**known_values(self.definitions, key), **values})
        return (cell._replace(held=False), Suppressed()) if cell.held and calm else (cell, None)

    def load(self, dumped: list[Any] | None) -> AnomalyCell | None:
        return AnomalyCell(self.method.load(dumped[0]), *dumped[1:]) if dumped else None


def build(settings: AnomalySettings, bind: Bind) -> Anomaly:
    where = None if settings.where is None else bind(settings.where, False)
    threshold = THRESHOLDS[settings.method] if settings.threshold is None else settings.threshold
    method = _method(settings, threshold)
    return Anomaly(bind(settings.anomaly, False), where, method, threshold, settings.warmup, settings.cooldown)


def _method(settings: AnomalySettings, threshold: float) -> Method:
    half_life = HALF_LIFE if settings.half_life is None else settings.half_life
    match settings.method:
        case "ewma":
            return Ewma(half_life, threshold)
        case "change_point":
            return ChangePoint(half_life, threshold)
        case "robust_seasonal":
            return RobustSeasonal(SEASON_MS if settings.season is None else settings.season)
