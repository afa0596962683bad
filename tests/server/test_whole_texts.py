"""Half of a character, which JSON can write and nothing else takes, is refused wherever a text is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import JsonValue

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.spec import Toolset, writes

from .access.conftest import META, VERSION, Door, answer_of, opened

HALVES = ("\ud800", "a\udfffb", "\udc00\ud800")


async def make(
    text: str = "",
    texts: list[str] | None = None,
    anything: JsonValue = None,
    options: dict[str, JsonValue] | None = None,
) -> str:
    """Make something."""
    return f"{text} {texts} {anything} {options}"


def calls(half: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    return (
        ("make", {"text": half}), ("make", {"texts": ["a", half]}), ("make", {"texts": f'["{half}"]'}),
        ("make", {"texts": '["\\ud800"]'}), ("make", {"options": '{"a": ["\\udc00"]}'}),
        ("make", {"anything": {"a": [{half: 1}]}}), ("make", {"options": {"a": {"b": half}}}),
        ("make", {"idempotency_key": half}), ("make", {half: 1}), ("query_dataset", {"sql": f"select '{half}'"}),
        ("get_lineage", {"handle": f"dataset:{half}"}), ("delete", {"handle": ["run:a", half]}),
        ("train_model", {"dataset": "a.csv", "target": half}), ("log_run", {"run": "run:a", "tags": {half: "b"}}),
    )  # fmt: skip


async def asked(door: Door, method: str, **params: Any) -> Any:
    """The result or the error; half of a character goes over the wire as JSON escapes it."""
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}})
    headers = {
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION, "Mcp-Method": method, "Mcp-Name": params["name"],
    }  # fmt: skip
    return answer_of(await door.http.post("/mcp", content=text, headers=headers))


@pytest.mark.parametrize("half", HALVES)
async def test_half_of_a_character_is_refused_in_every_text_of_a_call(settings: Settings, half: str) -> None:
    async with opened(settings, Toolset("probe", "Probes.", (writes(make, "Make"),))) as door:
        for tool, arguments in calls(half):
            answer = await asked(door, "tools/call", name=tool, arguments=arguments)
            said = answer["content"][0]["text"]
            assert (tool, answer["isError"], "half of a character, \\u" in said) == (tool, True, True), said
        refusal = await asked(door, "prompts/get", name="train_to_serve", arguments={"dataset": half})
        assert "half of a character" in refusal["message"]
        whole = {"text": "\U0001f600", "texts": '["\\ud83d\\ude00"]'}
        assert not (await asked(door, "tools/call", name="make", arguments=whole))["isError"]
