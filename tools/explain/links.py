"""What a model's margin is: the number that contributions add up to, and how it becomes the model's answer.

The link is read off the fitted model, then held against its answers: one that does not give them is not named.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ToolFailure
from ..modeling.algorithms import Algorithm
from ..modeling.card import ModelCard
from ..modeling.effects import effect_unit

if TYPE_CHECKING:
    import numpy as np

LinkName = Literal["identity", "log", "logit", "softmax", "other"]

# XGBoost: "Learning Task Parameters"; LightGBM: "Parameters", objective; CatBoost: "Objectives and metrics";
# scikit-learn: `loss` of HistGradientBoosting and GradientBoosting.
LINKS: dict[str, LinkName] = {
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"), "log"),
    **dict.fromkeys(("poisson", "gamma", "tweedie", "Poisson", "Tweedie"), "log"),
    **dict.fromkeys(("binary:logistic", "reg:logistic", "binary", "multiclassova", "cross_entropy"), "logit"),
    **dict.fromkeys(("log_loss", "Logloss", "CrossEntropy", "MultiClassOneVsAll"), "logit"),
    **dict.fromkeys(("binary:logitraw", "binary:hinge"), "other"),
    **dict.fromkeys(("multi:softmax", "multi:softprob", "multiclass", "MultiClass"), "softmax"),
}
# XGBoost sums in single precision.
AGREEMENT = 1e-4
MAX_NAME = 80


@dataclass(frozen=True)
class Link:
    """`objective` is what the fitted model itself calls what it was fitted to."""

    name: LinkName
    objective: str = ""

    def answer(self, margin: np.ndarray) -> np.ndarray | None:
        """What the model answers at margins of shape (rows, outputs); None where that is not known."""
        import numpy as np

        if self.name == "identity":
            return margin
        with np.errstate(over="ignore"):
            if self.name == "log":
                return np.exp(margin)
            if self.name == "logit":
                return 1 / (1 + np.exp(-margin))
            if self.name == "softmax":
                powers = np.exp(margin - margin.max(axis=1, keepdims=True))
                return powers / powers.sum(axis=1, keepdims=True)
        return None


def link_of(model: Any, entry: Algorithm, margin: np.ndarray, answers: np.ndarray) -> Link:
    """The link between margins and answers of a fitted model, both of shape (rows, outputs).

    Raises:
        ToolFailure: the answers do not even rise with the margins, so they are not made from them.
    """
    import numpy as np

    objective = _objective(model, entry)
    name = LINKS.get(re.split(r"\s|:(?=\w+=)", objective)[0], "identity")
    if name == "logit" and margin.shape[1] > 1 and objective == "log_loss":
        name = "softmax"
    link = Link(name, objective)
    expected, scale = link.answer(margin), np.abs(answers).max()
    if expected is not None and np.allclose(expected, answers, rtol=AGREEMENT, atol=AGREEMENT * scale):
        return link
    in_order = np.take_along_axis(answers, np.argsort(margin, axis=0, kind="stable"), axis=0)
    if margin.shape[1] == 1 and (np.diff(in_order, axis=0) < -AGREEMENT * scale).any():
        raise ToolFailure(
            f"the margin of this {entry.name} ({objective}) is not what its answers are made from",
            "Train it with another objective.",
        )
    return Link("other", objective)


def _objective(model: Any, entry: Algorithm) -> str:
    if entry.library == "xgboost":
        return str(json.loads(model.get_booster().save_config())["learner"]["objective"]["name"])
    if entry.library == "lightgbm":
        found = re.search(r"^objective=(.*)$", model.booster_.model_to_string(num_iteration=1), re.MULTILINE)
        return found.group(1).strip() if found else ""
    if entry.library == "catboost":
        return str(model.get_all_params()["loss_function"])
    if entry.explainer == "linear":
        return "log_loss" if hasattr(model, "classes_") else "squared_error"
    return str(getattr(model, "loss", ""))


def unit_of(link: Link, card: ModelCard, label: str | None) -> str:
    """What margins and contributions are measured in; without a label, those of each class."""
    about = answer_unit(card, label)
    if link.name == "identity":
        return about
    about = about.removeprefix("probability of ")
    margin = {"log": "log", "logit": "log-odds", "softmax": "softmax margin", "other": "margin"}[link.name]
    return f"{margin} of {about}" + (f" ({link.objective})" if link.name == "other" else "")


def answer_unit(card: ModelCard, label: str | None) -> str:
    """What the model's answer is: the target, or the probability of a class."""
    if card.task == "effect":
        return _brief(effect_unit(card))
    if card.task == "regression":
        return _brief(card.target)
    return f"probability of {_brief(card.target)} = {_brief(label)}" if label is not None else (
        f"probability of each class of {_brief(card.target)}"
    )  # fmt: skip


def remarks(link: Link) -> list[str]:
    """What is easily misread about contributions on this link."""
    if link.name == "log":
        return ["contributions add up to the logarithm of the answer, so each multiplies it: by e to its power"]
    if link.name == "softmax":
        return ["a softmax margin counts against those of the other classes: it is not the log-odds of its probability"]
    if link.name == "other":
        return [f"how {link.objective or 'this model'} turns its margin into the answer is not known: both are given"]
    return []


def _brief(text: str | None) -> str:
    shown = str(text)
    return shown if len(shown) <= MAX_NAME else f"{shown[:MAX_NAME]}…"
