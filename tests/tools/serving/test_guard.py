"""Who may ask a service: its middleware, with nothing behind it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlops_mcp.config.settings import OWN_HOSTS
from mlops_mcp.tools.serving import guard
from mlops_mcp.tools.serving.guard import MAX_BODY, MOST_PASSED, Guard, Message

TOKEN = "a-token-of-this-test"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
ROUTES = ("/predict", "/identity")
BEARER = ("authorization", f"Bearer {TOKEN}")
HERE = ("host", "127.0.0.1:4000")
JSON = ("content-type", "application/json")
GOOD = (BEARER, HERE, JSON)


class Service:
    """What stands behind: it notes what reaches it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def asked(
    *headers: tuple[str, str],
    path: str = "/predict",
    method: str = "POST",
    body: tuple[bytes, ...] = (b"{}",),
    digest: str = DIGEST,
    hosts: str = "",
) -> tuple[int, dict[str, Any], list[bytes]]:
    """The status, the body, and what reached the service."""
    service, sent, pieces = Service(), list[Message](), _messages(body)

    async def receive() -> Message:
        return next(pieces)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "path": path, "method": method,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }  # fmt: skip
    await Guard(service, digest, ROUTES, hosts)(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"]), service.bodies


def _messages(body: tuple[bytes, ...]) -> Iterator[Message]:
    for index, piece in enumerate(body):
        yield {"type": "http.request", "body": piece, "more_body": index + 1 < len(body)}
    yield {"type": "http.disconnect"}


@pytest.mark.parametrize(
    "given",
    [
        (), (("authorization", ""),), (("authorization", TOKEN),), (("authorization", f"Basic {TOKEN}"),),
        (("authorization", "Bearer "),), (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", f"Bearer {DIGEST}"),), (("authorization", "Bearer \xff\xfe"),),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predict"), ("POST", "/identity"), ("GET", "/readyz"), ("GET", "/livez"), ("GET", "/healthz"),
        ("GET", "/metrics"), ("GET", "/docs.json"), ("GET", "/schema.json"), ("GET", "/"), ("GET", "/nothing"),
    ],
)  # fmt: skip
async def test_without_the_token_no_route_tells_more_than_that(
    given: tuple[tuple[str, str], ...], method: str, path: str
) -> None:
    status, said, reached = await asked(*given, HERE, JSON, path=path, method=method)
    assert (status, reached) == (401, [])
    assert said == {"error": "this endpoint wants its token: Authorization: Bearer …"}


async def test_two_tokens_are_one_too_many() -> None:
    assert (await asked(BEARER, *GOOD))[0] == 400


async def test_who_bears_the_token_is_let_through_with_all_that_was_sent() -> None:
    assert await asked(*GOOD, body=(b'{"ro', b'ws"', b":[]}")) == (200, {}, [b'{"rows":[]}'])
    assert (await asked(("authorization", f"bearer {TOKEN}"), HERE, JSON))[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/docs.json", "/schema.json", "/", "/healthz", "/predict/", "//predict"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_with_it_only_the_routes_that_are_needed_are_there(path: str, method: str) -> None:
    status, said, reached = await asked(*GOOD, path=path, method=method)
    assert (status, reached) == (404, [])
    assert "POST rows to /predict" in said["error"]


async def test_a_route_takes_one_method() -> None:
    assert (await asked(*GOOD, method="GET"))[0] == 405
    assert (await asked(*GOOD, path="/readyz"))[0] == 405
    assert (await asked(*GOOD, path="/readyz", method="GET"))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:80", "localhost@evil"])
async def test_a_name_that_leads_here_is_none_of_ours(host: str) -> None:
    assert (await asked(BEARER, ("host", host), JSON))[0] == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "LOCALHOST", "[::1]:80"])
