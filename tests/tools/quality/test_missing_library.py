"""Without Great Expectations its tools say what to install, and stored suites can still be read."""

from __future__ import annotations

import subprocess
import sys

from mlops_mcp.tools.runtime.work import Work

WITHOUT = """
import sys
for name in ("great_expectations", "tqdm"):
    sys.modules[name] = None
import pyarrow as pa
from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.runtime.outcome import outcome_of
from mlops_mcp.tools.tracing.span import Tracer
work = Work(load({"MLOPS_HOME": sys.argv[1]}).settings, Tracer(lambda _: None))
dataset = save(work, pa.table({"hcp_id": ["a"]}), "calls", [], "test").handle
print(outcome_of(lambda: client.create_suite(work, "rules", [Expectation(type="expect_column_to_exist")])).failure)
print(outcome_of(lambda: client.validate_dataset(work, dataset, "e2i_regression_suite", "", [], "short")).failure)
print(client.list_suites(work, 10, "").total)
"""


def test_a_missing_library_is_named_with_the_way_to_install_it(work: Work) -> None:
    command = [sys.executable, "-c", WITHOUT, str(work.home)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    missing = "great_expectations is not installed. Install it with: pip install 'mlops-mcp[quality]'"
    assert said == [missing, missing, "2"]
