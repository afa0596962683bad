"""What MLflow would refuse, rename or cut off is refused before, in words that name what it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking import artifacts, client
from mlops_mcp.tools.tracking.checks import check_tags, check_values, inside_run

KEYS = (
    "a", "a b", "a.b", "a/b", "a:b", "a-b", "ü", "x" * 250, "", ".", "..", "../a", "/a", "a//b", "a/../b", "a=b", "a'b",
    "a\0",
)  # fmt: skip


def refused(call: Callable[[], object]) -> str:
    try:
        call()
    except ToolFailure as failure:
        return str(failure)
    return ""


def test_keys_are_those_that_mlflow_takes() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    checks: dict[Callable[[str], object], Callable[[str], object]] = {
        vars(validation)["_validate_param_name"]: lambda key: check_values({key: "1"}, {}),
        vars(validation)["_validate_metric_name"]: lambda key: check_values({}, {key: 1.0}),
        vars(validation)["_validate_tag_name"]: lambda key: check_tags({key: "1"}),
    }
    for of_mlflow, ours in checks.items():
        for key in KEYS:
            said = refused(partial(ours, key))
            try:
                of_mlflow(key)
            except MlflowException:
                assert "cannot name a" in said, key
                assert len(said) < 400
            else:
                assert said == "", key
    assert "e.g. 'a_b'" in refused(lambda: check_values({"a=b": "1"}, {}))
    for key in ("a\n", "x" * 251):
        assert "cannot name a param" in refused(partial(check_values, {key: "1"}, {}))


@pytest.mark.parametrize(
    ("path", "plain"),
    [("", ""), (" ", ""), ("a/b.txt", "a/b.txt"), ("a//./b/", "a/b"), ("ü/日本", "ü/日本"), ("%", "%"), ("..a", "..a")],
)
def test_a_path_inside_of_a_run_is_made_plain(path: str, plain: str) -> None:
    assert inside_run(path) == plain


@pytest.mark.parametrize(
    "path", ["..", "a/../..", "/etc/passwd", "~/x", "%2e%2e/a", "a\\..\\b", "a\0b", "a\nb", "x" * 256, "a/" + "ü" * 200]
)
def test_a_path_that_leaves_a_run_or_names_no_file_is_refused_everywhere(work: Work, path: str, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.touch()
    for call in (
        lambda: artifacts.list_artifacts(work, "run:1", path, 10, ""),
        lambda: artifacts.read_artifact(work, "run:1", path, 0),
        lambda: client.log_artifact(work, "run:1", str(note), path),
    ):
        said = refused(call)
        assert "leaves the run. Pass a path inside of it" in said or "cannot name a file. Use up to 255 bytes" in said
        assert len(said) < 400


@pytest.mark.parametrize("name", ["..", "a\0b", "a\nb", "x" * 600])
def test_experiments_and_runs_are_called_what_can_be_asked_for(work: Work, name: str) -> None:
    assert "cannot name an experiment" in refused(lambda: client.create_experiment(work, name, {}))
    assert "cannot name a run" in refused(lambda: client.start_run(work, "e", name, {}))


def test_a_param_keeps_its_value_and_a_missing_folder_is_named(work: Work) -> None:
    run = client.start_run(work, "e", "", {}).run
    client.log_open_run(work, run, {"depth": 3, "rate": 0.1}, {}, 0, {})
    client.log_open_run(work, run, {"depth": 3}, {"auc": 0.9}, 0, {})
    with pytest.raises(ToolFailure, match=f"param depth of {run} is '3' already and cannot become '4'.*start_run"):
        client.log_open_run(work, run, {"depth": 4}, {"auc": 0.1}, 0, {})
    assert client.get_run(work, run).metrics == {"auc": 0.9}
    client.log_text(work, run, "plots/a.txt", "x")
    with pytest.raises(ToolFailure, match=r"unknown artifact of run:.* 'plot'. Did you mean plots"):
        artifacts.read_artifact(work, run, "plot/a.txt", 0)
    with pytest.raises(ToolFailure, match=r"plots/a\.txt is a file"):
        artifacts.list_artifacts(work, run, "plots/a.txt/b", 10, "")
