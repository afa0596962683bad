"""By which names a model goes: `models:/m-…`, the versions that were made of it, their aliases, and its run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure
from ..handles import Handle, parse, parse_model
from ..runtime.work import Work
from ..slices import handle_kinds
from ..tracking.backend import has_no_store
from ..tracking.connection import everything, opened
from .removal import logged_id
from .versions import handle_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOGGED = "models:/"
# MLflow's own numbers of runs.
RUN = re.compile("[0-9a-f]{32}")


def other_names(work: Work, texts: Sequence[str]) -> dict[str, list[str]]:
    """What else each text may stand for as a model, or as the run that a model is of.

    Raises:
        Unavailable: the store does not answer.
    """
    if has_no_store(work.settings):
        return {}
    with opened(work) as client:
        registered = list(_registered(client))
        found = {text: set(_sources(client, registered, text)) for text in texts}
        runs = {source: _run_of(client, source) for sources in found.values() for source in sources}
    return {
        text: sorted(
            {name for source in sources for name in (*_names(registered, source), *runs[source])}
            | {f"run:{part}" for part in _parts(text) if RUN.fullmatch(part)}
        )
        for text, sources in found.items()
    }


@dataclass(frozen=True)
class _Version:
    """A registered version: the logged model that it is, and what it is called."""

    source: str
    handle: Handle
    names: tuple[str, ...]


def _registered(client: MlflowClient) -> Iterator[_Version]:
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in everything(lambda token: client.search_registered_models(page_token=token)):
        for alias, version in model.aliases.items():
            aliases.setdefault((model.name, str(version)), []).append(str(Handle("model", model.name, alias=alias)))
    for version in everything(lambda token: client.search_model_versions("", page_token=token)):
        called = aliases.get((version.name, str(version.version)), [])
        handle = Handle("model", version.name, str(version.version))
        yield _Version(version.source or "", handle, (handle_of(version), *called))


def _sources(client: MlflowClient, registered: Sequence[_Version], text: str) -> Iterator[str]:
    """The logged models that a text may stand for; a path below one names it."""
    yield from (f"{LOGGED}{identity}" for part in _parts(text) if (identity := logged_id(part)))
    if identity := logged_id(text):
        yield f"{LOGGED}{identity}"
    elif text.strip().startswith("run:"):
        yield from _of_run(client, text)
    else:
        try:
            wanted = parse_model(text)
        except ToolFailure:
            return
        for each in registered:
            named = not (wanted.version or wanted.alias) or str(wanted) in each.names
            if named and each.handle.name == wanted.name:
                yield each.source


def _parts(text: str) -> Sequence[str]:
    """The folders and the file that a path leads to: artifacts lie below the number of their run or model."""
    if "/" not in text or text.partition(":")[0] in handle_kinds() or text.startswith(LOGGED):
        return ()
    try:
        return Path(text.removeprefix("file:")).expanduser().resolve().parts
    except (OSError, RuntimeError, ValueError):
        return ()


def _of_run(client: MlflowClient, text: str) -> Iterator[str]:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(parse(text, "run").name)
    except (MlflowException, ToolFailure):
        return
    yield from (f"{LOGGED}{output.model_id}" for output in (run.outputs.model_outputs if run.outputs else []))


def _run_of(client: MlflowClient, source: str) -> list[str]:
    from mlflow.exceptions import MlflowException

    if not (identity := logged_id(source)):
        return []
    try:
        found = client.get_logged_model(identity).source_run_id
    except MlflowException:
        return []
    return [f"run:{found}"] if found else []


def _names(registered: Sequence[_Version], source: str) -> Iterator[str]:
    yield source
    for each in registered:
        if each.source == source:
            yield from each.names
