"""What the attributes of an admitted class may be: those that our own pipelines have, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ..algorithms import LIGHTGBM_MORE, XGBOOST_MORE
from . import lightgbm_trees, sklearn_trees, xgboost_trees
from .indices import require

Attributes = MutableMapping[str, Any]


def check_attributes(kind: str, attributes: Attributes) -> None:
    """Refuse what no pipeline of ours holds, and let nothing start threads or processes.

    Args:
        kind: the class, with its module.
    """
    if "n_jobs" in attributes:
        attributes["n_jobs"] = 1
    require(attributes.get("memory") is None, "a folder to write to (memory)")
    require(attributes.get("callbacks") is None, "callbacks")
    if rule := RULES.get(kind):
        rule(attributes)


def check_names(kind: type, attributes: Mapping[str, Any]) -> None:
    """No attribute stands in for a method."""
    hidden = [name for name in attributes if callable(getattr(kind, name, None))]
    require(not hidden, f"{kind.__name__} with another {', '.join(hidden[:3])}")


def _check_function(attributes: Attributes) -> None:
    for name in ("func", "inverse_func", "kw_args", "inv_kw_args"):
        require(attributes.get(name) is None, f"a function of the file's own ({name})")


def _check_xgboost(attributes: Attributes) -> None:
    require(attributes.get("device") in (None, "cpu"), "another device than the processor")
    require(set(attributes.get("kwargs") or ()) <= set(XGBOOST_MORE), "unknown parameters of XGBoost")


def _check_lightgbm(attributes: Attributes) -> None:
    known = {*LIGHTGBM_MORE, "verbose"}
    require(set(attributes.get("_other_params") or ()) <= known, "unknown parameters of LightGBM")


RULES: Mapping[str, Callable[[Attributes], None]] = {
    "lightgbm.basic.Booster": lightgbm_trees.check_booster,
    "lightgbm.sklearn.LGBMClassifier": _check_lightgbm,
    "lightgbm.sklearn.LGBMRegressor": _check_lightgbm,
    "sklearn.ensemble._forest.RandomForestClassifier": sklearn_trees.check_forest,
    "sklearn.ensemble._forest.RandomForestRegressor": sklearn_trees.check_forest,
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier": (
        sklearn_trees.check_histograms
    ),
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor": (
        sklearn_trees.check_histograms
    ),
    "sklearn.preprocessing._function_transformer.FunctionTransformer": _check_function,
    "sklearn.tree._classes.DecisionTreeClassifier": sklearn_trees.check_decision_tree,
    "sklearn.tree._classes.DecisionTreeRegressor": sklearn_trees.check_decision_tree,
    "xgboost.core.Booster": xgboost_trees.check_booster,
    "xgboost.sklearn.XGBClassifier": _check_xgboost,
    "xgboost.sklearn.XGBRegressor": _check_xgboost,
}
