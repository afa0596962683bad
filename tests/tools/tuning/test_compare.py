"""Models against each other on the same rows: scikit-learn's scores, and nothing said that is not shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.lineage import Lineage
from mlops_mcp.tools.runtime.work import Reporter, Work
from mlops_mcp.tools.tracking.client import get_run, search_runs
from mlops_mcp.tools.training.client import train_model
from mlops_mcp.tools.training.models import Trained, TrainRequest
from mlops_mcp.tools.tuning import nested
from mlops_mcp.tools.tuning.compare import compare_models, get_comparison
from mlops_mcp.tools.tuning.models import CompareRequest, Comparison, Contender, Pair

pytestmark = pytest.mark.slow

FOREST = {"algorithm": "RandomForest", "params": {"n_estimators": 12}}
LINEAR = "LogisticRegression"


def frame(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """A line decides, so that a linear model is better than a forest of few trees."""
    draw = np.random.default_rng(seed)
    made = pd.DataFrame(draw.normal(size=(rows, 3)), columns=list("abc"))
    chance = 1 / (1 + np.exp(-2 * (made["a"] - made["b"] + made["c"])))
    return made.assign(y=(draw.random(rows) < chance).astype(int))


def noise(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(draw.normal(size=(rows, 3)), columns=list("abc")).assign(y=draw.integers(0, 2, rows))


@pytest.fixture
def store(work: Work, tmp_path: Path) -> Callable[..., str]:
    def stored(made: pd.DataFrame, name: str = "rows") -> str:
        made.to_parquet(tmp_path / f"{name}.parquet")
        return resolve(work, str(tmp_path / f"{name}.parquet")).handle

    return stored


def compare(work: Work, dataset: str, *candidates: Any, **changes: Any) -> Comparison:
    request = {"dataset": dataset, "target": "y", "candidates": list(candidates), "folds": 3}
    return compare_models(work, CompareRequest.model_validate(request | changes))


def train(work: Work, dataset: str, algorithm: str = LINEAR, **changes: Any) -> Trained:
    request: dict[str, Any] = {"dataset": dataset, "target": "y", "algorithm": algorithm}
    return train_model(work, TrainRequest.model_validate(request | changes))


def named(found: Comparison, candidate: str) -> Contender:
    return next(each for each in found.candidates if each.candidate == candidate)


def verdict(pair: Pair) -> str | None:
    return pair.difference.verdict


def test_every_candidate_has_the_score_that_scikit_learn_gives_it_on_the_same_folds(
    work: Work, store: Callable[..., str]
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = frame(600)
    found = compare(work, store(rows), LINEAR, FOREST, folds=4, repeats=2)
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    expected = [
        score
        for seed in (0, 1)
        for score in cross_val_score(
            plain, rows[["a", "b", "c"]], rows["y"], scoring="roc_auc",
            cv=StratifiedKFold(4, shuffle=True, random_state=seed),
        )
    ]  # fmt: skip
    kept = get_comparison(work, found.comparison, LINEAR)
    assert kept.candidates[0].folds == pytest.approx(expected, abs=1e-9)
    linear = named(found, LINEAR)
    assert linear.score is not None
    assert linear.score.value == pytest.approx(np.mean(expected), abs=1e-9)
    assert linear.std == pytest.approx(np.std(expected, ddof=1), abs=1e-9)
    assert (linear.score.baseline, linear.score.verdict, linear.score.n) == (0.5, "above_baseline", len(rows))
    other = get_comparison(work, found.comparison, named(found, "RandomForest").candidate).candidates[0].folds
    gains = np.array(expected) - np.array(other, dtype=float)
    error = gains.std(ddof=1) * (1 / 8 + 1 / 3) ** 0.5
    pair = found.pairs[0]
    assert (pair.first, pair.second) == (LINEAR, "RandomForest")
    assert pair.difference.value == pytest.approx(gains.mean(), abs=1e-9)
    assert pair.difference.interval is not None
    assert pair.difference.interval[0] == pytest.approx(gains.mean() - 2.364624 * error, abs=1e-5)
    assert found.winner == (LINEAR if verdict(pair) == "better" else None)
    assert verdict(pair) == "better"


def test_a_comparison_is_kept_logged_and_known_to_the_lineage(work: Work, store: Callable[..., str]) -> None:
    dataset = store(frame())
    found = compare(work, dataset, LINEAR, FOREST, repeats=1, experiment="duel")
    children = search_runs(work, "duel", f"tags.`mlflow.parentRunId` = '{found.run[4:]}'", "", 50, "").items
    assert {child.metrics["auc"] for child in children} == {each.score.value for each in found.candidates if each.score}
    assert get_run(work, found.run).params["winner"] == (found.winner or "null")
    assert get_comparison(work, found.comparison, "") == found
    assert next(edge.parent for edge in Lineage(work.home).ancestors(found.comparison)) == dataset
    assert found.undo == f"delete(handle={found.comparison!r}, dry_run=false)"
    with pytest.raises(ToolFailure, match="Did you mean LogisticRegression"):
        get_comparison(work, found.comparison, "LogisticRegresion")
    with pytest.raises(ToolFailure, match="unknown comparison"):
        get_comparison(work, "comparison:none", "")


def test_on_noise_nobody_wins_and_nobody_is_better_than_a_guess(work: Work, store: Callable[..., str]) -> None:
    found = compare(work, store(noise()), LINEAR, FOREST)
    assert found.winner is None
    assert verdict(found.pairs[0]) == "not_shown"
    assert {each.score.verdict for each in found.candidates if each.score} == {"not_distinguishable"}
    assert any(note.startswith("not distinguishable from a guess") for note in found.notes)


def test_one_candidate_is_cross_validated(work: Work, store: Callable[..., str]) -> None:
    found = compare(work, store(frame()), LINEAR, metric="log_loss")
    assert (found.pairs, found.winner, found.direction, found.scored_on[:19]) == (
        [],
        None,
        "minimize",
        "3 stratified folds,",
    )
    assert found.candidates[0].score is not None
    assert found.candidates[0].score.verdict == "above_baseline"


def test_a_candidate_that_fails_costs_the_others_nothing(work: Work, store: Callable[..., str]) -> None:
    dataset = store(frame())
    bad = {"algorithm": "RandomForest", "params": {"max_depth": "deep"}}
    found = compare(work, dataset, bad, LINEAR)
    assert (found.candidates[-1].candidate, found.candidates[-1].score) == ("RandomForest", None)
    assert "refused to fit" in (found.candidates[-1].error or "")
    alone = compare(work, dataset, LINEAR)
    assert named(found, LINEAR).score == alone.candidates[0].score
    with pytest.raises(ToolFailure, match="no candidate could be scored: RandomForest: RandomForest refused"):
        compare(work, dataset, bad)


def test_parameters_are_searched_inside_each_fit_and_never_by_the_rows_that_score_it(
    work: Work, store: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = frame(180).assign(number=np.arange(180.0))
    seen: list[set[float]] = []
    search = nested.searched

    def watched(card: Any, metric: Any, part: pd.DataFrame, *rest: Any) -> Any:
        seen.append(set(part["number"]))
        return search(card, metric, part, *rest)

    monkeypatch.setattr("mlops_mcp.tools.tuning.fits.searched", watched)
    found = compare(work, store(rows), LINEAR, n_trials=3, exclude=["number"], repeats=1)
    assert len(seen) == 3
    assert all(len(part) == 120 for part in seen)
    assert set.union(*({*rows["number"]} - part for part in seen)) == {*rows["number"]}
    assert len(get_comparison(work, found.comparison, LINEAR).candidates[0].tuned) == 3


def test_a_search_of_many_points_on_noise_does_not_look_better_than_a_guess(
    work: Work, store: Callable[..., str]
) -> None:
    found = compare(work, store(noise(150, 3)), {"algorithm": LINEAR}, n_trials=8)
    score = found.candidates[0].score
    assert score is not None
    assert score.verdict == "not_distinguishable"


def test_trained_models_are_compared_on_rows_they_have_not_seen(work: Work, store: Callable[..., str]) -> None:
    from scipy.stats import norm

    dataset, other = store(frame(300)), store(frame(400, 9), "other")
    linear = train(work, dataset).model
    forest = train(work, dataset, "RandomForest", params={"n_estimators": 12}).model
    found = compare(work, dataset, linear, forest, test=other)
    assert (found.scored_on, found.rows, found.notes) == (other, 400, [])
    assert found.winner == linear
    pair = found.pairs[0]
    assert pair.difference.method == "95 % paired DeLong"
    assert pair.difference.interval is not None
    error = (pair.difference.interval[1] - pair.difference.interval[0]) / 2 / 1.96
    assert np.log(pair.p_holm or 1) == pytest.approx(norm.logsf((pair.difference.value or 0) / error), rel=0.1)
    assert found.candidates[0].score is not None
    assert found.candidates[0].score.method == "95 % logit-DeLong"
    # Of nothing but models that have seen none of its rows, the dataset itself is the test.
    assert compare(work, other, linear, forest).scored_on == other
    again = compare(work, dataset, linear, forest, test=dataset, metric="brier")
    assert any("300 of 300 rows were trained on" in note for note in again.notes)
    assert (again.pairs[0].difference.method or "").startswith("95 % paired Hall bootstrap-t")


def test_a_perfect_order_is_better_than_a_guess(work: Work, store: Callable[..., str]) -> None:
    rows, test = (store(frame(400, seed).assign(y=lambda f: (f["a"] > 0) * 1), f"r{seed}") for seed in (0, 1))
    model = train(work, rows, "LogisticRegression", features=["a"]).model
    (found,) = compare(work, test, model, test=test).candidates
    assert found.score is not None
    assert (found.score.value, found.score.verdict) == (1.0, "above_baseline")


def test_models_on_their_own_rows_are_fitted_again_and_that_is_said(work: Work, store: Callable[..., str]) -> None:
    dataset = store(frame())
    model = train(work, dataset, features=["a", "b"]).model
    found = compare(work, dataset, model, LINEAR, repeats=1)
    assert any(
        note == f"fitted again on each fold, with its own parameters and features: {model}" for note in found.notes
    )
    assert found.scored_on.startswith("3 stratified folds of")
    assert (named(found, model).score or found.candidates[0].score) != named(found, LINEAR).score
    fresh = compare(work, dataset, LINEAR, features=["a", "b"], repeats=1)
    assert named(found, model).score == fresh.candidates[0].score


def test_groups_stay_together_and_time_runs_forward(work: Work, store: Callable[..., str]) -> None:
    rows = noise(60, 5)
    rows = rows.loc[rows.index.repeat(5)].reset_index(drop=True)
    rows["who"], rows["day"] = np.repeat(np.arange(60), 5), pd.date_range("2024-01-01", periods=300)
    dataset = store(rows.assign(a=rows["a"] + 0.01 * np.random.default_rng(0).normal(size=300)))
    options: dict[str, Any] = {"features": ["a", "b", "c"]}
    leaky = compare(work, dataset, FOREST, **options)
    whole = compare(work, dataset, FOREST, group="who", **options)
    assert whole.scored_on == f"3 stratified folds of whole groups, 2 times of {dataset}"
    assert leaky.candidates[0].score is not None
    assert whole.candidates[0].score is not None
    assert (leaky.candidates[0].score.value or 0) > 0.9 > (whole.candidates[0].score.value or 1) + 0.2
    ordered = compare(work, dataset, FOREST, time="day", **options)
    assert ordered.scored_on == f"3 folds in the order of day, each fitted on what came before of {dataset}"


def test_numbers_are_compared_by_their_error(work: Work, store: Callable[..., str]) -> None:
    draw = np.random.default_rng(0)
    rows = frame(600).assign(y=lambda made: made["a"] * 1e-6 + 1e-7 * draw.normal(size=len(made)))
    found = compare(work, store(rows), "Ridge", {"algorithm": "RandomForest", "params": {"max_depth": 2}}, folds=5)
    assert (found.metric, found.direction, found.task, found.winner) == ("rmse", "minimize", "regression", "Ridge")


UGLY: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], list[Any], dict[str, Any], str]] = [
    ("one class", lambda made: made.assign(y=1), [LINEAR], {}, "the same in every row"),
    ("one row", lambda made: made.head(1), [LINEAR], {}, "no column is left"),
    ("no rows", lambda made: made.head(0), [LINEAR], {}, "has no rows"),
    ("no label", lambda made: made.assign(y=np.nan), [LINEAR], {}, "missing in every row"),
    ("few of a class", lambda made: made.assign(y=[1, 1, *[0] * 238]), [LINEAR], {}, "as many rows of each"),
    ("few groups", lambda made: made.assign(g=made.index // 120), [LINEAR], {"group": "g"}, "as many groups"),
    ("one time", lambda made: made.assign(t="2024-01-01"), [LINEAR], {"time": "t"}, "different times"),
    (
        "a class that comes late",
        lambda made: made.sort_values("y").assign(t=pd.date_range("2024-01-01", periods=240)),
        [LINEAR], {"time": "t"}, "fold 1 would be fitted on rows of 1 of 2 classes",
    ),
    ("an unknown name", lambda made: made, ["LogisticRegresion"], {}, "Did you mean LogisticRegression"),
    ("an unknown parameter", lambda made: made, [{"algorithm": "XGBoost", "params": {"max_dept": 3}}], {}, "max_depth"),
    ("another task", lambda made: made, [LINEAR, "Ridge"], {}, "Ridge cannot do classification"),
    ("an effect", lambda made: made, ["CausalForest"], {}, "estimates an effect"),
    ("twice", lambda made: made, [LINEAR, {"algorithm": "logisticregression"}], {}, "is there twice"),
    ("nobody", lambda made: made, [], {}, "0 candidates"),
    ("nonsense", lambda made: made, [{"algo": "XGBoost"}], {}, "is no candidate"),
    ("one fold", lambda made: made, [LINEAR], {"folds": 1}, "folds is 1"),
    ("another metric", lambda made: made, [LINEAR], {"metric": "rmse"}, "unknown metric"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "candidates", "options", "says"), [each[1:] for each in UGLY], ids=[each[0] for each in UGLY]
)
def test_what_cannot_be_compared_is_refused_before_any_fit(
    work: Work,
    store: Callable[..., str],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    candidates: list[Any],
    options: dict[str, Any],
    says: str,
) -> None:
    with pytest.raises(ToolFailure, match=says):
        compare(work, store(change(frame())), *candidates, **options)
    assert not list((work.home / "comparisons").glob("*.json"))


def test_rows_without_a_label_are_left_out_and_said(work: Work, store: Callable[..., str]) -> None:
    rows = frame().astype({"y": float})
    rows.loc[:9, "y"] = np.nan
    found = compare(work, store(rows), LINEAR, repeats=1)
    assert found.rows == 230
    assert found.notes[0] == "10 of 240 rows have no y and were left out"


def test_a_model_of_another_target_is_refused_by_name(work: Work, store: Callable[..., str]) -> None:
    dataset = store(frame())
    model = train(work, dataset, "Ridge", target="a").model
    with pytest.raises(ToolFailure, match=f"{model} does regression of a, not classification of y"):
        compare(work, dataset, LINEAR, model)


def test_a_job_that_is_started_again_gives_the_same_answer_under_the_same_handle(
    work: Work, store: Callable[..., str]
) -> None:
    dataset, job = store(frame()), replace(work, job="01a21da5-1930-7337-b9c0-aaaaaaaaaaaa")
    first, again = (compare(job, dataset, LINEAR, FOREST, n_trials=2, repeats=1) for _ in range(2))
    drop = {"run", "seconds", "candidates"}
    assert first.model_dump(exclude=drop) == again.model_dump(exclude=drop)
    assert [each.score for each in first.candidates] == [each.score for each in again.candidates]


def test_out_of_time_the_folds_that_are_done_are_compared(work: Work, store: Callable[..., str]) -> None:
    kept: list[Comparison] = []

    def say(kind: str, text: str) -> None:
        if kind == "partial":
            kept.append(Comparison.model_validate_json(text))

    dataset = store(frame())
    asked = iter([False, False, True])
    hurried = replace(work, reporter=Reporter(say=say))
    object.__setattr__(hurried, "ends_at", time.monotonic() + 3600)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Work, "out_of_time", lambda _self: next(asked))
        found = compare(hurried, dataset, LINEAR, FOREST)
    assert any(note == "time was up after 2 of 6 folds, which are compared" for note in found.notes)
    assert found.candidates[0].score is not None
    assert "2 folds" in (found.candidates[0].score.method or "")
    assert kept[-1].candidates[0].score == found.candidates[0].score


def test_what_is_off_about_candidates_is_said_once_for_all_of_whom_it_is_so(
    work: Work, store: Callable[..., str]
) -> None:
    rows = noise(600).assign(leak=lambda made: made["y"] * 9 + np.random.default_rng(1).normal(size=600))
    found = compare(work, store(rows), LINEAR, FOREST)
    assert any("leak alone tells y" in note and "exclude=['leak']" in note for note in found.notes)
    [perfect] = [note for note in found.notes if "too good to be true" in note]
    assert perfect.startswith(f"{LINEAR}, RandomForest: over folds: all 600 rows are right")
    assert not any("too good" in note or "alone tells" in note for note in compare(work, store(frame()), LINEAR).notes)


def test_trained_models_on_test_rows_are_told_what_evaluate_model_tells_them(
    work: Work, store: Callable[..., str]
) -> None:
    """A model that learnt noise by heart, and rows that have drifted away from those it was trained on."""
    model = train(work, store(noise(300)), "RandomForest").model
    others = noise(300, seed=5).assign(a=lambda made: made["a"] + 8)
    found = compare(work, store(noise(300)), model, test=store(others, "others"))
    assert any(note.startswith(model) and "has learnt its rows by heart" in note for note in found.notes)
    assert any("features have another distribution than in training" in note for note in found.notes)
    assert any("a is outside of" in note for note in found.notes)


def test_files_that_were_loaded_for_a_comparison_are_taken_back_with_it(work: Work, tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "mine.parquet")
    found = compare(work, str(tmp_path / "mine.parquet"), LINEAR)
    loaded = resolve(work, "dataset:mine").handle
    assert found.undo == f"delete(handle=[{found.comparison!r}, {loaded!r}], dry_run=false)"
    assert loaded not in (compare(work, str(tmp_path / "mine.parquet"), LINEAR).undo or "")
