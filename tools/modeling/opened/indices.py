"""What holds for the nodes of every decision tree before native code may follow them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Damaged(ValueError):
    """Numbers inside a model that no library writes, and that would send native code astray."""


def require(holds: Any, what: str) -> None:
    if not holds:
        raise Damaged(what)


def require_within(values: np.ndarray, low: int, high: int, what: str) -> None:
    """Every value lies in [low, high)."""
    require(values.size == 0 or (int(values.min()) >= low and int(values.max()) < high), f"{what} out of range")


def require_tree(left: np.ndarray, right: np.ndarray, feature: np.ndarray, leaf: np.ndarray, features: int) -> None:
    """Children and features exist, and no path comes back to where it was.

    Args:
        left, right, feature: of each node, shape (nodes,).
        leaf: which nodes have no children; theirs are not looked at.

    Raises:
        Damaged: they do not.
    """
    import numpy as np

    count = len(left)
    require(count > 0, "a tree without nodes")
    require(len(right) == len(feature) == len(leaf) == count, "a tree with nodes of different number")
    inner = np.flatnonzero(~leaf)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    require_within(children, 0, count, "a child")
    require_within(feature[inner].astype(np.int64), 0, features, "a feature")
    require(0 not in children and len(np.unique(children)) == len(children), "a node with two parents")
    require(_all_reached(left, right, leaf, inner), "a path that has no end")


def _all_reached(left: np.ndarray, right: np.ndarray, leaf: np.ndarray, inner: np.ndarray) -> bool:
    """Whether no nodes form a ring. Nobody has two parents, so a ring is what the root does not lead to."""
    import numpy as np

    if (left[inner] > inner).all() and (right[inner] > inner).all():
        return True
    seen, front = 1, np.array([0])
    while len(front := front[~leaf[front]]):
        front = np.concatenate([left[front], right[front]]).astype(np.int64)
        seen += len(front)
    # What was pruned away is left behind as leaves that nothing leads to.
    return seen == 2 * len(inner) + 1
