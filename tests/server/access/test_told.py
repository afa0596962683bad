"""What callers are told who may not ask: where to get a token, and which scope is missing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from mlops_mcp.config.settings import Settings

from ...conftest import in_a_task_of_its_own
from .conftest import Door, opened
from .provider import AUDIENCE, ISSUER, Provider, listening, told_of

WELL_KNOWN = "/.well-known/oauth-protected-resource"
BASE = "http://127.0.0.1:8765"


@pytest.fixture
def known(settings: Settings, keys_file: str) -> Settings:
    scopes = {
        "read_scopes": ('no "scope"\n', "ml:read", "ml"),
        "write_scopes": ("ml:write",),
        "admin_scopes": ("ml:admin",),
    }
    return told_of(settings, jwks=keys_file, **scopes)


@pytest.fixture
async def guarded(known: Settings) -> AsyncGenerator[Door]:
    """A server that takes tokens of an identity provider."""
    async with in_a_task_of_its_own(opened(known)) as door:
        yield door


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def challenge_of(answer: httpx2.Response) -> dict[str, str]:
    scheme, _, rest = answer.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return {name: value.strip('"') for name, _, value in (each.partition("=") for each in rest.split(", "))}


async def test_who_has_no_token_is_told_where_to_read_how_to_get_one(guarded: Door) -> None:
    for path, resource in (("/mcp", "/mcp"), ("/sse", "/sse"), ("/nothing", ""), ("/metrics", "")):
        answer = await guarded.http.get(path)
        assert answer.status_code == 401
        said = challenge_of(answer)
        assert said == {"realm": "mlops-mcp", "scope": "ml:read", "resource_metadata": f"{BASE}{WELL_KNOWN}{resource}"}
        described = await guarded.http.get(said["resource_metadata"])
        assert described.status_code == 200
        assert described.json() == {
            "resource": BASE + resource,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["ml:read", "ml:write", "ml:admin"],
            "bearer_methods_supported": ["header"],
            "resource_name": "mlops-mcp",
        }
    wrong = await guarded.http.get("/mcp", headers=bearing("x.y.z"))
    assert (wrong.status_code, challenge_of(wrong)["error"]) == (401, "invalid_token")


async def test_nothing_but_the_description_is_read_without_a_token(guarded: Door) -> None:
    for path in (f"{WELL_KNOWN}/", f"{WELL_KNOWN}/x", f"{WELL_KNOWN}/mcp/x", f"{WELL_KNOWN}mcp", "/.well-known/x"):
        assert (path, (await guarded.http.get(path)).status_code) == (path, 401)
    assert (await guarded.http.post(WELL_KNOWN)).status_code == 401
    foreign = await guarded.http.get(WELL_KNOWN, headers={"Host": "evil.example"})
    assert foreign.status_code == 421
    page = {"Origin": "http://localhost:3000"}
    assert (await guarded.http.get(WELL_KNOWN, headers=page)).headers["access-control-allow-origin"] == page["Origin"]


async def test_a_server_without_a_provider_has_nothing_to_describe(door: Door) -> None:
    door.tokens.make("ann", "read")
    assert (await door.http.get(WELL_KNOWN)).status_code == 401
    assert "resource_metadata" not in challenge_of(await door.http.get("/mcp"))


async def test_behind_a_proxy_it_names_itself_as_its_callers_do(known: Settings) -> None:
    public = known.server.model_copy(update={"public_url": "https://mlops.example.org/ml"})
    async with opened(known.model_copy(update={"server": public})) as door:
        answer = await door.http.get("/mcp", headers={"Host": "mlops.example.org"})
        address = f"https://mlops.example.org{WELL_KNOWN}/ml/mcp"
        assert challenge_of(answer)["resource_metadata"] == address
        for path in (f"{WELL_KNOWN}/ml/mcp", f"{WELL_KNOWN}/mcp"):
            assert (await door.http.get(path)).json()["resource"] == "https://mlops.example.org/ml/mcp"


async def test_tokens_of_both_kinds_are_taken_and_their_names_are_never_the_same(
    guarded: Door, provider: Provider
) -> None:
    for bearer in (guarded.bearer("ann", "admin"), bearing(provider.token(scope="ml:admin"))):
        assert (await guarded.call(bearer, "list_jobs"))["isError"] is False
    found = await guarded.ask(bearing(provider.token(scope="ml:admin")), "resources/read", uri="audit://recent")
    assert found["contents"][0]["text"] == ""
    with pytest.raises(Exception, match="is no name"):
        guarded.tokens.make("oidc:ann", "read")


@pytest.mark.parametrize("scope", ["openid", None])
async def test_a_good_token_without_a_scope_of_ours_is_forbidden_whatever_it_asks_for(
    guarded: Door, provider: Provider, scope: str | None
) -> None:
    bearer = bearing(provider.token(scope=scope))
    for path in ("/mcp", "/sse", "/metrics"):
        answer = await guarded.http.get(path, headers=bearer)
        assert answer.status_code == 403
        assert challenge_of(answer)["error"] == "insufficient_scope"
        assert challenge_of(answer)["scope"] == "ml:read"


ASKED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("tools/call", {"name": "start_run", "arguments": {}}, "ml:write"),
    ("tools/call", {"name": "delete", "arguments": {"handle": "run:x"}}, "ml:admin"),
    ("tools/call", {"name": "cancel_job", "arguments": None}, "ml:write"),
    ("tasks/cancel", {"taskId": "x"}, "ml:write"),
    ("tasks/update", {"taskId": "x", "inputResponses": {}}, "ml:write"),
    ("resources/read", {"uri": "audit://recent"}, "ml:admin"),
)


@pytest.mark.parametrize(("method", "params", "scope"), ASKED)
async def test_what_a_scope_does_not_reach_is_forbidden_with_the_scope_that_would(
    guarded: Door, provider: Provider, method: str, params: dict[str, Any], scope: str
) -> None:
    answer = await guarded.send(bearing(provider.token(scope="ml")), method, params)
    assert answer.status_code == 403
    said = challenge_of(answer)
    assert (said["error"], said["scope"]) == ("insufficient_scope", scope)
    assert said["resource_metadata"] == f"{BASE}{WELL_KNOWN}/mcp"
    assert "that of oidc:ann is read" in answer.json()["error"]["message"]
    assert isinstance(answer.json()["id"], int)


async def test_in_the_older_era_it_is_forbidden_as_well_and_bodies_that_are_no_request_are_what_they_were(
    guarded: Door, provider: Provider
) -> None:
    bearer = {**bearing(provider.token(scope="ml")), "Accept": "application/json, text/event-stream"}
    asked = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "delete", "arguments": {}}}
    answer = await guarded.http.post("/mcp", json=asked, headers=bearer)
    assert (answer.status_code, answer.json()["id"]) == (403, 7)
    odd: tuple[Any, ...] = ([], "x", {"name": ["delete"]}, {"name": None}, {})
    for params in odd:
        assert (await guarded.http.post("/mcp", json={**asked, "params": params}, headers=bearer)).status_code == 400
    for body in (b"", b"{", b"[" * 100_000, b"[1]", b"\xff", b"null", b"x" * (5 << 20)):
        answer = await guarded.http.post("/mcp", content=body, headers={**bearer, "Content-Type": "application/json"})
        assert answer.status_code in (400, 413), (body[:20], answer.text)


async def test_a_method_that_the_path_does_not_have_opens_no_session(door: Door) -> None:
    bearer = door.bearer("ann", "read")
    for method in ("PUT", "PATCH", "HEAD", "TRACE"):
        answer = await door.http.request(method, "/mcp", headers=bearer)
        assert (method, answer.status_code) == (method, 405)
        assert "mcp-session-id" not in answer.headers
        assert set(answer.headers["allow"].split(", ")) == {"GET", "POST", "DELETE"}


async def test_while_the_provider_cannot_be_asked_its_callers_are_refused_and_the_log_says_why(
    settings: Settings, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as web:
        web.serve("/keys", "no", 503)
        async with opened(told_of(settings, jwks=f"{web.address}/keys")) as door:
            for _ in range(3):
                answer = await door.http.get("/mcp", headers=bearing(provider.token()))
                assert (answer.status_code, challenge_of(answer)["error"]) == (401, "invalid_token")
            own = await door.http.get("/nothing", headers=door.bearer("ann", "read"))
            assert own.status_code == 404
        assert web.asked == ["/keys"]
    assert f"the keys of {ISSUER} cannot be had" in caplog.text
    assert "503" in caplog.text


async def test_with_the_keys_of_a_provider_that_answers_its_callers_come_in(
    settings: Settings, provider: Provider
) -> None:
    async with listening() as web:
        web.serve("/keys", provider.keys)
        async with opened(told_of(settings, jwks=f"{web.address}/keys")) as door:
            listed = await door.ask(bearing(provider.token()), "tools/list")
    assert "list_jobs" in {tool["name"] for tool in listed["tools"]}


async def test_an_audience_of_another_server_is_none_of_this_one(guarded: Door, provider: Provider) -> None:
    other = bearing(provider.token(aud=AUDIENCE.replace("mlops", "other")))
    assert (await guarded.http.get("/mcp", headers=other)).status_code == 401
