"""What each prompt costs with the facts that it finds: `python -m benchmarks.prompts`.

In a folder that is thrown away, loans are validated, a model is searched for, trained, explained and registered first.
An endpoint there is none: that becomes a sentence.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import GetPromptResult, TextContent

from mlops_mcp.config.load import load
from mlops_mcp.prompts.facts import MAX_TOKENS, tokens
from mlops_mcp.prompts.templates import PROMPTS, PromptSpec
from mlops_mcp.server.app import create_server

LOANS = Path(__file__).parents[1] / "examples" / "credit_risk" / "loan_table.parquet"
FEATURES = ["person_age", "person_income", "loan_amnt", "loan_int_rate"]
GIVEN = {"goal": "predict which loans are not paid back", "target": "loan_status"}


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Of a job what it has made, however long it takes."""
    result = await client.call_tool(tool, arguments)
    found = result.structured_content or {}
    if found.get("state") in ("queued", "running"):
        return await answer(client, "get_job", job=found["job"], wait_s=50)
    assert not result.is_error, result.content
    return dict(found.get("result") or found)


async def known(client: Client) -> dict[str, str]:
    """What the prompts are given, by argument; it is looked up once, so that no prompt waits for an import."""
    about = {"dataset": str(LOANS), "target": GIVEN["target"]}
    task = about | {"algorithm": "LogisticRegression", "features": FEATURES}
    rules = [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "loan_int_rate", "max_value": 20}}]
    await answer(client, "create_suite", name="loans", expectations=rules)
    judged = await answer(client, "validate_dataset", dataset=str(LOANS), suite="loans")
    found = await answer(client, "tune_model", **task, n_trials=8)
    trained = await answer(client, "train_model", **task)
    version = await answer(client, "register_model", model=trained["model"], name="credit")
    explained = await answer(client, "explain_model", model=trained["model"], dataset=str(LOANS), n_rows=200)
    traces = await answer(client, "search_traces", search="train_model", limit=1)
    await answer(client, "describe_dataset", **about)
    made = {
        "validation": judged["validation"], "study": found["study"], "run": trained["run"], "model": version["model"],
        "explanation": explained["explanation"], "trace": traces["items"][0]["trace"], "endpoint": "endpoint:nothing",
    }  # fmt: skip
    return {**GIVEN, "dataset": str(LOANS), **made}


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
