"""Between evictions a prompt only grows above its tail: what a prefix cache lives on."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.context import Context, ContextSettings
from penstock.operators.prompt import first_messages, tail_text
from penstock.operators.run import Firing, Run

SYSTEM = "You watch one key."
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def firings_drawn(draw: st.DrawFn) -> list[tuple[list[bytes], dict[str, Any], str]]:
    """Per firing: the lines that came since the one before, its values, its question."""
    lines = st.lists(st.binary(max_size=30) | st.sampled_from([b'{"a": 1}', b'{\n "b":2}']), max_size=4)
    return draw(st.lists(st.tuples(lines, st.dictionaries(st.text(), json_values, max_size=2), st.text()), max_size=12))


@given(firings_drawn(), st.sampled_from(["none", "rule"]))
def test_the_first_prompt_up_to_its_tail_is_a_prefix_of_the_next_one(
    firings: list[tuple[list[bytes], dict[str, Any], str]], summary: str
) -> None:
    context = Context(ContextSettings.model_validate({"window": {"events": 12}, "summary": summary}))
    now, first_shown, stable = 0, 0, b""
    for lines, values, question in firings:
        for line in lines:
            now += 1
            context.append(now, line, now)
        view = context.view(now)
        firing = Firing(run="0-a", trigger="t", agent="a", key="k", at=now, cause="c", condition="x", values=values)
        run = Run(firing=firing, view=view, version="", definition="", question=question)
        system, user = first_messages(SYSTEM, run, context.lines(view.first, view.last))
        text = user.content.encode()
        assert system.content == SYSTEM
        assert text.startswith(stable) or view.first != first_shown
        tail = tail_text(run).encode()
        assert text.endswith(tail)
        first_shown, stable = view.first, text[: -len(tail)]
        assert stable.count(b"\n") == 1 + view.events + (view.summary.count("\n") + 3 if view.summary else 0)
