import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread, imsave
from mcp import Client, MCPError
from mcp.types import BlobResourceContents, ImageContent, TextContent

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking import artifacts, client, overview
from mlops_mcp.tools.tracking.backend import mlflow_client
from mlops_mcp.tools.tracking.comparison import compare_runs
from mlops_mcp.tools.tracking.measured import get_metric_history

pytestmark = pytest.mark.slow


def run(work: Work, params: dict[str, Any], metrics: dict[str, float], experiment: str = "", **tags: str) -> str:
    made = client.start_run(work, experiment, "a run", {}).run
    if params or metrics or tags:
        client.log_run(work, made, params, metrics, 0, tags)
    return made


def test_runs_side_by_side_show_what_differs_and_each_metric_less_that_of_the_first(work: Work) -> None:
    pins = "python==3.11 numpy==2.0"
    first = run(work, {"depth": 3, "eta": 0.1}, {"auc": 0.8, "own": 1.0}, dataset="dataset:a@1", versions=pins)
    second = run(work, {"depth": 4, "eta": 0.1, "more": "x"}, {"auc": 0.9}, dataset="dataset:a@1", versions=pins)
    found = compare_runs(work, [first, second])
    assert found.params == {"depth": ["3", "4"], "more": [None, "x"]}
    assert found.metrics == {"auc": [0.8, 0.9], "own": [1.0, None]}
    assert found.differences["auc"] == [0.0, pytest.approx(0.1)]
    assert found.differences["own"] == [0.0, None]
    assert (found.same_data, found.same_versions, found.versions) == (True, True, {})


@pytest.mark.parametrize(
    ("tags", "same_data", "same_versions", "versions"),
    [
        ({"dataset": "dataset:a@2", "versions": "numpy==2.1"}, False, False, {"numpy": ["2.0", "2.1"]}),
        ({}, None, None, {"numpy": ["2.0", None]}),
        ({"dataset": "dataset:a@1", "versions": "not pins at all"}, True, None, {"numpy": ["2.0", None]}),
        ({"versions": "numpy==2.0", "mlflow.source.git.commit": "ab"}, None, False, {"commit": [None, "ab"]}),
    ],
)
def test_other_data_and_versions_are_said_and_unknown_ones_are_null(
    work: Work, tags: dict[str, str], same_data: bool, same_versions: bool, versions: dict[str, Any]
) -> None:
    first = run(work, {}, {}, dataset="dataset:a@1", versions="numpy==2.0")
    found = compare_runs(work, [first, run(work, {}, {}, **tags)])
    assert (found.same_data, found.same_versions, found.versions) == (same_data, same_versions, versions)


def test_what_a_comparison_cannot_take_is_refused_and_what_is_odd_is_noted(work: Work) -> None:
    first, second = run(work, {}, {"auc": 1.0}), run(work, {}, {})
    for runs in ([first], [first, first], [], [first, first.removeprefix("run:")]):
        with pytest.raises(ToolFailure, match="2 to 10 different runs"):
            compare_runs(work, runs)
    with pytest.raises(ToolFailure, match="unknown run"):
        compare_runs(work, [first, "run:nowhere"])
    client.end_run(work, first, "FINISHED")
    mlflow_client(work).delete_run(second.removeprefix("run:"))
    found = compare_runs(work, [first, second])
    assert found.notes == [f"{second} is deleted", f"{second} has not ended"]
    many = compare_runs(work, [run(work, {f"p{n}_{i}": "v" * 90 for i in range(20)}, {}) for n in range(10)])
    assert len(many.model_dump_json()) < 6000
    assert many.omitted is not None


def curve(work: Work, points: int) -> tuple[str, np.ndarray]:
    values = np.random.default_rng(0).normal(size=points)
    made = client.start_run(work, "", "", {}).run
    from mlflow.entities import Metric

    metrics = [Metric("loss", float(value), 0, step) for step, value in enumerate(values)]
    mlflow_client(work).log_batch(made.removeprefix("run:"), metrics=metrics)
    return made, values


