"""How to reach a Kafka cluster: the `kafka:` part of a pipeline's file."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, SecretStr, StrictBool, Tag

from penstock.connectors.registry_settings import RegistryChoice
from penstock.operators.setting import Duration, Settings, Text
from penstock.operators.tls import TlsSettings


class PasswordSettings(Settings):
    """Who we are, by name and password."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(description="As the brokers are set up.")
    username: Text = Field(description="The principal's name.")
    password: SecretStr = Field(description="Best from a file.", examples=["${file:/run/secrets/kafka}"])


class OAuthSettings(Settings):
    """Who we are, by tokens for client credentials (RFC 6749, section 4.4)."""

    mechanism: Literal["OAUTHBEARER"] = Field(description="As the brokers are set up.")
    token_url: Text = Field(description="Where tokens are given.", examples=["https://id.example.com/oauth2/token"])
    client_id: Text = Field(description="Our name there.")
    client_secret: SecretStr = Field(description="Best from a file.", examples=["${file:/run/secrets/oauth}"])
    scope: Text | None = Field(default=None, description="The scope to ask for, where the server wants one.")


def _mechanism(value: Any) -> str:
    named = value.get("mechanism") if isinstance(value, dict) else getattr(value, "mechanism", None)
    return "<oauth>" if named == "OAUTHBEARER" else "<password>"


SaslSettings = PasswordSettings | OAuthSettings
AnySasl = Annotated[
    Annotated[PasswordSettings, Tag("<password>")] | Annotated[OAuthSettings, Tag("<oauth>")], Discriminator(_mechanism)
]


_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")


def _brokers(text: str) -> str:
    for address in text.split(","):
        match = _BROKER.fullmatch(address.strip())
        if match is None or not 0 < int(match["port"] or 9092) < 65_536:
            raise ValueError(f"{address.strip()!r} is not a broker's address; write host:port, several with commas")
    return text


class KafkaSettings(Settings):
    """The cluster that holds the topics. Of this, the embedded broker looks at `session_timeout` only."""

    bootstrap: Annotated[Text, AfterValidator(_brokers)] = Field(
        default="localhost:9092",
        min_length=1,
        description="Brokers to begin with, host:port, separated by commas.",
        examples=["${KAFKA_BOOTSTRAP:-localhost:9092}"],
    )
    tls: StrictBool | TlsSettings = Field(default=False, description="true, or the files to use.")
    sasl: AnySasl | None = Field(default=None, description="Credentials, where the brokers ask for them.")
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
    registry: RegistryChoice | None = Field(
        default=None,
        description="The schema registry of sources with `format: avro` or `protobuf`.",
        examples=["${SCHEMA_REGISTRY_URL:-http://localhost:8081}"],
    )
