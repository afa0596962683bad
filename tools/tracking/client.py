"""Experiments and runs (mlflow.MlflowClient, https://mlflow.org/docs/latest/api_reference/)."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..errors import ToolFailure, unknown
from ..handles import parse
from ..paging import Page
from ..runtime.work import Work
from ..storage.state_files import keep_private
from ..undo import deletes
from ..user_files import held, readable
from . import embedded
from .checks import OWNER, USER, check_tags, check_title, check_unchanged, check_values, inside_run, owned
from .connection import opened
from .locations import artifacts_at, local_folder, reached
from .models import Experiment, Logged, Run, RunLine, RunStatus, cut, fit
from .patient import patiently
from .reading.mlflow import ThroughMlflow
from .reading.query import Query, query_of
from .reading.source import Runs, runs_of
from .records import RunRecord, record_of
from .search import explained, require_known
from .views import TAG_CHARS, VALUE_CHARS, run_line, run_view, visible

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

DEFAULT_EXPERIMENT = "mlops"
ENDED = ("FINISHED", "FAILED", "KILLED")


@contextmanager
def opened_at(work: Work, run: str) -> Generator[tuple[MlflowClient, MlflowRun]]:
    """The client and a run, which may be deleted. What is no handle of a run is refused before the store is asked."""
    parse(run, "run")
    with opened(work) as client:
        yield client, find_run(client, run)


def create_experiment(work: Work, name: str, tags: dict[str, str]) -> Experiment:
    """Get or create; two callers at once get the same experiment, and a deleted one comes back."""
    check_tags(tags)
    full = f"{work.settings.mlflow.experiment_prefix}{name or DEFAULT_EXPERIMENT}"
    check_title(full, "an experiment")
    with opened(work) as client:
        created = restored = _create(work, client, full, tags)
        found = client.get_experiment_by_name(full)
        if found is None:
            raise ToolFailure(f"experiment {full!r} vanished while it was opened", "Call create_experiment again.")
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
            restored = True
        for key, value in tags.items() if not created else ():
            client.set_experiment_tag(found.experiment_id, key, value)
        found = client.get_experiment(found.experiment_id)
    return Experiment(
        experiment_id=found.experiment_id,
        name=full,
        artifact_root=found.artifact_location,
        tags=fit({key: cut(value, VALUE_CHARS) for key, value in visible(found.tags).items()}, TAG_CHARS),
        created=created,
        undo=deletes(f"experiment:{full}") if restored else None,
    )


def artifact_place(work: Work, run: str, experiment: str) -> str:
    """Where artifacts of a run, or else of an experiment, lie or would lie.

    A tracking server knows its own store: what it has for its first experiment it will have for others.
    """
    if embedded.path(work.settings):
        return work.settings.artifact_root
    with opened(work) as client:
        if run:
            return str(find_run(client, run).info.artifact_uri)
        full = f"{work.settings.mlflow.experiment_prefix}{experiment or DEFAULT_EXPERIMENT}"
        if (found := client.get_experiment_by_name(full)) is None and _has_own_store(work):
            found = next(iter(client.search_experiments(max_results=1, order_by=["creation_time ASC"])), None)
    return str(found.artifact_location) if found else work.settings.artifact_root


def _has_own_store(work: Work) -> bool:
    return work.settings.tracking_uri.startswith("http") and not work.settings.mlflow.artifact_root


def _create(work: Work, client: MlflowClient, name: str, tags: dict[str, str]) -> bool:
    from mlflow.exceptions import MlflowException

    root = work.settings.artifact_root
    location = f"{root.rstrip('/')}/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}"
    try:
        # A tracking server knows its own artifact store; without one the default would be the working directory.
        client.create_experiment(
            name,
            artifact_location=None if _has_own_store(work) else location,
            tags={**work.settings.mlflow.default_tags, **tags},
        )
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return False
        raise
    return True


def start_run(work: Work, experiment: str, name: str, tags: dict[str, str]) -> Run:
    """Open a run in an experiment, which is created if need be."""
    check_tags(tags)
    check_title(name, "a run")
    home = create_experiment(work, experiment, {})
    given = {**work.settings.mlflow.default_tags, **tags}
    with opened(work) as client:
        run = client.create_run(
            home.experiment_id, run_name=name or None, tags=given | owned(work.by.name, OWNER, USER)
        )
        shown = _view(client, run, [])
    return shown.model_copy(update={"undo": deletes(shown.run)})


def log_open_run(
    work: Work,
    run: str,
    params: dict[str, JsonValue],
    metrics: dict[str, float],
    step: int,
    tags: dict[str, str],
) -> Logged:
    """Log what an agent measured itself: something, and into a run that has not ended."""
    if not (params or metrics or tags):
        raise ToolFailure("there is nothing to log", "Pass params, metrics or tags.")
    asked = cut(", ".join((*params, *metrics, *tags)), VALUE_CHARS)
    return log_run(work, require_running(work, run, asked), params, metrics, step, tags)


def log_run(
    work: Work,
    run: str,
    params: dict[str, JsonValue],
    metrics: dict[str, float],
    step: int,
    tags: dict[str, str],
) -> Logged:
    """Log all or nothing of what is refused for its value; into an ended run too, e.g. later scores of its model."""
    texts = {key: text_of(value) for key, value in params.items()}
    check_values(texts, metrics)
    check_tags(tags)
    with opened_at(work, run) as (client, found):
        from mlflow.entities import Metric, Param, RunTag

        identity = _require_kept(work, found).info.run_id
        check_unchanged(texts, found.data.params, f"run:{identity}")
        now = int(datetime.now(UTC).timestamp() * 1000)
        client.log_batch(
            identity,
            metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()],
            params=[Param(key, text) for key, text in texts.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
    return Logged(run=f"run:{identity}", params=len(params), metrics=len(metrics), tags=len(tags))


def log_artifact(work: Work, run: str, path: str, folder: str) -> Logged:
    """Copy one readable file into a run that has not ended."""
    source, place = readable(work.settings, path), inside_run(folder)
    with opened_at(work, run) as (_, found), _copied(source) as copy:
        _require_running(work, found, source.name)
        _store(work, found, copy, place)
        if top := local_folder(found.info.artifact_uri or ""):
            keep_private(top / place / source.name)  # MLflow copies what others may do with the file as well
    return Logged(run=f"run:{found.info.run_id}", artifact=f"{place}/{source.name}".lstrip("/"))


@contextmanager
def _copied(source: Path) -> Generator[Path]:
    """A copy that is ours alone: MLflow opens the file by its path, where another one may lie by then."""
    with held(source) as file, tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / source.name
        with copy.open("wb") as target:
            shutil.copyfileobj(file, target)
        yield copy


def log_text(work: Work, run: str, path: str, text: str) -> None:
    """Keep a text as an artifact of a run, also of one that has ended."""
    folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / name
        file.write_text(text, encoding="utf-8")
        log_file(work, run, file, folder)


def log_file(work: Work, run: str, file: Path, folder: str = "") -> None:
    """Keep a file of ours as an artifact of a run, also of one that has ended."""
    with opened_at(work, run) as (_, found):
        _require_kept(work, found)
        _store(work, found, file, folder)


def _store(work: Work, run: MlflowRun, file: Path, folder: str) -> None:
    location = run.info.artifact_uri or ""

    def store() -> None:
        with reached(location):
            artifacts_at(work.settings, location).log_artifact(str(file), folder or None)

    patiently(work, store, location)


def end_run(work: Work, run: str, status: RunStatus) -> Run:
    """Close a run; one that has ended so stays as it is.

    Raises:
        ToolFailure: it is unknown or deleted, or has ended in another way.
    """
    with opened_at(work, run) as (client, found):
        _require_kept(work, found)
        if found.info.status not in (*ENDED, status):
            client.set_terminated(found.info.run_id, status)
            found = client.get_run(found.info.run_id)
        if found.info.status != status:
            raise ToolFailure(
                f"run:{found.info.run_id} has ended already, as {found.info.status}, and stays so",
                "start_run opens a new one.",
            )
        return _view(client, found, [])


def get_run(work: Work, run: str, names: Sequence[str] = ()) -> Run:
    """A run in brief, or only what the names stand for, in full."""
    parse(run, "run")
    with runs_of(work) as runs:
        found = record(runs, run)
        return run_view(found, runs.experiment_name(found.experiment_id), names)


def require_running(work: Work, run: str, what: str = "anything more") -> str:
    """The handle of a run that has not ended: call it before work whose result is logged there.

    Args:
        what: is to be logged; the refusal names it.

    Raises:
        ToolFailure: it is unknown, deleted or ended.
    """
    with opened_at(work, run) as (_, found):
        owner = found.data.tags.get(OWNER, "")
        # A job may write scores of a model into whatever run that comes from, but what it makes into its owner's alone.
        if owner and work.by.name not in ("", owner) and work.job:
            raise _not_own(found)
        return f"run:{_require_running(work, found, what).info.run_id}"


def search_runs(work: Work, experiment: str, where: str, order_by: str, limit: int, cursor: str) -> Page[RunLine]:
    """One page of runs; an experiment, key or status that does not exist is an error, where MLflow says nothing."""
    where, order_by = where.strip(), order_by.strip()
    with runs_of(work) as runs, explained(where, order_by, cursor):
        query = query_of(_experiment(work, runs, experiment), where, order_by)
        asked = require_known(runs, query)
        found, following = runs.page(query, limit, cursor)
    lines = [run_line(run, asked["metric"], asked["parameter"]) for run in found]
    return Page(items=lines, next_cursor=following)


def experiment_ids(work: Work) -> dict[str, str]:
    """Name -> id of the active experiments."""
    with runs_of(work) as runs:
        return runs.experiments()


def _experiment(work: Work, runs: Runs, name: str) -> str:
    """The id of an active experiment; empty if none is named."""
    if not name:
        return ""
    known = runs.experiments()
    for candidate in (f"{work.settings.mlflow.experiment_prefix}{name}", name):
        if candidate in known:
            return known[candidate]
    if name in known.values():
        return name
    raise unknown("experiment", name, known)


def find_run(client: MlflowClient, run: str) -> MlflowRun:
    """The run behind a handle; it may be deleted. Raises ToolFailure for one that does not exist."""
    from mlflow.exceptions import MlflowException

    identity = parse(run, "run").name
    try:
        return client.get_run(identity)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    raise _no_run(ThroughMlflow(client), run)


def record(runs: Runs, run: str) -> RunRecord:
    """The run behind a handle; it may be deleted. Raises ToolFailure for one that does not exist."""
    found = runs.found(parse(run, "run").name)
    if found is None:
        raise _no_run(runs, run)
    return found


def _no_run(runs: Runs, run: str) -> ToolFailure:
    recent, _ = runs.page(Query(), 100, "")
    return unknown("run", run, (found.handle for found in recent), "search_runs lists them.", limit=3)


def _require_kept(work: Work, found: MlflowRun) -> MlflowRun:
    """Raises ToolFailure for a run that is deleted, or that another caller has started."""
    if found.info.lifecycle_stage == "deleted":
        raise ToolFailure(f"run:{found.info.run_id} is deleted", "Start a new run.")
    if not work.by.owns(found.data.tags.get(OWNER, "")):
        raise _not_own(found)
    return found


def _not_own(found: MlflowRun) -> ToolFailure:
    return ToolFailure(f"run:{found.info.run_id} belongs to another caller", "start_run opens one of your own.")


def _require_running(work: Work, found: MlflowRun, what: str) -> MlflowRun:
    if _require_kept(work, found).info.status in ENDED:
        raise ToolFailure(
            f"run:{found.info.run_id} has ended ({found.info.status}) and does not take {what}",
            "start_run opens a new one.",
        )
    return found


def text_of(value: JsonValue) -> str:
    """A text as it is, anything else as JSON, which every reader of the store understands."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _view(client: MlflowClient, run: MlflowRun, names: Sequence[str]) -> Run:
    return run_view(record_of(run), client.get_experiment(run.info.experiment_id).name, names)
