"""What somebody thinks of a trace or a span."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Target = Literal["trace", "span"]


@dataclass(frozen=True)
class Score:
    """A named judgement; another one of the same name on the same target replaces it. `value` is any finite number.

    Raises:
        ValueError: the value is not finite.
    """

    target: Target
    id: str
    name: str
    value: float
    reason: str = ""
    category: str = ""
    project: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a score is a finite number, not {self.value}")