@pytest.mark.parametrize("limit", [2, 30, 500])
def test_a_long_metric_is_thinned_and_keeps_its_ends_and_extremes(work: Work, limit: int) -> None:
    made, values = curve(work, 400)
    found, picture = get_metric_history(work, made, "loss", limit, False)
    assert (found.points, picture) == (400, None)
    assert len(found.steps) <= limit + 2
    assert [values[step] for step in found.steps] == found.values
    assert {0, 399, int(values.argmin()), int(values.argmax())} <= set(found.steps)
    assert (found.first.value, found.last.value) == (values[0], values[-1])
    assert found.lowest is not None
    assert found.highest is not None
    assert (found.lowest.step, found.highest.step) == (int(values.argmin()), int(values.argmax()))


def test_a_metric_that_is_no_number_and_one_that_is_not_there(work: Work) -> None:
    made = run(work, {}, {"auc": 1.0})
    mlflow_client(work).log_metric(made.removeprefix("run:"), "odd", float("inf"))
    found, picture = get_metric_history(work, made, "odd", 30, True)
    assert (found.values, found.lowest, found.highest) == ([None], None, None)
    assert picture is not None
    with pytest.raises(ToolFailure, match="Did you mean auc"):
        get_metric_history(work, made, "auk", 30, False)


async def test_a_picture_stands_beside_the_numbers_on_the_wire(client: Client) -> None:
    made = (await client.call_tool("start_run", {})).structured_content
    assert made is not None
    for step in range(3):
        await client.call_tool("log_run", {"run": made["run"], "metrics": {"val/loss: of 5": step / 3}, "step": step})
    arguments = {"run": made["run"], "metric": "val/loss: of 5", "plot": True}
    answer = await client.call_tool("get_metric_history", arguments)
    assert answer.structured_content is not None
    assert answer.structured_content["values"] == [0, 0.333333, 0.666667]
    pictures = [block for block in answer.content if isinstance(block, ImageContent)]
    assert [block.mime_type for block in pictures] == ["image/png"]
    assert imread(io.BytesIO(base64.b64decode(pictures[0].data))).std() > 0.01
    assert pictures[0].data not in "".join(block.text for block in answer.content if isinstance(block, TextContent))
    whole = (await client.read_resource(answer.structured_content["picture"])).contents[0]
    assert isinstance(whole, BlobResourceContents)
    assert (whole.mime_type, imread(io.BytesIO(base64.b64decode(whole.blob))).std() > 0.01) == ("image/png", True)
    for wrong in ("metrics/los", "artifacts/los.png", "metrics/..%2F..%2Fmlflow.db"):
        with pytest.raises(MCPError):
            await client.read_resource(f"picture://runs/{made['run'].removeprefix('run:')}/{wrong}")


def test_experiments_are_listed_with_their_runs(work: Work) -> None:
    made = {name: [run(work, {}, {}, name) for _ in range(count)] for name, count in (("a", 3), ("b", 1))}
    client.create_experiment(work, "c", {"team": "risk"})
    mlflow_client(work).delete_run(made["a"][0].removeprefix("run:"))
    found = overview.list_experiments(work, 2, "")
    rest = overview.list_experiments(work, 2, found.next_cursor or "")
    lines = {line.name: (line.runs, line.more) for line in [*found.items, *rest.items]}
    assert lines == {"a": (2, False), "b": (1, False), "c": (0, False), "Default": (0, False)}
    assert (found.total, rest.next_cursor) == (4, None)


@pytest.fixture
def filed(work: Work, tmp_path: Path) -> str:
    """A run with files of all kinds."""
    made = run(work, {}, {}).removeprefix("run:")
    mlflow = mlflow_client(work)
    mlflow.log_text(made, "é" * 5000, "notes/long.txt")
    mlflow.log_dict(made, {"a": 1}, "d.json")
    mlflow.log_text(made, "not json", "bad.json")
    mlflow.log_text(made, "x,y\n" + "1,2\n" * 100, "table.csv")
    mlflow.log_text(made, "", "empty.txt")
    (tmp_path / "b.bin").write_bytes(b"\x00\x01\xff")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG" + b"0" * 1_000_001)
    imsave(tmp_path / "p.png", np.zeros((9, 9)))
    for name in ("b.bin", "huge.png", "p.png"):
        mlflow.log_artifact(made, str(tmp_path / name))
    return f"run:{made}"


