"""The master of an endpoint: it holds the port, and keeps as many workers alive as there are replicas.

Not BentoML's own, circus: that starts each worker anew, which then imports for seconds what this process has loaded
already, and takes commands on two TCP ports from whoever asks. What answers calls is BentoML's worker, as it is.

Where the kernel has Landlock, master and workers reach nothing but what they serve.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from ..landlock import DEVICES, Reach, confine, confines, needed_to_run
from ..platforms import forks_warm
from ..runtime.afresh import leave
from ..runtime.limits import thread_count
from . import worker
from .answerlog import FOLDER

REPLICAS = "MLOPS_ENDPOINT_REPLICAS"
WAITING = 2048
# A worker that ends sooner than that is started again later and later.
SHORT_LIFE_S, FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 0.5, 30.0
ENDINGS = (signal.SIGTERM, signal.SIGINT)
HEARD = {*ENDINGS, signal.SIGCHLD}


def main(folder: str, tag: str, *arguments: str) -> None:
    """Serve until it is ended.

    Args:
        folder: where the endpoint's files lie, closed to others.
        arguments: `--host` and `--port`, each before its value.
    """
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    os.chdir(folder)
    if confines():
        confine(_reach(Path(folder), int(given["--port"])))
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((given["--host"], int(given["--port"])))
        if forks_warm():
            worker.load_libraries()
        # Not before: who looks whether it is up would wait for an answer that is seconds away.
        listening.listen(WAITING)
        Master(tag, listening, int(os.environ[REPLICAS])).run()


class Master:
    """Starts workers around one socket, again when they end, and ends with them when it is told to."""

    def __init__(self, tag: str, listening: socket.socket, replicas: int) -> None:
        self._tag = tag
        self._listening = listening
        self._wanted = range(1, replicas + 1)
        # By number: its process, and when that was started.
        self._workers: dict[int, tuple[int, float]] = {}
        self._waits: dict[int, float] = {}
        self._due: dict[int, float] = {}
        self._ending = False

    def run(self) -> None:
        woken, wakes = socket.socketpair()
        for each in (woken, wakes):
            each.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        for number in ENDINGS:
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not self._ending or self._workers:
            self._start_what_is_due()
            select.select([woken], [], [], self._until_next())
            while select.select([woken], [], [], 0)[0]:
                woken.recv(WAITING)
            self._take_leave()

    def _start_what_is_due(self) -> None:
        for number in self._wanted:
            if not self._ending and number not in self._workers and time.monotonic() >= self._due.get(number, 0):
                self._workers[number] = (self._started(number), time.monotonic())

    def _until_next(self) -> float | None:
        """Seconds until a worker is to be started; None where nothing is to be done until a signal comes."""
        missing = [self._due.get(number, 0) for number in self._wanted if number not in self._workers]
        return max(0, min(missing) - time.monotonic()) if missing and not self._ending else None

    def _take_leave(self) -> None:
        """Of the workers that have ended; when each is started again depends on how long it has lived."""
        ended = {number: began for number, (pid, began) in self._workers.items() if os.waitpid(pid, os.WNOHANG)[0]}
        now = time.monotonic()
        for number, began in ended.items():
            del self._workers[number]
            before = self._waits.get(number)
            again = 0 if before is None else min(LONGEST_WAIT_S, max(FIRST_WAIT_S, before * 2))
            self._waits[number] = again if now - began < SHORT_LIFE_S else 0
            self._due[number] = now + self._waits[number]
            if not self._ending:
                print(f"worker {number} has ended; it is started again", file=sys.stderr, flush=True)

    def _end(self) -> None:
        """Workers answer what they have begun, and end."""
        self._ending = True
        for pid, _ in self._workers.values():
            os.kill(pid, signal.SIGTERM)

    def _started(self, number: int) -> int:
        if not forks_warm() or thread_count() > 1:
            return _anew(self._listening, self._tag, number)
        # What comes before the child has a way of its own to take signals waits for that.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        try:
            if not (pid := os.fork()):
                _be_worker(self._listening, self._tag, number)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        return pid


def _be_worker(listening: socket.socket, tag: str, number: int) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for each in HEARD:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        worker.main(tag, str(listening.fileno()), str(number))
        code = 0
    except SystemExit as ended:  # it has said why
        print(ended, file=sys.stderr)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        raise
    finally:
        leave(code)


def _anew(listening: socket.socket, tag: str, number: int) -> int:
    """Where a process with libraries or threads must not be forked."""
    command = [sys.executable, "-P", "-m", worker.__name__, tag, str(listening.fileno()), str(number)]
    listening.set_inheritable(True)
    environment: Mapping[str, str] = os.environ
    return os.posix_spawn(command[0], command, environment)


def _reach(folder: Path, port: int) -> Reach:
    """Its own folder and port, its log, and the stores that it reads; a model that turned on us would find no more."""
    stores = ((folder / name).resolve() for name in ("bentos", "models"))
    return Reach((*needed_to_run(), *stores), (folder, folder.parent / FOLDER, Path(DEVICES)), tcp=False, ports=(port,))


if __name__ == "__main__":
    main(*sys.argv[1:])
