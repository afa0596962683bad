"""The decision log of a state folder, as others have it too."""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import asdict
from pathlib import Path

from pydantic import RootModel, ValidationError

from ..decisions import FILE, SCHEMA, Entry, drop, put, read
from .catalogue import DecisionEntry
from .outbox import Outbox, Rows

# SQLite notes by itself what changes, whoever changes it. The handles of a decision stand in its row as well.
NOTED = """
create trigger if not exists decisions_made after insert on decisions
  begin insert into outbox(kind, one, two) values('decision', new.id, ''); end;
create trigger if not exists decisions_taken after delete on decisions
  begin insert into outbox(kind, one, two) values('decision', old.id, ''); end;
insert into outbox(kind, one, two) select 'decision', id, '' from decisions;
"""
# Beyond the year 2242 a time is no date everywhere, and a log with such a row could not be shown.
LAST_AT = float(2**33)

logger = logging.getLogger(__name__)


class _Said(RootModel[Entry]):
    """A decision as it is published."""


def decided_in(home: Path) -> Outbox[DecisionEntry]:
    return Outbox(home, Rows(FILE, SCHEMA, "the decision log", NOTED, _entry, _take))


def _entry(db: sqlite3.Connection, _kind: str, identity: str, _two: str) -> DecisionEntry:
    found = read(db, "where id=?", (identity,))
    said = json.dumps(asdict(found[0])) if found else ""
    return DecisionEntry(identity, said, gone=not found)


def _take(db: sqlite3.Connection, entry: DecisionEntry) -> None:
    """The first of two that say the same counts, so what is here gives way to what is published."""
    if entry.gone:
        drop(db, entry.id)
    elif said := _said(entry):
        drop(db, entry.id)
        put(db, said)
    else:
        logger.warning("the shared state names decision:%r, which is not what was said there: left out", entry.id)


def _said(entry: DecisionEntry) -> Entry | None:
    """What was decided; None if it is not what its name was made of: others may write the database."""
    try:
        found = _Said.model_validate_json(entry.said).root
    except ValidationError:
        return None
    return found if found.id == entry.id and 0 <= found.at < LAST_AT else None
