"""Processes that outlive whoever starts them, and who lets them go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from mlops_mcp.tools.detached import spawn_program

from ..processes import variables_of

# A process that inherits orphans, as the first of a container does. The one it starts leaves a detached one behind.
ADOPTS = """
import ctypes, os, subprocess, sys, time
from pathlib import Path
import psutil
from mlops_mcp.tools.detached import has_ended, reap_adopted, spawn

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
log = Path(sys.argv[1])

def zombies():
    return {child.pid for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE}

def ended(pid):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid

reap_adopted()
between = subprocess.Popen([sys.executable, "-c", (
    "import os; from pathlib import Path; from mlops_mcp.tools.detached import spawn;"
    f"print(spawn('this', environment=dict(os.environ), log=Path({str(log)!r})))"
)], stdout=subprocess.PIPE)
orphan = int(between.communicate()[0])
mine = subprocess.Popen([sys.executable, "-c", ""])
started = spawn("this", environment=dict(os.environ), log=log)
assert {ended(pid) for pid in (orphan, mine.pid, started)} == zombies()
reap_adopted()
assert zombies() == {mine.pid}, "a process that somebody waits for was taken from him"
assert mine.wait() == 0
assert has_ended(started)
assert not zombies()
"""


def test_detached_processes_that_are_left_to_the_first_of_a_container_leave_no_zombies(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ADOPTS, tmp_path / "log"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "The Zen of Python" in (tmp_path / "log").read_text(encoding="utf-8")


CLOSED = """
import sys
from mlops_mcp.tools.detached import open_standard_streams
open_standard_streams()
print("an error", file=sys.stderr)
print(open(sys.argv[1], "w").fileno())
"""


def test_a_process_that_was_started_with_closed_streams_gets_some_that_take_all(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -c '{CLOSED}' {tmp_path}/file 0<&- 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) > 2


def test_a_process_is_known_by_its_environment_as_soon_as_it_is_started(tmp_path: Path) -> None:
    waits, shown = [sys.executable, "-c", "import signal; signal.pause()"], list[str | None]()
    for _ in range(20):
        pid = spawn_program(waits, {"KNOWN_BY": "this"}, tmp_path / "log")
        shown.append(variables_of(psutil.Process(pid)).get("KNOWN_BY"))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert shown == ["this"] * 20
