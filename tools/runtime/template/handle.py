"""The server's handle of the template process, which call workers and jobs are forked from."""

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
from pathlib import Path
from typing import Any

from ...platforms import forks_warm
from ..proctree import BLANK, MARK, ROOM, ROOM_BLANK
from .admission import digest_of, new_key, show_to_all
from .preload import VARIABLE

INSIDE = f"{__package__}.process"
# So often it may die over its imports.
ATTEMPTS = 3
# Where jobs find it, after the key that it serves.
ADDRESS = "MLOPS_TEMPLATE"
DEATH = select.POLLIN | select.POLLHUP


class Template:
    """Python keeps one per process, so there is one of these: see `own_template`.

    It serves nobody before its imports are done, which takes seconds. Until then, and without it, workers are spawned
    and jobs start cold. `threads` is how many native threads the libraries in it were loaded with.
    """

    def __init__(self) -> None:
        self._spawn = multiprocessing.get_context("spawn")
        self._fork = multiprocessing.get_context("forkserver")
        self._launch_it = forkserver.ensure_running
        # Python would restart one that has died from whatever thread wants a child, and it dies with that thread.
        vars(forkserver._forkserver)["ensure_running"] = _leave_it  # pyright: ignore
        self._key = new_key()
        self._lock = threading.Lock()
        self._attempts = 0
        self._under_way = False
        self._handle: int | None = None
        self._waiting: list[Callable[[], None]] = []
        self.pid = 0
        self.threads = 0

    @property
    def ready(self) -> bool:
        """Whether a process can be forked at once."""
        return self._handle is not None and not _ended(self._handle) and not _stopped(self.pid)

    @property
    def told(self) -> dict[str, str]:
        """What a job that nothing holds is told, whose own processes may be forked from it (`fork.py`)."""
        known: Any = forkserver
        return {ADDRESS: f"{self._key} {known._forkserver._forkserver_address}"} if self.ready else {}

    def context(self, forked: bool) -> ForkServerContext | SpawnContext:
        return self._fork if forked else self._spawn

    def environment(self) -> dict[str, str]:
        """The environment of this process, without what only the template is given, whichever thread asks."""
        with self._lock:
            return dict(os.environ)

    def start(self, entries: Iterable[str], threads: int, settled: Callable[[], None]) -> None:
        """Start it with these imports, unless it runs; `settled` is called when it is ready, maybe from another thread.

        It is called as well when it has died over its imports; another start tries again, but only so often.

        It dies with the thread that starts it, so any other than the main one starts nothing; nor does a system that
        must not fork what has libraries loaded.
        """
        if threading.current_thread() is not threading.main_thread() or not forks_warm():
            return
        with self._lock:
            if not self.ready:
                self._waiting.append(settled)
                if not self._under_way and self._attempts < ATTEMPTS:
                    self._launch(entries, threads)
                return
        settled()

    def _launch(self, entries: Iterable[str], threads: int) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._under_way, self._attempts = None, True, self._attempts + 1
        self.threads = threads
        # Not before: until it is there, this process may have another one, which knows another key.
        show_to_all(self._key)
        self._fork.set_forkserver_preload([INSIDE])
        # The blank ones make room in the environment that processes forked from the template are known by.
        own = {
            VARIABLE: " ".join((str(os.getpid()), str(threads), digest_of(self._key), *entries)),
            MARK: BLANK,
            ROOM: ROOM_BLANK,
        }
        os.environ |= own
        try:
            self._launch_it()
        finally:
            for name in own:
                del os.environ[name]
        # A thread, and not one that an ending process waits for: the first child comes when the imports are done.
        threading.Thread(target=self._await_first_child, name="template", daemon=True).start()

    def _await_first_child(self) -> None:
        handle = self._first_child()
        with self._lock:
            self._under_way, self._handle = False, handle
            if handle is not None:
                self._attempts = 0
            waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()

    def _first_child(self) -> int | None:
        """A handle of the template, by way of a child that knows its parent; None if it has died."""
        receiver, sender = self._fork.Pipe(duplex=False)
        with receiver, sender:
            child = self._fork.Process(target=_tell_parent, args=(sender,), daemon=True)
            try:
                child.start()
                sender.close()
                self.pid = receiver.recv()
                handle = os.pidfd_open(self.pid)
            except (OSError, EOFError):
                return None
        child.join()
        return handle


@cache
def own_template() -> Template:
    """The one of this process."""
    return Template()


def _leave_it() -> None:
    """Whoever wants a child of a template that has died is refused by its socket."""


def _tell_parent(sender: Connection) -> None:
    sender.send(os.getppid())


def _stopped(pid: int) -> bool:
    """Whether a signal holds the process: it would let everybody wait who asks it for a child."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] == "T"
        )
    except OSError:
        return False


def _ended(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, DEATH)
    return bool(poll.poll(0))
