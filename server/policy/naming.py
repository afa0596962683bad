"""One thing has one identity in rules: what a call names is held against them under all of its names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from ...tools.runtime.work import Work
from .matching import KIND, Pattern, plain

# Stands in a rule for every argument of a tool.
ANY = "*"
# Which slice says what else things of a kind are called.
SLICES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("dataset", "endpoint", "file", "source"), "data"),
        "experiment": "tracking",
        **dict.fromkeys(("model", "run"), "registry"),
    }
)
# What an argument names whose rule does not say it; a bare name may be a thing of any of these kinds.
KINDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        **dict.fromkeys(("dataset", "current", "validation", "test", "path", "sql"), ("dataset",)),
        **dict.fromkeys(("model", "candidate", "candidates", "bento", "traffic", "run", "runs"), ("model",)),
        "experiment": ("experiment",),
        "reference": ("dataset", "model"),
        **dict.fromkeys(("handle", ANY), ("dataset", "experiment", "model")),
    }
)
Names = Callable[[Work, Sequence[str]], dict[str, list[str]]]


def names_of(slice_name: str) -> Names:
    """What says, in a worker of a slice, which other names texts stand for."""
    found: Names = import_module(f"...tools.{slice_name}.naming", __package__).other_names
    return found


def slices_for(argument: str, patterns: Iterable[Pattern]) -> set[str]:
    """The slices that know other names of what these patterns of an argument speak of."""
    kinds = {kind for each in plain(patterns) if isinstance(each, str) for kind in _kinds(argument, each)}
    return {SLICES[kind] for kind in kinds if kind in SLICES}


def _kinds(argument: str, pattern: str) -> Sequence[str]:
    if pattern.startswith(("/", "~")):
        return ("dataset",)
    if found := KIND.match(pattern):
        return (found[1].removesuffix("s"),)
    return KINDS.get(argument, ())
