"""An identity provider of the tests: keys of its own, tokens of any content, and a server that hands out the keys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from mlops_mcp.config.settings import OidcSettings, Settings

ISSUER, AUDIENCE = "https://login.example.org/realms/ml", "https://mlops.example.org/mcp"


@dataclass
class Provider:
    """Signs with an elliptic curve, whose keys cost nothing to make."""

    kid: str = "first"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def public(self) -> dict[str, Any]:
        made: dict[str, Any] = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return made | {"kid": self.kid, "use": "sig"}

    @property
    def keys(self) -> str:
        return json.dumps({"keys": [self.public]})

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good token of ann, but for the claims that are given; None leaves one out."""
        now = int(time.time())
        said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "scope": "openid read", "iat": now, "exp": now + 600}
        content = {name: value for name, value in {**said, **claims}.items() if value is not None}
        return signed(content, self.key, "ES256", {"kid": self.kid, **(headers or {})})


def signed(content: Mapping[str, Any], key: Any, alg: str, headers: dict[str, Any]) -> str:
    """A token of any content, also of one that no honest library would sign."""
    return jwt.PyJWS().encode(json.dumps(content).encode(), key, alg, headers)


def rsa_key(kid: str, bits: int = 2048) -> tuple[rsa.RSAPrivateKey, dict[str, Any]]:
    private = rsa.generate_private_key(65537, bits)
    public: dict[str, Any] = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return private, public | {"kid": kid, "use": "sig", "alg": "RS256"}


def told_of(settings: Settings, **changed: Any) -> Settings:
    """The settings with this provider in them."""
    oidc = {**settings.oidc.model_dump(), "issuer": ISSUER, "audience": (AUDIENCE,), **changed}
    return settings.model_copy(update={"oidc": OidcSettings.model_validate(oidc)})


@dataclass
class Web:
    """What the server of the provider answers with by path, and what it was asked for."""

    address: str = ""
    pages: dict[str, Callable[[], tuple[int, str]]] = field(default_factory=dict[str, Callable[[], tuple[int, str]]])
    asked: list[str] = field(default_factory=list[str])
    holds: asyncio.Event = field(default_factory=asyncio.Event)

    def serve(self, path: str, text: str, status: int = 200) -> None:
        self.pages[path] = lambda: (status, text)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append(path)
        await self.holds.wait()
        status, text = self.pages.get(path, lambda: (404, "nothing"))()
        moved = f"Location: {text}\r\n" if 300 <= status < 400 else ""
        head = f"HTTP/1.1 {status} x\r\n{moved}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + text.encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening() -> AsyncGenerator[Web]:
    """The server of a provider on this machine."""
    web = Web()
    web.holds.set()
    async with await asyncio.start_server(web.answer, "127.0.0.1", 0) as server:
        web.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield web
