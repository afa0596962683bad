"""A dataset of predictions equals the model on the whole table, row by row, in however many parts it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.tools.causal.client import estimate_effect
from mlops_mcp.tools.causal.models import EffectRequest
from mlops_mcp.tools.data.store import resolve, save_parts
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.modeling.frame import design
from mlops_mcp.tools.modeling.store import find_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import batch, endpoints
from mlops_mcp.tools.serving import rows as checks
from mlops_mcp.tools.serving.bentos import find_bento
from mlops_mcp.tools.serving.client import package_model
from mlops_mcp.tools.serving.models import BatchRequest, Deployment, EndpointFile, PackageRequest, Predicted
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest
from mlops_mcp.tools.undo import deletes

pytestmark = pytest.mark.slow

ROWS = 500


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(batch, "PART_ROWS", 70)


@pytest.fixture
def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    made = pd.DataFrame(
        {"ä b": draw.normal(size=ROWS), "n": draw.integers(0, 9, ROWS), "flag": draw.random(ROWS) < 0.5}
    )
    made["kind"] = draw.choice(["u", "v", "w x"], ROWS)
    made["two"] = np.where(made["ä b"] + draw.normal(size=ROWS) > 0, "yes", "no")
    made["three"] = np.where(made["n"] > 5, "high", made["two"])
    return made.assign(amount=made["ä b"] * 3 + made["n"], key=[f"k{place}" for place in range(ROWS)])


@pytest.fixture
def rows(work: Work, tmp_path: Path, frame: pd.DataFrame) -> str:
    frame.to_parquet(tmp_path / "rows.parquet")
    return resolve(work, str(tmp_path / "rows.parquet")).handle


def train(work: Work, dataset: str, target: str, algorithm: str) -> str:
    request = TrainRequest(dataset=dataset, target=target, algorithm=algorithm, features=["ä b", "n", "flag", "kind"])
    return train_model(work, request).model


def predict(work: Work, model: str, dataset: str, **changes: Any) -> tuple[Predicted, pd.DataFrame]:
    made = batch.predict_dataset(work, BatchRequest(model=model, dataset=dataset, **changes))
    return made, resolve(work, made.dataset).frame()


def whole(work: Work, model: str) -> Any:
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(find_model(work, model).folder))


@pytest.mark.parametrize(
    ("target", "algorithm"),
    [("two", "XGBoost"), ("three", "LogisticRegression"), ("amount", "Ridge"), ("two", "HistGradientBoosting")],
)
def test_every_row_gets_what_mlflow_says_of_the_whole_table(
    work: Work, rows: str, frame: pd.DataFrame, target: str, algorithm: str
) -> None:
    model = train(work, rows, target, algorithm)
    made, table = predict(work, model, rows)
    loaded = whole(work, model)
    expected = loaded.predict(frame)
    assert (made.rows, made.notes, list(table["key"])) == (ROWS, [], list(frame["key"]))
    if target == "amount":
        assert np.abs(table["prediction"].to_numpy() - expected).max() < 1e-9
        assert (made.columns, made.counts) == (["prediction"], {})
        assert made.mean == pytest.approx(expected.mean())
        assert (made.low, made.high) == (expected.min(), expected.max())
        return
    labels = find_model(work, model).card.classes
    assert made.columns == ["prediction", *(f"probability_{label}" for label in labels)]
    shares = loaded._model_impl.predict_proba(frame)
    assert np.abs(table[made.columns[1:]].to_numpy() - shares).max() < 1e-9
    assert (table["prediction"].to_numpy() == expected).all()
    assert made.counts == pd.Series(expected).value_counts().to_dict()


def test_chosen_columns_are_kept_and_names_that_are_taken_are_left_alone(
    work: Work, rows: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    model = train(work, rows, "two", "LogisticRegression")
    first, table = predict(work, model, rows, columns=["key"], name="scored")
    assert list(table) == ["key", *first.columns]
    assert first.dataset.startswith("dataset:scored@")
    again, both = predict(work, model, predict(work, model, rows)[0].dataset)
    assert again.columns == ["prediction_2", "probability_no_2", "probability_yes_2"]
    assert (both["prediction"] == both["prediction_2"]).all()
    alone, _ = predict(work, model, rows, columns=[])
    assert resolve(work, alone.dataset).info.columns == first.columns
    assert {edge.parent for edge in Lineage(work.home).ancestors(first.dataset)} >= {rows, model}
    assert first.undo == f"delete(handle={first.dataset!r}, dry_run=false)"
    assert predict(work, model, rows, columns=["key"], name="scored")[0] == first.model_copy(update={"undo": None})


def test_what_training_had_none_of_is_counted_over_all_parts(
    work: Work, rows: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    model = train(work, rows, "two", "XGBoost")
    odd = frame.drop(columns=["two"]).astype({"n": float})
    odd.loc[[3, 200, 499], "kind"] = ["new", "newer", "new"]
    odd.loc[[0, 300], "ä b"] = [999.0, -999.0]
    odd.loc[[5, 150, 450], "n"] = np.nan
    odd.to_parquet(tmp_path / "odd.parquet")
    made, table = predict(work, model, str(tmp_path / "odd.parquet"))
    assert made.undo == deletes(made.dataset, resolve(work, "dataset:odd").handle)
    assert made.notes[1:] == [
        f"n is missing in 3 of {ROWS} rows, and never was in training",
        f"kind holds values unseen in training in 3 of {ROWS} rows, e.g. 'new', 'newer'",
    ]
    assert made.notes[0].endswith(f"in 2 of {ROWS} rows")
    loaded = whole(work, model)._model_impl
    assert np.abs(table[made.columns[1:]].to_numpy() - loaded.predict_proba(odd)).max() < 1e-9


def test_a_model_of_an_effect_says_the_effect_on_each_row(work: Work, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    made = pd.DataFrame({"x": draw.normal(size=300), "t": draw.integers(0, 2, 300)})
    made.assign(y=(1 + made["x"]) * made["t"] + draw.normal(size=300)).to_parquet(tmp_path / "trial.parquet")
    found = estimate_effect(
        work,
        EffectRequest(
            dataset=str(tmp_path / "trial.parquet"),
            treatment="t",
            outcome="y",
            effect_modifiers=["x"],
            estimator="LinearDML",
        ),
    )
    answer, table = predict(work, found.model, str(tmp_path / "trial.parquet"))
    effects = resolve(work, found.effects).frame()["effect"]
    assert answer.columns == ["effect"]
    assert np.abs(table["effect"].to_numpy() - effects.to_numpy()).max() < 1e-9


def test_an_endpoint_stands_for_the_one_model_that_it_serves(work: Work, rows: str) -> None:
    models = [train(work, rows, "two", name) for name in ("LogisticRegression", "XGBoost")]
    bentos = [
        package_model(work, PackageRequest(model=model, name="", version="", batchable=False)).bento for model in models
    ]

    def serving(*shares: int) -> None:
        deployments = [
            Deployment(
                id=f"d{place}", bento=bento, pid=1, port=1, replicas=1, percent=share, ready=True,
                started="2024-01-01T00:00:00+00:00",
            )
            for place, (bento, share) in enumerate(zip(bentos, shares, strict=True))
        ]  # fmt: skip
        endpoints.write(work, EndpointFile(endpoint="shop", deployments=deployments))

    serving(0, 100)
    made, table = predict(work, "endpoint:shop", rows)
    assert made.model == models[1]
    weights = find_model(work, models[1]).card.digest[:12]
    [note] = made.notes
    assert models[1] in note
    assert str(bentos[1]) in note
    assert f"weights sha256 {weights}" in note
    assert table.equals(predict(work, models[1], rows)[1])
    assert "endpoint:shop" in {edge.parent for edge in Lineage(work.home).ancestors(made.dataset)}
    blocks = [batch.block_of(work, "shop", rows, 200, cursor) for cursor in ("", "200", "400")]
    assert [(len(block.items), block.total, block.next_cursor) for block in blocks] == [
        (200, ROWS, "200"), (200, ROWS, "400"), (100, ROWS, None)
    ]  # fmt: skip
    served = find_bento(work, str(bentos[1])).spec
    kinds = {feature.name: str(feature.kind) for feature in served.features}
    inputs = checks.table(checks.check([row for block in blocks for row in block.items], kinds, {}), kinds)
    pd.testing.assert_frame_equal(inputs, design(resolve(work, rows).frame(), find_model(work, models[1]).card))
    for cursor, said in ((str(ROWS), "500 of them are passed"), ("x", "cursor")):
        with pytest.raises(ToolFailure, match=said):
            batch.block_of(work, "shop", rows, 100, cursor)
    serving(50, 50)
    with pytest.raises(ToolFailure, match="serves 2 models"):
        predict(work, "endpoint:shop", rows)
    with pytest.raises(ToolFailure, match="unknown endpoint"):
        predict(work, "endpoint:shup", rows)


def test_what_cannot_be_predicted_is_refused_and_leaves_nothing_behind(
    work: Work, rows: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    model = train(work, rows, "two", "LogisticRegression")
    before = sorted((work.home / "datasets").iterdir())
    cases = {
        "lacks": frame.drop(columns=["kind"]),
        "has no rows": frame.head(0),
        "infinite": frame.assign(**{"ä b": [*[0.0] * (ROWS - 1), np.inf]}),
        "must be a number": frame.astype({"n": str}).assign(n=["1"] * (ROWS - 1) + ["many"]),
    }
    for says, table in cases.items():
        table.to_parquet(tmp_path / "bad.parquet")
        handle = resolve(work, str(tmp_path / "bad.parquet")).handle
        with pytest.raises(ToolFailure, match=says):
            predict(work, model, handle, name="bad_predictions")
    assert not [file for file in (work.home / "datasets").iterdir() if "bad_predictions" in file.name]
    assert not [
        file for file in (work.home / "datasets").iterdir() if file.name.startswith(".") and file.name != ".lock"
    ]
    with pytest.raises(ToolFailure, match="unknown column"):
        predict(work, model, rows, columns=["kez"])
    assert {*before} <= {*(work.home / "datasets").iterdir()}


def test_of_a_dataset_little_more_than_a_group_of_its_rows_is_held(work: Work) -> None:
    groups, size = 12, 4000
    draw = np.random.default_rng(0)
    parts = (pa.table({f"x{place}": draw.random(size) for place in range(8)}) for _ in range(groups))
    source = save_parts(work, parts, "groups", [], "a test")
    before, most, rows = pa.total_allocated_bytes(), 0, list[int]()
    for block in batch.blocks_of(work, source, ["x0", "x3", "x7"]):
        most = max(most, pa.total_allocated_bytes() - before)
        rows.append(block.rows.num_rows)
    assert (sum(rows), set(rows[:-1])) == (groups * size, {70})
    # Three columns of a group, as they are in the file and as they are read.
    assert most < 4 * 3 * 8 * size
