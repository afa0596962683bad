"""What a token of each scope may call: what a tool says of itself decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...tools.errors import ToolFailure
from ...tools.runtime.identity import Access, Identity

# Where the hints do not say whose it is: it ends the caller's own alone, or moves what everybody is served.
NEEDED: Mapping[str, Access] = MappingProxyType({"cancel_job": "write", "set_traffic": "admin"})


def needed(tool: str, hints: Mapping[str, Any]) -> Access:
    """`read` for what changes nothing, `admin` for what ends or replaces what others have, `write` for the rest."""
    if tool in NEEDED:
        return NEEDED[tool]
    if hints.get("readOnlyHint"):
        return "read"
    return "admin" if hints.get("destructiveHint", True) else "write"


def require_allowed(identity: Identity, tool: str, scope: Access) -> None:
    """Raises ToolFailure if the token of a caller does not reach so far."""
    if not identity.allows(scope):
        raise ToolFailure(
            f"{tool} needs a token of scope {scope}; that of {identity.name} is {identity.access}",
            f"Whoever runs the server makes one: mlops-mcp token new --scope {scope} --name NAME.",
        )
