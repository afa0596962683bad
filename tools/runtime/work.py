"""What a client function is given by the process it runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from ...config.settings import Settings
from ..tracing.span import Tracer
from .models import Progress

T = TypeVar("T")


def _ignore(_: Progress) -> None: ...


@dataclass(frozen=True)
class Work:
    """The settings, a tracer, a progress report and a cache that lives as long as the process."""

    settings: Settings
    tracer: Tracer
    report: Callable[[Progress], None] = _ignore
    cache: dict[object, object] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.settings.home

    def once(self, make: Callable[[Settings], T]) -> T:
        """The value `make` returned at its first use in this process, e.g. an open client."""
        if make not in self.cache:
            self.cache[make] = make(self.settings)
        return cast(T, self.cache[make])

    def progress(self, done: float, total: float, message: str = "", best: float | None = None) -> None:
        self.report(Progress(done=done, total=total, message=message, best=best))
