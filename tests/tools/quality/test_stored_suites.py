"""A stored suite is checked again whenever it is loaded: its file may have come from somebody else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.quality import client
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.runtime.work import Work

RULE = {"type": "expect_column_to_exist", "kwargs": {"column": "x"}, "severity": "critical"}
NULLS = "expect_column_values_to_not_be_null"
SCHEMA = "expect_column_values_to_match_json_schema"

Plant = Callable[..., Path]


@pytest.fixture
def plant(work: Work) -> Plant:
    """Writes a suite file of any content, as an attacker who can write the folder would."""

    def planted(rule: dict[str, Any] | None = None, name: str = "planted", **more: Any) -> Path:
        content = {"name": name, "version": 1, "created": "2024-01-01", "expectations": [rule or RULE]}
        file = work.settings.gx_home / "suites" / "planted" / "000001.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content | more))
        return file

    return planted


def evil(marker: Path) -> dict[str, Any]:
    """A rule whose condition pandas evaluates as code: harmless here, it makes a file."""
    condition = {"row_condition": f'@pd.compat.os.mkdir("{marker}")', "condition_parser": "pandas"}
    return {"type": NULLS, "kwargs": {"column": "x", **condition}}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_condition_in_a_suite_file_runs_nothing(work: Work, plant: Plant, tmp_path: Path) -> None:
    plant(evil(tmp_path / "it-ran"))
    handle = save(work, pa.table({"x": [1, 2]}), "rows", [], "test").handle
    with pytest.raises(ToolFailure, match=r"suite:planted@1 is not used: rule 1: unknown kwarg.*row_condition"):
        client.validate_dataset(work, handle, "planted", "", [], "full")
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "select 1"}}, "needs a SQL"),
        ({"type": "expect_nothing_like_it", "kwargs": {}}, "unknown expectation type"),
        ({"type": NULLS, "kwargs": {"column": "x", "condition_parser": "pandas"}}, "unknown kwarg"),
        ({"type": NULLS, "kwargs": {"column": "x", "meta": {"key": "0"}}}, "unknown kwarg"),
        ({"type": NULLS, "kwargs": {"column": {"$PARAMETER": "x"}}}, "PARAMETER"),
        ({"type": NULLS, "kwargs": {}}, "needs column"),
        ({"type": SCHEMA, "kwargs": {"column": "x", "json_schema": {"$ref": "file:///etc"}}}, "holds a reference"),
        ({"type": NULLS, "kwargs": {"column": "x"}, "row_condition": "a"}, "is damaged"),
    ],
)  # fmt: skip
def test_what_create_suite_refuses_is_refused_from_a_file_too(
    work: Work, plant: Plant, rule: dict[str, Any], said: str
) -> None:
    plant(rule)
    with pytest.raises(ToolFailure, match=said):
        client.get_suite(work, "planted", "full", 20, "")
    with pytest.raises(ToolFailure, match=said):
        client.create_suite(work, "planted", [Expectation.model_validate(RULE)])


@pytest.mark.parametrize("more", [{"name": "other"}, {"version": 7}, {"expectations": []}, {"hooks": ["os.system"]}])
def test_a_file_that_says_it_is_something_else_is_not_used(work: Work, plant: Plant, more: dict[str, Any]) -> None:
    plant(**more)
    with pytest.raises(ToolFailure, match=r"the stored suite:planted@1 is (not used|damaged)"):
        client.get_suite(work, "planted", "full", 20, "")


def test_a_suite_that_cannot_be_used_does_not_hide_the_others(work: Work, plant: Plant) -> None:
    plant(evil(Path(os.devnull)))
    client.create_suite(work, "sound", [Expectation.model_validate(RULE)])
    found = {line.suite: line for line in client.list_suites(work, 20, "").items}
    assert "delete(handle='suite:planted@1')" in found["suite:planted"].notes[0]
    assert found["suite:sound"].rules == 1


def test_what_was_stored_is_read_as_it_was(work: Work) -> None:
    rules = [Expectation.model_validate(RULE), Expectation(type=NULLS, kwargs={"column": "x", "mostly": 0.5})]
    client.create_suite(work, "sound", rules)
    assert client.get_suite(work, "sound", "full", 20, "").expectations == rules
