"""A model of the file: where it is served, how it is asked, what it costs."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from penstock.operators.event import Usage
from penstock.operators.setting import Settings, Text
from penstock.operators.tls import TlsSettings

CHAT, EMBEDDING = "chat", "embedding"
RESERVED_PARAMETERS = frozenset({
    "add_generation_prompt", "cache_salt", "continue_final_message", "echo", "encoding_format", "input", "messages",
    "model", "n", "priority", "response_format", "stream", "stream_options",
})  # fmt: skip
"""Penstock sets these itself, from other parts of the file."""
TOKENS_MAX = 1024
"""What bounds an answer where the file does not."""
TOKENS_PER_PRICE = 1_000_000
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/:?#@\[\]]+)(:(?P<port>[0-9]{1,5}))?(/[^\s?#]*)?", re.ASCII
)


def checked_address(text: str) -> str:
    """A server's address that every client can take. Raises ValueError, without what may be a password in the text."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 80) < 65_536:
        raise ValueError(
            "write it as http://host:port/v1, without credentials and query; a key is written as `api_key`"
        )
    return text


Address = Annotated[Text, AfterValidator(checked_address)]


class PriceSettings(Settings):
    """Money per million tokens. No price at all means unknown, not free."""

    input: Decimal = Field(ge=0, allow_inf_nan=False, description="Prompt tokens that the server had to compute.")
    cached: Decimal | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Prompt tokens from its prefix cache; default: as `input`."
    )
    output: Decimal = Field(ge=0, allow_inf_nan=False, description="Generated tokens.")

    def cost(self, usage: Usage) -> Decimal:
        """Exact price of one call."""
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        cached_price = self.input if self.cached is None else self.cached
        computed = self.input * (usage.input_tokens - cached) + cached_price * cached
        return (computed + self.output * usage.output_tokens) / TOKENS_PER_PRICE


class ModelSettings(Settings):
    """An OpenAI-compatible endpoint."""

    base_url: Address = Field(
        json_schema_extra={"pattern": r"^https?://[^/\s]+"},
        description="Up to and including `/v1`.",
        examples=["http://localhost:8000/v1"],
    )
    model: Text = Field(min_length=1, description="The name that the server knows it by.", examples=["Qwen/Qwen3-4B"])
    kind: Literal["chat", "embedding"] = Field(
        default="chat",
        description="`embedding`: it tells how near texts are to each other, for `semantic` with `unlike`; no agent can ask it.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Sent as bearer token.", examples=["${file:/run/secrets/key}"]
    )
    location: Literal["local", "cloud"] = Field(
        default="cloud", description="`local`: data that may not leave the house may go there."
    )
    concurrency: int = Field(default=64, ge=1, description="Calls in flight at once, per process.")
    request: dict[str, Any] = Field(
        default={},
        description="Parameters of every request, passed on as they are; null leaves a default out.",
        examples=[{"temperature": 0, "max_tokens": 400}],
    )
    continues: bool | None = Field(
        default=None,
        description="Whether the server goes on with a text that it is given (`continue_final_message`), so that a restart of "
        "Penstock does not ask anew. Default: where it says that it is vLLM.",
    )
    price: PriceSettings | None = Field(default=None, description="Per million tokens; without it cost is unknown.")
    tls: TlsSettings = Field(default=TlsSettings(), description="For `https` with certificates of your own.")

    @field_validator("request")
    @classmethod
    def _free(cls, request: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(RESERVED_PARAMETERS & request.keys())
        if taken:
            raise ValueError(f"{', '.join(taken)}: set by Penstock itself; leave it out of `request`")
        return request

    @model_validator(mode="after")
    def _protected(self) -> ModelSettings:
        address = _ADDRESS.match(self.base_url)
        assert address is not None, "the field was checked"
        plain = address["scheme"] == "http" and not _is_loopback(address["host"].strip("[]"))
        if plain and self.location == "cloud":
            raise ValueError(
                f"base_url {self.base_url} is not encrypted but `location` is cloud; "
                "use https, or write `location: local` if the server is in your own network"
            )
        return self


def request_parameters(settings: ModelSettings, tokens_max: int | None) -> dict[str, Any]:
    """What every request carries: `request:` over temperature 0, and a bound on the answer that always stands there.

    `tokens_max` is the agent's own bound; of two the lower one counts.
    """
    parameters = {"temperature": 0, **settings.request}
    bound = "max_completion_tokens" if parameters.get("max_completion_tokens") else "max_tokens"
    parameters[bound] = min(
        (limit for limit in (parameters.get(bound), tokens_max) if isinstance(limit, int)), default=TOKENS_MAX
    )
    return {name: value for name, value in parameters.items() if value is not None}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
