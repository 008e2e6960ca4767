"""Expressions of the file, each compiled in the scope of its field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from penstock.operators.expression import RESERVED_NAMES, Compiled, ExpressionError, Scope, compile_expression
from penstock.operators.expression_check import TENANT, TRIGGER_ROOTS
from penstock.operators.expression_code import noun
from penstock.operators.expression_error import Place as Offset
from penstock.operators.result_route import RESULT_SCOPE
from penstock.operators.setting import ExpressionMark
from penstock.operators.source import SourceSettings, build_source
from penstock.operators.trigger_after import OUTCOME_SCOPE
from penstock.pipelines.document import Map, Path, Scalar, key_place, matching
from penstock.pipelines.functions import importable
from penstock.pipelines.lint_sequence import Captures, captures_at
from penstock.pipelines.lint_table import table_names
from penstock.pipelines.problem import Code, Problem
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec
from penstock.pipelines.trigger_choice import told_by

DEFINE = "define"
Outcomes = Mapping[Path, Compiled | ExpressionError]
_DIVIDED_COUNT = re.compile(r"/\s*\(*\s*(?:count|sum|distinct|rate)\s*\(")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPANSIONS_MAX = 32
_LASTING = frozenset({"for", "until", "keep_firing_for"})
"""With one of these even a condition over one event begins and ends something."""


def expression_problems(root: Map) -> Iterator[Problem]:
    """What is wrong with a definition is said there, and not again of every expression that names it."""
    roots = TRIGGER_ROOTS | {TENANT} if names_tenants(root) else TRIGGER_ROOTS
    file_scope = Scope(defines=_defines(root), functions=importable(root), roots=roots)
    fields = {
        part.path: (part.node, mark)
        for part in parts(Spec, root)
        if (mark := part.mark(ExpressionMark)) is not None and isinstance(part.node, Scalar) and _is_text(part.node)
    }
    tables = frozenset(table_names(root))
    outcomes = {
        path: _compiled(path, node.text, mark, _scope_at(path, file_scope, tables), captures_at(root, path))
        for path, (node, mark) in fields.items()
    }
    broken = {str(path[1]) for path, found in outcomes.items() if path[0] == DEFINE and _is_own(path, found)}
    for path, found in outcomes.items():
        if isinstance(found, ExpressionError) and (_is_own(path, found) or found.define not in broken):
            yield _problem(fields[path][0], found, own=str(path[-1]) if path[0] == DEFINE else "")
    yield from _reserved(root)
    yield from _told(root)
    yield from _use_each(root, outcomes)
    yield from _corrects_nothing(root, outcomes)
    yield from _never_resolves(root, file_scope.defines)


def _is_text(node: Scalar) -> bool:
    return isinstance(node.value, str)


def _defines(root: Map) -> dict[str, str]:
    return {
        str(path[-1]): node.text
        for path, node in matching(root, f"{DEFINE}.*")
        if isinstance(node, Scalar) and _is_text(node)
    }


def _scope_at(path: Path, file_scope: Scope, tables: frozenset[str]) -> Scope:
    """Rows and tenants are there for triggers, and for definitions because triggers name them."""
    if path[0] in (DEFINE, "triggers"):
        return replace(file_scope, tables=tables)
    return replace(file_scope, roots=TRIGGER_ROOTS)


def names_tenants(root: Map) -> bool:
    """Some source says whose its events are."""
    return any(isinstance(node, Scalar) and _is_text(node) for _, node in matching(root, f"sources.*.{TENANT}"))


def _compiled(
    path: Path, text: str, mark: ExpressionMark, file_scope: Scope, captures: Captures
) -> Compiled | ExpressionError:
    of_event = replace(file_scope, aggregates=mark.aggregates, captures=captures.before, coming=captures.coming)
    scope = {"event": of_event, "result": RESULT_SCOPE, "outcome": OUTCOME_SCOPE}[mark.of]
    try:
        compiled = compile_expression(text, scope)
        if path[0] in ("sources", "tables") and not mark.condition and path[-1] != TENANT:
            _check_before_key(text, scope)
    except ExpressionError as error:
        return error
    if mark.condition and compiled.kind not in ("bool", "any"):
        return ExpressionError(f"a condition is true or false, and this is a {compiled.kind}", Offset(0))
    if mark.number and compiled.kind not in ("number", "any"):
        return ExpressionError(f"this is to be a number, and it is {noun(compiled.kind)}", Offset(0))
    return compiled


def _check_before_key(text: str, scope: Scope) -> None:
    """`derive`, `key` and `time` are evaluated before key and event time are known. Raises ExpressionError."""
    build_source("", SourceSettings(topic="any", key=text), frozenset(), scope)


def _is_own(path: Path, found: Compiled | ExpressionError) -> bool:
    """A mistake of this text itself; a definition may also be wrong by naming itself on a detour."""
    if not isinstance(found, ExpressionError):
        return False
    return found.define is None or (path[0] == DEFINE and found.define == path[1])


def _problem(node: Scalar, error: ExpressionError, own: str) -> Problem:
    """`own` is the definition that the text is, if it is one."""
    message = error.message.removeprefix(f"in the definition of `{own}`: ")
    if _is_cut_by_comment(node):
        message += "; YAML takes ` #` as the beginning of a comment: put the expression in quotes"
    return Problem(Code.EXPRESSION, place_in(node, error.offset), message, nearest=error.hint)


def _is_cut_by_comment(node: Scalar) -> bool:
    """An unquoted value that ends inside of a text or a bracket, in front of a comment."""
    unfinished = node.text.count('"') % 2 or node.text.count("'") % 2 or node.text.count("(") > node.text.count(")")
    return node.style == "plain" and node.comment and bool(unfinished)


def _reserved(root: Map) -> Iterator[Problem]:
    for path, _ in matching(root, f"{DEFINE}.*"):
        if path[-1] in RESERVED_NAMES:
            message = f"`{path[-1]}` means something already; a definition needs another name"
            yield Problem(Code.RESERVED_NAME, key_place(root, path), message)


def _told(root: Map) -> Iterator[Problem]:
    """What a kind of trigger reports by itself no definition may be called."""
    told = {name: path[-1] for path, trigger in matching(root, "triggers.*") for name in told_by(trigger)}
    for path, _ in matching(root, f"{DEFINE}.*"):
        if path[-1] in told:
            message = f"`{path[-1]}` is what trigger `{told[str(path[-1])]}` reports by itself; a definition needs another name"
            yield Problem(Code.RESERVED_NAME, key_place(root, path), message)


def _use_each(root: Map, outcomes: Outcomes) -> Iterator[Problem]:
    """A condition without history becomes true at every event and false at the next: nothing begins and ends."""
    for path, trigger in matching(root, "triggers.*"):
        found = outcomes.get((*path, "when"))
        if (
            isinstance(found, Compiled)
            and not found.aggregates
            and isinstance(trigger, Map)
            and _LASTING.isdisjoint(trigger.entries)
        ):
            message = f"the `when` of trigger `{path[-1]}` looks at one event only; use `each`"
            expected = "a span, such as count(…, 60s) >= 20, or one of `for`, `until` and `keep_firing_for`"
            yield Problem(Code.USE_EACH, key_place(root, (*path, "when")), message, expected=expected)


def _corrects_nothing(root: Map, outcomes: Outcomes) -> Iterator[Problem]:
    """What was decided upon one event is not changed by another one."""
    for path, late in matching(root, "triggers.*.late"):
        found = outcomes.get((*path[:2], "when"))
        if isinstance(found, Compiled) and not found.aggregates and isinstance(late, Scalar) and late.text == "correct":
            message = f"the `when` of trigger `{path[1]}` looks at one event only, and no other event can change what that says"
            expected = "a span, such as count(…, 60s) >= 20, or `late: reason`"
            yield Problem(Code.WRONG_VALUE, late.place, message, expected=expected)


def _never_resolves(root: Map, defines: Mapping[str, str]) -> Iterator[Problem]:
    """In silence every count is 0, a quotient of counts is unknown, and unknown ends nothing."""
    for _, trigger in matching(root, "triggers.*"):
        field = "until" if isinstance(trigger, Map) and "until" in trigger.entries else "when"
        node = trigger.get(field) if isinstance(trigger, Map) else None
        text = _expanded(node.text, defines) if isinstance(node, Scalar) else ""
        bounded = ("||" if field == "until" else "&&") in text
        if isinstance(node, Scalar) and not bounded and _DIVIDED_COUNT.search(text):
            message = (
                f"`{field}` divides by a count, which is 0 in silence: the episode would stay open until events come"
            )
            expected = "an `until` with a bound that holds in silence, such as `count(…, 5m) == 0 || …`"
            yield Problem(Code.NEVER_RESOLVES, node.place, message, severity="warning", expected=expected)


def _expanded(text: str, defines: Mapping[str, str]) -> str:
    """The text with definitions written out, as far as a warning needs it."""
    for _ in range(_EXPANSIONS_MAX):
        expanded = _WORD.sub(lambda word: f"({defines[word[0]]})" if word[0] in defines else word[0], text)
        if expanded == text or len(expanded) > 65_536:
            break
        text = expanded
    return text
