"""`mlops-mcp doctor`: what is installed, which backends answer, and what to change where one does not."""

from __future__ import annotations

import json
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from ..config.settings import Settings
from . import probes
from .probes import Backend

PROJECT = "mlops-mcp"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(?:;.*extra == [\"'](?P<extra>\w+)[\"'])?")
WORDS = {"ok": "ok", "embedded": "ok", "unchecked": "?", "failed": "FAILED"}


@dataclass(frozen=True)
class Library:
    """A direct dependency; an empty version means that it is not installed."""

    name: str
    version: str
    extra: str


@dataclass(frozen=True)
class Report:
    project: str
    python: str
    system: str
    home: str
    free_gb: float
    libraries: list[Library]
    backends: list[Backend]

    @property
    def healthy(self) -> bool:
        """A missing library is a choice; a backend that is configured and does not answer is not."""
        return all(backend.state != "failed" for backend in self.backends)


def examine(settings: Settings) -> Report:
    """Look at this installation; takes at most `probes.TIMEOUT_S` and a little."""
    return Report(
        project=version(PROJECT),
        python=platform.python_version(),
        system=platform.platform(terse=True),
        home=str(settings.home),
        free_gb=round(_free_bytes(settings.home) / 1e9, 1),
        libraries=list(_libraries()),
        backends=probes.answers(probes.questions(settings)),
    )


def print_report(settings: Settings, as_json: bool = False) -> int:
    """Print the report; the exit code is 1 when something that is configured fails."""
    report = examine(settings)
    print(json.dumps(asdict(report), indent=1) if as_json else "\n".join(_lines(report)))
    return 0 if report.healthy else 1


def _libraries() -> Iterator[Library]:
    for text in requires(PROJECT) or ():
        match = REQUIREMENT.match(text)
        if match and match["name"] != PROJECT:
            yield Library(match["name"], _installed(match["name"]), match["extra"] or "")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _free_bytes(home: Path) -> int:
    return shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.is_dir())).free


def _lines(report: Report) -> Iterator[str]:
    yield f"{PROJECT} {report.project}, Python {report.python}, {report.system}"
    yield f"home {report.home}, {report.free_gb} GB free"
    yield "\nlibraries"
    for extra in dict.fromkeys(library.extra for library in report.libraries):
        words = (_words(library) for library in report.libraries if library.extra == extra)
        yield f"  {extra or 'core':<14}{', '.join(words)}"
    yield "\nbackends"
    for backend in report.backends:
        head = f"  {WORDS[backend.state]:<7}{backend.name:<13}{backend.milliseconds:>5} ms  "
        yield f"{head}{backend.where}: {backend.detail}"
        if backend.remedy:
            yield f"{'':<{len(head)}}{backend.remedy}"


def _words(library: Library) -> str:
    if library.version:
        return f"{library.name} {library.version}"
    return f"{library.name} is not installed (pip install '{PROJECT}[{library.extra}]')"
