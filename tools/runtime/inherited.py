"""What a worker or a job inherits of the server's environment: what it needs, and no secret of somebody else.

Library code in them opens models, data and artifacts from outside, so what is not there cannot be carried out.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from ...config.feast_file import named_variables
from ...config.load import BETWEEN_PROCESSES
from ...config.settings import Settings
from ..platforms import environment_block

NAMES = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR", "TMP", "TEMP",
        "VIRTUAL_ENV", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "COLUMNS", "MPLCONFIGDIR", "E2I_ENVIRONMENT",
        "UV_CACHE_DIR", "UV_OFFLINE", "UV_PYTHON", "FEAST_REPO_PATH",
    )
)  # fmt: skip
PREFIXES = (
    "LC_", "LD_", "DYLD_", "PYTHON", "CONDA_", "XDG_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "NUMBA_", "NUMEXPR_",
    "CUDA_", "JE_", "LOKY_", "MALLOC_", "DASK_", "BENTOML_",
)  # fmt: skip
# Where models and artifacts may lie outside of this machine, and what its clients ask the environment for.
CLOUD = ("AWS_", "GOOGLE_", "GCLOUD_", "AZURE_", "BOTO_")
TRACKING = ("MLFLOW_", "DATABRICKS_")
DATABASE = ("PG",)
LOCAL = ("", "file")
# Of MLflow's own switches those that open something.
SECRETS = ("TOKEN", "PASSWORD", "USERNAME", "SECRET", "CREDENTIAL", "KEY")


def inherited(environ: Mapping[str, str], settings: Settings | None = None) -> dict[str, str]:
    """The part of an environment that a process of ours is given.

    Args:
        settings: which backends there are, whose secrets stay; without, none does.
    """
    prefixes = (*PREFIXES, *(_of_backends(settings) if settings else ()))
    of_team = named_variables(settings) if settings else ()
    return {name: value for name, value in environ.items() if name in of_team or _is_kept(name, prefixes)}


def _is_kept(name: str, prefixes: tuple[str, ...]) -> bool:
    if name.upper() in NAMES or name in BETWEEN_PROCESSES or name.startswith(prefixes):
        return True
    return name.startswith("MLFLOW_") and not any(each in name for each in SECRETS)


def _of_backends(settings: Settings) -> tuple[str, ...]:
    tracking, artifacts = _scheme(settings.tracking_uri), _scheme(settings.artifact_root)
    remote = tracking.startswith(("http", "databricks"))
    elsewhere = artifacts not in LOCAL or _scheme(settings.storage.files) not in LOCAL
    found = (*(CLOUD if remote or elsewhere else ()), *(TRACKING if remote else ()))
    sources = (each.get_secret_value() for each in settings.data.sources.values())
    addresses = (settings.tracking_uri, settings.job_store, settings.storage.database.get_secret_value(), *sources)
    return (*found, *(DATABASE if any(each.startswith("postgres") for each in addresses) else ()))


def _scheme(address: str) -> str:
    return urlsplit(address).scheme


def keep_only(environment: Mapping[str, str]) -> None:
    """Make this the environment of this process, and wipe the rest out of the block that the kernel shows.

    That block is also what processes forked from this one show.
    """
    kept = set(environment)
    os.environ.clear()
    os.environ.update(environment)
    _wipe(*environment_block(), kept)


def _wipe(start: int, end: int, kept: set[str]) -> None:
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        name, _, value = entry.partition(b"=")
        if value and os.fsdecode(name) not in kept:
            ctypes.memset(start + len(name) + 1, ord("0"), len(value))
        start += len(entry) + 1
