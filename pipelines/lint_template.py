"""Templates of the file: do they parse, and do they name only what a run can show them?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from penstock.operators.run import Firing, template_scope
from penstock.operators.setting import TemplateMark
from penstock.operators.template import Template, TemplateError
from penstock.pipelines.document import Map, Scalar
from penstock.pipelines.problem import Code, Place, Problem, nearest_name
from penstock.pipelines.scalar_place import place_in
from penstock.pipelines.shape import parts
from penstock.pipelines.spec import Spec

SCOPE: frozenset[str] = frozenset(
    template_scope(Firing(run="", trigger="", agent=None, key="", at=0, cause="", condition=""))
)
"""What a template can name, as a run hands it over."""


def template_problems(root: Map) -> Iterator[Problem]:
    defines = root.get("define")
    names = list(defines.entries) if isinstance(defines, Map) else []
    for part in parts(Spec, root):
        if part.mark(TemplateMark) is not None and isinstance(part.node, Scalar) and isinstance(part.node.value, str):
            yield from _problems(part.node, names)


def _problems(node: Scalar, defines: Iterable[str]) -> Iterator[Problem]:
    try:
        template = Template(node.text)
    except TemplateError as error:
        message = f"not a template: {_lowered(str(error))}"
        yield Problem(Code.TEMPLATE, _line_place(node, error.line), message)
        return
    for name in sorted(template.names - SCOPE):
        yield _unknown(node, name, rf"\b{re.escape(name)}\b", f"a template cannot name `{name}`", sorted(SCOPE))
    for name in sorted(template.values - set(defines)):
        pattern = rf"\bvalues\s*(\.\s*|\[\s*['\"]){re.escape(name)}\b"
        yield _unknown(node, name, pattern, f"`values.{name}` is not defined", list(defines))


def _unknown(node: Scalar, name: str, pattern: str, message: str, names: list[str]) -> Problem:
    expected = f"one of {', '.join(names)}" if names else "a name under `define:`"
    found = re.search(r"\{[{%](?:(?![}%]\}).)*?(?P<name>" + pattern + ")", node.text, re.DOTALL)
    place = place_in(node, found.start("name")) if found is not None else node.place
    return Problem(Code.TEMPLATE, place, message, expected=expected, nearest=nearest_name(name, names))


def _line_place(node: Scalar, line: int) -> Place:
    """Where line `line` (from 1) of the template begins; Jinja knows no columns."""
    offset = 0
    for text in node.text.split("\n")[: line - 1]:
        offset += len(text) + 1
    return place_in(node, offset)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
