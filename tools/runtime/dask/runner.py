"""What a Dask worker runs for a job: start its process, pass its notes on, end it when it is not wanted any more."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from ...logtail import tail
from .. import proctree
from ..jobs.supervisor import ENDED
from .processes import executes

if TYPE_CHECKING:
    from distributed import Client, Worker

REMOTE = "mlops_mcp.tools.runtime.dask.remote"
LOOK_EVERY_S = 0.2
LEAVE_S = 2.0
BEGUN, DIED = "begun", "died"
# A job says so when others do its work from now on, and it only waits for them.
SPREAD = "spread"


def key_of(mark: str) -> str:
    """The key of a job's task."""
    return f"mlops-{mark}"


class StartedBefore(Exception):
    """The worker that ran this task died, and the scheduler gave it to another one."""


def run_task(spec: dict[str, str]) -> dict[str, Any]:
    """Run one attempt of a job; how it ended (`kind`, `text`) and how many `notes` it sent.

    Raises:
        StartedBefore: whether to start it again is for the job table to say.
    """
    from distributed import get_client, get_worker

    client, worker = get_client(), get_worker()
    started = [spec["mark"], "started"]
    if client.get_metadata(started, default=None):
        raise StartedBefore(spec["mark"])
    client.set_metadata(started, worker.address)
    with tempfile.TemporaryFile() as log:
        return _Task(spec["mark"], client, worker, _started(spec, log), log).until_the_end()


def _started(spec: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", REMOTE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "PYTHONUNBUFFERED": "1", proctree.MARK: spec["mark"]},
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(spec).encode() + b"\n")
    process.stdin.flush()
    return process


@dataclass
class _Task:
    mark: str
    client: Client
    worker: Worker
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    notes: int = 0
    answered: int = 0
    spread: bool = False

    def until_the_end(self) -> dict[str, Any]:
        self._pass_on(json.dumps([BEGUN, self.worker.address]))
        kind, text = DIED, ""
        try:
            for line in self._lines():
                said = json.loads(line)
                if said[0] in (ENDED, DIED):
                    kind, text = said
                    break
                if said[0] == SPREAD:
                    self._make_room()
                else:
                    self._pass_on(line)
        finally:
            code = self._end()
        return {
            "kind": kind,
            "text": text or json.dumps({"code": code, "words": tail(self.log.fileno())}),
            "notes": self.notes,
        }

    def _lines(self) -> Iterator[str]:
        """What the process says, line by line, until it ends or is not wanted any more."""
        assert self.process.stdout is not None
        begun, rest = time.monotonic(), b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(LOOK_EVERY_S):
                    if not (read := os.read(self.process.stdout.fileno(), 1 << 16)):
                        return
                    *lines, rest = (rest + read).split(b"\n")
                    yield from (line.decode() for line in lines)
                elif self.process.poll() is not None:
                    # Its end is not that of the pipe, which a process that it left behind may hold open.
                    return
                if time.monotonic() - begun >= LOOK_EVERY_S:
                    begun = time.monotonic()
                    if not self._still_wanted():
                        return

    def _still_wanted(self) -> bool:
        control = cast(Any, self.client.get_metadata([self.mark, "control"], default=None))
        if not executes(self.worker, key_of(self.mark)) or not control or not control["wanted"]:
            return False
        if control["number"] > self.answered:
            self.answered = control["number"]
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"answers": control["answers"]}).encode() + b"\n")
            self.process.stdin.flush()
        return True

    def _make_room(self) -> None:
        """Let the worker take another task beside this one; twice would be once too often."""
        from distributed import secede

        if not self.spread:
            self.spread = True
            secede()

    def _pass_on(self, line: str) -> None:
        self.notes += 1
        self.worker.log_event(self.mark, line)

    def _end(self) -> int:
        """Close its stdin, which ends it and its work; kill what does not heed that."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            code = self.process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            code = -9
        proctree.kill(self.mark)
        self.process.wait()
        self.process.stdout.close()
        return code
