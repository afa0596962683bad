"""How models go: logged ones (models:/m-…), registered versions, and names with all their versions."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ToolFailure, unknown
from ..handles import LOGGED_MODEL, parse_model
from ..removal import Found, Gone, Hold, Leftover, Removal, Remover, erase, files_in, roots, written
from ..runtime.work import Work
from ..tracking.connection import everything, opened, versions_of
from ..tracking.locations import local_folder
from ..undo import call, deletes
from .versions import changing, handle_of, read_versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

IN_USE = "Production"
# What MLflow says of what is not there, and of what was deleted.
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def find(work: Work, text: str) -> Found:
    identity = logged_id(text)
    return _find_logged(work, identity) if identity else _find_versions(work, text)


def remove(work: Work, found: Found) -> None:
    if identity := logged_id(found.handles[0]):
        _remove_logged(work, identity, found)
    else:
        _remove_versions(work, found)


def logged_id(text: str) -> str:
    """The id of a logged model; empty for a registered one."""
    name = text.strip().removeprefix("models:/").removeprefix("model:")
    return name if re.fullmatch(LOGGED_MODEL, name) else ""


def _find_logged(work: Work, identity: str) -> Found:
    """A logged model, which its registered versions need."""
    uri = f"models:/{identity}"
    with opened(work) as client:
        location = _location(client, identity)
        versions = _registered_from(client, uri)
    return Found(
        handles=(uri,),
        paths=_folders(work, identity, location),
        holds=tuple(Hold(uri, each, deletes(each)) for each in versions),
        notes=()
        if _local(work, identity, location)
        else (f"its files stay at {location}, which is not this server's",),
    )


def _remove_logged(work: Work, identity: str, found: Found) -> None:
    with opened(work) as client, changing(work):
        _location(client, identity)
        if versions := _registered_from(client, found.handles[0]):
            raise ToolFailure(f"{versions[0]} was made of {found.handles[0]} meanwhile", deletes(versions[0]))
        client.delete_logged_model(identity)
    erase(work.settings, found.paths)


def _location(client: MlflowClient, identity: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_logged_model(identity).artifact_location)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
    experiments = [each.experiment_id for each in client.search_experiments(max_results=100)]
    recent = client.search_logged_models(experiments, max_results=20) if experiments else []
    raise unknown("model", f"models:/{identity}", (f"models:/{each.model_id}" for each in recent), limit=3)


def _registered_from(client: MlflowClient, uri: str) -> list[str]:
    found: list[ModelVersion] = everything(lambda token: client.search_model_versions("", page_token=token))
    return [handle_of(version) for version in found if version.source == uri]


def _folders(work: Work, identity: str, location: str) -> tuple[Path, ...]:
    """Its own folder if it lies in ours, and the copy of one that lies elsewhere."""
    own = [folder] if (folder := _local(work, identity, location)) else []
    return tuple(path for path in (*own, _copies(work) / identity) if path.exists())


def _local(work: Work, identity: str, location: str) -> Path | None:
    """The folder of the model, which MLflow calls <experiment>/models/<id>/artifacts: another one may be anybody's."""
    folder = local_folder(location)
    ours = folder and any(folder.is_relative_to(each) for each in roots(work.settings))
    return folder.parent if folder and ours and folder.parts[-2:] == (identity, "artifacts") else None


def _find_versions(work: Work, text: str) -> Found:
    """A version, or all of a name, which goes with its last one."""
    wanted = parse_model(text)
    with opened(work) as client:
        found = read_versions(client, wanted.name)
        versions, aliases = found.all, found.entity.aliases
        number = str(aliases.get(wanted.alias, "")) if wanted.alias else wanted.version
        chosen = [each for each in versions if not (wanted.version or wanted.alias) or str(each.version) == number]
        if not chosen:
            raise unknown(f"version of model:{wanted.name}", wanted.version or wanted.alias, map(_number, versions))
        serving = {str(aliases.get(IN_USE.lower(), ""))}
    name = (f"model:{wanted.name}",) if len(chosen) == len(versions) else ()
    return Found(
        handles=(*map(handle_of, chosen), *name),
        holds=tuple(
            Hold(handle_of(each), f"{IN_USE}", call("transition_stage", model=handle_of(each), stage="Archived"))
            for each in chosen
            if each.current_stage == IN_USE or _number(each) in serving
        ),
        notes=tuple(f"{handle_of(each)} stands for {each.source}, which stays" for each in chosen[:3]),
    )


def _remove_versions(work: Work, found: Found) -> None:
    from mlflow.exceptions import MlflowException

    chosen = [parse_model(handle) for handle in found.handles if parse_model(handle).version]
    gone = 0
    with opened(work) as client, changing(work), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for each in chosen:
            try:
                if client.get_model_version(each.name, each.version).current_stage == IN_USE:
                    raise ToolFailure(f"{each} was put into {IN_USE} meanwhile", "Look at get_model.")
                client.delete_model_version(each.name, each.version)
            except MlflowException as error:
                if error.error_code not in ABSENT:
                    raise
                gone += 1
        if gone == len(chosen):
            raise Gone(found.handles)
        name = chosen[0].name
        if not versions_of(client, name):
            client.delete_registered_model(name)


def _number(version: ModelVersion) -> str:
    return str(version.version)


def _copies(work: Work) -> Path:
    return work.home / "cache" / "models"


def leftovers(work: Work) -> Iterator[Leftover]:
    """Copies of models that lie elsewhere: each is fetched again when it is needed."""
    for folder in sorted(_copies(work).glob("*")):
        yield Leftover("copy of a model", folder.name, (folder,), written(files_in([folder])))


REMOVAL = Removal(removers={"model": Remover(find, remove)}, leftovers=leftovers)
