"""What a token of each scope may ask for: what a tool says of itself decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ...tools.addresses import AUDIT
from ...tools.errors import Denied
from ...tools.runtime.identity import Access, Identity

# Where the hints do not say whose it is: it ends the caller's own alone, or moves what everybody is served.
NEEDED: Mapping[str, Access] = MappingProxyType({"cancel_job": "write", "set_traffic": "admin"})
# Of the methods that change something beside a call; a job is answered and ended as by cancel_job.
METHODS: Mapping[str, Access] = MappingProxyType({"tasks/update": "write", "tasks/cancel": "write"})
# Of the resources that are not for everybody.
RESOURCES: Mapping[str, Access] = MappingProxyType({AUDIT: "admin"})


@dataclass(frozen=True)
class Wanted:
    """What is asked for, be it a tool, a method or a resource, and the scope that it takes."""

    name: str
    access: Access
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def failure(self, identity: Identity) -> Denied:
        return Denied(
            f"{self.name} needs a token of scope {self.access}; that of {identity.name} is {identity.access}",
            f"Whoever runs the server gives one, as with mlops-mcp token new --scope {self.access} --name NAME.",
        )

    def require(self, identity: Identity) -> None:
        """Raises Denied if the token of a caller does not reach so far."""
        if not identity.allows(self.access):
            raise self.failure(identity)


def needed(tool: str, hints: Mapping[str, Any]) -> Access:
    """`read` for what changes nothing, `admin` for what ends or replaces what others have, `write` for the rest."""
    if tool in NEEDED:
        return NEEDED[tool]
    if hints.get("readOnlyHint"):
        return "read"
    return "admin" if hints.get("destructiveHint", True) else "write"
