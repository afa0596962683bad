"""First stages: what the covariates say of the outcome and of who is treated, by the model that says it best.

Every candidate predicts each row from folds that it was not fitted to, and the one with the least loss is taken with
these very predictions, so that the choice costs no fit more than the candidates (Bach et al., "Hyperparameter tuning
for causal inference with double machine learning", 2024: tuning on all rows does not harm cross-fitting). Chances of
treatment are calibrated first, by a logistic regression on the log-chances of other folds (Platt, 1999; Ballinari,
Bearth, "Improving the finite sample estimation of average treatment effects using double/debiased machine learning
with propensity score calibration", 2024).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ToolFailure
from .models import FirstStage

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5
# No tree sees more rows: beyond, a forest costs minutes and gains nothing that an average effect would notice.
MOST_TREE_ROWS = 4_000
TREES = 30
WIDE = 300
# Those that are also fitted to all arms together.
LINEAR = ("lasso", "ridge")
POOLED = ", arms pooled"
# Where nothing is known of the rows these are the mean, and the shares of the arms.
NO_COVARIATES = ("ridge", "logit (C=0.003)")
LEAST_CHANCE = 1e-6
Fold = tuple["np.ndarray", "np.ndarray"]


@dataclass(frozen=True)
class Stage:
    """The candidate that won, unfitted, for folds of a third of the rows, with its out-of-fold predictions.

    `skill` is the share of the loss (squared error or log-loss) of the mean or of the shares of the arms that it
    saves: 1 is perfect, 0 no better, below 0 worse. `sure` says that it is above 0 by two standard errors; `loss` is
    the mean one.
    """

    name: str
    model: Any
    predicted: np.ndarray
    loss: float
    skill: float
    sure: bool

    def said(self, of: str, metric: Literal["rmse", "log_loss"], spread: float = 1.0) -> FirstStage:
        """Args: `spread` is the unit that the outcome was measured in."""
        loss = self.loss if metric == "log_loss" else math.sqrt(self.loss) * spread
        return FirstStage(of=of, model=self.name, metric=metric, loss=loss, skill=round(self.skill, 4))

    @classmethod
    def best(
        cls,
        candidates: Mapping[str, Any],
        predicted: Mapping[str, np.ndarray],
        losses: Mapping[str, np.ndarray],
        base: np.ndarray,
    ) -> Stage:
        """Args: `losses` and `base`, that of the mean, are per row."""
        name = min(losses, key=lambda name: float(losses[name].mean()))
        gain, worst = base - losses[name], float(base.mean())
        sure = float(gain.mean()) > 2 * float(gain.std()) / math.sqrt(len(gain))
        model = _sized(candidates[name], 2 * len(base) // 3)
        skill = float(gain.mean()) / worst if worst else 0.0
        return cls(name, model, predicted[name], float(losses[name].mean()), skill, sure)


def outcome_candidates(rows: int, width: int, seed: int, threads: int) -> dict[str, Any]:
    """Unfitted regressions for so many rows and columns: a ridge takes the square of the columns in seconds."""
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import LassoCV, RidgeCV

    ridge = {"ridge": _scaled(RidgeCV(alphas=(0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)))} if width <= WIDE else {}
    return ridge | {
        "lasso": _scaled(LassoCV(alphas=30, cv=3, max_iter=2000)),
        "boosting": HistGradientBoostingRegressor(
            learning_rate=0.1, max_iter=60, max_leaf_nodes=6, min_samples_leaf=_leaf(rows), random_state=seed
        ),
        "forest": RandomForestRegressor(min_samples_leaf=5, **_forest(seed, threads)),
    }


def treatment_candidates(rows: int, seed: int, threads: int) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    logits = {f"logit (C={c:g})": _scaled(LogisticRegression(C=c, max_iter=500)) for c in (0.003, 0.03, 0.3, 3.0)}
    return logits | {
        "boosting": HistGradientBoostingClassifier(
            learning_rate=0.1, max_iter=40, max_leaf_nodes=4, min_samples_leaf=_leaf(rows), random_state=seed
        ),
        "forest": RandomForestClassifier(min_samples_leaf=10, **_forest(seed, threads)),
    }


def arm_folds(arms: np.ndarray, groups: np.ndarray | None, seed: int) -> list[Fold]:
    """Shuffled folds with the same share of each arm; rows of one group stay together."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        made = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(arms)), arms)
    else:
        made = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(arms)), arms, groups)
    folds = list(made)
    if any(len(np.unique(arms[train])) < arms.max() + 1 for train, _ in folds):
        raise ToolFailure("the clusters of an arm are too few to leave some out", "Use more clusters, or none.")
    return folds


def plain_folds(rows: int, seed: int) -> list[Fold]:
    import numpy as np
    from sklearn.model_selection import KFold

    return list(KFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(rows)))


def outcome_stage(
    candidates: Mapping[str, Any], columns: np.ndarray, outcome: np.ndarray, folds: Sequence[Fold]
) -> Stage:
    """The mean outcome of every row."""
    import numpy as np

    everyone = np.ones(len(outcome), dtype=bool)
    return _best(
        candidates,
        {name: _crossed(model, columns, outcome, everyone, folds) for name, model in candidates.items()},
        outcome, everyone, folds,
    )  # fmt: skip


