"""Templates of the file: sandboxed Jinja, compiled once, rendered once per run with plain data as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from penstock.operators.looked import Looked, Part


class _DataEnvironment(ImmutableSandboxedEnvironment):
    """`values.items` is the definition called `items`, not a method of a dictionary."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Part | Looked) or (isinstance(obj, dict) and attribute in obj):
            return obj[attribute]
        return super().getattr(obj, attribute)


_ENVIRONMENT = _DataEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
VALUES = "values"
"""The name under which templates find the pipeline's definitions."""
TABLES = "tables"
"""The name under which they find the rows of tables."""
STEPS = "steps"
"""The name under which they find the events that the steps of a sequence took."""
ANSWER, TEXT = "answer", "text"
"""The names under which they find what was answered before: its fields, or a text."""


class TemplateError(ValueError):
    """The text is no template; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class TemplateFailure:
    """Rendering met something that is not there; `reason` is a sentence."""

    reason: str


class Template:
    """`names` are the variables that it needs, `values`, `steps`, `tables` and `answer` the members of these that it names
    outright.

    `members` are all names under which it may look into anything.
    """

    __slots__ = ("_template", "answer", "members", "names", "steps", "tables", "text", "values")

    def __init__(self, text: str) -> None:
        """Raises TemplateError."""
        try:
            tree = _ENVIRONMENT.parse(text)
            self._template = _ENVIRONMENT.from_string(tree)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(error.message or "not a template", error.lineno) from error
        self.text = text
        self.names = frozenset(meta.find_undeclared_variables(tree))
        self.values = frozenset(_members(tree, VALUES))
        self.steps = frozenset(_members(tree, STEPS))
        self.tables = frozenset(_members(tree, TABLES))
        self.answer = frozenset(_members(tree, ANSWER))
        self.members = frozenset(_all_members(tree))

    def render(self, scope: Mapping[str, Any]) -> str | TemplateFailure:
        """The text for these values (JSON values only). What goes wrong is the fault of file or data: a value, no exception."""
        try:
            return self._template.render(scope)
        except Exception as error:  # noqa: BLE001  # a template may do anything that Jinja allows, and so raise anything
            return TemplateFailure(f"the template {self.text!r} cannot be rendered: {error}")


def annotate(templates: Mapping[str, Template], scope: Mapping[str, Any]) -> dict[str, str]:
    """Render annotations. One that fails shows its reason: an annotation is no cause to lose a result."""
    rendered = {name: template.render(scope) for name, template in templates.items()}
    return {name: text if isinstance(text, str) else f"({text.reason})" for name, text in rendered.items()}


def _all_members(tree: nodes.Template) -> Iterator[str]:
    """`x.member`, and every text, because `x["member"]` and `x | map(attribute="member.inner")` look there, too."""
    yield from (part.attr for part in tree.find_all(nodes.Getattr))
    for part in tree.find_all(nodes.Const):
        if isinstance(part.value, str):
            yield part.value.partition(".")[0]


def _members(tree: nodes.Template, name: str) -> list[str]:
    """Members that are read of a variable, as `name.member` or `name["member"]`."""
    members = [
        part.attr
        for part in tree.find_all(nodes.Getattr)
        if isinstance(part.node, nodes.Name) and part.node.name == name
    ]
    for part in tree.find_all(nodes.Getitem):
        named = isinstance(part.node, nodes.Name) and part.node.name == name
        if named and isinstance(part.arg, nodes.Const) and isinstance(part.arg.value, str):
            members.append(part.arg.value)
    return members
