"""A schema of Avro, made ready for reading: whoever reads with it gets JSON values, and comes to an end.

fastavro reads fast and trusts the schema: with a type that holds itself a few thousand bytes make it crash the process, and an
array of nothing (`null`, a record without fields) may claim 2^60 items. Such schemas are refused. For everything that is no JSON
value, a converter of ours is called by the name of a logical type of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import fastavro
import orjson
from fastavro.read import LOGICAL_READERS

from penstock.operators.decode_binary import NESTING_MAX
from penstock.operators.plain_value import (
    base64_text,
    day,
    decimal,
    double,
    instant,
    shortest_float,
    time_of_day,
    uuid_text,
)
from penstock.operators.schemas import Schema, Unusable

VALUE = "value"
"""The field of the record around everything: its encoding is that of its only field, whatever type that is."""
_OURS = "penstock-"
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "error", "enum", "fixed"})

Convert = Callable[[Any], Any]
_ALWAYS: Mapping[str, Convert] = {"bytes": base64_text, "fixed": base64_text, "float": shortest_float, "double": double}
_LOGICAL: Mapping[str, Convert] = {
    "fixed-uuid": uuid_text,
    "int-date": day,
    "int-time-millis": partial(time_of_day, digits=3),
    "long-time-micros": partial(time_of_day, digits=6),
    **{
        f"long-{prefix}timestamp-{unit}": partial(instant, digits=digits, zone=zone)
        for prefix, zone in (("", "Z"), ("local-", ""))
        for unit, digits in (("millis", 3), ("micros", 6), ("nanos", 9))
    },
}


def _reader(convert: Convert) -> Callable[..., Any]:
    return lambda value, writer_schema=None, reader_schema=None: convert(value)


def _decimal(value: bytes, writer_schema: Any = None, reader_schema: Any = None) -> Any:
    return decimal(value, writer_schema.get("scale", 0))


LOGICAL_READERS |= {f"{kind}-{_OURS}{kind}": _reader(convert) for kind, convert in _ALWAYS.items()}
LOGICAL_READERS |= {
    f"{kind}-{_OURS}{logical}": _reader(convert)
    for (kind, _, logical), convert in ((name.partition("-"), convert) for name, convert in _LOGICAL.items())
}
LOGICAL_READERS |= {f"{kind}-{_OURS}decimal": _decimal for kind in ("bytes", "fixed")}


def readable(schema: Schema) -> Any:
    """What `fastavro.schemaless_reader` takes; what it gives has the value as the field VALUE. Raises Unusable."""
    named: dict[str, Any] = {}
    try:
        for reference in schema.references.values():
            fastavro.parse_schema(orjson.loads(reference), named_schemas=named)
        parsed = fastavro.parse_schema(orjson.loads(schema.content), named_schemas=named)
        tree = _Rewriting(named).rewritten(parsed, 0)
        whole = {"type": "record", "name": f"{_OURS}whole".replace("-", "_"), "fields": [{"name": VALUE, "type": tree}]}
        return fastavro.parse_schema(whole)
    except Unusable:
        raise
    except Exception as problem:  # noqa: BLE001 - whatever the library says of a text that is no schema
        raise Unusable(f"it is no schema of Avro: {type(problem).__name__}: {problem}") from None


class _Rewriting:
    """Copies a parsed schema: names are defined where they come first, values that JSON lacks name our converters."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._open: set[str] = set()
        self._done: set[str] = set()
        self._weightless: set[str] = set()

    def rewritten(self, schema: Any, level: int) -> Any:
        if level > NESTING_MAX:
            raise Unusable(f"it is nested deeper than {NESTING_MAX} levels")
        match schema:
            case list():
                return [self.rewritten(branch, level + 1) for branch in schema]
            case str():
                return self._reference(schema, level)
            case {"type": kind} if kind in _NAMED:
                return self._definition(schema, level)
            case {"type": "array", "items": items}:
                return {"type": "array", "items": self._items(items, level)}
            case {"type": "map", "values": values}:
                return {"type": "map", "values": self.rewritten(values, level + 1)}
            case {"type": str() as kind} if kind in _PRIMITIVES:
                return _converted(kind, schema)
            case {"type": inner}:
                return self.rewritten(inner, level + 1)
        raise Unusable(f"it has no type where one should stand: {schema!r}")

    def _reference(self, name: str, level: int) -> Any:
        if name in _PRIMITIVES:
            return _converted(name, {})
        if name in self._open:
            raise Unusable(f"the type {name} holds itself, and such types are not read")
        return name if name in self._done else self._definition(self._named[name], level)

    def _definition(self, schema: Any, level: int) -> Any:
        name, kind = schema["name"], schema["type"]
        if name in self._done:
            return name
        self._open.add(name)
        made = {"type": kind, "name": name}
        match kind:
            case "enum":
                made["symbols"] = schema["symbols"]
            case "fixed":
                made |= {"size": schema["size"], **_converted(kind, schema)}
            case _:
                made["fields"] = [
                    {"name": field["name"], "type": self.rewritten(field["type"], level + 1)}
                    for field in schema["fields"]
                ]
        self._open.remove(name)
        self._done.add(name)
        if self._is_weightless(made):
            self._weightless.add(name)
        return made

    def _items(self, items: Any, level: int) -> Any:
        made = self.rewritten(items, level + 1)
        if self._is_weightless(made):
            raise Unusable("it has an array whose items have no bytes: nothing would bound their number")
        return made

    def _is_weightless(self, made: Any) -> bool:
        match made:
            case {"fields": fields}:
                return all(self._is_weightless(field["type"]) for field in fields)
            case {"type": "fixed", "size": size}:
                return bool(size == 0)
            case _:
                return made == "null" or (isinstance(made, str) and made in self._weightless)


def _converted(kind: str, schema: Mapping[str, Any]) -> Any:
    """The type with the converter that it needs; what has a logical type that is not known is what it is without it."""
    logical = schema.get("logicalType")
    if logical == "decimal" and kind in ("bytes", "fixed"):
        scale, precision = schema.get("scale", 0), schema.get("precision", 0)
        return {"type": kind, "logicalType": f"{_OURS}decimal", "scale": scale, "precision": precision}
    if f"{kind}-{logical}" in _LOGICAL:
        return {"type": kind, "logicalType": f"{_OURS}{logical}"}
    return {"type": kind, "logicalType": f"{_OURS}{kind}"} if kind in _ALWAYS else kind
