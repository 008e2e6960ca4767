"""A schema registry for tests, on 127.0.0.1: the part of Confluent's HTTP protocol that readers use, by its documentation.

It is no real registry: none can be had here. It keeps schemas by id and by subject and version, asks for basic authentication
if told so, and can be told to fail.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

CONTENT = "application/vnd.schemaregistry.v1+json"


class Registered:
    """One version of one subject."""

    def __init__(self, kind: str, schema: str, serialized: bytes, references: list[dict[str, Any]]) -> None:
        self.kind, self.schema, self.serialized, self.references = kind, schema, serialized, references


class RegistryServer:
    """What it holds and how it behaves; `asked` are the paths with their queries, in order."""

    def __init__(self) -> None:
        self.address = ""
        self.by_id: dict[int, Registered] = {}
        self.by_version: dict[tuple[str, int], Registered] = {}
        self.asked: list[str] = []
        self.login: tuple[str, str] | None = None
        self.answer: web.Response | None = None
        """Given instead of every answer."""
        self.knows_serialized = True

    def put(
        self, number: int, schema: str, *references: tuple[str, str, int], kind: str = "AVRO", serialized: bytes = b""
    ) -> None:
        self.by_id[number] = Registered(kind, schema, serialized, _named(references))

    def put_version(
        self, subject: str, version: int, schema: str, *references: tuple[str, str, int], serialized: bytes = b""
    ) -> None:
        self.by_version[subject, version] = Registered("AVRO", schema, serialized, _named(references))

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(str(request.rel_url))
        if self.answer is not None:
            return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)
        given = request.headers.get("Authorization")
        if self.login is not None and given != f"Basic {b64encode(':'.join(self.login).encode()).decode()}":
            return _refusal(401, 40101, "Unauthorized")
        match request.path.strip("/").split("/"):
            case ["schemas", "types"]:
                return web.json_response(["JSON", "PROTOBUF", "AVRO"])
            case ["schemas", "ids", number]:
                found = self.by_id.get(int(number))
                return self._answer(found, request) if found else _refusal(404, 40403, "Schema not found")
            case ["subjects", subject, "versions", version]:
                found = self.by_version.get((subject, int(version)))
                return (
                    self._answer(found, request) if found else _refusal(404, 40401, f"Subject '{subject}' not found.")
                )
        return web.Response(status=404, text="<html>no such page</html>", content_type="text/html")

    def _answer(self, found: Registered, request: web.Request) -> web.Response:
        body: dict[str, Any] = {"schema": found.schema}
        if self.knows_serialized and request.query.get("format") == "serialized":
            body["schema"] = b64encode(found.serialized).decode()
        if found.kind != "AVRO":  # as the real one, which leaves its default out
            body["schemaType"] = found.kind
        if found.references:
            body["references"] = found.references
        return web.json_response(body, content_type=CONTENT)


def _named(references: tuple[tuple[str, str, int], ...]) -> list[dict[str, Any]]:
    return [{"name": name, "subject": subject, "version": version} for name, subject, version in references]


def _refusal(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"error_code": code, "message": message}, status=status, content_type=CONTENT)


@asynccontextmanager
async def registry_server() -> AsyncIterator[RegistryServer]:
    server = RegistryServer()
    pages = web.Application()
    pages.router.add_get("/{path:.*}", server.handle)
    runner = web.AppRunner(pages, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
