"""Close what a job left open when it did not come to its end: `python -m mlops_mcp.tools.runtime.tidy`."""

from __future__ import annotations

import importlib
import json
import os
import sys

from ...config.settings import Settings
from ..tracing.span import Carrier, Tracer, under
from ..tracing.store import TraceStore
from .launch import SETTINGS_VARIABLE, TIDY_VARIABLE
from .limits import divert_standard_streams, make_folders
from .work import Work
from .worker import attempt


def main() -> None:
    settings = Settings.model_validate_json(os.environ.pop(SETTINGS_VARIABLE))
    given = json.loads(os.environ.pop(TIDY_VARIABLE))
    divert_standard_streams()
    make_folders()
    module, _, name = given["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    store = TraceStore(settings.home / "traces.db", settings.tracing.max_mb)
    work = Work(settings, Tracer(store.put))
    with under(Carrier(given["trace_id"], given["span_id"])), work.tracer.span(f"after {name}") as span:
        answer = attempt(lambda: function(work, *given["arguments"]))
        if answer.failure or answer.crash:
            span.fail(str(answer.failure or "") or (answer.crash.details if answer.crash else ""))
    store.close()
    if answer.crash:
        print(answer.crash.traceback, file=sys.stderr)


if __name__ == "__main__":
    main()
