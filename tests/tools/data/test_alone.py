"""What each column alone tells of a target: leaks are named, clean columns are not, scores are the plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_mcp.tools.data.description import describe_dataset
from mlops_mcp.tools.data.models import DatasetProfile
from mlops_mcp.tools.data.store import save
from mlops_mcp.tools.errors import ToolFailure
from mlops_mcp.tools.runtime.work import Work

Describe = Callable[..., DatasetProfile]
TOKENS, ROWS = 1500, 600


@pytest.fixture
def describe(work: Work) -> Describe:
    def run(frame: pd.DataFrame, target: str = "y", limit: int = 15, columns: tuple[str, ...] = ()) -> DatasetProfile:
        handle = save(work, pa.Table.from_pandas(frame, preserve_index=False), "rows", [], "test").handle
        return describe_dataset(work, handle, list(columns), limit, "", target)

    return run


def clean(seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=ROWS)
    return pd.DataFrame(
        {
            "id": [f"u{number:05d}" for number in random.permutation(ROWS)],
            "row_id": np.arange(ROWS),
            "x": x,
            "noise": random.normal(size=ROWS),
            "group": random.choice(list("abcd"), ROWS),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, ROWS), unit="D"),
            "y": (x + random.logistic(size=ROWS) > 0).astype(int),
        }
    )


def scores(found: DatasetProfile) -> dict[str, float | None]:
    return {column.name: column.score for column in found.columns}


def leaks(found: DatasetProfile) -> dict[str, str]:
    return {column.name: column.leak for column in found.columns if column.leak}


LEAKS: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "a proxy": (lambda f: f.y * 3 + f.noise / 10, "its value"),
    "a proxy as text": (lambda f: np.where(f.y == 1, "paid off", "charged"), "its value"),
    "a reason that only one class has": (lambda f: np.where(f.y == 1, f.group, "none"), "its value"),
    "a hole in one class": (lambda f: f.noise.where(f.y == 1), "its value"),
    "a time that comes later for one class": (lambda f: f.when + pd.to_timedelta(f.y * 400, unit="D"), "its value"),
    "an id that begins with the class": (lambda f: np.where(f.y == 1, "P", "N") + f.id, "its first letters"),
    "an id that ends with the class": (lambda f: f.id + np.where(f.y == 1, "k", "m"), "its last character"),
    "an id with the class in its middle": (lambda f: f.id + f.y.map({0: "-off", 1: "-yes"}) + "-x", "a word in it"),
    "an id with a check digit": (lambda f: f.row_id * 10 + f.y, "its last digit"),
    "ids given class by class": (lambda f: f.y.argsort(kind="stable").argsort(kind="stable"), "its value"),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_column_that_gives_the_class_away_is_named(describe: Describe, kind: str) -> None:
    make, part = LEAKS[kind]
    found = describe(clean().assign(leak=make))
    assert leaks(found) == {"leak": f"tells the target by {part}"}
    assert [column.name for column in found.columns][:2] == ["y", "leak"]
    assert found.notes[0].startswith(f"too good to be true, so maybe a leak of y: leak tells the target by {part} (")


def test_a_number_that_is_the_target_in_another_unit_is_named_in_regression(describe: Describe) -> None:
    frame = clean().assign(y=lambda f: f.x + f.noise, leak=lambda f: 1000 * f.y + 3)
    found = describe(frame)
    assert found.target is not None
    assert (found.target.task, found.target.metric, list(leaks(found))) == ("regression", "r2", ["leak"])


@pytest.mark.parametrize("seed", range(10))
def test_clean_data_has_no_leak_and_noise_scores_as_noise(describe: Describe, seed: int) -> None:
    found = describe(clean(seed))
    assert leaks(found) == {}
    assert found.target is not None
    assert found.target.chance is not None
    told = scores(found)
    assert 0.65 < (told["x"] or 0) < 0.85
    assert all(0.4 < (told[name] or 0) < 0.6 for name in ("noise", "group", "when", "row_id"))


def test_the_score_of_a_strong_number_is_near_that_of_the_number_itself(describe: Describe) -> None:
    from sklearn.metrics import roc_auc_score

    frame = clean()
    plain = roc_auc_score(frame.y, frame.x)
    assert scores(describe(frame))["x"] == pytest.approx(plain, abs=0.05)


def test_the_score_of_a_category_is_that_of_its_rates(describe: Describe) -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    group = random.choice(list("abcdef"), 3000)
    rate = dict(zip("abcdef", (0.1, 0.2, 0.4, 0.5, 0.7, 0.9), strict=True))
    frame = pd.DataFrame({"group": group, "z": random.normal(size=3000)})
    frame["y"] = np.where(random.random(3000) < frame.group.map(rate), "yes", "no")
    plain = roc_auc_score(frame.y == "yes", frame.group.map(rate))
    assert scores(describe(frame))["group"] == pytest.approx(plain, abs=0.01)


def test_copies_of_rows_do_not_make_noise_tell_the_target(describe: Describe) -> None:
    random = np.random.default_rng(0)
    noise = pd.DataFrame({"code": random.integers(0, 400, 400).astype(str), "z": random.normal(size=400)})
    noise["y"] = random.integers(0, 2, 400)
    found = describe(pd.concat([noise] * 3))
    assert all(0.35 < (score or 0) < 0.65 for name, score in scores(found).items() if name != "y")


def test_the_target_is_shown_however_many_columns_there_are_and_the_best_come_next(describe: Describe) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(300, 60)), columns=[f"c{number}" for number in range(60)])
    frame["best"] = random.normal(size=300)
    frame["y"] = frame.best + random.normal(size=300) > 0
    found = describe(frame)
    assert [column.name for column in found.columns][:2] == ["y", "best"]
    assert len(found.model_dump_json()) / 4 < TOKENS
    assert "15 of 62 columns are shown, those that tell most of the target first, cursor=15 shows more" in found.notes
    assert [column.name for column in describe(frame, columns=("c3",)).columns] == ["y", "c3"]


UNSCORABLE: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "empty": (lambda f: f.head(0), "0 rows with a target are too few"),
    "one class": (lambda f: f.assign(y=1), "the target is the same in every row"),
    "no target known": (lambda f: f.assign(y=np.nan), "0 rows with a target are too few"),
    "a class per row": (lambda f: f.assign(y=f.id), "600 classes"),
    "a class of two rows": (lambda f: f.assign(y=["rare"] * 2 + ["a"] * 598), "fewer rows than folds"),
}


@pytest.mark.parametrize("case", UNSCORABLE)
def test_a_target_that_cannot_be_scored_says_why(describe: Describe, case: str) -> None:
    change, reason = UNSCORABLE[case]
    found = describe(change(clean()))
    assert found.target is not None
    assert reason in (found.target.reason or "")
    assert set(scores(found).values()) == {None}


def test_columns_of_any_type_are_scored_or_left_out(describe: Describe) -> None:
    frame = clean().assign(
        nothing=np.nan, flag=lambda f: f.noise > 0, lists=pd.Series([[1]] * ROWS),
        endless=lambda f: f.x.where(f.x < 1, np.inf),
        constant=1, words=lambda f: f.id + " and so on",
    )  # fmt: skip
    found = describe(frame, limit=20)
    assert scores(found)["lists"] is None
    assert leaks(found) == {}


def test_an_unknown_target_is_refused_with_the_nearest(describe: Describe) -> None:
    with pytest.raises(ToolFailure, match="Did you mean noise"):
        describe(clean(), target="noize")


def test_rows_with_the_same_features_and_another_target_are_counted(describe: Describe) -> None:
    frame = clean().drop(columns=["row_id"])
    copied = frame.head(40).assign(id=[f"c{number}" for number in range(40)])
    copied.loc[:9, "y"] = 1 - copied.y
    both = pd.concat([frame, copied])
    found = describe(both)
    features = ["x", "noise", "group", "when"]
    assert found.repeated_features == int(both.duplicated(features).sum()) == 40
    assert found.conflicting == int((both.groupby(features).y.transform("nunique") > 1).sum()) == 20
    assert "20 rows (3%) have the features of a row with another target" in found.notes


def test_a_likely_group_is_said_with_how_many_there_are(describe: Describe) -> None:
    random = np.random.default_rng(0)
    customers = pd.DataFrame({"customer": np.repeat(np.arange(100), 5), "x": random.normal(size=500)})
    customers["city"] = random.choice(list("abcdefgh"), 100).repeat(5)
    said = [
        note for note in describe(customers, target="").notes if note.startswith("customer (100 values in 500 rows)")
    ]
    assert len(said) == 1


def test_spread_and_quantiles_are_those_of_pandas_and_shown_once(describe: Describe) -> None:
    frame = clean().assign(few=[0, 1] * (ROWS // 2))
    found = {column.name: column for column in describe(frame, target="").columns}
    assert found["x"].std == pytest.approx(frame.x.std())
    told = found["x"].quantiles or {}
    assert [told[name] for name in ("5%", "25%", "75%", "95%")] == pytest.approx(
        frame.x.quantile([0.05, 0.25, 0.75, 0.95]).tolist(), rel=1e-5
    )
    assert found["few"].quantiles is None


@pytest.mark.parametrize("share", [0.02, 0.032])
def test_a_leak_of_a_rare_class_is_named(describe: Describe, share: float) -> None:
    random = np.random.default_rng(5)
    y = (np.arange(3000) < share * 3000).astype(int)
    noise = random.normal(size=3000)
    found = describe(
        pd.DataFrame({"y": y, "copy": y * 2, "refund": np.where(y == 1, noise**2, np.nan), "noise": noise})
    )
    assert leaks(found).keys() == {"copy", "refund"}


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_a_leak_of_a_target_with_few_large_values_is_named_by_their_order(describe: Describe, spread: float) -> None:
    random = np.random.default_rng(6)
    price = np.exp(spread * random.normal(size=ROWS)) * 100
    hint = price * np.exp(random.normal(size=ROWS))
    found = describe(pd.DataFrame({"y": price * 1.19, "net": price, "hint": hint}))
    assert leaks(found).keys() == {"net"}


def test_infinite_targets_are_left_out_of_the_scores(describe: Describe) -> None:
    made = clean().assign(y=lambda f: np.where(f.index < 9, np.inf, f.x))
    found = describe(made)
    assert found.target is not None
    assert found.target.rows == ROWS - 9
