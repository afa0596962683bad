"""Columns that give the target away: which alone tell it, agree with it better than chance lets them, or order it.

What is said of a column is true of these rows; whether the column is known before the target is only known to people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..data.identity import codes
from ..data.words import of_words
from .card import Label
from .frame import TIMES
from .prepared import Prepared

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FOLDS = 3
LOOKED_AT_ROWS, LOOKED_AT_COLUMNS = 4000, 200
FEWEST_ROWS, FEWEST_OF_A_CLASS = 20, 6
# A column alone is as good as the target itself: its AUC, or its R² over the ranks. Strong honest columns reach .99.
ALONE, ALONE_R2 = 0.995, 0.998
# One of few values is meant as a copy of the target from here on.
FEW_VALUES, ALONE_OF_FEW = 20, 0.97
# If the other columns together come so near, the target is easy, and no single column is strange.
EASY, EASY_R2 = 0.97, 0.98
# How unlikely chance must make it that group means of a target agree so well with a column.
BY_CHANCE = 1e-6
FEWEST_MEANS = 10
# Neighbours in time are alike by this share beyond chance, and by so many standard errors.
FOLLOWS, SURE = 0.2, 6.0
SHOWN = 5


def telling(prepared: Prepared) -> list[str]:
    """Notes on columns that give the target away; none on honest data.

    The AUC is over folds, of one class against the rest and the mean over classes; the R² is of ranks, or of means of
    levels.
    """
    if not _enough(prepared):
        return []
    return [*_alone(prepared), *_means(prepared), *_in_time(prepared)]


def _enough(prepared: Prepared) -> bool:
    import numpy as np

    if len(prepared.target) < FEWEST_ROWS:
        return False
    return len(_common(prepared)) > 1 if prepared.card.classes else np.ptp(prepared.target) > 0


def _common(prepared: Prepared) -> np.ndarray:
    """The places of the classes that have rows enough to be told."""
    import numpy as np

    return np.flatnonzero(np.bincount(prepared.target) >= FEWEST_OF_A_CLASS)


def _alone(prepared: Prepared) -> list[str]:
    import numpy as np

    card, rows = prepared.card, _some(prepared)
    target, labels = prepared.target[rows], list[Label]()
    if card.classes:
        kinds, target = np.unique(target, return_inverse=True)
        labels = [card.classes[kind] for kind in kinds]
    found: dict[str, np.ndarray] = {}
    for name, values in _candidates(prepared).items():
        scores = _of_one(values.iloc[rows], target, len(labels))
        few = values.nunique() <= FEW_VALUES
        told = scores >= ((ALONE_OF_FEW if few else ALONE) if labels else ALONE_R2)
        if told.any():
            found[name] = scores * told
    others = [name for name in card.names if name not in found]
    if not found or (not others and len(found) > 1):
        return []
    rest = _together(prepared.features.iloc[rows][others], target, len(labels)) if others else None
    strange = {name: scores if rest is None else scores * _short(rest, labels) for name, scores in found.items()}
    most = sorted(strange.items(), key=lambda item: -item[1].max())
    return [_said(card.target, labels, name, scores, rest) for name, scores in most[:SHOWN] if scores.any()]


def _short(rest: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """What of it the other columns together do not tell as well."""
    return rest < (EASY if labels else EASY_R2)


def _said(target: str, labels: Sequence[Label], name: str, scores: np.ndarray, rest: np.ndarray | None) -> str:
    """Of the target as a whole if the column tells that, else of the class that it tells best."""
    place = 0 if scores[0] else int(scores.argmax())
    what = f"{labels[place - 1]!r} of {target}" if place else target
    others = "" if rest is None else f"; the other columns together reach {rest[place]:.3f}"
    return (
        f"{name} alone tells {what} ({'AUC' if labels else 'R²'} {scores[place]:.4f} over folds{others}): unless "
        f"it is known before, leave it out with exclude=[{name!r}]"
    )


def _candidates(prepared: Prepared) -> dict[str, pd.Series]:
    """The features, and the times and texts that were left out: they are no features, but may become some."""
    kept = {name: prepared.features[name] for name in prepared.card.names[:LOOKED_AT_COLUMNS]}
    rest = {
        str(name): prepared.frame[name]
        for name in prepared.frame.columns[:LOOKED_AT_COLUMNS]
        if name not in kept and str(name) not in prepared.apart and _is_looked_at(prepared.frame[name])
    }
    return kept | rest


def _is_looked_at(values: pd.Series) -> bool:
    if values.dtype.kind in "M":
        return True
    return values.dtype == object and bool(values.dropna().map(lambda value: isinstance(value, str)).all())


def _some(prepared: Prepared) -> np.ndarray:
    """Rows by chance, of each class up to its share of all: an AUC does not depend on how many there are."""
    import numpy as np
    import pandas as pd

    mixed = np.random.default_rng(prepared.card.seed).permutation(len(prepared.target))
    if not prepared.card.classes:
        return np.sort(mixed[:LOOKED_AT_ROWS])
    common, of_class = _common(prepared), pd.Series(prepared.target[mixed])
    most = max(LOOKED_AT_ROWS // len(common), FEWEST_OF_A_CLASS)
    return np.sort(mixed[of_class.isin(common) & (of_class.groupby(of_class).cumcount() < most)])


def _of_one(values: pd.Series, target: np.ndarray, classes: int) -> np.ndarray:
    """How well one column tells the target: AUC over folds, or R² of ranks or of means of levels; see `_area`."""
    import numpy as np

    if values.notna().sum() == 0 or values.nunique(dropna=False) < 2:
        return np.zeros(1)
    if values.dtype.kind in TIMES:
        values = values.astype("int64").where(values.notna())
    if values.dtype != object:
        return _of_order(values, target, classes)
    found = np.maximum(_of_levels(values, target, classes), _of_order(_places(values), target, classes))
    return np.maximum(found, _of_best_word(values, target, classes)) if values.nunique() > FEW_VALUES else found


def _of_best_word(texts: pd.Series, target: np.ndarray, classes: int) -> np.ndarray:
    """An identifier or a free text may hold what it tells in its middle."""
    import numpy as np

    return _with_mean(of_words(texts, target[:, None] == np.arange(classes))) if classes else np.zeros(1)


def _places(texts: pd.Series) -> pd.Series:
    """Texts as their place in the alphabet: an identifier may begin with what it tells."""
    import pandas as pd

    codes = pd.factorize(texts.astype("string"), sort=True)[0].astype(float)
    return pd.Series(codes, index=texts.index).where(texts.notna())


def _of_order(values: pd.Series, target: np.ndarray, classes: int) -> np.ndarray:
    import numpy as np
    from sklearn.tree import DecisionTreeClassifier

    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    if not classes:
        return np.array([_rank_correlation(numbers, target)])
    # Trees hold 32 bits, which a value may not fit into; its place does.
    column = values.rank(method="dense").to_numpy(dtype=float, na_value=np.nan).reshape(-1, 1)
    tree = DecisionTreeClassifier(max_leaf_nodes=32, min_samples_leaf=2, random_state=0)
    # What does not tell the rows it was fitted to tells no others.
    if _area(target, tree.fit(column, target).predict_proba(column)).max() < ALONE_OF_FEW:
        return np.zeros(1)
    return _crossed(tree, column, target, classes)


def _rank_correlation(numbers: np.ndarray, target: np.ndarray) -> float:
    import numpy as np
    from scipy.stats import spearmanr

    known = np.isfinite(numbers)
    if known.mean() < ALONE_OF_FEW or len(np.unique(numbers[known])) < 2:
        return 0.0
    found: Any = spearmanr(numbers[known], target[known])
    return float(found.statistic) ** 2


def _of_levels(values: pd.Series, target: np.ndarray, classes: int) -> np.ndarray:
    """By the mean of the target in the other rows of the level (scikit-learn's TargetEncoder, cross-fitted)."""
    import numpy as np
    from sklearn.preprocessing import TargetEncoder

    texts = values.astype("string").fillna("").to_numpy(dtype=object).reshape(-1, 1)
    kind = "multiclass" if classes > 2 else "binary" if classes else "continuous"
    encoder: Any = TargetEncoder(target_type=kind, cv=_cut(classes))
    encoded = encoder.fit_transform(texts, target)
    if not classes:
        left = float(((target - encoded[:, 0]) ** 2).sum())
        return np.array([1 - left / float(((target - target.mean()) ** 2).sum())])
    return _area(target, np.column_stack([1 - encoded, encoded]) if classes == 2 else encoded)


def _together(features: pd.DataFrame, target: np.ndarray, classes: int) -> np.ndarray:
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    numbers = pd.DataFrame(
        {name: _places(column) if column.dtype == object else column for name, column in features.items()}
    )
    kind: Any = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return _crossed(kind(max_iter=60, early_stopping=False, random_state=0), numbers.to_numpy(float), target, classes)


def _crossed(model: Any, columns: np.ndarray, target: np.ndarray, classes: int) -> np.ndarray:
    import numpy as np
    from sklearn.metrics import r2_score
    from sklearn.model_selection import cross_val_predict

    method = "predict_proba" if classes else "predict"
    found = cross_val_predict(model, columns, target, cv=_cut(classes), method=method)
    return _area(target, found) if classes else np.array([float(r2_score(target, found))])


def _cut(classes: int) -> Any:
    from sklearn.model_selection import KFold, StratifiedKFold

    kind: Any = StratifiedKFold if classes else KFold
    return kind(FOLDS, shuffle=True, random_state=0)


def _area(target: np.ndarray, chances: Any) -> np.ndarray:
    """Of two classes one AUC, else the mean and then that of each class against the rest."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    if chances.shape[1] == 2:
        return np.array([roc_auc_score(target == 1, chances[:, 1])])
    each = [roc_auc_score(target == position, chances[:, position]) for position in range(chances.shape[1])]
    return _with_mean(np.array(each))


def _with_mean(each: np.ndarray) -> np.ndarray:
    import numpy as np

    return each[1:] if len(each) == 2 else np.array([each.mean(), *each])


def _means(prepared: Prepared) -> list[str]:
    """Columns that hold means of the target: the rows of each value agree with it better than chance lets them."""
    card = prepared.card
    found = [
        name
        for name in card.numbers[:LOOKED_AT_COLUMNS]
        if any(_agrees(prepared, name, each) for each in _targets(prepared))
    ]
    return [
        f"{name} agrees with the mean of {card.target} in its rows better than chance lets it: it was made from "
        f"{card.target}; leave it out with exclude=[{name!r}], or make it from other rows"
        for name in found[:SHOWN]
    ]


def _targets(prepared: Prepared) -> Sequence[np.ndarray]:
    target, classes = prepared.target, prepared.card.classes
    if not classes:
        return [target.astype(float)]
    return [(target == position).astype(float) for position in range(len(classes) if len(classes) <= FOLDS * 2 else 0)]


def _agrees(prepared: Prepared, name: str, target: np.ndarray) -> bool:
    """By the rows of each value of a column, and of each value of another that fixes its values."""
    import numpy as np

    numbers = prepared.features[name].to_numpy(dtype=float)
    known = np.isfinite(numbers)
    values, own = numbers[known], target[known]
    # A mean lies among what it is the mean of.
    if len(own) < FEWEST_ROWS or values.min() < own.min() or values.max() > own.max() or not (values % 1).any():
        return False
    places = [np.unique(values, return_inverse=True)[1]]
    for other in map(str, prepared.frame.columns[:LOOKED_AT_COLUMNS]):
        if other in (name, prepared.card.target) or prepared.frame[other].dtype.kind == "f":
            continue
        place = codes(prepared.frame[other])[known]
        first = np.zeros(int(place.max()) + 1)
        first[place] = values
        if len(first) > places[0].max() + 1 and (first[place] == values).all():
            places.append(np.unique(place, return_inverse=True)[1])
    return any(_too_well(values, own, place) for place in places)


def _too_well(values: np.ndarray, own: np.ndarray, place: np.ndarray) -> bool:
    """By the lower tail of the chi-square of means of rows about the value that they share."""
    import numpy as np
    from scipy.stats import chi2

    counts = np.bincount(place)
    distinct = np.bincount(place, values) / counts
    if len(distinct) < 2 or 2 * len(distinct) > len(own) + 1:
        return False
    means = np.bincount(place, own) / counts
    within = np.bincount(place, (own - means[place]) ** 2)
    is_share = set(np.unique(own)) <= {0.0, 1.0}
    variance = distinct * (1 - distinct) if is_share else np.full(len(distinct), within.sum() / (len(own) - len(means)))
    used = (variance > 0) & (counts > 1)
    if used.sum() < FEWEST_MEANS and not _equal(means, distinct, used):
        return False
    apart = float((counts * (means - distinct) ** 2 / np.where(variance > 0, variance, 1))[used].sum())
    return bool(chi2.cdf(apart, int(used.sum())) < BY_CHANCE)


def _equal(means: np.ndarray, distinct: np.ndarray, used: np.ndarray) -> bool:
    """Whether a few values, none of them 0 or 1, are the means of their rows to the last digits."""
    import numpy as np

    return bool(used.sum() >= 3 and np.allclose(means[used], distinct[used], rtol=1e-9))


def _in_time(prepared: Prepared) -> list[str]:
    """Columns of times in whose order neighbouring rows have like targets, though nothing was said of time."""
    card, target = prepared.card, prepared.target
    if prepared.time or prepared.card.group:
        return []
    times = [name for name in map(str, prepared.frame.columns) if prepared.frame[name].dtype.kind == "M"]
    found = {name: _follows(prepared.frame[name], target, bool(card.classes)) for name in times}
    return [
        f"in the order of {name} neighbouring rows have like {card.target} ({share:.0%} beyond chance): pass "
        f"time={name!r} here and split_dataset(strategy='time', column={name!r}), else scores come from rows before "
        "and after those they are of"
        for name, share in found.items()
        if share
    ]


def _follows(times: pd.Series, target: np.ndarray, classes: bool) -> float:
    """How much more alike neighbours are than by chance, 0 if that is not sure."""
    import numpy as np

    known = times.notna().to_numpy()
    own = target[known]
    if len(own) < FEWEST_ROWS:
        return 0.0
    # Rows of one moment keep no order, which may be that of a sorted file.
    mixed = np.random.default_rng(0).permutation(len(own))
    ordered = own[mixed][np.argsort(times.to_numpy()[known][mixed], kind="stable")]
    if classes:
        chance = float(((np.bincount(own) / len(own)) ** 2).sum())
        if chance == 1:
            return 0.0
        share = (float((ordered[1:] == ordered[:-1]).mean()) - chance) / (1 - chance)
        sure = share * (1 - chance) / (chance * (1 - chance) / len(own)) ** 0.5
    else:
        share = float(np.corrcoef(ordered[1:], ordered[:-1])[0, 1])
        sure = share * len(own) ** 0.5
    return share if share > FOLLOWS and sure > SURE else 0.0
