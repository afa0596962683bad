"""How the two processes of the proxy start each other, and hand on the socket that both hold."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from ...detached import spawn
from ...logtail import shorten
from .places import Places

KEEPER, RELAY = (f"{__package__}.{name}" for name in ("keeper", "relay_process"))
REVIVER = f"{(__package__ or '').rpartition('.')[0]}.reviver"
SETTINGS_VARIABLE = "MLOPS_PROXY_SETTINGS"


def start_keeper(places: Places, environment: Mapping[str, str]) -> int:
    """Its process id; it ends by itself where there is one already."""
    shorten(places.log)
    return spawn(KEEPER, str(places.home), environment=environment, log=places.log)


def hand_on(module: str, places: Places, listening: socket.socket) -> int:
    """Start the other one, with the socket."""
    listening.set_inheritable(True)
    try:
        return spawn(module, str(places.home), str(listening.fileno()), environment=os.environ, log=places.log)
    finally:
        listening.set_inheritable(False)
