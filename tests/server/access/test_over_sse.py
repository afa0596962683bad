"""The older transport asks for tokens as the newer one does, in both eras."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from mlops_mcp.server.access.tokens import Tokens
from mlops_mcp.tools import wire

from ..conftest import Served

pytestmark = pytest.mark.slow


async def said(client: Client) -> str:
    """What is answered to a call that the scope does not reach: 403 over HTTP, an error of the tool over SSE."""
    try:
        return (await client.call_tool("delete", {"handle": "run:x"})).content[0].model_dump_json()
    except MCPError as error:
        return str(error)


READS = {name for names in wire.index().values() for name in names if wire.shipped(name)["annotations"]["readOnlyHint"]}
MODES: tuple[Literal["legacy", "auto"], ...] = ("legacy", "auto")


async def test_a_token_of_scope_read_reads_and_no_more_over_both_transports_and_in_both_eras(
    served: Served, environ: dict[str, str]
) -> None:
    token = Tokens(Path(environ["MLOPS_HOME"])).make("ann", "read")
    headers = {"Authorization": f"Bearer {token}"}
    async with served("http") as (_, url), httpx2.AsyncClient(headers=headers) as http:
        sse_url = url.replace("/mcp", "/sse")
        for mode in MODES:
            for transport in (sse_client(sse_url, headers=headers), streamable_http_client(url, http_client=http)):
                async with Client(transport, mode=mode) as client:
                    assert {tool.name for tool in (await client.list_tools()).tools} == READS
                    assert "needs a token of scope admin; that of ann is read" in await said(client)
        async with httpx2.AsyncClient() as stranger:
            for path in (sse_url, url, sse_url.replace("/sse", "/messages/")):
                assert (await stranger.get(path)).status_code == 401
