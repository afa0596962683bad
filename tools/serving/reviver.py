"""Start the dead deployments of an endpoint again, and end what nobody knows: `python -m … .serving.reviver NAME`.

A process of its own, which ends when it has done so: it loads what the keeper, which starts it, has no use for.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ...config.load import CONFIG, load
from ..errors import ToolFailure
from ..locks import Busy
from ..runtime.work import Work
from ..tracing.redaction import redact
from ..tracing.span import Tracer
from . import endpoints, processes
from .bentos import find_bento, require_whole
from .client import forget_unfinished
from .models import Deployment
from .processes import Plan, free_ports, master
from .proxy import handle
from .proxy.start import SETTINGS_VARIABLE


def main(endpoint: str) -> None:
    work = Work(load({CONFIG: os.devnull}, given(os.environ)).settings, Tracer(lambda _span: None))
    forget_unfinished(work, endpoint)
    with suppress(Busy), endpoints.change(work, endpoint, wait_s=0):
        revive(work, endpoint)


def given(environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings of whoever has started the keeper."""
    found: dict[str, Any] = json.loads(environ[SETTINGS_VARIABLE])
    return found


def revive(work: Work, name: str) -> None:
    """Under the endpoint's lock. What is left of a dead one may still answer, and does until the new one is ready."""
    if not endpoints.exists(work, name):
        processes.sweep(work, name, ())
        return
    for dead in endpoints.read(work, name).deployments:
        if dead.finished and master(work, name, dead) is None:
            try:
                _replace(work, name, dead, _started(work, name, dead))
            except ToolFailure as failure:
                said = f"{dead.bento}: process {dead.pid} is gone, and it could not be started again: {failure}"
                print(redact(said), file=sys.stderr)
                endpoints.note(work, name, said)


def _started(work: Work, name: str, dead: Deployment) -> Deployment:
    bento = find_bento(work, dead.bento)
    require_whole(work, bento)
    plan = Plan(name, bento, dead.replicas, dead.threads, dead.memory, dead.model, dead.log_sample)

    def note(starting: Deployment) -> None:
        finished = [each for each in endpoints.read(work, name).deployments if each.finished]
        endpoints.keep(work, name, [*finished, starting])

    try:
        made = processes.start(work, plan, note, free_ports())
    except BaseException:
        endpoints.keep(work, name, [each for each in endpoints.read(work, name).deployments if each.finished])
        raise
    return made.model_copy(
        update={"percent": dead.percent, "shadow": dead.shadow, "restarts": dead.restarts + 1},
    )


def _replace(work: Work, name: str, dead: Deployment, made: Deployment) -> None:
    finished = [each for each in endpoints.read(work, name).deployments if each.finished]
    endpoints.keep(work, name, [made if each.id == dead.id else each for each in finished])
    handle.reread(work)
    handle.drained(work, dead.id)
    orphans = processes.stop(work, name, dead)
    ended = f", {orphans} orphan(s) of it ended" if orphans else ""
    said = f"{dead.bento}: process {dead.pid} was gone; started again as {made.pid}{ended}"
    print(said, file=sys.stderr)
    endpoints.note(work, name, said)


if __name__ == "__main__":
    main(*sys.argv[1:])
