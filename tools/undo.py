"""The calls that take back what an answer says was made."""

from __future__ import annotations


def deletes(handle: str) -> str:
    """The call that deletes one thing, in the words an agent can repeat."""
    return f"delete(handle={handle!r}, dry_run=false)"
