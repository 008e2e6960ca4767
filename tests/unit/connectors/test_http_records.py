from __future__ import annotations

from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from penstock.connectors.embedded_input import Arrival
from penstock.connectors.http_records import BadRequest, Post, posted

EVENT = {"specversion": "1.0", "id": "7", "source": "/door", "type": "opened", "data": {"host": "a"}}
CE = (("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/door"), ("ce_type", b"opened"))


def post(body: bytes | Any, kind: str = "application/json", **headers: str) -> Post:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return posted(CIMultiDict({"content-type": kind, **names}), content)


def test_a_body_is_one_record_and_a_header_is_its_key() -> None:
    assert post(b'{"a":1}') == Post([(Arrival(b'{"a":1}'), None)], None)
    assert post(b"x\ny", "text/plain", penstock_key="k") == Post([(Arrival(b"x\ny", b"k"), None)], None)
    assert post(b"x", idempotency_key="1").id == "1"


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/X-NDJSON; charset=utf-8"])
def test_every_line_of_ndjson_is_a_record(kind: str) -> None:
    assert post(b"1\n\n2\r\n3", kind).records == [(Arrival(value), None) for value in (b"1", b"2", b"3")]


def test_a_structured_cloud_event_is_its_data_with_its_attributes_as_headers() -> None:
    assert post(EVENT, "application/cloudevents+json") == Post(
        [(Arrival(b'{"host":"a"}', None, CE), "/door\0007")], None
    )
    batch = post([EVENT, {**EVENT, "id": "8", "partitionkey": "p"}], "application/cloudevents-batch+json")
    assert [(arrival.key, id) for arrival, id in batch.records] == [(None, "/door\0007"), (b"p", "/door\0008")]


def test_the_text_of_a_cloud_event_that_is_no_json_is_the_record() -> None:
    ((arrival, _),) = post(
        {**EVENT, "data": "a line", "datacontenttype": "text/plain"}, "application/cloudevents+json"
    ).records
    assert arrival.value == b"a line"


def test_a_binary_cloud_event_is_the_body_with_its_attributes_as_headers() -> None:
    headers = {"ce_specversion": "1.0", "ce_id": "7", "Ce_Source": "/door%20x", "ce_type": "opened"}
    ((arrival, id),) = post(b"{}", **headers).records
    assert arrival.value == b"{}"
    assert dict(arrival.headers)["ce_source"] == b"/door x"
    assert id == "/door x\0007"


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", "application/json", "no record"),
        (b"\n\n", "application/x-ndjson", "no record"),
        (b"{", "application/cloudevents+json", "not JSON"),
        (b"[]", "application/cloudevents+json", "a JSON object"),
        (b"{}", "application/cloudevents-batch+json", "a list"),
        (b"[]", "application/cloudevents-batch+json", "no record"),
        ({**EVENT, "specversion": "0.3"}, "application/cloudevents+json", "`specversion`"),
        ({**EVENT, "id": ""}, "application/cloudevents+json", "no `id`"),
        ({key: value for key, value in EVENT.items() if key != "data"}, "application/cloudevents+json", "no `data`"),
    ],
)
def test_what_cannot_be_a_record_is_told_in_a_sentence(body: Any, kind: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        post(body, kind)
