"""Tools that a policy may forbid, and settings with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.types import TextContent
from pydantic import BaseModel, JsonValue

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.spec import Toolset, reads, writes


class Step(BaseModel):
    path: str = "here"
    force: bool = True


Stage = Literal["Staging", "Production"]
Ruled = Callable[[str], Settings]


class Probe:
    """Tools that note what they were let do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @property
    def toolset(self) -> Toolset:
        async def wipe(
            target: str | list[str],
            dry_run: bool = True,
            size: int = 1,
            stage: Stage = "Staging",
            steps: list[Step] | None = None,
            options: dict[str, JsonValue] | None = None,
        ) -> str:
            """Wipe something."""
            self.done.append("wipe")
            return f"wiped {target} {dry_run} {size} {stage} {steps} {options}"

        async def look(name: str = "") -> str:
            """Look at something."""
            self.done.append("look")
            return name

        tools = (writes(wipe, "Wipe", destructive=True), reads(look, "Look"))
        return Toolset("probe", "Probes.", tools)


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def ruled(settings: Settings, tmp_path: Path) -> Ruled:
    """The settings with a policy."""

    def write(text: str) -> Settings:
        (tmp_path / "policy.yaml").write_text(text)
        server = settings.server.model_copy(update={"policy": str(tmp_path / "policy.yaml")})
        return settings.model_copy(update={"server": server})

    return write


async def said(client: Client, tool: str = "wipe", **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert isinstance(answer.content[0], TextContent)
    return ("refused: " if answer.is_error else "") + answer.content[0].text
