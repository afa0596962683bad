from string import Template

import pytest
from mcp import Client, MCPError
from mcp.types import TextContent

from mlops_mcp.prompts.templates import OF_AGENTS, PROMPTS, PromptSpec, render
from mlops_mcp.tools import wire

every_prompt = pytest.mark.parametrize("spec", PROMPTS, ids=lambda spec: spec.name)


@every_prompt
def test_a_template_uses_exactly_the_arguments_that_are_declared(spec: PromptSpec) -> None:
    text = render(spec, {name: f"<{name}>" for name in spec.arguments})
    assert all(f"<{name}>" in text for name in spec.arguments)
    assert not Template(text).get_identifiers()


@every_prompt
def test_a_prompt_names_only_tools_that_exist(spec: PromptSpec) -> None:
    import re

    tools = {tool for tools in wire.index().values() for tool in tools}
    assert set(spec.tools) <= tools
    named = set(re.findall(r"`([a-z]+_[a-z_]+|predict)`", render(spec, dict.fromkeys(spec.arguments, "x"))))
    assert named - set(spec.tools) == set()


async def test_prompts_are_listed_with_their_arguments_and_rendered(client: Client) -> None:
    listed = (await client.list_prompts()).prompts
    assert [prompt.name for prompt in listed] == [spec.name for spec in PROMPTS]
    told = {prompt.name: {each.name: each.required for each in prompt.arguments or []} for prompt in listed}
    assert told.pop("train_to_serve") == {"dataset": True, "target": True, "metric": False}
    assert all(list(arguments)[:2] == ["goal", "known"] for arguments in told.values())
    assert all(required == (name == "goal") for each in told.values() for name, required in each.items())
    assert {name: tuple(each)[2:] for name, each in told.items()} == OF_AGENTS
    assert all(each.description for prompt in listed for each in prompt.arguments or [])
    message = (await client.get_prompt("train_to_serve", {"dataset": "a.csv", "target": "y"})).messages[0]
    assert isinstance(message.content, TextContent)
    assert "a.csv" in message.content.text


@every_prompt
def test_what_may_be_left_out_has_words_that_stand_in_its_place(spec: PromptSpec) -> None:
    given = {name: "given" for name, argument in spec.arguments.items() if argument.required}
    defaults = [argument.default for argument in spec.arguments.values() if not argument.required]
    assert defaults
    assert all(default in render(spec, given) for default in defaults)
    assert render(spec, given | dict.fromkeys(spec.arguments.keys() - given.keys(), "")) == render(spec, given)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("train_to_srve", {}, "Did you mean train_to_serve"),
        ("train_to_serve", {"dataset": "a.csv"}, "needs target"),
        ("train_to_serve", {"dataset": "a.csv", "target": "y", "tagret": "z"}, "unknown argument"),
    ],
)
async def test_a_wrong_prompt_call_says_what_is_right(
    client: Client, name: str, arguments: dict[str, str], says: str
) -> None:
    with pytest.raises(MCPError, match=says):
        await client.get_prompt(name, arguments)
