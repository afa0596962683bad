"""The algorithms by name: how each is built, what it was found to start well with, and where to search."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from ..errors import NotInstalled, ToolFailure, unknown
from .card import GRAPH, PYFUNC, Task

Encoding = Literal["ordinal", "onehot", "filled"]
Explainer = Literal["tree", "linear", "sampled"]
Parameters = Mapping[str, Any]

# What the server sets itself, or what would make it read or write files or run code of the caller.
RESERVED = (
    "random_state", "random_seed", "n_jobs", "nthread", "thread_count", "verbose", "verbosity", "silent",
    "logging_level", "train_dir", "allow_writing_files", "snapshot_file", "save_snapshot", "warm_start",
)  # fmt: skip
ECONML_RESERVED = (
    "model_y", "model_t", "discrete_treatment", "discrete_outcome", "featurizer", "treatment_featurizer", "categories",
    "allow_missing", "inference", "use_ray", "ray_remote_func_options",
)  # fmt: skip


@dataclass(frozen=True)
class Algorithm:
    """One entry of the registry. `estimators` names the class for each task that the algorithm can do.

    `extra` is what to install for it, `aliases` other names of its parameters, `more` those that its constructor takes
    without naming them. `in_spreads` are parameters that count in standard deviations of the target, since an absolute
    default would fit targets of one size only. `stops_early` are those that end the fit by rows held out for it. An
    `opaque` model is bytes that only its own library can look into.
    """

    name: str
    library: str
    estimators: Mapping[Task, str]
    encoding: Encoding
    explainer: Explainer
    defaults: Parameters = field(default_factory=dict)
    space: Parameters = field(default_factory=dict)
    seeded: bool = True
    threaded: bool = True
    extra: str = "training"
    aliases: Mapping[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    in_spreads: tuple[str, ...] = ()
    stops_early: tuple[str, ...] = ()
    opaque: bool = False

    @property
    def installed(self) -> bool:
        return find_spec(self.library) is not None


XGBOOST_SPACE = {
    "n_estimators": [100, 600],
    "max_depth": [3, 10],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "subsample": [0.6, 1.0],
    "colsample_bytree": [0.6, 1.0],
    "min_child_weight": {"low": 0.5, "high": 20.0, "log": True},
    "reg_lambda": {"low": 0.01, "high": 10.0, "log": True},
}
LIGHTGBM_SPACE = {
    "n_estimators": [100, 600],
    "num_leaves": [8, 128],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "subsample": [0.6, 1.0],
    "colsample_bytree": [0.6, 1.0],
    "min_child_samples": [5, 100],
    "reg_lambda": {"low": 0.01, "high": 10.0, "log": True},
}
FOREST_SPACE = {
    "n_estimators": [100, 500],
    "max_depth": [4, 24],
    "min_samples_leaf": [1, 20],
    "max_features": [0.2, 1.0],
}
HISTOGRAM_SPACE = {
    "max_iter": [100, 500],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "max_leaf_nodes": [8, 128],
    "min_samples_leaf": [5, 100],
    "l2_regularization": {"low": 1e-4, "high": 10.0, "log": True},
}
CATBOOST_SPACE = {
    "iterations": [100, 600],
    "depth": [3, 10],
    "learning_rate": {"low": 0.01, "high": 0.3, "log": True},
    "l2_leaf_reg": {"low": 1.0, "high": 30.0, "log": True},
    "random_strength": {"low": 0.01, "high": 10.0, "log": True},
}
CATBOOST_ALIASES = {
    "n_estimators": "iterations", "num_boost_round": "iterations", "num_trees": "iterations", "max_depth": "depth",
    "eta": "learning_rate", "reg_lambda": "l2_leaf_reg",
}  # fmt: skip
# Of the parameters of XGBoost's objectives (its documentation) those that its classes take without naming them.
XGBOOST_MORE = ("quantile_alpha", "tweedie_variance_power", "huber_slope")
# Of LightGBM's own parameters (its documentation) those that touch no file and no other machine.
LIGHTGBM_MORE = (
    "scale_pos_weight", "is_unbalance", "monotone_constraints", "interaction_constraints", "feature_contri", "max_bin",
    "min_data_in_bin", "path_smooth", "extra_trees", "max_delta_step", "cat_smooth", "cat_l2", "min_data_per_group",
    "max_cat_threshold", "max_cat_to_onehot", "feature_fraction_bynode", "pos_bagging_fraction", "neg_bagging_fraction",
    "linear_tree", "drop_rate", "top_rate", "other_rate", "alpha", "tweedie_variance_power", "early_stopping_round",
    "early_stopping_rounds",
)  # fmt: skip
# econml grows its trees in groups of four.
CAUSAL_FOREST_SPACE = {
    "n_estimators": {"low": 100, "high": 600, "step": 100},
    "min_samples_leaf": [5, 60],
    "max_samples": [0.2, 0.5],
    "max_features": [0.4, 1.0],
    "min_balancedness_tol": [0.3, 0.5],
}
STAGES_SPACE = {
    f"{stage}__{name}": entry
    for stage in ("model_y", "model_t")
    for name, entry in {
        "max_iter": [30, 300],
        "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
        "max_leaf_nodes": [4, 63],
        "min_samples_leaf": [5, 100],
    }.items()
}
ALPHA_SPACE = {"alpha": {"low": 1e-4, "high": 100.0, "log": True}}

ALGORITHMS = (
    Algorithm(
        "XGBoost", "xgboost",
        {"classification": "xgboost.XGBClassifier", "regression": "xgboost.XGBRegressor"},
        "ordinal", "tree",
        {"n_estimators": 300, "max_depth": 6, "learning_rate": 0.1, "subsample": 0.9, "colsample_bytree": 0.9},
        XGBOOST_SPACE, more=XGBOOST_MORE, stops_early=("early_stopping_rounds",),
    ),
    Algorithm(
        "LightGBM", "lightgbm",
        {"classification": "lightgbm.LGBMClassifier", "regression": "lightgbm.LGBMRegressor"},
        "ordinal", "tree",
        {"n_estimators": 300, "learning_rate": 0.05, "num_leaves": 31, "subsample_freq": 1},
        LIGHTGBM_SPACE, more=LIGHTGBM_MORE, stops_early=("early_stopping_rounds", "early_stopping_round"),
    ),
    Algorithm(
        "RandomForest", "sklearn",
        {
            "classification": "sklearn.ensemble.RandomForestClassifier",
            "regression": "sklearn.ensemble.RandomForestRegressor",
        },
        "onehot", "tree", {"n_estimators": 300, "min_samples_leaf": 2}, FOREST_SPACE,
    ),
    Algorithm(
        "HistGradientBoosting", "sklearn",
        {
            "classification": "sklearn.ensemble.HistGradientBoostingClassifier",
            "regression": "sklearn.ensemble.HistGradientBoostingRegressor",
        },
        "ordinal", "tree", {"max_iter": 200}, HISTOGRAM_SPACE, threaded=False,
    ),
    Algorithm(
        "LogisticRegression", "sklearn", {"classification": "sklearn.linear_model.LogisticRegression"},
        "onehot", "linear", {"max_iter": 1000}, {"C": {"low": 1e-3, "high": 100.0, "log": True}}, threaded=False,
    ),
    Algorithm(
        "LinearRegression", "sklearn", {"regression": "sklearn.linear_model.LinearRegression"},
        "onehot", "linear", {}, {"fit_intercept": [True, False]}, seeded=False,
    ),
    Algorithm(
        "Ridge", "sklearn", {"regression": "sklearn.linear_model.Ridge"},
        "onehot", "linear", {}, ALPHA_SPACE, threaded=False,
    ),
    Algorithm(
        "Lasso", "sklearn", {"regression": "sklearn.linear_model.Lasso"},
        "onehot", "linear", {"alpha": 0.01, "max_iter": 5000}, ALPHA_SPACE, threaded=False, in_spreads=("alpha",),
    ),
    Algorithm(
        "CatBoost", "catboost",
        {"classification": "catboost.CatBoostClassifier", "regression": "catboost.CatBoostRegressor"},
        "filled", "tree", {"iterations": 300, "depth": 6, "learning_rate": 0.1}, CATBOOST_SPACE,
        threaded=False, extra="catboost", aliases=CATBOOST_ALIASES, stops_early=("early_stopping_rounds", "od_wait"),
        opaque=True,
    ),
    Algorithm(
        "CausalForest", "econml", {"effect": "econml.dml.CausalForestDML"}, "onehot", "sampled",
        {"n_estimators": 400, "min_samples_leaf": 5, "max_samples": 0.45, "max_features": 1.0}, CAUSAL_FOREST_SPACE,
        extra="causal",
    ),
    Algorithm(
        "LinearDML", "econml", {"effect": "econml.dml.LinearDML"}, "onehot", "linear", {}, STAGES_SPACE,
        threaded=False, extra="causal",
    ),
)  # fmt: skip

# What models from elsewhere can be, and none is trained as.
IMPORTED = (
    Algorithm(GRAPH, "onnxruntime", {}, "ordinal", "sampled", seeded=False, extra="onnx"),
    Algorithm(PYFUNC, "mlflow", {}, "ordinal", "sampled", seeded=False, extra="tracking", opaque=True),
)


def algorithm_of(model: str, task: Task | None = None) -> Algorithm:
    """That of a model by the name on its card, whether or not it can be trained here; errors as of `algorithm`."""
    return next((entry for entry in IMPORTED if entry.name == model), None) or algorithm(model, task)


def algorithm(name: str, task: Task | None = None) -> Algorithm:
    """An algorithm that can be trained, by name, in any case.

    Raises:
        ToolFailure: there is none of that name, or it cannot do the task.
    """
    found = next((entry for entry in ALGORITHMS if entry.name.lower() == name.lower()), None)
    if found is None:
        raise unknown("algorithm", name, (entry.name for entry in ALGORITHMS), "list_algorithms tells more.", limit=20)
    if task and task not in found.estimators:
        able = ", ".join(entry.name for entry in ALGORITHMS if task in entry.estimators)
        raise ToolFailure(f"{found.name} cannot do {task}", f"These can: {able}.")
    return found


def estimator(
    entry: Algorithm, task: Task, params: Parameters, seed: int, threads: int, made: Parameters | None = None
) -> Any:
    """An unfitted estimator with the algorithm's defaults and what the server has `made`, overridden by `params`.

    Raises:
        ToolFailure: the library is missing, or a parameter the estimator does not have: XGBoost and LightGBM would
            ignore it in silence.
    """
    make = _class(entry, task)
    check_parameters(entry, task, params)
    options = dict(entry.defaults) | dict(made or {}) | ({"random_state": seed} if entry.seeded else {})
    options |= {"n_jobs": threads} if entry.threaded else {}
    options |= {"verbose": -1} if entry.library == "lightgbm" else {}
    if entry.library == "catboost":
        options |= {"thread_count": threads, "logging_level": "Silent", "allow_writing_files": False}
    return make(**options | {entry.aliases.get(name, name): value for name, value in params.items()})


def check_parameters(entry: Algorithm, task: Task, names: Iterable[str]) -> None:
    """Raise the failure that names the nearest parameter, unless the algorithm has all of these."""
    valid = parameters(entry, task)
    for name in names:
        if name in RESERVED:
            raise ToolFailure(f"{name} is set by the server", "Use `seed`, or leave it out.")
        if name not in valid and name not in entry.aliases:
            raise unknown(f"parameter of {entry.name}", name, valid)


def parameters(entry: Algorithm, task: Task) -> dict[str, Any]:
    """The parameters of an algorithm with the values they have here if none is given."""
    make = _class(entry, task)
    if hasattr(make, "get_params") and entry.library != "catboost":
        known = make().get_params()
    else:
        signature = inspect.signature(make)
        known = {name: found.default for name, found in signature.parameters.items()}
    hidden = {*RESERVED, *(ECONML_RESERVED if entry.library == "econml" else ())}
    known |= {name: None for name in entry.more if name not in known}
    return {name: value for name, value in (known | dict(entry.defaults)).items() if name not in hidden}


def _class(entry: Algorithm, task: Task) -> Any:
    if not entry.installed:
        raise NotInstalled(
            f"{entry.name} needs {entry.library}, which is not installed",
            f"Install it with: pip install 'mlops-mcp[{entry.extra}]'",
        )
    module, _, name = entry.estimators[task].rpartition(".")
    return getattr(import_module(module), name)
