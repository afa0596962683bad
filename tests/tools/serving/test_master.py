"""The master of an endpoint keeps as many workers alive as there are replicas, and ends with all of them.

It is real, with workers that answer in place of BentoML's.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from mlops_mcp.tools.serving import master, worker

from ...waiting import until

WORKER = """
import os, signal, socket, sys
from pathlib import Path

def load_libraries():
    Path("loaded").write_text(str(os.getpid()))

def main(tag, descriptor, number):
    if tag == "failing":
        raise SystemExit("Application startup failed")
    with socket.socket(fileno=int(descriptor)) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
                connection.sendall(f"{os.getpid()} {number} {tag} {default}".encode())

if __name__ == "__main__":
    main(*sys.argv[1:])
"""
MASTER = """
import sys, threading
from mlops_mcp.tools.serving import master
import standin
master.worker, master.confines = standin, lambda: False
if sys.argv.pop(1) == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
master.main(*sys.argv[1:])
"""


@dataclass(frozen=True)
class Standing:
    process: subprocess.Popen[bytes]
    folder: Path
    port: int

    def ask(self) -> list[str]:
        """Process, number, tag of the worker that answers, and whether a signal ends it."""
        with socket.create_connection(("127.0.0.1", self.port)) as asked:
            return asked.makefile().read().split()

    def workers(self) -> set[int]:
        """The processes that answer now."""
        return {each.pid for each in psutil.Process(self.process.pid).children() if each.status() != "zombie"}


@pytest.fixture
def standing(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Standing]:
    kind, tag, replicas = request.param
    (tmp_path / "standin.py").write_text(WORKER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), master.REPLICAS: str(replicas)}
    given = (kind, str(tmp_path), tag, "--host", "127.0.0.1", "--port", str(port))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", MASTER, *given], env=environment, stdout=log, stderr=log)
    try:
        yield Standing(process, tmp_path, port)
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(process.pid).children():
                each.kill()
        process.kill()
        process.wait()


@pytest.mark.parametrize("standing", [("plain", "a:1", 2)], indirect=True)
def test_each_replica_is_forked_from_what_has_loaded_once_and_comes_back_when_it_is_killed(standing: Standing) -> None:
    until(lambda: (standing.folder / "loaded").exists() and len(standing.workers()) == 2)
    before = standing.workers()
    pid, _, tag, ends = standing.ask()
    assert (int(pid) in before, tag, ends) == (True, "a:1", "True")
    assert (standing.folder / "loaded").read_text() == str(standing.process.pid), "a worker has loaded by itself"
    for each in before:
        os.kill(each, signal.SIGKILL)
    until(lambda: len(standing.workers() - before) == 2)
    assert int(standing.ask()[0]) in standing.workers() - before
    assert {standing.ask()[1] for _ in range(50)} <= {"1", "2"}
    standing.process.terminate()
    assert standing.process.wait() == 0
    assert (standing.folder / "log").read_text().count("it is started again") == 2


@pytest.mark.parametrize("standing", [("threads", "b:2", 1)], indirect=True)
def test_out_of_a_process_with_threads_nothing_is_forked_and_a_worker_starts_anew(standing: Standing) -> None:
    until(lambda: (standing.folder / "loaded").exists() and standing.workers())
    pid, number, tag, _ = standing.ask()
    assert (number, tag) == ("1", "b:2")
    assert "standin" in psutil.Process(int(pid)).cmdline()
    standing.process.terminate()
    assert standing.process.wait() == 0
    assert not psutil.pid_exists(int(pid))


@pytest.mark.parametrize("standing", [("plain", "failing", 1)], indirect=True)
def test_a_worker_that_cannot_start_is_tried_again_and_the_master_ends_when_it_is_told_to_meanwhile(
    standing: Standing,
) -> None:
    until(lambda: (standing.folder / "log").read_text().count("Application startup failed") >= 2)
    standing.process.terminate()
    assert standing.process.wait() == 0


def test_what_ends_soon_is_started_later_each_time_and_what_has_lived_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(os, "waitpid", lambda pid, _: (pid, 0))
    with socket.socket() as listening:
        kept: Any = master.Master("a:1", listening, 1)
        waits: list[float] = []
        for lived_s in (1.0, 1.0, 1.0, 1.0, 6.0, *([1.0] * 20)):
            kept._workers[1] = (4711, now - lived_s)
            kept._take_leave()
            waits.append(kept._due[1] - now)
    assert waits[:7] == [0, 0.5, 1, 2, 0, 0.5, 1]
    assert waits[-1] == master.LONGEST_WAIT_S


def test_a_worker_keeps_what_is_idle_longer_than_those_who_pass_calls_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a call meets the end of its connection, and of that nobody knows whether it was sent."""
    from mlops_mcp.tools.serving.proxy import relay

    given: list[str] = []

    class Serves:
        @staticmethod
        def main(args: list[str], **_: object) -> None:
            given.extend(args)

    monkeypatch.setenv(worker.THREADS, "1")
    monkeypatch.setattr(worker, "load_libraries", lambda: None)
    monkeypatch.setattr(worker, "_forget_whom_skops_trusts", lambda: None)
    monkeypatch.setattr(worker, "_hold_threads", lambda _: None)
    monkeypatch.setattr(worker, "_is_code", lambda _: False)
    monkeypatch.setattr(worker, "import_module", lambda _: SimpleNamespace(main=Serves))
    worker.main("a:1", "7", "2")
    assert given[:5] == ["a:1", "--fd", "7", "--worker-id", "2"]
    kept_s = float(given[given.index("--timeout-keep-alive") + 1])
    assert kept_s > relay.KEPT_S
    assert kept_s >= 60


HELD = """
import threading
from mlops_mcp.tools.serving import worker
import sklearn.ensemble  # its OpenMP is loaded with the number of threads of now
from threadpoolctl import threadpool_info

def most():
    found.append(max(each["num_threads"] for each in threadpool_info()))

found = []
most()
worker._hold_threads(1)
most()
for _ in range(2):
    thread = threading.Thread(target=most)
    thread.start()
    thread.join()
print(found)
"""


@pytest.mark.slow
def test_libraries_that_were_loaded_with_more_threads_keep_to_those_of_the_endpoint_in_every_thread() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    said = subprocess.run([sys.executable, "-c", HELD], env=environment, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "[2, 1, 1, 1]\n"), said.stderr
