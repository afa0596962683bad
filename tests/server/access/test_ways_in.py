"""TLS, and proxies: whose word about the caller and the scheme is taken."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.config.settings import ServerSettings, Settings
from mlops_mcp.server.access.callers import Callers
from mlops_mcp.server.app import create_server
from mlops_mcp.server.cli import main
from mlops_mcp.server.ending import Ending, WebServer
from mlops_mcp.server.transports import require_certificate, web_config
from mlops_mcp.server.web import allowed_hosts, web_app

from .conftest import META, VERSION
from .provider import Provider, told_of


def certificate(folder: Path, password: bytes = b"") -> tuple[str, str]:
    """The files of a certificate for this machine and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with whom the server takes for the caller."""
    if scope["type"] == "http":
        await JSONResponse([scope["client"][0], Request(scope).url.scheme])(scope, receive, send)


@asynccontextmanager
async def serving(
    options: ServerSettings, app: ASGIApp = told, lifespan: Literal["on", "off"] = "off"
) -> AsyncGenerator[str]:
    """The address of an application that is served as these settings say."""
    config = web_config(app, options)
    config.port, config.lifespan = 0, lifespan
    web = WebServer(config)
    task = asyncio.create_task(web.serve())
    while not web.started:
        await asyncio.sleep(0)
    try:
        yield f"{options.scheme}://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
    finally:
        web.should_exit = True
        await task


def changed(settings: Settings, **server: Any) -> ServerSettings:
    return settings.server.model_copy(update=server)


async def test_with_a_certificate_it_speaks_tls_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    options = changed(settings, tls_cert=cert, tls_key=key)
    require_certificate(options)
    trusting = ssl.create_default_context(cafile=cert)
    async with asyncio.timeout(60), serving(options) as address:
        async with httpx2.AsyncClient(verify=trusting) as http:
            assert (await http.get(address)).json() == ["127.0.0.1", "https"]
        async with httpx2.AsyncClient() as stranger:
            with pytest.raises(httpx2.HTTPError):
                await stranger.get(address)
            with pytest.raises(httpx2.HTTPError):
                await stranger.get(address.replace("https", "http"))
        old = ssl.create_default_context(cafile=cert)
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        async with httpx2.AsyncClient(verify=old) as http:
            with pytest.raises(httpx2.HTTPError):
                await http.get(address)


def test_a_certificate_that_cannot_be_used_ends_the_server_before_it_listens(
    settings: Settings, environ: dict[str, str], tmp_path: Path
) -> None:
    cert, _ = certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = certificate(tmp_path / "other")
    (tmp_path / "locked").mkdir()
    locked = certificate(tmp_path / "locked", b"secret")
    for given in ((cert, other), (cert, str(tmp_path / "none")), (cert, cert), locked):
        with pytest.raises(SettingsError, match="cannot be used for https"):
            require_certificate(changed(settings, tls_cert=given[0], tls_key=given[1]))
    with pytest.raises(SettingsError, match="go together"):
        load(environ, {"server.tls_cert": cert})


FORWARDED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}


@pytest.mark.parametrize(
    ("proxies", "seen"),
    [
        ([], ["127.0.0.1", "http"]),
        (["10.0.0.0/8"], ["127.0.0.1", "http"]),
        (["127.0.0.1"], ["203.0.113.9", "https"]),
        (["127.0.0.0/8"], ["203.0.113.9", "https"]),
    ],
)
async def test_what_a_proxy_says_of_a_caller_is_believed_of_those_alone_that_are_named(
    environ: dict[str, str], proxies: list[str], seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    options = load(environ, {"server.behind_proxy": proxies}).settings.server
    async with asyncio.timeout(60), serving(options) as address, httpx2.AsyncClient() as http:
        assert (await http.get(address, headers=FORWARDED)).json() == seen
        if proxies == ["127.0.0.1"]:
            spoofed = {**FORWARDED, "X-Forwarded-For": "10.9.9.9, 203.0.113.9"}
            assert (await http.get(address, headers=spoofed)).json() == seen


def test_the_public_name_is_one_of_the_hosts_that_are_answered(environ: dict[str, str]) -> None:
    options = load(environ, {"server.public_url": "https://mlops.example.org/ml/"}).settings.server
    assert options.public_url == "https://mlops.example.org/ml"
    assert "mlops.example.org" in allowed_hosts(options)
    for wrong in ("mlops.example.org", "https://", "ftp://x", "https://x/?a=1", "https://x/#a"):
        with pytest.raises(SettingsError, match="public_url"):
            load(environ, {"server.public_url": wrong})
    for wrong in ("proxy.example.org", "10.0.0.1/8", "*", ""):
        with pytest.raises(SettingsError, match="behind_proxy"):
            load(environ, {"server.behind_proxy": [wrong]})


def test_the_command_line_says_the_same(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--transport", "http", "--behind-proxy", "127.0.0.1"]) == 2
    assert "token new" in capsys.readouterr().err
    assert main(["serve", "--transport", "http", "--public-url", "https://mlops.example.org"]) == 2
    assert "https://mlops.example.org can be reached" in capsys.readouterr().err
    given = ["--tls-cert", str(tmp_path / "none"), "--tls-key", str(tmp_path / "none")]
    assert main(["serve", "--transport", "http", *given]) == 2
    assert "cannot be used for https" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/sse", "/mcp"])
@pytest.mark.parametrize("provided", [False, True], ids=["ours", "of a provider"])
async def test_a_stream_that_is_listened_to_ends_with_its_token(
    settings: Settings, path: str, provided: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOOK_AGAIN_S", "ANSWERED_S"):
        monkeypatch.setattr(f"mlops_mcp.server.access.gate.{name}", 0.01)
    provider, keys = Provider(), tmp_path / "keys.json"
    keys.write_text(provider.keys, encoding="utf-8")
    settings = told_of(settings, jwks=str(keys))
    server, callers = create_server(settings), Callers(settings)
    bearer = {"Authorization": f"Bearer {provider.token() if provided else callers.tokens.make('ann', 'read')}"}
    listen = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen"}
    params = {"notifications": {"resourceSubscriptions": ["mlflow://experiments"]}, "_meta": META}
    accept = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": VERSION}
    asked: dict[str, Any] = {} if path == "/sse" else {"json": {**listen, "params": params}}
    headers = {**bearer, **accept, **({} if path == "/sse" else {"Mcp-Method": "subscriptions/listen"})}
    app = web_app(server, settings, callers, True, Ending())
    async with asyncio.timeout(60), server.services.running(), serving(settings.server, app, "on") as address:
        method = "GET" if path == "/sse" else "POST"
        async with (
            httpx2.AsyncClient(timeout=60) as http,
            http.stream(method, address + path, headers=headers, **asked) as got,
        ):
            assert got.status_code == 200
            lines = got.aiter_lines()
            assert await anext(lines)
            if provided:
                keys.write_text(Provider("second").keys, encoding="utf-8")
            else:
                callers.tokens.revoke("ann")
            assert all([line is not None async for line in lines])  # to the end, and not broken off


def test_a_connection_is_kept_beyond_the_time_outs_of_clients(settings: Settings) -> None:
    """A client that gives up asks again at once, on a connection that would be closed in that moment."""
    assert web_config(told, settings.server).timeout_keep_alive > 60
