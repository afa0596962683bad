"""Long work that costs nothing, as a job process imports it."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel

from mlops_mcp.tools.runtime.work import Work

STEP_S = 0.2


class Nap(BaseModel):
    """`record` is the file that tells how often it was begun."""

    record: str
    label: str
    seconds: float


class Slept(BaseModel):
    text: str


def nap(work: Work, request: Nap) -> Slept:
    """Sleep, and leave a line for every time that it was begun."""
    with Path(request.record).open("a", encoding="utf-8") as record:
        record.write(request.label + "\n")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < request.seconds:
        work.progress(passed, request.seconds, "sleeping")
        time.sleep(STEP_S)
    return Slept(text=f"slept: {request.label}")
