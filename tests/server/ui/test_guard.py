"""Who may look at the pages, and what the answers let a page do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from mlops_mcp.server.ui.guard import ENTER, Guard, Keys

PORT = 4321
HERE = f"http://127.0.0.1:{PORT}"
KEYS = Keys.fresh(PORT)
BEARER = {"Authorization": f"Bearer {KEYS.token}"}


@pytest.fixture
def client() -> TestClient:
    return TestClient(Guard(PlainTextResponse("inside"), KEYS, PORT), base_url=HERE, follow_redirects=False)


def test_whoever_bears_the_token_is_let_in(client: TestClient) -> None:
    assert client.get("/runs", headers=BEARER).text == "inside"


def test_a_browser_exchanges_the_token_for_a_cookie_that_no_script_and_no_other_site_sends(client: TestClient) -> None:
    assert client.get("/").status_code == 401
    given = client.get(ENTER, headers=BEARER)
    assert (given.status_code, given.text) == (204, "")
    assert KEYS.token not in str(given.headers)
    words = given.headers["set-cookie"].split("; ")
    assert words[1:] == ["HttpOnly", "SameSite=Strict", "Path=/"]
    assert client.get("/").text == "inside"  # the client keeps cookies


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {KEYS.token}x"},
        {"Authorization": f"Bearer {KEYS.session}"},
        {"Authorization": f"Basic {KEYS.token}"},
        {"Authorization": "Bearer \u00fc".encode()},
        {"Cookie": f"{KEYS.cookie}={KEYS.token}"},
        {"Cookie": f"{KEYS.cookie}="},
        {"Cookie": f"other={KEYS.session}"},
        {"Cookie": "a=\x7f; ;;=="},
    ],
)
@pytest.mark.parametrize("path", ["/", "/runs", ENTER, "/nothing", "/enter/"])
def test_without_the_token_or_with_another_nothing_is_shown(
    client: TestClient, headers: dict[str, str], path: str
) -> None:
    refused = client.get(path, headers=headers)
    assert refused.status_code == 401
    assert "inside" not in refused.text
    assert "set-cookie" not in refused.headers


@pytest.mark.parametrize("token", ["", "?token=", "?token={}"])
def test_a_token_in_the_query_lets_nobody_in(client: TestClient, token: str) -> None:
    assert client.get(f"/{token.format(KEYS.token)}").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:4321"])
def test_another_host_is_refused_even_with_the_token(client: TestClient, host: str) -> None:
    refused = client.get("/", headers={**BEARER, "Host": host})
    assert refused.status_code == 421
    assert "inside" not in refused.text


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", f"https://127.0.0.1:{PORT}"])
def test_a_page_of_another_origin_is_refused_even_with_the_token(client: TestClient, origin: str) -> None:
    assert client.get("/", headers={**BEARER, "Origin": origin}).status_code == 403
    assert client.get(ENTER, headers={**BEARER, "Origin": origin}).status_code == 403
    assert client.get("/", headers={**BEARER, "Origin": HERE}).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_get_is_answered(client: TestClient, method: str) -> None:
    refused = client.request(method, "/", headers=BEARER)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")


ANSWERS: dict[str, Callable[[TestClient], object]] = {
    "inside": lambda client: client.get("/", headers=BEARER),
    "gate": lambda client: client.get("/"),
    "entered": lambda client: client.get(ENTER, headers=BEARER),
    "refused host": lambda client: client.get("/", headers={"Host": "evil.example"}),
    "refused method": lambda client: client.post("/"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_answer_forbids_scripts_frames_guessed_types_and_keeping(client: TestClient, answer: str) -> None:
    headers = ANSWERS[answer](client).headers  # type: ignore[attr-defined]
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert (headers["referrer-policy"], headers["x-frame-options"]) == ("no-referrer", "DENY")
    assert "access-control-allow-origin" not in headers


def test_two_processes_have_other_tokens_and_other_cookies() -> None:
    one, another = Keys.fresh(1), Keys.fresh(2)
    assert len({one.token, one.session, another.token, another.session}) == 4
    assert one.cookie != another.cookie
