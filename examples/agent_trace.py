"""An agent that traces itself: `python -m mlops_mcp.examples.agent_trace` prints its trace as a tree.

The agent opens its span with `OpikConnector`, notes a call of a language model, and sends its ids along with an MCP
call, so that the tool, the job behind it and the steps of the job hang below it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp import Client, StdioServerParameters

from ..config.load import load
from ..config.settings import Settings
from ..tools.observability.connector import OpikConnector


async def run(settings: Settings, rows: int = 500) -> str:
    """Let a scripted agent tune a model; the text of its trace."""
    home = {"MLOPS_HOME": str(settings.home)}
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "mlops_mcp.server", "serve"], env={**os.environ, **home}
    )
    async with OpikConnector(settings) as opik, Client(server) as client:
        async with opik.trace_agent("model_trainer", "tune", metadata={"goal": "a target worth calling"}) as agent:
            async with opik.trace_llm_call("claude-sonnet-4-5", agent, "Which algorithm for {rows} rows?") as llm:
                llm.set_output("LogisticRegression")
                llm.log_tokens(1200, 45)
            made = await _call(client, agent.meta, "generate_dataset", kind="e2i_classification", n_rows=rows)
            tuned = await _call(
                client, agent.meta, "tune_model",
                dataset=made["dataset"], target="target", algorithm="LogisticRegression", exclude=["hcp_id"],
                n_trials=2, wait_s=50,
            )  # fmt: skip
            agent.set_attribute("best", tuned["result"]["best_value"])
        await asyncio.to_thread(opik.close)
        opik.log_feedback(agent.trace_id, 0.9, "user")
        shown = await _call(client, {}, "get_trace", trace=f"trace:{agent.trace_id}")
    return str(shown["tree"])


async def _call(client: Client, meta: dict[str, str], tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments, meta=meta)  # type: ignore[arg-type]
    if result.is_error or not isinstance(result.structured_content, dict):
        raise RuntimeError(f"{tool}: {result.content}")
    found = result.structured_content
    if found.get("state") in ("queued", "running"):
        return await _call(client, meta, "get_job", job=found["job"], wait_s=50)
    return found


if __name__ == "__main__":
    print(asyncio.run(run(load().settings)))
