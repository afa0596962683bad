"""What this project is called, and which of the distributions it asks for are installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PROJECT, MODULE = "mlops-mcp", "mlops_mcp"
REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)(?:\[(?P<parts>[\w,-]+)\])?[^;]*(?:;.*extra == [\"'](?P<extra>[\w-]+))?"
)


@dataclass(frozen=True)
class Requirement:
    """A distribution that is asked for by itself, or by an extra; `parts` are the extras of it that are wanted."""

    name: str
    parts: tuple[str, ...] = ()
    extra: str = ""

    @property
    def version(self) -> str:
        """The installed one; empty where it is missing."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(self.name)
        except PackageNotFoundError:
            return ""


def requirements() -> Iterator[Requirement]:
    """All that this project asks for, in the order of its metadata."""
    from importlib.metadata import requires

    for match in filter(None, map(REQUIREMENT.match, requires(PROJECT) or ())):
        parts = tuple(match["parts"].split(",")) if match["parts"] else ()
        yield Requirement(match["name"], parts, match["extra"] or "")
