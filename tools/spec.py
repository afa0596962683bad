"""A tool is data: one async function and how it behaves. Registration is a separate step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Image, Resolve
from mcp.types import CallToolResult
from pydantic import BaseModel

from .pictures import Picture
from .runtime.context import ToolContext

Job = Literal["long", "short"]

CONTEXT: ContextVar[ToolContext] = ContextVar("mlops_mcp_tool_context")


async def _context() -> ToolContext:
    return CONTEXT.get()


# The first parameter of every tool; it never appears on the wire.
Injected = Annotated[ToolContext, Resolve(_context)]


@dataclass(frozen=True)
class ToolSpec:
    """One tool: its function and what a client may expect of calling it.

    `job` says that the work is done by a job, and whether that is expected to be short: a tool that starts one takes a
    budget, and the job table keeps its idempotency keys.
    """

    function: Callable[..., Awaitable[Any]]
    title: str
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool
    job: Job | None = None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def takes_key(self) -> bool:
        """Whether the tool accepts an `idempotency_key`: repeating it anyway would not be harmless."""
        return not self.read_only and not self.idempotent


@dataclass(frozen=True)
class Toolset:
    """What a slice, or a package from elsewhere, offers."""

    name: str
    description: str
    tools: tuple[ToolSpec, ...]


def reads(
    function: Callable[..., Awaitable[Any]], title: str, *, open_world: bool = False, job: Job | None = None
) -> ToolSpec:
    """A tool that changes nothing."""
    return ToolSpec(function, title, True, False, True, open_world, job)


def writes(
    function: Callable[..., Awaitable[Any]],
    title: str,
    *,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
    job: Job | None = None,
) -> ToolSpec:
    """A tool that makes or changes something.

    Args:
        destructive: it ends or replaces what was there.
        idempotent: calling it twice with the same arguments is the same as once.
        open_world: it reaches beyond this installation.
        job: it is done by a job, which is expected to be long or short.
    """
    return ToolSpec(function, title, False, destructive, idempotent, open_world, job)


def with_picture(result: BaseModel, picture: Picture | None) -> CallToolResult:
    """A result and, if there is one, a picture beside it; the tool is annotated with the type of the result.

    The numbers that the picture shows are in the result: some hosts show no pictures, some only what is structured.
    """
    shown = [Image(data=picture.data, format=picture.kind).to_image_content()] if picture else []
    return CallToolResult(content=list(shown), structured_content=result.model_dump(mode="json"))
