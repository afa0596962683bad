"""The examples on real data tell what is known of these data."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from mlops_mcp.config.load import load
from mlops_mcp.examples.job_training.study import DATA, report, study
from mlops_mcp.examples.new_customers.story import tell

from ..conftest import PATIENT, connected

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    for example in ("job_training.study", "new_customers.story"):
        monkeypatch.setattr(f"mlops_mcp.examples.{example}.Client", _here)
    return tmp_path / "home"


def _here(server: StdioServerParameters) -> AbstractAsyncContextManager[Client]:
    """What the example starts, in this process, which has the libraries loaded; the demo starts it as it says."""
    return connected(load(server.env or {}).settings)


async def test_a_survey_is_far_from_the_experiment_until_what_is_known_of_before_is_taken_into_account(
    home: Path,
) -> None:
    """Dehejia and Wahba (1999): 1,794 dollars by the experiment, and 8,498 less by the plain difference."""
    lottery, plain, adjusted = await study(home)
    assert (lottery.rows, plain.rows) == (445, 16_177)
    assert lottery.value == pytest.approx(1794.34, abs=0.5)
    assert lottery.interval[0] > 0
    assert plain.value == pytest.approx(-8497.5, abs=0.5)
    assert plain.interval[1] < 0
    assert adjusted.interval[0] < lottery.value < adjusted.interval[1]
    # Few of the survey are like those who were trained, and the answer says so by itself.
    assert adjusted.notes
    assert "| +1,794 |" in report([lottery, plain, adjusted])
    assert (DATA / "README.md").is_file()


async def test_a_model_that_new_customers_outgrow_is_replaced_by_one_that_is_shown_to_be_better(home: Path) -> None:
    first, drift, worse, second, again, versions = [line async for line in tell(home)]
    assert "passed: AUC" in first
    assert "person_income" in drift
    assert float(re.findall(r"AUC ([.\d]+)", worse)[0]) < float(re.findall(r"AUC ([.\d]+)", first)[0])
    assert "passed: AUC" in second
    assert "failed: AUC" in again
    assert versions.count("Production") == 1
    assert "owners_and_tenants/2 Production" in versions
