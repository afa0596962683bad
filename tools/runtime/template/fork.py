"""Fork the template of a server from a process that is not that server, such as a job of it.

What comes of it has the libraries, and nothing else: no settings or secrets, which the template is not given. The words
are those of Python's fork server (multiprocessing/forkserver.py): descriptors, then two pickles.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import forkserver, reduction
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NoReturn

import psutil

from ...platforms import data_of_this, limit_data
from ..afresh import close_descriptors, leave, start_afresh
from ..limits import thread_count
from ..proctree import show
from .admission import show_key
from .handle import ADDRESS

ANSWER_S = 5.0
GO = b"!"


@dataclass(frozen=True)
class Start:
    """What is to run, as `python -m module arguments` would.

    `shown` are the variables of `environment` that others know the process by; `data` bounds in bytes what it takes
    beyond the libraries that it starts with, 0: not at all.
    """

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    shown: Sequence[str]
    log: Path
    path: Sequence[str]
    data: int = 0

    def _bootstrap(self, _sentinel: int) -> int:
        """What the fork server calls in a child of the template: it leaves one behind that nobody waits for."""
        if not os.fork():
            inherited: Any = forkserver.get_inherited_fds()
            self._become(Connection(inherited[0]))
        return 0

    def _become(self, starter: Connection) -> NoReturn:
        code = 1
        try:
            os.setsid()
            if thread_count() == 1 and show({name: self.environment[name] for name in self.shown}):
                start_afresh(self.log, self.environment, self.path)
                self._bound()
                starter.send(os.getpid())
                # Whoever has given up waiting has started another one instead.
                if starter.recv_bytes() == GO:
                    close_descriptors()
                    import_module(self.module).main(*self.arguments)
                    code = 0
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            raise
        finally:
            leave(code)

    def _bound(self) -> None:
        """What is loaded already is mapped here, and may be more than a low limit."""
        if self.data:
            limit_data(psutil.Process(), self.data + data_of_this())


def fork_elsewhere(start: Start) -> int | None:
    """Fork the template that this process was told of; the process id, None when it has to start cold."""
    key, _, address = os.environ.get(ADDRESS, "").partition(" ")
    if not address:
        return None
    ours, theirs = Pipe()
    with ours:
        with theirs, suppress(OSError):
            _ask(address, key, start, theirs.fileno())
        with suppress(OSError, EOFError):
            if ours.poll(ANSWER_S):
                pid: int = ours.recv()
                ours.send_bytes(GO)
                return pid
    return None


def _ask(address: str, key: str, start: Start, starter: int) -> None:
    orders, order = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(ANSWER_S)
            asked.connect(address)
            show_key(asked, key)
            told: Any = reduction
            # The orders, where its end is noted, what it would watch of its server, a tracker; and ours.
            told.sendfds(asked, [orders, nothing, nothing, nothing, starter])
        with open(order, "wb", closefd=False) as writing:
            pickle.dump({}, writing)
            pickle.dump(start, writing)
    finally:
        for each in (orders, order, nothing):
            os.close(each)
