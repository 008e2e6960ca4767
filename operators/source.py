"""A source: which topic, how its records are read, which key and time they have, and what of them a prompt shows.

    raw ── parse ──▶ event ── derive ──▶ key ──▶ time ──▶ (key, time, event)      `decode`
                                                                │
                                     ignore? ◀──────────────────┤                 `ignores`: for triggers and prompts
                                     hide? show ◀───────────────┘                 `line`: for prompts only

Everything is compiled once, when the pipeline is built; nothing on a record's path reads a setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from penstock.operators.decode import (
    Encode,
    Event,
    Format,
    each_once,
    encoder,
    event_class,
)
from penstock.operators.decode_binary import EVERYTHING, everything
from penstock.operators.decode_formats import FormatSettings, ReadFile, build_format
from penstock.operators.decode_text import WHOLE, TextFormat
from penstock.operators.dedupe import Dedupe, DedupeSettings
from penstock.operators.expression import (
    Compiled,
    ExpressionError,
    Scope,
    attribute_of,
    compile_expression,
)  # fmt: skip
from penstock.operators.expression_check import TENANT, expand
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import Member, Name, walk
from penstock.operators.input_settings import InputSettings
from penstock.operators.key_state import Moment
from penstock.operators.pace import Pace
from penstock.operators.record import Raw
from penstock.operators.schemas import Schemas
from penstock.operators.setting import Condition, Settings, Text, Value, Wait, text_or_list
from penstock.operators.source_decode import Decode, DecodeAll, decoders, placing, plain_decoders
from penstock.operators.source_key import (
    KeyOf,
    Look,
    composite_key,
    expression_key,
    field_key,
    record_key,
)
from penstock.operators.source_keying import key_text, time_text
from penstock.operators.source_time import TimeOf, record_time, value_time
from penstock.operators.source_watermark import WatermarkSettings
from penstock.operators.timestamp import TimeSettings, instant

Start = Literal["earliest", "latest"] | int
"""Where an input without a position begins; an int is a time in ms since the epoch."""


def _is_start(text: str) -> str:
    if text not in ("earliest", "latest") and instant(text) is None:
        raise ValueError(f"{text!r} is no start; write earliest, latest or a time such as 2026-11-20T09:00:00Z")
    return text


def _text_or_map(value: Any) -> str | None:
    return "<text>" if isinstance(value, str) else "<map>" if isinstance(value, dict | TimeSettings) else None


FieldName = Annotated[Text, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
TimeChoice = Annotated[
    Annotated[Value, Tag("<text>")] | Annotated[TimeSettings, Tag("<map>")],
    Discriminator(
        _text_or_map, custom_error_type="time", custom_error_message="expected an expression or a map with `at`"
    ),
]
KeyChoice = Annotated[
    Annotated[Value, Tag("<text>")] | Annotated[tuple[Value, ...], Field(min_length=1), Tag("<list>")],
    Discriminator(
        text_or_list, custom_error_type="key", custom_error_message="expected an expression or a list of expressions"
    ),
]


class SourceSettings(Settings):
    """One input topic and how to read it."""

    topic: Text = Field(min_length=1, description="The topic to read.", examples=["auth-log"])
    format: FormatSettings = Field(default="json", description="How the bytes of a record become fields.")
    derive: dict[FieldName, Value] = Field(
        default={},
        description="Computed fields, in order; later ones may use earlier ones.",
        examples=[{"weight": "has(event.repeat) ? int(event.repeat) : 1"}],
    )
    key: KeyChoice | None = Field(
        default=None,
        description="What belongs together: an expression, or a list for a composite key. Default: the record's key.",
        examples=["event.host"],
    )
    rekey: bool = Field(
        default=False,
        description="The topic is not partitioned by this key: bring the events of each key together first.",
    )
    time: TimeChoice | None = Field(
        default=None, description="When the event happened. Default: the record's timestamp.", examples=["event.ts"]
    )
    tenant: Value | None = Field(
        default=None,
        description="Whose the event is: an expression. Results, templates and triggers can name it. Default: nobody's.",
        examples=["event.customer"],
    )
    watermark: WatermarkSettings = Field(default=WatermarkSettings(), description="Disorder and silence.")
    ignore: Condition | None = Field(default=None, description="Events to leave out of triggers and prompts.")
    dedupe: DedupeSettings | None = Field(
        default=None, description="Records that tell an event again, to leave out, too."
    )
    hide: Condition | None = Field(
        default=None, description="Events to leave out of prompts only.", examples=['event.level == "DEBUG"']
    )
    show: Annotated[tuple[Text, ...], AfterValidator(each_once)] | None = Field(
        default=None, min_length=1, description="Fields that a prompt shows, in order.", examples=[["ts", "message"]]
    )
    show_every: Wait | None = Field(
        default=None,
        description="A prompt sees at most one line of a key per so much event time; triggers see every event.",
        examples=["5s"],
    )
    input: InputSettings | None = Field(default=None, description="What fills the topic, in the embedded broker only.")
    start: Annotated[Text, AfterValidator(_is_start)] = Field(
        default="earliest", description="Where to begin without a position: earliest, latest or an ISO 8601 time."
    )

    @model_validator(mode="after")
    def _whole_line_stays(self) -> Self:
        if WHOLE in self.derive and (self.format == "text" or isinstance(self.format, TextFormat)):
            raise ValueError(f"`derive` cannot replace {WHOLE!r}: with format text it is the whole line")
        return self


Holds = Callable[[Event, Raw, str, int], bool]
"""(event, raw, key, time) to whether a condition is true; unknown is false."""
Hides = Callable[[Raw, Event], bool]
TenantOf = Callable[[Event, Raw, str, int], Any]
"""(event, raw, key, time) to whose it is; may be an Unknown."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source, compiled. Times are ms."""

    name: str
    topic: str
    start: Start
    delay: int
    idle: int | None
    lateness: int
    ahead: int
    decode: Decode
    """Never raises for bad data."""
    decode_all: DecodeAll
    """The same of many records, in their order; quicker than one by one where nothing about them is unusual."""
    ignores: Holds | None
    """Leave the event out of triggers and prompts."""
    dedupe: Dedupe | None
    """Tells which of the rest are there already."""
    line: Callable[[Raw, Event], bytes | None] | None
    """What a prompt shows of the event, before `render_line` (None: nothing). No function: the record's value as it came."""
    pace: Pace | None
    """Tells of which of the rest a prompt sees the line."""
    keying: Mapping[str, str]
    """How `key` and `time` are read, in words that are equal as long as they mean the same."""
    rekey: bool
    """Its topic is not partitioned by this key."""
    binary: bool
    """Its records are no lines of text."""
    schemas: Schemas | None
    """What is known of the registry's schemas, where its records name them: what is decoded must be known."""
    tenant: TenantOf | None = None
    """Whose an event is, where the source says so."""


