"""Close what a job left open when it did not come to its end: `python -m mlops_mcp.tools.runtime.jobs.cleanup`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ....config.settings import Settings
from ...replica.steps import in_step
from ...tracing.redaction import redact
from ...tracing.span import Carrier, Tracer, under
from ...tracing.store.writer import TraceStore
from ..limits import divert_standard_streams, make_folders
from ..outcome import outcome_of
from ..work import Work
from .functions import function_of
from .launch import CLEANUP_VARIABLE, SETTINGS_VARIABLE


def main() -> None:
    settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
    given = json.loads(os.environ.pop(CLEANUP_VARIABLE))
    divert_standard_streams()
    make_folders()
    function = function_of(given["function"])
    store = TraceStore.of(settings)
    capture = settings.tracing.capture_for(given["toolset"])
    work = Work(settings, Tracer(store.put, capture))
    with under(Carrier(given["trace_id"], given["span_id"])), work.tracer.span(f"after {function.__name__}") as span:
        outcome = outcome_of(lambda: _run(function, work, given["arguments"]))
        if outcome.failure:
            span.fail(str(outcome.failure))
        if outcome.crash:
            span.crash(outcome.crash.type, outcome.crash.message, outcome.crash.traceback)
    store.close()
    if outcome.crash:
        print(redact(outcome.crash.traceback), file=sys.stderr)


def _run(function: Callable[..., Any], work: Work, arguments: list[str]) -> Any:
    with in_step(work.settings):
        return function(work, *arguments)


if __name__ == "__main__":
    main()
