"""What the policy lets a person confirm, or what only a person can say: asked on the terminal."""

from __future__ import annotations

import sys
from typing import Any

import anyio.to_thread
from mcp.client.session import ElicitationFnT
from mcp.types import ElicitRequestFormParams, ElicitResult

from ...tools.legible import legible


def asker(interactive: bool) -> ElicitationFnT | None:
    """Asks whoever sits at the terminal; where nobody does, the server refuses what has to be confirmed."""
    return _ask if interactive else None


async def _ask(context: Any, params: Any) -> ElicitResult:
    if not isinstance(params, ElicitRequestFormParams):
        return ElicitResult(action="decline")
    fields: dict[str, Any] = params.requested_schema.get("properties", {})
    name, field = next(iter(fields.items()), ("", dict[str, Any]()))
    choices = [str(choice) for choice in field.get("enum") or ()]
    answer = await anyio.to_thread.run_sync(_read, legible(params.message), choices, abandon_on_cancel=True)
    return (
        ElicitResult(action="accept", content={name: answer}) if answer in choices else ElicitResult(action="decline")
    )


def _read(message: str, choices: list[str]) -> str:
    """One of the choices, by its number or in full; anything else is a refusal."""
    listed = "".join(f"\n  {number}: {choice}" for number, choice in enumerate(choices, 1))
    print(f"{message}{listed}\n> ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline().strip()
    by_number = {str(number): choice for number, choice in enumerate(choices, 1)}
    return by_number.get(said, said)
