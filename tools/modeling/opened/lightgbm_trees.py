"""LightGBM's models, which are text: what its reader takes at its word.

The format is that of its `src/io/tree.cpp` and `src/boosting/gbdt_model_text.cpp`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .indices import require, require_tree, require_within

if TYPE_CHECKING:
    import numpy as np

INNER = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "split_gain")
INNER_MORE = ("internal_value", "internal_weight", "internal_count")
LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
BY_CATEGORY = 1


def check_booster(state: Mapping[str, Any]) -> None:
    """The state of `lightgbm.Booster`, whose handle is the text of the model."""
    check_text(state["_handle"])


def check_text(text: Any) -> None:
    """Header, trees at the places that it names, and their nodes.

    Raises:
        Damaged: numbers that LightGBM never writes.
        KeyError, ValueError: it is no model.
    """
    require(isinstance(text, str) and text.isascii(), "no text of LightGBM")
    head, _, rest = text.partition("\nTree=0\n")
    header = _pairs(head)
    features, groups = int(header["max_feature_idx"]) + 1, int(header["num_tree_per_iteration"])
    for name in ("feature_names", "feature_infos"):
        require(len(header[name].split()) == features > 0, f"{name} of other columns")
    _check_objective(header, groups)
    blocks = _blocks(f"Tree=0\n{rest}", header.get("tree_sizes", "").split())
    require(groups > 0 and len(blocks) % groups == 0, "a round of another number of trees")
    for block in blocks:
        _check_tree(_pairs(block), features)


def _check_objective(header: Mapping[str, str], groups: int) -> None:
    """How many numbers it turns into others: it writes as many as it says there are classes."""
    name, *options = header.get("objective", "").split() or [""]
    classes = [int(option.partition(":")[2]) for option in options if option.startswith("num_class:")]
    require(classes in ([], [groups]) and int(header["num_class"]) == groups, "another number of classes")
    require(bool(classes) == name.startswith("multiclass"), "another number of classes")
    require(groups == 1 or classes, "another number of classes")


def _blocks(text: str, sizes: list[str]) -> list[str]:
    found: list[str] = []
    at = 0
    for index, size in enumerate(map(int, sizes)):
        block = text[at : at + size]
        require(size > 0 and len(block) == size and block.startswith(f"Tree={index}\n"), "a tree at another place")
        require(block.count("Tree=") == 1, "two trees at one place")
        found.append(block)
        at += size
    require(not text[at:].startswith("Tree="), "more trees than it says")
    return found


def _pairs(text: str) -> dict[str, str]:
    made: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        require(name not in made or not name, f"{name!r} twice")
        made[name] = value
    return made


def _check_tree(tree: Mapping[str, str], features: int) -> None:
    import numpy as np

    leaves, categories = int(tree["num_leaves"]), int(tree["num_cat"])
    require(leaves > 0 and categories >= 0, "a tree without leaves")
    for name in LEAVES:
        require(name not in tree or len(tree[name].split()) in (leaves, 0), f"{name} of other leaves")
    require(len(tree["leaf_value"].split()) == leaves, "values of other leaves")
    _check_linear(tree, leaves, features)
    if leaves == 1:
        return
    for name in (*INNER, *INNER_MORE):
        require((name in INNER_MORE and name not in tree) or len(tree[name].split()) == leaves - 1, f"{name} of others")
    left, right = _nodes(tree["left_child"], leaves), _nodes(tree["right_child"], leaves)
    column = np.concatenate([_whole(tree["split_feature"]), np.zeros(leaves, np.int64)])
    require_tree(left, right, column, np.arange(2 * leaves - 1) >= leaves - 1, features)
    _check_categories(tree, categories)


def _nodes(text: str, leaves: int) -> np.ndarray:
    """Children as one row of nodes: the inner ones, then the leaves, which LightGBM counts as -1, -2, …"""
    import numpy as np

    found = _whole(text)
    require_within(found, -leaves, leaves - 1, "a child")
    return np.concatenate([np.where(found < 0, leaves - 2 - found, found), np.full(leaves, -1)])


def _check_categories(tree: Mapping[str, str], count: int) -> None:
    import numpy as np

    kinds, thresholds = _whole(tree["decision_type"]), np.array(tree["threshold"].split(), dtype=np.float64)
    chosen = thresholds[(kinds & BY_CATEGORY) != 0]
    require_within(chosen, 0, max(count, 0), "a set of categories")
    if count == 0:
        return
    bounds = _whole(tree["cat_boundaries"])
    require(len(bounds) == count + 1 and bounds[0] == 0 and (bounds[1:] >= bounds[:-1]).all(), "other categories")
    require(len(tree["cat_threshold"].split()) == bounds[-1], "other categories")


def _check_linear(tree: Mapping[str, str], leaves: int, features: int) -> None:
    if int(tree.get("is_linear", "0")) == 0:
        return
    counts = _whole(tree["num_features"])
    require(len(counts) == leaves == len(tree["leaf_const"].split()) and (counts >= 0).all(), "other linear leaves")
    require(len(tree["leaf_features"].split()) == counts.sum() == len(tree["leaf_coeff"].split()), "other columns")
    require_within(_whole(tree["leaf_features"]), 0, features, "a column of a leaf")


def _whole(text: str) -> np.ndarray:
    import numpy as np

    return np.array(text.split(), dtype=np.int64)
