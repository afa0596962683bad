"""Start the keeper of a job by a fork of a process that has the libraries loaded and no thread.

What is left is what an exec would have left: a session, streams, environment, import path and mark of its own; no
descriptors, no child watching, no random state of the process it came from. Without room for the mark, or from a
process with threads, nothing is forked and the job starts cold.
"""

from __future__ import annotations

import multiprocessing.process
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, Pipe
from typing import Any, NoReturn, cast

from ....config.settings import Settings
from ...detached import take_streams
from ..limits import thread_count
from ..proctree import MARK, mark_self
from ..template.handle import Template
from .launch import KeeperStart

FIRST_DESCRIPTOR = 3
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
        _leave(code)


def _leave(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # also on a full disk
        os._exit(code)


def _prepared(start: KeeperStart, announce: Announce) -> bool:
    """Whether this process is now as one that was started with these facts; whoever forked it has been told."""
    os.setsid()
    if thread_count() > 1 or not mark_self(start.mark):
        return False
    take_streams(start.log)
    # As with PYTHONUNBUFFERED, which a process that was not started anew does not see.
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
    _forget_ancestors()
    os.environ.clear()
    # What the work starts by an exec carries the mark as well.
    os.environ.update({**start.environment, MARK: start.mark})
    sys.path[:] = start.path
    announce()
    os.closerange(FIRST_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
    return True


def _forget_ancestors() -> None:
    """Let libraries find a main process with nothing inherited: multiprocessing, signals, random numbers."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    ours: Any = multiprocessing.process
    main = next(kind for kind in ours.BaseProcess.__subclasses__() if kind.__name__ == "_MainProcess")
    ours._current_process, ours._parent_process, ours._children = main(), None, set()
    servers: Any = forkserver
    servers._forkserver._forkserver_alive_fd = servers._forkserver._forkserver_pid = None
    trackers: Any = resource_tracker
    trackers._resource_tracker._fd = trackers._resource_tracker._pid = None
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def _threads_of(start: KeeperStart) -> int:
    return Settings.model_validate_json(start.settings).runtime.job_threads
