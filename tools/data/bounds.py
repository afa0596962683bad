"""Lists of names that stay short however wide a dataset is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NAMES = 10
CHARACTERS = 240


def few(names: Sequence[str], at_most: int = NAMES, characters: int = CHARACTERS) -> list[str]:
    """The first names that fit."""
    shown, left = list[str](), characters
    for name in names[:at_most]:
        left -= len(name)
        if left < 0:
            break
        shown.append(name)
    return shown


def named(names: Iterable[str], at_most: int = NAMES) -> str:
    """The first names and how many there are beyond them."""
    listed = list(names)
    shown = few(listed, at_most)
    more = len(listed) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if shown and more else f"{more} columns" if more else "")
