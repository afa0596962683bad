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


def percent(part: int, whole: int) -> str:
    """A share that is 0 % or 100 % only where it is none or all."""
    share = 100 * part / whole
    if 0 < share < 1 or 99 < share < 100:
        inner = min(max(share, 0.01), 99.99)
        return f"{'<' if share < 0.01 else '>' if share > 99.99 else ''}{inner:.2g}%" if share < 1 else f"{inner:.4g}%"
    return f"{share:.0f}%"
