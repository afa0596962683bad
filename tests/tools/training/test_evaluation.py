"""What an evaluation shows: verdicts, cut-offs, calibration and slices, each held against another library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.estimates import Verdict
from mlops_mcp.tools.modeling.card import Label, ModelCard, Task
from mlops_mcp.tools.modeling.estimated import Answers, estimated
from mlops_mcp.tools.modeling.metrics import metric_named
from mlops_mcp.tools.modeling.target import guess
from mlops_mcp.tools.pictures import described
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tracking.artifacts import artifact_picture, read_artifact
from mlops_mcp.tools.training.calibration import calibration, picture
from mlops_mcp.tools.training.client import evaluate_model, train_model
from mlops_mcp.tools.training.models import Calibration, EvaluateRequest, TrainRequest
from mlops_mcp.tools.training.slices import slices
from mlops_mcp.tools.training.thresholds import thresholds

ROWS = 1500


def card(task: Task = "classification", labels: tuple[Label, ...] = (0, 1)) -> ModelCard:
    kept = list(labels) if task == "classification" else []
    return ModelCard(algorithm="XGBoost", task=task, target="y", classes=kept, features=[], dataset="d", rows=9)


def drawn(rows: int = ROWS, seed: int = 0, told: float = 1.0, bent: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels by log-odds, and chances whose log-odds are `bent` times `told` of the true ones."""
    draw = np.random.default_rng(seed)
    odds = draw.normal(-1, 1.5, rows)
    truth = (draw.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)
    chance = 1 / (1 + np.exp(-bent * np.where(draw.random(rows) < told, odds, draw.permutation(odds))))
    return truth, np.column_stack([1 - chance, chance])


def test_cut_offs_come_to_what_scikit_learn_says() -> None:
    truth, prediction = drawn()
    chance = np.round(prediction[:, 1], 3)
    asked = {"threshold": 0.2, "recall": 0.9, "specificity": 0.95, "cost": 5.0}
    found = {each.why: each for each in thresholds(card(), truth, np.column_stack([1 - chance, chance]), asked)}
    for each in found.values():
        flagged = chance >= each.threshold
        assert each.precision == pytest.approx(sk.precision_score(truth, flagged))
        assert each.recall == pytest.approx(sk.recall_score(truth, flagged))
        assert each.specificity == pytest.approx(sk.recall_score(truth, flagged, pos_label=0))
        assert each.f1 == pytest.approx(sk.f1_score(truth, flagged))
        missed, alarms = ((truth == 1) & ~flagged).mean(), ((truth == 0) & flagged).mean()
        assert each.cost == pytest.approx(alarms + 5 * missed)
    every = [chance >= at for at in np.unique(chance)]
    assert found["best f1"].f1 == pytest.approx(max(sk.f1_score(truth, flagged) for flagged in every))
    least = min(((truth == 0) & flagged).mean() + 5 * ((truth == 1) & ~flagged).mean() for flagged in every)
    assert found["least cost"].cost == pytest.approx(least)
    assert found["least cost"].threshold == pytest.approx(1 / 6, abs=0.06)
    assert (found["recall >= 0.9"].recall or 0) >= 0.9
    assert (found["specificity >= 0.95"].specificity or 0) >= 0.95
    assert found["asked"].threshold == 0.2


def test_rows_of_one_class_have_the_cut_offs_they_can_have() -> None:
    (only,) = thresholds(card(), np.zeros(5, dtype=int), np.tile([0.4, 0.6], (5, 1)), {"recall": 0.9})
    assert (only.recall, only.specificity, only.precision) == (None, 0.0, 0.0)
    with pytest.raises(ToolFailure, match="two classes"):
        thresholds(card(labels=(0, 1, 2)), np.zeros(5, dtype=int), np.full((5, 3), 1 / 3), {})
    for wrong, says in (({"recal": 0.9}, "Did you mean recall"), ({"recall": 90}, "0 to 1")):
        with pytest.raises(ToolFailure, match=says):
            thresholds(card(), np.zeros(5, dtype=int), np.tile([0.4, 0.6], (5, 1)), wrong)


