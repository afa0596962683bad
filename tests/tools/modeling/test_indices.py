"""What holds for every decision tree before native code follows it, also among others."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_mcp.tools.modeling.opened.indices import Damaged, require_trees


def forest(*trees: tuple[list[int], list[int]]) -> None:
    """Trees of left and right children, -1 for leaves, held against what holds for all."""
    left, right = (np.array([node for tree in trees for node in tree[side]]) for side in (0, 1))
    sizes = np.array([len(tree[0]) for tree in trees])
    require_trees(left, right, np.zeros_like(left), left == -1, sizes, 1)


WHOLE = ([1, -1, -1], [2, -1, -1])


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        (([1, -1, -1], [3, -1, -1]), "a child out of range"),  # the next tree's, or nobody's
        (([1, -1, -1], [-2, -1, -1]), "a child out of range"),  # of the one before
        (([1, -1, -1], [1, -1, -1]), "two parents"),
        (([0, -1, -1], [2, -1, -1]), "two parents"),  # the root
        (([-1, 2, 1, -1, -1], [-1, 3, 4, -1, -1]), "no end"),  # a ring that no root leads to
        (([3, -1, 4, -1, 2, -1, -1], [1, -1, 5, -1, 6, -1, -1]), "no end"),
        (([], []), "without nodes"),
    ],
)  # fmt: skip
def test_a_tree_among_others_is_held_to_its_own_nodes(tree: tuple[list[int], list[int]], says: str) -> None:
    forest(WHOLE, ([2, -1, 1, -1, -1], [3, -1, 4, -1, -1]), WHOLE)
    for trees in ((tree, WHOLE), (WHOLE, tree), (WHOLE, tree, WHOLE), (tree,)):
        with pytest.raises(Damaged, match=says):
            forest(*trees)
