"""What holds for the nodes of every decision tree before native code may follow them.

The trees of a model are looked at together: their arrays one after the other, so that a thousand cost what one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Damaged(ValueError):
    """Numbers inside a model that no library writes, and that would send native code astray."""


def require(holds: Any, what: str) -> None:
    if not holds:
        raise Damaged(what)


def require_within(values: np.ndarray, low: int | np.ndarray, high: int | np.ndarray, what: str) -> None:
    """Every value lies in [low, high), which may differ from one to the next."""
    require(bool((values >= low).all()) and bool((values < high).all()), f"{what} out of range")


def joined(arrays: Sequence[Any]) -> np.ndarray:
    """Whole numbers of several arrays or lists, one after the other.

    Raises:
        Damaged: one of them is something else.
    """
    import numpy as np

    found = [np.asarray(each) for each in arrays]
    for each in found:
        require(each.ndim == 1 and (each.size == 0 or each.dtype.kind in "iu"), "something else than whole numbers")
    return np.concatenate([np.empty(0, np.int64), *found], dtype=np.int64, casting="unsafe")


def sizes_of(arrays: Sequence[Any]) -> np.ndarray:
    """The length of each."""
    import numpy as np

    return np.array([len(each) for each in arrays], dtype=np.int64)


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """Where each of some arrays begins when they stand one after the other."""
    import numpy as np

    return np.cumsum(sizes) - sizes


def require_trees(
    left: np.ndarray,
    right: np.ndarray,
    feature: np.ndarray,
    leaf: np.ndarray,
    sizes: np.ndarray,
    features: int | np.ndarray,
) -> None:
    """Children and features exist in their own tree, and no path comes back to where it was.

    Args:
        left, right, feature: of each node, those of one tree after those of the other; children count from the first
            node of their tree.
        leaf: which nodes have no children; theirs are not looked at.
        sizes: nodes of each tree.
        features: how many there are, in all trees or in each.

    Raises:
        Damaged: they do not.
    """
    import numpy as np

    require(bool((sizes > 0).all()), "a tree without nodes")
    require(len(left) == len(right) == len(feature) == len(leaf) == sizes.sum(), "a tree with nodes of another number")
    inner = np.flatnonzero(~leaf)
    own, first = np.repeat(sizes, sizes)[inner], np.repeat(starts_of(sizes), sizes)[inner]
    to_left, to_right = left[inner].astype(np.int64), right[inner].astype(np.int64)
    for children in (to_left, to_right):
        require_within(children, 0, own, "a child")
    known = np.broadcast_to(features, sizes.shape).repeat(sizes)[inner]
    require_within(feature[inner].astype(np.int64), 0, known, "a feature")
    children = np.concatenate([to_left + first, to_right + first])
    parents = np.bincount(children, minlength=len(leaf))
    require(not parents[starts_of(sizes)].any() and (parents <= 1).all(), "a node with two parents")
    ordered = (children > np.concatenate([inner, inner])).all()
    require(ordered or _all_reached(children, inner, leaf, starts_of(sizes)), "a path that has no end")


def _all_reached(children: np.ndarray, inner: np.ndarray, leaf: np.ndarray, roots: np.ndarray) -> bool:
    """Whether no nodes form a ring. Nobody has two parents, so a ring is what no root leads to."""
    import numpy as np

    below = np.zeros((2, len(leaf)), np.int64)
    below[:, inner] = children.reshape(2, -1)
    seen, front = len(roots), roots
    while len(front := front[~leaf[front]]):
        front = below[:, front].ravel()
        seen += len(front)
    # What was pruned away is left behind as leaves that nothing leads to.
    return seen == 2 * len(inner) + len(roots)
