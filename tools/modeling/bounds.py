"""Numbers that libraries cannot take, refused in our words before they refuse them in theirs, or answer wrongly."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import ToolFailure

if TYPE_CHECKING:
    import numpy as np

# What generators of random numbers and all libraries take.
MOST_SEED = 2**31 - 1
# Boosting holds numbers in 32 bits, and scores are made of their squares.
LARGEST, LEAST_SPREAD = 1e37, 1e-37


def require_seed(seed: int) -> None:
    """Raises ToolFailure for what a library would refuse in its own words."""
    if not 0 <= seed <= MOST_SEED:
        raise ToolFailure(f"seed is {seed}", f"It must be 0 to {MOST_SEED}.")


def require_size(name: str, values: np.ndarray) -> None:
    """Raises ToolFailure for numbers that are too large to be learnt from."""
    import numpy as np

    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    if largest > LARGEST:
        raise ToolFailure(f"{name} reaches {largest:.3g}, more than models can hold", _rescaled(name, largest))


def require_spread(name: str, values: np.ndarray) -> None:
    """Raises ToolFailure for a target whose squares are all nothing."""
    import numpy as np

    spread = float(np.ptp(values))
    if 0 < spread < LEAST_SPREAD:
        raise ToolFailure(f"{name} spreads by {spread:.3g}, less than models can tell", _rescaled(name, spread))


def _rescaled(name: str, size: float) -> str:
    return f"Rescale it by query_dataset: {name} / {10.0 ** math.floor(math.log10(size)):.0e} AS {name}."
