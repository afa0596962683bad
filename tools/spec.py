"""A tool is data: one async function and how it behaves. Registration is a separate step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from mcp.server.mcpserver import Resolve

from .runtime.door import Door
from .runtime.models import JobView

DOOR: ContextVar[Door] = ContextVar("mlops_mcp_door")


async def _opened() -> Door:
    return DOOR.get()


# The first parameter of every tool; it never appears on the wire.
Through = Annotated[Door, Resolve(_opened)]


@dataclass(frozen=True)
class ToolSpec:
    function: Callable[..., Awaitable[Any]]
    title: str
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def takes_key(self) -> bool:
        """Whether the tool accepts an `idempotency_key`: repeating it anyway would not be harmless."""
        return not self.read_only and not self.idempotent

    @property
    def makes_job(self) -> bool:
        """Whether the answer is a job, whose table keeps the idempotency keys of such tools itself."""
        answer = get_type_hints(self.function)["return"]
        return isinstance(answer, type) and issubclass(answer, JobView)

    @property
    def starts_job(self) -> bool:
        """Whether it is long work, which takes a budget; tools of the jobs slice only look at such."""
        return self.makes_job and "job" not in get_type_hints(self.function)


@dataclass(frozen=True)
class Toolset:
    """What a slice offers."""

    name: str
    description: str
    tools: tuple[ToolSpec, ...]


def reads(function: Callable[..., Awaitable[Any]], title: str, *, open_world: bool = False) -> ToolSpec:
    """A tool that changes nothing."""
    return ToolSpec(function, title, True, False, True, open_world)


def writes(
    function: Callable[..., Awaitable[Any]],
    title: str,
    *,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
) -> ToolSpec:
    """A tool that makes or changes something.

    Args:
        destructive: it ends or replaces what was there.
        idempotent: calling it twice with the same arguments is the same as once.
        open_world: it reaches beyond this installation.
    """
    return ToolSpec(function, title, False, destructive, idempotent, open_world)
