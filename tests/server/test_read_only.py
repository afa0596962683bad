"""A read-only server changes nothing, whatever its tools are asked."""

from pathlib import Path

import pytest
from mcp import Client

from mlops_mcp.config.settings import Settings
from mlops_mcp.server.app import create_server

pytestmark = pytest.mark.slow


async def test_a_read_only_server_stores_no_file_on_the_way(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n1\n2\n", encoding="utf-8")
    only = settings.model_copy(update={"server": settings.server.model_copy(update={"read_only": True})})
    server = create_server(only)
    async with server.services.running(), Client(server) as client:
        answer = await client.call_tool("describe_dataset", {"dataset": str(tmp_path / "rows.csv")})
    assert answer.is_error
    assert "read-only" in answer.content[0].model_dump_json()
    assert not (settings.home / "datasets").exists()
