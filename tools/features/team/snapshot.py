"""The registry of a team as it is now, without all that Feast would run as code when it reads it.

Feast executes the functions of on-demand and stream views, and imports the classes of sources, as soon as a registry is
listed; and what it reads it may write. So the messages are read here, and Feast is given a registry made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ToolFailure
from ...storage.database import reading
from .configuration import Configuration

if TYPE_CHECKING:
    from feast.protos.feast.core.Registry_pb2 import Registry

CONNECT_S = 5
FILE_SOURCE = "feast.infra.offline_stores.file_source.FileSource"
SOURCES = (
    "",
    FILE_SOURCE,
    "feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source.PostgreSQLSource",
)
STREAMS = ("", "feast.data_source.PushSource", "feast.data_source.KafkaSource", "feast.data_source.KinesisSource")
# Table and column of Feast's SQL registry (feast.infra.registry.sql), and the field of the message they become.
TABLES = (
    ("entities", "entity_proto", "entities"),
    ("feature_views", "feature_view_proto", "feature_views"),
    ("on_demand_feature_views", "feature_view_proto", "on_demand_feature_views"),
    ("stream_feature_views", "feature_view_proto", "stream_feature_views"),
    ("feature_services", "feature_service_proto", "feature_services"),
    ("projects", "project_proto", "projects"),
)


@dataclass(frozen=True)
class Snapshot:
    """What Feast may read, and of what was left out, by name, the reason."""

    registry: Registry
    withheld: Mapping[str, str]

    @property
    def content(self) -> bytes:
        return self.registry.SerializeToString(deterministic=True)


def snapshot(configured: Configuration) -> Snapshot:
    """Read the registry; one that was never made is empty.

    Raises:
        ToolFailure: it is none of Feast. Errors of databases are their own.
    """
    from feast.protos.feast.core.Registry_pb2 import Registry

    given = _of_database(configured) if configured.has_sql_registry else _of_file(Path(configured.registry["path"]))
    kept = Registry(registry_schema_version="1")
    withheld = dict[str, str]()
    for entity in _own(configured, given.entities):
        kept.entities.add().CopyFrom(entity)
    kept.projects.extend(project for project in given.projects if project.spec.name == configured.project)
    for kind, views in (("on-demand", given.on_demand_feature_views), ("stream", given.stream_feature_views)):
        code = f"is a view of kind {kind}, which runs code of its author"
        withheld |= {view.spec.name: code for view in _own(configured, views)}
    for view in _own(configured, given.feature_views):
        if reason := _unusable(view.spec):
            withheld[view.spec.name] = reason
        else:
            _place(configured.folder, kept.feature_views.add(), view)
    _keep_services(configured, given, kept, withheld)
    return Snapshot(kept, withheld)


def _own(configured: Configuration, items: Iterable[Any]) -> list[Any]:
    """Those of the project, in the order of their names."""
    return sorted(
        (item for item in items if item.spec.project == configured.project), key=lambda item: str(item.spec.name)
    )


def _unusable(spec: Any) -> str:
    """Why Feast may not be given a view; an empty text if it may."""
    if spec.HasField("feature_transformation") or spec.source_views:
        return "is made by a function of its author"
    batch, stream = spec.batch_source.data_source_class_type, spec.stream_source.data_source_class_type
    if batch not in SOURCES:
        return f"has a source of {batch.rpartition('.')[2]}, which is not read here"
    if stream not in STREAMS or spec.stream_source.batch_source.data_source_class_type not in SOURCES:
        return f"has a stream of {stream.rpartition('.')[2]}, which is not read here"
    return ""


def _place(folder: Path, target: Any, view: Any) -> None:
    """Feast's DuckDB store looks for relative paths where the process stands, so they become absolute."""
    target.CopyFrom(view)
    for source in (target.spec.batch_source, target.spec.stream_source.batch_source):
        uri = source.file_options.uri
        if uri and "://" not in uri:
            source.file_options.uri = str(folder / uri)


def _keep_services(configured: Configuration, given: Registry, kept: Registry, withheld: dict[str, str]) -> None:
    for service in _own(configured, given.feature_services):
        parts = [part.feature_view_name for part in service.spec.features]
        if left_out := [part for part in parts if part in withheld]:
            withheld[service.spec.name] = f"is a feature service with {left_out[0]}, which {withheld[left_out[0]]}"
            continue
        copy = kept.feature_services.add()
        copy.CopyFrom(service)
        copy.spec.ClearField("logging_config")


def _of_file(path: Path) -> Registry:
    from feast.protos.feast.core.Registry_pb2 import Registry

    try:
        return Registry.FromString(path.read_bytes())
    except FileNotFoundError:
        return Registry()
    except (OSError, _undecodable()) as error:
        said = getattr(error, "strerror", None) or "it is no registry file of Feast"
        hint = "registry_type: sql is for a database; feast apply writes a file."
        raise ToolFailure(f"the registry {path} cannot be read: {said}", hint) from None


def _undecodable() -> type[Exception]:
    """What is raised for bytes that are no message."""
    from google.protobuf.message import DecodeError

    found: type[Exception] = DecodeError
    return found


def _of_database(configured: Configuration) -> Registry:
    from feast.protos.feast.core.Registry_pb2 import Registry

    found = Registry()
    for table, messages in _rows(configured).items():
        target = getattr(found, next(field for name, _, field in TABLES if name == table))
        for message in messages:
            made = target.add()
            try:
                made.ParseFromString(message)
            except _undecodable():
                said = f"the registry of the team cannot be read: its table {table} holds what is no message of Feast"
                raise ToolFailure(said, "feast apply writes it.") from None
            if table != "projects":
                made.spec.project = configured.project  # Feast leaves it out of what it puts in anew
    return found


def _rows(configured: Configuration) -> dict[str, list[bytes]]:
    """The messages of the project, by their table; a database that Feast never opened has none."""
    url = str(configured.registry["path"])
    if url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///").partition("?")[0])
        return _of_sqlite(file, configured.project) if file.exists() else {}
    return _of_postgres(url, configured.project)


def _of_sqlite(file: Path, project: str) -> dict[str, list[bytes]]:
    with reading(file) as database:
        present = {row[0] for row in database.execute("select name from sqlite_master where type = 'table'")}
        return {
            table: [
                row[0] for row in database.execute(f"select {column} from {table} where project_id = ?", (project,))
            ]
            for table, column, _ in TABLES
            if table in present
        }


def _of_postgres(url: str, project: str) -> dict[str, list[bytes]]:
    import psycopg

    address = url.replace("postgresql+psycopg://", "postgresql://", 1)
    connection: Any = psycopg.connect(address, connect_timeout=CONNECT_S)
    with closing(connection) as database:
        database.read_only = True
        present = {
            row[0]
            for row in database.execute(
                "select tablename from pg_tables where schemaname = any(current_schemas(false))"
            )
        }
        return {
            table: [
                bytes(row[0])
                for row in database.execute(f"select {column} from {table} where project_id = %s", (project,))
            ]
            for table, column, _ in TABLES
            if table in present
        }
