"""What every worker and job process sets up before it imports a library."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping

import psutil

from .. import platforms

METRICS_FOLDER = os.path.join(tempfile.gettempdir(), f"mlops-mcp-metrics-{os.getuid()}")


def thread_environment(threads: int) -> Mapping[str, str]:
    """Native thread limits; they only hold when set before the libraries load.

    Passive waiting matters most: two spinning OpenMP pools on two cores cost ten times the work.
    """
    count = str(threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    return dict.fromkeys(names, count) | {"OMP_WAIT_POLICY": "passive"}


def quiet_environment() -> Mapping[str, str]:
    """Switches that keep the libraries from printing, asking home or waiting minutes for a dead backend."""
    return {
        # Whether a server lives is asked beforehand, in a second; one that is slow may take its time. It is not asked
        # again by itself: what was made the first time would be made twice.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "60"),
        # A server may send its client anywhere, such as to what only this machine reaches.
        "MLFLOW_ALLOW_HTTP_REDIRECTS": os.environ.get("MLFLOW_ALLOW_HTTP_REDIRECTS", "false"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "BENTOML_DO_NOT_TRACK": "True",
        "OPIK_SENTRY_ENABLE": "false",
        "OPIK_ANALYTICS_ENABLE": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "MPLBACKEND": "Agg",
        "TQDM_DISABLE": "1",
        # Feast makes a folder of its own in the system's temporary one at every import, and leaves it there.
        "PROMETHEUS_MULTIPROCESS_DIR": METRICS_FOLDER,
    }


def worker_environment(threads: int = 1) -> Mapping[str, str]:
    """What a call worker, and the process it is forked from, must have in place before any library loads."""
    # The allocator of Arrow would start a thread at its import, and a process with threads should not be forked.
    arrow = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
    return {**quiet_environment(), **thread_environment(threads), **arrow}


def divert_standard_streams() -> None:
    """Point stdout at stderr, which is a log, and stdin at nothing: both belong to the protocol."""
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def make_folders() -> None:
    """Make the folder that `quiet_environment` points to; it has to exist when the library is imported.

    Anybody may make a folder of that name in the system's temporary one: if it is not ours alone, another is taken.
    """
    if not is_private(METRICS_FOLDER):
        os.environ["PROMETHEUS_MULTIPROCESS_DIR"] = tempfile.mkdtemp(prefix="mlops-mcp-metrics-")


def is_private(folder: str) -> bool:
    """Whether a folder, which is made if need be, belongs to this user and is closed to all others."""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, mode=0o700)
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def limit_memory(megabytes: int) -> None:
    """Bound the address space, so that an allocation fails here instead of the machine."""
    platforms.limit_address_space(megabytes)


def die_with_parent(parent: int = 0) -> None:
    """Let this process be killed when the thread that started it ends.

    Args:
        parent: the process id it must still have; without, a parent that has died already is not noticed.
    """
    platforms.end_with_parent()
    if parent and os.getppid() != parent:
        os._exit(1)


def memory_mb() -> tuple[int, int]:
    """The address space of this process and the memory it has, both with what it shares."""
    found = psutil.Process().memory_info()
    return found.vms >> 20, found.rss >> 20


def thread_count() -> int:
    """Threads of this process, those of native libraries included."""
    return psutil.Process().num_threads()
