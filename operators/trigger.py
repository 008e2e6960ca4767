"""Is it time to reason? The contract of a kind of trigger; the kinds themselves are in `trigger_<kind>.py`.

A kind is three things in one file: the settings (what the file says), `build` (settings and expressions to a trigger) and
the trigger: pure logic over a key's state. What a trigger remembers about a key is its *cell*, a small value that it can
dump to builtins and load again; a cell of None means that there is nothing to remember.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BeforeValidator, Field

from penstock.operators.condition import Condition, Definitions
from penstock.operators.key_state import KeyState
from penstock.operators.limit import LimitText
from penstock.operators.question import Question
from penstock.operators.run import NO_STEPS, CallEntry, Cause, Correction, RecordCause, Steps
from penstock.operators.setting import Duration, Settings, Share, Template, Text, TextOrTexts, Value

NO_AGENT = "none"
"""`agent: none`: the firing itself is the result, no model is called."""
NO_RUN = ""
"""In place of a run: what a trigger began is open, and will end without a record."""


class TriggerSettings(Settings):
    """What every kind of trigger takes besides its own fields."""

    added: ClassVar[frozenset[str]] = frozenset()
    """Fields (None unless the file has them) that kinds took up after they were in use. Where a file has none of them, a
    trigger means what it meant before, and finds what it remembered."""
    tells: ClassVar[frozenset[str]] = frozenset()
    """What its results report among `values` besides definitions."""
    beside: ClassVar[frozenset[str]] = frozenset(
        {"labels", "annotations", "agent", "inhibited_by", "limit", "sample", "priority", "spread"}
    )
    """Fields that do not decide when it fires: with other ones it goes on with what it remembers."""
    combines: ClassVar[bool] = False
    """It is made of other triggers."""
    lasts: ClassVar[bool] = False
    """What it begins is an episode, which ends."""
    refused: ClassVar[Mapping[str, str]] = {}
    """Fields that one might expect, and why it does not take them."""

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
    from_: TextOrTexts | None = Field(
        default=None,
        alias="from",
        description="The source, or the sources, whose events it sees. Default: all.",
        examples=["auth", ["logs", "deploys"]],
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

    @property
    def sources(self) -> frozenset[str] | None:
        """Those whose events it sees, by name; None: all."""
        named = (self.from_,) if isinstance(self.from_, str) else self.from_
        return None if named is None else frozenset(named)

    @property
    def apart(self) -> str | None:
        """The expression that keeps a key's events apart; None: there is none."""
        return None

    @property
    def takes_late(self) -> bool:
        """It sees late events, too."""
        return False

    @property
    def corrects(self) -> bool:
        """What it decided is decided again with what comes later and belongs before."""
        return False

    @property
    def quiet(self) -> int:
        """So long after a firing it does not fire again (ms)."""
        return 0

    @property
    def spread_over(self) -> int:
        """The runs of one instant are begun within so long (ms)."""
        return 0


class CooldownSettings(TriggerSettings):
    """Kinds that watch what happens: they can stay quiet for a while after a firing, and watch parts of a key for themselves."""

    cooldown: Duration = Field(default=0, description="No further firing for this key within this time of event time.")
    by: Value | None = Field(
        default=None,
        description="Watches the events of each value of this expression for themselves, as if each were a key.",
        examples=["event.ip"],
    )
    late: Literal["ignore", "reason", "correct"] = Field(
        default="ignore",
        description="What becomes of events that are later than `watermark.lateness`; `reason`: they are as good as others. "
        "`correct`: so they are, and every event that belongs before a firing and would have changed it leads to a correction.",
    )

    @property
    def apart(self) -> str | None:
        return self.by

    @property
    def takes_late(self) -> bool:
        return self.late != "ignore"

    @property
    def corrects(self) -> bool:
        return self.late == "correct"

    @property
    def quiet(self) -> int:
        return self.cooldown


def _without(word: str, why: str) -> BeforeValidator:
    """Refuses a word that the language has, with the reason why it means nothing here."""

    def check(value: Any) -> Any:
        if value == word:
            raise ValueError(why)
        return value

    return BeforeValidator(check)


LateUncorrected = Annotated[
    Literal["ignore", "reason"],
    _without(
        "correct",
        "only `when` and `absence` decide again what they decided; here a late event can do no more than what it does by "
        "itself: write `reason`",
    ),
]
LATE_UNCORRECTED = (
    "What becomes of events that are later than `watermark.lateness`; `reason`: they are as good as others."
)
"""`late:` of kinds that correct nothing."""
FireOnArrival = Annotated[
    Literal["arrival"],
    _without(
        "watermark",
        "this kind looks at events as they arrive, and what `watermark` would mean here is not defined yet; "
        "write `arrival`, or leave it out",
    ),
]
FireOnWatermark = Annotated[
    Literal["watermark"],
    _without(
        "arrival",
        "that nothing came is known only once the watermark has passed: an absence has no arrival to fire at; "
        "write `watermark`, or leave it out",
    ),
]
"""`fire:` of kinds that have one way only: it may be said, and changes nothing."""


