from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Reporter, Work
from mlops_mcp.tools.tracking.client import get_run, search_runs
from mlops_mcp.tools.tuning import client
from mlops_mcp.tools.tuning.models import Tuned, TuneRequest
from mlops_mcp.tools.tuning.storage import driving, journal, open_storage

pytestmark = pytest.mark.slow


@pytest.fixture
def rows(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=["a", "b", "c"])
    chance = 1 / (1 + np.exp(-(2 * frame["a"] - frame["b"])))
    frame.assign(y=(rng.random(300) < chance).astype(int)).to_parquet(tmp_path / "rows.parquet")
    return str(tmp_path / "rows.parquet")


def tune(work: Work, rows: str, **changes: object) -> Tuned:
    request: dict[str, object] = {
        "dataset": rows,
        "target": "y",
        "algorithm": "LogisticRegression",
        "folds": 3,
        "n_trials": 4,
        "experiment": "tune",
    }
    return client.tune_model(work, TuneRequest.model_validate(request | changes))


def test_the_best_of_a_search_is_at_least_the_algorithms_own_parameters(work: Work, rows: str) -> None:
    tuned = tune(work, rows)
    assert tuned.default_value is not None
    assert tuned.best_value >= tuned.default_value
    assert tuned.trials == 4


def test_every_trial_is_a_run_below_the_run_of_the_search(work: Work, rows: str) -> None:
    tuned = tune(work, rows)
    children = search_runs(work, "tune", f"tags.`mlflow.parentRunId` = '{tuned.run[4:]}'", "", 50, "").items
    assert len(children) == 4
    assert max(child.metrics["auc"] for child in children) == tuned.best_value
    assert get_run(work, tuned.run).metrics["best_auc"] == tuned.best_value


def test_a_resumed_study_goes_on_instead_of_repeating_its_points(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=3)
    again = tune(work, rows, study="mine", n_trials=6)
    assert (again.trials_before, again.trials) == (3, 6)
    study = client.get_study(work, "study:mine")
    assert study.states == {"complete": 6}
    assert study.best is not None
    assert study.best.params == again.best_params
    tried = [trial.params["C"] for trial in open_study(work, "mine").trials]
    assert len(set(tried)) == 6


def open_study(work: Work, name: str):  # type: ignore[no-untyped-def]
    import optuna

    return optuna.load_study(study_name=name, storage=open_storage(work, name))


def test_a_study_of_something_else_is_not_resumed(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=2)
    with pytest.raises(ToolFailure, match="another metric"):
        tune(work, rows, study="mine", metric="brier")
    with pytest.raises(ToolFailure, match="another folds"):
        tune(work, rows, study="mine", folds=4)


def test_a_trial_that_a_search_of_another_space_left_running_is_given_up(work: Work, rows: str) -> None:
    from optuna.distributions import FloatDistribution

    tune(work, rows, study="mine", n_trials=2)
    left = open_study(work, "mine").ask({"C": FloatDistribution(7.0, 8.0, log=True)})
    again = tune(work, rows, study="mine", n_trials=4)
    assert (again.trials, again.failed) == (3, 1)
    assert open_study(work, "mine").trials[left.number].state.name == "FAIL"


def test_a_trial_that_a_driver_left_running_is_finished_under_its_own_number(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=2)
    left = open_study(work, "mine").ask({})
    again = tune(work, rows, study="mine", n_trials=3)
    assert (again.trials, again.failed) == (3, 0)
    assert open_study(work, "mine").trials[left.number].state.name == "COMPLETE"


def test_a_torn_last_line_does_not_lose_the_study(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=2)
    with journal(work, "mine").open("ab") as file:
        file.write(b'{"op_code": 5, "wor')
    assert tune(work, rows, study="mine", n_trials=3).trials == 3


def test_two_drivers_do_not_share_a_study(work: Work, rows: str) -> None:
    with driving(work, "mine"), pytest.raises(ToolFailure, match="another job"):
        tune(work, rows, study="mine")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"search_space": {"CC": [1, 2]}}, "unknown parameter"),
        ({"metric": "acu"}, "Did you mean auc"),
        ({"study": "My Study"}, "cannot name a study"),
        ({"target": "yy"}, "Did you mean y"),
        ({"search_space": {"solver": ["no", "way"]}}, "in a row failed"),
    ],
)
def test_a_search_that_cannot_work_names_the_way_out(
    work: Work, rows: str, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ToolFailure, match=says):
        tune(work, rows, n_trials=8, **changes)


