"""Which dataset a file was read into: while the file stays as it is, its path is not parsed again.

Each path, name and way to read it has a small file in the folder `reads` of the state folder; the oldest go when there
are more than so many. One whose dataset is gone, or whose file has changed, is written anew at the next reading.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ...config.watch import Stamp, stamp_of
from ..distributions import PROJECT, Requirement
from ..runtime.work import Work
from ..storage.state_files import private_folder, replaced
from .models import ReadOptions

KEPT = 500
# A file may be written twice within one tick of its clock without a trace; some filesystems count whole seconds.
TICK_S, COARSE_S = 0.05, 2.0


class Read(BaseModel):
    """What a file was when it was read into a dataset, and what was said about that."""

    stamp: tuple[int, ...]
    dataset: str
    notes: list[str]


@dataclass(frozen=True)
class Reading:
    """A file that is about to be read under a name; `stamp` is what it is now, None for a folder."""

    source: Path
    place: Path
    stamp: Stamp | None
    began: float

    @classmethod
    def of(cls, work: Work, source: Path, name: str, options: ReadOptions) -> Reading:
        # Another version of this project may read the same bytes otherwise.
        told = [str(source), name, options.model_dump_json(), Requirement(PROJECT).version]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]
        stamp = None if source.is_dir() else stamp_of(source)
        return cls(source, work.home / "reads" / f"{key}.json", stamp, time.time())

    def before(self) -> Read | None:
        """What the same file was read into."""
        with suppress(OSError, ValidationError):
            found = Read.model_validate_json(self.place.read_bytes())
            return found if found.stamp == self.stamp else None
        return None

    def keep(self, dataset: str, notes: list[str]) -> None:
        """Remember what it was read into, unless it may have changed meanwhile."""
        if self.stamp is None or stamp_of(self.source) != self.stamp or not self._settled():
            return
        folder = private_folder(self.place.parent)
        replaced(self.place, Read(stamp=self.stamp, dataset=dataset, notes=notes).model_dump_json().encode())
        for old in sorted(folder.glob("*.json"), key=_age)[:-KEPT]:
            old.unlink(missing_ok=True)

    def _settled(self) -> bool:
        assert self.stamp is not None
        _, changed, named, _ = self.stamp
        tick = COARSE_S if changed % 10**9 == 0 else TICK_S
        return self.began - max(changed, named) / 10**9 > tick


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has taken it away
        return 0.0
