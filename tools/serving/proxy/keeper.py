"""The process that keeps the proxy of a state folder: `python -m mlops_mcp.tools.serving.proxy.keeper HOME [SOCKET]`.

It outlives whoever starts it, and ends when no endpoint is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from ...detached import has_ended, spawn
from ...locks import Busy, is_locked, locked
from ...runtime.jobs import alive
from .kept import take
from .places import HOST, Places
from .start import HAPROXY, RELAY, REVIVER, hand_on
from .watch import BackOff, Watch

WAITING = 1024
LOOK_EVERY_S, LEAVE_S = 0.25, 5.0
# A relay that ends sooner than that is started again later and later.
SHORT_LIFE_S, LONGEST_WAIT_S = 5.0, 10.0


def main(home: str, descriptor: str = "") -> None:
    places = Places(Path(home))
    if take(places.keeper) is None:
        return
    if not descriptor:
        end_relays(places)  # HAProxy of a keeper that was killed with its relay has the port
    with socket.socket(fileno=int(descriptor)) if descriptor else _listening(places.port()) as listening:
        places.keep_port(listening.getsockname()[1])
        Keeper(places, listening).run()


class Keeper:
    """Keeps a relay running, and the endpoints of its state folder."""

    def __init__(self, places: Places, listening: socket.socket) -> None:
        self._places = places
        self._listening = listening
        self._relay = 0
        self._started = 0.0
        self._wait_s = 0.0
        self._ending = threading.Event()
        self._watch = Watch(places)
        self._back_off = BackOff()
        # by endpoint: who starts what is dead there
        self._revivers: dict[str, int] = {}

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ending.set())
        while not self._ending.wait(LOOK_EVERY_S if self._relay else 0):
            self._look_after_relay()
            self._look_after_endpoints()
            if self._nothing_left():
                return
        self._end_relay()

    def _look_after_relay(self) -> None:
        if self._relay and has_ended(self._relay):
            self._relay = 0
            short = time.monotonic() - self._started < SHORT_LIFE_S
            self._wait_s = min(LONGEST_WAIT_S, max(LOOK_EVERY_S, self._wait_s * 2)) if short else 0.0
        # One that another keeper has started holds its lock.
        if self._relay or alive.held(self._places.relay) or time.monotonic() < self._started + self._wait_s:
            return
        self._started = time.monotonic()
        self._relay = hand_on(RELAY, self._places, self._listening)

    def _look_after_endpoints(self) -> None:
        """Where somebody changes an endpoint at the moment, all is his."""
        now = time.monotonic()
        self._revivers = {name: pid for name, pid in self._revivers.items() if not has_ended(pid)}
        for name in self._watch.in_need() - self._revivers.keys():
            if self._back_off.due(name, now) and not is_locked(self._places.lock_of(name)):
                self._back_off.tried(name, now)
                self._revivers[name] = spawn(REVIVER, name, environment=os.environ, log=self._places.log)

    def _nothing_left(self) -> bool:
        """End the proxy with the last endpoint, unless somebody wants it at this moment."""
        if self._places.any_endpoint():
            return False
        with contextlib.suppress(Busy), locked(self._places.starting, 0, "the proxy is being started"):
            if not self._places.any_endpoint():
                self._end_relay()
                return True
        return False

    def _end_relay(self) -> None:
        end_relays(self._places)


def relays(places: Places) -> list[psutil.Process]:
    """Whoever passes calls on in this state folder, by the command that started it; HAProxy too, if it does."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        command = _command(process)
        ours = any(each.endswith(".relay_process") for each in command) and str(places.home) in command
        if ours or (_is_haproxy(command) and str(places.folder) in command):
            found.append(process)
    return found


def end_relays(places: Places) -> None:
    """Our own first, which would start HAProxy again."""
    for haproxy in (False, True):
        found = [each for each in relays(places) if _is_haproxy(_command(each)) is haproxy]
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(found, timeout=LEAVE_S)


def _command(process: psutil.Process) -> Sequence[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ()


def _is_haproxy(command: Sequence[str]) -> bool:
    return bool(command) and Path(command[0]).name == HAPROXY


def _listening(port: int) -> socket.socket:
    """On the port of before, so that the addresses of endpoints stay; on another one if somebody else has it by now."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
    except OSError:
        opened.bind((HOST, 0))
    opened.listen(WAITING)
    return opened


if __name__ == "__main__":
    main(*sys.argv[1:])
