"""Where the calls of each endpoint go, as its file says; read anew, and exchanged whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .turns import Turns

# The header by which the proxy says which deployment has answered.
DEPLOYMENT = "X-Deployment"


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

    def pick(self, key: str, tried: Collection[str]) -> Backend | None:
        chosen = self._turns.of_key(key, tried) if key else self._turns.next(tried)
        return self.backends[chosen] if chosen else None


def read_table(endpoints: Path, before: Mapping[str, Route]) -> dict[str, Route]:
    """The routes by endpoint. One that has not changed stays the same, and goes on counting where it was."""
    table: dict[str, Route] = {}
    for file in sorted(endpoints.glob("*.json")):
        try:
            backends = _backends(json.loads(file.read_bytes()))
        except FileNotFoundError:  # stopped meanwhile
            continue
        known = before.get(file.stem)
        if known is None or list(known.backends.values()) != backends:
            known = Route(backends)
        table[file.stem] = known
    return table


def _backends(content: Mapping[str, Any]) -> list[Backend]:
    """Not by the model of the file, whose imports this process is too small for."""
    deployments = [each for each in content["deployments"] if each["ready"]]
    return [Backend(each["id"], each["port"], each["percent"], each.get("shadow", False)) for each in deployments]
