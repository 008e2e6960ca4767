"""How to reach a Kafka cluster: the `kafka:` part of a pipeline's file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, StrictBool, model_validator

from penstock.operators.setting import Duration, Settings, Text


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

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        description="As the brokers are set up."
    )
    username: Text = Field(description="The principal's name; for OAUTHBEARER the client's id.")
    password: SecretStr = Field(
        description="Best from a file; for OAUTHBEARER the client's secret.", examples=["${file:/run/secrets/kafka}"]
    )
    token_url: Text | None = Field(
        default=None,
        description="OAUTHBEARER: where tokens are given for client credentials (RFC 6749, section 4.4).",
        examples=["https://id.example.com/oauth2/token"],
    )
    scope: Text | None = Field(
        default=None, description="OAUTHBEARER: the scope to ask for, where the server wants one."
    )

    @model_validator(mode="after")
    def _token(self) -> SaslSettings:
        if (self.mechanism == "OAUTHBEARER") != (self.token_url is not None):
            raise ValueError("`token_url` belongs to OAUTHBEARER, which cannot do without it")
        if self.scope is not None and self.token_url is None:
            raise ValueError("`scope` belongs to OAUTHBEARER")
        return self


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
