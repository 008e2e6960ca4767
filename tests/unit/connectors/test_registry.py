from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError
from tests.binary_records import PRESS
from tests.schema_registry import RegistryServer, registry_server

from penstock.connectors.kafka_settings import KafkaSettings
from penstock.connectors.registry import HttpRegistry
from penstock.connectors.registry_settings import RegistrySettings, registry_settings
from penstock.operators.error import Unanswered, Unreachable
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import Schema, unknown_schema


@pytest.fixture
async def server() -> AsyncIterator[RegistryServer]:
    async with registry_server() as server:
        yield server


@pytest.fixture
async def registry(server: RegistryServer) -> AsyncIterator[HttpRegistry]:
    registry = client(server.address)
    yield registry
    await registry.close()


def client(url: str, **more: Any) -> HttpRegistry:
    return HttpRegistry(RegistrySettings.model_validate({"url": url, "timeout": "2s", **more}))


async def test_a_schema_is_asked_for_by_its_id(server: RegistryServer, registry: HttpRegistry) -> None:
    server.put(7, '"string"')
    assert await registry.schema(7, "AVRO") == Schema("AVRO", b'"string"', {})
    assert server.asked == ["/schemas/ids/7"]


async def test_an_address_may_have_a_path_and_a_slash_at_its_end(server: RegistryServer) -> None:
    registry = client(f"{server.address}/")
    server.put(7, '"string"')
    await registry.schema(7, "AVRO")
    await registry.close()
    assert server.asked == ["/schemas/ids/7"]


async def test_a_reference_comes_behind_those_that_it_needs_itself(
    server: RegistryServer, registry: HttpRegistry
) -> None:
    server.put(7, "main", ("Line", "lines", 2), ("Host", "hosts", 1))
    server.put_version("lines", 2, "line", ("Host", "hosts", 1))
    server.put_version("hosts", 1, "host")
    schema = await registry.schema(7, "AVRO")
    assert isinstance(schema, Schema)
    assert list(schema.references.items()) == [("Host", b"host"), ("Line", b"line")]
    assert server.asked[1:] == ["/subjects/lines/versions/2?deleted=true", "/subjects/hosts/versions/1?deleted=true"]


async def test_references_in_a_circle_come_to_an_end(server: RegistryServer, registry: HttpRegistry) -> None:
    server.put(7, "main", ("A", "a", 1))
    server.put_version("a", 1, "a", ("B", "b", 1))
    server.put_version("b", 1, "b", ("A", "a", 1))
    schema = await registry.schema(7, "AVRO")
    assert isinstance(schema, Schema)
    assert set(schema.references) == {"A", "B"}


async def test_a_subject_may_have_any_characters(server: RegistryServer, registry: HttpRegistry) -> None:
    server.put(7, "main", ("A", "a.b ä-value", 1))
    server.put_version("a.b ä-value", 1, "a")
    assert isinstance(await registry.schema(7, "AVRO"), Schema)


async def test_protobuf_comes_as_a_descriptor(server: RegistryServer, registry: HttpRegistry) -> None:
    content = PRESS.SerializeToString()
    server.put(3, 'syntax = "proto3";', kind="PROTOBUF", serialized=content)
    assert await registry.schema(3, "PROTOBUF") == Schema("PROTOBUF", content, {})
    assert server.asked == ["/schemas/ids/3?format=serialized"]


async def test_a_registry_that_gives_no_descriptors_is_of_no_use_for_protobuf(
    server: RegistryServer, registry: HttpRegistry
) -> None:
    server.knows_serialized = False
    server.put(3, 'syntax = "proto3";', kind="PROTOBUF")
    with pytest.raises(Unreachable, match="name a descriptor"):
        await registry.schema(3, "PROTOBUF")


async def test_a_schema_that_it_does_not_have_is_unknown(registry: HttpRegistry) -> None:
    assert await registry.schema(9, "AVRO") == unknown_schema(9)


async def test_a_reference_that_it_does_not_have_makes_the_schema_unusable(
    server: RegistryServer, registry: HttpRegistry
) -> None:
    server.put(7, "main", ("A", "gone", 1))
    letter = await registry.schema(7, "AVRO")
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "schema"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (web.Response(status=404, text="<html/>"), "status 404 .*check `url`"),
        (web.json_response({"error_code": 404, "message": "HTTP 404 Not Found"}, status=404), "HTTP 404 Not Found"),
        (web.json_response({"error_code": 40401, "message": "no subject"}, status=404), "answered 40401"),
        (web.Response(status=500, text="oops"), "status 500"),
        (web.json_response({"error_code": 50001, "message": "store is down"}, status=500), "store is down"),
        (web.Response(status=403), "status 403 .*may read"),
        (web.Response(status=302, headers={"Location": "http://elsewhere"}), "status 302"),
        (web.Response(text="<html/>"), "something else than a schema"),
        (web.json_response({"schema": 7}), "something else than a schema"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_that_does_not_say_whether_there_is_a_schema_is_none(
    server: RegistryServer, registry: HttpRegistry, answer: web.Response, why: str
) -> None:
    server.answer = answer
    with pytest.raises(Unreachable, match=why):
        await registry.schema(7, "AVRO")


async def test_nobody_there_is_told_as_such() -> None:
    registry = client("http://127.0.0.1:9")
    with pytest.raises(Unanswered, match=r"schema registry http://127.0.0.1:9: does not answer"):
        await registry.schema(7, "AVRO")
    await registry.close()


async def test_who_we_are_is_said_by_basic_authentication(server: RegistryServer) -> None:
    server.login = ("me", "säcret:x")
    server.put(7, '"string"')
    wrong = client(server.address, username="me", password="other")
    right = client(server.address, username="me", password="säcret:x")
    with pytest.raises(Unreachable, match="check `username` and `password`"):
        await wrong.schema(7, "AVRO")
    assert isinstance(await right.schema(7, "AVRO"), Schema)
    assert await right.probe() == "fine; AVRO, JSON, PROTOBUF"
    await wrong.close()
    await right.close()


def test_certificates_that_are_none_are_told_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"kafka\.registry"):
        client("https://127.0.0.1", ca=str(tmp_path / "missing.pem"))


@pytest.mark.parametrize(
    ("registry", "why"),
    [
        ("registry:8081", "http://host:port"),
        ("http://me:secret@registry:8081", "`username` and `password`"),
        ({"url": "http://registry", "username": "me"}, "go together"),
        ({"url": "http://registry", "timeout": "0s"}, "greater than 0"),
        ({"url": "http://registry", "cert": "a.pem"}, "go together"),
        (7, "expected an address or a map"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(registry: Any, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        KafkaSettings.model_validate({"registry": registry})
    assert "secret" not in caught.value.errors()[0]["msg"]


def test_an_address_alone_is_enough() -> None:
    settings = KafkaSettings.model_validate({"registry": "http://registry:8081"})
    assert settings.registry is not None
    assert registry_settings(settings.registry) == RegistrySettings(url="http://registry:8081")