def test_an_unknown_study_names_those_there_are(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=1)
    with pytest.raises(ToolFailure, match="Did you mean mine"):
        client.get_study(work, "study:mien")


def test_the_end_of_its_time_ends_the_search_with_what_it_has(
    work: Work, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False, False])
    monkeypatch.setattr(Work, "out_of_time", lambda _work: next(looks, True))
    assert tune(work, rows, n_trials=2000).trials == 3


def test_parameters_that_the_algorithm_does_not_have_are_refused_before_there_is_a_study(work: Work, rows: str) -> None:
    with pytest.raises(ToolFailure, match="unknown parameter"):
        tune(work, rows, study="mine", search_space={"CC": [1, 2]})
    with pytest.raises(ToolFailure, match="unknown study"):
        client.get_study(work, "study:mine")


def test_the_best_so_far_is_kept_after_every_trial(work: Work, rows: str) -> None:
    said: list[tuple[str, str]] = []
    told = replace(work, reporter=Reporter(say=lambda kind, text: said.append((kind, text))))
    tuned = tune(told, rows, n_trials=3)
    kept = [Tuned.model_validate_json(text) for kind, text in said if kind == "partial"]
    assert [each.trials for each in kept] == [1, 2, 3]
    assert (kept[-1].best_value, kept[-1].best_params) == (tuned.best_value, tuned.best_params)


@pytest.mark.parametrize("algorithm", ["LightGBM", "RandomForest", "HistGradientBoosting"])
def test_the_algorithms_own_parameters_are_tried_first_even_outside_of_the_space(
    work: Work, rows: str, algorithm: str
) -> None:
    from sklearn.model_selection import StratifiedKFold

    from mlops_mcp.tools.data.store import resolve
    from mlops_mcp.tools.modeling.metrics import measured
    from mlops_mcp.tools.modeling.pipelines import fit, scores
    from mlops_mcp.tools.modeling.prepared import Question, prepare

    tuned = tune(work, rows, algorithm=algorithm, n_trials=3, search_space={"max_depth": [2, 3]})
    made = prepare(resolve(work, rows), Question("y", algorithm), {})
    cuts = StratifiedKFold(3, shuffle=True, random_state=0).split(made.features, made.target)
    found = [
        measured(
            made.card,
            made.target[held],
            scores(
                fit(made.card, made.features.iloc[fitted], made.target[fitted], 1), made.features.iloc[held], made.card
            ),
        ).known["auc"]
        for fitted, held in cuts
    ]
    assert tuned.default_value == pytest.approx(np.mean(found), abs=1e-12)
    assert tuned.trials == 3
    assert tuned.best_value >= (tuned.default_value or 0)


def test_where_no_point_is_better_the_algorithms_own_parameters_are_the_best(work: Work, rows: str) -> None:
    tuned = tune(work, rows, search_space={"C": [1e-6, 2e-6], "fit_intercept": [False]}, metric="log_loss")
    assert (tuned.best_value, tuned.best_params) == (tuned.default_value, {})
    assert any("best_params is empty" in note for note in tuned.notes)
    assert client.get_study(work, tuned.study).importance.keys() <= {"C", "fit_intercept"}


def test_points_after_a_default_outside_of_the_space_are_searched_for_together(work: Work, rows: str) -> None:
    tuned = tune(work, rows, search_space={"C": [1e-3, 1e-2]}, n_trials=14, study="mine")
    tried = [trial.params for trial in open_study(work, "mine").trials]
    assert tried[0] == {}
    assert all(1e-3 <= point["C"] <= 1e-2 for point in tried[1:])
    assert len({point["C"] for point in tried[1:]}) == 13
    assert tuned.trials + tuned.pruned == 14


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, "another seed"),
        ({"positive": "0"}, "another positive"),
        ({"search_space": {"C": [1, 100]}}, "not whole numbers"),
        ({"search_space": {"C": {"choices": [1.0, 2.0]}}}, "has searched C in real numbers"),
    ],
)
def test_a_study_is_resumed_only_with_all_that_makes_its_scores_comparable(
    work: Work, rows: str, changes: dict[str, object], says: str
) -> None:
    tune(work, rows, study="mine", n_trials=2)
    with pytest.raises(ToolFailure, match=says):
        tune(work, rows, study="mine", n_trials=1, **changes)


