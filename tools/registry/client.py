"""Registered models and their versions (mlflow.MlflowClient)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ..data.store import resolve
from ..errors import ToolFailure, unknown
from ..files import readable
from ..handles import Handle, parse
from ..lineage import Lineage
from ..locks import locked
from ..modeling.card import Label
from ..modeling.frame import design
from ..modeling.store import StoredModel, find_model, load_pipeline
from ..modeling.store import log_model as store_model
from ..paging import Page, page
from ..runtime.work import Work
from ..tracking.backend import mlflow_client, translated
from ..tracking.client import end_run, get_run, start_run
from .files import read_model
from .models import (
    CheckResult,
    LoggedModel,
    LogRequest,
    ModelLine,
    ModelVersion,
    RegisteredModel,
    Stage,
    Transition,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
CHECK_ROWS = 5
PATIENCE_S = 30.0


def register_model(work: Work, model: str, name: str, tags: dict[str, str], description: str) -> ModelVersion:
    """Register a trained model under a name; the same model under the same name stays one version."""
    if not MODEL_NAME.fullmatch(name):
        raise ToolFailure(f"{name!r} cannot name a model", "Use letters, digits, _, - and ., e.g. credit_risk.")
    source = find_model(work, model)
    client = mlflow_client(work)
    with _locked(work), translated():
        _ensure_name(client, name)
        version = _same_source(client, name, source) or client.create_model_version(name, source.uri, tags=tags)
        for key, value in tags.items():
            client.set_model_version_tag(name, str(version.version), key, value)
        if description:
            client.update_model_version(name, str(version.version), description)
        found = _version(client.get_model_version(name, str(version.version)), _aliases(client, name))
    Lineage(work.home).record(found.model, [source.uri], "register_model")
    return found


def log_model(work: Work, request: LogRequest) -> LoggedModel:
    """Log a trained model, or one from a file, in a run, and register it if a name is given."""
    if bool(request.model) == bool(request.path):
        raise ToolFailure(
            "one model is logged at a time", "Pass either `model`, or `path` with `dataset` and `target`."
        )
    if request.path and not (request.dataset and request.target):
        raise ToolFailure(
            "a model file does not say what it predicts", "Pass the `dataset` and `target` it was made for."
        )
    if request.model:
        source = find_model(work, request.model)
        pipeline, card = load_pipeline(source), source.card
        rows, parents = design(resolve(work, card.dataset).frame(card.names).head(CHECK_ROWS), card), [source.uri]
    else:
        pipeline, card, rows = read_model(work, request.path, request.preprocessor, request.dataset, request.target)
        parents = [f"file:{readable(work.settings, request.path)}", card.dataset]
    run = request.run or start_run(work, "", f"log {card.algorithm}", {}).run
    uri = store_model(work, pipeline, card, get_run(work, run).run.removeprefix("run:"), rows)
    Lineage(work.home).record(uri, parents, "log_model")
    if not request.run:
        end_run(work, run, "FINISHED")
    return LoggedModel(
        model=uri,
        run=run,
        algorithm=card.algorithm,
        task=card.task,
        features=card.names,
        classes=card.classes,
        registered=register_model(work, uri, request.register_as, {}, "").model if request.register_as else None,
    )


def list_models(work: Work, limit: int, cursor: str) -> Page[ModelLine]:
    client = mlflow_client(work)
    with translated():
        found = client.search_registered_models(max_results=1000)
    lines = [
        ModelLine(
            name=model.name,
            latest_version=max((int(version.version) for version in model.latest_versions or ()), default=None),
            aliases={alias: str(version) for alias, version in model.aliases.items()},
            description=(model.description or "")[:200],
        )
        for model in found
    ]
    return page(lines, limit, cursor)


def get_model(work: Work, model: str, limit: int, check: bool) -> RegisteredModel:
    """Read a registered model; with `check`, prove that the version loads and predicts."""
    client = mlflow_client(work)
    wanted = parse(model.partition("@")[0], "model")
    versions = _versions(client, wanted.name)
    with translated():
        registered = client.get_registered_model(wanted.name)
    chosen = model if wanted.version or "@" in model else f"model:{wanted.name}/{versions[0].version}"
    stored = find_model(work, chosen)
    return RegisteredModel(
        name=wanted.name,
        description=registered.description or "",
        versions=[_version(version, registered.aliases) for version in versions[:limit]],
        omitted=max(0, len(versions) - limit),
        algorithm=stored.card.algorithm,
        target=stored.card.target,
        classes=stored.card.classes,
        inputs=stored.card.features,
        check=_check(work, stored) if check else None,
    )


def get_latest_version(work: Work, name: str, stages: list[Stage]) -> ModelVersion:
    """The newest version in the first of the stages that holds one."""
    client = mlflow_client(work)
    bare = parse(name, "model").name
    found = _versions(client, bare)
    versions = [_version(version, _aliases(client, bare)) for version in found]
    for stage in stages:
        for version in versions:
            if version.stage == stage:
                return version
    held = sorted({version.stage for version in versions})
    raise ToolFailure(
        f"model:{bare} has no version in {' or '.join(stages)}",
        f"Its versions are in: {', '.join(held)}. transition_stage moves one.",
    )


def transition_stage(work: Work, model: str, stage: Stage, archive_existing: bool) -> Transition:
    """Move a version to a stage; the stage is kept as an alias and a tag too, all under one lock."""
    client = mlflow_client(work)
    wanted = parse(model, "model")
    versions = _versions(client, wanted.name)
    if not wanted.version:
        raise ToolFailure(f"{model} names no version", f"Pass model:{wanted.name}/<version>.")
    if wanted.version not in (known := [str(version.version) for version in versions]):
        raise unknown(f"version of model:{wanted.name}", wanted.version, known)
    alias = stage.lower() if stage in ("Staging", "Production") else None
    with _locked(work), translated(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        before = [version for version in _versions(client, wanted.name) if str(version.version) != wanted.version]
        archived = [version for version in before if archive_existing and alias and version.current_stage == stage]
        client.transition_model_version_stage(wanted.name, wanted.version, stage, bool(archived))
        for version in archived:
            client.set_model_version_tag(wanted.name, str(version.version), "stage", "Archived")
        client.set_model_version_tag(wanted.name, wanted.version, "stage", stage)
        _move_alias(client, wanted, alias)
    return Transition(
        model=str(wanted),
        stage=stage,
        alias=alias,
        archived=[str(Handle("model", wanted.name, str(version.version))) for version in archived],
    )


def _move_alias(client: MlflowClient, model: Handle, alias: str | None) -> None:
    """A version holds the alias of its stage and of no other."""
    held = client.get_model_version(model.name, model.version).aliases
    for other in {"staging", "production"} & set(held) - {alias}:
        client.delete_registered_model_alias(model.name, other)
    if alias:
        client.set_registered_model_alias(model.name, alias, model.version)


def _ensure_name(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _same_source(client: MlflowClient, name: str, source: StoredModel) -> MlflowVersion | None:
    found = client.search_model_versions(f"name='{name}'")
    return next((version for version in found if version.source == source.uri), None)


def _versions(client: MlflowClient, name: str) -> list[MlflowVersion]:
    with translated():
        found = client.search_model_versions(f"name='{name.replace(chr(39), '')}'")
        if not found:
            names = [model.name for model in client.search_registered_models(max_results=200)]
            raise unknown("registered model", name, names, "register_model makes one.")
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def _aliases(client: MlflowClient, name: str) -> Mapping[str, object]:
    with translated():
        return client.get_registered_model(name).aliases


def _version(version: MlflowVersion, aliases: Mapping[str, object]) -> ModelVersion:
    """One version; the aliases come with the registered model, a search leaves them out."""
    return ModelVersion(
        model=str(Handle("model", version.name, str(version.version))),
        version=int(version.version),
        stage=cast(Stage, version.current_stage or "None"),
        aliases=sorted(alias for alias, held in aliases.items() if str(held) == str(version.version)),
        source=version.source or "",
        run=f"run:{version.run_id}" if version.run_id else None,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        description=version.description or "",
        tags={key: str(value)[:200] for key, value in (version.tags or {}).items()},
    )


def _check(work: Work, model: StoredModel) -> CheckResult:
    pipeline = load_pipeline(model)
    rows = resolve(work, model.card.dataset).frame(model.card.names).head(CHECK_ROWS)
    predicted = pipeline.predict(design(rows, model.card)).tolist()
    labels: list[Label] = [model.card.classes[int(value)] for value in predicted] if model.card.classes else predicted
    return CheckResult(loaded=True, rows=len(rows), predictions=labels)


def _locked(work: Work) -> AbstractContextManager[None]:
    """MLflow's setters are a transaction each: two promotions at once would mix."""
    return locked(work.home / "registry.lock", PATIENCE_S, "the model registry is being changed")
