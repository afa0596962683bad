"""Publish the prompts of the catalogue; arguments are checked here, where an error can name them."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import INVALID_PARAMS, GetPromptResult, InputRequiredResult, PromptArgument, PromptMessage, TextContent
from mcp.types import Prompt as WirePrompt

from ..prompts.templates import PromptSpec, render
from ..tools.errors import ToolFailure, unknown
from .arguments import require_whole
from .services import Services


class PromptHost(MCPServer[Services]):
    """A server whose own prompts are data; others may be added as the SDK has them.

    A prompt changes nothing, so that every caller is given all of them.
    """

    def __init__(self, prompts: Sequence[PromptSpec], **options: Any) -> None:
        with _rich_kept_out():
            super().__init__(**options)
        self.own_prompts = prompts

    async def facts(self, spec: PromptSpec, given: Mapping[str, str], context: Context[Services, Any] | None) -> str:
        """What is known of the things that a prompt was given."""
        return ""

    async def list_prompts(self) -> list[WirePrompt]:
        return [*map(_wire, self.own_prompts), *await super().list_prompts()]

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Services, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        spec = next((spec for spec in self.own_prompts if spec.name == name), None)
        if spec is None and self._prompt_manager.get_prompt(name):
            return await super().get_prompt(name, arguments, context)
        if spec is None:
            valid = (spec.name for spec in self.own_prompts)
            raise MCPError(code=INVALID_PARAMS, message=str(unknown("prompt", name, valid)))
        given = {key: str(value) for key, value in (arguments or {}).items()}
        _require(spec, given)
        # Apart from the prompt itself: what comes out of data stands in no sentence of ours.
        texts = (render(spec, given), await self.facts(spec, given, context))
        return GetPromptResult(description=spec.description, messages=[_said(text) for text in texts if text])


def _said(text: str) -> PromptMessage:
    return PromptMessage(role="user", content=TextContent(type="text", text=text))


def _require(spec: PromptSpec, given: dict[str, str]) -> None:
    try:
        require_whole(spec.name, given)
    except ToolFailure as failure:
        raise MCPError(code=INVALID_PARAMS, message=str(failure)) from failure
    for name in given:
        if name not in spec.takes:
            raise MCPError(code=INVALID_PARAMS, message=str(unknown(f"argument of {spec.name}", name, spec.takes)))
    if missing := [name for name, argument in spec.takes.items() if argument.required and not given.get(name)]:
        raise MCPError(code=INVALID_PARAMS, message=f"{spec.name} needs {', '.join(missing)}")


def _wire(spec: PromptSpec) -> WirePrompt:
    return WirePrompt(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        arguments=[
            PromptArgument(name=name, description=argument.description, required=argument.required)
            for name, argument in spec.takes.items()
        ],
    )


@contextmanager
def _rich_kept_out() -> Generator[None]:
    """The SDK's constructor imports rich for a log handler that is not used: logging is configured already."""
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = cast(ModuleType, None)  # an import of it fails, which the SDK is prepared for
    try:
        yield
    finally:
        del sys.modules["rich"]
