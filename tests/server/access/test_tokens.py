"""The tokens of a state folder: what is kept of them, and what a running server makes of a changed file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.settings import Settings
from mlops_mcp.server.access.callers import Callers
from mlops_mcp.server.access.gate import is_loopback, require_lock
from mlops_mcp.server.access.tokens import FILE, Tokens
from mlops_mcp.server.cli import main
from mlops_mcp.tools.runtime.identity import Identity
from mlops_mcp.tools.tracing.redaction import redact


def test_a_token_is_shown_once_and_only_its_digest_is_kept_in_a_private_file(tmp_path: Path) -> None:
    token = Tokens(tmp_path).make("ann", "write")
    file = tmp_path / FILE
    assert len(token) > 40
    assert token not in file.read_text(encoding="utf-8")
    assert token not in redact(f"it is {token}, alone")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Tokens(tmp_path).identity(token) == Identity("ann", "write")
    for other in ("", token[:-1], token + "x", token.lower(), "é" * 40):
        assert Tokens(tmp_path).identity(other) is None


def test_two_tokens_have_two_names(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    tokens.make("ann", "read")
    with pytest.raises(SettingsError, match="there is a token ann already"):
        tokens.make("ann", "admin")
    for name in ("", "a b", "../x", "-x", "a" * 64, "a\n"):
        with pytest.raises(SettingsError, match="is no name"):
            tokens.make(name, "read")
    with pytest.raises(SettingsError, match="no token 'bob'; there are: ann"):
        tokens.revoke("bob")


def test_a_server_that_runs_sees_new_and_revoked_tokens_and_stays_closed_after_the_last(tmp_path: Path) -> None:
    running = Tokens(tmp_path)
    assert not running.required
    token = Tokens(tmp_path).make("ann", "read")
    assert running.required
    assert running.identity(token) == Identity("ann", "read")
    Tokens(tmp_path).revoke("ann")
    assert (running.identity(token), running.required) == (None, True)
    (tmp_path / FILE).unlink()
    assert (running.identity(token), running.required) == (None, True)


def test_a_file_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = tokens.make("ann", "read")
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    for broken in ("", "{", text.replace("read", "root"), text.replace('"ann"', '"ann","more":1')):
        (tmp_path / FILE).write_text(broken, encoding="utf-8")
        assert Tokens(tmp_path).required
        assert Tokens(tmp_path).identity(token) is None
        with pytest.raises(SettingsError, match="cannot be read"):
            Tokens(tmp_path).make("bob", "read")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org", ""])
def test_listening_elsewhere_takes_a_token_or_the_word_of_the_operator(settings: Settings, host: str) -> None:
    callers = Callers(settings)
    options = settings.server.model_copy(update={"host": host})
    with pytest.raises(SettingsError, match="mlops-mcp token new"):
        require_lock(options, callers)
    require_lock(options.model_copy(update={"insecure": True}), callers)
    callers.tokens.make("ann", "read")
    require_lock(options, callers)
    callers.tokens.revoke("ann")
    with pytest.raises(SettingsError, match="--insecure"):
        require_lock(options, callers)


def test_a_server_of_this_machine_that_others_reach_through_a_proxy_takes_a_token_too(settings: Settings) -> None:
    named = ({"allowed_hosts": ("localhost:8765", given)} for given in ("mlops.example.org", "10.0.0.1:*", "[fe80::1]"))
    cases: list[dict[str, Any]] = [{"public_url": "https://mlops.example.org"}, {"behind_proxy": ("127.0.0.1/32",)}]
    for public in (*cases, *named):
        options = settings.server.model_copy(update=public)
        with pytest.raises(SettingsError, match="mlops-mcp token new"):
            require_lock(options, Callers(settings))
    own = {"public_url": "http://localhost:8765", "allowed_hosts": ("localhost:8765", "127.0.0.1", "[::1]:*", "")}
    require_lock(settings.server.model_copy(update=own), Callers(settings))


def test_this_machine_alone_needs_none(settings: Settings) -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
        require_lock(settings.server.model_copy(update={"host": host}), Callers(settings))


def test_the_command_line_makes_lists_and_revokes(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["token", "new", "--name", "ann", "--scope", "read"]) == 0
    token = capsys.readouterr().out.strip()
    home = Path(os.environ["MLOPS_HOME"])
    assert Tokens(home).identity(token) == Identity("ann", "read")
    assert main(["token", "list"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["ann", "read"]
    assert main(["token", "revoke", "ann"]) == 0
    assert main(["token", "revoke", "ann"]) == 2
    said = capsys.readouterr().err
    assert "No token is left" in said
    assert "there is no token 'ann'" in said


def test_the_process_ends_before_it_listens_where_others_could_come_in(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--transport", "http", "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "token new" in capsys.readouterr().err
