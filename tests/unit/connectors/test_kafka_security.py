from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiokafka.errors import AuthenticationFailedError
from pydantic import ValidationError

from penstock.connectors.kafka_security import ClientCredentials, security
from penstock.connectors.kafka_settings import KafkaSettings, OAuthSettings
from penstock.operators.error import Unreachable

TOKENS = web.AppKey("tokens", dict)


def settings(**parts: Any) -> KafkaSettings:
    return KafkaSettings.model_validate(parts)


def test_without_anything_the_connection_is_plain() -> None:
    assert security(settings()) == {"security_protocol": "PLAINTEXT"}


def test_tls_and_sasl_go_together() -> None:
    sasl = {"mechanism": "SCRAM-SHA-256", "username": "u", "password": "p"}
    arguments = security(settings(tls=True, sasl=sasl))
    assert arguments.pop("ssl_context").check_hostname
    assert arguments == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }
    assert security(settings(sasl=sasl))["security_protocol"] == "SASL_PLAINTEXT"


def test_certificates_that_cannot_be_read_are_named() -> None:
    with pytest.raises(Unreachable, match=r"^kafka\.tls: cannot use /no/ca\.pem .*\(PEM files are expected\)$"):
        security(settings(tls={"ca": "/no/ca.pem"}))


@pytest.mark.parametrize(
    "sasl",
    [
        {"mechanism": "OAUTHBEARER", "username": "u", "password": "p"},
        {"mechanism": "PLAIN", "username": "u", "password": "p", "token_url": "http://127.0.0.1/"},
        {"mechanism": "PLAIN", "username": "u", "password": "p", "scope": "kafka"},
        {"mechanism": "GSSAPI", "username": "u", "password": "p"},
    ],
)
def test_settings_that_do_not_go_together_are_refused(sasl: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(sasl=sasl)


async def _give_token(request: web.Request) -> web.Response:
    form = dict(await request.post())
    expected = "Basic " + base64.b64encode(b"client:sec%2Fret").decode()
    if request.headers["Authorization"] != expected:
        return web.json_response({"error": "invalid_client"}, status=401)
    request.app[TOKENS].update(form)
    return web.json_response({"access_token": "abc", "token_type": "bearer"})


@pytest.fixture
async def token_server() -> AsyncIterator[tuple[str, dict[str, str]]]:
    app, asked = web.Application(), dict[str, str]()
    app[TOKENS] = asked
    app.router.add_post("/token", _give_token)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/token", asked
    await runner.cleanup()


def oauth(url: str, secret: str) -> ClientCredentials:
    sasl = {
        "mechanism": "OAUTHBEARER",
        "client_id": "client",
        "client_secret": secret,
        "token_url": url,
        "scope": "kafka",
    }
    return ClientCredentials(OAuthSettings.model_validate(sasl))


async def test_a_token_is_asked_for_with_client_credentials(token_server: tuple[str, dict[str, str]]) -> None:
    url, asked = token_server
    assert await oauth(url, "sec/ret").token() == "abc"
    assert asked == {"grant_type": "client_credentials", "scope": "kafka"}


async def test_a_server_that_gives_no_token_is_a_failed_authentication(
    token_server: tuple[str, dict[str, str]],
) -> None:
    url, _ = token_server
    with pytest.raises(AuthenticationFailedError, match="no token from http"):
        await oauth(url, "wrong").token()


@pytest.mark.parametrize("bootstrap", ["b:9092", "b", "127.0.0.1:1,[::1]:9093", "a.b-c.example:9092, d:1"])
def test_brokers_are_hosts_with_ports(bootstrap: str) -> None:
    assert settings(bootstrap=bootstrap).bootstrap == bootstrap


@pytest.mark.parametrize("bootstrap", ["", "b:abc", "b:0", "b:65536", "a:1,,b:2", "kafka://b:9092", "me:pw@b:9092"])
def test_what_is_no_broker_is_refused_before_anything_is_opened(bootstrap: str) -> None:
    with pytest.raises(ValidationError):
        settings(bootstrap=bootstrap)
