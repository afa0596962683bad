"""Open the repository of a team: Feast reads a registry of ours made of theirs, and their stores."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....config.feast_file import is_read_only
from ....config.settings import Settings
from ...errors import ToolFailure, Unavailable, require
from ...locks import locked
from ...runtime.work import Work
from ...storage.state_files import private_folder, replaced
from ..registry import PATIENCE_S, database_errors, imported
from .configuration import Configuration, configuration
from .snapshot import snapshot
from .views import Catalog

SETTING = "feast.write_repository"


@dataclass(frozen=True)
class Team:
    """What a repository offers; `store` writes only to its online store, and not to its registry."""

    configured: Configuration
    store: Any
    catalog: Catalog


@contextmanager
def opened_team(work: Work) -> Generator[Team]:
    """The repository as it is now, with what Feast and its stores raise put into words.

    Raises:
        NotInstalled: a store needs a library that is missing.
        ToolFailure: its configuration names what is not used here, or its registry is none.
        Unavailable: a database of it does not answer.
    """
    require("feast")
    configured = configuration(work.settings.feast_home)
    try:
        yield _team(work, configured)
    except errors_of(configured) as error:
        raise Unavailable(
            f"the team's feature store cannot be used: {_first_line(error)}",
            f"Its stores are named in {configured.folder} (setting feast.repo_path).",
        ) from error


def require_writable(settings: Settings) -> None:
    """Raises ToolFailure where nobody has allowed to write."""
    if is_read_only(settings):
        raise ToolFailure(
            f"{settings.feast_home} is the Feast repository of a team, and {SETTING} is false",
            f"Its values are read as they are. {SETTING}: true in the configuration allows to materialize there.",
        )


def note_interval(team: Team, view: str, start: Any, end: Any) -> None:
    """Tell the team's own registry until when a view is online."""
    feast = imported()
    theirs = feast.FeatureStore(config=_config(team.configured, dict(team.configured.registry)))
    theirs.registry.apply_materialization(team.store.get_feature_view(view), team.configured.project, start, end)


def _team(work: Work, configured: Configuration) -> Team:
    found = snapshot(configured)
    content = found.content
    file = private_folder(work.home / "team_features") / f"{_digest(str(configured.folder).encode())}.pb"
    # Feast notes in it what it does, and others may have read another state of the registry meanwhile.
    with locked(file.with_suffix(".lock"), PATIENCE_S, "the team's feature registry is being read"):
        if not file.is_file() or file.read_bytes() != content:
            replaced(file, content)
    store = _store(work, configured, file, content)
    return Team(configured, store, Catalog.of(store, found.withheld))


def _store(work: Work, configured: Configuration, file: Path, content: bytes) -> Any:
    """One for each state of the registry: to make it is what takes the time."""
    key = (_store, configured.folder, _digest(content + repr(configured).encode()))
    if key not in work.cache:
        for old in [each for each in work.cache if isinstance(each, tuple) and each[0] is _store]:
            del work.cache[old]
        registry = {"registry_type": "file", "path": str(file), "cache_ttl_seconds": 0}
        work.cache[key] = imported().FeatureStore(config=_config(configured, registry))
    return work.cache[key]


def _config(configured: Configuration, registry: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return imported().RepoConfig(
            project=configured.project,
            provider="local",
            repo_path=configured.folder,
            registry=registry,
            online_store=dict(configured.online),
            offline_store=dict(configured.offline),
            entity_key_serialization_version=configured.key_version,
        )
    except ValidationError as error:
        places = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise ToolFailure(f"Feast does not take the team's feature_store.yaml: {places}", "Change the file.") from None


def errors_of(configured: Configuration) -> tuple[type[BaseException], ...]:
    """What the libraries of its stores raise, of those that are installed."""
    found = database_errors()
    kinds = {configured.online["type"], configured.offline["type"]}
    if "redis" in kinds:
        from redis.exceptions import RedisError  # type: ignore[import-not-found, unused-ignore]

        found = (*found, RedisError)
    if "postgres" in kinds or configured.has_sql_registry:
        try:
            import psycopg
        except ModuleNotFoundError:
            return found
        found = (*found, psycopg.Error)
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
