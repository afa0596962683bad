"""Without Great Expectations its tools say what to install; common rules are checked and evaluated all the same."""

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
odd = Expectation(type="expect_column_median_to_be_between", kwargs={"column": "hcp_id", "min_value": 1})
plain = Expectation(type="expect_column_values_to_be_unique", kwargs={"column": "hcp_id"})
print(outcome_of(lambda: client.create_suite(work, "rules", [odd])).failure)
client.create_suite(work, "rules", [plain])
print(client.validate_dataset(work, dataset, "rules", "", [], "short").verdict)
print(client.validate_dataset(work, dataset, "e2i_regression_suite", "", [], "short").passed)
print(client.list_suites(work, 10, "").total)
"""


def test_a_missing_library_is_named_with_the_way_to_install_it_and_plain_rules_do_without(work: Work) -> None:
    command = [sys.executable, "-c", WITHOUT, str(work.home)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    missing = "great_expectations is not installed. Install it with: pip install 'mlops-mcp[quality]'"
    assert said == [missing, "passed", "2", "3"]
