"""What the explanation tools say: of which class, of which row, how much, and what the model never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from mlops_mcp.config.load import load
from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.explain import client, kept
from mlops_mcp.tools.explain.models import ExplainRequest, Explanation, Interactions, PredictionExplanation
from mlops_mcp.tools.modeling.store import log_model
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracing.span import Tracer
from mlops_mcp.tools.tracking.client import start_run

from .fitted import Fitted, fitted

pytestmark = pytest.mark.slow

SMALL = {"n_estimators": 12}
TREES = ("ash", "birch", "cedar", "fir")


@dataclass(frozen=True)
class Stored:
    """A model in MLflow, the dataset it was fitted to, and the same model in memory."""

    work: Work
    model: str
    dataset: str
    fitted: Fitted

    def row(self, index: int = 0, label: str = "", limit: int = 15) -> PredictionExplanation:
        return client.explain_prediction(self.work, self.model, {}, self.dataset, index, label, limit)

    def request(self, label: str = "", rows: int = 60) -> ExplainRequest:
        return ExplainRequest(model=self.model, dataset=self.dataset, rows=rows, label=label, seed=0)

    def all(self, label: str = "", rows: int = 60) -> Explanation:
        return client.explain_model(self.work, self.request(label, rows))

    def pairs(self, label: str = "") -> Interactions:
        return client.explain_interactions(self.work, self.request(label))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("answers")
    (folder / "empty.yaml").touch()
    environ = {"MLOPS_HOME": str(folder / "home"), "MLOPS_CONFIG": str(folder / "empty.yaml")}
    return Work(load(environ, {"data.roots": [str(folder)]}).settings, Tracer(lambda _span: None))


def stored(work: Work, frame: pd.DataFrame, target: pd.Series, algorithm: str, **params: object) -> Stored:
    model = fitted(frame, target, algorithm, **params)
    dataset = dataset_of(work, frame)
    run = start_run(work, "explained", algorithm, {}).run
    card = model.card.model_copy(update={"dataset": dataset})
    uri = log_model(work, model.pipeline, card, run.partition(":")[2], model.features.head(5))
    return Stored(work, uri, dataset, model)


def dataset_of(work: Work, frame: pd.DataFrame) -> str:
    file = Path(work.settings.data.roots[0]) / "rows.parquet"
    frame.to_parquet(file)
    return resolve(work, str(file)).handle


def rows(count: int = 200) -> pd.DataFrame:
    """Rows whose index, as after a filter, is not their number."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(count, 3)), columns=["a", "b", "c"])
    return frame.assign(soil=rng.choice(["clay", "sand"], count)).set_index(np.arange(count)[::-1] * 7)


@pytest.fixture(scope="module")
def trees(work: Work) -> Stored:
    """Four classes, each of a fourth of the rows: the sum of two numbers decides."""
    frame = rows()
    named = pd.qcut(frame["a"] + 0.3 * frame["b"], 4, labels=list(TREES)).astype(str).astype(object)
    return stored(work, frame, named, "XGBoost", **SMALL)


@pytest.fixture(scope="module")
def costs(work: Work) -> Stored:
    frame = rows()
    return stored(work, frame, np.exp(frame["a"] + 1), "XGBoost", objective="count:poisson", **SMALL)


def probabilities(model: Stored) -> np.ndarray:
    return np.asarray(model.fitted.pipeline.predict_proba(model.fitted.features))


def tokens(answer: BaseModel) -> float:
    return len(json.dumps(answer.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))) / 4


def test_a_row_is_explained_for_the_class_that_is_predicted_for_it(trees: Stored) -> None:
    every = probabilities(trees)
    for index in (0, 3, 5, 11):
        found = trees.row(index)
        likeliest = int(every[index].argmax())
        assert (found.label, found.predicted) == (TREES[likeliest], TREES[likeliest])
        assert (found.unit, found.link) == (f"softmax margin of cost = {found.label}", "softmax")
        assert found.answer == pytest.approx(every[index, likeliest], abs=1e-6)
        assert any("not the log-odds" in note for note in found.notes)


