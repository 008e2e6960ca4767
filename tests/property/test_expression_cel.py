"""Expressions against another implementation of CEL, the Rust one of the wheel `common-expression-language`.

Both evaluate the same text over the same event; they must agree on the value, and on whether there is one. What the two
languages mean differently, on purpose, is not generated:

    one kind of number   `/` is real division; whole numbers and doubles mix in arithmetic; `%` takes doubles;
                         a double that would be infinite, and a division by zero, have no value
    has()                never without a value: `has(event.q.z)` is false where `q` is missing
    size()               of a text in characters (as in the CEL specification); the Rust one counts bytes
    string()             of any number as JSON writes it
    x in map             false for an x that cannot be a name; the Rust one refuses doubles, null and lists
    matches()            classes such as \\w are ASCII (RE2); the Rust one's are Unicode
    a < b < c            refused
    -2**63 % -1          0; the Rust one sees its processor overflow
    -(-2**63)            beyond 64 bits, as in the CEL specification; the Rust one gives -2**63
    literals             an operation on literals that can never work is refused before it runs
    60s, aggregates      are ours alone
"""

from __future__ import annotations

import importlib.util
import json
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from penstock.operators.expression import UNKNOWN, Scope, Unknown, attribute_of, compile_expression
from penstock.operators.expression_operator import same

ORACLE = Path(__file__).with_name("cel_oracle.py")
ANSWER_WITHIN_S = 20
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]

