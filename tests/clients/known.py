"""Faults of the clients themselves, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

DISCONNECT = "its client fails when it disconnects from any server over Streamable HTTP: no running event loop"
# (how the client's name begins, transport, step) -> why it fails, whatever a server does.
KNOWN: dict[tuple[str, str, str], str] = {
    ("crewai 1.15", "http", step): DISCONNECT for step in ("short", "error", "image", "long")
}


def known(report: Mapping[str, object]) -> str | None:
    """Why a failure is the client's own, or None."""
    for (client, transport, step), reason in KNOWN.items():
        where = (report["transport"], report["step"])
        if str(report["client"]).startswith(client) and where == (transport, step):
            return reason
    return None
