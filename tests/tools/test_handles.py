"""What cannot be a handle is said to be none, of every kind and before a backend is asked for what it names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.handles import VERSIONED, parse, parse_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.slices import handle_kinds, removing
from mlops_mcp.tools.tracking import artifacts, client, comparison, measured
from mlops_mcp.tools.upkeep.client import delete

ODD = (
    "\ud800x",
    "..",
    "../..",
    "a/../b",
    "./a",
    "/etc/passwd",
    "~/a",
    "%2e%2e/%2E%2e",
    "a\0b",
    "a\nb",
    "a\\b",
    "x" * 5000,
    "s3://a/b",
)


@pytest.mark.parametrize("name", ODD)
def test_what_leads_elsewhere_names_nothing_of_any_kind(name: str) -> None:
    for kind in handle_kinds():
        for text in (name, f"{kind}:{name}"):
            with pytest.raises(ToolFailure, match=f"no {kind} handle. Pass {kind}:<name>") as refused:
                parse(text, kind)
            assert len(str(refused.value)) < 600


def test_names_that_others_gave_are_read() -> None:
    name = "Überblick 3 (neu), v1.2"
    for kind in set(handle_kinds()) - {"run"}:
        assert parse(f"{kind}:{name}", kind).name == name


@pytest.mark.parametrize(
    "text", ["models:/model:churn/3", "models:/ churn/3", "model: churn/3", "model:models:/churn/3"]
)
def test_a_registered_model_is_not_written_with_two_kinds_or_a_blank(text: str) -> None:
    with pytest.raises(ToolFailure, match="no model handle"):
        parse_model(text)


def test_what_has_no_versions_is_not_written_with_one() -> None:
    for kind in set(handle_kinds()) - {*VERSIONED, "run"}:
        for version in ("x", ""):
            with pytest.raises(ToolFailure, match=f"a {kind} has no versions.*Pass {kind}:churn"):
                parse(f"{kind}:churn@{version}", kind)


@pytest.mark.parametrize("name", ["..", "a\0b", "x" * 5000])
def test_nothing_is_asked_before_a_handle_that_is_to_go_is_one(without_backends: Work, name: str) -> None:
    for kind in removing():
        with pytest.raises(
            ToolFailure, match=rf"no {kind} handle|no model handle|cannot name an {kind}|unknown {kind}"
        ):
            delete(without_backends, [f"{kind}:{name}"], True, False)


@pytest.mark.parametrize("run", ["run:../..", "run:a b", "run:", "model:a", "x" * 300])
def test_nothing_is_asked_before_a_run_is_one(without_backends: Work, run: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.get_run(without_backends, run),
        lambda: client.end_run(without_backends, run, "FINISHED"),
        lambda: client.log_open_run(without_backends, run, {"a": 1}, {}, 0, {}),
        lambda: client.require_running(without_backends, run),
        lambda: artifacts.list_artifacts(without_backends, run, "", 1, ""),
        lambda: artifacts.read_artifact(without_backends, run, "a", 0),
        lambda: measured.get_metric_history(without_backends, run, "a", 2, False),
        lambda: comparison.compare_runs(without_backends, [run, "run:1"]),
        lambda: delete(without_backends, [f"run:{run.removeprefix('run:')}"], True, False),
    ]
    for call in calls:
        with pytest.raises(ToolFailure, match=r"no run handle|an empty run handle|is a model, not a run"):
            call()
