"""How much the calls and jobs of each token have written to disk within a day."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from ..errors import ToolFailure
from .errors import StorageError
from .store import Store

WHAT = "the table of what was written"
SCHEMA = """
create table if not exists written(
  owner text not null, hour integer not null, bytes integer not null, primary key(owner, hour));
"""
HOUR_S, HOURS = 3600.0, 24
# What is less than this is not worth a transaction of a worker, which owes it until then.
LEAST = 1 << 20

logger = logging.getLogger(__name__)


class Usage:
    """Shared by the processes of a state folder; blocking."""

    def __init__(self, home: Path) -> None:
        self._store = Store(home / "usage.db", SCHEMA, WHAT)

    def add(self, owner: str, written: int) -> None:
        """Count what a token has written; that it cannot be counted fails nothing."""
        if not owner or written <= 0:
            return
        hour = int(time.time() // HOUR_S)
        try:
            with self._store.writing() as db:
                db.execute("delete from written where hour<?", (hour - HOURS,))
                db.execute(
                    "insert into written values(?,?,?) "
                    "on conflict(owner, hour) do update set bytes=bytes+excluded.bytes",
                    (owner, hour, written),
                )
        except StorageError as error:
            logger.warning("%s bytes of %s were not counted: %s", written, owner, error)

    def within_a_day(self, owner: str) -> int:
        """Bytes, counted by whole hours. Raises StorageError."""
        since = int(time.time() // HOUR_S) - HOURS
        with self._store.open() as db:
            found = db.execute("select coalesce(sum(bytes), 0) from written where owner=? and hour>?", (owner, since))
            return int(found.fetchone()[0])

    def require_room(self, owner: str, most_mb: int) -> None:
        """Raises ToolFailure for a token that has written all that it may; 0 is no limit."""
        if not (owner and most_mb):
            return
        if (used_mb := self.within_a_day(owner) >> 20) >= most_mb:
            raise ToolFailure(
                f"{owner} has written {used_mb} MB within a day, and {most_mb} MB are allowed (runtime.caller_disk_mb)",
                "Wait until some of it is a day old, or ask whoever runs the server; delete and clean_up still work.",
            )
