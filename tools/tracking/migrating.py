"""Which version MLflow's database is of, and how it comes up to that of the MLflow that is installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ...config.settings import Settings
from ..errors import ToolFailure, require
from ..tracing.redaction import redact
from . import embedded
from .backend import translated


@dataclass(frozen=True)
class Revisions:
    """Of alembic; `found` is empty where there is no database yet."""

    found: str
    wanted: str

    @property
    def differ(self) -> bool:
        return bool(self.found) and self.found != self.wanted


def revisions(settings: Settings) -> Revisions:
    """What the database is of, and what is installed.

    Raises:
        ToolFailure: MLflow is reached over HTTP, so that its database is not ours to see.
        NotInstalled: MLflow is missing.
    """
    require("mlflow")
    _require_database(settings)
    from mlflow.store.db import utils

    wanted = str(utils._get_latest_schema_revision())  # pyright: ignore[reportPrivateUsage]
    store = embedded.path(settings)
    if store is not None and not store.exists():
        return Revisions("", wanted)
    engine = utils.create_sqlalchemy_engine(settings.tracking_uri)
    try:
        found = utils._get_schema_version(engine)  # pyright: ignore[reportPrivateUsage]
    finally:
        engine.dispose()
    return Revisions(str(found or ""), wanted)


def migrate(settings: Settings) -> Revisions:
    """Run MLflow's own migrations; what the database is of then.

    Raises:
        ToolFailure: MLflow refuses, as for a database of a newer version.
    """
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(settings.tracking_uri)
    try:
        with translated(), _refused():
            utils._upgrade_db(engine)  # pyright: ignore[reportPrivateUsage]
    finally:
        engine.dispose()
    return revisions(settings)


@contextmanager
def _refused() -> Generator[None]:
    from alembic.util import CommandError

    try:
        yield
    except CommandError as error:
        raise ToolFailure(
            f"MLflow cannot migrate its database: {error}", "It is of a newer MLflow: install that."
        ) from error


def _require_database(settings: Settings) -> None:
    if settings.tracking_uri.startswith(("http://", "https://", "databricks", "file:")) or (
        "://" not in settings.tracking_uri
    ):
        raise ToolFailure(
            f"MLflow at {redact(settings.tracking_uri)} is no database", "Upgrade it where it runs: mlflow db upgrade."
        )
