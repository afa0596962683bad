"""Whose turn it is: smooth weighted round robin (as nginx does it), or always the same one for the same key."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping


class Turns:
    """Among weights that add up to n, any n calls in a row from the start give each exactly its weight."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._current = dict.fromkeys(self._weights, 0)

    def next(self, without: Collection[str] = ()) -> str | None:
        """The one that is furthest behind its share; None if nothing is left."""
        left = self._left(without)
        if not left:
            return None
        for name, weight in left.items():
            self._current[name] += weight
        chosen = max(left, key=self._current.__getitem__)
        self._current[chosen] -= sum(left.values())
        return chosen

    def of_key(self, key: str, without: Collection[str] = ()) -> str | None:
        """The one of a key. As the share of the last grows, keys move to it and never away from it."""
        chosen = _at(_fraction(key), self._weights)
        # Only the keys of what is gone move.
        return chosen if chosen not in without else _at(_fraction(f"again {key}"), self._left(without))

    def _left(self, without: Collection[str]) -> Mapping[str, int]:
        return {name: weight for name, weight in self._weights.items() if name not in without}


def _fraction(key: str) -> float:
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 256**6


def _at(fraction: float, weights: Mapping[str, int]) -> str | None:
    position = fraction * sum(weights.values())
    for name, weight in weights.items():
        position -= weight
        if position < 0:
            return name
    return None
