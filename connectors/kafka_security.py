"""TLS and SASL, in the arguments that every client of aiokafka takes."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote_plus

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from penstock.connectors.kafka_settings import KafkaSettings, OAuthSettings, SaslSettings
from penstock.connectors.tls import tls_context
from penstock.operators.tls import TlsSettings

TOKEN_SECONDS = 10.0


def security(settings: KafkaSettings) -> dict[str, Any]:
    """aiokafka's arguments for TLS and SASL. Raises Unreachable for certificate files that cannot be read."""
    layers = ("SASL_" if settings.sasl else "") + ("SSL" if settings.tls else "PLAINTEXT")
    arguments: dict[str, Any] = {"security_protocol": layers}
    if settings.tls:
        tls = settings.tls if isinstance(settings.tls, TlsSettings) else TlsSettings()
        arguments["ssl_context"] = tls_context(tls, "kafka.tls")
    if settings.sasl:
        arguments |= _sasl(settings.sasl)
    return arguments


def _sasl(sasl: SaslSettings) -> dict[str, Any]:
    if isinstance(sasl, OAuthSettings):
        return {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": ClientCredentials(sasl)}
    return {
        "sasl_mechanism": sasl.mechanism,
        "sasl_plain_username": sasl.username,
        "sasl_plain_password": sasl.password.get_secret_value(),
    }


class ClientCredentials(AbstractTokenProvider):
    """Asks an OAuth server for a token each time a connection is made (RFC 6749, section 4.4)."""

    def __init__(self, sasl: OAuthSettings) -> None:
        self._sasl = sasl

    async def token(self) -> str:
        """Raises AuthenticationFailedError when the server gives none."""
        import aiohttp  # slow to import, and most clusters do not need it

        form = {"grant_type": "client_credentials"} | ({"scope": self._sasl.scope} if self._sasl.scope else {})
        limit = aiohttp.ClientTimeout(total=TOKEN_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(headers=self._who(), timeout=limit) as session,
                session.post(self._sasl.token_url, data=form, raise_for_status=True) as answer,
            ):
                return str((await answer.json())["access_token"])
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
            raise AuthenticationFailedError(f"no token from {self._sasl.token_url}: {error!r}") from error

    def _who(self) -> dict[str, str]:
        """Id and secret are escaped before they are joined by a colon (RFC 6749, section 2.3.1)."""
        parts = (self._sasl.client_id, self._sasl.client_secret.get_secret_value())
        joined = ":".join(quote_plus(part) for part in parts)
        return {"Authorization": f"Basic {b64encode(joined.encode()).decode()}"}
