"""What a client function is given by the process it runs in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from ...config.settings import Settings
from ..tracing.redaction import redact
from ..tracing.span import Tracer
from .identity import Identity
from .models import Progress

T = TypeVar("T")


def _ignore(_: Progress) -> None: ...
def _unheard(_kind: str, _text: str) -> None: ...
def _unanswered(_: Mapping[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Reporter:
    """How work speaks to whoever supervises it; outside of a job nobody listens."""

    report: Callable[[Progress], None] = _ignore
    say: Callable[[str, str], None] = _unheard
    ask: Callable[[dict[str, Any]], dict[str, Any]] = _unanswered


@dataclass(frozen=True)
class Work:
    """The settings, a tracer, a reporter and a cache that lives as long as the process.

    `job` is the id of the job that this is, `function` what it runs (`module:function`), `ends_at` (monotonic seconds)
    when its budget of time is used up; `bears_until` is until when a call may wait for what has gone away; `by` is in
    whose name it runs.
    """

    settings: Settings
    tracer: Tracer
    reporter: Reporter = field(default_factory=Reporter)
    cache: dict[object, object] = field(default_factory=dict)
    job: str = ""
    function: str = ""
    ends_at: float | None = None
    bears_until: float | None = None
    by: Identity = field(default_factory=Identity)

    @property
    def home(self) -> Path:
        return self.settings.home

    def once(self, make: Callable[[Settings], T]) -> T:
        """The value `make` returned at its first use in this process, e.g. an open client."""
        if make not in self.cache:
            self.cache[make] = make(self.settings)
        return cast(T, self.cache[make])

    def progress(self, done: float, total: float, message: str = "", best: float | None = None) -> None:
        self.reporter.report(Progress(done=done, total=total, message=redact(message), best=best))

    def keep(self, result: BaseModel) -> None:
        """Remember the best result so far, in the form of the final one: it is what stays if the job is ended early."""
        self.reporter.say("partial", result.model_dump_json())

    def out_of_time(self) -> bool:
        """Whether to stop here; who asks after each step is given time to end in order."""
        if self.ends_at is None:
            return False
        self.reporter.say("paced", "")
        return time.monotonic() >= self.ends_at

    def afterwards(self, function: Callable[..., Any], *arguments: str) -> None:
        """Run `function(work, *arguments)` should the job not come to its end, to close what it leaves open."""
        reference = f"{function.__module__}:{function.__name__}"
        self.reporter.say("cleanup", json.dumps({"function": reference, "arguments": arguments}))

    def ask(self, questions: dict[str, Any]) -> dict[str, Any]:
        """Put questions (key -> MCP input request) to whoever submitted the job and wait for the answers by key."""
        return self.reporter.ask(questions)
