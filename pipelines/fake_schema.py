"""A value that satisfies a JSON Schema and says what the evidence says: the simulated model's structured answer.

Enums, booleans and numbers are chosen by how alarming their words are (`benign` < `unclear` < `attack`), strings cite the
counts. A schema that asks for something unknown is Unsupported, as a real server refuses what its grammar cannot express.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.pipelines.fake_evidence import Evidence
from penstock.pipelines.fake_text import NoSuchText, matching

Schema = Mapping[str, Any]

_DEPTH_MAX = 16
_LEVELS = (
    (0.0, "benign normal none ok okay healthy fine legit good ignore dismiss safe clean noise allow nothing stable no false"),
    (0.1, "low info minor negligible"),
    (0.5, "unclear unknown unsure uncertain suspicious maybe medium moderate warn watch review investigat degraded undecided"),
    (0.8, "high major elevated error unstable unhealthy"),
    (1.0, ("attack critical fatal malicious anomal abnormal incident fail fraud breach escalat block page severe outage"
          " emergency compromis yes true")),
)  # fmt: skip
"""How alarming a word is, by how it begins; of several the most alarming counts."""
_NEGATION = re.compile(r"(no|not|non)[ -]", re.IGNORECASE)
_WHOLE_WORDS = frozenset({"no", "ok", "low", "high", "info", "yes", "none", "true", "page", "good", "fine"})
_WORDS = tuple(
    (
        level,
        re.compile(
            "|".join(rf"\b{word}\b" if word in _WHOLE_WORDS else rf"\b{word}" for word in words.split()), re.IGNORECASE
        ),
    )
    for level, words in _LEVELS
)
_COUNT_NAME = re.compile(r"count|number|total|failures|attempts|events", re.IGNORECASE)
_SURE_NAME = re.compile(r"confiden|certain|probab|likel", re.IGNORECASE)
_ACTION_NAME = re.compile(r"action|recommend|next|remed|advice|\bdo\b", re.IGNORECASE)
_FORMATS = {
    "date": "2024-01-01", "date-time": "2024-01-01T00:00:00Z", "time": "00:00:00Z", "email": "nobody@example.com",
    "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "uri": "https://example.com/", "hostname": "host.example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip


class Unsupported(ValueError):
    """The schema asks for something that no rule here can satisfy."""


def satisfy(schema: Schema, evidence: Evidence) -> Any:
    """A value valid under `schema`. Raises Unsupported."""
    return _Writer(schema, evidence).value(schema, "answer", 0)


def explanation(evidence: Evidence) -> str:
    """One or two sentences that cite the counts."""
    said = []
    if evidence.troubled:
        said.append(
            f"{evidence.troubled} of {evidence.lines} lines show trouble, "
            f'mostly "{evidence.word}" ({_times(evidence.word_count)}).'
        )
    if evidence.address_count > 1:
        said.append(f"{evidence.address_count} of them name {evidence.address}.")
    leap = evidence.leap
    if leap is not None and not evidence.troubled:
        said.append(f"{leap.name} is {leap.newest:g} against a usual {leap.usual:g} ({leap.deviations:g} deviations).")
    return " ".join(said) or f"Nothing in {evidence.lines} lines speaks of trouble."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _action(evidence: Evidence) -> str:
    if evidence.alarm < 0.5:
        return "Nothing needs to be done."
    if evidence.alarm >= 0.75 and evidence.address:
        return f"Block {evidence.address} and check the accounts that it tried."
    return "Keep watching and look at the newest events."


class _Writer:
    def __init__(self, root: Schema, evidence: Evidence) -> None:
        self._root, self._evidence = root, evidence

    def value(self, schema: Schema | bool, name: str, depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise Unsupported(f"{name} is nested deeper than {_DEPTH_MAX} levels")
        schema = self._resolved({} if schema is True else schema, name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chosen(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                common = {key: part for key, part in schema.items() if key != word}
                return self._first_possible(common, schema[word], name, depth)
        match _type_of(schema):
            case "object":
                return self._object(schema, name, depth)
            case "array":
                return self._array(schema, name, depth)
            case "string":
                return self._string(schema, name)
            case "boolean":
                level = _level(name)
                return (
                    (self._evidence.alarm < 0.5) if level is not None and level < 0.5 else (self._evidence.alarm >= 0.5)
                )
            case "integer" | "number" as kind:
                return self._number(schema, name, whole=kind == "integer")
            case "null":
                return None
            case other:
                raise Unsupported(f"{name} has the unknown type {other!r}")

    def _resolved(self, schema: Schema | bool, name: str) -> Schema:
        """Without `$ref` and `allOf`: what they say is merged in."""
        if isinstance(schema, bool):
            raise Unsupported(f"nothing can satisfy {name}")
        merged = dict(schema)
        for _ in range(_DEPTH_MAX):
            reference, parts = merged.pop("$ref", None), merged.pop("allOf", ())
            if reference is None and not parts:
                return merged
            for part in (*([self._referenced(reference)] if reference is not None else ()), *parts):
                merged = _merged(merged, part)
        raise Unsupported(f"{name} refers to itself")

    def _referenced(self, reference: str) -> Schema:
        found: Any = self._root
        for part in reference.removeprefix("#").split("/")[1:]:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        if not reference.startswith("#") or not isinstance(found, Mapping):
            raise Unsupported(f"{reference} is not part of the schema")
        return found

    def _first_possible(self, common: Schema, options: Sequence[Schema], name: str, depth: int) -> Any:
        reason = f"{name} has no options"
        for option in options:
            try:
                return self.value(_merged(common, option), name, depth + 1)
            except Unsupported as error:
                reason = str(error)
        raise Unsupported(reason)

    def _chosen(self, options: Sequence[Any]) -> Any:
        """The option whose word is as alarming as the evidence; words that say nothing are spread over the range in order."""
        levels = [_level(option) for option in options]
        if all(level is None for level in levels):
            levels = [index / max(len(options) - 1, 1) for index in range(len(options))]
        known = [(abs(level - self._evidence.alarm), index) for index, level in enumerate(levels) if level is not None]
        return options[min(known)[1]]

    def _object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = [key for key in schema.get("required", ()) if key not in properties]
        return {
            key: self.value(part, key, depth + 1)
            for key, part in {**properties, **dict.fromkeys(required, True)}.items()
        }

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        fixed = [self.value(part, name, depth + 1) for part in schema.get("prefixItems", ())]
        count = min(max(schema.get("minItems", 1), len(fixed)), schema.get("maxItems", math.inf))
        if schema.get("uniqueItems") and count > max(len(fixed), 1):
            raise Unsupported(f"{name} asks for several unique items")
        items = schema.get("items", True)
        return [*fixed, *(self.value(items, name, depth + 1) for _ in range(len(fixed), int(count)))]

    def _string(self, schema: Schema, name: str) -> str:
        if "format" in schema:
            if schema["format"] not in _FORMATS:
                raise Unsupported(f"{name} has the unknown format {schema['format']!r}")
            return _FORMATS[schema["format"]]
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if "pattern" in schema:
            try:
                text = matching(schema["pattern"], least)
            except NoSuchText as error:
                raise Unsupported(f"{name}: {error}") from error
        else:
            text = self._evidence.values.get(name) or self._saying(name)
            text = text[: int(min(most, len(text)))].ljust(least, ".")
        if len(text) > most:
            raise Unsupported(f"no text is known that fits {name}")
        return text

    def _saying(self, name: str) -> str:
        return _action(self._evidence) if _ACTION_NAME.search(name) else explanation(self._evidence)

    def _number(self, schema: Schema, name: str, *, whole: bool) -> float | int:
        step = schema.get("multipleOf", 1 if whole else None)
        low, high = _bounds(schema, step or 0.01)
        if low > high:
            raise Unsupported(f"no number fits {name}")
        wanted = min(max(self._wanted(name, low, high), low), high)
        if step is None:
            return round(wanted, 4)
        fewest, most = low / step, high / step
        count = min(max(round(wanted / step), math.ceil(fewest) if low > -math.inf else fewest), most)
        value = math.floor(count) * step
        if value < low:
            raise Unsupported(f"no multiple of {step} fits {name}")
        return int(value) if whole else round(value, 10)

    def _wanted(self, name: str, low: float, high: float) -> float:
        """Counts are counted; everything else is a place in the range, 0 to 100 where it has no end."""
        if _COUNT_NAME.search(name):
            return float(self._evidence.troubled)
        part = self._evidence.confidence if _SURE_NAME.search(name) else self._evidence.alarm
        first = 0.0 if low == -math.inf else low
        last = first + (1 if _SURE_NAME.search(name) else 100) if high == math.inf else high
        return first + part * (last - first)


def _bounds(schema: Schema, nudge: float) -> tuple[float, float]:
    low, high = float(schema.get("minimum", -math.inf)), float(schema.get("maximum", math.inf))
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + nudge)
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - nudge)
    return low, high


def _level(word: Any) -> float | None:
    """How alarming a word is, 0 to 1; None where it says nothing."""
    if isinstance(word, bool):
        return 1.0 if word else 0.0
    text = str(word).replace("_", " ")
    level = next((level for level, words in reversed(_WORDS) if words.search(text)), None)
    return 1.0 - level if level is not None and _NEGATION.match(text) else level


def _type_of(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((one for one in kind if one != "null"), "null")
    if kind is not None:
        return str(kind)
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _merged(one: Schema, other: Schema) -> dict[str, Any]:
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *(key for key in other["required"] if key not in one["required"])]
    return both
