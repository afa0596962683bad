"""What gives a label away is named, with the honest score beside it; honest data is met with silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets as known

from mlops_mcp.tools.data.store import resolve
from mlops_mcp.tools.modeling import guards
from mlops_mcp.tools.modeling.card import Feature, ModelCard
from mlops_mcp.tools.modeling.inputs import seen_in, surprises
from mlops_mcp.tools.modeling.prepared import Prepared, Question, prepare
from mlops_mcp.tools.modeling.target import guess
from mlops_mcp.tools.modeling.telling import telling
from mlops_mcp.tools.runtime.work import Work
from mlops_mcp.tools.training.client import evaluate_model, train_model
from mlops_mcp.tools.training.models import EvaluateRequest, Evaluation, Trained, TrainRequest

pytestmark = pytest.mark.slow

ROWS = 600
PLAIN = "LogisticRegression"
QUICK = {"n_estimators": 40}


def coins(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame(draw.normal(size=(rows, 4)), columns=list("abcd"))
    return frame.assign(y=draw.integers(0, 2, rows))


def stored(work: Work, folder: Path, frame: pd.DataFrame, name: str = "rows") -> str:
    frame.to_parquet(folder / f"{name}.parquet")
    return resolve(work, str(folder / f"{name}.parquet")).handle


def train(work: Work, dataset: str, **changes: object) -> Trained:
    request: dict[str, object] = {"dataset": dataset, "target": "y", "algorithm": "XGBoost"}
    return train_model(work, TrainRequest.model_validate(request | changes))


def evaluate(work: Work, model: str, dataset: str, **changes: object) -> Evaluation:
    request = {"model": model, "dataset": dataset, "metric": "", "log": False}
    return evaluate_model(work, EvaluateRequest.model_validate(request | changes))


def proxy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(leak=frame["y"] * 40 + np.random.default_rng(1).normal(size=len(frame)))


def encoding_id(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(leak=[f"{'KL'[label]}-{row % 200}" for row, label in enumerate(frame["y"])])


def named_id(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(leak=[f"{'KL'[label]}-{row}" for row, label in enumerate(frame["y"])])


def aggregate(frame: pd.DataFrame) -> pd.DataFrame:
    group = np.random.default_rng(2).integers(0, len(frame) // 5, len(frame))
    return frame.assign(leak=frame.groupby(group)["y"].transform("mean"))


def aggregate_of_more(frame: pd.DataFrame) -> pd.DataFrame:
    """The mean of a group was made before two thirds of the rows were taken."""
    whole = coins(2 * len(frame), seed=3)
    group = np.random.default_rng(3).integers(0, 100, len(whole))
    made_of = whole.assign(shop=group, leak=whole.groupby(group)["y"].transform("mean"))
    return made_of.sample(len(frame) * 4 // 3, random_state=0)


def later_time(frame: pd.DataFrame) -> pd.DataFrame:
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(len(frame)), unit="D")
    return frame.assign(leak=pd.Series(days).where(frame["y"] == 1))


def later_number(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(leak=np.where(frame["y"] == 1, np.random.default_rng(4).normal(size=len(frame)), np.nan))


def flag(frame: pd.DataFrame) -> pd.DataFrame:
    wrong = np.random.default_rng(5).random(len(frame)) < 0.01
    return frame.assign(leak=np.where(frame["y"].astype(bool) ^ wrong, "yes", "no"))


@pytest.mark.parametrize(
    "leak", [proxy, encoding_id, named_id, aggregate, aggregate_of_more, later_time, later_number, flag],
    ids=lambda leak: leak.__name__,
)  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_a_column_that_gives_a_coin_away_is_named_and_the_score_without_it_is_fair(
    work: Work, tmp_path: Path, leak: Callable[[pd.DataFrame], pd.DataFrame], seed: int
) -> None:
    dataset = stored(work, tmp_path, leak(coins(seed=seed)))
    assert any("exclude=['leak']" in note for note in train(work, dataset, algorithm=PLAIN).notes)
    honest = train(work, dataset, algorithm=PLAIN, exclude=["leak"])
    assert abs(((honest.cross_validated or {})["auc"] or 0) - 0.5) <= 0.1
    assert not any("leak" in note for note in honest.notes)


def named_within(frame: pd.DataFrame) -> list[str]:
    return [f"x-{['no', 'yes'][label]}-{row}" for row, label in enumerate(frame["y"])]


def said_within(frame: pd.DataFrame) -> list[str]:
    """A word of a text tells the label, wherever it stands."""
    draw = np.random.default_rng(9)
    words = ["the", "a", "of", "what", "was", "then", "who", "came", "by", "train", "in", "rain"]
    return [
        " ".join(draw.permutation([*draw.choice(words, 6), *(["granted"] if label else [])])) for label in frame["y"]
    ]


def prepared(work: Work, dataset: str) -> Prepared:
    return prepare(resolve(work, dataset), Question(target="y", algorithm=PLAIN), {})


@pytest.mark.parametrize("leak", [named_within, said_within], ids=lambda leak: leak.__name__)
def test_a_label_within_a_text_is_named(work: Work, tmp_path: Path, leak: Callable[[pd.DataFrame], list[str]]) -> None:
    frame = coins()
    notes = telling(prepared(work, stored(work, tmp_path, frame.assign(leak=leak(frame)))))
    assert [note for note in notes if "exclude=['leak']" in note]
    mixed = frame.assign(leak=np.random.default_rng(2).permutation(leak(frame)))
    assert not telling(prepared(work, stored(work, tmp_path, mixed, "mixed")))


@pytest.mark.parametrize("rare", [0, 3])
def test_a_column_that_tells_one_of_several_classes_is_named_with_the_class(
    work: Work, tmp_path: Path, rare: int
) -> None:
    """Also beside a class of too few rows to say anything of."""
    frame = coins().assign(y=np.random.default_rng(3).choice(["bad", "fair", "good", "new"], ROWS))
    frame = frame.assign(leak=frame["y"].eq("new") + np.random.default_rng(4).normal(scale=0.05, size=ROWS))
    frame.loc[range(rare), "y"] = "odd"
    [note] = telling(prepared(work, stored(work, tmp_path, frame)))
    assert "leak alone tells 'new' of y" in note


def test_a_quantity_that_gives_a_target_away_is_named(work: Work, tmp_path: Path) -> None:
    frame = coins().assign(y=lambda made: np.exp(made["a"] + np.random.default_rng(6).normal(size=ROWS)))
    group = np.random.default_rng(7).integers(0, 100, ROWS)
    leaks = {"rank": frame["y"].rank(), "mean": frame.groupby(group)["y"].transform("mean")}
    for name, leak in leaks.items():
        found = train(work, stored(work, tmp_path, frame.assign(**{name: leak})), algorithm="Ridge")
        assert [note for note in found.notes if f"exclude=['{name}']" in note]


def test_a_target_that_follows_time_asks_for_folds_in_time(work: Work, tmp_path: Path) -> None:
    frame = coins(1000).assign(y=np.repeat(np.random.default_rng(8).integers(0, 2, 50), 20))
    frame["day"] = pd.date_range("2024-01-01", periods=1000)
    dataset = stored(work, tmp_path, frame.sample(frac=1, random_state=0))
    asks = "pass time='day' here"
    assert any(asks in note for note in train(work, dataset, algorithm=PLAIN).notes)
    assert not any(asks in note for note in train(work, dataset, algorithm=PLAIN, time="day").notes)
    steady = stored(work, tmp_path, frame.assign(y=coins(1000)["y"]), "steady")
    assert not any(asks in note for note in train(work, steady, algorithm=PLAIN).notes)


COPIES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "single precision": lambda frame: frame.astype(dict.fromkeys("abcd", "float32")),
    "six digits": lambda frame: frame.round(6),
    "six significant digits": lambda frame: frame.map(lambda value: float(f"{value:.6g}")).astype({"y": int}),
}


@pytest.mark.parametrize("kind", COPIES)
def test_rows_that_were_trained_on_are_known_without_their_last_digits(work: Work, tmp_path: Path, kind: str) -> None:
    frame = coins()
    trained = train(work, stored(work, tmp_path, frame.head(400)), params=QUICK)
    others = evaluate(work, trained.model, stored(work, tmp_path, COPIES[kind](frame.tail(200)), "others"))
    assert others.trained_on == 0
    mixed = COPIES[kind](pd.concat([frame.head(150), frame.tail(200)]))
    found = evaluate(work, trained.model, stored(work, tmp_path, mixed, "mixed"))
    assert 140 <= (found.trained_on or 0) <= 150
    assert any("of 350 rows were trained on but for their last digits" in note for note in found.notes)


def test_a_copy_of_a_quantity_is_known_when_it_is_rounded_too(work: Work, tmp_path: Path) -> None:
    frame = coins().assign(y=lambda made: made["a"] + made["b"] / 3)
    trained = train(work, stored(work, tmp_path, frame), algorithm="Ridge")
    found = evaluate(work, trained.model, stored(work, tmp_path, frame.astype("float32"), "copy"))
    assert (found.trained_on or 0) > 0.97 * ROWS


def of_sklearn(name: str) -> pd.DataFrame:
    found: Any = getattr(known, f"load_{name}")(as_frame=True)
    return found.frame.rename(columns={"target": "y"})


def made(features: Any, target: Any, *_: Any) -> pd.DataFrame:
    return pd.DataFrame(features, columns=[f"x{n}" for n in range(features.shape[1])]).assign(y=target)


def strong() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(800, 5)), columns=list("abcde"))
    return frame.assign(y=(frame["a"] + 0.15 * draw.normal(size=800) > 0).astype(int))


def imbalanced() -> pd.DataFrame:
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(draw.normal(size=(2000, 5)), columns=list("abcde"))
    odds = 3 * frame["a"] + 2 * frame["b"] - 6
    return frame.assign(y=(draw.random(2000) < 1 / (1 + np.exp(-odds))).astype(int))


def counted() -> pd.DataFrame:
    """Few whole numbers, which repeat as rows of a questionnaire do."""
    draw = np.random.default_rng(2)
    frame = pd.DataFrame(draw.integers(1, 6, (300, 6)), columns=list("abcdef"))
    return frame.assign(y=(frame.sum(axis=1) + draw.normal(0, 3, 300) > 18).astype(int))


CLEAN: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "iris": (lambda: of_sklearn("iris"), PLAIN),
    "wine": (lambda: of_sklearn("wine"), PLAIN),
    "breast_cancer": (lambda: of_sklearn("breast_cancer"), "RandomForest"),
    "digits": (lambda: of_sklearn("digits"), PLAIN),
    "diabetes": (lambda: of_sklearn("diabetes"), "Ridge"),
    "moons": (lambda: made(*known.make_moons(500, noise=0.25, random_state=0)), "XGBoost"),
    "blobs": (lambda: made(*known.make_blobs(300, 5, centers=2, random_state=0)), PLAIN),
    "classification": (lambda: made(*known.make_classification(1000, random_state=0)), "XGBoost"),
    "regression": (lambda: made(*known.make_regression(400, 8, noise=10.0, random_state=0)), "Ridge"),
    "friedman": (lambda: made(*known.make_friedman1(500, noise=1.0, random_state=0)), "HistGradientBoosting"),
    "strong": (strong, PLAIN),
    "imbalanced": (imbalanced, "XGBoost"),
    "counted": (counted, PLAIN),
    "small": (lambda: coins(60).assign(y=lambda frame: (frame["a"] + frame["b"] > 0).astype(int)), PLAIN),
    "noise": (lambda: coins(400), PLAIN),
}
# What is said of the question, not of something wrong.
ASIDE = ("are taken as classes", "left out ", "are not listed here", "42 rows are few")


@pytest.mark.parametrize("name", CLEAN)
def test_honest_data_is_met_with_silence(work: Work, tmp_path: Path, name: str) -> None:
    make, algorithm = CLEAN[name]
    frame = make().sample(frac=1, random_state=1)
    fitted, held = frame.iloc[: len(frame) * 7 // 10], frame.iloc[len(frame) * 7 // 10 :]
    trained = train(work, stored(work, tmp_path, fitted), algorithm=algorithm)
    found = evaluate(work, trained.model, stored(work, tmp_path, held, "held"))
    assert [note for note in [*trained.notes, *found.notes] if not any(text in note for text in ASIDE)] == []
    assert found.score.verdict == ("not_distinguishable" if name == "noise" else "above_baseline")


def test_a_model_that_learnt_noise_by_heart_is_told_so(work: Work, tmp_path: Path) -> None:
    trained = train(work, stored(work, tmp_path, coins()), params={"n_estimators": 300})
    [fall] = [note for note in trained.notes if "by heart" in note]
    assert f"to {(trained.cross_validated or {})['auc']:.4g} here" in fall
    found = evaluate(work, trained.model, stored(work, tmp_path, coins(seed=9), "others"))
    assert found.score.verdict == "not_distinguishable"
    for notes in (trained.notes, found.notes):
        assert any("auc falls from 1 on the training rows to 0." in note for note in notes)
        assert any("log_loss" in note and "is worse than" in note for note in notes)


def card(**features: Any) -> ModelCard:
    return ModelCard(
        algorithm="XGBoost", task="classification", target="y", classes=[0, 1], dataset="d", rows=400,
        features=[Feature(name=name, kind=kind) for name, kind in features.items()],
    )  # fmt: skip


def test_drift_is_named_where_there_is_some_and_hardly_ever_where_there_is_none() -> None:
    draw, of = np.random.default_rng(0), card(a="number", b="category", c="number")

    def rows(count: int, shift: float = 0.0, share: float = 0.3) -> pd.DataFrame:
        return pd.DataFrame({
            "a": draw.normal(shift, 1, count), "b": draw.choice(["u", "v"], count, p=[share, 1 - share]),
            "c": draw.normal(size=count),
        })  # fmt: skip

    alarms = sum(bool(guards.drifted(rows(400), rows(150), of)) for _ in range(300))
    assert alarms <= 3
    (note,) = guards.drifted(rows(400), rows(150, 1.0, 0.7), of)
    assert "2 of 3 features" in note
    assert "a (0." in note
    assert "c (" not in note
    gone = rows(150).assign(c=lambda frame: frame["c"].where(frame.index % 2 == 0))
    assert "1 of 3 features" in guards.drifted(rows(400), gone, of)[0]


def test_groups_of_rows_are_no_drift() -> None:
    draw, of = np.random.default_rng(1), card(a="number")
    groups = [draw.normal(size=(2, 40)) for _ in range(100)]
    trained = [pd.DataFrame({"a": np.repeat(first, 10)}) for first, _ in groups]
    others = [pd.DataFrame({"a": np.repeat(second[:15], 10)}) for _, second in groups]
    assert sum(bool(guards.drifted(a, b, of, 15)) for a, b in zip(trained, others, strict=True)) <= 2
    assert sum(bool(guards.drifted(a, b, of)) for a, b in zip(trained, others, strict=True)) > 20


def test_a_few_rows_a_little_out_of_range_are_chance_and_one_far_out_is_not() -> None:
    draw, of = np.random.default_rng(0), card(a="number")
    trained = pd.DataFrame({"a": draw.normal(size=400)})
    seen = of.model_copy(update={"seen": seen_in(trained, of)})
    said = [bool(surprises(pd.DataFrame({"a": draw.normal(size=200)}), seen)) for _ in range(200)]
    assert sum(said) <= 4
    far = pd.DataFrame({"a": [*draw.normal(size=199), 1e9]})
    assert any("in 1 of 200 rows" in note or "in 2 of 200 rows" in note for note in surprises(far, seen))
    assert surprises(pd.DataFrame({"a": [9.0]}), seen)


def test_a_threshold_that_misses_a_rare_class_is_named() -> None:
    draw = np.random.default_rng(0)
    truth = (draw.random(2000) < 0.05).astype(int)
    chance = np.clip(0.05 + 0.1 * truth + 0.05 * draw.random(2000), 0, 1)
    prediction = np.column_stack([1 - chance, chance])
    notes = guards.guarded(card(), truth, prediction, guess(card(), truth, 2000), None)
    assert any(f"the threshold of 0.5 finds 0 of {truth.sum()}" in note for note in notes)


def test_many_rows_without_a_mistake_are_too_good_to_be_true() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 600)
    right = np.column_stack([0.9 - 0.8 * truth, 0.1 + 0.8 * truth])
    assert any("all 600 rows are right" in note for note in guards.guarded(card(), truth, right, None, None))
    assert guards.guarded(card(), truth[:400], right[:400], None, None) == []
