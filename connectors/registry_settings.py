"""How to reach a schema registry: `kafka.registry`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, SecretStr, Tag, model_validator

from penstock.operators.model import checked_address
from penstock.operators.setting import Duration, Text
from penstock.operators.tls import TlsSettings


def _address(text: str) -> str:
    try:
        return checked_address(text)
    except ValueError:
        raise ValueError(
            "write it as http://host:port; who we are is written as `username` and `password`, not in the address"
        ) from None


Address = Annotated[
    Text, AfterValidator(_address), Field(json_schema_extra={"pattern": r"^https?://[^/\s]+"}),
]  # fmt: skip


class RegistrySettings(TlsSettings):
    """A registry that speaks as Confluent's does. PEM files are relative to the working directory of the process."""

    url: Address = Field(description="Its address.", examples=["http://localhost:8081"])
    username: Text | None = Field(default=None, description="For basic authentication: the name, or the API key.")
    password: SecretStr | None = Field(
        default=None, description="The password, or the API secret.", examples=["${file:/run/secrets/registry}"]
    )
    timeout: Duration = Field(default=10_000, gt=0, description="How long one answer may take.")

    @model_validator(mode="after")
    def _who(self) -> RegistrySettings:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` go together; give both or none")
        return self


def _text_or_map(value: Any) -> str | None:
    return "<text>" if isinstance(value, str) else "<map>" if isinstance(value, dict | RegistrySettings) else None


RegistryChoice = Annotated[
    Annotated[Address, Tag("<text>")] | Annotated[RegistrySettings, Tag("<map>")],
    Discriminator(
        _text_or_map, custom_error_type="registry", custom_error_message="expected an address or a map with `url`"
    ),
]
"""Only its address, or everything."""


def registry_settings(choice: str | RegistrySettings) -> RegistrySettings:
    return RegistrySettings(url=choice) if isinstance(choice, str) else choice
