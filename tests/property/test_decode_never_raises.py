"""Whatever bytes stand in a topic: every format answers with an event or with a dead letter that docs/sources.md lists."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.operators.decode import REASONS, Read, render_line
from penstock.operators.expression import Scope
from penstock.operators.record import DeadLetter, Record
from penstock.operators.source import Source, SourceSettings, build_source
from penstock.operators.timestamp import EARLIEST_MS, LATEST_MS, TimeSettings, time_reader

FORMATS: dict[str, Any] = {
    "json": "json",
    "csv": {"csv": {"columns": ["a", "t"]}},
    "text": {"text": [r"(?P<a>\w+)=(?P<t>.*)", r"^(?P<t>\S+)"]},
}
TIMES: list[Any] = [
    None, "event.t", {"at": "event.t", "unit": "ms"}, {"at": "event.t", "unit": "s"},
    {"at": "event.t", "zone": "Europe/Berlin"}, {"at": "event.t", "layout": "%b %d %H:%M:%S"},
]  # fmt: skip


def source(form: Any, time: Any) -> Source:
    settings = SourceSettings.model_validate({"topic": "t", "format": form, "key": "event.a", "time": time})
    return build_source("s", settings, frozenset({"a"}), Scope(defines={}, aggregates=False))


SOURCES = {name: [source(form, time) for time in TIMES] for name, form in FORMATS.items()}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
objects = st.fixed_dictionaries({}, optional={"a": json_values, "t": json_values, "other": json_values})
values = (
    st.binary(max_size=200)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | objects.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda head, at, tail: head[:at] + tail,
        objects.map(lambda value: json.dumps(value).encode()),
        st.integers(0, 60),
        st.binary(max_size=9),
    )
    | st.lists(st.text(max_size=12), max_size=4).map(lambda cells: ",".join(cells).encode("utf-8", "surrogatepass"))
)
timestamps = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4_000_000_000_000)


@pytest.mark.parametrize("form", FORMATS)
@given(value=values, key=st.none() | st.binary(max_size=8), timestamp=timestamps)
@example(value=b'{"a":"\\ud800","t":"\\udc00"}', key=None, timestamp=0)
@example(value=b'{"a":1,"t":"0001-01-01T00:00:00+14:00"}', key=None, timestamp=0)
@example(value=b"a=9999-12-31T23:59:59.999-14:00", key=b"", timestamp=-1)
def test_any_record_becomes_an_event_or_a_dead_letter(
    form: str, value: bytes, key: bytes | None, timestamp: int
) -> None:
    raw = Record("t", 0, 7, timestamp, key, value)
    for each in SOURCES[form]:
        outcome = each.decode(raw)
        if isinstance(outcome, DeadLetter):
            assert outcome.reason in REASONS
            assert outcome.detail
            continue
        name, time, event = outcome
        name.encode()
        assert EARLIEST_MS <= time <= LATEST_MS
        shown = raw.value if each.line is None else each.line(raw, event)
        assert shown is not None
        rendered = render_line(shown)
        assert b"\n" not in rendered
        orjson.loads(rendered)


usual = st.builds(
    lambda name, time: b'{"a":"%s","t":%d}' % (name.encode(), time), st.sampled_from("abc"), st.integers(0, 9)
)
batches = st.lists(st.none() | values | usual, max_size=6) | st.lists(usual, min_size=60, max_size=200)


@pytest.mark.parametrize("form", FORMATS)
@given(batch=batches, timestamp=timestamps)
@example(batch=[b'{"a":"x","t":1,"other":' + b"[" * 300 + b"]" * 300 + b"}"], timestamp=0)
@example(batch=[b'{"a":"x","t":1}', b'{"a":"\xff","t":1}'], timestamp=0)
@example(batch=[b'{"a":"x","t":[1,', b"2]}"], timestamp=0)
def test_many_records_become_what_each_of_them_becomes(form: str, batch: list[bytes | None], timestamp: int) -> None:
    raws = [Record("t", 0, number, timestamp, b"k", value) for number, value in enumerate(batch)]
    for each in SOURCES[form]:
        assert list(map(plainly, each.decode_all(raws))) == [plainly(each.decode(raw)) for raw in raws]


def plainly(outcome: Read | DeadLetter) -> Any:
    """Events of two classes are equal if their fields are."""
    return outcome if isinstance(outcome, DeadLetter) else (*outcome[:2], msgspec.structs.astuple(outcome[2]))


@given(value=json_values, timestamp=timestamps)
def test_any_value_is_a_time_or_is_none(value: Any, timestamp: int) -> None:
    for settings in TIMES[1:]:
        parsed = {"at": settings} if isinstance(settings, str) else settings
        time = time_reader(TimeSettings.model_validate(parsed))(value, timestamp)
        assert time is None or EARLIEST_MS <= time <= LATEST_MS
