"""Without Feast its tools say what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops_mcp.tools.runtime.work import Work

WITHOUT = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
from mlops_mcp.config.load import load
from mlops_mcp.tools.features import client
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.runtime.outcome import outcome_of
from mlops_mcp.tools.tracing.span import Tracer
work = Work(load({"MLOPS_HOME": sys.argv[1]}).settings, Tracer(lambda _: None))
print(outcome_of(lambda: client.list_features(work, "", 10, "")).failure)
"""


@pytest.mark.parametrize("missing", [["feast"], ["feast", "typeguard", "sqlalchemy", "ibis", "duckdb"]])
def test_a_missing_library_is_named_with_the_way_to_install_it(work: Work, missing: list[str]) -> None:
    command = [sys.executable, "-c", WITHOUT, str(work.home), *missing]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "feast is not installed. Install it with: pip install 'mlops-mcp[features]'\n"
