"""Who is served by the template, and how long one that says little is waited for."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from mlops_mcp.tools.runtime.template import admission


def test_a_key_that_comes_byte_by_byte_is_waited_for_no_longer_than_one_that_does_not_come() -> None:
    asked, asker = socket.socketpair()
    over = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not over.wait(0.02):
                asker.send(b"x")

    dripping = threading.Thread(target=drip)
    with asked, asker:
        dripping.start()
        try:
            with pytest.raises(TimeoutError):
                admission._received(asked, 0.1)  # pyright: ignore[reportPrivateUsage]
        finally:
            over.set()
            dripping.join()
