"""A home of a user whose clients may be set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_mcp.server.install.clients import Scope
from mlops_mcp.server.install.command import Request

MOVED = ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home; its path has a space and letters beyond ASCII."""
    home = tmp_path / "Zoë Núñez"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    for name in MOVED:
        monkeypatch.delenv(name, raising=False)
    return home


def asked(client: str, name: str = "mlops", scope: Scope = "user", **more: object) -> Request:
    """What the command line makes of `install CLIENT`."""
    return Request(**{"client": client, "name": name, "scope": scope, "dry_run": False, "force": False, **more})  # type: ignore[arg-type]
