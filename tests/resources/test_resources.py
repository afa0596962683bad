from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mcp import Client, MCPError
from mcp.types import ResourceTemplateReference, TextResourceContents
from sklearn.linear_model import LinearRegression

from mlops_mcp.config.load import load
from mlops_mcp.resources import registry, runs
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking import embedded
from mlops_mcp.tools.tracking.backend import mlflow_client

from ..conftest import finished
from ..tools.registry.imported import logged_by_mlflow, of_sklearn

pytestmark = pytest.mark.slow


async def _text(client: Client, uri: str) -> str:
    content = (await client.read_resource(uri)).contents[0]
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "text/markdown"
    return content.text


async def test_runs_and_registry_entries_are_cards_with_completions(client: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    pd.DataFrame({"x": x, "y": (x > 0).astype(int)}).to_parquet(tmp_path / "rows.parquet")
    data = str(tmp_path / "rows.parquet")
    answer = await finished(client, "train_model", dataset=data, target="y", algorithm="LogisticRegression", wait_s=50)
    assert answer.structured_content is not None
    trained = answer.structured_content["result"]
    await client.call_tool("register_model", {"model": trained["model"], "name": "credit", "description": "a|b"})

    assert "mlops" in await _text(client, "mlflow://experiments")
    run = trained["run"].removeprefix("run:")
    assert "train_auc" in await _text(client, f"mlflow://runs/{run}")
    assert "| 1 | None |" in await _text(client, "mlflow://models/credit")
    assert "- x (number)" in await _text(client, "mlflow://models/credit/versions/1")
    for uri, says in (
        ("mlflow://runs/nope", "unknown run"),
        ("mlflow://models/credt", "Did you mean credit"),
        ("mlflow://models/credit/versions/9", "Valid: 1"),
        ("mlflow://models/credit/versions/1%20", "unknown version"),
        ("mlflow://models/credit/versions/01", "unknown version"),
    ):
        with pytest.raises(MCPError, match=says):
            await client.read_resource(uri)

    model = ResourceTemplateReference(uri="mlflow://models/{name}/versions/{version}")
    named = await client.complete(model, {"name": "name", "value": "cr"})
    numbered = await client.complete(model, {"name": "version", "value": ""}, {"name": "credit"})
    runs = await client.complete(
        ResourceTemplateReference(uri="mlflow://runs/{run_id}"), {"name": "run_id", "value": run[:4]}
    )
    assert (named.completion.values, numbered.completion.values) == (["credit"], ["1"])
    assert run in runs.completion.values


HOSTILE = "<script>alert(1)</script> `x` | [a](http://evil) \x1b[2J"


def test_a_version_of_plain_mlflow_is_a_card_that_says_what_it_is_and_lets_no_text_out_of_its_line(work: Work) -> None:
    """Names, tags and signatures are whoever logged it."""
    import mlflow
    from mlflow.models import infer_signature

    rows = pd.DataFrame({HOSTILE: [0.5, 1.5], "plain": [1.0, 2.0]})
    model = LinearRegression().fit(rows.to_numpy(), [0.0, 1.0])
    signature = infer_signature(rows, np.array([0.0]))
    mlflow_client(work)
    uri = logged_by_mlflow(work, lambda: of_sklearn(model, "cloudpickle", signature=signature, input_example=rows))
    mlflow.register_model(uri, "<script> `x` | [a](evil)")
    (name,) = registry.model_names(work, "")
    mlflow_client(work).set_model_version_tag(name, "1", "note", f"{HOSTILE}\n# Other")
    mlflow_client(work).set_tag(str(mlflow_client(work).get_model_version(name, "1").run_id), "mlflow.user", HOSTILE)
    version, whole = registry.version_card(work, name, "1"), registry.model_card(work, name)
    assert "- flavors: python_function, sklearn" in version
    assert "import_model: refuses it: model.pkl is a pickle file" in version
    assert "plain: double" in version
    run = runs.run_card(work, str(mlflow_client(work).get_model_version(name, "1").run_id))
    for card in (version, whole, run):
        for mark in ("<script", "\x1b", "\n# Other", " `x` ", " [a]("):
            assert mark not in card.replace("\\<", "").replace("\\`", "").replace("\\[", ""), (mark, card)


def test_the_experiments_are_read_without_mlflow_as_mlflow_lists_them(work: Work) -> None:
    assert embedded.experiment_ids(work.settings) == {}  # and no store is placed for it
    for number in range(105):
        mlflow_client(work).create_experiment(f"e{number}", artifact_location=str(work.home))
    unwanted: Any = mlflow_client(work).get_experiment_by_name("e7")
    mlflow_client(work).delete_experiment(unwanted.experiment_id)
    known = runs.experiments(work)
    assert len(known) == 105  # with MLflow's own, without the deleted one
    assert list((embedded.experiment_ids(work.settings) or {}).items()) == list(known.items())
    card = runs.experiments_card(known)
    assert card.count("- **") == 100
    assert "5 more are left out." in card


def test_a_store_that_cannot_be_read_so_is_left_to_mlflow(tmp_path: Path) -> None:
    store = tmp_path / "other.db"
    store.write_bytes(b"no database")
    remote = load({"MLFLOW_TRACKING_URI": "http://mlflow.example.org", "MLOPS_HOME": str(tmp_path)}).settings
    broken = load({"MLFLOW_TRACKING_URI": f"sqlite:///{store}", "MLOPS_HOME": str(tmp_path)}).settings
    assert embedded.experiment_ids(remote) is None
    assert embedded.experiment_ids(broken) is None


async def test_suites_and_validations_are_cards_with_completions(client: Client, tmp_path: Path) -> None:
    pd.DataFrame({"a|b": [1.0, 2.0, None], "y": [0, 1, 1]}).to_parquet(tmp_path / "rows.parquet")
    rules = [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a|b"}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "y", "value_set": [0, 1]}},
    ]
    made = await client.call_tool("create_suite", {"name": "carded", "expectations": rules})
    assert not made.is_error, made.content
    asked = {"dataset": str(tmp_path / "rows.parquet"), "suite": "suite:carded"}
    judged = (await client.call_tool("validate_dataset", asked)).structured_content
    assert judged
    identity = judged["validation"].removeprefix("validation:")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}

    suite = await _text(client, "quality://suites/carded")
    assert r'| expect_column_values_to_not_be_null | {"column": "a\|b"} | critical |' in suite
    card = await _text(client, f"quality://validations/{identity}")
    assert "**failed**" in card
    assert card.index("to_not_be_null") < card.index("to_be_in_set"), "what did not pass comes first"
    assert "1 of 3" in card
    assert "e2i" in await _text(client, "quality://suites/e2i_classification_suite")
    for uri, says in (
        ("quality://suites/cardet", "Did you mean carded"),
        ("quality://suites/carded%409", "unknown version"),
        ("quality://validations/nope", "unknown validation"),
    ):
        with pytest.raises(MCPError, match=says):
            await client.read_resource(uri)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")} == before

    named = ResourceTemplateReference(uri="quality://suites/{suite}")
    suites = await client.complete(named, {"name": "suite", "value": "car"})
    assert suites.completion.values == ["carded"]
    newest = ResourceTemplateReference(uri="quality://validations/{validation}")
    validations = await client.complete(newest, {"name": "validation", "value": identity[:3]})
    assert validations.completion.values == [identity]
