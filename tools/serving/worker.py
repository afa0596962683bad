"""A worker of an endpoint: BentoML's own, on a socket that its master holds."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..modeling.card import PYFUNC_FILE
from ..seccomp import isolate, isolates
from ..slices import declared
from . import lean
from .marks import SPEC_FILE

SERVING = "serving"
THREADS = "OMP_NUM_THREADS"
SKOPS = "skops.io"
# BentoML's 5 s are shorter than HAProxy keeps what is idle: a call would meet the end of its connection.
KEPT_S = 75


def main(tag: str, descriptor: str, number: str) -> None:
    """Answer calls until it is ended.

    Args:
        descriptor: of the listening socket.
        number: which of the replicas it is, from 1.
    """
    load_libraries()
    _forget_whom_skops_trusts()
    _hold_threads(int(os.environ[THREADS]))
    if _is_code(tag) and isolates():
        isolate()
    serve: Any = import_module("_bentoml_impl.worker.service").main
    given = ("--fd", descriptor, "--worker-id", number, "--timeout-keep-alive", str(KEPT_S))
    serve.main(args=[tag, *given], prog_name="bentoml", standalone_mode=False)


def _is_code(tag: str) -> bool:
    """Whether the model is code of others, which is held more tightly than what is looked into."""
    spec = Path("bentos", *tag.split(":"), "src", SPEC_FILE).read_bytes()
    return json.loads(spec)["file"] == PYFUNC_FILE


def load_libraries() -> None:
    """What every service uses, and nothing that runs OpenMP code or leaves a thread behind."""
    # First: skops looks for where functions are defined in all that is loaded by then.
    with lean._nothing_else():  # pyright: ignore[reportPrivateUsage] - in every bento as it is
        import_module(SKOPS)
    for each in declared(SERVING).preload:
        import_module(each)


def _forget_whom_skops_trusts() -> None:
    """A service trusts what it names; skops, if it was loaded in the ordinary way, all of scikit-learn (`lean.py`)."""
    import_module(f"{SKOPS}._trusted_types").SKLEARN_ESTIMATOR_TYPE_NAMES.clear()


def _hold_threads(count: int) -> None:
    """Libraries that were loaded before this process was forked have the number of threads of then.

    OpenMP keeps its number by thread, so each that is started is told, when it calls its first function.
    """
    import threading

    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController()

    def tell(*_: object) -> None:
        sys.setprofile(None)
        libraries.limit(limits=count)

    libraries.limit(limits=count)
    threading.setprofile(tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
