"""Long work that costs nothing, as a job process imports it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel

from mlops_mcp.tools.runtime.work import Work

RECORD = "CLIENTS_NAPS"
STEP_S = 0.2


class Nap(BaseModel):
    label: str
    seconds: float


class Slept(BaseModel):
    text: str


def nap(work: Work, request: Nap) -> Slept:
    """Sleep, and leave a line for every time that it was begun."""
    with Path(os.environ[RECORD]).open("a", encoding="utf-8") as record:
        record.write(request.label + "\n")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < request.seconds:
        work.progress(passed, request.seconds, "sleeping")
        time.sleep(STEP_S)
    return Slept(text=f"slept: {request.label}")
