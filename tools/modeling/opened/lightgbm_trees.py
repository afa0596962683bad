"""LightGBM's models, which are text: what its reader takes at its word.

The format is that of its `src/io/tree.cpp` and `src/boosting/gbdt_model_text.cpp`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .indices import require, require_trees, require_within, starts_of

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
    _check_trees([_pairs(block) for block in blocks], features)


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


def _check_trees(trees: Sequence[Mapping[str, str]], features: int) -> None:
    import numpy as np

    for tree in trees:
        _check_sizes(tree)
        _check_linear(tree, features)
    grown = [tree for tree in trees if int(tree["num_leaves"]) > 1]
    leaves = np.array([int(tree["num_leaves"]) for tree in grown], dtype=np.int64)
    _check_nodes(grown, leaves, features)
    _check_categories(grown, leaves - 1)


def _check_sizes(tree: Mapping[str, str]) -> None:
    leaves = int(tree["num_leaves"])
    require(leaves > 0 and int(tree["num_cat"]) >= 0, "a tree without leaves")
    for name in LEAVES:
        require(name not in tree or len(tree[name].split()) in (leaves, 0), f"{name} of other leaves")
    require(len(tree["leaf_value"].split()) == leaves, "values of other leaves")
    for name in (*INNER, *INNER_MORE) if leaves > 1 else ():
        require((name in INNER_MORE and name not in tree) or len(tree[name].split()) == leaves - 1, f"{name} of others")


def _check_nodes(trees: Sequence[Mapping[str, str]], leaves: np.ndarray, features: int) -> None:
    """All trees as rows of nodes: the inner ones, then the leaves, which LightGBM counts as -1, -2, …"""
    import numpy as np

    inner, sizes = leaves - 1, 2 * leaves - 1
    place = np.arange(inner.sum()) + (starts_of(sizes) - starts_of(inner)).repeat(inner)
    leaf = np.ones(sizes.sum(), bool)
    leaf[place] = False
    rows = np.zeros((3, len(leaf)), np.int64)
    rows[2, place] = _of_all(trees, "split_feature")
    for row, name in enumerate(("left_child", "right_child")):
        found, own = _of_all(trees, name), leaves.repeat(inner)
        require_within(found, -own, own - 1, "a child")
        rows[row, place] = np.where(found < 0, own - 2 - found, found)
    require_trees(rows[0], rows[1], rows[2], leaf, sizes, features)


def _check_categories(trees: Sequence[Mapping[str, str]], inner: np.ndarray) -> None:
    import numpy as np

    counts = np.array([int(tree["num_cat"]) for tree in trees], dtype=np.int64)
    thresholds = np.array([float(each) for tree in trees for each in tree["threshold"].split()])
    chosen = (_of_all(trees, "decision_type") & BY_CATEGORY) != 0
    require_within(thresholds[chosen], 0, counts.repeat(inner)[chosen], "a set of categories")
    for tree, count in zip(trees, counts.tolist(), strict=True):
        if count:
            bounds = _whole(tree["cat_boundaries"])
            require(len(bounds) == count + 1 and bounds[0] == 0 and bounds == sorted(bounds), "other categories")
            require(len(tree["cat_threshold"].split()) == bounds[-1], "other categories")


def _check_linear(tree: Mapping[str, str], features: int) -> None:
    if int(tree.get("is_linear", "0")) == 0:
        return
    counts, leaves = _whole(tree["num_features"]), int(tree["num_leaves"])
    require(len(counts) == leaves == len(tree["leaf_const"].split()) and min(counts) >= 0, "other linear leaves")
    columns = _whole(tree["leaf_features"])
    require(len(columns) == sum(counts) == len(tree["leaf_coeff"].split()), "other columns")
    require(all(0 <= each < features for each in columns), "a column of a leaf out of range")


def _of_all(trees: Sequence[Mapping[str, str]], name: str) -> np.ndarray:
    import numpy as np

    return np.array([number for tree in trees for number in _whole(tree[name])], dtype=np.int64)


def _whole(text: str) -> list[int]:
    """Python would pass over what stands between digits; LightGBM stops there."""
    require("_" not in text, "a number with a gap")
    return [int(each) for each in text.split()]
