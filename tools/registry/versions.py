"""The versions of a registered model: which there are, which one is meant, and how one is shown."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from ..errors import ToolFailure, unknown
from ..handles import Handle, parse_model
from ..locks import locked
from ..modeling.store import find_model, load_effect_model, load_pipeline
from ..runtime.work import Work
from ..tracking.connection import versions_of
from ..tracking.models import cut, fit
from .models import ModelVersion, Stage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel as RegisteredEntity

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# The tag in which a version keeps its changes of stage.
HISTORY = "stage_history"
# And what promote_model found, whole; the tags that begin with `promotion` say it to people.
JUDGED, PROMOTION = "promotion_judged", "promotion"
# Characters on the wire: of a version that is looked at alone, and of one in a list.
ALONE, LISTED = 1000, 100
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Versions:
    """A registered model with its versions, newest first, of which there is at least one."""

    entity: RegisteredEntity
    all: list[MlflowVersion]

    def named(self, wanted: Handle) -> MlflowVersion:
        """The version that a handle names by its number or an alias."""
        aliases = {alias: str(version) for alias, version in self.entity.aliases.items()}
        if wanted.alias and wanted.alias not in aliases:
            raise unknown(f"alias of model:{wanted.name}", wanted.alias, aliases)
        number = aliases[wanted.alias] if wanted.alias else wanted.version
        if not number:
            raise ToolFailure(f"{wanted} names no version", f"Pass model:{wanted.name}/<version>.")
        known = {str(version.version): version for version in self.all}
        if number not in known:
            raise unknown(f"version of model:{wanted.name}", number, known)
        return known[number]

    @property
    def in_production(self) -> MlflowVersion | None:
        """The newest version in Production, else the one that others gave its alias."""
        alias = str(self.entity.aliases.get("production", ""))
        staged = [version for version in self.all if version.current_stage == "Production"]
        return next(iter(staged + [version for version in self.all if str(version.version) == alias]), None)

    def shown(self, version: MlflowVersion, chars: int) -> ModelVersion:
        """One version; its aliases come with the registered model, a search leaves them out."""
        handle = handle_of(version)
        tags = {
            key: cut(str(value), chars) for key, value in (version.tags or {}).items() if key not in (HISTORY, JUDGED)
        }
        kept = fit(tags, chars)
        left = len(tags) - len(kept)
        aliases = self.entity.aliases.items()
        return ModelVersion(
            model=handle,
            version=int(version.version),
            stage=cast(Stage, version.current_stage or "None"),
            aliases=sorted(alias for alias, held in aliases if str(held) == str(version.version)),
            source=version.source or "",
            run=f"run:{version.run_id}" if version.run_id else None,
            created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            description=cut(version.description or "", chars),
            tags=kept,
            more=f"{left} tags" + (f": get_model({handle!r})" if chars == LISTED else "") if left else None,
        )


def handle_of(version: MlflowVersion) -> str:
    return str(Handle("model", version.name, str(version.version)))


def check_name(name: str) -> str:
    if not MODEL_NAME.fullmatch(name):
        raise ToolFailure(
            f"{name!r} cannot name a model",
            "Begin with a letter or digit, go on with letters, digits, _, - and ., up to 100.",
        )
    return name


def bare_name(text: str) -> str:
    """The name in a handle that names no version.

    Raises:
        ToolFailure: it names one.
    """
    wanted = parse_model(text)
    if wanted.version or wanted.alias:
        raise ToolFailure(
            f"{text!r} names one version already", f"Pass model:{wanted.name}, or read that version with get_model."
        )
    return wanted.name


def read_versions(client: MlflowClient, name: str) -> Versions:
    """Raises ToolFailure for a name that does not exist or has no version."""
    from mlflow.exceptions import MlflowException

    try:
        registered = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [model.name for model in client.search_registered_models(max_results=1000)]
        raise unknown("registered model", name, names, "register_model makes one.") from error
    found = versions_of(client, name)
    if not found:
        raise ToolFailure(f"model:{name} has no version yet", f"register_model(model=…, name={name!r}) makes one.")
    return Versions(registered, sorted(found, key=lambda version: int(version.version), reverse=True))


def require_loadable(work: Work, version: str) -> None:
    """What is to be used has to be a model that can be used.

    Raises:
        ToolFailure: its files are not there, are not those that were saved, or hold what is not trusted.
    """
    stored = find_model(work, version, effects=True)
    if stored.card.task == "effect":
        load_effect_model(work, stored)
    else:
        load_pipeline(stored)


def changing(work: Work) -> AbstractContextManager[None]:
    """MLflow's setters are a transaction each: two promotions at once would mix."""
    return locked(work.home / "registry.lock", PATIENCE_S, "the model registry is being changed")


def is_own_tag(key: str) -> bool:
    """Whether it tells why a version is where it is: whoever asks believes it, so that no caller may write it."""
    return key in ("stage", HISTORY, JUDGED, PROMOTION) or key.startswith(f"{PROMOTION}.")
