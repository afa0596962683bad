"""`mlops-mcp token`: make, list and revoke the tokens of a state folder."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from ...config.errors import SettingsError
from ...config.settings import Settings
from ...tools.errors import ToolFailure
from ...tools.replica.steps import in_step
from ...tools.runtime.identity import Access
from .tokens import FILE, Tokens


def new(settings: Settings, name: str, scope: Access) -> int:
    """Print a new token, once, alone on stdout."""
    with _known_to_all(settings):
        made = Tokens(settings.home).make(name, scope)
    print(made)
    print(f"This is shown once. Send it as `Authorization: Bearer …`; it may {scope}.", file=sys.stderr)
    return 0


def show(settings: Settings) -> int:
    """Print the names, scopes and ages of all tokens."""
    with _known_to_all(settings):
        known = Tokens(settings.home).all
    for token in known:
        made = datetime.fromtimestamp(token.created, UTC).isoformat(timespec="seconds")
        print(f"{token.name:<32}  {token.scope:<5}  {made}")
    return 0


def revoke(settings: Settings, name: str) -> int:
    """End one token; servers that run refuse it at once, those with a folder of their own as soon as they look."""
    tokens = Tokens(settings.home)
    with _known_to_all(settings):
        tokens.revoke(name)
    if not tokens.all:
        where = settings.home / FILE
        print(f"No token is left, so nobody may ask over HTTP; without {where} all may.", file=sys.stderr)
    return 0


@contextmanager
def _known_to_all(settings: Settings) -> Generator[None]:
    """Of servers that share no disk, too. Raises SettingsError when what they share does not answer."""
    try:
        with in_step(settings):
            yield
    except ToolFailure as failure:
        raise SettingsError(str(failure)) from failure
