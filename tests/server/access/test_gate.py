"""The door of the web application: no path is open without a token once there is one."""

from __future__ import annotations

from .conftest import Door

PATHS = ("/mcp", "/sse", "/messages/", "/messages/x?session_id=1", "/", "/nothing", "/docs", "//mcp", "/mcp/../sse")


async def test_without_a_token_every_path_and_method_is_refused(door: Door) -> None:
    door.tokens.make("ann", "admin")
    for path in PATHS:
        for method in ("GET", "POST", "DELETE", "PUT", "HEAD", "PATCH"):
            answer = await door.http.request(method, path)
            assert (path, method, answer.status_code) == (path, method, 401)
            assert answer.headers["www-authenticate"] == 'Bearer realm="mlops-mcp", scope="read"'


async def test_what_is_no_token_of_this_server_is_refused(door: Door) -> None:
    token = door.tokens.make("ann", "admin")
    for header in (f"Bearer {token}x", "Bearer ", "Bearer", f"Basic {token}", token, f"bearer{token}"):
        answer = await door.http.get("/nothing", headers={"Authorization": header})
        assert (header, answer.status_code) == (header, 401)
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]
    assert (await door.http.get("/nothing", headers=twice)).status_code == 401
    assert (await door.http.get(f"/nothing?access_token={token}")).status_code == 401
    wrong = await door.http.get("/nothing", headers={"Authorization": "Bearer wrong"})
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]


async def test_with_its_token_a_caller_reaches_what_there_is(door: Door) -> None:
    token = door.tokens.make("ann", "read")
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert (await door.http.get("/nothing", headers=headers)).status_code == 404
        assert (await door.http.post("/messages/", headers=headers)).status_code == 400
    door.tokens.revoke("ann")
    assert (await door.http.get("/nothing", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_without_any_token_on_this_machine_alone_all_is_as_it_was(door: Door) -> None:
    assert (await door.http.get("/nothing")).status_code == 404
    assert (await door.http.get("/nothing", headers={"Authorization": "Bearer anything"})).status_code == 404


async def test_a_page_may_ask_beforehand_and_a_foreign_host_or_page_is_refused_before_its_token(door: Door) -> None:
    token = door.tokens.make("ann", "admin")
    origin = {"Origin": "http://localhost:3000"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert (await door.http.options("/mcp", headers=asked)).status_code == 200
    unknown = await door.http.get("/mcp", headers=origin)
    assert (unknown.status_code, unknown.headers["access-control-allow-origin"]) == (401, origin["Origin"])
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await door.http.get("/nothing", headers={**bearer, "Host": "evil.example"})).status_code == 421
    assert (await door.http.get("/nothing", headers={**bearer, "Origin": "https://evil.example"})).status_code == 403
