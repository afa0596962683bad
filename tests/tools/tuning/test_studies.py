import optuna
import pytest

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.metrics import Direction
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tuning.storage import driving, find_study
from mlops_mcp.tools.tuning.studies import list_studies


def study(work: Work, name: str, direction: Direction, values: list[float | None]) -> None:
    with driving(work, name) as storage:
        made = optuna.create_study(storage=storage, study_name=name, direction=direction)
        made.set_user_attr("metric", "auc")
        for value in values:
            trial = made.ask()
            made.tell(trial, value) if value is not None else made.tell(trial, state=optuna.trial.TrialState.FAIL)


@pytest.mark.slow
def test_studies_are_listed_by_name_with_their_trials_and_best_value(work: Work) -> None:
    assert list_studies(work, 10, "").items == []
    study(work, "b", "maximize", [0.1, 0.9, None])
    study(work, "a", "minimize", [3.0, 2.0])
    study(work, "c", "minimize", [])
    first = list_studies(work, 2, "")
    assert [(line.study, line.states, line.best_value) for line in first.items] == [
        ("study:a", {"complete": 2}, 2.0),
        ("study:b", {"complete": 2, "fail": 1}, 0.9),
    ]
    last = list_studies(work, 2, first.next_cursor or "")
    assert [(line.study, line.best_value, line.metric, line.algorithm) for line in last.items] == [
        ("study:c", None, "auc", None)
    ]
    assert (last.total, last.next_cursor) == (3, None)


def test_a_name_that_no_file_can_have_is_that_of_no_study(work: Work) -> None:
    with pytest.raises(ToolFailure, match="unknown study"):
        find_study(work, f"study:{'a' * 300}")
