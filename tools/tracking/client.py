"""Experiments and runs (mlflow.MlflowClient, https://mlflow.org/docs/latest/api_reference/)."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from ..errors import ToolFailure, unknown
from ..files import readable
from ..handles import parse
from ..numbers import finite
from ..paging import Page
from ..runtime.work import Work
from .backend import mlflow_client, require_artifacts, translated
from .models import Experiment, Logged, Run, RunLine, RunStatus

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

DEFAULT_EXPERIMENT = "mlops"
MAX_PARAM = 6000
MAX_SHOWN = 40
REFERENCE = re.compile(
    r"\b(?P<kind>metrics?|params?)\.(?:`(?P<ticked>[^`]+)`|\"(?P<quoted>[^\"]+)\"|(?P<bare>[\w./-]+))", re.I
)


def create_experiment(work: Work, name: str, tags: dict[str, str]) -> Experiment:
    """Get or create; two callers at once get the same experiment, and a deleted one comes back."""
    client = mlflow_client(work)
    full = f"{work.settings.mlflow.experiment_prefix}{name or DEFAULT_EXPERIMENT}"
    created = _create(work, client, full, tags)
    with translated():
        found = client.get_experiment_by_name(full)
        if found is None:
            raise ToolFailure(f"experiment {full!r} vanished while it was opened", "Call create_experiment again.")
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        for key, value in tags.items() if not created else ():
            client.set_experiment_tag(found.experiment_id, key, value)
        found = client.get_experiment(found.experiment_id)
    return Experiment(
        experiment_id=found.experiment_id,
        name=full,
        artifact_root=found.artifact_location,
        tags=_visible(found.tags),
        created=created,
    )


def _create(work: Work, client: MlflowClient, name: str, tags: dict[str, str]) -> bool:
    from mlflow.exceptions import MlflowException

    root = work.settings.artifact_root
    location = f"{root.rstrip('/')}/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}"
    remote = work.settings.tracking_uri.startswith("http") and not work.settings.mlflow.artifact_root
    try:
        # A tracking server knows its own artifact store; without one the default would be the working directory.
        client.create_experiment(
            name, artifact_location=None if remote else location, tags={**work.settings.mlflow.default_tags, **tags}
        )
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return False
        with translated():
            raise
    return True


def start_run(work: Work, experiment: str, name: str, tags: dict[str, str]) -> Run:
    """Open a run in an experiment, which is created if need be."""
    home = create_experiment(work, experiment, {})
    client = mlflow_client(work)
    with translated():
        run = client.create_run(
            home.experiment_id, run_name=name or None, tags={**work.settings.mlflow.default_tags, **tags}
        )
    return _run(client, run)


def log_run(
    work: Work,
    run: str,
    params: dict[str, JsonValue],
    metrics: dict[str, float],
    step: int,
    tags: dict[str, str],
) -> Logged:
    """Log all or nothing of what is refused for its value."""
    from mlflow.entities import Metric, Param, RunTag

    client = mlflow_client(work)
    identity = _require_open(client, run)
    _check_values(params, metrics)
    now = int(datetime.now(UTC).timestamp() * 1000)
    with translated():
        client.log_batch(
            identity,
            metrics=[Metric(key, float(value), now, step) for key, value in metrics.items()],
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
    return Logged(run=f"run:{identity}", params=len(params), metrics=len(metrics), tags=len(tags))


def log_artifact(work: Work, run: str, path: str, folder: str) -> Logged:
    """Copy one readable file into a run."""
    source = readable(work.settings, path)
    client = mlflow_client(work)
    identity = _require_open(client, run)
    require_artifacts(client.get_run(identity).info.artifact_uri)
    with translated():
        client.log_artifact(identity, str(source), folder or None)
    return Logged(run=f"run:{identity}", artifact=f"{folder}/{source.name}".lstrip("/"))


def end_run(work: Work, run: str, status: RunStatus) -> Run:
    client = mlflow_client(work)
    found = _find(client, run)
    with translated():
        client.set_terminated(found.info.run_id, status)
    return get_run(work, found.info.run_id)


def get_run(work: Work, run: str) -> Run:
    client = mlflow_client(work)
    return _run(client, _find(client, run))


def search_runs(work: Work, experiment: str, where: str, order_by: str, limit: int, cursor: str) -> Page[RunLine]:
    """One page of runs. MLflow answers an unknown experiment, metric or param with silence; here each is an error."""
    client = mlflow_client(work)
    experiments = _experiments(work, experiment)
    for text in (where, order_by):
        for match in REFERENCE.finditer(text):
            _require_key(client, experiments, match)
    with translated():
        found = client.search_runs(
            experiments,
            filter_string=where,
            max_results=limit,
            order_by=[order_by] if order_by else None,
            page_token=cursor or None,
        )
    token = found.token
    return Page(
        items=[_line(run) for run in found],
        next_cursor=token.decode() if isinstance(token, bytes) else token or None,
    )


def experiment_ids(work: Work) -> dict[str, str]:
    """Name -> id of the active experiments."""
    client = mlflow_client(work)
    with translated():
        found = client.search_experiments(max_results=1000)
    return {experiment.name: experiment.experiment_id for experiment in found}


def _experiments(work: Work, name: str) -> list[str]:
    known = experiment_ids(work)
    if not name:
        return list(known.values())
    full = f"{work.settings.mlflow.experiment_prefix}{name}"
    for candidate in (full, name):
        if candidate in known:
            return [known[candidate]]
    if name in known.values():
        return [name]
    raise unknown("experiment", name, known)


def _require_key(client: MlflowClient, experiments: list[str], match: re.Match[str]) -> None:
    kind = "metrics" if match["kind"].lower().startswith("metric") else "params"
    key = match["ticked"] or match["quoted"] or match["bare"]
    probe = f"metrics.`{key}` > -1.7e308" if kind == "metrics" else f"params.`{key}` LIKE '%'"
    with translated():
        if client.search_runs(experiments, filter_string=probe, max_results=1):
            return
        recent = client.search_runs(experiments, max_results=200)
    known = {name for run in recent for name in getattr(run.data, kind)}
    raise unknown(kind.rstrip("s"), key, known)


def _find(client: MlflowClient, run: str) -> MlflowRun:
    from mlflow.exceptions import MlflowException

    identity = parse(run, "run").name
    try:
        return client.get_run(identity)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            with translated():
                raise
    experiments = [found.experiment_id for found in client.search_experiments(max_results=100)]
    recent = client.search_runs(experiments, max_results=100) if experiments else []
    raise unknown("run", run, (f"run:{found.info.run_id}" for found in recent), "search_runs lists them.", limit=3)


def _require_open(client: MlflowClient, run: str) -> str:
    found = _find(client, run)
    if found.info.lifecycle_stage == "deleted":
        raise ToolFailure(f"run:{found.info.run_id} is deleted", "Start a new run.")
    return found.info.run_id


def _check_values(params: dict[str, JsonValue], metrics: dict[str, float]) -> None:
    for key, value in metrics.items():
        if not math.isfinite(value):
            raise ToolFailure(f"metric {key} is {value}, which MLflow would store as another number", "Leave it out.")
    for key, param in params.items():
        if len(str(param)) > MAX_PARAM:
            raise ToolFailure(f"param {key} has more than {MAX_PARAM} characters", "Log it as an artifact.")


def _run(client: MlflowClient, run: MlflowRun) -> Run:
    info, data = run.info, run.data
    with translated():
        experiment = client.get_experiment(info.experiment_id).name
    params, metrics = dict(sorted(data.params.items())), dict(sorted(data.metrics.items()))
    hidden = max(0, len(params) - MAX_SHOWN) + max(0, len(metrics) - MAX_SHOWN)
    outputs = run.outputs.model_outputs if run.outputs else []
    return Run(
        run=f"run:{info.run_id}",
        name=info.run_name or "",
        experiment=experiment,
        status=cast(RunStatus, info.status),
        started=_time(info.start_time),
        duration_s=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        artifact_uri=info.artifact_uri or "",
        params={key: value[:200] for key, value in list(params.items())[:MAX_SHOWN]},
        metrics=_finite(dict(list(metrics.items())[:MAX_SHOWN])),
        tags=_visible(data.tags),
        models=[f"models:/{output.model_id}" for output in outputs],
        omitted=f"{hidden} params and metrics" if hidden else None,
    )


def _line(run: MlflowRun) -> RunLine:
    return RunLine(
        run=f"run:{run.info.run_id}",
        name=run.info.run_name or "",
        status=cast(RunStatus, run.info.status),
        started=_time(run.info.start_time),
        metrics=_finite(dict(sorted(run.data.metrics.items())[:12])),
        params={key: value[:60] for key, value in sorted(run.data.params.items())[:12]},
    )


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {key: number for key, value in metrics.items() if (number := finite(value)) is not None}


def _visible(tags: dict[str, str]) -> dict[str, str]:
    return {key: value[:200] for key, value in tags.items() if not key.startswith("mlflow.")}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
