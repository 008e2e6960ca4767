"""`semantic`: fires when a small model says that a text is of a kind, or unlike all before. What is told is as of the event.

events        a     b     c                      where: true of a, b and c
asked         ├──────────────────▶ furious       of b the answer comes first, and waits: of one key they are decided
                    ├──────▶ calm                in the order of their events
                          ├────────────▶ furious
fired         Fa                  ×c             told when a is answered, as of the time of a; × in its cooldown

A question that nobody answers is decided, too: it fires nothing, and is counted. Whoever waits for the answer is in the cell, so
it is asked anew after a restart.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec
from pydantic import Field, ValidationInfo, field_validator, model_validator

from penstock.operators.agent_plan import EndpointPlan
from penstock.operators.condition import Condition, count_doubt, known_values
from penstock.operators.event import ChatRequest, Usage
from penstock.operators.expression import Unknown
from penstock.operators.expression_value import TYPE_ERROR
from penstock.operators.key_state import KeyState
from penstock.operators.model import EMBEDDING, ModelSettings, request_parameters
from penstock.operators.novelty import DISTANCE, Novelty, Seen
from penstock.operators.question import (
    LABEL,
    PROBABILITY,
    TEXT_CHARACTERS_MAX,
    Options,
    Question,
    Said,
    Verdict,
    call_of,
)
from penstock.operators.run import CallEntry, RecordCause, carried
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.setting import Text, Value, Wait
from penstock.operators.trigger import Asked, Bind, CooldownSettings, Fired, Given, Suppressed, Transition, Trigger
from penstock.operators.watermark import NEVER

LIKELY, FAR = 0.5, 0.35
"""Thresholds where the file says none."""
KNOWN = "known"
"""The outcome of a call that another event paid for."""


class SemanticSettings(CooldownSettings):
    """Fires when a model says that the text of an event is of a kind, or that it is like nothing before."""

    tells: ClassVar[frozenset[str]] = frozenset({LABEL, PROBABILITY, DISTANCE})

    semantic: Value = Field(description="The text to judge, of one event.", examples=["event.text"])
    where: ConditionText | None = Field(
        default=None,
        description="Which events are judged; a model is asked about no others. Default: all.",
        examples=['event.role == "customer"'],
    )
    model: Text = Field(description="Which model judges; with `unlike` one of `kind: embedding`.", examples=["small"])
    options: tuple[Text, ...] | None = Field(
        default=None,
        min_length=2,
        max_length=10,
        description="What a text may be; the model chooses one. Words that begin differently.",
        examples=[["calm", "annoyed", "furious"]],
    )
    is_: Text | None = Field(
        default=None, alias="is", description="The option for which it fires.", examples=["furious"]
    )
    unlike: Wait | None = Field(
        default=None,
        description="Instead of options: it fires for texts unlike everything that it has seen of the key for so long.",
        examples=["24h"],
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        le=2,
        description="How likely the option has to be at least; default: 0.5. With `unlike`: from what distance on a text is "
        "unlike another (of cosines, 0 to 2); default: 0.35.",
    )
    late: Literal["ignore"] = Field(
        default="ignore", description="Late events are not judged; there is no other way yet."
    )

    @field_validator("options")
    @classmethod
    def _told_apart(cls, options: tuple[str, ...] | None) -> tuple[str, ...] | None:
        folded = [option.casefold().strip() for option in options or ()]
        for place, option in enumerate(folded):
            if not option or "," in option:
                raise ValueError(f"{option!r} is no word; write a few words without commas")
            if any(other.startswith(option) for other in folded[:place] + folded[place + 1 :]):
                raise ValueError(f"{option!r} is how another option begins: the first token decides between them")
        return options

    @field_validator("is_")
    @classmethod
    def _is_an_option(cls, is_: str | None, info: ValidationInfo) -> str | None:
        options = info.data.get("options")
        if is_ is not None and options is not None and is_ not in options:
            raise ValueError(f"{is_!r} is none of the options; write one of {', '.join(options)}")
        return is_

    @field_validator("threshold")
    @classmethod
    def _can_be_reached(cls, threshold: float | None, info: ValidationInfo) -> float | None:
        if threshold is not None and threshold > 1 and info.data.get("options") is not None:
            raise ValueError("it says how likely the option has to be: 1 at most")
        return threshold

    @model_validator(mode="after")
    def _of_one_form(self) -> SemanticSettings:
        if (self.options is None) is (self.unlike is None):
            raise ValueError("it takes either `options` and `is`, or `unlike`")
        if (self.options is None) is not (self.is_ is None):
            raise ValueError("`options` and `is` go together: what a text may be, and what it has to be")
        return self


class SemanticCell(NamedTuple):
    """`open`: questions in the order of their events, the first one without a verdict. `quiet_until`: N at which the cooldown
    is over. `seen`: what new texts are compared with, the latest last."""

    open: tuple[Question, ...] = ()
    quiet_until: int = NEVER
    seen: tuple[Seen, ...] = ()


EMPTY = SemanticCell()


class Semantic(Trigger):
    """An event whose text is unknown, or for which `where` is not true, is not judged. What is no text is counted."""

    by_event: ClassVar[bool] = True
    reads_last: ClassVar[bool] = False
    reads_record: ClassVar[bool] = True

    endpoint: EndpointPlan
    """Whoever plans it sets this."""

    def __init__(self, text: Condition, where: Condition | None, judge: Options | Novelty, cooldown: int) -> None:
        self.text, self.where, self.judge, self.cooldown = text, where, judge, cooldown
        self.condition = f"semantic: {text.text} {judge.told}"
        self.conditions = (text,) if where is None else (text, where)

    # --- asking -------------------------------------------------------------------------------------------------

    def fed(
        self, key: KeyState, cell: SemanticCell | None, time: int, watermark: int, due: int | None
    ) -> tuple[SemanticCell | None, Transition | None]:
        if self.where is not None and self.where.asked(key) is not True:
            return cell, None
        text = self._text(key)
        if text is None:
            return cell, None
        question = self._question(key, text[:TEXT_CHARACTERS_MAX], time, watermark)
        before = cell or EMPTY
        return before._replace(open=(*before.open, question)), Asked(question)

    def _text(self, key: KeyState) -> str | None:
        value = self.text.asked(key)
        if isinstance(value, str):
            return value
        if value.__class__ is not Unknown:
            count_doubt(key.counters, self.text.text, TYPE_ERROR)
        return None

    def _question(self, key: KeyState, text: str, time: int, watermark: int) -> Question:
        moment = key.moment
        assert moment is not None  # `reads_record`
        record = moment.record
        cause = RecordCause(record.topic, moment.generation, record.partition, record.offset)
        told = f"{moment.source}/{record.partition}@{record.offset}"
        values = carried(known_values(self.definitions, key))
        call = call_of(self.endpoint.name, self.request(text))
        return Question(call, text, time, key.now, watermark, cause, told, values)

    def request(self, text: str) -> ChatRequest:
        """What is asked about a text; nothing in it depends on the event."""
        return self.judge.request(self.endpoint, text)

    # --- deciding -----------------------------------------------------------------------------------------------

    def told(self, cell: SemanticCell | None, call: str, said: Said) -> SemanticCell | None:
        """This was said of a text: all that wait for it know. The first of them pays."""
        places = [place for place, question in enumerate(cell.open if cell else ()) if question.call == call]
        if cell is None or not places:
            return cell
        questions = list(cell.open)
        for place in places:
            paid = said if place == places[0] else said._replace(usage=None)
            questions[place] = questions[place]._replace(text="", said=paid)
        return cell._replace(open=tuple(questions))

    def decide(self, cell: SemanticCell | None) -> tuple[SemanticCell | None, Transition | None] | None:
        """What becomes of the first question, once it has its verdict; None: it waits, or there is none."""
        said = cell.open[0].said if cell is not None and cell.open else None
        if cell is None or said is None:
            return None
        question, after = cell.open[0], cell._replace(open=cell.open[1:])
        if not said.verdict:
            return self._rested(after), None
        values, seen = self.judge.decide(question.now, said.verdict, cell.seen)
        after = after._replace(seen=seen)
        if values is None:
            return self._rested(after), None
        if question.now < after.quiet_until:
            return after, Suppressed()
        quiet_until = question.now + self.cooldown if self.cooldown else NEVER
        given = Given(question.cause, question.told, question.now)
        fired = Fired(question.time, None, {**question.values, **values}, given=given, judged=self._entry(said))
        return self._rested(after._replace(quiet_until=quiet_until)), fired

    def _entry(self, said: Said) -> CallEntry:
        name = self.endpoint.name
        if said.usage is None:
            return CallEntry(name, 1, KNOWN, None, Usage(), Decimal(), said.simulated)
        return CallEntry(name, 1, "answered", None, said.usage, self.endpoint.cost(said.usage), said.simulated)

    @staticmethod
    def _rested(cell: SemanticCell) -> SemanticCell | None:
        return None if cell == EMPTY else cell

    def skipped(self, before: SemanticCell, after: SemanticCell | None) -> SemanticCell | None:
        return self._rested((after or EMPTY)._replace(quiet_until=before.quiet_until))

    def forgets(self, cell: SemanticCell) -> int | None:
        return None if cell.open else max(cell.quiet_until, self.judge.over(cell.seen))

    def dump(self, cell: SemanticCell | None) -> Any:
        return None if cell is None else [[*map(_dumped, cell.open)], cell.quiet_until, [*map(list, cell.seen)]]

    def load(self, dumped: list[Any] | None) -> SemanticCell | None:
        if not dumped:
            return None
        questions, quiet_until, seen = dumped
        return SemanticCell(tuple(map(_loaded, questions)), quiet_until, tuple(Seen(*each) for each in seen))


def _dumped(question: Question) -> list[Any]:
    *plain, cause, told, values, said = question
    usage = None if said is None or said.usage is None else [*msgspec.structs.astuple(said.usage)]
    return [*plain, [*cause], told, values, None if said is None else [_plain(said.verdict), usage, said.simulated]]


def _plain(verdict: Verdict) -> Any:
    return verdict if isinstance(verdict, bytes) else [*verdict]


def _loaded(dumped: list[Any]) -> Question:
    said = dumped[-1]
    if said is not None:
        said = Said(said[0], None if said[1] is None else Usage(*said[1]), said[2])
    return Question(*[*dumped[:5], RecordCause(*dumped[5]), *dumped[6:-1], said])


def build(settings: SemanticSettings, bind: Bind) -> Semantic:
    where = None if settings.where is None else bind(settings.where, False)
    return Semantic(bind(settings.semantic, False), where, _judge(settings), settings.cooldown)


def _judge(settings: SemanticSettings) -> Options | Novelty:
    threshold = settings.threshold
    if settings.unlike is not None:
        return Novelty(settings.unlike, FAR if threshold is None else threshold)
    assert settings.options is not None, "the settings were checked"
    assert settings.is_ is not None, "the settings were checked"
    return Options(settings.options, settings.is_, LIKELY if threshold is None else threshold)


def endpoint_of(name: str, settings: ModelSettings) -> EndpointPlan:
    """The model as such a trigger asks it: one token is enough, and of an embedding there is none."""
    parameters = settings.request if settings.kind == EMBEDDING else request_parameters(settings, 1)
    return EndpointPlan(name, settings.model, parameters, settings.price)
