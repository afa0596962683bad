"""Facts for a prompt: each is asked of a tool in the name of whoever asks for the prompt, all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError

from ..prompts.facts import FACTS, Fact, Row, section
from ..prompts.templates import PromptSpec
from ..tools.errors import ToolFailure
from ..tools.legible import legible_parts
from ..tools.runtime.calls.executor import CallCrashed, CallExecutor
from ..tools.tracing.span import current

# A prompt is waited for by a person, and is of use without its facts.
MOST_S = 20.0
Plainly = Callable[[CallExecutor, str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Read = Callable[[str, dict[str, Any]], Awaitable[Mapping[str, Any]]]


async def looked_up(spec: PromptSpec, given: Mapping[str, str], read: Read, most_s: float = MOST_S) -> str:
    """What is known of the things that a prompt was given; empty if it was given none.

    Args:
        read: asks a tool; what it may not be asked, or cannot say, becomes a sentence.
    """
    named = [name for name in spec.named if given.get(name)]
    facts = {name: FACTS[name] for name in named if name in FACTS}
    answers = await asyncio.gather(*(_rows(name, fact, given, read, most_s) for name, fact in facts.items()))
    told = {each for fact in facts.values() for each in fact.beside}
    alone = [(f"{name} {given[name]}", "") for name in named if name not in facts and name not in told]
    return section([*zip((_title(*each, given) for each in facts.items()), answers, strict=True), *alone])


def _title(name: str, fact: Fact, given: Mapping[str, str]) -> str:
    beside = "".join(f", {each} {given[each]}" for each in fact.beside if given.get(each))
    return f"{name} {given[name]}{beside} ({fact.tool})"


async def _rows(name: str, fact: Fact, given: Mapping[str, str], read: Read, most_s: float) -> Iterable[Row] | str:
    try:
        async with asyncio.timeout(most_s):
            return fact.rows(await read(fact.tool, fact.arguments(name, given)))
    except TimeoutError:
        return f"not looked up, since {fact.tool} took longer than {most_s:g} s"
    except (ToolFailure, ToolError) as failure:
        return f"not looked up: {failure}"
    except CallCrashed as error:  # it has been logged, and would be again
        return f"not looked up: {error.crash.hint(current().trace_id)}"


async def _importances(calls: CallExecutor, toolset: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    from ..tools.explain.kept import explained

    found = await calls.call(toolset, explained, given["explanation"])
    shown: Mapping[str, Any] = legible_parts(found.model_dump(mode="json"))
    return shown


async def _verdict(calls: CallExecutor, toolset: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    from ..tools.quality.failures import stored_validation

    found = await calls.call(toolset, stored_validation, given["validation"])
    shown: Mapping[str, Any] = legible_parts(found.model_dump(mode="json"))
    return shown


# Tools that do more than is wanted here, such as to draw or to keep rows, and what reads the same without it.
PLAINLY: Mapping[str, Plainly] = MappingProxyType({"plot_explanation": _importances, "get_validation": _verdict})