def build_source(
    name: str,
    settings: SourceSettings,
    fields: frozenset[str],
    scope: Scope,
    labels: Mapping[str, str] = MappingProxyType({}),
    read_file: ReadFile = MappingProxyType[str, str]({}).__getitem__,
    dedupe: Dedupe | None = None,
    pace: Pace | None = None,
) -> Source:
    """Compile a source of the file. `fields` are the event's fields that the pipeline's own expressions use; `read_file` gives
    the content of a file that the settings name; `dedupe` and `pace` are bound to the pipeline's aggregates: made elsewhere.

    Raises ExpressionError for an expression of the settings that is none.
    """
    compiler = _Compiler(name, replace(scope, aggregates=False, roots=scope.roots - {TENANT}), labels)
    key_of, time_of = _key_of(settings.key, compiler), _time_of(settings, compiler)
    place, plain = placing(key_of, time_of), None if settings.derive else _plain_fields(settings)
    derived = [(attribute_of(field), compiler.look(text)) for field, text in settings.derive.items()]
    ignores = compiler.condition(settings.ignore) if settings.ignore is not None else None
    hides = compiler.hidden(settings.hide, key_of, time_of) if settings.hide is not None else None
    tenant_of = compiler.value(settings.tenant) if settings.tenant is not None else None
    form = build_format(settings.format, read_file)
    shown = settings.show or _shown_by_default(form, settings.derive)
    events = event_class(fields.union(compiler.fields, settings.derive, shown or ()))
    ahead = settings.watermark.ahead
    if plain is None:
        decode, decode_all = decoders(form.parse(events), derived, place)
    else:
        decode, decode_all = plain_decoders(form, events, plain, ahead, place)
    return Source(
        name=name,
        topic=settings.topic,
        start=_start(settings.start),
        delay=settings.watermark.delay,
        idle=settings.watermark.idle,
        lateness=settings.watermark.lateness,
        ahead=ahead,
        decode=decode,
        decode_all=decode_all,
        ignores=ignores,
        dedupe=dedupe,
        line=_line(_encoder(shown), hides),
        pace=pace,
        keying=_keying(settings, scope),
        rekey=settings.rekey,
        binary=form.binary,
        schemas=form.schemas,
        tenant=tenant_of,
    )


def _shown_by_default(form: Format, derived: Iterable[str]) -> tuple[str, ...] | None:
    """Where the whole record is shown, what is derived from it is no news."""
    if form.shown is None or form.shown == (EVERYTHING,):
        return form.shown
    return tuple(dict.fromkeys((*form.shown, *derived)))


def _encoder(shown: tuple[str, ...] | None) -> Encode | None:
    if shown is None:
        return None
    return everything() if shown == (EVERYTHING,) else encoder(shown)


PLAIN_FIELD = re.compile(r"\s*event\.([A-Za-z_][A-Za-z0-9_]*)\s*")
"""An expression that is a field of the event and nothing else."""


