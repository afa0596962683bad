"""The servers of a team, each in processes of its own: they can be ended, started again where they were, and frozen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ...waiting import until
from ..runtime import postgres

OWN_HOST = "127.0.0.1"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "tester", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Program:
    """A program that listens on a port of this machine. What it says is appended to `log`."""

    command: tuple[str, ...]
    port: int
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    ready: Callable[[int], bool] = lambda port: listens(port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.variables}, cwd=self.log.parent, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        until(self._has_come_up)

    def _has_come_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")[-2000:]
        return self.ready(self.port)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and all that it started."""
        assert self.process
        everything = family(self.process.pid)
        if how == signal.SIGKILL:
            signal_all(everything, how)
        self.process.send_signal(how)
        self.process.wait()
        signal_all(everything, signal.SIGKILL)

    def freeze(self) -> None:
        assert self.process
        signal_all(family(self.process.pid), signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        signal_all(family(self.process.pid), signal.SIGCONT)


@dataclass(frozen=True)
class Database:
    """A PostgreSQL server that listens on a socket in its folder."""

    folder: Path

    def address(self, name: str = "postgres") -> str:
        return f"postgresql://tester@/{name}?host={self.folder}"

    def start(self) -> None:
        postgres.start(self.folder)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Every connection ends with it; by SIGKILL, as in a crash, after which it recovers."""
        if how != signal.SIGKILL:
            postgres.stop(self.folder)
            return
        everything = family(self.pid)
        signal_all(everything, how)
        psutil.wait_procs(everything)

    def freeze(self) -> None:
        signal_all(family(self.pid), signal.SIGSTOP)

    def thaw(self) -> None:
        signal_all(family(self.pid), signal.SIGCONT)

    @property
    def pid(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def mlflow_server(folder: Path, store: str, variables: Mapping[str, str]) -> Program:
    """An MLflow server over a database, which keeps artifacts in a folder and passes them on."""
    port = free_port()
    command = (
        sys.executable, "-m", "mlflow", "server", "--host", OWN_HOST, "--port", str(port), "--workers", "1",
        "--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts"),
    )  # fmt: skip
    own = {**variables, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return Program(command, port, folder / "mlflow.log", own, lambda port: answers(f"http://{OWN_HOST}:{port}/health"))


def s3_store(folder: Path) -> Program:
    """A store that speaks S3, in memory."""
    port = free_port()
    command = (sys.executable, "-m", "moto.server", "-H", OWN_HOST, "-p", str(port))
    return Program(command, port, folder / "s3.log", KEYS)


def redis_server(folder: Path, program: str) -> Program:
    """A Redis that keeps every write in its folder before it answers."""
    port = free_port()
    options = ("--port", str(port), "--bind", OWN_HOST, "--dir", str(folder), "--save", "", "--appendonly", "yes")
    return Program((program, *options), port, folder / "redis.log")


def dask_scheduler(folder: Path) -> Program:
    port = free_port()
    options = ("--host", OWN_HOST, "--port", str(port), "--no-dashboard")
    return Program((sys.executable, "-m", "distributed.cli.dask_scheduler", *options), port, folder / "scheduler.log")


def dask_workers(folder: Path, scheduler: int) -> Program:
    """Two worker processes with a thread each."""
    options = ("--nworkers", "2", "--nthreads", "1", "--no-dashboard")
    command = (sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://{OWN_HOST}:{scheduler}", *options)
    return Program(command, scheduler, folder / "workers.log")


@contextmanager
def running(program: Program) -> Generator[Program]:
    program.start()
    try:
        yield program
    finally:
        program.stop(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as found:
        found.bind((OWN_HOST, 0))
        return int(found.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((OWN_HOST, port)) == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


def family(pid: int) -> list[psutil.Process]:
    """A process, if it is there, and all that it started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_all(processes: list[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(what)
