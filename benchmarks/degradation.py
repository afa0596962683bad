"""How long it takes to be told that a backend is dead or a library is missing; that it is told is tested.

`python benchmarks/degradation.py` asks each call of `tests/integration/test_degradation.py` twice of each dead backend,
since the first call of a worker opens its library, and prints the seconds of the second beside the limit.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.integration.test_degradation import (  # noqa: E402
    BLOCKER,
    EVALUATE,
    EXPLAIN,
    MODELS,
    NEEDED,
    PACKAGE,
    RUN,
    STUDY,
    TUNE,
    Answers,
    Call,
    broken,
    closed,
    prepare,
    server,
    silent,
)  # fmt: skip

LIMIT_S = 2.0
Backend = Callable[[], Any]


def main() -> int:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder, "home")
        home.mkdir()
        taken = asyncio.run(measure(home))
        taken += [row(f"doctor, MLflow {backend.__name__}", doctor(home, backend)) for backend in (closed, silent)]
    print(f"the slowest {max(taken):.2f} s (limit {LIMIT_S:g})")
    return 0 if max(taken) < LIMIT_S else 1


def row(name: str, seconds: float) -> float:
    print(f"{name:<64}{seconds:>8.2f}{'' if seconds < LIMIT_S else '  over the limit'}", flush=True)
    return seconds


async def measure(home: Path) -> list[float]:
    await prepare(home)
    taken: list[float] = []
    for scheme in ("http", "postgresql"):
        for backend in (closed, silent, broken):
            with backend() as dead:
                variables = {"MLFLOW_TRACKING_URI": f"{scheme}://127.0.0.1:{dead.port}/m"}
                label = f"MLflow {scheme} {backend.__name__}"
                taken += await asked(home, label, variables, (RUN, MODELS, EVALUATE, PACKAGE, EXPLAIN))
    for backend in (closed, silent):
        with backend() as dead:
            variables = {"MLOPS_OPTUNA__STUDY_STORAGE": f"postgresql://127.0.0.1:{dead.port}/optuna"}
            taken += await asked(home, f"study storage {backend.__name__}", variables, (STUDY, TUNE))
    (home / "sitecustomize.py").write_text(BLOCKER, encoding="utf-8")
    for library, (_, calls) in NEEDED.items():
        taken += await asked(home, f"no {library}", {"PYTHONPATH": str(home), "PYTHON_ABSENT": library}, calls)
    return taken


async def asked(home: Path, label: str, variables: dict[str, str], calls: Any) -> list[float]:
    taken: list[float] = []
    async with server(home, **variables) as client:
        answers = Answers(client)
        for call in calls:
            await refused(answers, call)
            began = time.perf_counter()
            await refused(answers, call)
            taken.append(row(f"{label}, {call[0]}", time.perf_counter() - began))
    return taken


async def refused(answers: Answers, call: Call) -> None:
    failed, text, _ = await answers.ask(call)
    if not failed:
        raise SystemExit(f"{call[0]} succeeded: {text[:300]}")


def doctor(home: Path, backend: Backend) -> float:
    with backend() as dead:
        uri = f"http://127.0.0.1:{dead.port}"
        variables = {"PATH": os.environ["PATH"], "HOME": str(home), "MLOPS_HOME": str(home), "MLFLOW_TRACKING_URI": uri}
        began = time.perf_counter()
        command = [sys.executable, "-m", "mlops_mcp.server", "doctor"]
        subprocess.run(
            command, env=variables, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
