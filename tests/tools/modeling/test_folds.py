"""Folds keep groups whole and never look ahead; without either they are scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.folds import folds, units_of

FRAME = pd.DataFrame({"x": np.arange(90.0), "who": np.repeat(np.arange(30), 3), "y": [0, 1, 1] * 30})


@pytest.mark.parametrize("strata", [None, FRAME["y"].to_numpy()])
def test_plain_folds_are_scikit_learns(strata: np.ndarray | None) -> None:
    kind = KFold if strata is None else StratifiedKFold
    expected = kind(3, shuffle=True, random_state=5).split(FRAME, strata)
    found = folds(FRAME, strata, None, "", 3, 5).pairs
    for (fitted, held), (train, test) in zip(found, expected, strict=True):
        assert (fitted.tolist(), held.tolist()) == (train.tolist(), test.tolist())


@pytest.mark.parametrize("strata", [None, FRAME["y"].to_numpy()])
def test_a_group_is_never_on_both_sides(strata: np.ndarray | None) -> None:
    units, _ = units_of(FRAME, FRAME[["x"]], "who")
    for fitted, held in folds(FRAME, strata, units, "", 3, 0).pairs:
        assert not {*FRAME["who"].iloc[fitted]} & {*FRAME["who"].iloc[held]}


def test_many_single_rows_are_spread_evenly_in_bundles_and_copies_still_stay_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    best: Any = StratifiedGroupKFold._find_best_fold  # pyright: ignore[reportPrivateUsage]

    def counting(self: StratifiedGroupKFold, **given: Any) -> int:
        looked.append(1)
        return int(best(self, **given))

    monkeypatch.setattr(StratifiedGroupKFold, "_find_best_fold", counting)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": [*range(20_000), *range(300), *range(100)]})
    strata = (rng.random(len(frame)) < 0.1).astype(int)
    units, _ = units_of(frame, frame, "x")
    pairs = folds(frame, strata, units, "", 3, 0).pairs
    assert len(looked) < 1000
    assert sorted(np.concatenate([held for _, held in pairs])) == list(range(len(frame)))
    for fitted, held in pairs:
        assert not {*frame["x"].iloc[fitted]} & {*frame["x"].iloc[held]}
        assert abs(len(held) / len(frame) - 1 / 3) < 0.01
        assert abs(strata[held].mean() - strata.mean()) < 0.005


def test_rows_without_a_group_stand_alone() -> None:
    units, _ = units_of(FRAME, FRAME[["x"]], "who")
    holes, _ = units_of(FRAME.assign(who=FRAME["who"].where(FRAME["who"] > 9)), FRAME[["x"]], "who")
    assert units is not None
    assert holes is not None
    assert (len(set(units.tolist())), len(set(holes.tolist()))) == (30, 20 + 30)


@pytest.mark.parametrize("days", [FRAME["who"], pd.to_datetime("2024-01-01") + pd.to_timedelta(FRAME["who"], unit="D")])
def test_folds_in_time_are_fitted_on_the_past_only(days: pd.Series) -> None:
    frame = FRAME.assign(day=days).sample(frac=1, random_state=0).reset_index(drop=True)
    pairs = folds(frame, None, None, "day", 3, 0).pairs
    for fitted, held in pairs:
        assert frame["day"].iloc[fitted].max() < frame["day"].iloc[held].min()
    assert sorted(np.concatenate([held for _, held in pairs])) == sorted(np.flatnonzero(frame["day"] > days.iloc[20]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"count": 20, "strata": np.array([0] * 80 + [1] * 10)}, "rows of each class, not 10"),
        ({"count": 4, "units": np.repeat([0, 1, 2], 30)}, "groups of rows, not 3"),
        ({"time": "when"}, "unknown column"),
        ({"time": "same"}, "need 4 different times, not 1"),
    ],
)
def test_folds_that_cannot_be_cut_are_refused(changes: dict[str, object], says: str) -> None:
    options: dict[str, object] = {"strata": None, "units": None, "time": "", "count": 3, "seed": 0}
    with pytest.raises(ToolFailure, match=says):
        folds(FRAME.assign(same=1), **(options | changes))  # type: ignore[arg-type]
