"""The JSON Schemas of the file and of its scenarios, for editors: all of it follows from the settings and their descriptions."""

from __future__ import annotations

from typing import Any

from penstock.pipelines.load import FREE
from penstock.pipelines.scenario import ScenarioFile
from penstock.pipelines.spec import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PUT_IN_LATER = {"type": "string", "pattern": r"\$\{.+\}"}
"""`${VAR}` stands where a number, a boolean or a word will stand after loading."""
_DESCRIPTIVE = ("title", "description", "default", "examples")
_AS_IT_IS = (*_DESCRIPTIVE, "propertyNames", "enum", "const", "discriminator")


def file_schema() -> dict[str, Any]:
    """Draft 2020-12, as `penstock schema` prints it."""
    return _document("Penstock pipeline", _with_variables(Spec.model_json_schema(by_alias=True, mode="validation")))


def scenario_schema() -> dict[str, Any]:
    """The same of files of scenarios, in which variables are not put in."""
    return _document("Penstock scenarios", ScenarioFile.model_json_schema())


def _document(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    free = {f"^{FREE}": {"description": "Yours: a home for anchors."}}
    return {"$schema": DIALECT, **schema, "title": title, "patternProperties": free}


def _with_variables(schema: Any) -> Any:
    """The schema in which every scalar that is not free text may be a variable, too. Names may not: they keep to their form."""
    if isinstance(schema, list):
        return [_with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: _inner(name, part) for name, part in schema.items()}
    if "patternProperties" in inner:
        inner.setdefault("additionalProperties", False)
    return _or_variable(inner) if _is_strict_scalar(inner) else inner


def _inner(word: str, part: Any) -> Any:
    if word in ("properties", "patternProperties", "$defs"):
        return {name: _with_variables(schema) for name, schema in part.items()}
    return part if word in _AS_IT_IS else _with_variables(part)


def _is_strict_scalar(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if kind in ("integer", "number", "boolean"):
        return True
    return kind == "string" and bool(schema.keys() & {"pattern", "enum", "const"})


def _or_variable(schema: dict[str, Any]) -> dict[str, Any]:
    words = {name: part for name, part in schema.items() if name in _DESCRIPTIVE}
    rules = {name: part for name, part in schema.items() if name not in _DESCRIPTIVE}
    return {**words, "anyOf": [rules, _PUT_IN_LATER]}
