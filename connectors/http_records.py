"""What a POST brings: its headers and body to records, or why not. No I/O.

    application/x-ndjson                 one record per line
    application/cloudevents+json         a CloudEvent: its data is the record, its attributes are headers (`ce_id`, `ce_type`, …)
    application/cloudevents-batch+json   a list of them
    anything else                        the body is the record; with `ce-*` headers it is the data of a CloudEvent

CloudEvents 1.0.2 with its HTTP binding; attributes become headers as in the Kafka binding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from penstock.connectors.embedded_input import Arrival
from penstock.connectors.lines import cut_lines
from penstock.operators.record import Headers

KEY = "Penstock-Key"
IDEMPOTENCY_KEY = "Idempotency-Key"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
EVENT, EVENTS = "application/cloudevents+json", "application/cloudevents-batch+json"
REQUIRED = ("id", "source", "type")


class BadRequest(ValueError):
    """What the sender did wrong: one sentence."""


class Post(NamedTuple):
    """Records in their order, each with what it was called by its sender, if anything; `id` names all of them together."""

    records: list[tuple[Arrival, str | None]]
    id: str | None


def posted(headers: Mapping[str, str], body: bytes) -> Post:
    """`headers` are looked up by names that ignore case. Raises BadRequest."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    key = headers[KEY].encode() if KEY in headers else None
    records: list[tuple[Arrival, str | None]]
    if kind in LINES:
        records = [(Arrival(line, key), None) for line in cut_lines(body, last=True).lines]
    elif kind in (EVENT, EVENTS):
        records = [_event(event, key) for event in _events(body, batch=kind == EVENTS)]
    elif "ce-specversion" in headers:
        records = [_binary(headers, body, key)]
    else:
        records = [(Arrival(body, key), None)] if body else []
    if not records:
        raise BadRequest("the body is empty: it has no record")
    return Post(records, headers.get(IDEMPOTENCY_KEY))


def _events(body: bytes, *, batch: bool) -> list[Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if batch and not isinstance(found, list):
        raise BadRequest("a batch of CloudEvents is a list")
    return found if batch else [found]


def _event(event: Any, key: bytes | None) -> tuple[Arrival, str]:
    if not isinstance(event, dict):
        raise BadRequest("a CloudEvent is a JSON object")
    attributes = {name: _text(value) for name, value in event.items() if name not in ("data", "data_base64")}
    if "data" not in event:
        raise BadRequest("the CloudEvent has no `data`")
    kind, data = attributes.get("datacontenttype", "application/json"), event["data"]
    value = data.encode() if isinstance(data, str) and "json" not in kind else orjson.dumps(data)
    return _called(attributes, value, key)


def _binary(headers: Mapping[str, str], body: bytes, key: bytes | None) -> tuple[Arrival, str]:
    names = [name for name in headers if name.lower().startswith("ce-")]
    return _called({name.lower()[3:]: unquote(headers[name]) for name in names}, body, key)


def _called(attributes: Mapping[str, str], value: bytes, key: bytes | None) -> tuple[Arrival, str]:
    """CloudEvents of one `source` have different ids, those of several may have the same."""
    if attributes.get("specversion") != "1.0":
        raise BadRequest("the CloudEvent's `specversion` is not 1.0")
    for name in REQUIRED:
        if not attributes.get(name):
            raise BadRequest(f"the CloudEvent has no `{name}`")
    if key is None and "partitionkey" in attributes:
        key = attributes["partitionkey"].encode()
    headers: Headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    return Arrival(value, key, headers), f"{attributes['source']}\0{attributes['id']}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