def outcome_stages(
    candidates: Mapping[str, Any], columns: np.ndarray, outcome: np.ndarray, arms: np.ndarray, folds: Sequence[Fold]
) -> list[Stage]:
    """The mean outcome of every row in each arm, learned from the rows of that arm, or of all with the arm as a column.

    The latter, which linear models alone try, has more rows to learn from where effects vary little.
    """
    import numpy as np

    pooled = {name + POOLED: model for name, model in candidates.items() if name in LINEAR}
    dummies = np.eye(arms.max() + 1)[:, 1:]
    made = []
    for arm in range(arms.max() + 1):
        known = arms == arm
        predicted = {name: _crossed(model, columns, outcome, known, folds) for name, model in candidates.items()}
        made.append((arm, known, predicted))
    for name, model in pooled.items():
        for arm, found in enumerate(_pooled(model, columns, outcome, arms, dummies, folds)):
            made[arm][2][name] = found
    return [_best(dict(candidates) | pooled, predicted, outcome, known, folds) for _, known, predicted in made]


def _pooled(
    model: Any, columns: np.ndarray, outcome: np.ndarray, arms: np.ndarray, dummies: np.ndarray, folds: Sequence[Fold]
) -> np.ndarray:
    """Shape (arms, rows): each row as if it were in each arm."""
    import numpy as np

    made = np.empty((len(dummies), len(outcome)))
    together = np.hstack([columns, dummies[arms]])
    for train, test in folds:
        fitted = _fitted(model, together[train], outcome[train])
        for arm, dummy in enumerate(dummies):
            made[arm, test] = fitted.predict(np.hstack([columns[test], np.tile(dummy, (len(test), 1))]))
    return made


def _best(
    candidates: Mapping[str, Any],
    predicted: Mapping[str, np.ndarray],
    outcome: np.ndarray,
    known: np.ndarray,
    folds: Sequence[Fold],
) -> Stage:
    """The candidate with the least squared error on the known rows."""
    import numpy as np
    from sklearn.dummy import DummyRegressor

    truth = outcome[known]
    base = _crossed(DummyRegressor(), np.zeros((len(outcome), 1)), outcome, known, folds)[known]
    losses = {name: (truth - found[known]) ** 2 for name, found in predicted.items()}
    return Stage.best(candidates, predicted, losses, (truth - base) ** 2)


def treatment_stage(
    candidates: Mapping[str, Any], columns: np.ndarray, arms: np.ndarray, folds: Sequence[Fold]
) -> Stage:
    """The calibrated chances of each arm, shape (rows, arms); `arms` are positions from 0."""
    import numpy as np

    shares = np.bincount(arms) / len(arms)
    everyone = np.ones(len(arms), dtype=bool)
    chances = {
        name: _calibrated(_crossed(model, columns, arms, everyone, folds, len(shares)), arms, folds)
        for name, model in candidates.items()
    }
    every = np.arange(len(arms))
    losses = {name: -np.log(found[every, arms]) for name, found in chances.items()}
    return Stage.best(candidates, chances, losses, -np.log(shares[arms]))


def by_lot(arms: np.ndarray) -> Stage:
    """What is known of a treatment that was drawn by lot: the shares of the arms, whatever the covariates."""
    import numpy as np
    from sklearn.dummy import DummyClassifier

    shares = np.bincount(arms) / len(arms)
    model, loss = DummyClassifier(strategy="prior"), float(-np.log(shares[arms]).mean())
    return Stage("shares of the arms", model, np.tile(shares, (len(arms), 1)), loss, 0.0, False)


def _crossed(
    model: Any, columns: np.ndarray, target: np.ndarray, known: np.ndarray, folds: Sequence[Fold], arms: int = 0
) -> np.ndarray:
    """What a model says of each row after it was fitted to the known rows of the other folds."""
    import numpy as np

    made = np.empty((len(target), arms) if arms else len(target))
    for train, test in folds:
        rows = train[known[train]]
        fitted = _fitted(model, columns[rows], target[rows])
        made[test] = fitted.predict_proba(columns[test]) if arms else fitted.predict(columns[test])
    return made


def _fitted(model: Any, columns: np.ndarray, target: np.ndarray) -> Any:
    """A fitted copy. Raises ToolFailure for a parameter that a caller has set and the model refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _sized(model, len(target)).fit(columns, target)
        except (ValueError, TypeError) as error:
            text = (str(error).splitlines() or [""])[0][:300]
            hint = "Change or leave out the parameters that begin with model_y__ and model_t__."
            raise ToolFailure(f"a first stage cannot be fitted: {text}", hint) from error


def _calibrated(chances: np.ndarray, arms: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    logs = np.log(np.clip(chances, LEAST_CHANCE, 1))
    logs = logs[:, 1:] - logs[:, :1]
    made = np.empty_like(chances)
    for train, test in folds:
        made[test] = LogisticRegression(C=10.0).fit(logs[train], arms[train]).predict_proba(logs[test])
    return np.clip(made, LEAST_CHANCE, 1)


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _leaf(rows: int) -> int:
    return max(5, min(30, rows // 10))


def _forest(seed: int, threads: int) -> dict[str, Any]:
    return {
        "n_estimators": TREES, "max_features": 0.5, "max_samples": MOST_TREE_ROWS, "random_state": seed,
        "n_jobs": threads,
    }  # fmt: skip


def _sized(model: Any, rows: int) -> Any:
    """A copy whose trees draw no more rows than there are."""
    made = copy.deepcopy(model)
    if rows <= MOST_TREE_ROWS and "max_samples" in made.get_params():
        made.set_params(max_samples=None)
    return made
