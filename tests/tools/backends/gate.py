"""The way to a server, which can be shut, and on which answers can be lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from .servers import OWN_HOST, free_port

MOST = 1 << 16


@dataclass
class Gate:
    """Passes on what comes to its own port.

    `losing` are texts in requests: the first answer to each does not come back, though the server has given it. `asked`
    counts what was sent to the server, which need not have read it.
    """

    target: int
    port: int = field(default_factory=free_port)
    losing: list[bytes] = field(default_factory=list[bytes])
    asked: int = 0
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list[socket.socket])

    def open(self) -> None:
        self._listener = listener = socket.create_server((OWN_HOST, self.port))
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def shut(self) -> None:
        """Whoever is connected is cut off, and whoever comes is refused."""
        listener, self._listener = self._listener, None
        for each in ([listener] if listener else []) + self._open:
            close(each)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((OWN_HOST, self.target))
                self._open += [near, far]
                answer_is_lost = threading.Event()
                for start in (self._ask, self._answer):
                    threading.Thread(target=start, args=[near, far, answer_is_lost], daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, answer_is_lost: threading.Event) -> None:
        with suppress(OSError):
            while data := near.recv(MOST):
                if hit := next((each for each in self.losing if each in data), None):
                    self.losing.remove(hit)
                    answer_is_lost.set()
                far.sendall(data)
                self.asked += 1
        close(far)

    @staticmethod
    def _answer(near: socket.socket, far: socket.socket, answer_is_lost: threading.Event) -> None:
        with suppress(OSError):
            while data := far.recv(MOST):
                if answer_is_lost.is_set():
                    break
                near.sendall(data)
        close(near)


def close(connection: socket.socket) -> None:
    """Also for a thread that waits on it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def gate_to(port: int) -> Generator[Gate]:
    gate = Gate(port)
    gate.open()
    try:
        yield gate
    finally:
        gate.shut()
