"""Whether a value of a call is one that a rule speaks of.

What forbids fits widely, what permits narrowly: a name that is written in another way stays forbidden, and is not
permitted by accident.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ...tools.legible import legible

# What a rule says of a value: the value itself, or a text in which * stands for any characters; ! before it: not that.
Pattern = bool | int | float | str | None
NOT = "!"
# The kind before the name of a handle, which tools take without it, and with slashes behind it.
KIND = re.compile(r"^([a-z_]+):/*")
# What follows the name in a handle: without it the newest may be meant, or all of them.
VERSION = re.compile(r"[@/].*$", re.DOTALL)
LONGEST_NUMBER = 40


def among(patterns: Sequence[Pattern], value: Any, widely: bool, called: Iterable[str] = ()) -> bool:
    """Whether a single value is one of those meant, and none of those that are not.

    Args:
        called: by which other names that goes which a text names. What is taken out has to be named as it is.
    """
    wanted = [pattern for pattern in patterns if not _negates(pattern)]
    unwanted = [pattern[1:] for pattern in patterns if _negates(pattern) and isinstance(pattern, str)]
    if any(fits(pattern, value, not widely) for pattern in unwanted):
        return False
    return not wanted or any(fits(pattern, each, widely) for pattern in wanted for each in (value, *called))


def is_named(patterns: Sequence[str], name: str) -> bool:
    """Whether a name that its bearer cannot spell in another way is one of those meant, and none of those not."""
    wanted = [pattern for pattern in patterns if not _negates(pattern)]
    unwanted = [pattern[1:] for pattern in patterns if _negates(pattern)]
    meant = not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)
    return meant and not any(fnmatchcase(name, pattern) for pattern in unwanted)


def fits(pattern: Pattern, value: Any, widely: bool) -> bool:
    """Whether one value is what one pattern, without its `!`, says."""
    if pattern is None or value is None:
        return pattern is value
    if not (isinstance(pattern, str) and isinstance(value, str)):
        return _text(pattern) == _text(value) if widely else _is_exactly(pattern, value)
    if pattern.startswith(("/", "~")):
        return _leads_to(pattern, value, widely)
    return _alike(pattern, value) if widely else fnmatchcase(value, pattern)


def leaves(value: Any) -> Iterator[Any]:
    """The single values in a list or an object, and the names in the latter; what is empty is no value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def at(value: Any, path: Sequence[str]) -> Any:
    """What stands in an object under these names; of a list, what does in each of its objects."""
    for number, name in enumerate(path):
        if isinstance(value, list):
            return [at(item, path[number:]) for item in value]
        value = value.get(name) if isinstance(value, dict) else None
    return value


def plain(patterns: Iterable[Pattern]) -> list[Pattern]:
    """The patterns without their `!`."""
    return [pattern[1:] if isinstance(pattern, str) and _negates(pattern) else pattern for pattern in patterns]


def _negates(pattern: Pattern) -> bool:
    return isinstance(pattern, str) and pattern.startswith(NOT)


def _is_exactly(pattern: Pattern, value: Any) -> bool:
    kinds = [(isinstance(each, str), isinstance(each, bool)) for each in (pattern, value)]
    return kinds[0] == kinds[1] and bool(pattern == value)


def _leads_to(pattern: str, text: str, widely: bool) -> bool:
    """Whether a text is a path below the one of a pattern. To forbid it, it may as well be a name, or a folder above:
    some tools take all that lies in one.
    """
    if not (widely or text.startswith(("/", "~", "file:"))):
        return False
    here, there = _resolved(pattern), _resolved(text)
    return _alike(here, there) or _lies_in(here, text, there) if widely else fnmatchcase(there, here)


def _lies_in(here: str, text: str, there: str) -> bool:
    """Whether a path lies below the one that a text leads to; an empty text would lead to the working directory."""
    leads = bool(text.strip()) and there.startswith("/")
    return leads and _folded(here).startswith(_folded(there.rstrip("/") + "/"))


def _alike(pattern: str, text: str) -> bool:
    """Whether they are the same but for spelling, and for the kind of a handle where one of them is without."""
    here, there = _folded(_text(pattern)), _folded(_text(text))
    if fnmatchcase(there, here):
        return True
    kinds = {found[1].removesuffix("s") for each in (here, there) if (found := KIND.match(each))}
    named, meant = KIND.sub("", there), KIND.sub("", here)
    return len(kinds) < 2 and (fnmatchcase(named, meant) or _has_such_versions(here, named))


def _has_such_versions(pattern: str, name: str) -> bool:
    """Whether a name without a version may stand for one that a pattern with a kind speaks of."""
    meant = VERSION.sub("", KIND.sub("", pattern))
    versioned = KIND.match(pattern) and meant != KIND.sub("", pattern) and meant.strip("*?")
    return bool(versioned) and not VERSION.search(name) and fnmatchcase(name, meant)


def _folded(text: str) -> str:
    """Without case, compatible forms (Unicode UAX #15, NFKC), blanks around it, and what is not to be seen."""
    return unicodedata.normalize("NFKC", legible(text)).casefold().strip()


def _text(value: Any) -> str:
    """A number has one form, in a text as well: 5, 5.0, "5" and "5e0" are the same."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and len(value) > LONGEST_NUMBER:
        return value
    try:
        return f"{float(value):.17g}"
    except (ValueError, OverflowError):
        return _folded(str(value))


def _resolved(text: str) -> str:
    """The path that a text leads to, after links; a text that is none stays."""
    try:
        return os.path.realpath(os.path.expanduser(text.strip().removeprefix("file:")))
    except (OSError, ValueError):
        return text
