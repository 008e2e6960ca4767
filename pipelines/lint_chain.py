"""Chains: an `after` follows an agent that answers, no agent follows itself, and what is read of an answer is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from penstock.operators.expression import ExpressionError
from penstock.operators.expression_tree import Member
from penstock.operators.template import ANSWER, TEXT, VALUES, Template, TemplateError
from penstock.operators.trigger import NO_AGENT
from penstock.operators.trigger_after import members_of
from penstock.pipelines.document import Map, Path, Scalar, matching, node_at, place_of
from penstock.pipelines.problem import Code, Problem, nearest_name
from penstock.pipelines.scalar_place import place_in

AFTER = "after"
_IF_ANSWERED = re.compile(rf"\bif\b[^%}}]*\b({ANSWER}|{TEXT})\b")
"""A question that knows that there may be no answer."""


def chain_problems(root: Map) -> Iterator[Problem]:
    yield from _cycles(root)
    for path, _ in matching(root, f"triggers.*.{AFTER}"):
        yield from _where(root, path[:2])
        yield from _unread(root, path[:2])
    for path, trigger in matching(root, "triggers.*"):
        if isinstance(trigger, Map) and AFTER not in trigger.entries:
            yield from _unanswered(root, path)


def before(root: Map, path: Path) -> list[str]:
    """The agents whose answers a template at this path can show: those that its trigger, or its agent, is asked after."""
    if path[0] == "triggers":
        after = node_at(root, (*path[:2], AFTER))
        return [after.text] if isinstance(after, Scalar) else []
    return [after for _, after, asked in _steps(root) if asked == path[1]]


def answer_fields(root: Map, agents: list[str]) -> list[str] | None:
    """Fields of the answers of these agents; None where that cannot be told here: text, or a schema in a file."""
    found: dict[str, None] = {}
    for agent in agents:
        answer = node_at(root, ("agents", agent, ANSWER))
        if not isinstance(answer, Map) or answer.entries.keys() == {"file"}:
            return None
        found.update(dict.fromkeys(answer.entries))
    return list(found)


def _steps(root: Map) -> Iterator[tuple[Path, str, str]]:
    """(path of an `after`, the agent that it follows, the one that it asks)."""
    for path, node in matching(root, f"triggers.*.{AFTER}"):
        asked = _asked(root, path[:2])
        if isinstance(node, Scalar) and asked is not None:
            yield path, node.text, asked


def _asked(root: Map, path: Path) -> str | None:
    """The agent of a trigger; None: it has none, or which one is not said."""
    named = node_at(root, (*path, "agent"))
    if named is not None:
        return named.text if isinstance(named, Scalar) and named.text != NO_AGENT else None
    agents = root.get("agents")
    return next(iter(agents.entries)) if isinstance(agents, Map) and len(agents.entries) == 1 else None


def _cycles(root: Map) -> Iterator[Problem]:
    """Each once, at the member that stands first in the file."""
    steps = list(_steps(root))
    told: set[frozenset[str]] = set()
    for path, after, asked in steps:
        ring = _way(steps, asked, after, [asked])
        if ring is None or frozenset(ring) in told:
            continue
        told.add(frozenset(ring))
        if len(ring) == 1:
            message = (
                f"agent `{after}` would follow itself for ever: trigger `{path[1]}` asks it after each of its answers"
            )
        else:
            message = f"agents would follow each other for ever: {' → '.join([after, *ring])}"
        yield Problem(Code.CHAIN_CYCLE, place_of(root, path), message, expected="a chain that ends")


def _way(steps: list[tuple[Path, str, str]], begin: str, end: str, passed: list[str]) -> list[str] | None:
    """Agents from one to another, both included, each asked after the one before; None: there is no way."""
    if begin == end:
        return passed
    for _, after, asked in steps:
        if after == begin and asked not in passed:
            way = _way(steps, asked, end, [*passed, asked])
            if way is not None:
                return way
    return None


def _where(root: Map, path: Path) -> Iterator[Problem]:
    """Fields of the answer and definitions that are not there would be unknown for ever."""
    where, after = node_at(root, (*path, "where")), node_at(root, (*path, AFTER))
    if not isinstance(where, Scalar) or not isinstance(after, Scalar):
        return
    fields = answer_fields(root, [after.text])
    defines = root.get("define")
    names = list(defines.entries) if isinstance(defines, Map) else []
    with suppress(ExpressionError):  # one that does not parse is told elsewhere
        for node in members_of(ANSWER, where.text):
            if fields is not None and node.name not in fields:
                message = f"the answer of agent `{after.text}` has no field `{node.name}`"
                yield _missing(where, node, message, fields)
        for node in members_of(VALUES, where.text):
            if node.name not in names:
                yield _missing(where, node, f"`values.{node.name}` is not defined", names)


def _unread(root: Map, path: Path) -> Iterator[Problem]:
    """Nothing of an answer is in the prompt of the next run, unless its question has it."""
    agent = _asked(root, path)
    ask = None if agent is None else node_at(root, ("agents", agent, "ask"))
    after = node_at(root, (*path, AFTER))
    if not isinstance(ask, Scalar) or not isinstance(after, Scalar):
        return
    with suppress(TemplateError):
        if Template(ask.text).names.isdisjoint((ANSWER, TEXT)):
            message = (
                f"trigger `{path[1]}` asks agent `{agent}`, and its question does not show what `{after.text}` answered"
            )
            expected = (
                "`{{ answer.<field> }}` or `{{ answer | tojson }}` in its `ask`; `{{ text }}` where it has no fields"
            )
            yield Problem(Code.ANSWER_IN_QUESTION, ask.place, message, severity="warning", expected=expected)


def _unanswered(root: Map, path: Path) -> Iterator[Problem]:
    """Its question shows an answer, and a trigger asks it that follows none. What names none at all is told elsewhere."""
    agent = _asked(root, path)
    ask = None if agent is None else node_at(root, ("agents", agent, "ask"))
    if not isinstance(ask, Scalar) or not any(asked == agent for _, _, asked in _steps(root)):
        return
    with suppress(TemplateError):
        shown = Template(ask.text).names & {ANSWER, TEXT}
        if shown and not _IF_ANSWERED.search(ask.text):
            name = min(shown)
            message = (
                f"the question of agent `{agent}` shows `{name}`, and trigger `{path[1]}` asks it when nothing was "
                "answered before"
            )
            expected = f"`{{% if {name} %}}` around it, or another agent for `{path[1]}`"
            yield Problem(Code.ANSWER_IN_QUESTION, ask.place, message, severity="warning", expected=expected)


def _missing(where: Scalar, node: Member, message: str, names: list[str]) -> Problem:
    expected = f"one of {', '.join(names)}" if names else "a name under `define:`"
    place = place_in(where, node.place.offset)
    return Problem(Code.EXPRESSION, place, message, expected=expected, nearest=nearest_name(node.name, names))
