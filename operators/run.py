"""One run: why it began, what it may look at, how far it is. A value that the log holds as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.operators.event import NORMAL, ChatRequest, Usage
from penstock.operators.instant import iso_text
from penstock.operators.looked import Looked
from penstock.operators.table_rows import NO_TABLES, Tables
from penstock.operators.view import View

ID_BYTES = 12
SAMPLE_BYTES = 8
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1

Phase = Literal["queued", "asking", "repairing", "done", "over"]
State = Literal["partial", "final", "failed", "skipped", "resolved"]


class Followed(msgspec.Struct, frozen=True):
    """The outcome that another run begins with: what `agent` answered, as fields or as text. `episode` is that of the run with
    which the chain began, if it opened one."""

    agent: str
    answer: dict[str, Any] | None
    text: str | None
    episode: str | None


def episode_of(run: str) -> str:
    """The id of the episode that a firing opens, of a kind whose firings do."""
    return f"{run}/episode"


class Correction(msgspec.Struct, frozen=True):
    """The firing of the run `run` at event time `at` (ms), which is decided again. `values` are those that were said of it last.
    `withdrawn`: with what is known now it would not have fired."""

    run: str
    at: int
    values: dict[str, Any]
    withdrawn: bool

    @property
    def episode(self) -> str:
        return episode_of(self.run)


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run begins. `run` is its id, `at` the event time of the firing (ms).

    `cause` is what made it fire, for people: `auth/0@1841` (a source of the file, its partition, the offset), `timer@<ms>`, or
    the record of an outcome, `<run>/<rev>`. Then `follows` is that outcome. Where `corrects` is given, it is no
    edge of its trigger, but says otherwise what was said of one.

    `group` is the part of the key that fired, as canonical JSON, `by` the expression that keeps the parts apart; None where there
    are none. `values` are the definitions that the record reports, `labels` and `annotations` are ready to be shown. `episode` is
    the id of what the firing opens and a `resolved` record will end; None where nothing will. `end`: it needed the input to be
    over. `tenant` is whose the key was; None: nobody's.
    """

    run: str
    trigger: str
    agent: str | None
    key: str
    at: int
    cause: str
    condition: str
    values: dict[str, Any] = {}
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    episode: str | None = None
    end: bool = False
    by: str | None = None
    group: str | None = None
    follows: Followed | None = None
    corrects: Correction | None = None
    tenant: str | None = None

    @property
    def correlation(self) -> str | None:
        """The episode that it opens, or that what it follows or corrects has opened."""
        if self.corrects is not None:
            return self.corrects.episode
        return self.episode if self.follows is None else self.follows.episode

    @property
    def part(self) -> Any:
        """The value of `by`. Where there is none, and where it is null, that is None."""
        return None if self.group is None else msgspec.json.decode(self.group)


class CallEntry(msgspec.Struct, frozen=True):
    """One model call of a run that ended: `outcome` is `answered`, `unusable`, or how it was lost; `cost` None is unknown.

    `interrupted`: its process ended and another call continued it. What it used is not known: servers say it at the end.
    """

    model: str
    attempt: int
    outcome: str
    because: str | None
    usage: Usage
    cost: Decimal | None
    simulated: bool = False


class Degradation(msgspec.Struct, frozen=True):
    """A way in which a result is less than was asked for; `step` is `next_model`, `shorter` or `fallback`."""

    step: str
    because: str


