"""Which cards a tool changes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..tools.addresses import EXPERIMENTS, MODEL, RUN, VERSION, address
from ..tools.tracing import mentions

# Whose writing tools change what MLflow holds; what others write only names it.
CHANGING = frozenset({"tracking", "registry", "training", "tuning", "causal", "upkeep"})
NAMED_MODEL = re.compile(r"(?:model:|models:/)(?!m-[0-9a-f]{32}$)([^/@]+)(?:/(\d+))?(?:@.+)?")


def cards_of(handles: Iterable[str]) -> tuple[str, ...]:
    """The addresses of the cards that show these things, each once."""
    return tuple(dict.fromkeys(uri for handle in handles for uri in _cards(handle)))


def _cards(handle: str) -> Iterator[str]:
    if run := mentions.RUN.fullmatch(handle):
        yield address(RUN, run_id=run[1])
    elif handle.startswith("experiment:"):
        yield EXPERIMENTS
    elif model := NAMED_MODEL.fullmatch(handle):
        yield address(MODEL, name=model[1])
        if model[2]:
            yield address(VERSION, name=model[1], version=model[2])
