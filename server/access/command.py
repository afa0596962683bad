"""`mlops-mcp token`: make, list and revoke the tokens of a state folder."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from ...tools.runtime.identity import Access
from .tokens import Tokens


def new(home: Path, name: str, scope: Access) -> int:
    """Print a new token, once, alone on stdout."""
    print(Tokens(home).make(name, scope))
    print(f"This is shown once. Send it as `Authorization: Bearer …`; it may {scope}.", file=sys.stderr)
    return 0


def show(home: Path) -> int:
    """Print the names, scopes and ages of all tokens."""
    for token in Tokens(home).all:
        made = datetime.fromtimestamp(token.created, UTC).isoformat(timespec="seconds")
        print(f"{token.name:<32}  {token.scope:<5}  {made}")
    return 0


def revoke(home: Path, name: str) -> int:
    """End one token; servers that run refuse it at once."""
    tokens = Tokens(home)
    tokens.revoke(name)
    if not tokens.all:
        print(f"No token is left, so nobody may ask over HTTP; without {home}/tokens.json all may.", file=sys.stderr)
    return 0
