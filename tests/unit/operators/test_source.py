from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML
from tests.binary_records import descriptor_set

from penstock.operators.decode import REASONS, VALUE_BYTES_MAX
from penstock.operators.expression import UNKNOWN, ExpressionError, Scope, attribute_of
from penstock.operators.record import DeadLetter, Record
from penstock.operators.source import Source, SourceSettings, build_source
from penstock.operators.source_key import KEY_BYTES_MAX

BESIDE = {
    "reading.avsc": '{"type": "record", "name": "Reading", "fields": []}',
    "press.desc": b64encode(descriptor_set()).decode(),
}
"""Files that examples of the page refer to; bytes as base64."""
AT = 1_795_166_047_000
"""2026-11-20T09:14:07Z in ms: the timestamp of every record here."""


def source(fields: Iterable[str] = (), **settings: Any) -> Source:
    parsed = SourceSettings.model_validate({"topic": "auth-log", **settings})
    scope = Scope(defines={}, aggregates=False)
    return build_source("auth", parsed, frozenset(fields), scope, {"env": "test"}, BESIDE.__getitem__)


def record(value: bytes | None, key: bytes | None = b"k", timestamp: int = AT) -> Record:
    return Record("auth-log", 0, 1841, timestamp, key, value, (("h", b"1"),))


def read(of: Source, raw: Record) -> tuple[str, int, Any]:
    outcome = of.decode(raw)
    assert not isinstance(outcome, DeadLetter), outcome
    return outcome


def field(of: Source, value: bytes, name: str) -> Any:
    return getattr(read(of, record(value))[2], attribute_of(name))


def refusal(of: Source, raw: Record) -> DeadLetter:
    outcome = of.decode(raw)
    assert isinstance(outcome, DeadLetter), outcome
    return outcome


def line(of: Source, value: bytes) -> bytes | None:
    raw = record(value)
    event = read(of, raw)[2]
    return value if of.line is None else of.line(raw, event)


# --- defaults ---------------------------------------------------------------------------------------------------------


def test_by_default_key_and_time_are_the_records_own_and_the_prompt_shows_its_bytes() -> None:
    auth = source(["host"])
    key, time, event = read(auth, record(b'{ "host": "web", "unused": 1 }'))
    assert (key, time, getattr(event, attribute_of("host"))) == ("k", AT, "web")
    assert line(auth, b'{ "host": "web", "unused": 1 }') == b'{ "host": "web", "unused": 1 }'
    assert auth.ignores is None


def test_the_defaults_of_the_watermark_are_those_of_a_careful_operator() -> None:
    auth = source()
    assert (auth.delay, auth.idle, auth.lateness, auth.ahead) == (5_000, 60_000, 600_000, 86_400_000)
    assert auth.start == "earliest"


def test_idle_never_is_none_and_a_start_may_be_a_time() -> None:
    auth = source(watermark={"delay": "30s", "idle": "never"}, start="2026-11-20T09:14:07Z")
    assert (auth.delay, auth.idle, auth.start) == (30_000, None, AT)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "text", {"csv": {"columns": ["a"]}}])
def test_a_record_without_a_value_is_a_tombstone_in_every_format(form: Any) -> None:
    assert refusal(source(format=form), record(None)).reason == "tombstone"


@pytest.mark.parametrize("form", ["json", "text", {"csv": {"columns": ["a"]}}])
def test_a_value_beyond_the_limit_is_too_large_in_every_format(form: Any) -> None:
    letter = refusal(source(format=form), record(b"x" * (VALUE_BYTES_MAX + 1)))
    assert letter.reason == "too_large"
    assert str(VALUE_BYTES_MAX) in letter.detail


def test_a_value_at_the_limit_is_read() -> None:
    assert read(source(format="text"), record(b"x" * VALUE_BYTES_MAX))[0] == "k"


# --- key --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b'{"host":"web"}', "web"),
        (b'{"host":""}', ""),
        (b'{"host":"\xc3\xa4"}', "ä"),
        (b'{"host":7}', "7"),
        (b'{"host":7.0}', "7"),
        (b'{"host":0.5}', "0.5"),
        (b'{"host":true}', "true"),
        (b'{"host":{"b":1,"a":[2]}}', '{"a":[2],"b":1}'),
    ],
)
def test_a_key_that_is_not_text_is_its_canonical_json(value: bytes, key: str) -> None:
    assert read(source(key="event.host"), record(value))[0] == key


@pytest.mark.parametrize(("value", "word"), [(b"{}", "missing"), (b'{"host":null}', "null")])
@pytest.mark.parametrize("key", ["event.host", ["event.host"], ["'a'", "event.host"]])
def test_a_missing_or_null_key_is_a_dead_letter_that_names_the_expression(key: Any, value: bytes, word: str) -> None:
    letter = refusal(source(key=key), record(value))
    assert letter.reason == "keyless"
    assert letter.detail == f"the key `event.host` is {word}; expected a value"


def test_a_composite_key_is_a_json_array_and_never_joined_text() -> None:
    chat = source(key=["event.tenant", "event.conversation"])
    assert read(chat, record(b'{"tenant":"a:b","conversation":7}'))[0] == '["a:b",7]'