class Given(NamedTuple):
    """A cause that is neither the record being fed nor an instant, and how results name it. `instant` is what inhibitions are
    compared with."""

    cause: Cause
    told: str
    instant: int


class Fired(NamedTuple):
    """The trigger fires with event time `at` (ms). `due`: it fires because time passed, and this is when; else the record.

    `values`: what its definitions were at the event that it tells of; None: that is the present one. `record`: the record
    that did it, where that is not the one being fed. `steps` are the events that it tells of, for templates. `given`: something
    else did it. `judged`: the call that was made to find out.
    """

    at: int
    due: int | None
    values: dict[str, Any] | None = None
    record: RecordCause | None = None
    steps: Steps = NO_STEPS
    given: Given | None = None
    judged: CallEntry | None = None


class Resolved(NamedTuple):
    """The episode of the run `run` ended at event time `at` (ms)."""

    run: str
    at: int


class Suppressed(NamedTuple):
    """A firing was held back by the cooldown: counted, not recorded."""


Single = Fired | Resolved | Suppressed


class Asked(NamedTuple):
    """A model has to tell first: the question waits in the cell."""

    question: Question


class Corrected(NamedTuple):
    """A decision comes out otherwise than was said last; `values` are what its definitions are now known to have been then."""

    correction: Correction
    values: dict[str, Any]


class Corrections(NamedTuple):
    """The event changed decisions of before, the oldest first; `then` is what it does besides, after that."""

    corrected: tuple[Corrected, ...]
    then: Single | None


Transition = Single | Corrections | Asked


class Bind(Protocol):
    """Compiles an expression of the file and binds it to the pipeline's aggregates, if it may have any.

    `captures`: the steps before, whose events it may read.
    """

    def __call__(self, text: str, aggregates: bool, captures: tuple[str, ...] = ()) -> Condition: ...


class Trigger(ABC):
    """One trigger of one pipeline.

    `key` is a key, or a group of one where the file says `by` or `from`: a trigger cannot tell, and need not. What it remembers
    of it is in the cell alone.

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
    reads_record: ClassVar[bool] = False
    """It notes where events came from: `key.moment` is there whenever it is fed."""

    expects: str | None = None
    """A table: whatever key has a row in it is watched, too."""
    idle_unless: frozenset[int] | None = None
    """While its cell is None, an event changes nothing for it unless one of these aggregates took it; None: it always looks."""
    deaf_unless: frozenset[int] | None = None
    """The same for any other cell, but for an event that stands at an instant for which it asked."""
    heeds: tuple[Condition, ...] = ()
    """Conditions over one event: one of which all are false changes nothing for it, whatever its cell is, but for an event
    that stands at an instant for which it asked. Empty: any event may."""
    sleeps: bool = True
    """While its cell is None, it asks for no deadline."""
    condition: str = ""
    """The text that results quote as the reason."""
    conditions: tuple[Condition, ...] = ()
    """Every expression that it evaluates: for `values`, and to know which fields to decode."""

    # Whoever plans it sets these.
    name: str = ""
    """What the file calls it."""
    definitions: Definitions = ()
    """What its results report: those that `conditions` and templates name."""
    shown: frozenset[str] | None = None
    """Names under which its templates may look for fields of `steps`; None: they do not name `steps`."""
    disorder: int = 0
    """No event that it sees comes this far (ms) behind N: `delay` and `lateness` of the sources together, END_OF_TIME where it
    takes late events."""

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

    def forgets(self, cell: Any) -> int | None:
        """Where it asks for no deadline: the N from which on the cell (not None) means no more than None; None: only an event can
        tell. Groups are dropped by it: a kind whose cells outlive their use keeps every group as long as its key."""
        return None

    def would_fire(self, key: KeyState, cell: Any) -> bool:
        """Does it fire at the key's present instant by the passing of time alone?"""
        return False

    def opened(self, cell: Any, run: str) -> Any:
        """The firing just returned became this run; returns the new cell."""
        return cell

    @abstractmethod
    def skipped(self, before: Any, after: Any) -> Any:
        """The firing just returned began no run and counts for nothing; returns the new cell. `before` and `after` are the cells
        that it was decided with and that were returned with it.

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


class EpisodicTrigger(Trigger):
    """Its cells are named tuples: `run` is the open episode's, NO_RUN where that has none, None while off. `quiet_until`: its
    `cooldown` (ms), which begins with a firing, is over."""

    episodic: ClassVar[bool] = True
    cooldown: int

    def opened(self, cell: Any, run: str) -> Any:
        return cell._replace(run=run)

    def skipped(self, before: Any, after: Any) -> Any:
        return after._replace(run=NO_RUN, quiet_until=after.quiet_until - self.cooldown)

    def episode(self, cell: Any) -> str | None:
        return None if cell is None else cell.run