async def test_this_machine_by_any_of_its_names_and_ports_is(host: str) -> None:
    assert (await asked(BEARER, ("host", host), JSON))[0] == 200


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:3000", 200)]
)
async def test_a_page_of_another_origin_is_refused(origin: str, status: int) -> None:
    assert (await asked(*GOOD, ("origin", origin)))[0] == status


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/vnd.bentoml+pickle", "application/jsonp"]
)
async def test_only_json_is_taken(kind: str) -> None:
    status, said, reached = await asked(BEARER, HERE, ("content-type", kind))
    assert (status, reached) == (415, [])
    assert "application/json" in said["error"]
    assert (await asked(BEARER, HERE, ("content-type", "Application/JSON; charset=utf-8")))[0] == 200


async def test_a_body_that_is_too_long_is_refused_by_what_it_says_or_by_what_it_is() -> None:
    announced = await asked(*GOOD, ("content-length", str(MOST_PASSED + 1)), body=())
    piece = bytes(MAX_BODY // 2 + 1)
    endless = await asked(*GOOD, body=(piece,) * 40)
    for status, said, reached in (announced, endless, await asked(*GOOD, body=(piece, piece, piece))):
        assert (status, reached) == (413, [])
        assert "in parts" in said["error"]


async def test_a_request_that_ends_early_reaches_nobody() -> None:
    assert (await asked(*GOOD, body=()))[0] == 400


async def test_a_bento_that_is_run_elsewhere_asks_for_no_token_and_is_bounded_all_the_same() -> None:
    elsewhere = ("host", "models.example")
    assert (await asked(elsewhere, JSON, digest=""))[0] == 200
    assert (await asked(elsewhere, digest=""))[0] == 415
    assert (await asked(elsewhere, JSON, digest="", path="/docs.json", method="GET"))[0] == 404
    assert (await asked(elsewhere, JSON, ("content-length", "99999999999"), digest=""))[0] == 413


def test_a_service_answers_to_the_names_of_this_machine_that_a_server_answers_to() -> None:
    assert tuple(f"[{name}]" if ":" in name else name for name in OWN_HOSTS) == guard.HERE


ELSEWHERE = "loans.example.org, loans-v1.ml.svc"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_platform_that_runs_a_service_asks_for_its_health_by_any_name_without_a_token(path: str) -> None:
    status, _, reached = await asked(("host", "10.1.2.3:3000"), path=path, method="GET", hosts=ELSEWHERE)
    assert (status, len(reached)) == (200, 1)
    assert (await asked(("host", "10.1.2.3:3000"), path=path, method="GET"))[0] == 401


@pytest.mark.parametrize(
    ("headers", "hosts", "status"),
    [
        ((BEARER, JSON, ("host", "loans.example.org")), ELSEWHERE, 200),
        ((BEARER, JSON, ("host", "LOANS-v1.ml.svc:3000")), ELSEWHERE, 200),
        ((BEARER, JSON, ("host", "anything.example.org")), "*", 200),
        ((BEARER, JSON, ("host", "other.example.org")), ELSEWHERE, 421),
        ((BEARER, JSON, HERE), ELSEWHERE, 421),
        ((BEARER, JSON), ELSEWHERE, 421),
        ((JSON, ("host", "loans.example.org")), ELSEWHERE, 401),
        ((JSON, ("host", "anything.example.org")), "*", 401),
        ((BEARER, JSON, ("host", "loans.example.org"), ("origin", "https://evil.example")), ELSEWHERE, 403),
        ((BEARER, JSON, ("host", "loans.example.org"), ("origin", "https://evil.example")), "*", 403),
        ((BEARER, JSON, ("host", "loans.example.org"), ("origin", "https://loans.example.org")), ELSEWHERE, 200),
    ],
)
async def test_a_service_elsewhere_answers_by_its_own_names_and_to_its_token_alone(
    headers: tuple[tuple[str, str], ...], hosts: str, status: int
) -> None:
    found, _, reached = await asked(*headers, hosts=hosts)
    assert (found, len(reached)) == (status, int(status == 200))
