"""A team has a Great Expectations project: its suites are run, and it sees ours."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.quality import client, removal
from mlops_mcp.tools.quality.models import Expectation
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer

pytestmark = pytest.mark.slow


def opened(root: Path) -> Any:
    import great_expectations as gx

    return gx.get_context(mode="file", project_root_dir=root)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a project with suites, as the library itself writes them."""
    import great_expectations as gx

    gxe: Any = import_module("great_expectations.expectations")
    root = tmp_path_factory.mktemp("project")
    context = opened(root)
    team = context.suites.add(gx.ExpectationSuite(name="Team suite (v2)"))
    team.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column="a"))
    team.add_expectation(
        gxe.ExpectColumnValuesToBeBetween(column="a", min_value=1, max_value=3, mostly=0.9, severity="warning")
    )
    odd = context.suites.add(gx.ExpectationSuite(name="odd"))
    odd.add_expectation(
        gxe.ExpectColumnValuesToBeInSet(column="b", value_set=["x"], row_condition="a > 1", condition_parser="pandas")
    )
    context.suites.add(gx.ExpectationSuite(name="empty"))
    return files(root)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def project(made: dict[str, bytes], tmp_path: Path) -> Path:
    for name, data in made.items():
        path = tmp_path / "team" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "team"


@pytest.fixture
def work(tmp_path: Path, project: Path, process_cache: dict[object, object]) -> Work:
    values = {"great_expectations.context_root": str(project / "gx")}
    settings = load({"MLOPS_HOME": str(tmp_path / "home")}, values).settings
    return Work(settings, Tracer(lambda _: None), cache=process_cache)


RULE = Expectation(type="expect_column_values_to_not_be_null", kwargs={"column": "a"})
OTHER = Expectation(type="expect_column_values_to_be_unique", kwargs={"column": "a"}, severity="info")


def test_the_suites_of_a_project_are_listed_shown_and_run_and_not_a_byte_of_it_changes(
    work: Work, project: Path
) -> None:
    before = files(project)
    listed = {line.suite: line for line in client.list_suites(work, 50, "").items}
    assert listed["suite:Team suite (v2)"].rules == 2
    assert "not used: rule 1: unknown kwarg" in listed["suite:odd"].notes[0]
    assert "without rules" in listed["suite:empty"].notes[0]
    shown = client.get_suite(work, "suite:Team suite (v2)", "full", 10, "")
    assert [(rule.type, rule.severity) for rule in shown.expectations] == [
        ("expect_column_values_to_not_be_null", "critical"),
        ("expect_column_values_to_be_between", "warning"),
    ]
    rows = save(work, pa.Table.from_pandas(pd.DataFrame({"a": [1.0, None, 9.0]})), "rows", [], "test").handle
    found = client.validate_dataset(work, rows, "suite:Team suite (v2)", "", [], "full")
    assert [result.unexpected for result in found.results] == [1, 1]
    assert {name: data for name, data in files(project).items() if not name.startswith("gx/validations/")} == before


@pytest.mark.parametrize("name", ["odd", "empty"])
def test_a_suite_of_a_project_is_neither_changed_nor_deleted(work: Work, project: Path, name: str) -> None:
    before = files(project)
    with pytest.raises(ToolFailure, match="belongs to the Great Expectations project"):
        client.create_suite(work, name, [RULE])
    with pytest.raises(ToolFailure):
        removal.find(work, f"suite:{name}")
    assert files(project) == before


def test_a_suite_of_ours_is_one_of_the_projects_with_its_newest_rules_until_it_is_deleted(
    work: Work, project: Path
) -> None:
    client.create_suite(work, "ours", [RULE])
    client.create_suite(work, "ours", [RULE, OTHER])
    assert [line.suite for line in client.list_suites(work, 50, "").items].count("suite:ours") == 1
    context = opened(project)
    found = context.suites.get("ours")
    assert [(each.expectation_type, each.severity.value) for each in found.expectations] == [
        (RULE.type, "critical"),
        (OTHER.type, "info"),
    ]
    assert {suite.name for suite in context.suites.all()} == {"Team suite (v2)", "odd", "empty", "ours"}
    removal.remove(work, removal.find(work, "suite:ours@2"))
    assert len(opened(project).suites.get("ours").expectations) == 1
    removal.remove(work, removal.find(work, "suite:ours"))
    assert "ours" not in {suite.name for suite in opened(project).suites.all()}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"expectations": [{}]}', '{"expectations": 3}', "[" * 100_000])
def test_a_damaged_suite_of_a_project_hides_no_other(work: Work, project: Path, text: str) -> None:
    (project / "gx" / "expectations" / "odd.json").write_text(text)
    listed = {line.suite: line for line in client.list_suites(work, 50, "").items}
    assert listed["suite:Team suite (v2)"].rules == 2
    assert "is damaged" in listed["suite:odd"].notes[0]


def test_without_a_project_nothing_is_written_beside_our_suites(tmp_path: Path) -> None:
    settings = load({"MLOPS_HOME": str(tmp_path / "home")}).settings
    client.create_suite(Work(settings, Tracer(lambda _: None)), "ours", [RULE])
    assert not (settings.gx_home / "expectations").exists()
    assert json.loads((settings.gx_home / "suites" / "ours" / "000001.json").read_text())["name"] == "ours"
