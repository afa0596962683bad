"""Which of our things a result names, so that a trace leads to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..slices import handle_kinds
from .span import Span

RUN = re.compile(r"run:([0-9a-f]{32})")
MAX_HANDLES = 20
MAX_LOOKED_AT = 200


@cache
def _handle() -> re.Pattern[str]:
    kinds = "|".join(kind for kind in handle_kinds() if kind != "trace")
    return re.compile(rf"(?:{kinds}):[\w@./:+-]{{1,200}}|models:/[\w@./+-]{{1,200}}")


def note_handles(span: Span, result: Any) -> None:
    """Add the handles that a result names to the metadata of its span, and the bare id of its MLflow run."""
    found = list(dict.fromkeys(handles_in(result)))[:MAX_HANDLES]
    if found:
        span.set_attribute("handles", found)
    if run := next((match[1] for each in found if (match := RUN.fullmatch(each))), None):
        span.set_attribute("mlflow_run_id", run)


def handles_in(result: Any) -> Iterator[str]:
    """The handles that are a value somewhere in a result, breadth first: what the result is about stands at its top."""
    level, looked_at = [result], 0
    while level and looked_at < MAX_LOOKED_AT:
        below: list[Any] = []
        for node in level:
            looked_at += 1
            if isinstance(node, str) and _handle().fullmatch(node):
                yield node
            elif isinstance(node, Mapping):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node[:MAX_HANDLES])
        level = below
