"""An expression in braces that YAML split at its commas, put together again.

    {when: count(x, 60s) >= 20}      is for YAML      {when: "count(x", "60s) >= 20": null}

without any error. The pieces are recognised by their brackets: a value that opens more than it closes, followed by keys
without a value until the brackets are even.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from penstock.pipelines.document import Node, Scalar
from penstock.pipelines.problem import Code, Place, Problem


class Member(NamedTuple):
    """A key and its value, with the parser's events that they came from."""

    key_event: Any
    key: Node
    value: Node
    value_event: Any


def rejoined(members: list[Member], text: str) -> tuple[list[Member], list[Problem]]:
    """The members of a map in braces with split expressions joined, and a problem for each of them."""
    joined: list[Member] = []
    problems: list[Problem] = []
    at = 0
    while at < len(members):
        end = _end_of_split(members, at)
        member = members[at]
        if end is not None and isinstance(member.value, Scalar):
            whole = text[member.value_event.start_mark.index : members[end - 1].key_event.end_mark.index]
            expression = " ".join(whole.split())
            problems.append(_problem(member.key, expression, member.value.place))
            member = member._replace(value=Scalar(expression, "plain", member.value.place, whole))
        joined.append(member)
        at = end or at + 1
    return joined, problems


def _end_of_split(members: list[Member], at: int) -> int | None:
    """Position behind the last piece of the value that begins at `at`; None when it is whole."""
    value = members[at].value
    if not isinstance(value, Scalar) or value.style != "plain":
        return None
    open_brackets = value.text.count("(") - value.text.count(")")
    end = at + 1
    while open_brackets > 0 and end < len(members):
        piece = _piece(members[end])
        if piece is None:
            return None
        open_brackets += piece.count("(") - piece.count(")")
        end += 1
    return end if open_brackets <= 0 and end > at + 1 else None


def _piece(member: Member) -> str | None:
    """The text of a key without a value, not even a colon; None for any other member."""
    key, value = member.key, member.value
    if not isinstance(key, Scalar) or not isinstance(value, Scalar) or value.style != "plain" or value.raw:
        return None
    return key.text


def _problem(key: Node, expression: str, place: Place) -> Problem:
    name = key.text if isinstance(key, Scalar) else "…"
    quoted = "'" + expression.replace("'", "''") + "'"
    message = f"in braces YAML splits this expression at its comma; put it in quotes: {name}: {quoted}"
    return Problem(Code.YAML_ATE_EXPRESSION, place, message)
