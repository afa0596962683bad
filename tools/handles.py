"""Handles: the names under which state travels between calls, e.g. `dataset:loans@3f2a9c81d0be`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from .errors import ToolFailure

KINDS = (
    "dataset", "suite", "validation", "features", "study", "run", "model", "explanation", "bento", "endpoint", "job",
    "trace",
)  # fmt: skip
NAME = r"^[a-z][a-z0-9_]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]


@dataclass(frozen=True)
class Handle:
    """`kind:name`, with a version after `@` (datasets) or `/` (models) where there is one."""

    kind: str
    name: str
    version: str = ""

    def __str__(self) -> str:
        mark = "/" if self.kind == "model" else "@"
        return f"{self.kind}:{self.name}{mark}{self.version}" if self.version else f"{self.kind}:{self.name}"


def parse(text: str, kind: str) -> Handle:
    """Read a handle of one kind, or the bare name of such a thing.

    Raises:
        ToolFailure: the text is empty or a handle of another kind.
    """
    prefix, colon, rest = text.strip().partition(":")
    if colon and prefix in KINDS and prefix != kind:
        raise ToolFailure(f"{text!r} is a {prefix}, not a {kind}", f"Pass a handle that starts with {kind}:")
    name = rest if colon and prefix == kind else text.strip()
    if not name:
        raise ToolFailure(f"an empty {kind} handle", f"Pass {kind}:<name>.")
    body, _, version = name.partition("/" if kind == "model" else "@")
    return Handle(kind, body, version)


def check_name(text: str, kind: str) -> str:
    """A name for something new.

    Raises:
        ToolFailure: it holds other characters than lower-case letters, digits and `_`.
    """
    if not re.fullmatch(NAME[1:-1], text):
        raise ToolFailure(
            f"{text!r} cannot name a {kind}", f"Use lower-case letters, digits and _, e.g. {slug(text)!r}."
        )
    return text


def slug(text: str) -> str:
    """The nearest valid name."""
    cleaned = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "unnamed"
    return cleaned if cleaned[0].isalpha() else f"d_{cleaned}"
