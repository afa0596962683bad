"""What a tool says when it cannot do its work: what was wrong, the nearest valid values, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import ClassVar

from .distributions import PROJECT
from .slices import extra_of

# What to install for a backend of a team, by the module that was missing; the slices declare their own libraries.
BACKENDS = {
    "psycopg": "postgres", "boto3": "s3", "distributed": "cluster", "catboost": "catboost", "kubernetes": "kubernetes",
    "onnx": "onnx", "onnxruntime": "onnx",
}  # fmt: skip

# Names come from outside and may be of any length; comparing them takes time that grows with it.
MAX_SHOWN = 200
MAX_TEXT = 4000
MAX_CHOICES = 20


class ToolFailure(Exception):
    """A failure that was foreseen; its text is written for the agent that reads it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message[:MAX_TEXT]
        self.hint = hint[:MAX_TEXT]

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}. {self.hint}".strip() if self.hint else self.message


class Denied(ToolFailure):
    """A call that may not be made: the scope of its caller, or the policy, says no."""


class NotInstalled(ToolFailure):
    """A library of a slice is missing; every other slice works on."""

    @classmethod
    def of(cls, module: str) -> NotInstalled | None:
        """The failure for a missing top-level module of one of our extras; None for any other module."""
        name = module.partition(".")[0]
        if not (extra := BACKENDS.get(name) or extra_of(name)):
            return None
        return cls(f"{name} is not installed", f"Install it with: {install([extra])}")


def require(*modules: str) -> None:
    """Look for top-level modules without importing them, before work that takes long.

    Raises:
        NotInstalled: one of them, which an extra installs, is missing.
    """
    for module in missing(modules):
        if failure := NotInstalled.of(module):
            raise failure


def missing(modules: Iterable[str]) -> tuple[str, ...]:
    """The top-level modules that are not installed; none is imported to find that out."""
    return tuple(module for module in modules if not _installed(module))


def install(extras: Iterable[str]) -> str:
    """The command that installs extras."""
    return f"pip install '{PROJECT}[{','.join(extras)}]'"


def _installed(module: str) -> bool:
    try:
        found = find_spec(module)
        # A folder of that name in the working directory is a namespace, which comes from no file.
        return found is not None and found.origin is not None
    except (ModuleNotFoundError, ValueError):  # an import hook refuses it, or a stand-in without a spec is loaded
        return False


class NeedsChoice(ToolFailure):
    """What was given could mean several things; a client that can ask has a person pick one.

    `question` is what they are asked, and `replaces` whether what they pick stands in place of what was given.

    Args:
        given: the text as the caller passed it.
        choices: what may be passed in its place, the likeliest first; the first `MAX_CHOICES` are kept.
    """

    question: ClassVar[str] = "Which one is meant?"
    replaces: ClassVar[bool] = True

    def __init__(self, message: str, hint: str, given: str, choices: Iterable[str]) -> None:
        super().__init__(message, hint)
        self.given = given
        self.choices = tuple(choices)[:MAX_CHOICES]
        self.args = (message, hint, given, self.choices)  # with all of them it crosses to another process


# What a person picks for an argument is kept under its name with this before it.
ARGUMENT = "argument:"


class MissingArgument(NeedsChoice):
    """What only a person knows was left out; what they pick becomes that argument.

    Args:
        argument: its name.
        choices: what may be passed; empty if that cannot be listed.
    """

    def __init__(self, message: str, argument: str, choices: Iterable[str]) -> None:
        listed = tuple(choices)
        shown = ", ".join(listed[:8])
        hint = (
            f"Pass `{argument}`: one of {shown}{' …' if len(listed) > 8 else ''}." if listed else f"Pass `{argument}`."
        )
        super().__init__(message, hint, f"{ARGUMENT}{argument}", listed)
        self.args = (message, argument, listed)


class OutOfMemory(ToolFailure):
    """The memory that a process may use did not suffice."""


class Unavailable(ToolFailure):
    """A backend does not answer; the hint says which setting points to it."""


class Refused(Unavailable):
    """A backend answers, and does not take or give what it is asked for: to wait for it does not help."""


def key_reused(key: str) -> ToolFailure:
    """An idempotency key stands for one call, with its arguments."""
    return ToolFailure(f"idempotency_key {key!r} was used before with other arguments", "Use a new key.")


def unknown(kind: str, name: object, valid: Iterable[str], then: str = "", limit: int = 8) -> ToolFailure:
    """An unknown name: the nearest valid ones, or the first few if none is near."""
    names, shown = sorted(set(valid)), str(name)[:MAX_SHOWN]
    near = difflib.get_close_matches(shown, names, n=3, cutoff=0.4)
    if not names:
        listed = f"There is no {kind} yet."
    elif near:
        listed = f"Did you mean {', '.join(near)}?"
    else:
        more = f" and {len(names) - limit} more" if len(names) > limit else ""
        listed = f"Valid: {', '.join(names[:limit])}{more}."
    return ToolFailure(f"unknown {kind} {shown!r}", f"{listed} {then}".strip())
