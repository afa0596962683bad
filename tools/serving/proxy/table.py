"""Where the calls of each endpoint go, as its file says; read anew, and exchanged whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from .files import Found, endpoint_files
from .turns import Turns

# The header by which the proxy says which deployment has answered.
DEPLOYMENT = "X-Deployment"
# ... and the one by which it is told which of those that serve is to answer.
WANTED = "X-Wanted-Deployment"
# ... and one whose calls all go to the same.
KEY = "X-Route-Key"


@dataclass(frozen=True)
class Backend:
    """A deployment that may be asked; one with `shadow` gets copies of calls, whose answers nobody is told."""

    id: str
    port: int
    weight: int
    shadow: bool = False


class Route:
    """The backends of one endpoint, and whose turn it is."""

    def __init__(self, backends: Collection[Backend]) -> None:
        self.backends = {each.id: each for each in backends}
        self.shadows = [each for each in backends if each.shadow]
        self._turns = Turns({each.id: each.weight for each in backends})

    def pick(self, key: str, tried: Collection[str], wanted: str = "") -> Backend | None:
        """The one whose turn it is, or the wanted one if it has calls of its own; None where nothing is left."""
        if (asked := self.backends.get(wanted)) and asked.weight and wanted not in tried:
            return asked
        chosen = self._turns.of_key(key, tried) if key else self._turns.next(tried)
        return self.backends[chosen] if chosen else None


def read_table(endpoints: Path, before: Mapping[str, Route]) -> dict[str, Route]:
    """The routes by endpoint. One that has not changed stays the same, and goes on counting where it was; so does one
    whose file is damaged.
    """
    table: dict[str, Route] = {}
    for name, deployments in endpoint_files(endpoints):
        known = before.get(name)
        if deployments is not None:
            backends = _backends(deployments)
            if known is None or list(known.backends.values()) != backends:
                known = Route(backends)
        if known is not None:
            table[name] = known
    return table


def _backends(deployments: Found) -> list[Backend]:
    ready = [each for each in deployments if each["ready"]]
    return [Backend(each["id"], each["port"], each["percent"], bool(each.get("shadow"))) for each in ready]