@pytest.mark.parametrize("bent", [0.5, 1.0, 2.0])
def test_slope_and_intercept_are_those_of_a_logistic_regression_by_statsmodels(bent: float) -> None:
    import statsmodels.api as sm

    truth, prediction = drawn(bent=bent)
    found = calibration(card(), truth, prediction)
    assert isinstance(found, Calibration)
    odds = np.log(prediction[:, 1] / prediction[:, 0])
    fitted = sm.Logit(truth, sm.add_constant(odds)).fit(disp=0)
    for each, place in ((found.intercept, 0), (found.slope, 1)):
        assert each.value == pytest.approx(fitted.params[place], abs=1e-4)
        assert each.interval == pytest.approx(fitted.conf_int()[place], abs=1e-3)
    low, high = found.slope.interval or (0, 0)
    assert low < 1 / bent < high
    assert (found.ece > 0.05) == (bent != 1.0)
    assert found.brier == pytest.approx(sk.brier_score_loss(truth, prediction[:, 1]))
    assert found.miscalibration - found.discrimination + found.uncertainty == pytest.approx(found.brier)
    assert found.uncertainty == pytest.approx(truth.mean() * (1 - truth.mean()))
    assert sum(each.n for each in found.bins) == ROWS
    told = described(picture(found, r"a $\frac{model on rows").data).splitlines()
    assert [line.split(",")[-1] for line in told] == ["n", *(str(each.n) for each in found.bins)]


def test_what_has_no_calibration_says_why() -> None:
    assert calibration(card(), np.ones(5, dtype=int), np.tile([0.4, 0.6], (5, 1))) == (
        "calibration is not known: the rows are all of one class"
    )
    truth = np.array([0, 1] * 20)
    for chance, why in ((0.2 + 0.6 * truth, "separate the classes"), (np.full(40, 0.5), "are the same")):
        found = calibration(card(), truth, np.column_stack([1 - chance, chance]))
        assert isinstance(found, Calibration)
        assert found.slope.value is None
        assert why in (found.slope.reason or "")


def test_a_slice_on_which_a_model_fails_is_worse_and_the_others_are_not_shown_to_be() -> None:
    truth, prediction = drawn(3000)
    region = pd.Series(np.random.default_rng(1).choice(["n", "o", "s"], 3000), name="region").mask(
        np.arange(3000) % 10 == 0
    )
    bad = (region == "s").to_numpy()
    prediction[bad] = prediction[bad][np.random.default_rng(2).permutation(int(bad.sum()))]
    metric = metric_named("auc", card())
    found = {each.rows: each for each in slices(metric, card(), Answers(truth, prediction), region)}
    assert set(found) == {"missing", "n", "o", "s"}
    assert sum(each.score.n for each in found.values()) == 3000
    assert found["s"].score.value == pytest.approx(sk.roc_auc_score(truth[bad], prediction[bad, 1]))
    assert found["s"].apart.verdict == "worse"
    assert found["s"].score.method == "98.75 % logit-DeLong"
    assert found["s"].apart.value == pytest.approx(
        sk.roc_auc_score(truth[bad], prediction[bad, 1]) - sk.roc_auc_score(truth[~bad], prediction[~bad, 1])
    )


def test_numbers_are_cut_at_quarters_and_slices_of_equal_rows_are_seldom_different() -> None:
    alarms = 0
    for seed in range(60):
        truth, prediction = drawn(600, seed)
        age = pd.Series(np.random.default_rng(seed).integers(18, 90, 600), name="age")
        found = slices(metric_named("accuracy", card()), card(), Answers(truth, prediction), age)
        assert len(found) == 4
        assert sum(each.score.n for each in found) == 600
        alarms += any(each.apart.verdict in ("better", "worse") for each in found)
    assert alarms <= 8
    with pytest.raises(ToolFailure, match="one value"):
        slices(metric_named("accuracy", card()), card(), Answers(*drawn(600)), pd.Series([0] * 600, name="age"))


def verdicts(name: str, told: float, rows: int, samples: int) -> list[Verdict | None]:
    of, metric, found = card(), metric_named(name, card()), list[Verdict | None]()
    for seed in range(samples):
        truth, prediction = drawn(rows, seed, told)
        answers = Answers(truth, prediction, guess(of, np.array([0, 0, 0, 1]), rows))
        found.append(estimated(metric, of, answers, seed=seed).verdict)
    return found


def test_a_model_that_knows_nothing_is_seldom_above_the_baseline_and_one_that_does_nearly_always() -> None:
    blind = verdicts("auc", 0.0, 200, 100)
    assert (blind.count("above_baseline") <= 6, blind.count("below_baseline") <= 6) == (True, True)
    for name in ("auc", "log_loss", "brier", "accuracy", "average_precision", "balanced_accuracy"):
        assert verdicts(name, 1.0, 400, 10).count("above_baseline") >= 9, name
    for name in ("log_loss", "brier"):
        assert verdicts(name, 0.0, 400, 10).count("below_baseline") >= 9, name


