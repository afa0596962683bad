"""How the processes of the proxy start each other, and hand on the socket that they hold."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping

from ...detached import spawn
from ...logtail import shorten
from .places import Places

KEEPER, RELAY = (f"{__package__}.{name}" for name in ("keeper", "relay_process"))
REVIVER = f"{(__package__ or '').rpartition('.')[0]}.reviver"
SETTINGS_VARIABLE = "MLOPS_PROXY_SETTINGS"
HAPROXY = "haproxy"
# Where Debian keeps it, which only root has on his path.
SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"


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


def installed() -> str | None:
    """Where HAProxy is, if it is."""
    return shutil.which(HAPROXY) or shutil.which(HAPROXY, path=SYSTEM)


def behind_haproxy(environ: Mapping[str, str]) -> bool:
    """Whether whoever has started the keeper wants HAProxy, and it is there."""
    chosen = json.loads(environ.get(SETTINGS_VARIABLE, "{}")).get("bentoml.proxy", "builtin")
    return chosen != "builtin" and installed() is not None
