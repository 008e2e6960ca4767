"""What a file of scenarios says: events that happen to a pipeline, what its models answer, and what has to come of it.

    penstock: test/v1
    scenarios:
      - name: twenty failed logins within a minute are an attack
        answers: {investigate: {verdict: attack, why: twenty failures}}
        events:
          - {at: 0s, event: {host: web-1, outcome: failed}, repeat: {times: 20, every: 1s}}
        expect:
          firings: [{trigger: brute_force, key: web-1, at: 19s}]

Of a map in `expect` only what is written counts; a list is the whole list, in order.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from penstock.operators.setting import Duration, Settings, Text, Wait
from penstock.pipelines.scenario_time import START, EventTimeText, InstantText, TimeText

DEEDS = ("event", "text", "file", "row", "advance", "end")
"""What an item of `events` can be: one of these."""
_OF_RECORDS = frozenset({"source", "at", "key", "headers"})
_GOES_WITH: dict[str, frozenset[str]] = {
    "event": _OF_RECORDS | {"repeat"},
    "text": _OF_RECORDS | {"repeat"},
    "file": _OF_RECORDS | {"lines"},
    "row": frozenset({"table", "at", "key"}),
    "advance": frozenset(),
    "end": frozenset(),
}
FAULTS = ("refuse", "cut", "timeout", "unusable")
"""Words that stand where an answer could, for a call that goes wrong."""
_LINES = re.compile(r"([1-9]\d{0,8})(?:-([1-9]\d{0,8}))?")


def line_range(text: str) -> tuple[int, int]:
    """First and last line of `1-200` or `7`. Raises ValueError."""
    match = _LINES.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last:
        raise ValueError(f"{text!r} is no range of lines; write the first and the last one, such as 1-200")
    return first, last


def _is_range(text: str) -> str:
    line_range(text)
    return text


class Repeat(Settings):
    """The same event several times."""

    times: int = Field(ge=1, le=100_000, description="How often, the first time included.")
    every: Duration = Field(default=0, description="How far apart.")


class Step(Settings):
    """One thing that happens: events arrive, a row changes, time passes in silence, or the input ends."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in DEEDS]})

    source: Text | None = Field(default=None, description="Which source it comes from; default: the only one.")
    at: EventTimeText | None = Field(
        default=None,
        description="When: after the beginning (90s), after the latest time so far (+5s), or an instant. "
        "Default: when the record itself says, else +0s.",
    )
    event: dict[str, Any] | None = Field(
        default=None,
        description="The fields of one event; null: a record without a value. In texts `{time}` is its time, "
        "`{n}` the number of the repetition.",
        examples=[{"host": "web-1", "outcome": "failed"}],
    )
    text: Text | None = Field(
        default=None, min_length=1, description="Records as they are, one per line; `{time}` and `{n}` as in `event`."
    )
    file: Text | None = Field(default=None, description="A recording (jsonl, csv, text), relative to this file.")
    lines: Annotated[Text, AfterValidator(_is_range)] | None = Field(
        default=None, description="Which lines of the recording; default: all.", examples=["1-200"]
    )
    table: Text | None = Field(default=None, description="Which table the row is of; default: the only one.")
    row: dict[str, Any] | None = Field(
        default=None,
        description="The fields of a row of a table, whose record has this `key`; null: it is gone.",
        examples=[{"class": "public"}],
    )
    key: Text | None = Field(default=None, description="The record's key, for sources and tables that go by it.")
    headers: dict[str, Text] = Field(default={}, description="The record's headers.")
    repeat: Repeat | None = Field(default=None, description="Several times.", examples=[{"times": 20, "every": "1s"}])
    advance: Wait | None = Field(default=None, description="Time passes and nothing arrives.", examples=["10m"])
    end: Literal[True] | None = Field(
        default=None, description="The input is over, as that of a file: everything that waits for time happens now."
    )

    @property
    def deeds(self) -> list[str]:
        """Which of DEEDS it is: one. `event: null` and `row: null` are records without a value."""
        return [name for name in DEEDS if getattr(self, name) is not None or self._is_tombstone(name)]

    def _is_tombstone(self, name: str) -> bool:
        return name in ("event", "row") and name in self.model_fields_set

    @model_validator(mode="after")
    def _one_deed(self) -> Self:
        deeds = self.deeds
        if len(deeds) != 1:
            found = " and ".join(f"`{name}`" for name in deeds) or "none of them"
            raise ValueError(f"it is one of `event`, `text`, `file`, `row`, `advance` or `end`; found {found}")
        deed = deeds[0]
        strange = sorted(self.model_fields_set - _GOES_WITH[deed] - {deed})
        if strange:
            raise ValueError(f"`{strange[0]}` does not go with `{deed}`")
        return self


class FiringExpectation(Settings):
    """A firing. What is left out may be anything."""

    trigger: Text | None = Field(default=None, description="Which trigger.")
    key: Text | None = Field(default=None, description="For which key.")
    by: Text | None = Field(default=None, description="For which value of `by`.")
    tenant: Text | None = Field(default=None, description="Whose the key is.")
    at: TimeText | None = Field(default=None, description="When, after the beginning of the scenario.")
    values: dict[str, Any] = Field(default={}, description="Definitions that the result reports.")
    labels: dict[str, Text] = Field(default={}, description="Labels.")
    annotations: dict[str, Text] = Field(default={}, description="Annotations, rendered.")
    events: int | None = Field(default=None, ge=0, description="How many events its context showed.")
    end: bool | None = Field(default=None, description="Whether it needed the input to be over.")