@pytest.mark.parametrize("name", ["rmse", "mae", "r2"])
def test_a_quantity_is_held_against_its_mean_by_the_same_rows(name: str) -> None:
    draw, of = np.random.default_rng(0), card("regression")
    truth = draw.normal(size=300)
    told = {0.4: "above_baseline", 0.0: "not_distinguishable", -1.0: "below_baseline"}
    for share, verdict in told.items():
        prediction = share * truth + 0.3 * abs(share) * draw.normal(size=300) + 1e-3 * draw.normal(size=300)
        found = estimated(metric_named(name, of), of, Answers(truth, prediction, np.zeros(300)))
        assert found.verdict == verdict
        assert found.interval is not None
        assert found.interval[0] <= (found.value or 0) <= found.interval[1]


def test_a_perfect_order_of_three_classes_has_an_interval_and_a_verdict() -> None:
    truth = np.repeat([0, 1, 2], 15)
    found = estimated(
        metric_named("auc", card(labels=(0, 1, 2))), card(labels=(0, 1, 2)),
        Answers(truth, np.eye(3)[truth] * 0.9 + 0.1 / 3, np.full((45, 3), 1 / 3)),
    )  # fmt: skip
    assert (found.value, found.baseline, found.verdict) == (1.0, 0.5, "above_baseline")
    low, high = found.interval or (0, 0)
    assert 0.8 < low < high == 1.0


@pytest.mark.slow
def test_everything_is_shown_on_request_and_the_picture_lies_in_the_run(work: Work, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(900, 3)), columns=list("abc")).assign(kind=draw.choice(["u", "v"], 900))
    frame["y"] = (frame["a"] + frame["b"] + draw.normal(size=900) > 1).astype(int)
    for name, rows in (("train", frame.head(600)), ("test", frame.tail(300)), ("ones", frame[frame["y"] == 1])):
        rows.to_parquet(tmp_path / f"{name}.parquet")
    trained = train_model(
        work, TrainRequest(dataset=str(tmp_path / "train.parquet"), target="y", algorithm="LogisticRegression")
    )

    plain = evaluate_model(work, EvaluateRequest(
        model=trained.model, dataset=str(tmp_path / "test.parquet"), metric="", log=True
    ))  # fmt: skip
    assert (plain.estimates, plain.thresholds, plain.calibration, plain.slices, plain.notes) == ({}, [], None, [], [])
    assert len(plain.model_dump_json()) / 4 < 500
    full = evaluate_model(work, EvaluateRequest(
        model=trained.model, dataset=str(tmp_path / "test.parquet"), metric="log_loss", log=True, by="kind",
        show=["intervals", "thresholds", "calibration"],
    ))  # fmt: skip
    assert full.estimates.keys() == full.metrics.keys()
    assert full.estimates["log_loss"] == full.score
    assert all(each.interval for each in full.estimates.values())
    assert [name for name, each in full.estimates.items() if not each.verdict] == ["precision"]
    assert full.estimates["precision"].reason == "no verdict: the baseline has no such score"
    assert [each.rows for each in full.slices] == ["u", "v"]
    assert full.calibration is not None
    run = str(trained.run).removeprefix("run:")
    assert full.calibration.picture is not None
    *_, name = full.calibration.picture.split("/")
    assert full.calibration.picture == f"picture://runs/{run}/artifacts/{name}"
    told, shown = read_artifact(work, run, name, 0)
    assert (told.text or "").startswith("predicted,observed,low,high,n")
    assert shown is not None
    assert artifact_picture(work, run, name) == shown.data
    assert len(full.model_dump_json()) / 4 < 3000
    ones = evaluate_model(work, EvaluateRequest(
        model=trained.model, dataset=str(tmp_path / "ones.parquet"), metric="", log=False,
        show=["intervals", "thresholds", "calibration"],
    ))  # fmt: skip
    assert (ones.score.value, ones.calibration) == (None, None)
    assert ones.estimates["accuracy"].value is not None
    unknown = EvaluateRequest(
        model=trained.model, dataset=str(tmp_path / "test.parquet"), metric="", log=False, by="knd"
    )
    with pytest.raises(ToolFailure, match="Did you mean kind"):
        evaluate_model(work, unknown)
