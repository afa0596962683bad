"""The lines of stdin, through the process that a user starts: each request is answered, whatever is wrong with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.server.stdio import Refused, parsed, sent_id

DEEP = b'{"id":"deep","jsonrpc":"2.0","method":"ping","params":{"id":3,"a":' + b"[" * 300 + b"]" * 300 + b"}}"
REFUSED: dict[str, tuple[bytes, int, str | int | None]] = {
    "half a character": (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":"\\ud83d"}}', -32700, 7),
    "half a character before the id": (
        b'{"method":"ping","params":{"a":"\\ud83d"},"id":"b","jsonrpc":"2.0"}',
        -32700,
        "b",
    ),
    "half a character as the id": (b'{"jsonrpc":"2.0","id":"\\ud83d","method":"ping"}', -32700, None),
    "a deep nesting": (DEEP, -32700, "deep"),
    "a byte that is not UTF-8": (b'{"jsonrpc":"2.0","id":8,"method":"ping","params":{"a":"\xe9"}}', -32700, 8),
    "no JSON": (b"hello", -32700, None),
    "the beginning of a request": (b'{"jsonrpc":"2.0","id":9,"method":"pi', -32700, 9),
    "an unquoted key": (b'{jsonrpc:"2.0","id":10,"method":"ping"}', -32700, 10),
    "a list": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
    "a number": (b"5", -32600, None),
    "another version": (b'{"jsonrpc":"1.0","id":11,"method":"ping"}', -32600, 11),
    "parameters in a list": (b'{"jsonrpc":"2.0","id":12,"method":"ping","params":[1]}', -32600, 12),
    "a method that is no text": (b'{"jsonrpc":"2.0","id":13,"method":5}', -32600, 13),
    "no method": (b'{"jsonrpc":"2.0","id":14}', -32600, 14),
    "null as the id": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    "a fraction as the id": (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
    "a response of no request": (b'{"jsonrpc":"2.0","id":15,"result":5}', -32600, None),
}
MODERN = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class Peer:
    """A client that writes its lines by hand."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def say(self, line: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, number: int, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        self.say(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}).encode())
        return self.hear()


@pytest.fixture
def peer(environ: dict[str, str], tmp_path: Path) -> Generator[Peer]:
    with subprocess.Popen(
        [sys.executable, "-m", "mlops_mcp.server", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", "MLOPS_RUNTIME__PRELOAD": "false", **environ},
        cwd=tmp_path,
    ) as process:
        yield Peer(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_each_line_that_is_refused_is_answered_by_its_id_and_the_server_goes_on(peer: Peer) -> None:
    assert peer.ask(1, "initialize", HELLO)["result"]
    for line, code, identity in REFUSED.values():
        peer.say(line)
        answer = peer.hear()
        assert (answer["jsonrpc"], answer["error"]["code"], answer["id"]) == ("2.0", code, identity)
    peer.say(b"")
    peer.say(b" \t ")
    peer.say(b'{"jsonrpc":"2.0","method":"notifications/initialized","params":{"id":5}}')
    assert peer.ask(2, "ping") == {"jsonrpc": "2.0", "id": 2, "result": {}}


@pytest.mark.slow
def test_a_line_that_is_refused_before_the_handshake_is_answered_too(peer: Peer) -> None:
    peer.say(REFUSED["half a character"][0])
    assert peer.hear()["id"] == 7
    assert peer.ask(1, "initialize", HELLO)["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.slow
def test_a_client_that_probes_and_falls_back_is_served_as_one_of_the_handshake_era(peer: Peer) -> None:
    assert "2026-07-28" in peer.ask(1, "server/discover", MODERN)["result"]["supportedVersions"]
    assert peer.ask(1, "initialize", HELLO)["result"]["protocolVersion"] == "2025-11-25"
    peer.say(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
    assert peer.ask(2, "tools/list")["result"]["tools"]
    assert peer.ask(3, "ping")["result"] == {}


@pytest.mark.slow
def test_a_client_that_falls_back_before_the_probe_is_answered_gets_both_answers(peer: Peer) -> None:
    for number, method, params in ((1, "server/discover", MODERN), (2, "initialize", HELLO)):
        peer.say(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode())
    answers = {answer["id"]: answer["result"] for answer in (peer.hear(), peer.hear())}
    assert answers[2]["protocolVersion"] == "2025-11-25"
    assert "supportedVersions" in answers[1]
    assert peer.ask(3, "tools/list")["result"]["tools"]


@pytest.mark.slow
def test_a_client_that_probes_and_stays_is_served_as_a_modern_one(peer: Peer) -> None:
    assert peer.ask(1, "server/discover", MODERN)["result"]
    assert peer.ask(2, "tools/list", MODERN)["result"]["ttlMs"] >= 0
    assert peer.ask(3, "initialize", HELLO)["error"]["code"] == -32022


@pytest.mark.parametrize(("line", "code", "identity"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused_is_told_without_quoting_it(line: bytes, code: int, identity: str | int | None) -> None:
    with pytest.raises(Refused) as caught:
        parsed(line)
    error = caught.value.answer.error
    assert (error.code, caught.value.answer.id) == (code, identity)
    assert "ping" not in error.message


def test_the_id_is_that_of_the_outermost_object() -> None:
    assert sent_id(b'{"params":{"id":1,"x":[{"id":2}]},"a":"\\"id\\":3","id" : 4,"method":"m"}') == 4
    assert sent_id(b'{"params":{"id":1},"method":"m"}') is None


@pytest.mark.timeout(60)
def test_no_long_line_takes_minutes_to_look_through() -> None:
    for piece in (b'"', b"[", b'{"id":', b'\\"', b'"a":', b'"a" ', b'{"a":"'):
        assert sent_id(piece * (400_000 // len(piece))) is None


def test_an_id_is_seen_however_its_name_is_written_and_of_two_objects_it_is_that_of_the_first() -> None:
    with pytest.raises(Refused):
        parsed(b'{"jsonrpc":"2.0","\\u0069d":12.5,"method":"ping"}')
    assert sent_id(b'{"id":1,"method":"ping"}{"id":2,"method":"ping"}') == 1
