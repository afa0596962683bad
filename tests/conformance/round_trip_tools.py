"""The tools that answer with a question first, as the modern era has it (`input_required`)."""

from __future__ import annotations

import json
from typing import Any

from mcp.types import CreateMessageResult, InputRequest, InputRequiredResult, ListRootsRequest, TextContent

from mlops_mcp.tools.spec import Toolset, reads

from .pieces import Ctx, answers, field_of, form, prompt, said

Answered = TextContent | InputRequiredResult


def _ask(state: str | None = None, **questions: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=questions, request_state=state)


async def test_input_required_result_elicitation(ctx: Ctx) -> Answered:
    """Ask for a name."""
    name = field_of(ctx, "user_name", "name")
    return said(f"Hello, {name}!") if name else _ask(user_name=form("What is your name?", name="string"))


async def test_input_required_result_sampling(ctx: Ctx) -> Answered:
    """Ask the client's model."""
    answer = answers(ctx).get("capital_question")
    if isinstance(answer, CreateMessageResult):
        return said(f"The model said: {answer.content}")
    return _ask(capital_question=prompt("What is the capital of France?"))


async def test_input_required_result_list_roots(ctx: Ctx) -> Answered:
    """Ask for the client's folders."""
    answer = answers(ctx).get("client_roots")
    return said(f"{len(answer.roots)} roots") if answer else _ask(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(ctx: Ctx) -> Answered:
    """Ask, and know again what was asked."""
    if "confirm" in answers(ctx) and ctx.request_state == "asked":
        return said("state-ok: confirmed")
    return _ask("asked", confirm=form("Go on?", ok="boolean"))


async def test_input_required_result_multiple_inputs(ctx: Ctx) -> Answered:
    """Ask three things at once."""
    questions: dict[str, Any] = {
        "user_name": form("What is your name?", name="string"),
        "greeting": prompt("Greet somebody"),
        "client_roots": ListRootsRequest(),
    }
    return said("all was answered") if questions.keys() <= answers(ctx).keys() else _ask("three", **questions)


async def test_input_required_result_multi_round(ctx: Ctx) -> Answered:
    """Ask twice, one after the other."""
    known: dict[str, Any] = json.loads(ctx.request_state or "{}")
    if name := field_of(ctx, "step1", "name"):
        return _ask(json.dumps({"name": name}), step2=form("Your favourite colour?", color="string"))
    if known and (color := field_of(ctx, "step2", "color")):
        return said(f"{known['name']} likes {color}")
    return _ask(json.dumps({}), step1=form("What is your name?", name="string"))


async def test_input_required_result_tampered_state(ctx: Ctx) -> Answered:
    """Ask with a state that nobody may change."""
    if ctx.request_state:
        return said(f"state-ok: {ctx.request_state}")
    return _ask("untouched", confirm=form("Go on?", ok="boolean"))


async def test_input_required_result_capabilities(ctx: Ctx) -> Answered:
    """Ask only what the client can answer."""
    can = ctx.client_capabilities
    questions: dict[str, Any] = {
        **({"ask_model": prompt("Say hello")} if can and can.sampling is not None else {}),
        **({"ask_person": form("What is your name?", name="string")} if can and can.elicitation is not None else {}),
    }
    return said("answered") if answers(ctx) else _ask("asked", **questions)


TOOLSET = Toolset(
    name="conformance_round_trips",
    description="What the scenarios of questions call.",
    tools=tuple(
        reads(function, function.__name__)
        for function in (
            test_input_required_result_elicitation,
            test_input_required_result_sampling,
            test_input_required_result_list_roots,
            test_input_required_result_request_state,
            test_input_required_result_multiple_inputs,
            test_input_required_result_multi_round,
            test_input_required_result_tampered_state,
            test_input_required_result_capabilities,
        )
    ),
)
