"""What falls into parts is done by all workers of a cluster, and comes to what one process comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.config.settings import Settings
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.explain import client as explain
from mlops_mcp.tools.explain import values
from mlops_mcp.tools.explain.client import explain_interactions, explain_model
from mlops_mcp.tools.explain.models import ExplainRequest
from mlops_mcp.tools.runtime.dask.pool import ClusterPool
from mlops_mcp.tools.runtime.dispatcher import ALL_LOST
from mlops_mcp.tools.runtime.pool import PoolLost
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.serving import batch
from mlops_mcp.tools.serving.batch import predict_dataset
from mlops_mcp.tools.serving.models import BatchRequest
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import TrainRequest
from mlops_mcp.tools.tuning.client import tune_model
from mlops_mcp.tools.tuning.compare import compare_models
from mlops_mcp.tools.tuning.models import CompareRequest, TuneRequest
from mlops_mcp.tools.tuning.scoring import Alone
from mlops_mcp.tools.tuning.storage import find_study

from .conftest import with_runtime

pytestmark = pytest.mark.slow


@pytest.fixture
def rows(tmp_path: Path) -> str:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": draw.normal(size=300), "z": draw.normal(size=300), "city": ["Ürich", "Genf", None] * 100}
    )
    frame["amount"] = frame.z * 2 + draw.normal(size=300)
    frame["y"] = (frame.x + draw.normal(size=300) > 0).astype(int)
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    return str(path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The questions that pools on the cluster are asked."""
    found, ask = list[Any](), ClusterPool.ask

    def noted(pool: ClusterPool, question: Any) -> None:
        found.append(question)
        ask(pool, question)

    monkeypatch.setattr(ClusterPool, "ask", noted)
    return found


@pytest.fixture
def away(settings: Settings, scheduler: str) -> Work:
    return Work(with_runtime(settings, engine="dask", scheduler=scheduler), Tracer(lambda _span: None))


class Wide(Alone):
    """As many points under way as a cluster of two threads has, each scored here."""

    @property
    def width(self) -> int:
        return 4


def test_a_search_on_a_cluster_is_the_search_of_one_process(
    work: Work, away: Work, rows: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = TuneRequest(
        dataset=rows, target="y", algorithm="XGBoost", folds=2, n_trials=8, metric="auc", study="away"
    )
    there = tune_model(away, request)
    assert len(asked) == 8
    monkeypatch.setattr("mlops_mcp.tools.tuning.client.scoring_of", lambda objective, _crew: Wide(objective))
    tune_model(work, request.model_copy(update={"study": "here"}))
    found = [
        [(each.params, each.state.name, each.value) for each in find_study(work, name).trials]
        for name in ("away", "here")
    ]
    assert found[0] == found[1]
    assert there.failed == 0


@pytest.mark.parametrize("target", ["y", "amount"])
def test_a_dataset_is_predicted_on_a_cluster_as_by_one_process(
    work: Work, away: Work, rows: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(batch, "PART_ROWS", 70)
    model = train_model(work, TrainRequest(dataset=rows, target=target, algorithm="XGBoost")).model
    here, there = (
        predict_dataset(each, BatchRequest(model=model, dataset=rows, name=name))
        for each, name in ((work, "here"), (away, "there"))
    )
    assert sorted(place for _, place in asked) == [(0, 70), (70, 70), (140, 70), (210, 70), (280, 20)]
    pd.testing.assert_frame_equal(resolve(work, here.dataset).frame(), resolve(work, there.dataset).frame())
    assert there.model_copy(update={"dataset": "", "undo": None}) == here.model_copy(
        update={"dataset": "", "undo": None}
    )


def test_a_dataset_of_one_part_is_predicted_where_the_job_is(
    work: Work, away: Work, rows: str, asked: list[Any]
) -> None:
    model = train_model(work, TrainRequest(dataset=rows, target="y", algorithm="LogisticRegression")).model
    assert predict_dataset(away, BatchRequest(model=model, dataset=rows)).rows == 300
    assert asked == []


def test_what_a_lost_cluster_has_not_answered_is_done_by_the_job(
    work: Work, away: Work, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PART_ROWS", 70)
    model = train_model(work, TrainRequest(dataset=rows, target="y", algorithm="LogisticRegression")).model
    hear, heard = ClusterPool.hear, list[Any]()

    def once(pool: ClusterPool) -> Any:
        if heard:
            raise PoolLost
        heard.append(hear(pool))
        return heard[0]

    monkeypatch.setattr(ClusterPool, "hear", once)
    here, there = (predict_dataset(each, BatchRequest(model=model, dataset=rows)) for each in (work, away))
    assert ALL_LOST in there.notes
    pd.testing.assert_frame_equal(resolve(work, here.dataset).frame(), resolve(work, there.dataset).frame())


@pytest.mark.parametrize(
    ("algorithm", "params"),
    [("XGBoost", {"n_estimators": 12}), ("RandomForest", {"n_estimators": 12}), ("LogisticRegression", {})],
)
def test_rows_are_explained_on_a_cluster_as_by_one_process(
    work: Work, away: Work, rows: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch,
    fitted_once: None, algorithm: str, params: dict[str, Any],
) -> None:  # fmt: skip
    monkeypatch.setattr(explain, "BLOCK_ROWS", 120)
    model = train_model(work, TrainRequest(dataset=rows, target="y", algorithm=algorithm, params=params)).model
    request = ExplainRequest(model=model, dataset=rows, rows=300, label="", seed=0)
    here, there = (explain_model(each, request).model_dump(exclude={"explanation", "undo"}) for each in (work, away))
    assert [place for _, place in asked] == [(0, 120), (120, 240), (240, 300)]
    assert here == there


def test_candidates_are_compared_on_a_cluster_as_by_one_process(
    work: Work, away: Work, rows: str, asked: list[Any]
) -> None:
    # One that cannot be fitted is told, and the others go on.
    bad = {"algorithm": "RandomForest", "params": {"max_depth": "deep"}}
    candidates = ["LogisticRegression", bad, "XGBoost"]
    request = CompareRequest.model_validate(
        {"dataset": rows, "target": "y", "candidates": candidates, "metric": "auc", "folds": 3}
    )
    changing = {"comparison", "seconds", "run", "undo"}
    here, there = (compare_models(each, request).model_dump(exclude=changing) for each in (work, away))
    assert {place for _, place in asked} >= {(fold, number) for fold in range(3) for number in (0, 2)}
    for each in (*here["candidates"], *there["candidates"]):
        del each["seconds"]
    assert here == there


def test_interactions_are_of_a_cluster_as_of_one_process(
    work: Work, away: Work, rows: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "PAIR_ROWS", 120)
    few: dict[str, Any] = {"n_estimators": 12}
    model = train_model(work, TrainRequest(dataset=rows, target="y", algorithm="XGBoost", params=few)).model
    request = ExplainRequest(model=model, dataset=rows, rows=300, label="", seed=0)
    here, there = (explain_interactions(each, request) for each in (work, away))
    assert [place for _, place in asked] == [(0, 120), (120, 240), (240, 300)]
    assert here.pairs == there.pairs
    assert (here.main_effects, here.additivity_error) == (there.main_effects, there.additivity_error)
