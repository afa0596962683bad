"""Registered models and their versions (mlflow.MlflowClient)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ..data.store import resolve
from ..errors import ToolFailure, Unavailable, unknown
from ..handles import Handle, parse_model
from ..lineage import Lineage
from ..locks import locked
from ..modeling.card import Label, ModelCard
from ..modeling.frame import design
from ..modeling.pipelines import scores
from ..modeling.store import StoredModel, find_model, foreign_file, load_effect_model, load_pipeline
from ..modeling.store import log_model as store_model
from ..paging import Page, page
from ..runtime.work import Work
from ..tracking.client import end_run, everything, opened, require_running, start_run
from ..tracking.models import cut, fit
from ..user_files import readable
from .files import read_model
from .models import CheckResult, LoggedModel, LogRequest, ModelLine, ModelVersion, RegisteredModel, Stage, Transition

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel as RegisteredEntity
    from sklearn.pipeline import Pipeline

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
CHECK_ROWS = 5
MAX_DESCRIPTION = 5000
# Characters on the wire: of a version that is looked at alone, and of one in a list.
ALONE, LISTED = 1000, 100
PATIENCE_S = 30.0


def register_model(work: Work, model: str, name: str, tags: dict[str, str], description: str) -> ModelVersion:
    """Register a trained model under a name; the same model under the same name stays one version."""
    _check_name(name)
    source = find_model(work, model, effects=True)
    with opened(work) as client, changing(work):
        _check_texts(tags, description)
        version = str(_version_of(client, name, source, tags).version)
        for key, value in tags.items():
            client.set_model_version_tag(name, version, key, value)
        if description:
            client.update_model_version(name, version, description)
        aliases = client.get_registered_model(name).aliases
        found = _version(client.get_model_version(name, version), aliases, ALONE)
    Lineage(work.home).record(found.model, [source.uri], "register_model")
    return found


def _check_name(name: str) -> None:
    if not MODEL_NAME.fullmatch(name):
        raise ToolFailure(
            f"{name!r} cannot name a model",
            "Begin with a letter or digit, go on with letters, digits, _, - and ., up to 100.",
        )


def _check_texts(tags: dict[str, str], description: str) -> None:
    """What MLflow would refuse after the version is made already."""
    from mlflow.utils.validation import _validate_model_version_tag  # pyright: ignore[reportPrivateUsage]

    if len(description) > MAX_DESCRIPTION:
        raise ToolFailure(f"the description has more than {MAX_DESCRIPTION} characters", "Shorten it.")
    for key, value in tags.items():
        if not key.strip():
            raise ToolFailure("a tag without a name", "Pass tags as {name: value}.")
        _validate_model_version_tag(key, value)


def _version_of(client: MlflowClient, name: str, source: StoredModel, tags: dict[str, str]) -> MlflowVersion:
    """The version with this source, made if there is none; a name whose first version fails is not left behind."""
    created = _ensure_name(client, name)
    try:
        return _same_source(client, name, source) or client.create_model_version(
            name, source.uri, tags=tags, model_id=source.uri.removeprefix("models:/")
        )
    except BaseException:
        if created and not client.search_model_versions(f"name='{name}'", max_results=1):
            client.delete_registered_model(name)
        raise


def log_model(work: Work, request: LogRequest) -> LoggedModel:
    """Log a trained model, or one from a file, in a run that has not ended, and register it if a name is given."""
    if bool(request.model) == bool(request.path):
        raise ToolFailure(
            "one model is logged at a time", "Pass either `model`, or `path` with `dataset` and `target`."
        )
    if bool(request.dataset) != bool(request.target) or (request.path and not request.dataset):
        raise ToolFailure(
            "a model file does not say what it predicts", "Pass the `dataset` and `target` it was made for."
        )
    if request.register_as:
        _check_name(request.register_as)
    given = require_running(work, request.run, "a model") if request.run else ""
    pipeline, card, rows, parents = _taken_in(work, request)
    run = given or start_run(work, "", f"log {card.algorithm}", {}).run
    uri = store_model(work, pipeline, card, run.removeprefix("run:"), rows)
    Lineage(work.home).record(uri, parents, "log_model")
    if not given:
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


def _taken_in(work: Work, request: LogRequest) -> tuple[Pipeline, ModelCard, pd.DataFrame, list[str]]:
    """The fitted pipeline, its card, rows it can predict, and what it came from.

    A model with a dataset and a target beside it is one that MLflow alone has logged.
    """
    if request.model and not request.dataset:
        source = find_model(work, request.model)
        card = source.card
        rows = design(resolve(work, card.dataset).frame(card.names).head(CHECK_ROWS), card)
        return load_pipeline(source), card, rows, [source.uri]
    file = foreign_file(work, request.model) if request.model else readable(work.settings, request.path)
    pipeline, card, rows = read_model(work, file, request.preprocessor, request.dataset, request.target)
    return pipeline, card, rows, [request.model or f"file:{file}", card.dataset]


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
        registered, versions = versions_of(client, wanted.name)
    chosen = _chosen(wanted, registered, versions) if named else _current(registered, versions)
    shown = [chosen, *(entry for entry in versions if entry is not chosen)][:limit]
    found = RegisteredModel(
        name=wanted.name,
        description=cut(registered.description or "", ALONE),
        versions=[
            _version(entry, registered.aliases, ALONE if named and entry is chosen else LISTED) for entry in shown
        ],
        omitted=len(versions) - len(shown),
    )
    return _described(work, found, check)


def _current(registered: RegisteredEntity, versions: list[MlflowVersion]) -> MlflowVersion:
    """The newest version in Production, else the one that others gave its alias, else the newest of all."""
    alias = str(registered.aliases.get("production", ""))
    staged = [version for version in versions if version.current_stage == "Production"]
    return next(iter(staged + [version for version in versions if str(version.version) == alias]), versions[0])


def _described(work: Work, found: RegisteredModel, check: bool) -> RegisteredModel:
    """With what its first version takes and gives, or why that cannot be said."""
    handle = found.versions[0].model
    try:
        stored = find_model(work, handle, effects=True)
    except Unavailable:
        raise
    except ToolFailure as failure:
        failed = CheckResult(loaded=False, error=failure.message) if check else None
        return found.model_copy(update={"notes": [str(failure)], "check": failed})
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
    wanted = parse_model(name)
    if wanted.version or wanted.alias:
        raise ToolFailure(
            f"{name!r} names one version already", f"Pass model:{wanted.name}, or read that version with get_model."
        )
    with opened(work) as client:
        registered, versions = versions_of(client, wanted.name)
    for stage in stages:
        for version in versions:
            if version.current_stage == stage:
                return _version(version, registered.aliases, ALONE)
    held = sorted({str(version.current_stage) for version in versions})
    raise ToolFailure(
        f"model:{wanted.name} has no version in {' or '.join(stages)}",
        f"Its versions are in: {', '.join(held)}. transition_stage moves one.",
    )


def transition_stage(work: Work, model: str, stage: Stage, archive_existing: bool) -> Transition:
    """Move a version to a stage; the stage is kept as an alias and a tag too, all under one lock."""
    wanted = parse_model(model)
    alias = stage.lower() if stage in ("Staging", "Production") else None
    with opened(work) as client, changing(work), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        registered, versions = versions_of(client, wanted.name)
        chosen = _chosen(wanted, registered, versions)
        number = str(chosen.version)
        if alias:
            _require_loadable(work, str(Handle("model", wanted.name, number)))
        others = [version for version in versions if version is not chosen and version.current_stage == stage]
        archived = others if archive_existing and alias else []
        client.transition_model_version_stage(wanted.name, number, stage, bool(archived))
        for version in archived:
            client.set_model_version_tag(wanted.name, str(version.version), "stage", "Archived")
        client.set_model_version_tag(wanted.name, number, "stage", stage)
        _move_alias(client, wanted.name, number, alias)
    return Transition(
        model=str(Handle("model", wanted.name, number)),
        stage=stage,
        alias=alias,
        archived=[str(Handle("model", wanted.name, str(version.version))) for version in archived],
    )


def _require_loadable(work: Work, version: str) -> None:
    """What is to be used has to be a model that can be used.

    Raises:
        ToolFailure: its files are not there, are not those that were saved, or hold what is not trusted.
    """
    stored = find_model(work, version, effects=True)
    if stored.card.task == "effect":
        load_effect_model(work, stored)
    else:
        load_pipeline(stored)


def _move_alias(client: MlflowClient, name: str, version: str, alias: str | None) -> None:
    """A version holds the alias of its stage and of no other."""
    held = client.get_model_version(name, version).aliases
    for other in {"staging", "production"} & set(held) - {alias}:
        client.delete_registered_model_alias(name, other)
    if alias:
        client.set_registered_model_alias(name, alias, version)


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


def _same_source(client: MlflowClient, name: str, source: StoredModel) -> MlflowVersion | None:
    found = client.search_model_versions(f"name='{name}'")
    return next((version for version in found if version.source == source.uri), None)


def versions_of(client: MlflowClient, name: str) -> tuple[RegisteredEntity, list[MlflowVersion]]:
    """A registered model and its versions, newest first, of which there is at least one."""
    from mlflow.exceptions import MlflowException

    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [model.name for model in client.search_registered_models(max_results=1000)]
        raise unknown("registered model", name, names, "register_model makes one.") from error
    quoted = name.replace("'", "")
    found = everything(lambda token: client.search_model_versions(f"name='{quoted}'", page_token=token))
    if not found:
        raise ToolFailure(f"model:{name} has no version yet", f"register_model(model=…, name={name!r}) makes one.")
    return registered, sorted(found, key=lambda version: int(version.version), reverse=True)


def _chosen(wanted: Handle, registered: RegisteredEntity, versions: list[MlflowVersion]) -> MlflowVersion:
    """The version that a handle names by its number or an alias."""
    aliases = {alias: str(version) for alias, version in registered.aliases.items()}
    if wanted.alias and wanted.alias not in aliases:
        raise unknown(f"alias of model:{wanted.name}", wanted.alias, aliases)
    number = aliases[wanted.alias] if wanted.alias else wanted.version
    if not number:
        raise ToolFailure(f"{wanted} names no version", f"Pass model:{wanted.name}/<version>.")
    known = {str(version.version): version for version in versions}
    if number not in known:
        raise unknown(f"version of model:{wanted.name}", number, known)
    return known[number]


def _version(version: MlflowVersion, aliases: Mapping[str, object], chars: int) -> ModelVersion:
    """One version; the aliases come with the registered model, a search leaves them out."""
    handle = str(Handle("model", version.name, str(version.version)))
    tags = {key: cut(str(value), chars) for key, value in (version.tags or {}).items()}
    shown = fit(tags, chars)
    left = len(tags) - len(shown)
    return ModelVersion(
        model=handle,
        version=int(version.version),
        stage=cast(Stage, version.current_stage or "None"),
        aliases=sorted(alias for alias, held in aliases.items() if str(held) == str(version.version)),
        source=version.source or "",
        run=f"run:{version.run_id}" if version.run_id else None,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        description=cut(version.description or "", chars),
        tags=shown,
        more=f"{left} tags" + (f": get_model({handle!r})" if chars == LISTED else "") if left else None,
    )


def _check(work: Work, model: StoredModel) -> CheckResult:
    """Predictions of the first rows of the training data: labels, numbers, or effects."""
    loaded = False
    try:
        _require_loadable(work, model.handle)
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


def changing(work: Work) -> AbstractContextManager[None]:
    """MLflow's setters are a transaction each: two promotions at once would mix."""
    return locked(work.home / "registry.lock", PATIENCE_S, "the model registry is being changed")
