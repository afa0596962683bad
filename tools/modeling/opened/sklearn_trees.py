"""The trees of scikit-learn: what their Cython code believes without looking.

Bounds of the arrays of nodes are checked by neither `Tree` nor `TreePredictor` (scikit-learn pull request 34558).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .indices import require, require_trees, require_within, sizes_of

if TYPE_CHECKING:
    import numpy as np

NO_CHILD = -1


def check_shape(arguments: Any, state: Mapping[str, Any]) -> None:
    """`sklearn.tree._tree.Tree`: what its constructor and the setting of its state go by. They follow no node."""
    import numpy as np

    features, classes, outputs = arguments
    nodes, values = state["nodes"], state["values"]
    require(isinstance(features, int) and outputs == 1, "a tree of several outputs")
    require(isinstance(classes, np.ndarray) and classes.shape == (1,), "a tree of several outputs")
    require(values.ndim == 3 and len(values) == len(nodes) == state["node_count"], "a tree of another size")
    require(0 <= state["max_depth"] <= len(nodes), "a tree of another depth")


def check_trees(features: Sequence[int], nodes: Sequence[np.ndarray]) -> None:
    """The nodes of such trees, and how many columns each knows."""
    import numpy as np

    if not nodes:
        return
    require(len({each.dtype for each in nodes}) == 1, "trees of several kinds")
    every = np.concatenate(nodes)
    left = every["left_child"]
    leaf = left == NO_CHILD
    require_trees(left, every["right_child"], every["feature"], leaf, sizes_of(nodes), np.array(features))


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
    rounds = attributes["_predictors"]
    for trees in rounds:
        require(len(trees) == attributes["n_trees_per_iteration_"], "a round of another number of trees")
    if rounds:
        _check_predictors([tree for trees in rounds for tree in trees], features, bins.is_categorical_)


def _check_predictors(trees: Sequence[Any], features: int, categories: Any) -> None:
    import numpy as np

    require(len({tree.nodes.dtype for tree in trees}) == 1, "trees of several kinds")
    nodes, sizes = np.concatenate([tree.nodes for tree in trees]), sizes_of([tree.nodes for tree in trees])
    leaf = nodes["is_leaf"] != 0
    require_trees(nodes["left"], nodes["right"], nodes["feature_idx"], leaf, sizes, features)
    chosen = (nodes["is_categorical"] != 0) & ~leaf
    require(np.asarray(categories)[nodes["feature_idx"][chosen]].all(), "a category in a column of numbers")
    for sets in ([tree.raw_left_cat_bitsets for tree in trees], [tree.binned_left_cat_bitsets for tree in trees]):
        require(all(each.ndim == 2 and each.shape[1] == 8 for each in sets), "sets of categories of another size")
        known = sizes_of(sets).repeat(sizes)[chosen]
        require_within(nodes["bitset_idx"][chosen].astype(np.int64), 0, known, "a set of categories")
