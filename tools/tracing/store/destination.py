"""Where the rows of the store belong: an Opik, one of its workspaces and a project in it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import astuple, dataclass

from ....config.settings import Settings
from ..redaction import redact

DEFAULT_PROJECT = "mlops-mcp"
# Of a row that was written while no Opik was configured: it goes to the next one that is.
UNDECIDED = 0


@dataclass(frozen=True)
class Destination:
    """The project of an Opik that traces are shipped to; credentials in its URL say nothing of the place."""

    url: str
    workspace: str
    project: str

    @classmethod
    def of(cls, settings: Settings) -> Destination | None:
        """Where the settings send traces; None when they say nothing of an Opik."""
        opik = settings.opik
        if not opik.configured:
            return None
        return cls(redact(opik.target), opik.workspace.strip(), opik.project_name.strip() or DEFAULT_PROJECT)

    @property
    def key(self) -> str:
        """A short name that can be part of the name of a file."""
        return hashlib.sha256(json.dumps(astuple(self)).encode()).hexdigest()[:12]

    def number(self, connection: sqlite3.Connection) -> int:
        """What stands for it in the rows of a store that can be written."""
        found = self.known_number(connection)
        if found is None:
            connection.execute(
                "insert or ignore into destinations(url, workspace, project) values(?, ?, ?)", astuple(self)
            )
            found = self.known_number(connection)
        assert found is not None
        return found

    def known_number(self, connection: sqlite3.Connection) -> int | None:
        """What stands for it in the rows; None before anything was written for it."""
        query = "select id from destinations where url=? and workspace=? and project=?"
        found = connection.execute(query, astuple(self)).fetchone()
        return None if found is None else int(found[0])
