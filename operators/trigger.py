"""Is it time to reason? The contract of a kind of trigger; the kinds themselves are in `trigger_<kind>.py`.

A kind is three things in one file: the settings (what the file says), `build` (settings and expressions to a trigger) and
the trigger: pure logic over a key's state. What a trigger remembers about a key is its *cell*, a small value that it can
dump to builtins and load again; a cell of None means that there is nothing to remember.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from penstock.operators.condition import Condition, Definitions
from penstock.operators.key_state import KeyState
from penstock.operators.limit import LimitText
from penstock.operators.setting import Duration, Settings, Share, Template, Text

NO_AGENT = "none"
"""`agent: none`: the firing itself is the result, no model is called."""
NO_RUN = ""
"""In place of a run: what a trigger began is open, and will end without a record."""


class TriggerSettings(Settings):
    """What every kind of trigger takes besides its own fields."""

    added: ClassVar[frozenset[str]] = frozenset()
    """Fields that kinds took up after they were in use. With their defaults a trigger means what it meant before, and finds
    what it remembered."""
    beside: ClassVar[frozenset[str]] = frozenset(
        {"labels", "annotations", "agent", "inhibited_by", "limit", "sample", "priority"}
    )
    """Fields that do not decide when it fires: with other ones it goes on with what it remembers."""

    labels: dict[str, Text] = Field(default={}, description="Added to every result of this trigger.")
    annotations: dict[str, Template] = Field(
        default={},
        description="Templates rendered once per firing.",
        examples=[{"summary": "{{ key }} is under attack"}],
    )
    agent: Text | None = Field(
        default=None,
        description="Which agent reasons; `none` for a result without a model call. Default: the only agent.",
    )
    inhibited_by: tuple[Text, ...] = Field(
        default=(),
        description="Other triggers: while one of them has fired for the key and is not over, this one begins no run.",
        examples=[["takeover"]],
    )
    limit: LimitText | None = Field(
        default=None,
        description="At most so many firings per calendar unit (UTC) or rolling span, over all keys. Default: no limit.",
        examples=["6/hour", "20/24h"],
    )
    priority: Literal["high", "normal", "low"] = Field(
        default="normal", description="Whose runs are asked first where calls wait for a seat at a model."
    )
    sample: Share | None = Field(
        default=None,
        description="Which share of its firings begin runs; what is left out is counted and nothing else. Default: all.",
        examples=["10%"],
    )


class CooldownSettings(TriggerSettings):
    """Kinds that can be told to stay quiet for a while after a firing."""

    cooldown: Duration = Field(default=0, description="No further firing for this key within this time of event time.")


class ArrivalSettings(CooldownSettings):
    """Kinds that look at events as they arrive, also at those that are late if they are told to."""

    added: ClassVar[frozenset[str]] = frozenset({"late"})

    late: Literal["ignore", "reason"] = Field(
        default="ignore",
        description="What becomes of events that are later than `watermark.lateness`; `reason`: they are as good as others.",
    )


class Fired(NamedTuple):
    """The trigger fires with event time `at` (ms). `due`: it fires because time passed, and this is when; else the record.

    `values`: what its definitions were at the event that it tells of; None: that is the present one.
    """

    at: int
    due: int | None
    values: dict[str, Any] | None = None


class Resolved(NamedTuple):
    """The episode of the run `run` ended at event time `at` (ms)."""

    run: str
    at: int


class Suppressed(NamedTuple):
    """A firing was held back by the cooldown: counted, not recorded."""


Transition = Fired | Resolved | Suppressed

Bind = Callable[[str, bool], Condition]
"""Compiles an expression of the file (text, whether aggregates are allowed) and binds it to the pipeline's aggregates."""


class Trigger(ABC):
    """One trigger of one pipeline.

    Every transition may change the cell, so a caller saves the cell whenever something is returned, and whenever
    `fed` or `passed` says so through `key.cells` (a cell is replaced, never mutated in place).
    """

    episodic: ClassVar[bool] = False
    """Its firings open an episode that ends with a `resolved` record."""
    by_watermark: ClassVar[bool] = False
    """Its deadlines are compared with the watermark; otherwise with N of the key."""
    by_event: ClassVar[bool] = False
    """It fires with an event only, never because time passed."""
    reads_last: ClassVar[bool] = True
    """When time passes, its expressions may be read of the key's last event."""

    idle_unless: frozenset[int] | None = None
    """While its cell is None, an event changes nothing for it unless one of these aggregates took it; None: it always looks."""
    sleeps: bool = True
    """While its cell is None, it asks for no deadline."""
    condition: str = ""
    """The text that results quote as the reason."""
    conditions: tuple[Condition, ...] = ()
    """Every expression that it evaluates: for `values`, and to know which fields to decode."""
    definitions: Definitions = ()
    """What its results report: those that `conditions` and templates name. Whoever plans it sets them."""

    @abstractmethod
    def fed(
        self, key: KeyState, cell: Any, time: int, watermark: int, due: int | None
    ) -> tuple[Any, Transition | None]:
        """An event with event time `time` was added to the key; returns the new cell and what follows.

        `due`: the trigger would have fired at this very instant without the event, too.
        """

    def passed(self, key: KeyState, cell: Any, deadline: int) -> tuple[Any, Transition | None]:
        """The deadline that this trigger asked for has come; at most one transition, then it is asked again."""
        raise NotImplementedError(f"{type(self).__name__} asks for no deadlines")

    def deadline(self, key: KeyState, cell: Any) -> int | None:
        """The next instant (N or watermark in ms, inclusive) at which `passed` must be called; None: not by time alone."""
        return None

    def would_fire(self, key: KeyState, cell: Any) -> bool:
        """Does it fire at the key's present instant by the passing of time alone?"""
        return False

    def opened(self, cell: Any, run: str) -> Any:
        """The firing just returned became this run; returns the new cell."""
        return cell

    @abstractmethod
    def skipped(self, cell: Any) -> Any:
        """The firing just returned began no run and counts for nothing; returns the new cell.

        No cooldown has begun. Whatever it would have opened is open with NO_RUN, until it ends as usual.
        """

    def episode(self, cell: Any) -> str | None:
        """The run whose episode is open, NO_RUN where it has none; None: no episode is open."""
        return None

    def dump(self, cell: Any) -> Any:
        """The cell as builtins (None, int, str, list, dict)."""
        return cell

    def load(self, dumped: Any) -> Any:
        return dumped
