"""How pages ask: the clients of the tools, in workers, and nothing where there is no store yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

import anyio.to_thread

from ...config.settings import Settings
from ...tools.errors import Unavailable
from ...tools.handles import Handle, parse, parse_model
from ...tools.runtime.calls.executor import CallCrashed, CallExecutor
from ...tools.runtime.work import Work
from ...tools.tracing.span import Span
from ...tools.tracking.backend import has_no_store

P = ParamSpec("P")
T = TypeVar("T")

# What some slices keep in one file; a client that opened it would make it.
FILES = {"observability": "lineage.db", "jobs": "jobs.db"}
CRASHED = "It could not be read: the reading process met what it did not expect."


@dataclass(frozen=True)
class Asked:
    """What stands in the address of a page, each text as it was written there."""

    of: str = ""
    experiment: str = ""
    where: str = ""
    order: str = ""
    cursor: str = ""

    def handle(self, kind: str) -> str:
        """The thing that is asked for. Only a handle: what clients take beside it, such as a file, would be loaded.

        Raises:
            ToolFailure: it is none of this kind.
        """
        return str(parse(self.of, kind))

    def model(self) -> Handle:
        """The registered model that is asked for. Raises ToolFailure as `handle` does."""
        return parse_model(self.of)


@dataclass(frozen=True)
class Sources:
    """The settings of the installation, and the workers that read it."""

    settings: Settings
    calls: CallExecutor

    @classmethod
    def of(cls, settings: Settings) -> Sources:
        """Workers that trace nothing: a page that is looked at leaves no trace."""
        return cls(settings, CallExecutor(settings, _forget))

    async def read(
        self, toolset: str, function: Callable[Concatenate[Work, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What a client answers in a worker of its slice.

        Raises:
            ToolFailure: what it says of what it cannot read.
        """
        try:
            return await self.calls.call(toolset, function, *args, **kwargs)
        except CallCrashed as crashed:
            raise Unavailable(CRASHED, "The log of `mlops-mcp ui` says what.") from crashed

    async def look(self, function: Callable[[Settings], T]) -> T:
        """What a function that imports nothing finds, in a thread."""
        return await anyio.to_thread.run_sync(function, self.settings)

    def is_empty(self, toolset: str) -> bool:
        """Whether nothing can be there to read, since nobody has made its store."""
        if toolset == "tracking":
            return has_no_store(self.settings)
        if toolset == "jobs" and self.settings.job_store:
            return False
        file = FILES.get(toolset)
        return file is not None and not (self.settings.home / file).exists()


def _forget(_span: Span) -> None: ...
