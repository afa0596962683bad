"""First answers by idempotency key, so that a repeated write is answered instead of done again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
from mcp.types import CallToolResult

from ..tools.database import database
from ..tools.errors import ToolFailure

SCHEMA = """
create table if not exists answers(
  tool text not null, key text not null, arguments text not null, answer text, owner text not null, at real not null,
  primary key(tool, key));
"""
POLL_S = 0.1
PATIENCE_S = 50.0


class Answers:
    """The answers of keyed calls, kept in the state folder."""

    def __init__(self, home: Path) -> None:
        self._path = home / "answers.db"
        self._owner = _owner(os.getpid())

    async def once(
        self, tool: str, key: str, arguments: str, run: Callable[[], Awaitable[CallToolResult]]
    ) -> CallToolResult:
        """Run the call unless one with this key was answered before; a failed call does not use up its key.

        A call that repeats one which still runs waits for its answer.

        Raises:
            ToolFailure: the key was used with other arguments, or its first call takes too long.
        """
        digest = hashlib.sha256(arguments.encode()).hexdigest()
        deadline = time.monotonic() + PATIENCE_S
        while not (begun := await anyio.to_thread.run_sync(self._begin, tool, key, digest)):
            if time.monotonic() > deadline:
                raise ToolFailure(f"the first call with idempotency_key {key!r} still runs", "Repeat this call later.")
            await anyio.sleep(POLL_S)
        if isinstance(begun, str):
            return CallToolResult.model_validate_json(begun)
        try:
            result = await run()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._forget, tool, key)
            raise
        await anyio.to_thread.run_sync(self._keep, tool, key, result.model_dump_json(by_alias=True))
        return result

    def _begin(self, tool: str, key: str, digest: str) -> str | bool:
        """The stored answer; True when the call is this one's to make, False while another one makes it."""
        with database(self._path, SCHEMA) as db:
            values = (tool, key, digest, self._owner, time.time())
            if db.execute("insert or ignore into answers values(?,?,?,null,?,?)", values).rowcount:
                return True
            query = "select arguments, answer, owner from answers where tool=? and key=?"
            known, answer, owner = db.execute(query, (tool, key)).fetchone() or (digest, None, self._owner)
            if known != digest:
                raise ToolFailure(f"idempotency_key {key!r} was used before with other arguments", "Use a new key.")
            if answer is not None:
                return str(answer)
            # The server of the first call is gone and with it the call.
            taken = (
                owner != _owner(int(owner.partition(":")[0]))
                and db.execute(
                    "update answers set owner=? where tool=? and key=? and owner=?", (self._owner, tool, key, owner)
                ).rowcount
            )
            return bool(taken)

    def _keep(self, tool: str, key: str, answer: str) -> None:
        with database(self._path, SCHEMA) as db:
            db.execute("update answers set answer=? where tool=? and key=?", (answer, tool, key))

    def _forget(self, tool: str, key: str) -> None:
        with database(self._path, SCHEMA) as db:
            db.execute("delete from answers where tool=? and key=? and answer is null", (tool, key))


def _owner(pid: int) -> str:
    """A process that is alive, in a form that another process with the same id cannot have."""
    try:
        return f"{pid}:{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""
