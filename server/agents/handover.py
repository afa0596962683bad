"""What one agent leaves to the next, and to whoever asks later."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from mcp import Client
from mcp.types import RequestParamsMeta

from .outcome import Report

# Characters of a hand-over, and handles in it.
MAX_HANDOVER, MAX_HANDLES = 5000, 20
MAX_DECIDED, MAX_REASON = 400, 4000


def handed_over(reports: Sequence[Report], known: str) -> str:
    """What the next agent is told: what was known, the handles, and what was said, of which the oldest goes first."""
    handles = list(dict.fromkeys(handle for report in reports for handle in report.handles))[-MAX_HANDLES:]
    first = [known[:MAX_HANDOVER], f"Handles: {', '.join(handles)}" if handles else ""]
    room, said = MAX_HANDOVER - sum(map(len, first)), list[str]()
    for report in reversed(reports):
        text = f"{report.agent} said: {report.said}"[: max(0, room)]
        room -= len(text)
        if report.said and text:
            said.insert(0, text)
    return "\n\n".join(part for part in (*first, *said) if part)


def named_in(known: str, kinds: Sequence[str]) -> dict[str, str]:
    """Of each kind the last handle in a text, by its kind."""
    found = {kind: re.findall(rf"(?<![\w/]){kind}:[\w@./+-]*\w", known) for kind in kinds}
    return {kind: handles[-1] for kind, handles in found.items() if handles}


def fixed(handles: Sequence[str]) -> list[str]:
    """Without aliases, which move: for one of them the log would refuse the whole hand-over."""
    return [handle for handle in handles if not (handle.startswith("model:") and "@" in handle)]


async def note(server: Client, report: Report, meta: Mapping[str, str]) -> None:
    """Keep the hand-over in the log of decisions, so that it is found by what it is about.

    Raises:
        MCPError: the server cannot be called.
    """
    about = fixed(report.handles)[-MAX_HANDLES:]
    if report.ending != "done" or not (about and report.said):
        return
    given = {
        "decided": f"hand over: {report.said}"[:MAX_DECIDED],
        "reason": report.said[:MAX_REASON],
        "handles": about,
        "agent": report.agent,
    }
    result = await server.call_tool("record_decision", given, meta=cast(RequestParamsMeta, dict(meta)))
    made: Any = (result.structured_content or {}).get("decision")
    if made and made not in report.decisions:
        report.decisions.append(made)
