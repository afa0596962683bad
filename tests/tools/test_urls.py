"""A backend behind basic authentication is asked with its user and password, not under a name made of them."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from mlops_mcp.tools.tracking.backend import probe
from mlops_mcp.tools.urls import request_to


@contextmanager
def server(seen: list[str | None], leads_to: str = "") -> Generator[int]:
    class Guarded(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(302 if leads_to else 200)
            if leads_to:
                self.send_header("Location", leads_to)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield listening.server_port
        listening.shutdown()


def test_a_server_behind_basic_authentication_is_alive() -> None:
    seen: list[str | None] = []
    with server(seen) as port:
        probe(f"http://bot:hun%40ter@127.0.0.1:{port}/mlflow", "the server", "the.setting")
    assert seen == [f"Basic {base64.b64encode(b'bot:hun@ter').decode()}"]


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_a_redirection_is_an_answer_and_takes_no_password_along(scheme: str) -> None:
    asked, elsewhere = list[str | None](), list[str | None]()
    with server(elsewhere) as other, server(asked, f"{scheme}://127.0.0.1:{other}/") as port:
        probe(f"http://bot:hunter@127.0.0.1:{port}", "the server", "the.setting")
    assert (len(asked), elsewhere) == (1, [])


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000/health", "https://[::1]:5000/health?a=b"])
def test_an_address_without_a_user_stays_as_it_is(url: str) -> None:
    request = request_to(url, {"Comet-Workspace": "w"})
    assert request.full_url == url
    assert dict(request.header_items()) == {"Comet-workspace": "w"}
