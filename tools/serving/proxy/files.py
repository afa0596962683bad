"""The files of the endpoints as the proxy reads them: not by their model, whose imports are too much for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

Found = Sequence[Mapping[str, Any]]
# What its processes rely on.
FIELDS: Mapping[str, type] = MappingProxyType({"id": str, "pid": int, "port": int, "percent": int, "ready": bool})


def endpoint_files(folder: Path) -> Iterator[tuple[str, Found | None]]:
    """The deployments by endpoint; None where its file cannot be read, which must not stop what serves the others."""
    for file in sorted(folder.glob("*.json")):
        try:
            yield file.stem, _deployments(file.read_bytes())
        except FileNotFoundError:  # stopped meanwhile
            continue
        except OSError:
            yield file.stem, None


def _deployments(content: bytes) -> Found | None:
    try:
        found = json.loads(content)["deployments"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if isinstance(found, list) and all(map(_is_whole, found)) else None


def _is_whole(deployment: object) -> bool:
    return isinstance(deployment, dict) and all(isinstance(deployment.get(name), FIELDS[name]) for name in FIELDS)
