"""The trials of a study in their order, with the best value so far: little of it, and never by itself."""

from __future__ import annotations

import pytest

from mlops_mcp.tools.modeling.metrics import Direction
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.tuning.client import get_study
from mlops_mcp.tools.tuning.history import thinned
from mlops_mcp.tools.tuning.models import Tried
from mlops_mcp.tools.tuning.storage import open_storage


def studied(work: Work, values: list[float | None], *directions: Direction) -> None:
    """A study of these values; None is a trial that fails."""
    import optuna
    from optuna.trial import TrialState, create_trial

    (work.home / "optuna").mkdir(parents=True)
    storage = open_storage(work, "search")
    study = optuna.create_study(study_name="search", storage=storage, directions=list(directions))
    for value in values:
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        given = None if value is None else [value] * len(directions)
        study.add_trial(create_trial(values=given, state=state))


@pytest.mark.parametrize(
    ("direction", "best"), [("maximize", [0.2, 0.2, 0.7, 0.7]), ("minimize", [0.2, 0.1, 0.1, 0.1])]
)
def test_the_best_so_far_stands_beside_each_value_and_what_is_no_number_is_left_out(
    work: Work, direction: Direction, best: list[float]
) -> None:
    studied(work, [0.2, None, 0.1, float("inf"), 0.7, 0.3], direction)
    found = get_study(work, "study:search", 100).history or []
    assert [(each.number, each.value) for each in found] == [(0, 0.2), (2, 0.1), (4, 0.7), (5, 0.3)]
    assert [each.best for each in found] == best


def test_nobody_is_told_it_who_has_not_asked_and_of_several_objectives_there_is_none(work: Work) -> None:
    studied(work, [0.1, 0.2], "maximize", "minimize")
    assert get_study(work, "study:search").history is None
    assert get_study(work, "study:search", 100).history == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 199, 200, 201, 10_000])
@pytest.mark.parametrize("limit", [1, 2, 200])
def test_of_many_trials_so_many_are_told_in_their_order_with_the_last(count: int, limit: int) -> None:
    found = [Tried(number=number, value=0.0, best=0.0) for number in range(count)]
    numbers = [each.number for each in thinned(found, limit)]
    assert len(numbers) == min(count, limit)
    assert numbers == sorted(set(numbers))
    assert numbers[-1:] == [number for number in [count - 1] if count]
    assert limit == 1 or numbers[:1] == [0][:count]