class _Compiler:
    """Compiles the expressions of one source and collects the fields that they use."""

    def __init__(self, name: str, scope: Scope, labels: Mapping[str, str]) -> None:
        self._name, self._scope, self._labels = name, scope, labels
        self.fields: set[str] = set()

    def look(self, text: str) -> Look:
        """The value of an expression that is evaluated before key and time are known: it cannot ask for them."""
        compiled = self._compile(text, replace(self._scope, roots=self._scope.roots - {"key"}))
        _refuse_event_time(text, self._scope)
        if plain := PLAIN_FIELD.fullmatch(text):
            get = attrgetter(attribute_of(plain[1]))
            return lambda raw, event: get(event)
        evaluate, name, labels = compiled.evaluate, self._name, self._labels
        if compiled.uses_moment:
            return lambda raw, event: evaluate(event, (), Moment("", name, raw, raw.timestamp, labels))
        return lambda raw, event: evaluate(event, (), None)

    def condition(self, text: str) -> Holds:
        """A condition over a decoded event; unknown is false."""
        compiled = self._compile(text, self._scope)
        evaluate, name, labels = compiled.evaluate, self._name, self._labels
        if compiled.uses_moment:
            return lambda event, raw, key, time: evaluate(event, (), Moment(key, name, raw, time, labels)) is True
        return lambda event, raw, key, time: evaluate(event, (), None) is True

    def value(self, text: str) -> TenantOf:
        """The value of an expression over a decoded event."""
        compiled = self._compile(text, self._scope)
        evaluate, name, labels = compiled.evaluate, self._name, self._labels
        if compiled.uses_moment:
            return lambda event, raw, key, time: evaluate(event, (), Moment(key, name, raw, time, labels))
        return lambda event, raw, key, time: evaluate(event, (), None)

    def hidden(self, text: str, key_of: KeyOf, time_of: TimeOf) -> Hides:
        """Like `condition`, for an event whose key and time are not at hand: they are read again where it asks for them."""
        compiled = self._compile(text, self._scope)
        if not compiled.uses_moment:
            evaluate = compiled.evaluate
            return lambda raw, event: evaluate(event, (), None) is True
        holds = self.condition(text)

        def hides(raw: Raw, event: Event) -> bool:
            key, time = key_of(raw, event), time_of(raw, event)
            return isinstance(key, str) and isinstance(time, int) and holds(event, raw, key, time)

        return hides

    def _compile(self, text: str, scope: Scope) -> Compiled:
        compiled = compile_expression(text, scope)
        self.fields |= compiled.fields
        return compiled


def _refuse_event_time(text: str, scope: Scope) -> None:
    for node in walk(expand(parse(text), scope)):
        match node:
            case Member(of=Name(name="record"), name="time", place=place):
                raise ExpressionError("`record.time` is not known here; `record.timestamp` is the record's own", place)


def _key_of(settings: str | tuple[str, ...] | None, compiler: _Compiler) -> KeyOf:
    match settings:
        case None:
            return record_key
        case str():
            plain, look = PLAIN_FIELD.fullmatch(settings), compiler.look(settings)
            return field_key(attribute_of(plain[1]), settings) if plain else expression_key(look, settings)
        case _:
            return composite_key([compiler.look(text) for text in settings], settings)


def _keying(settings: SourceSettings, scope: Scope) -> Mapping[str, str]:
    key = key_text(settings.key, settings.derive, scope)
    key = f"{key}, rekeyed" if settings.rekey else key
    return {"key": key, "time": time_text(time_settings(settings), settings.derive, scope)}


def time_settings(settings: SourceSettings) -> TimeSettings | None:
    """How a source reads times; None: it goes by the record's timestamp."""
    return TimeSettings(at=settings.time) if isinstance(settings.time, str) else settings.time


def _time_of(settings: SourceSettings, compiler: _Compiler) -> TimeOf:
    time, ahead = time_settings(settings), settings.watermark.ahead
    if time is None:
        return record_time
    return value_time(compiler.look(time.at), time, ahead)


def _plain_fields(settings: SourceSettings) -> tuple[str, str] | None:
    """The attributes of key and time where both are fields as they are, the time in ms: by far the most common source."""
    time = time_settings(settings)
    if not isinstance(settings.key, str) or time is None:
        return None
    key_field, time_field = PLAIN_FIELD.fullmatch(settings.key), PLAIN_FIELD.fullmatch(time.at)
    if key_field is None or time_field is None or time.unit != "ms":
        return None
    return attribute_of(key_field[1]), attribute_of(time_field[1])


def _start(text: str) -> Start:
    match text:
        case "earliest" | "latest":
            return text
        case _:
            time = instant(text)
            assert time is not None, "the settings were checked"
            return time


def _line(encode: Encode | None, hides: Hides | None) -> Callable[[Raw, Event], bytes | None] | None:
    if hides is None:
        return None if encode is None else lambda raw, event: encode(event)

    def line(raw: Raw, event: Event) -> bytes | None:
        if hides(raw, event):
            return None
        return raw.value if encode is None else encode(event)

    return line
