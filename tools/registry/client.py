"""Registered models and their versions (mlflow.MlflowClient)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..data.store import resolve
from ..errors import ToolFailure, Unavailable
from ..handles import Handle, parse_model
from ..lineage import Lineage
from ..modeling.card import Label, ModelCard
from ..modeling.frame import design
from ..modeling.local import is_local, set_logged
from ..modeling.pipelines import scores
from ..modeling.record import TrainingRecord, read_record
from ..modeling.rows import Rows, trained_rows
from ..modeling.store import StoredModel, find_model, load_effect_model, load_pipeline
from ..modeling.store import log_model as store_model
from ..paging import Page, page
from ..runtime.work import Work
from ..tracking.checks import OWNER, check_claims, owned
from ..tracking.client import log_run
from ..tracking.connection import everything, opened
from ..tracking.ending import logging_run
from ..tracking.models import cut, fit
from ..undo import deletes
from .foreign.shown import foreign_view
from .models import CheckResult, LoggedModel, LogRequest, ModelLine, ModelVersion, RegisteredModel, Stage
from .stages import history_of
from .versions import ALONE, LISTED, bare_name, changing, check_name, is_own_tag, read_versions, require_loadable

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel as RegisteredEntity
    from sklearn.pipeline import Pipeline

CHECK_ROWS = 5
MAX_DESCRIPTION = 5000


def register_model(work: Work, model: str, name: str, tags: dict[str, str], description: str) -> ModelVersion:
    """Register a trained model under a name; the same model under the same name stays one version."""
    check_name(name)
    source = find_model(work, model, effects=True)
    if is_local(source.uri):
        raise ToolFailure(f"{model} is not logged yet", f"log_model(model={model!r}, name={name!r}) does both.")
    with opened(work) as client, changing(work):
        _check_texts(tags, description)
        entity, new = _version_of(client, name, source, tags | owned(work.by.name, OWNER))
        version = str(entity.version)
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
        if description:
            client.update_model_version(name, version, description)
        found = read_versions(client, name)
        shown = found.shown(found.named(Handle("model", name, version)), ALONE)
    Lineage(work.home).record(shown.model, [source.uri], "register_model")
    return shown.model_copy(update={"undo": deletes(shown.model) if new else None})


def _check_texts(tags: dict[str, str], description: str) -> None:
    """What MLflow would refuse after the version is made already."""
    from mlflow.utils.validation import _validate_model_version_tag  # pyright: ignore[reportPrivateUsage]

    check_claims(tags)
    if len(description) > MAX_DESCRIPTION:
        raise ToolFailure(f"the description has more than {MAX_DESCRIPTION} characters", "Shorten it.")
    for key, value in tags.items():
        if not key.strip():
            raise ToolFailure("a tag without a name", "Pass tags as {name: value}.")
        if is_own_tag(key):
            raise ToolFailure(f"tag {key} says what became of a version, and is set by the server", "Leave it out.")
        _validate_model_version_tag(key, value)


def _version_of(
    client: MlflowClient, name: str, source: StoredModel, tags: dict[str, str]
) -> tuple[MlflowVersion, bool]:
    """The version with this source, and whether it is new; a name whose first version fails is not left behind."""
    created = _ensure_name(client, name)
    try:
        if there := same_source(client, name, source):
            return there, False
        identity = source.uri.removeprefix("models:/")
        return client.create_model_version(name, source.uri, tags=tags, model_id=identity), True
    except BaseException:
        if created and not client.search_model_versions(f"name='{name}'", max_results=1):
            client.delete_registered_model(name)
        raise


def log_model(work: Work, request: LogRequest) -> LoggedModel:
    """Log a trained model in a run that has not ended, and register it if a name is given."""
    if request.name:
        check_name(request.name)
    taken = _taken_in(work, request.model)
    card, record = taken.card, taken.record
    asked = record.request if record and taken.unlogged else {}
    title = f"train {card.algorithm}" if asked else f"log {card.algorithm}"
    with logging_run(work, request.run, str(asked.get("experiment", "")), title) as run:
        if taken.unlogged and record:
            log_run(work, run, record.params, record.metrics, 0, record.tags)
        uri = store_model(work, taken.pipeline, card, run.removeprefix("run:"), taken.sample, taken.rows, record)
        Lineage(work.home).record(uri, taken.parents, "log_model")
        if taken.unlogged:
            set_logged(work, request.model, uri)
    version = register_model(work, uri, request.name, {}, "").model if request.name else None
    return LoggedModel(
        model=uri,
        run=run,
        algorithm=card.algorithm,
        task=card.task,
        features=card.names,
        classes=card.classes,
        registered=version,
        undo=deletes(version, uri, None if request.run else run),
    )


@dataclass(frozen=True)
class TakenIn:
    """A fitted pipeline, its card, rows it can predict, and what it came from; of a trained one also how.

    `unlogged` says that its scores stand in no run yet.
    """

    pipeline: Pipeline
    card: ModelCard
    sample: pd.DataFrame
    parents: list[str]
    rows: Rows | None = None
    record: TrainingRecord | None = None
    unlogged: bool = False


def _taken_in(work: Work, reference: str) -> TakenIn:
    source = find_model(work, reference)
    card, record = source.card, read_record(source.folder)
    sample = design(resolve(work, card.dataset).frame(card.names).head(CHECK_ROWS), card)
    parents = [source.uri, *(record.parents if record else [])]
    rows = trained_rows(work, source.folder, card)
    return TakenIn(load_pipeline(source), card, sample, parents, rows, record, is_local(source.uri))


def list_models(work: Work, limit: int, cursor: str) -> Page[ModelLine]:
    lines = [
        ModelLine(
            name=model.name,
            latest_version=max((int(version.version) for version in model.latest_versions or ()), default=None),
            aliases=fit({alias: str(version) for alias, version in model.aliases.items()}, LISTED),
            description=cut(model.description or "", LISTED),
        )
        for model in _registered(work)
    ]
    return page(lines, limit, cursor)


def model_names(work: Work) -> list[str]:
    return [model.name for model in _registered(work)]


def _registered(work: Work) -> list[RegisteredEntity]:
    with opened(work) as client:
        return everything(lambda token: client.search_registered_models(max_results=1000, page_token=token))


def get_model(work: Work, model: str, limit: int, check: bool) -> RegisteredModel:
    """Read a registered model; with `check`, prove that the version loads and predicts.

    A version that is broken or comes from elsewhere is shown with what is wrong with it.
    """
    wanted = parse_model(model)
    named = bool(wanted.version or wanted.alias)
    with opened(work) as client:
        versions = read_versions(client, wanted.name)
    chosen = versions.named(wanted) if named else versions.in_production or versions.all[0]
    listed = [chosen, *(entry for entry in versions.all if entry is not chosen)][:limit]
    found = RegisteredModel(
        name=wanted.name,
        description=cut(versions.entity.description or "", ALONE),
        versions=[versions.shown(entry, ALONE if named and entry is chosen else LISTED) for entry in listed],
        omitted=len(versions.all) - len(listed),
        history=history_of([chosen] if named else versions.all)[:limit],
    )
    return _described(work, found, check)


def _described(work: Work, found: RegisteredModel, check: bool) -> RegisteredModel:
    """With what its first version takes and gives, or why that cannot be said."""
    handle = found.versions[0].model
    try:
        stored = find_model(work, handle, effects=True)
    except Unavailable:
        raise
    except ToolFailure as failure:
        failed = CheckResult(loaded=False, error=failure.message) if check else None
        told = {"notes": [str(failure)], "check": failed, "foreign": foreign_view(work, handle)}
        return found.model_copy(update=told)
    about = {
        "algorithm": stored.card.algorithm,
        "target": stored.card.target,
        "classes": stored.card.classes,
        "inputs": stored.card.features,
        "check": _check(work, stored) if check else None,
    }
    return found.model_copy(update=about)


def get_latest_version(work: Work, name: str, stages: list[Stage]) -> ModelVersion:
    """The newest version in the first of the stages that holds one."""
    wanted = bare_name(name)
    with opened(work) as client:
        versions = read_versions(client, wanted)
    for stage in stages:
        for version in versions.all:
            if version.current_stage == stage:
                return versions.shown(version, ALONE)
    held = sorted({str(version.current_stage) for version in versions.all})
    raise ToolFailure(
        f"model:{wanted} has no version in {' or '.join(stages)}",
        f"Its versions are in: {', '.join(held)}. transition_stage moves one.",
    )


def _ensure_name(client: MlflowClient, name: str) -> bool:
    """Whether the name is new."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def same_source(client: MlflowClient, name: str, source: StoredModel) -> MlflowVersion | None:
    found = client.search_model_versions(f"name='{name}'")
    return next((version for version in found if version.source == source.uri), None)


def _check(work: Work, model: StoredModel) -> CheckResult:
    """Predictions of the first rows of the training data: labels, numbers, or effects."""
    loaded = False
    try:
        require_loadable(work, model.handle)
        loaded = True
        rows = design(resolve(work, model.card.dataset).frame(model.card.names).head(CHECK_ROWS), model.card)
        return CheckResult(loaded=True, rows=len(rows), predictions=_answers(work, model, rows))
    except Unavailable:
        raise
    except ToolFailure as failure:
        return CheckResult(loaded=loaded, error=str(failure))


def _answers(work: Work, model: StoredModel, rows: pd.DataFrame) -> list[Label]:
    if model.card.task == "effect":
        answers: list[Label] = load_effect_model(work, model).effects(rows).ravel().tolist()
        return answers
    found = scores(load_pipeline(model), rows, model.card)
    return [model.card.classes[row.argmax()] for row in found] if model.card.classes else found.tolist()
