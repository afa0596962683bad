"""What it costs a call over HTTP that its caller is told apart, and that its scope is looked at.

`python benchmarks/access.py` prints the median and the 99th percentile of what each kind of token adds to a request, in
ms, for a state folder of one and of 1000 tokens and for an identity provider. The exit code is 1 when a median is above
the limit. The application behind the door reads the request and does nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_mcp.config.load import load
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.callers import Callers
from mlops_mcp.server.access.forbidden import Forbidden
from mlops_mcp.server.access.gate import Gate
from mlops_mcp.server.access.scopes import Wanted
from mlops_mcp.server.access.tokens import Kept, Tokens
from mlops_mcp.server.access.told import Told

LIMIT_MS = 0.3
CALLS = 3000
ISSUER, AUDIENCE = "https://login.example.org", "https://mlops.example.org/mcp"
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "train_model", "arguments": {"k": "v" * 300}},
}
BODY = json.dumps(CALL).encode()


async def nothing(_scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})


async def nobody(_wanted: Wanted) -> None: ...


def door(settings: Settings) -> ASGIApp:
    """What a request passes before anything is done for it."""
    told = Told(settings, ("/mcp",))

    def needed(_method: str, params: Mapping[str, Any]) -> Wanted:
        return Wanted(str(params["name"]), "write")

    return Gate(Forbidden(nothing, "/mcp", needed, nobody, lambda _caller: None, told), Callers(settings), told)


async def took_ms(app: ASGIApp, token: str) -> float:
    status: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY}

    async def send(message: Message) -> None:
        status.append(message["status"])

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
    address = {"server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "scheme": "http", "query_string": b""}
    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers, **address}
    began = time.perf_counter()
    await app(scope, receive, send)
    passed = (time.perf_counter() - began) * 1e3
    assert status == [204], status
    return passed


async def measured(label: str, app: ASGIApp, token: str) -> float:
    """The median of what it adds; both are asked in turn, so that what else the machine does hits both."""
    plain, guarded = [], []
    for _ in range(CALLS):
        plain.append(await took_ms(nothing, token))
        guarded.append(await took_ms(app, token))
    median = statistics.median(guarded) - statistics.median(plain)
    last = statistics.quantiles(guarded, n=100)[98] - statistics.median(plain)
    print(f"{label:<28}{median:>8.3f}{last:>8.3f}")
    return median


def with_home(folder: str, **oidc: Any) -> Settings:
    given = {f"oidc.{name}": value for name, value in oidc.items()}
    return load({"MLOPS_HOME": folder, "MLOPS_CONFIG": os.devnull}, given).settings


def token_of(folder: str, others: int) -> str:
    """A token among others."""
    tokens = Tokens(Path(folder))
    token = tokens.make("ann", "write")
    (made,) = tokens.all
    more = [made.model_copy(update={"name": f"t{n}", "digest": f"{n:064x}"}) for n in range(others)]
    Path(folder, "tokens.json").write_text(Kept(tokens=(*more, made)).model_dump_json(), encoding="utf-8")
    return token


async def main() -> int:
    print(f"{'added to a call, ms':<28}{'p50':>8}{'p99':>8}")
    worst = 0.0
    for others in (0, 999):
        with tempfile.TemporaryDirectory() as folder:
            token = token_of(folder, others)
            worst = max(worst, await measured(f"one token of {others + 1}", door(with_home(folder)), token))
    curve, big = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    public = {
        "ES256": ECAlgorithm.to_jwk(curve.public_key(), as_dict=True),
        "RS256": RSAAlgorithm.to_jwk(big.public_key(), as_dict=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys.json")
        keys.write_text(json.dumps({"keys": [{**key, "kid": alg, "alg": alg} for alg, key in public.items()]}))
        app = door(with_home(folder, issuer=ISSUER, audience=[AUDIENCE], jwks=str(keys)))
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "scope": "write", "exp": int(time.time()) + 3600}
        for alg, key in (("ES256", curve), ("RS256", big)):
            token = jwt.encode(claims, key, alg, headers={"kid": alg})
            worst = max(worst, await measured(f"JWT, {alg}", app, token))
    print(f"worst median {worst:.3f} ms (limit {LIMIT_MS:g})")
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
