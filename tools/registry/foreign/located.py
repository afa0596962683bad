"""Where the files of any model lie: one that MLflow's logged models know, or one of an artifact folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from ...errors import ToolFailure
from ...handles import parse
from ...modeling.references import LOGGED, source_of
from ...modeling.store import local_copy
from ...runtime.work import Work
from ...tracking.backend import mlflow_client, translated
from ...tracking.locations import local_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow 2 keeps its models among the artifacts of a run, which lists them in this tag.
HISTORY = "mlflow.log-model.history"
OF_RUN = "runs:/"


@dataclass(frozen=True)
class Located:
    """`source` is what the registry calls it, `handle` what the caller should see; `run` may be empty."""

    source: str
    handle: str
    folder: Path
    run: str = ""


def locate_any(work: Work, reference: str, fresh: bool = False) -> Located:
    """The model behind a reference, whoever has made it.

    Args:
        fresh: fetch the files again that lie elsewhere, since what a run holds may have been logged again.

    Raises:
        ToolFailure: nothing of that name, or files where artifacts may not lie.
    """
    client = mlflow_client(work)
    with translated():
        source, handle = _source(client, reference)
        location, run = _location(client, source)
    return Located(source, handle, _folder(work, location, source, fresh), run)


def _source(client: MlflowClient, reference: str) -> tuple[str, str]:
    """As `source_of`, and for a run of MLflow 2 its one model."""
    text = reference.strip()
    if text.startswith("run:"):
        run = client.get_run(parse(text, "run").name)
        paths = _paths_of(str(run.data.tags.get(HISTORY, "")))
        if len(paths) == 1 and not (run.outputs and run.outputs.model_outputs):
            return f"{OF_RUN}{run.info.run_id}/{paths[0]}", text
    return source_of(client, reference)


def _paths_of(history: str) -> list[str]:
    try:
        found: object = json.loads(history or "[]")
    except ValueError:
        return []
    entries = cast("list[object]", found) if isinstance(found, list) else []
    paths = (cast("dict[str, object]", each).get("artifact_path") for each in entries if isinstance(each, dict))
    return list(dict.fromkeys(path for path in paths if isinstance(path, str)))


def _location(client: MlflowClient, source: str) -> tuple[str, str]:
    """The address of the folder, and the run that made it."""
    if LOGGED.fullmatch(source):
        logged = client.get_logged_model(source.removeprefix("models:/"))
        return str(logged.artifact_location), str(logged.source_run_id or "")
    if source.startswith("models:/"):
        return _location(client, _copied(client, source))
    if not source.startswith(OF_RUN):
        return source, ""
    run_id, _, path = source.removeprefix(OF_RUN).partition("/")
    if not path or ".." in PurePosixPath(path).parts:
        raise ToolFailure(f"{source[:200]} names no model of a run", "get_run shows the models of one.")
    run = client.get_run(run_id)
    outputs = [each.model_id for each in run.outputs.model_outputs] if run.outputs else []
    for logged in (client.get_logged_model(each) for each in outputs):
        if logged.name == path:
            return str(logged.artifact_location), run_id
    return f"{str(run.info.artifact_uri).rstrip('/')}/{path}", run_id


def _copied(client: MlflowClient, source: str) -> str:
    """What a version stands for that MLflow has copied from another one; copies of copies point to the first."""
    found, _ = source_of(client, source)
    if found.startswith("models:/") and not LOGGED.fullmatch(found):
        raise ToolFailure(f"{source[:200]} is a copy of {found[:200]}, which is a copy itself", "Pass that one.")
    return found


def _folder(work: Work, location: str, source: str, fresh: bool) -> Path:
    """The live folder, or a copy; that of a logged model holds for good."""
    if LOGGED.fullmatch(source):
        return local_copy(work, location, source.removeprefix("models:/"))
    name = f"at-{hashlib.sha256(location.encode()).hexdigest()[:32]}"
    if fresh and local_folder(location) is None:
        shutil.rmtree(work.home / "cache" / "models" / name, ignore_errors=True)
    return local_copy(work, location, name)
