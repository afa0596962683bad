"""Every package that a service runs with, at the version it has here: what pip is held to when an image is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(packages: Iterable[str]) -> list[str]:
    """Requirements (`name==version`) and all that they require here, pinned, in the order of their names.

    Extras are followed where they are asked for; what a marker leaves out here is left out.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(each) for each in packages]
    seen = set[tuple[str, frozenset[str]]]()
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
        waiting += _required(name, extras)
    return [f"{name}=={pinned}" for name, pinned in sorted(found.items())]


def _required(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement
