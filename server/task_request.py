"""A request whose caller follows tasks, as the tool call sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.mcpserver import Context

from ..tools.runtime.context import JobHandoff
from .services import Services


@dataclass(kw_only=True)
class TaskRequest(ServerRequestContext[Services, Any]):
    """A call that answers with a task: where the job is noted that it makes."""

    handoff: JobHandoff = field(default_factory=JobHandoff)

    @classmethod
    def of(cls, request: ServerRequestContext[Services, Any]) -> TaskRequest:
        return cls(**vars(request))


def handoff_of(context: Context[Services, Any] | None) -> JobHandoff | None:
    """Where a call notes its job instead of waiting for it; None when it is to wait."""
    request = context.request_context if context else None
    return request.handoff if isinstance(request, TaskRequest) else None
