"""The `kafka:` and `outputs:` parts of the file: which cluster, and where results go."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StrictBool, WithJsonSchema, model_validator

from penstock.operators.setting import Duration, Settings, Text

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


class TlsSettings(Settings):
    """Files in PEM format. Relative paths are relative to the working directory of the process."""

    ca: Text | None = Field(
        default=None, description="Certificates that the brokers' must lead to; default: the system's."
    )
    cert: Text | None = Field(default=None, description="Our certificate, where brokers ask for one.")
    key: Text | None = Field(default=None, description="Its private key.")

    @model_validator(mode="after")
    def _pair(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("`cert` and `key` go together; give both or none")
        return self


class SaslSettings(Settings):
    """Who we are, to the brokers."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(description="As the brokers are set up.")
    username: Text = Field(description="The principal's name.")
    password: SecretStr = Field(description="Best from a file.", examples=["${file:/run/secrets/kafka}"])


class KafkaSettings(Settings):
    """The cluster that holds the topics. Not looked at where the pipeline runs on the embedded broker."""

    bootstrap: Text = Field(
        default="localhost:9092",
        min_length=1,
        description="Brokers to begin with, host:port, separated by commas.",
        examples=["${KAFKA_BOOTSTRAP:-localhost:9092}"],
    )
    tls: StrictBool | TlsSettings = Field(default=False, description="true, or the files to use.")
    sasl: SaslSettings | None = Field(default=None, description="Credentials, where the brokers ask for them.")
    session_timeout: Duration = Field(
        default=10_000, ge=1_000, description="A process that is silent for so long loses its partitions."
    )
    transaction_timeout: Duration = Field(
        default=15_000, ge=1_000, description="A transaction that is open for so long is aborted by the broker."
    )
    create_topics: StrictBool = Field(
        default=True, description="Create missing internal and output topics with the right settings; sources never."
    )
    client: Literal["aiokafka"] = Field(default="aiokafka", description="The library that talks to the brokers.")


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
