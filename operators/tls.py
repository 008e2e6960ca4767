"""Certificates for a connection: part of `kafka:` and of every entry of `models:`."""

from __future__ import annotations

from pydantic import Field, model_validator

from penstock.operators.setting import Settings, Text


class TlsSettings(Settings):
    """Files in PEM format. Relative paths are relative to the working directory of the process."""

    ca: Text | None = Field(
        default=None, description="Certificates that the other side's must lead to; default: the system's."
    )
    cert: Text | None = Field(default=None, description="Our certificate, where the other side asks for one.")
    key: Text | None = Field(default=None, description="Its private key.")

    @model_validator(mode="after")
    def _pair(self) -> TlsSettings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("`cert` and `key` go together; give both or none")
        return self
