"""Where artifacts may lie: an address comes out of MLflow's store, which others may write, and is followed here."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from ...config.settings import Settings
from ..errors import Refused, ToolFailure, Unavailable, require
from ..platforms import files_up_to
from ..tracing.redaction import redact
from ..user_files import require_public
from .backend import WITHOUT_ARTIFACTS, probe
from .patient import is_away, is_refused

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

# Clouds, whose addresses name no host of the attacker's own.
CLOUDS = ("s3", "gs", "abfss", "wasbs")
# What the MLflow server keeps itself. An address of this kind may name another host, which would get our token.
SERVED = "mlflow-artifacts"
LOCAL = ("", "file")
SETTING = "mlflow.artifact_root (MLFLOW_ARTIFACT_ROOT)"


def artifacts_at(settings: Settings, location: str) -> ArtifactRepository:
    """MLflow's way to the artifacts at this very address, which is looked at.

    Its client would ask the store once more where they lie, and that may answer otherwise the second time.

    Raises:
        ToolFailure, NotInstalled, Unavailable: as of `require_artifacts`.
    """
    require_artifacts(settings, location)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

    address = add_databricks_profile_info_to_artifact_uri(location, settings.tracking_uri)
    return get_artifact_repository(str(address), tracking_uri=settings.tracking_uri)


def fetched(repository: ArtifactRepository, path: str, folder: Path, most: int) -> Path:
    """A copy of a file, or of all files, in a folder, which is made if need be.

    Args:
        most: bytes of one file. What a server says of its size need not be so.

    Raises:
        ToolFailure: one is larger.
        MlflowException: it cannot be had.
    """
    from mlflow.exceptions import MlflowException

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with files_up_to(most), reached(str(repository.artifact_uri)):
            return Path(repository.download_artifacts(path, str(folder)))
    except (OSError, MlflowException) as error:
        if os.strerror(errno.EFBIG) not in str(error):
            raise
        raise ToolFailure(f"{path or 'a file'} has more than the {most} bytes that are read", "Take less.") from error


@contextmanager
def reached(location: str) -> Generator[None]:
    """Say what went wrong on the way to artifacts, in whichever library, in the words of a tool.

    Raises:
        Unavailable: they cannot be reached now, or are refused.
    """
    try:
        yield
    except ToolFailure:
        raise
    except Exception as error:
        # The end says why, after the names of both files.
        said = " ".join(str(error).split())[-200:]
        hint = f"Look at that place and the settings {SETTING}, MLFLOW_S3_ENDPOINT_URL. {WITHOUT_ARTIFACTS}"
        if is_away(error):
            raise Unavailable(f"the artifacts at {redact(location)} cannot be reached: {redact(said)}", hint) from error
        if is_refused(error):
            raise Refused(f"the artifacts at {redact(location)} are refused: {redact(said)}", hint) from error
        raise


def require_artifacts(settings: Settings, location: str) -> None:
    """Look whether artifacts may lie there and, for S3, whether it answers: its library tries for minutes.

    Raises:
        ToolFailure: an address of a kind that was not configured, or a folder outside of those that tools use.
        NotInstalled: the library for it is missing.
        Unavailable: nothing answers there.
    """
    if folder := local_folder(location):
        _require_ours(settings, folder)
    else:
        _require_known(settings, location)
    if location.startswith("s3://"):
        require("boto3")
        bucket = location.removeprefix("s3://").partition("/")[0]
        endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or f"https://{bucket}.s3.amazonaws.com"
        probe(endpoint, "the artifact store", f"{SETTING}, MLFLOW_S3_ENDPOINT_URL", WITHOUT_ARTIFACTS)


def local_folder(location: str) -> Path | None:
    """The folder that an address stands for, with symlinks resolved; None for what lies elsewhere.

    It is read as MLflow reads it: what is no `file:` address is a path as it stands, with any ? and # in it.

    Raises:
        ToolFailure: it is neither an address nor a path.
    """
    parts = _parts(location)
    if parts.scheme not in LOCAL:
        return None
    if not parts.path.strip():  # it would be the working directory
        raise _nowhere(location)
    try:
        return Path(unquote(parts.path if location.startswith("file:") else location)).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a NUL, a ring of links
        raise _nowhere(location) from error


def _parts(location: str) -> SplitResult:
    try:
        return urlsplit(location)
    except ValueError as error:
        raise _nowhere(location) from error


def _nowhere(location: str) -> ToolFailure:
    return ToolFailure(f"no artifacts can lie at {location[:100]!r}", "MLflow's store says so: look at it.")


def _host(parts: SplitResult) -> str:
    """With its port, and without the user before it."""
    return parts.netloc.rpartition("@")[2].lower()


def _require_known(settings: Settings, location: str) -> None:
    parts, root = _parts(location), _parts(settings.artifact_root)
    hosts = [_host(root)] if parts.scheme == root.scheme else []
    if parts.scheme == SERVED:
        hosts += ["", _host(_parts(settings.tracking_uri))]
    if parts.scheme not in CLOUDS and _host(parts) not in hosts:
        raise ToolFailure(
            f"artifacts at {parts.scheme}://{_host(parts)[:100]} are not opened: folders, {', '.join(CLOUDS)} and what "
            "the MLflow server keeps itself are",
            f"Keep them elsewhere, or set {SETTING} to an address there.",
        )


def _require_ours(settings: Settings, folder: Path) -> None:
    root = local_folder(settings.artifact_root)
    known = (*settings.roots, *([root] if root else []))
    if not any(folder.is_relative_to(each) for each in known):
        raise ToolFailure(
            f"artifacts in {str(folder)[:200]} are not opened: it lies outside of {', '.join(map(str, known))}",
            f"Set {SETTING}, or let that folder be read (data.roots).",
        )
    require_public(settings, folder)
