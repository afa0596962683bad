"""Numbers that libraries refuse in their own words, or answer wrongly for, are refused with the next step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.modeling.folds import folds
from mlops_mcp.tools.modeling.prepared import Prepared, Question, prepare
from mlops_mcp.tools.modeling.telling import telling
from mlops_mcp.tools.runtime.work import Work


def rows(count: int = 120) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=count), "b": draw.normal(size=count)})
    return frame.assign(y=draw.integers(0, 2, count), z=frame["a"] + frame["b"])


def asked(work: Work, folder: Path, frame: pd.DataFrame, target: str = "y", seed: int = 0) -> Prepared:
    frame.to_parquet(folder / "rows.parquet")
    source = resolve(work, str(folder / "rows.parquet"))
    return prepare(source, Question(target=target, algorithm="XGBoost", features=["a", "b"], seed=seed), {})


@pytest.mark.parametrize(
    ("scaled", "target", "says"),
    [
        ({"a": 1e300}, "y", r"a reaches .*e\+300, more than .*query_dataset: a / 1e\+300 AS a"),
        ({"z": 1e200}, "z", r"z reaches .*e\+200, more than .*z / 1e\+200 AS z"),
        ({"z": 1e-200}, "z", r"z spreads by .*e-200, less than .*z / 1e-200 AS z"),
    ],
)
def test_what_does_not_fit_into_32_bits_is_refused_with_the_scale_that_does(
    work: Work, tmp_path: Path, scaled: dict[str, float], target: str, says: str
) -> None:
    frame = rows()
    with pytest.raises(ToolFailure, match=says):
        asked(work, tmp_path, frame.assign(**{name: frame[name] * by for name, by in scaled.items()}), target)
    assert asked(work, tmp_path, frame.assign(z=frame["z"] * 1e-12), "z").target.std() > 0


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40])
def test_a_seed_that_no_library_takes_is_refused(work: Work, tmp_path: Path, seed: int) -> None:
    with pytest.raises(ToolFailure, match=f"seed is {seed}. It must be 0 to 2147483647"):
        asked(work, tmp_path, rows(), seed=seed)


def test_a_large_column_gives_the_target_away_as_a_small_one_does(work: Work, tmp_path: Path) -> None:
    """Left out, times and texts are looked at, too, and a time in nanoseconds has more digits than 32 bits."""
    frame = rows(400)
    leaky = frame.assign(a=(frame["y"] + frame["a"] / 100) * 1e30)
    [note] = telling(asked(work, tmp_path, leaky))
    assert note.startswith("a alone tells y")
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["y"] * 1000 + frame["a"].rank(), unit="ns")
    notes = telling(asked(work, tmp_path, frame.assign(when=when.astype("datetime64[ns]"))))
    assert any(note.startswith("when alone tells y") for note in notes)


def test_few_kinds_of_rows_that_always_have_the_same_target_are_counted(work: Work, tmp_path: Path) -> None:
    kinds = rows(10)
    [note] = asked(work, tmp_path, pd.concat([kinds] * 12, ignore_index=True)).notes
    assert note.startswith("120 rows hold 10 distinct ones of features, each with one target")
    mixed = pd.concat([kinds] * 12, ignore_index=True).assign(y=np.random.default_rng(1).integers(0, 2, 120))
    assert asked(work, tmp_path, mixed).notes == []


def test_folds_in_time_say_how_many_times_there_are() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2024-01-01"] * 60 + ["2024-01-02"] * 60)})
    with pytest.raises(ToolFailure, match="3 folds in the order of t need 4 different times, not 2"):
        folds(frame, None, None, "t", 3, 0)