if importlib.util.find_spec("cel") is None:
    pytest.skip("the wheel common-expression-language is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Asks the other implementation; one process for all questions."""
    oracle = subprocess.Popen([sys.executable, str(ORACLE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert oracle.stdin is not None
    assert oracle.stdout is not None
    to_oracle, from_oracle = oracle.stdin, oracle.stdout
    with oracle, selectors.DefaultSelector() as selector:
        selector.register(from_oracle, selectors.EVENT_READ)

        def ask(text: str, event: dict[str, Any]) -> dict[str, Any]:
            to_oracle.write(json.dumps({"text": text, "event": event}) + "\n")
            to_oracle.flush()
            assert selector.select(ANSWER_WITHIN_S), f"no answer about {text!r} within {ANSWER_WITHIN_S} s"
            line = from_oracle.readline()
            assert line, f"the other implementation died of {text!r}"
            answer: dict[str, Any] = json.loads(line)
            return answer

        yield ask
        to_oracle.close()
        try:
            oracle.wait(ANSWER_WITHIN_S)
        finally:
            oracle.kill()


def ours(text: str, event: dict[str, Any]) -> Any:
    compiled = compile_expression(text, Scope())
    fields = {attribute_of(name): event.get(name, UNKNOWN) for name in compiled.fields}
    return compiled.evaluate(SimpleNamespace(**fields), (), None)


texts = st.text(alphabet="abAB _-é", max_size=4)
small = st.integers(-9, 9)
extreme = st.sampled_from([2**63 - 1, -(2**63), 2**62, 10**18])
doubles = st.integers(-64, 64).map(lambda number: number / 8)
events = st.fixed_dictionaries(
    {
        "i": st.one_of(small, extreme), "j": small, "d": doubles, "s": texts, "b": st.booleans(), "n": st.none(),
        "li": st.lists(small, max_size=3), "ls": st.lists(texts, max_size=3), "m": st.fixed_dictionaries({"k": small}),
    }
)  # fmt: skip
any_field = st.sampled_from(
    ["i", "j", "d", "s", "b", "n", "li", "ls", "m", "m.k", "m.q", "q", "li[0]", "n.x", "s.x"]
).map("event.{}".format)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def infix(left: st.SearchStrategy[str], signs: list[str], right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("({} {} {})".format, left, st.sampled_from(signs), right)


tame = st.sampled_from(["event.j", "event.m.k", "size(event.ls)", "(event.j * 7)"])
whole_atoms = st.one_of(
    small.map(str), extreme.map(str), st.sampled_from(["event.i", "event.j", "event.m.k", "event.li[0]", "event.q"])
)
wholes = st.recursive(
    whole_atoms,
    lambda inner: st.one_of(
        infix(inner, ["+", "-", "*", "%"], inner), st.builds("(-{})".format, tame), st.just("size(event.li)"),
        st.builds("int({})".format, st.one_of(doubles.map(str), inner, st.sampled_from(["'12'", "'-3'", "'x'", "event.s"]))),
        st.builds("(event.b ? {} : {})".format, inner, inner), st.builds("event.li[{}]".format, inner),
    ),
    max_leaves=5,
)  # fmt: skip
fractions = st.recursive(
    st.one_of(doubles.map(str), st.just("event.d")),
    lambda inner: st.one_of(
        infix(inner, ["+", "-", "*"], inner), st.builds("({} / {})".format, inner, st.sampled_from(["2.0", "-0.5", "3.0"])),
        st.builds("double({})".format, st.one_of(small.map(str), inner, st.sampled_from(["'1.5'", "'1e2'", "'x'"]))),
    ),
    max_leaves=4,
)  # fmt: skip
words = st.recursive(
    st.one_of(texts.map(quoted), st.sampled_from(["event.s", "event.ls[0]", "event.q"])),
    lambda inner: st.one_of(infix(inner, ["+"], inner), st.builds("(event.b ? {} : {})".format, inner, inner)),
    max_leaves=3,
)
comparisons = st.one_of(
    *[infix(kind, ["==", "!=", "<", "<=", ">", ">="], kind) for kind in (wholes, fractions, words)],
    infix(wholes, ["==", "!=", "<", ">"], fractions),
    infix(any_field, ["==", "!="], any_field),
    infix(any_field, ["==", "!="], st.sampled_from(["null", "true", "0", "1", "1.0", "''", "[]", "[1, true]"])),
    infix(any_field, ["<", ">="], st.sampled_from(["1", "0.5", "'a'", "event.d", "event.s", "event.b"])),
    infix(wholes, ["in"], st.one_of(st.just("event.li"), st.just("[1, 2, 1.0]"), st.just("[0, 'a', true]"))),
    infix(any_field, ["in"], st.sampled_from(["['a', 'b']", "[2, 3]", "[true, null]", "event.ls", "[[], event.li]"])),
    infix(st.one_of(words, wholes, st.just("event.b")), ["in"], st.sampled_from(["event.m", "event.s"])),
    st.builds("{}.{}({})".format, words, st.sampled_from(["startsWith", "endsWith", "contains"]), words),
    st.builds(
        "{}.matches({})".format, words, st.sampled_from([r"'^a'", r"'[ab]+_'", r"'(?i)AB'", r"'[^a]$'", r"r'b?\s'"])
    ),
    st.sampled_from(["has(event.i)", "has(event.n)", "has(event.q)", "has(event.m.k)", "has(event.m.q)", "event.b"]),
)
conditions = st.recursive(
    st.one_of(comparisons, any_field),
    lambda inner: st.one_of(
        infix(inner, ["&&", "||"], inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)


def check(ask: Ask, text: str, event: dict[str, Any]) -> None:
    theirs, found = ask(text, event), ours(text, event)
    assume("overflow in 'rem'" not in theirs.get("error", ""))
    if "error" in theirs:
        assert isinstance(found, Unknown), (text, theirs)
    else:
        assert not isinstance(found, Unknown), (text, theirs)
        assert same(found, theirs["value"]), (text, found, theirs)


PLAIN = {"i": 1, "j": 2, "d": 0.5, "s": "ab", "b": True, "n": None, "li": [1], "ls": ["a"], "m": {"k": 3}}


@given(text=st.one_of(wholes, fractions, words, comparisons, conditions), event=events)
@example(text="(event.q == 1) || true", event=PLAIN)
@example(text="event.s && false", event=PLAIN)
@example(text="9223372036854775807 + event.j", event=PLAIN)
@example(text="[1, true] == [1, 1]", event=PLAIN)
def test_both_give_the_same_value_or_none(ask: Ask, text: str, event: dict[str, Any]) -> None:
    check(ask, text, event)


# The largest of these expressions stays within the 256 parts that are allowed.
operands = st.sampled_from(["event.j", "event.m.k", "3", "-2", "event.li[0]", "-event.j"])
sums = st.lists(st.tuples(operands, st.sampled_from(["+", "-", "*", "%"])), max_size=2).flatmap(
    lambda chain: operands.map(lambda last: "".join(f"{operand} {sign} " for operand, sign in chain) + last)
)
relations = st.one_of(
    st.builds("{} {} {}".format, sums, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), sums),
    st.builds("{} in event.li".format, sums), st.sampled_from(["event.b", "!event.b", "!!event.b", "event.q"]),
)  # fmt: skip
chains = st.lists(st.tuples(relations, st.sampled_from(["&&", "||"])), max_size=3).flatmap(
    lambda chain: relations.map(lambda last: "".join(f"{relation} {sign} " for relation, sign in chain) + last)
)
bare = st.one_of(
    chains,
    st.builds("{} ? {} : {}".format, chains, sums, sums),
    st.builds("{} ? 1 : {} ? 2 : 3".format, chains, chains),
)


@given(text=bare, event=events)
def test_both_read_operators_without_parentheses_in_the_same_way(ask: Ask, text: str, event: dict[str, Any]) -> None:
    check(ask, text, event)
