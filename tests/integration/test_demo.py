import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow


def test_the_demo_runs_the_whole_lifecycle_and_leaves_nothing_running(environ: dict[str, str], tmp_path: Path) -> None:
    variables = {**os.environ, **environ, "COLUMNS": "160"}
    done = subprocess.run(
        [sys.executable, "-m", "mlops_mcp.server", "demo", "--trials", "1"],
        env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    _require_findings(done.stdout)
    _require_report(Path(environ["MLOPS_HOME"]) / "report.html", done.stdout)

    left = [process for process in psutil.process_iter() if _belongs_to(process, environ["MLOPS_HOME"])]
    assert left == []


def _require_findings(said: str) -> None:
    score = re.search(r"test AUC (0\.\d+) \[(0\.\d+), (0\.\d+)\], dummy 0\.50", said)
    assert score, said
    assert float(score[1]) > 0.93
    assert "rightly failed" in said
    assert "chance of default" in said


def _require_report(report: Path, said: str) -> None:
    """It has the parts that a person looks for, and is named at the end."""
    assert str(report) in said
    written = report.read_text(encoding="utf-8")
    parts = ("Scores", "Search", "SHAP", "Lineage of endpoint:credit_risk", "Jobs", "Trace")
    assert [part for part in parts if f"<h2>{part}" not in written and part not in written] == []
    assert "logit-DeLong" in written
    assert written.count("<svg") > 20
    assert "<script" not in written


def _belongs_to(process: psutil.Process, home: str) -> bool:
    try:
        environment = process.environ()
        names = (environment.get("MLOPS_HOME"), environment.get("MLOPS_ENDPOINT_HOME"))
        return process.pid != os.getpid() and home in names
    except psutil.Error:
        return False