def test_a_row_is_explained_for_every_class_on_request(trees: Stored) -> None:
    found, every = trees.row(2, "*"), probabilities(trees)[2]
    assert [found.label, *(other.label for other in found.others)] == [TREES[k] for k in np.argsort(-every)]
    together = [found, *found.others]
    assert [one.answer for one in together] == pytest.approx(sorted(every, reverse=True), abs=1e-6)
    powers = np.exp([one.base_value + sum(item.contribution for item in one.contributions) for one in together])
    assert powers / powers.sum() == pytest.approx(sorted(every, reverse=True), abs=1e-5)
    assert trees.row(2).others == []
    assert trees.row(2, "birch").label == "birch"
    with pytest.raises(ToolFailure, match="unknown class") as refused:
        trees.row(2, "bich")
    assert "birch" in str(refused.value)


def test_of_two_classes_the_second_is_explained_whichever_is_predicted(work: Work) -> None:
    frame = rows()
    named = pd.Series(np.where(frame["a"] > 1, "yes", "no"), frame.index, dtype=object)
    model = stored(work, frame, named, "XGBoost", **SMALL)
    rare = int(probabilities(model)[:, 1].argmin())
    found = model.row(rare)
    assert (found.label, found.predicted, found.link) == ("yes", "no", "logit")
    assert 1 / (1 + np.exp(-found.margin)) == pytest.approx(found.answer, abs=1e-6)
    assert found.answer < 0.5
    assert [other.label for other in model.row(rare, "*").others] == ["no"]
    assert model.all().label == "yes"
    assert model.all("no").base_value == pytest.approx(-(model.all().base_value or 0))


def test_importances_over_a_dataset_are_the_mean_over_all_classes_unless_one_is_asked_for(trees: Stored) -> None:
    found, per_class = trees.all(), {label: trees.all(label) for label in TREES}
    assert (found.label, found.base_value, found.unit) == (None, None, "softmax margin of each class of cost")
    assert any("mean over all 4 classes" in note for note in found.notes)
    for item in found.importances:
        each = [next(i.mean_abs for i in one.importances if i.feature == item.feature) for one in per_class.values()]
        assert item.mean_abs == pytest.approx(np.mean(each))
        assert item.direction is None
    assert per_class["fir"].importances[0].direction is not None
    mean = probabilities(trees)[:, TREES.index("fir")].mean()
    assert trees.all("fir", rows=1000).mean_answer == pytest.approx(mean, abs=1e-6)


def test_interactions_are_the_mean_over_all_classes_unless_one_is_asked_for(trees: Stored) -> None:
    every, one = trees.pairs(), [trees.pairs(label) for label in TREES]
    assert (every.label, one[0].label) == (None, "ash")
    expected = np.mean([next(p.mean_abs for p in each.pairs if p.features == ["a", "b"]) for each in one])
    assert next(p.mean_abs for p in every.pairs if p.features == ["a", "b"]) == pytest.approx(expected)
    assert every.additivity_error < 1e-4
    assert (every.omitted_pairs, every.omitted_columns) == (0, 0)


def test_an_explanation_of_all_classes_is_drawn_as_bars_only(trees: Stored) -> None:
    found = trees.all()
    plotted, _ = kept.plot_explanation(trees.work, found.explanation, "bar", 5)
    assert plotted.columns[0].mean_abs == pytest.approx(found.importances[0].mean_abs)
    name = found.explanation.removeprefix("explanation:")
    assert kept.explanation_picture(trees.work, name, "bar", 5).startswith(b"\x89PNG")
    for draw in (
        lambda: kept.plot_explanation(trees.work, found.explanation, "beeswarm", 5),
        lambda: kept.explanation_picture(trees.work, name, "beeswarm", 5),
    ):
        with pytest.raises(ToolFailure, match="all classes") as refused:
            draw()
        assert "kind='bar'" in str(refused.value)
    one = trees.all("fir").explanation
    assert kept.plot_explanation(trees.work, one, "beeswarm", 5)[1].data.startswith(b"\x89PNG")


