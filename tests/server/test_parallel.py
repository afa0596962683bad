"""Calls that run at the same time answer as they do one after the other."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

pytestmark = pytest.mark.slow


async def test_200_parallel_mixed_calls_answer_like_serial_ones(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "loans.csv"
    file.write_text("when,amount,bad\n" + "".join(f"2024-01-{day:02},{day * 10},{day % 2}\n" for day in range(1, 29)))
    loans = (await client.call_tool("load_dataset", {"path": str(file)})).structured_content
    assert loans
    handle = loans["dataset"]
    split = {"dataset": handle, "strategy": "time", "column": "when"}
    await client.call_tool("split_dataset", split)
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("describe_dataset", {"dataset": handle}),
        ("describe_dataset", {"dataset": handle, "columns": ["amount"]}),
        ("describe_dataset", {"dataset": "lonas"}),
        ("split_dataset", split),
        ("split_dataset", {"dataset": handle, "strategy": "stratified", "column": "bda"}),
        ("list_jobs", {}),
        ("get_job", {"job": "job:none"}),
        ("get_lineage", {"handle": handle}),
        ("load_dataset", {"path": str(file)}),
        ("load_dataset", {"pth": str(file)}),
    ]

    async def answer(kind: tuple[str, dict[str, Any]]) -> tuple[bool | None, str]:
        result = await client.call_tool(*kind)
        return result.is_error, re.sub(r'"created":"[^"]*"', "", str(result.content))

    serial = [await answer(kind) for kind in kinds]
    parallel = await asyncio.gather(*(answer(kind) for _ in range(20) for kind in kinds))
    assert parallel == serial * 20
    assert [failed for failed, _ in serial].count(True) == 4
