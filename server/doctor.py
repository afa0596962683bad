"""`mlops-mcp doctor`: what is installed, which backends answer, and what to change where one does not."""

from __future__ import annotations

import json
import platform
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from ..config.settings import Settings
from ..tools import wire
from ..tools.distributions import PROJECT, requirements
from ..tools.errors import NotInstalled, install, missing
from ..tools.platforms import shortcomings
from ..tools.slices import declared
from . import probes
from .deep import deep_answers
from .probes import Backend
from .published import Published, asks, published

POSTGRES = ("postgresql", "postgres:")
WORDS = {"ok": "ok", "embedded": "ok", "unchecked": "?", "failed": "FAILED"}


@dataclass(frozen=True)
class Library:
    """A direct dependency; an empty version means that it is not installed."""

    name: str
    version: str
    extra: str


@dataclass(frozen=True)
class Offer:
    """The tools of a slice: how many are listed, or the library without which they are not."""

    toolset: str
    tools: int
    missing: str = ""


@dataclass(frozen=True)
class Wanting:
    """A library that the configuration asks for and that is not installed, and the setting that does."""

    library: str
    setting: str
    remedy: str


@dataclass(frozen=True)
class Report:
    project: str
    python: str
    system: str
    home: str
    free_gb: float
    shortcomings: list[str]
    libraries: list[Library]
    offers: list[Offer]
    remedy: str
    wanting: list[Wanting]
    backends: list[Backend]

    @property
    def healthy(self) -> bool:
        """A missing library is a choice unless it is asked for; a configured backend that does not answer is none."""
        return not self.wanting and all(backend.state != "failed" for backend in self.backends)


def examine(settings: Settings, deep: bool = False) -> Report:
    """Look at this installation; takes at most `probes.TIMEOUT_S` and a little, or with `deep` that of its writes."""
    offered = published(settings)
    return Report(
        project=version(PROJECT),
        python=platform.python_version(),
        system=platform.platform(terse=True),
        home=str(settings.home),
        free_gb=round(_free_bytes(settings.home) / 1e9, 1),
        shortcomings=shortcomings(),
        libraries=list(_libraries()),
        offers=list(_offers(offered)),
        remedy=offered.remedy,
        wanting=list(_wanting(settings, offered)),
        backends=deep_answers(settings) if deep else probes.answers(probes.questions(settings)),
    )


def print_report(settings: Settings, as_json: bool = False, deep: bool = False) -> int:
    """Print the report; the exit code is 1 when something that is asked for is missing or fails.

    Raises:
        SettingsError: an unknown toolset or agent is asked for.
    """
    report = examine(settings, deep)
    print(json.dumps(asdict(report), indent=1) if as_json else "\n".join(_lines(report)))
    return 0 if report.healthy else 1


def _libraries() -> Iterator[Library]:
    for each in requirements():
        if each.name != PROJECT:
            yield Library(each.name, each.version, each.extra)


def _offers(offered: Published) -> Iterator[Offer]:
    listed = Counter(offered.tools.values())
    for name in wire.index():
        if name in offered.lacking:
            yield Offer(name, Counter(offered.withheld.values())[name], offered.lacking[name])
        elif listed[name]:
            yield Offer(name, listed[name])


def _wanting(settings: Settings, offered: Published) -> Iterator[Wanting]:
    """What tools and backends that are asked for stand on, each library once."""
    asked = [(setting, need) for given, setting, need in _configured(settings) if given]
    if asks(settings):
        toolsets = dict.fromkeys(offered.tools.values())
        asked += [(f"the tools of {name}", need) for name in toolsets for need in declared(name).needs]
    for library in missing(dict.fromkeys(need for _, need in asked)):
        setting = next(setting for setting, need in asked if need == library)
        failure = NotInstalled.of(library)
        yield Wanting(library, setting, failure.hint if failure else "")


def _configured(settings: Settings) -> Iterator[tuple[object, str, str]]:
    """What was configured, the setting that says so, and the library that it needs."""
    store = settings.job_store
    sources = [source.get_secret_value() for source in settings.data.sources.values()]
    yield settings.mlflow.tracking_uri or settings.optuna.mlflow_tracking_uri, "mlflow.tracking_uri", "mlflow"
    yield settings.optuna.study_storage, "optuna.study_storage", "optuna"
    yield settings.feast.repo_path, "feast.repo_path", "feast"
    yield settings.bentoml.home, "bentoml.home", "bentoml"
    yield settings.great_expectations.context_root, "great_expectations.context_root", "great_expectations"
    yield settings.runtime.engine == "dask", "runtime.engine", "distributed"
    yield settings.artifact_root.startswith("s3://"), "mlflow.artifact_root", "boto3"
    yield settings.tracking_uri.startswith(POSTGRES), "mlflow.tracking_uri", "psycopg"
    yield settings.study_storage.startswith(POSTGRES), "optuna.study_storage", "psycopg"
    yield store.startswith(POSTGRES), "runtime.job_store", "psycopg"
    yield settings.storage.files, "storage.database", "psycopg"
    yield settings.storage.files.startswith("s3://"), "storage.files", "boto3"
    yield any(source.startswith(POSTGRES) for source in sources), "data.sources", "psycopg"


def _free_bytes(home: Path) -> int:
    return shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.is_dir())).free


def _lines(report: Report) -> Iterator[str]:
    yield f"{PROJECT} {report.project}, Python {report.python}, {report.system}"
    yield f"home {report.home}, {report.free_gb} GB free"
    yield from (f"on this system {each}" for each in report.shortcomings)
    yield "\nlibraries"
    for extra in dict.fromkeys(library.extra for library in report.libraries):
        words = (_words(library) for library in report.libraries if library.extra == extra)
        yield f"  {extra or 'core':<14}{', '.join(words)}"
    yield "\ntools"
    for offer in report.offers:
        state = f"not listed: no {offer.missing}" if offer.missing else "listed"
        yield f"  {offer.toolset:<14}{offer.tools:>2} {state}"
    if report.remedy:
        yield f"  {report.remedy} adds those that are not listed"
    for wanting in report.wanting:
        yield f"  MISSING {wanting.library}, which {wanting.setting} asks for. {wanting.remedy}"
    yield "\nbackends"
    for backend in report.backends:
        head = f"  {WORDS[backend.state]:<7}{backend.name:<13}{backend.milliseconds:>5} ms  "
        yield f"{head}{backend.where}: {backend.detail}"
        if backend.remedy:
            yield f"{'':<{len(head)}}{backend.remedy}"


def _words(library: Library) -> str:
    if library.version:
        return f"{library.name} {library.version}"
    return f"{library.name} is not installed ({install([library.extra])})"
