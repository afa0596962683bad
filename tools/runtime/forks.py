"""The process that call workers are forked from, with the libraries of the published tools imported in it."""

from __future__ import annotations

import multiprocessing
import os
import select
import threading
from collections.abc import Callable, Iterable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext

from .preload import VARIABLE

GUARD = f"{__package__}.guard"
DEATH = select.POLLIN | select.POLLHUP


class ForkServer:
    """Python keeps one per process, so there is one of these: see `fork_server`.

    It serves nobody before its imports are done, which takes seconds. Until then, and without it, workers are spawned.
    """

    def __init__(self) -> None:
        self._spawn = multiprocessing.get_context("spawn")
        self._fork = multiprocessing.get_context("forkserver")
        self._lock = threading.Lock()
        self._started = False
        self._handle: int | None = None
        self._waiting: list[Callable[[], None]] = []

    @property
    def ready(self) -> bool:
        """Whether a worker can be forked at once."""
        return self._handle is not None and not _ended(self._handle)

    def context(self, forked: bool) -> ForkServerContext | SpawnContext:
        return self._fork if forked else self._spawn

    def start(self, entries: Iterable[str], when_ready: Callable[[], None]) -> None:
        """Start it with these imports, unless it runs; `when_ready` is called from another thread.

        It dies with the thread that starts it, so any other than the main one starts nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        with self._lock:
            if not self.ready:
                self._waiting.append(when_ready)
                if not self._started or self._handle is not None:
                    self._launch(entries)
                return
        when_ready()

    def _launch(self, entries: Iterable[str]) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._started, self._handle = True, None
        self._fork.set_forkserver_preload([GUARD])
        os.environ[VARIABLE] = " ".join(entries)
        try:
            forkserver.ensure_running()
        finally:
            del os.environ[VARIABLE]
        # A thread, and not one that an ending process waits for: the first child comes when the imports are done.
        threading.Thread(target=self._await_first_child, name="fork server", daemon=True).start()

    def _await_first_child(self) -> None:
        receiver, sender = self._fork.Pipe(duplex=False)
        child = self._fork.Process(target=_tell_parent, args=(sender,), daemon=True)
        try:
            child.start()
            sender.close()
            pid: int = receiver.recv()
            child.join()
            handle = os.pidfd_open(pid)
        except (OSError, EOFError):  # it died over its imports: workers are spawned then
            return
        finally:
            receiver.close()
        with self._lock:
            self._handle = handle
            waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()


@cache
def fork_server() -> ForkServer:
    """The one of this process."""
    return ForkServer()


def _tell_parent(sender: Connection) -> None:
    sender.send(os.getppid())


def _ended(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, DEATH)
    return bool(poll.poll(0))
