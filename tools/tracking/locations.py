"""Where artifacts may lie: an address comes out of MLflow's store, which others may write, and is followed here."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...config.settings import Settings
from ..errors import ToolFailure, require
from ..user_files import require_public
from .backend import WITHOUT_ARTIFACTS, probe

# Clouds whose addresses are not told by the location, and the server's own store; others only as configured.
STORES = ("s3", "gs", "abfss", "wasbs", "mlflow-artifacts")
LOCAL = ("", "file")
SETTING = "mlflow.artifact_root (MLFLOW_ARTIFACT_ROOT)"


def require_artifacts(settings: Settings, location: str) -> None:
    """Look whether artifacts may lie there and, for S3, whether it answers: its library tries for minutes.

    Raises:
        ToolFailure: an address of a kind that was not configured, or a folder outside of those that tools use.
        NotInstalled: the library for it is missing.
        Unavailable: nothing answers there.
    """
    if folder := local_folder(location):
        _require_ours(settings, folder)
    elif (scheme := _scheme(location)) not in (*STORES, _scheme(settings.artifact_root)):
        raise ToolFailure(
            f"artifacts at {scheme}:// are not opened: {', '.join(STORES)} and folders are",
            f"Keep them elsewhere, or set {SETTING} to an address of that kind.",
        )
    if location.startswith("s3://"):
        require("boto3")
        bucket = location.removeprefix("s3://").partition("/")[0]
        endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or f"https://{bucket}.s3.amazonaws.com"
        probe(endpoint, "the artifact store", f"{SETTING}, MLFLOW_S3_ENDPOINT_URL", WITHOUT_ARTIFACTS)


def local_folder(location: str) -> Path | None:
    """The folder that an address stands for, with symlinks resolved; None for what lies elsewhere."""
    return Path(unquote(urlsplit(location).path)).resolve() if _scheme(location) in LOCAL else None


def _scheme(location: str) -> str:
    return urlsplit(location).scheme.lower()


def _require_ours(settings: Settings, folder: Path) -> None:
    root = local_folder(settings.artifact_root)
    known = (*settings.roots, *([root] if root else []))
    if not any(folder.is_relative_to(each) for each in known):
        raise ToolFailure(
            f"artifacts in {str(folder)[:200]} are not opened: it lies outside of {', '.join(map(str, known))}",
            f"Set {SETTING}, or let that folder be read (data.roots).",
        )
    require_public(settings, folder)
