from __future__ import annotations

import pytest

from penstock.operators import decode_json
from penstock.operators.decode import Parse, canonical_json, event_class, render_line
from penstock.operators.decode_json import NESTING_MAX
from penstock.operators.expression import UNKNOWN, attribute_of
from penstock.operators.record import DeadLetter


def parser(*fields: str) -> Parse:
    return decode_json.build().parse(event_class(fields))


def value_of(document: bytes, field: str = "a") -> object:
    event = parser(field)(document)
    assert not isinstance(event, DeadLetter), event
    return getattr(event, attribute_of(field))


def refusal(document: bytes, *fields: str) -> DeadLetter:
    outcome = parser(*fields)(document)
    assert isinstance(outcome, DeadLetter)
    return outcome


def test_only_the_fields_in_use_are_decoded_and_a_missing_one_is_unknown() -> None:
    event = parser("host", "pid")(b'{"host":"web","user":"root","nested":{"host":1}}')
    assert getattr(event, attribute_of("host")) == "web"
    assert getattr(event, attribute_of("pid")) is UNKNOWN
    assert not hasattr(event, attribute_of("user"))


@pytest.mark.parametrize("field", ["class", "__init__", "host-name", "größe", "", "a b", "None", "0"])
def test_any_name_of_a_field_can_be_decoded(field: str) -> None:
    assert value_of(f'{{"{field}": 7}}'.encode(), field) == 7


def test_null_is_a_value() -> None:
    assert value_of(b'{"a":null}') is None


def test_of_two_fields_with_one_name_the_last_counts() -> None:
    assert value_of(b'{"a":1,"a":2}') == 2


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)])
def test_integers_of_64_bits_are_exact(number: int) -> None:
    assert value_of(b'{"a":%d}' % number) == number
    assert value_of(b'{"a":{"deep":[[%d]]}}' % number) == {"deep": [[number]]}


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
def test_larger_integers_are_the_nearest_double_because_no_log_could_save_them(number: int) -> None:
    assert repr(value_of(b'{"a":%d}' % number)) == repr(float(number))
    assert repr(value_of(b'{"a":{"deep":[[%d]]}}' % number)) == repr({"deep": [[float(number)]]})


def test_deeply_nested_values_are_read_as_any_others() -> None:
    assert value_of(b'{"a":[[[[[[[[[{"b":[18446744073709551616,true,null,"x",-1.5]}]]]]]]]]]}') == (
        [[[[[[[[[{"b": [2.0**64, True, None, "x", -1.5]}]]]]]]]]]
    )


@pytest.mark.parametrize(
    "document",
    [
        b"[]", b"1", b"null", b'"text"', b"{", b'{"a":1', b'{"a":1} x', b"not json", b'{"a":NaN}', b'{"b":Infinity}',
        b'{"a":1e999}', b'{"a":' + b"9" * 400 + b"}", b'{"a":' + b"9" * 5_000 + b"}", b'{"a":01}', b'{"a":"\\ud800"}',
        b'{"a":"\n"}', b"\xef\xbb\xbf{}",
        b"{'a':1}", b'{"a":1,}', b" ",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_undecodable(document: bytes) -> None:
    letter = refusal(document, "a")
    assert letter.reason == "undecodable"
    assert letter.detail.startswith("expected a JSON object: ")


def test_an_empty_value_has_a_reason_of_its_own() -> None:
    assert refusal(b"", "a").reason == "empty"


@pytest.mark.parametrize("document", [b'{"a":"\xff"}', b'{"unused":"\xff"}', b'{"\xc3":1}'])
def test_invalid_utf8_is_refused_also_in_fields_that_nobody_uses(document: bytes) -> None:
    assert refusal(document, "a").reason == "not_utf8"


@pytest.mark.parametrize("field", ["a", "unused"])
@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500])
def test_nesting_bombs_are_undecodable_wherever_they_stand(field: str, bomb: bytes) -> None:
    assert refusal(b'{"' + field.encode() + b'":' + bomb + b"}", "a").reason == "undecodable"


def test_the_nesting_limit_counts_the_object_itself() -> None:
    inner = NESTING_MAX - 1
    assert value_of(b'{"a":' + b"[" * inner + b"]" * inner + b"}") is not UNKNOWN
    letter = refusal(b'{"a":' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}", "a")
    assert str(NESTING_MAX) in letter.detail


def test_brackets_side_by_side_or_in_text_are_not_nested() -> None:
    flat = b'{"a":[' + b",".join([b"[]"] * 1_000) + b"]}"
    text = b'{"a":"' + b"[{" * 1_000 + b'\\"[\\\\"}'
    assert value_of(flat) == [[]] * 1_000
    assert value_of(text) == "[{" * 1_000 + '"[\\'


def test_a_line_is_rendered_without_white_space_and_with_the_names_in_their_order() -> None:
    assert render_line(b'{\n  "b": 1.50,\r\n  "a": [true, null]\n}') == b'{"b":1.5,"a":[true,null]}'


@pytest.mark.parametrize("line", [b"plain\ntext", b'{"a":1e999}', b"\xff", b'{"a":', b""])
def test_a_line_that_is_no_json_is_rendered_as_a_json_string(line: bytes) -> None:
    rendered = render_line(line)
    assert rendered.startswith(b'"')
    assert rendered.endswith(b'"')
    assert b"\n" not in rendered


def test_canonical_json_has_one_spelling_for_equal_values() -> None:
    assert canonical_json({"b": 1.0, "a": [2, 2.5]}) == '{"a":[2,2.5],"b":1}'
    assert canonical_json(1.0) == canonical_json(1) == "1"
    assert canonical_json(1e300) == "1e300"
    assert canonical_json("ä") == '"ä"'
