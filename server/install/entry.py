"""The entry that clients get: a command that starts this installation, whatever their PATH and working directory."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

from ...tools.distributions import MODULE, PROJECT, requirements
from .errors import InstallError

# Environments that `uvx` makes for one start live in uv's cache and go with it.
PASSING = re.compile(r"(archive|environments)-v\d+")
# What every client takes as the name of a server.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

Value = str | list[str] | dict[str, str]


@dataclass(frozen=True)
class Entry:
    """What a client starts."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    def written(self, extra: Mapping[str, str]) -> dict[str, Value]:
        """As clients write it, in their order."""
        env: dict[str, Value] = {"env": dict(self.env)} if self.env else {}
        return {**extra, "command": self.command, "args": list(self.args), **env}


@dataclass(frozen=True)
class Installation:
    """Where this program runs from; `extras` is what a passing environment has to be made with again."""

    prefix: Path
    python: Path
    uv: str | None
    version: str
    extras: tuple[str, ...]

    def start(self) -> tuple[str, ...]:
        """The absolute command line of `mlops-mcp`.

        Raises:
            InstallError: this environment passes, and uv is not found.
        """
        if any(PASSING.fullmatch(part) for part in self.prefix.parts):
            return self._through_uv()
        script = self.python.with_name(PROJECT)
        return (str(script),) if script.is_file() else (str(self.python), "-m", MODULE)

    def _through_uv(self) -> tuple[str, ...]:
        if self.uv is None:
            raise InstallError(
                "this environment was made for one start and uv is not on the PATH: "
                f"run `uv tool install '{PROJECT}[all]'`, then `{PROJECT} install` again"
            )
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return (self.uv, "tool", "run", "--from", f"{PROJECT}{extras}=={self.version}", PROJECT)


def this_installation() -> Installation:
    """The one that runs now."""
    from importlib.metadata import version

    uv = os.environ.get("UV") or shutil.which("uv")
    return Installation(
        prefix=Path(sys.prefix),
        python=Path(sys.executable).absolute(),
        uv=str(Path(uv).absolute()) if uv else None,
        version=version(PROJECT),
        extras=_extras(),
    )


def entry(
    installation: Installation,
    home: str | None = None,
    agent: str | None = None,
    toolsets: Iterable[str] = (),
    roots: Iterable[str] = (),
) -> Entry:
    """The entry that serves over stdio; paths become absolute, since clients start it anywhere."""
    command, *args = (*installation.start(), "serve")
    args += ["--agent", agent] if agent else []
    for flag, values in (("--toolset", toolsets), ("--root", [_absolute(root) for root in roots])):
        args += [part for value in values for part in (flag, value)]
    return Entry(command, tuple(args), {"MLOPS_HOME": _absolute(home)} if home else {})


def is_ours(written: object) -> bool:
    """Whether an entry starts mlops-mcp, this installation or another."""
    if not isinstance(written, Mapping):
        return False
    words = [written.get("command"), *_texts(written.get("args"))]
    names = {re.split(r"[\\/]", word)[-1].removesuffix(".exe") for word in words if isinstance(word, str)}
    return bool(names & {PROJECT, MODULE, f"{MODULE}.server"})


def require_name(name: str) -> str:
    """The name of the server, if every client takes it.

    Raises:
        InstallError: one does not.
    """
    if NAME.fullmatch(name):
        return name
    raise InstallError(f"{name[:60]!r} cannot name a server: use 1 to 40 letters, digits, - and _")


def _texts(value: object) -> list[object]:
    return list(value) if _is_list(value) else []


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _extras() -> tuple[str, ...]:
    """The extras whose libraries are all here; those of `all` by that name."""
    from importlib.metadata import distribution

    asked = list(requirements())
    parts = {each.extra: set(each.parts) for each in asked if each.name == PROJECT}
    missing = {each.extra for each in asked if each.name != PROJECT and not each.version}
    whole = set(distribution(PROJECT).metadata.get_all("Provides-Extra") or []) - missing - {"all"}
    everything = parts.get("all", set())
    return ("all", *sorted(whole - everything)) if everything <= whole else tuple(sorted(whole))