class Run(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Everything about one run. It refers to its events by number (`view`); the key's context holds them while they are pinned.

    `attempt` counts the streams that a consumer may have seen the beginning of, `rev` the records written. `endpoint` is the
    place of the model being asked in the agent's list, `spent` what its calls used of the agent's time (ms). `streamed` is what
    the stream under way has been seen to say; `answer` (or `text`, for an agent without fields) is what records show of it,
    and `simulated` whether what was streamed comes from no model. Of `streamed` the first `continued` characters come from a
    call that was cut off, and the call under way goes on behind them. `ends_because`: its episode did not end by what the file
    says. `inhibited_by`: it was skipped because of these triggers.
    `priority` is one of `URGENCY`. `delay`: its first call waits so long (ms).
    """

    firing: Firing
    view: View
    version: str
    definition: str
    question: str = ""
    unaskable: str | None = None
    phase: Phase = "queued"
    attempt: int = 0
    rev: int = 0
    endpoint: int = 0
    spent: int = 0
    call_id: str = ""
    refused_text: str | None = None
    refused_because: str = ""
    repaired: bool = False
    streamed: str = ""
    continued: int = 0
    answer: dict[str, Any] | None = None
    text: str | None = None
    simulated: bool = False
    calls: list[CallEntry] = []
    degraded: list[Degradation] = []
    reason: str | None = None
    ends_at: int | None = None
    ends_because: str | None = None
    inhibited_by: tuple[str, ...] = ()
    priority: int = NORMAL
    delay: int = 0

    @property
    def id(self) -> str:
        return self.firing.run

    @property
    def in_episode(self) -> bool:
        """The firing opened an episode, which has not ended."""
        return self.firing.episode is not None and self.ends_at is None

    @property
    def key(self) -> str:
        return self.firing.key

    @property
    def agent(self) -> str | None:
        return self.firing.agent

    @property
    def pin(self) -> int | None:
        """The first event that must stay readable for this run; None: it needs none (any more)."""
        waits = self.agent is not None and self.phase in ("queued", "asking", "repairing")
        return self.view.first if waits and self.view.events else None


class RecordCause(NamedTuple):
    """A record, once and for all: offsets count within one generation of their topic."""

    topic: str
    generation: int
    partition: int
    offset: int


class TimerCause(NamedTuple):
    """Time that passed; `due` in ms of event time."""

    due: int


class RunCause(NamedTuple):
    """Another run. Of its records the numbers are no part of it: how many partials there were is chance."""

    run: str


class CorrectionCause(NamedTuple):
    """A record that changes what was decided with the run `run`; else as in `RecordCause`."""

    run: str
    topic: str
    generation: int
    partition: int
    offset: int


Cause = RecordCause | TimerCause | RunCause | CorrectionCause
_CAUSES: Mapping[type[Cause], str] = {
    RecordCause: "record",
    TimerCause: "timer",
    RunCause: "run",
    CorrectionCause: "correction",
}


def run_id(partition: int, pipeline: str, trigger: str, key: str, cause: Cause, group: str | None = None) -> str:
    """Protocol rule 12: begins with the partition, follows from the cause alone. One due time may be that of several groups."""
    part = [] if group is None else [[group]]
    return f"{partition}-{_digest([pipeline, trigger, key, _CAUSES[type(cause)], *cause, *part])}"


def in_sample(run: str, share: float) -> bool:
    """Whether the run of this id is one of a sample: its id says so, hence always the same. O(length of the id)."""
    return share >= 1 or _drawn(run) < share * (1 << 8 * SAMPLE_BYTES)


def delay_within(run: str, spread: int) -> int:
    """Some part of `spread` (ms), which the run's id decides: runs of one instant are apart, however often they are asked."""
    return (_drawn(run) * spread) >> 8 * SAMPLE_BYTES if spread else 0


def _drawn(run: str) -> int:
    return int.from_bytes(blake2b(run.encode(), digest_size=SAMPLE_BYTES).digest(), "big")


def question_id(run: Run, endpoint: str, request: ChatRequest) -> str:
    """What is asked: run, step, model, parameters and prompt; not how far the answer has got."""
    step = "ask" if run.refused_text is None else "repair"
    return _digest([run.id, step, endpoint, msgspec.structs.replace(request, continued="")])


def cache_salt(tenant: str | None) -> str | None:
    """What keeps the prefix caches of tenants apart. It does not tell a server who they are."""
    return None if tenant is None else _digest(["tenant", tenant])


def call_id(question: str, attempt: int) -> str:
    """Protocol rule 11: an answer belongs to the question and the attempt that it was asked with."""
    return _digest([question, attempt])


def _digest(parts: list[Any]) -> str:
    return blake2b(msgspec.msgpack.encode(parts), digest_size=ID_BYTES).hexdigest()


Steps = Mapping[str, Sequence[Mapping[str, Any]]]
"""The events that each step of a sequence took, as maps of what was kept of them."""
NO_STEPS: Steps = MappingProxyType({})


def template_scope(firing: Firing, steps: Steps = NO_STEPS, tables: Tables = NO_TABLES) -> dict[str, Any]:
    """What `ask` and `annotations` can name; `answer` and `text` are those of the run that this one follows, `corrects` tells
    what is corrected, with the values that were said before."""
    trigger = {"name": firing.trigger, "condition": firing.condition, "time": iso_text(firing.at)}
    follows = firing.follows
    return {
        "trigger": trigger,
        "key": firing.key,
        "by": firing.part,
        "tenant": firing.tenant,
        "values": firing.values,
        "labels": firing.labels,
        "steps": dict(steps),
        "tables": {name: Looked(rows) for name, rows in tables.items()},
        "answer": None if follows is None else follows.answer,
        "text": None if follows is None else follows.text,
        "corrects": None if firing.corrects is None else _corrected(firing.corrects),
    }


def _corrected(correction: Correction) -> dict[str, Any]:
    return {
        "run": correction.run,
        "time": iso_text(correction.at),
        "values": correction.values,
        "withdrawn": correction.withdrawn,
    }


_CARRIED_AS_THEY_ARE = frozenset({str, bool, float, type(None)})


def carried(value: Any) -> Any:
    """The value as records and the log can carry it: whole numbers beyond 64 bits become floating point."""
    if value.__class__ in _CARRIED_AS_THEY_ARE:
        return value
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return float(value) if value.bit_length() < 1024 else str(value)
    if isinstance(value, Mapping):
        return {name: carried(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [carried(part) for part in value]
    return value