def test_artifacts_are_listed_folder_by_folder(work: Work, filed: str) -> None:
    top = artifacts.list_artifacts(work, filed, "", 3, "")
    assert [line.path for line in top.items] == ["notes", "b.bin", "bad.json"]
    assert (top.total, top.items[0].folder, top.items[1].size) == (8, True, 3)
    assert [line.path for line in artifacts.list_artifacts(work, filed, "notes/", 9, "").items] == ["notes/long.txt"]
    for path, says in (("nots", "Did you mean notes"), ("d.json", "read_artifact"), ("../x", "leaves the run")):
        with pytest.raises(ToolFailure, match=says):
            artifacts.list_artifacts(work, filed, path, 9, "")


def test_text_is_read_in_parts_json_and_tables_as_such(work: Work, filed: str) -> None:
    first, _ = artifacts.read_artifact(work, filed, "notes/long.txt", 0)
    last, _ = artifacts.read_artifact(work, filed, "notes/long.txt", first.next_offset or 0)
    assert (f"{first.text}{last.text}", first.next_offset, last.next_offset) == ("é" * 5000, 4000, None)
    assert (first.size, first.kind) == (10000, "text")
    assert artifacts.read_artifact(work, filed, "d.json", 0)[0].kind == "json"
    assert artifacts.read_artifact(work, filed, "bad.json", 0)[0].kind == "text"
    assert artifacts.read_artifact(work, filed, "empty.txt", 0)[0].text == ""
    table, _ = artifacts.read_artifact(work, filed, "table.csv", 0)
    assert (table.kind, table.lines, (table.text or "").count("\n")) == ("table", 101, 20)
    assert artifacts.read_artifact(work, filed, "table.csv", table.next_offset or 0)[0].text == "1,2\n" * 20
    told, shown = artifacts.read_artifact(work, filed, "p.png", 0)
    assert shown is not None
    assert (shown.kind, artifacts.artifact_picture(work, filed, "p.png")) == ("png", shown.data)
    assert (told.kind, told.picture) == ("image", f"picture://runs/{filed.removeprefix('run:')}/artifacts/p.png")


def test_the_files_of_a_model_are_a_folder_of_its_run(work: Work, filed: str, tmp_path: Path) -> None:
    from mlflow.entities import LoggedModelOutput

    mlflow, made = mlflow_client(work), filed.removeprefix("run:")
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "card.json").write_text("{}")
    model = mlflow.create_logged_model(mlflow.get_run(made).info.experiment_id, source_run_id=made).model_id
    mlflow.log_model_artifacts(model, str(tmp_path / "model"))
    mlflow.log_outputs(made, [LoggedModelOutput(model, step=0)])
    assert artifacts.list_artifacts(work, filed, "", 1, "").items[0].path == model
    assert [line.path for line in artifacts.list_artifacts(work, filed, model, 9, "").items] == [f"{model}/deep"]
    found, _ = artifacts.read_artifact(work, filed, f"{model}/deep/card.json", 0)
    assert (found.text, found.kind, found.path) == ("{}", "json", f"{model}/deep/card.json")
    with pytest.raises(ToolFailure, match="Did you mean"):
        artifacts.read_artifact(work, filed, f"{model}/deep/cart.json", 0)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("b.bin", "no text: 3 bytes"),
        ("huge.png", "cannot be shown: it is no image"),
        ("notes", "is a folder"),
        ("tabel.csv", "Did you mean table.csv"),
        ("../../mlflow.db", "leaves the run"),
        ("/etc/passwd", "leaves the run"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_it_is(work: Work, filed: str, path: str, says: str) -> None:
    with pytest.raises(ToolFailure, match=says):
        artifacts.read_artifact(work, filed, path, 0)
