"""An agent of the file: its settings, and what they become for its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import orjson
from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from penstock.operators.answer import AnswerShape, shape_of_fields, shape_of_schema
from penstock.operators.answer_schema import AnswerError
from penstock.operators.error import Rejected
from penstock.operators.event import Usage
from penstock.operators.model import CHAT, TOKENS_MAX, ModelSettings, PriceSettings, request_parameters
from penstock.operators.prompt import system_text
from penstock.operators.setting import Settings, Text, Wait
from penstock.operators.setting import Template as TemplateText
from penstock.operators.template import Template

ReadFile = Callable[[str], str]
"""Text of a file that the pipeline's file names, by its path as written there."""


class FileReference(Settings):
    """The text stands in a file of its own, beside this one."""

    file: Text = Field(min_length=1, description="Path, relative to the pipeline's file.")


def _is_reference(value: Any) -> Literal["file", "inline"]:
    named = isinstance(value, dict) and value.keys() == {"file"} and isinstance(value["file"], str)
    return "file" if named or isinstance(value, FileReference) else "inline"


Fields = dict[str, dict[str, Any]]
TextOrFile = Annotated[
    Annotated[Text, Tag("inline")] | Annotated[FileReference, Tag("file")], Discriminator(_is_reference)
]
FieldsOrFile = Annotated[
    Annotated[Fields, Tag("inline")] | Annotated[FileReference, Tag("file")], Discriminator(_is_reference)
]


class PartialSettings(Settings):
    """Records that show an answer while it grows."""

    every: Wait = Field(default=250, description="At most one per run in this time.")
    preview: bool = Field(default=False, description="Also send token by token to the previews topic, best effort.")


class LimitSettings(Settings):
    """What one run may use."""

    time: Wait = Field(
        default=60_000, description="For all its model calls together; waiting for a free one is not in it."
    )
    tokens: int | None = Field(
        default=None,
        ge=1,
        description=f"Generated tokens per call. Default: what the model's `request:` says, else {TOKENS_MAX}.",
    )


class AgentSettings(Settings):
    """Asks a model about one key and gives its answer."""

    models: list[Text] | None = Field(
        default=None,
        min_length=1,
        description="Tried in this order when one fails. Default: all models in the file's order.",
    )
    system: TextOrFile = Field(
        default="",
        description="Who the model is and what it knows. No template: it is the beginning that all prompts share.",
    )
    ask: TemplateText = Field(
        min_length=1, description="The question, a template.", examples=["Is {{ key }} under attack?"]
    )
    answer: FieldsOrFile | None = Field(
        default=None,
        description="Fields of the answer, each in JSON Schema; all of them, and nothing else. Default: free text.",
        examples=[{"verdict": {"enum": ["attack", "benign", "unclear"]}, "why": {"type": "string"}}],
    )
    partials: PartialSettings | None = Field(default=None, description="Default: only whole answers are published.")
    limits: LimitSettings = Field(default=LimitSettings(), description="What one run may use.")
    fallback: dict[str, Any] | None = Field(
        default=None, description="The answer when no model gives one; the result says so. Default: the run fails."
    )
    stale: Literal["queue"] = Field(
        default="queue", description="A newer firing of the same key waits until the run before it is over."
    )
    loop: Literal["once"] = Field(default="once", description="One question, one answer.")

    @field_validator("answer")
    @classmethod
    def _described(cls, answer: Fields | FileReference | None) -> Fields | FileReference | None:
        if isinstance(answer, dict):
            shape_of_fields(answer)
        return answer

    @model_validator(mode="after")
    def _fallback_fits(self) -> AgentSettings:
        if self.fallback is not None and self.answer is None:
            raise ValueError("`fallback` needs `answer`, which says what fields it has")
        if self.fallback is not None and isinstance(self.answer, dict):
            _check_fallback(self.fallback, shape_of_fields(self.answer))
        return self


def _check_fallback(fallback: dict[str, Any], shape: AnswerShape) -> None:
    try:
        shape.check(fallback)
    except AnswerError as error:
        raise ValueError(f"`fallback` {error}") from error


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """A model as an agent asks it: `name` in the file, `model` on the server, `parameters` of every request."""

    name: str
    model: str
    parameters: dict[str, Any]
    price: PriceSettings | None

    def cost(self, usage: Usage) -> Decimal | None:
        """None where the file has no price."""
        return None if self.price is None else self.price.cost(usage)


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """`system` is the whole system message. Without `shape` answers are free text. Times in ms."""

    name: str
    endpoints: tuple[EndpointPlan, ...]
    system: str
    ask: Template
    shape: AnswerShape | None
    partial_every: int | None
    preview: bool
    time_limit: int
    fallback: dict[str, Any] | None


def build_agent(
    name: str, settings: AgentSettings, models: Mapping[str, ModelSettings], read_file: ReadFile
) -> AgentPlan:
    """Raises Rejected for what the settings alone cannot show: models that are not there, files that say something else."""
    shape = _shape(name, settings, read_file)
    system = settings.system if isinstance(settings.system, str) else read_file(settings.system.file)
    if settings.fallback is not None and shape is not None:
        try:
            _check_fallback(settings.fallback, shape)
        except ValueError as error:
            raise Rejected(str(error), where=f"agents.{name}") from error
    return AgentPlan(
        name=name,
        endpoints=_endpoints(name, settings, models),
        system=system_text(system, shape),
        ask=Template(settings.ask),
        shape=shape,
        partial_every=None if settings.partials is None else settings.partials.every,
        preview=settings.partials is not None and settings.partials.preview,
        time_limit=settings.limits.time,
        fallback=settings.fallback,
    )


def _shape(name: str, settings: AgentSettings, read_file: ReadFile) -> AnswerShape | None:
    match settings.answer:
        case None:
            return None
        case dict() as fields:
            return shape_of_fields(fields)
        case FileReference(file=path):
            try:
                return shape_of_schema(orjson.loads(read_file(path)))
            except (AnswerError, orjson.JSONDecodeError) as error:
                raise Rejected(
                    f"{path}: {error}", where=f"agents.{name}.answer", remedy="write a JSON Schema"
                ) from error


def _endpoints(name: str, settings: AgentSettings, models: Mapping[str, ModelSettings]) -> tuple[EndpointPlan, ...]:
    able = [model for model in models if models[model].kind == CHAT]
    wanted = able if settings.models is None else settings.models
    missing = [model for model in wanted if model not in able]
    if missing or not wanted:
        what = f"there is no model {missing[0]!r} that answers" if missing else "there is no model to ask"
        raise Rejected(what, where=f"agents.{name}.models", remedy="name it under `models:`")
    return tuple(
        EndpointPlan(
            model, models[model].model, request_parameters(models[model], settings.limits.tokens), models[model].price
        )
        for model in wanted
    )
