"""From `models:` of the file to clients that reach their servers."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from penstock.operators.error import Unreachable
from penstock.operators.model import ModelSettings
from penstock.pipelines.endpoints import opened_models

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """`ca.pem`, good for 127.0.0.1 only; its key lies beside it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path / "ca.pem"


@pytest.fixture
async def base_url(certificate: Path) -> AsyncIterator[str]:
    """A server over TLS that serves the model `m` to those who trust its certificate and show the same one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    application = web.Application()
    application.router.add_get("/v1/models", _models)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": "m"}]})


@pytest.mark.parametrize("declared", [True, False])
async def test_what_the_file_says_of_continuing_counts(declared: bool) -> None:
    fields = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "continues": declared}
    async with opened_models({"small": ModelSettings.model_validate(fields)}) as models:
        assert models["small"].continues is declared


def settings(base_url: str, **tls: str) -> ModelSettings:
    return ModelSettings.model_validate({"base_url": base_url, "model": "m", "tls": tls})


async def test_the_certificates_of_the_file_are_used(base_url: str, certificate: Path) -> None:
    files = {"ca": str(certificate), "cert": str(certificate), "key": str(certificate.with_name("key.pem"))}
    async with opened_models({"small": settings(base_url, **files)}) as models:
        assert "m" in await models["small"].probe()


async def test_a_server_whose_certificate_nobody_knows_is_not_asked(base_url: str) -> None:
    async with opened_models({"small": settings(base_url)}) as models:
        with pytest.raises(
            Unreachable, match=r"its certificate is not trusted: self.signed certificate \(name .*`tls:"
        ):
            await models["small"].probe()


async def test_certificates_that_cannot_be_read_are_named() -> None:
    with pytest.raises(Unreachable, match=r"^models\.small\.tls: cannot use /no/ca\.pem"):
        async with opened_models({"small": settings("https://127.0.0.1:1/v1", ca="/no/ca.pem")}):
            pass