def test_a_key_may_be_any_expression() -> None:
    nested = source(key="event.resource.service")
    assert read(nested, record(b'{"resource":{"service":"shop"}}'))[0] == "shop"
    assert refusal(nested, record(b'{"resource":7}')).reason == "keyless"
    assert read(source(key="record.key"), record(b"{}"))[0] == "k"


def test_a_record_without_a_key_is_keyless_by_default() -> None:
    assert refusal(source(), record(b"{}", key=None)).reason == "keyless"
    assert read(source(), record(b"{}", key=b""))[0] == ""


def test_a_records_key_that_is_no_text_has_a_reason_of_its_own() -> None:
    assert refusal(source(), record(b"{}", key=b"\xff")).reason == "key_not_utf8"


@pytest.mark.parametrize("character", ["x", "ä", "𝄞"])
def test_the_limit_of_a_key_is_in_bytes(character: str) -> None:
    fits = character * (KEY_BYTES_MAX // len(character.encode()))
    for auth in (source(key="event.host"), source(key="event.host + ''"), source()):
        for text, good in ((fits, True), (fits + "x", False)):
            raw = record(f'{{"host":"{text}"}}'.encode(), key=text.encode())
            if good:
                assert read(auth, raw)[0] == text
            else:
                assert refusal(auth, raw).reason == "key_too_large"


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "value"),
    [
        ("event.ts", b'{"ts":"2026-11-20T09:14:06.5Z"}'),
        ({"at": "event.ts", "unit": "ms"}, b'{"ts":1795166046500}'),
        ({"at": "event.ts", "layout": "%b %d %T.%f"}, b'{"ts":"Nov 20 09:14:06.5"}'),
        ({"at": "event.a.ts", "zone": "Europe/Berlin"}, b'{"a":{"ts":"2026-11-20T10:14:06.5"}}'),
    ],
)
def test_the_event_time_is_what_the_record_says(time: Any, value: bytes) -> None:
    assert read(source(time=time), record(value))[1] == AT - 500


@pytest.mark.parametrize(
    ("value", "found"),
    [(b"{}", "missing"), (b'{"ts":null}', "None"), (b'{"ts":1795166047}', "1795166047"), (b'{"ts":true}', "True")],
)
def test_a_time_that_cannot_be_read_is_a_dead_letter_that_says_what_was_expected(value: bytes, found: str) -> None:
    letter = refusal(source(time="event.ts"), record(value))
    assert letter.reason == "time"
    assert letter.detail.startswith(f"the time `event.ts` is {found}; expected an ISO 8601 time")


def test_a_long_value_is_quoted_in_part() -> None:
    letter = refusal(source(time="event.ts"), record(b'{"ts":"' + b"x" * 10_000 + b'"}'))
    assert len(letter.detail) < 250


@pytest.mark.parametrize("timestamp", [-1, -5, 2**63 - 1])
def test_a_record_without_a_possible_timestamp_has_no_time_of_its_own(timestamp: int) -> None:
    assert refusal(source(), record(b"{}", timestamp=timestamp)).reason == "time"


def test_an_event_may_lie_ahead_of_its_record_by_just_so_much() -> None:
    ahead = source(time={"at": "event.ts", "unit": "ms"}, watermark={"ahead": "1h"})
    assert read(ahead, record(b'{"ts":%d}' % (AT + 3_600_000)))[1] == AT + 3_600_000
    letter = refusal(ahead, record(b'{"ts":%d}' % (AT + 3_600_001)))
    assert letter == DeadLetter(
        "ahead", "the event's time lies 1h1ms after the record's timestamp; at most 1h is allowed"
    )


def test_nothing_lies_ahead_of_a_record_without_a_timestamp() -> None:
    assert read(source(time="event.ts"), record(b'{"ts":"2026-11-20"}', timestamp=-1))[1] < AT


# --- derive -----------------------------------------------------------------------------------------------------------


def test_derived_fields_run_in_the_order_of_the_file_and_may_use_earlier_ones() -> None:
    nab = source(
        ["big"], format={"csv": {"columns": ["n"]}}, derive={"value": "double(event.n)", "big": "event.value > 5"}
    )
    assert field(nab, b"7.5", "value") == 7.5
    assert field(nab, b"7.5", "big") is True


def test_a_derived_field_replaces_one_of_the_record() -> None:
    assert field(source(derive={"n": "event.n + 1"}), b'{"n":1}', "n") == 2


@pytest.mark.parametrize("value", [b"{}", b'{"n":"text"}'])
def test_a_derived_field_that_comes_out_unknown_is_missing(value: bytes) -> None:
    assert field(source(derive={"n": "event.n + 1"}), value, "n") is UNKNOWN


def test_a_derived_field_may_be_key_and_time() -> None:
    auth = source(
        derive={"who": "event.host + '/' + event.user", "at": "event.s"},
        key="event.who",
        time={"at": "event.at", "unit": "s"},
    )
    assert read(auth, record(b'{"host":"web","user":"root","s":1795166046}'))[:2] == ("web/root", AT - 1_000)


