"""What a server settles before it promises anything."""

import gc
import os
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.server import cli
from mlops_mcp.server.transports import require_home
from mlops_mcp.server.web import allowed_hosts


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="set MLOPS_HOME"):
        require_home(tmp_path / "file")


def of_somebody_else(tmp_path: Path) -> Path:
    """A folder of another user, if there is a way to have one."""
    if os.geteuid():
        return Path("/usr")
    other = tmp_path / "other"
    other.mkdir()
    os.chown(other, 12345, 12345)
    return other


def test_a_home_of_somebody_else_is_refused_also_behind_a_link(tmp_path: Path) -> None:
    other = of_somebody_else(tmp_path)
    (tmp_path / "link").symlink_to(other)
    for home in (other, tmp_path / "link"):
        with pytest.raises(SettingsError, match=r"belongs to user .*set MLOPS_HOME to a folder of your own"):
            require_home(home)


def test_a_home_that_others_may_enter_is_closed_to_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    require_home(home)
    assert home.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(home)
    require_home(tmp_path / "link")


@pytest.mark.parametrize("name", ["a%20b", "what?", "no#1"])
def test_a_home_that_database_addresses_cannot_carry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="choose another"):
        load({"MLOPS_HOME": str(tmp_path / name)})


def test_hosts_are_answered_with_and_without_a_port(environ: dict[str, str]) -> None:
    flags = {"server.allowed_hosts": ["mlops.example.org", "ml.example.org:8443"], "server.host": "::1"}
    hosts = allowed_hosts(load(environ, flags).settings.server)
    assert {"127.0.0.1", "127.0.0.1:*", "[::1]", "[::1]:*", "mlops.example.org", "mlops.example.org:*"} <= set(hosts)
    assert "ml.example.org:8443" in hosts
    assert "ml.example.org:8443:*" not in hosts


def test_a_thread_hands_the_interpreter_over_soon_once_a_server_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = list[float]()
    monkeypatch.setattr("mlops_mcp.server.transports.serve", lambda *_: seen.append(sys.getswitchinterval()))
    before = sys.getswitchinterval()
    sys.setswitchinterval(10 * cli.HANDOVER_S)
    try:
        cli._serve(Namespace(transport="stdio"), load({"MLOPS_HOME": str(tmp_path), "MLOPS_CONFIG": os.devnull}))  # pyright: ignore[reportPrivateUsage]
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()
    assert seen == [pytest.approx(cli.HANDOVER_S)]
