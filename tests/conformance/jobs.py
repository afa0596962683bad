"""The long work of the fixture tools, as job processes import it."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

STEP_S = 0.1


class Nap(BaseModel):
    seconds: float


class Nothing(BaseModel):
    pass


class Named(BaseModel):
    name: str


class Said(BaseModel):
    text: str


def nap(work: Work, request: Nap) -> Said:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < request.seconds:
        work.progress(passed, request.seconds, "computing")
        time.sleep(STEP_S)
    return Said(text=f"computed for {request.seconds:g} s")


def refuse(work: Work, _request: Nothing) -> Said:
    raise ToolFailure("this job always fails", "Nothing helps.")


def crash(work: Work, _request: Nothing) -> Said:
    raise RuntimeError("nobody foresaw this")


def delete(work: Work, request: Named) -> Said:
    answers = work.ask({"confirm": question(f"Delete {request.name}?", confirm="boolean")})
    content: dict[str, Any] = answers["confirm"].get("content") or {}
    return Said(text=f"{request.name} was {'deleted' if content.get('confirm') else 'kept'}")


def gather(work: Work, _request: Nothing) -> Said:
    answers = work.ask(
        {"first": question("Your name?", name="string"), "second": question("Go on?", confirm="boolean")}
    )
    return Said(text=f"answered: {', '.join(sorted(answers))}")


def greet_later(work: Work, request: Named) -> Said:
    nap(work, Nap(seconds=2))  # what has ended when it is asked for is answered at once, and is no task
    return Said(text=f"Hello, {request.name}!")


def question(message: str, **fields: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in fields.items()},
        "required": list(fields),
    }
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}
