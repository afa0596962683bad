"""Write a report of a state folder, which stays as it is."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from ...config.settings import Settings
from ...tools.errors import ToolFailure
from ...tools.runtime.work import Work
from ...tools.tracing.redaction import redact
from ...tools.tracing.span import Tracer
from .drawn import drawn
from .gathered import gathered


def report(settings: Settings, handle: str, out: Path) -> int:
    """Write the file and print its path; the exit code is 1 where there is nothing to report or nowhere to write."""
    work = Work(settings, Tracer(lambda _span: None))
    try:
        found = gathered(work, handle)
        written = drawn(found, str(settings.home), datetime.now(UTC).isoformat(timespec="seconds"))
        out.write_text(written, encoding="utf-8")
    except (ToolFailure, OSError) as failure:
        print(f"mlops-mcp: {redact(str(failure))}", file=sys.stderr)
        return 1
    print(out.absolute())
    return 0
