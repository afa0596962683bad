"""What a server settles before it promises anything."""

from pathlib import Path

import pytest

from mlops_mcp.config.errors import SettingsError
from mlops_mcp.config.load import load
from mlops_mcp.server.transports import require_home
from mlops_mcp.server.web import allowed_hosts


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="set MLOPS_HOME"):
        require_home(tmp_path / "file")


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
