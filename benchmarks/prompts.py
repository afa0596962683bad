"""What each prompt costs with the facts that it finds: `python -m benchmarks.prompts`.

A dataset is loaded and a run made in a folder that is thrown away; names that nothing stands for become sentences.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from mcp import Client
from mcp.types import GetPromptResult, TextContent

from mlops_mcp.config.load import load
from mlops_mcp.prompts.facts import MAX_TOKENS, tokens
from mlops_mcp.prompts.templates import NAMED, PROMPTS, PromptSpec
from mlops_mcp.server.app import create_server

LOANS = Path(__file__).parents[1] / "examples" / "credit_risk" / "loan_table.parquet"
GIVEN = {"goal": "predict which loans are not paid back", "target": "loan_status"}


async def known(client: Client) -> dict[str, str]:
    """What the prompts are given, by argument: two things that exist, and names of nothing."""
    made = (await client.call_tool("start_run", {"name": "baseline"})).structured_content or {}
    nothing = {name: f"{name}:nothing" for name in NAMED}
    return nothing | GIVEN | {"dataset": str(LOANS), "run": str(made["run"])}


async def rendered(client: Client, spec: PromptSpec, given: dict[str, str]) -> tuple[list[str], float]:
    """The texts of a prompt, and the seconds that it took."""
    begun = time.perf_counter()
    result = await client.get_prompt(spec.name, {name: given[name] for name in spec.takes if name in given})
    assert isinstance(result, GetPromptResult)
    texts = [each.content.text for each in result.messages if isinstance(each.content, TextContent)]
    return texts, time.perf_counter() - begun


async def main(home: Path) -> None:
    settings = load({"MLOPS_HOME": str(home)}, {"data.roots": [str(LOANS.parent)]}).settings
    server, example = create_server(settings), ""
    async with server.services.running(), Client(server, read_timeout_seconds=600) as client:
        given = await known(client)
        print(f"{'prompt':<26}{'tokens':>7}{'facts':>7}{'seconds':>9}   (facts: at most {MAX_TOKENS})")
        for spec in PROMPTS:
            (text, *facts), seconds = await rendered(client, spec, given)
            found = "\n".join(facts)
            print(f"{spec.name:<26}{tokens(text):>7}{tokens(found):>7}{seconds:>9.2f}")
            example = example or found
    print(f"\nThe facts of {PROMPTS[0].name}:\n\n{example}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
