"""Whatever somebody writes where an expression belongs: it compiles, or there is one error with a place in the text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from penstock.operators.aggregate import AGGREGATES
from penstock.operators.expression import UNKNOWN, Compiled, ExpressionError, Scope, attribute_of, compile_expression
from penstock.operators.expression_check import expand
from penstock.operators.expression_function import FUNCTIONS
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import canonical
from penstock.operators.expression_value import kind_of

DEFINES = {
    "failed": 'event.outcome == "failed"', "failures": "count(failed, 60s)", "broken": "(1 +", "loop": "pool", "pool": "loop",
    "x": "event.x ? 1 : -event.y[0]",
}  # fmt: skip
SCOPES = [Scope(DEFINES), Scope(DEFINES, aggregates=True)]
PIECES = [
    "event", "record", "key", "labels", ".", ".a", ".matches", "(", ")", "[", "]", ",", "?", ":", "&&", "||", "!", "==", "!=",
    "<", "<=", ">", ">=", "+", "-", "*", "/", "%", " in ", "1", "0", "1.5", "60s", "1h30m", "9223372036854775808", "'a'", '"b"',
    "r'\\d'", "'\\", "true", "false", "null", "has", " ", "\n", "//", "é", "{", "\x00", "\ud800", "record.time", "'('",
    *DEFINES, *FUNCTIONS, *AGGREGATES, *[kind.example for kind in AGGREGATES.values()],
    *[function.example for function in FUNCTIONS.values()],
]  # fmt: skip
json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=3,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Something that compiles, with a few pieces put in or taken out."""
    text = draw(
        st.sampled_from(
            [*DEFINES.values(), *(kind.example for kind in AGGREGATES.values()), "failures > 3 && x in [1]"]
        )
    )
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 4)))
        text = text[:begin] + draw(st.sampled_from(["", *PIECES])) + text[end:]
    return text


anything = st.one_of(
    st.text(st.characters(codec=None), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=15).map("".join),
    mutated(),
)


def compiled_or_refused(text: str, scope: Scope) -> Compiled | ExpressionError:
    try:
        return compile_expression(text, scope)
    except ExpressionError as error:
        return error


@given(text=anything, scope=st.sampled_from(SCOPES), data=st.data())
@example(text="event." + "x" * 4090 + "y" * 10, scope=SCOPES[0], data=None)
def test_any_text_compiles_or_is_refused_at_a_place_and_what_compiles_never_raises(
    text: str, scope: Scope, data: st.DataObject | None
) -> None:
    compiled = compiled_or_refused(text, scope)
    if isinstance(compiled, ExpressionError):
        assert 0 <= compiled.offset <= len(text)
        assert compiled.message
        return
    assert data is not None
    for part in (compiled, *(part for call in compiled.aggregates for part in (call.value, call.where) if part)):
        event = {name: data.draw(st.one_of(st.just(UNKNOWN), json_values)) for name in sorted(compiled.fields)}
        spans = [data.draw(st.sampled_from([0, 3, 2.5])) for _ in part.aggregates]
        check_value(part, event, spans)


def check_value(compiled: Compiled, event: dict[str, Any], spans: list[Any]) -> None:
    record = SimpleNamespace(topic="t", partition=0, offset=1, timestamp=2, key=b"k", headers=(("a", b"\xff"),))
    moment = SimpleNamespace(key="k", source="s", record=record, time=2, labels={"a": "b"})
    fields = {attribute_of(name): value for name, value in event.items()}
    value = compiled.evaluate(SimpleNamespace(**fields), spans, moment if compiled.uses_moment else None)
    if compiled.kind != "any":
        assert kind_of(value) in (compiled.kind, "any"), "the kind that the text promised, or an Unknown"


@given(text=anything)
def test_the_canonical_text_means_the_same_and_is_its_own_canonical_text(text: str) -> None:
    try:
        tree = expand(parse(text), SCOPES[1])
    except ExpressionError:
        return
    once = canonical(tree)
    assert canonical(expand(parse(once), SCOPES[1])) == once
