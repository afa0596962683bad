"""The client of MLflow as every tool uses it: what it cannot do is said in the words of a tool."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import ToolFailure, Unavailable
from ..runtime.work import Work
from ..tracing.redaction import redact
from .backend import WITHOUT_MLFLOW, mlflow_client, require_backend, translated
from .left import end_waiting

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion


@contextmanager
def opened(work: Work) -> Generator[MlflowClient]:
    """The client; what MLflow refuses inside, and a store that cannot be used, is said in the words of a tool.

    Raises:
        Unavailable: the server or the database does not answer, or cannot be read or written.
    """
    require_backend(work)
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        client = mlflow_client(work)
        with translated():
            end_waiting(work, client)
            yield client
    except (OSError, DatabaseError) as error:
        raise unusable(work, error) from error
    except ToolFailure as failure:
        # MLflow wraps what its database says as if it had been a mistake of the caller.
        cause = failure.__cause__.__cause__ if failure.__cause__ else None
        if isinstance(cause, OperationalError) or type(cause) is DatabaseError:
            raise unusable(work, cause) from failure
        raise


def everything(fetch: Callable[[str | None], Any]) -> list[Any]:
    """All entries of a list that MLflow hands out in pages."""
    found: list[Any] = []
    token: str | None = None
    while True:
        part = fetch(token)
        found += part
        token = token_of(part.token)
        if not token:
            return found


def versions_of(client: MlflowClient, name: str) -> list[MlflowVersion]:
    """All versions of a registered model, whatever it is called: in a filter no name with an apostrophe can stand."""
    head, quote, _ = name.partition("'")
    wanted = f"name LIKE '{head}%'" if quote else f"name='{name}'"
    found = everything(lambda token: client.search_model_versions(wanted, page_token=token))
    return [version for version in found if version.name == name]


def token_of(token: str | bytes | None) -> str | None:
    """The SQL store hands out its tokens as bytes."""
    return (token.decode() if isinstance(token, bytes) else token) or None


def unusable(work: Work, error: BaseException) -> Unavailable:
    said = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
    return Unavailable(
        f"the MLflow store at {redact(work.settings.tracking_uri)} cannot be used: {said}",
        "Look at that place and the settings mlflow.tracking_uri (MLFLOW_TRACKING_URI) and mlflow.artifact_root. "
        f"{WITHOUT_MLFLOW}",
    )
