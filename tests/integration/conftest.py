"""Call tools as an agent does: over MCP, following jobs to their end."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mcp import Client
from mcp.types import TextContent

from ..copies import copied
from .slices import prepare

ROOT = Path(__file__).parents[2]
LOANS = ROOT / "examples" / "credit_risk" / "loan_table.parquet"
ZIPCODES = ROOT / "examples" / "credit_risk" / "zipcode_table.parquet"

Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def call(client: Client) -> Call:
    """The structured result of a tool; of a job, what it made. An error of the tool fails the test."""

    async def run(tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await client.call_tool(tool, arguments)
        text = " ".join(block.text for block in answer.content if isinstance(block, TextContent))
        assert not answer.is_error, f"{tool}: {text}"
        found = answer.structured_content
        assert isinstance(found, dict)
        if "job" in found and found.get("state") in ("queued", "running"):
            return await run("get_job", job=found["job"], wait_s=50)
        return found["result"] if "job" in found else found

    return run


@pytest.fixture
def refusal(client: Client) -> Callable[..., Awaitable[str]]:
    """The text with which a tool refuses."""

    async def run(tool: str, **arguments: Any) -> str:
        answer = await client.call_tool(tool, arguments)
        assert answer.is_error, f"{tool} took {arguments}"
        return " ".join(block.text for block in answer.content if isinstance(block, TextContent))

    return run


@pytest.fixture
def loans(tmp_path: Path) -> str:
    """3,000 of the real loans."""
    path = tmp_path / "loans.parquet"
    pd.read_parquet(LOANS).sample(3000, random_state=0).to_parquet(path, index=False)
    return str(path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a dataset, a feature view, a registered model and a study."""
    home = tmp_path_factory.mktemp("prepared")
    asyncio.run(prepare(home))
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Path:
    return copied(prepared, tmp_path / "home")
