"""First answers by idempotency key, so that a repeated write is answered instead of done again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
from mcp.types import CallToolResult

from ..tools.database import database
from ..tools.errors import ToolFailure

SCHEMA = """
create table if not exists answers(
  tool text not null, key text not null, arguments text not null, answer text, at real not null,
  primary key(tool, key));
"""
# A first call that ended without a trace of its outcome (a killed server) blocks its key no longer than this.
ABANDONED_AFTER_S = 600.0


class Answers:
    """The answers of keyed calls, kept in the state folder."""

    def __init__(self, home: Path) -> None:
        self._path = home / "answers.db"

    async def once(
        self, tool: str, key: str, arguments: dict[str, Any], run: Callable[[], Awaitable[CallToolResult]]
    ) -> CallToolResult:
        """Run the call unless one with this key was answered before; a failed call does not use up its key.

        Raises:
            ToolFailure: the key was used with other arguments, or its first call still runs.
        """
        if not key:
            return await run()
        digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()
        if (stored := await anyio.to_thread.run_sync(self._begin, tool, key, digest)) is not None:
            return CallToolResult.model_validate_json(stored)
        try:
            result = await run()
        except BaseException:
            self._forget(tool, key)
            raise
        await anyio.to_thread.run_sync(self._keep, tool, key, result.model_dump_json(by_alias=True))
        return result

    def _begin(self, tool: str, key: str, digest: str) -> str | None:
        with database(self._path, SCHEMA) as db:
            old = time.time() - ABANDONED_AFTER_S
            db.execute("delete from answers where tool=? and key=? and answer is null and at<?", (tool, key, old))
            fresh = db.execute(
                "insert or ignore into answers values(?,?,?,null,?)", (tool, key, digest, time.time())
            ).rowcount
            row = db.execute("select arguments, answer from answers where tool=? and key=?", (tool, key)).fetchone()
        if row[0] != digest:
            raise ToolFailure(f"idempotency_key {key!r} was used before with other arguments", "Use a new key.")
        if not fresh and row[1] is None:
            raise ToolFailure(f"the first call with idempotency_key {key!r} still runs", "Repeat this call in a while.")
        return str(row[1]) if row[1] is not None else None

    def _keep(self, tool: str, key: str, answer: str) -> None:
        with database(self._path, SCHEMA) as db:
            db.execute("update answers set answer=? where tool=? and key=?", (answer, tool, key))

    def _forget(self, tool: str, key: str) -> None:
        with database(self._path, SCHEMA) as db:
            db.execute("delete from answers where tool=? and key=? and answer is null", (tool, key))
