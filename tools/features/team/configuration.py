"""What the `feature_store.yaml` of a team says.

Feast imports whatever class that file names, so each of these names is first held against a list of its own ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....config.document import decoded, described, parse, read
from ....config.errors import SettingsError
from ....config.feast_file import FILE, expanded, variables_in
from ...errors import ToolFailure, require

# These are one class of Feast.
PROVIDERS = ("local", "aws", "gcp", "azure")
REGISTRIES, ONLINE, OFFLINE = ("file", "sql"), ("sqlite", "redis", "postgres"), ("file", "dask", "duckdb", "postgres")
# Of Feast's own stores what is installed beside it.
LIBRARIES = {"redis": ("redis",), "postgres": ("psycopg", "psycopg_pool")}
# Feast's store over Dask drops rows whose values are too old; the one over DuckDB reads the same files and keeps them.
BY_FILES = ("file", "dask", "duckdb")


@dataclass(frozen=True)
class Configuration:
    """The parts that are used; paths are absolute, and the stores are Feast's own blocks."""

    folder: Path
    project: str
    registry: Mapping[str, Any]
    online: Mapping[str, Any]
    offline: Mapping[str, Any]
    key_version: int

    @property
    def has_sql_registry(self) -> bool:
        return self.registry["registry_type"] == "sql"


def configuration(folder: Path) -> Configuration:
    """Read the file of a repository.

    Raises:
        NotInstalled: a store needs a library that is missing.
        ToolFailure: it cannot be read, or names something that is not used here.
    """
    given = _document(folder / FILE)
    project, version = given.get("project"), given.get("entity_key_serialization_version", 3)
    if not isinstance(project, str) or not project or not isinstance(version, int):
        raise _refused("project and entity_key_serialization_version must be a text and a number")
    _only("provider", str(given.get("provider") or "local"), PROVIDERS)
    _only("batch_engine", _block(given, "batch_engine", "local")["type"], ("local",))
    _only("auth", _block(given, "auth", "no_auth")["type"], ("no_auth",))
    online, offline = _block(given, "online_store", "sqlite"), _block(given, "offline_store", "dask")
    _only("online_store", online["type"], ONLINE)
    _only("offline_store", offline["type"], OFFLINE)
    for store in (online, offline):
        require(*LIBRARIES.get(store["type"], ()))
    if offline["type"] in BY_FILES:
        offline = {"type": "duckdb"}
    return Configuration(folder, project, _registry(folder, given), online, offline, version)


def _document(file: Path) -> Mapping[str, Any]:
    try:
        text = decoded(read(file), file)
        if unset := [name for name in variables_in(text) if name not in os.environ]:
            hint = "Set it for the server: workers are given the variables that this file names."
            raise ToolFailure(f"{FILE} needs {', '.join(unset)}, which the environment does not have", hint)
        found = parse(expanded(text, os.environ), described(file))
    except SettingsError as error:
        raise _refused(str(error)) from None
    if not isinstance(found, Mapping):
        raise _refused("it is no mapping")
    return found


def _registry(folder: Path, given: Mapping[str, Any]) -> Mapping[str, Any]:
    said = given.get("registry") or "data/registry.db"
    block = {"registry_type": "file", **said} if isinstance(said, Mapping) else {"registry_type": "file", "path": said}
    kind, path = str(block["registry_type"]), block.get("path")
    _only("registry", kind, REGISTRIES)
    if block.get("registry_store_type"):
        raise _refused("registry.registry_store_type names a class, and none but Feast's own ones are used")
    if not isinstance(path, str) or not path:
        raise _refused("registry.path must be a text")
    if kind == "file":
        if "://" in path:
            raise _refused(f"registry.path is at {path.partition('://')[0]}://; a file or a database is used here")
        return {**block, "path": str(folder / path)}
    return {**block, "path": _address(folder, path)}


def _address(folder: Path, url: str) -> str:
    """Feast's own commands run in the folder, so a path without a fourth slash begins there."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        path = rest.removeprefix("/")
        return url if path.startswith("/") else f"sqlite:///{folder / path}"
    if scheme in ("postgresql", "postgresql+psycopg"):
        require("psycopg")
        return f"postgresql+psycopg://{rest}"
    raise _refused(f"registry.path is a database of {scheme}; SQLite and PostgreSQL are used here")


def _block(given: Mapping[str, Any], name: str, default: str) -> dict[str, Any]:
    """One of Feast's blocks, which may stand as its type alone."""
    said = given.get(name) or default
    block = {"type": said} if isinstance(said, str) else said
    if not isinstance(block, Mapping):
        raise _refused(f"{name} must be a block with a type")
    return {**block, "type": str(block.get("type") or default)}


def _only(name: str, said: str, known: tuple[str, ...]) -> None:
    if said not in known:
        raise _refused(f"{name} is {said[:100]!r}; of what Feast brings these are used: {', '.join(known)}")


def _refused(reason: str) -> ToolFailure:
    hint = "Change the file, or point feast.repo_path (FEAST_REPO_PATH) to another folder."
    return ToolFailure(f"the team's {FILE} is not used: {reason}", hint)
