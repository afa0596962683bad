"""Models of a treatment's effect by double machine learning (econml.dml), and how good they are.

Chernozhukov et al., "Double/debiased machine learning", 2018; Athey, Tibshirani, Wager, "Generalized random
forests", 2019; Nie, Wager, "Quasi-oracle estimation of heterogeneous treatment effects", 2021 (the R-score).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.store import Dataset
from ..errors import ToolFailure
from .algorithms import algorithm, check_parameters, estimator, parameters
from .arms import MIN_ARM_ROWS, levels_of, numbers, positions
from .bounds import require_seed
from .card import Feature, ModelCard, Task, Treatment
from .frame import choose_features, design
from .inputs import seen_in
from .pipelines import onehot

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FOLDS = 3
BOOSTING = "HistGradientBoosting"
STAGES = ("model_y", "model_t")
# Small trees: with those of the library, intervals of effects held the truth in 27 to 86 % of simulations.
STAGE_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "model_y": {"max_iter": 60, "learning_rate": 0.05, "max_leaf_nodes": 6, "min_samples_leaf": 30},
    "model_t": {"max_iter": 40, "learning_rate": 0.05, "max_leaf_nodes": 4, "min_samples_leaf": 40},
}
# Levels of a confounder that have fewer rows, or less than this share of them, share one column.
RARE_ROWS, RARE_SHARE = 3, 0.001
# econml's warning that the standard errors of a linear effect mean nothing.
UNDETERMINED = "underdetermined"


@dataclass(frozen=True)
class EffectRows:
    """Outcome and treatment of shape (rows,); designs of modifiers and controls with as many rows.

    The treatment is the position of a level, or an amount. `places` are the numbers of these rows in the frame,
    `dropped` how many of it lack treatment or outcome.
    """

    outcome: np.ndarray
    treatment: np.ndarray
    modifiers: pd.DataFrame
    controls: pd.DataFrame
    places: np.ndarray
    dropped: int = 0

    def take(self, index: np.ndarray) -> EffectRows:
        return EffectRows(
            self.outcome[index], self.treatment[index], self.modifiers.iloc[index], self.controls.iloc[index],
            self.places[index],
        )  # fmt: skip


@dataclass(frozen=True)
class EffectModel:
    """A fitted estimator behind the encoder of its modifiers, which is None where the effect varies with nothing.

    It was fitted to outcome and treatment of unit spread: `scale` turns its effects into those of the data. A forest
    of econml has an absolute threshold in its variance, below which intervals lose their width without a word.
    """

    encoder: Any
    estimator: Any
    scale: float = 1.0
    warnings: tuple[str, ...] = ()

    def inputs(self, modifiers: pd.DataFrame) -> np.ndarray | None:
        return _columns(self.encoder.transform(modifiers)) if self.encoder is not None else None

    def effects(self, modifiers: pd.DataFrame) -> np.ndarray:
        """The effect on each row, of being treated or of one unit more: shape (rows,), or (rows, arms) of several."""
        found = self.const_marginal_effect(self.inputs(modifiers))
        return per_row(found, len(modifiers))

    def const_marginal_effect(self, inputs: np.ndarray | None) -> np.ndarray:
        """What econml.score.RScorer asks a model for."""
        return self.scale * self.estimator.const_marginal_effect(inputs)


def effect_card(
    source: Dataset,
    frame: pd.DataFrame,
    name: str,
    treatment: str,
    outcome: str,
    modifiers: Sequence[str],
    controls: Sequence[str],
    params: Mapping[str, Any],
    seed: int,
    control: str = "",
    dose: bool = False,
) -> ModelCard:
    """The card of a question: does `treatment` change `outcome`, and does that vary with the modifiers?

    Args:
        control: the untreated value; if empty, the one that looks like it.
        dose: whether a treatment of few numbers is an amount, not arms.

    Raises:
        ToolFailure: an unknown column, one in two roles, a treatment that cannot be compared.
    """
    require_seed(seed)
    source.require([treatment, outcome, *modifiers, *controls])
    if treatment == outcome or {treatment, outcome} & {*modifiers, *controls}:
        raise ToolFailure("treatment, outcome and covariates must be different columns", "Name each once.")
    entry = algorithm(name, "effect")
    if entry.name == "CausalForest" and not modifiers:
        raise ToolFailure("CausalForest splits on effect modifiers, and none is given", "Name some, or use LinearDML.")
    others = [column for column in dict.fromkeys(controls) if column not in modifiers]
    card = ModelCard(
        algorithm=entry.name,
        task="effect",
        target=outcome,
        features=_features(frame, outcome, modifiers),
        params=dict(params),
        seed=seed,
        dataset=source.handle,
        rows=len(frame),
        treatment=Treatment(
            column=treatment,
            levels=levels_of(frame[treatment][frame[outcome].notna()], control, dose),
            controls=_features(frame, outcome, others),
        ),
    )
    known = frame[frame[[treatment, outcome]].notna().all(axis=1)]
    return card.model_copy(update={"seen": seen_in(design(known, card), card)})


def effect_rows(frame: pd.DataFrame, card: ModelCard) -> EffectRows:
    """The rows of a question that have an outcome and one of its treatments.

    Raises:
        ToolFailure: a missing column, text, a treatment the model does not know, or too few rows of one kind.
    """
    import numpy as np

    treatment = treatment_of(card)
    at = np.flatnonzero(frame[[treatment.column, card.target]].notna().all(axis=1))
    known = frame.iloc[at]
    arms = positions(known[treatment.column], treatment)
    if len(known) < 2 * MIN_ARM_ROWS:
        raise ToolFailure(
            f"{len(known)} rows have both {treatment.column} and {card.target}", f"Use at least {2 * MIN_ARM_ROWS}."
        )
    return EffectRows(
        numbers(known[card.target]),
        arms,
        design(known, card).reset_index(drop=True),
        design(known, card.model_copy(update={"features": treatment.controls})).reset_index(drop=True),
        at,
        len(frame) - len(known),
    )


def treatment_of(card: ModelCard) -> Treatment:
    if card.treatment is None:
        raise ToolFailure(f"{card.algorithm} predicts {card.target}, not an effect", "estimate_effect makes effects.")
    return card.treatment


def require_one_effect(card: ModelCard) -> None:
    """Raises ToolFailure for a model of several arms, whose effects no single number per row can stand for."""
    if (treatment := treatment_of(card)).several:
        raise ToolFailure(
            f"this model has {len(treatment.levels) - 1} effects on each row, one per arm of {treatment.column}",
            "Call estimate_effect on the rows of two arms, or read its dataset of effects.",
        )


def effect_unit(card: ModelCard) -> str:
    treatment = treatment_of(card)
    amount = "" if treatment.discrete else "one unit of "
    return f"effect of {amount}{treatment.column} on {card.target}"


def fit_effect(card: ModelCard, rows: EffectRows, threads: int, first: tuple[Any, Any] | None = None) -> EffectModel:
    """Fit on these rows, with first stages cross-fitted in three folds.

    Args:
        first: unfitted models of outcome and treatment; by default those that `stages` makes.

    Raises:
        ToolFailure: an unknown parameter, or econml refused a value or the data.
    """
    encoder = effect_encoder(card, rows)
    model = copy.deepcopy(unfitted(card, threads, first))
    inputs = EffectModel(encoder, None).inputs(rows.modifiers)
    spread = float(rows.outcome.std())
    if not spread:
        raise ToolFailure(f"{card.target} is the same in every row", "There is nothing to explain.")
    unit = 1.0 if treatment_of(card).discrete else float(rows.treatment.std())
    outcome, treatment = rows.outcome / spread, rows.treatment if unit == 1.0 else rows.treatment / unit
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(outcome, treatment, X=inputs, W=_confounders(card, rows))
        except (ValueError, TypeError, AttributeError) as error:
            text = (str(error).splitlines() or [""])[0][:300]
            hint = "Change or leave out its params; list_algorithms tells their defaults."
            raise ToolFailure(f"{card.algorithm} cannot be fitted: {text}", hint) from error
    texts = {str(warning.message).splitlines()[0] for warning in caught}
    return EffectModel(encoder, model, spread / unit, tuple(sorted(text for text in texts if UNDETERMINED in text)))


def effect_encoder(card: ModelCard, rows: EffectRows) -> Any:
    """What turns modifiers into the numbers of an estimator; None if there are none."""
    return onehot(card, scale=False).fit(rows.modifiers) if card.features else None


def effect_parameters(card: ModelCard) -> dict[str, Any]:
    """All parameters of the estimator and its first stages, with the values they have if none is given."""
    first = {
        f"{stage}__{name}": value
        for stage in STAGES
        for name, value in (parameters(algorithm(BOOSTING), "regression") | dict(STAGE_DEFAULTS[stage])).items()
    }
    return parameters(algorithm(card.algorithm), "effect") | first


def check_effect_parameters(card: ModelCard, names: Iterable[str]) -> None:
    """Raise the failure that names the nearest parameter, unless estimator and first stages have all of these."""
    for name in names:
        stage, mark, own = name.partition("__")
        if mark and stage in STAGES:
            check_parameters(algorithm(BOOSTING), "regression", [own])
        else:
            check_parameters(algorithm(card.algorithm), "effect", [name])


def unfitted(card: ModelCard, threads: int, first: tuple[Any, Any] | None = None) -> Any:
    """The estimator a card describes.

    Parameters that begin with `model_y__` or `model_t__` go to the first stages of outcome and treatment: small
    gradient boosting on histograms, since econml's own choice searches for minutes.

    Raises:
        ToolFailure: a parameter that neither has.
    """
    check_effect_parameters(card, card.params)
    outcome, treatment = first or stages(card)
    own = {key: value for key, value in card.params.items() if "__" not in key}
    made = {
        "model_y": outcome,
        "model_t": treatment,
        "discrete_treatment": treatment_of(card).discrete,
        "cv": FOLDS,
    }
    return estimator(algorithm(card.algorithm, "effect"), "effect", own, card.seed, threads, made)


def stages(card: ModelCard) -> tuple[Any, Any]:
    """Unfitted models of outcome and treatment."""
    kind: Task = "classification" if treatment_of(card).discrete else "regression"
    outcome, treatment = (
        estimator(algorithm(BOOSTING), task, stage_parameters(card, stage), card.seed, 1, STAGE_DEFAULTS[stage])
        for stage, task in zip(STAGES, ("regression", kind), strict=True)
    )
    return outcome, treatment


@dataclass(frozen=True)
class EffectScorer:
    """econml.score.RScorer on rows that the scored models have not seen, with first stages of its own."""

    scorer: Any
    card: ModelCard

    @classmethod
    def on(cls, card: ModelCard, rows: EffectRows, encoder: Any) -> EffectScorer:
        """Args: `encoder` is that of the models to score.

        Raises:
            ToolFailure: a model without modifiers, or rows econml refuses.
        """
        from econml.score import RScorer

        if encoder is None:
            raise ToolFailure("a model with one effect for all rows has nothing to score", "Name effect modifiers.")
        plain = card.model_copy(update={"params": {}})
        outcome, treatment = stages(plain)
        made = RScorer(
            model_y=outcome, model_t=treatment, discrete_treatment=treatment_of(card).discrete, cv=FOLDS,
            random_state=card.seed,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made.fit(
                    rows.outcome, rows.treatment,
                    X=EffectModel(encoder, None).inputs(rows.modifiers), W=_confounders(card, rows),
                )  # fmt: skip
            except ValueError as error:
                said = str(error).splitlines()[0][:300]
                hint = "Pass more rows, with every arm of the treatment among them."
                raise ToolFailure(f"these rows cannot score an effect: {said}", hint) from error
        return cls(made, card)

    def score(self, model: EffectModel) -> float:
        """How much better than one effect for all: 1 is perfect, 0 no better, below 0 worse."""
        return float(self.scorer.score(model))

    def parts(self, model: EffectModel) -> tuple[np.ndarray, np.ndarray]:
        """What the score is made of: the residuals of outcome and treatment, shape (rows, 2), and the effects.

        Raises:
            ToolFailure: the model has several effects on each row.
        """
        import numpy as np

        require_one_effect(self.card)
        outcome, treatment, _, covariates = self.scorer.lineardml_.residuals_
        effects = model.const_marginal_effect(covariates[:, : self.scorer.dx_])
        return np.column_stack([np.ravel(outcome), np.ravel(treatment)]), np.ravel(effects)


def one_effect(truth: np.ndarray) -> np.ndarray:
    """The one effect for all rows that fits best what first stages leave of outcome and treatment (rows, 2)."""
    import numpy as np

    return np.full(len(truth), (truth[:, 0] @ truth[:, 1]) / (truth[:, 1] @ truth[:, 1]))


def stage_parameters(card: ModelCard, stage: str) -> dict[str, Any]:
    """What the caller set of the first stage `model_y` or `model_t`."""
    prefix = f"{stage}__"
    return {key.removeprefix(prefix): value for key, value in card.params.items() if key.startswith(prefix)}


def confounders(card: ModelCard, rows: EffectRows) -> np.ndarray | None:
    """All modifiers and controls as numbers, for first stages; None if there are none."""
    return _encoded(card, [*card.features, *treatment_of(card).controls], rows)


def _confounders(card: ModelCard, rows: EffectRows) -> np.ndarray | None:
    """What econml's first stages see beside the inputs: the controls, and the rare levels that the inputs merge."""
    texts = [feature for feature in card.features if feature.kind == "category"]
    return _encoded(card, [*texts, *treatment_of(card).controls], rows)


def _encoded(card: ModelCard, features: list[Feature], rows: EffectRows) -> np.ndarray | None:
    import pandas as pd

    if not features:
        return None
    encoder = onehot(card.model_copy(update={"features": features}), scale=False, rare=rare_rows(len(rows.places)))
    return _columns(encoder.fit_transform(pd.concat([rows.modifiers, rows.controls], axis=1)))


def rare_rows(rows: int) -> int:
    """Levels of a confounder with fewer rows are not told apart."""
    return max(RARE_ROWS, int(RARE_SHARE * rows))


def _columns(encoded: Any) -> np.ndarray:
    import numpy as np

    return np.asarray(encoded, dtype=float)


def per_row(values: np.ndarray, rows: int) -> np.ndarray:
    """What econml says of each row, or once of all, in the shape (rows,), or (rows, arms) of several arms."""
    import numpy as np

    flat = np.reshape(values, (len(values), -1))
    made = np.broadcast_to(flat, (rows, flat.shape[1]))
    return made[:, 0] if made.shape[1] == 1 else made


def _features(frame: pd.DataFrame, outcome: str, names: Sequence[str]) -> Any:
    return choose_features(frame, outcome, names, [])[0] if names else []
