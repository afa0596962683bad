"""Elsewhere than on Linux: what only Linux has is done without, and what cannot be done without is named.

The other system is this one, in processes where our code is told that it runs on macOS and finds nothing of Linux.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from mcp import Client, StdioServerParameters

from mlops_mcp.config import platform
from mlops_mcp.config.load import load
from mlops_mcp.server.doctor import print_report
from mlops_mcp.tools import landlock, platforms

from ..conftest import UNHURRIED, finished

ROOT = Path(__file__).parents[2]

# Loaded by every Python process that is started with its folder on the path.
MACOS = f"""
import os, sys, types
from mlops_mcp.tools import landlock, platforms

landlock.sys = platforms.sys = types.SimpleNamespace(platform="darwin")
platforms.ctypes = None
for name in ("pidfd_open", "waitid", "O_TMPFILE"):
    if hasattr(os, name):
        delattr(os, name)

def nothing_of_linux(event, arguments):
    if event != "open" or not str(arguments[0]).startswith("/proc"):
        return
    frame, ours = sys._getframe(1), False
    while frame is not None:
        name = frame.f_code.co_filename
        if "/psutil/" in name:
            return
        ours = ours or (name.startswith({str(ROOT)!r}) and "/.venv/" not in name)
        frame = frame.f_back
    if ours:
        raise FileNotFoundError(arguments[0])

sys.addaudithook(nothing_of_linux)
"""


@pytest.fixture
def macos(tmp_path: Path) -> dict[str, str]:
    """The variables of a process on the other system."""
    (tmp_path / "sitecustomize.py").write_text(MACOS, encoding="utf-8")
    sysctl = tmp_path / "sysctl"
    sysctl.write_text("#!/bin/sh\necho 6B1F-$2\n", encoding="utf-8")
    sysctl.chmod(0o700)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": f"{tmp_path}-user", "PYTHONPATH": str(tmp_path)}


@pytest.mark.slow
async def test_on_macos_tools_are_listed_called_and_run_as_jobs_which_start_cold(
    macos: dict[str, str], environ: dict[str, str], tmp_path: Path
) -> None:
    start = "import sys; from mlops_mcp.server.cli import main; sys.exit(main(['serve']))"
    variables = {**macos, **environ, "MLOPS_RUNTIME__PRELOAD": "start"}
    server = StdioServerParameters(command=sys.executable, args=["-c", start], env=variables, cwd=tmp_path)
    async with Client(server) as client:
        assert (await client.list_tools()).tools
        made = (await finished(client, "generate_dataset", n_rows=200, seed=1)).structured_content
        again = (await finished(client, "generate_dataset", n_rows=200, seed=2)).structured_content
        assert made is not None
        assert again is not None
        both = {"reference": made["dataset"], "current": again["dataset"]}
        found = await finished(client, "compare_datasets", **both, wait_s=50, budget_s=500, budget_mb=8000)
        assert found.structured_content is not None, found.content
        assert found.structured_content["state"] == "done"
        jobs = (await finished(client, "list_jobs")).structured_content
        assert jobs is not None
        assert [job["state"] for job in jobs["items"]] == ["done"]
    with closing(sqlite3.connect(Path(environ["MLOPS_HOME"]) / "jobs.db")) as db:
        assert db.execute("select place from jobs").fetchall() == [("6B1F-kern.bootsessionuuid",)]


def test_without_a_death_signal_a_process_ends_when_its_parent_is_gone(macos: dict[str, str]) -> None:
    orphan = "from mlops_mcp.tools.platforms import end_with_parent; end_with_parent(); print(1, flush=True)"
    parent = (
        "import subprocess, sys\n"
        f"program = {orphan!r} + '; import time; time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid)\n"
    )
    said = subprocess.run([sys.executable, "-c", parent], env=macos, capture_output=True, text=True, check=True)
    try:
        left = psutil.Process(int(said.stdout))
    except psutil.NoSuchProcess:
        return
    assert left in psutil.wait_procs([left], timeout=600)[0] or left.status() == psutil.STATUS_ZOMBIE


def test_a_lock_is_seen_and_a_boot_is_known_without_what_only_linux_tells(
    macos: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mlops_mcp.tools.runtime.jobs.alive import held, hold, machine\n"
        "path = Path(sys.argv[1])\n"
        "if len(sys.argv) == 2:\n"
        "    import subprocess\n"
        "    free = held(path)\n"
        "    descriptor = hold(path)\n"
        "    asked = [sys.executable, __file__, str(path), 'ask']\n"
        "    print(free, subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip(), machine())\n"
        "else:\n"
        "    print(held(path))\n"
    )
    (tmp_path / "asking.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "asking.py"), str(tmp_path / "job.lock")],
        env=macos, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "True", "6B1F-kern.bootsessionuuid"]


def test_doctor_says_what_a_system_lacks(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(environ).settings
    monkeypatch.setattr(landlock, "_version", lambda: 0)
    print_report(settings)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "on this system" in line]
    assert "may reach every file" in said
    monkeypatch.setattr(platforms, "sys", SimpleNamespace(platform="darwin"))
    assert print_report(settings) == 0
    told = capsys.readouterr().out
    assert "on this system the system limits no memory" in told
    assert "caller_disk_mb does not hold" in told


def test_on_windows_the_command_names_wsl_before_it_needs_what_windows_lacks(tmp_path: Path) -> None:
    program = (
        "import os, sys, types, psutil, pydantic\n"
        "pydantic.SecretStr\n"
        "sys.modules.update(fcntl=None, resource=None)\n"
        "for name in ('fork', 'getuid', 'posix_spawn', 'waitid'): delattr(os, name)\n"
        "from mlops_mcp.config import platform\n"
        "platform.sys = types.SimpleNamespace(platform='win32')\n"
        "from mlops_mcp.server.cli import main\n"
        "sys.exit(main(['serve']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "MLOPS_HOME": str(tmp_path / "home"), **UNHURRIED},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("mlops-mcp: Windows"), done.stderr
    assert "run it in WSL" in done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["linux", "darwin"])
def test_systems_with_the_processes_of_posix_are_served(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(platform, "sys", SimpleNamespace(platform=name))
    platform.require_supported()
