"""The `outputs:` part of the file: where results go."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from penstock.operators.setting import Settings, Text

_TOPIC_PATTERN = r"[A-Za-z0-9._-]{1,249}"
_TOPIC = re.compile(_TOPIC_PATTERN)


def checked_topic(text: str) -> str:
    """The text, if Kafka takes it as the name of a topic. Raises ValueError."""
    if not _TOPIC.fullmatch(text) or text in (".", ".."):
        raise ValueError(f"{text!r} is not a topic's name; Kafka takes letters, digits, `.`, `_` and `-`, at most 249")
    return text


TopicName = Annotated[
    Text, AfterValidator(checked_topic), WithJsonSchema({"type": "string", "pattern": f"^{_TOPIC_PATTERN}$"}),
]  # fmt: skip


class PartialsOutput(Settings):
    """Where the revisions of unfinished runs go."""

    topic: TopicName | None = Field(
        default=None, description="Committed partials; default: {namespace}.{name}.partials."
    )
    preview: TopicName | None = Field(
        default=None, description="Uncommitted tokens for screens; default: {namespace}.{name}.previews."
    )


class DeadOutput(Settings):
    """Where records go that cannot be used."""

    topic: TopicName | None = Field(default=None, description="Default: {namespace}.{name}.dead.")


class OutputSettings(Settings):
    """Topics for what comes out. What is not named is called {namespace}.{name}.<what>."""

    results: TopicName | None = Field(default=None, description="Outcomes only.", examples=["ssh-results"])
    partials: TopicName | PartialsOutput | None = Field(
        default=None, description="The whole revision stream.", examples=["ssh-partials"]
    )
    dead: TopicName | DeadOutput | None = Field(
        default=None, description="Records that cannot be used.", examples=["ssh-dead"]
    )


class OutputTopics(Settings):
    """The names as they are used, defaults filled in."""

    results: str
    partials: str
    previews: str
    dead: str


def output_topics(settings: OutputSettings, prefix: str) -> OutputTopics:
    """`prefix` is `{namespace}.{name}`."""
    partials = settings.partials
    if not isinstance(partials, PartialsOutput):
        partials = PartialsOutput(topic=partials)
    dead = settings.dead.topic if isinstance(settings.dead, DeadOutput) else settings.dead
    return OutputTopics(
        results=settings.results or f"{prefix}.results",
        partials=partials.topic or f"{prefix}.partials",
        previews=partials.preview or f"{prefix}.previews",
        dead=dead or f"{prefix}.dead",
    )
