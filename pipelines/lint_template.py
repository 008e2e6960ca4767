"""Templates of the file: do they parse, and do they name only what a run can show them?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from penstock.operators.expression_check import TENANT
from penstock.operators.run import Firing, template_scope
from penstock.operators.setting import TemplateMark
from penstock.operators.template import ANSWER, TEXT, Template, TemplateError
from penstock.pipelines.document import Map, Node, Path, Scalar, matching
from penstock.pipelines.lint_chain import answer_fields, before
from penstock.pipelines.lint_expression import names_tenants
from penstock.pipelines.lint_sequence import step_names
from penstock.pipelines.lint_table import table_names
from penstock.pipelines.problem import Code, Place, Problem, nearest_name
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec
from penstock.pipelines.trigger_choice import told_by

SCOPE: frozenset[str] = frozenset(
    template_scope(Firing(run="", trigger="", agent=None, key="", at=0, cause="", condition=""))
)
"""What a template can name, as a run hands it over."""


def template_problems(root: Map) -> Iterator[Problem]:
    for part in parts(Spec, root):
        if part.mark(TemplateMark) is not None and isinstance(part.node, Scalar) and isinstance(part.node.value, str):
            yield from _problems(part.node, _values(root, part.path), _steps(root, part.path), table_names(root))
            yield from _answer_problems(part.node, before(root, part.path), root)
            yield from _tenant_problems(part.node, root)


def _values(root: Map, path: Path) -> list[str]:
    """What `values` may have where a template stands: definitions, and what a trigger tells in its own annotations; an agent
    may be asked by any trigger."""
    defines = root.get("define")
    pattern = f"triggers.{path[1]}" if path[0] == "triggers" else "triggers.*"
    told = {name: None for _, trigger in matching(root, pattern) for name in told_by(trigger)}
    return [*(defines.entries if isinstance(defines, Map) else ()), *told]


def _steps(root: Map, path: Path) -> list[str]:
    """Steps whose events a template at this path may be shown: those of its trigger, or of those that ask its agent."""
    if path[0] == "triggers":
        return step_names(root, str(path[1]))
    triggers = [at[1] for at, trigger in matching(root, "triggers.*") if _asks(trigger, str(path[1]))]
    return [name for trigger in triggers for name in step_names(root, str(trigger))]


def _asks(trigger: Node, agent: str) -> bool:
    """None named means the only one."""
    named = trigger.get("agent") if isinstance(trigger, Map) else None
    return not isinstance(named, Scalar) or named.text == agent


def _problems(node: Scalar, defines: Iterable[str], steps: list[str], tables: list[str]) -> Iterator[Problem]:
    try:
        template = Template(node.text)
    except TemplateError as error:
        message = f"not a template: {_lowered(str(error))}"
        yield Problem(Code.TEMPLATE, _line_place(node, error.line), message)
        return
    for name in sorted(template.names - SCOPE):
        place = _place(node, rf"\b{re.escape(name)}\b")
        yield _unknown(place, name, f"a template cannot name `{name}`", sorted(SCOPE))
    for name in sorted(template.values - set(defines)):
        place = _place(node, rf"\bvalues\s*(\.\s*|\[\s*['\"]){re.escape(name)}\b")
        yield _unknown(place, name, f"`values.{name}` is not defined", list(defines))
    for name in sorted(template.tables - set(tables)):
        place = _place(node, rf"\btables\s*(\.\s*|\[\s*['\"]){re.escape(name)}\b")
        yield _unknown(place, name, f"there is no table `{name}`", tables, otherwise="a name under `tables:`")
    for name in sorted(template.steps - set(steps)):
        place = _place(node, rf"\bsteps\s*(\.\s*|\[\s*['\"]){re.escape(name)}\b")
        yield _unknown(
            place, name, f"no step is called `{name}`", steps, otherwise="a sequence with a step of this name"
        )


def _answer_problems(node: Scalar, agents: list[str], root: Map) -> Iterator[Problem]:
    """What it shows of an answer is one, of one of these agents."""
    try:
        template = Template(node.text)
    except TemplateError:
        return
    for name in sorted(template.names & {ANSWER, TEXT}) if not agents else ():
        message = f"there is no `{name}` here: nothing was answered before"
        expected = "an `after`, or a question that only such triggers ask"
        yield Problem(Code.TEMPLATE, _place(node, rf"\b{name}\b"), message, expected=expected)
    fields = answer_fields(root, agents) if agents else None
    if fields is None:
        return
    for name in sorted(template.answer - set(fields)):
        if not hasattr(dict, name):  # `answer.items()`
            place = _place(node, rf"\banswer\s*(\.\s*|\[\s*['\"]){re.escape(name)}\b")
            yield _unknown(place, name, f"the answer of agent `{agents[0]}` has no field `{name}`", fields)


def _tenant_problems(node: Scalar, root: Map) -> Iterator[Problem]:
    with suppress(TemplateError):  # one that does not parse is told elsewhere
        if TENANT in Template(node.text).names and not names_tenants(root):
            message = "there is no `tenant` here: no source says whose its events are"
            expected = "a source with `tenant:`, such as `tenant: event.customer`"
            yield Problem(Code.TEMPLATE, _place(node, rf"\b{TENANT}\b"), message, expected=expected)


def _place(node: Scalar, pattern: str) -> Place:
    """Where the first tag of the template holds what the pattern matches; else where the template begins."""
    found = re.search(r"\{[{%](?:(?![}%]\}).)*?(?P<name>" + pattern + ")", node.text, re.DOTALL)
    return node.place if found is None else place_in(node, found.start("name"))


def _unknown(
    place: Place, name: str, message: str, names: list[str], otherwise: str = "a name under `define:`"
) -> Problem:
    expected = f"one of {', '.join(names)}" if names else otherwise
    return Problem(Code.TEMPLATE, place, message, expected=expected, nearest=nearest_name(name, names))


def _line_place(node: Scalar, line: int) -> Place:
    """Where line `line` (from 1) of the template begins; Jinja knows no columns."""
    offset = 0
    for text in node.text.split("\n")[: line - 1]:
        offset += len(text) + 1
    return place_in(node, offset)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
