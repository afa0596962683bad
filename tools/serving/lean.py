"""Open a skops file with what it holds imported, and little else.

Copied as it is into every bento, so it imports nothing of this package. When skops is imported it asks scikit-learn for
all of its estimators, which it then trusts: that imports each module there is, and through their compatibility layers
Dask and numba, a third of the time and of the memory of a service. Here none is trusted that is not named.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

# What scikit-learn and LightGBM import where it is installed, and do without where it is not.
NOT_NEEDED = ("dask", "pytest")


def opened(content: bytes, trusted: Sequence[str]) -> Any:
    """The object in a file.

    Raises:
        skops.io.exceptions.UntrustedTypesFoundException: it holds a type that is not named.
    """
    with _nothing_else():
        import skops.io

        return skops.io.loads(content, trusted=list(trusted))


@contextmanager
def _nothing_else() -> Generator[None]:
    import sklearn.utils

    names = [name for name in NOT_NEEDED if name not in sys.modules]
    blocked: dict[str, Any] = dict.fromkeys(names)
    every = sklearn.utils.all_estimators
    sys.modules.update(blocked)
    sklearn.utils.all_estimators = lambda *_: []
    try:
        yield
    finally:
        sklearn.utils.all_estimators = every
        for name in names:
            del sys.modules[name]