def test_the_bounds_of_a_range_may_change_and_a_best_point_outside_is_said(work: Work, rows: str) -> None:
    first = tune(work, rows, study="mine", n_trials=4, search_space={"C": [1.5, 100.0]}, metric="log_loss")
    again = tune(work, rows, study="mine", n_trials=5, search_space={"C": [1e-6, 2e-6]}, metric="log_loss")
    assert again.best_params == first.best_params
    assert any("earlier search of this study" in note for note in again.notes) == bool(first.best_params)


def test_the_size_of_the_optimism_is_that_of_the_folds(work: Work, rows: str) -> None:
    tuned = tune(work, rows, study="mine", n_trials=6)
    trials = [trial for trial in open_study(work, "mine").trials if trial.state.name == "COMPLETE"]
    means = np.array([[trial.intermediate_values[step] for step in range(3)] for trial in trials])
    folds = np.column_stack([means[:, 0], 2 * means[:, 1] - means[:, 0], 3 * means[:, 2] - 2 * means[:, 1]])
    best = folds[folds.mean(axis=1).argmax()]
    expected = tuned.best_value - float((folds.max(axis=0) - best).mean())
    assert tuned.corrected_value == pytest.approx(expected, abs=1e-12)
    assert (tuned.corrected_value or 1) <= tuned.best_value


def test_a_target_of_counts_is_searched_as_quantities_or_as_asked(work: Work, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x": draw.normal(size=200), "y": [*range(8), *draw.poisson(2, 192).clip(0, 5)]})
    frame.to_parquet(tmp_path / "counts.parquet")
    counts = str(tmp_path / "counts.parquet")
    guessed = tune(work, counts, algorithm="Ridge", n_trials=2)
    assert (guessed.task, guessed.metric) == ("regression", "rmse")
    assert any("taken as quantities" in note for note in guessed.notes)
    told = tune(work, counts, algorithm="Ridge", task="regression", n_trials=2, study="told")
    assert not any("taken as" in note for note in told.notes)


def test_the_positive_class_can_be_told(work: Work, rows: str) -> None:
    ones, zeros = (tune(work, rows, positive=label, metric="recall", n_trials=1) for label in ("1", "0"))
    assert (ones.positive, zeros.positive) == ("1", "0")
    assert ones.best_value != zeros.best_value


def test_what_an_analyst_would_say_of_the_columns_and_of_the_score_is_said(work: Work, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(600, 3)), columns=["a", "b", "c"]).assign(y=draw.integers(0, 2, 600))
    frame["leak"] = frame["y"] * 9 + draw.normal(size=600)
    frame.to_parquet(tmp_path / "leaky.parquet")
    frame.assign(a=frame["a"] + 9).tail(200).to_parquet(tmp_path / "moved.parquet")
    tuned = tune(work, str(tmp_path / "leaky.parquet"), n_trials=1, validation=str(tmp_path / "moved.parquet"))
    said = " ".join(tuned.notes)
    assert "leak alone tells y" in said
    assert "validation: a is outside of" in said
    assert "validation: 1 of 4 features have another distribution" in said
    assert tuned.undo is not None
    assert all(name in tuned.undo for name in ("dataset:leaky@", "dataset:moved@", tuned.study, tuned.run))
    folds = tune(work, str(tmp_path / "leaky.parquet"), n_trials=1)
    assert any(note.startswith("over folds: all 600 rows are right") for note in folds.notes)
    assert "dataset:" not in (folds.undo or "")


def test_a_search_whose_points_all_fail_says_why_and_not_that_none_was_better(work: Work, rows: str) -> None:
    tuned = tune(work, rows, search_space={"solver": ["newton", "lbfg"]}, n_trials=3)
    assert (tuned.failed, tuned.best_params) == (2, {})
    assert not any("no point was better" in note for note in tuned.notes)
    [failed] = [note for note in tuned.notes if "failed" in note]
    assert failed.startswith("all 2 points of the search failed: ")
    assert "solver" in failed
    alone = tune(work, rows, n_trials=1)
    assert not any("no point was better" in note or "failed" in note for note in alone.notes)


def test_a_validation_dataset_of_one_class_is_refused_with_a_metric_that_it_has(
    work: Work, rows: str, tmp_path: Path
) -> None:
    pd.read_parquet(rows).query("y == 1").to_parquet(tmp_path / "ones.parquet")
    with pytest.raises(ToolFailure, match=r"dataset:ones@\w+ has no auc.*metric='(\w+)'") as refused:
        tune(work, rows, validation=str(tmp_path / "ones.parquet"))
    named = str(refused.value).split("metric='")[1].split("'")[0]
    assert tune(work, rows, validation=str(tmp_path / "ones.parquet"), metric=named).trials == 4
