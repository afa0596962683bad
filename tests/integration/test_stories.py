"""The examples on real data tell what is known of these data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlops_mcp.examples.new_customers.story import tell

from ..conftest import PATIENT

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in PATIENT.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


async def test_a_model_that_new_customers_outgrow_is_replaced_by_one_that_is_shown_to_be_better(home: Path) -> None:
    first, drift, worse, second, again, versions = [line async for line in tell(home)]
    assert "passed: AUC" in first
    assert "person_income" in drift
    assert float(re.findall(r"AUC ([.\d]+)", worse)[0]) < float(re.findall(r"AUC ([.\d]+)", first)[0])
    assert "passed: AUC" in second
    assert "failed: AUC" in again
    assert versions.count("Production") == 1
    assert "owners_and_tenants/2 Production" in versions
