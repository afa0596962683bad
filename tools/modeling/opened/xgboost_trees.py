"""XGBoost's models (its document "Introduction to Model IO" and the schema there): what is read without a look.

XGBoost holds the lengths of arrays against each other in part, and children, features and categories not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import ubjson
from .indices import require, require_tree, require_within

if TYPE_CHECKING:
    import numpy as np

NO_CHILD, NO_PARENT = -1, 2**31 - 1
NODES = ("right_children", "parents", "split_indices", "split_conditions", "default_left", "split_type")
NUMBERS_OF_NODES = ("base_weights", "loss_changes", "sum_hessian")
CATEGORIES = 1 << 20
TREES = ("gbtree", "dart")


def check_booster(state: Mapping[str, Any]) -> None:
    """The state of `xgboost.Booster`, whose handle holds settings and model in UBJSON."""
    content = ubjson.read(bytes(state["handle"]))
    learner = content["Config"]["learner"]
    require(learner["generic_param"]["device"] == "cpu", "a model for another device")
    require(learner["gradient_booster"]["name"] == content["Model"]["learner"]["gradient_booster"]["name"], "two kinds")
    check_model(content["Model"])


def check_file(content: bytes) -> None:
    """A model that XGBoost wrote as JSON or UBJSON, which it tells apart by how they begin."""
    text = content.startswith(b'{"')
    check_model(json.loads(content, object_pairs_hook=_once) if text else ubjson.read(content))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values of one name, XGBoost might take the other one."""
    require(len(pairs) == len(dict(pairs)), "a name twice")
    return dict(pairs)


def check_model(model: Mapping[str, Any]) -> None:
    """The model itself: `{learner: …, version: …}`.

    Raises:
        Damaged: numbers that XGBoost never writes.
        KeyError, TypeError, ValueError: it is no model.
    """
    learner = model["learner"]
    sizes = learner["learner_model_param"]
    features, groups = int(sizes["num_feature"]), max(int(sizes["num_class"]), int(sizes.get("num_target", 1)), 1)
    require(0 < features < 1 << 20 and groups < 1 << 16, "a model of more than can be")
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        require(len(booster["model"]["weights"]) == (features + 1) * groups, "weights of other columns")
        return
    require(booster["name"] in TREES, "a booster of another kind")
    dart = booster["name"] == "dart"
    trees = (booster["gbtree"] if dart else booster)["model"]
    _check_forest(trees, features, groups)
    require(not dart or len(booster["weight_drop"]) == len(trees["trees"]), "weights of other trees")


def _check_forest(forest: Mapping[str, Any], features: int, groups: int) -> None:
    trees = forest["trees"]
    require(int(forest["gbtree_model_param"]["num_trees"]) == len(trees) == len(forest["tree_info"]), "other trees")
    require_within(_whole(forest["tree_info"]), 0, groups, "the class of a tree")
    if (rounds := _whole(forest.get("iteration_indptr", []))).size:
        ordered = rounds[0] == 0 and rounds[-1] == len(trees) and (rounds[1:] >= rounds[:-1]).all()
        require(ordered, "rounds of other trees")
    require(not forest.get("cats", {}).get("enc"), "categories that XGBoost has named; give it numbers")
    for tree in trees:
        _check_tree(tree, features)


def _check_tree(tree: Mapping[str, Any], features: int) -> None:
    sizes, left = tree["tree_param"], _whole(tree["left_children"])
    require(int(sizes["num_nodes"]) == len(left) and int(sizes["num_feature"]) == features, "a tree of another size")
    require(int(sizes.get("size_leaf_vector", 1)) <= 1, "leaves of several numbers")
    for name in (*NODES, *NUMBERS_OF_NODES):
        require(len(tree[name]) == len(left), f"{name} of another number of nodes")
    right, parents = _whole(tree["right_children"]), _whole(tree["parents"])
    require_tree(left, right, _whole(tree["split_indices"]), left == NO_CHILD, features)
    require_within(parents[parents != NO_PARENT], -1, len(left), "a parent")
    _check_categories(tree, len(left))


def _check_categories(tree: Mapping[str, Any], nodes: int) -> None:
    import numpy as np

    chosen, values = _whole(tree["categories_nodes"]), _whole(tree["categories"])
    starts, sizes = _whole(tree["categories_segments"]), _whole(tree["categories_sizes"])
    require(len(chosen) == len(starts) == len(sizes), "categories of other nodes")
    require_within(chosen, 0, nodes, "a node of categories")
    require_within(values, 0, CATEGORIES, "a category")
    require_within(starts, 0, len(values) + 1, "a segment of categories")
    require_within(sizes, 0, len(values) + 1, "a size of categories")
    require((starts + sizes <= len(values)).all(), "a segment of categories out of range")
    by_category = np.flatnonzero(_whole(tree["split_type"]) == 1)
    require(np.array_equal(by_category, chosen), "categories of other nodes")


def _whole(values: Any) -> np.ndarray:
    import numpy as np

    found = np.asarray(values)
    require(found.ndim == 1 and (found.size == 0 or found.dtype.kind in "iu"), "something else than whole numbers")
    return found.astype(np.int64)
