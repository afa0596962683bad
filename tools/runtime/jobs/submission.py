"""What is asked for when a job is submitted, and the row that this makes."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from ....config.settings import Settings
from ...errors import ToolFailure
from ...tracing.span import Carrier
from ..identity import acting
from ..models import Budget
from ..work import Work
from .functions import reference_of
from .launch import home_id, stored
from .table import NewJob

# A job that is ended after so long by its budget is a short one.
SHORT_S = 60.0


@dataclass(frozen=True)
class Submission:
    """The work `function(work, request)` in the name of a tool.

    `toolset` says whose rules of capture its spans follow, `once` that it must not be started a second time when its
    process dies, `short` that it is expected to be short, so it need not wait behind long work. `scope` says whose
    it is: neither the same `idempotency` key nor the same call of another caller is the same; without, nobody's is.
    `owner` is the name of its token, for whom the job is to be seen.
    """

    tool: str
    function: Callable[[Work, Any], Any]
    request: BaseModel
    toolset: str = ""
    once: bool = False
    budget: Budget = field(default_factory=Budget)
    short: bool = False
    idempotency: str = ""
    scope: str = ""
    owner: str = ""

    def row(self, settings: Settings, above: Carrier) -> NewJob:
        """What is queued, with the settings and the working directory of this process.

        Raises:
            ToolFailure: a number among the arguments is not finite, or the budget is more than a job may take.
        """
        budget = self.budget.within(settings.runtime.job_s)
        request, stored_settings = _exact(self.request), stored(_as_allowed(settings))
        return NewJob(
            tool=self.tool,
            toolset=self.toolset,
            function=reference_of(self.function),
            request=request,
            attempts=1 if self.once else settings.runtime.job_attempts,
            trace_id=above.trace_id,
            span_id=above.span_id,
            idempotency=f"{self.scope}:{self.tool}:{self.idempotency}" if self.idempotency else None,
            settings=stored_settings,
            folder=os.getcwd(),
            home=home_id(settings),
            budget=budget.model_dump_json(exclude_none=True),
            short=int(self.short or (self.budget.seconds or math.inf) <= SHORT_S),
            scope=self.scope,
            owner=self.owner,
            call=self._work(request, stored_settings) if self.scope and not self.idempotency else None,
        )

    def _work(self, request: str, stored_settings: str) -> str:
        """A digest of all that decides what the job does, whatever call of a tool asks for it and whichever server."""
        what = (version("mlops-mcp"), self.tool, reference_of(self.function), request, self.budget.model_dump_json())
        return hashlib.sha256(json.dumps((*what, stored_settings, os.getcwd())).encode()).hexdigest()


def _exact(request: BaseModel) -> str:
    """The request as JSON, which knows no infinity."""
    try:
        return json.dumps(request.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise ToolFailure("a number among the arguments is not finite", "Pass a finite one, or leave it out.") from None


def _as_allowed(settings: Settings) -> Settings:
    """What a token may not do is in the settings of its jobs, which outlive it: who only reads stores nothing."""
    if acting().allows("write"):
        return settings
    return settings.model_copy(update={"server": settings.server.model_copy(update={"read_only": True})})
