"""`sources.*.input`: what is brought into the source's topic by Penstock itself, where the topic lies in the embedded broker.

An input is a producer: it writes records, and everything behind them is as it is for a topic that somebody else fills.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, SecretStr, Tag, model_validator

from penstock.operators.setting import Settings, Size, Text, TextOrTexts
from penstock.operators.tls import TlsSettings

KINDS = ("file", "stdin", "http", "sse")
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):(?P<port>[0-9]{1,5})")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s#@]*|\?[^\s#@]*)?")


def _listen(text: str) -> str:
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65_535:
        raise ValueError(f"{text!r} is not an address to listen at; write host:port, such as 127.0.0.1:8080")
    return text


def _url(text: str) -> str:
    if not _URL.fullmatch(text):
        raise ValueError("write it as https://host/path, without credentials; a token is written under `headers`")
    return text


def is_loopback(listen: str) -> bool:
    """Whether only processes of this machine reach what listens at `host:port`."""
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class FileInput(Settings):
    """Files to follow."""

    path: TextOrTexts = Field(
        description="A path or a pattern (`*`, `?`, `[…]`, `**`), or a list of them; relative to where Penstock was started.",
        examples=["/var/log/auth.log"],
    )
    read_from: Literal["beginning", "end"] = Field(
        default="beginning",
        description="Where to begin in files that are there when this input runs for the first time; later ones are read whole.",
    )


class HttpInput(Settings):
    """An address that takes records by POST."""

    listen: Annotated[Text, AfterValidator(_listen)] = Field(
        description="host:port; sources may share one. Reachable from other machines only if you say so.",
        examples=["127.0.0.1:8080"],
    )
    path: Annotated[Text, Field(pattern=r"^/[A-Za-z0-9._~/-]*$")] = Field(
        default="/", description="The path of this source.", examples=["/auth"]
    )
    token: SecretStr | None = Field(
        default=None, description="What senders must show as bearer token.", examples=["${file:/run/secrets/token}"]
    )
    body_max: Size = Field(default=8 << 20, ge=1, le=64 << 20, description="A larger body is refused with 413.")


class SseInput(Settings):
    """A stream of server-sent events to subscribe to."""

    url: Annotated[Text, AfterValidator(_url)] = Field(
        description="Where it is.", examples=["https://example.com/events"]
    )
    headers: dict[str, SecretStr] = Field(
        default={}, description="Of the request.", examples=[{"Authorization": "Bearer ${TOKEN}"}]
    )
    tls: TlsSettings = Field(default=TlsSettings(), description="For `https` with certificates of your own.")


def _paths_or_map(value: Any) -> str:
    return "<map>" if isinstance(value, dict | FileInput) else "<paths>"


class InputSettings(Settings):
    """Exactly one of: files to follow, standard input, HTTP, server-sent events."""

    file: (
        Annotated[
            Annotated[TextOrTexts, Tag("<paths>")] | Annotated[FileInput, Tag("<map>")], Discriminator(_paths_or_map)
        ]
        | None
    ) = Field(default=None, description="Follow files, as `tail -F` does.", examples=["/var/log/auth.log"])
    stdin: Literal[True] | None = Field(default=None, description="The lines of standard input.")
    http: HttpInput | None = Field(default=None, description="Take records by POST.")
    sse: SseInput | None = Field(default=None, description="Subscribe to server-sent events.")

    @model_validator(mode="after")
    def _exactly_one(self) -> InputSettings:
        named = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            raise ValueError(f"expected exactly one of {', '.join(KINDS)}, found {' and '.join(named) or 'none'}")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def followed(self) -> FileInput | None:
        """The files to follow, however they are written."""
        return self.file if self.file is None or isinstance(self.file, FileInput) else FileInput(path=self.file)
