"""What a server and the libraries below it write is its user's alone, whatever the umask it was started with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("load_dataset", {"path": "rows.csv"}),
    ("create_suite", {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "x"}}]}),
    ("validate_dataset", {"dataset": "rows", "suite": "s"}),
    ("start_run", {"experiment": "e", "name": "r"}),
)


@pytest.mark.slow
async def test_everything_below_the_state_folder_is_private_under_an_open_umask(
    environ: dict[str, str], tmp_path: Path
) -> None:
    rows = str(tmp_path / "rows.csv")
    Path(rows).write_text("x\n1\n2\n")
    toolsets = " ".join(f"--toolset {name}" for name in ("data", "quality", "tracking"))
    start = f'umask 000; exec "$0" -m mlops_mcp.server serve --root "$PWD" {toolsets}'
    server = StdioServerParameters(
        command="/bin/sh",
        args=["-c", start, sys.executable],
        env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}-user", **environ},
        cwd=tmp_path,
    )
    async with Client(server) as client:
        answers: dict[str, dict[str, Any]] = {}
        for name, arguments in CALLS:
            answer = await client.call_tool(name, {**arguments, "path": rows} if "path" in arguments else arguments)
            assert not answer.is_error, answer.content
            answers[name] = answer.structured_content or {}
        run = answers["start_run"]["run"]
        logged = await client.call_tool("log_artifact", {"run": run, "path": rows})
        assert not logged.is_error, logged.content
    home = Path(environ["MLOPS_HOME"])
    found = [home, *home.rglob("*")]
    assert {"mlflow.db", "rows.csv"} <= {path.name for path in found}
    assert [str(path) for path in found if path.lstat().st_mode & 0o077 and not path.is_symlink()] == []
