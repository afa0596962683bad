"""The trees of scikit-learn: what their Cython code believes without looking.

Bounds of the arrays of nodes are checked by neither `Tree` nor `TreePredictor` (scikit-learn pull request 34558).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .indices import require, require_tree, require_within

NO_CHILD = -1


def check_tree(arguments: Any, state: Mapping[str, Any]) -> None:
    """`sklearn.tree._tree.Tree`, from its constructor's arguments and its state."""
    import numpy as np

    features, classes, outputs = arguments
    nodes, values = state["nodes"], state["values"]
    require(isinstance(features, int) and outputs == 1, "a tree of several outputs")
    require(isinstance(classes, np.ndarray) and classes.shape == (1,), "a tree of several outputs")
    require(values.ndim == 3 and len(values) == len(nodes) == state["node_count"], "a tree of another size")
    require(0 <= state["max_depth"] <= len(nodes), "a tree of another depth")
    left = nodes["left_child"]
    require_tree(left, nodes["right_child"], nodes["feature"], left == NO_CHILD, features)


def check_decision_tree(attributes: Mapping[str, Any]) -> None:
    """A fitted decision tree looks at the columns that it says."""
    if (tree := attributes.get("tree_")) is not None:
        require(tree.n_features == attributes["n_features_in_"], "a tree of other columns")
        require(tree.n_outputs == attributes["n_outputs_"] == 1, "a tree of several outputs")


def check_forest(attributes: Mapping[str, Any]) -> None:
    """Only the first tree of a forest looks at the number of columns."""
    for tree in attributes.get("estimators_", []):
        require(tree.n_features_in_ == attributes["n_features_in_"], "a forest of trees for other columns")
        require(type(tree).__name__.startswith("DecisionTree"), "a forest that is not of trees")


def check_histograms(attributes: Mapping[str, Any]) -> None:
    """`HistGradientBoosting`: nodes of all its trees, in the columns that it has."""
    features, bins = attributes["n_features_in_"], attributes["_bin_mapper"]
    require(isinstance(features, int) and len(bins.is_categorical_) == features, "bins of other columns")
    for trees in attributes["_predictors"]:
        require(len(trees) == attributes["n_trees_per_iteration_"], "a round of another number of trees")
        for tree in trees:
            _check_predictor(tree, features, bins.is_categorical_)


def _check_predictor(tree: Any, features: int, categories: Any) -> None:
    import numpy as np

    nodes = tree.nodes
    require_tree(nodes["left"], nodes["right"], nodes["feature_idx"], nodes["is_leaf"].astype(bool), features)
    chosen = nodes[(nodes["is_categorical"] != 0) & (nodes["is_leaf"] == 0)]
    require(np.asarray(categories)[chosen["feature_idx"]].all(), "a category in a column of numbers")
    for sets in (tree.raw_left_cat_bitsets, tree.binned_left_cat_bitsets):
        require(sets.ndim == 2 and sets.shape[1] == 8, "sets of categories of another size")
        require_within(chosen["bitset_idx"].astype(np.int64), 0, len(sets), "a set of categories")
