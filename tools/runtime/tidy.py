"""Close what a job left open when it did not come to its end: `python -m mlops_mcp.tools.runtime.tidy`."""

from __future__ import annotations

import importlib
import json
import os
import sys

from ...config.settings import Settings
from ..tracing.redaction import Redactor, redact
from ..tracing.span import Carrier, Tracer, under
from ..tracing.store import TraceStore
from .launch import SETTINGS_VARIABLE, TIDY_VARIABLE
from .limits import divert_standard_streams, make_folders
from .work import Work
from .worker import attempt, slice_of


def main() -> None:
    settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
    given = json.loads(os.environ.pop(TIDY_VARIABLE))
    divert_standard_streams()
    make_folders()
    module, _, name = given["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    store = TraceStore(settings.home / "traces.db", settings.tracing.max_mb, Redactor.of(settings))
    capture = settings.tracing.capture_for(slice_of(given["function"]))
    work = Work(settings, Tracer(store.put, capture))
    with under(Carrier(given["trace_id"], given["span_id"])), work.tracer.span(f"after {name}") as span:
        answer = attempt(lambda: function(work, *given["arguments"]))
        if answer.failure:
            span.fail(str(answer.failure))
        if answer.crash:
            span.crash(answer.crash.type, answer.crash.message, answer.crash.traceback)
    store.close()
    if answer.crash:
        print(redact(answer.crash.traceback), file=sys.stderr)


if __name__ == "__main__":
    main()
