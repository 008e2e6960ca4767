"""The file's tree beside the types of the settings: what may stand at a place, and which marks it carries.

The loader has no table of expression fields, secret fields or field names: all of that follows from the settings.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import Map, Node, Path, children
from penstock.pipelines.trigger_choice import ByKind, kind_word

Mark = TypeVar("Mark")


class Option(NamedTuple):
    """One thing that a value may be: a type, and the marks that its annotation carries."""

    kind: Any
    marks: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the file, and everything that the settings say about its place."""

    path: Path
    node: Node
    options: tuple[Option, ...]

    def mark(self, kind: type[Mark]) -> Mark | None:
        return next((mark for option in self.options for mark in option.marks if isinstance(mark, kind)), None)

    @property
    def secret(self) -> bool:
        return any(option.kind is SecretStr for option in self.options)

    @property
    def only_text(self) -> bool:
        """Of what is no map and no list, nothing but text can stand here."""
        kinds = {option.kind for option in self.options if not _is_nested(option.kind)}
        return bool(kinds) and kinds <= {str, SecretStr}

    @property
    def field_names(self) -> list[str]:
        """Fields that a map may have here; empty where its keys are free."""
        models = [_model(option, self.node) for option in self.options]
        return [name for model in models if model is not None for name in fields_of(model)]


def parts(settings: type[BaseModel], root: Node) -> Iterator[Part]:
    """Every value of the tree that the settings know, from the root down, in the order of the file."""
    yield from _parts(Part((), root, (Option(settings, ()),)))


def _parts(part: Part) -> Iterator[Part]:
    yield part
    for step, node in children(part.node):
        options = tuple(inner for option in part.options for inner in _inner(option, part.node, step))
        if options:
            yield from _parts(Part((*part.path, step), node, options))


def _options(annotation: Any, marks: tuple[object, ...] = ()) -> list[Option]:
    """An annotation with `Annotated` and unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _options(inner, (*marks, *more))
    if origin in (Union, types.UnionType):
        return [option for inner in get_args(annotation) for option in _options(inner, marks)]
    return [Option(annotation, marks)]


def _inner(option: Option, node: Node, step: str | int) -> list[Option]:
    """What may stand one step below a value of this kind."""
    if isinstance(step, int):
        origin, args = get_origin(option.kind), get_args(option.kind)
        return _options(args[0]) if origin in (list, tuple) and args else []
    model = _model(option, node)
    if model is not None:
        field = fields_of(model).get(step)
        return _options(field.annotation, tuple(field.metadata)) if field is not None else []
    if get_origin(option.kind) is dict:
        return _options(get_args(option.kind)[1])
    return []


def _model(option: Option, node: Node) -> type[BaseModel] | None:
    if not isinstance(node, Map):
        return None
    if any(isinstance(mark, ByKind) for mark in option.marks):
        return TRIGGERS.get(kind_word(node.entries) or "")
    return option.kind if _is_settings(option.kind) else None


def _is_nested(kind: Any) -> bool:
    """A type that no scalar is of; None only says that the field may be left out."""
    return kind is type(None) or get_origin(kind) in (dict, list, tuple) or _is_settings(kind)


def _is_settings(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """By their names in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