class PromptExpectation(Settings):
    """A call of a model. What is left out may be anything."""

    agent: Text | None = Field(default=None, description="Who asked.")
    trigger: Text | None = Field(default=None, description="What fired.")
    key: Text | None = Field(default=None, description="About which key.")
    model: Text | None = Field(default=None, description="Whom: a name of `models`.")
    question: Text | None = Field(default=None, description="What `ask` became, exactly.")
    contains: Text | list[Text] = Field(default=[], description="Texts that the whole prompt holds.")
    lacks: Text | list[Text] = Field(default=[], description="Texts that it does not hold.")


class ResolvedExpectation(Settings):
    """The end of what a firing began."""

    trigger: Text | None = Field(default=None, description="Which trigger.")
    key: Text | None = Field(default=None, description="For which key.")
    by: Text | None = Field(default=None, description="For which value of `by`.")
    at: TimeText | None = Field(default=None, description="When, after the beginning of the scenario.")
    reason: Text | None = Field(default=None, description="Why, where it is not what the file says (`forgotten`).")


class CorrectionExpectation(Settings):
    """A firing that an event of before changed (`late: correct`)."""

    trigger: Text | None = Field(default=None, description="Which trigger.")
    key: Text | None = Field(default=None, description="For which key.")
    by: Text | None = Field(default=None, description="For which value of `by`.")
    at: TimeText | None = Field(default=None, description="When it was corrected, after the beginning of the scenario.")
    values: dict[str, Any] = Field(default={}, description="What definitions are now known to have been.")
    annotations: dict[str, Text] = Field(default={}, description="Annotations, rendered.")
    withdrawn: bool | None = Field(default=None, description="Whether it would not have fired.")


ResultExpectation = Annotated[
    dict[str, Any], WithJsonSchema({"type": "object", "description": "Fields of a result; see docs/results.md."})
]
Item = TypeVar("Item")


class Among(Settings, Generic[Item]):
    """Not the whole list: what is in it, and what is not."""

    any: list[Item] = Field(default=[], description="Each of these is there.")
    never: list[Item] = Field(default=[], description="None of these is there.")


class Expect(Settings):
    """What has to come of it. A list is all that happened, in order; `any` and `never` are for less."""

    none: Literal[True] | None = Field(default=None, description="Nothing fires.")
    firings: list[FiringExpectation] | Among[FiringExpectation] | None = Field(default=None, description="What fired.")
    prompts: list[PromptExpectation] | Among[PromptExpectation] | None = Field(
        default=None, description="What models were asked, call by call."
    )
    results: list[ResultExpectation] | Among[ResultExpectation] | None = Field(
        default=None, description="The outcome of every run. Times count from the beginning of the scenario."
    )
    resolved: list[ResolvedExpectation] | Among[ResolvedExpectation] | None = Field(
        default=None, description="What ended."
    )
    corrections: list[CorrectionExpectation] | Among[CorrectionExpectation] | None = Field(
        default=None, description="What was corrected, because of an event that belongs before it."
    )
    counts: dict[str, int | dict[str, int]] = Field(
        default={},
        description="How many events were late, dead, ignored, suppressed …; in all, or by source, trigger or reason.",
        examples=[{"late": 1, "dead": {"keyless": 2}}],
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        given = self.model_fields_set
        if not given:
            raise ValueError(f"say what has to happen, with one of {', '.join(f'`{name}`' for name in EXPECTED)}")
        if self.none and given & {"firings", "prompts", "results", "resolved", "corrections"}:
            raise ValueError("`none` says that nothing fires: it goes with `counts` only")
        return self


EXPECTED = tuple(Expect.model_fields)
Tables = dict[str, dict[str, dict[str, Any]]]
"""Rows by table and by the keys of their records."""
Answers = dict[str, Any]
"""By agent: one answer for every call, or a list with one for each call in order."""


class Scenario(Settings):
    """One story about the pipeline."""

    name: Text = Field(min_length=1, description="What it shows, as a sentence.")
    start: InstantText | None = Field(default=None, description="When it begins; default: what the file says.")
    answers: Answers = Field(
        default={},
        description=f"What models answer, by agent: one answer for every call, or a list. Faults: {', '.join(FAULTS)}.",
        examples=[{"investigate": {"verdict": "attack", "why": "twenty failures"}}],
    )
    tables: Tables = Field(
        default={},
        description="Rows that are there when it begins, by table and key of the record; on top of those of the file.",
        examples=[{"hosts": {"web-1": {"class": "public"}}}],
    )
    events: list[Step] = Field(min_length=1, description="What happens, in order of arrival.")
    expect: Expect = Field(description="What has to come of it.")


class ScenarioFile(Settings):
    """Scenarios of a pipeline, for `penstock test`."""

    penstock: Literal["test/v1"] = Field(description="The version of this language.")
    pipeline: Text | None = Field(
        default=None, description="The pipeline's file, relative to this one; default: ssh.yaml for ssh.test.yaml."
    )
    env: dict[str, Text] = Field(default={}, description="Variables for ${…} of the pipeline.")
    set: list[Text] = Field(default=[], description="path=value on top of the pipeline, as with --set.")
    start: InstantText = Field(default=START, description="When scenarios begin.")
    answers: Answers = Field(default={}, description="Answers for all scenarios that do not bring their own.")
    tables: Tables = Field(default={}, description="Rows that are there when scenarios begin.")
    scenarios: list[Scenario] = Field(min_length=1, description="The stories.")
