"""What consumers can rely on, as documents: JSON Schema of a result record, AsyncAPI 3 of a pipeline's topics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.operators.agent import AgentPlan
from penstock.operators.dead import PREFIX
from penstock.operators.latest import GONE
from penstock.operators.result import SCHEMA
from penstock.pipelines.compile import Pipeline
from penstock.pipelines.growing import SCHEMA as PREVIEW_SCHEMA
from penstock.pipelines.spec import Spec

STATES = ("partial", "final", "failed", "skipped", "resolved")

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_TIME = {"type": "string", "format": "date-time"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _closed(properties: dict[str, Any], description: str = "") -> dict[str, Any]:
    """An object with all of these fields and no others."""
    closed = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"description": description, **closed} if description else closed


_USAGE = {
    "input_tokens": _COUNT,
    "cached_input_tokens": _COUNT,
    "output_tokens": _COUNT,
    "cost": _or_null({"type": "number"}),
}
_CALL = {
    "model": _TEXT,
    "attempt": _COUNT,
    "outcome": _TEXT,
    "because": _or_null(_TEXT),
    "simulated": {"type": "boolean"},
}
_EPISODE = {
    "id": _TEXT,
    "status": {"enum": ["firing", "resolved"]},
    "starts_at": _TIME,
    "ends_at": _or_null(_TIME),
}
_WHY = {
    "fired_by": _TEXT,
    "condition": _TEXT,
    "by": _or_null(_TEXT),
    "values": {"type": "object"},
    "events": _COUNT,
    "from": _or_null(_TIME),
    "to": _or_null(_TIME),
    "route": {"type": "array", "items": _closed({**_CALL, **_USAGE}, "One model call.")},
    "inhibited_by": _or_null({"type": "array", "items": _TEXT, "minItems": 1}),
    "withdrawn": _or_null({"type": "boolean"}),
}
_DEGRADATION = {"step": _TEXT, "because": _TEXT, "would_have_cost": _or_null({"type": "number"})}
_LABELS = {"type": "object", "additionalProperties": _TEXT}


def result_schema(answer: dict[str, Any] | None = None) -> dict[str, Any]:
    """Draft 2020-12 schema of `penstock.result/1`; `answer` is the schema of a known agent's answers."""
    properties: dict[str, Any] = {
        "schema": {"const": SCHEMA},
        "pipeline": _TEXT,
        "version": _TEXT,
        "definition": _TEXT,
        "run": _TEXT,
        "rev": {"type": "integer", "minimum": 1},
        "attempt": _or_null({"type": "integer", "minimum": 1}),
        "state": {"enum": list(STATES)},
        "reason": _or_null(_TEXT),
        "agent": _or_null(_TEXT),
        "key": _TEXT,
        "by": {},
        "tenant": _or_null(_TEXT),
        "episode": _or_null(_closed(_EPISODE)),
        "triggers": {"type": "array", "items": _TEXT, "minItems": 1},
        "labels": _LABELS,
        "annotations": _LABELS,
        "answer": _or_null({**answer, "required": []} if answer else {"type": "object"}),
        "text": _or_null(_TEXT),
        "why": _closed(_WHY),
        "usage": _closed({"calls": _COUNT, **_USAGE, "currency": _or_null(_TEXT)}),
        "degraded": {"type": "array", "items": _closed(_DEGRADATION)},
        "simulated": {"type": "boolean"},
        "end": {"type": "boolean"},
        "supersedes": _or_null(_TEXT),
        "corrects": _or_null(_TEXT),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **_closed(properties, "A record of Penstock: the highest `rev` of a run is the one that counts."),
        **(_complete_after_partials(answer) if answer else {}),
    }


def _complete_after_partials(answer: dict[str, Any]) -> dict[str, Any]:
    """A partial shows the fields that are there so far; any other record has all of them."""
    return {
        "if": {"properties": {"state": {"const": "partial"}}},
        "else": {"properties": {"answer": _or_null(answer)}},
    }


_NUMBER = {"type": "string", "pattern": "^-?[0-9]+$"}
_DEAD_HEADERS = {
    "reason": {**_TEXT, "description": "A code, such as undecodable or keyless; refused for an output of our own."},
    "detail": {**_TEXT, "description": "The reason in a sentence."},
    "topic": {**_TEXT, "description": "Where the record was, or should have gone."},
    "partition": _NUMBER,
    "offset": _NUMBER,
    "timestamp": {**_NUMBER, "description": "Milliseconds since the epoch."},
    "id": {**_TEXT, "description": "Of what was refused: the `ce_id` of a result, or where a dead record lies."},
    "refused": {**_TEXT, "description": "Why this topic refused the bytes, too: the letter comes without them."},
}
_DEAD_LETTER = {
    "name": "A record that could not be used, as it was",
    "contentType": "application/octet-stream",
    "headers": {
        "type": "object",
        "description": "Beside the headers that the record had.",
        "properties": {f"{PREFIX}{name}": schema for name, schema in _DEAD_HEADERS.items()},
        "required": [f"{PREFIX}reason", f"{PREFIX}topic"],
    },
    "payload": {"description": "The record's value; none where it was refused."},
}
_GONE = {
    "name": "A tombstone: what stood under this key is not the case any more",
    "headers": {"type": "object", "properties": {"ce_type": {"const": GONE}}},
    "payload": {"type": "null"},
}
_PREVIEW = {
    "name": PREVIEW_SCHEMA,
    "contentType": "application/json",
    "payload": _closed(
        {
            "schema": {"const": PREVIEW_SCHEMA},
            "run": _TEXT,
            "key": _TEXT,
            "call": _TEXT,
            "from": {**_COUNT, "description": "How many characters of the answer come before this text."},
            "text": _TEXT,
            "simulated": {"type": "boolean"},
        },
        "Tokens as they come, uncommitted: some may be lost, and what they grow into may differ.",
    ),
}


def asyncapi_document(spec: Spec, pipeline: Pipeline) -> dict[str, Any]:
    """AsyncAPI 3.0 of the topics that the pipeline writes, with the answer's own schema per agent."""
    topics = spec.output_topics
    results = {f"result_{name}": _result_message(name, agent) for name, agent in pipeline.plan.agents.items()}
    results.setdefault("result", {"name": SCHEMA, "contentType": "application/json", "payload": result_schema()})
    written = {
        "results": _channel(topics.results, results),
        "partials": _channel(topics.partials, results),
        "dead": _channel(topics.dead, ["dead_letter"]),
        "previews": _channel(topics.previews, ["preview"]),
        **{f"route_{number}": _channel(topic, results) for number, topic in enumerate(topics.routes, start=1)},
        **({} if topics.latest is None else {"latest": _channel(topics.latest, [*results, "gone"])}),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": spec.name, "version": spec.version},
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": spec.kafka.bootstrap, "protocol": "kafka"}},
        "channels": written,
        "operations": {
            f"publish_{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}} for name in written
        },
        "components": {"messages": {**results, "dead_letter": _DEAD_LETTER, "gone": _GONE, "preview": _PREVIEW}},
    }


def _channel(address: str, messages: Iterable[str]) -> dict[str, Any]:
    return {"address": address, "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages}}


def _result_message(name: str, agent: AgentPlan) -> dict[str, Any]:
    answer = None if agent.shape is None else agent.shape.schema
    return {"name": f"{SCHEMA} of {name}", "contentType": "application/json", "payload": result_schema(answer)}
