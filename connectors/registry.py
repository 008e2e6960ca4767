"""The client of a schema registry: Confluent's protocol, which Redpanda and others speak, too, over aiohttp.

    GET /schemas/ids/7                             {"schema": "…", "schemaType": "AVRO", "references": [{name, subject, version}]}
    GET /subjects/common/versions/2?deleted=true   the same, for each reference, and for theirs
    …?format=serialized                            for protobuf: a FileDescriptorProto as base64 instead of .proto text

One attempt per call: whether to try again is the caller's decision. A 404 means that there is no such schema only where the
registry says so in its own words: a wrong address answers 404, too, and must not turn a topic into dead letters.
aiohttp is imported at the first call: it takes 0.4 s, and most commands never need it.
"""

from __future__ import annotations

import ssl
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from penstock.connectors.registry_settings import RegistrySettings
from penstock.connectors.tls import tls_context
from penstock.operators.error import Unanswered, Unreachable
from penstock.operators.record import DeadLetter
from penstock.operators.schemas import Kind, Schema, unknown_schema

if TYPE_CHECKING:
    import aiohttp

_ANSWER_BYTES_MAX = 8 << 20
_SAID_CHARACTERS_MAX = 200
_NO_SCHEMA = 40403
_NO_SUBJECT_OR_VERSION = frozenset({40401, 40402})
_REFERENCES_MAX = 1000
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
_REMEDIES = {401: "check `username` and `password`", 403: "check what this user may read", 404: "check `url`"}


class _Reference(msgspec.Struct):
    name: str
    subject: str
    version: int


class _Answer(msgspec.Struct, rename="camel"):
    schema: str
    schema_type: str = "AVRO"
    references: list[_Reference] | None = None


class _Refusal(msgspec.Struct):
    error_code: int = 0
    message: str = ""


class _Absent(Exception):
    """The registry knows its subjects, and this is none of them."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class HttpRegistry:
    """One registry. Keeps the promises of `port.Registry`."""

    def __init__(self, settings: RegistrySettings) -> None:
        """Nothing is opened yet. Raises Unreachable for certificates that are none."""
        self.address = settings.url.rstrip("/")
        self._settings = settings
        self._tls: ssl.SSLContext | None = None
        if settings.ca is not None or settings.cert is not None:
            self._tls = tls_context(settings, "kafka.registry")
        self._opened: aiohttp.ClientSession | None = None

    async def schema(self, number: int, kind: Kind) -> Schema | DeadLetter:
        """Raises Unreachable, and Unanswered where nobody answers."""
        try:
            answer = await self._get(f"/schemas/ids/{number}", kind)
        except _Absent as absent:
            if absent.code == _NO_SCHEMA:
                return unknown_schema(number)
            raise self._unreachable(f"answered {absent.code} for schema {number}", "check `url`") from None
        references: dict[str, bytes] = {}
        try:
            await self._follow(answer, kind, references)
        except _Absent:
            return DeadLetter("schema", f"schema {number} refers to another that the registry does not have any more")
        return Schema(answer.schema_type, self._content(answer, kind), references)

    async def probe(self) -> str:
        """What it says of itself. Raises as `schema` does."""
        kinds = await self._body("/schemas/types", {})
        return f"fine; {', '.join(sorted(msgspec.json.decode(kinds, type=list[str])))}"

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def _follow(self, answer: _Answer, kind: Kind, found: dict[str, bytes]) -> None:
        """Whatever a reference needs itself comes before it."""
        for each in answer.references or ():
            if each.name in found:
                continue
            if len(found) >= _REFERENCES_MAX:
                raise self._unreachable(f"has a schema with more than {_REFERENCES_MAX} references", "")
            path = f"/subjects/{quote(each.subject, safe='')}/versions/{each.version}"
            referred = await self._get(path, kind, deleted="true")
            found[each.name] = b""  # so that a circle ends
            await self._follow(referred, kind, found)
            del found[each.name]  # to stand behind them
            found[each.name] = self._content(referred, kind)

    def _content(self, answer: _Answer, kind: Kind) -> bytes:
        if kind != "PROTOBUF" or answer.schema_type != kind:
            return answer.schema.encode()
        try:
            return b64decode(answer.schema, validate=True)
        except ValueError:
            raise self._unreachable(
                "sends protobuf schemas as text although `format=serialized` was asked for",
                "use a registry that knows this, or name a descriptor: {protobuf: {descriptor: FILE, message: NAME}}",
            ) from None

    async def _get(self, path: str, kind: Kind, **parameters: str) -> _Answer:
        serialized = {"format": "serialized"} if kind == "PROTOBUF" else {}
        body = await self._body(path, {**parameters, **serialized})
        try:
            return msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._unreachable("answered something else than a schema", "check `url`") from None

    async def _body(self, path: str, parameters: dict[str, str]) -> bytes:
        import aiohttp

        session = self._session()
        try:
            async with session.get(f"{self.address}{path}", params=parameters, allow_redirects=False) as response:
                body = await response.content.read(_ANSWER_BYTES_MAX + 1)
                while len(body) <= _ANSWER_BYTES_MAX and (more := await response.content.read(_ANSWER_BYTES_MAX)):
                    body += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unanswered(f"does not answer: {said}", where=self._where, remedy="is it running?") from error
        if response.status == 200 and len(body) <= _ANSWER_BYTES_MAX:
            return body
        raise self._refused(response.status, body)

    def _refused(self, status: int, body: bytes) -> Exception:
        try:
            refusal = msgspec.json.decode(body, type=_Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            refusal = _Refusal()
        if status == 404 and refusal.error_code in (_NO_SCHEMA, *_NO_SUBJECT_OR_VERSION):
            return _Absent(refusal.error_code)
        said = f": {refusal.message[:_SAID_CHARACTERS_MAX]}" if refusal.message else ""
        return self._unreachable(f"answered with status {status}{said}", _REMEDIES.get(status, ""))

    def _unreachable(self, what: str, remedy: str) -> Unreachable:
        return Unreachable(what, where=self._where, remedy=remedy)

    @property
    def _where(self) -> str:
        return f"schema registry {self.address}"

    def _session(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                headers={"Accept": _ACCEPT, **_login(self._settings)},
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout / 1000),
                connector=aiohttp.TCPConnector(ssl=self._tls or True),
            )
        return self._opened


def _login(settings: RegistrySettings) -> dict[str, str]:
    """Basic authentication (RFC 7617) as a header."""
    if settings.username is None or settings.password is None:
        return {}
    both = f"{settings.username}:{settings.password.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(both.encode()).decode()}"}
