"""The `outputs:` part of the file: where results go."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from penstock.operators.setting import Duration, ResultCondition, Settings, Text

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


class LatestOutput(Settings):
    """Where the newest result of every case stands while it is the case."""

    topic: TopicName = Field(description="Compacted; one record per trigger and key.", examples=["ssh-open"])
    keep: Duration = Field(
        default=0,
        description="How long (event time) the last record stays after its episode ended, or after the firing where "
        "there is no episode; then it is deleted. 0s: only what is open is there.",
        examples=["24h"],
    )


class RouteSettings(Settings):
    """Results that are written to one more topic."""

    topic: TopicName = Field(description="A name, never made of data.", examples=["secops-pages"])
    where: ResultCondition = Field(
        description="Which results; it sees the fields of the record, and what is unknown is not routed.",
        examples=['labels.severity == "critical" && state in ["final", "resolved"]'],
    )


class OutputSettings(Settings):
    """Topics for what comes out. What is not named is called {namespace}.{name}.<what>."""

    results: TopicName | None = Field(default=None, description="Outcomes only.", examples=["ssh-results"])
    partials: TopicName | PartialsOutput | None = Field(
        default=None, description="The whole revision stream.", examples=["ssh-partials"]
    )
    dead: TopicName | DeadOutput | None = Field(
        default=None, description="Records that cannot be used.", examples=["ssh-dead"]
    )
    latest: TopicName | LatestOutput | None = Field(
        default=None,
        description="A compacted topic of what is the case now; none unless it is named.",
        examples=[{"topic": "ssh-open", "keep": "24h"}],
    )
    routes: list[RouteSettings] = Field(
        default=[],
        description="Results that go to further topics, too: once per topic, in the same transaction.",
        examples=[[{"topic": "secops-pages", "where": 'labels.severity == "critical"'}]],
    )


class OutputTopics(Settings):
    """The names as they are used, defaults filled in."""

    results: str
    partials: str
    previews: str
    dead: str
    latest: str | None
    routes: tuple[str, ...]

    @property
    def written(self) -> frozenset[str]:
        """All that commits write to."""
        latest = () if self.latest is None else (self.latest,)
        return frozenset({self.results, self.partials, self.dead, *latest, *self.routes})


def output_topics(settings: OutputSettings, prefix: str) -> OutputTopics:
    """`prefix` is `{namespace}.{name}`."""
    partials = settings.partials
    if not isinstance(partials, PartialsOutput):
        partials = PartialsOutput(topic=partials)
    dead = settings.dead.topic if isinstance(settings.dead, DeadOutput) else settings.dead
    latest = latest_output(settings)
    return OutputTopics(
        results=settings.results or f"{prefix}.results",
        partials=partials.topic or f"{prefix}.partials",
        previews=partials.preview or f"{prefix}.previews",
        dead=dead or f"{prefix}.dead",
        latest=None if latest is None else latest.topic,
        routes=tuple(dict.fromkeys(route.topic for route in settings.routes)),
    )


def latest_output(settings: OutputSettings) -> LatestOutput | None:
    """However it is written."""
    named = settings.latest
    return LatestOutput(topic=named) if isinstance(named, str) else named
