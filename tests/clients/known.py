"""Faults of the clients themselves, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

# (how the client's name begins, step) -> why it fails, whatever a server does.
KNOWN: dict[tuple[str, str], str] = {}


def known(report: Mapping[str, object]) -> str | None:
    """Why a failure is the client's own, or None."""
    for (client, step), reason in KNOWN.items():
        if str(report["client"]).startswith(client) and report["step"] == step:
            return reason
    return None
