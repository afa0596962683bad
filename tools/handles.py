"""Handles: the names under which state travels between calls, e.g. `dataset:loans@3f2a9c81d0be`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from .errors import ToolFailure
from .slices import handle_kinds

NAME = r"^[a-z][a-z0-9_-]{0,62}$"
# What `check_name` takes, in the words of a schema.
NAMES = "a-z, 0-9, _, -"
NewName = Annotated[str, Field(description=NAMES)]
LOGGED_MODEL = r"m-[0-9a-f]{32}"
# Others may give their things any names, but none that leads elsewhere where a name becomes a path or an address.
LEADS_AWAY = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]|(^|/)\.{1,2}(/|$)|^[/~]|://|%[0-9a-fA-F]{2}")
LONGEST, SHOWN = 600, 100
# Of other kinds there is one of a name, and a version would only be another way to write it.
VERSIONED = ("dataset", "model", "suite")
IDENTITIES = {"run": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")}


@dataclass(frozen=True)
class Handle:
    """`kind:name`, with a version after `@` (datasets) or `/` (models), or a model's alias after `@`."""

    kind: str
    name: str
    version: str = ""
    alias: str = ""

    def __str__(self) -> str:
        if self.alias:
            return f"{self.kind}:{self.name}@{self.alias}"
        mark = "/" if self.kind == "model" else "@"
        return f"{self.kind}:{self.name}{mark}{self.version}" if self.version else f"{self.kind}:{self.name}"


def parse(text: str, kind: str) -> Handle:
    """Read a handle of one kind, or the bare name of such a thing.

    It is looked at before anything is asked for what it names.

    Raises:
        ToolFailure: the text is empty, a handle of another kind, or nothing can be called so.
    """
    prefix, colon, rest = text.strip().partition(":")
    if colon and prefix in handle_kinds() and prefix != kind:
        raise ToolFailure(f"{text[:SHOWN]!r} is a {prefix}, not a {kind}", f"Pass a handle that starts with {kind}:")
    name = rest if colon and prefix == kind else text.strip()
    if not name:
        raise ToolFailure(f"an empty {kind} handle", f"Pass {kind}:<name>.")
    identity = IDENTITIES.get(kind)
    if (
        name != name.strip()
        or LEADS_AWAY.search(name)
        or len(name) > LONGEST
        or (identity and not identity.fullmatch(name))
    ):
        raise ToolFailure(
            f"{text[:SHOWN]!r} is no {kind} handle", f"Pass {kind}:<name>, as the lists of tools show it."
        )
    body, mark, version = name.partition("/" if kind == "model" else "@")
    if mark and kind not in VERSIONED:
        raise ToolFailure(f"a {kind} has no versions, and {text[:SHOWN]!r} names one", f"Pass {kind}:{body}.")
    return Handle(kind, body, version)


def parse_model(text: str) -> Handle:
    """Read a registered model: its name, `model:<name>`, with `/<version>` or `@<alias>`; `models:/…` alike.

    Raises:
        ToolFailure: a handle of another kind, a logged model, or a version or an alias that is not one.
    """
    named = text.strip().removeprefix("models:/") or "model:"
    if re.fullmatch(LOGGED_MODEL, named):
        raise ToolFailure(f"{text!r} is a logged model without a version", "register_model makes one of it.")
    # After MLflow's own prefix another kind would be part of the name.
    found = parse(named if named == text.strip() else f"model:{named}", "model")
    name, at, alias = found.name.partition("@")
    slash = "/" in named
    twice = slash + bool(at) > 1 or "@" in found.version
    if not name or ":" in name or twice or (slash and not found.version) or (at and not alias):
        raise ToolFailure(f"{text!r} is no model handle", "Pass model:<name>, with /<version> or @<alias>.")
    return Handle("model", name, found.version, alias)


def check_name(text: str, kind: str) -> str:
    """A name for something new.

    Raises:
        ToolFailure: it is longer than 63, or holds other characters than lower-case letters, digits, `_` and `-`.
    """
    if not re.fullmatch(NAME[1:-1], text):
        raise ToolFailure(
            f"{text!r} cannot name a {kind}",
            f"Use a lower-case letter, then lower-case letters, digits, _ and -, up to 63: e.g. {slug(text)!r}.",
        )
    return text


def slug(text: str) -> str:
    """The nearest valid name."""
    cleaned = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "unnamed"
    return cleaned if cleaned[0].isalpha() else f"d_{cleaned}"
