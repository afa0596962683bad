"""Start the keeper of a job by a fork of a process that has the libraries loaded and no thread.

What is left is what an exec would have left: a session, streams, environment, import path and mark of its own; no
descriptors, no child watching, no random state of the process it came from. Without room for the mark, or from a
process with threads, nothing is forked and the job starts cold.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection, Pipe
from typing import NoReturn

from ....config.settings import Settings
from ..afresh import close_descriptors, leave, start_afresh
from ..limits import thread_count
from ..proctree import MARK, mark_self
from ..template.handle import Template
from .launch import KeeperStart

Keep = Callable[[KeeperStart], None]
Announce = Callable[[], object]


def fork_from(template: Template, keep: Keep, start: KeeperStart) -> int | None:
    """Fork a keeper from the template; its process id once it runs, None when it has to start cold."""
    if not (template.ready and _threads_of(start) == template.threads):
        return None
    receiver, sender = Pipe(duplex=False)
    child = template.context(forked=True).Process(target=_detach, args=(sender, keep, start))
    try:
        with receiver, sender:
            child.start()
            sender.close()
            pid: int | None = receiver.recv()
    except (OSError, EOFError):  # the template has died, or there was no room for the mark
        pid = None
    if child.pid is not None:
        child.join()
    return pid


def fork_self(threads: int, start: KeeperStart) -> int | None:
    """Fork a keeper from one that has done its work; its process id, None when it has to start cold."""
    if thread_count() > 1 or _threads_of(start) != threads:
        return None
    receiver, sender = os.pipe()
    if not (pid := os.fork()):
        os.close(receiver)
        raise _Successor(start, partial(os.write, sender, b"!"))
    os.close(sender)
    with open(receiver, "rb") as said:
        if said.read(1):
            return pid
    os.waitpid(pid, 0)
    return None


def _detach(sender: Connection, keep: Keep, start: KeeperStart) -> None:
    """In a child of the template, which the server waits for: leave a grandchild behind that nobody waits for."""
    if not os.fork():
        _become(keep, start, lambda: sender.send(os.getpid()))


class _Successor(BaseException):
    """Raised in the child of a keeper: it unwinds what that keeper did, so that a long queue does not nest."""

    def __init__(self, start: KeeperStart, announce: Announce) -> None:
        super().__init__(start.identity)
        self.start = start
        self.announce = announce


def _become(keep: Keep, start: KeeperStart, announce: Announce) -> NoReturn:
    """Be the keeper, in its children the next ones, until the process ends; never return to whoever forked it."""
    code = 1
    try:
        while _prepared(start, announce):
            try:
                keep(start)
            except _Successor as successor:
                start, announce = successor.start, successor.announce
            else:
                code = 0
                break
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        raise
    finally:
        leave(code)


def _prepared(start: KeeperStart, announce: Announce) -> bool:
    """Whether this process is now as one that was started with these facts; whoever forked it has been told."""
    os.setsid()
    if thread_count() > 1 or not mark_self(start.mark):
        return False
    # What the work starts by an exec carries the mark as well.
    start_afresh(start.log, {**start.environment, MARK: start.mark}, start.path)
    announce()
    close_descriptors()
    return True


def _threads_of(start: KeeperStart) -> int:
    return Settings.model_validate_json(start.settings).runtime.job_threads