def test_a_margin_on_the_log_scale_stands_beside_the_answer_in_the_unit_of_the_target(costs: Stored) -> None:
    predicted = np.asarray(costs.fitted.pipeline.predict(costs.fitted.features))
    found = costs.row(4)
    assert (found.unit, found.link, found.answer_unit) == ("log of cost", "log", "cost")
    assert found.answer == pytest.approx(predicted[4])
    assert np.exp(found.base_value + sum(item.contribution for item in found.contributions)) == pytest.approx(
        predicted[4], rel=1e-5
    )
    over = costs.all(rows=1000)
    assert (over.unit, over.answer_unit, over.label) == ("log of cost", "cost", None)
    assert over.mean_answer == pytest.approx(predicted.mean())


def test_a_row_of_a_dataset_is_named_by_its_number_there(trees: Stored) -> None:
    frame = resolve(trees.work, trees.dataset).frame()
    found = trees.row(17)
    assert found.row == 17
    shown = {item.feature: item.value for item in found.contributions}
    assert shown["a"] == pytest.approx(frame["a"].iloc[17])
    given = {name: frame[name].iloc[17] for name in ("a", "b", "c", "soil")}
    assert client.explain_prediction(trees.work, trees.model, given, "", 0, "", 15).row is None
    sample = trees.all(rows=30).explanation.partition(":")[2]
    kept_rows = pd.read_parquet(trees.work.home / "explanations" / sample / "features.parquet")
    assert np.allclose(kept_rows["a"], frame["a"].to_numpy()[kept_rows.index])


def test_values_that_training_never_saw_are_counted(trees: Stored) -> None:
    strange = rows(40).reset_index(drop=True)
    strange.loc[:24, "soil"] = "peat"
    strange.loc[:2, "a"] = 1e9
    strange.loc[:5, "b"] = np.nan
    dataset = dataset_of(trees.work, strange)
    request = ExplainRequest(model=trees.model, dataset=dataset, rows=40, label="", seed=0)
    for notes in (
        client.explain_model(trees.work, request).notes,
        client.explain_interactions(trees.work, request).notes,
    ):
        text = " ".join(notes)
        assert "soil holds values unseen in training in 25 of 40 rows" in text
        assert "in 3 of 40 rows" in text
        assert "b is missing in 6 of 40 rows" in text
    one = client.explain_prediction(trees.work, trees.model, {}, dataset, 0, "", 15).notes
    assert sum("1 of 1 rows" in note for note in one) == 3
    assert not any("1 of 1 rows" in note for note in trees.row(0).notes)


def test_answers_stay_short_however_many_columns_and_classes_there_are(work: Work) -> None:
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(
        rng.normal(size=(120, 300)), columns=[f"a column of a long name, number {k:03}" for k in range(300)]
    )
    wide["text"] = "x" * 5000
    named = pd.Series([f"a class of a long name, number {k % 12:02}" for k in range(120)], dtype=object)
    model = stored(work, wide, named, "XGBoost", n_estimators=3)
    over, row, every = model.all(), model.row(3), model.row(3, "*")
    strange = dataset_of(work, (wide.drop(columns="text") + 1e9).assign(text="y"))
    request = ExplainRequest(model=model.model, dataset=strange, rows=9, label="", seed=0)
    doubtful = client.explain_model(work, request)
    assert "293 more such features" in doubtful.notes
    assert max(map(tokens, (over, row, every, doubtful))) < 1500
    assert over.omitted == 301 - len(over.importances) > 0
    for one in (row, every, *every.others):
        assert one.omitted == 301 - len(one.contributions) > 0
        total = one.base_value + sum(item.contribution for item in one.contributions) + one.omitted_sum
        assert total == pytest.approx(one.margin, abs=1e-4)
    assert any("6 less likely classes are not shown" in note for note in every.notes)
    pairs = client.explain_interactions(work, request)
    assert tokens(pairs) < 1500
    assert pairs.omitted_pairs == 301 * 300 // 2 - len(pairs.pairs) > 0
    assert pairs.omitted_columns == 301 - len(pairs.main_effects) > 0