# --- ignore, hide, show -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ignored"), [(b'{"level":"DEBUG"}', True), (b'{"level":"INFO"}', False), (b"{}", False)]
)
def test_ignore_names_what_to_lose_so_unknown_stays(value: bytes, ignored: bool) -> None:
    auth = source(ignore='event.level == "DEBUG"')
    raw = record(value)
    key, time, event = read(auth, raw)
    assert auth.ignores is not None
    assert auth.ignores(event, raw, key, time) is ignored


@pytest.mark.parametrize(
    ("value", "shown"), [(b'{"level":"DEBUG"}', False), (b'{"level":"INFO"}', True), (b"{}", True)]
)
def test_hide_names_what_to_leave_out_of_prompts_so_unknown_stays(value: bytes, shown: bool) -> None:
    assert line(source(hide='event.level == "DEBUG"'), value) == (value if shown else None)


def test_conditions_may_ask_for_key_time_and_labels() -> None:
    condition = "key == 'k' && record.time == 1795166047000 && record.offset == 1841 && labels.env == 'test'"
    auth = source(ignore=condition, hide=condition)
    raw = record(b"{}")
    key, time, event = read(auth, raw)
    assert auth.ignores is not None
    assert auth.ignores(event, raw, key, time)
    assert auth.line is not None
    assert auth.line(raw, event) is None


def test_show_names_the_fields_of_a_line_in_order_and_leaves_missing_ones_out() -> None:
    auth = source(show=["user", "twice", "ts", "gone"], derive={"twice": "event.n * 2"})
    assert line(auth, b'{"ts": "now", "n": 2, "user": null, "secret": 1}') == b'{"user":null,"twice":4,"ts":"now"}'
    assert line(source(show=["a"]), b'{"a": [1.50, {"b": "\\u00e4"}]}') == '{"a":[1.5,{"b":"ä"}]}'.encode()


def test_a_csv_row_shows_its_columns_and_derived_fields() -> None:
    nab = source(
        format={"csv": {"columns": ["ts", "n", "note"]}}, derive={"n": "double(event.n)", "high": "event.n > 5"}
    )
    assert line(nab, b"2014-02-14,7.5,") == b'{"ts":"2014-02-14","n":7.5,"high":true}'


def test_a_text_line_shows_its_text_and_derived_fields_but_no_group_twice() -> None:
    auth = source(format={"text": [r"(?P<what>Failed)"]}, derive={"failed": 'event.what == "Failed"'})
    assert line(auth, b"Failed password\n") == b'{"text":"Failed password","failed":true}'
    assert line(auth, b"hello\n") == b'{"text":"hello"}'


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"format": "xml"}, "expected json, text, avro, protobuf"),
        ({"format": {"avro": {}}}, "Field required"),
        ({"format": "csv"}, r"\{csv: \{columns"),
        ({"format": {"text": [], "csv": {}}}, "Extra inputs|Field required"),
        ({"format": "text", "derive": {"text": "1"}}, "whole line"),
        ({"key": 7}, "expected an expression or a list of expressions"),
        ({"key": []}, "at least 1"),
        ({"time": 7}, "expected an expression or a map with `at`"),
        ({"watermark": {"idle": "ever"}}, "not a duration"),
        ({"start": "yesterday"}, "write earliest, latest or a time"),
        ({"derive": {"a b": "1"}}, "pattern"),
        ({"show": []}, "at least 1"),
        ({"show": ["a", "b", "a"]}, "'a' stands twice"),
        ({"topics": "x"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_with_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        SourceSettings.model_validate({"topic": "t", **settings})


@pytest.mark.parametrize("setting", ["key", "time", "ignore", "hide"])
def test_an_expression_that_is_none_is_refused_when_the_source_is_built(setting: str) -> None:
    with pytest.raises(ExpressionError):
        source(**{setting: "event. =="})


@pytest.mark.parametrize("setting", ["key", "time", "ignore", "hide"])
def test_a_source_knows_no_history(setting: str) -> None:
    with pytest.raises(ExpressionError):
        source(**{setting: "count(event.a, 60s) > 1"})


@pytest.mark.parametrize("text", ["key", "record.time", "is_new"])
@pytest.mark.parametrize("setting", ["derive", "key", "time"])
def test_key_and_time_are_not_known_before_they_are_read(setting: str, text: str) -> None:
    settings = SourceSettings.model_validate({"topic": "t", setting: {"x": text} if setting == "derive" else text})
    with pytest.raises(ExpressionError):
        build_source("auth", settings, frozenset(), Scope(defines={"is_new": "record.time > 5"}))


# --- the page for users -----------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")


def test_the_page_lists_every_reason_of_a_dead_letter() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| ([A-Z][^|]+\.) \|$", PAGE, re.MULTILINE))
    assert listed == REASONS


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_every_example_of_the_page_is_a_source(block: str) -> None:
    for settings in YAML(typ="safe", pure=True).load(block)["sources"].values():
        assert source(**settings).topic == settings["topic"]


def test_the_page_lists_every_setting() -> None:
    table = PAGE.split("## All settings")[1].split("## Formats")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(SourceSettings.model_fields)
