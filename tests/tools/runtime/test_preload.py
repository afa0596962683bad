"""The process that workers are forked from: it serves late, holds what the published tools need, and may die.

Python keeps one per process, so each test has a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ...conftest import lives

pytestmark = pytest.mark.slow

PROBE = """
import os, sys, time

def wait(work):
    open("began", "w").close()
    time.sleep(60)
def pid(work): return os.getpid()
def parent(work): return os.getppid()
def loaded(work): return sorted({name.partition(".")[0] for name in sys.modules})
def threads(work): return len(os.listdir(f"/proc/{os.getppid()}/task"))
def out(work): return [os.readlink(f"/proc/{os.getppid()}/fd/1"), os.readlink(f"/proc/{os.getppid()}/fd/2")]
def draw(work):
    import numpy
    return numpy.random.random()
def fit(work):
    import numpy, xgboost
    rows = numpy.random.default_rng(0).normal(size=(200, 3))
    return int(xgboost.XGBClassifier(n_estimators=3).fit(rows, rows[:, 0] > 0).predict(rows).sum())
"""

FRAME = """
import asyncio, json, os, sys, time
from contextlib import suppress
import psutil
from mlops_mcp.config.load import load
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.calls.executor import CallExecutor
from mlops_mcp.tools.runtime.template.handle import own_template
from probe.tools.left import client as left
from probe.tools.right import client as right

async def until(condition):
    async with asyncio.timeout(600):
        while not condition():
            await asyncio.sleep(0.01)

def pool_for(slices, **runtime):
    settings = load({{"MLOPS_HOME": os.getcwd(), "MLOPS_CONFIG": os.devnull}}, runtime).settings
    return CallExecutor(settings, lambda span: None, slices)

async def main():
    facts = {{}}
{body}
    await asyncio.to_thread(pool.close)
    print(json.dumps(facts))

if __name__ == "__main__":
    asyncio.run(main())
"""


def facts(folder: Path, body: str, ended: int = 0) -> tuple[Any, str]:
    """What a script says that uses a pool in a process of its own."""
    for name in ("left", "right"):
        file = folder / "lib" / "probe" / "tools" / name / "client.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PROBE, encoding="utf-8")
    script = folder / "script.py"
    script.write_text(FRAME.format(body=body), encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(folder / "lib")}
    done = subprocess.run(
        [sys.executable, "-P", script], env=environment, cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == ended, done.stderr
    return json.loads(done.stdout), done.stderr


def library(folder: Path, name: str, source: str) -> None:
    """Puts a library of ours in the place of a slow one."""
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib" / f"{name}.py").write_text(source, encoding="utf-8")


def test_a_call_before_the_imports_are_done_does_not_wait_for_them(tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")
    waits = f"import os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.01)"
    library(tmp_path, "great_expectations", waits)
    found, _ = facts(
        tmp_path,
        """
    pool = pool_for(["quality"])
    pool.warm()
    facts["first parent is the server"] = await pool.call("left", left.parent) == os.getpid()
    facts["answered before it was ready"] = not own_template().ready
    open("gate", "w").close()
    spawned = psutil.Process(await pool.call("left", left.pid))
    await until(lambda: own_template().ready)
    await until(lambda: not spawned.is_running())
    facts["then the parent is another"] = await pool.call("left", left.parent) != os.getpid()
""",
    )
    assert all(found.values()), found


def test_only_the_libraries_of_the_slices_are_preloaded_and_none_leaves_a_thread(tmp_path: Path) -> None:
    found, _ = facts(
        tmp_path,
        """
    pool = pool_for(["data"])
    pool.warm()
    await until(lambda: own_template().ready)
    facts["loaded"] = await pool.call("left", left.loaded)
    facts["threads"] = await pool.call("left", left.threads)
    facts["streams"] = await pool.call("left", left.out)
