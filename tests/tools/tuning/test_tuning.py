import time
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
        "dataset": rows, "target": "y", "algorithm": "LogisticRegression", "validation": "", "folds": 3,
        "search_space": {}, "n_trials": 4, "metric": "", "direction": "", "study": "", "features": [],
        "exclude": [], "treatment": "", "controls": [], "experiment": "tune", "run": "", "seed": 0,
    }  # fmt: skip
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
    again = tune(work, rows, study="mine", n_trials=3)
    assert again.trials == 6
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
    again = tune(work, rows, study="mine", n_trials=1)
    assert (again.trials, again.failed) == (3, 1)
    assert open_study(work, "mine").trials[left.number].state.name == "FAIL"


def test_a_trial_that_a_driver_left_running_is_finished_under_its_own_number(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=2)
    left = open_study(work, "mine").ask({})
    again = tune(work, rows, study="mine", n_trials=1)
    assert (again.trials, again.failed) == (3, 0)
    assert open_study(work, "mine").trials[left.number].state.name == "COMPLETE"


def test_a_torn_last_line_does_not_lose_the_study(work: Work, rows: str) -> None:
    tune(work, rows, study="mine", n_trials=2)
    with journal(work, "mine").open("ab") as file:
        file.write(b'{"op_code": 5, "wor')
    assert tune(work, rows, study="mine", n_trials=1).trials == 3


def test_two_drivers_do_not_share_a_study(work: Work, rows: str) -> None:
    with driving(work, "mine"), pytest.raises(ToolFailure, match="another job"):
        tune(work, rows, study="mine")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"search_space": {"CC": [1, 2]}}, "unknown parameter"),
        ({"metric": "acu"}, "Did you mean auc"),
        ({"direction": "minimize"}, "better when it is maximized"),
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


def test_the_end_of_its_time_ends_the_search_with_what_it_has(work: Work, rows: str) -> None:
    hurried = replace(work, ends_at=time.monotonic() + 0.5)
    assert 1 <= tune(hurried, rows, n_trials=2000).trials < 2000


def test_the_best_so_far_is_kept_after_every_trial(work: Work, rows: str) -> None:
    said: list[tuple[str, str]] = []
    told = replace(work, reporter=Reporter(say=lambda kind, text: said.append((kind, text))))
    tuned = tune(told, rows, n_trials=3)
    kept = [Tuned.model_validate_json(text) for kind, text in said if kind == "partial"]
    assert [each.trials for each in kept] == [1, 2, 3]
    assert (kept[-1].best_value, kept[-1].best_params) == (tuned.best_value, tuned.best_params)
