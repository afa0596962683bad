"""How well each column alone tells the target, on rows that were not fitted on: the score that names a leak.

A number is read by a small decision tree, a category by the mean target of its level, both fitted on other folds;
copies of a row lie in one fold. The AUC is averaged over the folds, since pooled folds score below 0.5 on noise (Forman
& Scholz 2010).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import require
from ..numbers import finite
from .areas import placements
from .identity import codes, copies
from .models import TargetProfile
from .pairs import NAMES_ROWS
from .words import of_words

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SCORED_ROWS, FEWEST = 10_000, 20
# Of wide datasets fewer rows are scored, so that there are so many cells.
SCORED_CELLS, LEAST_ROWS = 400_000, 1_000
FOLDS, MOST_CLASSES = 5, 100
# Of a tree: how many leaves it has, and the least share of the rows in one; more would learn noise.
LEAVES, LEAF = {"classification": 8, "regression": 32}, {"classification": 1 / 30, "regression": 1 / 100}
# Whole numbers of few values, each in some rows, are classes.
FEW_VALUES, ROWS_OF_A_CLASS = 20, 5
# A column that alone scores so much is a leak until it is shown to be none; the fewest rows of a class for that.
LEAK, ROWS_OF_A_LEAK = 0.98, 10
# A column with a value per row, or nearly, names rows; the value of a level is drawn towards the mean by so many rows.
NAMES_EACH, DRAWN = 0.9, 1.0


@dataclass(frozen=True)
class Score:
    """`part` is what of an identifier tells the target; `leak` says why that is too good to be true."""

    value: float | None
    leak: str | None = None


@dataclass(frozen=True)
class Question:
    """The target of the scored rows: of classes (rows, classes) shares that are 0 or 1, else (rows, 1) numbers."""

    task: str
    truth: np.ndarray
    fold: np.ndarray

    @property
    def leakable(self) -> bool:
        """Whether there are rows enough to call a score too good."""
        least = self.truth.sum(axis=0).min() if self.task == "classification" else len(self.truth) / 3
        return bool(least >= ROWS_OF_A_LEAK)


def scored(frame: pd.DataFrame, target: str, names: Sequence[str]) -> tuple[TargetProfile, dict[str, Score]]:
    """The score of each column against the target, where that can be told, and what the scores are."""
    known = frame[_finite(frame[target])]
    task = task_of(known[target])
    profile = TargetProfile(
        column=target, task=task, missing=len(frame) - len(known), classes=_classes(known, target, task)
    )
    if reason := _unscorable(known[target], task):
        return profile.model_copy(update={"reason": reason}), {}
    require("sklearn")
    rows = _drawn(known, target, task, max(LEAST_ROWS, min(SCORED_ROWS, SCORED_CELLS // len(names))))
    question = _question(rows, target, task)
    found = {name: _score(rows[name], question) for name in names if name != target}
    told = {"metric": "auc" if task == "classification" else "r2", "rows": len(rows), **_chance(question)}
    return profile.model_copy(update=told), found


def _finite(values: pd.Series) -> pd.Series:
    """Which values can be scored."""
    import numpy as np

    return values.notna() & ~values.isin([np.inf, -np.inf]) if values.dtype.kind == "f" else values.notna()


def task_of(target: pd.Series) -> str:
    """Text and booleans are classes; so are two whole numbers, or few of some rows each."""
    if target.dtype.kind not in "iuf":
        return "classification"
    counts = target.value_counts()
    if len(counts) > FEW_VALUES or not bool((target % 1 == 0).all()):
        return "regression"
    return "classification" if len(counts) <= 2 or counts.min() >= ROWS_OF_A_CLASS else "regression"


def _classes(known: pd.DataFrame, target: str, task: str) -> dict[str, int] | None:
    if task != "classification":
        return None
    counts = known[target].map(str).value_counts()
    return {str(label)[:40]: int(count) for label, count in counts.head(5).items()}


def _unscorable(target: pd.Series, task: str) -> str:
    counts = target.map(str).value_counts() if task == "classification" else target.value_counts()
    if len(target) < FEWEST:
        return f"{len(target)} rows with a target are too few for folds"
    if len(counts) < 2:
        return "the target is the same in every row"
    if task == "classification" and len(counts) > MOST_CLASSES:
        return f"the target has {len(counts)} classes, more than {MOST_CLASSES}"
    return "a class has fewer rows than folds" if task == "classification" and counts.min() < FOLDS else ""


def _drawn(known: pd.DataFrame, target: str, task: str, most: int) -> pd.DataFrame:
    """Rows by chance, of each class up to its share of all that are scored: the AUC does not depend on their number."""
    if task != "classification":
        return known.sample(min(len(known), most), random_state=0).reset_index(drop=True)
    labels = known[target].map(str)
    drawn = known.sample(frac=1, random_state=0)
    return drawn[drawn.groupby(labels.loc[drawn.index]).cumcount() < most // labels.nunique()].reset_index(drop=True)


def _question(rows: pd.DataFrame, target: str, task: str) -> Question:
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    if task == "regression":
        truth = rows[target].to_numpy(dtype=float)[:, None]
    else:
        places = pd.factorize(rows[target].map(str))[0]
        truth = (places[:, None] == np.arange(places.max() + 1)).astype(float)
    found = copies(rows)
    if found.stand_out:
        return Question(task, truth, (random.permutation(found.kinds) % FOLDS)[found.unit])
    order = np.lexsort((random.random(len(rows)), truth.argmax(axis=1)))
    fold = np.empty(len(rows), dtype=int)
    fold[order] = np.arange(len(rows)) % FOLDS
    return Question(task, truth, fold)


def _chance(question: Question) -> dict[str, Any]:
    """What a column that tells nothing scores, and how much it may score by chance (95 %)."""
    if question.task == "regression":
        return {"baseline": 0.0}
    ones = question.truth.sum(axis=0)
    spread = (
        max((len(question.truth) + 1) / (12 * count * (len(question.truth) - count)) for count in ones.tolist()) ** 0.5
    )
    return {"baseline": 0.5, "chance": (max(0.5 - 1.96 * spread, 0.0), min(0.5 + 1.96 * spread, 1.0))}


def _score(values: pd.Series, question: Question) -> Score:
    found = {part: _crossed(column, is_number, question) for part, column, is_number in _parts(values)}
    known = {part: value for part, value in found.items() if value is not None}
    if not known:
        return Score(None)
    best = max(known, key=lambda part: known[part])
    if not question.leakable:
        return Score(known[best])
    if known[best] >= LEAK:
        return Score(known[best], f"tells the target by {best}")
    if (word := _by_word(values, question)) >= LEAK:
        return Score(word, "tells the target by a word in it")
    return Score(known[best], _by_order(values, question))


def _by_word(values: pd.Series, question: Question) -> float:
    """The AUC of the best word of texts, the mean over classes; 0 for what is no text of many values."""
    if question.task != "classification" or values.dtype.kind != "O" or not _plain(values):
        return 0.0
    many = values.nunique() > FEW_VALUES
    return float(of_words(values.map(str, na_action="ignore"), question.truth).mean()) if many else 0.0


def _by_order(values: pd.Series, question: Question) -> str | None:
    """What tells the order of a target whose few large values hide that from the squared error."""
    from scipy.stats import rankdata

    if question.task == "classification":
        return None
    ranked = replace(question, truth=rankdata(question.truth, axis=0))
    for part, column, is_number in _parts(values):
        if (_crossed(column, is_number, ranked) or 0.0) >= LEAK:
            return f"tells the order of the target by {part}"
    return None


def _parts(values: pd.Series) -> Iterator[tuple[str, np.ndarray, bool]]:
    """The column as numbers (ranks, NaN where missing) or as levels; of what names rows also how it is written."""
    import numpy as np
    import pandas as pd

    names_rows = values.nunique() > NAMES_EACH * len(values) if _plain(values) else False
    if values.dtype.kind in "iufMmb":
        number = values.astype("int64") if values.dtype.kind in "Mm" else values.astype(float)
        known = values.notna().to_numpy()
        ranks = np.full(len(values), np.nan)
        ranks[known] = np.unique(number.to_numpy()[known], return_inverse=True)[1]
        yield "its value", ranks, True
        if values.dtype.kind in "iu" and (names_rows or NAMES_ROWS.search(str(values.name))):
            yield "its last digit", values.to_numpy() % 10, False
    elif _plain(values):
        texts = values.map(str, na_action="ignore")
        if names_rows:
            yield "its first letters", codes(texts.str.extract(r"^(\D*)")[0].str[:12]), False
            yield "its last character", codes(texts.str[-1]), False
            yield (
                "the number in it",
                pd.to_numeric(texts.str.extract(r"(\d+)")[0]).rank(method="dense").to_numpy(),
                True,
            )
            yield "its length", texts.str.len().to_numpy(dtype=float, na_value=np.nan), True
        yield "its value", codes(texts), False


def _plain(values: pd.Series) -> bool:
    return not (
        values.dtype == object
        and values.map(lambda value: isinstance(value, list | dict) or hasattr(value, "shape")).any()
    )


def _crossed(column: np.ndarray, is_number: bool, question: Question) -> float | None:
    import numpy as np

    predicted = np.empty(question.truth.shape)
    for held in (question.fold == number for number in range(FOLDS)):
        if held.all():
            return None
        fit = _by_tree if is_number else _by_level
        predicted[held] = fit(column[~held], question.truth[~held], column[held], question.task)
    if question.task == "regression":
        error, spread = (question.truth - predicted) ** 2, (question.truth - question.truth.mean()) ** 2
        return finite(1 - error.sum() / spread.sum()) if spread.sum() > 0 else None
    return _area(question, predicted)


def _area(question: Question, predicted: np.ndarray) -> float | None:
    """The mean over folds and over classes, of each against the rest."""
    import numpy as np

    classes = [1] if question.truth.shape[1] == 2 else range(question.truth.shape[1])
    areas, weights = list[float](), list[float]()
    for number in range(FOLDS):
        held = question.fold == number
        for place in classes:
            positive = question.truth[held, place] == 1
            if 0 < positive.sum() < len(positive):
                areas.append(placements(positive, predicted[held, place])[0])
                weights.append(float(positive.sum()) * float((~positive).sum()))
    return float(np.average(areas, weights=weights)) if areas else None


def _by_tree(column: np.ndarray, truth: np.ndarray, held: np.ndarray, task: str) -> np.ndarray:
    import numpy as np
    from sklearn.tree import DecisionTreeRegressor

    if np.isnan(column).all():
        return np.broadcast_to(truth.mean(axis=0), (len(held), truth.shape[1]))
    # Of shares that are 0 or 1 the squared error is the Gini impurity.
    least = max(ROWS_OF_A_CLASS, int(len(column) * LEAF[task]))
    if task == "classification":
        # A leaf that is larger than a rare class could never hold it alone.
        least = min(least, max(ROWS_OF_A_CLASS, int(truth.sum(axis=0).min()) // 2))
    tree: Any = DecisionTreeRegressor(max_leaf_nodes=LEAVES[task], min_samples_leaf=least, random_state=0)
    answer: np.ndarray = tree.fit(column[:, None], truth).predict(held[:, None])
    return answer.reshape(len(held), -1)


def _by_level(column: np.ndarray, truth: np.ndarray, held: np.ndarray, _: str) -> np.ndarray:
    import numpy as np

    size = int(max(column.max(initial=0), held.max(initial=0))) + 1
    counts = np.bincount(column, minlength=size)[:, None]
    sums = np.column_stack([np.bincount(column, part, minlength=size) for part in truth.T])
    return ((sums + DRAWN * truth.mean(axis=0)) / (counts + DRAWN))[held]
