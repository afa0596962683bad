"""Which cards a tool changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

EXPERIMENTS = "mlflow://experiments"
# Whose writing tools change what MLflow holds; what others write only names it.
CHANGING = frozenset({"tracking", "registry", "training", "tuning", "causal", "upkeep"})
RUN = re.compile(r"run:([0-9a-f]{32})")
MODEL = re.compile(r"(?:model:|models:/)(?!m-[0-9a-f]{32}$)([^/@]+)(?:/(\d+))?(?:@.+)?")


def cards_of(handles: Iterable[str]) -> tuple[str, ...]:
    """The addresses of the cards that show these things, each once."""
    return tuple(dict.fromkeys(uri for handle in handles for uri in _cards(handle)))


def _cards(handle: str) -> Iterator[str]:
    if run := RUN.fullmatch(handle):
        yield f"mlflow://runs/{run[1]}"
    elif handle.startswith("experiment:"):
        yield EXPERIMENTS
    elif model := MODEL.fullmatch(handle):
        card = f"mlflow://models/{quote(model[1], safe='')}"
        yield card
        if model[2]:
            yield f"{card}/versions/{model[2]}"