""",
    )
    assert {"pandas", "pyarrow"} <= set(found["loaded"])
    assert not {"mlflow", "sklearn", "xgboost", "great_expectations", "feast", "optuna"} & set(found["loaded"])
    assert found["threads"] == 1
    assert found["streams"][0] == found["streams"][1]


def test_all_libraries_can_be_preloaded_and_work_in_workers(tmp_path: Path) -> None:
    found, said = facts(
        tmp_path,
        """
    from mlops_mcp.tools.slices import SLICES
    pool = pool_for(SLICES, **{"runtime.call_memory_mb": 512})
    pool.warm()
    await until(lambda: own_template().ready)
    facts["loaded"] = await pool.call("left", left.loaded)
    facts["threads"] = await pool.call("left", left.threads)
    facts["fits"] = [await pool.call("left", left.fit), await pool.call("right", right.fit)]
    facts["draws"] = [await pool.call("left", left.draw), await pool.call("right", right.draw)]
""",
    )
    wanted = {"mlflow", "sklearn", "skops", "xgboost", "lightgbm", "optuna", "shap", "great_expectations", "feast"}
    assert wanted <= set(found["loaded"])
    assert found["threads"] == 1
    assert found["fits"][0] == found["fits"][1] > 0
    assert len(set(found["draws"])) == 2
    assert "preloading" not in said


def test_tracking_alone_does_not_load_feast(tmp_path: Path) -> None:
    found, _ = facts(
        tmp_path,
        """
    pool = pool_for(["tracking"])
    pool.warm()
    await until(lambda: own_template().ready)
    facts["loaded"] = await pool.call("left", left.loaded)
""",
    )
    assert "mlflow" in found["loaded"]
    assert "feast" not in found["loaded"]


def test_preloading_can_be_turned_off(tmp_path: Path) -> None:
    found, _ = facts(
        tmp_path,
        """
    pool = pool_for(["data", "tracking"], **{"runtime.preload": False})
    pool.warm()
    await until(lambda: own_template().ready)
    facts["loaded"] = await pool.call("left", left.loaded)
""",
    )
    assert not {"pandas", "mlflow"} & set(found["loaded"])


def test_a_library_that_fails_or_is_missing_is_passed_over_and_files_of_the_user_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("open('was run', 'w')", encoding="utf-8")
    library(tmp_path, "great_expectations", "raise SystemExit(3)")
    found, said = facts(
        tmp_path,
        """
    pool = pool_for(["quality", "nosuch"])
    pool.warm()
    await until(lambda: own_template().ready)
    facts["loaded"] = await pool.call("left", left.loaded)
""",
    )
    assert "pandas" in found["loaded"]
    assert not (tmp_path / "was run").exists()
    assert "preloading great_expectations failed: SystemExit: 3" in said
    assert "nosuch" not in said


def test_the_death_of_the_template_costs_the_running_call_and_no_other(tmp_path: Path) -> None:
    found, _ = facts(
        tmp_path,
        """
    pool = pool_for(["data"])
    pool.warm()
    await until(lambda: own_template().ready)
    server = psutil.Process(await pool.call("left", left.parent))
    running = asyncio.ensure_future(pool.call("right", right.wait))
    await until(lambda: os.path.exists("began"))
    server.kill()
    await asyncio.wait([running])
    facts["running"] = "ended with exit code" in str(running.exception())
    facts["noticed"] = not own_template().ready
    facts["parent then"] = await pool.call("left", left.parent) == os.getpid()
    await until(lambda: own_template().ready)
    facts["parent later"] = await pool.call("left", left.parent) not in (os.getpid(), server.pid)
    facts["loaded"] = "pandas" in await pool.call("left", left.loaded)
""",
    )
    assert all(found.values()), found


def test_workers_and_the_template_die_with_the_server(tmp_path: Path) -> None:
    found, _ = facts(
        tmp_path,
        """
    pool = pool_for(["data"])
    spawned = await pool.call("left", left.pid)
    await until(lambda: own_template().ready)
    pids = [spawned, await pool.call("right", right.pid), await pool.call("right", right.parent)]
    print(json.dumps(pids), flush=True)
    os.kill(os.getpid(), 9)
""",
        ended=-9,
    )
    deadline = time.monotonic() + 600
    while any(map(lives, found)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
