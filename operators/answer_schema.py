"""The part of JSON Schema that an answer may be described with: closed objects of typed fields.

Small enough that every server's constrained decoding knows it, and that checking it needs no library. A keyword outside of
it is refused when the file is read, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import re2

Schema = dict[str, Any]

DESCRIPTIVE = frozenset({"title", "description"})
FILE_ONLY = frozenset({"$schema", "$id"})
"""May stand at the top of a schema file; servers need not see them."""
STRUCTURAL = frozenset({"type", "properties", "required", "additionalProperties", "items"})


class AnswerError(ValueError):
    """The description of an answer cannot be used; `path` says where in it."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path, self.message = path, message


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        _pattern(value)
    except re2.error:
        return False
    return True


def _pattern(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(text, options)


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON scalars: 1 is 1.0, but true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


class Keyword(NamedTuple):
    """One constraint: what its limit must be, whether a value keeps it, and what to say if not (`{limit}` is filled in)."""

    accepts: Callable[[Any], bool]
    expected: str
    holds: Callable[[Any, Any], bool]
    complaint: str


CONSTRAINTS: Mapping[str, Keyword] = {
    "enum": Keyword(
        lambda limit: isinstance(limit, list) and bool(limit) and all(map(_is_scalar, limit)),
        "a list of plain values",
        lambda limit, value: any(_same(allowed, value) for allowed in limit),
        "is none of {limit}",
    ),
    "const": Keyword(_is_scalar, "a plain value", _same, "is not {limit}"),
    "minimum": Keyword(_is_number, "a number", lambda limit, v: not _is_number(v) or v >= limit, "is below {limit}"),
    "maximum": Keyword(_is_number, "a number", lambda limit, v: not _is_number(v) or v <= limit, "is above {limit}"),
    "exclusiveMinimum": Keyword(
        _is_number, "a number", lambda limit, v: not _is_number(v) or v > limit, "is not above {limit}"
    ),
    "exclusiveMaximum": Keyword(
        _is_number, "a number", lambda limit, v: not _is_number(v) or v < limit, "is not below {limit}"
    ),
    "minLength": Keyword(
        _is_size, "a number of characters", lambda limit, v: not isinstance(v, str) or len(v) >= limit,
        "has less than {limit} characters",
    ),
    "maxLength": Keyword(
        _is_size, "a number of characters", lambda limit, v: not isinstance(v, str) or len(v) <= limit,
        "has more than {limit} characters",
    ),
    "pattern": Keyword(
        _is_pattern, "a regular expression (RE2)",
        lambda limit, v: not isinstance(v, str) or _pattern(limit).search(v) is not None,
        "does not match {limit}",
    ),
    "minItems": Keyword(
        _is_size, "a number of items", lambda limit, v: not isinstance(v, list) or len(v) >= limit,
        "has less than {limit} items",
    ),
    "maxItems": Keyword(
        _is_size, "a number of items", lambda limit, v: not isinstance(v, list) or len(v) <= limit,
        "has more than {limit} items",
    ),
}  # fmt: skip

KNOWN = STRUCTURAL | DESCRIPTIVE | CONSTRAINTS.keys()


def closed(schema: Any, path: str = "") -> Schema:
    """The schema with every object closed: all properties required, nothing else allowed. Raises AnswerError."""
    if not isinstance(schema, dict):
        raise AnswerError(path, f"expected a map such as {{type: string}}, found {schema!r}")
    _check_keywords(schema, path)
    types = schema.get("type", [])
    result = dict(schema)
    if "object" in _listed(types):
        result.update(_closed_object(schema, path))
    elif misplaced := {"properties", "required", "additionalProperties"} & schema.keys():
        raise AnswerError(path, f"{', '.join(sorted(misplaced))} stands without `type: object`")
    if "array" in _listed(types):
        if "items" not in schema:
            raise AnswerError(path, "an array needs `items`, which says what is in it")
        result["items"] = closed(schema["items"], f"{path}[]")
    elif "items" in schema:
        raise AnswerError(path, "`items` stands without `type: array`")
    return result


def _check_keywords(schema: Schema, path: str) -> None:
    for word, limit in schema.items():
        if word not in KNOWN:
            known = ", ".join(sorted(KNOWN))
            raise AnswerError(path, f"{word!r} is no keyword that an answer may use; there are {known}")
        constraint = CONSTRAINTS.get(word)
        if constraint is not None and not constraint.accepts(limit):
            raise AnswerError(path, f"`{word}` expects {constraint.expected}, found {limit!r}")
    unknown = [name for name in _listed(schema.get("type", [])) if name not in TYPES]
    if unknown:
        raise AnswerError(path, f"{unknown[0]!r} is no type; there are {', '.join(TYPES)}")
    if not schema.keys() & {"type", "enum", "const"}:
        raise AnswerError(path, "needs `type`, `enum` or `const`")


def _listed(types: Any) -> list[Any]:
    return types if isinstance(types, list) else [types]


def _closed_object(schema: Schema, path: str) -> Schema:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise AnswerError(path, "an object needs `properties`")
    if schema.get("additionalProperties", False) is not False:
        raise AnswerError(path, "`additionalProperties` can only be false: an answer has the fields that it names")
    if sorted(schema.get("required", properties)) != sorted(properties):
        raise AnswerError(path, "`required` must name every property: an answer has all its fields")
    return {
        "properties": {name: closed(part, f"{path}.{name}" if path else name) for name, part in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def misfit(schema: Schema, value: Any, path: str = "the answer") -> str | None:
    """What is wrong with a JSON value, as a sentence; None if it fits. The schema comes from `closed`."""
    types = _listed(schema.get("type", []))
    if types and not any(TYPES[name](value) for name in types):
        return f"{path} is not of type {' or '.join(types)}"
    for word, limit in schema.items():
        constraint = CONSTRAINTS.get(word)
        if constraint is not None and not constraint.holds(limit, value):
            return f"{path} {constraint.complaint.format(limit=limit)}"
    if isinstance(value, dict) and "properties" in schema:
        return _object_misfit(schema["properties"], value, path)
    if isinstance(value, list) and "items" in schema:
        problems = (misfit(schema["items"], item, f"{path}[{place}]") for place, item in enumerate(value))
        return next(filter(None, problems), None)
    return None


def _object_misfit(properties: Mapping[str, Schema], value: Mapping[str, Any], path: str) -> str | None:
    missing = [name for name in properties if name not in value]
    if missing:
        return f"{path} lacks {', '.join(map(repr, missing))}"
    extra = sorted(value.keys() - properties.keys())
    if extra:
        return f"{path} has a field {extra[0]!r} that nobody asked for"
    problems = (misfit(part, value[name], f"{path}'s {name!r}") for name, part in properties.items())
    return next(filter(None, problems), None)
