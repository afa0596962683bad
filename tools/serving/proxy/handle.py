"""The proxy of a state folder, as those see it who use it: start it if need be, and give it orders."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ...detached import has_ended
from ...errors import Unavailable
from ...locks import locked
from ...logtail import tail_of
from ...runtime.jobs import alive
from ...runtime.limits import quiet_environment
from ...runtime.work import Work
from ...storage.state_files import private_folder
from ..inherited import inherited
from .figures import Figures
from .places import HOST, Places
from .start import HAPROXY, SETTINGS_VARIABLE, installed, start_keeper

# Only what hangs takes so long; what cannot start ends at once, and is not tried more often than that.
START_S, MOST_STARTS = 120.0, 3
POLL_S, ORDER_S = 0.02, 5.0
DRAIN_S = 60.0


def ensure(work: Work) -> int:
    """The port of the proxy, which is started if there is none; an endpoint has to be there for it to stay.

    Raises:
        Unavailable: it does not come up, or HAProxy is asked for and missing.
    """
    if work.settings.bentoml.proxy == HAPROXY and not installed():
        raise Unavailable("HAProxy is not installed", "Install haproxy, or leave bentoml.proxy at auto.")
    places = _places(work)
    private_folder(places.folder)
    with locked(places.starting, START_S, "the proxy of the endpoints is being started"):
        deadline = time.monotonic() + START_S
        started: list[int] = []
        while time.monotonic() < deadline:
            if alive.held(places.keeper):
                if _order(places, "table") is not None:
                    return places.port()
            # A keeper that died alone is started again by the relay, which has the port.
            elif not alive.held(places.relay) and (not started or has_ended(started[-1])):
                if len(started) == MOST_STARTS:
                    break
                started.append(start_keeper(places, _environment(work)))
            time.sleep(POLL_S)
    raise Unavailable("the proxy of the endpoints did not start", f"Its log ends with: {tail_of(places.log)}")


def runs(work: Work) -> bool:
    places = _places(work)
    return alive.held(places.keeper) and alive.held(places.relay)


def port_of(work: Work) -> int:
    return _places(work).port()


def address(work: Work, endpoint: str) -> str:
    """Where an endpoint takes rows, whatever serves there."""
    return f"http://{HOST}:{port_of(work)}/{endpoint}/predict"


def reread(work: Work) -> None:
    """Let changed shares count from the next call on; a proxy that does not run reads them when it starts."""
    _order(_places(work), "table")


def drained(work: Work, deployment: str) -> bool:
    """Wait until nothing is under way at a deployment that gets no calls any more."""
    query = urlencode({"deployment": deployment, "wait_s": DRAIN_S})
    return _order(_places(work), f"drained?{query}", wait_s=DRAIN_S + ORDER_S) is not False


def turn(work: Work, endpoint: str) -> str:
    """The deployment whose turn it is, which is then asked by its name; empty where none is, or nobody says so."""
    said = _order(_places(work), f"turn?{urlencode({'endpoint': endpoint})}")
    return said if isinstance(said, str) else ""


def figures(work: Work, deployment: str, after: int = 0) -> Figures:
    """What was counted of a deployment since its first `after` calls; nothing where no proxy runs."""
    query = urlencode({"deployment": deployment, "after": after})
    said = _order(_places(work), f"figures?{query}", "GET")
    return Figures(**(said.get(deployment, {}) if isinstance(said, Mapping) else {}))


def _order(places: Places, path: str, method: str = "POST", wait_s: float = ORDER_S) -> Any:
    """The answer; None where nobody gives one."""
    # The token goes to our own relay alone, not to whoever has taken its port.
    if not places.port() or not alive.held(places.relay):
        return None
    connection = http.client.HTTPConnection(HOST, places.port(), timeout=wait_s)
    try:
        connection.request(method, f"/-/{path}", headers={"Authorization": f"Bearer {places.token()}"})
        reply = connection.getresponse()
        said = reply.read()
        return json.loads(said) if reply.status == 200 else None
    except (http.client.HTTPException, OSError, ValueError):
        return None
    finally:
        connection.close()


def _environment(work: Work) -> dict[str, str]:
    """With the settings that a deployment is started again with."""
    settings = json.dumps(
        {
            "home": str(work.home.absolute()),
            "bentoml.home": str(work.settings.bentoml_home.absolute()),
            "bentoml.environment": work.settings.endpoint_environment,
            "bentoml.ready_timeout_s": work.settings.bentoml.ready_timeout_s,
            "bentoml.memory_mb": work.settings.bentoml.memory_mb,
            "bentoml.proxy": work.settings.bentoml.proxy,
        }
    )
    return {**inherited(), **quiet_environment(), "PYTHONSAFEPATH": "1", SETTINGS_VARIABLE: settings}


def _places(work: Work) -> Places:
    return Places(work.home.absolute())
