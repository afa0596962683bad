"""The master of an endpoint: `bentoml serve`, whose control socket nobody else can reach.

BentoML lets circus, which keeps its workers, listen for commands on two TCP ports of this machine. It asks nobody who
they are, and one of its commands starts any program. Here it listens on sockets in a folder that is ours alone.

Where the kernel has Landlock, it and its workers reach nothing but what they serve.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..landlock import DEVICES, Reach, confine, confines, needed_to_run
from .answerlog import FOLDER

CONTROL, EVENTS = "ipc://control", "ipc://events"
# BentoML's own: sooner, the first look of circus meets workers that are not up. Later ones start what has died.
CHECK_DELAY_S, LATER_MS = 10, 1000
# BentoML looks for a free one, and lets it go.
ANY_PORT = 0


def main(folder: str, *arguments: str) -> None:
    """Serve until it is ended.

    Args:
        folder: where the sockets lie, closed to others; their names are relative, since those of sockets are short.
    """
    os.chdir(folder)
    if confines():
        confine(_reach(Path(folder), int(arguments[arguments.index("--port") + 1])))
    from bentoml._internal.utils import circus
    from bentoml_cli.cli import cli

    circus.create_standalone_arbiter = _arbiter
    cli.main(args=["serve", *arguments], prog_name="bentoml")


def _arbiter(watchers: Any, *, threaded: bool = False, **more: Any) -> Any:
    """What circus makes, with sockets of ours, and more attentive once all is up."""
    from bentoml._internal.utils.circus import Arbiter

    class Attentive(Arbiter):  # type: ignore[misc]
        def manage_watchers(self) -> Any:
            controller: Any = self.ctrl
            controller.caller.callback_time = LATER_MS
            return super().manage_watchers()

    assert not threaded
    options = {"check_delay": CHECK_DELAY_S, **more}
    return Attentive(watchers, endpoint=CONTROL, pubsub_endpoint=EVENTS, **options)


def _reach(folder: Path, port: int) -> Reach:
    """Its own folder and port, its log, and the stores that it reads; a model that turned on us would find no more."""
    stores = ((folder / name).resolve() for name in ("bentos", "models"))
    return Reach(
        (*needed_to_run(), *stores), (folder, folder.parent / FOLDER, Path(DEVICES)), tcp=False, ports=(port, ANY_PORT)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
