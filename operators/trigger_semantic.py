"""`semantic`: fires when a small model says that a text is of a kind. The answer comes later; what is told is as of the event.

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
from pydantic import Field, ValidationInfo, field_validator

from penstock.operators.agent_plan import EndpointPlan
from penstock.operators.condition import Condition, count_doubt, known_values
from penstock.operators.event import ChatRequest, Tops, Usage
from penstock.operators.expression import Unknown
from penstock.operators.expression_value import TYPE_ERROR
from penstock.operators.key_state import KeyState
from penstock.operators.model import ModelSettings, request_parameters
from penstock.operators.question import (
    TEXT_CHARACTERS_MAX,
    Question,
    Said,
    Verdict,
    call_of,
    likelihoods,
    option_request,
)
from penstock.operators.run import CallEntry, RecordCause, carried
from penstock.operators.setting import Condition as ConditionText
from penstock.operators.setting import Text, Value
from penstock.operators.trigger import Asked, Bind, CooldownSettings, Fired, Given, Suppressed, Transition, Trigger
from penstock.operators.watermark import NEVER

LABEL, PROBABILITY = "label", "probability"
THRESHOLD = 0.5
KNOWN = "known"
"""The outcome of a call that another event paid for."""


class SemanticSettings(CooldownSettings):
    """Fires when a model says that the text of an event is of a kind."""

    tells: ClassVar[frozenset[str]] = frozenset({LABEL, PROBABILITY})

    semantic: Value = Field(description="The text to judge, of one event.", examples=["event.text"])
    where: ConditionText | None = Field(
        default=None,
        description="Which events are judged; a model is asked about no others. Default: all.",
        examples=['event.role == "customer"'],
    )
    model: Text = Field(description="Which model judges.", examples=["small"])
    options: tuple[Text, ...] = Field(
        min_length=2,
        max_length=10,
        description="What a text may be; the model chooses one. Words that begin differently.",
        examples=[["calm", "annoyed", "furious"]],
    )
    is_: Text = Field(alias="is", description="The option for which it fires.", examples=["furious"])
    threshold: float = Field(
        default=THRESHOLD, gt=0, le=1, description="It fires where this option is at least so likely."
    )
    late: Literal["ignore"] = Field(
        default="ignore", description="Late events are not judged; there is no other way yet."
    )

    @field_validator("options")
    @classmethod
    def _told_apart(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        folded = [option.casefold().strip() for option in options]
        for place, option in enumerate(folded):
            others = folded[:place] + folded[place + 1 :]
            if not option or "," in option:
                raise ValueError(f"{options[place]!r} is no word; write a few words without commas")
            if any(other.startswith(option) for other in others):
                raise ValueError(
                    f"{options[place]!r} is how another option begins: the first token decides between them"
                )
        return options

    @field_validator("is_")
    @classmethod
    def _is_an_option(cls, is_: str, info: ValidationInfo) -> str:
        options = info.data.get("options")
        if options is not None and is_ not in options:
            raise ValueError(f"{is_!r} is none of the options; write one of {', '.join(options)}")
        return is_


class SemanticCell(NamedTuple):
    """`open`: questions in the order of their events, the first one without a verdict. `quiet_until`: N at which the cooldown
    is over."""

    open: tuple[Question, ...] = ()
    quiet_until: int = NEVER


EMPTY = SemanticCell()


class Semantic(Trigger):
    """An event whose text is unknown, or for which `where` is not true, is not judged. What is no text is counted."""

    by_event: ClassVar[bool] = True
    reads_last: ClassVar[bool] = False
    reads_record: ClassVar[bool] = True

    endpoint: EndpointPlan
    """Whoever plans it sets this."""

    def __init__(self, text: Condition, where: Condition | None, settings: SemanticSettings) -> None:
        self.text, self.where, self.cooldown = text, where, settings.cooldown
        self.options, self.wanted = settings.options, settings.options.index(settings.is_)
        self.threshold = settings.threshold
        self.condition = f"semantic: {text.text} is {settings.is_}"
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
        return option_request(self.endpoint, text, self.options)

    # --- deciding -----------------------------------------------------------------------------------------------

    def verdict(self, tops: Tops) -> Verdict:
        return likelihoods(self.options, tops)

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
        likely = said.verdict[self.wanted] if said.verdict else 0.0
        if likely < self.threshold:
            return self._rested(after), None
        if question.now < after.quiet_until:
            return after, Suppressed()
        quiet_until = question.now + self.cooldown if self.cooldown else NEVER
        values = {**question.values, LABEL: self.options[self.wanted], PROBABILITY: likely}
        given = Given(question.cause, question.told, question.now)
        fired = Fired(question.time, None, values, given=given, judged=self._entry(said))
        return self._rested(after._replace(quiet_until=quiet_until)), fired

    def _entry(self, said: Said) -> CallEntry:
        name, price = self.endpoint.name, self.endpoint.price
        if said.usage is None:
            return CallEntry(name, 1, KNOWN, None, Usage(), Decimal(), said.simulated)
        cost = None if price is None else price.cost(said.usage)
        return CallEntry(name, 1, "answered", None, said.usage, cost, said.simulated)

    @staticmethod
    def _rested(cell: SemanticCell) -> SemanticCell | None:
        return None if cell == EMPTY else cell

    def skipped(self, before: SemanticCell, after: SemanticCell | None) -> SemanticCell | None:
        return self._rested((after or EMPTY)._replace(quiet_until=before.quiet_until))

    def forgets(self, cell: SemanticCell) -> int | None:
        return None if cell.open else cell.quiet_until

    def dump(self, cell: SemanticCell | None) -> Any:
        return None if cell is None else [[*map(_dumped, cell.open)], cell.quiet_until]

    def load(self, dumped: list[Any] | None) -> SemanticCell | None:
        if not dumped:
            return None
        return SemanticCell(tuple(map(_loaded, dumped[0])), *dumped[1:])


def _dumped(question: Question) -> list[Any]:
    *plain, cause, told, values, said = question
    usage = None if said is None or said.usage is None else [*msgspec.structs.astuple(said.usage)]
    return [*plain, [*cause], told, values, None if said is None else [[*said.verdict], usage, said.simulated]]


def _loaded(dumped: list[Any]) -> Question:
    said = dumped[-1]
    if said is not None:
        said = Said(tuple(said[0]), None if said[1] is None else Usage(*said[1]), said[2])
    return Question(*[*dumped[:5], RecordCause(*dumped[5]), *dumped[6:-1], said])


def build(settings: SemanticSettings, bind: Bind) -> Semantic:
    where = None if settings.where is None else bind(settings.where, False)
    return Semantic(bind(settings.semantic, False), where, settings)


def endpoint_of(name: str, settings: ModelSettings) -> EndpointPlan:
    """The model as such a trigger asks it: one token is enough."""
    return EndpointPlan(name, settings.model, request_parameters(settings, 1), settings.price)
