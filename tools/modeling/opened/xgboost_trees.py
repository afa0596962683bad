"""XGBoost's models (its document "Introduction to Model IO" and the schema there): what is read without a look.

XGBoost holds the lengths of arrays against each other in part, and children, features and categories not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import ubjson
from .indices import joined, require, require_trees, require_within, sizes_of, starts_of

if TYPE_CHECKING:
    import numpy as np

NO_CHILD, NO_PARENT = -1, 2**31 - 1
WHOLE = ("left_children", "right_children", "parents", "split_indices", "split_type")
OF_EACH_NODE = (*WHOLE[1:], "split_conditions", "default_left", "base_weights", "loss_changes", "sum_hessian")
OF_EACH_SET = ("categories_nodes", "categories_segments", "categories_sizes")
BY_CATEGORY = 1
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
    require_within(joined([forest["tree_info"]]), 0, groups, "the class of a tree")
    if (rounds := joined([forest.get("iteration_indptr", [])])).size:
        ordered = rounds[0] == 0 and rounds[-1] == len(trees) and (rounds[1:] >= rounds[:-1]).all()
        require(ordered, "rounds of other trees")
    require(not forest.get("cats", {}).get("enc"), "categories that XGBoost has named; give it numbers")
    _check_trees(trees, features)


def _check_trees(trees: Sequence[Mapping[str, Any]], features: int) -> None:
    sizes = sizes_of([tree["left_children"] for tree in trees])
    for tree, size in zip(trees, sizes.tolist(), strict=True):
        known = tree["tree_param"]
        require(int(known["num_nodes"]) == size and int(known["num_feature"]) == features, "a tree of another size")
        require(int(known.get("size_leaf_vector", 1)) <= 1, "leaves of several numbers")
        for name in OF_EACH_NODE:
            require(len(tree[name]) == size, f"{name} of another number of nodes")
    left, right, parents, column, kinds = (_joined(trees, name) for name in WHOLE)
    require_trees(left, right, column, left == NO_CHILD, sizes, features)
    known = parents != NO_PARENT
    require_within(parents[known], -1, sizes.repeat(sizes)[known], "a parent")
    _check_categories(trees, kinds, sizes)


def _check_categories(trees: Sequence[Mapping[str, Any]], kinds: np.ndarray, nodes: np.ndarray) -> None:
    import numpy as np

    chosen, starts, sizes = (_joined(trees, name) for name in OF_EACH_SET)
    sets = sizes_of([tree["categories_nodes"] for tree in trees])
    for name in OF_EACH_SET:
        require(np.array_equal(sizes_of([tree[name] for tree in trees]), sets), "categories of other nodes")
    values = sizes_of([tree["categories"] for tree in trees]).repeat(sets)
    require_within(chosen, 0, nodes.repeat(sets), "a node of categories")
    require_within(_joined(trees, "categories"), 0, CATEGORIES, "a category")
    require_within(starts, 0, values + 1, "a segment of categories")
    require_within(sizes, 0, values + 1, "a size of categories")
    require_within(starts + sizes, 0, values + 1, "a segment of categories")
    by_category = np.flatnonzero(kinds == BY_CATEGORY)
    require(np.array_equal(by_category, chosen + starts_of(nodes).repeat(sets)), "categories of other nodes")


def _joined(trees: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return joined([tree[name] for tree in trees])
